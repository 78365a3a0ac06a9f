//! The forms of `subscribes:`.

use super::{answer, arrivals, keyed, publish, subscription, until, until_done, until_settled};
use crate::kit::{System, http::Request, wait::eventually};
use serde_json::json;
use std::collections::BTreeSet;

const FORMS: &str = "
topics:
  order.created: {}
  refunds: {}
services:
  shop:
    run: FIXTURE serve
    health: /ready
    env: { LEDGER: DIR/shop }
    subscribes:
      order.created: POST /created/event
      refunds:
        to: POST /other/event
        routes:
          - { when: \"event.type == 'refund' && event.data.amount > 100\", to: POST /large/event }
          - { when: \"event.subject == 'small'\", to: PUT /small/event }
  books:
    run: FIXTURE serve
    health: /ready
    env: { LEDGER: DIR/books }
    subscribes:
      order.created: { to: POST /binary/event, format: binary, group: accounts }
  files:
    run: FIXTURE serve
    health: /ready
    env: { LEDGER: DIR/files }
    subscribes:
      order.created: { to: POST /raw/event, format: raw }
      refunds: { routes: [{ when: \"event.type == 'refund'\", to: POST /only/event }] }
";

#[test]
fn each_form_of_a_subscription_gets_what_it_asks_for() {
    let system = System::new(FORMS);
    system.up();
    let message = json!({
        "id": "o-1", "key": "ann", "type": "created", "source": "web", "subject": "order 1",
        "extensions": { "team": "red" }, "data": { "total": 12 },
    });
    assert_eq!(publish(&system, "order.created", &message)["offset"], 1);

    let got = &until_done(&system, "shop", 1)[0];
    assert_eq!((got.method.as_str(), got.path.as_str()), ("POST", "/created/event"));
    assert!(got.header("content-type").starts_with("application/cloudevents+json"), "{got:?}");
    let event = got.json();
    for (name, value) in [
        ("specversion", "1.0"),
        ("id", "o-1"),
        ("type", "created"),
        ("source", "web"),
        ("subject", "order 1"),
        ("team", "red"),
    ] {
        assert_eq!(event[name], value, "{event:#}");
    }
    assert_eq!(event["data"], json!({ "total": 12 }));
    assert_eq!((got.attempt(), got.header("flotilla-offset")), (1, "1"));

    let got = &until_done(&system, "books", 1)[0];
    assert_eq!(got.json(), json!({ "total": 12 }));
    for (name, value) in [
        ("ce-specversion", "1.0"),
        ("ce-id", "o-1"),
        ("ce-type", "created"),
        ("ce-source", "web"),
        ("ce-team", "red"),
        ("content-type", "application/json"),
    ] {
        assert_eq!(got.header(name), value, "{got:?}");
    }
    let got = &until_done(&system, "files", 1)[0];
    assert_eq!((got.path.as_str(), got.json()), ("/raw/event", json!({ "total": 12 })));
    assert_eq!(got.header("ce-id"), "", "{got:?}");
    // Each group had it once.
    for (group, ledger) in [("shop", "shop"), ("accounts", "books"), ("files", "files")] {
        until_settled(&system, "order.created", group);
        assert_eq!(arrivals(&system, ledger).len(), 1, "{ledger}");
    }
    system.down();
}

#[test]
fn the_first_condition_that_holds_decides_where_a_message_goes() {
    let system = System::new(FORMS);
    system.up();
    for (kind, subject, amount) in
        [("refund", "small", 200), ("refund", "small", 20), ("refund", "", 20), ("note", "", 1)]
    {
        let data = json!({ "amount": amount });
        let message = json!({ "type": kind, "subject": subject, "data": data });
        publish(&system, "refunds", &message);
    }
    // Data that the condition cannot look into is no reason to stop.
    publish(&system, "refunds", &json!({ "type": "refund", "text": "no JSON" }));
    let got = until_done(&system, "shop", 5);
    let ways: BTreeSet<_> = got
        .iter()
        .map(|it| (it.header("flotilla-offset"), it.method.as_str(), it.path.as_str()))
        .collect();
    let expected = [
        ("1", "POST", "/large/event"),
        ("2", "PUT", "/small/event"),
        ("3", "POST", "/other/event"),
        ("4", "POST", "/other/event"),
        ("5", "POST", "/other/event"),
    ];
    assert_eq!(ways, BTreeSet::from(expected));
    // Without a way for all the others, they are passed over.
    let got = until_done(&system, "files", 4);
    assert!(got.iter().all(|it| it.path == "/only/event" && it.json()["type"] == "refund"));
    until_settled(&system, "refunds", "files");
    assert_eq!(arrivals(&system, "files").len(), 4);
    system.down();
}

#[test]
fn a_changed_file_changes_who_gets_messages() {
    let file = |subscribes: &str| {
        format!(
            "
topics: {{ orders: {{}}, bills: {{}} }}
services:
  shop: {{ run: FIXTURE serve, health: /ready, env: {{ LEDGER: DIR/shop }}, subscribes: {{ {subscribes} }} }}
"
        )
    };
    let system = System::new(&file("orders: POST /one/event"));
    system.up();
    publish(&system, "orders", &json!({ "data": 1 }));
    until_done(&system, "shop", 1);
    let pids = system.status().pids("shop");

    system.write(&file("orders: POST /two/event, bills: POST /bill/event"));
    system.flotilla("up -d").expect(0);
    publish(&system, "orders", &json!({ "data": 2 }));
    publish(&system, "bills", &json!({ "data": 3 }));
    let got = until_done(&system, "shop", 3);
    let paths: BTreeSet<_> = got[1..].iter().map(|it| it.path.as_str()).collect();
    assert_eq!(paths, BTreeSet::from(["/two/event", "/bill/event"]), "{got:#?}");
    assert_eq!(system.status().pids("shop"), pids, "nobody was restarted for that");

    // A bad condition is refused as a whole.
    system.write(&file("orders: { routes: [{ when: 'event.type ==', to: POST /x }] }"));
    system.flotilla("up -d").expect(3).says("when");
    assert!(subscription(&system, "bills", "shop").is_some());

    system.write(&file(""));
    system.flotilla("up -d").expect(0);
    assert!(subscription(&system, "orders", "shop").is_none());
    publish(&system, "orders", &json!({ "data": 4 }));
    // Where the group stood is remembered.
    system.write(&file("orders: POST /again/event"));
    system.flotilla("up -d").expect(0);
    let got = until_done(&system, "shop", 4);
    assert_eq!((got[3].path.as_str(), &got[3].json()["data"]), ("/again/event", &json!(4)));
    system.down();
}

#[test]
fn instances_share_the_messages_and_the_keys_stay_in_order() {
    let system = System::new(
        "
topics: { orders: {} }
services:
  shop:
    run: FIXTURE serve
    instances: 3
    health: /ready
    env: { LEDGER: DIR/shop }
    subscribes: { orders: POST /event }
",
    );
    system.up();
    system.until_ready("shop", 3);
    for number in 0..60 {
        let key = format!("k{}", number % 12);
        publish(&system, "orders", &keyed(&key, &json!({ "n": number, "key": key })));
    }
    let got = until_done(&system, "shop", 60);
    assert_eq!(got.len(), 60, "each one once");
    for key in 0..12 {
        let of_key = got.iter().filter(|it| it.number("n") % 12 == key);
        let numbers: Vec<_> = of_key.map(|it| it.number("n")).collect();
        assert!(numbers.is_sorted(), "{numbers:?}");
    }
    // The balancer owes nobody a share of so few.
    eventually("something for each instance", || {
        publish(&system, "orders", &json!({ "data": { "n": 0 } }));
        let all = arrivals(&system, "shop");
        let instances: BTreeSet<_> = all.iter().map(|it| it.instance.as_str()).collect();
        (instances.len() == 3).then_some(())
    });
    system.down();
}

#[test]
fn a_message_is_refused_before_it_is_lost() {
    let system = System::new(FORMS);
    system.up();
    answer(&system, "shop", "");
    let post = |topic: &str, body: &serde_json::Value| {
        system.api("POST", &format!("/v1/topics/{topic}/messages"), Some(body))
    };
    let unknown = post("order.create", &json!({ "data": 1 }));
    assert_eq!(unknown.status, 404, "{}", unknown.text());
    assert!(unknown.text().contains("order.created"), "{}", unknown.text());
    let large = post("refunds", &json!({ "text": "x".repeat(2 << 20) }));
    assert!(matches!(large.status, 400 | 413), "{} {}", large.status, large.text());
    let twice = post("refunds", &json!({ "data": 1, "text": "x" }));
    assert_eq!(twice.status, 400, "{}", twice.text());
    // The second one of an id is the first one.
    let message = json!({ "id": "same", "type": "refund", "data": { "amount": 1 } });
    assert_eq!(publish(&system, "refunds", &message)["duplicate"], false);
    assert_eq!(publish(&system, "refunds", &message)["duplicate"], true);
    until(&system, "files", "the refund", |all| !all.is_empty());

    // Services have the same by the app API.
    let status = system.status();
    let env = crate::kit::http::get(status.address("shop", 0), "/env").unwrap().json();
    let api = env["DAPR_HTTP_ENDPOINT"].as_str().unwrap().strip_prefix("http://").unwrap();
    let api = api.parse().unwrap();
    let by_app = |path: &str| {
        Request::with_json("POST", path, &json!({ "data": 1 })).send(api).unwrap().status
    };
    assert_eq!(by_app("/v1.0/publish/pubsub/order.created"), 204);
    assert_eq!(by_app("/v1/topics/order.created"), 201);
    assert!(matches!(by_app("/v1.0/publish/nowhere/order.created"), 400 | 404));
    until_done(&system, "books", 2);
    system.down();
}
