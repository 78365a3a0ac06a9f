//! What of a group outlives its engine.

use super::{Config, Group, State};
use base::Moment;
use std::time::Duration;

/// A group as plain data. What is in flight is not told apart: after the end of an engine nobody knows who works on it,
/// so it is delivered again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Everything up to this offset is settled.
    pub floor: u64,
    /// Settled above the floor: first and last of each run, ascending.
    pub settled: Vec<(u64, u64)>,
    /// How often the group was sent elsewhere.
    pub epoch: u64,
    /// Those that were delivered and are not settled, by offset.
    pub attempts: Vec<Attempts>,
}

/// A message that was delivered and is not settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempts {
    /// Where it stands.
    pub offset: u64,
    /// How often it was delivered, at least once.
    pub attempts: u32,
    /// How long it still waits before it may be delivered again.
    pub wait: Duration,
}

impl Group {
    /// What is to be kept.
    #[must_use]
    pub fn snapshot(&self, now: Moment) -> Snapshot {
        let mut snapshot =
            Snapshot { floor: self.floor(), epoch: self.epoch, ..Snapshot::default() };
        let mut from = snapshot.floor.saturating_add(1);
        for (&offset, held) in &self.held {
            if from < offset {
                snapshot.settled.push((from, offset - 1));
            }
            from = offset.saturating_add(1);
            let wait = match held.state {
                State::Waiting { until } => until.since(now),
                State::Fresh | State::Again { .. } | State::InFlight { .. } => Duration::ZERO,
            };
            if held.attempts > 0 {
                snapshot.attempts.push(Attempts { offset, attempts: held.attempts, wait });
            }
        }
        if from < self.cursor {
            snapshot.settled.push((from, self.cursor - 1));
        }
        snapshot.settled.extend(self.ahead.iter());
        snapshot.attempts.extend(self.tried.iter().map(|(&offset, &(attempts, until))| Attempts {
            offset,
            attempts,
            wait: until.since(now),
        }));
        snapshot
    }

    /// The group that was kept. It wants to be fed from its floor on; what is settled above is passed over. Any data makes a
    /// group: what contradicts itself counts as settled.
    #[must_use]
    pub fn restore(config: Config, snapshot: &Snapshot, now: Moment) -> Self {
        let mut group = Self::new(config, snapshot.floor.saturating_add(1));
        group.epoch = snapshot.epoch;
        for &(first, last) in &snapshot.settled {
            group.ahead.insert(first, last);
        }
        group.move_cursor(group.cursor);
        for &Attempts { offset, attempts, wait } in &snapshot.attempts {
            group.replay_attempts(offset, attempts, now + wait);
        }
        group
    }

    /// Settles a message of whatever epoch and state, fed or not: a settlement that was kept. Whether it was not settled.
    pub fn replay_settled(&mut self, offset: u64) -> bool {
        if offset < self.cursor {
            return self.release(offset);
        }
        let is_settled = self.ahead.contains(offset);
        self.ahead.insert(offset, offset);
        self.tried.remove(&offset);
        self.move_cursor(self.cursor);
        !is_settled
    }

    /// Remembers that a message that is not fed was delivered `attempts` times and waits until `until`: something given back
    /// that was kept. For messages that are settled or held already it does nothing, and the count never goes down.
    pub fn replay_attempts(&mut self, offset: u64, attempts: u32, until: Moment) {
        if offset < self.cursor || self.ahead.contains(offset) || attempts == 0 {
            return;
        }
        let entry = self.tried.entry(offset).or_insert((attempts, until));
        *entry = (entry.0.max(attempts), until);
    }
}
