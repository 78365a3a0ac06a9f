//! Sealing all that is stored with a new key.

use super::{
    KeyFile, Rotated, Shared, find_key, key_error, seal::Key, seal::KeyId, seal::Sealed,
    storing::Sealing,
};
use crate::error::Error;
use ports::kv::{Entry, Is, Life, Outcome, Range, Transaction};

impl Shared {
    /// Rotates. At every moment the file has all keys that something is sealed with: the new one before the first
    /// secret is, the old ones until the last one is not.
    pub(super) async fn rotate(&self, sealing: &Sealing) -> Result<Rotated, Error> {
        // Before there is a second key: whether all can be opened.
        let old = self.with_key_file(sealing, KeyFile::keys).await?;
        for entry in self.sealed().await? {
            self.reopen(&old, &entry)?;
        }
        let new = self.with_key_file(sealing, KeyFile::add).await?;
        let keys = self.with_key_file(sealing, KeyFile::keys).await?;
        let mut secrets = 0;
        // Others may store secrets meanwhile, with the key they know: those are found in another round.
        loop {
            let mut is_done = true;
            for entry in self.sealed().await? {
                if Sealed::read(&self.name(&entry), &entry.value)?.id != new.id {
                    is_done = false;
                    secrets += usize::from(self.reseal(&keys, &new, &entry).await?);
                }
            }
            if is_done {
                break;
            }
        }
        // By name, so that a key that came to be in the meantime is not lost.
        let old: Vec<KeyId> = old.iter().map(|key| key.id).collect();
        self.with_key_file(sealing, move |file| file.remove(&old)).await?;
        Ok(Rotated { key: new.id.to_string(), secrets })
    }

    /// Seals a secret with `new`, unless it was changed since it was read.
    async fn reseal(&self, keys: &[Key], new: &Key, entry: &Entry) -> Result<bool, Error> {
        let (place, secret, changed) = self.reopen(keys, entry)?;
        let record = new.seal(&place, &secret, changed).map_err(key_error)?;
        let transaction = Transaction::default()
            .when(place.clone(), Is::ModifiedAt(entry.modified))
            .and_put(place, record, Life::Endless);
        match self.engine.commit(transaction).await? {
            Outcome::Committed { revision } => {
                self.mirror.want(revision);
                Ok(true)
            }
            Outcome::Refused { .. } => Ok(false),
        }
    }

    fn reopen(
        &self,
        keys: &[Key],
        entry: &Entry,
    ) -> Result<(String, super::Secret, base::Timestamp), Error> {
        let name = self.name(entry);
        let place = String::from_utf8_lossy(&entry.key).into_owned();
        let sealed = Sealed::read(&name, &entry.value)?;
        find_key(keys, &sealed, &name, &self.key_path)?;
        let secret = self.open(keys, &place, &name, &sealed)?;
        Ok((place, secret, sealed.changed))
    }

    /// What is stored, as the engine has it.
    async fn sealed(&self) -> Result<Vec<Entry>, Error> {
        let range = Range::prefix(self.root.clone().into());
        Ok(self.engine.all(&range, usize::MAX).await?.0)
    }
}
