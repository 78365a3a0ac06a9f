//! Frames: what one append writes.

use bytes::Bytes;

use super::segment::{self, array};

/// Length of a frame's head: magic, length of the payload, number of the first entry, how many, checksum.
pub(super) const HEAD: usize = 24;
pub(super) const HEAD_BYTES: u64 = 24;

/// Begins every frame, so that one is found behind a broken one whose length is lost.
pub(super) const MAGIC: [u8; 4] = [0xF1, 0x07, 0x11, 0x1A];

/// Entries that are appended together.
#[derive(Debug)]
pub(crate) struct Batch {
    /// Room for the head, then the payload.
    bytes: Vec<u8>,
    count: u32,
}

impl Batch {
    pub(crate) fn new() -> Self {
        Self { bytes: vec![0; HEAD], count: 0 }
    }

    /// One of entries that stand in another log.
    pub(super) fn of(payload: &[u8], count: u32) -> Self {
        let mut batch = Self::new();
        batch.bytes.extend_from_slice(payload);
        batch.count = count;
        batch
    }

    /// Where the next entry is to be written to. Entries say themselves where they end.
    pub(crate) fn entry(&mut self) -> &mut Vec<u8> {
        self.count += 1;
        &mut self.bytes
    }

    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes that it takes in the file.
    pub(crate) fn len(&self) -> u64 {
        u64::try_from(self.bytes.len()).unwrap_or(u64::MAX)
    }

    /// Takes all entries out again.
    pub(crate) fn clear(&mut self) {
        self.bytes.truncate(HEAD);
        // One large batch must not hold its memory for ever.
        self.bytes.shrink_to(KEPT_BYTES);
        self.count = 0;
    }

    /// The frame as it stands in a file of this salt at this offset.
    pub(super) fn seal(&mut self, first: u64, salt: u64, offset: u64) -> &[u8] {
        let payload =
            u32::try_from(self.bytes.len() - HEAD).expect("a batch is bounded by its user");
        self.bytes[..4].copy_from_slice(&MAGIC);
        self.bytes[4..8].copy_from_slice(&payload.to_le_bytes());
        self.bytes[8..16].copy_from_slice(&first.to_le_bytes());
        self.bytes[16..20].copy_from_slice(&self.count.to_le_bytes());
        let check = checksum(&self.bytes, salt, offset);
        self.bytes[20..24].copy_from_slice(&check.to_le_bytes());
        &self.bytes
    }
}

/// What a batch keeps of its memory between two uses.
const KEPT_BYTES: usize = 1 << 20;

/// The head of a frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    /// Bytes of the payload.
    pub(super) payload: u32,
    pub(super) first: u64,
    pub(super) count: u32,
    check: u32,
}

impl Head {
    /// `None`: no frame begins so.
    pub(super) fn decode(bytes: &[u8; HEAD]) -> Option<Self> {
        let short = |at: usize| u32::from_le_bytes(array(&bytes[at..at + 4]));
        (bytes[..4] == MAGIC).then(|| Self {
            payload: short(4),
            first: u64::from_le_bytes(array(&bytes[8..16])),
            count: short(16),
            check: short(20),
        })
    }

    /// Bytes of the whole frame.
    pub(super) fn len(&self) -> u64 {
        HEAD_BYTES + u64::from(self.payload)
    }

    /// Whether `frame`, which it is the head of, is as it was written to this place.
    pub(super) fn fits(&self, frame: &[u8], salt: u64, offset: u64) -> bool {
        self.check == checksum(frame, salt, offset)
    }
}

/// Covers all but itself, and the place: a frame that turns up anywhere else is none.
fn checksum(frame: &[u8], salt: u64, offset: u64) -> u32 {
    let mut check = crc32fast::Hasher::new();
    check.update(&salt.to_le_bytes());
    check.update(&offset.to_le_bytes());
    check.update(&frame[..HEAD - 4]);
    check.update(&frame[HEAD..]);
    check.finalize()
}

/// What one append wrote.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    /// The number of the first entry of its segment.
    pub(crate) segment: u64,
    /// The number of its first entry.
    pub(crate) first: u64,
    /// How many entries it has.
    pub(crate) count: u32,
    /// The entries, one after the other.
    pub(crate) payload: Bytes,
    /// Where it begins in its file.
    pub(crate) offset: u64,
}

impl Frame {
    /// Where its entries begin in its file.
    pub(crate) fn payload_at(&self) -> u64 {
        self.offset + HEAD_BYTES
    }

    /// The name of its file.
    pub(crate) fn file(&self) -> String {
        segment::name(self.segment)
    }
}
