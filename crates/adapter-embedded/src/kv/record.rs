//! What stands in the log.

use bytes::Bytes;
use ports::kv::{Event, Revision};

use super::row::{Bits, Row, own, put_bytes, put_number};

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Record {
    /// Keys changed, or a lease ended, or both.
    Change(Changed),
    /// A lease was granted.
    Grant { lease: u64, ttl: u32 },
    /// History up to this revision may go.
    Compact { revision: u64 },
}

/// All that one transaction did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Changed {
    /// Its revision; 0 when no key changed.
    pub(super) revision: u64,
    /// The lease that ended and took the keys along; 0: none.
    pub(super) ended: u64,
    pub(super) effects: Vec<Effect>,
}

/// What became of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Effect {
    pub(super) key: Bytes,
    /// `None`: it was deleted.
    pub(super) row: Option<Row>,
    /// The lease it had before; 0: none. Here so that nothing has to be read to let go of it.
    pub(super) left: u64,
}

const CHANGE: u8 = 1;
const GRANT: u8 = 2;
const COMPACT: u8 = 3;
const DELETED: u8 = 0;
const PUT: u8 = 1;

impl Record {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Change(Changed { revision, ended, effects }) => {
                out.push(CHANGE);
                put_number(out, *revision);
                put_number(out, *ended);
                put_number(out, u64::try_from(effects.len()).unwrap_or(u64::MAX));
                for effect in effects {
                    effect.encode(out);
                }
            }
            Self::Grant { lease, ttl } => {
                out.push(GRANT);
                put_number(out, *lease);
                put_number(out, (*ttl).into());
            }
            Self::Compact { revision } => {
                out.push(COMPACT);
                put_number(out, *revision);
            }
        }
    }

    /// Reads the next one. `None`: there is none that this release knows.
    pub(super) fn decode(bits: &mut Bits<'_>) -> Option<Self> {
        match bits.byte()? {
            CHANGE => {
                let (revision, ended) = (bits.number()?, bits.number()?);
                // The number is not trusted for taking memory.
                let effects = (0..bits.number()?).map(|_| Effect::decode(bits));
                let effects = effects.collect::<Option<_>>()?;
                Some(Self::Change(Changed { revision, ended, effects }))
            }
            GRANT => {
                let lease = bits.number()?;
                Some(Self::Grant { lease, ttl: u32::try_from(bits.number()?).ok()? })
            }
            COMPACT => Some(Self::Compact { revision: bits.number()? }),
            _ => None,
        }
    }
}

impl Effect {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(if self.row.is_some() { PUT } else { DELETED });
        put_bytes(out, &self.key);
        put_number(out, self.left);
        if let Some(row) = &self.row {
            for number in [row.created, row.version, row.lease, row.own_ttl.into()] {
                put_number(out, number);
            }
            put_bytes(out, &row.value);
        }
    }

    fn decode(bits: &mut Bits<'_>) -> Option<Self> {
        let is_put = match bits.byte()? {
            PUT => true,
            DELETED => false,
            _ => return None,
        };
        let key = bits.bytes()?;
        let left = bits.number()?;
        if !is_put {
            return Some(Self { key: Bytes::copy_from_slice(key), row: None, left });
        }
        let (created, version, lease) = (bits.number()?, bits.number()?, bits.number()?);
        let own_ttl = u32::try_from(bits.number()?).ok()?;
        let (key, value) = own(key, bits.bytes()?);
        Some(Self { key, row: Some(Row { created, version, lease, own_ttl, value }), left })
    }

    /// As a watch is told.
    pub(super) fn event(&self, revision: u64) -> Event {
        match &self.row {
            Some(row) => Event::Put(row.entry(self.key.clone(), revision)),
            None => Event::Delete { key: self.key.clone(), revision: Revision(revision) },
        }
    }
}
