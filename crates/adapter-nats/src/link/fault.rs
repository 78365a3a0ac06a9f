//! Why there is no answer, and what the port says then.

use crate::wire::Refusal;
use ports::broker::{Cause, Error};
use std::sync::Arc;

/// Why something that was asked has no answer, or none that helps.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// It was certainly not sent.
    Down(Cause),
    /// It was sent, or may yet be.
    Broken(Cause),
    /// Nobody listens to the subject.
    Nobody,
    /// JetStream answered with an error.
    Said(Refusal),
    /// It will not be otherwise until somebody acts.
    Refused(Cause),
}

/// A cause that is no more than its text.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Says(String);

impl Says {
    pub(crate) fn cause(text: impl Into<String>) -> Cause {
        Arc::new(Self(text.into()))
    }
}

impl Fault {
    /// Whether JetStream said this.
    pub(crate) fn is(&self, code: u32) -> bool {
        matches!(self, Self::Said(refusal) if refusal.is(code))
    }

    /// The error of a call that changes nothing.
    pub(crate) fn of_reading(self, place: &str) -> Error {
        match self.of_writing(place) {
            Error::Unknown { place, cause } => Error::Unavailable { place, cause },
            other => other,
        }
    }

    /// The error of a call that changes something.
    pub(crate) fn of_writing(self, place: &str) -> Error {
        let place = place.to_owned();
        match self {
            Self::Down(cause) => Error::Unavailable { place, cause },
            Self::Broken(cause) => Error::Unknown { place, cause },
            Self::Nobody => {
                Error::Unavailable { place, cause: Says::cause("nobody is there to take it") }
            }
            Self::Said(refusal) if refusal.is_passing() => {
                Error::Unavailable { place, cause: Arc::new(refusal) }
            }
            Self::Said(refusal) => Error::Refused { place, cause: Arc::new(refusal) },
            Self::Refused(cause) => Error::Refused { place, cause },
        }
    }
}
