//! From the workers to those who look.

use super::{Filter, KEPT_MAX, LANE_MAX, Record, Relaxed, Summary};
use arc_swap::ArcSwap;
use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::sync::Notify;

/// After it was woken a reader waits this long for more to gather, so that a busy data plane wakes it fifty
/// times a second and not for each request.
const GATHER: Duration = Duration::from_millis(20);

/// The records of one data plane. Cheap to clone.
#[derive(Clone)]
pub struct Requests(Arc<Hub>);

struct Hub {
    /// Somebody looks.
    is_watched: AtomicBool,
    watchers: ArcSwap<Vec<Arc<Channel>>>,
    /// Makes changes of `watchers` exclusive.
    changing: Mutex<()>,
    /// Failed and slow ones by worker.
    kept: Box<[Mutex<VecDeque<Arc<Record>>>]>,
}

/// One subscriber.
struct Channel {
    filter: Filter,
    /// By worker.
    lanes: Box<[Lane]>,
    dropped: AtomicU64,
    /// The reader sleeps and wants to be woken.
    is_idle: AtomicBool,
    wake: Notify,
}

/// Two halves, so that one is free for the worker while the reader empties the other.
#[derive(Default)]
struct Lane([Mutex<Vec<Arc<Record>>>; 2]);

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let watchers = self.0.watchers.load().len();
        f.debug_struct("Requests").field("watchers", &watchers).finish_non_exhaustive()
    }
}

impl Requests {
    /// For as many workers.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self(Arc::new(Hub {
            is_watched: AtomicBool::new(false),
            watchers: ArcSwap::default(),
            changing: Mutex::new(()),
            kept: (0..workers.max(1)).map(|_| Mutex::default()).collect(),
        }))
    }

    /// Notes a request that `worker` (counted from 0) has finished; `make` is called when it is wanted. Does
    /// not wait and does not fail.
    #[inline]
    pub fn record(&self, worker: usize, summary: &Summary<'_>, make: impl FnOnce() -> Record) {
        // Relaxed: who has just begun to look may miss what ends in the same instant.
        if self.0.is_watched.load(Relaxed) || summary.is_notable() {
            self.0.record(worker, summary, make);
        }
    }

    /// Begins to look at the requests that fit `filter`. Dropping it ends that.
    #[must_use]
    pub fn subscribe(&self, filter: Filter) -> Subscription {
        let channel = Arc::new(Channel {
            filter,
            lanes: self.0.kept.iter().map(|_| Lane::default()).collect(),
            dropped: AtomicU64::new(0),
            is_idle: AtomicBool::new(false),
            wake: Notify::new(),
        });
        self.0.change(|watchers| watchers.push(Arc::clone(&channel)));
        Subscription { hub: Arc::clone(&self.0), channel, told: 0 }
    }

    /// The newest failed or slow requests that fit `filter`, at most [`KEPT_MAX`], in the order they ended.
    #[must_use]
    pub fn kept(&self, filter: &Filter) -> Vec<Arc<Record>> {
        let mut all = Vec::new();
        for kept in &self.0.kept {
            let kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            all.extend(kept.iter().filter(|record| filter.fits(&record.summary())).cloned());
        }
        all.sort_by_key(|record| record.ended_us());
        all.split_off(all.len().saturating_sub(KEPT_MAX))
    }
}

impl Hub {
    #[cold]
    fn record(&self, worker: usize, summary: &Summary<'_>, make: impl FnOnce() -> Record) {
        let watchers = self.watchers.load();
        let mut wanting = watchers.iter().filter(|channel| channel.filter.fits(summary)).peekable();
        let is_notable = summary.is_notable();
        if wanting.peek().is_none() && !is_notable {
            return;
        }
        let record = Arc::new(make());
        for channel in wanting {
            channel.push(worker, &record);
        }
        if is_notable && let Some(kept) = self.kept.get(worker).and_then(free) {
            let mut kept = kept;
            if kept.len() == KEPT_MAX {
                kept.pop_front();
            }
            kept.push_back(record);
        }
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Arc<Channel>>)) {
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut watchers = Vec::clone(&self.watchers.load());
        change(&mut watchers);
        let is_watched = !watchers.is_empty();
        self.watchers.store(Arc::new(watchers));
        self.is_watched.store(is_watched, Relaxed);
    }
}

/// The lock, if it is free at this moment.
fn free<T>(lock: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match lock.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(guard)) => Some(guard.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

impl Channel {
    fn push(&self, worker: usize, record: &Arc<Record>) {
        let halves = self.lanes.get(worker).map(|lane| &lane.0);
        // The reader holds one half at most, and no other worker writes here, so one is free.
        let free = halves.into_iter().flatten().find_map(free);
        match free {
            Some(mut half) if half.len() < LANE_MAX => half.push(Arc::clone(record)),
            _ => _ = self.dropped.fetch_add(1, Relaxed),
        }
        if self.is_idle.load(SeqCst) && self.is_idle.swap(false, SeqCst) {
            self.wake.notify_one();
        }
    }

    fn take(&self) -> Vec<Arc<Record>> {
        let mut all = Vec::new();
        for half in self.lanes.iter().flat_map(|lane| &lane.0) {
            // Taken out whole: the worker must find this half free again at once.
            let taken = std::mem::take(&mut *half.lock().unwrap_or_else(PoisonError::into_inner));
            all.extend(taken);
        }
        all.sort_by_key(|record| record.ended_us());
        all
    }
}

/// Some requests of a [`Subscription`].
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// In the order they ended.
    pub records: Vec<Arc<Record>>,
    /// How many did not fit since the batch before.
    pub dropped: u64,
}

/// Requests as they end.
pub struct Subscription {
    hub: Arc<Hub>,
    channel: Arc<Channel>,
    /// Drops that were told.
    told: u64,
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("filter", &self.channel.filter).finish_non_exhaustive()
    }
}

impl Subscription {
    /// Waits for requests and returns those that have ended. What comes close together comes together.
    ///
    /// # Cancel safety
    /// Cancel safe: nothing is taken before the last wait is over.
    pub async fn next(&mut self) -> Batch {
        loop {
            let batch = self.take();
            if !batch.records.is_empty() || batch.dropped > 0 {
                return batch;
            }
            self.channel.is_idle.store(true, SeqCst);
            // What came before the flag was seen would wake nobody.
            if self.is_empty() {
                self.channel.wake.notified().await;
                tokio::time::sleep(GATHER).await;
            }
        }
    }

    /// What has ended since the last look, without waiting.
    pub fn take(&mut self) -> Batch {
        let dropped = self.channel.dropped.load(Relaxed);
        let batch = Batch { records: self.channel.take(), dropped: dropped - self.told };
        self.told = dropped;
        batch
    }

    fn is_empty(&self) -> bool {
        let halves = self.channel.lanes.iter().flat_map(|lane| &lane.0);
        let is_empty =
            |half: &Mutex<Vec<_>>| half.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
        halves.into_iter().all(is_empty) && self.channel.dropped.load(Relaxed) == self.told
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.hub.change(|watchers| watchers.retain(|other| !Arc::ptr_eq(other, &self.channel)));
    }
}
