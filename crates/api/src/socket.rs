//! The Unix socket's path, also where it is too long for the system call.
//!
//! A socket address holds 107 bytes of path, and a system may lie deeper than that. Linux lets a
//! process name a folder it has open as `/proc/self/fd/<n>`, which makes every path short.

use std::{
    fs::File,
    io,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
};

/// Longest path that a Unix socket's address holds, in bytes, without the final zero.
const PATH_LEN_MAX: usize = 107;

/// A path short enough for a socket call, for as long as this value lives.
#[derive(Debug)]
pub(crate) struct Short {
    path: PathBuf,
    _folder: Option<File>,
}

impl Short {
    /// # Errors
    /// When `path` is too long and its folder cannot be opened.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        if path.as_os_str().len() <= PATH_LEN_MAX {
            return Ok(Self { path: path.to_owned(), _folder: None });
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not the path of a file"));
        };
        let folder = File::open(parent)?;
        let path = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name);
        Ok(Self { path, _folder: Some(folder) })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}
