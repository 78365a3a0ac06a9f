//! Why a request was not done, as DTM tells it apart.

use std::fmt;
use transactions::Error;

/// Why a request was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It cannot be, for good: 409, `FAILURE`, ABORTED.
    Failure(String),
    /// It goes on: 425, `ONGOING`, FAILED_PRECONDITION.
    Ongoing(String),
    /// The client may be wrong or try again: 500, INTERNAL.
    Other(String),
}

impl Fault {
    pub(super) fn other(words: impl Into<String>) -> Self {
        Self::Other(words.into())
    }

    pub(super) fn words(&self) -> &str {
        let (Self::Failure(words) | Self::Ongoing(words) | Self::Other(words)) = self;
        words
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        match &error {
            Error::Missing(_) | Error::Conflict(_) | Error::Refused { .. } => {
                Self::Failure(error.to_string())
            }
            Error::Kv(cause) => Self::Other(format!("{error}: {cause}")),
            Error::NoDefinition { .. }
            | Error::Invalid(_)
            | Error::TooLarge { .. }
            | Error::TooMany(_)
            | Error::Stopping => Self::Other(error.to_string()),
        }
    }
}
