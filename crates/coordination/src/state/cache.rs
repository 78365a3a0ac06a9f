//! A store in this node's memory, bounded in bytes.
//!
//! What has to go is chosen by SIEVE (Zhang et al., NSDI 2024): values stand in a queue by age; a hand goes from the
//! oldest to the newest, spares those that were read since it came by last, and takes the first that was not. A read so
//! only sets a bit, under a shared lock, and one sweep over many keys that are read once does not push out those that
//! are read often, as it would with LRU. What has expired goes before anything else.
//!
//! Its own, and not a cache of the shelf: etags, transactions, scans and watches need an ordered index under one lock.

use super::{
    CacheStats, Etag, Fence, Item, Match, SCAN_MAX, Scan, StateChange, StateEvent, StateOp, Write,
    expiry, mismatch,
    plan::{self, Plan, Planned},
    time_to_live,
};
use crate::error::Error;
use base::Moment;
use runtime::Clock;
use std::{
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::watch;

mod feed;
mod table;

use feed::Feed;
use table::{Slot, Table};

/// What a value takes besides key, content type and itself: nodes of three trees and the heads of its allocations.
/// With many values of 100 bytes that expire, 337 bytes were measured; an allocator is not always so lucky.
pub(super) const OVERHEAD: u64 = 384;

/// Values that one look for expired ones removes at most while it holds the lock.
const SWEEP_MAX: usize = 1_024;

/// Bytes of values that one scan returns before it stops short.
const SCAN_SIZE_MAX: usize = 4 << 20;

/// The store.
#[derive(Debug)]
pub(crate) struct Cache {
    clock: Clock,
    state: RwLock<Content>,
    hits: AtomicU64,
    misses: AtomicU64,
    /// The newest revision, for watches.
    news: watch::Sender<u64>,
}

#[derive(Debug)]
struct Content {
    table: Table,
    feed: Feed,
    revision: u64,
    bytes_max: u64,
    evictions: u64,
    expirations: u64,
}

impl Cache {
    /// An empty one.
    pub(crate) fn new(bytes_max: u64, clock: Clock) -> Self {
        // Revisions go on from where time is: those of an earlier life are never given out again, so that no etag of
        // then matches a value of now. A value takes more than a microsecond to write.
        let revision = clock.date().0;
        let content = Content {
            table: Table::default(),
            feed: Feed::new(revision),
            revision,
            bytes_max,
            evictions: 0,
            expirations: 0,
        };
        Self {
            clock,
            state: RwLock::new(content),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            news: watch::Sender::new(revision),
        }
    }

    /// Lets it take more or less from now on.
    pub(crate) fn resize(&self, bytes_max: u64) {
        let mut content = self.write();
        content.bytes_max = bytes_max;
        let events = content.make_room(0, &[], self.clock.now());
        self.publish(content, events);
    }

    /// Removes what has expired. Returns whether there may be more.
    pub(crate) fn sweep(&self) -> bool {
        let now = self.clock.now();
        if !self.read().table.is_any_due(now) {
            return false;
        }
        let mut content = self.write();
        let due = content.table.remove_due(now, SWEEP_MAX);
        content.expirations += count(due.len());
        let is_full = due.len() == SWEEP_MAX;
        let events = due.into_iter().map(deletion).collect();
        self.publish(content, events);
        is_full
    }

    pub(super) fn get(&self, key: &str) -> Result<Option<Item>, Error> {
        plan::check_key(key)?;
        let content = self.read();
        let found = content.table.get(key).filter(|slot| !slot.is_due(self.clock.now()));
        let counter = if found.is_some() { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        Ok(found.map(|slot| {
            slot.visit();
            slot.item(key)
        }))
    }

    pub(super) fn put(&self, write: Write, ttl: Option<Duration>) -> Result<Etag, Error> {
        let etags = self.transact(vec![StateOp::Put(write)], ttl)?;
        Ok(etags.into_iter().flatten().next().expect("a put that succeeds has an etag"))
    }

    pub(super) fn delete(
        &self,
        key: &str,
        etag: Match,
        fence: Option<Fence>,
    ) -> Result<bool, Error> {
        plan::check_key(key)?;
        unfenced(fence.iter().count())?;
        let mut content = self.write();
        let found = content.etag(key, self.clock.now());
        if let Some(error) = mismatch(key, etag, found) {
            return Err(error);
        }
        let removed = content.table.remove(key);
        self.publish(content, removed.map(|_| deletion(key.into())).into_iter().collect());
        Ok(found.is_some())
    }

    pub(super) fn transact(
        &self,
        operations: Vec<StateOp>,
        ttl: Option<Duration>,
    ) -> Result<Vec<Option<Etag>>, Error> {
        let Plan { keys, fences, stays } = plan::plan(operations)?;
        unfenced(fences.len())?;
        let slots = self.slots(&keys, ttl)?;
        let now = self.clock.now();
        let mut content = self.write();
        for planned in &keys {
            let found = content.etag(&planned.key, now);
            if let Some(error) = mismatch(&planned.key, planned.before, found) {
                return Err(error);
            }
        }
        let sizes = keys
            .iter()
            .zip(&slots)
            .filter_map(|(planned, slot)| slot.as_ref().map(|slot| slot.size(&planned.key)));
        let size: u64 = sizes.sum();
        if size > content.bytes_max {
            let limit = usize::try_from(content.bytes_max).unwrap_or(usize::MAX);
            let size = usize::try_from(size).unwrap_or(usize::MAX);
            return Err(Error::TooLarge { what: "bytes for the cache", size, limit });
        }
        let mut events = content.make_room(size, &keys, now);
        let etag = Etag(content.revision + 1);
        for (planned, slot) in keys.into_iter().zip(slots) {
            events.extend(content.table.replace(&planned.key, slot, etag));
        }
        self.publish(content, events);
        Ok(stays.into_iter().map(|stays| stays.then_some(etag)).collect())
    }

    pub(super) fn scan(&self, prefix: &str, after: Option<&str>, limit: usize) -> Scan {
        let now = self.clock.now();
        let content = self.read();
        let mut scan = Scan { revision: content.revision, ..Scan::default() };
        let mut size = 0;
        for (key, slot) in content.table.from(prefix, after) {
            if slot.is_due(now) {
                continue;
            }
            if scan.items.len() >= limit.clamp(1, SCAN_MAX) || size >= SCAN_SIZE_MAX {
                scan.next = scan.items.last().map(|item| item.key.clone());
                break;
            }
            size += slot.value.len();
            scan.items.push(slot.item(key));
        }
        scan
    }

    pub(super) fn begin_watch(
        &self,
        after: Option<u64>,
    ) -> Result<(u64, watch::Receiver<u64>), Error> {
        let mut content = self.write();
        let revision = content.revision;
        content.feed.begin();
        let after = after.unwrap_or(revision);
        if after > revision || after < content.feed.complete_after() {
            return Err(Error::Compacted { compacted: content.feed.complete_after() });
        }
        Ok((after, self.news.subscribe()))
    }

    /// The first change after `told` under `prefix`; moves `told` over what is not under it.
    pub(super) fn change_after(
        &self,
        told: &mut u64,
        prefix: &str,
    ) -> Result<Option<StateChange>, Error> {
        let content = self.read();
        let change = content.feed.after(*told, prefix)?;
        *told = change.as_ref().map_or(content.revision, |change| change.revision);
        Ok(change)
    }

    pub(crate) fn stats(&self) -> CacheStats {
        let content = self.read();
        CacheStats {
            items: count(content.table.len()),
            bytes: content.table.bytes() + content.feed.bytes(),
            bytes_max: content.bytes_max,
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            evictions: content.evictions,
            expirations: content.expirations,
        }
    }

    /// What shall be written, made before the lock is taken.
    fn slots(&self, keys: &[Planned], ttl: Option<Duration>) -> Result<Vec<Option<Slot>>, Error> {
        let (now, date) = (self.clock.now(), self.clock.date());
        let slots = keys.iter().map(|planned| {
            let Some(write) = &planned.after else { return Ok(None) };
            let ttl = time_to_live(write.ttl, ttl)?;
            let expires = ttl.map(|ttl| (now + ttl, expiry(date, ttl)));
            Ok(Some(Slot::new(write, expires)))
        });
        slots.collect()
    }

    /// Makes it one revision, if anything happened.
    fn publish(&self, mut content: RwLockWriteGuard<'_, Content>, events: Vec<StateEvent>) {
        if events.is_empty() {
            return;
        }
        content.revision += 1;
        let revision = content.revision;
        content.feed.push(StateChange { revision, events });
        drop(content);
        self.news.send_replace(revision);
    }

    fn read(&self) -> RwLockReadGuard<'_, Content> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Content> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Content {
    fn etag(&self, key: &str, now: Moment) -> Option<Etag> {
        self.table.get(key).filter(|slot| !slot.is_due(now)).map(|slot| slot.etag)
    }

    /// Lets values go until `size` bytes more fit, those of `keys` not counted and not touched.
    fn make_room(&mut self, size: u64, keys: &[Planned], now: Moment) -> Vec<StateEvent> {
        let own: u64 = keys.iter().map(|planned| self.table.size_of(&planned.key)).sum();
        let is_own = |key: &str| keys.iter().any(|planned| planned.key == key);
        let mut events = Vec::new();
        while self.table.bytes() - own + size > self.bytes_max {
            let victim = if let Some(key) = self.table.due_but(now, is_own) {
                self.expirations += 1;
                key
            } else if let Some(key) = self.table.victim_but(is_own) {
                self.evictions += 1;
                key
            } else {
                break;
            };
            self.table.remove(&victim);
            events.push(deletion(victim));
        }
        events
    }
}

fn deletion(key: Arc<str>) -> StateEvent {
    StateEvent::Delete { key: key.as_ref().to_owned() }
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// A fence is a condition on a key of the engine: no one step can check that and write here.
fn unfenced(fences: usize) -> Result<(), Error> {
    if fences == 0 {
        return Ok(());
    }
    let message = "a write to a cache cannot depend on a lock: use a durable store";
    Err(Error::Unsupported(message.to_owned()))
}
