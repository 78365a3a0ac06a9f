//! The Dapr API over gRPC: `dapr.proto.runtime.v1.Dapr`, as far as this node has its building blocks.
//!
//! ```text
//! a call ──► answer ──┬─► absent    known, and not served: UNIMPLEMENTED, with the block that is missing
//!                     └─► service   a message in, a block of `blocks` asked, a message out
//!                            └─► invoke   InvokeService: back through the caller's own listener
//! ```
//! It has no listener: the data plane hands over calls whose framing it has checked, and the token has been looked at.
//! It decides nothing either; what an error means stands in [`Fault`], for both protocols.

mod absent;
mod body;
mod convert;
pub(crate) mod invoke;
pub(crate) mod jobs;
pub(crate) mod loopback;
mod pubsub;
mod service;
mod status;
mod streaming;

#[cfg(test)]
mod tests;

use super::{Caller, Shared, fault::Fault};
use body::Bounded;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use proto::dapr::runtime::dapr_server::DaprServer;
use proxy::local::{BoxBody, BoxError};
use service::Dapr;
use std::{sync::Arc, time::Duration};
use tonic::{Code, Status, codegen::Service as _};

/// Where the service's methods are.
const PREFIX: &str = "/dapr.proto.runtime.v1.Dapr/";

/// Calls whose callers send one message after the other.
const STREAMS: [&str; 1] = ["/dapr.proto.runtime.v1.Dapr/SubscribeTopicEventsAlpha1"];

/// How long the message of a call may take to come; the time that the HTTP side gives a body of the largest size.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(30);

/// Whether the path is one of the service's own, which no application can have.
pub(crate) fn is_own(path: &str) -> bool {
    path.starts_with(PREFIX)
}

/// Answers a call that leads to the node.
pub(crate) async fn answer<B>(
    shared: Arc<Shared>,
    caller: Caller,
    request: Request<B>,
) -> Response<BoxBody>
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    if let Some(answer) = no_call(&request) {
        return answer.map(whole);
    }
    let path = request.uri().path();
    if let Some(status) = absent::find(path) {
        return trailers_only(&status).map(whole);
    }
    let size_max = shared.body_len_max(&caller);
    let mut server = DaprServer::new(Dapr { shared, caller })
        .max_decoding_message_size(size_max)
        // What was stored may go out again, whatever its size is with its key and its ETag.
        .max_encoding_message_size(usize::MAX);
    // A stream of messages lasts as long as its caller likes, and is counted among the streams.
    let patience = (!STREAMS.contains(&request.uri().path())).then_some(MESSAGE_TIMEOUT);
    let request = request.map(|body| Bounded::new(body, patience));
    let Ok(mut answer) = server.call(request).await;
    reword_size(&mut answer, size_max);
    answer.map(|body| body.map_err(BoxError::from).boxed_unsync())
}

/// The answer to what should have been a call.
pub(crate) fn refusal(fault: &Fault) -> Response<Bytes> {
    trailers_only(&status::of(fault))
}

/// What to say to a request that is none of gRPC.
fn no_call<B>(request: &Request<B>) -> Option<Response<Bytes>> {
    let kind = request.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    if !kind.is_some_and(|kind| kind.starts_with(b"application/grpc")) {
        let mut answer = Response::new(Bytes::new());
        *answer.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return Some(answer);
    }
    (request.method() != Method::POST)
        .then(|| trailers_only(&Status::internal("a gRPC call has the method POST")))
}

/// An answer that has no message: the status stands among its fields.
fn trailers_only(status: &Status) -> Response<Bytes> {
    let mut answer = Response::new(Bytes::new());
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    if status.add_header(headers).is_err() {
        // Metadata came from elsewhere and is no field's value: the code and the words matter more.
        headers.clear();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert("grpc-status", HeaderValue::from(i32::from(status.code())));
    }
    answer
}

/// Clients expect RESOURCE_EXHAUSTED for a message that is too large, where the library has another code.
fn reword_size<B>(answer: &mut Response<B>, size_max: usize) {
    let headers = answer.headers_mut();
    let too_large = i32::from(Code::OutOfRange);
    if headers.get("grpc-status").is_none_or(|status| *status != *too_large.to_string()) {
        return;
    }
    let words = format!("the message is larger than {size_max} bytes, the most that is taken");
    let status = Status::resource_exhausted(words);
    headers.remove("grpc-message");
    // Nothing but letters, digits and spaces in it, so nothing can be refused.
    let _ = status.add_header(headers);
}

fn whole(body: Bytes) -> BoxBody {
    Full::new(body).map_err(|never| match never {}).boxed_unsync()
}
