//! The kv engine, bounded in time.

use ports::kv::{self, Entry, Kv, Lease, LeaseId, Outcome, Page, Range, Transaction};
use std::{future::Future, sync::Arc, time::Duration};

/// How long a call to the engine may take. Longer than any engine that is well needs; short enough for a request that waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// It did not answer within [`PATIENCE`].
#[derive(Debug, thiserror::Error)]
#[error("no answer within {} s", PATIENCE.as_secs())]
struct Silence;

/// The engine.
#[derive(Clone, Debug)]
pub(crate) struct Engine(Arc<dyn Kv>);

impl Engine {
    pub(crate) fn new(kv: Arc<dyn Kv>) -> Self {
        Self(kv)
    }

    /// Whether other nodes see the same keys.
    pub(crate) fn is_shared(&self) -> bool {
        self.0.capabilities().shared
    }

    pub(crate) async fn get(&self, key: &[u8]) -> Result<Option<Entry>, kv::Error> {
        bounded(self.0.get(key), unanswered).await
    }

    pub(crate) async fn range(&self, range: &Range, limit: usize) -> Result<Page, kv::Error> {
        bounded(self.0.range(range, limit), unanswered).await
    }

    pub(crate) async fn commit(&self, transaction: Transaction) -> Result<Outcome, kv::Error> {
        bounded(self.0.commit(transaction), unknown).await
    }

    pub(crate) async fn grant(&self, ttl: Duration) -> Result<Lease, kv::Error> {
        bounded(self.0.grant(ttl), unanswered).await
    }

    pub(crate) async fn renew(&self, lease: LeaseId) -> Result<Duration, kv::Error> {
        bounded(self.0.renew(lease), unanswered).await
    }

    pub(crate) async fn revoke(&self, lease: LeaseId) -> Result<(), kv::Error> {
        bounded(self.0.revoke(lease), unanswered).await
    }
}

async fn bounded<T>(
    call: impl Future<Output = Result<T, kv::Error>>,
    silence: fn() -> kv::Error,
) -> Result<T, kv::Error> {
    tokio::time::timeout(PATIENCE, call).await.unwrap_or_else(|_| Err(silence()))
}

fn unanswered() -> kv::Error {
    kv::Error::Unavailable { place: "this node's engine".to_owned(), cause: Arc::new(Silence) }
}

fn unknown() -> kv::Error {
    kv::Error::Unknown { place: "this node's engine".to_owned(), cause: Arc::new(Silence) }
}
