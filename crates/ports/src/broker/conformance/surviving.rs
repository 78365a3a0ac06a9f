//! Clauses about what an engine keeps beyond its end.

use super::{
    World,
    kit::{
        LOOK, SHORT, as_strs, drain_all, from_start, group, keyed, message, numbers, ok, publish,
        publish_all, read_all, settle, status, subscribe, take, take_one, text, texts, until,
        with_id, with_topic, within,
    },
};
use crate::broker::{
    Broker, Delivery, GroupConfig, Message, Offset, Reader, Settle, Start, Subscription,
    TopicConfig, TopicName,
};
use std::{collections::BTreeSet, time::Duration};

/// Topics and messages are as they were, to the last byte.
pub async fn acknowledged_messages_survive_the_end_of_the_engine(world: &dyn World) {
    let mut broker = world.open().await;
    let topic = with_topic(&*broker).await;
    let other = super::kit::topic("other");
    let config =
        TopicConfig { retain: None, dedup_window: Duration::ZERO, ..TopicConfig::default() };
    for round in 0..4 {
        ok(broker.ensure_topic(&other, config).await);
        publish_all(&*broker, &topic, &["x".repeat(5_000).as_str(); 20]).await;
        for number in 0..5 {
            let text = format!("{round} {number}");
            publish(&*broker, &topic, keyed("key", &text)).await;
            publish(&*broker, &other, message(&text)).await;
        }
        let before = (
            read_all(world, &*broker, &topic).await,
            read_all(world, &*broker, &other).await,
            ok(broker.topic(&other).await).config,
        );
        if round == 2 {
            ok(broker.remove_topic(&topic).await);
            with_topic(&*broker).await;
        }
        let Some(again) = world.restart().await else { return };
        broker = again;
        let topics = ok(broker.topics().await);
        assert_eq!(topics.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["other", "t"]);
        let after = (
            read_all(world, &*broker, &topic).await,
            read_all(world, &*broker, &other).await,
            ok(broker.topic(&other).await).config,
        );
        let removed = if round == 2 { Vec::new() } else { before.0 };
        assert_eq!(after, (removed, before.1, before.2));
    }
    let messages = read_all(world, &*broker, &topic).await;
    assert_eq!(messages.len(), 25, "one round since it was made again");
}

/// Everything that was not settled comes again; what was, does not.
pub async fn groups_and_settlements_survive_the_end_of_the_engine(world: &dyn World) {
    let broker = world.open().await;
    let topic = with_topic(&*broker).await;
    publish_all(&*broker, &topic, &as_strs(&numbers(10..22))).await;
    let config = GroupConfig { max_in_flight: 100, ..from_start(SHORT * 4) };
    let mut subscription = subscribe(&*broker, &topic, "g", config).await;
    let start = world.now();
    let deliveries = take(world, &mut *subscription, 12).await;
    settle(&*broker, &topic, "g", &deliveries[..4], Settle::Ack).await;
    let is_timely = world.now() - start < config.ack_wait;
    let back = Settle::Nack(Duration::ZERO);
    settle(&*broker, &topic, "g", &deliveries[4..8], back).await;
    drop(subscribe(&*broker, &topic, "end", GroupConfig::default()).await);
    let Some(broker) = world.restart().await else { return };
    let groups = ok(broker.groups(&topic).await);
    assert_eq!(groups.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["end", "g"]);
    assert_eq!(
        groups.iter().map(|it| it.config).collect::<Vec<_>>(),
        [GroupConfig::default(), config]
    );
    publish(&*broker, &topic, message("22")).await;
    // A receipt from before is one: whether it counts is open.
    settle(&*broker, &topic, "g", &deliveries[8..9], Settle::Extend).await;
    let mut subscription = subscribe(&*broker, &topic, "g", config).await;
    let seen = drain_all(world, &*broker, (&topic, "g"), &mut *subscription).await;
    let seen: BTreeSet<String> = seen.iter().map(text).collect();
    let left: BTreeSet<String> = texts(&deliveries[4..]).into_iter().chain(["22".into()]).collect();
    assert!(left.is_subset(&seen), "{left:?} of {seen:?}");
    if is_timely && world.keeps_settlements() {
        assert_eq!(seen, left);
    }
    let mut end = subscribe(&*broker, &topic, "end", from_start(SHORT)).await;
    let seen = drain_all(world, &*broker, (&topic, "end"), &mut *end).await;
    assert_eq!(seen.iter().map(text).collect::<Vec<_>>(), ["22"]);
}

/// A message that kills whoever takes it is not new for ever.
pub async fn attempts_are_counted_over_the_end_of_the_engine(world: &dyn World) {
    let broker = world.open().await;
    let topic = with_topic(&*broker).await;
    let offset = publish(&*broker, &topic, message("m")).await.offset;
    let mut subscription = subscribe(&*broker, &topic, "g", from_start(SHORT)).await;
    for _ in 0..2 {
        let delivery = take_one(world, &mut *subscription).await;
        let back = Settle::Nack(Duration::ZERO);
        settle(&*broker, &topic, "g", &[delivery], back).await;
    }
    take_one(world, &mut *subscription).await;
    let Some(broker) = world.restart().await else { return };
    let mut subscription = subscribe(&*broker, &topic, "g", from_start(SHORT)).await;
    let delivery = take_one(world, &mut *subscription).await;
    assert_eq!((delivery.message.offset, text(&delivery.message)), (offset, "m".to_owned()));
    let counted = if world.keeps_settlements() { 3 } else { 1 };
    assert!(delivery.attempt >= counted, "{delivery:?}");
}

/// The publisher that was not answered asks again after the restart.
pub async fn ids_are_remembered_over_the_end_of_the_engine(world: &dyn World) {
    let mut broker = world.open().await;
    let topic = with_topic(&*broker).await;
    let start = world.now();
    let mut offsets = Vec::new();
    for number in numbers(0..30) {
        offsets.push(publish(&*broker, &topic, with_id(&number, &number)).await.offset);
    }
    for _ in 0..2 {
        let Some(again) = world.restart().await else { return };
        broker = again;
        for (number, offset) in numbers(0..30).iter().zip(&offsets) {
            let published = publish(&*broker, &topic, with_id(number, number)).await;
            if world.now() - start >= TopicConfig::default().dedup_window {
                return;
            }
            assert_eq!((published.offset, published.duplicate), (*offset, true), "{number}");
        }
    }
    let read = read_all(world, &*broker, &topic).await;
    assert_eq!(read.iter().map(text).collect::<Vec<_>>(), numbers(0..30));
}

/// Reads to `last` with a reader from before, and with others when that one ends or says nothing.
async fn read_on(
    world: &dyn World,
    broker: &dyn Broker,
    topic: &TopicName,
    mut reader: Box<dyn Reader>,
    mut messages: Vec<Message>,
    last: Offset,
) -> Vec<String> {
    while messages.last().is_none_or(|message| message.offset < last) {
        match within(world, LOOK * 10, reader.next(10)).await {
            Some(Ok(more)) => messages.extend(more),
            Some(Err(_)) | None => {
                let from = messages.last().map_or(Offset(1), |message| message.offset.next());
                reader = ok(broker.read(topic, Start::Offset(from)).await);
            }
        }
    }
    messages.iter().map(text).collect()
}

/// Takes until all of `expected` were seen, likewise.
async fn take_on(
    world: &dyn World,
    broker: &dyn Broker,
    topic: &TopicName,
    mut subscription: Box<dyn Subscription>,
    expected: &[String],
) {
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let start = world.now();
    while expected.iter().any(|text| !seen.contains(text)) {
        assert!(world.now() - start < super::PATIENCE, "{seen:?} of {expected:?}");
        match within(world, LOOK * 10, subscription.next(10)).await {
            Some(Ok(deliveries)) => {
                let receipts = deliveries.iter().map(|it| (it.receipt.clone(), Settle::Ack));
                ok(broker.settle(topic, &group("g"), receipts.collect()).await);
                seen.extend(texts(&deliveries));
            }
            Some(Err(_)) | None => {
                subscription = subscribe(broker, topic, "g", from_start(SHORT)).await;
            }
        }
    }
}

/// Whoever begins again where it was has seen everything.
pub async fn nobody_misses_anything_over_a_restart(world: &dyn World) {
    let broker = world.open().await;
    let topic = with_topic(&*broker).await;
    let mut reader = ok(broker.read(&topic, Start::Beginning).await);
    let mut subscription = subscribe(&*broker, &topic, "g", from_start(SHORT)).await;
    publish_all(&*broker, &topic, &as_strs(&numbers(0..5))).await;
    let messages = super::kit::read(world, &mut *reader, 3).await;
    let first: Vec<Delivery> = take(world, &mut *subscription, 2).await;
    let Some(broker) = world.restart().await else { return };
    let last = *publish_all(&*broker, &topic, &as_strs(&numbers(5..10)))
        .await
        .last()
        .expect("they were published");
    let found = read_on(world, &*broker, &topic, reader, messages, last).await;
    assert_eq!(found, numbers(0..10));
    // None of them was settled.
    assert_eq!(first.len(), 2);
    take_on(world, &*broker, &topic, subscription, &numbers(0..10)).await;
}

/// Nobody can come back to it.
pub async fn an_ephemeral_group_ends_with_the_engine(world: &dyn World) {
    let broker = world.open().await;
    let topic = with_topic(&*broker).await;
    let config = GroupConfig { durable: false, ..from_start(SHORT) };
    let subscription = subscribe(&*broker, &topic, "passing", config).await;
    drop(subscribe(&*broker, &topic, "stays", from_start(SHORT)).await);
    let Some(broker) = world.restart().await else { return };
    drop(subscription);
    until!(world, "it is forgotten", {
        let groups = ok(broker.groups(&topic).await);
        groups.iter().all(|status| status.name != group("passing"))
    });
    assert_eq!(status(&*broker, &topic, "stays").await.config, from_start(SHORT));
}
