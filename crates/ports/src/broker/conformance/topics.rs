//! Clauses about topics, their names and their settings, and the engine as a whole.

use super::{
    World,
    kit::{
        LONG, LOOK, from_start, group, message, ok, patiently, publish, publish_all, read_all,
        settle, subscribe, take, text, topic, until, with_id, with_topic, within,
    },
};
use crate::broker::{
    Error, GroupConfig, NAME_LEN_MAX, Offset, Settle, Start, TopicConfig, TopicName,
};
use base::ByteSize;
use std::time::Duration;

/// What is in it stays when it is ensured again.
pub async fn a_topic_is_made_once_and_its_settings_can_change(world: &dyn World) {
    let broker = &*world.open().await;
    let topic = topic("t");
    let first = TopicConfig {
        retain: Some(Duration::from_secs(3_600)),
        max_bytes: Some(ByteSize(64 << 20)),
        dedup_window: Duration::from_secs(60),
    };
    ok(broker.ensure_topic(&topic, first).await);
    assert_eq!(ok(broker.topic(&topic).await).config, first);
    let offset = publish(broker, &topic, message("m")).await.offset;
    drop(subscribe(broker, &topic, "g", from_start(LONG)).await);
    let second = TopicConfig { retain: None, max_bytes: None, dedup_window: Duration::ZERO };
    for config in [first, second, second, TopicConfig::default()] {
        ok(broker.ensure_topic(&topic, config).await);
        let status = ok(broker.topic(&topic).await);
        assert_eq!((status.config, status.last, status.messages), (config, offset, 1));
        assert_eq!(status.groups, 1);
    }
    assert_eq!(text(&read_all(world, broker, &topic).await[0]), "m");
}

/// A topic that cannot be meant so is not made, and one that is there stays as it is.
pub async fn settings_out_of_bounds_are_refused(world: &dyn World) {
    let broker = &*world.open().await;
    let (good, bad) = (with_topic(broker).await, topic("bad"));
    let normal = TopicConfig::default();
    let day = Duration::from_secs(24 * 3_600 + 1);
    for config in [
        TopicConfig { dedup_window: day, ..normal },
        TopicConfig { retain: Some(Duration::from_millis(999)), ..normal },
        TopicConfig { max_bytes: Some(ByteSize(0)), ..normal },
    ] {
        for topic in [&good, &bad] {
            let result = broker.ensure_topic(topic, config).await;
            assert!(matches!(result, Err(Error::Invalid(_))), "{config:?}: {result:?}");
        }
    }
    assert_eq!(ok(broker.topic(&good).await).config, normal);
    assert!(matches!(broker.topic(&bad).await, Err(Error::NoTopic(name)) if name == bad));
    for config in [
        GroupConfig { ack_wait: Duration::from_millis(99), ..GroupConfig::default() },
        GroupConfig { ack_wait: day, ..GroupConfig::default() },
        GroupConfig { max_in_flight: 0, ..GroupConfig::default() },
        GroupConfig { max_in_flight: u32::MAX, ..GroupConfig::default() },
    ] {
        let result = broker.subscribe(&good, &group("g"), config).await;
        assert!(matches!(result, Err(Error::Invalid(_))), "{config:?}: {result:?}");
    }
    assert_eq!(ok(broker.groups(&good).await), []);
}

/// What is shown to people is true.
pub async fn topics_are_listed_by_name_and_tell_what_they_hold(world: &dyn World) {
    let broker = &*world.open().await;
    assert_eq!(ok(broker.topics().await), []);
    for name in ["b", "c", "a"] {
        ok(broker.ensure_topic(&topic(name), TopicConfig::default()).await);
    }
    let empty = ok(broker.topic(&topic("a")).await);
    assert_eq!((empty.messages, empty.first, empty.last), (0, Offset(1), Offset(0)));
    let offsets = publish_all(broker, &topic("b"), &["1", "2", "3"]).await;
    drop(subscribe(broker, &topic("b"), "g", from_start(LONG)).await);
    until!(world, "the list tells what was done", {
        let statuses = ok(broker.topics().await);
        let names: Vec<&str> = statuses.iter().map(|status| status.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c"]);
        let b = &statuses[1];
        b.messages == 3 && b.groups == 1 && b.bytes > 0
    });
    let status = ok(broker.topic(&topic("b")).await);
    assert_eq!((status.first, status.last), (offsets[0], offsets[2]));
    ok(broker.remove_topic(&topic("a")).await);
    ok(broker.remove_topic(&topic("a")).await);
    until!(world, "the removed one is not listed", ok(broker.topics().await).len() == 2);
}

/// Nothing is made in passing.
pub async fn what_is_not_there_is_told(world: &dyn World) {
    let broker = &*world.open().await;
    let (here, away, g) = (with_topic(broker).await, topic("away"), group("g"));
    let no_topic = |what: &str, error: Option<Error>| {
        let is_told = matches!(&error, Some(Error::NoTopic(name)) if name.as_str() == "away");
        assert!(is_told, "{what}: {error:?}");
    };
    no_topic("topic", broker.topic(&away).await.err());
    no_topic("publish", broker.publish(&away, vec![message("m")]).await.err());
    no_topic("read", broker.read(&away, Start::Beginning).await.err());
    no_topic("subscribe", broker.subscribe(&away, &g, GroupConfig::default()).await.err());
    no_topic("settle", broker.settle(&away, &g, Vec::new()).await.err());
    no_topic("groups", broker.groups(&away).await.err());
    no_topic("seek", broker.seek(&away, &g, Start::Beginning).await.err());
    no_topic("purge", broker.purge(&away, None).await.err());
    let no_group = |what: &str, error: Option<Error>| {
        let is_told = matches!(&error, Some(Error::NoGroup { topic, group })
            if topic.as_str() == "t" && group.as_str() == "g");
        assert!(is_told, "{what}: {error:?}");
    };
    no_group("settle", broker.settle(&here, &g, Vec::new()).await.err());
    no_group("seek", broker.seek(&here, &g, Start::Beginning).await.err());
    ok(broker.remove_group(&here, &g).await);
    ok(broker.remove_topic(&away).await);
    assert_eq!(ok(broker.groups(&here).await), []);
    assert_eq!(ok(broker.topics().await).len(), 1);
}

/// Engines have rules of their own for names; those of the port hold.
pub async fn names_that_look_alike_are_kept_apart(world: &dyn World) {
    let broker = &*world.open().await;
    let long = "x".repeat(NAME_LEN_MAX);
    let other_long = format!("{}y", "x".repeat(NAME_LEN_MAX - 1));
    let names = [
        "a.b",
        "a-b",
        "a_b",
        "a/b",
        "a:b",
        "a@b",
        "A.B",
        "a..b",
        "a//b",
        "a",
        ".",
        "..",
        "/",
        "_",
        "-",
        "_5f",
        "con",
        "a/../b",
        "a_2eb",
        &long,
        &other_long,
    ];
    for name in names {
        ok(broker.ensure_topic(&topic(name), TopicConfig::default()).await);
        publish(broker, &topic(name), message(name)).await;
    }
    for name in names {
        let topic = topic(name);
        let read = read_all(world, broker, &topic).await;
        assert_eq!(read.iter().map(text).collect::<Vec<_>>(), [name]);
    }
    let mut sorted = names.map(topic).to_vec();
    sorted.sort();
    let listed: Vec<TopicName> =
        ok(broker.topics().await).into_iter().map(|status| status.name).collect();
    assert_eq!(listed, sorted);

    let one = topic(&long);
    for name in names {
        let mut subscription = subscribe(broker, &one, name, from_start(LONG)).await;
        let deliveries = take(world, &mut *subscription, 1).await;
        settle(broker, &one, name, &deliveries, Settle::Ack).await;
    }
    let listed: Vec<String> =
        ok(broker.groups(&one).await).iter().map(|status| status.name.to_string()).collect();
    assert_eq!(listed, sorted.iter().map(ToString::to_string).collect::<Vec<_>>());
}

/// Who waits is not left waiting.
pub async fn a_removed_topic_ends_its_readers_and_subscriptions(world: &dyn World) {
    let broker = &*world.open().await;
    let topic = with_topic(broker).await;
    publish(broker, &topic, message("m")).await;
    let mut reader = ok(broker.read(&topic, Start::End).await);
    let mut subscription = subscribe(broker, &topic, "g", GroupConfig::default()).await;
    let (mut message_of_it, mut delivery) = (reader.next(1), subscription.next(1));
    assert!(within(world, LOOK, &mut message_of_it).await.is_none());
    assert!(within(world, LOOK, &mut delivery).await.is_none());
    ok(broker.remove_topic(&topic).await);
    let ended = patiently(world, "the end of the reader", message_of_it).await;
    assert!(matches!(&ended, Err(Error::NoTopic(name)) if *name == topic), "{ended:?}");
    let ended = patiently(world, "the end of the subscription", delivery).await;
    assert!(matches!(&ended, Err(Error::NoTopic(name)) if *name == topic), "{ended:?}");
    let gone = broker.publish(&topic, vec![message("m")]).await;
    assert!(matches!(gone, Err(Error::NoTopic(_))), "{gone:?}");
}

/// It has nothing of its forerunner but the name.
pub async fn a_topic_that_is_made_again_is_empty(world: &dyn World) {
    let broker = &*world.open().await;
    let topic = with_topic(broker).await;
    publish(broker, &topic, with_id("a", "before")).await;
    let mut reader = ok(broker.read(&topic, Start::Beginning).await);
    let mut before = subscribe(broker, &topic, "g", from_start(LONG)).await;
    take(world, &mut *before, 1).await;
    ok(broker.remove_topic(&topic).await);
    with_topic(broker).await;
    let status = ok(broker.topic(&topic).await);
    assert_eq!((status.messages, status.groups), (0, 0));
    assert!(!publish(broker, &topic, with_id("a", "after")).await.duplicate);
    let read = read_all(world, broker, &topic).await;
    assert_eq!(read.iter().map(text).collect::<Vec<_>>(), ["after"]);
    let mut subscription = subscribe(broker, &topic, "g", from_start(LONG)).await;
    let deliveries = take(world, &mut *subscription, 1).await;
    assert_eq!((text(&deliveries[0].message).as_str(), deliveries[0].attempt), ("after", 1));
    // Whoever took part in the forerunner does not in this one. It may have had its messages at hand.
    let ended = loop {
        match patiently(world, "the end of the reader", reader.next(1)).await {
            Ok(messages) => assert_eq!(text(&messages[0]), "before"),
            Err(error) => break error,
        }
    };
    assert!(matches!(&ended, Error::NoTopic(_)), "{ended:?}");
    let ended = patiently(world, "the end of the subscription", before.next(1)).await;
    let is_ended = matches!(&ended, Err(Error::NoTopic(_) | Error::NoGroup { .. }));
    assert!(is_ended, "{ended:?}");
}

/// The same for its whole life, and for every way to it.
pub async fn what_an_engine_offers_does_not_change(world: &dyn World) {
    let (one, other) = (world.open().await, world.open().await);
    let (offered, place) = (one.capabilities(), one.place());
    assert!(!place.is_empty());
    let topic = with_topic(&*one).await;
    publish(&*one, &topic, message("m")).await;
    assert_eq!(other.capabilities(), offered);
    assert_eq!(one.capabilities(), offered);
    assert_eq!(text(&read_all(world, &*other, &topic).await[0]), "m");
    assert_eq!(ok(other.topics().await).len(), 1);
}
