//! Secrets: texts that are shown to nobody who does not ask for them by name.
//!
//! ```text
//!  kv (sealed) ─► Mirror ─┐
//!  files ─────────────────┼─► View: all stores by name ──► get, all, reveal
//!  the caller's values ───┘            └────────────────► Redactor
//! ```
//!
//! The view is made anew, whole, whenever one of its sources has changed; a store's first source that has a name
//! answers. What is stored in the engine is sealed with the key of a file of this node: an engine, its backups and its
//! watchers never see a value.
//!
//! Start with [`Secrets`].

use crate::{
    config::{SecretSource, SecretStore, StoreKind, Stores, find_store},
    engine::Engine,
    error::Error,
    mirror::Mirror,
};
use key_file::KeyFile;
use ports::kv::{Is, Life, Outcome, Range, Transaction};
use seal::{Key, Sealed};
use std::{
    borrow::Cow,
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
};
use tokio::sync::watch;

mod early;
mod file;
mod key_file;
mod redact;
mod reveal;
mod rotate;
mod seal;
mod secret;
mod storing;
mod view;
mod vocabulary;

#[cfg(test)]
mod tests;

pub use early::reveal_from;
pub use redact::Redactor;
pub use secret::Secret;
pub(crate) use view::keep_fresh;
use view::{Files, Found, View, look_up};
pub use vocabulary::{
    KeyError, REDACT_LEN_MIN, Rotated, SECRET_NAME_LEN_MAX, SECRET_VALUE_LEN_MAX, SECRETS_MAX,
    SecretAnswer, SecretFileError, SecretInfo,
};

/// Secrets. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Secrets(Arc<Shared>);

/// `files` is taken before `key_file`, and no other lock while one of them is held.
#[derive(Debug)]
struct Shared {
    engine: Arc<Engine>,
    stores: watch::Receiver<Arc<Stores>>,
    mirror: Arc<Mirror>,
    /// What the keys of stored secrets begin with.
    root: String,
    key_path: PathBuf,
    key_file: Arc<Mutex<KeyFile>>,
    files: Mutex<Files>,
    view: RwLock<Arc<View>>,
    redactor: Redactor,
    /// Held while secrets are sealed, so that no rotation ends in between.
    sealing: Arc<tokio::sync::Mutex<()>>,
}

impl Secrets {
    pub(crate) fn new(
        engine: Arc<Engine>,
        stores: watch::Receiver<Arc<Stores>>,
        key_path: PathBuf,
    ) -> Self {
        let root = engine.key(&["secret", ""]);
        let mirror = Mirror::new(Arc::clone(&engine), Range::prefix(root.clone().into()));
        let key_file = KeyFile::new(key_path.clone());
        Self(Arc::new(Shared {
            engine,
            stores,
            mirror: Arc::new(mirror),
            root,
            key_path,
            key_file: Arc::new(Mutex::new(key_file)),
            files: Mutex::default(),
            view: RwLock::default(),
            redactor: Redactor::default(),
            sealing: Arc::default(),
        }))
    }

    pub(crate) fn mirror(&self) -> &Arc<Mirror> {
        &self.0.mirror
    }

    /// Reads the files that `stores` name, before they are taken over. Blocks.
    pub(crate) fn read_files(&self, stores: &Stores) -> Result<(), Error> {
        let mut files = self.0.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.read(stores).map_err(|error| Error::SecretFile(Arc::new(error)))
    }

    /// Reads a secret, from a copy in memory.
    ///
    /// # Errors
    /// [`Error::Missing`]; [`Error::UnknownStore`]; [`Error::Key`] when it cannot be opened;
    /// [`Error::Unavailable`] when it may be stored and the engine has never been there.
    /// # Cancel safety
    /// Cancel safe.
    pub async fn get(&self, store: &str, name: &str) -> Result<SecretAnswer, Error> {
        let (found, outage) = self.0.found(store).await?;
        let Some(secret) = found.get(store).and_then(|secrets| secrets.get(name)) else {
            return Err(outage.unwrap_or_else(|| self.0.missing(store, name)));
        };
        let values = secret.values.clone()?;
        if secret.is_ambient {
            values.values().for_each(|value| self.0.redactor.add(value));
        }
        Ok(SecretAnswer { values, stale: self.0.is_stale(store) })
    }

    /// Reads all secrets of a store. One that cannot be opened is left out and said in the log.
    ///
    /// # Errors
    /// [`Error::UnknownStore`]; [`Error::Unavailable`] as [`Self::get`].
    /// # Cancel safety
    /// Cancel safe.
    pub async fn all(&self, store: &str) -> Result<BTreeMap<String, SecretAnswer>, Error> {
        let (found, outage) = self.0.found(store).await?;
        outage.map_or(Ok(()), Err)?;
        let stale = self.0.is_stale(store);
        let secrets = found.get(store).into_iter().flatten().filter_map(|(name, secret)| {
            let values = secret.values.clone().ok()?;
            Some((name.clone(), SecretAnswer { values, stale }))
        });
        Ok(secrets.collect())
    }

    /// What secrets there are, in order of their names.
    ///
    /// # Errors
    /// As [`Self::all`].
    /// # Cancel safety
    /// Cancel safe.
    pub async fn names(&self, store: &str) -> Result<Vec<SecretInfo>, Error> {
        let (found, outage) = self.0.found(store).await?;
        outage.map_or(Ok(()), Err)?;
        let secrets = found.get(store).into_iter().flat_map(BTreeMap::values);
        Ok(secrets.map(|secret| secret.info.clone()).collect())
    }

    /// Stores a secret, sealed.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when the store has no engine among its sources; [`Error::Key`], also when another
    /// stored secret is sealed with a key that this node does not have; [`Error::TooLarge`], [`Error::Invalid`],
    /// [`Error::UnknownStore`], [`Error::Unavailable`], [`Error::Unknown`].
    /// # Cancel safety
    /// Not cancel safe.
    pub async fn set(&self, store: &str, name: &str, value: Secret) -> Result<(), Error> {
        let place = self.0.place(store, name)?;
        check(name, &value)?;
        let sealing = self.0.begin_sealing().await;
        self.0.mirror.ready().await?;
        let key = self.0.sealing_key(&sealing, &place).await?;
        let record = key.seal(&place, &value, self.0.engine.clock().date()).map_err(key_error)?;
        let transaction = Transaction::default().and_put(place, record, Life::Endless);
        match self.0.engine.commit(transaction).await? {
            Outcome::Committed { revision } | Outcome::Refused { revision, .. } => {
                self.0.mirror.want(revision);
                Ok(())
            }
        }
    }

    /// Deletes a stored secret and returns whether it was there. Those of other sources stay.
    ///
    /// # Errors
    /// As [`Self::set`], but for [`Error::Key`].
    /// # Cancel safety
    /// Not cancel safe.
    pub async fn delete(&self, store: &str, name: &str) -> Result<bool, Error> {
        let place = self.0.place(store, name)?;
        let transaction = Transaction::delete(place.clone()).when(place, Is::Present);
        match self.0.engine.commit(transaction).await? {
            Outcome::Committed { revision } => {
                self.0.mirror.want(revision);
                Ok(true)
            }
            Outcome::Refused { .. } => Ok(false),
        }
    }

    /// Makes a new key, seals all stored secrets with it, and forgets the old ones. A rotation that broke off is
    /// completed by the next.
    ///
    /// Other nodes on the same engine need a copy of the new key file.
    ///
    /// # Errors
    /// As [`Self::set`].
    /// # Cancel safety
    /// Not cancel safe, but every secret can be opened at every moment.
    pub async fn rotate(&self) -> Result<Rotated, Error> {
        let sealing = self.0.begin_sealing().await;
        self.0.rotate(&sealing).await
    }

    /// Replaces every `${secret:NAME}` in `text` by the secret of the first store. `NAME/KEY` names one of several
    /// values, should the secret have more than one.
    ///
    /// # Errors
    /// As [`Self::get`], for the first that fails.
    /// # Cancel safety
    /// Cancel safe.
    pub async fn reveal(&self, text: &str) -> Result<Secret, Error> {
        let first = self.0.stores.borrow().secrets.first().map(|store| store.name.clone());
        let store = first.unwrap_or_default();
        let (view, outage) = match self.0.found(&store).await {
            // A text without placeholders needs no store.
            Err(Error::UnknownStore { .. }) => (Arc::default(), None),
            other => other?,
        };
        let none = BTreeMap::new();
        let found = view.get(&store).unwrap_or(&none);
        reveal::reveal(text, |name| {
            let missing = || outage.clone().unwrap_or_else(|| self.0.missing(&store, name));
            let secret = look_up(found, name)?.ok_or_else(missing)?;
            // It may be one of those that are secrets only since somebody asks for them.
            if found.get(name).is_some_and(|known| known.is_ambient) {
                self.0.redactor.add(&secret);
            }
            Ok(secret)
        })
    }

    /// Replaces every secret in use by `***`, see [`Redactor`].
    #[must_use]
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.0.redactor.redact(text)
    }

    /// What redacts, following all changes of secrets.
    #[must_use]
    pub fn redactor(&self) -> Redactor {
        self.0.redactor.clone()
    }
}

impl Shared {
    fn settings(&self, store: &str) -> Result<SecretStore, Error> {
        let stores = self.stores.borrow();
        find_store(StoreKind::Secret, &stores.secrets, |known| &known.name, store).cloned()
    }

    /// All secrets; and what kept those in the engine from being among them, if they concern `store`.
    async fn found(self: &Arc<Self>, store: &str) -> Result<(Arc<Found>, Option<Error>), Error> {
        let outage = match namespace(&self.settings(store)?) {
            Some(_) => self.mirror.ready().await.err(),
            None => None,
        };
        Ok((self.fresh_view().await, outage))
    }

    fn is_stale(&self, store: &str) -> bool {
        let settings = self.settings(store);
        settings.is_ok_and(|store| namespace(&store).is_some()) && self.mirror.is_stale()
    }

    fn missing(&self, store: &str, name: &str) -> Error {
        let sources = self.settings(store).map(|store| store.sources).unwrap_or_default();
        missing(store, &sources, name)
    }
}

/// Where a store has its sealed secrets.
fn namespace(store: &SecretStore) -> Option<&str> {
    store.sources.iter().find_map(|source| match source {
        SecretSource::Kv { namespace } => Some(namespace.as_str()),
        SecretSource::File { .. } | SecretSource::Values { .. } | SecretSource::Ambient { .. } => {
            None
        }
    })
}

fn missing(store: &str, sources: &[SecretSource], name: &str) -> Error {
    let sources: Vec<Cow<'_, str>> = sources.iter().map(view::label).collect();
    let hint = format!(": `{store}` looks in {}", sources.join(", "));
    Error::Missing { what: "secret", name: name.escape_debug().to_string(), hint }
}

/// The key that `sealed` was sealed with.
fn find_key<'k>(
    keys: &'k [Key],
    sealed: &Sealed<'_>,
    secret: &str,
    path: &Path,
) -> Result<&'k Key, Error> {
    keys.iter().find(|key| key.id == sealed.id).ok_or_else(|| {
        let hint = if keys.is_empty() {
            "copy the file from the node that stored it, or delete the secret"
        } else {
            "the file was replaced, or another node stored it; copy its file here, or delete the secret"
        };
        let (secret, id) = (secret.to_owned(), sealed.id.to_string());
        key_error(KeyError::Unknown { secret, id, path: path.to_owned(), hint })
    })
}

fn key_error(error: KeyError) -> Error {
    Error::Key(Arc::new(error))
}

fn check_name(name: &str) -> Result<(), Error> {
    let (size, limit) = (name.len(), SECRET_NAME_LEN_MAX);
    if size > limit {
        return Err(Error::TooLarge { what: "bytes in the name of a secret", size, limit });
    }
    if name.is_empty() || name.contains(|c: char| c.is_control() || c == '}') {
        let message = "the name of a secret must not be empty, nor have control characters or `}`";
        return Err(Error::Invalid(message.to_owned()));
    }
    Ok(())
}

fn check(name: &str, value: &Secret) -> Result<(), Error> {
    check_name(name)?;
    let (size, limit) = (value.expose().len(), SECRET_VALUE_LEN_MAX);
    if size > limit {
        return Err(Error::TooLarge { what: "bytes in the secret", size, limit });
    }
    Ok(())
}
