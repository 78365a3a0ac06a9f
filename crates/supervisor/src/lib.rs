//! Starts, probes, restarts, scales and replaces the instances of a system.
//!
//! ```text
//!  apply, scale, restart, stop                       Host: start, wait, signal, forget
//!        │                                                  ▲
//!        ▼                 messages                         │ effects
//!  Handle ──► units (one task a service) ──► logic::service::Machine
//!                  │                                        │
//!                  ▼                                        ▼
//!                Board (picture, events)          Traffic: route, unroute, idle
//! ```
//!
//! What must hold: every decision is the machine's; a unit executes it. An instance is routed only between
//! `Route` and `Unroute`, both done before the next effect. Nothing that was started is forgotten before the
//! host says that nothing of it is left.
//!
//! Read `unit.rs` first, then `logic::service` and `logic::instance`.

mod ask;
mod board;
mod config;
mod cron;
mod diagnose;
mod error;
mod gate;
mod plan;
mod portbook;
mod recipe;
mod service;
pub mod status;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod unit;

pub use board::{EVENTS_MAX, Event};
pub use config::{Carried, Config, PortCheck, PortHolder, RunRequest, Target};
pub use error::Error;
pub use portbook::{PORT_COUNT, PORT_FIRST, port_is_free};
pub use recipe::database_path;
pub use service::{BUILDS_MAX, Handle, INSTANCES_MAX, Service};
pub use status::*;
