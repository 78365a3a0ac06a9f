//! Event streams of the native API.

use super::*;

const JSON: (&str, &str) = ("content-type", "application/json");
const EVENTS: (&str, &str) = ("accept", "text/event-stream");

/// The events of a stream until there are `count`.
async fn events(
    rig: &Rig,
    line: &str,
    headers: &[(&str, &str)],
    count: usize,
    act: impl Future<Output = ()>,
) -> String {
    let (method, uri) = line.split_once(' ').unwrap();
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Bytes::new()).unwrap();
    let answer = within(rig.ask(CALLER, request)).await.expect("it leads to the node");
    assert_eq!(answer.status(), 200, "{line}");
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let mut body = answer.into_body();
    let mut text = String::new();
    let read = async {
        while text.matches("\ndata: ").count() < count {
            let frame = within(body.frame()).await.expect("the stream goes on").unwrap();
            text.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
        }
    };
    tokio::join!(read, act);
    text
}

#[tokio::test]
async fn a_watch_tells_every_change_once_and_goes_on_where_it_was() {
    let rig = Rig::new().await;
    let write = async |key: &str| {
        let reply = ask(&rig, &format!("PUT /v1/state/statestore/keys/{key}"), "1").await;
        reply.json()["etag"].as_str().unwrap().to_owned()
    };
    let line = "GET /v1/state/statestore/watch?prefix=cart";
    let text = events(&rig, line, &[EVENTS], 2, async {
        write("other").await;
        write("cart1").await;
        assert_eq!(ask(&rig, "DELETE /v1/state/statestore/keys/cart1", "").await.status, 200);
    })
    .await;
    let ids: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("id: ")).collect();
    assert_eq!(ids.len(), 2, "{text}");
    assert!(
        text.contains("event: change\n") && !text.contains("other") && !text.contains("web||"),
        "{text}"
    );
    // From the first on the second comes again, and what happened meanwhile.
    let last = write("cart2").await;
    let resumed = events(&rig, line, &[EVENTS, ("last-event-id", ids[0])], 2, async {}).await;
    let again: Vec<&str> = resumed.lines().filter_map(|line| line.strip_prefix("id: ")).collect();
    assert_eq!(again, [ids[1], &last]);
    // What is not kept any more is said so.
    let kv: &dyn ports::kv::Kv = &rig.memory;
    kv.compact(ports::kv::Revision(last.parse().unwrap())).await.unwrap();
    let mut headers = Vec::from([EVENTS, ("last-event-id", ids[0])]);
    let mut request = Request::get("/v1/state/statestore/watch?prefix=cart");
    for (name, value) in headers.drain(..) {
        request = request.header(name, value);
    }
    let answer = rig.ask(CALLER, request.body(Bytes::new()).unwrap()).await.unwrap();
    if answer.status() == 200 {
        let body = within(answer.into_body().collect()).await.unwrap().to_bytes();
        let text = std::str::from_utf8(&body).unwrap();
        assert!(text.contains("event: compacted\n") && text.contains("\"compacted\":"), "{text}");
    } else {
        assert_eq!(answer.status(), 410);
    }
    let plain = ask(&rig, line, "").await;
    assert_eq!(plain.code(), (406, "not_acceptable".into()));
    rig.end().await;
}

#[tokio::test]
async fn configuration_and_locks_are_watched_from_the_present_on() {
    let rig = Rig::new().await;
    blocks::set(&rig, "limit", "1").await;
    let text = events(&rig, "GET /v1/config/configstore/watch?key=limit", &[EVENTS], 2, async {
        blocks::set(&rig, "other", "x").await;
        blocks::set(&rig, "limit", "2").await;
    })
    .await;
    assert!(text.contains("\"value\":\"1\"") && text.contains("\"value\":\"2\""), "{text}");
    assert!(!text.contains("other"), "{text}");
    let text = events(&rig, "GET /v1/locks/lockstore/r/watch", &[EVENTS], 2, async {
        let body = r#"{"owner":"o","ttl_ms":60000}"#;
        ask_as(&rig, CALLER, "POST /v1/locks/lockstore/r/acquire", &[JSON], body).await;
    })
    .await;
    assert!(text.contains("\"holder\":null") && text.contains("\"owner\":\"o\""), "{text}");
    rig.end().await;
}
