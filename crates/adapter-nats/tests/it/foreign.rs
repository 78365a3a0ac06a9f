//! Several nodes and systems on one NATS, and others who use it in their own way.

use crate::cluster;
use adapter_nats::{Config, Nats};
use ports::broker::{
    Broker, Delivery, EPHEMERAL_GRACE, Error, GroupConfig, GroupName, NewMessage, Offset, Settle,
    Start, Subscription, TopicConfig, TopicName,
};
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(60);

fn topic() -> TopicName {
    TopicName::new("a.b").unwrap()
}

fn group(name: &str) -> GroupName {
    GroupName::new(name).unwrap()
}

fn from_start() -> GroupConfig {
    GroupConfig {
        start: Start::Beginning,
        ack_wait: Duration::from_secs(3_600),
        ..GroupConfig::default()
    }
}

async fn take(subscription: &mut dyn Subscription, count: usize) -> Vec<Delivery> {
    let mut taken = Vec::new();
    while taken.len() < count {
        let next = timeout(PATIENCE, subscription.next(count - taken.len())).await;
        taken.extend(next.expect("it comes").unwrap());
    }
    taken
}

#[test]
fn systems_do_not_see_each_other() {
    cluster::with(1, |cluster| async move {
        let one = cluster.engine().await;
        let config = Config { prefix: "suite-2".to_owned(), ..cluster.config() };
        let other = Nats::connect(&config).unwrap();
        one.ensure_topic(&topic(), TopicConfig::default()).await.unwrap();
        assert_eq!(other.topics().await.unwrap(), []);
        assert!(matches!(other.topic(&topic()).await, Err(Error::NoTopic(_))));
        other.ensure_topic(&topic(), TopicConfig::default()).await.unwrap();
        other.publish(&topic(), vec![NewMessage::new("m")]).await.unwrap();
        assert_eq!(one.topic(&topic()).await.unwrap().messages, 0);
        other.remove_topic(&topic()).await.unwrap();
        assert_eq!(one.topics().await.unwrap().len(), 1);
    });
}

#[test]
fn a_publisher_finds_out_that_ids_are_compared_or_not() {
    cluster::with(1, |cluster| async move {
        let (one, other) = (cluster.engine().await, cluster.engine().await);
        let compared = TopicConfig::default();
        let free = TopicConfig { dedup_window: Duration::ZERO, ..compared };
        let message = || vec![NewMessage { id: Some("same".to_owned()), ..NewMessage::new("m") }];
        let mut found = Vec::new();
        for config in [compared, free, compared, free] {
            one.ensure_topic(&topic(), config).await.unwrap();
            for _ in 0..2 {
                found.push(other.publish(&topic(), message()).await.unwrap()[0].duplicate);
            }
        }
        assert_eq!(found, [false, true, false, false, true, true, false, false]);
        assert_eq!(other.topic(&topic()).await.unwrap().messages, 5);
    });
}

#[test]
fn a_group_that_many_make_at_once_is_one() {
    cluster::with(1, |cluster| async move {
        let one = cluster.engine().await;
        one.ensure_topic(&topic(), TopicConfig::default()).await.unwrap();
        let messages = (0..100).map(|number| NewMessage::new(number.to_string())).collect();
        one.publish(&topic(), messages).await.unwrap();
        let mut nodes = Vec::new();
        for _ in 0..6 {
            nodes.push(cluster.engine().await);
        }
        let mut joining = tokio::task::JoinSet::new();
        for node in nodes {
            joining.spawn(async move {
                let subscription = node.subscribe(&topic(), &group("g"), from_start()).await;
                (node, subscription.unwrap())
            });
        }
        let mut members = Vec::new();
        while let Some(member) = joining.join_next().await {
            members.push(member.unwrap());
        }
        // Once more, when all are there: whatever was made too much is gone.
        let mut last = one.subscribe(&topic(), &group("g"), from_start()).await.unwrap();
        assert_eq!(one.topic(&topic()).await.unwrap().groups, 1);
        let mut offsets = Vec::new();
        for (_, member) in &mut members {
            offsets.extend(take(&mut **member, 10).await);
        }
        offsets.extend(take(&mut *last, 40).await);
        let mut offsets: Vec<Offset> = offsets.iter().map(|it| it.message.offset).collect();
        offsets.sort_unstable();
        assert_eq!(offsets, (1..=100).map(Offset).collect::<Vec<_>>());
    });
}

#[test]
fn a_group_that_is_sent_elsewhere_takes_its_subscriptions_along() {
    cluster::with(1, |cluster| async move {
        let (one, other) = (cluster.engine().await, cluster.engine().await);
        one.ensure_topic(&topic(), TopicConfig::default()).await.unwrap();
        let messages = (0..5).map(|number| NewMessage::new(number.to_string())).collect();
        one.publish(&topic(), messages).await.unwrap();
        let mut there = other.subscribe(&topic(), &group("g"), from_start()).await.unwrap();
        for _ in 0..3 {
            let taken = take(&mut *there, 5).await;
            assert!(taken.iter().all(|it| it.attempt == 1), "{taken:?}");
            let done = taken[..3].iter().map(|it| (it.receipt.clone(), Settle::Ack)).collect();
            other.settle(&topic(), &group("g"), done).await.unwrap();
            one.seek(&topic(), &group("g"), Start::Beginning).await.unwrap();
            // What the group was before is over.
            let late = taken[3..].iter().map(|it| (it.receipt.clone(), Settle::Ack)).collect();
            other.settle(&topic(), &group("g"), late).await.unwrap();
            assert_eq!(one.groups(&topic()).await.unwrap()[0].lag, 5);
        }
    });
}

#[test]
fn what_is_in_flight_behind_a_purge_is_not_forgotten() {
    cluster::with(1, |cluster| async move {
        let nats = cluster.engine().await;
        nats.ensure_topic(&topic(), TopicConfig::default()).await.unwrap();
        let messages = (1..=8).map(|number| NewMessage::new(number.to_string())).collect();
        nats.publish(&topic(), messages).await.unwrap();
        let mut subscription = nats.subscribe(&topic(), &group("g"), from_start()).await.unwrap();
        let taken = take(&mut *subscription, 6).await;
        let offset = |delivery: &Delivery| delivery.message.offset.0;
        let is_done = |delivery: &&Delivery| [1, 3, 5].contains(&offset(delivery));
        let done =
            taken.iter().filter(is_done).map(|it| (it.receipt.clone(), Settle::Ack)).collect();
        nats.settle(&topic(), &group("g"), done).await.unwrap();
        assert_eq!(nats.purge(&topic(), Some(Offset(4))).await.unwrap(), 3);
        // Nobody has settled 4 and 6: they come again, whatever the server made of them.
        let back = taken.iter().filter(|it| [4, 6].contains(&offset(it)));
        let back = back.map(|it| (it.receipt.clone(), Settle::Nack(Duration::ZERO))).collect();
        nats.settle(&topic(), &group("g"), back).await.unwrap();
        let mut missing = BTreeSet::from([4, 6, 7, 8]);
        while !missing.is_empty() {
            for delivery in take(&mut *subscription, 1).await {
                missing.remove(&offset(&delivery));
            }
        }
    });
}

#[test]
fn an_ephemeral_group_stays_while_its_subscription_works() {
    cluster::with(1, |cluster| async move {
        let nats = cluster.engine().await;
        nats.ensure_topic(&topic(), TopicConfig::default()).await.unwrap();
        let messages = (0..3).map(|number| NewMessage::new(number.to_string())).collect();
        nats.publish(&topic(), messages).await.unwrap();
        let config = GroupConfig { durable: false, ..from_start() };
        let mut subscription = nats.subscribe(&topic(), &group("g"), config).await.unwrap();
        let first = take(&mut *subscription, 1).await;
        let start = Instant::now();
        while start.elapsed() < EPHEMERAL_GRACE + EPHEMERAL_GRACE / 3 {
            let groups = nats.groups(&topic()).await.unwrap();
            assert_eq!(groups.len(), 1, "it is gone after {:?}", start.elapsed());
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let receipts = vec![(first[0].receipt.clone(), Settle::Ack)];
        nats.settle(&topic(), &group("g"), receipts).await.unwrap();
        let rest = take(&mut *subscription, 2).await;
        assert!(rest.iter().all(|it| it.attempt == 1), "{rest:?}");
        assert_eq!(nats.groups(&topic()).await.unwrap()[0].lag, 2);
    });
}

#[test]
fn what_others_publish_is_read() {
    cluster::with(1, |cluster| async move {
        let nats = cluster.engine().await;
        nats.ensure_topic(&topic(), TopicConfig::default()).await.unwrap();
        let other = async_nats::connect(cluster.address(0)).await.unwrap();
        let subject = "suite.id.a~b";
        other.request(subject, "bare".into()).await.unwrap();
        let mut headers = async_nats::HeaderMap::new();
        headers.insert("Nats-Msg-Id", "theirs");
        headers.insert("Flotilla-Key", "no base64!");
        other.request_with_headers(subject, headers, "with headers".into()).await.unwrap();
        let mut reader = nats.read(&topic(), Start::Beginning).await.unwrap();
        let mut read = Vec::new();
        while read.len() < 2 {
            read.extend(timeout(PATIENCE, reader.next(2)).await.unwrap().unwrap());
        }
        assert_eq!(read[0].payload, "bare");
        assert_eq!(read[0].id, "suite=a~b.1");
        assert_eq!((read[1].id.as_str(), &read[1].key), ("theirs", &None));
    });
}

#[test]
fn replicas_without_a_cluster_are_refused() {
    cluster::with(1, |cluster| async move {
        let nats = Nats::connect(&Config { replicas: 3, ..cluster.config() }).unwrap();
        cluster.ready(&nats).await;
        let error = nats.ensure_topic(&topic(), TopicConfig::default()).await.unwrap_err();
        assert!(matches!(error, Error::Refused { .. }), "{error:?}");
        assert!(format!("{error:?}").contains("replicas"), "{error:?}");
    });
}
