//! Why an engine did not do it, told apart by what the caller can do about it.

use super::Position;
use crate::broker::Cause;
use std::fmt;

/// Why the engine did not do it. What the caller can do about it tells the variants apart.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The stream is not as expected; nothing was appended.
    #[error("stream `{stream}` {}, {expected} was expected", At(*actual))]
    WrongRevision {
        /// The stream.
        stream: String,
        /// What was expected, in words.
        expected: String,
        /// The revision of its last event; `None`: it has none.
        actual: Option<u64>,
    },
    /// An event that matters to the append came after the position its caller knew; nothing was appended.
    #[error("event {position} matches the condition and came later than what was known")]
    ConditionFailed {
        /// The position of the first such event.
        position: Position,
    },
    /// Some of the ids are in the stream already, but not as this append has them; nothing was appended.
    #[error("stream `{stream}` has an event with id `{id}` already, beside others than here")]
    Conflict {
        /// The stream.
        stream: String,
        /// The id.
        id: String,
    },
    /// There is no such stream.
    #[error("there is no stream `{0}`")]
    NoStream(String),
    /// Longer or more than any engine takes.
    #[error("{size} {what}, {limit} are allowed")]
    TooLarge {
        /// What was counted.
        what: &'static str,
        /// How much it is.
        size: usize,
        /// The bound.
        limit: usize,
    },
    /// It cannot be meant so.
    #[error("{0}")]
    Invalid(String),
    /// It cannot serve now; nothing was done. Try again later.
    #[error("the event store at {place} does not answer")]
    Unavailable {
        /// Where it is.
        place: String,
        /// Why.
        #[source]
        cause: Cause,
    },
    /// The append may or may not have been done: the same append again tells, because it is idempotent.
    #[error("the event store at {place} broke off: the events may have been appended or not")]
    Unknown {
        /// Where it is.
        place: String,
        /// Why.
        #[source]
        cause: Cause,
    },
    /// More is waiting than the engine wants to hold; nothing was done. Try again a little later.
    #[error("the event store at {place} has too much to do: {what}")]
    Busy {
        /// Where it is.
        place: String,
        /// What is full.
        what: &'static str,
    },
    /// This engine does not offer it.
    #[error("{0} is not offered by this engine")]
    Unsupported(&'static str),
    /// The engine refuses for good: a damaged store. Somebody must act.
    #[error("the event store at {place} refuses")]
    Refused {
        /// Where it is.
        place: String,
        /// Why.
        #[source]
        cause: Cause,
    },
}

struct At(Option<u64>);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(revision) => write!(f, "is at revision {revision}"),
            None => f.write_str("has no events"),
        }
    }
}
