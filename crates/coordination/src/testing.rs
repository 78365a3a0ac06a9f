//! What the tests of this crate share: coordination over an engine in memory, and an engine that can fall silent.

use crate::{Config, Handle, Service, Stores};
use async_trait::async_trait;
use base::Timestamp;
use ports::kv::{
    Capabilities, Entry, Error, Kv, Lease, LeaseId, LeaseStatus, Outcome, Page, Range, Revision,
    Snapshot, Status, Transaction, Watch, conformance::Memory,
};
use runtime::Clock;
use std::{
    future::Future,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

/// How long a test waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// An engine that counts its calls, and can fall silent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Engine {
    pub(crate) memory: Memory,
    is_silent: Arc<AtomicBool>,
    is_deaf: Arc<AtomicBool>,
    /// Commits that are under way for so long that nobody waits for them any more; `None`: they are done at once.
    pub(crate) late: Arc<Mutex<Option<Vec<Transaction>>>>,
    /// What reads of one key find, whatever is there.
    pub(crate) seen: Arc<Mutex<Option<Entry>>>,
    pub(crate) reads: Arc<AtomicUsize>,
    pub(crate) writes: Arc<AtomicUsize>,
}

impl Engine {
    /// Whether it gives no answer at all.
    pub(crate) fn set_silent(&self, is_silent: bool) {
        self.is_silent.store(is_silent, Ordering::SeqCst);
    }

    /// Whether it makes commits and gives no answer to them.
    pub(crate) fn set_deaf(&self, is_deaf: bool) {
        self.is_deaf.store(is_deaf, Ordering::SeqCst);
    }

    /// How many reads and writes there were since the last time this was asked.
    pub(crate) fn calls(&self) -> (usize, usize) {
        (self.reads.swap(0, Ordering::SeqCst), self.writes.swap(0, Ordering::SeqCst))
    }

    async fn count(&self, counter: &AtomicUsize) {
        counter.fetch_add(1, Ordering::SeqCst);
        if self.is_silent.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
    }
}

#[async_trait]
impl Kv for Engine {
    fn capabilities(&self) -> Capabilities {
        self.memory.capabilities()
    }

    async fn get(&self, key: &[u8]) -> Result<Option<Entry>, Error> {
        self.count(&self.reads).await;
        let seen = self.seen.lock().unwrap().clone();
        if seen.is_some() { Ok(seen) } else { self.memory.get(key).await }
    }

    async fn range(&self, range: &Range, limit: usize) -> Result<Page, Error> {
        self.count(&self.reads).await;
        self.memory.range(range, limit).await
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, Error> {
        self.count(&self.reads).await;
        self.memory.snapshot().await
    }

    async fn commit(&self, transaction: Transaction) -> Result<Outcome, Error> {
        self.count(&self.writes).await;
        let is_late = match &mut *self.late.lock().unwrap() {
            Some(late) => {
                late.push(transaction.clone());
                true
            }
            None => false,
        };
        if is_late {
            std::future::pending::<()>().await;
        }
        let done = self.memory.commit(transaction).await;
        if self.is_deaf.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        done
    }

    async fn grant(&self, ttl: Duration) -> Result<Lease, Error> {
        self.count(&self.writes).await;
        self.memory.grant(ttl).await
    }

    async fn renew(&self, lease: LeaseId) -> Result<Duration, Error> {
        self.count(&self.reads).await;
        self.memory.renew(lease).await
    }

    async fn revoke(&self, lease: LeaseId) -> Result<(), Error> {
        self.count(&self.writes).await;
        self.memory.revoke(lease).await
    }

    async fn lease(&self, lease: LeaseId) -> Result<LeaseStatus, Error> {
        self.count(&self.reads).await;
        self.memory.lease(lease).await
    }

    async fn watch(&self, range: Range, from: Option<Revision>) -> Result<Box<dyn Watch>, Error> {
        self.count(&self.reads).await;
        self.memory.watch(range, from).await
    }

    async fn compact(&self, revision: Revision) -> Result<(), Error> {
        self.count(&self.writes).await;
        self.memory.compact(revision).await
    }

    async fn status(&self) -> Result<Status, Error> {
        self.count(&self.reads).await;
        self.memory.status().await
    }
}

/// A node on an engine in memory.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) engine: Engine,
    pub(crate) handle: Handle,
    pub(crate) service: Service,
    pub(crate) folder: Arc<tempfile::TempDir>,
}

impl Node {
    /// One with the usual stores.
    pub(crate) fn start() -> Self {
        Self::with(Stores::usual())
    }

    pub(crate) fn with(stores: Stores) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        Self::on(Engine::default(), folder, "one", stores)
    }

    /// Another one on the same engine, with the same key of secrets.
    pub(crate) fn beside(&self, node: &str) -> Self {
        Self::on(self.engine.clone(), Arc::clone(&self.folder), node, Stores::usual())
    }

    pub(crate) fn on(
        engine: Engine,
        folder: Arc<tempfile::TempDir>,
        node: &str,
        stores: Stores,
    ) -> Self {
        let config = Config {
            kv: Arc::new(engine.clone()),
            place: "memory".to_owned(),
            system: "shop".to_owned(),
            node: node.to_owned(),
            key_file: folder.path().join("secrets.key"),
            clock: Clock::simulated(Timestamp(1_700_000_000_000_000)),
            stores,
        };
        let (service, handle) = Service::start(config).unwrap();
        Self { engine, handle, service, folder }
    }
}

/// Waits until `is_so`, which something in the background brings about.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "in vain: {what}");
}

/// Waits for what must come.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let come = tokio::time::timeout(PATIENCE, future).await;
    come.unwrap_or_else(|_| panic!("in vain: {what}"))
}
