//! The engines that need nothing installed.
//!
//! - [`broker`]: topics and groups in a folder;
//! - [`kv`]: keys, leases and watches in a folder;
//! - [`streams`]: events in a folder, for event sourcing.
//!
//! Below them lie parts that know nothing of keys, topics and streams: `disk`, the few things that are asked of a folder,
//! which tests make fail; `log`, numbered entries in append-only files, durable before anybody hears of them; and `tree`,
//! a B-tree of redb on a file of `disk`.

#![warn(missing_docs)]

mod bits;
pub mod broker;
mod disk;
mod gather;
pub mod kv;
mod log;
pub mod streams;
mod tree;
