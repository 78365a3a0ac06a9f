//! Reading frames.

use std::{io, sync::Arc};

use bytes::Bytes;

use super::{
    Error, Frame, HEADER_BYTES, Segment, Segments,
    frame::{HEAD, HEAD_BYTES, Head, MAGIC},
};
use crate::disk::{Disk, File};

/// How much is read from the disk at once: small frames must not cost a system call each.
const CHUNK_BYTES: u64 = 128 << 10;

/// A part of a file in memory.
#[derive(Debug)]
pub(super) struct Window {
    file: Arc<dyn File>,
    bytes: Vec<u8>,
    start: u64,
}

impl Window {
    pub(super) fn new(file: Arc<dyn File>) -> Self {
        Self { file, bytes: Vec::new(), start: 0 }
    }

    /// The `len` bytes at `offset`, if the file has them before `limit`.
    pub(super) fn get(&mut self, offset: u64, len: u64, limit: u64) -> io::Result<Option<&[u8]>> {
        let Some(end) = offset.checked_add(len).filter(|end| *end <= limit) else {
            return Ok(None);
        };
        if offset < self.start || end > self.start + size(&self.bytes) {
            let wanted = len.max(CHUNK_BYTES).min(limit - offset);
            self.bytes.clear();
            self.bytes.resize(usize::try_from(wanted).unwrap_or(usize::MAX), 0);
            self.start = offset;
            let read = self.file.read_at(offset, &mut self.bytes);
            self.bytes.truncate(*read.as_ref().unwrap_or(&0));
            read?;
        }
        let from = usize::try_from(offset - self.start).unwrap_or(usize::MAX);
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        Ok(self.bytes.get(from..from.saturating_add(len)))
    }

    /// The frame there, whose first entry must be `first`.
    pub(super) fn frame(
        &mut self,
        place: Place,
        first: u64,
    ) -> io::Result<Result<Frame, &'static str>> {
        let frame = self.any_frame(place)?;
        Ok(frame.and_then(|frame| {
            if frame.first == first { Ok(frame) } else { Err("entries are missing") }
        }))
    }

    /// The frame there.
    pub(super) fn any_frame(&mut self, place: Place) -> io::Result<Result<Frame, &'static str>> {
        let Place { segment, offset, limit, salt } = place;
        let Some(bytes) = self.get(offset, HEAD_BYTES, limit)? else {
            return Ok(Err("the head of a frame is incomplete"));
        };
        let Some(head) = bytes.first_chunk::<HEAD>().and_then(Head::decode) else {
            return Ok(Err("no frame begins here"));
        };
        let Some(bytes) = self.get(offset, head.len(), limit)? else {
            return Ok(Err("a frame is incomplete"));
        };
        if !head.fits(bytes, salt, offset) {
            return Ok(Err("the checksum of a frame does not fit"));
        }
        let payload = Bytes::copy_from_slice(&bytes[HEAD..]);
        Ok(Ok(Frame { segment, first: head.first, count: head.count, payload, offset }))
    }

    /// Where a sound frame begins behind the place.
    pub(super) fn frame_behind(&mut self, place: Place) -> io::Result<Option<u64>> {
        let Place { offset, limit, salt, .. } = place;
        let mut at = offset + 1;
        while at + HEAD_BYTES <= limit {
            let step = (limit - at).min(SEARCH_BYTES);
            let Some(bytes) = self.get(at, step, limit)? else { return Ok(None) };
            let Some(hit) = bytes.windows(MAGIC.len()).position(|bytes| bytes == MAGIC) else {
                // The last bytes may be the beginning of one.
                at += step - 3;
                continue;
            };
            at += u64::try_from(hit).unwrap_or(u64::MAX);
            let head = self.get(at, HEAD_BYTES, limit)?;
            let head = head.and_then(|bytes| bytes.first_chunk::<HEAD>()).and_then(Head::decode);
            if let Some(head) = head
                && let Some(bytes) = self.get(at, head.len(), limit)?
                && head.fits(bytes, salt, at)
            {
                return Ok(Some(at));
            }
            at += 1;
        }
        Ok(None)
    }
}

/// How much is searched at once for a frame behind a broken one.
const SEARCH_BYTES: u64 = 64 << 10;

/// Where a frame is looked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// The number of the segment's first entry.
    pub(super) segment: u64,
    pub(super) offset: u64,
    /// No frame goes beyond it.
    pub(super) limit: u64,
    pub(super) salt: u64,
}

impl Segment {
    /// A place in it.
    pub(super) fn place(&self, offset: u64) -> Place {
        Place { segment: self.first, offset, limit: self.end, salt: self.salt }
    }
}

fn size(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// What a reader found.
#[derive(Debug)]
pub(crate) enum Next {
    Frame(Frame),
    /// Nothing more yet; ask again later.
    End,
    /// What comes next was removed.
    Gone,
}

/// Reads frames one after the other, while others are appended and old segments removed.
#[derive(Debug)]
pub(crate) struct Reader {
    disk: Arc<dyn Disk>,
    segments: Arc<Segments>,
    segment: Segment,
    window: Window,
    offset: u64,
    /// The number of the next entry.
    next: u64,
}

impl Reader {
    /// Begins with the last segment whose mark is below `mark`. `None`: there is none.
    pub(crate) fn open(
        disk: &Arc<dyn Disk>,
        segments: &Arc<Segments>,
        mark: u64,
    ) -> Result<Option<Self>, Error> {
        let list = segments.list();
        let Some(segment) = list.into_iter().rev().find(|segment| segment.mark < mark) else {
            return Ok(None);
        };
        let Some(window) = open(&**disk, segment)? else { return Ok(None) };
        let (disk, segments) = (Arc::clone(disk), Arc::clone(segments));
        let (offset, next) = (HEADER_BYTES, segment.first);
        Ok(Some(Self { disk, segments, segment, window, offset, next }))
    }

    /// The next frame.
    pub(crate) fn next(&mut self) -> Result<Next, Error> {
        if self.offset >= self.segment.end && !self.go_on()? {
            return Ok(Next::Gone);
        }
        if self.offset >= self.segment.end {
            return Ok(Next::End);
        }
        let place = self.segment.place(self.offset);
        let name = self.segment.name();
        let path = || self.disk.path(&name);
        let read = self.window.frame(place, self.next);
        let frame = read
            .map_err(|cause| Error::Io { path: path(), cause })?
            .map_err(|what| Error::damaged(path(), self.offset, what))?;
        self.offset += HEAD_BYTES + size(&frame.payload);
        self.next += u64::from(frame.count);
        Ok(Next::Frame(frame))
    }

    /// Sees what was appended, and goes over to the next segment at the end of this one. `false`: it is gone.
    fn go_on(&mut self) -> Result<bool, Error> {
        let list = self.segments.list();
        if let Some(same) = list.iter().find(|segment| segment.first == self.segment.first) {
            self.segment = *same;
            if self.offset < same.end {
                return Ok(true);
            }
        }
        let following =
            |segment: &&Segment| segment.first == self.next && segment.first != self.segment.first;
        let Some(following) = list.iter().find(following) else {
            return Ok(list.last().is_some_and(|last| last.first == self.segment.first));
        };
        let Some(window) = open(&*self.disk, *following)? else { return Ok(false) };
        self.window = window;
        self.segment = *following;
        self.offset = HEADER_BYTES;
        Ok(true)
    }
}

fn open(disk: &dyn Disk, segment: Segment) -> Result<Option<Window>, Error> {
    let name = segment.name();
    match disk.open(&name) {
        Ok(file) => Ok(Some(Window::new(file))),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(Error::Io { path: disk.path(&name), cause }),
    }
}
