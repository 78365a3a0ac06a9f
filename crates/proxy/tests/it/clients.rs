//! What clients of the gateway may do, where they stay, and what a route's policy does to their requests.

use crate::support::{Plane, Upstream, name, raw, route};
use http::Method;
use logic::sticky::Key;
use policy::{Parts, Policy};
use proxy::{
    Algorithm, Clients, Cluster, Config, HashOn, RouteSettings, Snapshot, Stickiness, Sticky,
};
use std::{collections::BTreeSet, sync::Arc, time::Duration};

fn config() -> Config {
    Config { workers: 1, slow_start: Duration::ZERO, ..Config::default() }
}

/// Publishes one route with `settings` to `upstreams`, for `clients`.
fn publish(plane: &Plane, upstreams: &[&Upstream], settings: RouteSettings, clients: Clients) {
    let mut all = route("/", &[("users", 1)]);
    all.settings = settings;
    let members = upstreams.iter().map(|upstream| upstream.endpoint()).collect();
    let cluster = Cluster::new(name("users"), Algorithm::RoundRobin, HashOn::Client);
    let snapshot = Snapshot::new(vec![all], [Arc::new(cluster.with_members(members))]);
    plane.handle.publish(snapshot.with_clients(clients));
}

fn policy(parts: Parts) -> RouteSettings {
    RouteSettings { policy: Some(Arc::new(Policy::new(parts))), ..RouteSettings::default() }
}

#[tokio::test]
async fn a_client_with_the_cookie_stays_at_its_instance_and_others_are_spread() {
    let (one, two) = (Upstream::start("users/1").await, Upstream::start("users/2").await);
    let plane = Plane::with(config(), vec![], vec![]);
    let sticky = Sticky { cookie: "at".into(), max_age: Some(Duration::from_secs(60)) };
    let settings = RouteSettings { sticky: Stickiness::On(sticky), ..RouteSettings::default() };
    let clients = Clients { sticky_key: Some(Key::new([7; 16])), ..Clients::default() };
    publish(&plane, &[&one, &two], settings, clients);
    let ask = async |cookie: &str| {
        let request =
            format!("GET /hello HTTP/1.1\r\nHost: s\r\n{cookie}Connection: close\r\n\r\n");
        raw(plane.gateway, request.as_bytes(), "never").await
    };
    let answered = |text: &str| ["users/1", "users/2"].into_iter().find(|it| text.contains(it));
    let first = ask("").await;
    let set = first.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
    assert!(set.ends_with("; Path=/; HttpOnly; SameSite=Lax; Max-Age=60"), "{set}");
    let (cookie, _) = set.split_once(';').unwrap();
    let with = format!("Cookie: other=1; {cookie}\r\n");
    for _ in 0..6 {
        let again = ask(&with).await;
        assert_eq!(answered(&again), answered(&first));
        assert!(!again.contains("set-cookie"), "{again}");
    }
    let mut seen = BTreeSet::new();
    for _ in 0..4 {
        seen.extend(answered(&ask("Cookie: at=0000000000000000\r\n").await));
    }
    assert_eq!(seen.len(), 2, "who names no instance goes where the balancer says");
}

#[tokio::test]
async fn the_gateways_limits_hold_for_its_clients() {
    let users = Upstream::start("users/1").await;
    let plane = Plane::with(config(), vec![], vec![]);
    let clients = Clients {
        head_size_max: Some(1_000),
        fields_max: Some(5),
        head_timeout: Some(Duration::from_millis(50)),
        ..Clients::default()
    };
    publish(&plane, &[&users], RouteSettings::default(), clients);
    let ask = async |fields: String| {
        let request =
            format!("GET /hello HTTP/1.1\r\nHost: s\r\nConnection: close\r\n{fields}\r\n");
        raw(plane.gateway, request.as_bytes(), "never").await
    };
    assert!(ask(String::new()).await.starts_with("HTTP/1.1 200"));
    assert!(ask("A: b\r\n".repeat(3)).await.starts_with("HTTP/1.1 200"));
    assert!(ask("A: b\r\n".repeat(4)).await.starts_with("HTTP/1.1 431"));
    assert!(ask(format!("A: {}\r\n", "b".repeat(1_000))).await.starts_with("HTTP/1.1 431"));
    let slow = raw(plane.gateway, b"GET / HTTP/1.1\r\nHo", "never").await;
    assert!(slow.starts_with("HTTP/1.1 408"), "{slow}");
}

#[tokio::test]
async fn a_body_longer_than_its_route_takes_is_refused_whatever_it_says_of_its_length() {
    let users = Upstream::start("users/1").await;
    let plane = Plane::with(config(), vec![], vec![]);
    let parts = Parts { body_max: Some(10), ..Parts::default() };
    publish(&plane, &[&users], policy(parts), Clients::default());
    let mut client = plane.client().await;
    assert_eq!(client.ask(Method::POST, "/echo", "0123456789").await.unwrap().body, "0123456789");
    let long = b"POST /echo HTTP/1.1\r\nHost: s\r\nContent-Length: 11\r\n\r\n01234567890";
    assert!(raw(plane.gateway, long, "never").await.starts_with("HTTP/1.1 413"));
    let chunked = b"POST /echo HTTP/1.1\r\nHost: s\r\nTransfer-Encoding: chunked\r\n\r\n\
        6\r\nsome, \r\n6\r\nmore, \r\n0\r\n\r\n";
    let refused = raw(plane.gateway, chunked, "never").await;
    assert!(refused.starts_with("HTTP/1.1 413") || refused.is_empty(), "{refused}");
}
