//! What keys and ranges are called in etcd: the caller's names below the prefix.

use bytes::Bytes;
use ports::kv::{Entry, LeaseId, Range, Revision};
use proto::etcd::mvccpb::KeyValue;
use std::num::NonZeroU64;

#[cfg(test)]
mod tests;

/// The prefix of all keys.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    prefix: Bytes,
}

/// A range as etcd's requests have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// The first key; never empty, which etcd refuses.
    pub(crate) key: Bytes,
    /// Empty: only `key`. A zero byte: all keys from `key` on. Else the first key that is not in it.
    pub(crate) end: Bytes,
}

impl Names {
    pub(crate) fn new(prefix: &str) -> Self {
        Self { prefix: Bytes::copy_from_slice(prefix.as_bytes()) }
    }

    /// The name of a key in etcd.
    pub(crate) fn full(&self, key: &[u8]) -> Bytes {
        if self.prefix.is_empty() {
            return Bytes::copy_from_slice(key);
        }
        [&self.prefix, key].concat().into()
    }

    /// The caller's name of a key; `None`: it is not ours.
    pub(crate) fn own(&self, key: &Bytes) -> Option<Bytes> {
        key.starts_with(&self.prefix).then(|| key.slice(self.prefix.len()..))
    }

    /// A key that we may read, whether it is there or not.
    pub(crate) fn any(&self) -> Bytes {
        if self.prefix.is_empty() { Bytes::from_static(b"\0") } else { self.prefix.clone() }
    }

    /// A range in etcd; `None`: no key can be in it. That must be told apart here, because an empty end means
    /// something else to etcd.
    pub(crate) fn span(&self, range: &Range) -> Option<Span> {
        if range.is_empty() {
            return None;
        }
        let mut key = self.full(&range.from);
        if key.is_empty() {
            // The first key there can be.
            key = Bytes::from_static(b"\0");
        }
        let to = match &range.to {
            Some(to) => Some(self.full(to)),
            None => Range::prefix(self.prefix.clone()).to,
        };
        let Some(end) = to else {
            return Some(Span { key, end: Bytes::from_static(b"\0") });
        };
        if end <= key {
            return None;
        }
        let is_one = end.len() == key.len() + 1 && end.starts_with(&key) && end.ends_with(b"\0");
        Some(Span { key, end: if is_one { Bytes::new() } else { end } })
    }

    /// An entry as the caller knows it; `None`: it is not ours.
    pub(crate) fn entry(&self, from: KeyValue) -> Option<Entry> {
        Some(Entry {
            key: self.own(&from.key)?,
            value: from.value,
            created: revision(from.create_revision),
            modified: revision(from.mod_revision),
            version: u64::try_from(from.version).unwrap_or(0),
            lease: lease(from.lease),
        })
    }
}

/// A revision as etcd has it. None of etcd's is negative.
pub(crate) fn revision(number: i64) -> Revision {
    Revision(u64::try_from(number).unwrap_or(0))
}

/// A revision for etcd, which never gets beyond this type's range.
pub(crate) fn number(revision: Revision) -> i64 {
    i64::try_from(revision.0).unwrap_or(i64::MAX)
}

/// A lease as etcd has it; 0 means none.
pub(crate) fn lease(number: i64) -> Option<LeaseId> {
    u64::try_from(number).ok().and_then(NonZeroU64::new).map(LeaseId)
}

/// A lease for etcd. One that is out of range is none that etcd granted, and neither is the last of the range.
pub(crate) fn lease_number(lease: LeaseId) -> i64 {
    i64::try_from(lease.0.get()).unwrap_or(i64::MAX)
}
