//! The index of the newest events, in memory.

use base::Timestamp;
use ports::streams::Direction;
use std::{
    collections::{BTreeMap, HashMap},
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use super::{
    list::{self, Place, ROW_PLACES},
    record::Record,
};

/// What the parts of a row take in memory beside their bytes, about: what counts for when an overlay is full.
const PLACE_BYTES: usize = 24;
const ENTRY_BYTES: usize = 80;

/// A stream as of its newest event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stream {
    /// The position of its first event, which stands for it in the index.
    pub(super) number: u64,
    pub(super) revision: u64,
    pub(super) position: u64,
    pub(super) time: Timestamp,
}

/// Consecutive events, as the index has them.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// The position of the first event; 0: there is none.
    pub(super) first: u64,
    /// About how much memory it takes.
    pub(super) bytes: usize,
    /// How many streams begin in it.
    pub(super) begun: u64,
    pub(super) streams: BTreeMap<String, Stream>,
    /// The revision of each event, by number of the stream and id.
    pub(super) ids: HashMap<Vec<u8>, u64>,
    pub(super) lists: HashMap<Vec<u8>, Vec<Place>>,
}

/// The name of an event in the index of ids.
pub(super) fn id_key(number: u64, id: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(8 + id.len());
    key.extend_from_slice(&number.to_be_bytes());
    key.extend_from_slice(id.as_bytes());
    key
}

impl Rows {
    /// Adds the event that follows those in it.
    pub(super) fn add(&mut self, place: Place, record: &Record<'_>) {
        if self.first == 0 {
            self.first = place.position;
        }
        let stream = Stream {
            number: record.number,
            revision: record.revision,
            position: place.position,
            time: record.time,
        };
        self.put_stream(record.stream, stream);
        self.begun += u64::from(record.revision == 0);
        let id = id_key(record.number, record.id);
        self.bytes += id.len() + ENTRY_BYTES;
        self.ids.insert(id, record.revision);
        list::each(record, |name| {
            self.list(name).push(place);
            self.bytes += PLACE_BYTES;
        });
    }

    /// Adds the events of another one, which follow those in it. Their offsets are from `shift` on.
    pub(super) fn absorb(&mut self, other: Self, shift: u32) {
        if self.first == 0 {
            self.first = other.first;
        }
        self.begun += other.begun;
        for (name, stream) in other.streams {
            self.put_stream(&name, stream);
        }
        self.bytes += other.ids.keys().map(|id| id.len() + ENTRY_BYTES).sum::<usize>();
        self.ids.extend(other.ids);
        for (name, places) in other.lists {
            self.bytes += places.len() * PLACE_BYTES;
            let shifted =
                places.iter().map(|place| Place { offset: place.offset + shift, ..*place });
            self.list(&name).extend(shifted);
        }
    }

    fn put_stream(&mut self, name: &str, stream: Stream) {
        if let Some(known) = self.streams.get_mut(name) {
            *known = stream;
        } else {
            self.bytes += name.len() + ENTRY_BYTES;
            self.streams.insert(name.to_owned(), stream);
        }
    }

    fn list(&mut self, name: &[u8]) -> &mut Vec<Place> {
        if !self.lists.contains_key(name) {
            self.bytes += name.len() + ENTRY_BYTES;
            self.lists.insert(name.to_vec(), Vec::new());
        }
        self.lists.get_mut(name).expect("it was put there")
    }

    /// Some places of a list from a position on, in the order of `direction`. None: there are none.
    pub(super) fn places(&self, name: &[u8], from: u64, direction: Direction) -> Vec<Place> {
        let Some(places) = self.lists.get(name) else { return Vec::new() };
        cut(places, from, direction)
    }

    /// The places of some revisions of a stream, as far as it has them.
    pub(super) fn of_stream(&self, name: &str, from: u64, to: u64) -> Vec<Place> {
        let Some(stream) = self.streams.get(name) else { return Vec::new() };
        let list = self.lists.get(&*list::of_stream(stream.number));
        list.map_or_else(Vec::new, |places| slice(places, stream.revision, from, to))
    }
}

/// Of the places of consecutive revisions, the last of which is `last`, those of the revisions `from` to `to`.
pub(super) fn slice(places: &[Place], last: u64, from: u64, to: u64) -> Vec<Place> {
    let first =
        last.saturating_add(1) - u64::try_from(places.len()).unwrap_or(u64::MAX).min(last + 1);
    let index = |revision: u64| {
        usize::try_from(revision.saturating_sub(first)).unwrap_or(usize::MAX).min(places.len())
    };
    if to < first {
        return Vec::new();
    }
    places.get(index(from)..index(to.saturating_add(1))).unwrap_or_default().to_vec()
}

/// Some of the ascending `places` from a position on, in the order of `direction`.
pub(super) fn cut(places: &[Place], from: u64, direction: Direction) -> Vec<Place> {
    match direction {
        Direction::Forwards => {
            let begin = places.partition_point(|place| place.position < from);
            places[begin..].iter().take(ROW_PLACES).copied().collect()
        }
        Direction::Backwards => {
            let end = places.partition_point(|place| place.position <= from);
            places[..end].iter().rev().take(ROW_PLACES).copied().collect()
        }
    }
}

/// Rows that the writer adds to while others read.
#[derive(Debug, Default)]
pub(super) struct Overlay(RwLock<Rows>);

impl Overlay {
    pub(super) fn new(rows: Rows) -> Self {
        Self(RwLock::new(rows))
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, Rows> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, Rows> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        self.read().bytes
    }
}
