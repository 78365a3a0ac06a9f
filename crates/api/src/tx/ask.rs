//! The request of a call.

use crate::{
    app::deliver::{API_TOKEN, path},
    dtm::call as dtm,
    pool::{Place, Version},
    trace::TRACEPARENT,
};
use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header, uri::Authority};
use logic::tx::{Mode, Op};
use std::{
    borrow::Cow,
    fmt::{self, Write as _},
};
use transactions::{CallRequest, Target};

/// What a participant has to know of a call.
const FLOTILLA_TX: HeaderName = HeaderName::from_static("flotilla-tx");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// Flag and length, before each message of a gRPC call.
pub(super) const FRAME_HEAD_LEN: usize = 5;

/// Header fields of a call: those of its own, and a few of the transaction.
const HEADERS: usize = 16;

/// What a transaction cannot say for its calls: how they are framed and where they go, and what they are.
const OWN: [HeaderName; 11] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
    header::UPGRADE,
    header::TE,
    header::TRAILER,
    header::EXPECT,
    FLOTILLA_TX,
    IDEMPOTENCY_KEY,
    HeaderName::from_static(TRACEPARENT),
];

/// Whether a transaction may give its calls a header field of this name.
pub(crate) fn may_be_given(name: &HeaderName) -> bool {
    !OWN.contains(name)
}

/// Whom a call is for, for people.
pub(super) struct Name<'a>(pub(super) &'a Target);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Target::Service { service, .. } | Target::GrpcService { service, .. } => {
                f.write_str(service)
            }
            Target::Url(url) => f.write_str(url.split(['?', '#']).next().unwrap_or_default()),
            Target::Grpc { authority, .. } => f.write_str(authority),
        }
    }
}

/// Scheme, authority and the rest of a URL, without its fragment.
fn parts(url: &str) -> Option<(bool, &str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let is_tls = match scheme {
        "https" => true,
        "http" => false,
        _ => return None,
    };
    let rest = rest.split('#').next().unwrap_or_default();
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    Some((is_tls, authority, path))
}

/// The server of a URL; otherwise what is wrong with it.
pub(super) fn server(url: &str) -> Result<Place, String> {
    let unusable =
        || format!("`{}` is no address such as https://example.com/path", url.escape_debug());
    let (is_tls, authority, _) = parts(url).ok_or_else(unusable)?;
    let authority: Authority = authority.parse().map_err(|_invalid| unusable())?;
    // A user and password of an address would go to whoever reads the host.
    if authority.as_str().contains('@') || authority.host().is_empty() {
        return Err(unusable());
    }
    let port = authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
    Ok(Place::Server { host: authority.host().to_owned(), port, is_tls })
}

/// The server behind `host:port`; otherwise what is wrong with it.
pub(super) fn grpc_server(authority: &str) -> Result<Place, String> {
    let unusable = || format!("`{}` is no host and port", authority.escape_debug());
    let parsed: Authority = authority.parse().map_err(|_invalid| unusable())?;
    match parsed.port_u16() {
        Some(port) if !authority.contains('@') && !parsed.host().is_empty() => {
            Ok(Place::Server { host: parsed.host().to_owned(), port, is_tls: false })
        }
        _ => Err(unusable()),
    }
}

/// The request of a call on its way to `place`; otherwise what is wrong with it.
pub(super) fn request(
    call: &CallRequest,
    place: &Place,
    version: Version,
    token: Option<&str>,
) -> Result<Request<Bytes>, String> {
    let mut headers = given(call)?;
    own(call, token, &mut headers)?;
    let mut request = match version {
        Version::Http1 => by_http(call, place, &mut headers)?,
        Version::Http2 => by_grpc(call, place, &mut headers)?,
    };
    *request.headers_mut() = headers;
    Ok(request)
}

/// The header fields that the transaction has for all of its calls.
fn given(call: &CallRequest) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::with_capacity(HEADERS);
    for (name, text) in &call.headers {
        let parsed = HeaderName::try_from(name.as_str()).ok();
        let value = HeaderValue::try_from(text.as_str()).ok();
        let (Some(parsed), Some(value)) = (parsed, value) else {
            return Err(format!("`{}` is no header field", name.escape_debug()));
        };
        if may_be_given(&parsed) {
            headers.insert(parsed, value);
        }
    }
    Ok(headers)
}

/// The header fields that say which call it is.
fn own(call: &CallRequest, token: Option<&str>, headers: &mut HeaderMap) -> Result<(), String> {
    let CallRequest { gid, branch, op, attempt, mode, .. } = call;
    let (gid, op, mode) = (gid.as_str(), op.as_str(), mode.as_str());
    let mut text = String::with_capacity(96);
    // Writing to a string cannot fail.
    let _ = write!(text, "gid={gid};branch={branch};op={op};attempt={attempt};mode={mode}");
    if let Some(until) = call.until_ms {
        let _ = write!(text, ";deadline={until}");
    }
    headers.insert(FLOTILLA_TX, value(text)?);
    headers.insert(IDEMPOTENCY_KEY, value(format!("{gid}/{branch}/{op}"))?);
    if let Some(parent) = &call.traceparent {
        headers.insert(HeaderName::from_static(TRACEPARENT), value(parent.clone())?);
    }
    if let Some(token) = token {
        headers.insert(API_TOKEN, value(token.to_owned())?);
    }
    Ok(())
}

fn value(text: String) -> Result<HeaderValue, String> {
    HeaderValue::from_maybe_shared(Bytes::from(text)).map_err(|_invalid| {
        "a name in the call has characters that no header field can have".to_owned()
    })
}

/// The protocol's name in the query. Two phases are XA with DTM.
fn trans_type(call: &CallRequest) -> &'static str {
    match call.mode {
        _ if call.dialect.is_dtm() => dtm::trans_type(call),
        Mode::ThreePhaseClassic => Mode::ThreePhase.as_str(),
        mode => mode.as_str(),
    }
}

/// The operation's name in the query.
fn op(call: &CallRequest) -> Cow<'_, str> {
    if call.dialect.is_dtm() { dtm::op(call) } else { Cow::Borrowed(call.op.as_str()) }
}

/// What is sent.
fn body(call: &CallRequest) -> Bytes {
    if call.dialect.is_dtm() { dtm::body(call) } else { call.body.clone() }
}

fn by_http(
    call: &CallRequest,
    place: &Place,
    headers: &mut HeaderMap,
) -> Result<Request<Bytes>, String> {
    let (host, asked) = match (&call.target, place) {
        (Target::Url(url), _) => {
            let (_, authority, path) = parts(url).unwrap_or_default();
            (authority.to_owned(), path)
        }
        (Target::Service { path, .. }, Place::Listener(address)) => {
            (address.to_string(), path.as_str())
        }
        _ => return Err("it cannot be called by HTTP".to_owned()),
    };
    headers.insert(header::HOST, value(host)?);
    let (is_dtm, body) = (call.dialect.is_dtm(), body(call));
    if (is_dtm || !body.is_empty()) && !headers.contains_key(header::CONTENT_TYPE) {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    // DTM asks without a payload by GET, but not XA, which has none in its second phase.
    let is_get = is_dtm && body.is_empty() && call.mode != Mode::TwoPhase;
    let method = if is_get {
        Method::GET
    } else {
        let method = call.method.parse();
        method.map_err(|_invalid| format!("`{}` is no method", call.method.escape_debug()))?
    };
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = uri(with_query(call, asked))?;
    Ok(request)
}

/// A path as it can be asked for, with the query parameters that say which call it is.
fn with_query(call: &CallRequest, asked: &str) -> String {
    let mut out = path(asked.split('#').next().unwrap_or_default());
    out.push(if out.contains('?') { '&' } else { '?' });
    let pairs = [
        ("gid=", call.gid.as_str()),
        ("&trans_type=", trans_type(call)),
        ("&branch_id=", call.branch.as_str()),
        ("&op=", &op(call)),
    ];
    for (name, value) in pairs {
        out.push_str(name);
        if value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~:@".contains(&byte)) {
            out.push_str(value);
        } else {
            out.push_str(&crate::query::escape(value));
        }
    }
    out
}

fn uri(text: String) -> Result<Uri, String> {
    let shown = text.len();
    Uri::from_maybe_shared(Bytes::from(text))
        .map_err(|e| format!("its address of {shown} bytes is none: {e}"))
}

fn by_grpc(
    call: &CallRequest,
    place: &Place,
    headers: &mut HeaderMap,
) -> Result<Request<Bytes>, String> {
    let (Target::GrpcService { method, .. } | Target::Grpc { method, .. }) = &call.target else {
        return Err("it cannot be called by gRPC".to_owned());
    };
    let address = match (&call.target, place) {
        (Target::Grpc { authority, .. }, _) => uri(format!("http://{authority}/{method}"))?,
        (_, Place::Listener(address)) => uri(format!("http://{address}/{method}"))?,
        (_, Place::Server { host, port, .. }) => uri(format!("http://{host}:{port}/{method}"))?,
    };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    // Eight digits are the most that gRPC has.
    let millis = call.timeout.as_millis().min(99_999_999);
    headers.insert(GRPC_TIMEOUT, value(format!("{millis}m"))?);
    let pairs = [
        ("dtm-gid", call.gid.as_str()),
        ("dtm-trans_type", trans_type(call)),
        ("dtm-branch_id", call.branch.as_str()),
        ("dtm-op", &op(call)),
    ];
    for (name, text) in pairs {
        headers.insert(HeaderName::from_static(name), value(text.to_owned())?);
    }
    let mut request = Request::new(framed(&body(call)));
    *request.method_mut() = Method::POST;
    *request.version_mut() = http::Version::HTTP_2;
    *request.uri_mut() = address;
    Ok(request)
}

fn framed(message: &Bytes) -> Bytes {
    let mut frame = BytesMut::with_capacity(FRAME_HEAD_LEN + message.len());
    frame.put_u8(0);
    // A record of a transaction has half a MiB.
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.put_slice(message);
    frame.freeze()
}

/// Whether a participant tells by this operation's answer what it has decided alone.
pub(super) fn is_second_phase(op: Op) -> bool {
    matches!(op, Op::Commit | Op::Rollback | Op::Confirm | Op::Cancel)
}
