//! The kv port on etcd, spoken to with its own protocol (version 3, gRPC).
//!
//! ```text
//!  Kv ─► names (prefix) ─► members (one after the other, time limits, token) ─► etcd
//!                              ▲
//!  Watch ─► changes ───────────┘ opened again at the last revision that was told
//! ```
//!
//! - Nothing is asked of etcd until something needs it: a node starts while etcd is away.
//! - Every key lies below [`Config::prefix`], and callers see none of it, so that several systems share an etcd.
//!   Revisions and compaction are the whole etcd's.
//! - What may have been applied is never said to have failed: only what etcd refused, or what was certainly not sent,
//!   is `Unavailable`; a write that broke off is `Unknown`.
//! - The lease of an entry that is put again or deleted stays in etcd until its time is over, so that a write needs no
//!   other one behind it: how many there are is bounded by writes per second times their time to live.
//! - There is no task here: connections are driven by tonic, watches by whoever waits for them.
//!
//! Start reading at [`Etcd`], then `members` (who is asked, and how long), `verdict` (what a failure means) and `watch`.

#![warn(missing_docs)]

mod changes;
mod config;
mod engine;
mod members;
mod names;
mod transaction;
mod verdict;
mod watch;

pub use config::{Config, Credentials, Error, Tls};
pub use engine::Etcd;
