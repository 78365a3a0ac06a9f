//! What happened, for watches: the newest of it in memory, the rest in the log.

use bytes::Bytes;
use ports::kv::{Change, Event, Range, Revision};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use super::{
    record::{Changed, Record},
    row::Bits,
};
use crate::{
    disk::Disk,
    log::{self, Next, Reader, Segments},
};

/// How much of the newest is held in memory: what a watch that keeps up needs, and one that was away for a moment.
const TAIL_BYTES: usize = 4 << 20;

/// What a change costs in memory beside keys and values, which it shares with the overlay at first.
const CHANGE_BYTES: usize = 160;

/// How many changes are taken out of the tail at once: a lock is held meanwhile.
const CHUNK: usize = 256;

/// All changes that are not forgotten.
#[derive(Debug)]
pub(super) struct History {
    disk: Arc<dyn Disk>,
    /// Another one after the log was opened anew.
    segments: RwLock<Arc<Segments>>,
    tail: Mutex<Tail>,
}

/// The newest changes, without gap.
#[derive(Debug, Default)]
struct Tail {
    changes: VecDeque<Arc<Changed>>,
    bytes: usize,
}

fn size(changed: &Changed) -> usize {
    let value = |row: &super::row::Row| row.value.len();
    let effects = changed.effects.iter();
    effects.map(|it| it.key.len() + it.row.as_ref().map_or(0, value) + CHANGE_BYTES).sum::<usize>()
        + CHANGE_BYTES
}

/// What was found in the tail.
#[derive(Debug)]
pub(super) enum Found {
    Change(Change),
    Nothing,
    /// It begins later: see the log.
    Older,
}

impl History {
    pub(super) fn new(disk: Arc<dyn Disk>) -> Self {
        Self { disk, segments: RwLock::default(), tail: Mutex::default() }
    }

    fn tail(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where older changes are.
    pub(super) fn set_segments(&self, segments: Arc<Segments>) {
        *self.segments.write().unwrap_or_else(PoisonError::into_inner) = segments;
    }

    pub(super) fn segments(&self) -> Arc<Segments> {
        Arc::clone(&self.segments.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds the newest change.
    pub(super) fn push(&self, changed: Arc<Changed>) {
        let mut tail = self.tail();
        tail.bytes += size(&changed);
        tail.changes.push_back(changed);
        while tail.bytes > TAIL_BYTES
            && tail.changes.len() > 1
            && let Some(oldest) = tail.changes.pop_front()
        {
            tail.bytes -= size(&oldest);
        }
    }

    /// The first change of revisions `first` to `last` within `range`.
    pub(super) fn find(&self, mut first: u64, last: u64, range: &Range) -> Found {
        while first <= last {
            let changes: Vec<Arc<Changed>> = {
                let tail = self.tail();
                let Some(oldest) = tail.changes.front() else { return Found::Older };
                let Some(skip) = first.checked_sub(oldest.revision) else { return Found::Older };
                let skip = usize::try_from(skip).unwrap_or(usize::MAX);
                tail.changes.iter().skip(skip).take(CHUNK).cloned().collect()
            };
            let Some(newest) = changes.last() else { return Found::Nothing };
            let upto = newest.revision;
            let within = changes.iter().take_while(|changed| changed.revision <= last);
            if let Some(change) = within.flat_map(|changed| select(changed, range)).next() {
                return Found::Change(change);
            }
            first = upto + 1;
        }
        Found::Nothing
    }

    /// A reader of the log that begins at or before revision `first`. `None`: that is forgotten.
    pub(super) fn read(&self, first: u64) -> Result<Option<Old>, log::Error> {
        let segments = self.segments();
        let reader = Reader::open(&self.disk, &segments, first)?;
        Ok(reader.map(|reader| Old {
            disk: Arc::clone(&self.disk),
            segments,
            reader,
            ready: VecDeque::new(),
        }))
    }

    /// Whether `old` sees all that was told of so far: one of a log that was opened anew since ends where that one did.
    pub(super) fn has_all(&self, old: &Old) -> bool {
        Arc::ptr_eq(&old.segments, &self.segments())
    }
}

/// A change as a watch of `range` is told, if it has to do with it.
fn select(changed: &Changed, range: &Range) -> Option<Change> {
    let inside = changed.effects.iter().filter(|effect| range.contains(&effect.key));
    let events: Vec<Event> = inside.map(|effect| effect.event(changed.revision)).collect();
    (!events.is_empty()).then_some(Change { revision: Revision(changed.revision), events })
}

/// Reads changes from the log.
#[derive(Debug)]
pub(super) struct Old {
    disk: Arc<dyn Disk>,
    segments: Arc<Segments>,
    reader: Reader,
    ready: VecDeque<Changed>,
}

/// What was found in the log.
#[derive(Debug)]
pub(super) enum FoundOld {
    Change(Change),
    Nothing,
    /// It was removed meanwhile.
    Gone,
}

impl Old {
    /// As [`History::find`]; later calls ask for later revisions. Blocks.
    pub(super) fn find(
        &mut self,
        first: u64,
        last: u64,
        range: &Range,
    ) -> Result<FoundOld, log::Error> {
        loop {
            while let Some(changed) = self.ready.front() {
                if changed.revision > last {
                    return Ok(FoundOld::Nothing);
                }
                let change = (changed.revision >= first).then(|| select(changed, range)).flatten();
                self.ready.pop_front();
                if let Some(change) = change {
                    return Ok(FoundOld::Change(change));
                }
            }
            match self.reader.next()? {
                Next::End => return Ok(FoundOld::Nothing),
                Next::Gone => return Ok(FoundOld::Gone),
                Next::Frame(frame) => {
                    for record in records(&*self.disk, &frame)? {
                        if let Record::Change(changed) = record
                            && changed.revision >= first
                        {
                            self.ready.push_back(changed);
                        }
                    }
                }
            }
        }
    }
}

/// The records of a frame.
pub(super) fn records(disk: &dyn Disk, frame: &log::Frame) -> Result<Vec<Record>, log::Error> {
    let mut bits = Bits(&frame.payload);
    let records: Option<Vec<Record>> =
        (0..frame.count).map(|_| Record::decode(&mut bits)).collect();
    records.filter(|_| bits.0.is_empty()).ok_or_else(|| {
        let what = "the checksum fits, but this release cannot read what is in it".to_owned();
        log::Error::Damaged { path: disk.path(&frame.file()), offset: frame.offset, what }
    })
}

/// The key of a watch over one key only.
pub(super) fn single(range: &Range) -> Option<&Bytes> {
    let to = range.to.as_ref()?;
    let (last, rest) = to.split_last()?;
    (*last == 0 && *rest == *range.from).then_some(&range.from)
}
