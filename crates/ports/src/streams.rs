//! Where events are kept as the truth: streams of events under one global order, for event sourcing.
//!
//! ```text
//!  append(account-7, expected: revision 3, [deposited, noted]) ──► all or nothing ──► durable ──► acknowledged
//!        │
//!        ├── the stream:  revision 4, 5          (from 0, no gaps)
//!        └── all events:  position 1207, 1208    (from 1, no gaps, in the order of the log)
//! ```
//!
//! The ideas are those of KurrentDB (streams, expected revisions, idempotence by event id) and of the specification of dynamic
//! consistency boundaries (dcb.events: append when no event that matches a query came after a position).
//!
//! Contract, beyond what stands at each method:
//! - *Durability.* As for [`crate::broker`]: an acknowledged event survives as far as the engine's capabilities say.
//! - *Order.* Positions are given in the order of the log and have no gaps: whoever has read position `n` has seen everything
//!   before it, for ever. The events of one append stand next to each other.
//! - *Atomicity.* The expectation and the condition are checked, and all events appended, at one moment.
//! - *Idempotence.* An append whose first event's id is in the stream already, followed by the same ids in the same order, is
//!   answered as it was then, whatever it expects. Ids are kept as long as the events. An append in which only some ids are
//!   there is [`Error::Conflict`].
//! - *Reads* after an acknowledgement see what was acknowledged.

use async_trait::async_trait;
use base::Timestamp;
use bytes::Bytes;
use std::fmt;

mod check;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod error;
mod query;

pub use check::{check, check_stream};
pub use error::Error;
pub use query::{Item, Query, category};

/// Longest name of a stream in bytes.
pub const STREAM_LEN_MAX: usize = 200;
/// Longest id, type, and tag of an event in bytes.
pub const WORD_LEN_MAX: usize = 256;
/// Most tags of an event.
pub const TAGS_MAX: usize = 16;
/// Most items of a query, and most types, and most tags of an item.
pub const QUERY_MAX: usize = 16;
/// Most bytes of an event: data, metadata, id, type and tags together.
pub const EVENT_SIZE_MAX: usize = 1 << 20;
/// Most events of one append.
pub const APPEND_MAX: usize = 500;
/// Most bytes of one append.
pub const APPEND_SIZE_MAX: usize = 8 << 20;
/// Most events of one page.
pub const PAGE_MAX: usize = 1_000;

/// Where an event stands among all: from 1, no gaps. `Position(0)` is before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What a stream must be like for an append.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expected {
    /// Anything.
    #[default]
    Any,
    /// Without any event.
    NoStream,
    /// With at least one event.
    Exists,
    /// Its last event has this revision.
    Revision(u64),
}

/// An event as it is appended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewEvent {
    /// Tells it apart from all others of its stream; visible ASCII. Required: without it no retry is safe.
    pub id: String,
    /// What happened, `deposited`.
    pub kind: String,
    /// What it is about beside its stream, `course:7`; sorted or not, each once.
    pub tags: Vec<String>,
    /// The facts.
    pub data: Bytes,
    /// What the application says of them; not interpreted, may be empty.
    pub metadata: Bytes,
}

/// An event as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Where it stands among all.
    pub position: Position,
    /// Its stream.
    pub stream: String,
    /// Where it stands in its stream: from 0, no gaps.
    pub revision: u64,
    /// When it was appended.
    pub time: Timestamp,
    /// See [`NewEvent::id`].
    pub id: String,
    /// See [`NewEvent::kind`].
    pub kind: String,
    /// See [`NewEvent::tags`].
    pub tags: Vec<String>,
    /// See [`NewEvent::data`].
    pub data: Bytes,
    /// See [`NewEvent::metadata`].
    pub metadata: Bytes,
}

/// Refuses an append when anything happened meanwhile that matters to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// What matters.
    pub query: Query,
    /// What the caller has seen: events up to this position do not count.
    pub after: Position,
}

/// Events to be appended together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// The stream: 1 to [`STREAM_LEN_MAX`] bytes, no control characters. What stands before its first `-` is its category.
    pub stream: String,
    /// What it must be like.
    pub expected: Expected,
    /// What else must be so.
    pub condition: Option<Condition>,
    /// 1 to [`APPEND_MAX`] events.
    pub events: Vec<NewEvent>,
}

/// Where events were appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The revision of the last of them.
    pub revision: u64,
    /// The position of the last of them.
    pub position: Position,
    /// They were there already.
    pub duplicate: bool,
}

/// The order of reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// Oldest first.
    #[default]
    Forwards,
    /// Newest first.
    Backwards,
}

/// Some events, in the order that was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The events.
    pub events: Vec<Event>,
    /// Where to go on: the revision (of one stream) or position (of all) of the next page's first candidate; `None`: there is no
    /// more at the moment.
    pub next: Option<u64>,
}

/// A stream at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamStatus {
    /// Its name.
    pub name: String,
    /// The revision of its last event.
    pub revision: u64,
    /// The position of its last event.
    pub position: Position,
    /// When that was appended.
    pub time: Timestamp,
}

/// All streams at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// The last position that was given.
    pub position: Position,
    /// How many streams there are.
    pub streams: u64,
    /// Bytes on disk.
    pub bytes: u64,
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("anything"),
            Self::NoStream => f.write_str("no event"),
            Self::Exists => f.write_str("an event"),
            Self::Revision(revision) => write!(f, "revision {revision}"),
        }
    }
}

/// An engine. Cheap to share; every method may be called from many tasks at once.
#[async_trait]
pub trait Streams: Send + Sync + fmt::Debug {
    /// Appends events; durable when it returns.
    ///
    /// # Errors
    /// [`Error::WrongRevision`], [`Error::ConditionFailed`], [`Error::Conflict`].
    ///
    /// # Cancel safety
    /// Not cancel safe: a dropped call may or may not have appended. The same append again tells.
    async fn append(&self, append: Append) -> Result<Appended, Error>;

    /// Reads one stream from revision `from` on, itself included (`None`: from the end that the direction begins at), at most
    /// `limit` events (1 to [`PAGE_MAX`], more is taken as that). An engine may give fewer at once, at least one if there is
    /// one.
    ///
    /// # Errors
    /// [`Error::NoStream`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    async fn read(
        &self,
        stream: &str,
        from: Option<u64>,
        direction: Direction,
        limit: usize,
    ) -> Result<Page, Error>;

    /// Reads the events of all streams that match `query` from position `from` on, itself included, otherwise as
    /// [`Self::read`]. A page may be empty and still have a [`Page::next`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    async fn read_all(
        &self,
        query: &Query,
        from: Option<Position>,
        direction: Direction,
        limit: usize,
    ) -> Result<Page, Error>;

    /// Waits until an event has a position after `after`, and answers the last position then. Wakes without a reason
    /// sometimes. With [`Self::read_all`] this is a subscription that catches up and stays.
    ///
    /// # Errors
    /// [`Error::Unavailable`]: the engine ends.
    ///
    /// # Cancel safety
    /// Cancel safe.
    async fn wait(&self, after: Position) -> Result<Position, Error>;

    /// What a stream is like; `None`: it has no events.
    ///
    /// # Cancel safety
    /// Cancel safe.
    async fn stream(&self, stream: &str) -> Result<Option<StreamStatus>, Error>;

    /// The streams whose names begin with `prefix`, by name, from `from` on, at most `limit` (1 to [`PAGE_MAX`]).
    ///
    /// # Cancel safety
    /// Cancel safe.
    async fn streams(
        &self,
        prefix: &str,
        from: Option<&str>,
        limit: usize,
    ) -> Result<Vec<StreamStatus>, Error>;

    /// What all of it is like.
    ///
    /// # Cancel safety
    /// Cancel safe.
    async fn status(&self) -> Result<Status, Error>;
}
