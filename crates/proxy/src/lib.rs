//! The data plane: carries requests from clients to the gateway's routes, and from services to what they
//! need.
//!
//! ```text
//!  Handle::publish ──► Snapshot (immutable: routes, clusters)          Endpoint: in flight, draining,
//!                          │ read by all workers, locked by none          ▲      latency, penalty (atomics)
//!   ┌──────────────────────▼─────────────────────────────────────────────┴──┐
//!   │ worker 1..n: one thread, one runtime, own accept sockets (SO_REUSEPORT), │
//!   │ own upstream connections, own balancing memory                           │
//!   │   accept ─► connection ─► exchange: match ─► pick ─► send ─► answer      │
//!   └──────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! What must hold:
//! - *The drain rule.* A request is counted in flight at an endpoint before anything is sent, and after
//!   counting the endpoint's draining flag is looked at again. So once the flag is set and the
//!   count is 0, nothing is being sent and nothing will be.
//! - *No request is processed twice unless that is harmless*, see `logic::retry`.
//! - *The request path waits for no control task*: only for instances, and that for a bounded time.
//!
//! What is behind this interface (hyper today) does not show in it.
//! Start with [`Handle`], then `exchange.rs`.

#![warn(missing_docs)]

mod attempt;
mod body;
mod cluster;
mod config;
mod connection;
mod counters;
mod endpoint;
mod error;
mod exchange;
mod headers;
mod listener;
mod reply;
mod service;
mod snapshot;
mod tunnel;
mod upstream;
mod worker;

pub use cluster::{Cluster, HashOn};
pub use config::Config;
pub use counters::{Counters, Histogram, HistogramView, LATENCY_CLASSES, Totals};
pub use endpoint::Endpoint;
pub use error::Error;
pub use listener::{ListenerId, ListenerKind};
pub use logic::balance::Algorithm;
pub use service::{EndpointStats, Handle, ListenerStats, RouteStats, Service, ServiceStats, Stats};
pub use snapshot::{Route, Snapshot, Target};
