//! The last changes of a cache, for watches and for those who come back.

use super::{
    super::{StateChange, StateEvent},
    count,
};
use crate::error::Error;
use std::collections::VecDeque;

/// Changes that are kept at most.
const CHANGES_MAX: usize = 4_096;

/// Bytes of keys and values that are kept for them at most, besides what the cache itself may take.
const BYTES_MAX: u64 = 4 << 20;

/// The last changes. None are kept before somebody watches for the first time: most caches are never watched.
#[derive(Debug)]
pub(super) struct Feed {
    is_wanted: bool,
    changes: VecDeque<StateChange>,
    /// All changes after this revision are there.
    complete_after: u64,
    bytes: u64,
}

impl Feed {
    pub(super) fn new(revision: u64) -> Self {
        Self { is_wanted: false, changes: VecDeque::new(), complete_after: revision, bytes: 0 }
    }

    /// Somebody watches.
    pub(super) fn begin(&mut self) {
        self.is_wanted = true;
    }

    /// The revision after which all changes are there.
    pub(super) fn complete_after(&self) -> u64 {
        self.complete_after
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn push(&mut self, change: StateChange) {
        if !self.is_wanted {
            self.complete_after = change.revision;
            return;
        }
        self.bytes += size(&change);
        self.changes.push_back(change);
        while self.changes.len() > CHANGES_MAX || self.bytes > BYTES_MAX {
            let Some(gone) = self.changes.pop_front() else { return };
            self.bytes -= size(&gone);
            self.complete_after = gone.revision;
        }
    }

    /// The first change after `told` under `prefix`, with what it did there.
    pub(super) fn after(&self, told: u64, prefix: &str) -> Result<Option<StateChange>, Error> {
        if told < self.complete_after {
            return Err(Error::Compacted { compacted: self.complete_after });
        }
        let begin = self.changes.partition_point(|change| change.revision <= told);
        Ok(self.changes.range(begin..).find_map(|change| {
            let is_inside = |event: &&StateEvent| key(event).starts_with(prefix);
            let events: Vec<_> = change.events.iter().filter(is_inside).cloned().collect();
            let revision = change.revision;
            (!events.is_empty()).then_some(StateChange { revision, events })
        }))
    }
}

fn key(event: &StateEvent) -> &str {
    match event {
        StateEvent::Put(item) => &item.key,
        StateEvent::Delete { key } => key,
    }
}

fn size(change: &StateChange) -> u64 {
    let sizes = change.events.iter().map(|event| match event {
        StateEvent::Put(item) => item.key.len() + item.value.len(),
        StateEvent::Delete { key } => key.len(),
    });
    count(sizes.sum())
}
