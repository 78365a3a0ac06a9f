//! The embedded engine of `streams`: a log of events, and an index behind it.
//!
//! ```text
//!  append ─► queue ─► writer ─► log: one write, one fsync for all that is queued ─► acknowledged
//!                       │ then, in memory
//!                       ├─► overlay (the index of what redb has not) ─► checkpoint ─► redb
//!                       └─► the newest position ─► whoever waits
//!  read ─► overlay and redb say where the events are ─► the files of the log
//! ```
//!
//! What must always hold:
//! - The log is the truth and is never shortened. An event is one entry of it: position = number of the entry + 1.
//! - The index says nothing that cannot be read from the log. It has all events up to some position, from which a start
//!   goes on; one that is missing or damaged is built again.
//! - Only the writer changes anything, and only after the log has it. What is read is durable.
//! - Base, frozen overlay, active overlay: each has the positions that follow those of the one before it. So nothing in
//!   them has to be merged, only put one behind the other.
//! - Locks are taken in the order view, overlay; the others nest in none.
//!
//! Start with `writer.rs`, then `look.rs`.

mod checkpoint;
mod command;
mod error;
mod fetch;
mod group;
mod handle;
mod index;
mod list;
mod look;
mod overlay;
mod record;
mod recovery;
mod search;
mod service;
mod shared;
mod writer;

#[cfg(test)]
mod tests;

pub use error::Error;
pub use handle::Handle;
pub use service::{Config, Service};
