//! A copy in memory of a range of the engine, for reading when the engine is away.

use crate::{
    engine::{Engine, PATIENCE},
    error::Error,
    follow::{Batch, Follow},
};
use bytes::Bytes;
use ports::kv::{Entry, Event, Range, Revision};
use runtime::Stop;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};
use tokio::sync::watch;

/// Batches that are kept for watchers who come later to them, and the bytes of their values. A watcher that is slower
/// than this is told the outcome.
const LOG_MAX: usize = 1_024;
const LOG_SIZE_MAX: usize = 16 << 20;

/// The copy. Filled by [`Mirror::run`].
#[derive(Debug)]
pub(crate) struct Mirror {
    engine: Arc<Engine>,
    range: Range,
    table: RwLock<Table>,
    progress: watch::Sender<Progress>,
    /// What this node has written itself and must therefore read.
    wanted: AtomicU64,
    is_live: RwLock<Arc<AtomicBool>>,
}

/// How far the copy has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// How many batches there were: 0 before the first.
    pub(crate) count: u64,
    /// Nothing comes any more.
    pub(crate) is_over: bool,
}

/// What is known.
#[derive(Debug, Default)]
pub(crate) struct Table {
    /// All entries.
    pub(crate) entries: BTreeMap<Bytes, Entry>,
    /// As of when.
    pub(crate) revision: Revision,
    /// Bytes of all keys and values.
    pub(crate) size: usize,
    /// The last batches, the bytes of their values, and how many batches went before them.
    log: VecDeque<Arc<Batch>>,
    log_size: usize,
    dropped: u64,
}

/// What a watcher of the copy is told.
#[derive(Debug)]
pub(crate) enum Next {
    /// The batch after the last one.
    Batch(Arc<Batch>),
    /// It was too slow: it must compare with what is there.
    Lagged,
    /// Nothing yet.
    Nothing,
}

impl Table {
    /// How many batches are in it.
    pub(crate) fn count(&self) -> u64 {
        self.dropped + u64::try_from(self.log.len()).unwrap_or(u64::MAX)
    }

    /// What comes after `seen` batches.
    pub(crate) fn next(&self, seen: u64) -> Next {
        let Some(at) = seen.checked_sub(self.dropped) else { return Next::Lagged };
        let batch = usize::try_from(at).ok().and_then(|at| self.log.get(at));
        batch.map_or(Next::Nothing, |batch| Next::Batch(Arc::clone(batch)))
    }

    fn take(&mut self, batch: Batch) {
        for event in &batch.events {
            let before = match event {
                Event::Put(entry) => {
                    self.size += entry.key.len() + entry.value.len();
                    self.entries.insert(entry.key.clone(), entry.clone())
                }
                Event::Delete { key, .. } => self.entries.remove(key),
            };
            self.size -= before.map_or(0, |entry| entry.key.len() + entry.value.len());
        }
        self.revision = batch.revision;
        self.log_size += size(&batch);
        self.log.push_back(Arc::new(batch));
        while self.log.len() > LOG_MAX || self.log_size > LOG_SIZE_MAX {
            let Some(gone) = self.log.pop_front() else { return };
            self.log_size -= size(&gone);
            self.dropped += 1;
        }
    }
}

/// Bytes of a batch's values.
fn size(batch: &Batch) -> usize {
    let sizes = batch.events.iter().map(|event| match event {
        Event::Put(entry) => entry.value.len(),
        Event::Delete { .. } => 0,
    });
    sizes.sum()
}

/// Says that nothing comes any more, also when the task that fills the copy is dropped.
struct Over<'m>(&'m Mirror);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.progress.send_modify(|progress| progress.is_over = true);
    }
}

impl Mirror {
    pub(crate) fn new(engine: Arc<Engine>, range: Range) -> Self {
        Self {
            engine,
            range,
            table: RwLock::default(),
            progress: watch::Sender::default(),
            wanted: AtomicU64::new(0),
            is_live: RwLock::default(),
        }
    }

    /// Keeps the copy until it shall end.
    pub(crate) async fn run(self: Arc<Self>, mut stop: Stop) {
        let _over = Over(&self);
        let mut follow = Follow::new(Arc::clone(&self.engine), self.range.clone());
        *self.is_live.write().unwrap_or_else(PoisonError::into_inner) = follow.liveness();
        loop {
            let batch = tokio::select! {
                batch = follow.next() => batch,
                () = stop.wait() => return,
            };
            let count = {
                let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
                if batch.revision < table.revision {
                    // The engine has lost its past, and what this node has written with it.
                    self.wanted.store(batch.revision.0, Ordering::Relaxed);
                }
                table.take(batch);
                table.count()
            };
            self.progress.send_modify(|progress| progress.count = count);
        }
    }

    /// What is known.
    pub(crate) fn table(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells how far it has come.
    pub(crate) fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Whether the engine is away, so that there may be something newer.
    pub(crate) fn is_stale(&self) -> bool {
        let live = self.is_live.read().unwrap_or_else(PoisonError::into_inner);
        !live.load(Ordering::Relaxed) || !self.engine.is_up()
    }

    /// Whether it has been filled.
    pub(crate) fn is_filled(&self) -> bool {
        self.progress.borrow().count > 0
    }

    /// This node has written at `revision`: who reads after it shall find it.
    pub(crate) fn want(&self, revision: Revision) {
        self.wanted.fetch_max(revision.0, Ordering::Relaxed);
    }

    /// Waits until all that this node has written is in it. Returns at once when the engine is away and there is
    /// something to read.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it has never been filled.
    pub(crate) async fn ready(&self) -> Result<(), Error> {
        let wanted = self.wanted.load(Ordering::Relaxed);
        let mut progress = self.progress();
        let can_read = |progress: Progress| {
            // Once the engine is up, what this node has written comes as soon as the watch is open again.
            progress.count > 0 && (self.table().revision.0 >= wanted || !self.engine.is_up())
        };
        let now = *progress.borrow();
        if can_read(now) {
            return Ok(());
        }
        let waiting = progress.wait_for(|progress| can_read(*progress));
        if tokio::time::timeout(PATIENCE, waiting).await.is_ok() || self.is_filled() {
            return Ok(());
        }
        Err(self.engine.unavailable())
    }
}
