//! What services share through the node: state, locks, configuration, secrets, and the API that they ask for them.

use super::{Secret, StopSignal};
use base::{ByteSize, Place, ServiceName};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::PathBuf,
    time::Duration,
};

/// The stores of a system, and the engine behind them.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Coordination {
    /// What keeps keys and values.
    pub kv: KvEngine,
    /// Where `engines.kv` stands, or nothing when it is the default.
    pub kv_place: Option<Place>,
    /// Stores for state, in the order of the file. Without a word in the file: one durable `statestore`.
    pub state: Vec<StateStore>,
    /// Stores for locks. Without a word in the file: `lockstore`.
    pub locks: Vec<LockStore>,
    /// Stores for configuration. Without a word in the file: `configstore`.
    pub configuration: Vec<ConfigStore>,
    /// Stores for secrets. Without a word in the file: `secretstore`. The first one answers `${secret:NAME}`.
    pub secrets: Vec<SecretStore>,
    /// Every `${secret:NAME}` of the file.
    pub references: Vec<SecretReference>,
    /// Addresses outside of the system that services call by name through their app API.
    pub endpoints: Vec<HttpEndpoint>,
}

impl Coordination {
    /// The names that `${secret:…}` asks for, each once, in alphabetical order.
    #[must_use]
    pub fn referenced(&self) -> BTreeSet<&str> {
        self.references.iter().map(|reference| reference.name.as_str()).collect()
    }
}

/// What keeps keys and values.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum KvEngine {
    /// A folder of this node's, `.flotilla/data/kv`.
    #[default]
    Embedded,
    /// An etcd cluster.
    Etcd(Etcd),
}

/// How an etcd cluster is reached.
#[derive(Clone, Debug, PartialEq)]
pub struct Etcd {
    /// `host:port` of each member; at least one.
    pub endpoints: Vec<String>,
    /// Whether connections are encrypted (`etcds://`).
    pub tls: bool,
    /// Name and password. Either may hold `${secret:NAME}`.
    pub user: Option<(String, Secret)>,
    /// The authority that the members' certificates are checked against, in PEM form, absolute; `None`: the
    /// machine's own.
    pub ca: Option<PathBuf>,
    /// A certificate of our own and its key, in PEM form, absolute.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// Stands before all keys, so that several systems of one name can share the cluster. Default empty.
    pub prefix: String,
}

/// Who may use a store: these services, or with none named all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scopes(pub BTreeSet<ServiceName>);

impl Scopes {
    /// Whether `service` may use the store.
    #[must_use]
    pub fn allows(&self, service: &ServiceName) -> bool {
        self.0.is_empty() || self.0.contains(service)
    }
}

/// What a store was called in the file that it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The component's type, such as `state.redis`; for stores of our own file `state.flotilla` and the like.
    pub kind: String,
    /// The component's version, such as `v1`.
    pub version: String,
    /// Where it stands; nothing for what is there without a word in the file.
    pub place: Option<Place>,
}

/// A store for state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateStore {
    /// Its name: 1 to 63 bytes without `/`.
    pub name: String,
    /// Where its values are.
    pub kind: StateKind,
    /// How long a value stays when its write does not say; `None`: for ever.
    pub ttl: Option<Duration>,
    /// What keeps the keys of services apart.
    pub prefix: KeyPrefix,
    /// Who may use it.
    pub scopes: Scopes,
    /// Where it comes from.
    pub origin: Origin,
}

/// Where values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateKind {
    /// In the engine: what was acknowledged is on the disk.
    Durable,
    /// In the memory of the node, at most so much; what was used least goes first. Default 64 MiB.
    Cache {
        /// Most bytes of keys and values.
        max: ByteSize,
    },
}

/// What keeps the keys of services apart: it stands before each key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum KeyPrefix {
    /// The service's name: each has keys of its own.
    #[default]
    Service,
    /// The store's name: services share the keys.
    Store,
    /// Nothing: services share the keys.
    None,
    /// The system's name and the service's.
    Namespace,
    /// This text: services share the keys.
    Literal(String),
}

/// A store for locks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockStore {
    /// Its name: 1 to 63 bytes without `/`.
    pub name: String,
    /// What keeps the locks of services apart.
    pub prefix: KeyPrefix,
    /// Who may use it.
    pub scopes: Scopes,
    /// Where it comes from.
    pub origin: Origin,
}

/// A store for configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigStore {
    /// Its name: 1 to 63 bytes without `/`.
    pub name: String,
    /// Written when the file is applied, where the key has never been set.
    pub values: BTreeMap<String, String>,
    /// Who may use it.
    pub scopes: Scopes,
    /// Where it comes from.
    pub origin: Origin,
}

/// A store for secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretStore {
    /// Its name: 1 to 63 bytes without `/`.
    pub name: String,
    /// Where it looks, in this order; the first one that has the name answers.
    pub sources: Vec<SecretSource>,
    /// Who may use it.
    pub scopes: Scopes,
    /// Where it comes from.
    pub origin: Origin,
}

/// Where secrets are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// In the engine, encrypted: what `flotilla secrets set` writes.
    Kv,
    /// In a file.
    File {
        /// The file, absolute.
        path: PathBuf,
        /// What is in it.
        format: SecretFormat,
    },
    /// In the environment of the node.
    Env(EnvNames),
}

/// What a file with secrets looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretFormat {
    /// A JSON object; what is nested in it is named by its path.
    Json {
        /// What joins the parts of a path; `:` by default.
        separator: String,
    },
    /// A JSON object whose members are secrets of several keys each (`multiValued`).
    JsonNested {
        /// What joins the parts of a path below the second level.
        separator: String,
    },
    /// Lines `KEY=VALUE`.
    Lines,
}

/// Which variables of the environment are secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnvNames {
    /// These, and those that a `${secret:NAME}` of the file asks for.
    Listed(BTreeSet<String>),
    /// Those that begin so; the prefix is no part of the secret's name.
    Prefix(String),
    /// All.
    All,
}

/// A `${secret:NAME}` in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretReference {
    /// The secret's name.
    pub name: String,
    /// Which key it is in, in words: `` `env.API_KEY` of service `orders` ``.
    pub key: String,
    /// Where it stands; nothing for a line of an `env_file`.
    pub place: Option<Place>,
}

/// An address outside of the system, called by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpEndpoint {
    /// Its name.
    pub name: String,
    /// What stands before the method's path: `https://api.example/v1`.
    pub url: String,
    /// Who may call it.
    pub scopes: Scopes,
    /// Where it stands.
    pub place: Place,
}

/// What happens to a service when its configuration changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigUse {
    /// The store.
    pub store: String,
    /// The keys: each a name, or the beginning of names with a `*` at its end.
    pub keys: Vec<String>,
    /// What happens.
    pub on_change: OnChange,
}

impl ConfigUse {
    /// Whether the service uses `key`.
    #[must_use]
    pub fn uses(&self, key: &str) -> bool {
        self.keys.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(beginning) => key.starts_with(beginning),
            None => pattern == key,
        })
    }
}

/// What a changed value causes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnChange {
    /// The instances are replaced, one after the other.
    Restart,
    /// Each instance gets this signal (`sighup`: [`StopSignal::Hup`]).
    Signal(StopSignal),
}

/// The API that a service's instances ask, and how the node calls them back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppApi {
    /// What callers call it through the app API. The service's name, unless the name in a `dapr.yaml` is not one.
    pub app_id: String,
    /// The HTTP port of its app API; `None`: assigned. Only with one instance.
    pub http_port: Option<u16>,
    /// The gRPC port of its app API; `None`: assigned. Only with one instance.
    pub grpc_port: Option<u16>,
    /// What the service itself speaks.
    pub protocol: AppProtocol,
    /// What its requests to the app API must carry (`dapr-api-token`). May hold `${secret:NAME}`.
    pub token: Option<Secret>,
    /// What requests of the node to it carry (`dapr-api-token`). May hold `${secret:NAME}`.
    pub app_token: Option<Secret>,
    /// Most bytes of a request's body that the node itself answers. Default 4 MiB.
    pub body_max: ByteSize,
    /// Which secrets it may read through the app API, by store; a store without a rule may be read wholly.
    pub secrets: BTreeMap<String, SecretRule>,
}

/// Most bytes of a body to the app API when nothing is said.
pub const BODY_MAX_DEFAULT: ByteSize = ByteSize(4 * 1024 * 1024);

impl AppApi {
    /// The one of an app that nothing is said of.
    #[must_use]
    pub fn new(app_id: &str) -> Self {
        Self {
            app_id: app_id.to_owned(),
            http_port: None,
            grpc_port: None,
            protocol: AppProtocol::Http,
            token: None,
            app_token: None,
            body_max: BODY_MAX_DEFAULT,
            secrets: BTreeMap::new(),
        }
    }
}

/// What a service speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AppProtocol {
    /// HTTP/1.1.
    #[default]
    Http,
    /// HTTP/1.1 over TLS; the certificate is not checked.
    Https,
    /// gRPC.
    Grpc,
    /// gRPC over TLS; the certificate is not checked.
    Grpcs,
    /// HTTP/2 without TLS.
    H2c,
}

/// Which secrets of a store may be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretRule {
    /// Whether what is in neither list may be read.
    pub by_default: bool,
    /// What may be read; with it, nothing else may.
    pub allowed: BTreeSet<String>,
    /// What may not be read.
    pub denied: BTreeSet<String>,
}

impl SecretRule {
    /// Whether the secret `name` may be read.
    #[must_use]
    pub fn allows(&self, name: &str) -> bool {
        if !self.allowed.is_empty() {
            return self.allowed.contains(name);
        }
        !self.denied.contains(name) && self.by_default
    }
}

/// A program that somebody else has started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct External {
    /// Where it listens, or will; `None`: it does not listen.
    pub address: Option<SocketAddr>,
}
