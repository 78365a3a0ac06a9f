//! Topics by the native API.

use super::*;
use serde_json::json;

const JSON: (&str, &str) = ("content-type", "application/json");
const STREAM: (&str, &str) = ("accept", "text/event-stream");

async fn publish(rig: &Rig, topic: &str, headers: &[(&str, &str)], body: &str) -> Reply {
    ask_as(rig, CALLER, &format!("POST /v1/topics/{topic}"), headers, body.to_owned()).await
}

async fn post(rig: &Rig, path: &str, body: Value) -> Value {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let reply = ask_as(rig, CALLER, &format!("POST {path}"), &[JSON], body).await;
    assert_eq!(reply.status, 200, "{path}: {reply:?}");
    reply.json()
}

#[tokio::test]
async fn a_body_is_published_as_the_data_of_an_event() {
    let rig = Rig::new().await;
    let headers =
        [("flotilla-message-id", "m1"), ("flotilla-key", "7"), ("content-type", "image/png")];
    let first = publish(&rig, "orders", &headers, "data").await;
    assert_eq!((first.status, first.json()["offset"].as_u64()), (201, Some(1)));
    let second = publish(&rig, "orders", &headers, "data").await;
    assert_eq!((second.status, &second.json()["duplicate"]), (201, &json!(true)));
    let event = rig.messages("orders", 1).await.remove(0).event;
    assert_eq!(
        (event.id.as_str(), event.source.as_str(), event.kind.as_str()),
        ("m1", "web", "orders")
    );
    assert_eq!((event.key.as_deref(), &*event.data), (Some(&b"7"[..]), &b"data"[..]));
    assert_eq!(event.content_type.as_deref(), Some("image/png"));
    let later = publish(&rig, "orders", &[("flotilla-deliver-after", "1h")], "x").await;
    assert_eq!((later.status, later.json()["later"].is_string()), (202, true));
    for (headers, words) in [
        (vec![("flotilla-deliver-after", "soon")], "flotilla-deliver-after: soon"),
        (vec![("flotilla-deliver-at", "soon")], "is not a time"),
        (
            vec![("flotilla-deliver-at", "2030-01-01T00:00:00Z"), ("flotilla-deliver-after", "1s")],
            "together",
        ),
        (vec![("content-type", "application/cloudevents+json")], "no JSON object"),
        (vec![("ce-id", "1")], "no `source`"),
    ] {
        let reply = publish(&rig, "orders", &headers, "x").await;
        assert_eq!(reply.code(), (400, "bad_request".to_owned()), "{headers:?}");
        assert!(reply.text().contains(words), "{headers:?}: {reply:?}");
    }
    assert_eq!(
        publish(&rig, "flotilla.runs", &[], "x").await.code(),
        (403, "forbidden".to_owned())
    );
    assert_eq!(publish(&rig, "a%20b", &[], "x").await.status, 400);
}

#[tokio::test]
async fn events_are_published_in_each_of_their_forms() {
    let rig = Rig::new().await;
    let event = |id: &str| json!({ "specversion": "1.0", "id": id, "source": "shop", "type": "made", "data": [1] });
    let structured = ("content-type", "application/cloudevents+json; charset=utf-8");
    let one = publish(&rig, "o", &[structured], &event("1").to_string()).await;
    assert_eq!(one.status, 201, "{one:?}");
    let batch =
        json!([event("1"), { "id": "2", "source": "shop", "type": "made", "partitionkey": "k" }]);
    let kind = ("content-type", "application/cloudevents-batch+json");
    let many = publish(&rig, "o", &[kind], &batch.to_string()).await.json();
    let published = many["published"].as_array().unwrap();
    assert_eq!(published.len(), 2);
    // An event of the same source and id is the same event.
    assert_eq!(
        (&published[0]["duplicate"], &published[1]["duplicate"]),
        (&json!(true), &json!(false))
    );
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let fields = [
        ("ce-specversion", "1.0"),
        ("ce-id", "3"),
        ("ce-source", "shop"),
        ("ce-type", "made"),
        ("ce-subject", "a%20b"),
        JSON,
        ("traceparent", trace),
    ];
    assert_eq!(publish(&rig, "o", &fields, "[3]").await.status, 201);
    let all = rig.messages("o", 3).await;
    assert_eq!(all[1].event.key.as_deref(), Some(&b"k"[..]));
    assert_eq!((all[2].event.subject.as_deref(), &*all[2].event.data), (Some("a b"), &b"[3]"[..]));
    let parent = &all[2].event.extensions["traceparent"];
    assert!(crate::trace::are_steps_of_one(parent, trace), "{parent}");
    assert!(crate::trace::step(&all[0].event.extensions["traceparent"]).is_some());
    let none = publish(&rig, "o", &[kind], "[]").await;
    assert!(none.text().contains("no events"), "{none:?}");
}

#[tokio::test]
async fn messages_are_taken_from_a_group_and_settled() {
    let rig = Rig::new().await;
    for n in 1..=3 {
        assert_eq!(publish(&rig, "o", &[], &n.to_string()).await.status, 201);
    }
    let group = "/v1/topics/o/groups/workers";
    let taken = post(&rig, &format!("{group}/take?from=beginning&max=2"), Value::Null).await;
    let taken = taken["deliveries"].as_array().unwrap().clone();
    assert_eq!(taken.len(), 2);
    assert_eq!((&taken[0]["attempt"], &taken[0]["message"]["offset"]), (&json!(1), &json!(1)));
    let settlements = json!({ "settlements": [
        { "receipt": taken[0]["receipt"], "as": "done" },
        { "receipt": taken[1]["receipt"], "as": "retry", "after_ms": 0, "reason": "busy" },
    ] });
    let settled = post(&rig, &format!("{group}/settle"), settlements).await;
    assert_eq!(settled, json!({ "settled": 2 }));
    let mut seen = Vec::new();
    while seen.len() < 2 {
        let next = post(&rig, &format!("{group}/take?wait_ms=30000"), Value::Null).await;
        for one in next["deliveries"].as_array().unwrap() {
            seen.push((
                one["message"]["offset"].as_u64().unwrap(),
                one["attempt"].as_u64().unwrap(),
            ));
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, [(2, 2), (3, 1)]);
    let none = post(&rig, &format!("{group}/take"), Value::Null).await;
    assert_eq!(none, json!({ "deliveries": [] }));
    let bad = json!({ "settlements": [{ "receipt": "nonsense", "as": "done" }] }).to_string();
    let bad = ask_as(&rig, CALLER, &format!("POST {group}/settle"), &[JSON], bad).await;
    assert_eq!(bad.code(), (400, "bad_request".to_owned()), "{bad:?}");
    let long = ask(&rig, &format!("POST {group}/take?wait_ms=60001"), "").await;
    assert!(long.text().contains("at most 60000"), "{long:?}");
}

#[tokio::test]
async fn messages_of_a_group_flow_on_a_stream_and_are_settled_beside_it() {
    let rig = Rig::new().await;
    assert_eq!(publish(&rig, "o", &[], "1").await.status, 201);
    let line = "/v1/topics/o/groups/g/stream?from=beginning";
    let request =
        Request::builder().uri(line).header(STREAM.0, STREAM.1).body(Bytes::new()).unwrap();
    let answer = within(rig.ask(CALLER, request)).await.expect("it leads to the node");
    assert_eq!(answer.status(), 200);
    let mut body = answer.into_body();
    let mut text = String::new();
    while !text.contains("\ndata: ") {
        let frame = within(body.frame()).await.expect("the stream goes on").unwrap();
        text.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
    }
    let data = text.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
    let delivery: Value = serde_json::from_str(data).unwrap();
    assert!(text.contains("event: delivery\n"), "{text}");
    let settlements = json!({ "settlements": [{ "receipt": delivery["receipt"], "as": "done" }] });
    post(&rig, "/v1/topics/o/groups/g/settle", settlements).await;
    let topic = ports::broker::TopicName::new("o").unwrap();
    let groups = rig.events.topics().groups(&topic).await.unwrap();
    assert_eq!(groups[0].lag, 0);
    assert_eq!(ask(&rig, &format!("GET {line}"), "").await.status, 406);
}

#[tokio::test]
async fn a_topic_is_read_without_a_group() {
    let rig = Rig::new().await;
    for n in 1..=3 {
        assert_eq!(publish(&rig, "o", &[JSON], &n.to_string()).await.status, 201);
    }
    let all = ask(&rig, "GET /v1/topics/o?from=2", "").await.json();
    let data: Vec<&Value> =
        all["messages"].as_array().unwrap().iter().map(|it| &it["event"]["data"]).collect();
    assert_eq!(data, [&json!(2), &json!(3)]);
    assert_eq!(ask(&rig, "GET /v1/topics/none", "").await.status, 404);
    assert_eq!(ask(&rig, "GET /v1/topics/flotilla.runs", "").await.status, 403);
}

#[tokio::test]
async fn a_transaction_of_state_publishes_exactly_when_it_commits() {
    let rig = Rig::new().await;
    let transact = async |expect: Value, publish: Value| {
        let body = json!({
            "operations": [{ "put": { "key": "a", "put": { "value": 1, "expect": expect } } }],
            "publish": publish,
        });
        let line = "POST /v1/state/statestore/transact";
        ask_as(&rig, CALLER, line, &[JSON], body.to_string()).await
    };
    let message =
        |data: u32| json!([{ "topic": "changed", "message": { "data": data, "key": "k" } }]);
    let refused = transact(json!({ "etag": "99" }), message(1)).await;
    assert_eq!(refused.code(), (409, "conflict".to_owned()));
    let done = transact(json!({ "missing": true }), message(2)).await;
    assert_eq!(done.status, 200, "{done:?}");
    let stored = rig.messages("changed", 1).await.remove(0);
    assert_eq!((&*stored.event.data, stored.event.source.as_str()), (&b"2"[..], "web"));
    let later = json!([{ "topic": "changed", "message": { "after_ms": 5 } }]);
    assert_eq!(transact(Value::Null, later).await.status, 400);
    let own = json!([{ "topic": "flotilla.runs", "message": {} }]);
    assert_eq!(transact(Value::Null, own).await.status, 403);
}
