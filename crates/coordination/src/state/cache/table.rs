//! The values of a cache, and the order in which they go.

use super::{super::StateEvent, OVERHEAD, count};
use crate::state::{Etag, Item, Write};
use base::{Moment, Timestamp};
use bytes::Bytes;
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// A value.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) value: Bytes,
    pub(super) etag: Etag,
    content_type: Option<Box<str>>,
    expires: Option<(Moment, Timestamp)>,
    /// Its place in the queue; grows with time.
    place: u64,
    /// It was read since the hand came by last.
    is_visited: AtomicBool,
}

impl Slot {
    /// A value that is in no table yet. It is copied: what was given may be a small part of a large buffer.
    pub(super) fn new(write: &Write, expires: Option<(Moment, Timestamp)>) -> Self {
        Self {
            value: Bytes::copy_from_slice(&write.value),
            etag: Etag(0),
            content_type: write.content_type.as_deref().map(Box::from),
            expires,
            place: 0,
            is_visited: AtomicBool::new(false),
        }
    }

    pub(super) fn is_due(&self, now: Moment) -> bool {
        self.expires.is_some_and(|(moment, _)| moment <= now)
    }

    pub(super) fn visit(&self) {
        self.is_visited.store(true, Ordering::Relaxed);
    }

    pub(super) fn item(&self, key: &str) -> Item {
        Item {
            key: key.to_owned(),
            value: self.value.clone(),
            etag: self.etag,
            content_type: self.content_type.as_deref().map(str::to_owned),
            expires: self.expires.map(|(_, date)| date),
        }
    }

    /// Bytes it takes under `key`.
    pub(super) fn size(&self, key: &str) -> u64 {
        let content_type = self.content_type.as_ref().map_or(0, |text| text.len());
        count(key.len() + self.value.len() + content_type) + OVERHEAD
    }
}

/// Values, in the order of keys, of age and of expiry.
#[derive(Debug, Default)]
pub(super) struct Table {
    slots: BTreeMap<Arc<str>, Slot>,
    queue: BTreeMap<u64, Arc<str>>,
    expiries: BTreeSet<(Moment, u64)>,
    last_place: u64,
    /// Where the hand is: the next place it looks at.
    hand: u64,
    bytes: u64,
}

impl Table {
    pub(super) fn get(&self, key: &str) -> Option<&Slot> {
        self.slots.get(key)
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes that a key takes; 0 when it is missing.
    pub(super) fn size_of(&self, key: &str) -> u64 {
        self.slots.get(key).map_or(0, |slot| slot.size(key))
    }

    /// Keys that begin with `prefix`, behind `after`.
    pub(super) fn from<'t>(
        &'t self,
        prefix: &'t str,
        after: Option<&'t str>,
    ) -> impl Iterator<Item = (&'t str, &'t Slot)> {
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            Some(_) | None => Bound::Included(prefix),
        };
        let range = self.slots.range::<str, _>((start, Bound::Unbounded));
        let range = range.map(|(key, slot)| (key.as_ref(), slot));
        range.take_while(move |(key, _)| key.starts_with(prefix))
    }

    /// Gives a key another value, or none, and tells what happened.
    pub(super) fn replace(
        &mut self,
        key: &str,
        slot: Option<Slot>,
        etag: Etag,
    ) -> Option<StateEvent> {
        let Some(mut slot) = slot else {
            return self.remove(key).map(|_| StateEvent::Delete { key: key.to_owned() });
        };
        slot.etag = etag;
        let event = StateEvent::Put(slot.item(key));
        let key: Arc<str> = match self.slots.get_key_value(key) {
            Some((key, before)) => {
                // A value that is written again keeps its place, as one that is read.
                slot.place = before.place;
                slot.is_visited = AtomicBool::new(true);
                let key = Arc::clone(key);
                self.forget(&key);
                key
            }
            None => {
                self.last_place += 1;
                slot.place = self.last_place;
                key.into()
            }
        };
        self.bytes += slot.size(&key);
        if let Some((moment, _)) = slot.expires {
            self.expiries.insert((moment, slot.place));
        }
        self.queue.insert(slot.place, Arc::clone(&key));
        self.slots.insert(key, slot);
        Some(event)
    }

    pub(super) fn remove(&mut self, key: &str) -> Option<Slot> {
        self.forget(key);
        let slot = self.slots.remove(key)?;
        self.queue.remove(&slot.place);
        Some(slot)
    }

    /// Takes a value out of the counts and the expiries.
    fn forget(&mut self, key: &str) {
        let Some(slot) = self.slots.get(key) else { return };
        self.bytes -= slot.size(key);
        if let Some((moment, _)) = slot.expires {
            self.expiries.remove(&(moment, slot.place));
        }
    }

    pub(super) fn is_any_due(&self, now: Moment) -> bool {
        self.expiries.first().is_some_and(|(moment, _)| *moment <= now)
    }

    /// Removes values whose time has come, `limit` at most.
    pub(super) fn remove_due(&mut self, now: Moment, limit: usize) -> Vec<Arc<str>> {
        let mut removed = Vec::new();
        while removed.len() < limit
            && let Some(key) = self.due_but(now, |_| false)
        {
            self.remove(&key);
            removed.push(key);
        }
        removed
    }

    /// A key whose time has come.
    pub(super) fn due_but(
        &self,
        now: Moment,
        is_spared: impl Fn(&str) -> bool,
    ) -> Option<Arc<str>> {
        let due = self.expiries.iter().take_while(|(moment, _)| *moment <= now);
        due.filter_map(|(_, place)| self.queue.get(place)).find(|key| !is_spared(key)).cloned()
    }

    /// The key that has to go next: the hand goes on until it finds one.
    pub(super) fn victim_but(&mut self, is_spared: impl Fn(&str) -> bool) -> Option<Arc<str>> {
        // In one round all bits are cleared, so the second finds whoever may go.
        for _ in 0..=2 * self.queue.len() {
            let next = self.queue.range(self.hand..).next().or_else(|| self.queue.iter().next());
            let (place, key) = next.map(|(place, key)| (*place, Arc::clone(key)))?;
            self.hand = place + 1;
            let slot = self.slots.get(&key);
            let is_visited = slot.is_some_and(|s| s.is_visited.swap(false, Ordering::Relaxed));
            if !is_visited && !is_spared(&key) {
                return Some(key);
            }
        }
        None
    }
}
