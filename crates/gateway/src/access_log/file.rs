//! The file and its older ones: `access.log`, `access.log.1` (the newest of them) to `access.log.4`.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

/// Length at which a file is put aside, in bytes: about 150,000 requests; an editor still opens it. One batch may
/// go beyond it.
pub const FILE_LEN_MAX: u64 = 64 << 20;

/// How many files there are, the present one included; with [`FILE_LEN_MAX`] 320 MiB at most.
pub const FILES_MAX: u32 = 5;

/// An open log.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    file: File,
    /// Which file it is, to see whether it still stands under the name.
    identity: (u64, u64),
    len_max: u64,
}

impl Log {
    /// Opens the file for appending, and makes it and its folder when they are not there; only the owner may read
    /// them, because addresses of people stand in it.
    pub(super) fn open(path: PathBuf) -> io::Result<Self> {
        Self::with(path, FILE_LEN_MAX)
    }

    pub(super) fn with(path: PathBuf, len_max: u64) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
        let about = file.metadata()?;
        if !about.is_file() && !is_stream(&about) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file"));
        }
        Ok(Self { path, file, identity: (about.dev(), about.ino()), len_max })
    }

    /// Appends whole lines with one write, after putting a full file aside.
    ///
    /// # Errors
    /// When the disk refuses; some of the lines may be there.
    pub(super) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let about = fs::metadata(&self.path);
        let is_same = about.as_ref().is_ok_and(|about| (about.dev(), about.ino()) == self.identity);
        if !is_same {
            // Rotated or deleted by somebody else.
            *self = Self::with(self.path.clone(), self.len_max)?;
        } else if about.is_ok_and(|about| about.is_file() && about.len() >= self.len_max) {
            self.rotate()?;
        }
        self.file.write_all(lines)
    }

    fn rotate(&mut self) -> io::Result<()> {
        for number in (1..FILES_MAX).rev() {
            let from = if number == 1 { self.path.clone() } else { older(&self.path, number - 1) };
            match fs::rename(&from, older(&self.path, number)) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        }
        *self = Self::with(self.path.clone(), self.len_max)?;
        Ok(())
    }
}

/// `access.log.2`
fn older(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

/// `/dev/stdout`, a pipe: written to and never rotated.
fn is_stream(about: &fs::Metadata) -> bool {
    use std::os::unix::fs::FileTypeExt as _;
    about.file_type().is_char_device() || about.file_type().is_fifo()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &Path) -> String {
        fs::read_to_string(path).unwrap_or_default()
    }

    #[test]
    fn a_full_file_is_put_aside_and_the_oldest_is_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logs/access.log");
        let mut log = Log::with(path.clone(), 10).unwrap();
        for number in 0..8 {
            log.append(format!("line {number} is long\n").as_bytes()).unwrap();
        }
        assert_eq!(read(&path), "line 7 is long\n");
        for (number, line) in [(1, 6), (2, 5), (3, 4), (4, 3)] {
            assert_eq!(read(&older(&path, number)), format!("line {line} is long\n"));
        }
        assert!(!older(&path, 5).exists());
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        // A log that was there before is gone on with.
        Log::with(path.clone(), 1_000).unwrap().append(b"more\n").unwrap();
        assert_eq!(read(&path), "line 7 is long\nmore\n");
    }

    #[test]
    fn a_file_that_others_rotated_or_deleted_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        let mut log = Log::open(path.clone()).unwrap();
        log.append(b"one\n").unwrap();
        fs::rename(&path, folder.path().join("aside")).unwrap();
        log.append(b"two\n").unwrap();
        assert_eq!(read(&path), "two\n");
        fs::remove_file(&path).unwrap();
        log.append(b"three\n").unwrap();
        assert_eq!(read(&path), "three\n");
        assert_eq!(read(&folder.path().join("aside")), "one\n");
        // Two who write the same file do not put it aside twice.
        let (mut one, mut other) =
            (Log::with(path.clone(), 8).unwrap(), Log::with(path.clone(), 8).unwrap());
        one.append(b"12345678\n").unwrap();
        one.append(b"a\n").unwrap();
        other.append(b"b\n").unwrap();
        assert_eq!(read(&path), "a\nb\n");
    }

    #[test]
    fn what_is_no_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Log::open(folder.path().to_owned()).is_err());
        fs::write(folder.path().join("file"), "").unwrap();
        assert!(Log::open(folder.path().join("file/access.log")).is_err());
        assert!(Log::open("/dev/null".into()).unwrap().append(b"x\n").is_ok());
    }
}
