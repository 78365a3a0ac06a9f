//! Tables in which services leave messages in the same transaction as their own data.
//!
//! The columns are those of Debezium's outbox event router: `id`, `aggregatetype`, `aggregateid`, `type`, `payload`. A service
//! inserts a row; the relay publishes it and deletes it. It may be published twice (the relay was killed in between), then with
//! the same id; it is never lost.
//!
//! Contract:
//! - Rows come in the order in which they were inserted, as far as the database tells: rows of one transaction in their order,
//!   and a row that became visible later may come after younger ones.
//! - A row that is not deleted comes again.
//! - A table that is not there is [`Error::Missing`], not an empty one: the service may not have been migrated yet.

use async_trait::async_trait;
use std::{fmt, sync::Arc, time::Duration};

/// Most rows of one fetch.
pub const FETCH_MAX: usize = 500;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Names the row for [`Outbox::delete`]: the column `id` as text. The id of the message.
    pub id: String,
    /// What the message is about, `order`: the topic is `outbox.event.<aggregatetype>` unless the file says otherwise.
    pub aggregate_type: String,
    /// Which one: the key of the message.
    pub aggregate_id: String,
    /// What happened, `OrderCreated`.
    pub kind: String,
    /// The facts; JSON as a rule. `None`: the column is null.
    pub payload: Option<Vec<u8>>,
}

/// Why the table was not read or written.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The database does not answer now.
    #[error("the database at {place} does not answer")]
    Unavailable {
        /// Where it is, without a password.
        place: String,
        /// Why.
        #[source]
        cause: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// There is no such table, or a column of it is missing.
    #[error("the outbox `{table}` in {place} cannot be used: {problem}")]
    Missing {
        /// Where it is, without a password.
        place: String,
        /// The table.
        table: String,
        /// What is missing.
        problem: String,
    },
    /// The database refuses for good.
    #[error("the database at {place} refuses")]
    Refused {
        /// Where it is, without a password.
        place: String,
        /// Why.
        #[source]
        cause: Arc<dyn std::error::Error + Send + Sync>,
    },
}

/// An outbox table of a service's database.
#[async_trait]
pub trait Outbox: Send + Sync + fmt::Debug {
    /// Reads the oldest rows, at most `limit` (1 to [`FETCH_MAX`]).
    ///
    /// # Cancel safety
    /// Cancel safe.
    async fn fetch(&self, limit: usize) -> Result<Vec<Row>, Error>;

    /// Deletes rows. Those that are gone already are no error.
    ///
    /// # Cancel safety
    /// Not cancel safe: they may have been deleted.
    async fn delete(&self, ids: &[String]) -> Result<(), Error>;

    /// Waits until there may be new rows, at most `patience`. Returns early for any reason.
    ///
    /// # Cancel safety
    /// Cancel safe.
    async fn wait(&self, patience: Duration);
}
