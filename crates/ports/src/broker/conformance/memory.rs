//! The contract made into an engine for tests, which can be told to fail.

mod clock;
mod ends;
mod group;
mod topic;

use super::super::{
    Broker, Capabilities, Durability, Error, GroupConfig, GroupName, GroupStatus, NewMessage,
    Offset, Published, Reader, Receipt, Settle, Start, Subscription, TopicConfig, TopicName,
    TopicStatus, check,
};
use crate::kv::conformance::Failure;
use async_trait::async_trait;
use clock::Clock;
use ends::{Reading, Taking};
use std::{
    collections::{BTreeMap, VecDeque},
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Waker,
    time::Duration,
};
use topic::{Now, Topic};

/// An engine in memory. Clones are the same engine.
#[derive(Clone, Debug)]
pub struct Memory {
    shared: Arc<Shared>,
    capabilities: Capabilities,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    clock: Clock,
}

#[derive(Debug, Default)]
struct State {
    topics: BTreeMap<TopicName, Topic>,
    is_down: bool,
    /// Grows with every restart and every fall: readers and subscriptions of an earlier life end.
    life: u64,
    failures: BTreeMap<Call, VecDeque<Failure>>,
    /// Who waits for anything to happen.
    waiting: BTreeMap<u64, Waker>,
    last_serial: u64,
}

/// Which calls a failure is meant for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Call {
    Any,
    Publish,
    Settle,
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl Memory {
    /// An empty one whose clock stands until it is told to go on.
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(Clock::standing())
    }

    /// An empty one for which time passes by itself. It sleeps as it is told to, because it knows no runtime:
    /// `Memory::in_real_time(|time| Box::pin(tokio::time::sleep(time)))`.
    #[must_use]
    pub fn in_real_time(
        sleep: impl Fn(Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync + 'static,
    ) -> Self {
        Self::with_clock(Clock::real(Box::new(sleep)))
    }

    fn with_clock(clock: Clock) -> Self {
        let capabilities = Capabilities {
            durable: Durability::Process,
            parallel_keys: true,
            live_seek: true,
            shared: false,
        };
        Self { shared: Arc::new(Shared { state: Mutex::default(), clock }), capabilities }
    }

    /// The same engine, which says that it offers this, and refuses the rest.
    #[must_use]
    pub fn offering(self, capabilities: Capabilities) -> Self {
        Self { capabilities, ..self }
    }

    /// Makes the next call fail, whatever it is; called again, also the one after it, and so on. Readers and subscriptions
    /// that are open are spared.
    pub fn fail_next(&self, failure: Failure) {
        self.fail(Call::Any, failure);
    }

    /// Makes the next publish fail, as [`Self::fail_next`].
    pub fn fail_publish(&self, failure: Failure) {
        self.fail(Call::Publish, failure);
    }

    /// Makes the next settling fail, as [`Self::fail_next`].
    pub fn fail_settle(&self, failure: Failure) {
        self.fail(Call::Settle, failure);
    }

    /// While it is down every call ends with [`Error::Unavailable`], and so do all open readers and subscriptions. What was
    /// acknowledged stays, the clock goes on.
    pub fn set_down(&self, is_down: bool) {
        let mut state = self.shared.lock();
        if is_down && !state.is_down {
            state.life += 1;
        }
        state.is_down = is_down;
        wake(state);
    }

    /// Lets both of the engine's clocks go on by `time`.
    pub fn advance(&self, time: Duration) {
        self.shared.clock.advance(time);
        wake(self.shared.lock());
    }

    /// Ends the engine and starts it again: open readers and subscriptions end, what they had not settled is delivered
    /// again, ephemeral groups are gone.
    pub fn restart(&self) {
        let mut state = self.shared.lock();
        state.life += 1;
        state.is_down = false;
        for topic in state.topics.values_mut() {
            topic.restart();
        }
        wake(state);
    }

    fn fail(&self, call: Call, failure: Failure) {
        self.shared.lock().failures.entry(call).or_default().push_back(failure);
    }

    /// The state, for a call that only reads.
    fn look(&self) -> Result<(MutexGuard<'_, State>, Now), Error> {
        let (mut state, now) = self.up()?;
        match state.failure(Call::Any) {
            Some(_) => Err(unavailable()),
            None => Ok((state, now)),
        }
    }

    fn up(&self) -> Result<(MutexGuard<'_, State>, Now), Error> {
        let mut state = self.shared.lock();
        if state.is_down {
            return Err(unavailable());
        }
        let now = self.shared.clock.now();
        for topic in state.topics.values_mut() {
            topic.tick(now);
        }
        Ok((state, now))
    }

    /// Does a write as the switches say.
    fn write<T>(
        &self,
        call: Call,
        act: impl FnOnce(&mut State, Now) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let (mut state, now) = self.up()?;
        let failure = state.failure(call).or_else(|| state.failure(Call::Any));
        let is_unknown = match failure {
            Some(Failure::Unavailable) => return Err(unavailable()),
            Some(Failure::UnknownAndLost) => return Err(unknown()),
            Some(Failure::UnknownButApplied) => true,
            None => false,
        };
        let done = act(&mut state, now);
        wake(state);
        if is_unknown { done.and(Err(unknown())) } else { done }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn topic(&mut self, name: &TopicName) -> Result<&mut Topic, Error> {
        self.topics.get_mut(name).ok_or_else(|| Error::NoTopic(name.clone()))
    }

    fn failure(&mut self, call: Call) -> Option<Failure> {
        self.failures.get_mut(&call).and_then(VecDeque::pop_front)
    }

    fn serial(&mut self) -> u64 {
        self.last_serial += 1;
        self.last_serial
    }
}

/// Lets go of the state and wakes whoever waits for it to change.
fn wake(mut state: MutexGuard<'_, State>) {
    let waiting = std::mem::take(&mut state.waiting);
    drop(state);
    for waker in waiting.into_values() {
        waker.wake();
    }
}

fn unavailable() -> Error {
    let cause = Arc::new(io::Error::other("it was told to be down"));
    Error::Unavailable { place: "memory".to_owned(), cause }
}

fn unknown() -> Error {
    let cause = Arc::new(io::Error::other("it was told to break off"));
    Error::Unknown { place: "memory".to_owned(), cause }
}

#[async_trait]
impl Broker for Memory {
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn place(&self) -> String {
        "memory".to_owned()
    }

    async fn ensure_topic(&self, topic: &TopicName, config: TopicConfig) -> Result<(), Error> {
        config.check()?;
        self.write(Call::Any, |state, now| {
            let serial = state.serial();
            let new = || Topic::new(topic.clone(), serial, config);
            let topic = state.topics.entry(topic.clone()).or_insert_with(new);
            topic.config = config;
            topic.tick(now);
            Ok(())
        })
    }

    async fn remove_topic(&self, topic: &TopicName) -> Result<(), Error> {
        self.write(Call::Any, |state, _| {
            state.topics.remove(topic);
            Ok(())
        })
    }

    async fn topics(&self) -> Result<Vec<TopicStatus>, Error> {
        let (state, _) = self.look()?;
        Ok(state.topics.values().map(Topic::status).collect())
    }

    async fn topic(&self, topic: &TopicName) -> Result<TopicStatus, Error> {
        let (mut state, _) = self.look()?;
        Ok(state.topic(topic)?.status())
    }

    async fn publish(
        &self,
        topic: &TopicName,
        messages: Vec<NewMessage>,
    ) -> Result<Vec<Published>, Error> {
        check(&messages)?;
        self.write(Call::Publish, |state, now| {
            let topic = state.topic(topic)?;
            let published = topic.publish(now, messages);
            topic.tick(now);
            Ok(published)
        })
    }

    async fn read(&self, topic: &TopicName, start: Start) -> Result<Box<dyn Reader>, Error> {
        let (mut state, _) = self.look()?;
        let (id, life) = (state.serial(), state.life);
        let found = state.topic(topic)?;
        let (serial, next) = (found.serial, found.position(start));
        let shared = Arc::clone(&self.shared);
        Ok(Box::new(Reading { shared, id, life, topic: topic.clone(), serial, next }))
    }

    async fn subscribe(
        &self,
        topic: &TopicName,
        group: &GroupName,
        config: GroupConfig,
    ) -> Result<Box<dyn Subscription>, Error> {
        config.check()?;
        self.write(Call::Any, |state, _| {
            let (id, life) = (state.serial(), state.life);
            let found = state.topic(topic)?;
            found.ensure_group(group, config, id, self.capabilities.parallel_keys);
            let joined = found.group(group)?;
            joined.join();
            let serials = (joined.serial, found.serial);
            let shared = Arc::clone(&self.shared);
            Ok(Box::new(Taking::new(shared, id, life, (topic.clone(), group.clone()), serials))
                as Box<dyn Subscription>)
        })
    }

    async fn settle(
        &self,
        topic: &TopicName,
        group: &GroupName,
        settlements: Vec<(Receipt, Settle)>,
    ) -> Result<(), Error> {
        self.write(Call::Settle, |state, now| {
            let found = state.topic(topic)?;
            let topic_serial = found.serial;
            let group = found.group(group)?;
            let read = |(receipt, settle)| Some((ends::read_receipt(&receipt)?, settle));
            let settlements: Option<Vec<_>> = settlements.into_iter().map(read).collect();
            let Some(settlements) = settlements else {
                return Err(Error::Invalid("it is no receipt of this engine".to_owned()));
            };
            let mine = [topic_serial, group.serial, group.epoch];
            for ([topic, own, epoch, offset, token], settle) in settlements {
                if [topic, own, epoch] == mine {
                    group.settle(Offset(offset), token, settle, now.moment);
                }
            }
            Ok(())
        })
    }

    async fn groups(&self, topic: &TopicName) -> Result<Vec<GroupStatus>, Error> {
        let (mut state, now) = self.look()?;
        Ok(state.topic(topic)?.statuses(now.moment))
    }

    async fn seek(&self, topic: &TopicName, group: &GroupName, to: Start) -> Result<(), Error> {
        self.write(Call::Any, |state, _| {
            let found = state.topic(topic)?;
            let position = found.position(to);
            let seeking = found.group(group)?;
            if seeking.is_in_use() && !self.capabilities.live_seek {
                return Err(Error::InUse { topic: topic.clone(), group: group.clone() });
            }
            seeking.seek(position);
            Ok(())
        })
    }

    async fn remove_group(&self, topic: &TopicName, group: &GroupName) -> Result<(), Error> {
        self.write(Call::Any, |state, _| {
            if let Ok(topic) = state.topic(topic) {
                topic.remove_group(group);
            }
            Ok(())
        })
    }

    async fn purge(&self, topic: &TopicName, before: Option<Offset>) -> Result<u64, Error> {
        self.write(Call::Any, |state, _| Ok(state.topic(topic)?.purge(before)))
    }
}
