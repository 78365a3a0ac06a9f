//! An engine that could not be opened at the start, and is as soon as it can be.

use super::source::{Failed, Look, Opened, Source};
use async_trait::async_trait;
use base::Diagnostic;
use logic::backoff::Backoff;
use ports::kv::{
    Capabilities, Entry, Error, Kv, Lease, LeaseId, LeaseStatus, Outcome, Page, Range, Revision,
    Snapshot, Status, Transaction, Watch,
};
use runtime::Stop;
use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};
use tracing::{error, info};

/// Between tries: the first soon, because what is most often in the way is a process that is ending; then seldom, because
/// a try may read all of a large store, and what is left waits for somebody who acts.
const RETRY: Backoff = Backoff { first: Duration::from_secs(1), max: Duration::from_secs(60) };

/// How often is looked whether somebody has acted. It costs the reading of one small folder.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The engine. Until it is open, everything is refused with the reason of the last try.
#[derive(Debug)]
pub(super) struct Late {
    source: Source,
    place: String,
    stage: Mutex<Stage>,
    /// Apart from the stage, because every call asks for it.
    opened: OnceLock<Arc<dyn Kv>>,
}

#[derive(Debug)]
enum Stage {
    Waiting(Failed),
    Open(Option<adapter_embedded::kv::Service>),
    Closed,
}

impl Late {
    /// One whose first try failed.
    pub(super) fn new(source: Source, failed: Failed) -> Self {
        say(&failed);
        let place = source.place();
        Self { source, place, stage: Mutex::new(Stage::Waiting(failed)), opened: OnceLock::new() }
    }

    /// Why it is not open, as long as it is not.
    pub(super) fn problem(&self) -> Option<Diagnostic> {
        match &*self.stage() {
            Stage::Waiting(failed) => Some(Diagnostic::clone(&failed.problem)),
            Stage::Open(_) | Stage::Closed => None,
        }
    }

    /// Ends it: what is opened from now on is let go of at once. Returns what must be shut down.
    pub(super) fn close(&self) -> Option<adapter_embedded::kv::Service> {
        match mem::replace(&mut *self.stage(), Stage::Closed) {
            Stage::Open(service) => service,
            Stage::Waiting(_) | Stage::Closed => None,
        }
    }

    /// Tries until it is open. A folder in which something has changed is tried at once.
    pub(super) async fn try_on(self: Arc<Self>, mut stop: Stop) {
        let mut failures = 1;
        loop {
            // Without a random number many nodes only try at the same moments.
            let pause = RETRY.wait(failures, getrandom::u64().unwrap_or_default());
            let look = self.look().await;
            tokio::select! {
                () = stop.wait() => return,
                () = tokio::time::sleep(pause) => failures += 1,
                () = self.changed(look) => failures = 1,
            }
            let trying = Arc::clone(&self);
            tokio::select! {
                // What is under way goes on, and closes what it opens when nobody wants it any more.
                () = stop.wait() => return,
                is_over = runtime::blocking(move || trying.try_once()) => if is_over {
                    return;
                },
            }
        }
    }

    async fn look(self: &Arc<Self>) -> Look {
        let looking = Arc::clone(self);
        runtime::blocking(move || looking.source.look()).await
    }

    /// Waits until the files look otherwise than `before`.
    async fn changed(self: &Arc<Self>, before: Look) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if self.look().await != before {
                return;
            }
        }
    }

    /// Tries once; whether there is nothing more to try. Blocks.
    fn try_once(&self) -> bool {
        let tried = self.source.open();
        let mut stage = self.stage();
        match (tried, &mut *stage) {
            (Ok(Opened { kv, service }), Stage::Waiting(_)) => {
                info!(place = self.place, "the kv engine is open");
                *stage = Stage::Open(service);
                // The only place that sets it, and only once: the stage is never waiting again.
                let _is_first = self.opened.set(kv);
                true
            }
            (Err(failed), Stage::Waiting(before)) => {
                if failed.problem.message != before.problem.message {
                    say(&failed);
                }
                *before = failed;
                false
            }
            // Dropping what was opened closes it.
            (_, Stage::Open(_) | Stage::Closed) => true,
        }
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn engine(&self) -> Result<&dyn Kv, Error> {
        let opened = || self.opened.get().map(|opened| &**opened);
        if let Some(opened) = opened() {
            return Ok(opened);
        }
        let cause = match &*self.stage() {
            Stage::Waiting(failed) => Arc::clone(&failed.cause),
            Stage::Open(_) | Stage::Closed => Arc::new(Closed),
        };
        // It may have been opened since the first look.
        opened().ok_or_else(|| Error::Unavailable { place: self.place.clone(), cause })
    }
}

/// The node ends.
#[derive(Debug, thiserror::Error)]
#[error("it was closed")]
struct Closed;

fn say(failed: &Failed) {
    error!(code = %failed.problem.code, "{}", failed.problem.message);
}

#[async_trait]
impl Kv for Late {
    fn capabilities(&self) -> Capabilities {
        // What it offers when it is open, so that callers learn the reason and not another one until then.
        Capabilities {
            durable: true,
            transactions: true,
            leases: true,
            watches: true,
            shared: self.source.is_shared(),
        }
    }

    async fn get(&self, key: &[u8]) -> Result<Option<Entry>, Error> {
        self.engine()?.get(key).await
    }

    async fn range(&self, range: &Range, limit: usize) -> Result<Page, Error> {
        self.engine()?.range(range, limit).await
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, Error> {
        self.engine()?.snapshot().await
    }

    async fn commit(&self, transaction: Transaction) -> Result<Outcome, Error> {
        self.engine()?.commit(transaction).await
    }

    async fn grant(&self, ttl: Duration) -> Result<Lease, Error> {
        self.engine()?.grant(ttl).await
    }

    async fn renew(&self, lease: LeaseId) -> Result<Duration, Error> {
        self.engine()?.renew(lease).await
    }

    async fn revoke(&self, lease: LeaseId) -> Result<(), Error> {
        self.engine()?.revoke(lease).await
    }

    async fn lease(&self, lease: LeaseId) -> Result<LeaseStatus, Error> {
        self.engine()?.lease(lease).await
    }

    async fn watch(&self, range: Range, from: Option<Revision>) -> Result<Box<dyn Watch>, Error> {
        self.engine()?.watch(range, from).await
    }

    async fn compact(&self, revision: Revision) -> Result<(), Error> {
        self.engine()?.compact(revision).await
    }

    async fn status(&self) -> Result<Status, Error> {
        self.engine()?.status().await
    }
}

#[cfg(test)]
mod tests;
