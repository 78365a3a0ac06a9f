//! Why an engine did not do it, told apart by what the caller can do about it.

use super::{LeaseId, Revision};
use std::sync::Arc;

/// Why the engine did not do it. What the caller can do about it tells the variants apart.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// It cannot serve now; nothing was applied. Try again later.
    #[error("the kv engine at {place} does not answer")]
    Unavailable {
        /// Where it is.
        place: String,
        /// Why.
        #[source]
        cause: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// The write may or may not have been applied: read before writing again.
    #[error("the kv engine at {place} broke off: the write may have been applied or not")]
    Unknown {
        /// Where it is.
        place: String,
        /// Why.
        #[source]
        cause: Arc<dyn std::error::Error + Send + Sync>,
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
    /// The lease has ended or never was.
    #[error("lease {:x} is not alive", .0.0)]
    LeaseGone(LeaseId),
    /// The history that was asked for is not kept any more: read anew, and watch from there.
    #[error("history up to revision {compacted} is not kept any more")]
    Compacted {
        /// The last revision that is gone.
        compacted: Revision,
    },
    /// This engine does not offer it.
    #[error("{0} is not offered by this engine")]
    Unsupported(&'static str),
    /// The engine refuses for good: wrong credentials, a damaged store. Somebody must act.
    #[error("the kv engine at {place} refuses")]
    Refused {
        /// Where it is.
        place: String,
        /// Why.
        #[source]
        cause: Arc<dyn std::error::Error + Send + Sync>,
    },
}

/// Whether the same call may be made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Yes, after a pause.
    Later,
    /// Only after reading what has become of it.
    AfterReading,
    /// No: it will fail again.
    Never,
}

impl Error {
    /// Whether the same call may be made again.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::Unavailable { .. } => Retry::Later,
            Self::Unknown { .. } | Self::Compacted { .. } => Retry::AfterReading,
            Self::TooLarge { .. }
            | Self::Invalid(_)
            | Self::LeaseGone(_)
            | Self::Unsupported(_)
            | Self::Refused { .. } => Retry::Never,
        }
    }
}
