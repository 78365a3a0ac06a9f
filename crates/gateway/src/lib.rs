//! Turns routes and the registry's knowledge into the data plane's snapshots.
//!
//! ```text
//!  manifest::System ── apply ──► routes, balancing ─┐
//!                                                   ├─► proxy::Snapshot ── publish ──► workers
//!  supervisor ── route, unroute ──► who is ready ───┘
//!             ── need_address ───► listeners of the callers, on ports that outlive the node
//! ```
//!
//! It decides nothing about requests and keeps no copy of them: it knows who is there. It implements
//! [`ports::traffic::Traffic`], whose contract says when what takes effect.
//!
//! Start with [`Handle`].

#![warn(missing_docs)]

mod error;
mod needs;
mod registry;
mod service;
mod view;

pub use error::Error;
pub use service::{Config, Handle, Service};
pub use view::{InstanceView, RouteView, ServiceView, Stats};
