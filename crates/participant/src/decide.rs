//! Asking the coordinator what was decided.

use crate::BoxError;
use std::future::Future;

#[cfg(feature = "http")]
mod over_http;
#[cfg(feature = "http")]
pub use over_http::HttpDecide;

/// What the coordinator says about a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Decision {
    /// Keep the work.
    Commit,
    /// Undo it; also the answer for a transaction that nobody knows.
    Abort,
    /// Ask again later.
    Undecided,
}

/// Who can be asked for a decision: the coordinator, or in a test a closure.
pub trait Decide {
    /// Asks about the transaction `gid`.
    ///
    /// # Errors
    /// When no answer came. Nothing may be done then.
    fn decide(&self, gid: &str) -> impl Future<Output = Result<Decision, BoxError>> + Send;
}

impl<F> Decide for F
where
    F: Fn(&str) -> Result<Decision, BoxError> + Sync,
{
    fn decide(&self, gid: &str) -> impl Future<Output = Result<Decision, BoxError>> + Send {
        std::future::ready(self(gid))
    }
}
