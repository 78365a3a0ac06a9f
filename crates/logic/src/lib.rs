//! Every decision, as a pure function or state machine.
//!
//! No clock is read here, no file or socket opened, no environment asked, nothing spawned: time and
//! randomness come in as arguments, so that each rule is tested in milliseconds. Services execute
//! what is decided here.

#![warn(missing_docs)]

pub mod backoff;
pub mod balance;
pub mod breaker;
pub mod bucket;
pub mod condition;
pub mod deadline;
pub mod delivery;
pub mod diff;
pub mod ewma;
pub mod instance;
pub mod missed;
pub mod names;
pub mod outlier;
pub mod probe;
pub mod redeliver;
pub mod retry;
pub mod route;
pub mod schedule;
pub mod service;
pub mod shed;
pub mod sticky;
pub mod template;
pub mod tx;
