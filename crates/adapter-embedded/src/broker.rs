//! The embedded `broker` engine: one journal for all topics, and files of each topic behind it.
//!
//! ```text
//!  publish, settle ─► queue ─► writer ─► journal: one write, one fsync for all that is queued ─► acknowledged
//!                                │ then, in memory
//!                                ├─► tail of each topic ─► keeper ─► files of the topic, not synced
//!                                └─► groups                  └─► checkpoint: files synced, then the journal trimmed
//!  readers, groups ─► tail, or files
//! ```
//!
//! So a thousand topics cost one fsync, what one topic has is read in one sweep, and old messages go by the file.
//!
//! What must always hold:
//! - The journal is the truth for what no checkpoint has. A start cuts files to what the checkpoint says, and brings the
//!   rest from the journal again.
//! - Only the writer changes topics, and only after the journal has it. What is read is durable.
//! - Groups are changed at once by those who take and settle, and the journal learns of settlements before they are
//!   answered. What it never learns of is delivered again.
//! - Only the keeper writes files of topics. A file is removed after the journal has that its messages are gone.
//! - A record of the journal says what is, so that one that a checkpoint has seen already changes nothing.
//! - Locks are taken in the order topics, groups of a topic, state of a group, state of a topic; the desk nests in none.
//!
//! Start with `writer.rs`, then `plan.rs`, `topic.rs`, `keeper.rs`.

mod checkpoint;
mod command;
mod cursor;
mod dedup;
mod desk;
mod error;
mod files;
mod group;
mod handle;
mod keeper;
mod limits;
mod plan;
mod record;
mod recovery;
mod segment;
mod service;
mod shared;
mod stored;
mod subscription;
mod topic;
mod writer;

#[cfg(test)]
mod tests;

pub use error::Error;
pub use handle::Handle;
pub use service::{Config, Service};
