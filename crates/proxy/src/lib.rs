//! The data plane: carries requests from clients to the gateway's routes, and from services to what they
//! need.
//!
//! ```text
//!  Handle::publish ──► Snapshot (immutable: routes, clusters)          Endpoint: in flight, draining,
//!                          │ read by all workers, locked by none          ▲      latency, record (atomics)
//!   ┌──────────────────────▼─────────────────────────────────────────────┴──┐
//!   │ worker 1..n: one thread, one runtime, own accept sockets (SO_REUSEPORT), │
//!   │ own upstream connections, own balancing memory                           │
//!   │   accept ─► connection ─► exchange: match ─► pick ─► send ─► answer      │
//!   └──────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! What comes on an app listener is directed by the [`local::Local`] that the node has set: to a service in the same
//! way, or to the node itself (`exchange/local.rs`).
//!
//! What must hold:
//! - *The drain rule.* A request is counted in flight at an endpoint before anything is sent, and after
//!   counting the endpoint's draining flag is looked at again. So once the flag is set and the
//!   count is 0, nothing is being sent and nothing will be.
//! - *No request is processed twice unless that is harmless*, see `logic::retry`.
//! - *The request path waits for no control task*: only for instances, and that for a bounded time.
//!
//! Start with [`Handle`], then `exchange.rs`.

#![warn(missing_docs)]

mod alarm;
mod attempt;
mod balancer;
mod buffer;
mod cluster;
mod config;
mod connection;
mod counters;
mod endpoint;
mod error;
mod exchange;
mod flow;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod h1;
mod h2;
mod h2_server;
mod limits;
mod listener;
pub mod local;
mod onward;
pub mod record;
mod refusal;
mod reply;
mod service;
mod settings;
mod snapshot;
mod stats;
mod times;
mod tls;
mod transport;
mod tunnel;
mod upstream;
mod worker;

pub use cluster::{Cluster, HashOn};
pub use config::Config;
pub use counters::{Counters, Histogram, HistogramView, LATENCY_CLASSES, Totals};
pub use endpoint::Endpoint;
pub use error::Error;
pub use listener::{ListenerId, ListenerKind, Sockets};
pub use logic::{balance::Algorithm, breaker::Phase};
pub use refusal::REFUSAL_FIELD;
pub use service::{Handle, Service};
pub use settings::{
    Clients, Exchange, Network, Retry, RouteSettings, Stickiness, Sticky, Timeouts, Traffic,
};
pub use snapshot::{Route, Snapshot, Target};
pub use stats::{EndpointStats, ListenerStats, RouteStats, ServiceStats, Stats};
pub use tls::{
    Alpn, Certificate, Pem, PemPair, Session, Tls, TlsError, TlsStream, TlsVersion, TlsWarning,
};
