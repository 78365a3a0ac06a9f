//! Clauses about readers.

use super::{
    Task, World,
    kit::{
        as_strs, message, numbers, ok, publish, publish_all, read, read_all, text, try_once,
        with_topic,
    },
};
use crate::broker::{Broker, Message, Offset, Start, TopicName};
use base::Timestamp;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// What a reader that begins at `start` gives first, and then: `count` messages.
async fn from(
    world: &dyn World,
    broker: &dyn Broker,
    topic: &TopicName,
    start: Start,
    count: usize,
) -> Vec<String> {
    let mut reader = ok(broker.read(topic, start).await);
    read(world, &mut *reader, count).await.iter().map(text).collect()
}

/// At the beginning, at the end, or with a message.
pub async fn readers_begin_where_they_are_told(world: &dyn World) {
    let broker = &*world.open().await;
    let topic = with_topic(broker).await;
    let mut end_of_nothing = ok(broker.read(&topic, Start::End).await);
    let offsets = publish_all(broker, &topic, &as_strs(&numbers(0..10))).await;
    let mut end = ok(broker.read(&topic, Start::End).await);
    let mut future = ok(broker.read(&topic, Start::Offset(offsets[9].next())).await);
    assert_eq!(from(world, broker, &topic, Start::Beginning, 10).await, numbers(0..10));
    for (begin, offset) in (0..10).zip(&offsets) {
        let found = from(world, broker, &topic, Start::Offset(*offset), 10 - begin as usize).await;
        assert_eq!(found, numbers(begin..10));
    }
    for first in [Offset(0), Offset(1)] {
        assert_eq!(from(world, broker, &topic, Start::Offset(first), 1).await, ["0"]);
    }
    let later = Offset(offsets[9].0 + 3);
    let mut far = ok(broker.read(&topic, Start::Offset(later)).await);
    let more = publish_all(broker, &topic, &as_strs(&numbers(10..15))).await;
    for reader in [&mut end, &mut future] {
        let found = read(world, &mut **reader, 5).await;
        assert_eq!(found.iter().map(text).collect::<Vec<_>>(), numbers(10..15));
    }
    let all = read(world, &mut *end_of_nothing, 15).await;
    assert_eq!(all.iter().map(text).collect::<Vec<_>>(), numbers(0..15));
    let expected = more.iter().find(|offset| **offset >= later).expect("there are enough");
    assert_eq!(read(world, &mut *far, 1).await[0].offset, *expected);
}

/// With the first message that was taken then or later.
pub async fn readers_begin_at_a_time(world: &dyn World) {
    let broker = &*world.open().await;
    let topic = with_topic(broker).await;
    for number in numbers(0..4) {
        publish(broker, &topic, message(&number)).await;
        world.pass(Duration::from_millis(20)).await;
    }
    let all = read_all(world, broker, &topic).await;
    for message in &all {
        for time in [message.time, Timestamp(message.time.0 - 1)] {
            let first = all.iter().find(|other| other.time >= time).expect("it is there itself");
            let found = from(world, broker, &topic, Start::Time(time), 1).await;
            assert_eq!(found, [text(first)]);
        }
    }
    assert_eq!(from(world, broker, &topic, Start::Time(Timestamp(0)), 4).await, numbers(0..4));
    assert!(all[0].time < all[3].time, "time passed: {all:?}");
    let past_all = Timestamp(all[3].time.0 + 1);
    let mut later = ok(broker.read(&topic, Start::Time(past_all)).await);
    world.pass(Duration::from_millis(20)).await;
    publish(broker, &topic, message("4")).await;
    assert_eq!(text(&read(world, &mut *later, 1).await[0]), "4");
}

/// It is not asked again and again.
pub async fn a_reader_waits_for_what_comes(world: &dyn World) {
    let broker = world.open().await;
    let topic = with_topic(&*broker).await;
    let found: Arc<Mutex<Vec<String>>> = Arc::default();
    let mut tasks: Vec<Task> = Vec::new();
    for start in [Start::Beginning, Start::End] {
        let mut reader = ok(broker.read(&topic, start).await);
        let found = Arc::clone(&found);
        tasks.push(Box::pin(async move {
            let mut texts = Vec::new();
            while texts.len() < 20 {
                texts.extend(ok(reader.next(7).await).iter().map(text));
            }
            found.lock().unwrap_or_else(PoisonError::into_inner).push(texts.join(" "));
        }));
    }
    tasks.push(Box::pin(async move {
        for number in numbers(0..20) {
            publish(&*broker, &topic, message(&number)).await;
        }
    }));
    world.together(tasks).await;
    let expected = numbers(0..20).join(" ");
    let found = found.lock().unwrap_or_else(PoisonError::into_inner).clone();
    assert_eq!(found, [expected.clone(), expected]);
}

/// At least one, at most so many.
pub async fn a_reader_gives_at_most_what_is_asked_for(world: &dyn World) {
    let broker = &*world.open().await;
    let topic = with_topic(broker).await;
    publish_all(broker, &topic, &as_strs(&numbers(0..900))).await;
    publish_all(broker, &topic, &as_strs(&numbers(900..1_800))).await;
    for max in [1, 7, 1_000, usize::MAX] {
        let mut reader = ok(broker.read(&topic, Start::Beginning).await);
        let mut found = Vec::new();
        while found.len() < 1_800.min(max.saturating_mul(5)) {
            let more = ok(super::kit::patiently(world, "a message", reader.next(max)).await);
            assert!((1..=max.min(1_000)).contains(&more.len()), "{} for {max}", more.len());
            found.extend(more.iter().map(text));
        }
        let count = u32::try_from(found.len()).expect("it is small");
        assert_eq!(found, numbers(0..count));
    }
}

/// Everybody sees the same, and each publisher's messages as they were published.
pub async fn readers_see_one_order_while_many_publish(world: &dyn World) {
    const PUBLISHERS: usize = 6;
    const EACH: usize = 40;
    const READERS: usize = 4;
    let broker = world.open().await;
    let topic = with_topic(&*broker).await;
    let seen: Arc<Mutex<Vec<Vec<Message>>>> = Arc::default();
    let mut tasks: Vec<Task> = Vec::new();
    for _ in 0..READERS {
        let mut reader = ok(broker.read(&topic, Start::Beginning).await);
        let seen = Arc::clone(&seen);
        tasks.push(Box::pin(async move {
            let mut messages = Vec::new();
            while messages.len() < PUBLISHERS * EACH {
                messages.extend(ok(reader.next(50).await));
            }
            seen.lock().unwrap_or_else(PoisonError::into_inner).push(messages);
        }));
    }
    for publisher in 0..PUBLISHERS {
        let (broker, topic) = (Arc::clone(&broker), topic.clone());
        tasks.push(Box::pin(async move {
            let mut last = Offset(0);
            for number in 0..EACH {
                let text = format!("{publisher} {number}");
                let published = publish(&*broker, &topic, message(&text)).await;
                assert!(published.offset > last);
                last = published.offset;
            }
        }));
    }
    world.together(tasks).await;
    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
    assert!(seen.iter().all(|messages| *messages == seen[0]), "readers disagree");
    assert!(seen[0].is_sorted_by(|one, next| one.offset < next.offset));
    for publisher in 0..PUBLISHERS {
        let prefix = format!("{publisher} ");
        let own = seen[0].iter().map(text).filter(|text| text.starts_with(&prefix));
        let expected: Vec<String> = (0..EACH).map(|number| format!("{prefix}{number}")).collect();
        assert_eq!(own.collect::<Vec<_>>(), expected);
    }
}

/// A caller that waits for several things drops the calls that came second.
pub async fn calls_to_next_of_a_reader_may_be_dropped(world: &dyn World) {
    let broker = &*world.open().await;
    let topic = with_topic(broker).await;
    let mut reader = ok(broker.read(&topic, Start::End).await);
    let mut found = Vec::new();
    for number in numbers(0..60) {
        publish(broker, &topic, message(&number)).await;
        for _ in 0..2 {
            if let Some(messages) = try_once(reader.next(3)).await {
                found.extend(ok(messages).iter().map(text));
            }
        }
        world.pause().await;
    }
    let rest = read(world, &mut *reader, 60 - found.len()).await;
    found.extend(rest.iter().map(text));
    assert_eq!(found, numbers(0..60));
}
