//! Why the host could not be set up.

use std::{io, path::PathBuf};

/// Why the host could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The state directory cannot be made or written to.
    #[error("cannot use `{path}`")]
    StateDir {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The kernel lacks what the host stands on (Linux 5.3 with `/proc`).
    #[error("this system cannot {what}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        #[source]
        cause: io::Error,
    },
}
