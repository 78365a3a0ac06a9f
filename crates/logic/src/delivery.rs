//! Which messages of a topic a consumer group gets next, and what is left of those it got.
//!
//! ```text
//!  feed ──► fresh ──────────┐ take                  ack
//!             (by offset)   ├──────► in flight ──────────► settled
//!           again ──────────┘           │  │
//!             ▲  (by age)               │  └─ nack ─► waiting
//!             ├──────── deadline over ──┘                │
//!             └─────────────── time over ────────────────┘
//! ```
//!
//! The engine reads the topic and feeds offsets with their keys in order; it gets offsets to deliver, and tells what
//! became of them. Messages themselves are not here, nor is a clock: the present is an argument.
//!
//! What always holds:
//! - Every offset before the cursor is settled or held; only an acknowledgement, a seek or a removal from the topic settles.
//! - Of one key, in [`Order::Key`], only the first that is not settled is delivered.
//! - At most [`Config::max_in_flight`] are in flight, and [`READ_AHEAD`] more are held. What is settled costs
//!   nothing, so one message that waits for a day does not hold up those after it; that many which wait do.
//! - Neither messages that come again nor fresh ones starve each other: they take turns.
//!
//! Every operation costs the logarithm of what is held.

use base::Moment;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

mod index;
mod ranges;
mod snapshot;

pub use ranges::Ranges;
pub use snapshot::{Attempts, Snapshot};

/// Most messages that are held beside those in flight: enough for some 30 ms of the fastest group, and for keys to be found that
/// are not held up; few enough that a thousand groups whose messages all wait stay below a GiB.
pub const READ_AHEAD: usize = 4_096;

/// Most ranges of acknowledgements for messages that were not fed. They come from receipts of before a restart; one that does
/// not fit any more is not counted, and its message comes again.
pub const AHEAD_MAX: usize = 4_096;

/// How a group gets its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// How long a delivery may take to be settled.
    pub ack_wait: Duration,
    /// Most that are delivered and not settled. Lowering it takes nothing back.
    pub max_in_flight: u32,
    /// What is kept in order.
    pub order: Order,
}

/// What is kept in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Nothing.
    None,
    /// Messages of one key.
    Key,
}

/// A message that is to be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Where it stands.
    pub offset: u64,
    /// How often it was delivered, this time included.
    pub attempt: u32,
}

/// What becomes of a delivered message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settle {
    /// It is done.
    Ack,
    /// It comes again at that moment.
    Nack(Moment),
    /// [`Config::ack_wait`] begins anew.
    Extend,
}

/// What a settlement did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing: it was settled already, removed, delivered again, or the group was sent elsewhere.
    None,
    /// It is settled, for good. To be kept by [`Group::replay_settled`].
    Settled,
    /// It comes again. To be kept by [`Group::replay_attempts`].
    Returned,
    /// It has more time. Nothing to be kept.
    Extended,
}

/// A group: its place in the topic, and what it holds.
#[derive(Clone, Debug)]
pub struct Group {
    config: Config,
    /// Raised by each seek: what was delivered before is not settled after.
    epoch: u64,
    /// The offset that is fed next. It is not settled.
    cursor: u64,
    /// Fed and not settled.
    held: BTreeMap<u64, Held>,
    /// May be delivered for the first time.
    fresh: BTreeSet<u64>,
    /// May be delivered again, by the moment from which on.
    again: BTreeSet<(Moment, u64)>,
    /// In flight or waiting, by the moment at which that ends.
    deadlines: BTreeSet<(Moment, u64)>,
    /// What is held of each key, first to last; only with [`Order::Key`].
    keys: BTreeMap<u64, VecDeque<u64>>,
    /// Settled, from the cursor on.
    ahead: Ranges,
    /// Tried in an earlier life, from the cursor on: how often, and from when on it may be again.
    tried: BTreeMap<u64, (u32, Moment)>,
    in_flight: usize,
    /// Held, not in flight, and delivered before.
    returned: usize,
    is_turn_of_again: bool,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    key: Option<u64>,
    attempts: u32,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Fresh,
    Again { since: Moment },
    InFlight { until: Moment },
    Waiting { until: Moment },
}

impl Group {
    /// A group for which everything before `start` is settled. The first offset of a topic is 1; 0 is taken as that.
    #[must_use]
    pub fn new(config: Config, start: u64) -> Self {
        Self {
            config,
            epoch: 0,
            cursor: start.max(1),
            held: BTreeMap::new(),
            fresh: BTreeSet::new(),
            again: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            keys: BTreeMap::new(),
            ahead: Ranges::default(),
            tried: BTreeMap::new(),
            in_flight: 0,
            returned: 0,
            is_turn_of_again: false,
        }
    }

    /// Takes over another configuration; the place and what is held stay. Deadlines that run keep their end.
    pub fn configure(&mut self, config: Config) {
        let old = std::mem::replace(&mut self.config, config);
        if old.order == config.order {
            return;
        }
        self.keys.clear();
        self.fresh.clear();
        self.again.clear();
        if config.order == Order::Key {
            for (offset, held) in &self.held {
                if let Some(key) = held.key {
                    self.keys.entry(key).or_default().push_back(*offset);
                }
            }
        }
        let offsets: Vec<u64> = self.held.keys().copied().collect();
        for offset in offsets {
            self.list(offset);
        }
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> Config {
        self.config
    }

    /// The offset from which on the topic is to be read and fed; `None` while there is enough. It comes back in good time before
    /// nothing is left, so that reading is done in batches of up to [`Group::room`].
    #[must_use]
    pub fn feed_from(&self) -> Option<u64> {
        (self.ready() <= READ_AHEAD / 2 && self.room() > 0).then_some(self.cursor)
    }

    /// How many messages may be fed.
    #[must_use]
    pub fn room(&self) -> usize {
        let bound = READ_AHEAD.saturating_add(self.in_flight_max());
        READ_AHEAD.saturating_sub(self.ready()).min(bound.saturating_sub(self.held.len()))
    }

    /// Takes a message with the hash of its key, if it has one. Two keys with one hash are delivered one after the other,
    /// which does no harm. Offsets that are left out are taken as not there; those that were fed or are settled do nothing.
    /// `false`: there is no room, and the message is to be fed later.
    pub fn feed(&mut self, offset: u64, key: Option<u64>) -> bool {
        if offset < self.cursor || self.ahead.contains(offset) {
            return true;
        }
        if self.room() == 0 {
            return false;
        }
        let (attempts, state) = match self.tried.remove(&offset) {
            Some((attempts, until)) => (attempts, State::Waiting { until }),
            None => (0, State::Fresh),
        };
        self.move_cursor(offset.saturating_add(1));
        self.held.insert(offset, Held { key, attempts, state });
        if let (Order::Key, Some(key)) = (self.config.order, key) {
            self.keys.entry(key).or_default().push_back(offset);
        }
        self.index(offset);
        true
    }

    /// Says that there is no message from where [`Group::feed_from`] was up to `offset`, itself excluded.
    pub fn skip_to(&mut self, offset: u64) {
        if offset > self.cursor {
            self.move_cursor(offset);
        }
    }

    /// Takes what may be delivered, at most `max`. Each is in flight until it is settled or [`Config::ack_wait`] is over.
    pub fn take(&mut self, now: Moment, max: usize) -> Vec<Taken> {
        self.expire(now);
        let room = self.in_flight_max().saturating_sub(self.in_flight);
        let count = room.min(max).min(self.ready());
        let until = now + self.config.ack_wait;
        let mut taken = Vec::with_capacity(count);
        while taken.len() < count
            && let Some(offset) = self.next_ready()
        {
            let attempt = self.held.get(&offset).map_or(0, |held| held.attempts).saturating_add(1);
            self.turn(offset, attempt, State::InFlight { until });
            taken.push(Taken { offset, attempt });
        }
        taken
    }

    /// Puts back what was taken and never given to anybody; that attempt does not count.
    pub fn put_back(&mut self, taken: Taken) {
        if self.is_in_flight(taken.offset, taken.attempt) {
            let attempts = taken.attempt.saturating_sub(1);
            let first = State::Again { since: Moment::START };
            self.turn(taken.offset, attempts, if attempts == 0 { State::Fresh } else { first });
        }
    }

    /// Settles a delivery. An acknowledgement counts for any delivery of this epoch: the work was done. The others count for
    /// the present delivery only. The caller sees to it that `offset` is not behind the end of the topic.
    pub fn settle(&mut self, taken: Taken, epoch: u64, settle: Settle, now: Moment) -> Change {
        if epoch != self.epoch {
            return Change::None;
        }
        let Taken { offset, attempt } = taken;
        let is_present = self.is_in_flight(offset, attempt);
        match settle {
            Settle::Ack if offset >= self.cursor && self.ahead.len() >= AHEAD_MAX => Change::None,
            Settle::Ack if self.replay_settled(offset) => Change::Settled,
            Settle::Nack(until) if is_present => {
                let state = if until > now {
                    State::Waiting { until }
                } else {
                    State::Again { since: now }
                };
                self.turn(offset, attempt, state);
                Change::Returned
            }
            Settle::Extend if is_present => {
                let until = now + self.config.ack_wait;
                self.turn(offset, attempt, State::InFlight { until });
                Change::Extended
            }
            Settle::Ack | Settle::Nack(_) | Settle::Extend => Change::None,
        }
    }

    /// Lets what is overdue be delivered again: deliveries that were not settled in time, of which it answers the number, and
    /// those that were given back and have waited. [`Group::take`] does it, too.
    pub fn expire(&mut self, now: Moment) -> usize {
        let before = self.in_flight;
        while let Some(&(until, offset)) = self.deadlines.first()
            && until <= now
        {
            let attempts = self.held.get(&offset).map_or(0, |held| held.attempts);
            self.turn(offset, attempts, State::Again { since: until });
        }
        before - self.in_flight
    }

    /// The moment at which [`Group::expire`] has something to do. Between fed messages and settlements nothing
    /// else makes a message deliverable.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Moment> {
        self.deadlines.first().map(|(until, _)| *until)
    }

    /// Goes on from `offset`: everything before is settled, everything from there on is not, and was never tried. What is in
    /// flight is forgotten. Raises the epoch.
    pub fn seek(&mut self, offset: u64) {
        let epoch = self.epoch.saturating_add(1);
        *self = Self { epoch, ..Self::new(self.config, offset) };
    }

    /// Forgets the messages before `offset`, which are not in the topic any more, whatever became of them.
    pub fn purge_before(&mut self, offset: u64) {
        while let Some((&first, _)) = self.held.first_key_value()
            && first < offset
        {
            self.release(first);
        }
        self.skip_to(offset);
    }

    /// Everything up to this offset is settled.
    #[must_use]
    pub fn floor(&self) -> u64 {
        let first = self.held.first_key_value().map_or(self.cursor, |(first, _)| *first);
        first.saturating_sub(1)
    }

    /// How many messages up to `last`, the last one of the topic, are not settled, if no offset after the cursor is left out.
    #[must_use]
    pub fn lag(&self, last: u64) -> u64 {
        let behind = last.saturating_add(1).saturating_sub(self.cursor);
        let held = u64::try_from(self.held.len()).unwrap_or(u64::MAX);
        held.saturating_add(behind).saturating_sub(self.ahead.count_up_to(last))
    }

    /// Counts seeks. Belongs into receipts.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Delivered and not settled.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Delivered before, and to be delivered again, now or later.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.returned + self.tried.len()
    }

    /// May be delivered, if it were not for [`Config::max_in_flight`]; without what only [`Group::expire`] finds.
    #[must_use]
    pub fn ready(&self) -> usize {
        self.fresh.len() + self.again.len()
    }

    /// Whether [`Group::take`] would give something before [`Group::next_deadline`].
    #[must_use]
    pub fn can_take(&self) -> bool {
        self.ready() > 0 && self.in_flight < self.in_flight_max()
    }

    fn in_flight_max(&self) -> usize {
        usize::try_from(self.config.max_in_flight).unwrap_or(usize::MAX)
    }

    fn is_in_flight(&self, offset: u64, attempt: u32) -> bool {
        self.held.get(&offset).is_some_and(|held| {
            held.attempts == attempt && matches!(held.state, State::InFlight { .. })
        })
    }

    /// Moves the cursor on, over what is settled there.
    fn move_cursor(&mut self, to: u64) {
        self.cursor = self.ahead.skip(to);
        while let Some(tried) = self.tried.first_entry()
            && *tried.key() < self.cursor
        {
            tried.remove();
        }
    }
}

#[cfg(test)]
mod tests;
