//! NATS that is not there, dies, stands still and loses its leader, while others work with it.

use crate::cluster::{self, Cluster};
use adapter_nats::Nats;
use ports::broker::{
    Broker, Error, GroupConfig, GroupName, NewMessage, Offset, Settle, Start, TopicConfig,
    TopicName,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

/// Longer than any call may take, on a machine that is busy with something else too.
const CALL_TIME_MAX: Duration = Duration::from_secs(30);

const PUBLISHERS: usize = 4;
const TAKERS: usize = 2;

fn topic() -> TopicName {
    TopicName::new("work.of/all").unwrap()
}

fn group() -> GroupName {
    GroupName::new("workers").unwrap()
}

/// A result that may be a failure of NATS, and nothing else, and did not take long.
#[track_caller]
fn judge<T>(result: Result<T, Error>, start: Instant) -> Option<T> {
    assert!(start.elapsed() < CALL_TIME_MAX, "it took {:?}", start.elapsed());
    match result {
        Ok(value) => Some(value),
        Err(Error::Unavailable { .. } | Error::Unknown { .. }) => None,
        Err(error) => panic!("{error:?}"),
    }
}

#[derive(Default)]
struct Ledger {
    acknowledged: BTreeMap<String, Offset>,
    delivered: BTreeSet<String>,
}

/// Publishers and takers that go on whatever happens.
struct Work {
    ledger: Arc<Mutex<Ledger>>,
    is_over: Arc<AtomicBool>,
    publishers: JoinSet<()>,
    takers: JoinSet<()>,
    nats: Nats,
}

impl Work {
    async fn start(cluster: &Cluster) -> Self {
        let nats = cluster.engine().await;
        nats.ensure_topic(&topic(), TopicConfig::default()).await.unwrap();
        let ledger = Arc::<Mutex<Ledger>>::default();
        let is_over = Arc::<AtomicBool>::default();
        let (mut publishers, mut takers) = (JoinSet::new(), JoinSet::new());
        for number in 0..PUBLISHERS {
            let (nats, ledger) = (nats.clone(), Arc::clone(&ledger));
            let is_over = Arc::clone(&is_over);
            publishers.spawn(publish(nats, ledger, is_over, number));
        }
        for _ in 0..TAKERS {
            let (nats, ledger) = (nats.clone(), Arc::clone(&ledger));
            takers.spawn(take(nats, ledger));
        }
        Self { ledger, is_over, publishers, takers, nats }
    }

    fn counts(&self) -> (usize, usize) {
        let ledger = self.ledger.lock().unwrap();
        (ledger.acknowledged.len(), ledger.delivered.len())
    }

    /// Waits until so many more were acknowledged and delivered.
    async fn goes_on(&self, count: usize) {
        let (acknowledged, delivered) = self.counts();
        let start = Instant::now();
        loop {
            let now = self.counts();
            if now.0 >= acknowledged + count && now.1 >= delivered + count {
                return;
            }
            assert!(start.elapsed() < Duration::from_secs(120), "nothing goes on: {now:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Ends the work: everything that was acknowledged is there, once, and was delivered.
    async fn finish(mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        while let Some(end) = self.publishers.join_next().await {
            end.unwrap();
        }
        let start = Instant::now();
        while self.counts().1 < self.counts().0 {
            assert!(start.elapsed() < Duration::from_secs(120), "{:?}", self.counts());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.takers.shutdown().await;
        let status = self.nats.topic(&topic()).await.unwrap();
        let mut reader = self.nats.read(&topic(), Start::Beginning).await.unwrap();
        let mut read = BTreeMap::new();
        let mut last = Offset(0);
        while last < status.last {
            for message in reader.next(1_000).await.unwrap() {
                assert!(message.offset > last);
                last = message.offset;
                assert_eq!(read.insert(message.id.clone(), message.offset), None, "{message:?}");
            }
        }
        let ledger = self.ledger.lock().unwrap();
        for (id, offset) in &ledger.acknowledged {
            assert_eq!(read.get(id), Some(offset), "{id} was acknowledged");
        }
        assert_eq!(read.len(), ledger.acknowledged.len(), "publishers tried until they knew");
    }
}

async fn publish(nats: Nats, ledger: Arc<Mutex<Ledger>>, is_over: Arc<AtomicBool>, number: usize) {
    let mut turn = 0;
    while !is_over.load(Ordering::SeqCst) {
        turn += 1;
        let message = |part: usize| NewMessage {
            id: Some(format!("{number}.{turn}.{part}")),
            ..NewMessage::new("x".repeat(200))
        };
        let batch: Vec<NewMessage> = (0..3).map(message).collect();
        loop {
            let start = Instant::now();
            let published = judge(nats.publish(&topic(), batch.clone()).await, start);
            let Some(published) = published else {
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            };
            let mut ledger = ledger.lock().unwrap();
            for (message, published) in batch.iter().zip(published) {
                let id = message.id.clone().unwrap();
                ledger.acknowledged.insert(id, published.offset);
            }
            break;
        }
    }
}

async fn take(nats: Nats, ledger: Arc<Mutex<Ledger>>) {
    let config = GroupConfig {
        start: Start::Beginning,
        ack_wait: Duration::from_secs(2),
        ..GroupConfig::default()
    };
    loop {
        let start = Instant::now();
        let subscribed = judge(nats.subscribe(&topic(), &group(), config).await, start);
        let Some(mut subscription) = subscribed else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        // It waits for as long as nothing comes.
        while let Some(deliveries) = judge(subscription.next(50).await, Instant::now()) {
            let receipts = deliveries.iter().map(|it| (it.receipt.clone(), Settle::Ack)).collect();
            let start = Instant::now();
            judge(nats.settle(&topic(), &group(), receipts).await, start);
            let mut ledger = ledger.lock().unwrap();
            ledger.delivered.extend(deliveries.into_iter().map(|it| it.message.id));
        }
    }
}

#[test]
fn a_server_that_is_killed_under_load_loses_nothing() {
    cluster::with(1, |mut cluster| async move {
        let work = Work::start(&cluster).await;
        for round in 0..4 {
            work.goes_on(100 + round * 50).await;
            cluster.kill(0);
            cluster.revive(0);
        }
        work.goes_on(100).await;
        work.finish().await;
    });
}

#[test]
fn a_leader_that_is_killed_is_replaced_and_nothing_is_lost() {
    cluster::with(3, |mut cluster| async move {
        let work = Work::start(&cluster).await;
        for _ in 0..2 {
            work.goes_on(100).await;
            let leader = cluster.leader("suite=work~of+all").await;
            cluster.kill(leader);
            work.goes_on(100).await;
            cluster.revive(leader);
            cluster.in_sync("suite=work~of+all").await;
        }
        work.finish().await;
    });
}

#[test]
fn nothing_waits_for_a_server_that_is_not_there() {
    cluster::with(1, |mut cluster| async move {
        cluster.kill(0);
        let nats = Nats::connect(&cluster.config()).unwrap();
        // The first attempt is waited for, the next ones are not.
        for _ in 0..50 {
            let start = Instant::now();
            let error = nats.topics().await.unwrap_err();
            assert!(matches!(&error, Error::Unavailable { .. }), "{error:?}");
            assert!(start.elapsed() < CALL_TIME_MAX);
        }
        let error = nats.ensure_topic(&topic(), TopicConfig::default()).await.unwrap_err();
        assert!(matches!(&error, Error::Unavailable { .. }), "{error:?}");
        let said = format!("{error:?}");
        assert!(said.contains("refused") && said.contains(&cluster.address(0)), "{said}");
        cluster.revive(0);
        cluster.ready(&nats).await;
        nats.ensure_topic(&topic(), TopicConfig::default()).await.unwrap();
    });
}

#[test]
fn whoever_waits_is_told_that_the_server_is_gone() {
    cluster::with(1, |mut cluster| async move {
        let nats = cluster.engine().await;
        nats.ensure_topic(&topic(), TopicConfig::default()).await.unwrap();
        let mut reader = nats.read(&topic(), Start::Beginning).await.unwrap();
        let config = GroupConfig::default();
        let mut subscription = nats.subscribe(&topic(), &group(), config).await.unwrap();
        let mut waiting = JoinSet::new();
        waiting.spawn(async move { reader.next(1).await.map(|_| ()).unwrap_err() });
        waiting.spawn(async move { subscription.next(1).await.map(|_| ()).unwrap_err() });
        cluster.kill(0);
        let start = Instant::now();
        while let Some(error) = waiting.join_next().await {
            let error = error.unwrap();
            assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
        }
        assert!(start.elapsed() < CALL_TIME_MAX);
    });
}

#[test]
fn a_server_that_stands_still_leaves_the_outcome_open() {
    cluster::with(1, |cluster| async move {
        let nats = cluster.engine().await;
        nats.ensure_topic(&topic(), TopicConfig::default()).await.unwrap();
        let message = || NewMessage { id: Some("one".to_owned()), ..NewMessage::new("m") };
        let name = topic();
        cluster.freeze(0).await;
        let start = Instant::now();
        let (published, looked) =
            tokio::join!(nats.publish(&name, vec![message()]), nats.topic(&name));
        assert!(start.elapsed() < CALL_TIME_MAX);
        assert!(matches!(published, Err(Error::Unknown { .. })), "{published:?}");
        assert!(matches!(looked, Err(Error::Unavailable { .. })), "{looked:?}");
        cluster.thaw(0);
        cluster.ready(&nats).await;
        let start = Instant::now();
        let published = loop {
            match judge(nats.publish(&topic(), vec![message()]).await, start) {
                Some(published) => break published,
                None => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        };
        assert_eq!(published[0].offset, Offset(1), "it is there once");
        assert_eq!(nats.topic(&topic()).await.unwrap().messages, 1);
    });
}
