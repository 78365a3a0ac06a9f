//! What is changed in heads that pass through.
//!
//! Hop-by-hop fields end here (RFC 9110 §7.6.1), forwarding and tracing fields are added.

use crate::listener::ListenerKind;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Version,
    header::{
        CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, EXPECT, HOST, PROXY_AUTHENTICATE,
        PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE,
    },
};
use logic::balance::Random;
use std::net::IpAddr;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");

/// Longest request id that is taken over from a client; longer ones are replaced.
const REQUEST_ID_LEN_MAX: usize = 128;

/// The protocol a request wants to switch to.
pub(crate) fn wants_upgrade<B>(request: &Request<B>) -> Option<HeaderValue> {
    if request.version() != Version::HTTP_11 {
        return None;
    }
    let headers = request.headers();
    let protocol = headers.get(UPGRADE)?;
    // Upgrading to HTTP/2 is obsolete (RFC 9113 §3.1); the request goes on as HTTP/1.1.
    let is_h2c = protocol.as_bytes().eq_ignore_ascii_case(b"h2c");
    (has_token(headers, &CONNECTION, "upgrade") && !is_h2c).then(|| protocol.clone())
}

/// Whether a request is gRPC: HTTP/2 with gRPC's content type.
pub(crate) fn is_grpc<B>(request: &Request<B>) -> bool {
    request.version() == Version::HTTP_2
        && request
            .headers()
            .get(CONTENT_TYPE)
            .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

/// Whether the list field `name` has `token`.
fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let mut values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.any(|list| list.split(',').any(|item| item.trim().eq_ignore_ascii_case(token)))
}

/// Removes the fields that are only for this hop, also those that `Connection` names.
pub(crate) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let mut named = Vec::new();
    for list in headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok()) {
        for token in list.split(',').map(str::trim) {
            if !token.eq_ignore_ascii_case("keep-alive") && !token.eq_ignore_ascii_case("close") {
                named.extend(HeaderName::from_bytes(token.as_bytes()));
            }
        }
    }
    // Framing and addressing are not the client's to take away.
    named.retain(|name| ![CONTENT_LENGTH, HOST, CONTENT_TYPE].contains(name));
    for name in &named {
        headers.remove(name);
    }
    for name in [
        CONNECTION,
        KEEP_ALIVE,
        PROXY_CONNECTION,
        PROXY_AUTHENTICATE,
        PROXY_AUTHORIZATION,
        TE,
        TRANSFER_ENCODING,
        UPGRADE,
    ] {
        headers.remove(name);
    }
}

/// What a request brings besides its own head.
pub(crate) struct Origin<'a> {
    pub(crate) kind: &'a ListenerKind,
    pub(crate) client: IpAddr,
    pub(crate) host: &'a str,
    pub(crate) upgrade: Option<&'a HeaderValue>,
    pub(crate) is_grpc: bool,
}

/// Makes the fields of a request those that an instance gets.
pub(crate) fn prepare(headers: &mut HeaderMap, origin: &Origin<'_>, random: &mut Random) {
    let wants_trailers = has_token(headers, &TE, "trailers");
    remove_hop_by_hop(headers);
    // The client is told to go on by us, when the body is wanted.
    headers.remove(EXPECT);
    if let Some(protocol) = origin.upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol.clone());
    } else if wants_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
        if !origin.is_grpc {
            headers.insert(CONNECTION, HeaderValue::from_static("te"));
        }
    }
    join_cookies(headers);
    if *origin.kind == ListenerKind::Gateway {
        forwarded(headers, origin);
    }
    identify(headers, random);
}

/// HTTP/2 may split cookies over several fields; HTTP/1.1 has one (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut cookies = headers.get_all(COOKIE).iter();
    if cookies.next().is_none() || cookies.next().is_none() {
        return;
    }
    let all: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(joined) = HeaderValue::from_bytes(&all.join(&b"; "[..])) {
        headers.insert(COOKIE, joined);
    }
}

/// Says who the client was. What a client from elsewhere says about host and protocol is not believed;
/// one on this machine may be a proxy that ends TLS.
fn forwarded(headers: &mut HeaderMap, origin: &Origin<'_>) {
    let client = origin.client.to_canonical();
    let mut chain = String::new();
    for earlier in headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok()) {
        chain.push_str(earlier);
        chain.push_str(", ");
    }
    chain.push_str(&client.to_string());
    set(headers, FORWARDED_FOR, chain);
    let is_believed = client.is_loopback();
    if !(is_believed && headers.contains_key(FORWARDED_PROTO)) {
        headers.insert(FORWARDED_PROTO, HeaderValue::from_static("http"));
    }
    if !(is_believed && headers.contains_key(FORWARDED_HOST)) {
        set(headers, FORWARDED_HOST, origin.host.to_owned());
    }
}

/// Replaces whatever `name` had. A value that no header may have takes the field away.
fn set(headers: &mut HeaderMap, name: HeaderName, value: String) {
    match HeaderValue::try_from(value) {
        Ok(value) => drop(headers.insert(name, value)),
        Err(_) => drop(headers.remove(name)),
    }
}

/// Gives the request an id and a trace (W3C Trace Context) unless it has them.
fn identify(headers: &mut HeaderMap, random: &mut Random) {
    let has_id = headers.get(REQUEST_ID).is_some_and(|id| {
        (1..=REQUEST_ID_LEN_MAX).contains(&id.len())
            && id.as_bytes().iter().all(u8::is_ascii_graphic)
    });
    if !has_id {
        set(headers, REQUEST_ID, format!("{:016x}{:016x}", random.draw(), random.draw()));
    }
    let has_trace =
        headers.get(TRACE_PARENT).is_some_and(|value| is_trace_parent(value.as_bytes()));
    if !has_trace {
        // An id of zeros is invalid; the lowest bit makes that impossible.
        let trace = format!("{:016x}{:016x}", random.draw(), random.draw() | 1);
        set(headers, TRACE_PARENT, format!("00-{trace}-{:016x}-01", random.draw() | 1));
    }
}

/// Whether `value` is a `traceparent` (version 00, or a later one that begins the same way).
fn is_trace_parent(value: &[u8]) -> bool {
    let is_hex = |part: &[u8]| part.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let is_zero = |part: &[u8]| part.iter().all(|byte| *byte == b'0');
    let mut parts = value.split(|byte| *byte == b'-');
    let (Some(version), Some(trace), Some(parent), Some(flags)) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let has_more = parts.next().is_some();
    [version, trace, parent, flags].into_iter().all(is_hex)
        && (version.len(), trace.len(), parent.len(), flags.len()) == (2, 32, 16, 2)
        && !is_zero(trace)
        && !is_zero(parent)
        && version != b"ff"
        && !(has_more && version == b"00")
}

/// The host a request is for, from its target or its `Host` field.
///
/// # Errors
/// In words, when there is none where there must be one, several, or one that is no host.
pub(crate) fn host<B>(request: &Request<B>) -> Result<&str, &'static str> {
    let mut fields = request.headers().get_all(HOST).iter();
    let field = fields.next();
    if fields.next().is_some() {
        return Err("the request has more than one Host field");
    }
    let host = match (request.uri().authority(), field) {
        (Some(authority), _) => authority.as_str(),
        (None, Some(field)) => field.to_str().or(Err("the Host field is not text"))?,
        (None, None) if request.version() <= Version::HTTP_10 => "",
        (None, None) => return Err("the request has no Host field"),
    };
    let is_odd =
        |byte: u8| matches!(byte, b'@' | b'/' | b'\\' | b',' | b'?' | b'#') || byte <= b' ';
    if host.bytes().any(is_odd) { Err("the host is not a host name") } else { Ok(host) }
}

/// Whether the method may have a meaning for proxies that this one does not have.
pub(crate) fn is_for_proxies(method: &Method) -> bool {
    *method == Method::CONNECT
}

#[cfg(test)]
mod tests;
