//! Reading and replacing the versions of a key in the engine.

use super::{
    CONFIG_KEYS_MAX, CONFIG_SIZE_MAX, HISTORY_MAX, Names, Next, Shared, Version, bounded, record,
};
use crate::{error::Error, follow::Pause};
use ports::kv::{Entry, Is, Life, Outcome, Range, Transaction};
use std::collections::BTreeMap;

/// How often a change without an expected version is tried when others change the key at the same time.
const TRIES_MAX: u32 = 16;

impl Shared {
    /// Puts `next` in force and returns its version, or the one in force when that is the same; `None`: there is nothing
    /// to delete. Tries again when somebody else
    /// was first, as long as that is what the caller expects.
    pub(super) async fn change(
        &self,
        names: &Names,
        next: Next,
        expected: Option<u64>,
        by: &str,
    ) -> Result<Option<u64>, Error> {
        let mut pause = Pause::default();
        for _ in 0..TRIES_MAX {
            let current = self.current(names).await?;
            let in_force = current.as_ref().filter(|(version, _)| version.value.is_some());
            let found = in_force.map_or(0, |(version, _)| version.version);
            if let Some(expected) = expected.filter(|expected| *expected != found) {
                let text = |version: u64| (version > 0).then(|| version.to_string());
                let (expected, found) = (text(expected), text(found));
                return Err(Error::Conflict { key: names.key.clone(), expected, found });
            }
            if next.value.is_none() && in_force.is_none() {
                return Ok(None);
            }
            if let Some((version, entry)) = current.as_ref().filter(|(now, _)| next.is(now)) {
                // Another node may have set it, and who asked here reads it at once all the same.
                self.mirror.want(entry.modified);
                return Ok(Some(version.version));
            }
            if let Some(version) = self.try_put(names, &next, current.as_ref(), by).await? {
                return Ok(Some(version));
            }
            pause.wait().await;
        }
        Err(Error::Invalid(format!("`{}` is changed by others all the time", names.key)))
    }

    /// Puts `next` in force in place of `current`; `None`: somebody else was first.
    pub(super) async fn try_put(
        &self,
        names: &Names,
        next: &Next,
        current: Option<&(Version, Entry)>,
        by: &str,
    ) -> Result<Option<u64>, Error> {
        let version = Version {
            version: current.map_or(1, |(before, _)| before.version + 1),
            value: next.value.clone(),
            metadata: next.metadata.clone(),
            changed: self.engine.clock().date(),
            by: by.to_owned(),
            restores: next.restores,
        };
        let is = current.map_or(Is::Missing, |(_, entry)| Is::ModifiedAt(entry.modified));
        let record = record::encode(&version);
        let mut transaction = Transaction::default().when(names.now.clone(), is).and_put(
            names.now.clone(),
            record,
            Life::Endless,
        );
        if let Some((before, entry)) = current {
            let value = entry.value.clone();
            transaction = transaction.and_put(names.past(before.version), value, Life::Endless);
        }
        if let Some(oldest) = version.version.checked_sub(HISTORY_MAX).filter(|n| *n > 0) {
            transaction = transaction.and_delete(names.past(oldest));
        }
        match self.engine.commit(transaction).await? {
            Outcome::Committed { revision } => {
                self.mirror.want(revision);
                Ok(Some(version.version))
            }
            Outcome::Refused { .. } => Ok(None),
        }
    }

    /// The version in force, or the one that says that it was deleted, as the engine has it.
    async fn current(&self, names: &Names) -> Result<Option<(Version, Entry)>, Error> {
        let Some(entry) = self.engine.get(&names.now).await? else { return Ok(None) };
        Ok(Some((record::decode(&names.key, &entry)?, entry)))
    }

    /// All versions that are kept, the newest first.
    pub(super) async fn versions(&self, names: &Names) -> Result<Vec<Version>, Error> {
        // In this order: what moves to the past in between is found twice, the other way round not at all.
        let current = self.current(names).await?;
        let past = Range::prefix(names.past.clone().into());
        let (past, ..) = self.engine.all(&past, usize::MAX).await?;
        let mut versions = BTreeMap::new();
        for entry in &past {
            let version = record::decode(&names.key, entry)?;
            versions.insert(version.version, version);
        }
        if let Some((version, _)) = current {
            versions.retain(|number, _| *number < version.version);
            versions.insert(version.version, version);
        }
        Ok(versions.into_values().rev().collect())
    }

    /// Whether there is room for a value: all are in memory.
    pub(super) fn check_room(&self, names: &Names, value: &str) -> Result<(), Error> {
        let table = self.mirror.table();
        let before = table.entries.get(names.now.as_bytes());
        let count = table.entries.len() + usize::from(before.is_none());
        bounded("keys of configuration", count, CONFIG_KEYS_MAX)?;
        let own = before.map_or(0, |entry| entry.value.len());
        bounded("bytes of configuration", table.size - own + value.len(), CONFIG_SIZE_MAX)
    }
}
