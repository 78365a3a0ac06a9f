//! Tasks with owners, shutdown in order, clocks.
//!
//! The only crate that spawns. A task belongs to a [`TaskSet`], has a name, watches its [`Stop`] at
//! every wait and returns; the set's owner decides how long it may take.

#![warn(missing_docs)]

mod clock;
mod tasks;
mod worker;

pub use clock::Clock;
pub use tasks::{Stop, TaskSet, blocking, thread};
pub use worker::{Local, worker};
