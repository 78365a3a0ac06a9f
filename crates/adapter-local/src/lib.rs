//! Processes of this machine (Linux 5.3 or newer) as a [`ports::host::Host`].
//!
//! ```text
//!   Service (owner)  ──►  Shared  ◄── LocalHost (the port)
//!      │                    ├── runs: who runs, by run
//!      │ pipe               ├── tail: one thread that reads all output
//!      ▼                    └── run/*.json: the same for the next node
//!    guard: ends the runs when the node dies without saying goodbye (only attached)
//! ```
//!
//! What must hold:
//! - A process is named by number *and* start time, and signalled through a descriptor or through a group whose
//!   leader is known to exist. The main process of a run is therefore not collected (it stays a zombie) until
//!   the run is forgotten: as long, its number cannot come to mean somebody else.
//! - Whatever starts is written down first; whatever is removed loses its record last.
//! - Programs never write to us, they write to files. Neither a slow nor a dead node can stall or end them.
//!
//! Start with [`LocalHost::start`], then `members` (who belongs to a run), `tail` (output), `guard`.

#![warn(missing_docs)]

mod cgroup;
mod error;
mod guard;
mod host;
mod launch;
mod members;
mod probe;
mod proc;
mod record;
mod running;
mod service;
mod shared;
mod shell;
mod sockets;
mod survivors;
mod tail;

pub use error::Error;
pub use guard::guard_main;
pub use host::LocalHost;
pub use service::{Cgroups, Config, Lifetime, Service};
pub use sockets::{PortHolder, holder_of};

#[cfg(test)]
mod tests;
