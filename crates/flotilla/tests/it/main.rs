//! The real program on real systems: processes, ports, signals and files as its users have them.
//!
//! Each test has a folder, ports and processes of its own and leaves none of them behind. What is waited for is a
//! state, with a deadline.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]
#![expect(clippy::print_stderr, reason = "what was skipped and why must be seen")]

mod admin;
mod adoption;
mod apply;
mod attached;
mod conflicts;
mod containers;
mod dapr;
mod dashboard;
mod dtm;
mod events;
mod examples;
mod formats;
mod gateway;
mod handover;
mod handover_failures;
mod jobs;
mod kit;
mod life;
mod load;
mod requests;
mod routing;
mod sdk;
mod shared;
mod tools;
mod transfers;
mod trouble;
mod tx;
