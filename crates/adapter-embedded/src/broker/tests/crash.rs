//! The power goes before every step that the engine makes, and what was acknowledged must be there afterwards.

use base::ByteSize;
use ports::broker::{Broker, NewMessage, TopicConfig, TopicName};
use std::time::Duration;

use super::{
    all,
    ledger::{Ledger, Told},
    made, open, publish, rounds, run, tiny, topic,
};
use crate::{
    broker::{Handle, limits::Limits},
    disk::simulated::{Cut, Simulated},
};

const PUBLISHERS: u64 = 3;
const EACH: u64 = 25;

/// A store, and what its users were told.
#[derive(Clone, Debug, Default)]
struct Start {
    disk: Simulated,
    told: Told,
    round: u64,
}

/// A topic that keeps little, so that files of it are removed all the time.
async fn churn(broker: Handle) {
    let small = topic("small");
    let config = TopicConfig { max_bytes: Some(ByteSize(2 << 10)), ..TopicConfig::default() };
    if broker.ensure_topic(&small, config).await.is_err() {
        return;
    }
    for number in 0..20 {
        let message = NewMessage::new(format!("{number}:{}", "y".repeat(200)));
        if broker.publish(&small, vec![message]).await.is_err() {
            return;
        }
    }
    drop(broker.remove_topic(&topic("brief")).await);
}

/// Lets publishers and a consumer work until the power goes or they are done.
async fn work(start: &Start, limits: Limits) -> Ledger {
    let ledger = Ledger::new(start.told.clone());
    let Ok((service, broker)) = open(&start.disk, limits) else { return ledger };
    let name = topic("main");
    if broker.ensure_topic(&name, TopicConfig::default()).await.is_err() {
        return ledger;
    }
    drop(broker.ensure_topic(&topic("brief"), TopicConfig::default()).await);
    let (mut tasks, mut consumer) = (tokio::task::JoinSet::new(), tokio::task::JoinSet::new());
    for publisher in 0..PUBLISHERS {
        let (ledger, broker, name) = (ledger.clone(), broker.clone(), name.clone());
        let key = format!("{}-{publisher}", start.round);
        tasks.spawn(async move { ledger.publish(&broker, &name, &key, EACH).await.is_ok() });
    }
    {
        let (ledger, broker, name) = (ledger.clone(), broker.clone(), name.clone());
        let count = usize::try_from(PUBLISHERS * EACH * 2 / 3).unwrap();
        consumer.spawn(async move {
            if ledger.consume(&broker, &name, count).await.is_ok() {
                // What is settled may go.
                let first = ledger.told().settled.iter().next_back().copied().unwrap_or(0) / 2;
                drop(ledger.purge(&broker, &name, first).await);
            }
        });
    }
    consumer.spawn(churn(broker));
    if tasks.join_all().await.contains(&false) {
        // Nothing may come any more that the consumer waits for.
        consumer.shutdown().await;
    }
    consumer.join_all().await;
    service.shutdown().await;
    ledger
}

/// Opens what is left, and compares.
async fn check(disk: &Simulated, ledger: &Ledger) {
    let (service, broker) = open(disk, tiny()).unwrap();
    let names: Vec<TopicName> =
        broker.topics().await.unwrap().into_iter().map(|topic| topic.name).collect();
    if names.contains(&topic("main")) {
        ledger.check(&broker, &topic("main")).await;
    } else {
        assert!(ledger.told().published.is_empty());
    }
    if names.contains(&topic("small")) {
        let status = broker.topic(&topic("small")).await.unwrap();
        let offsets: Vec<u64> =
            all(&broker, &topic("small")).await.iter().map(|it| it.offset.0).collect();
        assert!(
            offsets.iter().copied().eq(status.first.0..=status.last.0),
            "{offsets:?} {status:?}"
        );
    }
    // It goes on.
    let after = made(&broker, "after").await;
    let before = broker.topic(&after).await.unwrap().last.0;
    assert_eq!(publish(&broker, &after, "x").await, before + 1);
    service.shutdown().await;
}

/// How many steps the work takes when nothing happens.
fn steps(start: &Start, limits: &Limits) -> u64 {
    let start = Start { disk: start.disk.copy(), ..start.clone() };
    run(work(&start, limits.clone()));
    start.disk.steps()
}

fn crash(start: &Start, limits: &Limits, at: u64, cut: Cut) {
    run(async {
        let start = Start { disk: start.disk.copy(), ..start.clone() };
        start.disk.fail(|faults| faults.cut_at = Some(at));
        let ledger = work(&start, limits.clone()).await;
        let mut disk = start.disk.cut(cut);
        // It goes again while the store is opened.
        for again in [at % 5, at % 17] {
            disk.fail(|faults| faults.cut_at = Some(again));
            drop(open(&disk, limits.clone()));
            disk = disk.cut(cut);
        }
        check(&disk, &ledger).await;
        // What the check settled is settled.
        check(&disk.kill(), &ledger).await;
    });
}

/// A store in which something was done before.
fn filled() -> Start {
    let start = Start::default();
    let ledger = run(work(&start, tiny()));
    let told = ledger.told().clone();
    assert_eq!(told.published.len() as u64, PUBLISHERS * EACH);
    Start { disk: start.disk.copy(), told, round: 1 }
}

fn everywhere(start: &Start, limits: &Limits, cut: impl Fn(u64) -> Cut) {
    // The steps of several threads come in another order each time, so leaving some out loses little.
    let total = steps(start, limits);
    let stride = (total / rounds(60)).max(1);
    for at in (0..total).step_by(usize::try_from(stride).unwrap()) {
        crash(start, limits, at, cut(at));
    }
}

/// Everything is written to files and checkpointed at once.
fn hasty() -> Limits {
    Limits {
        flush_bytes: 1,
        journal_bytes: 1 << 10,
        journal_segment_bytes: 1 << 10,
        segment_bytes: 1 << 10,
        checkpoint_age: Duration::from_millis(1),
        ..tiny()
    }
}

#[test]
fn a_power_cut_at_any_step_of_a_new_store_keeps_what_was_acknowledged() {
    everywhere(&Start::default(), &tiny(), |_| Cut::Strict);
}

#[test]
fn a_power_cut_at_any_step_keeps_what_was_acknowledged() {
    everywhere(&filled(), &tiny(), |_| Cut::Strict);
}

#[test]
fn a_power_cut_that_leaves_some_of_what_was_not_synced_keeps_what_was_acknowledged() {
    everywhere(&filled(), &tiny(), Cut::Lenient);
}

#[test]
fn a_power_cut_of_a_new_store_that_leaves_some_of_what_was_not_synced_does_too() {
    everywhere(&Start::default(), &hasty(), |at| Cut::Lenient(at + 1_000));
}

#[test]
fn a_power_cut_between_many_checkpoints_keeps_what_was_acknowledged() {
    everywhere(&filled(), &hasty(), |_| Cut::Strict);
}

#[test]
fn a_power_cut_between_many_checkpoints_that_leaves_some_of_what_was_not_synced_does_too() {
    everywhere(&filled(), &hasty(), |at| Cut::Lenient(at + 5_000));
}

/// What is torn at the end of the journal was never acknowledged, wherever it is torn.
#[test]
fn a_journal_that_is_torn_at_any_byte_of_its_end_is_opened_with_all_before() {
    run(async {
        let disk = Simulated::default();
        let (_service, broker) = open(&disk, Limits::default()).unwrap();
        let name = made(&broker, "a").await;
        publish(&broker, &name, "kept").await;
        let file = "00000000000000000000.log";
        let before = disk.bytes(file).len();
        publish(&broker, &name, "torn").await;
        let whole = disk.bytes(file);
        let disk = disk.kill();
        for len in before..=whole.len() {
            for garbage in [None, Some(0_u8), Some(0xa5)] {
                let disk = disk.copy();
                let mut bytes = whole[..len].to_vec();
                if let Some(garbage) = garbage {
                    bytes.resize(whole.len() + 10, garbage);
                }
                disk.put(file, bytes);
                let (service, broker) = open(&disk, Limits::default()).unwrap();
                let payloads: Vec<String> =
                    all(&broker, &name).await.iter().map(super::text).collect();
                let is_whole = len == whole.len();
                let expected: &[&str] = if is_whole { &["kept", "torn"] } else { &["kept"] };
                assert_eq!(payloads, expected, "{len} bytes of {}", whole.len());
                let next = publish(&broker, &name, "next").await;
                assert_eq!(next, if is_whole { 3 } else { 2 });
                drop(service);
            }
        }
    });
}
