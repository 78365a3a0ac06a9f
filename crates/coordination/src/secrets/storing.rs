//! Keeping secrets in the engine: where, and under which key.

use super::{
    Key, KeyError, KeyFile, SECRETS_MAX, Sealed, Shared, check_name, find_key, key_error, namespace,
};
use crate::error::Error;
use ports::kv::Entry;
use std::sync::{Arc, PoisonError};
use tokio::sync::OwnedMutexGuard;

/// Nobody else seals, or rotates, while one of these is there.
pub(super) type Sealing = Arc<OwnedMutexGuard<()>>;

impl Shared {
    /// Waits until nobody else seals.
    pub(super) async fn begin_sealing(&self) -> Sealing {
        Arc::new(Arc::clone(&self.sealing).lock_owned().await)
    }

    /// The key in the engine of a secret of a store.
    pub(super) fn place(&self, store: &str, name: &str) -> Result<String, Error> {
        check_name(name)?;
        let settings = self.settings(store)?;
        let Some(namespace) = namespace(&settings) else {
            let message = format!("secrets of `{store}` are not stored: it only reads them");
            return Err(Error::Unsupported(message));
        };
        Ok(format!("{}{namespace}/{name}", self.root))
    }

    /// The key to seal with. All that is stored, but for what is about to be replaced, must be sealed with keys of this
    /// node: else it would have a key that others miss, and miss one that others have.
    pub(super) async fn sealing_key(&self, sealing: &Sealing, place: &str) -> Result<Key, Error> {
        let entries = self.stored();
        if entries.len() >= SECRETS_MAX
            && !entries.iter().any(|entry| *entry.key == *place.as_bytes())
        {
            let (size, limit) = (entries.len() + 1, SECRETS_MAX);
            return Err(Error::TooLarge { what: "stored secrets", size, limit });
        }
        let others = entries.into_iter().filter(|entry| *entry.key != *place.as_bytes());
        let others: Vec<Entry> = others.collect();
        let keys = self.with_key_file(sealing, KeyFile::keys).await?;
        for entry in &others {
            let name = self.name(entry);
            let sealed = Sealed::read(&name, &entry.value)?;
            find_key(&keys, &sealed, &name, &self.key_path)?;
        }
        self.with_key_file(sealing, KeyFile::active).await
    }

    /// Does something with the key file, where blocking is allowed. It is done even if the call is dropped, so nobody
    /// else begins before it has ended.
    pub(super) async fn with_key_file<T: Send + 'static>(
        &self,
        sealing: &Sealing,
        act: impl FnOnce(&mut KeyFile) -> Result<T, KeyError> + Send + 'static,
    ) -> Result<T, Error> {
        let (file, sealing) = (Arc::clone(&self.key_file), Arc::clone(sealing));
        let done = runtime::blocking(move || {
            let done = act(&mut file.lock().unwrap_or_else(PoisonError::into_inner));
            drop(sealing);
            done
        });
        done.await.map_err(key_error)
    }

    /// What is stored, as the copy in memory has it.
    fn stored(&self) -> Vec<Entry> {
        self.mirror.table().entries.values().cloned().collect()
    }

    /// The name of a stored secret, for people.
    pub(super) fn name(&self, entry: &Entry) -> String {
        let key = String::from_utf8_lossy(&entry.key);
        let own = key.strip_prefix(&self.root).unwrap_or(&key);
        own.split_once('/').map_or(own, |(_, name)| name).to_owned()
    }
}
