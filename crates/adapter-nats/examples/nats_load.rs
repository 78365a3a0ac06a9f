//! Puts JetStream under the load that brokers are measured with: `nats_load ADDRESS [SECONDS]`. It prints one line for each
//! scenario: messages of 1 KiB per second, 64 in flight.
//!
//! The server is started by whoever measures, with its data on the disk in question, for instance
//! `nats-server --jetstream --store_dir FOLDER --port 4222`.

#![expect(clippy::print_stdout, reason = "the result is what it is for")]

use adapter_nats::{Config, Nats};
use ports::broker::{
    Broker, GroupConfig, GroupName, NewMessage, Settle, Start, TopicConfig, TopicName,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

const IN_FLIGHT: usize = 64;
const PAYLOAD: usize = 1_024;

/// Subscriptions that share the work of the group.
const TAKERS: usize = 2;

fn main() {
    let mut args = std::env::args().skip(1);
    let address = args.next().expect("nats_load ADDRESS [SECONDS]");
    let seconds = args.next().map_or(5, |text| text.parse().expect("a number of seconds"));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("the system has threads");
    runtime.block_on(run(address, Duration::from_secs(seconds)));
}

async fn run(address: String, time: Duration) {
    let config = Config {
        servers: vec![address],
        tls: None,
        credentials: None,
        prefix: "load".to_owned(),
        replicas: 1,
    };
    let nats = Nats::connect(&config).expect("the address is one");
    let topic = TopicName::new("load").expect("it is a name");
    nats.remove_topic(&topic).await.expect("NATS is there");
    nats.ensure_topic(&topic, TopicConfig::default()).await.expect("it can be made");
    report("publish + ack, one by one", publish(&nats, &topic, time, IN_FLIGHT, 1).await);
    report(
        "publish + ack, one publisher, batches of 64",
        publish(&nats, &topic, time, 1, IN_FLIGHT).await,
    );
    report("publish + ack, one in flight", publish(&nats, &topic, time, 1, 1).await);
    report("consume + ack, batches of 64", consume(&nats, &topic, time, IN_FLIGHT).await);
    report("consume + ack, one by one", consume(&nats, &topic, time, 1).await);
    report("read", read(&nats, &topic, time).await);
    nats.remove_topic(&topic).await.expect("NATS is there");
}

fn report(what: &str, (count, time): (u64, Duration)) {
    let rate = u128::from(count) * 1_000 / time.as_millis().max(1);
    println!("{what}: {rate}/s ({count} in {:.1} s)", time.as_secs_f64());
}

async fn publish(
    nats: &Nats,
    topic: &TopicName,
    time: Duration,
    publishers: usize,
    batch: usize,
) -> (u64, Duration) {
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..publishers {
        let (nats, topic) = (nats.clone(), topic.clone());
        tasks.spawn(async move {
            let message = NewMessage::new(vec![b'x'; PAYLOAD]);
            let mut count = 0;
            while start.elapsed() < time {
                let published = nats.publish(&topic, vec![message.clone(); batch]).await;
                count += published.expect("NATS is there").len();
            }
            count
        });
    }
    let count: usize = tasks.join_all().await.into_iter().sum();
    (u64::try_from(count).unwrap_or(u64::MAX), start.elapsed())
}

async fn consume(nats: &Nats, topic: &TopicName, time: Duration, batch: usize) -> (u64, Duration) {
    let group = GroupName::new(&format!("by-{batch}")).expect("it is a name");
    let config = GroupConfig { start: Start::Beginning, ..GroupConfig::default() };
    let there = nats.topic(topic).await.expect("NATS is there").messages;
    let start = Instant::now();
    let done = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..TAKERS {
        let (nats, topic, group, done) =
            (nats.clone(), topic.clone(), group.clone(), Arc::clone(&done));
        tasks.spawn(async move {
            let subscription = nats.subscribe(&topic, &group, config).await;
            let mut subscription = subscription.expect("NATS is there");
            while start.elapsed() < time && done.load(Ordering::Relaxed) < there {
                let wait = time.saturating_sub(start.elapsed());
                let next = tokio::time::timeout(wait, subscription.next(batch)).await;
                let Ok(deliveries) = next else { break };
                let deliveries = deliveries.expect("NATS is there");
                let settlements: Vec<_> =
                    deliveries.into_iter().map(|it| (it.receipt, Settle::Ack)).collect();
                let count = settlements.len();
                nats.settle(&topic, &group, settlements).await.expect("NATS is there");
                done.fetch_add(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed);
            }
        });
    }
    tasks.join_all().await;
    (done.load(Ordering::Relaxed), start.elapsed())
}

async fn read(nats: &Nats, topic: &TopicName, time: Duration) -> (u64, Duration) {
    let there = nats.topic(topic).await.expect("NATS is there").messages;
    let start = Instant::now();
    let mut reader = nats.read(topic, Start::Beginning).await.expect("NATS is there");
    let mut count = 0;
    while start.elapsed() < time && count < there {
        let messages = reader.next(1_000).await.expect("NATS is there");
        count += u64::try_from(messages.len()).unwrap_or(u64::MAX);
    }
    (count, start.elapsed())
}
