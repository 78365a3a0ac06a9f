//! What can go wrong on the way of a branch.

use crate::Answer;

/// Any error; what `?` makes of the errors of a service and of its database.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a branch was not done. The coordinator calls again after each of them; [`Answer::from`] makes the answer that says so.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The database did not do what the barrier needs. Nothing was changed, unless it was the commit that failed: then it is unknown, and
    /// the next call finds out.
    #[error("cannot {doing} (the barrier's table is `{table}`; `create_table` makes it)")]
    Database {
        /// What was tried.
        doing: &'static str,
        /// The barrier's table.
        table: String,
        /// What the database said.
        #[source]
        cause: BoxError,
    },
    /// The service's own work failed. Its transaction was rolled back.
    #[error("the work of the branch failed")]
    Work(#[source] BoxError),
    /// The name of a table, a part or a system cannot be used.
    #[error("`{name}` cannot be the name of {what}: {expected}")]
    Name {
        /// Of what.
        what: &'static str,
        /// The name.
        name: String,
        /// What would be right.
        expected: &'static str,
    },
    /// The answer is too long to be kept for a second call.
    #[error(
        "the answer has {size} bytes, more than {max} are not kept for a repeated call; answer with an id and keep the rest with the business"
    )]
    AnswerSize {
        /// Its size in bytes.
        size: usize,
        /// The bound.
        max: usize,
    },
    /// The coordinator asked for the message before its transaction wrote the mark, and was told that it is not sent: the local
    /// transaction has to be rolled back.
    #[error(
        "the message `{gid}` was given up before its local transaction was done; roll that back"
    )]
    GivenUp {
        /// The message's transaction.
        gid: String,
    },
    /// The operation is none that this helper can do.
    #[error("`{op}` of mode `{mode}` is not for {helper}")]
    Op {
        /// The operation.
        op: crate::Op,
        /// The protocol.
        mode: crate::Mode,
        /// The helper that was called.
        helper: &'static str,
    },
    /// PostgreSQL keeps no prepared transactions.
    #[error(
        "PostgreSQL keeps no prepared transactions: set `max_prepared_transactions` to at least the number of its connections and restart it"
    )]
    PreparedOff,
}

impl Error {
    /// This error and its causes in one line.
    #[must_use]
    pub fn chain(&self) -> String {
        let (mut text, mut cause) = (self.to_string(), std::error::Error::source(self));
        while let Some(error) = cause {
            let said = error.to_string();
            if !text.ends_with(&said) {
                text = format!("{text}: {said}");
            }
            cause = error.source();
        }
        text
    }
}

impl From<Error> for Answer {
    fn from(error: Error) -> Self {
        Self::failed(error.chain())
    }
}

impl From<Result<Answer, Error>> for Answer {
    fn from(result: Result<Answer, Error>) -> Self {
        result.unwrap_or_else(Self::from)
    }
}
