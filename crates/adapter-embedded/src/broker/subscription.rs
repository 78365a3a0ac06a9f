//! Readers, and subscriptions of groups.

use async_trait::async_trait;
use logic::delivery::{Settle, Taken};
use ports::broker::{BATCH_MAX, Delivery, Error, Message, Reader, Subscription};
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::watch;

use super::{
    cursor::Cursor,
    group::{Group, Ticket},
    shared::Shared,
    topic::Topic,
};

/// Most bytes that are given, or fed to a group, at once.
const GIVEN_BYTES: usize = 1 << 20;

/// A reader of a topic.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) shared: Arc<Shared>,
    pub(super) topic: Arc<Topic>,
    pub(super) cursor: Cursor,
    pub(super) news: watch::Receiver<()>,
}

#[async_trait]
impl Reader for Reading {
    async fn next(&mut self, max: usize) -> Result<Vec<Message>, Error> {
        let max = max.clamp(1, BATCH_MAX);
        loop {
            // A reader that always finds something must not keep its thread from everybody else.
            tokio::task::coop::consume_budget().await;
            self.news.mark_unchanged();
            self.shared.check_open()?;
            if self.cursor.fill(&self.shared, &self.topic).await? {
                let messages = self.cursor.pop(&self.shared, &self.topic, max, GIVEN_BYTES)?;
                if !messages.is_empty() {
                    return Ok(messages);
                }
                continue;
            }
            if self.news.changed().await.is_err() {
                return Err(Error::NoTopic(self.topic.name.clone()));
            }
        }
    }
}

/// A part in a group.
#[derive(Debug)]
pub(super) struct Joined {
    shared: Arc<Shared>,
    topic: Arc<Topic>,
    group: Arc<Group>,
    news: watch::Receiver<()>,
    /// For messages that are not in memory any more.
    loader: Cursor,
}

impl Joined {
    /// Joins a group, which may have been removed meanwhile.
    pub(super) fn new(
        shared: Arc<Shared>,
        topic: Arc<Topic>,
        group: Arc<Group>,
    ) -> Result<Self, Error> {
        {
            let mut state = group.state();
            if state.is_removed {
                drop(state);
                let (topic, group) = (topic.name.clone(), group.name.clone());
                return Err(Error::NoGroup { topic, group });
            }
            state.subscriptions += 1;
        }
        let news = topic.news.subscribe();
        Ok(Self { shared, topic, group, news, loader: Cursor::new(1) })
    }

    fn check(&self) -> Result<(), Error> {
        self.shared.check_open()?;
        if self.topic.state().is_removed {
            return Err(Error::NoTopic(self.topic.name.clone()));
        }
        self.group.check(&self.topic.name)
    }

    /// Takes what may be delivered.
    fn take(&self, max: usize) -> Hands {
        let now = self.shared.clock.now();
        let mut state = self.group.state();
        let epoch = state.machine.epoch();
        let taken = state.machine.take(now, max);
        let taken =
            taken.into_iter().map(|taken| (taken.offset, (taken, state.uncache(taken.offset))));
        let taken: BTreeMap<_, _> = taken.collect();
        if state.machine.can_take() {
            self.group.wake.notify_one();
        }
        drop(state);
        Hands { group: Arc::clone(&self.group), epoch, taken }
    }

    /// Reads the messages that were taken and are not in memory.
    async fn load(&mut self, hands: &mut Hands) -> Result<(), Error> {
        let missing = hands.taken.iter().filter(|(_, (_, message))| message.is_none());
        let missing: Vec<u64> = missing.map(|(offset, _)| *offset).collect();
        for offset in missing {
            self.loader.seek(offset);
            let mut found = None;
            while found.is_none()
                && self.loader.next() <= offset
                && self.loader.fill(&self.shared, &self.topic).await?
            {
                found = self.loader.pop(&self.shared, &self.topic, 1, 1)?.pop();
            }
            match found.filter(|message| message.offset.0 == offset) {
                Some(message) => hands.fill(offset, message),
                None => hands.settle(offset, &self.shared),
            }
        }
        Ok(())
    }

    /// Feeds the machine when it has nothing that may be delivered. `false`: the topic has nothing more.
    async fn feed(&self) -> Result<bool, Error> {
        if self.feed_from().is_none() {
            return Ok(false);
        }
        let mut cursor = self.group.feeder.lock().await;
        // Somebody else may have done it meanwhile.
        let Some((from, epoch)) = self.feed_from() else { return Ok(true) };
        cursor.seek(from);
        if !cursor.fill(&self.shared, &self.topic).await? {
            return Ok(false);
        }
        let room = self.group.state().machine.room().max(1);
        let messages = cursor.pop(&self.shared, &self.topic, room, GIVEN_BYTES)?;
        let mut state = self.group.state();
        if state.machine.epoch() == epoch && state.machine.feed_from() == Some(from) {
            if messages.is_empty() {
                state.machine.skip_to(cursor.next());
            }
            state.feed(messages, self.shared.limits.group_bytes);
        }
        Ok(true)
    }

    fn feed_from(&self) -> Option<(u64, u64)> {
        let state = self.group.state();
        let machine = &state.machine;
        let has_room =
            machine.in_flight() < usize::try_from(state.config.max_in_flight).unwrap_or(usize::MAX);
        let from = machine.feed_from().filter(|_| has_room && machine.ready() == 0)?;
        Some((from, machine.epoch()))
    }

    /// When to look again though nobody has told anything.
    fn look_again(&self) -> tokio::time::Instant {
        let state = self.group.state();
        // Nothing that is delivered from now on is due before that, so whoever looks then misses no deadline.
        let latest = self.shared.clock.now() + state.config.ack_wait;
        let deadline = state.machine.next_deadline();
        self.shared.clock.instant(deadline.map_or(latest, |deadline| deadline.min(latest)))
    }
}

#[async_trait]
impl Subscription for Joined {
    async fn next(&mut self, max: usize) -> Result<Vec<Delivery>, Error> {
        let max = max.clamp(1, BATCH_MAX);
        let group = Arc::clone(&self.group);
        loop {
            tokio::task::coop::consume_budget().await;
            let mut wake = std::pin::pin!(group.wake.notified());
            // From here on nothing that is told is missed.
            wake.as_mut().enable();
            self.news.mark_unchanged();
            self.check()?;
            let mut hands = self.take(max);
            if !hands.taken.is_empty() {
                self.load(&mut hands).await?;
                if !hands.taken.is_empty() {
                    return Ok(hands.give(self.shared.run));
                }
                continue;
            }
            if self.feed().await? {
                continue;
            }
            let look_again = self.look_again();
            tokio::select! {
                () = wake => {}
                changed = self.news.changed() => if changed.is_err() {
                    return Err(Error::NoTopic(self.topic.name.clone()));
                },
                () = tokio::time::sleep_until(look_again) => {}
            }
        }
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        let mut state = self.group.state();
        state.subscriptions = state.subscriptions.saturating_sub(1);
        state.idle_since = self.shared.clock.now();
        if state.subscriptions == 0 {
            // Nobody may come for a long time; what was read ahead is read again then.
            state.uncache_all();
            if let Ok(mut cursor) = self.group.feeder.try_lock() {
                cursor.forget();
            }
        }
        drop(state);
        // What it was told and did not act on is for somebody else.
        self.group.wake.notify_one();
    }
}

/// Deliveries that are taken and not given yet. Dropped, they go back.
#[derive(Debug)]
struct Hands {
    group: Arc<Group>,
    epoch: u64,
    taken: BTreeMap<u64, (Taken, Option<Message>)>,
}

impl Hands {
    fn fill(&mut self, offset: u64, message: Message) {
        if let Some((_, place)) = self.taken.get_mut(&offset) {
            *place = Some(message);
        }
    }

    /// Is done with a message that is gone.
    fn settle(&mut self, offset: u64, shared: &Shared) {
        if let Some((taken, _)) = self.taken.remove(&offset) {
            let now = shared.clock.now();
            self.group.state().machine.settle(taken, self.epoch, Settle::Ack, now);
        }
    }

    fn give(mut self, run: u64) -> Vec<Delivery> {
        let (group, epoch) = (self.group.number, self.epoch);
        let deliveries = std::mem::take(&mut self.taken).into_values().filter_map(|it| {
            let (taken, message) = it;
            let receipt = Ticket { group, run, epoch, taken }.receipt();
            Some(Delivery { message: message?, attempt: taken.attempt, receipt })
        });
        deliveries.collect()
    }
}

impl Drop for Hands {
    fn drop(&mut self) {
        if self.taken.is_empty() {
            return;
        }
        let mut state = self.group.state();
        if state.machine.epoch() == self.epoch {
            for (taken, _) in self.taken.values() {
                state.machine.put_back(*taken);
            }
        }
        drop(state);
        self.group.wake.notify_one();
    }
}
