//! The engines that need nothing installed.
//!
//! - [`kv`]: keys, leases and watches in a folder.
//!
//! Below them lie two parts that know nothing of keys: `disk`, the few things that are asked of a folder, which tests
//! make fail; and `log`, numbered entries in append-only files, durable before anybody hears of them.

#![warn(missing_docs)]

mod disk;
pub mod kv;
mod log;
