//! The files of a topic: a head, and messages one after the other.
//!
//! A file is written behind the journal and without syncing it; the checkpoint says how much of it is durable. What is
//! beyond that after a crash is cut off and comes again from the journal.

use std::{io, sync::Arc};

use crate::{
    disk::{Disk, File},
    log::Error,
};

/// The format that this release writes; it reads all before it.
pub(super) const VERSION: u32 = 1;

/// Length of the head.
pub(super) const HEADER_BYTES: u64 = 64;
pub(super) const HEADER: usize = 64;

/// These 16 bytes have the same meaning in all formats to come: magic, version, and a checksum of the two.
const MAGIC: &[u8; 8] = b"FLOT-SEG";

/// A file of a topic as far as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// Offsets of its first and last message. There is none missing between them.
    pub(super) first: u64,
    pub(super) last: u64,
    /// When these were taken.
    pub(super) first_time: u64,
    pub(super) last_time: u64,
    /// Where its last message ends.
    pub(super) end: u64,
}

impl Segment {
    /// Bytes of its messages.
    pub(super) fn bytes(&self) -> u64 {
        self.end.saturating_sub(HEADER_BYTES)
    }
}

/// Names a file among all topics: the number of the topic, and the offset of the file's first message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) topic: u64,
    pub(super) first: u64,
}

impl Place {
    pub(super) fn name(self) -> String {
        format!("t{:012}.{:020}.seg", self.topic, self.first)
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        let (topic, first) = name.strip_prefix('t')?.strip_suffix(".seg")?.split_once('.')?;
        let number = |digits: &str, len: usize| {
            let is_number = digits.len() >= len && digits.bytes().all(|it| it.is_ascii_digit());
            digits.parse().ok().filter(|_| is_number)
        };
        Some(Self { topic: number(topic, 12)?, first: number(first, 20)? })
    }

    /// Makes the file, in place of one that a crash has left. Nothing of it is durable.
    pub(super) fn create(self, disk: &dyn Disk, uid: u64) -> io::Result<Arc<dyn File>> {
        let name = self.name();
        let file = match disk.create(&name) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                let file = disk.open(&name)?;
                file.set_len(0)?;
                file
            }
            other => other?,
        };
        file.write_at(0, &self.header(uid))?;
        Ok(file)
    }

    /// Opens the file and checks its head.
    pub(super) fn open(self, disk: &dyn Disk, uid: u64) -> Result<Arc<dyn File>, Error> {
        let name = self.name();
        let path = || disk.path(&name);
        let failed = |cause: io::Error| {
            if cause.kind() == io::ErrorKind::NotFound {
                Error::Damaged { path: path(), offset: 0, what: "it is missing".to_owned() }
            } else {
                Error::Io { path: path(), cause }
            }
        };
        let file = disk.open(&name).map_err(failed)?;
        let mut bytes = [0; HEADER];
        let read = file.read_at(0, &mut bytes).map_err(failed)?;
        let expected = self.header(uid);
        if read < HEADER || bytes[..8] != MAGIC[..] || short(&bytes, 12) != check(&bytes[..12]) {
            let what = "the head is not as it was written".to_owned();
            return Err(Error::Damaged { path: path(), offset: 0, what });
        }
        let version = short(&bytes, 8);
        if version > VERSION {
            return Err(Error::Newer { path: path(), version, known: VERSION });
        }
        if bytes != expected {
            let what = "the head is not of this topic and place".to_owned();
            return Err(Error::Damaged { path: path(), offset: 0, what });
        }
        Ok(file)
    }

    pub(super) fn header(self, uid: u64) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        let prelude = check(&bytes[..12]);
        bytes[12..16].copy_from_slice(&prelude.to_le_bytes());
        for (index, number) in [self.topic, uid, self.first].iter().enumerate() {
            let at = 16 + index * 8;
            bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
        }
        let all = check(&bytes[..HEADER - 4]);
        bytes[HEADER - 4..].copy_from_slice(&all.to_le_bytes());
        bytes
    }
}

fn check(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

fn short(bytes: &[u8; HEADER], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_file_says_its_place_and_nothing_else_is_one() {
        let place = Place { topic: 12, first: 345 };
        assert_eq!(place.name(), "t000000000012.00000000000000000345.seg");
        assert_eq!(Place::parse(&place.name()), Some(place));
        let far = Place { topic: u64::MAX, first: u64::MAX };
        assert_eq!(Place::parse(&far.name()), Some(far));
        for name in ["t12.345.seg", "checkpoint", "00000000000000000000.log", "t.seg", "lock"] {
            assert_eq!(Place::parse(name), None, "{name}");
        }
    }
}
