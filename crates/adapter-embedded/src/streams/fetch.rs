//! Reading events from the files of the log, from where the index says they are.

use bytes::Bytes;
use ports::streams::Event;
use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use super::{
    list::Place,
    record::{HEAD, Head, Record},
};
use crate::{
    disk::{Disk, File},
    log::{Error, Segment, Segments},
};

/// Most bytes of one page: what a reader has to take at once.
const PAGE_BYTES: usize = 4 << 20;

/// How much is read at once of events that stand together. An event holds the memory of all that was read with it.
const RUN_BYTES: u32 = 256 << 10;

/// Events that are no farther apart are read together: skipping this much costs less than a call.
const GAP_BYTES: u32 = 4 << 10;

/// How much is read of an event whose length is not known: most are shorter.
const GUESS_BYTES: u32 = 4 << 10;

/// Most files that are kept open for readers: two gigabytes of events.
const FILES_MAX: usize = 64;

/// The files of the log, for readers.
#[derive(Debug)]
pub(super) struct Files {
    disk: Arc<dyn Disk>,
    segments: RwLock<Arc<Segments>>,
    /// Open ones by the number of their first entry, the last used one last.
    open: Mutex<VecDeque<(u64, Arc<dyn File>)>>,
}

/// A part of a file in memory.
struct Part {
    bytes: Bytes,
    begin: u32,
}

impl Files {
    pub(super) fn new(disk: Arc<dyn Disk>) -> Self {
        Self { disk, segments: RwLock::default(), open: Mutex::default() }
    }

    /// Lets readers see what a log has.
    pub(super) fn set_segments(&self, segments: Arc<Segments>) {
        *self.segments.write().unwrap_or_else(PoisonError::into_inner) = segments;
    }

    pub(super) fn segments(&self) -> Arc<Segments> {
        Arc::clone(&self.segments.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The events at `places`, which are in an order of their positions; fewer if they are long, at least one.
    pub(super) fn read(&self, places: &[Place]) -> Result<Vec<Event>, Error> {
        let segments = self.segments();
        let mut events = Vec::with_capacity(places.len());
        let (mut rest, mut bytes) = (places, 0);
        while let Some(first) = rest.first() {
            let segment = segments.of(first.position - 1).ok_or_else(|| self.missing(first))?;
            let is_there = |place: &Place| {
                let found = segments.of(place.position - 1);
                found.is_some_and(|found| found.first == segment.first)
            };
            let len = run(rest, is_there);
            let (together, others) = rest.split_at(len);
            rest = others;
            let file = self.open(segment).map_err(|cause| self.failed(segment, cause))?;
            let part = self.part(&*file, segment, together)?;
            for place in together {
                if bytes > PAGE_BYTES {
                    return Ok(events);
                }
                let (event, size) = self.event(&*file, segment, &part, *place)?;
                bytes += size;
                events.push(event);
            }
        }
        Ok(events)
    }

    /// Reads what has all of `places`, but for the end of the last of them perhaps.
    fn part(&self, file: &dyn File, segment: Segment, places: &[Place]) -> Result<Part, Error> {
        let offsets = || places.iter().map(|place| place.offset);
        let begin = offsets().min().unwrap_or(0);
        let end = u64::from(offsets().max().unwrap_or(0)) + u64::from(GUESS_BYTES);
        let len = end.min(segment.end).saturating_sub(begin.into());
        let bytes = self.bytes(file, segment, begin.into(), len)?;
        Ok(Part { bytes, begin })
    }

    fn bytes(
        &self,
        file: &dyn File,
        segment: Segment,
        offset: u64,
        len: u64,
    ) -> Result<Bytes, Error> {
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
        let read = file.read_at(offset, &mut bytes).map_err(|e| self.failed(segment, e))?;
        bytes.truncate(read);
        Ok(bytes.into())
    }

    /// One event, and how long it is.
    fn event(
        &self,
        file: &dyn File,
        segment: Segment,
        part: &Part,
        place: Place,
    ) -> Result<(Event, usize), Error> {
        let Place { position, offset } = place;
        let damaged = |what: &str| Error::Damaged {
            path: self.disk.path(&segment.name()),
            offset: offset.into(),
            what: format!("{what} event {position}"),
        };
        let at = usize::try_from(offset - part.begin).unwrap_or(usize::MAX);
        let mut buffer = part.bytes.slice(at.min(part.bytes.len())..);
        let head = Head::decode(&buffer).ok_or_else(|| damaged("the file ends before"))?;
        let len = HEAD.saturating_add(head.len());
        if buffer.len() < len {
            let left = segment.end.saturating_sub(offset.into());
            let len = u64::try_from(len).unwrap_or(u64::MAX);
            if len > left {
                return Err(damaged("the file ends in the middle of"));
            }
            buffer = self.bytes(file, segment, offset.into(), len)?;
        }
        let body =
            buffer.get(HEAD..len).ok_or_else(|| damaged("the file ends in the middle of"))?;
        if !head.fits(position, body) {
            return Err(damaged("the checksum does not fit that of"));
        }
        let record = Record::decode(body).ok_or_else(|| damaged("this release cannot read"))?;
        Ok((record.event(position, &buffer), len))
    }

    fn open(&self, segment: Segment) -> io::Result<Arc<dyn File>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let file = match open.iter().rposition(|(first, _)| *first == segment.first) {
            Some(index) if index + 1 == open.len() => return Ok(Arc::clone(&open[index].1)),
            Some(index) => open.remove(index).map(|(_, file)| file),
            None => None,
        };
        let file = match file {
            Some(file) => file,
            None => self.disk.open(&segment.name())?,
        };
        if open.len() >= FILES_MAX {
            open.pop_front();
        }
        open.push_back((segment.first, Arc::clone(&file)));
        Ok(file)
    }

    fn failed(&self, segment: Segment, cause: io::Error) -> Error {
        Error::Io { path: self.disk.path(&segment.name()), cause }
    }

    fn missing(&self, place: &Place) -> Error {
        let what = format!("no file of the log has event {}", place.position);
        Error::Damaged { path: self.disk.path(""), offset: 0, what }
    }
}

/// How many of the first places are read together: those in one file, close to each other, and not too many.
fn run(places: &[Place], is_in_file: impl Fn(&Place) -> bool) -> usize {
    let first = places.first().map_or(0, |place| place.offset);
    let together = places.windows(2).take_while(|pair| match pair {
        [before, place] => {
            place.offset.abs_diff(before.offset) <= GAP_BYTES
                && place.offset.abs_diff(first) <= RUN_BYTES
                && is_in_file(place)
        }
        _ => false,
    });
    together.count() + 1
}
