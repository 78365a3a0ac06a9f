//! What can go wrong when the gateway is started or told of a system.

use crate::certificates::CertificatesError;
use base::{Code, Place};
use std::{io, net::SocketAddr, path::PathBuf};

/// Why the gateway could not do what it was told. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The gateway's address, or the one of `http_redirect`, cannot be listened on.
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
    /// A certificate cannot be used.
    #[error("the gateway has no certificate that it could use")]
    Certificates(#[source] CertificatesError),
    /// The folder for the development certificates' authority is not known.
    #[error("there is no home folder to keep a development authority in")]
    NoHome,
    /// Keys for tokens cannot be used.
    #[error("`{source_name}` has no keys for tokens: {reason}")]
    Keys {
        /// The file.
        source_name: String,
        /// What is wrong with it.
        reason: String,
        /// Where it is asked for.
        place: Box<Place>,
    },
    /// What a route asks for cannot be done.
    #[error("the policy of a route cannot be made")]
    Policy {
        /// The route.
        place: Box<Place>,
        /// What is wrong.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    pub(crate) fn policy(
        place: &Place,
        cause: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        Self::Policy { place: Box::new(place.clone()), cause: Box::new(cause) }
    }

    /// The address that another process has, when that is the trouble.
    #[must_use]
    pub fn taken(&self) -> Option<SocketAddr> {
        match self {
            Self::Listen(proxy::Error::Taken { address, .. }) => Some(*address),
            Self::Listen(_)
            | Self::State { .. }
            | Self::Certificates(_)
            | Self::NoHome
            | Self::Keys { .. }
            | Self::Policy { .. } => None,
        }
    }

    /// The stable code, whose page says more.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Listen(proxy::Error::Taken { .. }) => Code::PORT_TAKEN,
            Self::Listen(_) | Self::Policy { .. } => Code::BAD_VALUE,
            Self::State { .. } => Code::STATE_DIR,
            Self::Certificates(_) | Self::NoHome => Code::CERTIFICATE,
            Self::Keys { .. } => Code::KEYS,
        }
    }

    /// What to do about it, when that is known.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Certificates(error) => Some(error.fix()),
            Self::NoHome => Some("set HOME, or use `tls: { cert: …, key: … }`".to_owned()),
            Self::Keys { .. } => {
                Some("name a JSON Web Key Set, or public keys in PEM form".to_owned())
            }
            Self::Listen(_) | Self::State { .. } | Self::Policy { .. } => None,
        }
    }

    /// Where in the file it is asked for, when that is known.
    #[must_use]
    pub fn place(&self) -> Option<&Place> {
        match self {
            Self::Keys { place, .. } | Self::Policy { place, .. } => Some(place),
            Self::Listen(_) | Self::State { .. } | Self::Certificates(_) | Self::NoHome => None,
        }
    }
}
