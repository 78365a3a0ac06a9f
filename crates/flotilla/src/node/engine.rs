//! The kv engine that the file asks for.

use super::stores;
use async_trait::async_trait;
use base::{Code, Diagnostic, ErrorChain};
use manifest::{KvEngine, System};
use ports::kv::{
    Capabilities, Entry, Error, Kv, Lease, LeaseId, LeaseStatus, Outcome, Page, Range, Revision,
    Snapshot, Status, Transaction, Watch,
};
use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

/// Where the embedded engine keeps its files, below the state folder.
const FOLDER: &str = "data/kv";

/// An engine, and what must be closed in the end.
pub(super) struct Engine {
    pub(super) kv: Arc<dyn Kv>,
    /// Where it is, for people.
    pub(super) place: String,
    /// Why there is none that works.
    pub(super) problem: Option<Diagnostic>,
    running: Running,
}

enum Running {
    Embedded(adapter_embedded::kv::Service),
    /// One without tasks or files of its own, or none that works.
    Nothing,
}

impl Engine {
    /// Opens it. One that cannot be opened refuses everything, with the reason: traffic does not need it.
    pub(super) async fn open(
        system: &System,
        state_dir: &Path,
        environment: &BTreeMap<String, String>,
    ) -> Self {
        match &system.coordination.kv {
            KvEngine::Embedded => embedded(state_dir).await,
            KvEngine::Etcd(asked) => etcd(system, asked, environment),
        }
        .unwrap_or_else(|problem| Self::broken(system, *problem))
    }

    fn broken(system: &System, problem: Diagnostic) -> Self {
        let problem = match system.coordination.kv_place.clone() {
            Some(place) => problem.at(place, ""),
            None => problem,
        };
        tracing::error!(code = %problem.code, "{}", problem.message);
        let cause: Box<dyn std::error::Error + Send + Sync> = problem.message.clone().into();
        let cause = Arc::from(cause);
        let place = "this node".to_owned();
        let kv = Arc::new(Broken { place: place.clone(), cause });
        Self { kv, place, problem: Some(problem), running: Running::Nothing }
    }

    /// Closes it; what was acknowledged is kept whatever happens.
    pub(super) async fn close(self) {
        match self.running {
            Running::Embedded(service) => service.shutdown().await,
            Running::Nothing => {}
        }
    }
}

async fn embedded(state_dir: &Path) -> Result<Engine, Box<Diagnostic>> {
    let folder = state_dir.join(FOLDER);
    let place = folder.display().to_string();
    let config = adapter_embedded::kv::Config { folder };
    let opened = runtime::blocking(move || adapter_embedded::kv::Service::open(&config)).await;
    let (service, handle) = opened.map_err(|e| {
        let message = format!("the kv store cannot be opened: {}", ErrorChain(&e));
        let help = "state, locks, configuration and stored secrets are not there until it can; \
            requests are served. `flotilla explain F036` says what can be done";
        Box::new(Diagnostic::error(Code::KV_STORE, message).help(help))
    })?;
    Ok(Engine { kv: Arc::new(handle), place, problem: None, running: Running::Embedded(service) })
}

fn etcd(
    system: &System,
    asked: &manifest::Etcd,
    environment: &BTreeMap<String, String>,
) -> Result<Engine, Box<Diagnostic>> {
    let fail = |message: String| {
        let help =
            "write `engines: { kv: etcd://host:2379 }`, with user and password by `${secret:NAME}`";
        Box::new(Diagnostic::error(Code::KV_STORE, message).help(help))
    };
    let reveal = |text: &str| {
        let sources = stores::secrets(&system.coordination, environment);
        let sources = sources.into_iter().next().map(|store| store.sources).unwrap_or_default();
        let known = coordination::reveal_from(&sources, text);
        known
            .map(|secret| secret.expose().to_owned())
            .map_err(|e| fail(format!("the login of etcd is not known: {}", ErrorChain(&e))))
    };
    let credentials = match &asked.user {
        Some((name, password)) => Some(adapter_etcd::Credentials {
            user: reveal(name)?,
            password: reveal(password.reveal())?,
        }),
        None => None,
    };
    let identity = asked.certificate.clone();
    let config = adapter_etcd::Config {
        endpoints: asked.endpoints.clone(),
        tls: asked.tls.then(|| adapter_etcd::Tls { ca: asked.ca.clone(), identity }),
        credentials,
        prefix: ended(&asked.prefix),
    };
    let place = config.place();
    let etcd = adapter_etcd::Etcd::new(&config);
    let etcd = etcd.map_err(|e| fail(format!("etcd cannot be used: {}", ErrorChain(&e))))?;
    Ok(Engine { kv: Arc::new(etcd), place, problem: None, running: Running::Nothing })
}

/// A prefix with an end, so that `shop` does not share keys with `shopping`.
fn ended(prefix: &str) -> String {
    let trimmed = prefix.trim_end_matches('/');
    if trimmed.is_empty() { String::new() } else { format!("{trimmed}/") }
}

/// An engine that could not be opened.
#[derive(Debug)]
struct Broken {
    place: String,
    cause: Arc<dyn std::error::Error + Send + Sync>,
}

impl Broken {
    fn error(&self) -> Error {
        Error::Unavailable { place: self.place.clone(), cause: Arc::clone(&self.cause) }
    }
}

#[async_trait]
impl Kv for Broken {
    fn capabilities(&self) -> Capabilities {
        // What it would offer if it were open, so that callers learn the reason and not another one.
        Capabilities {
            durable: true,
            transactions: true,
            leases: true,
            watches: true,
            shared: false,
        }
    }

    async fn get(&self, _: &[u8]) -> Result<Option<Entry>, Error> {
        Err(self.error())
    }

    async fn range(&self, _: &Range, _: usize) -> Result<Page, Error> {
        Err(self.error())
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, Error> {
        Err(self.error())
    }

    async fn commit(&self, _: Transaction) -> Result<Outcome, Error> {
        Err(self.error())
    }

    async fn grant(&self, _: Duration) -> Result<Lease, Error> {
        Err(self.error())
    }

    async fn renew(&self, _: LeaseId) -> Result<Duration, Error> {
        Err(self.error())
    }

    async fn revoke(&self, _: LeaseId) -> Result<(), Error> {
        Err(self.error())
    }

    async fn lease(&self, _: LeaseId) -> Result<LeaseStatus, Error> {
        Err(self.error())
    }

    async fn watch(&self, _: Range, _: Option<Revision>) -> Result<Box<dyn Watch>, Error> {
        Err(self.error())
    }

    async fn compact(&self, _: Revision) -> Result<(), Error> {
        Err(self.error())
    }

    async fn status(&self) -> Result<Status, Error> {
        Err(self.error())
    }
}
