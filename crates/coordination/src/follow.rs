//! Watches that go on where an outage of the engine broke them off.
//!
//! ```text
//!  Tail:    changes after a revision ── engine away ──► tries again, from the revision it told last
//!                                    ── forgotten ────► Compacted, and ends
//!  Follow:  all entries, then Tail   ── forgotten ────► reads all anew, and tells what differs
//! ```

use crate::{engine::Engine, error::Error};
use bytes::Bytes;
use logic::backoff::Backoff;
use ports::kv::{Change, Event, Range, Revision, Watch};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tracing::debug;

/// Between tries to reach an engine that is away: soon enough for nobody to notice that it was, seldom enough for an
/// engine that comes back under load.
const RETRY: Backoff = Backoff { first: Duration::from_millis(50), max: Duration::from_secs(1) };

/// Waits between tries.
#[derive(Debug, Default)]
pub(crate) struct Pause {
    failures: u32,
}

impl Pause {
    /// Waits; longer than the last time.
    pub(crate) async fn wait(&mut self) {
        self.failures = self.failures.saturating_add(1);
        // Without random numbers nodes only return less evenly spread.
        let random = getrandom::u64().unwrap_or_default();
        tokio::time::sleep(RETRY.wait(self.failures, random)).await;
    }

    /// It went well.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}

/// Changes after a revision, over outages.
#[derive(Debug)]
pub(crate) struct Tail {
    engine: Arc<Engine>,
    range: Range,
    told: Revision,
    watch: Option<Box<dyn Watch>>,
    pause: Pause,
}

impl Tail {
    /// Changes after `after`, or from now on.
    pub(crate) async fn begin(
        engine: Arc<Engine>,
        range: Range,
        after: Option<Revision>,
    ) -> Result<Self, Error> {
        let told = match after {
            Some(after) => after,
            None => engine.revision().await?,
        };
        let watch = Some(open(&engine, &range, told).await?);
        Ok(Self { engine, range, told, watch, pause: Pause::default() })
    }

    /// All changes up to this revision were told.
    pub(crate) fn told(&self) -> Revision {
        self.told
    }

    /// Whether it is connected, as far as it knows.
    fn is_open(&self) -> bool {
        self.watch.is_some()
    }

    /// The next change. Fails only for what waiting does not cure.
    pub(crate) async fn next(&mut self) -> Result<Change, Error> {
        loop {
            match self.step().await {
                Ok(change) => return Ok(change),
                Err(error) if error.is_outage() => self.pause.wait().await,
                Err(error) => return Err(error),
            }
        }
    }

    /// The next change, or the first trouble. Cancel safe.
    async fn step(&mut self) -> Result<Change, Error> {
        let watch = match &mut self.watch {
            Some(watch) => watch,
            None => {
                let opened = open(&self.engine, &self.range, self.told).await?;
                self.watch.insert(opened)
            }
        };
        match watch.next().await {
            Ok(change) => {
                self.pause.reset();
                self.told = change.revision;
                Ok(change)
            }
            Err(error) => {
                self.watch = None;
                Err(error.into())
            }
        }
    }
}

/// Opens a watch of what comes after `told`.
async fn open(engine: &Engine, range: &Range, told: Revision) -> Result<Box<dyn Watch>, Error> {
    let newest = engine.revision().await?;
    if newest < told {
        // The engine has lost its past, or is another: waiting for a revision to come again would be for ever.
        return Err(Error::Compacted { compacted: newest.0 });
    }
    engine.watch(range.clone(), told.next()).await
}

/// What [`Follow`] has seen happen.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    /// Up to which revision everything is told with it.
    pub(crate) revision: Revision,
    /// What happened; each key at most once. May be of many revisions when it was found by comparing.
    pub(crate) events: Vec<Event>,
}

/// All entries of a range, then what changes, for ever.
#[derive(Debug)]
pub(crate) struct Follow {
    engine: Arc<Engine>,
    range: Range,
    tail: Option<Tail>,
    /// What was told of: keys, and when they were put last.
    known: BTreeMap<Bytes, Revision>,
    pause: Pause,
    is_live: Arc<AtomicBool>,
}

impl Follow {
    pub(crate) fn new(engine: Arc<Engine>, range: Range) -> Self {
        let known = BTreeMap::new();
        Self { engine, range, tail: None, known, pause: Pause::default(), is_live: Arc::default() }
    }

    /// Whether what it told is all there is, as far as it knows.
    pub(crate) fn liveness(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_live)
    }

    /// What happened. The first batch has all entries there are, and may be empty. Cancel safe.
    pub(crate) async fn next(&mut self) -> Batch {
        loop {
            match self.step().await {
                Ok(batch) => {
                    self.pause.reset();
                    self.is_live.store(true, Ordering::Relaxed);
                    return batch;
                }
                Err(error) => {
                    self.is_live.store(false, Ordering::Relaxed);
                    debug!(error = %base::ErrorChain(&error), "a watch broke off");
                    if !error.is_outage() {
                        // What was forgotten is found by reading all anew; so is all else that may be wrong.
                        self.tail = None;
                    }
                    self.pause.wait().await;
                }
            }
        }
    }

    async fn step(&mut self) -> Result<Batch, Error> {
        let Some(tail) = &mut self.tail else {
            return self.reread().await;
        };
        if !tail.is_open() {
            let opened = open(&self.engine, &self.range, tail.told).await?;
            tail.watch = Some(opened);
            self.pause.reset();
            self.is_live.store(true, Ordering::Relaxed);
        }
        let change = tail.step().await?;
        for event in &change.events {
            match event {
                Event::Put(entry) => {
                    self.known.insert(entry.key.clone(), entry.modified);
                }
                Event::Delete { key, .. } => {
                    self.known.remove(key);
                }
            }
        }
        Ok(Batch { revision: change.revision, events: change.events })
    }

    async fn reread(&mut self) -> Result<Batch, Error> {
        let (entries, revision, _) = self.engine.all(&self.range, usize::MAX).await?;
        let engine = Arc::clone(&self.engine);
        let tail = Tail::begin(engine, self.range.clone(), Some(revision)).await?;
        let mut gone = std::mem::take(&mut self.known);
        let mut events = Vec::new();
        for entry in entries {
            self.known.insert(entry.key.clone(), entry.modified);
            if gone.remove(&entry.key) != Some(entry.modified) {
                events.push(Event::Put(entry));
            }
        }
        events.extend(gone.into_keys().map(|key| Event::Delete { key, revision }));
        self.tail = Some(tail);
        Ok(Batch { revision, events })
    }
}
