//! Tests of the engine, most of them on a simulated disk.

mod conformance;
mod crash;
mod damage;
mod failing;
mod kill;
mod ledger;
mod model;

use ports::broker::{Broker, Message, NewMessage, Start, TopicConfig, TopicName};
use runtime::Clock;
use std::{sync::Arc, time::Duration};

use super::{Error, Handle, Service, limits::Limits};
use crate::disk::{Disk, simulated::Simulated};

/// Bounds so small that files end, messages leave memory and checkpoints are made all the time.
fn tiny() -> Limits {
    Limits {
        journal_segment_bytes: 4 << 10,
        journal_bytes: 16 << 10,
        journal_bytes_max: 1 << 20,
        segment_bytes: 4 << 10,
        segment_bytes_min: 1 << 10,
        segments_min: 8,
        flush_bytes: 512,
        unwritten_bytes: 8 << 10,
        unwritten_bytes_max: 64 << 10,
        tail_bytes: 1 << 10,
        tail_bytes_max: 4 << 10,
        group_bytes: 2 << 10,
        checkpoint_age: Duration::from_millis(500),
        upkeep: Duration::from_millis(100),
    }
}

fn open(disk: &Simulated, limits: Limits) -> Result<(Service, Handle), Error> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    Service::open_on(&disk, "simulated".to_owned(), limits, Clock::start(), None)
}

/// Runs a test, which may not take longer than some minutes on a busy machine.
fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let result =
        runtime.block_on(async { tokio::time::timeout(Duration::from_secs(300), test).await });
    runtime.shutdown_background();
    result.expect("the test ends in time")
}

fn topic(name: &str) -> TopicName {
    TopicName::new(name).unwrap()
}

async fn made(broker: &Handle, name: &str) -> TopicName {
    let topic = topic(name);
    broker.ensure_topic(&topic, TopicConfig::default()).await.unwrap();
    topic
}

async fn publish(broker: &Handle, topic: &TopicName, payload: &str) -> u64 {
    let published = broker.publish(topic, vec![NewMessage::new(payload.to_owned())]).await.unwrap();
    published[0].offset.0
}

/// All messages that are kept.
async fn all(broker: &Handle, topic: &TopicName) -> Vec<Message> {
    let status = broker.topic(topic).await.unwrap();
    let mut messages: Vec<Message> = Vec::new();
    let mut reader = broker.read(topic, Start::Beginning).await.unwrap();
    while status.messages > 0 && messages.last().is_none_or(|last| last.offset < status.last) {
        messages.extend(reader.next(1_000).await.unwrap());
    }
    messages
}

fn text(message: &Message) -> String {
    String::from_utf8(message.payload.to_vec()).unwrap()
}

/// How often the long tests are repeated: `FLOTILLA_TEST_ROUNDS`, else `rounds`.
fn rounds(rounds: u64) -> u64 {
    let asked = std::env::var("FLOTILLA_TEST_ROUNDS").ok();
    asked.and_then(|asked| asked.parse().ok()).unwrap_or(rounds)
}
