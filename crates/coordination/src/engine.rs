//! The kv engine as the other parts use it: for two seconds at most, and looked after.

use crate::error::Error;
use base::Timestamp;
use ports::kv::{
    self, Entry, Kv, Lease, LeaseId, LeaseStatus, Outcome, Page, Range, Revision, Status,
    Transaction, Watch,
};
use runtime::{Clock, Stop};
use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::watch;
use tracing::{info, warn};

/// How long a call to the engine may take. Longer than any engine that is well needs; short enough for a request
/// that waits for it.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// How often the engine is looked at: what is read from memory is called stale that much later at most, plus
/// [`PATIENCE`], should the engine fall silent without breaking its connections.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// How the engine is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineHealth {
    /// Where it is, for people.
    pub place: String,
    /// Whether the last call to it was answered.
    pub is_up: bool,
    /// Since when.
    pub since: Timestamp,
    /// What it said of itself last.
    pub status: Option<Status>,
    /// What was wrong with the last call, if something was.
    pub trouble: Option<String>,
}

/// The engine, bounded in time.
#[derive(Debug)]
pub(crate) struct Engine {
    kv: Arc<dyn Kv>,
    /// What all keys of this system begin with.
    root: String,
    clock: Clock,
    health: watch::Sender<EngineHealth>,
    /// Why the last call went wrong, if it did: [`EngineHealth::trouble`] without the words around it.
    cause: Mutex<Option<Cause>>,
}

type Cause = Arc<dyn std::error::Error + Send + Sync>;

/// It did not answer within [`PATIENCE`].
#[derive(Debug, thiserror::Error)]
#[error("no answer within {} s", PATIENCE.as_secs())]
struct Silence;

/// Nothing has been heard of it.
#[derive(Debug, thiserror::Error)]
#[error("it has not answered yet")]
struct Unasked;

impl Engine {
    pub(crate) fn new(kv: Arc<dyn Kv>, place: String, system: &str, clock: Clock) -> Self {
        let since = clock.date();
        let health = EngineHealth { place, is_up: true, since, status: None, trouble: None };
        let root = format!("flotilla/{system}/");
        Self { kv, root, clock, health: watch::Sender::new(health), cause: Mutex::default() }
    }

    /// The key of this system under these names, which contain no `/` but the last.
    pub(crate) fn key(&self, parts: &[&str]) -> String {
        format!("{}{}", self.root, parts.join("/"))
    }

    pub(crate) fn clock(&self) -> Clock {
        self.clock
    }

    pub(crate) fn health(&self) -> EngineHealth {
        self.health.borrow().clone()
    }

    pub(crate) fn is_up(&self) -> bool {
        self.health.borrow().is_up
    }

    /// That it does not answer, and why, for who has not asked it.
    pub(crate) fn unavailable(&self) -> Error {
        let known = self.cause.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let cause = known.unwrap_or_else(|| Arc::new(Unasked));
        Error::Unavailable { place: self.health.borrow().place.clone(), cause }
    }

    pub(crate) async fn get(&self, key: &str) -> Result<Option<Entry>, Error> {
        self.read(self.kv.get(key.as_bytes())).await.map_err(Error::from)
    }

    pub(crate) async fn range(&self, range: &Range, limit: usize) -> Result<Page, Error> {
        self.read(self.kv.range(range, limit)).await.map_err(Error::from)
    }

    /// All entries of a range as of one moment, `limit` at most, and whether these are all.
    pub(crate) async fn all(
        &self,
        range: &Range,
        limit: usize,
    ) -> Result<(Vec<Entry>, Revision, bool), Error> {
        let page = self.range(range, limit).await?;
        if page.next.is_none() || page.entries.len() >= limit {
            return Ok((page.entries, page.revision, page.next.is_none()));
        }
        let mut snapshot = self.read(self.kv.snapshot()).await?;
        let mut entries = Vec::new();
        let mut rest = range.clone();
        loop {
            let page = self.read(snapshot.range(&rest, limit - entries.len())).await?;
            entries.extend(page.entries);
            match page.next {
                Some(next) if entries.len() < limit => rest.from = next,
                next => return Ok((entries, snapshot.revision(), next.is_none())),
            }
        }
    }

    /// Unlike the other calls it keeps [`kv::Error`]: a lease that is gone is a matter of course for who names one.
    pub(crate) async fn commit(&self, transaction: Transaction) -> Result<Outcome, kv::Error> {
        self.write(self.kv.commit(transaction)).await
    }

    pub(crate) async fn grant(&self, ttl: Duration) -> Result<Lease, Error> {
        // A lease that nobody knows ends by itself: that it may be there is no news to the caller.
        self.read(self.kv.grant(ttl)).await.map_err(Error::from)
    }

    pub(crate) async fn renew(&self, lease: LeaseId) -> Result<Duration, kv::Error> {
        self.write(self.kv.renew(lease)).await
    }

    pub(crate) async fn revoke(&self, lease: LeaseId) -> Result<(), Error> {
        self.write(self.kv.revoke(lease)).await.map_err(Error::from)
    }

    pub(crate) async fn lease(&self, lease: LeaseId) -> Result<LeaseStatus, kv::Error> {
        self.read(self.kv.lease(lease)).await
    }

    pub(crate) async fn watch(
        &self,
        range: Range,
        from: Revision,
    ) -> Result<Box<dyn Watch>, Error> {
        self.read(self.kv.watch(range, Some(from))).await.map_err(Error::from)
    }

    /// The newest revision.
    pub(crate) async fn revision(&self) -> Result<Revision, Error> {
        // Unlike a status, a read of a key is promised to be of this moment.
        let nowhere = Range::key(self.root.clone().into());
        Ok(self.range(&nowhere, 1).await?.revision)
    }

    /// Looks at the engine now and then, until it shall end.
    pub(crate) async fn look_after(self: Arc<Self>, mut stop: Stop) {
        loop {
            if let Ok(status) = self.read(self.kv.status()).await {
                self.health.send_modify(|health| {
                    health.place.clone_from(&status.place);
                    health.status = Some(status);
                });
            }
            if tokio::time::timeout(LOOK_EVERY, stop.wait()).await.is_ok() {
                return;
            }
        }
    }

    async fn read<T>(
        &self,
        call: impl Future<Output = Result<T, kv::Error>>,
    ) -> Result<T, kv::Error> {
        self.bounded(call, |place| kv::Error::Unavailable { place, cause: Arc::new(Silence) }).await
    }

    async fn write<T>(
        &self,
        call: impl Future<Output = Result<T, kv::Error>>,
    ) -> Result<T, kv::Error> {
        self.bounded(call, |place| kv::Error::Unknown { place, cause: Arc::new(Silence) }).await
    }

    async fn bounded<T>(
        &self,
        call: impl Future<Output = Result<T, kv::Error>>,
        silence: impl FnOnce(String) -> kv::Error,
    ) -> Result<T, kv::Error> {
        let result = match tokio::time::timeout(PATIENCE, call).await {
            Ok(result) => result,
            Err(_) => Err(silence(self.health.borrow().place.clone())),
        };
        match &result {
            Err(error @ (kv::Error::Unavailable { .. } | kv::Error::Unknown { .. })) => {
                self.note(Some(error));
            }
            Err(error @ kv::Error::Refused { .. }) => self.note(Some(error)),
            Ok(_) | Err(_) => self.note(None),
        }
        result
    }

    /// Remembers how the last call went; says it when that is another way than before.
    fn note(&self, trouble: Option<&kv::Error>) {
        let is_up = trouble.is_none();
        // This is asked for every call: most find nothing to change, and need no more than a look.
        if is_up && self.is_up() {
            return;
        }
        let cause = trouble.and_then(|error| match error {
            kv::Error::Unavailable { cause, .. }
            | kv::Error::Unknown { cause, .. }
            | kv::Error::Refused { cause, .. } => Some(Arc::clone(cause)),
            _ => None,
        });
        *self.cause.lock().unwrap_or_else(PoisonError::into_inner) = cause;
        let text = trouble.map(|error| base::ErrorChain(error).to_string());
        let since = self.clock.date();
        self.health.send_if_modified(|health| {
            let is_turn = health.is_up != is_up;
            if is_turn {
                (health.is_up, health.since) = (is_up, since);
                match &text {
                    Some(error) => warn!(place = health.place, error, "the kv engine is away"),
                    None => info!(place = health.place, "the kv engine is back"),
                }
            }
            health.trouble.clone_from(&text);
            is_turn
        });
    }
}
