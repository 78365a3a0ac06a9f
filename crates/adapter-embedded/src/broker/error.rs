//! Why a store cannot be opened.

use std::{io, path::PathBuf};

use crate::log;

/// Why a store cannot be opened. What somebody can do about it tells the variants apart.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process has it open: end that one first.
    #[error("`{}` is in use by another process", folder.display())]
    InUse {
        /// The store.
        folder: PathBuf,
    },
    /// A later release wrote it: use that one.
    #[error("`{}` has format {version}, this release knows {known}: use a later release", file.display())]
    Newer {
        /// The file.
        file: PathBuf,
        /// Its format.
        version: u64,
        /// The newest format that this release reads.
        known: u64,
    },
    /// What is there is not what was written. Nothing was changed.
    #[error("`{}` is damaged{}: {what}", file.display(), offset.map(|at| format!(" at byte {at}")).unwrap_or_default())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// Where in it, if that is known.
        offset: Option<u64>,
        /// What is wrong.
        what: String,
    },
    /// The disk or the system does not do it: see the cause.
    #[error("cannot use `{}`", file.display())]
    Io {
        /// The file or folder.
        file: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

impl From<log::Error> for Error {
    fn from(error: log::Error) -> Self {
        match error {
            log::Error::Io { path, cause } => Self::Io { file: path, cause },
            log::Error::Damaged { path, offset, what } => {
                Self::Damaged { file: path, offset: Some(offset), what }
            }
            log::Error::Newer { path, version, known } => {
                Self::Newer { file: path, version: version.into(), known: known.into() }
            }
        }
    }
}
