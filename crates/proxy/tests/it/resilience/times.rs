//! How long a request may take, and who is told.

use super::{Instance, plain, plane};
use crate::support::*;
use http::{Request, header};
use http_body_util::BodyExt as _;
use hyper_util::rt::{TokioExecutor, TokioIo};
use proxy::{Exchange, Timeouts, Traffic};
use runtime::TaskSet;
use std::time::Duration;
use tokio::net::TcpStream;

fn with(timeouts: Timeouts) -> Traffic {
    Traffic { exchange: Exchange { timeouts, ..Exchange::default() }, ..plain() }
}

/// What `/head` shows of a field of a request that had `fields`.
async fn shown(plane: &Plane, path: &str, fields: &[(&str, &str)], name: &str) -> Option<String> {
    let is_grpc = fields.iter().any(|(_, value)| *value == "application/grpc");
    let mut request = Request::builder().uri(path).header(header::HOST, "shop");
    if is_grpc {
        request = Request::post(format!("http://shop{path}"));
    }
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let request = request.body(full("")).unwrap();
    let response = if is_grpc {
        let stream = TokioIo::new(TcpStream::connect(plane.gateway).await.unwrap());
        let shake = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream);
        let (mut sender, connection) = shake.await.unwrap();
        let mut task = TaskSet::new("client");
        task.spawn("connection", move |_| async move { drop(connection.await) });
        let (head, body) = soon(sender.send_request(request)).await.unwrap().into_parts();
        let body = soon(body.collect()).await.unwrap().to_bytes();
        http::Response::from_parts(head, full(body))
    } else {
        let response = plane.client().await.send(request).await.unwrap();
        response.map(http_body_util::BodyExt::boxed)
    };
    assert_eq!(response.status(), 200);
    let body = soon(response.into_body().collect()).await.unwrap().to_bytes();
    let text = String::from_utf8(body.to_vec()).unwrap();
    let mut values = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let value = values.next().map(ToOwned::to_owned);
    assert_eq!(values.next(), None, "{text}");
    value
}

#[tokio::test]
async fn an_instance_is_told_how_much_time_is_left_when_somebody_asked_for_a_limit() {
    let users = Upstream::start("users/1").await;
    let plane = plane(vec![users.endpoint()], plain());
    let name = "flotilla-timeout-ms";
    let left = async |fields: &[(&str, &str)]| {
        let left = shown(&plane, "/head", fields, name).await;
        left.map(|left| left.parse::<u64>().unwrap())
    };
    assert_eq!(left(&[]).await, None);
    let asked = left(&[(name, "5000")]).await.unwrap();
    assert!((1..=5_000).contains(&asked), "{asked}");
    let asked = left(&[("x-envoy-expected-rq-timeout-ms", "4000")]).await.unwrap();
    assert!((1..=4_000).contains(&asked), "{asked}");
    // What is not understood says nothing, and is passed on as it is.
    assert_eq!(shown(&plane, "/head", &[(name, "soon")], name).await.unwrap(), "soon");
    plane.traffic(with(Timeouts { response: Duration::from_secs(2), ..Timeouts::default() }));
    for asked in [left(&[]).await, left(&[(name, "50000")]).await] {
        assert!((1..=2_000).contains(&asked.unwrap()), "{asked:?}");
    }
}

#[tokio::test]
async fn a_grpc_service_is_told_in_its_own_field() {
    let users = Upstream::start("users/1").await;
    let plane = plane(vec![users.endpoint()], plain());
    let grpc = ("content-type", "application/grpc");
    let name = "grpc-timeout";
    assert_eq!(shown(&plane, "/head", &[grpc], name).await, None);
    let left = shown(&plane, "/head", &[grpc, (name, "5S")], name).await.unwrap();
    let micros = left.strip_suffix('u').and_then(|left| left.parse::<u64>().ok());
    assert!(micros.is_some_and(|micros| (1..5_000_000).contains(&micros)), "{left}");
    let both = [grpc, ("flotilla-timeout-ms", "70")];
    assert!(shown(&plane, "/head", &both, name).await.is_some());
    assert_eq!(shown(&plane, "/head", &both, "flotilla-timeout-ms").await, None);
}

#[tokio::test]
async fn a_caller_waits_no_longer_than_it_says_and_that_speaks_against_nobody() {
    let users = Upstream::start("users/1").await;
    let plane =
        plane(vec![users.endpoint()], Traffic { slow_start: Duration::ZERO, ..Traffic::default() });
    let ask = async |path: &str, left: &str| {
        let request = Request::builder()
            .uri(path)
            .header(header::HOST, "shop")
            .header("flotilla-timeout-ms", left);
        let request = request.body(full("")).unwrap();
        plane.client().await.send(request).await.unwrap().status()
    };
    assert_eq!(ask("/", "0").await, 504);
    assert_eq!(users.requests(), 0, "there was no time left to ask anybody");
    for _ in 0..30 {
        assert_eq!(ask("/gate", "20").await, 504);
    }
    assert!(users.requests() > 20, "{}", users.requests());
    let service = &plane.handle.stats().services[0];
    assert_eq!(service.breaker, proxy::Phase::Closed);
    assert!(!service.endpoints[0].is_penalised);
    assert_eq!(service.totals.timeouts, 31);
    assert_eq!(plane.client().await.get("/").await.status, 200);
}

#[tokio::test]
async fn a_response_that_is_not_whole_in_time_is_cut_off() {
    let users = Upstream::start("users/1").await;
    let overall = Some(Duration::from_millis(200));
    let plane = plane(vec![users.endpoint()], with(Timeouts { overall, ..Timeouts::default() }));
    let request = Request::builder().uri("/ticks").header(header::HOST, "shop");
    let mut client = plane.client().await;
    users.state.gate.add_permits(1);
    let response = client.send(request.body(full("")).unwrap()).await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(soon(response.into_body().collect()).await.is_err());
    assert!(!plane.handle.stats().services[0].endpoints[0].is_penalised);
}

#[tokio::test]
async fn an_instance_that_is_stuck_again_and_again_is_ejected() {
    let (stuck, good) = (Instance::start("users/1").await, Instance::start("users/2").await);
    stuck.answer(Instance::NEVER);
    let timeouts = Timeouts { response: Duration::from_millis(30), ..Timeouts::default() };
    let outlier = Some(logic::outlier::Settings::default());
    let members = vec![stuck.endpoint(), good.endpoint()];
    let plane = plane(members, Traffic { outlier, ..with(timeouts) });
    let mut client = plane.client().await;
    let mut late = 0;
    for _ in 0..40 {
        late += u64::from(client.get("/").await.status == 504);
    }
    assert!(stuck.requests() <= late, "{} of {late}", stuck.requests());
    assert!(plane.handle.stats().services[0].endpoints[0].is_penalised);
}
