//! Locks with fencing tokens, fair waiting and leases; an election is a lock that says something.
//!
//! A lock is a key with a lease; its token is the revision at which the key came to be, which only grows. So a
//! write that asks for that revision ([`crate::Fence`]) is refused once the lease has ended, however late a paused
//! holder sends it (Kleppmann 2016, "How to do distributed locking").
//!
//! ```text
//!  lock/STORE/held/RESOURCE        owner, lease                       one at most
//!  lock/STORE/wait/RESOURCE␀…      lease of the waiter's node         the queue, in the order of creation
//!  lock/STORE/gone/RESOURCE␀…      a minute                           places that nobody shall take any more
//! ```
//!
//! Who waits puts a key into the queue and watches the one before it, so that each release wakes one waiter, and not
//! all of them; the first in the queue takes the lock and leaves the queue in one transaction. Who does not want to
//! wait gets nothing while others do: it would overtake them.
//!
//! Start with [`Locks`].

use crate::{
    config::{LockStore, StoreKind, Stores, find_store},
    engine::Engine,
    error::Error,
    state::Fence,
};
use base::{InstanceId, ServiceName};
use ports::kv::{self, Is, Life, Outcome, Range, Transaction};
use record::Record;
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;

mod queue;
mod record;
mod taking;
mod upkeep;
mod vocabulary;
mod waiting;
mod watching;

#[cfg(test)]
mod tests;

pub(crate) use upkeep::Upkeep;
pub use vocabulary::{
    Candidate, Grant, LOCK_NAME_LEN_MAX, LOCK_VALUE_LEN_MAX, LockEvent, LockInfo, LockRequest,
    OWNER_LEN_MAX, Released, WAITERS_MAX,
};
pub use watching::LockWatch;

/// Locks and elections. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Locks {
    engine: Arc<Engine>,
    stores: watch::Receiver<Arc<Stores>>,
    upkeep: Arc<Upkeep>,
}

/// A lock by its keys.
#[derive(Clone, Debug)]
struct Names {
    resource: String,
    held: String,
    /// What the keys of its queue begin with.
    queue: String,
    /// What the keys begin with that say which places of the queue nobody shall take any more.
    gone: String,
}

impl Locks {
    pub(crate) fn new(
        engine: Arc<Engine>,
        stores: watch::Receiver<Arc<Stores>>,
        upkeep: Arc<Upkeep>,
    ) -> Self {
        Self { engine, stores, upkeep }
    }

    /// How a store is set up.
    ///
    /// # Errors
    /// [`Error::UnknownStore`].
    pub fn settings(&self, store: &str) -> Result<LockStore, Error> {
        find(&self.stores.borrow(), store).cloned()
    }

    /// `resource` of `service` with the store's prefix, as the other methods want it.
    ///
    /// # Errors
    /// [`Error::UnknownStore`].
    pub fn resource(
        &self,
        store: &str,
        service: &ServiceName,
        resource: &str,
    ) -> Result<String, Error> {
        Ok(self.settings(store)?.prefix.apply(service, store, resource))
    }

    /// Takes the lock if nobody has it and nobody waits for it.
    ///
    /// # Errors
    /// [`Error::UnknownStore`], [`Error::Invalid`], [`Error::TooLarge`], [`Error::Unavailable`]; after
    /// [`Error::Unknown`] the lock may be held for its time to live.
    /// # Cancel safety
    /// Cancel safe: a lock that a dropped call took is given back.
    pub async fn try_acquire(&self, request: &LockRequest) -> Result<Option<Grant>, Error> {
        let names = self.names(&request.store, &request.resource)?;
        check(request)?;
        self.try_take(&names, request).await
    }

    /// Waits for the lock, at most `wait`. Those who wait get it in the order in which they came, over all nodes.
    ///
    /// An engine that is away from the start is an error at once. One that goes away while this waits costs time, and
    /// when it lasts longer than the lease of this node's waiters (10 s), the place in the queue.
    ///
    /// # Errors
    /// As [`Self::try_acquire`]; [`Error::QueueFull`].
    /// # Cancel safety
    /// Cancel safe, but for the place in the queue.
    pub async fn acquire(
        &self,
        request: &LockRequest,
        wait: Duration,
    ) -> Result<Option<Grant>, Error> {
        let names = self.names(&request.store, &request.resource)?;
        check(request)?;
        let taken = self.try_take(&names, request).await?;
        if taken.is_some() || wait.is_zero() {
            return Ok(taken);
        }
        self.wait_for(&names, request, wait).await
    }

    /// Gives the lock its full time again, and returns that, counted from when it was asked for.
    ///
    /// # Errors
    /// [`Error::NotHeld`] when its lease ended, or somebody else has it; [`Error::UnknownStore`],
    /// [`Error::Unavailable`].
    /// # Cancel safety
    /// Cancel safe.
    pub async fn renew(
        &self,
        store: &str,
        resource: &str,
        owner: &str,
        token: u64,
    ) -> Result<Duration, Error> {
        let names = self.names(store, resource)?;
        let not_held = |holder: Option<LockInfo>| {
            let (resource, owner) = (resource.to_owned(), owner.to_owned());
            Err(Error::NotHeld { resource, owner, holder: holder.map(Box::new) })
        };
        let Some(entry) = self.engine.get(&names.held).await? else { return not_held(None) };
        let record = Record::decode(resource, &entry.value)?;
        if entry.created.0 != token || record.owner != owner {
            return not_held(Some(record.info(resource, &entry)));
        }
        let renewed = match entry.lease {
            Some(lease) => self.engine.renew(lease).await,
            // An engine that does not name the lease gives the lock its time again when it is put again.
            None => {
                let transaction = Transaction::default()
                    .when(names.held.clone(), Is::CreatedAt(entry.created))
                    .and_put(names.held.clone(), entry.value, Life::Ttl(record.ttl()));
                match self.engine.commit(transaction).await {
                    Ok(Outcome::Refused { .. }) => return not_held(None),
                    done => done.map(|_| record.ttl()),
                }
            }
        };
        match renewed {
            Ok(_) => {
                self.upkeep.bind(record.instance(), &names.held, token, record.ttl());
                Ok(record.ttl())
            }
            Err(kv::Error::LeaseGone(_)) => not_held(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives the lock back, if `owner` has it, under `token` if one is given.
    ///
    /// # Errors
    /// [`Error::UnknownStore`], [`Error::Unavailable`], [`Error::Unknown`].
    /// # Cancel safety
    /// Not cancel safe.
    pub async fn release(
        &self,
        store: &str,
        resource: &str,
        owner: &str,
        token: Option<u64>,
    ) -> Result<Released, Error> {
        let names = self.names(store, resource)?;
        let mut found = self.engine.get(&names.held).await?;
        loop {
            let Some(entry) = found else { return Ok(Released::Missing) };
            let record = Record::decode(resource, &entry.value)?;
            if record.owner != owner || token.is_some_and(|token| token != entry.created.0) {
                return Ok(Released::OthersLock(Box::new(record.info(resource, &entry))));
            }
            match self.engine.commit(upkeep::giving_back(&names.held, entry.created)).await? {
                Outcome::Committed { .. } => {
                    self.upkeep.unbind(record.instance(), &names.held);
                    return Ok(Released::Done);
                }
                // It ended by itself in between: what is there is looked at, and is a later grant.
                Outcome::Refused { found: mut other, .. } => found = other.pop().flatten(),
            }
        }
    }

    /// Who holds the lock, and for how long; `None`: nobody.
    ///
    /// # Errors
    /// [`Error::UnknownStore`], [`Error::Unavailable`].
    /// # Cancel safety
    /// Cancel safe.
    pub async fn look(&self, store: &str, resource: &str) -> Result<Option<LockInfo>, Error> {
        let names = self.names(store, resource)?;
        let Some(entry) = self.engine.get(&names.held).await? else { return Ok(None) };
        let mut info = Record::decode(resource, &entry.value)?.info(resource, &entry);
        if let Some(lease) = entry.lease {
            match self.engine.lease(lease).await {
                Ok(status) => info.remaining = Some(status.remaining),
                Err(kv::Error::LeaseGone(_)) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Some(info))
    }

    /// The locks that are held and whose resource begins with `prefix`, in order, `limit` at most.
    ///
    /// # Errors
    /// As [`Self::look`].
    /// # Cancel safety
    /// Cancel safe.
    pub async fn list(
        &self,
        store: &str,
        prefix: &str,
        limit: usize,
    ) -> Result<Vec<LockInfo>, Error> {
        let store = self.settings(store)?;
        let root = self.engine.key(&["lock", store.namespace(), "held", ""]);
        let range = Range::prefix(format!("{root}{prefix}").into());
        let (entries, ..) = self.engine.all(&range, limit).await?;
        entries.iter().map(|entry| record::read(&root, entry)).collect()
    }

    /// Watches one lock, or all of the store: first tells who holds them, then what changes.
    ///
    /// # Errors
    /// As [`Self::look`].
    /// # Cancel safety
    /// Cancel safe.
    pub async fn watch(&self, store: &str, resource: Option<&str>) -> Result<LockWatch, Error> {
        let settings = self.settings(store)?;
        if let Some(resource) = resource {
            self.names(store, resource)?;
        }
        let root = self.engine.key(&["lock", settings.namespace(), "held", ""]);
        LockWatch::begin(Arc::clone(&self.engine), root, resource).await
    }

    /// Asks to lead until `wait` is over: [`Self::acquire`] by another name.
    ///
    /// # Errors
    /// As [`Self::acquire`].
    /// # Cancel safety
    /// As [`Self::acquire`].
    pub async fn campaign(
        &self,
        candidate: &Candidate,
        wait: Duration,
    ) -> Result<Option<Grant>, Error> {
        self.acquire(candidate, wait).await
    }

    /// Stops to lead: [`Self::release`] by another name.
    ///
    /// # Errors
    /// As [`Self::release`].
    /// # Cancel safety
    /// Not cancel safe.
    pub async fn resign(
        &self,
        store: &str,
        election: &str,
        owner: &str,
        token: u64,
    ) -> Result<Released, Error> {
        self.release(store, election, owner, Some(token)).await
    }

    /// Watches who leads: [`Self::watch`] by another name.
    ///
    /// # Errors
    /// As [`Self::watch`].
    /// # Cancel safety
    /// Cancel safe.
    pub async fn observe(&self, store: &str, election: &str) -> Result<LockWatch, Error> {
        self.watch(store, Some(election)).await
    }

    /// What a transaction of the engine has to ask so that it is done only while this lock is held under this token.
    ///
    /// # Errors
    /// [`Error::UnknownStore`], [`Error::Invalid`] and [`Error::TooLarge`] for names.
    pub fn condition(&self, fence: &Fence) -> Result<kv::Condition, Error> {
        let key = fence_key(&self.engine, &self.stores.borrow(), fence)?;
        Ok(kv::Condition { key: key.into(), is: Is::CreatedAt(kv::Revision(fence.token)) })
    }

    fn names(&self, store: &str, resource: &str) -> Result<Names, Error> {
        let stores = self.stores.borrow();
        let namespace = find(&stores, store)?.namespace();
        check_text("the name of a lock", resource, LOCK_NAME_LEN_MAX)?;
        Ok(Names {
            resource: resource.to_owned(),
            held: self.engine.key(&["lock", namespace, "held", resource]),
            queue: format!("{}\0", self.engine.key(&["lock", namespace, "wait", resource])),
            gone: format!("{}\0", self.engine.key(&["lock", namespace, "gone", resource])),
        })
    }
}

impl Names {
    fn queue_range(&self) -> Range {
        Range::prefix(self.queue.clone().into())
    }
}

/// The key in the engine of the lock that a write depends on.
pub(crate) fn fence_key(engine: &Engine, stores: &Stores, fence: &Fence) -> Result<String, Error> {
    let namespace = find(stores, &fence.store)?.namespace();
    check_text("the name of a lock", &fence.resource, LOCK_NAME_LEN_MAX)?;
    Ok(engine.key(&["lock", namespace, "held", &fence.resource]))
}

fn find<'s>(stores: &'s Stores, name: &str) -> Result<&'s LockStore, Error> {
    find_store(StoreKind::Lock, &stores.locks, |store| &store.name, name)
}

fn check(request: &LockRequest) -> Result<(), Error> {
    check_text("the owner of a lock", &request.owner, OWNER_LEN_MAX)?;
    kv::check_ttl(request.ttl)?;
    let (size, limit) = (request.value.len(), LOCK_VALUE_LEN_MAX);
    if size > limit {
        return Err(Error::TooLarge { what: "bytes in the value of a lock", size, limit });
    }
    Ok(())
}

/// Names of locks end up in keys where a control character separates them from what follows.
fn check_text(what: &'static str, text: &str, limit: usize) -> Result<(), Error> {
    if text.is_empty() || text.contains(char::is_control) {
        let message = format!("{what} must not be empty, nor have control characters in it");
        return Err(Error::Invalid(message));
    }
    if text.len() > limit {
        return Err(Error::TooLarge { what: "bytes in a name", size: text.len(), limit });
    }
    Ok(())
}

/// The instance of a lock that is bound to one.
type Bound = Option<InstanceId>;
