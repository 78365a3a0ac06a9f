//! Opening a log: finding its end, and whether anything before that is amiss.

use std::{io, sync::Arc};

use tracing::info;

use super::{
    Error, Frame, HEADER_BYTES, Log, Segment, Segments,
    frame::HEAD_BYTES,
    reader::Window,
    salvage,
    segment::{self, Header, UNFINISHED, VERSION, parse_name},
};
use crate::disk::{Disk, File};

impl Error {
    pub(super) fn damaged(path: std::path::PathBuf, offset: u64, what: &str) -> Self {
        Self::Damaged { path, offset, what: what.to_owned() }
    }
}

/// A segment file whose head was read.
#[derive(Debug)]
struct Found {
    header: Header,
    file: Arc<dyn File>,
    len: u64,
}

impl Log {
    /// Opens the log of a folder, or begins one, and tells `sink` every frame in which there is an entry from number
    /// `from` on. Older segments are not read: they were when they were the newest.
    ///
    /// A frame at the end that is not whole was never acknowledged and is cut off.
    pub(crate) fn open<E: From<Error>>(
        disk: &Arc<dyn Disk>,
        segment_bytes: u64,
        from: u64,
        mut sink: impl FnMut(&Frame) -> Result<(), E>,
    ) -> Result<Self, E> {
        if salvage::is_unfinished(&**disk)? {
            let what = "its repair was broken off: repair it again";
            return Err(Error::damaged(disk.path(""), 0, what).into());
        }
        let mut found = find(&**disk)?;
        if found.is_empty() {
            found.push(begin(&**disk)?);
        }
        // Who was here before may have given a file its name, and have ended before that was durable. Nothing may be
        // built on a name that a power cut takes away.
        disk.sync().map_err(|cause| Error::Io { path: disk.path(""), cause })?;
        let (mut segments, last) = ends(&**disk, &found)?;
        let begin = segments.iter().rposition(|segment| segment.first <= from);
        let begin = begin.ok_or_else(|| {
            let path = disk.path(&segments[0].name());
            Error::damaged(path, 0, &format!("the log begins behind entry {from}"))
        })?;
        let mut next = segments[begin].first;
        for index in begin..segments.len() {
            let scan = Scan { disk: &**disk, segment: segments[index], is_last: index == last };
            let (end, after) = scan.run(&found[index], next, &mut |frame: &Frame| {
                let is_wanted = frame.first + u64::from(frame.count) > from;
                if is_wanted { sink(frame) } else { Ok(()) }
            })?;
            segments[index].end = end;
            next = after;
        }
        if next < from {
            let what = format!("the log ends before entry {next}, there were {from}");
            let end = segments[last].end;
            return Err(Error::damaged(disk.path(&segments[last].name()), end, &what).into());
        }
        let file = Arc::clone(&found[last].file);
        let segments = Arc::new(Segments(segments.into()));
        Ok(Self { disk: Arc::clone(disk), segment_bytes, segments, file, next })
    }
}

/// The segments of a folder in their order.
fn find(disk: &dyn Disk) -> Result<Vec<Found>, Error> {
    let failed = |name: &str| {
        let path = disk.path(name);
        move |cause| Error::Io { path, cause }
    };
    let names = disk.list().map_err(failed(""))?;
    let mut firsts = Vec::new();
    for name in &names {
        let is_segment = name.strip_suffix(UNFINISHED).and_then(parse_name).is_some();
        if is_segment {
            disk.remove(name).map_err(failed(name))?;
        }
        firsts.extend(parse_name(name));
    }
    firsts.sort_unstable();
    let mut found = Vec::new();
    for first in firsts {
        let name = segment::name(first);
        let file = disk.open(&name).map_err(failed(&name))?;
        let len = file.len().map_err(failed(&name))?;
        let header = match Header::read(&*file).map_err(failed(&name))? {
            segment::Head::Sound(header) if header.first == first => header,
            segment::Head::Sound(_) | segment::Head::Damaged => {
                return Err(Error::damaged(
                    disk.path(&name),
                    0,
                    "the head is not as it was written",
                ));
            }
            segment::Head::Newer(version) => {
                return Err(Error::Newer { path: disk.path(&name), version, known: VERSION });
            }
        };
        found.push(Found { header, file, len });
    }
    Ok(found)
}

fn begin(disk: &dyn Disk) -> Result<Found, Error> {
    let header = Header { first: 0, mark: 0, before: (0, 0), salt: segment::salt() };
    let made = segment::prepare(disk, &header)
        .and_then(|file| segment::publish(disk, &header).map(|()| file));
    let name = segment::name(0);
    let file = made.map_err(|cause| Error::Io { path: disk.path(&name), cause })?;
    Ok(Found { header, file, len: HEADER_BYTES })
}

/// The segments, all but the last with their ends, which stand in their successors; and which is the last.
fn ends(disk: &dyn Disk, found: &[Found]) -> Result<(Vec<Segment>, usize), Error> {
    let mut segments = Vec::new();
    for (index, this) in found.iter().enumerate() {
        let mut segment = this.header.segment();
        segment.end = this.len;
        if let Some(following) = found.get(index + 1) {
            let (first, end) = following.header.before;
            if first != segment.first {
                let path = disk.path(&following.header.segment().name());
                return Err(Error::damaged(path, 0, "the segment before it is missing"));
            }
            segment.end = end;
        }
        if segment.end > this.len || segment.end < HEADER_BYTES {
            let what = format!("it should have {} bytes", segment.end.max(HEADER_BYTES));
            return Err(Error::damaged(disk.path(&segment.name()), this.len, &what));
        }
        segments.push(segment);
    }
    Ok((segments, found.len() - 1))
}

/// Going through a segment when its log is opened.
struct Scan<'a> {
    disk: &'a dyn Disk,
    segment: Segment,
    is_last: bool,
}

impl Scan<'_> {
    /// Tells `sink` all frames. Returns where they end, and the number of the entry after them.
    fn run<E: From<Error>>(
        &self,
        found: &Found,
        first: u64,
        sink: &mut impl FnMut(&Frame) -> Result<(), E>,
    ) -> Result<(u64, u64), E> {
        let limit = self.segment.end;
        if self.segment.first != first {
            let what = format!("entries from {first} on are missing before it");
            return Err(self.damaged(0, &what).into());
        }
        let mut window = Window::new(Arc::clone(&found.file));
        let (mut offset, mut next) = (HEADER_BYTES, first);
        let mut last_frame = None;
        while offset < limit {
            let frame = window.frame(self.segment.place(offset), next);
            match frame.map_err(|cause| self.failed(cause))? {
                Ok(frame) => {
                    sink(&frame)?;
                    let len = HEAD_BYTES + u64::try_from(frame.payload.len()).unwrap_or(u64::MAX);
                    last_frame = Some((offset, len));
                    offset += len;
                    next += u64::from(frame.count);
                }
                Err(what) if self.is_last => {
                    let behind = window.frame_behind(self.segment.place(offset));
                    if let Some(at) = behind.map_err(|cause| self.failed(cause))? {
                        let what = format!("{what}, and there is a sound one at byte {at}");
                        return Err(self.damaged(offset, &what).into());
                    }
                    break;
                }
                Err(what) => return Err(self.damaged(offset, what).into()),
            }
        }
        if self.is_last {
            self.settle(found, &mut window, offset, last_frame)
                .map_err(|cause| self.failed(cause))?;
        }
        Ok((offset, next))
    }

    /// Makes the end of the log what this process sees of it.
    fn settle(
        &self,
        found: &Found,
        window: &mut Window,
        end: u64,
        last_frame: Option<(u64, u64)>,
    ) -> io::Result<()> {
        if found.len > end {
            let file = self.segment.name();
            info!(file, at = end, bytes = found.len - end, "cut off what was never acknowledged");
            found.file.set_len(end)?;
        }
        // When a sync fails, the kernel goes on to show what is not on the disk. Only the last frame can be such a
        // one, so it is written once more and synced by this process.
        if let Some((offset, len)) = last_frame
            && let Some(bytes) = window.get(offset, len, end)?
        {
            found.file.write_at(offset, bytes)?;
        }
        found.file.sync()
    }

    fn damaged(&self, offset: u64, what: &str) -> Error {
        Error::damaged(self.disk.path(&self.segment.name()), offset, what)
    }

    fn failed(&self, cause: io::Error) -> Error {
        Error::Io { path: self.disk.path(&self.segment.name()), cause }
    }
}
