//! Transactions by the native API, with participants that are real servers.

mod refusals;
pub(crate) mod samples;

use super::*;
use crate::app::{
    Protocol,
    deliver::tests::{App, answer},
};
use futures_util::future::join_all;
use serde_json::json;

const JSON: (&str, &str) = ("content-type", "application/json");
const WAIT: (&str, &str) = ("prefer", "wait=60");
const STREAM: (&str, &str) = ("accept", "text/event-stream");

/// A system whose service `items` is `app`.
async fn rig(app: &App) -> Rig {
    let rig = Rig::new().await;
    rig.node.offer("items", Protocol::Http);
    rig.node.at("items", app.address);
    rig
}

/// Items of which there are always enough, but of `gone`.
async fn items() -> App {
    App::answering(|request| match request.uri().path() {
        "/gone" => answer(409, &[], "sold out"),
        "/read" => answer(200, &[("flotilla-vote", "read_only")], ""),
        path => answer(200, &[], &json!({ "path": path, "id": 7 }).to_string()),
    })
    .await
}

async fn post(rig: &Rig, path: &str, headers: &[(&str, &str)], body: &Value) -> Reply {
    let headers = [&[JSON], headers].concat();
    let body = if body.is_null() { String::new() } else { body.to_string() };
    ask_as(rig, CALLER, &format!("POST {path}"), &headers, body).await
}

fn saga(id: &str) -> Value {
    json!({ "id": id, "input": { "sku": "x" }, "labels": { "team": "a" }, "steps": [
        { "id": "reserve", "call": "items/reserve", "undo": "items/release", "body": { "sku": "{{input.sku}}" } },
        { "id": "charge", "call": "POST items/charge", "undo": "items/refund",
          "body": { "reservation": "{{steps.reserve.body.id}}" } },
    ] })
}

fn statuses(reply: &Reply) -> Vec<String> {
    let transaction = reply.json();
    let branches = transaction["branches"].as_array().unwrap().iter();
    branches.map(|branch| branch["status"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_saga_is_submitted_and_waited_for_and_read_again() {
    let app = items().await;
    let rig = rig(&app).await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let done = post(&rig, "/v1/tx", &[WAIT, ("traceparent", trace)], &saga("s-1")).await;
    assert_eq!((done.status, done.header("location")), (201, "/v1/tx/s-1"), "{done:?}");
    assert_eq!(done.header("preference-applied"), "wait=60");
    let transaction = done.json();
    for (key, value) in [
        ("id", json!("s-1")),
        ("mode", json!("saga")),
        ("status", json!("committed")),
        ("caller", json!("web")),
        ("node", json!("node")),
        ("labels", json!({ "team": "a" })),
        ("input", json!({ "sku": "x" })),
        ("safety", Value::Null),
    ] {
        assert_eq!(transaction[key], value, "{key}");
    }
    let of_trace = "00-0af7651916cd43dd8448eb211c80319c-";
    assert!(transaction["traceparent"].as_str().unwrap().starts_with(of_trace), "{transaction}");
    assert_eq!(statuses(&done), ["done", "done"]);
    assert_eq!(transaction["branches"][0]["result"]["id"], 7);
    assert_eq!(transaction["branches"][1]["after"], json!(["reserve"]));
    assert_eq!(transaction["branches"][1]["calls"]["compensate"], "POST items/refund");
    let (parts, body) = app.got();
    assert_eq!((parts.uri.path(), &body[..]), ("/charge", &b"{\"reservation\":7}"[..]));
    assert!(parts.headers["traceparent"].to_str().unwrap().starts_with(of_trace));

    // The same again is known, in whatever trace; another under its name is not it.
    let again = post(&rig, "/v1/tx", &[], &saga("s-1")).await;
    assert_eq!((again.status, again.json()["status"].clone()), (200, json!("committed")));
    let mut other = saga("s-1");
    other["input"]["sku"] = json!("y");
    assert_eq!(post(&rig, "/v1/tx", &[], &other).await.code(), (409, "conflict".to_owned()));

    let shown = ask(&rig, "GET /v1/tx/s-1", "").await;
    assert_eq!(shown.json(), transaction);
    let decision = ask(&rig, "GET /v1/tx/s-1/decision", "").await.json();
    assert_eq!(decision, json!({ "gid": "s-1", "decision": "commit" }));
}

#[tokio::test]
async fn an_abort_is_an_outcome_and_no_error() {
    let app = items().await;
    let rig = rig(&app).await;
    let body = json!({ "steps": [
        { "id": "a", "call": "items/a", "undo": "items/undo-a" }, { "id": "b", "call": "items/gone" },
    ] });
    let done = post(&rig, "/v1/tx", &[WAIT, ("idempotency-key", "\"k-1\"")], &body).await;
    let transaction = done.json();
    assert_eq!((done.status, &transaction["status"]), (201, &json!("aborted")), "{done:?}");
    assert_eq!(transaction["id"], "k-1");
    assert!(transaction["reason"].as_str().unwrap().contains("sold out"), "{transaction}");
    assert_eq!(statuses(&done), ["undone", "refused"]);
    assert_eq!(app.got().0.uri.path(), "/undo-a");
    let decision = ask(&rig, "GET /v1/tx/k-1/decision", "").await.json();
    assert_eq!(decision["decision"], "abort");
    // Nobody knows it: presumed aborted.
    let unknown = ask(&rig, "GET /v1/tx/nobody/decision", "").await;
    assert_eq!((unknown.status, unknown.json()["decision"].clone()), (200, json!("abort")));
    assert_eq!(ask(&rig, "GET /v1/tx/nobody", "").await.code(), (404, "not_found".to_owned()));
}

#[tokio::test]
async fn every_mode_ends_as_it_should() {
    let app = items().await;
    let rig = rig(&app).await;
    let ok =
        json!([{ "id": "a", "participant": "items/a" }, { "id": "b", "participant": "items/b" }]);
    let read = json!([{ "id": "a", "participant": "items/a" }, { "id": "b", "participant": "items/read" }]);
    let no = json!([{ "id": "a", "participant": "items/a" }, { "id": "b", "participant": "items/gone" }]);
    for (mode, steps, status, branches, safety) in [
        ("tcc", &ok, "committed", ["confirmed", "confirmed"], Value::Null),
        ("2pc", &ok, "committed", ["committed", "committed"], Value::Null),
        ("2pc", &read, "committed", ["committed", "read_only"], Value::Null),
        ("2pc", &no, "aborted", ["rolled_back", "refused"], Value::Null),
        ("3pc", &ok, "committed", ["committed", "committed"], json!("blocking_safe")),
        (
            "3pc_classic",
            &ok,
            "committed",
            ["committed", "committed"],
            json!("non_blocking_unsafe_under_partition"),
        ),
    ] {
        let body = json!({ "mode": mode, "steps": steps });
        let done = post(&rig, "/v1/tx", &[WAIT], &body).await;
        let transaction = done.json();
        assert_eq!(transaction["status"], status, "{mode}: {transaction:#}");
        assert_eq!(statuses(&done), branches, "{mode}: {transaction:#}");
        assert_eq!((&transaction["mode"], &transaction["safety"]), (&json!(mode), &safety));
    }
    let message = json!({ "mode": "msg", "steps": [{ "call": "items/a" }, { "call": "items/b" }] });
    let done = post(&rig, "/v1/tx", &[WAIT], &message).await;
    assert_eq!(
        (done.json()["status"].clone(), statuses(&done)),
        (json!("committed"), vec!["done".to_owned(); 2])
    );
    let used = json!({ "use": "checkout", "input": { "order": 7 } });
    rig.node.offer("users", Protocol::Http);
    rig.node.at("users", app.address);
    let done = post(&rig, "/v1/tx", &[WAIT], &used).await.json();
    assert_eq!((&done["status"], &done["name"]), (&json!("committed"), &json!("checkout")));
    assert_eq!(app.got().1, "{\"order\":7}");
}

#[tokio::test]
async fn an_open_transaction_gets_branches_until_the_client_decides() {
    let app = items().await;
    let rig = rig(&app).await;
    let opened =
        post(&rig, "/v1/tx", &[], &json!({ "id": "t", "mode": "tcc", "open": true })).await;
    assert_eq!(
        (opened.status, opened.json()["status"].clone()),
        (201, json!("open")),
        "{opened:?}"
    );
    let decision = ask(&rig, "GET /v1/tx/t/decision", "").await.json();
    assert_eq!(decision["decision"], "undecided");
    let branch = json!({ "id": "a", "confirm": "items/confirm", "cancel": "items/cancel" });
    for body in [&branch, &json!({ "steps": [branch] })] {
        let added = post(&rig, "/v1/tx/t/branches", &[], body).await;
        assert_eq!((added.status, statuses(&added).len()), (200, 1), "{added:?}");
    }
    let nameless = json!({ "confirm": "items/confirm", "cancel": "items/cancel" });
    let refused = post(&rig, "/v1/tx/t/branches", &[], &nameless).await;
    assert_eq!(refused.code(), (400, "bad_request".to_owned()));
    assert!(refused.text().contains("steps[0]: `id` is missing"), "{refused:?}");
    let done = post(&rig, "/v1/tx/t/commit", &[WAIT], &Value::Null).await;
    assert_eq!(
        (done.json()["status"].clone(), statuses(&done)),
        (json!("committed"), vec!["confirmed".to_owned()])
    );
    assert_eq!(app.got().0.uri.path(), "/confirm");
    for (path, body) in [("/v1/tx/t/branches", branch), ("/v1/tx/t/abort", Value::Null)] {
        assert_eq!(
            post(&rig, path, &[], &body).await.code(),
            (409, "refused".to_owned()),
            "{path}"
        );
    }
    post(&rig, "/v1/tx", &[], &json!({ "id": "u", "mode": "2pc", "open": true })).await;
    let why = json!({ "reason": "changed my mind" });
    let given_up = post(&rig, "/v1/tx/u/abort", &[WAIT], &why).await.json();
    assert_eq!(
        (&given_up["status"], &given_up["reason"]),
        (&json!("aborted"), &json!("changed my mind"))
    );
}

#[tokio::test]
async fn what_does_not_end_by_itself_is_ended_by_hand() {
    let app = items().await;
    let rig = rig(&app).await;
    rig.node.offer("away", Protocol::Http);
    let body = json!({ "id": "w", "steps": [{ "id": "a", "call": "away/a" }] });
    // Nobody is there: the answer says how it stands when the time is over.
    let begun = post(&rig, "/v1/tx", &[("prefer", "wait=0")], &body).await;
    assert_eq!((begun.status, begun.json()["status"].clone()), (201, json!("trying")), "{begun:?}");
    let listed = ask(&rig, "GET /v1/tx?status=trying&limit=5", "").await.json();
    assert_eq!(listed["transactions"][0]["id"], "w", "{listed}");
    let none = ask(&rig, "GET /v1/tx?status=committed", "").await.json();
    assert_eq!(none, json!({ "transactions": [] }));
    for (body, status, words) in [
        (json!({}), 400, "either `branch` or `outcome`"),
        (json!({ "branch": "a", "outcome": "mixed" }), 400, "either `branch` or `outcome`"),
        (json!({ "outcome": "fine" }), 400, "`outcome: fine` means nothing"),
        (json!({ "branch": "b" }), 404, "has no branch `b`"),
    ] {
        let reply = post(&rig, "/v1/tx/w/resolve", &[], &body).await;
        assert_eq!(reply.status, status, "{body}: {reply:?}");
        assert!(reply.text().contains(words), "{body}: {reply:?}");
    }
    let body = json!({ "outcome": "aborted", "reason": "ticket 7" });
    let ended = post(&rig, "/v1/tx/w/resolve", &[], &body).await;
    assert_eq!(ended.json()["status"], "aborted", "{ended:?}");
    let events = ask(&rig, "GET /v1/tx/w/events", "").await;
    assert!(events.text().contains("web/1: ticket 7"), "{events:?}");
    // A service that comes back is asked at once when somebody says so.
    let body = json!({ "id": "v", "steps": [{ "id": "a", "call": "away/a" }] });
    post(&rig, "/v1/tx", &[("prefer", "wait=0")], &body).await;
    rig.node.at("away", app.address);
    let done = post(&rig, "/v1/tx/v/retry", &[WAIT], &Value::Null).await;
    assert_eq!(done.json()["status"], "committed", "{done:?}");
}

#[tokio::test]
async fn the_history_is_told_as_it_happens_until_the_end() {
    let app = items().await;
    let rig = rig(&app).await;
    let read = async |headers: &[(&str, &str)]| {
        let mut request = Request::builder().uri("/v1/tx/h/events");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = within(rig.ask(CALLER, request.body(Bytes::new()).unwrap())).await;
        let body = within(answer.expect("it leads to the node").into_body().collect()).await;
        String::from_utf8(body.unwrap().to_bytes().to_vec()).unwrap()
    };
    rig.node.offer("late", Protocol::Http);
    let body = json!({ "id": "h", "steps": [{ "id": "a", "call": "late/a" }] });
    post(&rig, "/v1/tx", &[], &body).await;
    let (text, ()) = tokio::join!(read(&[STREAM]), async {
        rig.node.at("late", app.address);
        assert_eq!(post(&rig, "/v1/tx/h/retry", &[WAIT], &Value::Null).await.status, 200);
    });
    let ids: Vec<u64> =
        text.lines().filter_map(|line| line.strip_prefix("id: ")?.parse().ok()).collect();
    let expected: Vec<u64> = (1..).take(ids.len()).collect();
    assert_eq!(ids, expected, "{text}");
    assert!(ids.len() >= 2 && text.contains("\"branch\":\"a\""), "{text}");
    // Resumed after the first one; of one that has ended the stream ends at once.
    let rest = read(&[STREAM, ("last-event-id", "1")]).await;
    assert_eq!(
        rest.matches("\nid: ").count() + usize::from(rest.starts_with("id: ")),
        ids.len() - 1,
        "{rest}"
    );
    let events = ask(&rig, "GET /v1/tx/h/events?after=1", "").await.json();
    assert_eq!(events["events"].as_array().unwrap().len(), ids.len() - 1);
    assert_eq!(events["events"][0]["seq"], 2);
    assert_eq!(ask_as(&rig, CALLER, "GET /v1/tx/none/events", &[STREAM], "").await.status, 404);
}

#[tokio::test]
async fn lists_are_filtered_and_come_in_pages() {
    let app = items().await;
    let rig = rig(&app).await;
    let all = (0..5).map(|number| {
        let mut body = saga(&format!("p-{number}"));
        body["labels"]["number"] = json!(number.to_string());
        let rig = &rig;
        async move { post(rig, "/v1/tx", &[WAIT], &body).await }
    });
    join_all(all).await;
    let mut found: Vec<String> = Vec::new();
    let mut line = "GET /v1/tx?limit=2".to_owned();
    loop {
        let page = ask(&rig, &line, "").await.json();
        let ids = page["transactions"].as_array().unwrap().iter();
        found.extend(ids.map(|it| it["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        line = format!("GET /v1/tx?limit=2&cursor={}", crate::query::escape(next));
    }
    found.sort_unstable();
    assert_eq!(found, ["p-0", "p-1", "p-2", "p-3", "p-4"]);
    let count = async |query: &str| {
        let page = ask(&rig, &format!("GET /v1/tx?{query}"), "").await.json();
        page["transactions"].as_array().unwrap_or_else(|| panic!("{page}")).len()
    };
    for (query, expected) in [
        ("label=number:3", 1),
        ("label=team:a", 5),
        ("label=team:b", 0),
        ("mode=saga&status=committed&status=aborted", 5),
        ("mode=tcc", 0),
        ("attention=true", 0),
        ("since=1h", 5),
        ("until=1h", 0),
        ("since=2000-01-01T00:00:00Z&until=2100-01-01T00:00:00Z", 5),
        ("name=checkout", 0),
    ] {
        assert_eq!(count(query).await, expected, "{query}");
    }
    for query in
        ["status=done", "label=x", "since=soon", "mode=xa", "cursor=%00", "limit=x", "stat=open"]
    {
        let reply = ask(&rig, &format!("GET /v1/tx?{query}"), "").await;
        assert_eq!(reply.code(), (400, "bad_request".to_owned()), "{query}");
    }
}
