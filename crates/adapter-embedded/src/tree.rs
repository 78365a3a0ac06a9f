//! A B-tree of redb in a file of [`crate::disk`], and what can be wrong with it.

use redb::{Builder, Database, DatabaseError, StorageBackend};
use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use crate::disk::File;

/// Why a tree does not answer.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// What it says cannot be.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// The disk fails, or the tree is being opened anew.
    #[error("it cannot be used")]
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
            redb::Error::LockPoisoned(_) => Self::contradiction(),
            other => Self::Failed(Arc::new(other)),
        }
    }
}

impl Trouble {
    fn contradiction() -> Self {
        Self::Damaged("its pages contradict each other".to_owned())
    }
}

/// Runs what redb does to a file that may hold anything: where it holds something impossible, redb may panic.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, Trouble>) -> Result<T, Trouble> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let what = panic.downcast_ref::<String>().cloned();
        let what = what.or_else(|| panic.downcast_ref::<&str>().map(|what| (*what).to_owned()));
        Err(what.map_or_else(Trouble::contradiction, Trouble::Damaged))
    })
}

/// Opens the tree in `file`, of which redb may hold `cache_bytes` in memory, or makes one in an empty file. It is read as
/// a whole first if `is_checked`.
pub(crate) fn open(
    file: Arc<dyn File>,
    cache_bytes: usize,
    is_checked: bool,
) -> Result<Database, Trouble> {
    guarded(|| {
        let mut builder = Builder::new();
        builder.set_cache_size(cache_bytes).set_check_integrity_on_open(is_checked);
        let opened = builder.create_with_backend(Backend(file));
        opened.map_err(|error| match error {
            DatabaseError::Storage(redb::StorageError::Io(e))
                if matches!(
                    e.kind(),
                    io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
                ) =>
            {
                Trouble::Damaged(e.to_string())
            }
            DatabaseError::RepairAborted | DatabaseError::UpgradeRequired(_) => {
                Trouble::Damaged(error.to_string())
            }
            other => other.into(),
        })
    })
}

/// A file as redb takes it.
#[derive(Debug)]
struct Backend(Arc<dyn File>);

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if self.0.read_at(offset, out)? == out.len() {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it is shorter than it should be"))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_at(offset, data)
    }
}
