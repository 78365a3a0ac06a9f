//! gRPC: its messages are bytes here, its rules about HTTP/2 are what is looked at.

use super::{Client, post, read};
use crate::support::*;
use base::InstanceId;
use bytes::Bytes;
use h2::{
    Reason, RecvStream,
    server::{Connection, SendResponse},
};
use http::{HeaderMap, Request, Response};
use proxy::{Config, Endpoint};
use runtime::TaskSet;
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::net::{TcpListener, TcpStream};

/// An instance that speaks HTTP/2 only.
struct Server {
    address: SocketAddr,
    seen: Arc<Seen>,
    _tasks: TaskSet,
}

#[derive(Default)]
struct Seen {
    connections: AtomicU64,
    cancelled: AtomicU64,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Seen>::default();
        let mut tasks = TaskSet::new("server");
        let shared = Arc::clone(&seen);
        tasks.spawn("accept", move |_| async move {
            let mut connections = TaskSet::new("connections");
            while let Ok((stream, _)) = listener.accept().await {
                shared.connections.fetch_add(1, SeqCst);
                let seen = Arc::clone(&shared);
                connections.spawn("connection", move |_| serve(stream, seen));
            }
        });
        Self { address, seen, _tasks: tasks }
    }

    fn plane(&self) -> Plane {
        let id = InstanceId::parse("users/1").unwrap();
        let config = Config { workers: 1, slow_start: Duration::ZERO, ..Config::default() };
        let members = vec![Endpoint::new(id, self.address, 1)];
        Plane::with(config, vec![route("/", &[("users", 1)])], members)
    }
}

async fn serve(stream: TcpStream, seen: Arc<Seen>) {
    let Ok(mut connection): Result<Connection<_, Bytes>, _> = h2::server::handshake(stream).await
    else {
        return;
    };
    let mut calls = TaskSet::new("calls");
    while let Some(Ok((request, response))) = connection.accept().await {
        if request.uri().path() == "/bye" {
            connection.graceful_shutdown();
        }
        let seen = Arc::clone(&seen);
        calls.spawn("call", move |_| async move {
            // The client may be gone.
            drop(call(request, response, &seen).await);
        });
    }
}

async fn call(
    request: Request<RecvStream>,
    mut response: SendResponse<Bytes>,
    seen: &Seen,
) -> Result<(), h2::Error> {
    let path = request.uri().path().to_owned();
    let (head, mut body) = request.into_parts();
    let mut answer = Response::builder().header("content-type", "application/grpc");
    for name in ["grpc-timeout", "te", "x-meta", "x-bin"] {
        if let Some(value) = head.headers.get(name) {
            answer = answer.header(format!("saw-{name}"), value);
        }
    }
    let answer = answer.header("saw-authority", head.uri.authority().unwrap().as_str());
    if path == "/fail" {
        let answer = answer.header("grpc-status", "5").header("grpc-message", "no such user");
        response.send_response(answer.body(()).unwrap(), true)?;
        return Ok(());
    }
    let mut sender = response.send_response(answer.body(()).unwrap(), false)?;
    match &*path {
        "/many" => {
            for number in 0..100 {
                sender.send_data(Bytes::from(format!("message {number};")), false)?;
            }
        }
        "/break" => {
            sender.send_data(Bytes::from_static(b"some"), false)?;
            sender.send_reset(Reason::INTERNAL_ERROR);
            return Ok(());
        }
        "/hang" => {
            std::future::poll_fn(|cx| sender.poll_reset(cx)).await?;
            seen.cancelled.fetch_add(1, SeqCst);
            return Ok(());
        }
        "/count" => {
            let (all, _) = read(&mut body).await?;
            sender.send_data(Bytes::from(all.len().to_string()), false)?;
        }
        _ => {
            while let Some(data) = body.data().await {
                let data = data?;
                body.flow_control().release_capacity(data.len())?;
                sender.send_data(data, false)?;
            }
        }
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    if let Some(more) = body.trailers().await? {
        trailers.extend(more);
    }
    sender.send_trailers(trailers)
}

fn grpc(path: &str) -> http::request::Builder {
    post(path).header("content-type", "application/grpc").header("te", "trailers")
}

#[tokio::test]
async fn a_unary_call_gets_its_message_its_status_and_what_it_said_about_itself() {
    let server = Server::start().await;
    let plane = server.plane();
    let client = Client::connect(plane.gateway).await;
    let request =
        grpc("/echo").header("grpc-timeout", "5S").header("x-meta", "a").body(()).unwrap();
    let (response, mut sender) = client.begin(request, false).await;
    sender.send_data(Bytes::from_static(b"\0\0\0\0\x02hi"), true).unwrap();
    let mut response = soon(response).await.unwrap();
    let (body, trailers) = read(response.body_mut()).await.unwrap();
    assert_eq!(body, b"\0\0\0\0\x02hi");
    assert_eq!(trailers.unwrap()["grpc-status"], "0");
    let headers = response.headers();
    assert_eq!(headers["saw-te"], "trailers");
    assert_eq!(headers["saw-x-meta"], "a");
    assert_eq!(headers["saw-authority"], "s");
    // Passed on, and never longer than the client said; other units may stand for the same.
    let timeout = headers["saw-grpc-timeout"].to_str().unwrap();
    let (digits, unit) = timeout.split_at(timeout.len() - 1);
    let unit_ns = match unit {
        "n" => 1,
        "u" => 1_000,
        "m" => 1_000_000,
        "S" => 1_000_000_000,
        other => panic!("no unit: {other}"),
    };
    let digits: u64 = digits.parse().unwrap();
    assert!((1..=5_000_000_000).contains(&(digits * unit_ns)), "{timeout}");
}

#[tokio::test]
async fn a_call_that_fails_at_once_has_its_status_in_the_only_head() {
    let server = Server::start().await;
    let plane = server.plane();
    let client = Client::connect(plane.gateway).await;
    let (response, _) = client.begin(grpc("/fail").body(()).unwrap(), true).await;
    let mut response = soon(response).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["grpc-status"], "5");
    assert_eq!(response.headers()["grpc-message"], "no such user");
    let (body, trailers) = read(response.body_mut()).await.unwrap();
    assert!(body.is_empty() && trailers.is_none(), "{trailers:?}");
}

#[tokio::test]
async fn messages_stream_from_the_server() {
    let server = Server::start().await;
    let plane = server.plane();
    let client = Client::connect(plane.gateway).await;
    let (response, _) = client.begin(grpc("/many").body(()).unwrap(), true).await;
    let mut response = soon(response).await.unwrap();
    let (body, trailers) = read(response.body_mut()).await.unwrap();
    let all: String = (0..100).map(|number| format!("message {number};")).collect();
    assert_eq!(body, all.into_bytes());
    assert_eq!(trailers.unwrap()["grpc-status"], "0");
}

#[tokio::test]
async fn messages_stream_from_the_client() {
    let server = Server::start().await;
    let plane = server.plane();
    let client = Client::connect(plane.gateway).await;
    let (response, mut sender) = client.begin(grpc("/count").body(()).unwrap(), false).await;
    for _ in 0..100 {
        sender.send_data(Bytes::from_static(b"ten bytes!"), false).unwrap();
    }
    sender.send_data(Bytes::new(), true).unwrap();
    let mut response = soon(response).await.unwrap();
    assert_eq!(read(response.body_mut()).await.unwrap().0, b"1000");
}

#[tokio::test]
async fn messages_stream_both_ways_each_as_it_comes() {
    let server = Server::start().await;
    let plane = server.plane();
    let client = Client::connect(plane.gateway).await;
    let (response, mut sender) = client.begin(grpc("/echo").body(()).unwrap(), false).await;
    let mut body = soon(response).await.expect("the head does not wait for a message").into_body();
    for number in 0..20 {
        let message = Bytes::from(format!("message {number}"));
        sender.send_data(message.clone(), false).unwrap();
        let mut back = Vec::new();
        while back.len() < message.len() {
            let data = soon(body.data()).await.unwrap().unwrap();
            body.flow_control().release_capacity(data.len()).unwrap();
            back.extend_from_slice(&data);
        }
        assert_eq!(back, message);
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("x-end", "1".parse().unwrap());
    sender.send_trailers(trailers).unwrap();
    let (rest, trailers) = read(&mut body).await.unwrap();
    let trailers = trailers.unwrap();
    assert_eq!(
        (rest.len(), &trailers["grpc-status"], &trailers["x-end"]),
        (0, &"0".parse().unwrap(), &"1".parse().unwrap())
    );
}

#[tokio::test]
async fn many_calls_share_one_connection_to_an_instance() {
    let server = Server::start().await;
    let plane = server.plane();
    let client = Client::connect(plane.gateway).await;
    for _ in 0..20 {
        let (response, _) = client.begin(grpc("/many").body(()).unwrap(), true).await;
        let (body, _) = read(soon(response).await.unwrap().body_mut()).await.unwrap();
        assert!(!body.is_empty());
    }
    assert_eq!(server.seen.connections.load(SeqCst), 1);
}

#[tokio::test]
async fn a_call_that_breaks_off_does_not_look_complete() {
    let server = Server::start().await;
    let plane = server.plane();
    let client = Client::connect(plane.gateway).await;
    let (response, _) = client.begin(grpc("/break").body(()).unwrap(), true).await;
    let end = match soon(response).await {
        Ok(mut response) => read(response.body_mut()).await.map(|(_, trailers)| {
            let own = response.headers().get("grpc-status").cloned();
            own.or(trailers.and_then(|trailers| trailers.get("grpc-status").cloned()))
        }),
        Err(error) => Err(error),
    };
    // A reset, or a status of the data plane's own; never a success and never an end without a status.
    if let Ok(status) = end {
        let status = status.expect("an end without a status");
        assert_ne!(status, "0");
    }
}

#[tokio::test]
async fn a_call_that_is_cancelled_is_cancelled_at_the_instance_too() {
    let server = Server::start().await;
    let plane = server.plane();
    let client = Client::connect(plane.gateway).await;
    let (response, mut sender) = client.begin(grpc("/hang").body(()).unwrap(), false).await;
    let response = soon(response).await.unwrap();
    sender.send_reset(Reason::CANCEL);
    drop(response);
    until("the instance hears of it", || server.seen.cancelled.load(SeqCst) == 1).await;
    // Its connection goes on.
    let (response, _) = client.begin(grpc("/many").body(()).unwrap(), true).await;
    assert_eq!(soon(response).await.unwrap().status(), 200);
    assert_eq!(server.seen.connections.load(SeqCst), 1);
}

#[tokio::test]
async fn a_server_that_says_goodbye_is_asked_on_another_connection() {
    let server = Server::start().await;
    let plane = server.plane();
    let client = Client::connect(plane.gateway).await;
    for path in ["/bye", "/many", "/bye", "/many", "/many"] {
        let (response, _) = client.begin(grpc(path).body(()).unwrap(), true).await;
        let mut response = soon(response).await.unwrap();
        assert_eq!(response.headers().get("grpc-status"), None, "{path}: {response:?}");
        let (_, trailers) = read(response.body_mut()).await.unwrap();
        assert_eq!(trailers.unwrap()["grpc-status"], "0", "{path}");
    }
    assert!(server.seen.connections.load(SeqCst) <= 3);
}

#[tokio::test]
async fn a_service_that_cannot_be_reached_is_unavailable_in_grpcs_own_words() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let id = InstanceId::parse("users/1").unwrap();
    let config = Config {
        workers: 1,
        no_instance_wait: Duration::from_millis(50),
        slow_start: Duration::ZERO,
        ..Config::default()
    };
    let members = vec![Endpoint::new(id, address, 1)];
    let plane = Plane::with(config, vec![route("/", &[("users", 1)])], members);
    let client = Client::connect(plane.gateway).await;
    let (response, _) = client.begin(grpc("/echo").body(()).unwrap(), true).await;
    let response = soon(response).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["grpc-status"]),
        (200, &"14".parse().unwrap())
    );
}
