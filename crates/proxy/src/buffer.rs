//! Memory for bytes on their way, lent to whoever is busy.
//!
//! A connection that waits for its next request holds none. Each worker keeps some for the next who asks, so
//! that a busy worker allocates nothing.

use std::ops::Range;

/// Size of the usual buffer: nearly every head, and most requests and responses whole.
pub(crate) const SMALL: usize = 16 * 1024;

/// Size of the buffers for bodies that do not fit into a small one: fewer system calls for large transfers.
pub(crate) const LARGE: usize = 64 * 1024;

/// Most small buffers that a worker keeps for later: 4 MiB.
const SMALL_KEPT_MAX: usize = 256;

/// Most large buffers that a worker keeps for later: 4 MiB.
const LARGE_KEPT_MAX: usize = 64;

/// Bytes that were read and not used yet.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Buffer {
    fn new(size: usize) -> Self {
        Self { bytes: vec![0; size].into_boxed_slice(), start: 0, end: 0 }
    }

    pub(crate) fn capacity(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes that are there.
    pub(crate) fn filled(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    pub(crate) fn filled_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.end]
    }

    /// Where they are.
    pub(crate) fn range(&self) -> Range<usize> {
        self.start..self.end
    }

    /// Bytes by where they are.
    pub(crate) fn part(&self, range: Range<usize>) -> &[u8] {
        self.bytes.get(range).unwrap_or_default()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    pub(crate) fn len(&self) -> usize {
        self.end - self.start
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len() == self.bytes.len()
    }

    /// Uses up all before `next`.
    pub(crate) fn skip_to(&mut self, next: usize) {
        self.start = next.clamp(self.start, self.end);
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Room for more, behind what is there; empty only when the buffer is full.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        if self.end == self.bytes.len() && self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        &mut self.bytes[self.end..]
    }

    /// So many bytes were put into the room.
    pub(crate) fn filled_up(&mut self, count: usize) {
        self.end = (self.end + count).min(self.bytes.len());
    }

    /// Grows to at least `size`, keeping what is there.
    pub(crate) fn grow(&mut self, size: usize) {
        if size > self.bytes.len() {
            let mut larger = Self::new(size);
            larger.bytes[..self.len()].copy_from_slice(self.filled());
            larger.end = self.len();
            *self = larger;
        }
    }

    /// Moves what is there into `to`, which must be empty and have the room.
    pub(crate) fn move_into(&mut self, to: &mut Self) {
        let count = self.len();
        to.bytes[..count].copy_from_slice(self.filled());
        (to.start, to.end) = (0, count);
        (self.start, self.end) = (0, 0);
    }
}

/// One worker's spare buffers.
#[derive(Debug, Default)]
pub(crate) struct Spare {
    small: Vec<Buffer>,
    large: Vec<Buffer>,
}

impl Spare {
    /// An empty buffer of [`SMALL`] bytes.
    pub(crate) fn small(&mut self) -> Buffer {
        self.small.pop().unwrap_or_else(|| Buffer::new(SMALL))
    }

    /// An empty buffer of [`LARGE`] bytes.
    pub(crate) fn large(&mut self) -> Buffer {
        self.large.pop().unwrap_or_else(|| Buffer::new(LARGE))
    }

    /// Takes a buffer back. What is in it is forgotten.
    pub(crate) fn give(&mut self, mut buffer: Buffer) {
        (buffer.start, buffer.end) = (0, 0);
        let (kept, most) = match buffer.capacity() {
            SMALL => (&mut self.small, SMALL_KEPT_MAX),
            LARGE => (&mut self.large, LARGE_KEPT_MAX),
            _ => return,
        };
        if kept.len() < most {
            kept.push(buffer);
        }
    }

    /// Lets go of half of what was not needed of late; called when the worker has little to do.
    pub(crate) fn shrink(&mut self) {
        self.small.truncate(self.small.len() / 2);
        self.large.truncate(self.large.len() / 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_moves_to_the_front_when_the_room_ends() {
        let mut buffer = Buffer::new(8);
        buffer.room().copy_from_slice(b"abcdefgh");
        buffer.filled_up(8);
        assert!(buffer.is_full() && buffer.room().is_empty());
        buffer.skip_to(6);
        assert_eq!(buffer.room().len(), 6);
        assert_eq!(buffer.filled(), b"gh");
        buffer.skip_to(2);
        assert!(buffer.is_empty());
        assert_eq!(buffer.room().len(), 8);
    }

    #[test]
    fn spare_buffers_are_used_again_and_bounded() {
        let mut spare = Spare::default();
        let mut buffer = spare.small();
        buffer.filled_up(3);
        spare.give(buffer);
        assert!(spare.small().is_empty());
        for _ in 0..2 * LARGE_KEPT_MAX {
            spare.give(Buffer::new(LARGE));
        }
        assert_eq!(spare.large.len(), LARGE_KEPT_MAX);
        spare.shrink();
        assert_eq!(spare.large.len(), LARGE_KEPT_MAX / 2);
    }
}
