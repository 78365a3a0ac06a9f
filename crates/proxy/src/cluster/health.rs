//! What all workers know of a service together: its breaker, how many requests it has, and until when any of
//! its instances is ejected. It outlives snapshots.

use logic::breaker::{Breaker, Limits, Occupancy};
use std::sync::{
    Arc,
    atomic::{
        AtomicU64, AtomicUsize,
        Ordering::{Relaxed, SeqCst},
    },
};
use tokio::sync::{Notify, futures::Notified};

/// Numbers services, so that workers find what they remember of one by it.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// A service's state.
#[derive(Debug)]
pub(crate) struct Health {
    pub(crate) id: u64,
    pub(crate) breaker: Breaker,
    /// A packed [`Occupancy`].
    occupancy: AtomicU64,
    /// How many wait for a place, apart from those that wait for an instance.
    queued: AtomicUsize,
    freed: Notify,
    /// No instance is ejected from then on, in ms of the data plane's clock.
    ejected_until_ms: AtomicU64,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            id: NEXT_ID.fetch_add(1, Relaxed),
            breaker: Breaker::default(),
            occupancy: AtomicU64::new(0),
            queued: AtomicUsize::new(0),
            freed: Notify::new(),
            ejected_until_ms: AtomicU64::new(0),
        }
    }
}

impl Health {
    /// A place at work; `None`: all are taken, or others wait already and this one has not.
    pub(crate) fn work(self: &Arc<Self>, limits: &Limits, has_waited: bool) -> Option<Place> {
        if !has_waited && self.queued.load(SeqCst) > 0 {
            return None;
        }
        self.step(|occupancy| occupancy.begin(limits).ok()).then(|| Place(Arc::clone(self)))
    }

    /// A place among those that wait; `None`: there are too many.
    pub(crate) fn wait(self: &Arc<Self>, limits: &Limits) -> Option<InLine> {
        let has_room = self.step(|occupancy| occupancy.wait(limits).ok());
        has_room.then(|| InLine(Arc::clone(self)))
    }

    /// Counts one in that waits for a place.
    pub(crate) fn queue(self: &Arc<Self>) -> InQueue {
        self.queued.fetch_add(1, SeqCst);
        InQueue(Arc::clone(self))
    }

    /// Ends when a place is free. Enable it before looking whether one is.
    pub(crate) fn freed(&self) -> Notified<'_> {
        self.freed.notified()
    }

    /// How many wait for an instance or a place.
    pub(crate) fn pending(&self) -> usize {
        let pending = Occupancy::unpack(self.occupancy.load(Relaxed)).pending;
        usize::try_from(pending).unwrap_or(usize::MAX)
    }

    pub(crate) fn ejected_until(&self, until_ms: u64) {
        self.ejected_until_ms.fetch_max(until_ms, Relaxed);
    }

    /// Whether any instance may be ejected; looks at none.
    pub(crate) fn has_ejected(&self, now_ms: u64) -> bool {
        now_ms < self.ejected_until_ms.load(Relaxed)
    }

    /// Changes the occupancy, if `next` gives another.
    fn step(&self, next: impl Fn(Occupancy) -> Option<Occupancy>) -> bool {
        let changed = self.occupancy.fetch_update(SeqCst, SeqCst, |word| {
            next(Occupancy::unpack(word)).map(Occupancy::pack)
        });
        changed.is_ok()
    }
}

/// A request that counts as worked on until this is dropped.
#[derive(Debug)]
pub(crate) struct Place(Arc<Health>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.step(|occupancy| Some(occupancy.end()));
        // After the count: whoever queues counts itself in before it looks once more.
        if self.0.queued.load(SeqCst) > 0 {
            self.0.freed.notify_one();
        }
    }
}

/// A request that counts as waiting until this is dropped.
#[derive(Debug)]
pub(crate) struct InLine(Arc<Health>);

impl Drop for InLine {
    fn drop(&mut self) {
        self.0.step(|occupancy| Some(occupancy.give_up()));
    }
}

/// A request that counts as waiting for a place until this is dropped.
#[derive(Debug)]
pub(crate) struct InQueue(Arc<Health>);

impl Drop for InQueue {
    fn drop(&mut self) {
        self.0.queued.fetch_sub(1, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_limited_and_those_that_wait_go_first() {
        let health = Arc::<Health>::default();
        let limits = Limits { concurrent_max: 1, pending_max: 1 };
        let place = health.work(&limits, false).unwrap();
        assert!(health.work(&limits, false).is_none());
        let (line, queue) = (health.wait(&limits).unwrap(), health.queue());
        assert!(health.wait(&limits).is_none());
        assert_eq!(health.pending(), 1);
        drop(place);
        assert!(health.work(&limits, false).is_none(), "another has waited");
        let place = health.work(&limits, true).unwrap();
        drop((line, queue));
        assert_eq!(health.pending(), 0);
        drop(place);
        assert!(health.work(&limits, false).is_some());
    }
}
