//! Configuration: texts under keys, with their versions, watched.
//!
//! ```text
//!  config/now/STORE/KEY               the version in force; stays when the key is deleted, so versions go on
//!  config/past/STORE/KEY␀VERSION      those before it, HISTORY_MAX at most
//! ```
//!
//! A change moves the version in force to the past and puts the next one in its place, in one transaction that asks
//! for what was read before. Reads come from a copy in memory, which follows the engine.
//!
//! Start with [`Configuration`].

use crate::{
    config::{ConfigStore, StoreKind, Stores, find_store},
    engine::Engine,
    error::Error,
    mirror::{Mirror, Table},
};
use bytes::Bytes;
use ports::kv::{Entry, Event, Range};
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::watch;
use tracing::warn;

mod changing;
mod initial;
mod record;
mod vocabulary;
mod watching;

#[cfg(test)]
mod tests;

pub(crate) use initial::write_initial;
pub use vocabulary::{
    CONFIG_KEY_LEN_MAX, CONFIG_KEYS_MAX, CONFIG_METADATA_LEN_MAX, CONFIG_SIZE_MAX,
    CONFIG_VALUE_LEN_MAX, ConfigAnswer, ConfigChange, ConfigItem, HISTORY_MAX, Select, Version,
};
pub use watching::ConfigWatch;

/// Configuration. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Configuration(Arc<Shared>);

#[derive(Debug)]
pub(crate) struct Shared {
    engine: Arc<Engine>,
    stores: watch::Receiver<Arc<Stores>>,
    pub(crate) mirror: Arc<Mirror>,
    /// What the keys of versions in force begin with.
    root: String,
}

/// A key by its names in the engine.
struct Names {
    key: String,
    now: String,
    past: String,
}

/// What shall be in force.
struct Next {
    value: Option<String>,
    metadata: BTreeMap<String, String>,
    restores: Option<u64>,
}

impl Next {
    /// Whether it is what a version has.
    fn is(&self, version: &Version) -> bool {
        self.value == version.value && self.metadata == version.metadata
    }
}

impl Configuration {
    pub(crate) fn new(engine: Arc<Engine>, stores: watch::Receiver<Arc<Stores>>) -> Self {
        let root = engine.key(&["config", "now", ""]);
        let range = Range::prefix(root.clone().into());
        let mirror = Arc::new(Mirror::new(Arc::clone(&engine), range));
        Self(Arc::new(Shared { engine, stores, mirror, root }))
    }

    pub(crate) fn mirror(&self) -> &Arc<Mirror> {
        &self.0.mirror
    }

    /// How a store is set up.
    ///
    /// # Errors
    /// [`Error::UnknownStore`].
    pub fn settings(&self, store: &str) -> Result<ConfigStore, Error> {
        self.0.settings(store)
    }

    /// Reads values, from a copy in memory that follows the engine and has all that this node has set.
    ///
    /// # Errors
    /// [`Error::UnknownStore`]; [`Error::Unavailable`] when the engine has never been there.
    /// # Cancel safety
    /// Cancel safe.
    pub async fn get(&self, store: &str, select: &Select) -> Result<ConfigAnswer, Error> {
        let settings = self.settings(store)?;
        self.0.mirror.ready().await?;
        let table = self.0.mirror.table();
        Ok(self.0.answer(&table, settings.namespace(), select))
    }

    /// Sets a value and returns its version. One that is in force already, with the same metadata, stays that version:
    /// there is no change to tell services of, which may restart for one. `expected` is the version that must be in force, 0 for a key that
    /// must not be set; `by` says who does it.
    ///
    /// # Errors
    /// [`Error::Conflict`], [`Error::TooLarge`], [`Error::Invalid`], [`Error::UnknownStore`],
    /// [`Error::Unavailable`], [`Error::Unknown`].
    /// # Cancel safety
    /// Not cancel safe.
    pub async fn set(
        &self,
        store: &str,
        key: &str,
        value: &str,
        metadata: BTreeMap<String, String>,
        expected: Option<u64>,
        by: &str,
    ) -> Result<u64, Error> {
        let names = self.0.names(store, key)?;
        check(value, &metadata, by)?;
        self.0.check_room(&names, value)?;
        let next = Next { value: Some(value.to_owned()), metadata, restores: None };
        let changed = self.0.change(&names, next, expected, by).await?;
        changed.ok_or_else(|| Error::Invalid(format!("`{key}` was set to nothing")))
    }

    /// Deletes a value and returns the version that says so; `None`: it was not set.
    ///
    /// # Errors
    /// As [`Self::set`].
    /// # Cancel safety
    /// Not cancel safe.
    pub async fn delete(
        &self,
        store: &str,
        key: &str,
        expected: Option<u64>,
        by: &str,
    ) -> Result<Option<u64>, Error> {
        let names = self.0.names(store, key)?;
        check("", &BTreeMap::new(), by)?;
        let next = Next { value: None, metadata: BTreeMap::new(), restores: None };
        self.0.change(&names, next, expected, by).await
    }

    /// The versions of a key that are kept, the newest first; empty for one that was never set.
    ///
    /// # Errors
    /// [`Error::UnknownStore`], [`Error::Unavailable`], [`Error::Damaged`].
    /// # Cancel safety
    /// Cancel safe.
    pub async fn history(&self, store: &str, key: &str) -> Result<Vec<Version>, Error> {
        self.0.versions(&self.0.names(store, key)?).await
    }

    /// Sets the value that the key had at version `to`, or deletes it if it was deleted then, as a new version, and
    /// returns that; the one in force when it is the same.
    ///
    /// # Errors
    /// [`Error::Missing`] when that version is not kept; as [`Self::set`].
    /// # Cancel safety
    /// Not cancel safe.
    pub async fn rollback(&self, store: &str, key: &str, to: u64, by: &str) -> Result<u64, Error> {
        let names = self.0.names(store, key)?;
        check("", &BTreeMap::new(), by)?;
        let versions = self.0.versions(&names).await?;
        let old = pick(&versions, key, Some(to))?.clone();
        let newest = versions.first().map_or(to, |newest| newest.version);
        let next = Next { value: old.value, metadata: old.metadata, restores: Some(to) };
        // What is deleted already is as it was.
        Ok(self.0.change(&names, next, None, by).await?.unwrap_or(newest))
    }

    /// What changed from one version of a key to another, as unified diff; `to` = `None` is the one in force. Empty
    /// when they are the same.
    ///
    /// # Errors
    /// [`Error::Missing`]; as [`Self::history`].
    /// # Cancel safety
    /// Cancel safe.
    pub async fn diff(
        &self,
        store: &str,
        key: &str,
        from: u64,
        to: Option<u64>,
    ) -> Result<String, Error> {
        let versions = self.history(store, key).await?;
        let (from, to) = (pick(&versions, key, Some(from))?, pick(&versions, key, to)?);
        let name = |version: &Version| format!("{key} version {}", version.version);
        let text = |version: &Version| version.value.clone().unwrap_or_default();
        Ok(logic::diff::unified(&name(from), &text(from), &name(to), &text(to)))
    }

    /// Watches values: what changes after this call, or after the revision `after`.
    ///
    /// # Errors
    /// As [`Self::get`].
    /// # Cancel safety
    /// Cancel safe.
    pub async fn watch(
        &self,
        store: &str,
        select: Select,
        after: Option<u64>,
    ) -> Result<ConfigWatch, Error> {
        let settings = self.settings(store)?;
        self.0.mirror.ready().await?;
        let namespace = settings.namespace().to_owned();
        Ok(ConfigWatch::begin(Arc::clone(&self.0), namespace, select, after))
    }
}

impl Shared {
    fn settings(&self, store: &str) -> Result<ConfigStore, Error> {
        let stores = self.stores.borrow();
        let all = &stores.configuration;
        find_store(StoreKind::Configuration, all, |known| &known.name, store).cloned()
    }

    fn names(&self, store: &str, key: &str) -> Result<Names, Error> {
        let settings = self.settings(store)?;
        check_key(key)?;
        let namespace = settings.namespace();
        let past = self.engine.key(&["config", "past", namespace, key]);
        let now = format!("{}{namespace}/{key}", self.root);
        Ok(Names { key: key.to_owned(), now, past: format!("{past}\0") })
    }

    /// What is in force.
    fn answer(&self, table: &Table, namespace: &str, select: &Select) -> ConfigAnswer {
        let from = format!("{}{namespace}/", self.root);
        let entries = table.entries.range(Bytes::from(from.clone())..);
        let entries = entries.take_while(|(key, _)| key.starts_with(from.as_bytes()));
        let items = entries.filter_map(|(_, entry)| {
            let (key, item) = self.read(namespace, select, entry)?;
            Some((key, item?))
        });
        let (stale, revision) = (self.mirror.is_stale(), table.revision.0);
        ConfigAnswer { items: items.collect(), stale, revision }
    }

    /// What became of the selected keys.
    fn selected(
        &self,
        namespace: &str,
        select: &Select,
        events: &[Event],
    ) -> BTreeMap<String, Option<ConfigItem>> {
        let news = events.iter().filter_map(|event| match event {
            Event::Put(entry) => self.read(namespace, select, entry),
            Event::Delete { key, .. } => Some((self.selected_key(namespace, select, key)?, None)),
        });
        news.collect()
    }

    fn read(
        &self,
        namespace: &str,
        select: &Select,
        entry: &Entry,
    ) -> Option<(String, Option<ConfigItem>)> {
        let key = self.selected_key(namespace, select, &entry.key)?;
        match record::decode(&key, entry) {
            Ok(version) => Some((key, record::item(version, entry))),
            Err(error) => {
                warn!(%error, "left out of the configuration");
                None
            }
        }
    }

    fn selected_key(&self, namespace: &str, select: &Select, key: &[u8]) -> Option<String> {
        let key = std::str::from_utf8(key).ok()?;
        let key = key.strip_prefix(&self.root)?.strip_prefix(namespace)?.strip_prefix('/')?;
        select.selects(key).then(|| key.to_owned())
    }
}

impl Names {
    fn past(&self, version: u64) -> String {
        format!("{}{version:016x}", self.past)
    }
}

/// A version among those that are kept, the newest first; `None`: the newest.
fn pick<'v>(
    versions: &'v [Version],
    key: &str,
    version: Option<u64>,
) -> Result<&'v Version, Error> {
    let Some(number) = version else {
        let missing = || Error::Missing { what: "key", name: key.to_owned(), hint: String::new() };
        return versions.first().ok_or_else(missing);
    };
    versions.iter().find(|version| version.version == number).ok_or_else(|| {
        let hint = match (versions.last(), versions.first()) {
            (Some(oldest), Some(newest)) => {
                format!(": {} to {} are kept", oldest.version, newest.version)
            }
            _ => ": it was never set".to_owned(),
        };
        Error::Missing { what: "version", name: format!("{number} of {key}"), hint }
    })
}

fn check_key(key: &str) -> Result<(), Error> {
    if key.is_empty() || key.contains(char::is_control) {
        let message = "a key of configuration must not be empty, nor have control characters";
        return Err(Error::Invalid(message.to_owned()));
    }
    bounded("bytes in the key", key.len(), CONFIG_KEY_LEN_MAX)
}

fn check(value: &str, metadata: &BTreeMap<String, String>, by: &str) -> Result<(), Error> {
    bounded("bytes in the value", value.len(), CONFIG_VALUE_LEN_MAX)?;
    let size = metadata.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
    bounded("bytes in the metadata", size + by.len(), CONFIG_METADATA_LEN_MAX)
}

/// Whether a store's initial values can be set.
pub(crate) fn check_initial(store: &ConfigStore) -> Result<(), Error> {
    for (key, value) in &store.values {
        check_key(key)?;
        check(value, &BTreeMap::new(), "")?;
    }
    Ok(())
}

fn bounded(what: &'static str, size: usize, limit: usize) -> Result<(), Error> {
    if size > limit { Err(Error::TooLarge { what, size, limit }) } else { Ok(()) }
}
