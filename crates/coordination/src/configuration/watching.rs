//! Watches of configuration.

use super::{ConfigAnswer, ConfigChange, Select, Shared};
use crate::mirror::{Next, Progress, Table};
use ports::kv::Event;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};
use tokio::sync::watch;

/// Changes, each told once, over outages of the engine too. What this node did not see happen (it was away, or the
/// watcher was very slow) is told by its outcome.
#[derive(Debug)]
pub struct ConfigWatch {
    shared: Arc<Shared>,
    namespace: String,
    select: Select,
    initial: ConfigAnswer,
    /// Found, not yet told.
    pending: VecDeque<ConfigChange>,
    /// How many of the copy's batches are told or pending.
    seen: u64,
    /// What is not newer is told already.
    told: u64,
    progress: watch::Receiver<Progress>,
}

impl ConfigWatch {
    pub(super) fn begin(
        shared: Arc<Shared>,
        namespace: String,
        select: Select,
        after: Option<u64>,
    ) -> Self {
        let progress = shared.mirror.progress();
        let table = shared.mirror.table();
        let initial = shared.answer(&table, &namespace, &select);
        let revision = initial.revision;
        // A revision that is still to come was told by an engine that has lost its past since, or by a node that is
        // ahead of this one: what is there is told again rather than missed.
        let told = after.map_or(revision, |after| if after > revision { 0 } else { after });
        let seen = table.count();
        let pending = newer(&shared, &table, &namespace, &select, told);
        drop(table);
        let mut watch =
            Self { shared, namespace, select, initial, pending, seen, told: 0, progress };
        watch.told = revision;
        watch
    }

    /// What was in force when the watch began; [`Self::next`] tells what changed since, or since `after`.
    #[must_use]
    pub fn initial(&self) -> &ConfigAnswer {
        &self.initial
    }

    /// Waits for the next change; `None` when coordination has ended.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn next(&mut self) -> Option<ConfigChange> {
        loop {
            if let Some(change) = self.pending.pop_front() {
                return Some(change);
            }
            let is_over = self.progress.borrow_and_update().is_over;
            if self.look() {
                continue;
            }
            if is_over {
                return None;
            }
            self.progress.changed().await.ok()?;
        }
    }

    /// Takes what has come; returns whether there was anything.
    fn look(&mut self) -> bool {
        let table = self.shared.mirror.table();
        match table.next(self.seen) {
            Next::Nothing => return false,
            Next::Lagged => {
                let (shared, told) = (&self.shared, self.told);
                self.pending = newer(shared, &table, &self.namespace, &self.select, told);
                self.seen = table.count();
                self.told = table.revision.0;
            }
            Next::Batch(batch) => {
                let items = self.shared.selected(&self.namespace, &self.select, &batch.events);
                if !items.is_empty() {
                    self.pending.push_back(ConfigChange { revision: batch.revision.0, items });
                }
                self.seen += 1;
                self.told = batch.revision.0;
            }
        }
        true
    }
}

/// What was changed after the revision `told`, as far as it is still in force: one change for each revision, in order.
fn newer(
    shared: &Shared,
    table: &Table,
    namespace: &str,
    select: &Select,
    told: u64,
) -> VecDeque<ConfigChange> {
    let mut changes: BTreeMap<u64, Vec<Event>> = BTreeMap::new();
    for entry in table.entries.values().filter(|entry| entry.modified.0 > told) {
        changes.entry(entry.modified.0).or_default().push(Event::Put(entry.clone()));
    }
    let changes = changes.into_iter().map(|(revision, events)| ConfigChange {
        revision,
        items: shared.selected(namespace, select, &events),
    });
    changes.filter(|change| !change.items.is_empty()).collect()
}
