//! Clauses about groups that go on from elsewhere.

use super::{
    World,
    kit::{
        LONG, SHORT, as_strs, drain_all, from_start, group, message, numbers, ok, publish,
        publish_all, read, settle, status, subscribe, take, text, texts, until, with_topic,
    },
};
use crate::broker::{Broker, Error, Offset, Settle, Start, TopicName};
use std::time::Duration;

/// Ten messages, and a group that has settled them all.
async fn settled(world: &dyn World, broker: &dyn Broker) -> (TopicName, Vec<Offset>) {
    let topic = with_topic(broker).await;
    let mut offsets = publish_all(broker, &topic, &as_strs(&numbers(0..5))).await;
    world.pass(Duration::from_millis(20)).await;
    offsets.extend(publish_all(broker, &topic, &as_strs(&numbers(5..10))).await);
    let mut subscription = subscribe(broker, &topic, "g", from_start(SHORT)).await;
    let seen = drain_all(world, broker, (&topic, "g"), &mut *subscription).await;
    assert_eq!(seen.len(), 10);
    drop(subscription);
    until!(world, "nobody takes part", status(broker, &topic, "g").await.subscriptions == 0);
    (topic, offsets)
}

/// What the group gets after it was sent somewhere.
async fn after(
    world: &dyn World,
    broker: &dyn Broker,
    topic: &TopicName,
    to: Start,
    left: u64,
) -> Vec<String> {
    ok(broker.seek(topic, &group("g"), to).await);
    until!(world, "the lag tells of it", status(broker, topic, "g").await.lag == left);
    let mut subscription = subscribe(broker, topic, "g", from_start(SHORT)).await;
    let seen = drain_all(world, broker, (topic, "g"), &mut *subscription).await;
    drop(subscription);
    until!(world, "nobody takes part", status(broker, topic, "g").await.subscriptions == 0);
    let mut seen: Vec<u32> =
        seen.iter().map(|message| text(message).parse().expect("it is a number")).collect();
    seen.sort_unstable();
    seen.iter().map(ToString::to_string).collect()
}

/// Everything comes once more, under the ids it had.
pub async fn a_group_goes_back_to_the_beginning(world: &dyn World) {
    let broker = &*world.open().await;
    let (topic, _) = settled(world, broker).await;
    for _ in 0..2 {
        let found = after(world, broker, &topic, Start::Beginning, 10).await;
        assert_eq!(found, numbers(0..10));
    }
    // Other groups are where they were.
    let mut other = subscribe(broker, &topic, "other", from_start(LONG)).await;
    assert_eq!(texts(&take(world, &mut *other, 1).await), ["0"]);
    ok(broker.seek(&topic, &group("g"), Start::Beginning).await);
    assert_eq!(status(broker, &topic, "other").await.lag, 10);
}

/// An offset, a time, the end; back and forth.
pub async fn a_group_goes_on_from_where_it_is_sent(world: &dyn World) {
    let broker = &*world.open().await;
    let (topic, offsets) = settled(world, broker).await;
    let mut reader = ok(broker.read(&topic, Start::Offset(offsets[5])).await);
    let time = read(world, &mut *reader, 1).await[0].time;
    for (to, first) in [
        (Start::Offset(offsets[3]), 3),
        (Start::Time(time), 5),
        (Start::Offset(offsets[9]), 9),
        (Start::Offset(Offset(0)), 0),
        (Start::End, 10),
        (Start::Beginning, 0),
        (Start::Offset(offsets[9].next()), 10),
    ] {
        let found = after(world, broker, &topic, to, u64::from(10 - first)).await;
        assert_eq!(found, numbers(first..10), "{to:?}");
    }
    publish(broker, &topic, message("10")).await;
    let mut subscription = subscribe(broker, &topic, "g", from_start(SHORT)).await;
    assert_eq!(texts(&take(world, &mut *subscription, 1).await), ["10"]);
}

/// Who takes part goes on from there, or nothing happens at all.
pub async fn a_group_in_use_is_moved_or_refuses(world: &dyn World) {
    let broker = &*world.open().await;
    let topic = with_topic(broker).await;
    publish_all(broker, &topic, &as_strs(&numbers(0..5))).await;
    let mut subscription = subscribe(broker, &topic, "g", from_start(SHORT)).await;
    let seen = drain_all(world, broker, (&topic, "g"), &mut *subscription).await;
    assert_eq!(seen.len(), 5);
    let sought = broker.seek(&topic, &group("g"), Start::Beginning).await;
    if broker.capabilities().live_seek {
        ok(sought);
        let seen = drain_all(world, broker, (&topic, "g"), &mut *subscription).await;
        assert_eq!(seen.len(), 5);
        return;
    }
    assert!(matches!(sought, Err(Error::InUse { .. })), "{sought:?}");
    assert_eq!(status(broker, &topic, "g").await.lag, 0);
    publish(broker, &topic, message("5")).await;
    assert_eq!(texts(&take(world, &mut *subscription, 1).await), ["5"]);
}

/// What somebody still works on is not done for the group that began anew.
pub async fn what_was_in_flight_is_forgotten_when_a_group_moves(world: &dyn World) {
    let broker = &*world.open().await;
    let topic = with_topic(broker).await;
    publish_all(broker, &topic, &as_strs(&numbers(0..4))).await;
    let mut subscription = subscribe(broker, &topic, "g", from_start(LONG)).await;
    let old = take(world, &mut *subscription, 4).await;
    drop(subscription);
    until!(world, "nobody takes part", status(broker, &topic, "g").await.subscriptions == 0);
    ok(broker.seek(&topic, &group("g"), Start::Beginning).await);
    settle(broker, &topic, "g", &old[..2], Settle::Ack).await;
    let mut subscription = subscribe(broker, &topic, "g", from_start(LONG)).await;
    let new = take(world, &mut *subscription, 4).await;
    let mut found = texts(&new);
    found.sort();
    assert_eq!(found, numbers(0..4));
    // They stand in the same place, and are not the same.
    settle(broker, &topic, "g", &old, Settle::Ack).await;
    let pause = Settle::Nack(Duration::ZERO);
    settle(broker, &topic, "g", &new, pause).await;
    let again = take(world, &mut *subscription, 4).await;
    assert_eq!(again.len(), 4);
    ok(broker.seek(&topic, &group("g"), Start::End).await.or_else(|error| match error {
        Error::InUse { .. } => Ok(()),
        other => Err(other),
    }));
    settle(broker, &topic, "g", &again, Settle::Ack).await;
    assert_eq!(drain_all(world, broker, (&topic, "g"), &mut *subscription).await, []);
}
