//! The model behind the port: an engine for tests, which can be told to fail.

use super::{
    super::{
        Capabilities, Change, Entry, Error, Kv, Lease, LeaseId, LeaseStatus, Life, Operation,
        Outcome, Page, Range, Revision, Snapshot, Status, Transaction, Watch,
    },
    model::{Model, View, look},
};
use async_trait::async_trait;
use std::{
    collections::{BTreeMap, VecDeque},
    future::poll_fn,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
    time::Duration,
};

/// How one call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// With [`Error::Unavailable`]; nothing is done.
    Unavailable,
    /// A write is done and ends with [`Error::Unknown`]; a read ends with [`Error::Unavailable`].
    UnknownButApplied,
    /// A write is not done and ends with [`Error::Unknown`]; a read ends with [`Error::Unavailable`].
    UnknownAndLost,
}

/// An engine in memory whose clock stands until it is told to go on. Clones are the same engine.
#[derive(Clone, Debug)]
pub struct Memory {
    shared: Arc<Mutex<State>>,
    capabilities: Capabilities,
}

#[derive(Debug, Default)]
struct State {
    model: Model,
    now: Duration,
    is_down: bool,
    /// Grows with every restart and every fall: watches of an earlier life end.
    life: u64,
    failures: VecDeque<Failure>,
    waiting: BTreeMap<u64, Waker>,
    last_watch: u64,
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl Memory {
    /// An empty one that offers everything but durability.
    #[must_use]
    pub fn new() -> Self {
        Self::offering(Capabilities {
            durable: false,
            transactions: true,
            leases: true,
            watches: true,
            shared: false,
        })
    }

    /// An empty one that offers this, and refuses the rest.
    #[must_use]
    pub fn offering(capabilities: Capabilities) -> Self {
        Self { shared: Arc::default(), capabilities }
    }

    /// Makes the next call fail; called again, also the one after it, and so on. Watches that are open are spared.
    pub fn fail_next(&self, failure: Failure) {
        self.state().failures.push_back(failure);
    }

    /// While it is down every call ends with [`Error::Unavailable`], and so do all open watches. What was acknowledged
    /// stays, the clock goes on.
    pub fn set_down(&self, is_down: bool) {
        let mut state = self.state();
        if is_down && !state.is_down {
            state.life += 1;
        }
        state.is_down = is_down;
        wake(state);
    }

    /// Lets the engine's clock go on by `time`: leases end.
    pub fn advance(&self, time: Duration) {
        let mut state = self.state();
        let now = state.now + time;
        state.now = now;
        state.model.tick(now);
        wake(state);
    }

    /// Ends the engine and starts it again: open watches end, leases have their full time again.
    pub fn restart(&self) {
        let mut state = self.state();
        let now = state.now;
        state.model.restart(now);
        state.life += 1;
        state.is_down = false;
        wake(state);
    }

    /// Number of watches that wait at this moment.
    #[must_use]
    pub fn watches(&self) -> usize {
        self.state().waiting.len()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, for a call that only reads.
    fn read(&self) -> Result<MutexGuard<'_, State>, Error> {
        let mut state = self.state();
        if state.is_down || state.failures.pop_front().is_some() {
            return Err(unavailable());
        }
        let now = state.now;
        state.model.tick(now);
        Ok(state)
    }

    /// Does a write as the switches say.
    fn write<T>(
        &self,
        act: impl FnOnce(&mut Model, Duration) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut state = self.state();
        if state.is_down {
            return Err(unavailable());
        }
        let now = state.now;
        match state.failures.pop_front() {
            Some(Failure::Unavailable) => Err(unavailable()),
            Some(Failure::UnknownAndLost) => Err(unknown()),
            Some(Failure::UnknownButApplied) => {
                let done = act(&mut state.model, now);
                wake(state);
                done.and(Err(unknown()))
            }
            None => {
                let done = act(&mut state.model, now);
                wake(state);
                done
            }
        }
    }

    fn check(&self, transaction: &Transaction) -> Result<(), Error> {
        let is_leased = |operation: &Operation| match operation {
            Operation::Put { life, .. } => *life != Life::Endless,
            Operation::Delete { .. } | Operation::DeleteRange { .. } => false,
        };
        if !self.capabilities.leases && transaction.operations.iter().any(is_leased) {
            return Err(Error::Unsupported("a lease"));
        }
        let conditions = transaction.conditions.iter();
        let conditions = conditions.map(|condition| Range::key(condition.key.clone()));
        let mut ranges: Vec<Range> =
            conditions.chain(transaction.operations.iter().map(Operation::range)).collect();
        ranges.dedup();
        let is_one = ranges.len() < 2;
        let is_range = |operation: &Operation| matches!(operation, Operation::DeleteRange { .. });
        let is_one = is_one && !transaction.operations.iter().any(is_range);
        if !self.capabilities.transactions && !is_one {
            return Err(Error::Unsupported("a transaction over several keys"));
        }
        Ok(())
    }

    fn offers(&self, is_offered: bool, what: &'static str) -> Result<(), Error> {
        if is_offered { Ok(()) } else { Err(Error::Unsupported(what)) }
    }
}

/// Lets go of the state and wakes whoever waits for it to change.
fn wake(mut state: MutexGuard<'_, State>) {
    let waiting = std::mem::take(&mut state.waiting);
    drop(state);
    for waker in waiting.into_values() {
        waker.wake();
    }
}

fn unavailable() -> Error {
    let cause = Arc::new(io::Error::other("it was told to be down"));
    Error::Unavailable { place: "memory".to_owned(), cause }
}

fn unknown() -> Error {
    let cause = Arc::new(io::Error::other("it was told to break off"));
    Error::Unknown { place: "memory".to_owned(), cause }
}

#[async_trait]
impl Kv for Memory {
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    async fn get(&self, key: &[u8]) -> Result<Option<Entry>, Error> {
        look(self.read()?.model.view(), key)
    }

    async fn range(&self, range: &Range, limit: usize) -> Result<Page, Error> {
        let state = self.read()?;
        Ok(state.model.view().page(range, limit, state.model.revision()))
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, Error> {
        let state = self.read()?;
        let (view, revision) = (state.model.view().clone(), state.model.revision());
        Ok(Box::new(Copied { view, revision }))
    }

    async fn commit(&self, transaction: Transaction) -> Result<Outcome, Error> {
        transaction.check()?;
        self.check(&transaction)?;
        self.write(|model, now| model.commit(now, &transaction))
    }

    async fn grant(&self, ttl: Duration) -> Result<Lease, Error> {
        self.offers(self.capabilities.leases, "a lease")?;
        self.write(|model, now| model.grant(now, ttl))
    }

    async fn renew(&self, lease: LeaseId) -> Result<Duration, Error> {
        self.offers(self.capabilities.leases, "a lease")?;
        self.write(|model, now| model.renew(now, lease))
    }

    async fn revoke(&self, lease: LeaseId) -> Result<(), Error> {
        self.offers(self.capabilities.leases, "a lease")?;
        self.write(|model, now| {
            model.revoke(now, lease);
            Ok(())
        })
    }

    async fn lease(&self, lease: LeaseId) -> Result<LeaseStatus, Error> {
        self.offers(self.capabilities.leases, "a lease")?;
        let mut state = self.read()?;
        let now = state.now;
        state.model.lease(now, lease)
    }

    async fn watch(&self, range: Range, from: Option<Revision>) -> Result<Box<dyn Watch>, Error> {
        let mut state = self.read()?;
        let newest = state.model.revision();
        if from.is_some_and(|from| from <= newest) {
            self.offers(self.capabilities.watches, "a watch that begins in the past")?;
        }
        let from = from.unwrap_or_else(|| newest.next());
        state.model.change(&range, from)?;
        state.last_watch += 1;
        let (id, life) = (state.last_watch, state.life);
        Ok(Box::new(Following { shared: Arc::clone(&self.shared), id, life, range, from }))
    }

    async fn compact(&self, revision: Revision) -> Result<(), Error> {
        self.write(|model, _| model.compact(revision))
    }

    async fn status(&self) -> Result<Status, Error> {
        let state = self.read()?;
        Ok(Status {
            revision: state.model.revision(),
            compacted: state.model.compacted(),
            size: 0,
            leases: Some(state.model.leases()),
            place: "memory".to_owned(),
        })
    }
}

#[derive(Debug)]
struct Copied {
    view: View,
    revision: Revision,
}

#[async_trait]
impl Snapshot for Copied {
    fn revision(&self) -> Revision {
        self.revision
    }

    async fn range(&mut self, range: &Range, limit: usize) -> Result<Page, Error> {
        Ok(self.view.page(range, limit, self.revision))
    }
}

#[derive(Debug)]
struct Following {
    shared: Arc<Mutex<State>>,
    id: u64,
    life: u64,
    range: Range,
    from: Revision,
}

impl Following {
    fn poll(&mut self, waker: &Waker) -> Poll<Result<Change, Error>> {
        let mut state = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if state.life != self.life {
            return Poll::Ready(Err(unavailable()));
        }
        match state.model.change(&self.range, self.from) {
            Err(error) => Poll::Ready(Err(error)),
            Ok(Some(change)) => {
                self.from = change.revision.next();
                Poll::Ready(Ok(change))
            }
            Ok(None) => {
                // What was seen up to here holds nothing for this watch: its history may go.
                self.from = self.from.max(state.model.revision().next());
                state.waiting.insert(self.id, waker.clone());
                Poll::Pending
            }
        }
    }
}

#[async_trait]
impl Watch for Following {
    async fn next(&mut self) -> Result<Change, Error> {
        poll_fn(|context| self.poll(context.waker())).await
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).waiting.remove(&self.id);
    }
}
