//! State and cache: values under keys, with etags, time to live, transactions and watches.
//!
//! A durable store and a cache answer alike, and the same model tests both. What differs: a cache is this
//! node's own, forgets what it has no room for, and cannot check fences.

use crate::{
    config::{StateStore, StoreKind, Stores},
    engine::Engine,
    error::Error,
};
use base::{ServiceName, Timestamp};
use ports::kv;
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;

mod cache;
mod durable;
mod plan;
mod record;
mod vocabulary;
mod watching;

#[cfg(test)]
mod tests;

pub(crate) use cache::Cache;
use durable::Durable;
pub use vocabulary::{
    CONTENT_TYPE_LEN_MAX, CacheStats, Etag, Fence, Item, KEY_LEN_MAX, Match, OPERATIONS_MAX,
    SCAN_MAX, Scan, StateChange, StateEvent, StateOp, Ttl, VALUE_LEN_MAX, Write,
};
pub use watching::StateWatch;

/// Most bytes of values that reading several keys gives, give or take a few values: what one request may take of the
/// node's memory.
pub const MANY_SIZE_MAX: usize = 32 << 20;

/// Keys that are read together, so that the bound above is noticed in time.
const MANY_AT_A_TIME: usize = 16;

/// A store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct State {
    store: Arc<StateStore>,
    place: Place,
}

#[derive(Clone, Debug)]
enum Place {
    Engine(Durable),
    Memory(Arc<Cache>),
}

impl State {
    pub(crate) fn durable(
        store: StateStore,
        engine: &Arc<Engine>,
        stores: &watch::Receiver<Arc<Stores>>,
    ) -> Self {
        let root = engine.key(&["state", store.namespace(), ""]).into();
        let (engine, stores, ttl) = (Arc::clone(engine), stores.clone(), store.ttl);
        let place = Place::Engine(Durable { engine, stores, root, ttl });
        Self { store: Arc::new(store), place }
    }

    pub(crate) fn cache(store: StateStore, cache: Arc<Cache>) -> Self {
        Self { store: Arc::new(store), place: Place::Memory(cache) }
    }

    /// What it is called and how it is set up.
    #[must_use]
    pub fn settings(&self) -> &StateStore {
        &self.store
    }

    /// [`StoreKind::State`] or [`StoreKind::Cache`].
    #[must_use]
    pub fn kind(&self) -> StoreKind {
        match self.place {
            Place::Engine(_) => StoreKind::State,
            Place::Memory(_) => StoreKind::Cache,
        }
    }

    /// `key` of `service` with the store's prefix, as the other methods want it.
    #[must_use]
    pub fn key(&self, service: &ServiceName, key: &str) -> String {
        self.store.prefix.apply(service, &self.store.name, key)
    }

    /// The caller's part of a key, if it is one of `service`'s.
    #[must_use]
    pub fn strip<'k>(&self, service: &ServiceName, key: &'k str) -> Option<&'k str> {
        self.store.prefix.strip(service, &self.store.name, key)
    }

    /// Reads a key.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::Invalid`], [`Error::Unavailable`], [`Error::Damaged`].
    /// # Cancel safety
    /// Cancel safe.
    pub async fn get(&self, key: &str) -> Result<Option<Item>, Error> {
        match &self.place {
            Place::Engine(store) => store.get(key).await,
            Place::Memory(cache) => cache.get(key),
        }
    }

    /// Reads keys, each for itself; the answers are in their order. When the values come to more than
    /// [`MANY_SIZE_MAX`], the keys behind that are [`Error::TooLarge`], to be asked for again. When the engine goes away
    /// in between, the rest is not tried.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn get_many(&self, keys: &[String]) -> Vec<Result<Option<Item>, Error>> {
        let (mut found, mut size) = (Vec::with_capacity(keys.len()), 0);
        let mut outage: Option<Error> = None;
        for keys in keys.chunks(MANY_AT_A_TIME) {
            if let Some(outage) = &outage {
                found.extend(keys.iter().map(|_| Err(outage.clone())));
                continue;
            }
            if size >= MANY_SIZE_MAX {
                let what = "bytes of values at once (ask for fewer keys)";
                let limit = MANY_SIZE_MAX;
                found.extend(keys.iter().map(|_| Err(Error::TooLarge { what, size, limit })));
                continue;
            }
            let some = match &self.place {
                Place::Engine(store) => store.get_many(keys).await,
                Place::Memory(cache) => keys.iter().map(|key| cache.get(key)).collect(),
            };
            let items = some.iter().filter_map(|one| one.as_ref().ok()?.as_ref());
            size += items.map(|item| item.value.len()).sum::<usize>();
            outage =
                some.iter().find_map(|one| one.as_ref().err().filter(|e| e.is_outage()).cloned());
            found.extend(some);
        }
        found
    }

    /// Writes a value if its conditions hold, in one step, and returns its etag.
    ///
    /// # Errors
    /// [`Error::Conflict`], [`Error::Stale`]; [`Error::TooLarge`] and [`Error::Invalid`] for what no store takes;
    /// [`Error::Unsupported`] for a fence on a cache; [`Error::Unavailable`], [`Error::Unknown`].
    /// # Cancel safety
    /// Not cancel safe: a dropped call may or may not have been applied.
    pub async fn put(&self, write: Write) -> Result<Etag, Error> {
        match &self.place {
            Place::Engine(store) => store.put(write).await,
            Place::Memory(cache) => cache.put(write, self.store.ttl),
        }
    }

    /// Deletes a key if the conditions hold, in one step, and returns whether it was there. Asking for
    /// [`Match::Etag`] of a missing key is a conflict; asking for [`Match::Missing`] of one that is there, too.
    ///
    /// # Errors
    /// As [`Self::put`].
    /// # Cancel safety
    /// Not cancel safe.
    pub async fn delete(
        &self,
        key: &str,
        etag: Match,
        fence: Option<Fence>,
    ) -> Result<bool, Error> {
        match &self.place {
            Place::Engine(store) => store.delete(key, etag, fence).await,
            Place::Memory(cache) => cache.delete(key, etag, fence),
        }
    }

    /// Writes values, each for itself, as if one after the other; the answers are in their order. Some may be
    /// applied and others not.
    ///
    /// # Cancel safety
    /// Not cancel safe.
    pub async fn put_many(&self, writes: Vec<Write>) -> Vec<Result<Etag, Error>> {
        match &self.place {
            Place::Engine(store) => store.put_many(writes).await,
            Place::Memory(cache) => {
                writes.into_iter().map(|write| cache.put(write, self.store.ttl)).collect()
            }
        }
    }

    /// Does all or nothing, as if one after the other. Returns the etags that the puts made, in order, with `None`
    /// for deletions and for puts that a later step of the transaction replaced.
    ///
    /// At most [`OPERATIONS_MAX`] keys, and as many conditions (etags and different fences).
    ///
    /// # Errors
    /// As [`Self::put`]; [`Error::Conflict`] names the first key that did not match.
    /// # Cancel safety
    /// Not cancel safe.
    pub async fn transact(&self, operations: Vec<StateOp>) -> Result<Vec<Option<Etag>>, Error> {
        self.transact_beside(operations, Vec::new()).await
    }

    /// As [`Self::transact`], and does `beside` in the same transaction of the engine: others' keys, such as messages that
    /// shall be there exactly when the values are. They count as operations.
    ///
    /// # Errors
    /// As [`Self::transact`]; [`Error::Unsupported`] for a cache, which has no engine to share.
    /// # Cancel safety
    /// Not cancel safe.
    pub async fn transact_beside(
        &self,
        operations: Vec<StateOp>,
        beside: Vec<kv::Operation>,
    ) -> Result<Vec<Option<Etag>>, Error> {
        match &self.place {
            Place::Engine(store) => store.transact(operations, beside).await,
            Place::Memory(_) if !beside.is_empty() => {
                let what =
                    "a cache has no transaction of the engine that something could be part of";
                Err(Error::Unsupported(what.to_owned()))
            }
            Place::Memory(cache) => cache.transact(operations, self.store.ttl),
        }
    }

    /// What `operations` come to as a transaction of the engine, for others to commit with something of their own. Nothing
    /// is done here.
    ///
    /// # Errors
    /// [`Error::TooLarge`] and [`Error::Invalid`] for what no store takes; [`Error::Unsupported`] for a cache.
    pub fn transaction(&self, operations: Vec<StateOp>) -> Result<kv::Transaction, Error> {
        match &self.place {
            Place::Engine(store) => store.transaction(operations),
            Place::Memory(_) => {
                let what = "a cache has no transaction of the engine that something could share";
                Err(Error::Unsupported(what.to_owned()))
            }
        }
    }

    /// Reads the keys that begin with `prefix`, in order, behind `after`: at most `limit`, 1 to [`SCAN_MAX`]. There
    /// may be fewer although there are more; [`Scan::next`] tells.
    ///
    /// # Errors
    /// As [`Self::get`].
    /// # Cancel safety
    /// Cancel safe.
    pub async fn scan(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Scan, Error> {
        match &self.place {
            Place::Engine(store) => store.scan(prefix, after, limit).await,
            Place::Memory(cache) => Ok(cache.scan(prefix, after, limit)),
        }
    }

    /// Watches the keys that begin with `prefix`: what happens after this call, or after the revision `after`.
    ///
    /// # Errors
    /// [`Error::Unavailable`]; [`Error::Compacted`], here or at the first [`StateWatch::next`], when what happened
    /// after `after` is forgotten: scan, and watch after [`Scan::revision`].
    /// # Cancel safety
    /// Cancel safe.
    pub async fn watch(&self, prefix: &str, after: Option<u64>) -> Result<StateWatch, Error> {
        match &self.place {
            Place::Engine(store) => StateWatch::of_engine(store.clone(), prefix, after).await,
            Place::Memory(cache) => StateWatch::of_memory(cache, prefix, after),
        }
    }

    /// How full it is, if it is a cache.
    #[must_use]
    pub fn cache_stats(&self) -> Option<CacheStats> {
        match &self.place {
            Place::Engine(_) => None,
            Place::Memory(cache) => Some(cache.stats()),
        }
    }
}

/// How long a write stays; `None`: endless. Whole seconds, rounded up, as the engine has them.
fn time_to_live(asked: Ttl, of_store: Option<Duration>) -> Result<Option<Duration>, Error> {
    let ttl = match asked {
        Ttl::Store => of_store,
        Ttl::Endless => None,
        Ttl::After(ttl) => Some(ttl),
    };
    let Some(ttl) = ttl.filter(|ttl| !ttl.is_zero()) else { return Ok(None) };
    let ttl = Duration::from_secs(ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0));
    kv::check_ttl(ttl)?;
    Ok(Some(ttl))
}

/// When what is written now ends.
fn expiry(now: Timestamp, ttl: Duration) -> Timestamp {
    Timestamp(now.0.saturating_add(u64::try_from(ttl.as_micros()).unwrap_or(u64::MAX)))
}

/// What is wrong if a key was found like this.
fn mismatch(key: &str, expected: Match, found: Option<Etag>) -> Option<Error> {
    let is_match = match expected {
        Match::Any => true,
        Match::Missing => found.is_none(),
        Match::Etag(etag) => found == Some(etag),
    };
    let expected = match expected {
        Match::Etag(etag) => Some(etag.to_string()),
        Match::Any | Match::Missing => None,
    };
    let found = found.map(|etag| etag.to_string());
    (!is_match).then(|| Error::Conflict { key: key.to_owned(), expected, found })
}
