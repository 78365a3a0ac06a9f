//! Why something was not done, told apart by what the caller can do about it.

use ports::{broker, kv, streams};

/// Why it was not done.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The broker did not do it.
    #[error(transparent)]
    Broker(#[from] broker::Error),
    /// The event store did not do it.
    #[error(transparent)]
    Streams(#[from] streams::Error),
    /// The kv engine did not do it: what is delayed, scheduled or checkpointed is kept there.
    #[error("{what} could not be kept")]
    Kv {
        /// What it was about.
        what: &'static str,
        /// Why.
        #[source]
        cause: kv::Error,
    },
    /// There is no such thing.
    #[error("there is no {what} `{name}`{hint}")]
    Missing {
        /// What it would be.
        what: &'static str,
        /// Its name.
        name: String,
        /// What can be done, beginning with punctuation; may be empty.
        hint: String,
    },
    /// It is there already, and the caller said that it must not be.
    #[error("there is a {what} `{name}` already")]
    Exists {
        /// What it is.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// It cannot be meant so.
    #[error("{0}")]
    Invalid(String),
    /// More than is kept.
    #[error("{count} {what}, {limit} are allowed")]
    TooMany {
        /// What was counted.
        what: &'static str,
        /// How many there would be.
        count: usize,
        /// The bound.
        limit: usize,
    },
    /// The node ends.
    #[error("the node is stopping")]
    Stopping,
}
