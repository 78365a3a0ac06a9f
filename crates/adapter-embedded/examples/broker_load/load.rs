//! What is asked of a broker, and how fast it does it.

use async_trait::async_trait;
use bytes::Bytes;
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio::{
    sync::Notify,
    task::JoinSet,
    time::{MissedTickBehavior, interval_at},
};

use super::{
    gauge::Gauge,
    report::{Dice, Report, Times, float},
};

/// The group that consumes.
pub(crate) const GROUP: &str = "bench";

/// Most messages that a consumer takes, and acknowledges, at once.
pub(crate) const AT_ONCE: usize = 256;

/// Most messages that are delivered and not acknowledged, where it is for us to say.
pub(crate) const IN_FLIGHT: u32 = 4_096;

/// Who shares the work of the group.
const CONSUMERS: usize = 4;

/// Who fills a topic, and with how many messages at once.
const FILLERS: usize = 8;
const FILLED_AT_ONCE: usize = 500;

/// Messages a second that all publishers publish together when it is measured how long they take to arrive; one alone. Any
/// broker bears that with ease, so that it is not measured how many wait before a message.
const RATE: u64 = 2_000;
const RATE_OF_ONE: u64 = 200;

/// A broker, as each publisher and consumer comes to it.
#[async_trait]
pub(crate) trait Engine: Send + Sync {
    /// Makes the topics 0 to `topics`. Those that are there stay as they are.
    async fn prepare(&self, topics: u64);

    async fn publisher(&self) -> Box<dyn Publisher>;

    /// Takes part in the group of topic 0, which begins with the first message.
    async fn consumer(&self) -> Box<dyn Consumer>;

    /// Reads topic 0 from its first message, without acknowledgements.
    async fn reader(&self) -> Box<dyn Consumer>;
}

#[async_trait]
pub(crate) trait Publisher: Send {
    /// Publishes and waits until all are acknowledged.
    async fn publish(&mut self, topic: u64, payloads: Vec<Bytes>);
}

#[async_trait]
pub(crate) trait Consumer: Send {
    /// Waits for messages.
    async fn next(&mut self) -> Vec<Bytes>;

    /// Acknowledges what was given last.
    async fn ack(&mut self);
}

/// What a run is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) clients: u64,
    pub(crate) bytes: usize,
    pub(crate) length: Duration,
    /// The process whose CPU time and memory count.
    pub(crate) pid: String,
}

pub(crate) fn payload(bytes: usize, seed: u64) -> Bytes {
    let mut dice = Dice::new(seed + 1);
    let mut payload = Vec::with_capacity(bytes + 8);
    while payload.len() < bytes {
        payload.extend_from_slice(&dice.roll(u64::MAX).to_le_bytes());
    }
    payload.truncate(bytes);
    payload.into()
}

fn count(number: usize) -> f64 {
    float(u64::try_from(number).unwrap_or(u64::MAX))
}

/// Lets each publisher publish one message after the other, each to any of the topics.
pub(crate) async fn publish(engine: &Arc<dyn Engine>, load: &Load, topics: u64) -> Report {
    engine.prepare(topics).await;
    let mut publishers = Vec::new();
    for _ in 0..load.clients {
        publishers.push(engine.publisher().await);
    }
    let (gauge, start, length) = (Gauge::start(&load.pid), Instant::now(), load.length);
    let mut tasks = JoinSet::new();
    for (seed, mut publisher) in (1..).zip(publishers) {
        let payload = payload(load.bytes, seed);
        tasks.spawn(async move {
            let (mut times, mut dice) = (Times::default(), Dice::new(seed));
            let mut now = Instant::now();
            while start.elapsed() < length {
                publisher.publish(dice.roll(topics), vec![payload.clone()]).await;
                let after = Instant::now();
                times.add(after - now);
                now = after;
            }
            times
        });
    }
    let mut times = Times::default();
    for of_one in tasks.join_all().await {
        times.join(of_one);
    }
    let took = start.elapsed();
    gauge.stop(times.report(Report::default(), took))
}

/// How long a message takes from the call that publishes it to a subscription.
pub(crate) async fn delay(engine: &Arc<dyn Engine>, load: &Load) -> Report {
    engine.prepare(1).await;
    let mut consumer = engine.consumer().await;
    let mut publishers = Vec::new();
    for _ in 0..load.clients {
        publishers.push(engine.publisher().await);
    }
    let rate = if load.clients == 1 { RATE_OF_ONE } else { RATE };
    let (step, period) = (1_000_000 / rate, Duration::from_micros(1_000_000 * load.clients / rate));
    let (gauge, start, length) = (Gauge::start(&load.pid), Instant::now(), load.length);
    let seen: Arc<Seen> = Arc::default();
    let mut taking = JoinSet::new();
    let by_consumer = Arc::clone(&seen);
    taking.spawn(async move {
        loop {
            let payloads = consumer.next().await;
            by_consumer.add(start.elapsed(), &payloads);
            consumer.ack().await;
        }
    });
    let mut tasks = JoinSet::new();
    for (number, mut publisher) in (0..).zip(publishers) {
        let payload = payload(load.bytes, number);
        tasks.spawn(async move {
            // Evenly, and not all at the same moment.
            let first = start + Duration::from_micros(step * number);
            let mut interval = interval_at(first.into(), period);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut published = 0;
            while start.elapsed() < length {
                interval.tick().await;
                let mut payload = payload.to_vec();
                let now = u64::try_from(start.elapsed().as_nanos()).expect("centuries");
                payload[..8].copy_from_slice(&now.to_le_bytes());
                publisher.publish(0, vec![payload.into()]).await;
                published += 1;
            }
            published
        });
    }
    let published = tasks.join_all().await.into_iter().sum();
    while seen.count() < published {
        seen.news.notified().await;
    }
    let took = start.elapsed();
    taking.shutdown().await;
    let times = std::mem::take(&mut seen.times().0);
    gauge.stop(times.report(Report::default(), took))
}

/// How long messages took, and how many there were.
#[derive(Debug, Default)]
struct Seen {
    times: Mutex<(Times, usize)>,
    news: Notify,
}

impl Seen {
    fn times(&self) -> MutexGuard<'_, (Times, usize)> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self) -> usize {
        self.times().1
    }

    fn add(&self, now: Duration, payloads: &[Bytes]) {
        let mut times = self.times();
        for payload in payloads {
            let asked = u64::from_le_bytes(payload[..8].try_into().expect("eight bytes"));
            times.0.add(now.saturating_sub(Duration::from_nanos(asked)));
        }
        times.1 += payloads.len();
        drop(times);
        self.news.notify_one();
    }
}

/// Puts `messages` into topic 0, many at once.
pub(crate) async fn fill(engine: &Arc<dyn Engine>, messages: usize, bytes: usize) {
    engine.prepare(1).await;
    let mut tasks = JoinSet::new();
    for filler in 0..FILLERS {
        let mut publisher = engine.publisher().await;
        let payload = payload(bytes, u64::try_from(filler).unwrap_or(0));
        tasks.spawn(async move {
            let mut left = messages / FILLERS;
            while left > 0 {
                let now = left.min(FILLED_AT_ONCE);
                publisher.publish(0, vec![payload.clone(); now]).await;
                left -= now;
            }
        });
    }
    tasks.join_all().await;
}

/// Lets a group take and acknowledge the `messages` of topic 0.
pub(crate) async fn consume(engine: &Arc<dyn Engine>, load: &Load, messages: usize) -> Report {
    let (taken, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let mut consumers = Vec::new();
    for _ in 0..CONSUMERS {
        consumers.push(engine.consumer().await);
    }
    let (gauge, start) = (Gauge::start(&load.pid), Instant::now());
    let mut tasks = JoinSet::new();
    for mut consumer in consumers {
        let (taken, done) = (Arc::clone(&taken), Arc::clone(&done));
        tasks.spawn(async move {
            loop {
                let now = consumer.next().await.len();
                consumer.ack().await;
                if taken.fetch_add(now, Relaxed) + now >= messages {
                    done.notify_one();
                }
            }
        });
    }
    done.notified().await;
    let took = start.elapsed().as_secs_f64();
    tasks.shutdown().await;
    let report = Report::default().number("count", count(messages));
    gauge.stop(report.number("per_second", count(messages) / took))
}

/// Reads the `messages` of topic 0 in their order.
pub(crate) async fn replay(engine: &Arc<dyn Engine>, load: &Load, messages: usize) -> Report {
    let mut reader = engine.reader().await;
    let (gauge, start) = (Gauge::start(&load.pid), Instant::now());
    let (mut read, mut bytes) = (0, 0);
    while read < messages {
        let payloads = reader.next().await;
        read += payloads.len();
        bytes += payloads.iter().map(Bytes::len).sum::<usize>();
    }
    let took = start.elapsed().as_secs_f64();
    let report = Report::default()
        .number("count", count(read))
        .number("mb_per_second", count(bytes) / 1e6 / took)
        .number("per_second", count(read) / took);
    gauge.stop(report)
}
