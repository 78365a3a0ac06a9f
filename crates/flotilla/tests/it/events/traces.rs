//! The trace of a message, from the request that publishes it to the one that delivers it.

use super::{Arrival, publish, until_done};
use crate::kit::{
    System,
    http::{self, Request},
};
use serde_json::{Value, json};
use std::{collections::BTreeSet, net::SocketAddr};

const FILE: &str = "
topics: { orders: {} }
components: components
services:
  shop: { run: FIXTURE serve, health: /ready }
  whole:
    run: FIXTURE serve
    health: /ready
    env: { LEDGER: DIR/whole }
    subscribes: { orders: POST /event }
  fields:
    run: FIXTURE serve
    health: /ready
    env: { LEDGER: DIR/fields }
    subscribes: { orders: { to: POST /event, format: binary } }
  dapr: { run: FIXTURE serve, health: /ready, env: { LEDGER: DIR/dapr } }
gateway: { listen: GATEWAY, routes: { /: shop } }
";

const SUBSCRIPTION: &str = "
apiVersion: dapr.io/v2alpha1
kind: Subscription
metadata: { name: orders }
spec: { topic: orders, pubsubname: pubsub, routes: { default: /event } }
scopes: [dapr]
";

/// A `traceparent`, taken apart: the trace and the step.
fn parts(parent: &str) -> (String, String) {
    let parts: Vec<&str> = parent.split('-').collect();
    assert_eq!(parts.iter().map(|it| it.len()).collect::<Vec<_>>(), [2, 32, 16, 2], "{parent:?}");
    (parts[1].to_owned(), parts[2].to_owned())
}

/// The three subscribers' deliveries of the message with this number.
fn deliveries(system: &System, count: usize) -> Vec<(&'static str, Arrival)> {
    let one = |name| (name, until_done(system, name, count).pop().unwrap());
    ["whole", "fields", "dapr"].into_iter().map(one).collect()
}

/// What the event of a delivery says of its trace.
fn in_event(name: &str, arrival: &Arrival) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    match name {
        "fields" => arrival.header("ce-traceparent").to_owned(),
        "dapr" => {
            let event = arrival.json();
            assert_eq!(event["traceid"], event["traceparent"], "{event:#}");
            assert!(event["tracestate"].is_string(), "{event:#}");
            text(&event["traceparent"])
        }
        _ => text(&arrival.json()["traceparent"]),
    }
}

/// Each delivery is a step of its own in the trace of the event, which is a step too. Gives the trace.
fn check(deliveries: &[(&str, Arrival)]) -> String {
    let mut steps = BTreeSet::new();
    let mut traces = BTreeSet::new();
    for (name, arrival) in deliveries {
        let (trace, published) = parts(&in_event(name, arrival));
        let (same, delivered) = parts(arrival.header("traceparent"));
        assert_eq!(trace, same, "{arrival:?}");
        assert_ne!(published, delivered, "{arrival:?}");
        assert!(steps.insert(delivered), "{arrival:?}");
        traces.insert((trace, published));
    }
    assert_eq!(traces.len(), 1, "one message is published once: {traces:?}");
    traces.pop_first().unwrap().0
}

#[test]
fn a_request_a_message_and_its_deliveries_are_of_one_trace() {
    let system = System::empty();
    system.file("components/orders.yaml", SUBSCRIPTION);
    system.write(FILE);
    system.up();
    let env = http::get(system.status().address("shop", 0), "/env").unwrap().json();
    let api = env["DAPR_HTTP_ENDPOINT"].as_str().unwrap().strip_prefix("http://").unwrap();
    let api: SocketAddr = api.parse().unwrap();

    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let mut count = 0;
    for path in ["/v1.0/publish/pubsub/orders", "/v1/topics/orders"] {
        let request = Request::get("/x").header("traceparent", parent).header("tracestate", "a=b");
        let seen = request.send(system.gateway).unwrap().json()["headers"].clone();
        let passed_on = seen["traceparent"].as_str().unwrap();
        assert_eq!(parts(passed_on).0, parts(parent).0, "the service is told of the trace");
        // A service that traces its calls passes on what it was sent.
        let request = Request::with_json("POST", path, &json!({ "n": count }))
            .header("traceparent", passed_on)
            .header("tracestate", seen["tracestate"].as_str().unwrap());
        let status = request.send(api).unwrap().status;
        assert!(matches!(status, 201 | 204), "{status}");
        count += 1;
        let got = deliveries(&system, count);
        assert_eq!(check(&got), parts(parent).0);
        assert!(got.iter().all(|(_, it)| it.header("tracestate") == "a=b"), "{got:#?}");
    }

    // Without a trace each message begins its own.
    let mut traces = BTreeSet::new();
    for path in ["/v1.0/publish/pubsub/orders", "/v1/topics/orders"] {
        let request = Request::with_json("POST", path, &json!({ "n": count }));
        assert!(matches!(request.send(api).unwrap().status, 201 | 204));
        count += 1;
        traces.insert(check(&deliveries(&system, count)));
    }
    publish(&system, "orders", &json!({ "data": { "n": count } }));
    traces.insert(check(&deliveries(&system, count + 1)));
    assert_eq!(traces.len(), 3, "{traces:?}");
    assert!(!traces.contains(&parts(parent).0));
    system.down();
}
