//! Watches of locks.

use super::{LockEvent, record};
use crate::{engine::Engine, error::Error, follow::Follow};
use ports::kv::{Event, Range};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

/// What happens to locks. It goes on over outages of the engine; what happened meanwhile is told by its outcome.
#[derive(Debug)]
pub struct LockWatch {
    follow: Follow,
    root: String,
    /// Told of as soon as it is known to be free.
    asked_for: Option<String>,
    /// Who holds what, as it was told: token and value.
    told: BTreeMap<String, (u64, String)>,
    events: VecDeque<Result<LockEvent, Error>>,
}

impl LockWatch {
    pub(super) async fn begin(
        engine: Arc<Engine>,
        root: String,
        resource: Option<&str>,
    ) -> Result<Self, Error> {
        // What follows waits for an engine that is away; the caller shall hear of it.
        engine.revision().await?;
        let range = match resource {
            Some(resource) => Range::key(format!("{root}{resource}").into()),
            None => Range::prefix(root.clone().into()),
        };
        let follow = Follow::new(engine, range);
        let asked_for = resource.map(str::to_owned);
        Ok(Self { follow, root, asked_for, told: BTreeMap::new(), events: VecDeque::new() })
    }

    /// Waits for what happens next. A lock that is free at the start is told once if it was asked for by name.
    ///
    /// # Errors
    /// [`Error::Damaged`] for a lock that cannot be read; the watch goes on.
    /// # Cancel safety
    /// Cancel safe.
    pub async fn next(&mut self) -> Result<LockEvent, Error> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return event;
            }
            let batch = self.follow.next().await;
            for event in &batch.events {
                if let Some(event) = self.take(event) {
                    self.events.push_back(event);
                }
            }
            if let Some(resource) = self.asked_for.take()
                && self.events.is_empty()
            {
                self.events.push_back(Ok(LockEvent::Free { resource }));
            }
        }
    }

    fn take(&mut self, event: &Event) -> Option<Result<LockEvent, Error>> {
        match event {
            Event::Put(entry) => match record::read(&self.root, entry) {
                Ok(info) => {
                    let says = (info.token, info.value.clone());
                    // A renewal is no news.
                    let before = self.told.insert(info.resource.clone(), says.clone());
                    (before != Some(says)).then_some(Ok(LockEvent::Held(info)))
                }
                Err(error) => Some(Err(error)),
            },
            Event::Delete { key, .. } => {
                let resource = record::resource(&self.root, key);
                self.told.remove(&resource);
                Some(Ok(LockEvent::Free { resource }))
            }
        }
    }
}
