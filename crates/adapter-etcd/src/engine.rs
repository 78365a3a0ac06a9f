//! The port, call by call.

mod commits;
mod leases;
mod pages;

use crate::{
    config::{Config, Error as ConfigError},
    members::{Attempt, Effect, Members, Trouble},
    names::{Names, number, revision},
    watch::Following,
};
use async_trait::async_trait;
use ports::kv::{
    Capabilities, Entry, Error, Kv, Lease, LeaseId, LeaseStatus, Outcome, PAGE_MAX, Page, Range,
    Revision, Snapshot, Status, Transaction, Watch, check_key,
};
use proto::etcd::etcdserverpb::{CompactionRequest, RangeRequest, StatusRequest, WatchResponse};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

/// The kv port on etcd. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Etcd {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) members: Members,
    pub(crate) names: Names,
    place: String,
    /// The last revision that is known to be forgotten. It only grows.
    compacted: AtomicU64,
    /// How many entries fit into a page, as far as it is known.
    page: AtomicUsize,
}

impl fmt::Debug for Etcd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Etcd").field(&self.shared.place).finish()
    }
}

impl Etcd {
    /// Makes the engine; connects when something is asked of it. It needs the tokio runtime in which it is made.
    ///
    /// # Errors
    /// When there is no endpoint, and when files that the configuration names cannot be read or used.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        config.check()?;
        let shared = Shared {
            members: Members::new(config)?,
            names: Names::new(&config.prefix),
            place: config.place(),
            compacted: AtomicU64::new(0),
            page: AtomicUsize::new(PAGE_MAX),
        };
        Ok(Self { shared: Arc::new(shared) })
    }
}

impl Shared {
    /// What the port says of trouble that has no better name.
    pub(crate) fn trouble(&self, trouble: Trouble) -> Error {
        let place = self.place.clone();
        match trouble {
            Trouble::Unavailable(cause) => Error::Unavailable { place, cause },
            Trouble::Unknown(cause) => Error::Unknown { place, cause },
            Trouble::Refused(cause)
            | Trouble::LeaseGone(cause)
            | Trouble::Compacted(cause)
            | Trouble::Future(cause)
            | Trouble::TooLong(cause) => Error::Refused { place, cause },
        }
    }

    /// What the end of a watch means; `None`: it may be opened again.
    pub(crate) fn ended(&self, response: &WatchResponse) -> Option<Error> {
        (response.compact_revision > 0).then(|| {
            let compacted = revision(response.compact_revision);
            self.compacted.fetch_max(compacted.0, Ordering::Relaxed);
            Error::Compacted { compacted }
        })
    }
}

#[async_trait]
impl Kv for Etcd {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            durable: true,
            transactions: true,
            leases: true,
            watches: true,
            shared: true,
        }
    }

    async fn get(&self, key: &[u8]) -> Result<Option<Entry>, Error> {
        check_key(key)?;
        let key = self.shared.names.full(key);
        let found = self.shared.entries(RangeRequest { key, ..RangeRequest::default() }).await;
        let found = found.map_err(|trouble| self.shared.trouble(trouble))?;
        Ok(found.kvs.into_iter().next().and_then(|kv| self.shared.names.entry(kv)))
    }

    async fn range(&self, range: &Range, limit: usize) -> Result<Page, Error> {
        self.shared.page(range, limit, Revision(0)).await
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, Error> {
        let revision = self.shared.probe(Revision(0)).await;
        let revision = revision.map_err(|trouble| self.shared.trouble(trouble))?;
        Ok(Box::new(pages::At { shared: Arc::clone(&self.shared), revision }))
    }

    async fn commit(&self, transaction: Transaction) -> Result<Outcome, Error> {
        transaction.check()?;
        self.shared.commit(&transaction).await
    }

    async fn grant(&self, ttl: Duration) -> Result<Lease, Error> {
        self.shared.grant(ttl).await
    }

    async fn renew(&self, lease: LeaseId) -> Result<Duration, Error> {
        self.shared.renew(lease).await
    }

    async fn revoke(&self, lease: LeaseId) -> Result<(), Error> {
        self.shared.revoke(lease).await
    }

    async fn lease(&self, lease: LeaseId) -> Result<LeaseStatus, Error> {
        self.shared.look(lease, true).await
    }

    async fn watch(&self, range: Range, from: Option<Revision>) -> Result<Box<dyn Watch>, Error> {
        Ok(Box::new(Following::begin(Arc::clone(&self.shared), range, from).await?))
    }

    /// The history is the whole etcd's: others who share it lose it too.
    async fn compact(&self, revision: Revision) -> Result<(), Error> {
        if revision == Revision(0) {
            return Ok(());
        }
        let request = CompactionRequest { revision: number(revision), physical: false };
        let done = self.shared.members.call(Effect::Repeatable, |attempt: Attempt| {
            let request = attempt.request(request);
            async move { attempt.kv().compact(request).await }
        });
        match done.await {
            Ok(_) | Err(Trouble::Compacted(_)) => Ok(()),
            Err(Trouble::Future(_)) => {
                let message = format!("revision {revision} is in the future: it is not there yet");
                Err(Error::Invalid(message))
            }
            Err(trouble) => Err(self.shared.trouble(trouble)),
        }
    }

    async fn status(&self) -> Result<Status, Error> {
        let shared = &*self.shared;
        let status = shared.members.call(Effect::Read, |attempt: Attempt| {
            let request = attempt.request(StatusRequest {});
            async move { Ok(attempt.maintenance().status(request).await?.into_inner()) }
        });
        let status = status.await.map_err(|trouble| shared.trouble(trouble))?;
        let compacted = shared.compacted().await?;
        // The member that was asked may be behind the others.
        let revision = shared.probe(Revision(0)).await;
        let revision = revision.map_err(|trouble| shared.trouble(trouble))?;
        Ok(Status {
            revision,
            compacted,
            size: u64::try_from(status.db_size).unwrap_or(0),
            leases: None,
            place: shared.place.clone(),
        })
    }
}
