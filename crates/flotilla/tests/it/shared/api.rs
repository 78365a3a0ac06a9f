//! The app API of real instances.

use super::{api_of, app_api, ask};
use crate::kit::{
    System, alone,
    http::{Connection, Request},
    load::Load,
    wait::eventually,
};
use serde_json::{Value, json};

const SHOP: &str = "
services:
  users: { run: FIXTURE serve, instances: 2, health: /ready }
  orders: { run: FIXTURE serve, health: /ready }
gateway: { listen: GATEWAY, routes: { /: users } }
state:
  statestore: {}
  sessions: { cache: true, max: 1MiB, prefix: none }
";

#[test]
fn what_was_acknowledged_is_there_after_the_node_was_killed() {
    let system = System::new(SHOP);
    system.up();
    let orders = api_of(&system, "orders");
    for number in 0..20 {
        let body = json!([{ "key": format!("order-{number}"), "value": { "n": number } }]);
        assert_eq!(ask(orders, "POST", "/v1.0/state/statestore", Some(&body)).status, 204);
    }
    let cached = json!([{ "key": "s", "value": 1 }]);
    assert_eq!(ask(orders, "POST", "/v1.0/state/sessions", Some(&cached)).status, 204);
    system.kill_node();
    system.up();
    // The instance was adopted and still knows its port.
    assert_eq!(api_of(&system, "orders"), orders);
    for number in 0..20 {
        let answer = ask(orders, "GET", &format!("/v1.0/state/statestore/order-{number}"), None);
        assert_eq!((answer.status, answer.json()), (200, json!({ "n": number })));
        assert!(answer.header("etag").is_some());
    }
    let gone = ask(orders, "GET", "/v1.0/state/sessions/s", None);
    assert_eq!((gone.status, gone.text().as_str()), (204, ""), "a cache is empty after a restart");
    system.down();
}

#[test]
fn each_service_has_its_own_keys_and_all_instances_of_it_the_same() {
    let system = System::new(SHOP);
    system.up();
    let status = system.until_ready("users", 2);
    let [first, second] = [0, 1].map(|number| app_api(status.address("users", number)));
    assert_ne!(first, second);
    let body = json!([{ "key": "k", "value": "of users" }]);
    assert_eq!(ask(first, "POST", "/v1.0/state/statestore", Some(&body)).status, 204);
    assert_eq!(ask(second, "GET", "/v1.0/state/statestore/k", None).json(), "of users");
    let orders = api_of(&system, "orders");
    assert_eq!(ask(orders, "GET", "/v1.0/state/statestore/k", None).status, 204);
    // A store without prefix is one for all.
    assert_eq!(ask(first, "POST", "/v1.0/state/sessions", Some(&body)).status, 204);
    assert_eq!(ask(orders, "GET", "/v1.0/state/sessions/k", None).json(), "of users");
    // Of two who saw the same, one writes.
    let etag = ask(first, "GET", "/v1.0/state/statestore/k", None);
    let etag = etag.header("etag").unwrap().to_owned();
    let change = |value: u64| json!([{ "key": "k", "value": value, "etag": etag }]);
    assert_eq!(ask(first, "POST", "/v1.0/state/statestore", Some(&change(1))).status, 204);
    assert_eq!(ask(second, "POST", "/v1.0/state/statestore", Some(&change(2))).status, 409);
    assert_eq!(ask(second, "GET", "/v1.0/state/statestore/k", None).json(), 1);
    system.down();
}

#[test]
fn services_call_each_other_by_name_in_three_ways() {
    let system = System::new(SHOP);
    system.up();
    let orders = api_of(&system, "orders");
    let check = |request: Request| {
        let answer = request.header("X-Mine", "yes").send(orders).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        let seen = answer.json();
        assert_eq!(seen["service"], "users", "{seen:#}");
        assert_eq!(seen["path"], "/a/b");
        assert_eq!(seen["headers"]["x-mine"], "yes");
        assert_eq!(seen["headers"]["dapr-caller-app-id"], "orders");
        assert_eq!(seen["headers"]["dapr-callee-app-id"], "users");
        assert_eq!(seen["headers"]["dapr-app-id"], Value::Null);
    };
    check(Request::get("/v1.0/invoke/users/method/a/b?c=d"));
    check(Request::get("/a/b?c=d").header("dapr-app-id", "users"));
    // `dapr-app-id:users` in base 64.
    check(Request::get("/a/b?c=d").header("Authorization", "Basic ZGFwci1hcHAtaWQ6dXNlcnM="));
    let unknown = ask(orders, "GET", "/v1.0/invoke/nobody/method/x", None);
    assert_eq!(unknown.status, 500);
    assert_eq!(unknown.json()["errorCode"], "ERR_DIRECT_INVOKE");
    // Nobody can say they are somebody else.
    let forged = Request::get("/v1.0/invoke/users/method/x").header("dapr-caller-app-id", "admin");
    assert_eq!(forged.send(orders).unwrap().json()["headers"]["dapr-caller-app-id"], "orders");
    system.down();
}

#[test]
fn a_write_with_the_token_of_a_lock_that_was_lost_is_refused() {
    let system = System::new(SHOP);
    system.up();
    let orders = api_of(&system, "orders");
    let acquire = |owner: &str, ttl_ms: u64, wait_ms: u64| {
        let body = json!({ "owner": owner, "ttl_ms": ttl_ms, "wait_ms": wait_ms });
        ask(orders, "POST", "/v1/locks/lockstore/stock/acquire", Some(&body)).json()
    };
    let write = |token: u64, value: &str| {
        let request = Request {
            method: "PUT",
            body: value.as_bytes().to_vec(),
            ..Request::get("/v1/state/statestore/keys/stock")
        };
        let fence = format!("lockstore/stock/{token}");
        request.header("Flotilla-Fence", &fence).send(orders).unwrap()
    };
    let ann = acquire("ann", 1_000, 0);
    assert_eq!(ann["acquired"], true, "{ann:#}");
    let old = ann["token"].as_u64().unwrap();
    assert_eq!(write(old, "7").status, 200);
    assert_eq!(acquire("bob", 60_000, 0)["acquired"], false);
    // Ann pauses for longer than she may hold it; Bob has waited.
    let bob = acquire("bob", 60_000, 20_000);
    assert_eq!(bob["acquired"], true, "{bob:#}");
    let new = bob["token"].as_u64().unwrap();
    assert!(new > old);
    assert_eq!(write(new, "6").status, 200);
    let stale = write(old, "5");
    assert_eq!(stale.status, 409, "{}", stale.text());
    assert_eq!(ask(orders, "GET", "/v1/state/statestore/keys/stock", None).text(), "6");
    system.down();
}

#[test]
fn state_and_calls_go_on_while_the_node_is_replaced() {
    let _alone = alone();
    let system = System::new(SHOP);
    system.up();
    let orders = api_of(&system, "orders");
    let write = |number: u64| {
        let key = format!("k{}", number % 64);
        Request::with_json(
            "POST",
            "/v1.0/state/statestore",
            &json!([{ "key": key, "value": number }]),
        )
    };
    let invoke = |_: u64| Request::get("/v1.0/invoke/users/method/x");
    let once = move |number: u64| write(number).header("Connection", "close");
    let loads = [
        Load::start(2, orders, write),
        Load::start(1, orders, once),
        Load::start(2, orders, invoke),
    ];
    let mut kept = Connection::open(orders).unwrap();
    for number in 0..3 {
        for load in &loads {
            let begun = load.asked();
            eventually("some traffic", || (load.asked() > begun + 30).then_some(()));
        }
        let answer = kept.ask(&write(1_000 + number)).unwrap();
        assert_eq!(answer.status, 204, "{}", answer.text());
        system.flotilla("restart --node").expect(0);
        if answer.is_last() {
            kept = Connection::open(orders).unwrap();
        }
    }
    for load in loads {
        load.end().assert_none_lost();
    }
    system.down();
}
