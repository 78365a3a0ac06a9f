//! Taking part in a group.

use crate::{
    engine::{Shared, Used},
    envelope,
    link::{Link, Says},
    notes::Group,
    pull::{self, Came, Pull, Wanted},
    reader::is_from,
    receipt::Stamp,
};
use async_trait::async_trait;
use ports::broker::{
    BATCH_MAX, BATCH_SIZE_MAX, Delivery, EPHEMERAL_GRACE, Error, GroupName, Receipt, Subscription,
    TopicName,
};
use runtime::TaskSet;
use serde_json::json;
use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// Pause before something is tried again that was refused for the moment.
const PAUSE: Duration = Duration::from_millis(100);

/// How often in a row nothing may be heard before the subscription ends.
const SILENCES_MAX: u32 = 3;

/// How often an ephemeral group is told that somebody is there.
const ALIVE_INTERVAL: Duration = Duration::from_secs(EPHEMERAL_GRACE.as_secs() / 3);

/// Where a subscription takes part.
pub(crate) struct Seat {
    pub(crate) topic: TopicName,
    pub(crate) group: GroupName,
    pub(crate) stream: String,
    /// When the stream was made: another one of its name is another topic.
    pub(crate) created: String,
    pub(crate) consumer: String,
    pub(crate) kept: Group,
}

pub(crate) struct Taking {
    shared: Arc<Shared>,
    seat: Seat,
    pull: Pull,
    /// What came with a call that was dropped.
    arrived: VecDeque<(Instant, Delivery)>,
    /// How many messages the group has not delivered, as far as it was told.
    more: u64,
    silences: u32,
    /// For the task that says that somebody is there: the consumer, and where answers go that nobody looks at.
    present: Arc<Mutex<(String, String)>>,
    _alive: TaskSet,
    _used: Used,
}

impl fmt::Debug for Taking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Seat { topic, group, .. } = &self.seat;
        f.debug_struct("Taking").field("topic", topic).field("group", group).finish()
    }
}

impl Taking {
    pub(crate) async fn new(shared: &Arc<Shared>, seat: Seat) -> Result<Self, Error> {
        let pull = Pull::new(&shared.link).await.map_err(|fault| shared.reading(fault))?;
        let used = shared.uses.join(&seat.topic, &seat.group);
        let present = Arc::new(Mutex::new((seat.consumer.clone(), pull.nowhere())));
        let mut alive = TaskSet::new("nats subscription");
        if !seat.kept.config.durable {
            let (link, stream) = (Arc::clone(&shared.link), seat.stream.clone());
            let present = Arc::clone(&present);
            alive.spawn("alive", |mut stop| async move {
                tokio::select! {
                    () = stay(&link, &stream, &present) => {}
                    () = stop.wait() => {}
                }
            });
        }
        Ok(Self {
            shared: Arc::clone(shared),
            seat,
            pull,
            arrived: VecDeque::new(),
            more: 0,
            silences: 0,
            present,
            _alive: alive,
            _used: used,
        })
    }

    /// What comes, as a delivery; `false`: nothing more comes of this request.
    fn put(&mut self, came: Came) -> bool {
        let Came::Message(message) = came else { return false };
        self.silences = 0;
        let Some(subject) = message.reply.clone() else { return true };
        let Some(stamp) = Stamp::read(&subject) else { return true };
        if stamp.consumer != self.seat.consumer {
            return true;
        }
        self.more = stamp.pending;
        let message = envelope::read(message, &stamp);
        if !is_from(self.seat.kept.from, &message) {
            self.shared.link.send_now(subject.to_string(), "+ACK");
            return true;
        }
        self.shared.newest.deliver(&stamp);
        let receipt = Receipt(subject.to_string());
        let delivery = Delivery { message, attempt: stamp.attempt, receipt };
        self.arrived.push_back((Instant::now(), delivery));
        true
    }

    /// What may still be given, at most `max`. What came so long ago that it is delivered again is left to that.
    fn give(&mut self, max: usize) -> Vec<Delivery> {
        let ack_wait = self.seat.kept.config.ack_wait;
        while self.arrived.front().is_some_and(|(time, _)| time.elapsed() >= ack_wait) {
            self.arrived.pop_front();
        }
        let count = self.arrived.len().min(max);
        self.arrived.drain(..count).map(|(_, delivery)| delivery).collect()
    }

    /// Asks for what is wanted: for all that is there, if something is; otherwise for one, whenever it comes. Asked for more
    /// than that, JetStream would go on delivering what others may be waiting for.
    async fn ask(&mut self, max: usize) -> Result<(), Error> {
        let in_flight = usize::try_from(self.seat.kept.in_flight()).unwrap_or(usize::MAX);
        let there = usize::try_from(self.more).unwrap_or(usize::MAX).min(in_flight).min(max);
        let is_rest = there > 1;
        self.more = 0;
        let wanted = Wanted { count: there.max(1), bytes: BATCH_SIZE_MAX, is_rest };
        let asked = self.pull.ask(&self.seat.stream, &self.seat.consumer, wanted).await;
        asked.map_err(|fault| self.shared.reading(fault))
    }

    /// The consumer is gone or silent: the topic may be gone, the group, or it was sent elsewhere.
    async fn look(&mut self) -> Result<(), Error> {
        let Seat { topic, group, .. } = &self.seat;
        let no_topic = || Error::NoTopic(topic.clone());
        let no_group = || Error::NoGroup { topic: topic.clone(), group: group.clone() };
        let info = self.shared.stream(topic).await?;
        if info.created != self.seat.created {
            return Err(no_topic());
        }
        let epoch = self.shared.epochs(topic, group).await?.pop().ok_or_else(no_group)?;
        let consumer = crate::names::consumer(group, epoch);
        if consumer == self.seat.consumer {
            self.silences += 1;
            if self.silences > SILENCES_MAX {
                let place = self.shared.link.place().to_owned();
                let cause = Says::cause("the group is there, but nothing is heard of it");
                return Err(Error::Unavailable { place, cause });
            }
            return Ok(());
        }
        let kept = self.shared.group(topic, group, epoch).await?.ok_or_else(no_group)?;
        self.pull =
            Pull::new(&self.shared.link).await.map_err(|fault| self.shared.reading(fault))?;
        self.arrived.clear();
        (self.more, self.silences) = (0, 0);
        let present = (consumer.clone(), self.pull.nowhere());
        *self.present.lock().unwrap_or_else(PoisonError::into_inner) = present;
        (self.seat.consumer, self.seat.kept) = (consumer, kept);
        Ok(())
    }
}

#[async_trait]
impl Subscription for Taking {
    async fn next(&mut self, max: usize) -> Result<Vec<Delivery>, Error> {
        let max = max.clamp(1, BATCH_MAX);
        loop {
            // A request that is over within the batch leaves nothing behind that nobody waits for.
            if !self.pull.is_open() {
                while let Some(came) = self.pull.next_now() {
                    self.put(came);
                }
                let deliveries = self.give(max);
                if !deliveries.is_empty() {
                    return Ok(deliveries);
                }
                if self.pull.is_lost() {
                    return Err(self.shared.reading(self.shared.link.down()));
                }
                self.ask(max).await?;
            }
            match self.pull.next().await.map_err(|fault| self.shared.reading(fault))? {
                Came::Gone => self.look().await?,
                Came::Refused => tokio::time::sleep(PAUSE).await,
                Came::End => self.silences = 0,
                came @ Came::Message(_) => {
                    self.put(came);
                }
            }
        }
    }
}

impl Drop for Taking {
    fn drop(&mut self) {
        // What nobody was given need not wait for its time.
        while let Some(came) = self.pull.next_now() {
            self.put(came);
        }
        for (_, delivery) in &self.arrived {
            self.shared.link.send_now(delivery.receipt.0.clone(), "-NAK");
        }
    }
}

/// Lets JetStream know, again and again, that somebody is there, also while no message is asked for: by requests that no message
/// fits into.
async fn stay(link: &Link, stream: &str, present: &Mutex<(String, String)>) {
    let body = json!({ "batch": 1, "max_bytes": 1, "expires": 1_000_000 }).to_string();
    loop {
        tokio::time::sleep(ALIVE_INTERVAL).await;
        let (consumer, reply) = present.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let subject = pull::next_subject(stream, &consumer);
        if let Err(fault) = link.send(subject, reply, body.clone().into()).await {
            tracing::debug!(?fault, "a group was not told that somebody is there");
        }
    }
}
