//! What is kept of a key, and its bytes in the tree.

use bytes::Bytes;
use ports::kv::{Entry, LeaseId, Revision};
use std::num::NonZeroU64;

pub(super) use crate::bits::{Bits, put_bytes, put_number};

/// A key's value and what is known of it, but for the revision at which it was put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) created: u64,
    pub(super) version: u64,
    /// 0: none.
    pub(super) lease: u64,
    /// Seconds, if the lease is the row's own, else 0.
    pub(super) own_ttl: u32,
    pub(super) value: Bytes,
}

/// What a key was at a revision: the row that was put then, or nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) revision: u64,
    pub(super) row: Option<Row>,
}

impl Row {
    pub(super) fn entry(&self, key: Bytes, revision: u64) -> Entry {
        Entry {
            key,
            value: self.value.clone(),
            created: Revision(self.created),
            modified: Revision(revision),
            version: self.version,
            lease: lease_id(self.lease),
        }
    }
}

pub(super) fn lease_id(number: u64) -> Option<LeaseId> {
    NonZeroU64::new(number).map(LeaseId)
}

/// Key and value in one piece of memory: whoever gave them may have cut them out of a large buffer, which they would
/// keep alive.
pub(super) fn own(key: &[u8], value: &[u8]) -> (Bytes, Bytes) {
    let mut both = Vec::with_capacity(key.len() + value.len());
    both.extend_from_slice(key);
    both.extend_from_slice(value);
    let mut key_part = Bytes::from(both);
    let value_part = key_part.split_off(key.len());
    (key_part, value_part)
}

/// Length of the checksum before a row in the tree.
const CHECK: usize = 4;

/// Writes a row as it stands in the tree, with a checksum over it and its key: the tree reads its pages without looking
/// whether they are as they were written.
pub(super) fn encode(key: &[u8], revision: u64, row: &Row, out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&[0; CHECK]);
    for number in [revision, row.created, row.version, row.lease, row.own_ttl.into()] {
        put_number(out, number);
    }
    out.extend_from_slice(&row.value);
    let check = checksum(key, &out[CHECK..]);
    out[..CHECK].copy_from_slice(&check.to_le_bytes());
}

/// Reads a row of the tree; its value is copied only `with_value`. `None`: it is not as it was written.
pub(super) fn decode(key: &[u8], bytes: &[u8], with_value: bool) -> Option<Version> {
    let (check, rest) = bytes.split_first_chunk::<CHECK>()?;
    if u32::from_le_bytes(*check) != checksum(key, rest) {
        return None;
    }
    let mut bits = Bits(rest);
    let revision = bits.number()?;
    let (created, version, lease) = (bits.number()?, bits.number()?, bits.number()?);
    let own_ttl = u32::try_from(bits.number()?).ok()?;
    let value = if with_value { Bytes::copy_from_slice(bits.0) } else { Bytes::new() };
    Some(Version { revision, row: Some(Row { created, version, lease, own_ttl, value }) })
}

fn checksum(key: &[u8], rest: &[u8]) -> u32 {
    let mut check = crc32fast::Hasher::new();
    check.update(key);
    check.update(rest);
    check.finalize()
}
