//! Transactions over several services: one durable coordinator for sagas, TCC, two- and three-phase commit and two-phase messages.
//!
//! ```text
//!  submit ──► Spec ──► Machine (logic::tx) ──► journal: one record for each transaction in the kv engine
//!                         ▲         │ when it is durable
//!                 answers │         ▼
//!                         └── dyn Participants: HTTP and gRPC calls through the data plane
//!                                   │ what joins the decision
//!                                   └── dyn Joined: state, topics and locks, in the decision's own kv transaction
//! ```
//!
//! What always holds:
//! - *What was acknowledged is finished.* A transaction that was taken is kept before it is acknowledged, and is driven to its end over
//!   any number of crashes.
//! - *One decision.* It is durable before anybody is told; the record is only ever replaced by whoever read it last, so that of two nodes
//!   that both believe a transaction to be theirs one finds out.
//! - *Nothing is tried for ever in silence.* Pauses are capped, and what does not end asks for an operator.
//! - *Bounds.* How many run, how many calls are under way, how long a record and an answer may be: all have names here.
//!
//! Start with [`Handle`] and [`Spec`].

#![warn(missing_docs)]

mod call;
mod config;
mod driver;
mod engine;
mod error;
mod keys;
mod lines;
mod notes;
mod now;
mod plan;
mod random;
mod record;
mod recovery;
mod render;
mod retention;
mod service;
mod spec;
mod table;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod view;

pub use call::{
    CallRequest, Called, JoinOf, JoinRefused, Joined, Participants, Prepared, RESULT_LEN_MAX,
};
pub use config::Config;
pub use error::Error;
pub use plan::{LABELS_MAX, NAME_LEN_MAX};
pub use service::{Ask, Counts, Handle, OPEN_TIMEOUT_MS, Service, Taken};
pub use spec::{
    Call, Definition, Dialect, GID_LEN_MAX, Gid, InvalidGid, Join, Payload, RECORD_LEN_MAX,
    RETENTION, Spec, StepSpec, Target, Wanted,
};
pub use table::{CALL_TIMEOUT, CALLS_EACH_MAX, CALLS_MAX, RESULTS_LEN_MAX, UNFINISHED_MAX};
pub use view::{Decision, Filter, LIST_MAX, NOTES_MAX, Note, Page, View};
