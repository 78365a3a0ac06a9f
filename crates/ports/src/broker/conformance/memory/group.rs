//! A group of the contract as a plain data structure: what is delivered, to be delivered again, and settled.

use super::super::super::{
    ACK_WAIT_MAX, EPHEMERAL_GRACE, GroupConfig, GroupName, GroupStatus, Message, Offset, Order,
    Settle, TopicName,
};
use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

#[derive(Debug)]
pub(super) struct Group {
    /// Tells it apart from another one that had or will have its name.
    pub(super) serial: u64,
    /// Grows with every seek: receipts of before say nothing.
    pub(super) epoch: u64,
    config: GroupConfig,
    /// Everything from here on was never looked at. Before: what is not in `open` is settled.
    next: Offset,
    open: BTreeMap<Offset, Open>,
    last_token: u64,
    subscriptions: usize,
    /// Whether different keys may be in flight at the same time.
    has_parallel_keys: bool,
    /// Since when an ephemeral one has no subscription.
    idle_since: Duration,
}

/// A message that is not settled.
#[derive(Clone, Copy, Debug)]
struct Open {
    attempt: u32,
    /// Of its newest delivery.
    token: u64,
    /// When it may be delivered again.
    from: Duration,
    is_in_flight: bool,
}

impl Group {
    pub(super) fn new(
        serial: u64,
        config: GroupConfig,
        next: Offset,
        has_parallel_keys: bool,
    ) -> Self {
        Self {
            serial,
            epoch: 0,
            config,
            next,
            open: BTreeMap::new(),
            last_token: 0,
            subscriptions: 0,
            has_parallel_keys,
            idle_since: Duration::MAX,
        }
    }

    pub(super) fn config(&self) -> GroupConfig {
        self.config
    }

    /// Its start stays as it was when it was made.
    pub(super) fn configure(&mut self, config: GroupConfig) {
        self.config = GroupConfig { start: self.config.start, ..config };
    }

    pub(super) fn join(&mut self) {
        self.subscriptions += 1;
    }

    pub(super) fn leave(&mut self, now: Duration) {
        self.subscriptions = self.subscriptions.saturating_sub(1);
        self.idle_since = now;
    }

    pub(super) fn is_in_use(&self) -> bool {
        self.subscriptions > 0
    }

    pub(super) fn is_forgotten(&self, now: Duration) -> bool {
        let is_idle = self.subscriptions == 0 && !self.config.durable;
        is_idle && now.saturating_sub(self.idle_since) >= EPHEMERAL_GRACE
    }

    /// What was in flight may be delivered at once: nobody is there who works on it.
    pub(super) fn restart(&mut self) {
        self.subscriptions = 0;
        for open in self.open.values_mut().filter(|open| open.is_in_flight) {
            (open.is_in_flight, open.from) = (false, Duration::ZERO);
        }
    }

    /// A message is gone from the topic.
    pub(super) fn forget(&mut self, offset: Offset) {
        self.open.remove(&offset);
    }

    pub(super) fn seek(&mut self, next: Offset) {
        self.epoch += 1;
        self.next = next;
        self.open.clear();
    }

    /// Delivers up to `max` messages: offset, attempt, token.
    pub(super) fn take(
        &mut self,
        messages: &BTreeMap<Offset, Message>,
        now: Duration,
        max: usize,
    ) -> Vec<(Offset, u32, u64)> {
        let in_flight = self.open.values().filter(|open| open.is_delivered(now)).count();
        let is_one_by_one = self.config.order == Order::Key && !self.has_parallel_keys;
        let most = if is_one_by_one { 1 } else { self.config.max_in_flight };
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let free = most.saturating_sub(in_flight).min(max);
        let (mut taken, mut keys) = (Vec::new(), HashSet::new());
        // Whether a message of the same key stands before it, or takes the key if not.
        let order = self.config.order;
        let mut is_held = |offset: &Offset| {
            let key = messages.get(offset).and_then(|message| message.key.as_ref());
            order == Order::Key && key.is_some_and(|key| !keys.insert(key.clone()))
        };
        for (offset, open) in &mut self.open {
            if taken.len() == free {
                return taken;
            }
            if is_held(offset) || open.from > now {
                continue;
            }
            self.last_token += 1;
            open.deliver(self.last_token, now + self.config.ack_wait);
            taken.push((*offset, open.attempt, open.token));
        }
        for offset in messages.range(self.next..).map(|(offset, _)| *offset) {
            if taken.len() == free {
                return taken;
            }
            self.next = offset.next();
            let mut open = Open { attempt: 0, token: 0, from: Duration::ZERO, is_in_flight: false };
            if !is_held(&offset) {
                self.last_token += 1;
                open.deliver(self.last_token, now + self.config.ack_wait);
                taken.push((offset, open.attempt, open.token));
            }
            self.open.insert(offset, open);
        }
        taken
    }

    /// When something may be delivered again, if nothing happens before.
    pub(super) fn wakes(&self, now: Duration) -> Option<Duration> {
        self.open.values().map(|open| open.from).filter(|from| *from > now).min()
    }

    pub(super) fn settle(&mut self, offset: Offset, token: u64, settle: Settle, now: Duration) {
        let Some(open) = self.open.get_mut(&offset) else { return };
        match settle {
            Settle::Ack => {
                self.open.remove(&offset);
            }
            Settle::Nack(pause) if open.token == token => {
                (open.is_in_flight, open.from) = (false, now + pause.min(ACK_WAIT_MAX));
            }
            Settle::Extend if open.token == token && open.is_in_flight => {
                open.from = now + self.config.ack_wait;
            }
            Settle::Nack(_) | Settle::Extend => {}
        }
    }

    pub(super) fn status(
        &self,
        topic: &TopicName,
        name: &GroupName,
        messages: &BTreeMap<Offset, Message>,
        now: Duration,
    ) -> GroupStatus {
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let delivered = self.open.values().filter(|open| open.is_delivered(now)).count();
        let known = self.open.values().filter(|open| open.attempt > 0).count();
        let first_open = self.open.keys().next().copied().unwrap_or(self.next);
        GroupStatus {
            topic: topic.clone(),
            name: name.clone(),
            config: self.config,
            settled: Offset(first_open.0.saturating_sub(1)),
            lag: count(self.open.len() + messages.range(self.next..).count()),
            in_flight: count(delivered),
            waiting: count(known - delivered),
            subscriptions: self.subscriptions,
        }
    }
}

impl Open {
    fn deliver(&mut self, token: u64, until: Duration) {
        self.attempt += 1;
        (self.token, self.from, self.is_in_flight) = (token, until, true);
    }

    fn is_delivered(&self, now: Duration) -> bool {
        self.is_in_flight && self.from > now
    }
}
