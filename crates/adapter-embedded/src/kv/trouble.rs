//! What can be wrong with the tree.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use super::{Error, base::NAME};
use crate::disk::Disk;

/// Why the tree does not answer.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// What it says cannot be.
    #[error("`{NAME}` is damaged: {0}")]
    Damaged(String),
    /// The disk fails, or the tree is being opened anew.
    #[error("`{NAME}` cannot be used")]
    Failed(#[source] Arc<dyn std::error::Error + Send + Sync>),
}

impl<E: Into<redb::Error>> From<E> for Trouble {
    fn from(error: E) -> Self {
        match error.into() {
            redb::Error::Corrupted(what) => Self::Damaged(what),
            // All of them are made before the file has its name.
            missing @ (redb::Error::TableDoesNotExist(_)
            | redb::Error::TableTypeMismatch { .. }
            | redb::Error::TableIsMultimap(_)) => Self::Damaged(missing.to_string()),
            // It panicked before, which it does where its file says something impossible.
            redb::Error::LockPoisoned(_) => {
                Self::Damaged("its pages contradict each other".to_owned())
            }
            other => Self::Failed(Arc::new(other)),
        }
    }
}

/// Runs what redb does to a file that may hold anything: where it holds something impossible, redb may panic.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, Trouble>) -> Result<T, Trouble> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let what = panic.downcast_ref::<String>().cloned();
        let what = what.or_else(|| panic.downcast_ref::<&str>().map(|what| (*what).to_owned()));
        Err(Trouble::Damaged(what.unwrap_or_else(|| "its pages contradict each other".to_owned())))
    })
}

impl Trouble {
    /// As an error of opening the store.
    pub(super) fn of(self, disk: &dyn Disk) -> Error {
        let file = disk.path(NAME);
        match self {
            Self::Damaged(what) => Error::Damaged { file, offset: None, what },
            Self::Failed(cause) => Error::Io { file, cause: io::Error::other(cause) },
        }
    }
}
