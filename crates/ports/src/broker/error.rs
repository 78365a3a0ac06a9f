//! Why an engine did not do it, told apart by what the caller can do about it.

use super::{GroupName, TopicName};
use std::sync::Arc;

/// What lies behind an error.
pub type Cause = Arc<dyn std::error::Error + Send + Sync>;

/// Why the engine did not do it. What the caller can do about it tells the variants apart.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// It cannot serve now; nothing was done. Try again later.
    #[error("the broker at {place} does not answer")]
    Unavailable {
        /// Where it is.
        place: String,
        /// Why.
        #[source]
        cause: Cause,
    },
    /// It may or may not have been done, then or a little later.
    #[error("the broker at {place} broke off: it may have been done or not")]
    Unknown {
        /// Where it is.
        place: String,
        /// Why.
        #[source]
        cause: Cause,
    },
    /// More is waiting than the engine wants to hold; nothing was done. Try again a little later.
    #[error("the broker at {place} has too much to do: {what}")]
    Busy {
        /// Where it is.
        place: String,
        /// What is full.
        what: &'static str,
    },
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
    /// There is no such topic, or not any more.
    #[error("there is no topic `{0}`")]
    NoTopic(TopicName),
    /// There is no such group, or not any more.
    #[error("topic `{topic}` has no group `{group}`")]
    NoGroup {
        /// The topic.
        topic: TopicName,
        /// The group.
        group: GroupName,
    },
    /// It cannot be done while the group has subscriptions.
    #[error("group `{group}` of topic `{topic}` has subscriptions")]
    InUse {
        /// The topic.
        topic: TopicName,
        /// The group.
        group: GroupName,
    },
    /// This engine does not offer it.
    #[error("{0} is not offered by this broker")]
    Unsupported(&'static str),
    /// The engine refuses for good: wrong credentials, a damaged store. Somebody must act.
    #[error("the broker at {place} refuses")]
    Refused {
        /// Where it is.
        place: String,
        /// Why.
        #[source]
        cause: Cause,
    },
}

/// Whether the same call may be made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Yes, after a pause.
    Later,
    /// Yes, when every message has an id or doing it twice does no harm.
    Idempotent,
    /// No: it will fail again.
    Never,
}

impl Error {
    /// Whether the same call may be made again.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::Unavailable { .. } | Self::Busy { .. } => Retry::Later,
            Self::Unknown { .. } => Retry::Idempotent,
            Self::TooLarge { .. }
            | Self::Invalid(_)
            | Self::NoTopic(_)
            | Self::NoGroup { .. }
            | Self::InUse { .. }
            | Self::Unsupported(_)
            | Self::Refused { .. } => Retry::Never,
        }
    }
}
