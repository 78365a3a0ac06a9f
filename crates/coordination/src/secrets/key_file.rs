//! The file with the key that stored secrets are sealed with.
//!
//! ```text
//!  # comment
//!  1 NAME KEY        the format, the key's name and the key, in hexadecimal; the first is used for sealing
//! ```
//!
//! It has more than one key only while a rotation is under way. It belongs to its user alone, appears under its name
//! whole or not at all, and is never written over by a process that has not read it.

use super::{
    KeyError,
    seal::{KEY_SIZE, Key, KeyId, hex},
};
use crate::private::{Replace, write};
use std::{fs, io, os::unix::fs::MetadataExt as _, path::PathBuf, time::SystemTime};

const FORMAT: &str = "1";
const COMMENT: &str =
    "# The key of this system's stored secrets. Without it they cannot be read; keep a copy.\n";

/// The file, and what it had when it was last read.
#[derive(Debug)]
pub(super) struct KeyFile {
    path: PathBuf,
    read: Option<(Stamp, Vec<Entry>)>,
}

/// Tells one content from another without reading it.
pub(super) type Stamp = (Option<SystemTime>, u64, u64);

struct Entry {
    key: Key,
    bytes: [u8; KEY_SIZE],
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(&self.key, f)
    }
}

impl KeyFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, read: None }
    }

    /// Its keys, the one for sealing first; none when there is no file. Reads it if it has changed. Blocks.
    pub(super) fn keys(&mut self) -> Result<Vec<Key>, KeyError> {
        Ok(self.entries()?.iter().map(|entry| entry.key.clone()).collect())
    }

    /// What tells whether it has changed. Blocks.
    pub(super) fn stamp(&self) -> Option<Stamp> {
        stamp(&fs::metadata(&self.path).ok()?)
    }

    /// The key for sealing; made, with the file, if there is none. Blocks.
    pub(super) fn active(&mut self) -> Result<Key, KeyError> {
        if let Some(key) = self.keys()?.into_iter().next() {
            return Ok(key);
        }
        let entry = draw()?;
        let text = print([&entry]);
        match write(&self.path, &text, Replace::Never) {
            Ok(()) => {}
            // Another process has just made one: that is the key.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(cause) => return Err(self.failed(cause)),
        }
        let key = self.keys()?.into_iter().next();
        key.ok_or_else(|| self.failed(io::ErrorKind::NotFound.into()))
    }

    /// Puts a new key before the others. Blocks.
    pub(super) fn add(&mut self) -> Result<Key, KeyError> {
        let new = draw()?;
        let entries = self.entries()?;
        let text = print(std::iter::once(&new).chain(entries));
        write(&self.path, &text, Replace::Always).map_err(|cause| self.failed(cause))?;
        self.read = None;
        Ok(new.key)
    }

    /// Takes these keys out. Blocks.
    pub(super) fn remove(&mut self, ids: &[KeyId]) -> Result<(), KeyError> {
        let text = print(self.entries()?.iter().filter(|entry| !ids.contains(&entry.key.id)));
        write(&self.path, &text, Replace::Always).map_err(|cause| self.failed(cause))?;
        self.read = None;
        Ok(())
    }

    fn entries(&mut self) -> Result<&[Entry], KeyError> {
        let metadata = match fs::metadata(&self.path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(&[]),
            Err(cause) => return Err(self.failed(cause)),
        };
        let stamp = stamp(&metadata).unwrap_or_default();
        if self.read.as_ref().is_none_or(|(read, _)| *read != stamp) {
            let mode = metadata.mode() & 0o777;
            if mode & 0o077 != 0 {
                return Err(KeyError::Open { path: self.path.clone(), mode });
            }
            let text = fs::read_to_string(&self.path).map_err(|cause| self.failed(cause))?;
            let damaged = |reason| KeyError::Damaged { path: self.path.clone(), reason };
            let entries = parse(&text).map_err(damaged)?;
            self.read = Some((stamp, entries));
        }
        Ok(self.read.as_ref().map_or(&[], |(_, entries)| entries))
    }

    fn failed(&self, cause: io::Error) -> KeyError {
        KeyError::File { path: self.path.clone(), cause }
    }
}

pub(super) fn stamp(metadata: &fs::Metadata) -> Option<Stamp> {
    Some((metadata.modified().ok(), metadata.len(), metadata.ino()))
}

fn draw() -> Result<Entry, KeyError> {
    let mut bytes = [0; KEY_SIZE];
    getrandom::fill(&mut bytes).map_err(|error| KeyError::Random(error.to_string()))?;
    Ok(Entry { key: Key::new(&bytes), bytes })
}

fn print<'e>(entries: impl IntoIterator<Item = &'e Entry>) -> String {
    let mut text = COMMENT.to_owned();
    for entry in entries {
        text.push_str(&format!("{FORMAT} {} {}\n", entry.key.id, hex(&entry.bytes)));
    }
    text
}

fn parse(text: &str) -> Result<Vec<Entry>, String> {
    let mut entries = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |what: &str| Err(format!("line {number} {what}"));
        let mut words = line.split_ascii_whitespace();
        let (Some(format), Some(id), Some(key), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return wrong("is not `1 NAME KEY`");
        };
        if format != FORMAT {
            return wrong("is of a newer version");
        }
        let Some(bytes) = unhex(key) else { return wrong("has no key of 64 hexadecimal digits") };
        let key = Key::new(&bytes);
        if key.id.to_string() != id {
            return wrong("has a key that does not belong to its name: it was changed");
        }
        entries.push(Entry { key, bytes });
    }
    if entries.is_empty() { Err("it has no key".to_owned()) } else { Ok(entries) }
}

fn unhex(text: &str) -> Option<[u8; KEY_SIZE]> {
    if text.len() != 2 * KEY_SIZE {
        return None;
    }
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|n| u8::try_from(n).ok());
    let mut bytes = [0; KEY_SIZE];
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let [high, low] = digits else { return None };
        *byte = digit(high)? * 16 + digit(low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_key_is_made_once_and_belongs_to_its_user_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data").join("secrets.key");
        let mut file = KeyFile::new(path.clone());
        assert!(file.keys().unwrap().is_empty());
        let first = file.active().unwrap().id;
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(KeyFile::new(path.clone()).active().unwrap().id, first);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left");
        assert!(!format!("{file:?}").contains(&hex(&file.entries().unwrap()[0].bytes)));
    }

    #[test]
    fn a_file_that_is_no_key_file_or_is_open_to_others_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secrets.key");
        let mut file = KeyFile::new(path.clone());
        file.active().unwrap();
        let good = fs::read_to_string(&path).unwrap();
        let name = good.lines().last().unwrap().split(' ').nth(1).unwrap().to_owned();
        for (text, reason) in [
            (String::new(), "it has no key"),
            ("1 abc".to_owned(), "line 1 is not"),
            (good.replace("\n1 ", "\n2 "), "line 2 is of a newer version"),
            (good.replace(&name, "0123456789abcdef"), "does not belong to its name"),
            (format!("{}0\n", good.trim_end()), "64 hexadecimal digits"),
        ] {
            fs::write(&path, &text).unwrap();
            let error = KeyFile::new(path.clone()).keys().unwrap_err().to_string();
            assert!(error.contains(reason) && error.contains("secrets.key"), "{error}");
        }
        fs::write(&path, good).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = KeyFile::new(path).keys().unwrap_err().to_string();
        assert!(error.contains("mode 640") && error.contains("chmod 600"), "{error}");
    }
}
