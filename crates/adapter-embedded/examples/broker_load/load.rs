//! What is asked of a broker, and how fast it does it.

use async_trait::async_trait;
use bytes::Bytes;
use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

use super::{
    gauge::Gauge,
    report::{Dice, Report, Times, float},
};

/// The group that consumes.
pub(crate) const GROUP: &str = "bench";

/// How many messages a consumer takes at once, and how many may be delivered and not acknowledged.
pub(crate) const AT_ONCE: usize = 256;
pub(crate) const IN_FLIGHT: u32 = 4_096;

/// Topics, where many are published to.
const TOPICS: u64 = 1_000;

/// Messages that are consumed and read.
const SOME: u64 = 300_000;

/// Messages of a large backlog.
const MANY: u64 = 1_000_000;

/// Messages of one publish where a topic is filled, and how many publish then.
const BATCH: u64 = 500;
const FILLERS: u64 = 4;

/// How many messages a second are published where their delay is measured: by one, and by many together.
const PACE_ALONE: u32 = 200;
const PACE_TOGETHER: u32 = 2_000;

/// How long a consumer waits for what does not come any more.
const PATIENCE: Duration = Duration::from_secs(10);

/// A broker with topics of numbers from 0 on. Messages are consumed and read from topic 0.
#[async_trait]
pub(crate) trait Engine: Send + Sync + fmt::Debug {
    /// Makes topics.
    async fn prepare(&self, topics: u64);

    async fn publisher(&self) -> Box<dyn Publisher>;

    /// Takes part in the group, which begins with the first message.
    async fn consumer(&self) -> Box<dyn Consumer>;

    /// Reads from the first message on, without a group.
    async fn reader(&self) -> Box<dyn Consumer>;
}

#[async_trait]
pub(crate) trait Publisher: Send {
    /// Returns when all are acknowledged.
    async fn publish(&mut self, topic: u64, payloads: Vec<Bytes>);
}

#[async_trait]
pub(crate) trait Consumer: Send {
    /// Waits for the next messages.
    async fn next(&mut self) -> Vec<Bytes>;

    /// Acknowledges those that came last.
    async fn ack(&mut self);
}

/// What a run is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) clients: u64,
    pub(crate) bytes: usize,
    pub(crate) length: Duration,
    /// Whose CPU time and memory are told.
    pub(crate) pid: String,
}

/// Runs a scenario. `start` is when opening the engine began.
pub(crate) async fn run(
    engine: &Arc<dyn Engine>,
    scenario: &str,
    load: &Load,
    start: Instant,
) -> Report {
    match scenario {
        "publish" => publish(engine, 1, load).await,
        "topics" => publish(engine, TOPICS, load).await,
        "delay" => delay(engine, load).await,
        "consume" => {
            fill(engine, SOME, load.bytes).await;
            let consumer = engine.consumer().await;
            consume(consumer, SOME, load, Report::default()).await
        }
        "replay" => {
            fill(engine, SOME, load.bytes).await;
            let reader = engine.reader().await;
            consume(reader, SOME, load, Report::default()).await
        }
        "fill" => {
            let (gauge, start) = (Gauge::start(&load.pid), Instant::now());
            // The group is there from the beginning, as one whose consumers are down.
            engine.prepare(1).await;
            drop(engine.consumer().await);
            fill(engine, MANY, load.bytes).await;
            let report = Report::default().number("seconds", start.elapsed().as_secs_f64());
            gauge.stop(report)
        }
        "catch-up" => {
            // It answers when it takes a message.
            engine.publisher().await.publish(0, vec![payload(load.bytes)]).await;
            let opened = start.elapsed().as_secs_f64() * 1e3;
            let consumer = engine.consumer().await;
            consume(consumer, MANY, load, Report::default().number("open_ms", opened)).await
        }
        other => panic!("there is no scenario `{other}`"),
    }
}

fn payload(bytes: usize) -> Bytes {
    vec![7; bytes].into()
}

/// Each publisher publishes one message after the other.
async fn publish(engine: &Arc<dyn Engine>, topics: u64, load: &Load) -> Report {
    engine.prepare(topics).await;
    let mut publishers = Vec::new();
    for _ in 0..load.clients {
        publishers.push(engine.publisher().await);
    }
    let gauge = Gauge::start(&load.pid);
    let (start, mut tasks) = (Instant::now(), JoinSet::new());
    for (mut publisher, seed) in publishers.into_iter().zip(1..) {
        let (payload, length) = (payload(load.bytes), load.length);
        tasks.spawn(async move {
            let (mut times, mut dice) = (Times::default(), Dice::new(seed));
            while start.elapsed() < length {
                let before = Instant::now();
                publisher.publish(dice.roll(topics), vec![payload.clone()]).await;
                times.add(before.elapsed());
            }
            times
        });
    }
    let times = join(tasks).await;
    gauge.stop(times.report(Report::default(), start.elapsed()))
}

async fn join(tasks: JoinSet<Times>) -> Times {
    let mut all = Times::default();
    for times in tasks.join_all().await {
        all.join(times);
    }
    all
}

/// Publishers publish at a pace that the engine bears with ease, so that times tell how long a message takes and not how
/// many wait before it. A message carries when it was published.
async fn delay(engine: &Arc<dyn Engine>, load: &Load) -> Report {
    engine.prepare(1).await;
    let mut consumer = engine.consumer().await;
    let mut publishers = Vec::new();
    for _ in 0..load.clients {
        publishers.push(engine.publisher().await);
    }
    let together = if load.clients == 1 { PACE_ALONE } else { PACE_TOGETHER };
    let pace = Duration::from_secs(1) / together * u32::try_from(load.clients).unwrap_or(u32::MAX);
    let gauge = Gauge::start(&load.pid);
    let (start, mut tasks) = (Instant::now(), JoinSet::new());
    for (mut publisher, part) in publishers.into_iter().zip(0_u32..) {
        let (bytes, length) = (load.bytes, load.length);
        tasks.spawn(async move {
            // Evenly, and not all at the same moment.
            tokio::time::sleep(Duration::from_secs(1) / together * part).await;
            let mut pace = tokio::time::interval(pace);
            let mut count: u64 = 0;
            while start.elapsed() < length {
                pace.tick().await;
                let mut payload = vec![7; bytes];
                payload[..8].copy_from_slice(&nanos(start).to_le_bytes());
                publisher.publish(0, vec![payload.into()]).await;
                count += 1;
            }
            count
        });
    }
    let mut taken = JoinSet::new();
    taken.spawn(async move {
        let mut times = Times::default();
        loop {
            let Ok(payloads) = tokio::time::timeout(PATIENCE, consumer.next()).await else {
                return times;
            };
            let now = nanos(start);
            for payload in &payloads {
                let sent = payload.first_chunk().map_or(now, |sent| u64::from_le_bytes(*sent));
                if sent == LAST {
                    return times;
                }
                times.add(Duration::from_nanos(now.saturating_sub(sent)));
            }
            consumer.ack().await;
        }
    });
    tasks.join_all().await;
    let took = start.elapsed();
    engine.publisher().await.publish(0, vec![LAST.to_le_bytes().to_vec().into()]).await;
    let times = join(taken).await;
    gauge.stop(times.report(Report::default(), took))
}

/// Instead of a time: the last message.
const LAST: u64 = u64::MAX;

fn nanos(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_nanos()).unwrap_or(LAST - 1)
}

/// Publishes many to topic 0.
async fn fill(engine: &Arc<dyn Engine>, count: u64, bytes: usize) {
    engine.prepare(1).await;
    let mut tasks = JoinSet::new();
    for filler in 0..FILLERS {
        let mut publisher = engine.publisher().await;
        let payload = payload(bytes);
        tasks.spawn(async move {
            for first in
                (filler * BATCH..count).step_by(usize::try_from(FILLERS * BATCH).unwrap_or(1))
            {
                let some = BATCH.min(count - first);
                publisher.publish(0, (0..some).map(|_| payload.clone()).collect()).await;
            }
        });
    }
    tasks.join_all().await;
}

/// Takes `count` messages and acknowledges them.
async fn consume(
    mut consumer: Box<dyn Consumer>,
    count: u64,
    load: &Load,
    report: Report,
) -> Report {
    let (gauge, start) = (Gauge::start(&load.pid), Instant::now());
    let (mut taken, mut bytes) = (0, 0);
    while taken < count {
        let payloads = consumer.next().await;
        taken += length(payloads.len());
        bytes += payloads.iter().map(|payload| length(payload.len())).sum::<u64>();
        consumer.ack().await;
    }
    let seconds = start.elapsed().as_secs_f64();
    gauge.stop(
        report
            .number("count", float(taken))
            .number("per_second", float(taken) / seconds)
            .number("mb_per_second", float(bytes) / 1e6 / seconds),
    )
}

fn length(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
