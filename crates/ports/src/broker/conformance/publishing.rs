//! Clauses about taking messages into a topic.

use super::{
    World,
    kit::{
        as_strs, message, numbers, ok, publish, publish_all, read_all, text, topic, until, with_id,
        with_topic,
    },
};
use crate::broker::{
    BATCH_MAX, BATCH_SIZE_MAX, Error, HEADERS_MAX, HEADERS_SIZE_MAX, ID_MAX, KEY_MAX,
    MESSAGE_SIZE_MAX, Message, NewMessage, Offset, TopicConfig,
};
use bytes::Bytes;
use std::{collections::HashSet, time::Duration};

/// What a message must look like when it is read; the order of headers says nothing.
#[track_caller]
fn assert_same(read: &Message, published: &NewMessage) {
    let sorted = |headers: &[(String, String)]| {
        let mut headers = headers.to_vec();
        headers.sort();
        headers
    };
    assert_eq!(Some(&read.id), published.id.as_ref());
    assert_eq!(read.key, published.key, "{}", read.id);
    assert_eq!(sorted(&read.headers), sorted(&published.headers), "{}", read.id);
    assert!(read.payload == published.payload, "the payload of {}", read.id);
}

/// Nothing of a message is changed, whatever bytes it is made of.
pub async fn a_message_is_read_back_with_all_its_parts(world: &dyn World) {
    let broker = &*world.open().await;
    let topic = with_topic(broker).await;
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let every_byte: Vec<u8> = (0..=u8::MAX).collect();
    let messages = [
        NewMessage { id: Some("bare".to_owned()), ..NewMessage::default() },
        NewMessage {
            id: Some("every-byte".to_owned()),
            key: Some(every_byte.clone().into()),
            headers: Vec::new(),
            payload: every_byte.into(),
        },
        NewMessage {
            id: Some("!\"#$%&'()*+,/:;<=>?@[\\]^_`{|}~".to_owned()),
            key: Some(Bytes::new()),
            headers: vec![
                header("content-type", "application/json; charset=utf-8"),
                header("empty", ""),
                header("spaces", "  before and after  "),
                header("other.letters_0", "größer \u{1f600} %41 a: b, \"c\" =?utf-8?"),
                header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
            ],
            payload: Bytes::from_static(b"{}"),
        },
    ];
    for message in &messages {
        let published = publish(broker, &topic, message.clone()).await;
        assert!(!published.duplicate);
    }
    let read = read_all(world, broker, &topic).await;
    assert_eq!(read.len(), messages.len());
    for (read, published) in read.iter().zip(&messages) {
        assert_same(read, published);
        assert!(read.time.millis() > 0);
    }
    assert!(read.is_sorted_by_key(|message| message.time));
}

/// One answer for each message, in their order.
pub async fn offsets_grow_and_a_batch_stays_together(world: &dyn World) {
    let broker = &*world.open().await;
    let topic = with_topic(broker).await;
    let mut offsets = Vec::new();
    offsets.push(publish(broker, &topic, message("0")).await.offset);
    offsets.extend(publish_all(broker, &topic, &as_strs(&numbers(1..300))).await);
    for number in numbers(300..320) {
        offsets.push(publish(broker, &topic, message(&number)).await.offset);
    }
    assert!(offsets[0] >= Offset(1));
    assert!(offsets.is_sorted_by(|one, next| one < next), "{offsets:?}");
    let read = read_all(world, broker, &topic).await;
    assert_eq!(read.iter().map(text).collect::<Vec<_>>(), numbers(0..320));
    assert_eq!(read.iter().map(|message| message.offset).collect::<Vec<_>>(), offsets);
}

/// It is like no other, and the same for all who read it.
pub async fn a_message_without_an_id_gets_one_of_its_own(world: &dyn World) {
    let broker = &*world.open().await;
    let topic = with_topic(broker).await;
    for _ in 0..3 {
        publish_all(broker, &topic, &["same"; 50]).await;
    }
    let read = read_all(world, broker, &topic).await;
    let ids: HashSet<&String> = read.iter().map(|message| &message.id).collect();
    assert_eq!((read.len(), ids.len()), (150, 150));
    assert!(ids.iter().all(|id| !id.is_empty() && id.len() <= ID_MAX));
    assert_eq!(read_all(world, broker, &topic).await, read);
}

/// A publisher that does not know whether it was heard says it again.
pub async fn the_same_id_is_taken_once_within_the_window(world: &dyn World) {
    let broker = &*world.open().await;
    let one = with_topic(broker).await;
    let other = topic("other");
    ok(broker.ensure_topic(&other, TopicConfig::default()).await);
    let first = publish(broker, &one, with_id("a", "first")).await;
    assert!(!first.duplicate);
    for payload in ["first", "another"] {
        let again = publish(broker, &one, with_id("a", payload)).await;
        assert_eq!((again.offset, again.duplicate), (first.offset, true));
    }
    // Among others, and twice in the same publish.
    let batch = ["b", "a", "c", "b"].map(|id| with_id(id, id)).to_vec();
    let published = ok(broker.publish(&one, batch).await);
    let duplicates: Vec<bool> = published.iter().map(|published| published.duplicate).collect();
    assert_eq!(duplicates, [false, true, false, true]);
    assert_eq!(published[1].offset, first.offset);
    assert_eq!(published[3].offset, published[0].offset);
    let ids = |messages: Vec<Message>| -> Vec<String> {
        messages.into_iter().map(|message| message.id).collect()
    };
    assert_eq!(ids(read_all(world, broker, &one).await), ["a", "b", "c"]);
    // An id belongs to its topic, and small and large letters differ.
    for (topic, id) in [(&other, "a"), (&one, "A")] {
        assert!(!publish(broker, topic, with_id(id, "")).await.duplicate, "{topic} {id}");
    }
    // Many that have none are many.
    assert!(!publish(broker, &one, message("")).await.duplicate);
    assert!(!publish(broker, &one, message("")).await.duplicate);
}

/// Nobody remembers for ever.
pub async fn an_id_is_free_again_after_the_window(world: &dyn World) {
    let broker = &*world.open().await;
    let topic = topic("t");
    let window = Duration::from_secs(1);
    let config = TopicConfig { dedup_window: window, ..TopicConfig::default() };
    ok(broker.ensure_topic(&topic, config).await);
    let start = world.now();
    let first = publish(broker, &topic, with_id("a", "1")).await;
    let again = publish(broker, &topic, with_id("a", "2")).await;
    if world.now() - start < window {
        assert_eq!((again.offset, again.duplicate), (first.offset, true));
    }
    until!(world, "the id is free again", {
        // Whether one that was refused counts as remembered is the engine's choice.
        world.pass(window).await;
        world.pass(window).await;
        !publish(broker, &topic, with_id("a", "3")).await.duplicate
    });
    assert!(read_all(world, broker, &topic).await.len() >= 2);
}

/// Who wants every message gets every message.
pub async fn without_a_window_no_id_is_remembered(world: &dyn World) {
    let broker = &*world.open().await;
    let topic = topic("t");
    let config = TopicConfig { dedup_window: Duration::ZERO, ..TopicConfig::default() };
    ok(broker.ensure_topic(&topic, config).await);
    for number in 0..3 {
        let published = publish(broker, &topic, with_id("a", &number.to_string())).await;
        assert!(!published.duplicate);
    }
    let read = read_all(world, broker, &topic).await;
    assert_eq!(read.iter().map(text).collect::<Vec<_>>(), numbers(0..3));
    assert!(read.iter().all(|message| message.id == "a"));
}

/// Its name, and the publish that it makes impossible.
fn impossible() -> Vec<(&'static str, NewMessage)> {
    let long = |length: usize| "x".repeat(length);
    let header = |name: &str, value: &str| NewMessage {
        headers: vec![(name.to_owned(), value.to_owned())],
        ..message("m")
    };
    let twice = vec![("a".to_owned(), "1".to_owned()), ("a".to_owned(), "2".to_owned())];
    let headers = |count: usize| (0..count).map(|n| (format!("h{n}"), String::new())).collect();
    vec![
        ("a long id", with_id(&long(ID_MAX + 1), "m")),
        ("an empty id", with_id("", "m")),
        ("an id with a space", with_id("a b", "m")),
        ("an id with a line break", with_id("a\nb", "m")),
        ("an id beyond ASCII", with_id("\u{e4}", "m")),
        ("a long key", NewMessage { key: Some(vec![0; KEY_MAX + 1].into()), ..message("m") }),
        ("a header without a name", header("", "v")),
        ("a header in large letters", header("Name", "v")),
        ("a header with a line break", header("name", "a\r\nb: c")),
        ("a header twice", NewMessage { headers: twice, ..message("m") }),
        ("many headers", NewMessage { headers: headers(HEADERS_MAX + 1), ..message("m") }),
        ("a large header", header("name", &long(HEADERS_SIZE_MAX))),
        ("a large message", NewMessage::new(vec![b'x'; MESSAGE_SIZE_MAX + 1])),
    ]
}

/// The publisher is told, and nothing of the batch is there.
pub async fn what_is_out_of_bounds_is_refused_before_anything_is_taken(world: &dyn World) {
    let broker = &*world.open().await;
    let topic = with_topic(broker).await;
    let last = publish(broker, &topic, message("before")).await.offset;
    let refused = |what: &str, result: Result<_, Error>| {
        let is_refused = matches!(result, Err(Error::TooLarge { .. } | Error::Invalid(_)));
        assert!(is_refused, "{what}: {result:?}");
    };
    refused("nothing", broker.publish(&topic, Vec::new()).await);
    refused("many", broker.publish(&topic, vec![message("x"); BATCH_MAX + 1]).await);
    let large = NewMessage::new(vec![b'x'; MESSAGE_SIZE_MAX / 2]);
    let count = BATCH_SIZE_MAX / large.size() + 1;
    refused("a large batch", broker.publish(&topic, vec![large; count]).await);
    for (what, message_of_it) in impossible() {
        let batch = vec![with_id("good", "good"), message_of_it];
        refused(what, broker.publish(&topic, batch).await);
    }
    let status = ok(broker.topic(&topic).await);
    assert_eq!((status.messages, status.last), (1, last));
    assert!(!publish(broker, &topic, with_id("good", "good")).await.duplicate);
    let read = read_all(world, broker, &topic).await;
    assert_eq!(read.iter().map(text).collect::<Vec<_>>(), ["before", "good"]);
}

/// Bounds are bounds: what keeps them passes.
pub async fn the_largest_messages_and_batches_pass(world: &dyn World) {
    let broker = &*world.open().await;
    let topic = with_topic(broker).await;
    let long = |length: usize| "x".repeat(length);
    let mut headers: Vec<(String, String)> =
        (0..HEADERS_MAX - 1).map(|number| (format!("h{number:02}"), "v".repeat(100))).collect();
    let rest = HEADERS_SIZE_MAX - (HEADERS_MAX - 1) * 103 - 4;
    headers.push(("last".to_owned(), long(rest)));
    let mut most = NewMessage {
        id: Some(long(ID_MAX)),
        key: Some(vec![0xff; KEY_MAX].into()),
        headers,
        payload: Bytes::new(),
    };
    most.payload = vec![0xfe; MESSAGE_SIZE_MAX - most.size()].into();
    assert_eq!(most.size(), MESSAGE_SIZE_MAX);
    publish(broker, &topic, most.clone()).await;
    let largest = |number: usize| {
        let id = format!("payload-{number}");
        let payload = vec![b'p'; MESSAGE_SIZE_MAX - id.len()].into();
        NewMessage { id: Some(id), payload, ..NewMessage::default() }
    };
    let batch: Vec<NewMessage> = (0..BATCH_SIZE_MAX / MESSAGE_SIZE_MAX).map(largest).collect();
    ok(broker.publish(&topic, batch.clone()).await);
    let small: Vec<String> = numbers(0..u32::try_from(BATCH_MAX).expect("it is small"));
    publish_all(broker, &topic, &as_strs(&small)).await;
    let read = read_all(world, broker, &topic).await;
    assert_same(&read[0], &most);
    for (read, published) in read[1..].iter().zip(&batch) {
        assert_same(read, published);
    }
    let rest: Vec<String> = read[1 + batch.len()..].iter().map(text).collect();
    assert_eq!(rest, small);
}
