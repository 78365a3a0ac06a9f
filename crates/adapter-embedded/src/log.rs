//! Numbered entries in append-only files, durable before anybody hears of them.
//!
//! ```text
//!  00000000000000000000.log  ┌ header ┬ frame ┬ frame ┬ frame ┐
//!  00000000000000001234.log  ┌ header ┬ frame ┬ frame ┄ (torn: cut off when the log is opened)
//! ```
//!
//! A *frame* is what one append wrote: entries of consecutive numbers, with a checksum over all of it. It is written by
//! one call and synced before the next one is written. So there are two kinds of damage, which look different: a frame
//! that is broken and has a sound one *behind* it was acknowledged, and is an error; a broken one at the very end
//! never was, and is cut off. A file names its predecessor and where that one ends, so one that is
//! missing or lost its end is an error too.
//!
//! What an entry means is the user's business; `mark` is a number of the user's that a segment carries, so that he finds
//! the one in which something of his begins.

mod frame;
mod reader;
mod recovery;
mod salvage;
mod segment;

#[cfg(test)]
mod tests;

use std::{
    io,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
};

use crate::disk::{Disk, File, is_full};

pub(crate) use frame::{Batch, Frame};
pub(crate) use reader::{Next, Reader};
pub(crate) use salvage::{finish, is_unfinished, oldest, salvage};
use segment::Header;
pub(crate) use segment::{HEADER_BYTES, Segment, UNFINISHED};

/// How long a segment gets before the next one is begun: long enough that beginning one costs little, short enough that
/// removing the oldest one is no great loss of history.
pub(crate) const SEGMENT_BYTES: u64 = 32 << 20;

/// Why a log cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The disk does not do it.
    #[error("cannot read or write `{}`", path.display())]
    Io {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    /// What is there is not what was written.
    #[error("`{}` is damaged at byte {offset}: {what}", path.display())]
    Damaged { path: PathBuf, offset: u64, what: String },
    /// A later release wrote it.
    #[error("`{}` has format {version}, this release knows {known}", path.display())]
    Newer { path: PathBuf, version: u32, known: u32 },
}

/// Why an append did not happen.
#[derive(Debug)]
pub(crate) enum Failed {
    /// Nothing of it is in the log, and the next one may succeed: there is no room.
    Full(io::Error),
    /// Nothing of it is in the log, which cannot go on before it is opened again.
    Broken(io::Error),
    /// It may be in the log or not, which cannot go on before it is opened again.
    Unknown(io::Error),
}

/// A log that is open for appending. There is one at a time for a folder.
#[derive(Debug)]
pub(crate) struct Log {
    disk: Arc<dyn Disk>,
    segment_bytes: u64,
    /// Oldest first, never empty; the last one is written to.
    segments: Arc<Segments>,
    file: Arc<dyn File>,
    /// The number of the next entry.
    next: u64,
}

/// The segments as readers see them: each up to where it is durable.
#[derive(Debug, Default)]
pub(crate) struct Segments(RwLock<Vec<Segment>>);

impl Segments {
    /// All of them, oldest first.
    pub(crate) fn list(&self) -> Vec<Segment> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The one in which entry `number` is, or would be the next.
    pub(crate) fn of(&self, number: u64) -> Option<Segment> {
        let segments = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let following = segments.partition_point(|segment| segment.first <= number);
        segments[..following].last().copied()
    }

    fn change<T>(&self, change: impl FnOnce(&mut Vec<Segment>) -> T) -> T {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner))
    }

    fn last(&self) -> Segment {
        let segments = self.0.read().unwrap_or_else(PoisonError::into_inner);
        *segments.last().expect("a log has a segment from its first moment on")
    }

    /// Bytes of all of them.
    pub(crate) fn bytes(&self) -> u64 {
        let segments = self.0.read().unwrap_or_else(PoisonError::into_inner);
        segments.iter().map(|segment| segment.end).sum()
    }
}

/// Whether a folder with these names has a log from its very first entry on.
pub(crate) fn begins_at_zero(names: &[String]) -> bool {
    names.contains(&segment::name(0))
}

impl Log {
    /// The number that the next entry gets.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// The segments, for readers.
    pub(crate) fn segments(&self) -> &Arc<Segments> {
        &self.segments
    }

    /// Writes and syncs the entries of `batch`. `mark` is what a segment carries that begins with it.
    pub(crate) fn append(&mut self, batch: &mut Batch, mark: u64) -> Result<(), Failed> {
        let mut last = self.segments.last();
        if last.end > HEADER_BYTES && last.end + batch.len() > self.segment_bytes {
            self.roll(last, mark)?;
            last = self.segments.last();
        }
        let bytes = batch.seal(self.next, last.salt, last.end);
        if let Err(cause) = self.file.write_at(last.end, bytes) {
            // Part of a frame is no frame, so nothing of it is in the log, whether the cut is durable or not.
            return Err(match self.file.set_len(last.end) {
                Ok(()) if is_full(&cause) => Failed::Full(cause),
                Ok(()) => Failed::Broken(cause),
                Err(_) => Failed::Unknown(cause),
            });
        }
        // The kernel may forget what it could not write and call the pages clean: a second sync would lie.
        self.file.sync().map_err(Failed::Unknown)?;
        self.segments.change(|segments| {
            if let Some(segment) = segments.last_mut() {
                segment.end += batch.len();
            }
        });
        self.next += u64::from(batch.count());
        Ok(())
    }

    /// Begins the next segment behind `last`.
    fn roll(&mut self, last: Segment, mark: u64) -> Result<(), Failed> {
        let before = (last.first, last.end);
        let header = Header { first: self.next, mark, before, salt: segment::salt() };
        let file = segment::prepare(&*self.disk, &header).map_err(|cause| {
            if is_full(&cause) { Failed::Full(cause) } else { Failed::Broken(cause) }
        })?;
        // From here on the segment may be there after a restart, so nothing may be added to the one before it.
        segment::publish(&*self.disk, &header).map_err(Failed::Broken)?;
        self.file = file;
        self.segments.change(|segments| segments.push(header.segment()));
        Ok(())
    }

    /// Removes the segments in which there is nothing from number `position` and from `mark` on.
    pub(crate) fn trim(&self, position: u64, mark: u64) -> io::Result<()> {
        loop {
            let segments = self.segments.list();
            let Some([oldest, second]) = segments.first_chunk() else { return Ok(()) };
            if second.first > position || second.mark > mark {
                return Ok(());
            }
            if let Err(e) = self.disk.remove(&oldest.name())
                && e.kind() != io::ErrorKind::NotFound
            {
                return Err(e);
            }
            // One after the other, so that a power cut never leaves a hole between those that remain.
            self.disk.sync()?;
            self.segments.change(|segments| segments.remove(0));
        }
    }
}
