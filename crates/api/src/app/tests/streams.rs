//! Event sourcing by the native API.

use super::*;
use serde_json::json;

const JSON: (&str, &str) = ("content-type", "application/json");

async fn append(rig: &Rig, stream: &str, headers: &[(&str, &str)], body: Value) -> Reply {
    let headers = [&[JSON], headers].concat();
    ask_as(rig, CALLER, &format!("POST /v1/events/{stream}"), &headers, body.to_string()).await
}

fn event(id: &str, kind: &str) -> Value {
    json!({ "id": id, "type": kind, "tags": [format!("id:{id}")], "data": { "n": 1 } })
}

#[tokio::test]
async fn events_are_appended_only_to_a_stream_that_is_as_expected() {
    let rig = Rig::new().await;
    let first = append(
        &rig,
        "account-7",
        &[("if-none-match", "*")],
        json!({ "events": [event("1", "opened")] }),
    );
    let first = first.await;
    assert_eq!((first.status, first.header("etag")), (201, "\"0\""));
    assert_eq!(first.json(), json!({ "revision": 0, "position": 1, "duplicate": false }));
    let two = json!({ "events": [event("2", "deposited"), event("3", "deposited")] });
    let next = append(&rig, "account-7", &[("if-match", "\"0\"")], two.clone()).await;
    assert_eq!(next.json(), json!({ "revision": 2, "position": 3, "duplicate": false }));
    // The same append again is answered as the first one was.
    let again = append(&rig, "account-7", &[("if-match", "\"0\"")], two).await;
    assert_eq!(again.json(), json!({ "revision": 2, "position": 3, "duplicate": true }));
    let late =
        append(&rig, "account-7", &[("if-match", "\"0\"")], json!({ "events": [event("4", "x")] }));
    let late = late.await;
    assert_eq!(late.code(), (409, "wrong_revision".to_owned()));
    let conflict = &late.json()["error"]["conflict"];
    assert_eq!((&conflict["key"], &conflict["found"]), (&json!("account-7"), &json!("2")));
    for (headers, body, words) in [
        (vec![("if-match", "\"0\"")], json!({ "expected": "any", "events": [] }), "not both"),
        (vec![("if-match", "abc")], json!({ "events": [] }), "`expected: abc` means nothing"),
        (vec![("if-none-match", "\"1\"")], json!({ "events": [] }), "can only be `*`"),
        (vec![], json!({ "condition": { "any_of": [], "after": 0 }, "events": [] }), "`any_of`"),
    ] {
        let reply = append(&rig, "a", &headers, body.clone()).await;
        assert_eq!(reply.code(), (400, "bad_request".to_owned()), "{body}");
        assert!(reply.text().contains(words), "{body}: {reply:?}");
    }
}

#[tokio::test]
async fn events_are_appended_only_if_nothing_happened_that_matters() {
    let rig = Rig::new().await;
    let seat = |id: &str, after: u64| {
        json!({
            "condition": { "any_of": [{ "types": ["taken"], "tags": ["id:1"] }], "after": after },
            "events": [event(id, "taken")],
        })
    };
    assert_eq!(append(&rig, "seats-a", &[], seat("1", 0)).await.status, 201);
    let refused = append(&rig, "seats-b", &[], seat("2", 0)).await;
    assert_eq!(refused.code(), (409, "condition_failed".to_owned()));
    assert_eq!(append(&rig, "seats-b", &[], seat("2", 1)).await.status, 201);
}

#[tokio::test]
async fn events_are_read_in_both_directions_and_filtered() {
    let rig = Rig::new().await;
    for (stream, id, kind) in [("a-1", "1", "x"), ("b-1", "2", "y"), ("a-1", "3", "y")] {
        let reply = append(&rig, stream, &[], json!({ "events": [event(id, kind)] })).await;
        assert_eq!(reply.status, 201);
    }
    let ids = async |line: &str| {
        let reply = ask(&rig, line, "").await;
        assert_eq!(reply.status, 200, "{line}: {reply:?}");
        let events = reply.json()["events"].as_array().unwrap().clone();
        events.iter().map(|it| it["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(ids("GET /v1/events/a-1").await, "1 3");
    assert_eq!(ids("GET /v1/events/a-1?direction=backwards&limit=1").await, "3");
    assert_eq!(ids("GET /v1/events/a-1?from=1").await, "3");
    assert_eq!(ids("GET /v1/events").await, "1 2 3");
    assert_eq!(ids("GET /v1/events?type=y").await, "2 3");
    assert_eq!(ids("GET /v1/events?category=a&type=y").await, "3");
    assert_eq!(ids("GET /v1/events?tag=id%3A2").await, "2");
    assert_eq!(
        ask(&rig, "GET /v1/events/none", "").await.code(),
        (404, "unknown_stream".to_owned())
    );
}

#[tokio::test]
async fn a_snapshot_is_kept_as_it_is_and_never_replaced_by_an_older_one() {
    let rig = Rig::new().await;
    let line = "/v1/events/account-7/snapshot";
    assert_eq!(ask(&rig, &format!("GET {line}"), "").await.code(), (404, "not_found".to_owned()));
    let put = async |revision: &str, body: &'static [u8]| {
        let line = format!("PUT {line}?revision={revision}");
        ask_as(&rig, CALLER, &line, &[("content-type", "image/png")], body).await.line()
    };
    assert_eq!(put("5", b"\x89\xff").await, r#"200 {"stored":true}"#);
    assert_eq!(put("4", b"old").await, r#"200 {"stored":false}"#);
    let found = ask(&rig, &format!("GET {line}"), "").await;
    assert_eq!(
        (found.header("content-type"), found.header("flotilla-revision")),
        ("image/png", "5")
    );
    assert_eq!(&*found.body, b"\x89\xff");
    let missing = ask(&rig, &format!("PUT {line}"), "x").await;
    assert!(missing.text().contains("`revision` is missing"), "{missing:?}");
}
