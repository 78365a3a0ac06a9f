//! Participants that are methods of gRPC.

use super::rig::{Rig, short};
use bytes::Bytes;
use h2::server;
use http::{HeaderMap, HeaderValue, Response};
use runtime::TaskSet;
use serde_json::json;
use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex},
};
use tokio::net::TcpListener;

/// A call that was made: its path, its metadata and its message.
type Heard = (String, HashMap<String, String>, Bytes);

/// Answers with these codes, one after the other, and then with OK.
#[derive(Clone, Default)]
struct Methods {
    codes: Arc<Mutex<VecDeque<u8>>>,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl Methods {
    async fn listen(&self, tasks: &mut TaskSet) -> SocketAddr {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let methods = self.clone();
        tasks.spawn("methods", |_| async move {
            let mut open = TaskSet::new("connections");
            while let Ok((io, _)) = socket.accept().await {
                let methods = methods.clone();
                open.spawn("connection", |_| async move {
                    let mut connection = server::handshake(io).await.unwrap();
                    let mut calls = TaskSet::new("calls");
                    while let Some(Ok((request, respond))) = connection.accept().await {
                        let methods = methods.clone();
                        calls.spawn("call", |_| methods.answer(request, respond));
                    }
                });
            }
        });
        address
    }

    async fn answer(
        self,
        request: http::Request<h2::RecvStream>,
        mut respond: server::SendResponse<Bytes>,
    ) {
        let (parts, mut body) = request.into_parts();
        let mut message = Vec::new();
        while let Some(Ok(piece)) = body.data().await {
            message.extend_from_slice(&piece);
        }
        let metadata = parts.headers.iter();
        let metadata = metadata
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect();
        // Flag and length stand before the message.
        let message = Bytes::from(message.split_off(5));
        self.heard.lock().unwrap().push((parts.uri.path().to_owned(), metadata, message));
        let code = self.codes.lock().unwrap().pop_front().unwrap_or_default();
        let mut head = Response::new(());
        let kind = HeaderValue::from_static("application/grpc");
        head.headers_mut().insert("content-type", kind);
        let mut stream = respond.send_response(head, false).unwrap();
        stream.send_data(Bytes::from_static(&[0; 5]), false).unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from(u16::from(code)));
        trailers.insert("grpc-message", HeaderValue::from_static("no%20stock"));
        stream.send_trailers(trailers).unwrap();
    }
}

const ABORTED: u8 = 10;
const FAILED_PRECONDITION: u8 = 9;
const INTERNAL: u8 = 13;

#[tokio::test]
async fn steps_can_be_methods_of_grpc() {
    let (rig, methods) = (Rig::new().await, Methods::default());
    let mut tasks = TaskSet::new("methods");
    let at = methods.listen(&mut tasks).await;
    let saga = |gid: &str| {
        json!({
            "gid": gid, "trans_type": "saga", "protocol": "grpc", "payloads": ["{}"],
            "branch_headers": { "x-tenant": "blue" },
            "steps": [{ "action": format!("{at}/busi.Busi/Out"),
                "compensate": format!("grpc://{at}/busi.Busi/OutBack") }],
        })
    };
    methods.codes.lock().unwrap().extend([FAILED_PRECONDITION, INTERNAL]);
    rig.done("submit", saga("good")).await;
    assert_eq!(short(&rig.until("good", "succeed").await), "ps");
    methods.codes.lock().unwrap().extend([ABORTED]);
    rig.done("submit", saga("bad")).await;
    let answer = rig.until("bad", "failed").await;
    assert_eq!(short(&answer), "sf", "{answer:#}");
    let reason = answer["transaction"]["rollback_reason"].as_str().unwrap();
    assert!(reason.contains("no stock"), "{reason}");
    let heard = methods.heard.lock().unwrap().clone();
    let paths: Vec<_> =
        heard.iter().map(|(path, ..)| path.trim_start_matches("/busi.Busi/")).collect();
    assert_eq!(paths, ["Out", "Out", "Out", "Out", "OutBack"]);
    let (_, metadata, message) = &heard[4];
    for (name, value) in [
        ("dtm-gid", "bad"),
        ("dtm-trans_type", "saga"),
        ("dtm-branch_id", "01"),
        ("dtm-op", "compensate"),
        ("x-tenant", "blue"),
    ] {
        assert_eq!(metadata[name], value);
    }
    assert_eq!(message, "{}");
}

#[tokio::test]
async fn a_client_can_be_woken_up_by_grpc() {
    let (rig, methods) = (Rig::new().await, Methods::default());
    let mut tasks = TaskSet::new("methods");
    let at = methods.listen(&mut tasks).await;
    let flow = json!({
        "gid": "flow", "trans_type": "workflow", "protocol": "grpc", "retry_interval": 1,
        "query_prepared": format!("{at}/workflow.Workflow/Execute"),
        "custom_data": json!({ "name": "pay & ship", "data": "AP8=" }).to_string(),
    });
    rig.post("prepareWorkflow", &flow).await;
    rig.until("flow", "succeed").await;
    let (path, metadata, message) = methods.heard.lock().unwrap()[0].clone();
    assert_eq!(path, "/workflow.Workflow/Execute");
    assert_eq!((&*metadata["dtm-trans_type"], &*metadata["dtm-op"]), ("workflow", "pay & ship"));
    // The first field of a message, two bytes long.
    assert_eq!(message, &b"\x0a\x02\x00\xff"[..]);
}
