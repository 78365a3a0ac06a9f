//! Where an engine comes from.

use crate::node::stores;
use base::{Code, Diagnostic, ErrorChain, Place};
use manifest::{Coordination, KvEngine, System};
use ports::kv::Kv;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

/// Where the embedded engine keeps its files, below the state folder.
const FOLDER: &str = "data/kv";

/// The folder of the embedded engine of a node.
pub(crate) fn kv_folder(state_dir: &Path) -> PathBuf {
    state_dir.join(FOLDER)
}

/// An engine that can be opened, any number of times until it was.
#[derive(Clone, Debug)]
pub(super) struct Source {
    kind: Kind,
    /// Where the file asks for it; nothing when it is the default.
    named_at: Option<Place>,
}

#[derive(Clone, Debug)]
enum Kind {
    Embedded(adapter_embedded::kv::Config),
    Etcd(Arc<Etcd>),
}

/// What it takes to reach an etcd: the login may be a secret that its sources do not have yet.
struct Etcd {
    asked: manifest::Etcd,
    coordination: Coordination,
    environment: Arc<BTreeMap<String, String>>,
}

impl fmt::Debug for Etcd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The environment has secrets.
        f.debug_struct("Etcd").field("endpoints", &self.asked.endpoints).finish_non_exhaustive()
    }
}

/// An engine that was opened.
pub(super) struct Opened {
    pub(super) kv: Arc<dyn Kv>,
    /// What must be shut down in the end.
    pub(super) service: Option<adapter_embedded::kv::Service>,
}

/// Why an engine was not opened.
#[derive(Clone, Debug)]
pub(super) struct Failed {
    /// For the operator.
    pub(super) problem: Box<Diagnostic>,
    /// For whoever asks the engine for something.
    pub(super) cause: Arc<dyn std::error::Error + Send + Sync>,
}

/// What a folder looks like from outside; another one means that somebody has changed something in it.
pub(super) type Look = BTreeSet<(PathBuf, u64, Option<SystemTime>)>;

impl Source {
    pub(super) fn of(
        system: &System,
        state_dir: &Path,
        environment: &Arc<BTreeMap<String, String>>,
    ) -> Self {
        let coordination = &system.coordination;
        let kind = match &coordination.kv {
            KvEngine::Embedded => {
                Kind::Embedded(adapter_embedded::kv::Config { folder: kv_folder(state_dir) })
            }
            KvEngine::Etcd(asked) => Kind::Etcd(Arc::new(Etcd {
                asked: asked.clone(),
                coordination: coordination.clone(),
                environment: Arc::clone(environment),
            })),
        };
        Self { kind, named_at: coordination.kv_place.clone() }
    }

    /// Where the engine is, for people.
    pub(super) fn place(&self) -> String {
        match &self.kind {
            Kind::Embedded(config) => config.folder.display().to_string(),
            Kind::Etcd(etcd) => etcd.config(None).place(),
        }
    }

    /// Whether other processes see the same keys.
    pub(super) fn is_shared(&self) -> bool {
        matches!(self.kind, Kind::Etcd(_))
    }

    /// Opens it. Blocks, and needs the tokio runtime.
    pub(super) fn open(&self) -> Result<Opened, Failed> {
        let opened = match &self.kind {
            Kind::Embedded(config) => embedded(config),
            Kind::Etcd(etcd) => etcd.open(),
        };
        opened.map_err(|failed| match self.named_at.clone() {
            Some(place) => {
                Failed { problem: Box::new(failed.problem.at(place, "")), cause: failed.cause }
            }
            None => failed,
        })
    }

    /// How its files look, if it has any here. Blocks.
    pub(super) fn look(&self) -> Look {
        let Kind::Embedded(config) = &self.kind else { return Look::new() };
        let Ok(entries) = fs::read_dir(&config.folder) else { return Look::new() };
        let look = entries.flatten().filter_map(|entry| {
            let meta = entry.metadata().ok()?;
            Some((entry.path(), meta.len(), meta.modified().ok()))
        });
        look.collect()
    }
}

fn embedded(config: &adapter_embedded::kv::Config) -> Result<Opened, Failed> {
    let opened = adapter_embedded::kv::Service::open(config);
    let (service, handle) = opened.map_err(|error| {
        use adapter_embedded::kv::Error::{Damaged, InUse, Io, Newer};
        let message = format!("the kv store cannot be opened: {}", ErrorChain(&error));
        let what_to_do = match &error {
            Damaged { .. } => "`flotilla state repair` keeps what can be kept",
            InUse { .. } => "it is opened as soon as the other process lets go of it",
            Newer { .. } | Io { .. } => "it is tried again and again",
        };
        let help = format!(
            "{what_to_do}; until then state, locks, configuration and stored secrets are not there, and requests \
             are served. `flotilla explain F036` says more"
        );
        Failed {
            problem: Box::new(Diagnostic::error(Code::KV_STORE, message).help(help)),
            cause: Arc::new(error),
        }
    })?;
    Ok(Opened { kv: Arc::new(handle), service: Some(service) })
}

impl Etcd {
    fn config(&self, credentials: Option<adapter_etcd::Credentials>) -> adapter_etcd::Config {
        let asked = &self.asked;
        let identity = asked.certificate.clone();
        adapter_etcd::Config {
            endpoints: asked.endpoints.clone(),
            tls: asked.tls.then(|| adapter_etcd::Tls { ca: asked.ca.clone(), identity }),
            credentials,
            prefix: ended(&asked.prefix),
        }
    }

    fn open(&self) -> Result<Opened, Failed> {
        let credentials = match &self.asked.user {
            Some((name, password)) => Some(adapter_etcd::Credentials {
                user: self.reveal(name)?,
                password: self.reveal(password.reveal())?,
            }),
            None => None,
        };
        let etcd = adapter_etcd::Etcd::new(&self.config(credentials));
        let etcd =
            etcd.map_err(|e| unusable(format!("etcd cannot be used: {}", ErrorChain(&e))))?;
        Ok(Opened { kv: Arc::new(etcd), service: None })
    }

    fn reveal(&self, text: &str) -> Result<String, Failed> {
        let sources = stores::secrets(&self.coordination, &self.environment);
        let sources = sources.into_iter().next().map(|store| store.sources).unwrap_or_default();
        let known = coordination::reveal_from(&sources, text);
        known
            .map(|secret| secret.expose().to_owned())
            .map_err(|e| unusable(format!("the login of etcd is not known: {}", ErrorChain(&e))))
    }
}

fn unusable(message: String) -> Failed {
    let help = "write `engines: { kv: etcd://host:2379 }`, with user and password by `${secret:NAME}`; what files \
        have is read again and again";
    let cause: Box<dyn std::error::Error + Send + Sync> = message.clone().into();
    Failed {
        problem: Box::new(Diagnostic::error(Code::KV_STORE, message).help(help)),
        cause: Arc::from(cause),
    }
}

/// A prefix with an end, so that `shop` does not share keys with `shopping`.
fn ended(prefix: &str) -> String {
    let trimmed = prefix.trim_end_matches('/');
    if trimmed.is_empty() { String::new() } else { format!("{trimmed}/") }
}
