//! The engine against a real nats-server, started by each test for itself.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that cannot be set up fails, and one that did not run says so"
)]

mod cluster;
mod conformance;
mod entrance;
mod faults;
mod foreign;
