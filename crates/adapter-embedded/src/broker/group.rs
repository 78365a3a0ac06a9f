//! A group: the pure machine that says what may be delivered, and the messages it may give next.

use base::{Moment, Timestamp};
use logic::delivery::{self, Change, Snapshot, Taken};
use ports::broker::{
    ACK_WAIT_MAX, Error, GroupConfig, GroupName, GroupStatus, Message, Offset, Order, Receipt,
    Settle, TopicName,
};
use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;

use super::{
    cursor::Cursor,
    record::{GroupMade, Returned, Settled},
};

/// See the module.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) number: u64,
    pub(super) name: GroupName,
    state: Mutex<State>,
    /// Where the machine is fed from. Held by the one subscription that does it.
    pub(super) feeder: tokio::sync::Mutex<Cursor>,
    /// Told when a subscription that waits may find something.
    pub(super) wake: Notify,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) config: GroupConfig,
    pub(super) machine: delivery::Group,
    /// Messages that the machine was fed and that were not delivered yet, as far as there is room for them.
    cache: BTreeMap<u64, Message>,
    cache_bytes: usize,
    pub(super) subscriptions: usize,
    /// Since when it has had none.
    pub(super) idle_since: Moment,
    pub(super) is_removed: bool,
    /// Something was settled and the journal could not be told.
    pub(super) is_behind: bool,
}

/// The numbers from here on are drawn and not counted: those of groups that the journal does not know, so that none of
/// another run is taken for one of them.
pub(super) const DRAWN: u64 = 1 << 63;

/// Names one delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    pub(super) group: u64,
    /// Drawn when the engine was opened.
    pub(super) run: u64,
    pub(super) epoch: u64,
    pub(super) taken: Taken,
}

impl Ticket {
    pub(super) fn receipt(self) -> Receipt {
        let Self { group, run, epoch, taken: Taken { offset, attempt } } = self;
        Receipt(format!("{group:x}-{run:x}-{epoch:x}-{offset:x}-{attempt:x}"))
    }

    /// `None`: this engine never wrote it.
    pub(super) fn parse(receipt: &Receipt) -> Option<Self> {
        let mut parts = receipt.0.split('-');
        let mut number = || {
            let digits = parts.next()?;
            let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            if !digits.bytes().all(is_hex) {
                return None;
            }
            u64::from_str_radix(digits, 16).ok()
        };
        let [group, run, epoch, offset, attempt] =
            [number()?, number()?, number()?, number()?, number()?];
        let attempt = u32::try_from(attempt).ok()?;
        if parts.next().is_some() {
            return None;
        }
        Some(Self { group, run, epoch, taken: Taken { offset, attempt } })
    }
}

fn machine_config(config: &GroupConfig) -> delivery::Config {
    delivery::Config {
        ack_wait: config.ack_wait,
        max_in_flight: config.max_in_flight,
        order: match config.order {
            Order::None => delivery::Order::None,
            Order::Key => delivery::Order::Key,
        },
    }
}

impl Group {
    pub(super) fn new(made: &GroupMade, now: Moment) -> Self {
        let machine = delivery::Group::restore(machine_config(&made.config), &made.state, now);
        let state = State {
            config: made.config,
            machine,
            cache: BTreeMap::new(),
            cache_bytes: 0,
            subscriptions: 0,
            idle_since: now,
            is_removed: false,
            is_behind: false,
        };
        Self {
            number: made.group,
            name: made.name.clone(),
            state: Mutex::new(state),
            feeder: tokio::sync::Mutex::new(Cursor::new(1)),
            wake: Notify::new(),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As it is to be kept.
    pub(super) fn made(&self, now: Moment) -> GroupMade {
        let state = self.state();
        let (config, snapshot) = (state.config, state.machine.snapshot(now));
        GroupMade { group: self.number, name: self.name.clone(), config, state: snapshot }
    }

    pub(super) fn configure(&self, config: GroupConfig) {
        let mut state = self.state();
        // Where it began stays what it was.
        state.config = GroupConfig { start: state.config.start, ..config };
        state.machine.configure(machine_config(&config));
        drop(state);
        self.wake.notify_waiters();
    }

    pub(super) fn remove(&self) {
        self.state().is_removed = true;
        self.wake.notify_waiters();
    }

    pub(super) fn seek(&self, epoch: u64, to: u64) {
        let mut state = self.state();
        if epoch > state.machine.epoch() {
            state.machine.seek(to);
            state.uncache_all();
        }
        drop(state);
        self.wake.notify_waiters();
    }

    pub(super) fn purge_before(&self, first: u64) {
        let mut state = self.state();
        state.machine.purge_before(first);
        while let Some(oldest) = state.cache.first_key_value().map(|(offset, _)| *offset)
            && oldest < first
        {
            state.uncache(oldest);
        }
        drop(state);
        self.wake.notify_one();
    }

    /// Settles deliveries. Returns what the journal is to have of it.
    pub(super) fn settle(
        &self,
        run: u64,
        settlements: &[(Ticket, Settle)],
        now: Moment,
        date: Timestamp,
    ) -> Settled {
        let mut settled = Settled { group: self.number, ..Settled::default() };
        let mut state = self.state();
        settled.epoch = state.machine.epoch();
        let mut is_later = false;
        for (ticket, settle) in settlements {
            // Attempts are counted anew by each run, so only a settlement that counts for any attempt is taken over.
            let is_of_other_run = ticket.run != run;
            if ticket.group != self.number || is_of_other_run && *settle != Settle::Ack {
                continue;
            }
            let (settle, wait) = match settle {
                Settle::Ack => (delivery::Settle::Ack, None),
                Settle::Extend => (delivery::Settle::Extend, None),
                Settle::Nack(wait) => {
                    let wait = (*wait).min(ACK_WAIT_MAX);
                    (delivery::Settle::Nack(now + wait), Some(wait))
                }
            };
            match state.machine.settle(ticket.taken, ticket.epoch, settle, now) {
                Change::None | Change::Extended => {}
                Change::Settled => {
                    settled.done.push(ticket.taken.offset);
                    state.uncache(ticket.taken.offset);
                }
                Change::Returned => {
                    is_later = true;
                    let wait = wait.unwrap_or_default().as_micros();
                    let due = date.0.saturating_add(u64::try_from(wait).unwrap_or(u64::MAX));
                    let Taken { offset, attempt: attempts } = ticket.taken;
                    settled.returned.push(Returned { offset, attempts, due: Timestamp(due) });
                }
            }
        }
        drop(state);
        if is_later {
            // Whoever sleeps until the next deadline has to look at it again.
            self.wake.notify_waiters();
        } else if !settled.done.is_empty() {
            self.wake.notify_one();
        }
        settled
    }

    /// Does again what stands in the journal.
    pub(super) fn replay(&self, settled: &Settled, now: Moment, date: Timestamp) {
        let mut state = self.state();
        if settled.epoch != state.machine.epoch() {
            return;
        }
        for offset in &settled.done {
            state.machine.replay_settled(*offset);
        }
        for Returned { offset, attempts, due } in &settled.returned {
            let wait = std::time::Duration::from_micros(due.0.saturating_sub(date.0));
            state.machine.replay_attempts(*offset, *attempts, now + wait.min(ACK_WAIT_MAX));
        }
    }

    /// Takes over how it was, as it stands in the journal.
    pub(super) fn replace(&self, snapshot: &Snapshot, now: Moment) {
        let mut state = self.state();
        if snapshot.epoch >= state.machine.epoch() {
            state.machine = delivery::Group::restore(machine_config(&state.config), snapshot, now);
        }
    }

    pub(super) fn status(&self, topic: &TopicName, last: u64, now: Moment) -> GroupStatus {
        let count = |it: usize| u64::try_from(it).unwrap_or(u64::MAX);
        let mut state = self.state();
        state.machine.expire(now);
        let machine = &state.machine;
        GroupStatus {
            topic: topic.clone(),
            name: self.name.clone(),
            config: state.config,
            settled: Offset(machine.floor()),
            lag: machine.lag(last),
            in_flight: count(machine.in_flight()),
            waiting: count(machine.waiting()),
            subscriptions: state.subscriptions,
        }
    }

    pub(super) fn check(&self, topic: &TopicName) -> Result<(), Error> {
        if self.state().is_removed {
            return Err(Error::NoGroup { topic: topic.clone(), group: self.name.clone() });
        }
        Ok(())
    }
}

impl State {
    /// Feeds the machine, keeping messages while they are fewer than `bytes`.
    pub(super) fn feed(&mut self, messages: Vec<Message>, bytes: usize) {
        for message in messages {
            let key = message.key.as_ref().map(|key| {
                let mut hasher = DefaultHasher::new();
                key.hash(&mut hasher);
                hasher.finish()
            });
            if !self.machine.feed(message.offset.0, key) {
                return;
            }
            if self.cache_bytes < bytes {
                self.cache_bytes += size(&message);
                if let Some(before) = self.cache.insert(message.offset.0, message) {
                    self.cache_bytes -= size(&before);
                }
            }
        }
    }

    pub(super) fn uncache_all(&mut self) {
        self.cache.clear();
        self.cache_bytes = 0;
    }

    /// Takes a message that was fed out of memory.
    pub(super) fn uncache(&mut self, offset: u64) -> Option<Message> {
        let message = self.cache.remove(&offset);
        self.cache_bytes -= message.as_ref().map_or(0, size);
        message
    }
}

/// About what a message takes.
fn size(message: &Message) -> usize {
    let headers = message.headers.iter().map(|(name, value)| name.len() + value.len() + 48);
    let key = message.key.as_ref().map_or(0, bytes::Bytes::len);
    128 + message.id.len() + key + message.payload.len() + headers.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_is_read_as_it_was_written_and_no_other_text_is_one() {
        let taken = Taken { offset: 0xdead_beef, attempt: 3 };
        let ticket = Ticket { group: 4, run: u64::MAX, epoch: 0, taken };
        assert_eq!(Ticket::parse(&ticket.receipt()), Some(ticket));
        for text in
            ["", "1-2-3-4", "1-2-3-4-5-6", "1-2-3-4-+5", "1-2-3-4-G", "----", "1-2-3-4-1ffffffff"]
        {
            assert_eq!(Ticket::parse(&Receipt(text.to_owned())), None, "{text}");
        }
    }
}
