//! Topics, streams and jobs, as the operator sees them: through the client.

mod streams;

use super::{blocks::refused, *};
use crate::wire::topics;
use serde_json::value::RawValue;

fn json(text: &str) -> topics::Publish {
    let data = Some(RawValue::from_string(text.to_owned()).unwrap());
    topics::Publish { data, ..topics::Publish::default() }
}

/// Waits until `look` finds something.
async fn until<T, F: Future<Output = Option<T>>>(mut look: impl FnMut() -> F) -> T {
    let found = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), found).await.expect("within a minute")
}

#[tokio::test]
async fn what_is_published_is_read_back_as_it_was() {
    let Setup { client, .. } = &setup().await;
    let publish = topics::Publish {
        id: Some("first".into()),
        key: Some("k".into()),
        kind: Some("created".into()),
        subject: Some("order/1".into()),
        extensions: [("traceparent".to_owned(), "00-a-b-01".to_owned())].into(),
        ..json("{ \"x\":\n 1e2 }")
    };
    let done = client.publish("made.up", &publish).await.unwrap();
    assert_eq!((done.offset, done.duplicate), (Some(1), false));
    let again = client.publish("made.up", &publish).await.unwrap();
    assert_eq!((again.offset, again.duplicate), (Some(1), true));
    let raw = topics::Publish {
        base64: Some("/wA=".into()),
        raw: true,
        ttl_ms: Some(60_000),
        ..topics::Publish::default()
    };
    client.publish("made.up", &raw).await.unwrap();
    let text = topics::Publish { text: Some("hello".into()), ..topics::Publish::default() };
    client.publish("made.up", &text).await.unwrap();

    let page = client.messages("made.up", "beginning", None).await.unwrap();
    assert_eq!(page.next, None);
    let [first, second, third] = &page.messages[..] else { panic!("{page:?}") };
    let event = &first.event;
    assert_eq!(event.data.as_ref().unwrap().get(), "{ \"x\":\n 1e2 }");
    assert_eq!((event.id.as_deref(), first.message_id.as_str()), (Some("first"), "first"));
    assert_eq!((event.kind.as_deref(), event.key.as_deref()), (Some("created"), Some("k")));
    assert_eq!(event.source.as_deref(), Some("flotilla"));
    assert_eq!(event.content_type.as_deref(), Some("application/json"));
    assert_eq!(event.extensions["traceparent"], "00-a-b-01");
    assert_eq!((second.event.id.as_ref(), second.event.base64.as_deref()), (None, Some("/wA=")));
    assert!(second.event.expires_at.is_some());
    assert_eq!(
        (third.event.text.as_deref(), third.event.kind.as_deref()),
        (Some("hello"), Some("made.up"))
    );

    let offsets = |page: &topics::Messages| -> Vec<u64> {
        page.messages.iter().map(|message| message.offset).collect()
    };
    let page = client.messages("made.up", "beginning", Some(2)).await.unwrap();
    assert_eq!((offsets(&page), page.next), (vec![1, 2], Some(3)));
    for (from, expected) in [("3", vec![3]), ("4", vec![]), ("end", vec![]), ("-1h", vec![1, 2, 3])]
    {
        let page = client.messages("made.up", from, None).await.unwrap();
        assert_eq!((offsets(&page), page.next), (expected, None), "{from}");
    }
    let later = "2999-01-01T00:00:00Z";
    assert!(client.messages("made.up", later, None).await.unwrap().messages.is_empty());
}

#[tokio::test]
async fn messages_come_as_a_stream_that_is_resumed_by_offset() {
    let Setup { client, .. } = &setup().await;
    client.publish("made.up", &json("1")).await.unwrap();
    let mut stream = client.message_stream("made.up", "1").await.unwrap();
    let first = within(stream.next()).await.unwrap().unwrap();
    assert_eq!((first.id, first.data.offset), (1, 1));
    let mut end = client.message_stream("made.up", "end").await.unwrap();
    client.publish("made.up", &json("[\n2\n]")).await.unwrap();
    for stream in [&mut stream, &mut end] {
        let second = within(stream.next()).await.unwrap().unwrap();
        assert_eq!(second.id, 2);
        assert_eq!(second.data.event.data.unwrap().get(), "[\n2\n]");
    }
    let (status, body) = refused(client.message_stream("made.upp", "1").await);
    assert_eq!((status, body.help.as_deref()), (404, Some("did you mean `made.up`?")));
}

#[tokio::test]
async fn what_was_given_up_is_shown_and_brought_back() {
    let Setup { client, .. } = &setup().await;
    client.publish("orders", &json("\"good\"")).await.unwrap();
    for _ in 0..2 {
        client.publish("orders", &json("\"bad\"")).await.unwrap();
    }
    let letters = until(|| async {
        let found = client.dead_letters("orders", None, None).await.unwrap().letters;
        (found.len() == 2).then_some(found)
    });
    let letters = letters.await;
    let dead = letters[0].dead.as_ref().unwrap();
    assert_eq!((dead.topic.as_str(), dead.group.as_str(), dead.offset), ("orders", "mail", 2));
    assert!(dead.reason.contains("it is bad"), "{dead:?}");
    let page = client.dead_letters("orders", None, Some(1)).await.unwrap();
    assert_eq!((page.letters.len(), page.next), (1, Some(letters[0].offset + 1)));

    let both = topics::Redrive { offsets: vec![1], limit: Some(1) };
    assert_eq!(refused(client.redrive("orders", &both).await).0, 400);
    let one = topics::Redrive { offsets: vec![letters[1].offset], limit: None };
    assert_eq!(client.redrive("orders", &one).await.unwrap().redriven, 1);
    assert_eq!(client.redrive("orders", &one).await.unwrap().redriven, 0);
    // It is bad still, and is given up again.
    until(|| async {
        let found = client.dead_letters("orders", None, None).await.unwrap().letters;
        found.iter().any(|letter| letter.offset > letters[1].offset).then_some(())
    })
    .await;
    let messages = client.messages("orders", "4", None).await.unwrap().messages;
    assert_eq!(messages[0].only_group.as_deref(), Some("mail"));
    let status = until(|| async {
        let all = client.subscriptions(Some("users")).await.unwrap().subscriptions;
        all.into_iter().find(|it| it.dead == 3)
    });
    let status = status.await;
    assert_eq!((status.topic.as_str(), status.done), ("orders", 1));
    assert_eq!(status.declared_by, topics::DeclaredBy::File);
    assert_eq!(status.routes[0].when.as_deref(), Some("event.type != 'x'"));
    assert!(client.subscriptions(Some("items")).await.unwrap().subscriptions.is_empty());
}

#[tokio::test]
async fn groups_are_moved_and_topics_emptied_and_removed() {
    let Setup { client, .. } = &setup().await;
    for _ in 0..3 {
        client.publish("orders", &json("1")).await.unwrap();
    }
    let group = until(|| async {
        let groups = client.topic_groups("orders").await.unwrap().groups;
        groups.into_iter().find(|group| group.settled == 3)
    });
    assert_eq!(group.await.name, "mail");
    let seek = |to: &str| topics::Seek { to: to.to_owned() };
    client.seek_group("orders", "mail", &seek("1")).await.unwrap();
    let detail = until(|| async {
        let detail = client.topic("orders").await.unwrap();
        // What was moved back is delivered again.
        (detail.subscriptions.iter().any(|it| it.done == 6)).then_some(detail)
    });
    let detail = detail.await;
    assert!(detail.topic.of_file);
    assert_eq!((detail.topic.messages, detail.topic.last, detail.groups.len()), (3, 3, 1));
    let (status, body) = refused(client.seek_group("orders", "mail", &seek("noon")).await);
    assert_eq!((status, body.code.as_str()), (400, "bad_request"));
    let (status, body) = refused(client.seek_group("orders", "male", &seek("end")).await);
    assert_eq!(
        (status, body.message.as_str()),
        (404, "there is no group `male` of topic `orders`")
    );

    let purge = topics::Purge { before: Some(2) };
    assert_eq!(client.purge_topic("orders", &purge).await.unwrap().removed, 1);
    assert_eq!(refused(client.purge_topic("order", &purge).await).0, 404);
    let (status, body) = refused(client.remove_topic("orders").await);
    assert_eq!(status, 400);
    assert!(body.message.contains("stands in the file"), "{}", body.message);
    client.publish("made.up", &json("1")).await.unwrap();
    assert!(client.remove_topic("made.up").await.unwrap().deleted);
    assert_eq!(refused(client.remove_topic("made.up").await).0, 404);
    assert_eq!(refused(client.remove_group("orders", "male").await).1.code, "unknown_group");
    let topics = client.topics().await.unwrap();
    let names: Vec<&str> = topics.topics.iter().map(|topic| topic.name.as_str()).collect();
    assert!(names.contains(&"orders") && !names.contains(&"made.up"), "{names:?}");
    assert!(topics.broker.up);
}

#[tokio::test]
async fn a_message_that_waits_for_its_time_can_be_taken_back() {
    let Setup { client, .. } = &setup().await;
    let hour = topics::Publish { after_ms: Some(3_600_000), ..json("{\"late\":true}") };
    let done = client.publish("made.up", &hour).await.unwrap();
    assert_eq!(done.offset, None);
    let waiting = client.later("made.up").await.unwrap().messages;
    assert_eq!(
        (waiting.len(), Some(&waiting[0].id), Some(waiting[0].at)),
        (1, done.later.as_ref(), done.at)
    );
    assert_eq!(waiting[0].event.data.as_ref().unwrap().get(), "{\"late\":true}");
    let id = done.later.unwrap();
    assert!(!client.cancel_later("orders", &id).await.unwrap().deleted);
    assert!(client.cancel_later("made.up", &id).await.unwrap().deleted);
    assert!(client.later("made.up").await.unwrap().messages.is_empty());
    let both = topics::Publish { at: Some(Time::default()), ..hour };
    assert_eq!(refused(client.publish("made.up", &both).await).0, 400);
}

#[tokio::test]
async fn a_bad_message_is_refused_with_the_reason() {
    let Setup { client, .. } = &setup().await;
    let words = |publish: topics::Publish| async move {
        let (status, body) = refused(client.publish("orders", &publish).await);
        assert_eq!(status, 400);
        body.message
    };
    let twice = topics::Publish { text: Some("a".into()), ..json("1") };
    assert!(words(twice).await.contains("at most one"));
    let upper = [("Trace".to_owned(), String::new())].into();
    let attribute = topics::Publish { extensions: upper, ..json("1") };
    assert!(words(attribute).await.contains("\"Trace\" is no name"));
    let raw = topics::Publish { raw: true, kind: Some("a".into()), ..json("1") };
    assert!(words(raw).await.contains("a `raw` message"));
    let large = topics::Publish { text: Some("x".repeat(1 << 20)), ..topics::Publish::default() };
    assert_eq!(refused(client.publish("orders", &large).await).0, 413);
    assert_eq!(refused(client.publish("a b", &json("1")).await).0, 400);
}

#[tokio::test]
async fn outboxes_say_why_they_wait() {
    let Setup { client, .. } = &setup().await;
    let relay = until(|| async {
        let relays = client.relays().await.unwrap().relays;
        relays.into_iter().find(|relay| relay.trouble.is_some())
    });
    let relay = relay.await;
    assert_eq!((relay.service.as_str(), relay.table.as_str()), ("users", "outbox"));
    assert!(relay.trouble.unwrap().contains("there is no database"));
    assert!(client.broker().await.unwrap().up);
}
