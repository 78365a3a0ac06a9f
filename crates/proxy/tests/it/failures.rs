use crate::support::*;
use http::Method;
use proxy::{Config, Endpoint};
use runtime::TaskSet;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

/// An endpoint nobody listens at.
fn dead(instance: &str) -> Arc<Endpoint> {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    Endpoint::new(base::InstanceId::parse(instance).unwrap(), address, 1)
}

fn impatient() -> Config {
    Config {
        workers: 1,
        no_instance_wait: Duration::from_millis(100),
        slow_start: Duration::ZERO,
        ..Config::default()
    }
}

fn plane(config: Config, members: Vec<Arc<Endpoint>>) -> Plane {
    Plane::with(config, vec![route("/", &[("users", 1)])], members)
}

#[tokio::test]
async fn what_an_instance_may_have_processed_is_not_sent_again() {
    let users = Upstream::start("users/1").await;
    let plane = plane(impatient(), vec![users.endpoint()]);
    let reply = plane.client().await.post("/die", "pay 10").await;
    assert_eq!(reply.status, 502);
    assert!(reply.body.contains("\"code\":\"upstream_failed\""), "{}", reply.body);
    assert_eq!(users.requests(), 1);
}

#[tokio::test]
async fn an_idempotent_request_is_sent_again_within_its_bound() {
    let users = Upstream::start("users/1").await;
    let config = Config { no_instance_wait: PATIENCE, ..impatient() };
    let plane = plane(config, vec![users.endpoint()]);
    let reply = plane.client().await.ask(Method::PUT, "/die", "body").await.unwrap();
    assert_eq!(reply.status, 502, "{reply:?}");
    // Once, and the two retries of the default.
    assert_eq!(users.requests(), 3);
}

#[tokio::test]
async fn an_instance_that_dies_within_a_small_response_is_replaced_by_another() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let id = base::InstanceId::parse("users/1").unwrap();
    let endpoint = Endpoint::new(id, listener.local_addr().unwrap(), 1);
    let config = Config { no_instance_wait: PATIENCE, ..impatient() };
    let plane = plane(config, vec![endpoint]);
    let mut server = TaskSet::new("server");
    server.spawn("half, then whole", move |_| async move {
        for body in ["half", "all of it"] {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = [0; 4096];
            assert!(stream.read(&mut head).await.unwrap() > 0);
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{body}");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let reply = plane.client().await.get("/").await;
    assert_eq!((reply.status, &*reply.body), (200, "all of it"));
    assert_eq!(plane.handle.stats().services[0].totals.retries, 1);
}

#[tokio::test]
async fn an_instance_that_is_gone_is_passed_over_for_every_method() {
    let users = Upstream::start("users/1").await;
    let members = vec![dead("users/2"), users.endpoint(), dead("users/3")];
    let plane = plane(impatient(), members.clone());
    let mut client = plane.client().await;
    for _ in 0..50 {
        assert_eq!(client.post("/echo", "x").await.status, 200);
    }
    let stats = plane.handle.stats();
    let failures: u64 = stats.services[0].endpoints.iter().map(|e| e.totals.failures).sum();
    assert!(failures < 30, "a dead instance is tried now and then, not each time: {failures}");
}

#[tokio::test]
async fn when_no_instance_can_be_reached_the_client_is_told_so() {
    let plane = plane(impatient(), vec![dead("users/1")]);
    let reply = plane.client().await.get("/").await;
    assert_eq!(reply.status, 503);
    assert_eq!(reply.headers["retry-after"], "1");
    assert!(reply.body.contains("\"code\":\"no_instance\""), "{}", reply.body);
    assert!(reply.body.contains("users/1: "), "names who refused: {}", reply.body);
    plane.members(vec![]);
    let reply = plane.client().await.post("/", "x").await;
    assert_eq!(reply.status, 503);
    assert!(reply.body.contains("no instance of users takes requests\""), "{}", reply.body);
}

#[tokio::test]
async fn an_instance_that_does_not_answer_in_time_costs_the_client_only_that_time() {
    let users = Upstream::start("users/1").await;
    let mut slow = route("/", &[("users", 1)]);
    slow.timeout = Some(Duration::from_millis(50));
    let plane = Plane::with(impatient(), vec![slow], vec![users.endpoint()]);
    let reply = plane.client().await.get("/gate").await;
    assert_eq!(reply.status, 504);
    assert!(reply.body.contains("within 0.05 s"), "{}", reply.body);
    assert_eq!(plane.handle.stats().services[0].totals.timeouts, 1);
    // The instance is told that nobody waits any more.
    let state = &users.state;
    until("it gives up", || state.working.load(std::sync::atomic::Ordering::SeqCst) == 0).await;
    assert_eq!(users.requests(), 1);
}

#[tokio::test]
async fn a_kept_connection_that_the_instance_closed_is_not_a_failure() {
    let users = Upstream::start("users/1").await;
    let address = users.address;
    let plane = plane(impatient(), vec![users.endpoint()]);
    let mut client = plane.client().await;
    for round in 0..3 {
        assert_eq!(client.post("/echo", "x").await.status, 200, "round {round}");
    }
    users.kill().await;
    let again = Upstream::start_at("users/1", address).await;
    assert_eq!(client.post("/echo", "x").await.status, 200);
    assert_eq!(again.requests(), 1);
}

#[tokio::test]
async fn a_client_that_breaks_off_its_body_is_not_the_instances_failure() {
    let users = Upstream::start("users/1").await;
    let endpoint = users.endpoint();
    let plane = plane(impatient(), vec![endpoint.clone()]);
    let begun = b"POST /echo HTTP/1.1\r\nHost: s\r\nContent-Length: 1000000\r\n\r\nsome";
    let address: SocketAddr = plane.gateway;
    drop(raw(address, begun, "some").await);
    soon(endpoint.idle()).await;
    assert_eq!(plane.client().await.post("/echo", "x").await.status, 200);
    assert!(!plane.handle.stats().services[0].endpoints[0].is_penalised);
}
