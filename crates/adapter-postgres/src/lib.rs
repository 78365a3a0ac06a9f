//! Outbox tables in PostgreSQL.
//!
//! ```text
//!  Outbox ─► session (one connection, its task, what was locked) ─► PostgreSQL
//!                ▲                                                     │
//!                └────────────── NOTIFY <table>, if the service does it ┘
//! ```
//!
//! - Nothing is asked of the database until something needs it. A connection that broke is made again by the next call.
//! - *One relay at a time.* A session takes an advisory lock on its table; while another one has it, [`fetch`](ports::outbox::Outbox::fetch)
//!   finds nothing. So two nodes do not publish every row twice. Behind a pooler that hands a session's statements to several
//!   connections the lock is worth nothing, and rows may be published by each: duplicates, no loss. A relay whose machine is gone
//!   holds the lock until the server's keep-alive finds out, about half a minute.
//! - *Order.* A table whose `id` is a whole number is read by it, through its index. Others have no column that tells the order, so rows
//!   come by transaction, then command, then place; that sorts all that are there, which is slow only with a great backlog.
//! - *Looking.* A relay that waits looks four times a second. A service that executes `NOTIFY outbox` (the table's name) in the transaction of
//!   its rows is heard at once.
//! - *No TLS.* A URL that demands it is refused; `sslmode=prefer` goes on without. Reach a server elsewhere through a tunnel or a local pooler.
//! - Ids and payloads may be of any type: what is not `bytea` comes as its text.
//! - Columns beside those of the contract are ignored.

#![warn(missing_docs)]

mod config;
mod outbox;
mod session;
mod shape;
mod verdict;

pub use config::{Config, Invalid};
pub use outbox::PostgresOutbox;
