//! Outbox tables in SQLite.
//!
//! The database belongs to a service; the relay is a guest in it. So it changes no setting that stays (the journal mode
//! is the service's; WAL lets both work at once), holds no transaction open, and locks only while it deletes.
//!
//! - A file that is not there yet is [`ports::outbox::Error::Missing`], and never made. One that was replaced by another is opened anew.
//! - Rows come by their `rowid`. SQLite has one writer at a time, so that is the order of their transactions.
//! - Ids may be text, numbers or blobs. As text, a blob of 16 bytes is written as a UUID, others in hexadecimal.
//! - Columns beside those of the contract are ignored.
//! - Several relays of one table do no harm, but a row may be published by each.
//!
//! Every call works on a thread where blocking is allowed; one at a time, the others wait.

#![warn(missing_docs)]

mod config;
mod file;
mod outbox;
mod row;
mod verdict;

pub use config::{Config, Invalid};
pub use outbox::SqliteOutbox;
