//! Configuration: values, and subscriptions to their changes.

use super::{any_store, words};
use crate::app::{Caller, Shared, fault::Fault};
use base::{InstanceId, Timestamp};
use coordination::{ConfigItem, ConfigWatch, Error, Select, StoreKind};
use runtime::Stop;
use serde::Serialize;
use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::{OwnedSemaphorePermit, watch};

/// A value, as it is on the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Item {
    pub(crate) value: String,
    pub(crate) version: String,
    pub(crate) metadata: BTreeMap<String, String>,
}

impl From<ConfigItem> for Item {
    fn from(item: ConfigItem) -> Self {
        let version = item.version.to_string();
        Self { value: item.value, version, metadata: item.metadata }
    }
}

/// Whether the store is there for the caller.
pub(crate) fn check(shared: &Shared, caller: &Caller, store: &str) -> Result<(), Fault> {
    let kind = StoreKind::Configuration;
    let is_there = shared.coordination.configuration().settings(store).is_ok()
        && shared.backend.may_use(&caller.id.service, kind, store);
    match is_there {
        true => Ok(()),
        false if any_store(shared, caller, &[kind]) => Err(Fault::no_configuration_store(store)),
        false => Err(Fault::no_configuration_stores()),
    }
}

/// The values of `keys`, of all keys when there are none.
pub(crate) async fn get(
    shared: &Shared,
    caller: &Caller,
    store: &str,
    keys: &[String],
) -> Result<BTreeMap<String, Item>, Fault> {
    check(shared, caller, store)?;
    let read = shared.coordination.configuration().get(store, &Select::keys(keys)).await;
    let read = read.map_err(|e| Fault::configuration_get(store, keys, words(&e)).of(&e))?;
    Ok(read.items.into_iter().map(|(key, item)| (key, item.into())).collect())
}

/// Subscribes to changes of `keys`, of all keys when there are none.
pub(crate) async fn subscribe(
    shared: &Shared,
    caller: &Caller,
    store: &str,
    keys: &[String],
) -> Result<Updates, Fault> {
    check(shared, caller, store)?;
    let refuse = |e: Error| Fault::configuration_subscribe(store, keys, words(&e)).of(&e);
    let permit = shared.streams.clone().try_acquire_owned();
    let permit = permit.map_err(|_full| Fault::busy(shared.streams_max))?;
    let configuration = shared.coordination.configuration();
    let watch = configuration.watch(store, Select::keys(keys), None).await.map_err(refuse)?;
    Ok(shared.subscriptions.add(&caller.id, store, watch, shared.stop.clone(), permit))
}

/// Ends a subscription of the caller.
///
/// # Errors
/// The words for the answer, when it has none of this name.
pub(crate) fn unsubscribe(
    shared: &Shared,
    caller: &Caller,
    store: &str,
    id: &str,
) -> Result<(), String> {
    if shared.subscriptions.end(&caller.id, store, id) {
        return Ok(());
    }
    Err(format!(
        "failed to unsubscribe to configuration request {id}: subscription with id {id} does not exist"
    ))
}

/// The subscriptions of all instances.
pub(crate) struct Subscriptions {
    all: Arc<Mutex<HashMap<String, Entry>>>,
    /// Tells the subscriptions of this node from those of an earlier one.
    started_at: Timestamp,
    next: AtomicU64,
}

struct Entry {
    instance: InstanceId,
    store: String,
    /// Dropped to end it.
    _living: watch::Sender<()>,
}

impl Subscriptions {
    pub(crate) fn new(started_at: Timestamp) -> Self {
        Self { all: Arc::default(), started_at, next: AtomicU64::new(1) }
    }

    fn add(
        &self,
        instance: &InstanceId,
        store: &str,
        watch: ConfigWatch,
        stop: Stop,
        permit: OwnedSemaphorePermit,
    ) -> Updates {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let id = format!("{:x}-{number}", self.started_at.millis());
        let (living, ended) = watch::channel(());
        let entry = Entry { instance: instance.clone(), store: store.to_owned(), _living: living };
        lock(&self.all).insert(id.clone(), entry);
        Updates { id, watch, ended, stop, all: self.all.clone(), _permit: permit }
    }

    fn end(&self, instance: &InstanceId, store: &str, id: &str) -> bool {
        let mut all = lock(&self.all);
        let is_own =
            all.get(id).is_some_and(|entry| entry.instance == *instance && entry.store == store);
        is_own && all.remove(id).is_some()
    }

    /// Ends those of an instance that has ended.
    pub(crate) fn forget(&self, instance: &InstanceId) {
        lock(&self.all).retain(|_, entry| entry.instance != *instance);
    }
}

fn lock(all: &Mutex<HashMap<String, Entry>>) -> std::sync::MutexGuard<'_, HashMap<String, Entry>> {
    // A panic between two accesses leaves a whole map.
    all.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a subscription brings. Dropping it ends it.
pub(crate) struct Updates {
    pub(crate) id: String,
    watch: ConfigWatch,
    ended: watch::Receiver<()>,
    stop: Stop,
    all: Arc<Mutex<HashMap<String, Entry>>>,
    _permit: OwnedSemaphorePermit,
}

impl Updates {
    /// The next change; `None` when the subscription or the node has ended. A key that was deleted comes with an empty
    /// value.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn next(&mut self) -> Option<BTreeMap<String, Item>> {
        let change = tokio::select! {
            biased;
            () = self.stop.wait() => None,
            _ended = self.ended.changed() => None,
            change = self.watch.next() => change,
        }?;
        let item = |item: Option<ConfigItem>| item.map(Item::from).unwrap_or_default();
        Some(change.items.into_iter().map(|(key, value)| (key, item(value))).collect())
    }
}

impl Drop for Updates {
    fn drop(&mut self) {
        lock(&self.all).remove(&self.id);
    }
}
