//! Watches: each reads for itself, and the writer only leaves word that there is something.

use async_trait::async_trait;
use bytes::Bytes;
use ports::kv::{Change, Error, Range, Revision, Watch};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;

use super::{
    history::{Found, FoundOld, Old, single},
    record::Changed,
    shared::Shared,
};

/// Who is to be told what.
#[derive(Debug, Default)]
pub(super) struct Watchers(Mutex<Index>);

#[derive(Debug, Default)]
struct Index {
    /// Watches of one key, which are found without looking at the others.
    keys: HashMap<Bytes, Vec<Arc<Slot>>>,
    ranges: HashMap<Range, Vec<Arc<Slot>>>,
}

/// What one watch has before it.
#[derive(Debug)]
struct Slot {
    ahead: Mutex<Ahead>,
    notify: Notify,
}

/// Revisions among which there may be something for the watch: from `first` to `last`; nothing if `first` is later.
#[derive(Clone, Copy, Debug)]
struct Ahead {
    first: u64,
    last: u64,
}

impl Slot {
    fn ahead(&self) -> MutexGuard<'_, Ahead> {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves word that `revision` is for it. What lies between was not, and need not be read.
    fn tell(&self, revision: u64) {
        let mut ahead = self.ahead();
        if revision <= ahead.last || revision < ahead.first {
            return;
        }
        let was_waiting = ahead.first > ahead.last;
        if was_waiting {
            ahead.first = revision;
        }
        ahead.last = revision;
        drop(ahead);
        if was_waiting {
            self.notify.notify_one();
        }
    }
}

impl Watchers {
    fn index(&self) -> MutexGuard<'_, Index> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells all whom one of these changes concerns.
    pub(super) fn tell(&self, changes: &[Arc<Changed>]) {
        let index = self.index();
        if index.keys.is_empty() && index.ranges.is_empty() {
            return;
        }
        for changed in changes {
            for effect in &changed.effects {
                let of_key = index.keys.get(&effect.key);
                let of_ranges = index
                    .ranges
                    .iter()
                    .filter_map(|(range, slots)| range.contains(&effect.key).then_some(slots));
                for slot in of_key.into_iter().chain(of_ranges).flatten() {
                    slot.tell(changed.revision);
                }
            }
        }
    }

    /// Wakes all, so that they see that the engine ends.
    pub(super) fn wake(&self) {
        let index = self.index();
        for slot in index.keys.values().chain(index.ranges.values()).flatten() {
            slot.notify.notify_one();
        }
    }

    /// A slot that is told of everything behind revision `newest()`, which is asked when nothing can be missed any more.
    fn add(&self, range: &Range, from: Option<u64>, newest: impl FnOnce() -> u64) -> Arc<Slot> {
        let mut index = self.index();
        let newest = newest();
        let first = from.unwrap_or(newest + 1).max(1);
        let slot = Arc::new(Slot {
            ahead: Mutex::new(Ahead { first, last: newest }),
            notify: Notify::new(),
        });
        let slots = match single(range) {
            Some(key) => index.keys.entry(key.clone()).or_default(),
            None => index.ranges.entry(range.clone()).or_default(),
        };
        slots.push(Arc::clone(&slot));
        slot
    }

    fn remove(&self, range: &Range, slot: &Arc<Slot>) {
        let mut index = self.index();
        let is_other = |other: &Arc<Slot>| !Arc::ptr_eq(other, slot);
        match single(range) {
            Some(key) => {
                if let Some(slots) = index.keys.get_mut(key) {
                    slots.retain(is_other);
                    if slots.is_empty() {
                        index.keys.remove(key);
                    }
                }
            }
            None => {
                if let Some(slots) = index.ranges.get_mut(range) {
                    slots.retain(is_other);
                    if slots.is_empty() {
                        index.ranges.remove(range);
                    }
                }
            }
        }
    }
}

/// A watch.
#[derive(Debug)]
pub(super) struct Following {
    shared: Arc<Shared>,
    slot: Arc<Slot>,
    range: Range,
    /// While it reads what is in memory no more.
    old: Option<Old>,
}

impl Following {
    pub(super) fn open(
        shared: &Arc<Shared>,
        range: Range,
        from: Option<Revision>,
    ) -> Result<Self, Error> {
        let newest = || shared.view().revision;
        let slot = shared.watchers.add(&range, from.map(|from| from.0), newest);
        let watch = Self { shared: Arc::clone(shared), slot, range, old: None };
        let Ahead { first, last } = *watch.slot.ahead();
        if first <= last {
            watch.check(first)?;
        }
        Ok(watch)
    }

    fn check(&self, first: u64) -> Result<(), Error> {
        let compacted = self.shared.view().compacted;
        if first > compacted {
            Ok(())
        } else {
            Err(Error::Compacted { compacted: Revision(compacted) })
        }
    }

    /// The first change for it of revisions `first` to `last`.
    async fn find(&mut self, first: u64, last: u64) -> Result<Option<Change>, Error> {
        match self.shared.history.find(first, last, &self.range) {
            Found::Change(change) => {
                self.old = None;
                return Ok(Some(change));
            }
            Found::Nothing => return Ok(None),
            Found::Older => {}
        }
        let old = self.old.take().filter(|old| self.shared.history.has_all(old));
        let (shared, range) = (Arc::clone(&self.shared), self.range.clone());
        let (old, found) = runtime::blocking(move || {
            let old = match old {
                Some(old) => Some(old),
                None => shared.history.read(first)?,
            };
            let Some(mut old) = old else { return Ok((None, FoundOld::Gone)) };
            let found = old.find(first, last, &range)?;
            Ok((Some(old), found))
        })
        .await
        .map_err(|error: crate::log::Error| self.shared.cannot_read(error))?;
        self.old = old;
        match found {
            FoundOld::Change(change) => Ok(Some(change)),
            FoundOld::Nothing => Ok(None),
            FoundOld::Gone => {
                let compacted = Revision(self.shared.view().compacted.max(first));
                Err(Error::Compacted { compacted })
            }
        }
    }
}

#[async_trait]
impl Watch for Following {
    async fn next(&mut self) -> Result<Change, Error> {
        loop {
            tokio::task::coop::consume_budget().await;
            self.shared.check_open()?;
            let Ahead { first, last } = *self.slot.ahead();
            if first > last {
                // What is told between the look and this wait leaves a permit.
                self.slot.notify.notified().await;
                continue;
            }
            self.check(first)?;
            let change = self.find(first, last).await?;
            // Nothing is awaited from here on: what was taken out is told.
            let mut ahead = self.slot.ahead();
            match change {
                Some(change) => {
                    ahead.first = change.revision.0 + 1;
                    return Ok(change);
                }
                None => ahead.first = last + 1,
            }
        }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.shared.watchers.remove(&self.range, &self.slot);
    }
}
