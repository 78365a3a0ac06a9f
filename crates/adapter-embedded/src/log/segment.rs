//! The head of a segment, and how one comes to be.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    io,
    sync::Arc,
};

use crate::disk::{Disk, File};

/// The format that this release writes; it reads all before it.
pub(super) const VERSION: u32 = 1;

/// Length of the head.
pub(crate) const HEADER_BYTES: u64 = 64;
const HEADER: usize = 64;

/// These 16 bytes have the same meaning in all formats to come: magic, version, and a checksum of the two.
const MAGIC: &[u8; 8] = b"FLOT-LOG";
const PRELUDE: usize = 16;

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// The number of its first entry.
    pub(super) first: u64,
    /// The user's.
    pub(super) mark: u64,
    /// The number of the first entry of the segment before it, and where that one ends.
    pub(super) before: (u64, u64),
    /// Goes into every checksum: bytes of another file, or of a value that somebody stored, are no frames here.
    pub(super) salt: u64,
}

/// A segment as far as it is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// The number of its first entry.
    pub(crate) first: u64,
    /// What the user gave it.
    pub(crate) mark: u64,
    pub(crate) salt: u64,
    /// Where its last frame ends.
    pub(crate) end: u64,
}

impl Segment {
    pub(crate) fn name(&self) -> String {
        name(self.first)
    }
}

/// The name of the segment that begins with entry `first`.
pub(super) fn name(first: u64) -> String {
    format!("{first:020}.log")
}

/// The number in the name of a segment.
pub(super) fn parse_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".log")?;
    let is_number = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| is_number)
}

/// What stands behind the names of files that are not finished; whoever opens the folder removes them.
pub(crate) const UNFINISHED: &str = ".new";

/// A number nobody can foresee.
pub(super) fn salt() -> u64 {
    // The standard library seeds these from the system's randomness.
    RandomState::new().build_hasher().finish()
}

/// What the head of a file turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Head {
    Sound(Header),
    Newer(u32),
    Damaged,
}

impl Header {
    pub(super) fn segment(&self) -> Segment {
        let Self { first, mark, salt, before: _ } = *self;
        Segment { first, mark, salt, end: HEADER_BYTES }
    }

    pub(super) fn encode(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        let check = crc32fast::hash(&bytes[..12]);
        bytes[12..16].copy_from_slice(&check.to_le_bytes());
        let numbers = [self.salt, self.first, self.mark, self.before.0, self.before.1];
        for (index, number) in numbers.iter().enumerate() {
            let at = PRELUDE + index * 8;
            bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
        }
        let check = crc32fast::hash(&bytes[..HEADER - 4]);
        bytes[HEADER - 4..].copy_from_slice(&check.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8; HEADER]) -> Head {
        let number = |at: usize| u64::from_le_bytes(array(&bytes[at..at + 8]));
        let short = |at: usize| u32::from_le_bytes(array(&bytes[at..at + 4]));
        if &bytes[..8] != MAGIC || short(12) != crc32fast::hash(&bytes[..12]) {
            return Head::Damaged;
        }
        if short(8) > VERSION {
            return Head::Newer(short(8));
        }
        if short(HEADER - 4) != crc32fast::hash(&bytes[..HEADER - 4]) {
            return Head::Damaged;
        }
        let [salt, first, mark, before_first, before_end] = [16, 24, 32, 40, 48].map(number);
        Head::Sound(Self { first, mark, before: (before_first, before_end), salt })
    }

    /// Reads the head of `file`.
    pub(super) fn read(file: &dyn File) -> io::Result<Head> {
        let mut bytes = [0; HEADER];
        let read = file.read_at(0, &mut bytes)?;
        Ok(if read == HEADER { Self::decode(&bytes) } else { Head::Damaged })
    }
}

/// The bytes of a number.
pub(super) fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("the slice was cut to this length")
}

/// Makes the file of a segment, which has no name that counts before [`publish`].
pub(super) fn prepare(disk: &dyn Disk, header: &Header) -> io::Result<Arc<dyn File>> {
    let unfinished = unfinished(header);
    // From an attempt for which there was no room.
    if let Err(e) = disk.remove(&unfinished)
        && e.kind() != io::ErrorKind::NotFound
    {
        return Err(e);
    }
    let file = disk.create(&unfinished)?;
    file.write_at(0, &header.encode())?;
    file.sync()?;
    Ok(file)
}

/// Gives a prepared segment its name: one that is there has a head.
pub(super) fn publish(disk: &dyn Disk, header: &Header) -> io::Result<()> {
    disk.rename(&unfinished(header), &name(header.first))?;
    disk.sync()
}

fn unfinished(header: &Header) -> String {
    format!("{}{UNFINISHED}", name(header.first))
}
