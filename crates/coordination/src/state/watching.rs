//! Watches of a store.

use super::{Cache, StateChange, StateEvent, durable::Durable};
use crate::{error::Error, follow::Tail};
use ports::kv::{Change, Event, Revision};
use std::sync::Arc;
use tokio::sync::watch;
use tracing::warn;

/// Changes in the order of revisions, without gap and without duplicate, over outages of the engine too.
#[derive(Debug)]
pub struct StateWatch(Source);

#[derive(Debug)]
enum Source {
    Engine { store: Durable, tail: Tail },
    Memory { cache: Arc<Cache>, prefix: String, told: u64, news: watch::Receiver<u64> },
}

impl StateWatch {
    pub(super) async fn of_engine(
        store: Durable,
        prefix: &str,
        after: Option<u64>,
    ) -> Result<Self, Error> {
        let (engine, range) = (Arc::clone(&store.engine), store.range(prefix));
        let tail = Tail::begin(engine, range, after.map(Revision)).await?;
        Ok(Self(Source::Engine { store, tail }))
    }

    pub(super) fn of_memory(
        cache: &Arc<Cache>,
        prefix: &str,
        after: Option<u64>,
    ) -> Result<Self, Error> {
        let (told, news) = cache.begin_watch(after)?;
        let (cache, prefix) = (Arc::clone(cache), prefix.to_owned());
        Ok(Self(Source::Memory { cache, prefix, told, news }))
    }

    /// The revision up to which everything has been told.
    #[must_use]
    pub fn revision(&self) -> u64 {
        match &self.0 {
            Source::Engine { tail, .. } => tail.told().0,
            Source::Memory { told, .. } => *told,
        }
    }

    /// Waits for the next change; for as long as the engine is away.
    ///
    /// # Errors
    /// [`Error::Compacted`] ends the watch: scan, and watch after [`super::Scan::revision`].
    /// # Cancel safety
    /// Cancel safe: a change is told by this call or a later one.
    pub async fn next(&mut self) -> Result<StateChange, Error> {
        match &mut self.0 {
            Source::Engine { store, tail } => loop {
                let change = readable(store, tail.next().await?);
                if !change.events.is_empty() {
                    return Ok(change);
                }
            },
            Source::Memory { cache, prefix, told, news } => loop {
                news.borrow_and_update();
                if let Some(change) = cache.change_after(told, prefix)? {
                    return Ok(change);
                }
                if news.changed().await.is_err() {
                    // The cache lives as long as this watch, so this is never reached; waiting is harmless.
                    std::future::pending::<()>().await;
                }
            },
        }
    }
}

/// The change as callers know it, without what nobody can read: it is an error for who asks for it by name, but no
/// reason to end the watch of all others.
fn readable(store: &Durable, change: Change) -> StateChange {
    let events = change.events.iter().filter_map(|event| match event {
        Event::Put(entry) => match store.item(entry) {
            Ok(item) => Some(StateEvent::Put(item)),
            Err(error) => {
                warn!(%error, "left out of a watch");
                None
            }
        },
        Event::Delete { key, .. } => Some(StateEvent::Delete { key: store.key(key) }),
    });
    StateChange { revision: change.revision.0, events: events.collect() }
}
