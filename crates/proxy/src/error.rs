//! What can go wrong when the data plane is started or told to listen.

use std::{io, net::SocketAddr};

/// Why the data plane could not do what it was told.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system refused a worker thread; nothing was started.
    #[error("cannot start a worker thread of the data plane")]
    Start(#[source] io::Error),
    /// Another process (or another listener of this node) has the port.
    #[error("{address} is taken")]
    Taken {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// The address cannot be listened on for another reason (not of this machine, not permitted).
    #[error("cannot listen on {address}")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
}

impl Error {
    /// The address it is about, if it is about one.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Start(_) => None,
            Self::Taken { address, .. } | Self::Listen { address, .. } => Some(*address),
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Start(cause) | Error::Taken { cause, .. } | Error::Listen { cause, .. } => {
                cause.kind()
            }
        };
        Self::new(kind, error)
    }
}
