//! Publishing by Dapr's API.

use super::*;
use crate::app::testing::pubsub;
use serde_json::json;

const JSON: (&str, &str) = ("content-type", "application/json");
const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const EVENT: (&str, &str) = ("content-type", "application/cloudevents+json");

async fn rig() -> Rig {
    let rig = Rig::new().await;
    rig.node.component(pubsub("pubsub"));
    rig
}

async fn publish(rig: &Rig, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
    ask_as(rig, CALLER, &format!("POST /v1.0/publish/{path}"), headers, body.to_owned()).await
}

#[tokio::test]
async fn data_is_published_in_an_envelope() {
    let rig = rig().await;
    let trace = ("traceparent", TRACE);
    let headers = [JSON, trace, ("tracestate", "a=b")];
    // A client adds a question mark to every address.
    let reply = publish(&rig, "pubsub/orders?", &headers, r#"{"orderId": 1}"#).await;
    assert_eq!((reply.status, reply.text()), (204, ""));
    let event = rig.messages("orders", 1).await.remove(0).event;
    assert_eq!((event.source.as_str(), event.kind.as_str()), ("web", "com.dapr.event.sent"));
    assert_eq!(event.content_type.as_deref(), Some("application/json"));
    assert_eq!(&*event.data, br#"{"orderId": 1}"#);
    assert!(crate::wire::Time::parse(&event.time.unwrap()).is_ok());
    let named = |name: &str| event.extensions.get(name).map(String::as_str);
    assert_eq!((named("topic"), named("pubsubname")), (Some("orders"), Some("pubsub")));
    // Publishing is a step of its own in the trace of the request.
    let parent = named("traceparent").unwrap();
    assert_eq!((named("traceid"), named("tracestate")), (Some(parent), Some("a=b")));
    assert!(crate::trace::are_steps_of_one(parent, TRACE), "{parent}");
    let other = publish(&rig, "pubsub/topic/%23", &[], "plain").await;
    assert_eq!(other.status, 204);
    let event = rig.messages("topic/@23", 1).await.remove(0).event;
    assert_eq!(event.content_type.as_deref(), Some("text/plain"));
    assert_eq!(event.extensions["topic"], "topic/#");
    // A request without a trace is the beginning of one.
    assert!(crate::trace::step(&event.extensions["traceparent"]).is_some(), "{event:?}");
    assert_eq!(event.extensions["traceid"], event.extensions["traceparent"]);
}

#[tokio::test]
async fn metadata_says_what_the_envelope_is_like() {
    let rig = rig().await;
    let path = "pubsub/orders?metadata.cloudevent.id=7&metadata.cloudevent.source=shop\
        &metadata.CloudEvent.Type=order.made&metadata.cloudevent.subject=s&metadata.partitionKey=k\
        &metadata.ttlInSeconds=60&metadata.rawPayload=false";
    assert_eq!(publish(&rig, path, &[JSON], "{}").await.status, 204);
    let event = rig.messages("orders", 1).await.remove(0).event;
    assert_eq!((event.id.as_str(), event.source.as_str()), ("7", "shop"));
    assert_eq!((event.kind.as_str(), event.subject.as_deref()), ("order.made", Some("s")));
    assert_eq!(event.key.as_deref(), Some(&b"k"[..]));
    let expires = crate::wire::Time(event.expires.unwrap()).to_string();
    assert_eq!(event.extensions["expiration"], expires);
}

#[tokio::test]
async fn an_event_is_passed_on_with_what_it_left_out() {
    let rig = rig().await;
    let body = r#"{"specversion":"1.0","type":"com.example.event","source":"my-service","id":"abc-8",
        "data":{"message":"hi"},"datacontenttype":"application/json","topic":"other"}"#;
    assert_eq!(publish(&rig, "pubsub/orders", &[EVENT], body).await.status, 204);
    assert_eq!(publish(&rig, "pubsub/orders", &[EVENT], r#"{"data":"x"}"#).await.status, 204);
    let all = rig.messages("orders", 2).await;
    let [first, second] = &all[..] else { panic!("{all:?}") };
    assert_eq!((first.event.id.as_str(), first.event.source.as_str()), ("abc-8", "my-service"));
    assert_eq!(&*first.event.data, br#"{"message":"hi"}"#);
    assert_eq!(first.event.extensions["topic"], "orders");
    assert_eq!((second.event.source.as_str(), second.event.id.len()), ("Dapr", 36));
    assert!(crate::trace::step(&second.event.extensions["traceid"]).is_some(), "{second:?}");
    // One that happened in another trace stays there.
    let body = format!(r#"{{"data":"x","traceparent":"{TRACE}"}}"#);
    let headers = [EVENT, ("traceparent", &TRACE.replace('1', "2")), ("tracestate", "a=b")];
    assert_eq!(publish(&rig, "pubsub/orders", &headers, &body).await.status, 204);
    let third = rig.messages("orders", 3).await.remove(2).event.extensions;
    assert_eq!((third["traceparent"].as_str(), third["traceid"].as_str()), (TRACE, TRACE));
    assert!(!third.contains_key("tracestate"), "{third:?}");
}

#[tokio::test]
async fn raw_data_is_published_as_it_is() {
    let rig = rig().await;
    let path = "pubsub/orders?metadata.rawPayload=true&metadata.ttlInSeconds=5";
    assert_eq!(publish(&rig, path, &[JSON], "[1]").await.status, 204);
    let event = rig.messages("orders", 1).await.remove(0).event;
    assert!(event.is_raw() && event.expires.is_some());
    assert_eq!((&*event.data, event.extensions.len()), (&b"[1]"[..], 0));
}

#[tokio::test]
async fn what_cannot_be_published_says_why() {
    let rig = rig().await;
    let mut scoped = pubsub("scoped");
    scoped.publishing = [("web".to_owned(), ["mine".to_owned()].into())].into();
    rig.node.component(scoped);
    let mut others = pubsub("others");
    others.scopes.0.insert(base::ServiceName::new("orders").unwrap());
    rig.node.component(others);
    let long = format!("pubsub/{}", "x".repeat(201));
    for (path, headers, body, status, code, words) in [
        ("none/orders", JSON, "{}", 404, "ERR_PUBSUB_NOT_FOUND", "pubsub none is not found"),
        ("others/orders", JSON, "{}", 404, "ERR_PUBSUB_NOT_FOUND", "others is not found"),
        ("pubsub", JSON, "{}", 404, "ERR_TOPIC_NAME_EMPTY", "topic is empty in pubsub pubsub"),
        ("scoped/theirs", JSON, "{}", 403, "ERR_PUBSUB_FORBIDDEN", "not allowed for app id web"),
        ("bulk/scoped/theirs", JSON, "[]", 403, "ERR_PUBSUB_FORBIDDEN", "topic theirs"),
        (
            "pubsub/o?metadata.rawPayload=maybe",
            JSON,
            "{}",
            400,
            "ERR_PUBSUB_REQUEST_METADATA",
            "rawPayload is `maybe`",
        ),
        (
            "pubsub/o?metadata.ttlInSeconds=soon",
            JSON,
            "{}",
            400,
            "ERR_PUBSUB_REQUEST_METADATA",
            "ttlInSeconds is `soon`",
        ),
        ("pubsub/o", EVENT, "{", 500, "ERR_PUBSUB_CLOUD_EVENTS_SER", "cannot create cloudevent"),
        ("pubsub/o", EVENT, r#"{"A":"b"}"#, 500, "ERR_PUBSUB_CLOUD_EVENTS_SER", "\"A\" is no name"),
        (&long, JSON, "{}", 400, "ERR_PUBSUB_PUBLISH_MESSAGE", "at most 200"),
        ("pubsub/flotilla.runs", JSON, "{}", 400, "ERR_PUBSUB_PUBLISH_MESSAGE", "the node's own"),
        ("bulk/pubsub/o", JSON, "{}", 400, "ERR_PUBSUB_EVENTS_SER", "unmarshaling the request"),
        (
            "bulk/pubsub/o",
            JSON,
            r#"[{"event":1,"contentType":"application/json"}]"#,
            400,
            "ERR_PUBSUB_EVENTS_SER",
            "entryId is duplicated or not present",
        ),
        (
            "bulk/pubsub/o",
            JSON,
            r#"[{"entryId":"1","event":1,"contentType":"text/plain"}]"#,
            400,
            "ERR_PUBSUB_EVENTS_SER",
            "an event of text/plain is a string",
        ),
    ] {
        let reply = publish(&rig, path, &[headers], body).await;
        let told = reply.json();
        assert_eq!(
            (reply.status, told["errorCode"].as_str()),
            (status, Some(code)),
            "{path} {body}"
        );
        assert!(told["message"].as_str().unwrap().contains(words), "{path} {body}: {told}");
    }
    assert_eq!(publish(&rig, "scoped/mine", &[JSON], "{}").await.status, 204);
    rig.broker.set_down(true);
    let away = publish(&rig, "pubsub/orders", &[JSON], "{}").await;
    assert_eq!(
        (away.status, &away.json()["errorCode"]),
        (500, &json!("ERR_PUBSUB_PUBLISH_MESSAGE"))
    );
}

#[tokio::test]
async fn many_are_published_at_once_and_those_that_fail_are_told() {
    let rig = rig().await;
    let body = json!([
        { "entryId": "1", "event": { "n": 1 }, "contentType": "application/json" },
        { "entryId": "2", "event": "text", "contentType": "text/plain",
          "metadata": { "partitionKey": "k", "ttlInSeconds": "5" } },
        { "entryId": "3", "event": "AAE=", "contentType": "application/octet-stream" },
    ])
    .to_string();
    for path in ["POST /v1.0/publish/bulk/pubsub/o", "PUT /v1.0-alpha1/publish/bulk/pubsub/o"] {
        let line = format!("{path}?metadata.ttlInSeconds=60");
        let reply = ask_as(&rig, CALLER, &line, &[JSON], body.clone()).await;
        assert_eq!((reply.status, reply.text()), (204, ""), "{path}");
    }
    let all = rig.messages("o", 6).await;
    let data: Vec<&[u8]> = all.iter().take(3).map(|stored| &*stored.event.data).collect();
    assert_eq!(data, [&br#"{"n":1}"#[..], b"text", b"\0\x01"]);
    let ids: std::collections::BTreeSet<&str> =
        all.iter().map(|stored| stored.event.id.as_str()).collect();
    assert_eq!(ids.len(), 6);
    assert!(all.iter().all(|stored| stored.event.expires.is_some()));
    assert!(all[1].event.expires < all[0].event.expires);
    rig.broker.set_down(true);
    let reply = ask_as(&rig, CALLER, "POST /v1.0/publish/bulk/pubsub/o", &[JSON], body).await;
    let told = reply.json();
    assert_eq!((reply.status, &told["errorCode"]), (500, &json!("ERR_PUBSUB_PUBLISH_MESSAGE")));
    let failed = told["failedEntries"].as_array().unwrap();
    assert_eq!((failed.len(), &failed[2]["entryId"]), (3, &json!("3")));
    assert!(failed[0]["error"].as_str().unwrap().contains("does not answer"), "{told}");
}

#[tokio::test]
async fn what_a_transaction_writes_is_published_when_it_commits() {
    let rig = rig().await;
    let outbox = manifest::StateOutbox { pubsub: "pubsub".to_owned(), topic: "changed".to_owned() };
    rig.node.outboxes.lock().unwrap().insert("statestore".to_owned(), outbox);
    let transact = async |operations: Value| {
        let body = json!({ "operations": operations }).to_string();
        ask(&rig, "POST /v1.0/state/statestore/transaction", body).await
    };
    let upsert = |request: Value| json!({ "operation": "upsert", "request": request });
    // A transaction that fails publishes nothing.
    let refused = transact(json!([upsert(json!({ "key": "a", "value": 0, "etag": "99" }))])).await;
    assert_eq!(refused.status, 500, "{refused:?}");
    let projection = json!({ "outbox.projection": "true", "contentType": "application/json" });
    let done = transact(json!([
        upsert(json!({ "key": "a", "value": { "all": 1 }, "metadata": { "type": "made" } })),
        upsert(json!({ "key": "a", "value": { "some": 1 }, "metadata": projection })),
        upsert(json!({ "key": "b", "value": "2" })),
        { "operation": "delete", "request": { "key": "c" } },
    ]))
    .await;
    assert_eq!(done.status, 204, "{done:?}");
    let all = rig.messages("changed", 2).await;
    let data: Vec<&[u8]> = all.iter().map(|stored| &*stored.event.data).collect();
    assert_eq!(data, [&br#"{"some":1}"#[..], b"\"2\""]);
    assert_eq!((all[0].event.kind.as_str(), all[0].event.source.as_str()), ("made", "web"));
    assert_eq!(all[0].event.content_type.as_deref(), Some("application/json"));
    assert_eq!(all[1].event.extensions["topic"], "changed");
    assert_eq!(ask(&rig, "GET /v1.0/state/statestore/a", "").await.text(), r#"{"all":1}"#);
}

#[tokio::test]
async fn a_node_without_a_broker_says_that_it_has_none() {
    let rig = Rig::new().await;
    let config = crate::app::Config::new(rig.coordination.clone(), rig.node.clone());
    rig.node.component(pubsub("pubsub"));
    let bare = crate::app::Service::start(config);
    for (line, status, words) in [
        ("POST /v1.0/publish/pubsub/o", 404, "pubsub pubsub is not found"),
        ("GET /v1.0/jobs/a", 500, "not configured"),
        ("GET /v1/jobs", 501, "this node has no topics"),
    ] {
        let (method, uri) = line.split_once(' ').unwrap();
        let request = Request::builder().method(method).uri(uri);
        let request = request.body(proxy::local::LocalBody::whole(Bytes::new())).unwrap();
        let answer = within(crate::app::testing::ask(&bare.app(), CALLER, request)).await;
        let (parts, body) = answer.expect("it leads to the node").into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&body);
        assert_eq!(parts.status.as_u16(), status, "{line}: {text}");
        assert!(text.contains(words), "{line}: {text}");
    }
    bare.shutdown().await;
}
