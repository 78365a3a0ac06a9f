//! Why something was not done, told apart by what the caller can do about it.

use crate::{Gid, InvalidGid};
use logic::tx::{InvalidPlan, Refused};
use ports::kv;

/// Why it was not done.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The kv engine did not do it.
    #[error("the transaction could not be kept")]
    Kv(#[from] kv::Error),
    /// There is no such transaction.
    #[error("there is no transaction `{0}`")]
    Missing(Gid),
    /// No transaction of that name is defined in the file.
    #[error("no transaction `{name}` is defined{hint}")]
    NoDefinition {
        /// The name.
        name: String,
        /// What may have been meant, beginning with punctuation; may be empty.
        hint: String,
    },
    /// There is one of that name, and it asks for something else.
    #[error("there is a transaction `{0}` already that asks for something else")]
    Conflict(Gid),
    /// It cannot be meant so.
    #[error("{0}")]
    Invalid(String),
    /// It is not in a state for that.
    #[error("transaction `{gid}`: {why}")]
    Refused {
        /// Which.
        gid: Gid,
        /// Why.
        why: Refused,
    },
    /// Larger than is kept.
    #[error("the record of the transaction has {size} bytes, {limit} are allowed")]
    TooLarge {
        /// Its size.
        size: usize,
        /// The bound.
        limit: usize,
    },
    /// As many run as may.
    #[error("{0} transactions run already")]
    TooMany(usize),
    /// The node ends.
    #[error("the node is stopping")]
    Stopping,
}

impl From<InvalidGid> for Error {
    fn from(error: InvalidGid) -> Self {
        Self::Invalid(error.to_string())
    }
}

impl From<InvalidPlan> for Error {
    fn from(error: InvalidPlan) -> Self {
        Self::Invalid(error.to_string())
    }
}
