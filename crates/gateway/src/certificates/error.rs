//! What can be wrong with the gateway's certificates.

use proxy::TlsError;
use std::{io, path::PathBuf};

/// Why certificates cannot be read or made.
#[derive(Debug, thiserror::Error)]
pub enum CertificatesError {
    /// A file cannot be read.
    #[error("cannot read `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// A file that cannot be a certificate or key.
    #[error("`{path}` is no file of at most 1 MiB")]
    NotAFile {
        /// What was named.
        path: PathBuf,
    },
    /// What was read cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The folder of the authority for development cannot be used.
    #[error("cannot keep the development CA in `{path}`")]
    Keep {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// What is in the folder is no authority of ours, or it was damaged.
    #[error("the development CA in `{folder}` cannot be used")]
    Foreign {
        /// The folder.
        folder: PathBuf,
        /// What is wrong.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A certificate could not be made.
    #[error("cannot make a certificate")]
    Make(#[from] rcgen::Error),
}

impl CertificatesError {
    /// What to do about it, as a sentence without its full stop.
    #[must_use]
    pub fn fix(&self) -> String {
        match self {
            Self::Read { cause, .. } => match cause.kind() {
                io::ErrorKind::NotFound => "correct the path, or put the file there".to_owned(),
                io::ErrorKind::PermissionDenied => {
                    "let the user that runs flotilla read it, for instance through its group"
                        .to_owned()
                }
                _ => "name a file in PEM that can be read".to_owned(),
            },
            Self::NotAFile { .. } => "name the certificate's or key's own file".to_owned(),
            Self::Tls(error) => error.fix(),
            Self::Keep { .. } => {
                "set XDG_DATA_HOME to a folder that can be written to, or use `tls: { cert, key }`"
                    .to_owned()
            }
            Self::Foreign { folder, .. } => format!(
                "remove the folder `{}`: a new one is made, which must be trusted anew",
                folder.display()
            ),
            Self::Make(_) => "look whether the system has a source of random numbers".to_owned(),
        }
    }
}
