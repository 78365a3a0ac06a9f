//! What the log has and the tree has not.

use bytes::Bytes;
use ports::kv::Range;
use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use super::row::Version;

/// What a row costs in memory beside its key and value: its place in the map and what the allocator adds.
const ROW_BYTES: usize = 200;

/// Keys in memory, each with the versions that somebody may still want to read.
#[derive(Debug, Default)]
pub(super) struct Overlay(RwLock<Rows>);

#[derive(Debug, Default)]
pub(super) struct Rows {
    keys: BTreeMap<Bytes, Versions>,
    /// Leases that were granted (with their seconds) or ended; those of single entries stand in their rows.
    pub(super) leases: BTreeMap<u64, Option<u32>>,
    /// Estimated.
    pub(super) bytes: usize,
}

#[derive(Debug)]
struct Versions {
    newest: Version,
    /// Oldest first: for snapshots only, so mostly none. Boxed, because an empty vector is three words too.
    #[expect(clippy::box_collection, reason = "one word in every row, where a vector has three")]
    older: Option<Box<Vec<Version>>>,
}

impl Versions {
    fn at(&self, revision: u64) -> Option<&Version> {
        if self.newest.revision <= revision {
            return Some(&self.newest);
        }
        self.older.iter().flat_map(|older| older.iter().rev()).find(|it| it.revision <= revision)
    }
}

impl Overlay {
    pub(super) fn read(&self) -> RwLockReadGuard<'_, Rows> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, Rows> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest version of a key.
    pub(super) fn get(&self, key: &[u8]) -> Option<Version> {
        self.read().keys.get(key).map(|versions| versions.newest.clone())
    }

    pub(super) fn bytes(&self) -> usize {
        self.read().bytes
    }

    /// The first `limit` keys of `range` as they were at `revision`, with at most about `bytes` of values.
    pub(super) fn page(&self, range: &Range, revision: u64, limit: usize) -> Vec<(Bytes, Version)> {
        let rows = self.read();
        let visible = rows
            .keys
            .range::<[u8], _>(bounds(range))
            .filter_map(|(key, versions)| Some((key.clone(), versions.at(revision)?.clone())));
        visible.take(limit).collect()
    }
}

impl Rows {
    /// Puts the newest version of a key. The one before it is kept if a snapshot at revision `kept` sees it.
    pub(super) fn put(&mut self, key: Bytes, version: Version, kept: Option<u64>) {
        let size = |version: &Version| version.row.as_ref().map_or(0, |row| row.value.len());
        self.bytes += size(&version);
        let key_bytes = key.len();
        match self.keys.entry(key) {
            std::collections::btree_map::Entry::Vacant(entry) => {
                self.bytes += key_bytes + ROW_BYTES;
                entry.insert(Versions { newest: version, older: None });
            }
            std::collections::btree_map::Entry::Occupied(mut entry) => {
                let versions = entry.get_mut();
                let before = std::mem::replace(&mut versions.newest, version);
                if kept.is_some_and(|kept| before.revision <= kept) {
                    self.bytes += ROW_BYTES;
                    versions.older.get_or_insert_default().push(before);
                } else {
                    self.bytes -= size(&before);
                }
            }
        }
    }

    /// All keys with their newest versions.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Bytes, &Version)> {
        self.keys.iter().map(|(key, versions)| (key, &versions.newest))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.leases.is_empty()
    }
}

/// A range as maps take it; an empty one as one that they take too.
pub(super) fn bounds(range: &Range) -> (Bound<&[u8]>, Bound<&[u8]>) {
    let from: &[u8] = &range.from;
    let to = match &range.to {
        Some(to) if **to <= *from => Bound::Excluded(from),
        Some(to) => Bound::Excluded(&**to),
        None => Bound::Unbounded,
    };
    // A range of maps from a key to the same key must not exclude both ends.
    (Bound::Included(from), to)
}
