//! Turns routes and the registry's knowledge into the data plane's snapshots.
//!
//! ```text
//!  manifest::System ── apply ──► routes, policies, traffic ─┐
//!         │                                                  ├─► proxy::Snapshot ── publish ──► workers
//!  supervisor ── route, unroute ──► who is ready ────────────┘            ▲
//!         │                                                               │ new certificates, new keys
//!         └─ certificates, keys for tokens: each watched by a task ───────┘
//!   need_address, app_addresses ──► listeners of the callers, on ports that outlive the node
//! ```
//!
//! It decides nothing about requests and keeps no copy of them: it knows who is there. It implements
//! [`ports::traffic::Traffic`], whose contract says when what takes effect.
//!
//! *A configuration is taken over whole or not at all*: [`Handle::apply`] makes everything that can be wrong
//! (certificates, keys, policies, addresses) before it changes anything that requests see.
//!
//! Start with [`Handle`].

#![warn(missing_docs)]

mod access_log;
mod apply;
pub mod certificates;
mod error;
mod jwks;
mod policies;
mod portbook;
mod registry;
mod secrets;
mod service;
mod settings;
mod view;

pub use access_log::{AccessLog, AccessLogError, AccessLogHandle, FILE_LEN_MAX, FILES_MAX};
pub use error::Error;
pub use jwks::KeysView;
pub use service::{Config, Handle, Service};
pub use view::{InstanceView, RouteView, ServiceView, Stats};
