//! Coordination as others use it.

use crate::{
    Configuration, EngineHealth, Error, Locks, Secrets, State,
    config::{Config, StateKind, StateStore, StoreInfo, StoreKind, Stores, check_name, find_store},
    configuration::write_initial,
    engine::Engine,
    locks::Upkeep,
    secrets::keep_fresh,
    state::Cache,
};
use base::InstanceId;
use runtime::{Clock, Stop, TaskSet};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::watch;

#[cfg(test)]
mod tests;

/// How often caches are looked through for values whose time has come. Nobody reads them before; their memory, and who
/// watches them, may wait this long.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Coordination of one node. Dropping it ends its tasks at once.
#[derive(Debug)]
pub struct Service {
    tasks: TaskSet,
}

/// Steers coordination. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    engine: Arc<Engine>,
    clock: Clock,
    stores: watch::Sender<Arc<Stores>>,
    /// By namespace.
    caches: Mutex<BTreeMap<String, Arc<Cache>>>,
    upkeep: Arc<Upkeep>,
    locks: Locks,
    configuration: Configuration,
    secrets: Secrets,
    /// Of which stores the initial values have been written.
    written: watch::Sender<Option<Arc<Stores>>>,
}

impl Service {
    /// Starts it. It does not wait for the engine: what needs one is [`Error::Unavailable`] until it is there. Needs
    /// a tokio runtime. Reads the files of secrets, so it blocks for a moment.
    ///
    /// # Errors
    /// [`Error::Invalid`] for names, [`Error::SecretFile`].
    pub fn start(config: Config) -> Result<(Self, Handle), Error> {
        check_name("the name of a system", &config.system)?;
        check_name("the name of a node", &config.node)?;
        let clock = config.clock;
        let engine = Arc::new(Engine::new(config.kv, config.place, &config.system, clock));
        let stores = watch::Sender::new(Arc::new(Stores::default()));
        let seen = || (Arc::clone(&engine), stores.subscribe());
        let upkeep = Arc::new(Upkeep::new(Arc::clone(&engine), config.node));
        let (of_locks, of_configuration, of_secrets) = (seen(), seen(), seen());
        let handle = Handle(Arc::new(Inner {
            locks: Locks::new(of_locks.0, of_locks.1, Arc::clone(&upkeep)),
            configuration: Configuration::new(of_configuration.0, of_configuration.1),
            secrets: Secrets::new(of_secrets.0, of_secrets.1, config.key_file),
            engine,
            clock,
            stores,
            caches: Mutex::default(),
            upkeep,
            written: watch::Sender::new(None),
        }));
        handle.apply(config.stores)?;
        let mut tasks = TaskSet::new("coordination");
        handle.spawn(&mut tasks);
        Ok((Self { tasks }, handle))
    }

    /// Ends it: gives back what its callers wait for, and stops its tasks, within `grace`. Locks that are held stay
    /// held for their time, since their holders may outlive the node.
    pub async fn shutdown(self, grace: Duration) {
        self.tasks.shutdown(grace).await;
    }
}

impl Handle {
    /// Takes over other stores. What is in stores that stay, stays; a cache that is not there any more is emptied.
    /// Initial values of configuration are written in the background: see [`Self::settled`]. Blocks for reading files.
    ///
    /// # Errors
    /// As [`Service::start`]; nothing has changed then.
    pub fn apply(&self, stores: Stores) -> Result<(), Error> {
        stores.check()?;
        self.0.secrets.read_files(&stores)?;
        let mut caches = self.0.caches();
        let sizes = cache_sizes(&stores);
        caches.retain(|namespace, _| sizes.contains_key(namespace));
        for (namespace, max) in sizes {
            match caches.get(&namespace) {
                Some(cache) => cache.resize(max),
                None => {
                    caches.insert(namespace, Arc::new(Cache::new(max, self.0.clock)));
                }
            }
        }
        drop(caches);
        self.0.stores.send_replace(Arc::new(stores));
        Ok(())
    }

    /// Waits until the initial values of configuration are written and the copies in memory are read, `patience` at
    /// most. Returns whether they are.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn settled(&self, patience: Duration) -> bool {
        let inner = &self.0;
        let all = async {
            let mut configuration = inner.configuration.mirror().progress();
            let mut secrets = inner.secrets.mirror().progress();
            let mut written = inner.written.subscribe();
            let wanted = Arc::clone(&inner.stores.borrow());
            let is_written = |written: &Option<Arc<Stores>>| {
                written.as_ref().is_some_and(|written| Arc::ptr_eq(written, &wanted))
            };
            configuration.wait_for(|progress| progress.count > 0).await.is_ok()
                && secrets.wait_for(|progress| progress.count > 0).await.is_ok()
                && written.wait_for(is_written).await.is_ok()
        };
        tokio::time::timeout(patience, all).await.unwrap_or(false)
    }

    /// A store for state, durable or a cache.
    ///
    /// # Errors
    /// [`Error::UnknownStore`].
    pub fn state(&self, store: &str) -> Result<State, Error> {
        let stores = self.0.stores.subscribe();
        let settings = {
            let now = stores.borrow();
            find_store(StoreKind::State, &now.state, |known| &known.name, store)?.clone()
        };
        Ok(match settings.kind {
            StateKind::Durable => State::durable(settings, &self.0.engine, &stores),
            StateKind::Cache { .. } => {
                let cache = self.0.cache(&settings);
                State::cache(settings, cache)
            }
        })
    }

    /// Locks and elections.
    #[must_use]
    pub fn locks(&self) -> Locks {
        self.0.locks.clone()
    }

    /// Configuration.
    #[must_use]
    pub fn configuration(&self) -> Configuration {
        self.0.configuration.clone()
    }

    /// Secrets.
    #[must_use]
    pub fn secrets(&self) -> Secrets {
        self.0.secrets.clone()
    }

    /// All stores, in the order of kinds and names.
    #[must_use]
    pub fn stores(&self) -> Vec<StoreInfo> {
        let stores = Arc::clone(&self.0.stores.borrow());
        let plain = |name: &str, kind: StoreKind, namespace: &str| StoreInfo {
            name: name.to_owned(),
            kind,
            namespace: namespace.to_owned(),
            cache: None,
        };
        let state = stores.state.iter().map(|store| match store.kind {
            StateKind::Durable => plain(&store.name, StoreKind::State, store.namespace()),
            StateKind::Cache { .. } => StoreInfo {
                cache: Some(self.0.cache(store).stats()),
                ..plain(&store.name, StoreKind::Cache, store.namespace())
            },
        });
        let locks = stores.locks.iter();
        let locks = locks.map(|store| plain(&store.name, StoreKind::Lock, store.namespace()));
        let configuration = stores.configuration.iter();
        let configuration = configuration
            .map(|store| plain(&store.name, StoreKind::Configuration, store.namespace()));
        let secrets = stores.secrets.iter().map(|store| plain(&store.name, StoreKind::Secret, ""));
        let mut all: Vec<_> = state.chain(locks).chain(configuration).chain(secrets).collect();
        all.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
        all
    }

    /// How the engine is; looked at every few seconds.
    #[must_use]
    pub fn engine(&self) -> EngineHealth {
        self.0.engine.health()
    }

    /// Releases the locks that are bound to an instance of this node, in the background. To be called when a run of it
    /// has ended, and before the next begins.
    pub fn instance_ended(&self, instance: &InstanceId) {
        self.0.upkeep.instance_ended(instance);
    }

    fn spawn(&self, tasks: &mut TaskSet) {
        let inner = &self.0;
        let engine = Arc::clone(&inner.engine);
        tasks.spawn("kv engine", |stop| engine.look_after(stop));
        let upkeep = Arc::clone(&inner.upkeep);
        tasks.spawn("lock waiters", |stop| upkeep.keep_session(stop));
        let upkeep = Arc::clone(&inner.upkeep);
        tasks.spawn("lock upkeep", |stop| upkeep.clean(stop));
        let mirror = Arc::clone(inner.configuration.mirror());
        tasks.spawn("configuration", |stop| mirror.run(stop));
        let mirror = Arc::clone(inner.secrets.mirror());
        tasks.spawn("stored secrets", |stop| mirror.run(stop));
        let secrets = inner.secrets.clone();
        tasks.spawn("secrets", |stop| keep_fresh(secrets, stop));
        let (configuration, written) = (inner.configuration.clone(), inner.written.clone());
        let stores = inner.stores.subscribe();
        tasks.spawn("initial configuration", |stop| {
            write_initial(configuration, stores, written, stop)
        });
        let caches = Arc::clone(inner);
        tasks.spawn("caches", |stop| sweep(caches, stop));
    }
}

impl Inner {
    fn caches(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Cache>>> {
        self.caches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The cache of a store. Should another `apply` have just taken it away, an empty one that nobody else has.
    fn cache(&self, store: &StateStore) -> Arc<Cache> {
        let cache = self.caches().get(store.namespace()).cloned();
        cache.unwrap_or_else(|| Arc::new(Cache::new(0, self.clock)))
    }
}

/// How much the caches may take, by namespace: of several names for one the largest.
fn cache_sizes(stores: &Stores) -> BTreeMap<String, u64> {
    let mut sizes = BTreeMap::new();
    for store in &stores.state {
        if let StateKind::Cache { max } = store.kind {
            let size = sizes.entry(store.namespace().to_owned()).or_insert(max.0);
            *size = (*size).max(max.0);
        }
    }
    sizes
}

/// Removes from caches what has expired, until it shall end.
async fn sweep(inner: Arc<Inner>, mut stop: Stop) {
    while tokio::time::timeout(SWEEP_EVERY, stop.wait()).await.is_err() {
        let caches: Vec<Arc<Cache>> = inner.caches().values().cloned().collect();
        for cache in caches {
            while cache.sweep() {
                // Others may want the cache, or this thread.
                tokio::task::yield_now().await;
            }
        }
    }
}
