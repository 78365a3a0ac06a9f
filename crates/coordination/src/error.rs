//! What can go wrong, told apart by what the caller can do about it.

use crate::{
    config::StoreKind,
    locks::LockInfo,
    secrets::{KeyError, SecretFileError},
};
use ports::kv::{self, Retry};
use std::sync::Arc;

/// Why it was not done. Unless it is [`Error::Unknown`], nothing has changed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// There is no store of this name. The caller must name another.
    #[error("there is no {kind} store `{name}`{}", known_stores(.known))]
    UnknownStore {
        /// What kind was looked for.
        kind: StoreKind,
        /// The name.
        name: String,
        /// Those that exist, in order.
        known: Vec<String>,
    },
    /// It cannot be meant so. The caller must ask otherwise.
    #[error("{0}")]
    Invalid(String),
    /// Longer or more than is allowed. The caller must ask for less.
    #[error("{size} {what}, {limit} are allowed")]
    TooLarge {
        /// What was counted, for example `bytes in the key`.
        what: &'static str,
        /// How much it is.
        size: usize,
        /// The bound.
        limit: usize,
    },
    /// The text is no etag that was ever given out.
    #[error("`{0}` is not an etag: it is a number such as 42")]
    BadEtag(String),
    /// Somebody else was first. Read again, and decide again.
    #[error("`{key}` {}, but {}", expectation(.expected.as_deref()), finding(.found.as_deref()))]
    Conflict {
        /// The key that did not match; in a transaction the first.
        key: String,
        /// The etag or version that was asked for; `None`: that it is missing.
        expected: Option<String>,
        /// What it was; `None`: it is missing.
        found: Option<String>,
    },
    /// The lock that the write depends on is not held any more under this token. Stop, and acquire anew.
    #[error("the lock `{resource}` is not held with token {token} any more{}", current_token(*.current))]
    Stale {
        /// The lock's resource.
        resource: String,
        /// The token of the write.
        token: u64,
        /// The token of whoever holds it now.
        current: Option<u64>,
    },
    /// The caller does not hold the lock: it never did, or its lease ended. Stop, and acquire anew.
    #[error("the lock `{resource}` is not held by `{owner}`{}", holder_of(.holder.as_deref()))]
    NotHeld {
        /// The lock's resource.
        resource: String,
        /// Who asked.
        owner: String,
        /// Who holds it.
        holder: Option<Box<LockInfo>>,
    },
    /// Too many wait for the lock already. Try again later.
    #[error("{limit} wait for the lock `{resource}` already")]
    QueueFull {
        /// The lock's resource.
        resource: String,
        /// How many may wait.
        limit: usize,
    },
    /// What was named does not exist.
    #[error("there is no {what} `{name}`{hint}")]
    Missing {
        /// What it would be: `secret`, `version`, `key`.
        what: &'static str,
        /// Its name.
        name: String,
        /// More for people, beginning with punctuation; may be empty.
        hint: String,
    },
    /// The changes that a watch should begin with are not known any more. Read anew, and watch from there.
    #[error("changes up to revision {compacted} are not kept any more")]
    Compacted {
        /// The last revision that is gone.
        compacted: u64,
    },
    /// This store cannot do it.
    #[error("{0}")]
    Unsupported(String),
    /// The engine cannot serve now; nothing was applied. Try again later.
    #[error("the kv engine at {place} does not answer")]
    Unavailable {
        /// Where it is.
        place: String,
        /// Why.
        #[source]
        cause: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// The write may or may not have been applied, now or a little later. Read before writing again.
    #[error("the kv engine at {place} broke off: the write may have been applied or not")]
    Unknown {
        /// Where it is.
        place: String,
        /// Why.
        #[source]
        cause: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// The engine refuses for good. The operator must act.
    #[error("the kv engine at {place} refuses")]
    Refused {
        /// Where it is.
        place: String,
        /// Why.
        #[source]
        cause: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// What is stored cannot be read. The operator must act.
    #[error("what is stored under {what} cannot be read: {reason}")]
    Damaged {
        /// Which record.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The key of the stored secrets cannot be used. The operator must act.
    #[error("the key of the stored secrets cannot be used")]
    Key(#[source] Arc<KeyError>),
    /// A file with secrets cannot be used. The operator must act.
    #[error("a file with secrets cannot be used")]
    SecretFile(#[source] Arc<SecretFileError>),
}

impl Error {
    /// Whether the same call may be made again.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::Unavailable { .. } | Self::QueueFull { .. } => Retry::Later,
            Self::Unknown { .. } | Self::Conflict { .. } | Self::Compacted { .. } => {
                Retry::AfterReading
            }
            Self::UnknownStore { .. }
            | Self::Invalid(_)
            | Self::TooLarge { .. }
            | Self::BadEtag(_)
            | Self::Stale { .. }
            | Self::NotHeld { .. }
            | Self::Missing { .. }
            | Self::Unsupported(_)
            | Self::Refused { .. }
            | Self::Damaged { .. }
            | Self::Key(_)
            | Self::SecretFile(_) => Retry::Never,
        }
    }

    /// Whether it is the engine's trouble and not the caller's: [`Self::Unavailable`], [`Self::Unknown`].
    #[must_use]
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Unknown { .. })
    }
}

impl From<kv::Error> for Error {
    fn from(error: kv::Error) -> Self {
        match error {
            kv::Error::Unavailable { place, cause } => Self::Unavailable { place, cause },
            kv::Error::Unknown { place, cause } => Self::Unknown { place, cause },
            kv::Error::Refused { place, cause } => Self::Refused { place, cause },
            kv::Error::TooLarge { what, size, limit } => Self::TooLarge { what, size, limit },
            kv::Error::Invalid(reason) => Self::Invalid(reason),
            kv::Error::Compacted { compacted } => Self::Compacted { compacted: compacted.0 },
            error @ (kv::Error::Unsupported(_) | kv::Error::LeaseGone(_)) => {
                Self::Unsupported(error.to_string())
            }
        }
    }
}

fn known_stores(known: &[String]) -> String {
    if known.is_empty() {
        return ": there are none".to_owned();
    }
    format!("; there are: {}", known.join(", "))
}

fn expectation(expected: Option<&str>) -> String {
    match expected {
        Some(version) => format!("was to be at {version}"),
        None => "was to be missing".to_owned(),
    }
}

fn finding(found: Option<&str>) -> String {
    match found {
        Some(version) => format!("is at {version}"),
        None => "is missing".to_owned(),
    }
}

fn current_token(current: Option<u64>) -> String {
    match current {
        Some(token) => format!(": its token is {token}"),
        None => ": nobody holds it".to_owned(),
    }
}

fn holder_of(holder: Option<&LockInfo>) -> String {
    match holder {
        Some(holder) => format!(": `{}` holds it", holder.owner),
        None => ": nobody holds it".to_owned(),
    }
}
