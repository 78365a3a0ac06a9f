//! What the data plane does when a service does not do well: it waits, asks others, and refuses in time.

mod crowd;
mod instance;
mod times;

use crate::support::*;
use http::{Method, Request, header};
use instance::Instance;
use logic::{breaker, outlier, retry::Statuses};
use proxy::{Algorithm, Endpoint, Exchange, HashOn, Phase, Retry, Timeouts, Traffic};
use std::{
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};

const HOUR_MS: u64 = 3_600_000;

/// Nothing but what a test is about.
fn plain() -> Traffic {
    Traffic {
        slow_start: Duration::ZERO,
        pending_timeout: PATIENCE,
        breaker: None,
        outlier: None,
        shed: false,
        ..Traffic::default()
    }
}

/// A data plane that asks its instances in turn.
fn plane(members: Vec<Arc<Endpoint>>, traffic: Traffic) -> Plane {
    let config = proxy::Config { workers: 1, ..proxy::Config::default() };
    let plane = Plane::with(config, vec![route("/", &[("users", 1)])], members);
    plane.balance(Algorithm::RoundRobin, HashOn::Client);
    plane.traffic(traffic);
    plane
}

fn phase(plane: &Plane) -> Phase {
    plane.handle.stats().services[0].breaker
}

fn is_refused(reply: &Reply, code: &str) -> bool {
    reply.status == 503
        && reply.headers.contains_key(header::RETRY_AFTER)
        && reply.body.contains(&format!("\"code\":\"{code}\""))
}

fn with_breaker(open_ms: u64) -> Traffic {
    let breaker = breaker::Settings {
        failure_percent: 50,
        requests_min: 4,
        open_ms,
        open_ms_max: open_ms,
        ..breaker::Settings::default()
    };
    Traffic { breaker: Some(breaker), ..plain() }
}

#[tokio::test]
async fn a_breaker_opens_tries_again_and_closes() {
    let users = Instance::start("users/1").await;
    users.answer(0);
    let plane = plane(vec![users.endpoint()], with_breaker(50));
    let mut client = plane.client().await;
    for round in 0..4 {
        assert_eq!(phase(&plane), Phase::Closed, "{round}");
        assert_eq!(client.post("/", "x").await.status, 502);
    }
    let mut seen = users.requests();
    for _ in 0..3 {
        // Each probe that fails opens it again.
        until("it lets a probe pass", || phase(&plane) == Phase::HalfOpen).await;
        let reply = client.post("/", "x").await;
        assert_eq!(reply.status, 502);
        seen += 1;
        assert_eq!(users.requests(), seen);
    }
    users.answer(200);
    until("it lets probes pass", || phase(&plane) == Phase::HalfOpen).await;
    for _ in 0..u64::from(breaker::PROBES) {
        assert_eq!(client.post("/", "x").await.status, 200);
    }
    assert_eq!(phase(&plane), Phase::Closed);
}

#[tokio::test]
async fn an_open_breaker_refuses_until_another_instance_comes() {
    let users = Instance::start("users/1").await;
    users.answer(0);
    let plane = plane(vec![users.endpoint()], with_breaker(HOUR_MS));
    let mut client = plane.client().await;
    for _ in 0..4 {
        assert_eq!(client.post("/", "x").await.status, 502);
    }
    assert_eq!(phase(&plane), Phase::Open);
    let reply = client.get("/").await;
    assert!(is_refused(&reply, "breaker_open"), "{reply:?}");
    let seconds: u64 = reply.headers[header::RETRY_AFTER].to_str().unwrap().parse().unwrap();
    assert!((3_000..=3_600).contains(&seconds), "{seconds}");
    assert_eq!(users.requests(), 4, "nobody is asked");
    // Other settings do not make it forget.
    plane.traffic(with_breaker(HOUR_MS));
    assert!(is_refused(&client.get("/").await, "breaker_open"));
    let repaired = Instance::start("users/2").await;
    plane.members(vec![repaired.endpoint()]);
    for _ in 0..u64::from(breaker::PROBES) {
        assert_eq!(client.get("/").await.status, 200);
    }
    assert_eq!(phase(&plane), Phase::Closed);
}

fn with_outlier(panic_percent: u8) -> Traffic {
    let outlier = outlier::Settings {
        consecutive: 3,
        eject_ms: HOUR_MS,
        eject_ms_max: HOUR_MS,
        ejected_percent_max: 50,
        panic_percent,
    };
    Traffic { outlier: Some(outlier), ..plain() }
}

#[tokio::test]
async fn an_instance_that_only_fails_is_ejected_and_the_last_one_never() {
    let (bad, good) = (Instance::start("users/1").await, Instance::start("users/2").await);
    bad.answer(500);
    let plane = plane(vec![bad.endpoint(), good.endpoint()], with_outlier(50));
    let mut client = plane.client().await;
    for _ in 0..40 {
        client.get("/").await;
    }
    assert_eq!((bad.requests(), good.requests()), (3, 37));
    let is_out = |plane: &Plane| {
        let stats = plane.handle.stats();
        stats.services[0].endpoints.iter().map(|it| it.is_penalised).collect::<Vec<bool>>()
    };
    assert_eq!(is_out(&plane), [true, false]);
    good.answer(503);
    for _ in 0..20 {
        client.get("/").await;
    }
    assert_eq!((bad.requests(), good.requests()), (3, 57));
    assert_eq!(is_out(&plane), [true, false]);
}

#[tokio::test]
async fn ejections_count_for_nothing_when_too_many_are() {
    let mut all = Vec::new();
    for name in ["users/1", "users/2", "users/3"] {
        all.push(Instance::start(name).await);
    }
    all[0].answer(500);
    let members = all.iter().map(Instance::endpoint).collect();
    let plane = plane(members, with_outlier(30));
    let mut client = plane.client().await;
    for _ in 0..60 {
        client.get("/").await;
    }
    let seen: Vec<u64> = all.iter().map(Instance::requests).collect();
    assert_eq!(seen, [20, 20, 20]);
}

fn retrying(timeouts: Timeouts, on: &[u16]) -> Traffic {
    let retry = Retry { on: Statuses::of(on).unwrap(), ..Retry::default() };
    Traffic { exchange: Exchange { timeouts, retry }, ..plain() }
}

#[tokio::test]
async fn a_try_that_takes_too_long_goes_to_another_instance_when_that_is_harmless() {
    let (stuck, quick) = (Instance::start("users/1").await, Instance::start("users/2").await);
    stuck.answer(Instance::NEVER);
    let per_try = Some(Duration::from_millis(50));
    let traffic = retrying(Timeouts { per_try, ..Timeouts::default() }, &[]);
    let plane = plane(vec![stuck.endpoint(), quick.endpoint()], traffic);
    let mut client = plane.client().await;
    for _ in 0..4 {
        assert_eq!(client.get("/").await.status, 200);
    }
    assert!(stuck.requests() >= 2, "{}", stuck.requests());
    assert_eq!(quick.requests(), 4);
    let before = (stuck.requests(), quick.requests());
    let mut statuses = vec![client.post("/", "x").await.status, client.post("/", "x").await.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 504]);
    assert_eq!((stuck.requests(), quick.requests()), (before.0 + 1, before.1 + 1));
}

#[tokio::test]
async fn an_answer_that_the_route_wants_tried_again_is() {
    let (bad, good) = (Instance::start("users/1").await, Instance::start("users/2").await);
    bad.answer(503);
    let traffic = retrying(Timeouts::default(), &[503]);
    let plane = plane(vec![bad.endpoint(), good.endpoint()], traffic);
    let mut client = plane.client().await;
    for _ in 0..6 {
        assert_eq!(client.get("/").await.status, 200);
    }
    assert_eq!(good.requests(), 6);
    let asked = bad.requests();
    assert!(asked >= 3, "{asked}");
    let statuses = [client.post("/", "x").await.status, client.post("/", "x").await.status];
    assert!(statuses.contains(&503) && statuses.contains(&200), "{statuses:?}");
    // Without another try that answer is the answer.
    good.answer(503);
    let before = bad.requests() + good.requests();
    let reply = client.get("/").await;
    assert_eq!((reply.status, &*reply.body), (503, "from an instance"));
    assert_eq!(bad.requests() + good.requests(), before + 3);
    // Others are not tried again.
    good.answer(500);
    bad.answer(500);
    let before = bad.requests() + good.requests();
    assert_eq!(client.get("/").await.status, 500);
    assert_eq!(bad.requests() + good.requests(), before + 1);
}

#[tokio::test]
async fn no_more_requests_than_allowed_are_worked_on_and_wait() {
    let users = Upstream::start("users/1").await;
    let limits = breaker::Limits { concurrent_max: 1, pending_max: 1 };
    let plane = plane(vec![users.endpoint()], Traffic { limits, ..plain() });
    let (mut first, mut second) = (plane.client().await, plane.client().await);
    let (mut third, mut fourth) = (plane.client().await, plane.client().await);
    let waiting = || plane.handle.stats().services[0].waiting;
    let (first, second, ()) = tokio::join!(first.get("/gate"), second.get("/gate"), async {
        until("one is worked on", || users.state.working.load(SeqCst) == 1).await;
        until("one waits", || waiting() == 1).await;
        let reply = third.get("/").await;
        assert!(is_refused(&reply, "overloaded"), "{reply:?}");
        assert_eq!(users.requests(), 1);
        users.state.gate.add_permits(2);
    });
    assert_eq!((first.status, second.status), (200, 200));
    assert_eq!(waiting(), 0);
    assert_eq!(fourth.get("/").await.status, 200);
    assert_eq!(plane.handle.stats().services[0].endpoints[0].in_flight, 0);
}

#[tokio::test]
async fn whoever_waits_too_long_for_a_place_is_refused() {
    let users = Upstream::start("users/1").await;
    let limits = breaker::Limits { concurrent_max: 1, ..breaker::Limits::default() };
    let pending_timeout = Duration::from_millis(20);
    let plane = plane(vec![users.endpoint()], Traffic { limits, pending_timeout, ..plain() });
    let (mut first, mut second) = (plane.client().await, plane.client().await);
    let (first, ()) = tokio::join!(first.get("/gate"), async {
        until("one is worked on", || users.state.working.load(SeqCst) == 1).await;
        let reply = second.get("/").await;
        assert!(is_refused(&reply, "overloaded"), "{reply:?}");
        users.state.gate.add_permits(1);
    });
    assert_eq!(first.status, 200);
}

#[tokio::test]
async fn a_tunnel_holds_its_place_and_gives_it_back() {
    let users = Upstream::start("users/1").await;
    let limits = breaker::Limits { concurrent_max: 1, ..breaker::Limits::default() };
    let pending_timeout = Duration::from_millis(20);
    let plane = plane(vec![users.endpoint()], Traffic { limits, pending_timeout, ..plain() });
    let mut tunnel = plane.client().await;
    let request = Request::builder()
        .method(Method::GET)
        .uri("/upgrade")
        .header(header::HOST, "shop")
        .header(header::CONNECTION, "upgrade")
        .header(header::UPGRADE, "echo")
        .body(full(""))
        .unwrap();
    let response = tunnel.send(request).await.unwrap();
    assert_eq!(response.status(), 101);
    let mut client = plane.client().await;
    assert!(is_refused(&client.get("/").await, "overloaded"));
    drop((response, tunnel));
    let in_flight = || plane.handle.stats().services[0].endpoints[0].in_flight;
    until("the tunnel ends", || in_flight() == 0).await;
    assert_eq!(client.get("/").await.status, 200);
}
