//! Calls of other applications.

use super::{client, details, framed, info, refused};
use crate::app::{Instance, Protocol, testing::Rig};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use proto::{
    dapr::{
        common::{HttpExtension, InvokeRequest, InvokeResponse, http_extension::Verb},
        runtime::InvokeServiceRequest,
    },
    prost::Message as _,
    prost_types::Any,
};
use runtime::TaskSet;
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};
use tokio::net::TcpListener;
use tonic::Code;

/// What stands in for the caller's listener and the data plane behind it: it keeps what it got, and answers as it
/// was told.
struct Listener {
    address: SocketAddr,
    got: Arc<Mutex<Vec<Request<Bytes>>>>,
    _tasks: TaskSet,
}

impl Listener {
    async fn answering(answer: Response<Bytes>, trailers: Option<HeaderMap>) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let got = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = TaskSet::new("listener");
        let kept = got.clone();
        tasks.spawn("listener", |_| async move {
            while let Ok((io, _)) = socket.accept().await {
                let mut connection = h2::server::handshake(io).await.unwrap();
                // What happens on the connection is done by waiting for the next request.
                let mut pending = Vec::new();
                while let Some(next) = connection.accept().await {
                    let (request, respond) = next.unwrap();
                    pending.push(serve(request, respond, &kept, &answer, trailers.as_ref()));
                    let mut all = std::pin::pin!(pending.pop().unwrap());
                    tokio::select! {
                        () = &mut all => {}
                        _ = std::future::poll_fn(|context| connection.poll_closed(context)) => {}
                    }
                }
            }
        });
        Self { address, got, _tasks: tasks }
    }

    fn got(&self) -> Request<Bytes> {
        self.got.lock().unwrap().pop().expect("a request")
    }
}

async fn serve(
    request: Request<h2::RecvStream>,
    mut respond: h2::server::SendResponse<Bytes>,
    kept: &Mutex<Vec<Request<Bytes>>>,
    answer: &Response<Bytes>,
    trailers: Option<&HeaderMap>,
) {
    let (parts, mut body) = request.into_parts();
    let mut all = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece.unwrap();
        body.flow_control().release_capacity(piece.len()).unwrap();
        all.extend_from_slice(&piece);
    }
    kept.lock().unwrap().push(Request::from_parts(parts, all.into()));
    let mut head = Response::builder().status(answer.status()).body(()).unwrap();
    *head.headers_mut() = answer.headers().clone();
    let mut stream = respond.send_response(head, false).unwrap();
    stream.send_data(answer.body().clone(), trailers.is_none()).unwrap();
    if let Some(trailers) = trailers {
        stream.send_trailers(trailers.clone()).unwrap();
    }
}

async fn rig(listener: &Listener) -> Rig {
    let rig = Rig::new().await;
    let api = Some(listener.address);
    let token = Some(Arc::from("secret"));
    rig.node.put("web/1", Instance { api, token, ..Instance::default() });
    rig.node.offer("orders", Protocol::Http);
    rig.node.offer("grpc-orders", Protocol::Grpc);
    rig.node.offer("vault", Protocol::Http);
    rig
}

fn answer(status: StatusCode, fields: &[(&str, &str)], body: impl Into<Bytes>) -> Response<Bytes> {
    let mut answer = Response::new(body.into());
    *answer.status_mut() = status;
    for (name, value) in fields {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        answer.headers_mut().append(name, HeaderValue::from_str(value).unwrap());
    }
    answer
}

fn message(verb: Verb, method: &str, query: &str, data: &str) -> InvokeRequest {
    let value = data.as_bytes().to_vec();
    InvokeRequest {
        method: method.to_owned(),
        data: Some(Any { type_url: String::new(), value }),
        content_type: "text/plain".to_owned(),
        http_extension: Some(HttpExtension { verb: verb.into(), querystring: query.to_owned() }),
    }
}

fn request(app: &str, message: InvokeRequest) -> tonic::Request<InvokeServiceRequest> {
    let request = InvokeServiceRequest { id: app.to_owned(), message: Some(message) };
    let mut request = tonic::Request::new(request);
    let metadata = request.metadata_mut();
    metadata.insert("dapr-api-token", "secret".parse().unwrap());
    metadata.insert("x-order", "7".parse().unwrap());
    metadata.insert("dapr-caller-app-id", "somebody-else".parse().unwrap());
    metadata.insert_bin("x-raw-bin", tonic::metadata::MetadataValue::from_bytes(b"\0\xff"));
    request
}

#[tokio::test]
async fn an_app_that_speaks_http_gets_the_request_that_the_message_stands_for() {
    let fields =
        [("content-type", "application/json"), ("x-shelf", "3"), ("cache-control", "no-store")];
    let made = answer(StatusCode::CREATED, &fields, "{\"ok\":true}");
    let listener = Listener::answering(made, None).await;
    let rig = rig(&listener).await;
    let message = message(Verb::Put, "/items/a b", "q=1&r=ü", "one");
    let done = client(&rig, "web/1").invoke_service(request("orders", message)).await.unwrap();
    let got = listener.got();
    assert_eq!(got.method(), "PUT");
    let path = "/v1.0/invoke/orders/method/items/a%20b?q=1&r=%C3%BC";
    assert_eq!(got.uri().path_and_query().unwrap().as_str(), path);
    assert_eq!(got.body(), "one");
    assert_eq!(got.headers()["content-type"], "text/plain");
    assert_eq!(got.headers()["content-length"], "3");
    assert_eq!(got.headers()["x-order"], "7");
    assert_eq!(got.headers()["dapr-api-token"], "secret");
    for gone in ["x-raw-bin", "dapr-caller-app-id", "te", "grpc-timeout"] {
        assert!(!got.headers().contains_key(gone), "{gone}: {:?}", got.headers());
    }

    let metadata = done.metadata().clone().into_headers();
    assert_eq!(metadata["dapr-http-status"], "201");
    assert_eq!(metadata["x-shelf"], "3");
    assert_eq!(metadata["dapr-cache-control"], "no-store");
    let message = done.into_inner();
    assert_eq!(message.content_type, "application/json");
    assert_eq!(message.data.unwrap().value, b"{\"ok\":true}");
}

#[tokio::test]
async fn a_bad_status_becomes_a_code_with_the_number_and_the_words_beside_it() {
    let words = "ä".repeat(100);
    for (status, code) in [(404, Code::NotFound), (409, Code::AlreadyExists), (500, Code::Unknown)]
    {
        let status = StatusCode::from_u16(status).unwrap();
        let listener =
            Listener::answering(answer(status, &[("x-shelf", "3")], words.clone()), None);
        let listener = listener.await;
        let rig = rig(&listener).await;
        let message = message(Verb::Get, "x", "", "");
        let outcome = client(&rig, "web/1").invoke_service(request("orders", message)).await;
        let failed = refused(outcome, code);
        let named = info(&failed);
        assert_eq!(named.reason, status.canonical_reason().unwrap());
        assert_eq!(named.metadata["http.code"], status.as_str());
        assert_eq!(named.metadata["http.error_message"], "ä".repeat(31));
        assert_eq!(failed.metadata().get("x-shelf").unwrap(), "3");
    }
}

#[tokio::test]
async fn what_the_data_plane_says_is_not_taken_for_the_apps_words() {
    let words =
        r#"{"errorCode":"ERR_DIRECT_INVOKE","message":"failed to invoke, id: orders, err: x"}"#;
    let refusal = answer(StatusCode::INTERNAL_SERVER_ERROR, &[], words);
    let listener = Listener::answering(refusal, None).await;
    let rig = rig(&listener).await;
    let message = message(Verb::Get, "x", "", "");
    let outcome = client(&rig, "web/1").invoke_service(request("orders", message)).await;
    let failed = refused(outcome, Code::Internal);
    assert_eq!(failed.message(), "failed to invoke, id: orders, err: x");
}

#[tokio::test]
async fn an_app_that_speaks_grpc_gets_the_message() {
    let data = Some(Any { type_url: String::new(), value: b"two".to_vec() });
    let reply = InvokeResponse { data, content_type: "text/plain".to_owned() };
    let fields = [("content-type", "application/grpc"), ("x-shelf", "3")];
    let trailers = HeaderMap::from_iter([
        (HeaderName::from_static("grpc-status"), HeaderValue::from_static("0")),
        (HeaderName::from_static("x-last"), HeaderValue::from_static("4")),
    ]);
    let made = answer(StatusCode::OK, &fields, framed(&reply));
    let listener = Listener::answering(made, Some(trailers)).await;
    let rig = rig(&listener).await;
    let message = message(Verb::None, "take", "", "one");
    let sent = request("grpc-orders", message.clone());
    let done = client(&rig, "web/1").invoke_service(sent).await.unwrap();
    let got = listener.got();
    assert_eq!(got.uri().path(), "/dapr.proto.runtime.v1.AppCallback/OnInvoke");
    assert_eq!(got.headers()["dapr-app-id"], "grpc-orders");
    assert_eq!(got.headers()["dapr-api-token"], "secret");
    assert_eq!(got.headers()["content-type"], "application/grpc");
    assert_eq!(got.headers()["te"], "trailers");
    assert_eq!(got.headers()["x-order"], "7");
    assert_eq!(got.headers()["x-raw-bin"], "AP8");
    assert!(!got.headers().contains_key("dapr-caller-app-id"));
    assert_eq!(InvokeRequest::decode(got.body().slice(5..)).unwrap(), message);

    let metadata = done.metadata().clone().into_headers();
    assert_eq!(
        (&metadata["x-shelf"], &metadata["x-last"]),
        (&"3".parse().unwrap(), &"4".parse().unwrap())
    );
    assert_eq!(done.into_inner(), reply);
}

#[tokio::test]
async fn the_status_of_an_app_that_speaks_grpc_goes_through_with_its_details() {
    let status = tonic::Status::with_details(
        Code::FailedPrecondition,
        "out of paper",
        proto::rpc::Status { code: 9, message: "out of paper".to_owned(), details: Vec::new() }
            .encode_to_vec()
            .into(),
    );
    let mut made = answer(StatusCode::OK, &[("content-type", "application/grpc")], "");
    status.add_header(made.headers_mut()).unwrap();
    let listener = Listener::answering(made, None).await;
    let rig = rig(&listener).await;
    let message = message(Verb::None, "take", "", "one");
    let outcome = client(&rig, "web/1").invoke_service(request("grpc-orders", message)).await;
    let failed = refused(outcome, Code::FailedPrecondition);
    assert_eq!(failed.message(), "out of paper");
    assert!(details(&failed).is_empty());
}

#[tokio::test]
async fn an_answer_that_is_no_message_is_the_apps_fault() {
    let ok = HeaderMap::from_iter([(
        HeaderName::from_static("grpc-status"),
        HeaderValue::from_static("0"),
    )]);
    let bodies: [&[u8]; 4] = [b"", b"\0\0\0\0\x09x", b"\x01\0\0\0\0", b"\0\0\0\0\x03\x0a\x7fx"];
    for body in bodies {
        let made = answer(StatusCode::OK, &[("content-type", "application/grpc")], body);
        let listener = Listener::answering(made, Some(ok.clone())).await;
        let rig = rig(&listener).await;
        let message = message(Verb::None, "take", "", "one");
        let outcome = client(&rig, "web/1").invoke_service(request("grpc-orders", message)).await;
        let failed = refused(outcome, Code::Internal);
        assert!(failed.message().contains("grpc-orders"), "{failed:?}");
    }
    let made = answer(StatusCode::BAD_GATEWAY, &[], "oops");
    let listener = Listener::answering(made, None).await;
    let rig = rig(&listener).await;
    let message = message(Verb::None, "take", "", "one");
    let outcome = client(&rig, "web/1").invoke_service(request("grpc-orders", message)).await;
    refused(outcome, Code::Unknown);
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_not_kept() {
    let large = vec![b'x'; (4 << 20) + 1];
    let listener = Listener::answering(answer(StatusCode::OK, &[], large), None).await;
    let rig = rig(&listener).await;
    let message = message(Verb::Get, "x", "", "");
    let outcome = client(&rig, "web/1").invoke_service(request("orders", message)).await;
    refused(outcome, Code::ResourceExhausted);
}

#[tokio::test]
async fn what_names_no_app_and_no_request_is_refused_before_anything_is_sent() {
    let listener = Listener::answering(answer(StatusCode::OK, &[], ""), None).await;
    let rig = rig(&listener).await;
    let good = || message(Verb::Get, "x", "", "");
    let without_verb = InvokeRequest { http_extension: None, ..good() };
    let bad_kind = InvokeRequest { content_type: "a\nb".to_owned(), ..good() };
    for (app, message, code) in [
        ("", good(), Code::NotFound),
        ("nobody", good(), Code::Internal),
        ("orders.elsewhere", good(), Code::Internal),
        ("vault", good(), Code::PermissionDenied),
        ("orders", without_verb, Code::InvalidArgument),
        ("orders", message(Verb::Connect, "x", "", ""), Code::InvalidArgument),
        ("orders", bad_kind, Code::InvalidArgument),
    ] {
        let mut web = client(&rig, "web/1");
        let failed = refused(web.invoke_service(request(app, message)).await, code);
        assert!(!failed.message().is_empty());
    }
    let mut empty = request("orders", good());
    empty.get_mut().message = None;
    refused(client(&rig, "web/1").invoke_service(empty).await, Code::InvalidArgument);
    assert!(listener.got.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_listener_that_is_not_there_is_unavailable() {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    drop(socket);
    let rig = Rig::new().await;
    rig.node.offer("orders", Protocol::Http);
    let call = || request("orders", message(Verb::Get, "x", "", ""));
    let unknown = client(&rig, "web/1").invoke_service(call()).await;
    refused(unknown, Code::Unavailable);
    rig.node.put("web/1", Instance { api: Some(address), ..Instance::default() });
    refused(client(&rig, "web/1").invoke_service(call()).await, Code::Unavailable);
}
