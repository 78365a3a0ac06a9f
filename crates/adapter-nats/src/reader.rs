//! Reading a topic in order: a consumer that is made anew from where it was whenever anything is odd.

use crate::{
    engine::Shared,
    envelope,
    link::{Fault, Says},
    pull::{Came, Pull, WAIT, Wanted},
    receipt::Stamp,
    wire::ConsumerInfo,
};
use async_trait::async_trait;
use ports::broker::{BATCH_MAX, Error, Message, Offset, Reader, Start, TopicName};
use serde_json::{Value, json};
use std::{collections::VecDeque, fmt, sync::Arc, time::Duration};
use tokio::time::Instant;

/// Messages and bytes that are asked for at once: a reader that goes on finds them there.
const READ_AHEAD: usize = 256;
const READ_AHEAD_SIZE: usize = 4 << 20;
const _: () = assert!(READ_AHEAD_SIZE > 2 * ports::broker::MESSAGE_SIZE_MAX, "one must fit");

/// How long JetStream keeps the consumer of a reader that does not ask. It is made anew when it asks again.
const KEPT: Duration = Duration::from_secs(30);
const _: () = assert!(KEPT.as_secs() > 2 * WAIT.as_secs(), "one that waits is not idle");

/// Pause before something is tried again that was refused for the moment.
const PAUSE: Duration = Duration::from_millis(100);

/// How often in a row nothing may be heard before the reader ends.
const SILENCES_MAX: u32 = 3;

pub(crate) struct Reading {
    shared: Arc<Shared>,
    topic: TopicName,
    stream: String,
    /// When the stream was made: another one of its name is another topic.
    created: String,
    /// What is before is not given.
    from: Start,
    /// What was given last.
    last: Offset,
    pull: Pull,
    consumer: Option<Consumer>,
    /// What came with a call that was dropped, or beyond what a call wanted.
    arrived: VecDeque<Message>,
    silences: u32,
    /// When the consumer was used last.
    used: Instant,
}

struct Consumer {
    name: String,
    /// The number of the next delivery: if another one comes, something is missing.
    next: u64,
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reading").field("topic", &self.topic).field("last", &self.last).finish()
    }
}

impl Reading {
    pub(crate) async fn new(
        shared: &Arc<Shared>,
        topic: &TopicName,
        start: Start,
    ) -> Result<Self, Error> {
        let info = shared.stream(topic).await?;
        let from = match start {
            Start::End => Start::Offset(Offset(info.state.last_seq + 1)),
            Start::Beginning | Start::Offset(_) | Start::Time(_) => start,
        };
        let pull = Pull::new(&shared.link).await.map_err(|fault| shared.reading(fault))?;
        let mut reading = Self {
            shared: Arc::clone(shared),
            topic: topic.clone(),
            stream: shared.names.stream(topic),
            created: info.created,
            from,
            last: Offset(0),
            pull,
            consumer: None,
            arrived: VecDeque::new(),
            silences: 0,
            used: Instant::now(),
        };
        // The place is found now, so that what is published from now on is read, wherever it begins.
        reading.consumer = Some(reading.make().await?);
        Ok(reading)
    }

    /// Makes a consumer that goes on after what was given.
    async fn make(&self) -> Result<Consumer, Error> {
        let name = self.shared.unique("reader-");
        let nanos = u64::try_from(KEPT.as_nanos()).unwrap_or(u64::MAX);
        let mut config = json!({
            "name": name,
            "description": "reads for flotilla",
            "ack_policy": "none",
            "inactive_threshold": nanos,
            "mem_storage": true,
            "num_replicas": 1,
        });
        let from = if self.last == Offset(0) { self.from } else { Start::Offset(self.last.next()) };
        begin(&mut config, from);
        let verb = format!("CONSUMER.CREATE.{}.{name}", self.stream);
        let body = json!({ "stream_name": self.stream, "config": config });
        let made: Result<ConsumerInfo, Fault> = self.shared.link.api(&verb, &body).await;
        match made {
            Ok(_) => Ok(Consumer { name, next: 1 }),
            Err(fault) => Err(self.shared.of_topic(fault, &self.topic, Fault::of_reading)),
        }
    }

    /// After a consumer is gone: whether the topic is.
    async fn check_topic(&self) -> Result<(), Error> {
        let info = self.shared.stream(&self.topic).await?;
        if info.created == self.created { Ok(()) } else { Err(Error::NoTopic(self.topic.clone())) }
    }

    fn put(&mut self, came: Came) -> bool {
        let message = match came {
            Came::Message(message) => message,
            Came::End => {
                self.silences = 0;
                return true;
            }
            Came::Refused | Came::Gone => return false,
        };
        self.silences = 0;
        let subject = message.reply.clone().unwrap_or_else(|| "".into());
        let (Some(stamp), Some(consumer)) = (Stamp::read(&subject), &mut self.consumer) else {
            return true;
        };
        if stamp.consumer != consumer.name {
            return true;
        }
        if stamp.delivery != consumer.next {
            return false;
        }
        consumer.next += 1;
        let message = envelope::read(message, &stamp);
        if is_from(self.from, &message) {
            self.arrived.push_back(message);
        }
        true
    }

    /// The consumer is not what it was. Another one goes on after what arrived in order.
    fn forget(&mut self) {
        if let Some(message) = self.arrived.back() {
            self.last = message.offset;
        }
        self.consumer = None;
    }

    /// One step further: something arrives, or is asked for.
    async fn step(&mut self) -> Result<(), Error> {
        if !self.pull.is_open() && self.used.elapsed() > KEPT / 2 {
            // It may be gone, and JetStream says nothing to who asks one that is gone.
            self.forget();
        }
        self.used = Instant::now();
        if self.consumer.is_none() {
            self.check_topic().await?;
            self.pull =
                Pull::new(&self.shared.link).await.map_err(|fault| self.shared.reading(fault))?;
            self.consumer = Some(self.make().await?);
        }
        let reading = |fault| self.shared.reading(fault);
        if !self.pull.is_open()
            && let Some(consumer) = &self.consumer
        {
            let wanted = Wanted { count: READ_AHEAD, bytes: READ_AHEAD_SIZE, is_rest: false };
            self.pull.ask(&self.stream, &consumer.name, wanted).await.map_err(reading)?;
        }
        let came = self.pull.next().await.map_err(reading)?;
        match came {
            Came::Refused => tokio::time::sleep(PAUSE).await,
            Came::Gone => {
                self.silences += 1;
                if self.silences > SILENCES_MAX {
                    let place = self.shared.link.place().to_owned();
                    let cause = Says::cause("the topic is there, but nothing is heard of it");
                    return Err(Error::Unavailable { place, cause });
                }
                self.forget();
            }
            came => {
                if !self.put(came) {
                    self.forget();
                }
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Reader for Reading {
    async fn next(&mut self, max: usize) -> Result<Vec<Message>, Error> {
        let max = max.clamp(1, BATCH_MAX);
        loop {
            while self.arrived.len() < max
                && self.consumer.is_some()
                && let Some(came) = self.pull.next_now()
            {
                if !self.put(came) {
                    self.forget();
                }
            }
            if !self.arrived.is_empty() {
                let count = self.arrived.len().min(max);
                let messages: Vec<Message> = self.arrived.drain(..count).collect();
                if let Some(message) = messages.last() {
                    self.last = self.last.max(message.offset);
                }
                return Ok(messages);
            }
            if self.pull.is_lost() {
                return Err(self.shared.reading(self.shared.link.down()));
            }
            self.step().await?;
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        // It would go by itself some time later.
        if let Some(consumer) = &self.consumer {
            let verb = format!("$JS.API.CONSUMER.DELETE.{}.{}", self.stream, consumer.name);
            self.shared.link.send_now(verb, "");
        }
    }
}

/// Whether a message is not before the beginning. JetStream begins at the end where it should begin behind it.
pub(crate) fn is_from(from: Start, message: &Message) -> bool {
    match from {
        Start::Offset(offset) => message.offset >= offset,
        Start::Time(time) => message.time >= time,
        Start::Beginning | Start::End => true,
    }
}

/// Writes where a consumer begins. [`Start::End`] must have been made an offset before.
pub(crate) fn begin(config: &mut Value, from: Start) {
    let time = |time: base::Timestamp| {
        let micros = i64::try_from(time.0).ok()?;
        Some(jiff::Timestamp::from_microsecond(micros).ok()?.to_string())
    };
    match from {
        Start::Beginning => config["deliver_policy"] = json!("all"),
        Start::Offset(offset) => {
            config["deliver_policy"] = json!("by_start_sequence");
            config["opt_start_seq"] = json!(offset.0.max(1));
        }
        Start::Time(start) => match time(start) {
            Some(text) => {
                config["deliver_policy"] = json!("by_start_time");
                config["opt_start_time"] = json!(text);
            }
            // Times that no calendar has are behind all messages: what comes is left out.
            None => config["deliver_policy"] = json!("new"),
        },
        Start::End => config["deliver_policy"] = json!("new"),
    }
}
