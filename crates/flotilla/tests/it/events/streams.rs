//! Streams of events: for what is expected of them, and for whom catches up.

use super::{Arrival, answer, arrivals, until, until_done};
use crate::kit::{System, http::Answer, wait::eventually};
use serde_json::{Value, json};

/// Appends events with these numbers.
fn append(
    system: &System,
    stream: &str,
    expected: &Value,
    numbers: std::ops::Range<u64>,
) -> Answer {
    let event = |n| json!({ "id": format!("{stream}-{n}"), "type": "deposited", "tags": [stream], "data": { "n": n } });
    let events: Vec<_> = numbers.map(event).collect();
    let mut body = json!({ "events": events });
    if !expected.is_null() {
        body["expected"] = expected.clone();
    }
    system.api("POST", &format!("/v1/streams/{stream}/events"), Some(&body))
}

fn file(subscribes: &str) -> String {
    format!(
        "
topics: {{ orders: {{}} }}
services:
  shop: {{ run: FIXTURE serve, health: /ready, env: {{ LEDGER: DIR/shop }}{subscribes} }}
"
    )
}

#[test]
fn an_append_that_expects_something_else_is_a_conflict() {
    let system = System::new(&file(""));
    system.up();
    let status = |expected: Value, numbers| append(&system, "account-1", &expected, numbers).status;
    assert_eq!(status(json!("no_stream"), 0..2), 200);
    let conflict = append(&system, "account-1", &json!("0"), 2..3);
    assert_eq!(conflict.status, 409, "{}", conflict.text());
    assert!(conflict.text().contains('1'), "it says what there is: {}", conflict.text());
    assert_eq!(status(json!("no_stream"), 5..6), 409);
    assert_eq!(status(json!("1"), 2..3), 200);
    assert_eq!(append(&system, "account-2", &json!("exists"), 0..1).status, 409);
    assert_eq!(status(json!("often"), 7..8), 400);
    // The same append again is the one that was made.
    let again = append(&system, "account-1", &json!("1"), 2..3);
    assert_eq!((again.status, &again.json()["duplicate"]), (200, &json!(true)));

    system.kill_node();
    system.up();
    assert_eq!(status(json!("0"), 9..10), 409);
    let read = system.api("GET", "/v1/streams/account-1/events", None).json();
    let events = read["events"].as_array().unwrap();
    let revisions: Vec<_> = events.iter().map(|it| it["revision"].as_u64().unwrap()).collect();
    let numbers: Vec<_> = events.iter().map(|it| it["data"]["n"].as_u64().unwrap()).collect();
    assert_eq!((revisions, numbers), (vec![0, 1, 2], vec![0, 1, 2]));
    let words = "streams append account-1 closed {} --expected 0";
    assert_ne!(system.flotilla(words).code, 0);
    system.flotilla("streams append account-1 closed {} --expected 2").expect(0);
    system.flotilla("streams read account-1").expect(0).says("closed");
    system.flotilla("streams ls").expect(0).says("account-1");
    system.down();
}

fn positions(all: &[Arrival]) -> Vec<u64> {
    all.iter()
        .filter(|it| it.is_done())
        .map(|it| it.header("flotilla-position").parse().unwrap())
        .collect()
}

#[test]
fn a_subscription_catches_up_in_order_and_goes_on_where_it_stood() {
    let system = System::new(&file(""));
    system.up();
    for account in ["account-1", "account-2", "other-1"] {
        assert_eq!(append(&system, account, &Value::Null, 0..20).status, 200);
    }
    // It gets what was there before it, and only its category.
    system.write(&file(", subscribes: { 'events:account': POST /event }"));
    system.up();
    let all = until_done(&system, "shop", 40);
    assert_eq!(positions(&all), (1..=40).collect::<Vec<_>>());
    let first = all[0].json();
    assert_eq!((&first["type"], &first["data"]), (&json!("deposited"), &json!({ "n": 0 })));
    assert_eq!(all[0].header("flotilla-stream"), "account-1");

    // One that fails holds up those behind it, also over the end of the node.
    answer(&system, "shop", "500 0 \"n\":22\n");
    assert_eq!(append(&system, "account-1", &json!("19"), 20..25).status, 200);
    until(&system, "shop", "a failure", |all| all.iter().any(|it| it.attempt() > 1));
    system.kill_node();
    system.up();
    assert_eq!(append(&system, "account-2", &json!("19"), 20..22).status, 200);
    answer(&system, "shop", "");
    let all = until_done(&system, "shop", 47);
    let mut got = positions(&all);
    got.dedup();
    assert!(got.is_sorted(), "{got:?}");
    assert_eq!(got.len(), 47, "{got:?}");

    let name = eventually("the subscription", || {
        let all = system.api("GET", "/v1/stream-subscriptions", None).json();
        let one = all["subscriptions"].as_array()?.first()?.clone();
        (one["lag"] == 0).then(|| one["name"].as_str().unwrap().to_owned())
    });
    let before = arrivals(&system, "shop").len();
    system.flotilla(&format!("streams reset {name} --to beginning")).expect(0);
    let all = until_done(&system, "shop", before + 40);
    let again = all.iter().filter(|it| it.header("flotilla-position") == "1").count();
    assert_eq!(again, 2);
    system.down();
}
