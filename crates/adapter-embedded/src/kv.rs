//! The embedded `kv` engine: a log, and a B-tree behind it.
//!
//! ```text
//!  commit ─► queue ─► writer ─► log: one write, one fsync for all that is queued ─► acknowledged
//!                       │ then, in memory
//!                       ├─► overlay (what the log has and the tree has not) ─► checkpoint ─► redb
//!                       ├─► recent changes ─► watches (older ones are read from the log)
//!                       └─► leases
//!  get, range ─► overlay, then redb
//! ```
//!
//! What must always hold:
//! - The log is the truth. The tree is a copy of it up to some entry, from which a start goes on.
//! - Only the writer changes anything, and only after the log has it. What is read is durable.
//! - A record of the log tells the whole change: nothing has to be looked up to know what a watch must be told.
//! - A segment of the log goes when the tree has all of it *and* its history is compacted.
//! - Locks are taken in the order view, overlay, leases, snapshots; history, watchers and slots nest in none of these.
//!
//! Start with `writer.rs`, then `shared.rs`.

mod base;
mod checkpoint;
mod command;
mod error;
mod group;
mod handle;
mod history;
mod leases;
mod merge;
mod overlay;
mod record;
mod recovery;
mod repair;
mod row;
mod service;
mod shared;
mod snapshot;
mod trouble;
mod watch;
mod writer;

#[cfg(test)]
mod tests;

pub use error::Error;
pub use handle::Handle;
pub use repair::{Repaired, repair};
pub use service::{Config, Service};
