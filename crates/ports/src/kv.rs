//! Where agreed facts are kept: ordered keys under one global revision, as etcd has them.
//!
//! ```text
//!  commit(conditions, operations) ──► all or nothing, one new revision ──► durable ──► acknowledged
//!                                                   │
//!                                                   ├──► reads after the acknowledgement see it
//!                                                   └──► watches tell it once, in the order of revisions
//! ```
//!
//! Contract, beyond what stands at each method:
//! - *Durability.* What was acknowledged survives the end of the process, of the engine and of the machine. An engine
//!   that cannot keep that any more (an fsync failed, the disk is full) refuses writes with [`Error::Unavailable`]
//!   until it is opened anew or has room again; it never acknowledges by luck.
//! - *Revisions.* One counter for all keys. A transaction that changes something takes exactly the next revision, and
//!   all that it changes carries it. A transaction that changes nothing takes none.
//! - *Linearizability.* Every read and every transaction takes effect at one moment between call and return, over all
//!   clients of the engine.
//! - *Unknown outcomes.* A write that ended in [`Error::Unknown`], or whose future was dropped, may or may not have
//!   been applied, then or a little later; read to learn which. No other error leaves that open.
//! - *Time.* Leases run on the engine's monotonic clock, in whole seconds. A lease never ends before its time to live has passed in
//!   silence; it may end later (an engine that was restarted, or whose leader changed, gives every lease its
//!   full time again). So expiry is no promise of promptness, and a holder stops by its own clock before.

use async_trait::async_trait;
use bytes::Bytes;
use std::{fmt, num::NonZeroU64, time::Duration};

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod error;
mod transaction;

pub use error::{Error, Retry};
pub use transaction::{Condition, Is, Life, Operation, Transaction, check_key, check_ttl};

/// Most conditions, and most operations, of one transaction: what etcd accepts unless told otherwise.
pub const OPERATIONS_MAX: usize = 128;

/// Longest key in bytes.
pub const KEY_MAX: usize = 4 << 10;

/// Longest value in bytes: with its key it fits into what etcd takes in one request (1.5 MiB).
pub const VALUE_MAX: usize = 1 << 20;

/// Most bytes of keys and values in one transaction.
pub const TRANSACTION_SIZE_MAX: usize = (1 << 20) + (256 << 10);

/// Most entries of one page.
pub const PAGE_MAX: usize = 1_000;

/// Longest time to live of a lease.
pub const TTL_MAX: Duration = Duration::from_secs(10 * 365 * 24 * 3_600);

/// A point in the history of the engine. `Revision(0)` is before the first change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

impl Revision {
    /// The one after it.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Names a lease; at most 2⁶³ − 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(pub NonZeroU64);

/// A key and what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Bytes,
    /// Its value.
    pub value: Bytes,
    /// When it came to be: the revision of the first put since it was missing. A fencing token: it grows from
    /// one creation of the key to the next.
    pub created: Revision,
    /// When it was put last.
    pub modified: Revision,
    /// How often it was put since it came to be, from 1.
    pub version: u64,
    /// The lease with which it ends.
    pub lease: Option<LeaseId>,
}

/// Keys next to each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Range {
    /// The first key.
    pub from: Bytes,
    /// The first key that is not in it; `None`: there is none.
    pub to: Option<Bytes>,
}

impl Range {
    /// All keys.
    #[must_use]
    pub fn all() -> Self {
        Self { from: Bytes::new(), to: None }
    }

    /// Only `key`.
    #[must_use]
    pub fn key(key: Bytes) -> Self {
        let mut to = Vec::with_capacity(key.len() + 1);
        to.extend_from_slice(&key);
        to.push(0);
        Self { from: key, to: Some(to.into()) }
    }

    /// All keys that begin with `prefix`.
    #[must_use]
    pub fn prefix(prefix: Bytes) -> Self {
        let kept = prefix.iter().rposition(|byte| *byte != u8::MAX);
        let to = kept.map(|last| {
            let mut to = prefix[..=last].to_vec();
            to[last] += 1;
            Bytes::from(to)
        });
        Self { from: prefix, to }
    }

    /// Whether `key` is in it.
    #[must_use]
    pub fn contains(&self, key: &[u8]) -> bool {
        *key >= *self.from && self.to.as_ref().is_none_or(|to| *key < **to)
    }

    /// Whether no key can be in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.to.as_ref().is_some_and(|to| *to <= self.from)
    }
}

/// What became of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All conditions held, all was done, and it is durable.
    Committed {
        /// Its revision; the engine's present one when it changed nothing.
        revision: Revision,
    },
    /// A condition did not hold; nothing was done.
    Refused {
        /// The engine's revision at that moment.
        revision: Revision,
        /// What the keys of the conditions were at that moment, in the order of the conditions.
        found: Vec<Option<Entry>>,
    },
}

/// Entries at one revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// In the order of keys.
    pub entries: Vec<Entry>,
    /// When this was so.
    pub revision: Revision,
    /// Where the next page begins, when there is one.
    pub next: Option<Bytes>,
}

/// A lease as it was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Its name, never used again.
    pub id: LeaseId,
    /// Its time to live: at least what was asked for, in whole seconds.
    pub ttl: Duration,
}

/// What is known of a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseStatus {
    /// Its whole time to live.
    pub ttl: Duration,
    /// What is left of it, rounded to whole seconds.
    pub remaining: Duration,
    /// The keys that end with it, in order.
    pub keys: Vec<Bytes>,
}

/// What happened to one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It was put.
    Put(Entry),
    /// It was deleted, or its lease ended.
    Delete {
        /// The key.
        key: Bytes,
        /// When.
        revision: Revision,
    },
}

impl Event {
    /// The key.
    #[must_use]
    pub fn key(&self) -> &Bytes {
        match self {
            Self::Put(entry) => &entry.key,
            Self::Delete { key, .. } => key,
        }
    }

    /// When it happened.
    #[must_use]
    pub fn revision(&self) -> Revision {
        match self {
            Self::Put(entry) => entry.modified,
            Self::Delete { revision, .. } => *revision,
        }
    }
}

/// All that one revision changed within a watch's range; never empty, in no promised order of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The revision.
    pub revision: Revision,
    /// What happened; each key at most once.
    pub events: Vec<Event>,
}

/// What an engine is like at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The newest revision.
    pub revision: Revision,
    /// Watches can begin at the revision after this one, or later.
    pub compacted: Revision,
    /// Bytes on disk, as far as it is known.
    pub size: u64,
    /// Living leases, those of single entries not counted; `None`: the engine does not say.
    pub leases: Option<u64>,
    /// Where the engine is, for people: a folder, an address.
    pub place: String,
}

/// What an engine offers. What it does not offer it refuses with [`Error::Unsupported`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Acknowledged writes survive a power cut.
    pub durable: bool,
    /// Transactions over several keys.
    pub transactions: bool,
    /// Leases.
    pub leases: bool,
    /// Watches that can begin in the past.
    pub watches: bool,
    /// Other processes see the same keys.
    pub shared: bool,
}

/// An engine. Cheap to share; every method may be called from many tasks at once.
#[async_trait]
pub trait Kv: Send + Sync + fmt::Debug {
    /// What it offers. The same for its whole life.
    fn capabilities(&self) -> Capabilities;

    /// Reads one key.
    ///
    /// # Cancel safety
    /// Cancel safe.
    async fn get(&self, key: &[u8]) -> Result<Option<Entry>, Error>;

    /// Reads the first `limit` entries of `range` (1 to [`PAGE_MAX`], more is taken as that), all at one revision.
    /// An engine may give fewer at once, at least one if there is one; [`Page::next`] tells whether there are more.
    ///
    /// # Cancel safety
    /// Cancel safe.
    async fn range(&self, range: &Range, limit: usize) -> Result<Page, Error>;

    /// A view of all keys at the present revision, for reading many pages as of one moment. It may hold back the
    /// engine's space: let it go soon.
    ///
    /// # Cancel safety
    /// Cancel safe.
    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, Error>;

    /// Applies `transaction` if its conditions hold; durable when it returns.
    ///
    /// # Errors
    /// [`Error::LeaseGone`] when an operation names a lease that is not alive; nothing was done then.
    ///
    /// # Cancel safety
    /// Not cancel safe: a dropped call may or may not have been applied.
    async fn commit(&self, transaction: Transaction) -> Result<Outcome, Error>;

    /// Grants a lease of `ttl`, 1 s to [`TTL_MAX`]; engines may give more. Durable when it returns.
    ///
    /// # Cancel safety
    /// Not cancel safe: a lease that nobody knows may be left, and ends by itself.
    async fn grant(&self, ttl: Duration) -> Result<Lease, Error>;

    /// Gives a lease its full time again, and returns that.
    ///
    /// # Errors
    /// [`Error::LeaseGone`]: its keys are deleted or about to be.
    ///
    /// # Cancel safety
    /// Cancel safe.
    async fn renew(&self, lease: LeaseId) -> Result<Duration, Error>;

    /// Ends a lease now; its keys are deleted in one revision. One that is gone is no error.
    ///
    /// # Cancel safety
    /// Not cancel safe.
    async fn revoke(&self, lease: LeaseId) -> Result<(), Error>;

    /// Looks at a lease.
    ///
    /// # Errors
    /// [`Error::LeaseGone`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    async fn lease(&self, lease: LeaseId) -> Result<LeaseStatus, Error>;

    /// Watches `range` from revision `from` on, itself included; `None`: from the first change after the call returned
    /// or earlier. A `from` in the future waits for it.
    ///
    /// # Errors
    /// [`Error::Compacted`], here or at the first [`Watch::next`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    async fn watch(&self, range: Range, from: Option<Revision>) -> Result<Box<dyn Watch>, Error>;

    /// Forgets the history up to `revision`, itself included; present values stay. Engines also do so by
    /// themselves. A revision in the future is [`Error::Invalid`], one that is forgotten already is no error.
    ///
    /// # Cancel safety
    /// Not cancel safe.
    async fn compact(&self, revision: Revision) -> Result<(), Error>;

    /// How it is.
    ///
    /// # Cancel safety
    /// Cancel safe.
    async fn status(&self) -> Result<Status, Error>;
}

/// All keys at one revision.
#[async_trait]
pub trait Snapshot: Send + fmt::Debug {
    /// The revision.
    fn revision(&self) -> Revision;

    /// As [`Kv::range`], at [`Self::revision`].
    ///
    /// # Errors
    /// [`Error::Compacted`] where an engine keeps no history for it.
    ///
    /// # Cancel safety
    /// Cancel safe.
    async fn range(&mut self, range: &Range, limit: usize) -> Result<Page, Error>;
}

/// Changes in the order of revisions, without gap and without duplicate.
///
/// A watcher that is slow holds up nobody: it reads from the engine's history, and gets [`Error::Compacted`] when that
/// is forgotten before it came.
#[async_trait]
pub trait Watch: Send + fmt::Debug {
    /// Waits for the next change.
    ///
    /// # Errors
    /// [`Error::Compacted`] ends the watch. So does [`Error::Unavailable`]: watch again from the revision after the
    /// last one that was told.
    ///
    /// # Cancel safety
    /// Cancel safe: a change is told by this call or a later one.
    async fn next(&mut self) -> Result<Change, Error>;
}
