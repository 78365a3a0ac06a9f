//! Participants that speak gRPC.

use super::*;
use ::http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use runtime::TaskSet;
use std::{convert::Infallible, sync::Mutex};

/// What was asked: the path, the metadata, the message with its frame.
type Got = Arc<Mutex<Vec<(String, HeaderMap, Bytes)>>>;

/// A server with one answer: metadata, a message, a status in trailers.
struct Server {
    address: SocketAddr,
    got: Got,
    _tasks: TaskSet,
}

impl Server {
    async fn saying(trailers: &[(&'static str, &'static str)], message: &[u8]) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let got = Got::default();
        let mut frame = vec![0, 0, 0, 0, u8::try_from(message.len()).unwrap()];
        frame.extend_from_slice(message);
        let frame = Bytes::from(frame);
        let trailers: HeaderMap = trailers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
            .collect();
        let mut tasks = TaskSet::new("server");
        let kept = got.clone();
        tasks.spawn("server", |_| async move {
            let mut open = TaskSet::new("connections");
            while let Ok((io, _)) = socket.accept().await {
                let (kept, frame, trailers) = (kept.clone(), frame.clone(), trailers.clone());
                let service = service_fn(move |request: Request<Incoming>| {
                    let (kept, frame, trailers) = (kept.clone(), frame.clone(), trailers.clone());
                    async move {
                        let (parts, body) = request.into_parts();
                        let body = body.collect().await.unwrap().to_bytes();
                        let path = parts.uri.path().to_owned();
                        kept.lock().unwrap().push((path, parts.headers, body));
                        let body = Full::new(frame).with_trailers(std::future::ready(Some(Ok::<
                            _,
                            Infallible,
                        >(
                            trailers,
                        ))));
                        let answer = Response::builder().header("content-type", "application/grpc");
                        Ok::<_, Infallible>(answer.body(body).unwrap())
                    }
                });
                open.spawn("connection", |_| async move {
                    let server = http2::Builder::new(TokioExecutor::new());
                    // A client that goes away is part of the test.
                    let _ = server.serve_connection(TokioIo::new(io), service).await;
                });
            }
        });
        Self { address, got, _tasks: tasks }
    }
}

fn by_grpc(op: Op) -> CallRequest {
    let method = "shop.Orders/Charge".to_owned();
    CallRequest { op, target: Target::GrpcService { service: "shop".to_owned(), method }, ..call() }
}

#[tokio::test]
async fn a_call_has_its_names_as_metadata_and_its_body_as_the_message() {
    let server = Server::saying(&[("grpc-status", "0")], b"{\"id\":7}").await;
    let node = node(Protocol::Grpc, server.address);
    let called = caller(&node).call(by_grpc(Op::Action)).await;
    let expected = Called { answer: Answer::Done, status: Some(0), body: json!({ "id": 7 }) };
    assert_eq!(called, expected);
    let (path, metadata, message) = server.got.lock().unwrap().pop().unwrap();
    assert_eq!(path, "/shop.Orders/Charge");
    assert_eq!((&message[..5], &message[5..]), (&[0, 0, 0, 0, 9][..], &call().body[..]));
    for (name, value) in [
        ("dtm-gid", "tx-1"),
        ("dtm-trans_type", "saga"),
        ("dtm-branch_id", "reserve"),
        ("dtm-op", "action"),
        ("flotilla-tx", "gid=tx-1;branch=reserve;op=action;attempt=3;mode=saga"),
        ("idempotency-key", "tx-1/reserve/action"),
        ("traceparent", TRACE),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("grpc-timeout", "60000m"),
    ] {
        assert_eq!(field(&metadata, name), value, "{name}");
    }
    // Anywhere else it is the same call.
    let authority = server.address.to_string();
    let target = Target::Grpc { authority, method: "shop.Orders/Charge".to_owned() };
    check(&caller(&node).call(CallRequest { target, ..call() }).await, "done", "");
}

#[tokio::test]
async fn a_status_says_what_the_answer_means() {
    for (op, trailers, word, words) in [
        (Op::Action, &[("grpc-status", "0")][..], "done", ""),
        (
            Op::Action,
            &[("grpc-status", "10"), ("grpc-message", "sold%20out")],
            "refused",
            "Aborted: sold out",
        ),
        (Op::Action, &[("grpc-status", "9")], "working", ""),
        (
            Op::Action,
            &[("grpc-status", "14"), ("grpc-message", "oops")],
            "failed",
            "Unavailable: oops",
        ),
        (Op::Action, &[("grpc-status", "5")], "failed", "NotFound"),
        (Op::Action, &[], "failed", "no status of gRPC"),
        (Op::Prepare, &[("grpc-status", "0"), ("flotilla-vote", "read_only")], "read only", ""),
        (
            Op::Commit,
            &[("grpc-status", "10"), ("flotilla-outcome", "aborted")],
            "heuristic",
            "aborted",
        ),
        (
            Op::Commit,
            &[("grpc-status", "0"), ("flotilla-outcome", "x")],
            "failed",
            "flotilla-outcome: x",
        ),
        (Op::Action, &[("grpc-status", "14"), ("flotilla-refused", "no_instance")], "failed", ""),
    ] {
        let server = Server::saying(trailers, b"").await;
        let node = node(Protocol::Grpc, server.address);
        let called = caller(&node).call(by_grpc(op)).await;
        let (found, reason) = told(&called.answer);
        assert_eq!(found, word, "{op} {trailers:?}: {called:?}");
        assert!(reason.contains(words), "{op} {trailers:?}: {called:?}");
    }
}

#[tokio::test]
async fn one_code_of_old_clients_of_dtm_has_two_meanings() {
    for (message, word) in [("FAILURE", "refused"), ("ONGOING", "working")] {
        let server = Server::saying(&[("grpc-status", "10"), ("grpc-message", message)], b"").await;
        let node = node(Protocol::Grpc, server.address);
        let target =
            Target::Grpc { authority: server.address.to_string(), method: "a.B/C".to_owned() };
        let request = CallRequest { dialect: Dialect::Dtm, target, ..call() };
        check(&caller(&node).call(request).await, word, "");
    }
}

#[tokio::test]
async fn where_nobody_listens_a_service_is_away_and_a_server_has_failed() {
    let address = nowhere().await;
    let node = node(Protocol::Grpc, address);
    check(&caller(&node).call(by_grpc(Op::Action)).await, "away", "shop cannot be connected to");
    for (authority, words) in [
        (address.to_string(), "cannot be connected to"),
        ("127.0.0.1".to_owned(), "is no host and port"),
        ("a b:1".to_owned(), "is no host and port"),
    ] {
        let target = Target::Grpc { authority, method: "a.B/C".to_owned() };
        check(&caller(&node).call(CallRequest { target, ..call() }).await, "failed", words);
    }
}
