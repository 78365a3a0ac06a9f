//! What a route asks of its requests: who may pass, how often, what is changed on the way, and how
//! the answer is packed.
//!
//! ```text
//!  Request (a view) ──► Policy::admit ──► Verdict::Reply     401, 403, 429, a redirect, a preflight's answer
//!                                     └─► Verdict::Pass      edits for the request and for its response
//! ```
//!
//! Pure: no socket, file, clock or task. Time comes as an argument; what is shared between workers (rate
//! limits) lives in atomics. The data plane asks, and does what the verdict says. A policy is
//! compiled once and never changed: a new configuration is a new policy.
//!
//! Order: redirect, preflight, rate per address, authentication, rate per key or claim, `allow`, fault. What
//! is cheap and keeps floods away comes first; nothing is said about a route to who may not use it.
//!
//! Start with [`Policy`].

#![warn(missing_docs)]

pub mod allow;
pub mod auth;
pub mod compress;
pub mod cors;
pub mod edits;
pub mod fault;
mod policy;
pub mod rate;
pub mod redirect;
mod request;
pub mod rewrite;
#[cfg(test)]
mod testing;
mod verdict;

pub use policy::{Parts, Pending, Policy};
pub use request::{Now, Request};
pub use verdict::{Edit, Effects, Reply, Verdict};
