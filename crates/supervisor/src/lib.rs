//! Starts, probes, restarts, scales and replaces the instances of a system.

pub mod status;
pub use status::*;
