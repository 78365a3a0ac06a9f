//! Deliveries as Dapr makes them over HTTP.

use super::*;
use serde_json::{Value, json};

fn target(raw: bool, bulk: bool) -> Target {
    let (pubsub, path) = ("pubsub".to_owned(), "orders".to_owned());
    Target::Dapr { service: shop(), pubsub, path, raw, bulk }
}

fn sent(app: &App) -> (Parts, Value) {
    let (parts, body) = app.got();
    (parts, serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn an_app_gets_an_envelope_with_all_its_attributes() {
    let app = App::saying(200, &[], r#"{"success":true}"#).await;
    let node = node(Protocol::Http, app.address);
    let deliverer = deliverer(&node);
    // What was published by the native API has none of Dapr's attributes.
    let native = Event { content_type: None, extensions: [].into(), ..event() };
    assert_eq!(one(&deliverer, &target(false, false), incoming(native)).await, Verdict::Done);
    let (parts, event) = sent(&app);
    assert_eq!((parts.method.as_str(), parts.uri.path()), ("POST", "/orders"));
    assert_eq!(field(&parts.headers, "content-type"), "application/cloudevents+json");
    // Nobody began a trace, so the delivery did, and the app is told the same twice.
    let trace = event["traceid"].as_str().unwrap();
    assert!(crate::trace::are_steps_of_one(trace, field(&parts.headers, "traceparent")));
    let expected = json!({
        "specversion": "1.0", "id": "7", "source": "orders", "type": "order.created",
        "datacontenttype": "application/json", "topic": "orders", "pubsubname": "pubsub",
        "traceid": trace, "traceparent": trace, "tracestate": "", "data": { "orderId": 1 },
    });
    assert_eq!(event, expected);
    // A dead letter says where it comes from.
    let mut dead = super::event();
    dead.extensions.insert("topic".to_owned(), "orders".to_owned());
    let verdict = one(&deliverer, &target(false, false), at(dead, "orders-dead", 1)).await;
    assert_eq!((verdict, &sent(&app).1["topic"]), (Verdict::Done, &json!("orders")));
}

#[tokio::test]
async fn raw_messages_come_as_bytes_and_envelopes_that_were_published_raw_as_they_are() {
    let app = App::saying(200, &[], "").await;
    let node = node(Protocol::Http, app.address);
    let deliverer = deliverer(&node);
    let raw = |data: &'static [u8]| incoming(Event { data: data.into(), ..Event::default() });
    one(&deliverer, &target(true, false), raw(b"\0\x01")).await;
    let event = sent(&app).1;
    assert_eq!(
        (&event["data_base64"], &event["datacontenttype"]),
        (&json!("AAE="), &json!("application/octet-stream"))
    );
    assert_eq!((&event["id"], &event["source"]), (&json!("orders/3"), &json!("Dapr")));
    assert_eq!((event.get("traceid"), event.get("tracestate")), (None, None));
    // The same without the wish for bytes, because it can be shown in no other way.
    one(&deliverer, &target(false, false), raw(b"\0\x01")).await;
    assert_eq!(sent(&app).1["data_base64"], "AAE=");
    one(
        &deliverer,
        &target(false, false),
        raw(br#"{"id":"x","type":"t","data":"d","datacontenttype":"text/plain"}"#),
    )
    .await;
    let event = sent(&app).1;
    assert_eq!(
        (&event["id"], &event["data"], &event["topic"]),
        (&json!("x"), &json!("d"), &json!("orders"))
    );
    // The bytes of an event are its envelope.
    one(&deliverer, &target(true, false), incoming(super::event())).await;
    let coded = sent(&app).1["data_base64"].as_str().unwrap().to_owned();
    use base64::Engine as _;
    let inner = base64::engine::general_purpose::STANDARD.decode(coded).unwrap();
    let inner: Value = serde_json::from_slice(&inner).unwrap();
    assert_eq!((&inner["id"], &inner["data"]["orderId"]), (&json!("7"), &json!(1)));
}

#[tokio::test]
async fn the_body_of_an_answer_is_the_verdict() {
    for (status, body, expected, words) in [
        (200, "", "done", ""),
        (200, "OK", "done", ""),
        (200, "{}", "done", ""),
        (201, r#"{"status":""}"#, "done", ""),
        (200, r#"{"status":"SUCCESS"}"#, "done", ""),
        (200, r#"{"status":"RETRY"}"#, "retry", "RETRY status returned from app"),
        (200, r#"{"status":"DROP"}"#, "drop", "DROP status returned from app"),
        (200, r#"{"status":"success"}"#, "retry", "unknown status returned from app: \"success\""),
        (404, "no route", "drop", "404 Not Found: no route"),
        (422, "", "retry", "422"),
        (500, "oops", "retry", "500 Internal Server Error: oops"),
    ] {
        let app = App::saying(status, &[], body).await;
        let node = node(Protocol::Http, app.address);
        let verdict = one(&deliverer(&node), &target(false, false), incoming(event())).await;
        let (word, reason) = told(&verdict);
        assert_eq!(word, expected, "{status} {body}");
        assert!(reason.contains(words), "{status} {body}: {reason}");
    }
}

#[tokio::test]
async fn many_events_come_in_one_envelope_and_each_has_its_verdict() {
    let statuses = r#"{"statuses":[{"entryId":"1","status":"SUCCESS"},{"entryId":"2","status":"DROP"},
        {"entryId":"3","status":"RETRY"},{"entryId":"9","status":"SUCCESS"},{"entryId":"4","status":""}]}"#;
    let app = App::saying(200, &[], statuses).await;
    let node = node(Protocol::Http, app.address);
    let deliverer = deliverer(&node);
    let events: Vec<Incoming> = (1..=5).map(|offset| at(event(), "orders", offset)).collect();
    let verdicts = deliverer.deliver(&target(false, true), &events, PATIENCE).await;
    let words: Vec<&str> = verdicts.iter().map(|verdict| told(verdict).0).collect();
    assert_eq!(words, ["done", "drop", "retry", "retry", "retry"]);
    let (parts, bulk) = sent(&app);
    assert_eq!(field(&parts.headers, "content-type"), "application/json");
    assert_eq!(
        (&bulk["type"], &bulk["topic"], &bulk["pubsubname"]),
        (&json!("com.dapr.event.sent.bulk"), &json!("orders"), &json!("pubsub"))
    );
    let entry = &bulk["entries"][1];
    assert_eq!(
        (&entry["entryId"], &entry["contentType"]),
        (&json!("2"), &json!("application/cloudevents+json"))
    );
    assert_eq!(entry["event"]["data"], json!({ "orderId": 1 }));
    let raw = Event { data: Bytes::from_static(b"\0\x01"), ..Event::default() };
    deliverer.deliver(&target(true, true), &[at(raw, "orders", 1)], PATIENCE).await;
    let entry = &sent(&app).1["entries"][0];
    assert_eq!(
        (&entry["event"], &entry["contentType"]),
        (&json!("AAE="), &json!("application/octet-stream"))
    );
    // What cannot be understood is no verdict on any of them.
    let app = App::saying(200, &[], "OK").await;
    node.at("shop", app.address);
    let verdicts = deliverer.deliver(&target(false, true), &events, PATIENCE).await;
    assert!(verdicts.len() == 5 && verdicts.iter().all(|verdict| told(verdict).0 == "retry"));
}

#[tokio::test]
async fn a_job_is_posted_to_its_path() {
    let app = App::answering(|request| {
        answer(if request.uri().path() == "/job/a%20b" { 200 } else { 404 }, &[], "")
    });
    let app = app.await;
    let node = node(Protocol::Http, app.address);
    let job = |name: &str| Target::DaprJob { service: shop(), name: name.to_owned() };
    let incoming = |name: &str| Incoming {
        event: event(),
        origin: Origin::Job { name: name.to_owned() },
        attempt: 1,
    };
    let deliverer = deliverer(&node);
    assert_eq!(one(&deliverer, &job("a b"), incoming("a b")).await, Verdict::Done);
    let (parts, body) = app.got();
    assert_eq!((field(&parts.headers, "content-type"), body), ("application/json", event().data));
    assert_eq!(told(&one(&deliverer, &job("other"), incoming("other")).await).0, "retry");
}
