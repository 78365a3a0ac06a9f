//! What an engine asks of its folder.
//!
//! The one indirection between the engines and the file system: tests put a disk behind it that fails, runs full, or
//! loses power and keeps only what was synced. So nothing here does more than the system call of its name, and
//! everything above says for itself what must be synced before what.

use std::{
    fmt, fs, io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

#[cfg(test)]
pub(crate) mod simulated;

/// A folder without folders in it.
pub(crate) trait Disk: Send + Sync + fmt::Debug {
    /// The names in it, in no order.
    fn list(&self) -> io::Result<Vec<String>>;

    /// A file that must not be there yet. Its name is durable after [`Self::sync`].
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>>;

    /// A file that must be there.
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>>;

    /// Gives a file another name, in place of the file that has it. Durable after [`Self::sync`].
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file. Durable after [`Self::sync`].
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes names durable.
    fn sync(&self) -> io::Result<()>;

    /// Where `name` is, for people.
    fn path(&self, name: &str) -> PathBuf;
}

/// An open file. Several may write to different places of it at once.
pub(crate) trait File: Send + Sync + fmt::Debug {
    /// Its length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Reads what is at `offset`, less than asked for only at the end.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize>;

    /// Writes all of `bytes`; after an error any part of them may be there.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Cuts or lengthens it; what is added is zero, and its space is taken from the disk at once.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Makes its bytes and its length durable.
    fn sync(&self) -> io::Result<()>;
}

/// A folder of the file system.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// The folder itself, for syncing it.
    handle: fs::File,
}

impl Folder {
    /// Opens `path`, which is created if it is not there, with the folders above it.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let mut missing = Vec::new();
        let mut at = Some(path);
        while let Some(folder) = at.filter(|folder| !folder.as_os_str().is_empty()) {
            if folder.is_dir() {
                break;
            }
            missing.push(folder);
            at = folder.parent();
        }
        for folder in missing.into_iter().rev() {
            fs::create_dir(folder).or_else(|e| {
                if e.kind() == io::ErrorKind::AlreadyExists { Ok(()) } else { Err(e) }
            })?;
            // A folder whose name is lost in a power cut takes all that is in it along.
            let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
            fs::File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
        }
        Ok(Self { path: path.to_owned(), handle: fs::File::open(path)? })
    }
}

impl Disk for Folder {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            // A name that is no text is none of ours.
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let options = fs::OpenOptions::new().read(true).write(true).create_new(true).to_owned();
        Ok(Arc::new(options.open(self.path.join(name))?))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let file = fs::OpenOptions::new().read(true).write(true).open(self.path.join(name))?;
        Ok(Arc::new(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn sync(&self) -> io::Result<()> {
        self.handle.sync_all()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl File for fs::File {
    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        let mut read = 0;
        while read < out.len() {
            let at = offset + u64::try_from(read).unwrap_or(u64::MAX);
            match FileExt::read_at(self, &mut out[read..], at) {
                Ok(0) => break,
                Ok(count) => read += count,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(read)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let before = File::len(self)?;
        if len > before {
            // A full disk must show here and not at a later write, where its user cannot turn back.
            let flags = rustix::fs::FallocateFlags::empty();
            match rustix::fs::fallocate(self, flags, before, len - before) {
                Ok(()) => return Ok(()),
                Err(rustix::io::Errno::OPNOTSUPP) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Self::set_len(self, len)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// Whether `error` says that there is no room: nothing is broken, and there may be room again.
pub(crate) fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}
