//! What can go wrong when the gateway is started or told of a system.

use std::{io, net::SocketAddr, path::PathBuf};

/// Why the gateway could not do what it was told.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The gateway's address cannot be listened on; what was there before stays.
    #[error("the gateway cannot listen")]
    Listen(#[source] proxy::Error),
    /// The folder for the ports of needs cannot be used.
    #[error("cannot use `{path}`")]
    State {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
}

impl Error {
    /// The address that another process has, when that is the trouble.
    #[must_use]
    pub fn taken(&self) -> Option<SocketAddr> {
        match self {
            Self::Listen(proxy::Error::Taken { address, .. }) => Some(*address),
            Self::Listen(_) | Self::State { .. } => None,
        }
    }
}
