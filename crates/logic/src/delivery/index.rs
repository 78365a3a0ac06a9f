//! The sets in which a held message is found: by when it is delivered, by when its time is over, by its key.

use super::{Group, Held, Order, State};

impl Group {
    /// The next one to be delivered. It stays where it is listed.
    pub(super) fn next_ready(&mut self) -> Option<u64> {
        let (fresh, again) = (self.fresh.first(), self.again.first());
        let offset = match (fresh, again) {
            (Some(fresh), Some((_, again))) => {
                self.is_turn_of_again = !self.is_turn_of_again;
                if self.is_turn_of_again { again } else { fresh }
            }
            (Some(offset), None) | (None, Some((_, offset))) => offset,
            (None, None) => return None,
        };
        Some(*offset)
    }

    /// Brings a held message into another state.
    pub(super) fn turn(&mut self, offset: u64, attempts: u32, state: State) {
        let Some(held) = self.held.get_mut(&offset) else { return };
        let old = std::mem::replace(held, Held { attempts, state, ..*held });
        self.remove_from_index(offset, old);
        self.index(offset);
    }

    /// Holds a message no longer, and lets the next one of its key pass.
    pub(super) fn release(&mut self, offset: u64) -> bool {
        let Some(held) = self.held.remove(&offset) else { return false };
        self.remove_from_index(offset, held);
        if let (Order::Key, Some(key)) = (self.config.order, held.key) {
            self.leave(key, offset);
        }
        true
    }

    /// Enters a held message by its state.
    pub(super) fn index(&mut self, offset: u64) {
        let Some(held) = self.held.get(&offset) else { return };
        match held.state {
            State::InFlight { until } => {
                self.in_flight += 1;
                self.deadlines.insert((until, offset));
            }
            State::Waiting { until } => {
                self.returned += 1;
                self.deadlines.insert((until, offset));
            }
            State::Again { .. } => {
                self.returned += 1;
                self.list(offset);
            }
            State::Fresh => self.list(offset),
        }
    }

    /// Lets a message be delivered if it may: it waits for nothing, and is the first of its key.
    pub(super) fn list(&mut self, offset: u64) {
        let Some(held) = self.held.get(&offset) else { return };
        let first = match (self.config.order, held.key) {
            (Order::Key, Some(key)) => self.keys.get(&key).and_then(|queue| queue.front()),
            (Order::Key, None) | (Order::None, _) => Some(&offset),
        };
        if first != Some(&offset) {
            return;
        }
        match held.state {
            State::Fresh => {
                self.fresh.insert(offset);
            }
            State::Again { since } => {
                self.again.insert((since, offset));
            }
            State::InFlight { .. } | State::Waiting { .. } => {}
        }
    }

    fn remove_from_index(&mut self, offset: u64, held: Held) {
        match held.state {
            State::Fresh => {
                self.fresh.remove(&offset);
            }
            State::Again { since } => {
                self.returned -= 1;
                self.again.remove(&(since, offset));
            }
            State::InFlight { until } => {
                self.in_flight -= 1;
                self.deadlines.remove(&(until, offset));
            }
            State::Waiting { until } => {
                self.returned -= 1;
                self.deadlines.remove(&(until, offset));
            }
        }
    }

    fn leave(&mut self, key: u64, offset: u64) {
        let Some(queue) = self.keys.get_mut(&key) else { return };
        if queue.front() != Some(&offset) {
            // An acknowledgement of a delivery of before a restart.
            if let Ok(at) = queue.binary_search(&offset) {
                queue.remove(at);
            }
            return;
        }
        queue.pop_front();
        match queue.front().copied() {
            Some(next) => self.list(next),
            None => {
                self.keys.remove(&key);
            }
        }
    }
}
