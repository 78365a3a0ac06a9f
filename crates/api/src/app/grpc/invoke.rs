//! InvokeService: a call of another application by a message that names a method.
//!
//! An application that speaks HTTP gets the request that the message stands for; one that speaks gRPC gets the message
//! by `AppCallback.OnInvoke`. Both go through the caller's own listener ([`loopback`]).

mod fields;
mod outcome;

use super::{loopback, status};
use crate::{
    app::{
        Caller, Shared,
        direct::{self, Target},
        fault::{Code as FaultCode, Fault},
    },
    query,
};
use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version, header};
pub(crate) use outcome::http_status;
use outcome::{Outcome, refused};
use proto::{
    dapr::{
        common::{HttpExtension, InvokeRequest, InvokeResponse, http_extension::Verb},
        runtime::InvokeServiceRequest,
    },
    prost::Message as _,
    prost_types::Any,
};
use std::net::SocketAddr;
use tonic::{Response, Status, metadata::MetadataMap};

/// What a message without a type is called over HTTP when it has one over gRPC.
const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");

/// Says which status an application that speaks HTTP answered with.
const HTTP_STATUS: HeaderName = HeaderName::from_static("dapr-http-status");

const APP_ID: HeaderName = HeaderName::from_static("dapr-app-id");
const API_TOKEN: HeaderName = HeaderName::from_static("dapr-api-token");

/// Flag and length, before each message of a call.
const FRAME_HEAD_LEN: usize = 5;

/// What an application answered to `OnInvoke`.
#[derive(Debug)]
pub(crate) struct OnInvoke {
    pub(crate) message: InvokeResponse,
    /// Its metadata, without what the exchange itself is about.
    pub(crate) headers: HeaderMap,
}

pub(super) async fn invoke(
    shared: &Shared,
    caller: &Caller,
    request: tonic::Request<InvokeServiceRequest>,
) -> Result<Response<InvokeResponse>, Status> {
    let (metadata, _, InvokeServiceRequest { id: app, message }) = request.into_parts();
    if app.is_empty() {
        return Err(Fault::no_app_id().into());
    }
    let message = message.ok_or_else(|| Status::invalid_argument("the request has no message"))?;
    let headers = metadata.into_headers();
    let is_grpc = match direct::resolve(&*shared.backend, caller, &app)? {
        Target::Service(callee) => callee.protocol.is_grpc(),
        Target::Outside(_) => false,
    };
    if is_grpc {
        let OnInvoke { message, headers } =
            on_invoke(shared, caller, &app, message, headers).await?;
        return Ok(Response::from_parts(
            MetadataMap::from_headers(headers),
            message,
            tonic::Extensions::default(),
        ));
    }
    by_http(shared, caller, &app, message, &headers).await
}

/// Calls an application that speaks gRPC.
///
/// # Errors
/// What the application answered, or why it could not be asked.
pub(crate) async fn on_invoke(
    shared: &Shared,
    caller: &Caller,
    app: &str,
    message: InvokeRequest,
    headers: HeaderMap,
) -> Result<OnInvoke, Status> {
    let listener = listener(caller, app)?;
    let uri = format!("http://{listener}/dapr.proto.runtime.v1.AppCallback/OnInvoke");
    let mut request = Request::new(framed(&message));
    *request.method_mut() = Method::POST;
    *request.version_mut() = Version::HTTP_2;
    *request.uri_mut() = uri.parse().map_err(|_malformed| Fault::method_name())?;
    *request.headers_mut() = fields::to_grpc(&headers);
    let fields = request.headers_mut();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    fields.insert(header::TE, HeaderValue::from_static("trailers"));
    let id = HeaderValue::from_str(app).map_err(|_malformed| Fault::no_app_id())?;
    fields.insert(APP_ID, id);
    token(fields, caller);
    let size_max = shared.body_len_max(caller).saturating_add(FRAME_HEAD_LEN);
    let (answer, trailers) = loopback::exchange(listener, request, size_max).await?;
    let (head, body) = answer.into_parts();
    let status =
        Status::from_header_map(&trailers).or_else(|| Status::from_header_map(&head.headers));
    match status {
        Some(status) if status.code() == tonic::Code::Ok => {}
        Some(status) => return Err(status),
        None => {
            return Err(Status::unknown(format!("{app} answered {} and no status", head.status)));
        }
    }
    let mut headers = fields::from_grpc(&head.headers);
    headers.extend(fields::from_grpc(&trailers));
    Ok(OnInvoke { message: unframed(app, &body)?, headers })
}

/// Calls an application that speaks HTTP.
async fn by_http(
    shared: &Shared,
    caller: &Caller,
    app: &str,
    message: InvokeRequest,
    metadata: &HeaderMap,
) -> Result<Response<InvokeResponse>, Status> {
    let listener = listener(caller, app)?;
    let extension = message.http_extension.clone();
    let extension =
        extension.ok_or_else(|| Status::invalid_argument("missing HTTP extension field"))?;
    let data = message.data.unwrap_or_default();
    let mut request = Request::new(Bytes::from(data.value));
    *request.method_mut() = method(&extension)?;
    *request.version_mut() = Version::HTTP_2;
    *request.uri_mut() = uri(listener, app, &message.method, &extension.querystring)?;
    *request.headers_mut() = fields::to_http(metadata);
    if let Some(kind) = content_type(&message.content_type, &data.type_url)? {
        request.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    if !request.body().is_empty() {
        // Without it the application gets the body in chunks, which simple servers do not read.
        let len = HeaderValue::from(request.body().len());
        request.headers_mut().insert(header::CONTENT_LENGTH, len);
    }
    token(request.headers_mut(), caller);
    let (answer, _) = loopback::exchange(listener, request, shared.body_len_max(caller)).await?;
    let (head, body) = answer.into_parts();
    if let Some(status) = refused(&head, &body) {
        return Err(status);
    }
    let kind = head.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let content_type = kind.unwrap_or_default().to_owned();
    let mut headers = fields::from_http(&head.headers);
    headers.insert(HTTP_STATUS, HeaderValue::from(head.status.as_u16()));
    let metadata = MetadataMap::from_headers(headers);
    match Outcome::of(head.status) {
        Outcome::Good => {
            let data = Some(Any { type_url: String::new(), value: body.into() });
            let message = InvokeResponse { data, content_type };
            Ok(Response::from_parts(metadata, message, tonic::Extensions::default()))
        }
        Outcome::Bad(code) => Err(outcome::failed(code, head.status, &body, metadata)),
    }
}

fn listener(caller: &Caller, app: &str) -> Result<SocketAddr, Fault> {
    // Between a listener's opening and the news of it there is nothing to go through.
    caller.instance.api.ok_or_else(|| {
        let fault = Fault::invoke(app, "the caller's own listener is not known yet");
        let status = fault.status;
        fault.with(status, FaultCode::Unavailable)
    })
}

/// The token that the listener asks for; the call has shown it already.
fn token(headers: &mut HeaderMap, caller: &Caller) {
    let token = caller.instance.token.as_deref();
    if let Some(token) = token.and_then(|token| HeaderValue::from_str(token).ok()) {
        headers.insert(API_TOKEN, token);
    }
}

fn method(extension: &HttpExtension) -> Result<Method, Status> {
    Ok(match extension.verb() {
        Verb::Get => Method::GET,
        Verb::Head => Method::HEAD,
        Verb::Post => Method::POST,
        Verb::Put => Method::PUT,
        Verb::Delete => Method::DELETE,
        Verb::Options => Method::OPTIONS,
        Verb::Trace => Method::TRACE,
        Verb::Patch => Method::PATCH,
        Verb::None | Verb::Connect => return Err(Status::invalid_argument("invalid HTTP verb")),
    })
}

/// Where the listener takes calls of `app`. The method is a path, and may have a query of its own.
fn uri(listener: SocketAddr, app: &str, method: &str, query: &str) -> Result<Uri, Fault> {
    let app = query::escape(app);
    let (path, own) = method.split_once('?').unwrap_or((method, ""));
    let path = fields::encoded(path.strip_prefix('/').unwrap_or(path));
    let mut uri = format!("http://{listener}/v1.0/invoke/{app}/method/{path}");
    let queries = [own, query.strip_prefix('?').unwrap_or(query)];
    let queries = queries.into_iter().filter(|query| !query.is_empty());
    for (query, mark) in queries.zip(['?', '&']) {
        uri.push(mark);
        uri.push_str(&fields::encoded(query));
    }
    uri.parse().map_err(|_malformed| Fault::method_name())
}

fn content_type(given: &str, type_url: &str) -> Result<Option<HeaderValue>, Status> {
    if given.is_empty() {
        return Ok((!type_url.is_empty()).then_some(PROTOBUF));
    }
    let kind = HeaderValue::from_str(given);
    kind.map(Some).map_err(|_malformed| Status::invalid_argument("content_type is no media type"))
}

fn framed(message: &InvokeRequest) -> Bytes {
    let len = message.encoded_len();
    let mut frame = BytesMut::with_capacity(FRAME_HEAD_LEN + len);
    frame.put_u8(0);
    // What came in one message of at most 16 MiB goes out in one.
    frame.put_u32(u32::try_from(len).unwrap_or(u32::MAX));
    frame.put(message.encode_to_vec().as_slice());
    frame.freeze()
}

fn unframed(app: &str, body: &Bytes) -> Result<InvokeResponse, Status> {
    let bad = |why: &str| Status::internal(format!("{app} answered with {why}"));
    let (head, message) =
        body.split_at_checked(FRAME_HEAD_LEN).ok_or_else(|| bad("no whole message"))?;
    let &[flag, ref len @ ..] = head else { return Err(bad("no whole message")) };
    let len = len.iter().fold(0_usize, |len, byte| (len << 8) | usize::from(*byte));
    if flag != 0 {
        return Err(bad("a compressed message, which it was not asked for"));
    }
    if len != message.len() {
        return Err(bad("a message of another length than it says"));
    }
    InvokeResponse::decode(message).map_err(|e| bad(&format!("what is no InvokeResponse: {e}")))
}
