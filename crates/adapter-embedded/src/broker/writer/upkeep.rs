//! What the writer does unasked.

use ports::broker::EPHEMERAL_GRACE;
use std::sync::{Arc, atomic::Ordering};
use tracing::warn;

use super::Writer;
use crate::broker::{
    plan::Plan,
    shared::{Shared, millis},
    topic::Topic,
};

impl Writer {
    /// When there is something to do though nobody asks.
    pub(super) fn wake_at(&self) -> u64 {
        if let Some(down) = &self.state.down {
            return down.retry_at;
        }
        let age = millis(self.shared.limits.checkpoint_age);
        let is_free = !self.shared.desk.is_busy();
        let checkpoint = self.state.dirty_since.filter(|_| is_free).map(|since| since + age);
        checkpoint.map_or(self.state.upkeep_at, |at| at.min(self.state.upkeep_at))
    }

    /// Removes the segments of the journal that nothing needs any more.
    pub(super) fn trim(&mut self) {
        let position = self.shared.desk.progress().position;
        if let Err(e) = self.journal.trim(position, u64::MAX) {
            // What is left over is removed next time.
            warn!(store = self.shared.place, error = %e, "an old segment of the journal cannot be removed");
        }
    }

    /// Has a checkpoint made when the journal is long or old. `false`: files do not follow, so what waits was refused.
    pub(super) async fn make_room(&mut self) -> bool {
        let limits = self.shared.limits.clone();
        loop {
            let now = self.shared.now();
            if !self.shared.desk.is_busy()
                && let Some(since) = self.state.dirty_since
            {
                let is_old = now.saturating_sub(since) >= millis(limits.checkpoint_age);
                if is_old || self.state.journal_bytes >= limits.journal_bytes {
                    self.checkpoint();
                }
            }
            let unwritten = self.shared.unwritten.load(Ordering::Relaxed);
            let journal = self.journal.segments().bytes();
            if unwritten < limits.unwritten_bytes_max && journal < limits.journal_bytes_max {
                return true;
            }
            self.flush_all();
            if let Some(error) = self.shared.desk.progress().failed {
                self.refuse(error);
                return false;
            }
            self.shared.desk.done.notified().await;
            self.trim();
        }
    }

    /// Has everything that the journal has brought to files.
    pub(super) fn checkpoint(&mut self) {
        self.state.dirty_since = None;
        self.state.journal_bytes = 0;
        self.shared.desk.checkpoint(self.journal.next());
    }

    /// Has a topic written to files when there is enough to write.
    pub(super) fn look_after(&mut self, topic: &Arc<Topic>) {
        let mut state = topic.state();
        let limits = &self.shared.limits;
        if state.unwritten >= limits.flush_bytes && !state.is_queued {
            state.is_queued = true;
            self.shared.desk.flush(Arc::clone(topic));
        }
        let is_over = state.config.max_bytes.is_some_and(|max| state.bytes() > max.0);
        if is_over && !self.state.over.iter().any(|other| Arc::ptr_eq(other, topic)) {
            self.state.over.push(Arc::clone(topic));
        }
    }

    /// Has all topics written to files.
    pub(super) fn flush_all(&self) {
        for topic in self.shared.all_topics() {
            let mut state = topic.state();
            if state.unwritten > 0 && !state.is_queued {
                state.is_queued = true;
                drop(state);
                self.shared.desk.flush(topic);
            }
        }
    }

    /// Gives up what need not be kept, and forgets groups that nobody wants any more.
    pub(super) fn keep_up(&mut self, plan: &mut Plan<'_>) {
        for topic in std::mem::take(&mut self.state.over) {
            plan.retain(&topic);
        }
        let now = self.shared.now();
        if now < self.state.upkeep_at {
            return;
        }
        self.state.upkeep_at = now + millis(self.shared.limits.upkeep);
        for topic in self.shared.all_topics() {
            plan.retain(&topic);
            forget_groups(&self.shared, &topic, plan);
        }
    }
}

fn forget_groups(shared: &Shared, topic: &Topic, plan: &mut Plan<'_>) {
    let now = shared.clock.now();
    for group in topic.groups().values() {
        let state = group.state();
        if !state.config.durable
            && state.subscriptions == 0
            && now.since(state.idle_since) >= EPHEMERAL_GRACE
        {
            drop(state);
            plan.group_removed(topic.number, group.number, false);
        }
    }
}
