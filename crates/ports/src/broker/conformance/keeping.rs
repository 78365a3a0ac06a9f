//! Clauses about what a topic keeps, and for how long.

use super::{
    World,
    kit::{
        LONG, as_strs, from_start, message, numbers, ok, patiently, publish, publish_all, read,
        read_all, status, subscribe, take, text, texts, topic, until, with_topic, within,
    },
};
use crate::broker::{Broker, Message, NewMessage, Offset, Start, TopicConfig, TopicName};
use base::ByteSize;
use std::time::Duration;

/// All that is there up to `last`, however much goes meanwhile.
async fn read_to(
    world: &dyn World,
    broker: &dyn Broker,
    topic: &TopicName,
    last: Offset,
) -> Vec<Message> {
    let mut reader = ok(broker.read(topic, Start::Beginning).await);
    let mut messages: Vec<Message> = Vec::new();
    while messages.last().is_none_or(|message| message.offset < last) {
        messages.extend(ok(patiently(world, "the newest message", reader.next(100)).await));
    }
    messages
}

/// Up to somewhere, or all of them; offsets go on growing.
pub async fn purged_messages_are_gone(world: &dyn World) {
    let broker = &*world.open().await;
    let topic = with_topic(broker).await;
    let offsets = publish_all(broker, &topic, &as_strs(&numbers(0..10))).await;
    let mut reader = ok(broker.read(&topic, Start::Beginning).await);
    read(world, &mut *reader, 2).await;
    let mut begun = subscribe(broker, &topic, "begun", from_start(LONG)).await;
    take(world, &mut *begun, 2).await;
    drop(subscribe(broker, &topic, "idle", from_start(LONG)).await);
    assert_eq!(ok(broker.purge(&topic, Some(offsets[6])).await), 6);
    assert_eq!(ok(broker.purge(&topic, Some(offsets[6])).await), 0);
    let left = ok(broker.topic(&topic).await);
    assert_eq!((left.first, left.last, left.messages), (offsets[6], offsets[9], 4));
    let all = read_all(world, broker, &topic).await;
    assert_eq!(all.iter().map(text).collect::<Vec<_>>(), numbers(6..10));
    // A reader may have had some of them at hand.
    let mut rest: Vec<Message> = Vec::new();
    while rest.last().is_none_or(|message| message.offset < offsets[9]) {
        rest.extend(ok(patiently(world, "the rest", reader.next(10)).await));
    }
    assert!(rest.is_sorted_by(|one, next| one.offset < next.offset), "{rest:?}");
    assert_eq!(rest.iter().rev().take(4).map(text).collect::<Vec<_>>(), ["9", "8", "7", "6"]);
    for name in ["begun", "idle"] {
        until!(world, "what is gone is no lag", status(broker, &topic, name).await.lag == 4);
    }
    assert_eq!(texts(&take(world, &mut *begun, 4).await), numbers(6..10));
    assert_eq!(ok(broker.purge(&topic, None).await), 4);
    assert_eq!(ok(broker.purge(&topic, None).await), 0);
    assert_eq!(ok(broker.topic(&topic).await).messages, 0);
    let next = publish(broker, &topic, message("10")).await.offset;
    assert!(next > offsets[9]);
    let status = ok(broker.topic(&topic).await);
    assert_eq!((status.first, status.last, status.messages), (next, next, 1));
    assert_eq!(text(&read(world, &mut *reader, 1).await[0]), "10");
}

/// At least what was asked for is kept, and not everything for ever.
pub async fn what_is_beyond_the_size_goes_oldest_first(world: &dyn World) {
    const SIZE: usize = 100_000;
    const MOST: usize = (64 << 20) / SIZE;
    let broker = &*world.open().await;
    let topic = topic("t");
    let config =
        TopicConfig { retain: None, max_bytes: Some(ByteSize(1 << 20)), ..TopicConfig::default() };
    ok(broker.ensure_topic(&topic, config).await);
    let mut offsets: Vec<Offset> = Vec::new();
    while offsets.len() < MOST {
        let batch = (0..10).map(|_| NewMessage::new(vec![b'x'; SIZE])).collect();
        let published = ok(broker.publish(&topic, batch).await);
        offsets.extend(published.iter().map(|published| published.offset));
        let first = ok(broker.topic(&topic).await).first;
        if first > offsets[0] && offsets.len() >= 40 {
            break;
        }
    }
    until!(world, "something goes", ok(broker.topic(&topic).await).first > offsets[0]);
    let last = *offsets.last().expect("there are some");
    // A reader may come to a place after retention has: then what it found before is not kept any more.
    let kept = loop {
        let first = ok(broker.topic(&topic).await).first;
        let kept = read_to(world, broker, &topic, last).await;
        if ok(broker.topic(&topic).await).first == first {
            break kept;
        }
    };
    let found: Vec<Offset> = kept.iter().map(|message| message.offset).collect();
    assert_eq!(found[..], offsets[offsets.len() - found.len()..], "the newest ones are kept");
    // What an engine adds to each message may count, and one more that does not fit.
    assert!((found.len() + 2) * SIZE >= 1 << 20, "only {} are kept", found.len());
}

/// As soon as the engine comes to it.
pub async fn what_is_too_old_goes_and_nothing_else(world: &dyn World) {
    let broker = &*world.open().await;
    let topic = topic("t");
    let retain = Duration::from_secs(1);
    let config =
        TopicConfig { retain: Some(retain), dedup_window: retain, ..TopicConfig::default() };
    ok(broker.ensure_topic(&topic, config).await);
    let mut group = subscribe(broker, &topic, "g", from_start(LONG)).await;
    let begin = world.now();
    // Since when a message is there at the earliest, by the engine's clock.
    let mut published: Vec<(Duration, Offset)> = Vec::new();
    loop {
        let before = world.now();
        published.push((before, publish(broker, &topic, message("m")).await.offset));
        let status = ok(broker.topic(&topic).await);
        let after = world.now();
        let young = published.iter().find(|(before, _)| after - *before < retain);
        if let Some((_, offset)) = young {
            assert!(status.first <= *offset, "{offset} is young: {status:?}");
        }
        if status.first > published[0].1 {
            break;
        }
        assert!(after - begin < super::PATIENCE, "nothing goes: {status:?}");
        world.pass(retain / 4).await;
    }
    // While somebody goes on publishing, because what is left would soon be too old as well.
    let mut reader = ok(broker.read(&topic, Start::Beginning).await);
    let (mut kept, mut delivered) = (None, None);
    let (mut kept_next, mut delivered_next) = (reader.next(10), group.next(10));
    until!(world, "what is left is read and delivered", {
        publish(broker, &topic, message("m")).await;
        if kept.is_none() {
            kept = within(world, retain, &mut kept_next).await.map(ok);
        }
        if delivered.is_none() {
            delivered = within(world, retain, &mut delivered_next).await.map(ok);
        }
        kept.is_some() && delivered.is_some()
    });
    let kept = kept.expect("it was read")[0].offset;
    let delivered = delivered.expect("it was delivered")[0].message.offset;
    assert!(kept > published[0].1 && delivered > published[0].1, "{kept} {delivered}");
}
