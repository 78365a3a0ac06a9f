//! What is said of state.

use crate::error::Error;
use base::Timestamp;
use bytes::Bytes;
use ports::kv;
use std::{fmt, str::FromStr, time::Duration};

/// Longest key in bytes, a prefix for the service included: what the engine takes, less what stands before it there.
pub const KEY_LEN_MAX: usize = kv::KEY_MAX - 256;

/// Longest value in bytes: what the engine takes, less what is noted with it.
pub const VALUE_LEN_MAX: usize = kv::VALUE_MAX - 512;

/// Longest content type in bytes; RFC 6838 §4.2 allows 127 for each half of its name.
pub const CONTENT_TYPE_LEN_MAX: usize = 255;

/// Most operations of one transaction.
pub const OPERATIONS_MAX: usize = kv::OPERATIONS_MAX;

/// Most items of one scan.
pub const SCAN_MAX: usize = kv::PAGE_MAX;

/// Which of the values that a key has had: the revision of the write. Never the same for two values of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Etag(pub u64);

impl fmt::Display for Etag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl FromStr for Etag {
    type Err = Error;

    /// Reads what it prints, and nothing else that looks like a number.
    fn from_str(text: &str) -> Result<Self, Error> {
        let etag = text.parse().map(Self).ok().filter(|etag| etag.to_string() == text);
        etag.ok_or_else(|| Error::BadEtag(text.escape_debug().take(64).collect()))
    }
}

/// What must hold of a key for it to be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Match {
    /// Nothing: the last write wins.
    #[default]
    Any,
    /// It is missing: the first write wins.
    Missing,
    /// It is there, with this etag.
    Etag(Etag),
}

/// How long a value stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ttl {
    /// As the store is set up.
    #[default]
    Store,
    /// Until it is deleted.
    Endless,
    /// This long, in whole seconds, rounded up; [`kv::TTL_MAX`] at most. A durable engine that was restarted
    /// may keep it longer, by this time at most.
    After(Duration),
}

impl Ttl {
    /// As Dapr means it: nothing leaves it to the store, 0 and less mean endless.
    #[must_use]
    pub fn from_seconds(seconds: Option<i64>) -> Self {
        match seconds.map(u64::try_from) {
            None => Self::Store,
            Some(Ok(seconds)) if seconds > 0 => Self::After(Duration::from_secs(seconds)),
            Some(_) => Self::Endless,
        }
    }
}

/// What makes a write depend on a lock: it is applied only if the lock is still held under this token.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence {
    /// The store of the lock.
    pub store: String,
    /// The lock's resource.
    pub resource: String,
    /// The token of the grant.
    pub token: u64,
}

/// A value that shall be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Write {
    /// 1 to [`KEY_LEN_MAX`] bytes.
    pub key: String,
    /// At most [`VALUE_LEN_MAX`] bytes.
    pub value: Bytes,
    /// What must hold of the key.
    pub etag: Match,
    /// How long it stays.
    pub ttl: Ttl,
    /// What kind of value it is; at most [`CONTENT_TYPE_LEN_MAX`] bytes.
    pub content_type: Option<String>,
    /// The lock it depends on.
    pub fence: Option<Fence>,
}

impl Write {
    /// A write that always wins and stays.
    #[must_use]
    pub fn new(key: impl Into<String>, value: impl Into<Bytes>) -> Self {
        Self { key: key.into(), value: value.into(), ..Self::default() }
    }
}

/// One step of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateOp {
    /// Writes a value.
    Put(Write),
    /// Deletes a key. One that is missing is no conflict unless an etag is asked for.
    Delete {
        /// The key.
        key: String,
        /// What must hold of it.
        etag: Match,
        /// The lock it depends on.
        fence: Option<Fence>,
    },
}

/// A value that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The key.
    pub key: String,
    /// The value.
    pub value: Bytes,
    /// Which of its values it is.
    pub etag: Etag,
    /// What kind of value it is.
    pub content_type: Option<String>,
    /// When it ends, if nobody writes it before; the engine may take longer.
    pub expires: Option<Timestamp>,
}

/// Items next to each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// In the order of the keys' bytes.
    pub items: Vec<Item>,
    /// What to give as `after` for those that follow, if there are more.
    pub next: Option<String>,
    /// When this was so: a watch after it misses nothing.
    pub revision: u64,
}

/// All that one revision changed, within what is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateChange {
    /// The revision: what to give as `after` to go on behind it.
    pub revision: u64,
    /// What happened; each key at most once, in no promised order.
    pub events: Vec<StateEvent>,
}

/// What happened to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateEvent {
    /// It was written.
    Put(Item),
    /// It was deleted, it ended, or there was no room for it.
    Delete {
        /// The key.
        key: String,
    },
}

/// How full a cache is, and how it is used. The counts only grow, from the start of the node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Values.
    pub items: u64,
    /// Bytes that they take, keys and what is needed to keep them included.
    pub bytes: u64,
    /// Most bytes.
    pub bytes_max: u64,
    /// Reads that found a value.
    pub hits: u64,
    /// Reads that found none.
    pub misses: u64,
    /// Values that had to go for others.
    pub evictions: u64,
    /// Values whose time had come.
    pub expirations: u64,
}
