//! What coordination is told at the start, and again whenever the file changes.

use crate::{configuration, error::Error, secrets::Secret};
use base::{ByteSize, ServiceName};
use ports::kv::Kv;
use runtime::Clock;
use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// Longest name of a store in bytes. With it, [`crate::KEY_LEN_MAX`] is the same for every store.
pub const STORE_NAME_LEN_MAX: usize = 63;

/// Settings that hold for the node's whole life, and the first stores.
#[derive(Clone, Debug)]
pub struct Config {
    /// The engine.
    pub kv: Arc<dyn Kv>,
    /// Where the engine is, for people, as long as it has not said so itself: a folder, an address without password.
    pub place: String,
    /// The system's name: part of every key, so that systems may share an engine. At most
    /// [`STORE_NAME_LEN_MAX`] bytes, no `/`.
    pub system: String,
    /// This node, the same after a restart and unlike other nodes on the same engine: see [`crate::node_id`].
    pub node: String,
    /// The file with the key of stored secrets; created with the first secret.
    pub key_file: PathBuf,
    /// The node's clock.
    pub clock: Clock,
    /// The stores.
    pub stores: Stores,
}

/// All stores, as the file and the components name them. A name stands once for each kind.
#[derive(Clone, Debug, Default)]
pub struct Stores {
    /// For state.
    pub state: Vec<StateStore>,
    /// For locks and elections.
    pub locks: Vec<LockStore>,
    /// For configuration.
    pub configuration: Vec<ConfigStore>,
    /// For secrets. The first one answers [`crate::Secrets::reveal`].
    pub secrets: Vec<SecretStore>,
}

/// A store for state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateStore {
    /// What callers call it: 1 to [`STORE_NAME_LEN_MAX`] bytes, no `/`.
    pub name: String,
    /// Where its keys are; `None`: under its name. Stores with the same one are the same store under several names.
    pub namespace: Option<String>,
    /// Where its values are.
    pub kind: StateKind,
    /// How long a value stays when its write does not say.
    pub ttl: Option<Duration>,
    /// What keeps the keys of services apart.
    pub prefix: KeyPrefix,
}

/// Where values are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateKind {
    /// In the engine.
    Durable,
    /// In this node's memory only; what was not asked for lately is evicted.
    Cache {
        /// Most bytes of keys, values and what is needed to keep them.
        max: ByteSize,
    },
}

/// A store for locks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockStore {
    /// What callers call it.
    pub name: String,
    /// As that of [`StateStore`].
    pub namespace: Option<String>,
    /// What keeps the locks of services apart.
    pub prefix: KeyPrefix,
}

/// A store for configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigStore {
    /// What callers call it.
    pub name: String,
    /// As that of [`StateStore`].
    pub namespace: Option<String>,
    /// Written when the key has never been set, not even deleted.
    pub values: BTreeMap<String, String>,
}

/// A store for secrets.
#[derive(Clone, Debug)]
pub struct SecretStore {
    /// What callers call it.
    pub name: String,
    /// Where it looks. The first that has the name answers.
    pub sources: Vec<SecretSource>,
}

/// Where secrets come from.
#[derive(Clone, Debug)]
pub enum SecretSource {
    /// The engine, where they are sealed. The only one that can be written.
    Kv {
        /// Where its keys are.
        namespace: String,
    },
    /// A file; read anew when it changes.
    File {
        /// Where it is.
        path: PathBuf,
        /// What is in it.
        format: Format,
    },
    /// What the caller has and calls secret: variables of the environment.
    Values {
        /// What to call it: `environment`.
        label: String,
        /// The values.
        values: BTreeMap<String, Secret>,
    },
    /// What the caller has, of which most is no secret: the whole environment. A value is redacted from when it is
    /// asked for by name: else every path and every user name in the output would be masked.
    Ambient {
        /// What to call it: `environment`.
        label: String,
        /// The values.
        values: BTreeMap<String, Secret>,
    },
}

/// What a file with secrets looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// A JSON object; the values of nested ones are named by their path, joined with `separator` (usually `:`).
    Json {
        /// What joins names.
        separator: String,
    },
    /// A JSON object; a secret is one of its members, with as many keys as it has members.
    JsonNested {
        /// What joins names below the second level.
        separator: String,
    },
    /// Lines `KEY=VALUE`, with `#` comments, `export` and quotes as in `.env` files.
    Env,
}

impl Format {
    /// What the name of a file suggests: JSON for `*.json`, lines for all else.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        let is_json = path.extension().is_some_and(|ext| ext.eq_ignore_ascii_case("json"));
        if is_json { Self::Json { separator: ":".to_owned() } } else { Self::Env }
    }
}

/// What is put before keys, as Dapr's `keyPrefix`: joined with `||`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum KeyPrefix {
    /// The service's name: every service has its own keys.
    #[default]
    Service,
    /// The store's name: all services share the keys.
    Store,
    /// Nothing: all services, and all stores of the namespace, share the keys.
    None,
    /// This text.
    Literal(String),
    /// `namespace.service`.
    Namespace(String),
}

impl KeyPrefix {
    /// Between the prefix and the key. A key that callers give must not contain it.
    pub const SEPARATOR: &'static str = "||";

    /// `key` as it is stored for `service` in the store it calls `store`.
    #[must_use]
    pub fn apply(&self, service: &ServiceName, store: &str, key: &str) -> String {
        let mut full = self.text(service, store);
        full.push_str(key);
        full
    }

    /// The caller's part of a key, if the key is one of `service`'s.
    #[must_use]
    pub fn strip<'k>(&self, service: &ServiceName, store: &str, key: &'k str) -> Option<&'k str> {
        key.strip_prefix(&self.text(service, store))
    }

    /// What stands before keys, with the separator.
    #[must_use]
    pub fn text(&self, service: &ServiceName, store: &str) -> String {
        let separator = Self::SEPARATOR;
        match self {
            Self::Service => format!("{service}{separator}"),
            Self::Store => format!("{store}{separator}"),
            Self::None => String::new(),
            Self::Literal(text) => format!("{text}{separator}"),
            Self::Namespace(namespace) => format!("{namespace}.{service}{separator}"),
        }
    }
}

/// What a store is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StoreKind {
    /// State in the engine.
    State,
    /// State in memory.
    Cache,
    /// Locks.
    Lock,
    /// Configuration.
    Configuration,
    /// Secrets.
    Secret,
}

impl fmt::Display for StoreKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::State => "state",
            Self::Cache => "cache",
            Self::Lock => "lock",
            Self::Configuration => "configuration",
            Self::Secret => "secret",
        })
    }
}

/// A store, for people and for the metadata that programs ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreInfo {
    /// What callers call it.
    pub name: String,
    /// What it is for.
    pub kind: StoreKind,
    /// Where its keys are; empty for secrets.
    pub namespace: String,
    /// How full it is, if it is a cache.
    pub cache: Option<crate::CacheStats>,
}

impl StateStore {
    /// A durable one with the settings that hold when the file says nothing.
    #[must_use]
    pub fn durable(name: &str) -> Self {
        let name = name.to_owned();
        let (namespace, ttl, prefix) = (None, None, KeyPrefix::default());
        Self { name, namespace, kind: StateKind::Durable, ttl, prefix }
    }

    /// A cache with the settings that hold when the file says nothing.
    #[must_use]
    pub fn cache(name: &str, max: ByteSize) -> Self {
        Self { kind: StateKind::Cache { max }, ..Self::durable(name) }
    }

    pub(crate) fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or(&self.name)
    }
}

impl LockStore {
    /// One with the settings that hold when the file says nothing.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), namespace: None, prefix: KeyPrefix::default() }
    }

    pub(crate) fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or(&self.name)
    }
}

impl ConfigStore {
    /// One without values.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), namespace: None, values: BTreeMap::new() }
    }

    pub(crate) fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or(&self.name)
    }
}

impl SecretStore {
    /// One that has what is stored under its name.
    #[must_use]
    pub fn kv(name: &str) -> Self {
        let source = SecretSource::Kv { namespace: name.to_owned() };
        Self { name: name.to_owned(), sources: vec![source] }
    }
}

impl Stores {
    /// One store of each kind under the names that hold when the file says nothing: `statestore`, `lockstore`,
    /// `configstore`, `secretstore`.
    #[must_use]
    pub fn usual() -> Self {
        Self {
            state: vec![StateStore::durable("statestore")],
            locks: vec![LockStore::new("lockstore")],
            configuration: vec![ConfigStore::new("configstore")],
            secrets: vec![SecretStore::kv("secretstore")],
        }
    }

    /// Whether all names can be parts of keys, and stand once.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let state = self.state.iter().map(|store| (store.name.as_str(), store.namespace()));
        let locks = self.locks.iter().map(|store| (store.name.as_str(), store.namespace()));
        let config = self.configuration.iter().map(|s| (s.name.as_str(), s.namespace()));
        let secrets = self.secrets.iter().flat_map(|store| {
            let name = store.name.as_str();
            let spaces = store.sources.iter().filter_map(|source| match source {
                SecretSource::Kv { namespace } => Some(namespace.as_str()),
                SecretSource::File { .. }
                | SecretSource::Values { .. }
                | SecretSource::Ambient { .. } => None,
            });
            std::iter::once((name, name)).chain(spaces.map(move |space| (name, space)))
        });
        for (name, namespace) in state.chain(locks).chain(config).chain(secrets) {
            check_name("the name of a store", name)?;
            check_name("the namespace of a store", namespace)?;
        }
        distinct("state", self.state.iter().map(|store| store.name.as_str()))?;
        distinct("lock", self.locks.iter().map(|store| store.name.as_str()))?;
        distinct("configuration", self.configuration.iter().map(|store| store.name.as_str()))?;
        distinct("secret", self.secrets.iter().map(|store| store.name.as_str()))?;
        self.configuration.iter().try_for_each(configuration::check_initial)
    }
}

/// The store of this name.
pub(crate) fn find_store<'s, S>(
    kind: StoreKind,
    stores: &'s [S],
    name_of: impl Fn(&'s S) -> &'s str,
    name: &str,
) -> Result<&'s S, Error> {
    stores.iter().find(|store| name_of(store) == name).ok_or_else(|| {
        let mut known: Vec<String> = stores.iter().map(|store| name_of(store).to_owned()).collect();
        known.sort_unstable();
        Error::UnknownStore { kind, name: name.to_owned(), known }
    })
}

fn distinct<'n>(kind: &str, names: impl Iterator<Item = &'n str>) -> Result<(), Error> {
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    match names.windows(2).find_map(|pair| match pair {
        [a, b] if a == b => Some(*a),
        _ => None,
    }) {
        Some(name) => Err(Error::Invalid(format!("there are two {kind} stores `{name}`"))),
        None => Ok(()),
    }
}

/// Whether `name` can be one part of a key.
pub(crate) fn check_name(what: &str, name: &str) -> Result<(), Error> {
    let bad = |c: char| c == '/' || c.is_control();
    if name.is_empty() || name.len() > STORE_NAME_LEN_MAX || name.contains(bad) {
        let message = format!(
            "`{}` cannot be {what}: it has 1 to {STORE_NAME_LEN_MAX} bytes, without `/`",
            name.escape_debug()
        );
        return Err(Error::Invalid(message));
    }
    Ok(())
}
