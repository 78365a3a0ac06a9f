//! A process is killed while many publish and take, again and again on the same store.

use ports::broker::{Broker, NewMessage, Settle, TopicName};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
};

use super::{
    all,
    ledger::{config, group},
    made, rounds, run, text, topic,
};
use crate::{
    broker::{Config, Service},
    disk::simulated::Dice,
};

const PUBLISHERS: u64 = 32;
const TOPICS: u64 = 4;

/// Names the folder to the child.
const FOLDER: &str = "FLOTILLA_TEST_BROKER_FOLDER";
/// And the round, which stands in what it publishes.
const ROUND: &str = "FLOTILLA_TEST_BROKER_ROUND";

fn name(number: u64) -> TopicName {
    topic(&format!("topic-{}", number % TOPICS))
}

/// The child: publishes and takes until it is killed, and tells on its standard output what was answered. Without a
/// folder it is no child, and there is nothing to do.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let round = std::env::var(ROUND).unwrap();
    run(async {
        let (_service, broker) = Service::open(&Config { folder: folder.into() }).unwrap();
        for number in 0..TOPICS {
            made(&broker, name(number).as_str()).await;
        }
        let out = Arc::new(Mutex::new(std::io::stdout()));
        let tell = move |line: String| out.lock().unwrap().write_all(line.as_bytes()).unwrap();
        let mut tasks = tokio::task::JoinSet::new();
        for publisher in 0..PUBLISHERS {
            let (broker, tell, round) = (broker.clone(), tell.clone(), round.clone());
            tasks.spawn(async move {
                let topic = name(publisher);
                for number in 0_u64.. {
                    let payload = format!("{round}/{publisher}/{number}");
                    let message = NewMessage {
                        key: Some(publisher.to_string().into()),
                        ..NewMessage::new(payload.clone())
                    };
                    let published = broker.publish(&topic, vec![message]).await.unwrap();
                    tell(format!("published {topic} {} {payload}\n", published[0].offset));
                }
            });
        }
        for number in 0..TOPICS {
            let (broker, tell) = (broker.clone(), tell.clone());
            tasks.spawn(async move {
                let topic = name(number);
                let mut subscription = broker.subscribe(&topic, &group(), config()).await.unwrap();
                loop {
                    for delivery in subscription.next(10).await.unwrap() {
                        let settled = vec![(delivery.receipt, Settle::Ack)];
                        broker.settle(&topic, &group(), settled).await.unwrap();
                        tell(format!("settled {topic} {}\n", delivery.message.offset));
                    }
                }
            });
        }
        tasks.join_all().await;
    });
}

/// What children told of a topic.
#[derive(Debug, Default)]
struct Told {
    published: BTreeMap<u64, String>,
    settled: BTreeSet<u64>,
}

/// Runs a child and kills it after about as many lines. Notes what it told.
fn kill_one(folder: &Path, round: u64, lines_max: u64, told: &mut BTreeMap<String, Told>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "broker::tests::kill::child", "--nocapture"])
        .env(FOLDER, folder)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut left = lines_max;
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // What it had told before it died is read to the end; a last line may be torn.
    for line in lines.map_while(Result::ok) {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["published", topic, offset, payload] => {
                let Ok(offset) = offset.parse() else { continue };
                told.entry(topic.to_owned())
                    .or_default()
                    .published
                    .insert(offset, payload.to_owned());
            }
            ["settled", topic, offset] => {
                // Half a number is another number, which only the last line can have.
                let Ok(offset) = offset.parse() else { continue };
                told.entry(topic.to_owned()).or_default().settled.insert(offset);
            }
            _ => continue,
        }
        left = left.saturating_sub(1);
        if left == 0 {
            child.kill().unwrap();
        }
    }
    assert!(!child.wait().unwrap().success(), "it was killed");
    assert_eq!(left, 0, "it worked until it was killed");
}

#[test]
fn what_was_answered_survives_being_killed_under_load() {
    let folder = tempfile::tempdir().unwrap();
    let mut told = BTreeMap::new();
    let mut dice = Dice::new(u64::from(std::process::id()));
    let rounds = rounds(10);
    for round in 0..rounds {
        kill_one(folder.path(), round, 1 + dice.roll(3_000), &mut told);
        run(async {
            let config = Config { folder: folder.path().to_owned() };
            let (service, broker) = Service::open(&config).unwrap();
            for (topic, told) in &told {
                check(&broker, &topic_of(topic), told).await;
            }
            // Every other round goes on with what the kill left, journal and all.
            if round % 2 == 0 {
                service.shutdown().await;
            }
        });
        if round % 2 == 1 {
            wait_until_free(folder.path());
        }
    }
    let published: usize = told.values().map(|told| told.published.len()).sum();
    let settled: usize = told.values().map(|told| told.settled.len()).sum();
    eprintln!("{rounds} rounds, {published} published, {settled} settled");
}

fn topic_of(name: &str) -> TopicName {
    topic(name)
}

async fn check(broker: &super::Handle, topic: &TopicName, told: &Told) {
    let found: BTreeMap<u64, String> =
        all(broker, topic).await.iter().map(|it| (it.offset.0, text(it))).collect();
    for (offset, payload) in &told.published {
        // A torn line may tell a part of the last payload.
        let kept = found.get(offset);
        assert!(kept.is_some_and(|kept| kept.starts_with(payload)), "{offset}: {kept:?} {payload}");
    }
    // Nothing that was settled comes again: what is left is looked at and given back by dropping it.
    let Some(status) = broker.groups(topic).await.unwrap().pop() else {
        assert!(told.settled.is_empty());
        return;
    };
    let mut left = status.lag;
    if left == 0 {
        return;
    }
    let wide = ports::broker::GroupConfig {
        max_in_flight: ports::broker::IN_FLIGHT_MAX,
        order: ports::broker::Order::None,
        ..config()
    };
    let mut subscription = broker.subscribe(topic, &group(), wide).await.unwrap();
    left = left.min(u64::from(ports::broker::IN_FLIGHT_MAX));
    while left > 0 {
        for delivery in subscription.next(1_000).await.unwrap() {
            let offset = delivery.message.offset.0;
            let is_known = found.contains_key(&offset);
            assert!(is_known && !told.settled.contains(&offset), "{offset} was settled");
            left -= 1;
        }
    }
}

/// An engine that was dropped lets go of its folder a little later.
fn wait_until_free(folder: &Path) {
    let config = Config { folder: folder.to_owned() };
    let start = std::time::Instant::now();
    while crate::broker::service::lock(&config).is_err() {
        assert!(start.elapsed().as_secs() < 60, "the engine does not end");
        std::thread::yield_now();
    }
}
