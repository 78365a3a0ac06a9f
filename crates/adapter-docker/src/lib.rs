//! Containers of a Docker engine as a host.
//!
//! The engine keeps the truth: which container belongs to which instance stands in its labels, what it
//! printed stands in its log driver. What is kept here is only how far the output has been read
//! (`run/docker/` in the state directory), so a node that was killed loses nothing but its place in a line.
//!
//! ```text
//!  start ─► create, start ─► watch ─┬─ wait for the end ────────────┐
//!  survivors ─► list by label ──────┘                               ├─► exit (after the last line)
//!                                   └─ follow the log ─► Sink ──────┘
//! ```
//!
//! - Nothing is asked of the engine until something needs it: a node without containers runs without Docker.
//! - A container is named `flotilla-<system>-<service>-<number>-<random>`; that name is its [`ports::host::RunId`].
//! - Containers of one system share a network of their own and find each other there by service name. Another
//!   checkout of the same system (another state directory) has other containers, which are never touched.
//! - The engine restarting is normal: what watches a container connects again, calls meanwhile are `Unavailable`.
//!
//! Start reading at [`DockerHost`], then `watch` (one run's life) and `output` (reading its log, pure).

#![warn(missing_docs)]

mod command;
mod engine;
mod host;
mod image;
mod look;
mod network;
mod output;
mod plan;
mod refusal;
mod service;
mod tail;
#[cfg(feature = "testing")]
pub mod testing;
mod watch;

pub use engine::{Down, InvalidAddress};
pub use host::DockerHost;
pub use service::{Service, sweep};

use std::path::PathBuf;

/// What the host needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where the engine listens: `unix://<path>` or `tcp://<loopback address>:<port>`, as in `DOCKER_HOST`.
    /// Default: [`DOCKER_SOCKET`].
    pub docker_host: Option<String>,
    /// The system's name; part of container and network names.
    pub system: String,
    /// The system's state directory. Its path tells this system's containers from those of another
    /// checkout with the same name.
    pub state_dir: PathBuf,
    /// What becomes of containers when the node ends.
    pub lifetime: Lifetime,
}

/// Where the engine listens unless it is told otherwise.
pub const DOCKER_SOCKET: &str = "unix:///var/run/docker.sock";

/// What becomes of containers when the node ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// They go on; the next node finds them with `survivors`.
    Survives,
    /// [`Service::shutdown`] removes them. A node that is killed cannot: whoever notices calls [`sweep`].
    EndsWithNode,
}

/// Why a host cannot be made or asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The engine's address cannot be used.
    #[error("cannot use the Docker engine at `{address}`")]
    Address {
        /// As it was given.
        address: String,
        /// What is wrong with it.
        #[source]
        cause: InvalidAddress,
    },
    /// The engine does not answer.
    #[error("cannot reach the Docker engine")]
    Down(#[source] Down),
    /// The engine answered, but did not do it.
    #[error("the Docker engine did not {what}")]
    Engine {
        /// What was asked.
        what: String,
        /// Its answer.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    /// Trying again later may help.
    #[must_use]
    pub fn retry(&self) -> bool {
        !matches!(self, Self::Address { .. })
    }

    /// The problem as the user sees it (F021); the place in the file is added by who knows it.
    #[must_use]
    pub fn diagnostic(&self) -> base::Diagnostic {
        match self {
            Self::Address { cause, .. } => {
                base::Diagnostic::error(base::Code::DOCKER, self.to_string())
                    .note(cause.to_string())
                    .help("set DOCKER_HOST to `unix:///var/run/docker.sock`, or unset it")
            }
            Self::Down(down) => down.diagnostic(),
            Self::Engine { cause, .. } => {
                base::Diagnostic::error(base::Code::DOCKER, self.to_string())
                    .note(format!("the engine says: {cause}"))
            }
        }
    }
}
