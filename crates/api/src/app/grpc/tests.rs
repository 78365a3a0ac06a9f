//! Calls by the generated client, without a connection, and calls that no client would make.

mod blocks;
mod configuration;
mod invoke;
mod jobs;
mod pubsub;
mod refusals;
mod state;

use crate::app::testing::{self, Rig};
use base::InstanceId;
use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, Method, Request, Response, Version, header};
use http_body_util::BodyExt as _;
use proto::{
    dapr::runtime::dapr_client::DaprClient,
    prost::Message,
    rpc::{self, ErrorInfo},
};
use proxy::local::{BoxBody, BoxError, LocalBody};
use std::{
    convert::Infallible,
    task::{Context, Poll},
};
use tonic::{
    Code, Status,
    codegen::{BoxFuture, Service},
};

/// Carries the calls of one instance.
#[derive(Clone)]
struct Wire {
    app: crate::app::App,
    caller: String,
}

impl Service<Request<tonic::body::Body>> for Wire {
    type Response = Response<BoxBody>;
    type Error = Infallible;
    type Future = BoxFuture<Response<BoxBody>, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<tonic::body::Body>) -> Self::Future {
        let Self { app, caller } = self.clone();
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            parts.version = Version::HTTP_2;
            let body = LocalBody::whole(body.collect().await.unwrap().to_bytes());
            let request = Request::from_parts(parts, body);
            Ok(testing::ask(&app, &caller, request).await.expect("it leads to the node"))
        })
    }
}

fn client(rig: &Rig, caller: &str) -> DaprClient<Wire> {
    DaprClient::new(Wire { app: rig.app.clone(), caller: caller.to_owned() })
}

/// A call as it comes over a connection.
fn call(method: &str, body: impl Into<Bytes>) -> Request<Bytes> {
    Request::builder()
        .method(Method::POST)
        .uri(format!("/dapr.proto.runtime.v1.Dapr/{method}"))
        .version(Version::HTTP_2)
        .header(header::CONTENT_TYPE, "application/grpc")
        .body(body.into())
        .unwrap()
}

fn framed(message: &impl Message) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.encoded_len()).unwrap());
    frame.put(message.encode_to_vec().as_slice());
    frame.freeze()
}

/// The status of an answer, wherever it stands.
async fn status(answer: Response<BoxBody>) -> Status {
    let (parts, body) = answer.into_parts();
    let body = body.collect().await.map_err(|e: BoxError| e.to_string()).unwrap();
    let trailers = body.trailers().cloned().unwrap_or_default();
    let found = |fields: &HeaderMap| Status::from_header_map(fields);
    found(&trailers).or_else(|| found(&parts.headers)).expect("a status")
}

/// The details of a status, decoded.
fn details(status: &Status) -> Vec<(String, Bytes)> {
    let decoded = rpc::Status::decode(status.details()).unwrap();
    assert_eq!(decoded.code, i32::from(status.code()));
    assert_eq!(decoded.message, status.message());
    let any = |any: proto::prost_types::Any| {
        let name = any.type_url.strip_prefix("type.googleapis.com/google.rpc.").unwrap();
        (name.to_owned(), Bytes::from(any.value))
    };
    decoded.details.into_iter().map(any).collect()
}

/// Its `ErrorInfo`.
fn info(status: &Status) -> ErrorInfo {
    let details = details(status);
    let (_, value) = details.iter().find(|(name, _)| name == "ErrorInfo").expect("an ErrorInfo");
    ErrorInfo::decode(value.clone()).unwrap()
}

#[track_caller]
fn refused<T: std::fmt::Debug>(outcome: Result<T, Status>, code: Code) -> Status {
    let status = outcome.unwrap_err();
    assert_eq!(status.code(), code, "{status:?}");
    status
}

fn id(text: &str) -> InstanceId {
    InstanceId::parse(text).unwrap()
}
