//! The head of a request as an instance gets it.
//!
//! Fields for this hop end here (RFC 9110 §7.6.1), also those that `Connection` names, unless they frame or
//! address the message. Who forwarded it, its id and its trace are added.

mod identity;

pub(crate) use identity::Identity;

use crate::{
    h1::{Fields, Known, RequestHead, fields::tokens},
    h2,
    listener::ListenerKind,
};
use http::{HeaderName, HeaderValue, Request, Uri};
use identity::{identify, is_good_id, is_trace_parent};
use logic::{balance::Random, deadline::Text};
use std::net::IpAddr;

/// How we name ourselves in `Via` (RFC 9110 §7.6.3).
const PSEUDONYM: &[u8] = b"flotilla";

/// What is known of a request besides its head.
pub(crate) struct Onward<'a> {
    pub(crate) kind: &'a ListenerKind,
    /// The client's address as text.
    pub(crate) client: &'a str,
    /// The client is a proxy that is believed.
    pub(crate) is_trusted: bool,
    /// `http` or `https`, as the client spoke to us.
    pub(crate) scheme: &'static str,
    /// Path and query as the instance gets them.
    pub(crate) path: &'a str,
    /// Another host than the request names.
    pub(crate) host: Option<&'a str>,
    pub(crate) body: Length,
    /// How long the instance may take, as `grpc-timeout` has it.
    pub(crate) grpc_timeout: Option<Text>,
    /// Whether an instance is told how long it may take; then what the client said of that is left out.
    pub(crate) is_timed: bool,
}

/// How long the body will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    /// There is none.
    None,
    /// So many bytes.
    Exact(u64),
    /// Nobody knows yet.
    Unknown,
}

impl Onward<'_> {
    /// Writes the head for HTTP/1.1.
    pub(crate) fn write(
        &self,
        head: &RequestHead,
        random: &mut Random,
        to: &mut Vec<u8>,
    ) -> Identity {
        to.clear();
        to.extend_from_slice(head.method().as_bytes());
        to.push(b' ');
        to.extend_from_slice(self.path.as_bytes());
        to.extend_from_slice(b" HTTP/1.1\r\nhost: ");
        to.extend_from_slice(self.host.unwrap_or(head.host()).as_bytes());
        to.extend_from_slice(b"\r\n");
        let identity = self.visit(head, random, false, &mut |name, value| line(to, name, value));
        match self.body {
            Length::None => {
                // Servers wait for a body of a method that usually has one.
                if matches!(head.method(), "POST" | "PUT" | "PATCH") {
                    to.extend_from_slice(b"content-length: 0\r\n");
                }
            }
            Length::Exact(length) => {
                to.extend_from_slice(b"content-length: ");
                decimal(to, length);
                to.extend_from_slice(b"\r\n");
            }
            Length::Unknown => to.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        }
        to.extend_from_slice(b"\r\n");
        identity
    }

    /// The head for HTTP/2.
    pub(crate) fn request(
        &self,
        head: &RequestHead,
        random: &mut Random,
        authority: &str,
    ) -> Option<(Request<()>, Identity)> {
        let mut fields = Fields::default();
        let identity = self.visit(head, random, true, &mut |name, value| fields.add(name, value));
        if let Length::Exact(length) = self.body {
            fields.add(b"content-length", length.to_string().as_bytes());
        }
        let host = self.host.unwrap_or(head.host());
        let authority = if host.is_empty() { authority } else { host };
        let uri = Uri::builder().scheme("http").authority(authority).path_and_query(self.path);
        let mut request = Request::new(());
        *request.method_mut() = head.method().parse().ok()?;
        *request.uri_mut() = uri.build().ok()?;
        *request.headers_mut() = h2::map(&fields);
        if head.fields.has_token(Known::Te, "trailers") {
            request
                .headers_mut()
                .insert(HeaderName::from_static("te"), HeaderValue::from_static("trailers"));
        }
        Some((request, identity))
    }

    /// Says every field but those of addressing and framing.
    fn visit(
        &self,
        head: &RequestHead,
        random: &mut Random,
        is_h2: bool,
        put: &mut impl FnMut(&[u8], &[u8]),
    ) -> Identity {
        let fields = &head.fields;
        let mut seen = Seen::default();
        let names_fields = fields.has(Known::Connection) && names_fields(fields);
        for (known, name, value) in fields.iter() {
            if names_fields && is_named(fields, known, name) {
                continue;
            }
            match known {
                Known::Other if is_disguised(name) => {}
                Known::Other => put(name, value),
                // `Trailer` says what the body ends with; whoever has no body has no trailers.
                Known::Trailer if self.body == Length::Unknown => put(name, value),
                Known::RequestId if !seen.id && is_good_id(value) => {
                    seen.id = true;
                    put(name, value);
                }
                Known::TraceParent => seen.trace(value),
                Known::Cookie => seen.cookies += 1,
                Known::GrpcTimeout if self.grpc_timeout.is_some() => {}
                Known::Timeout if self.is_timed => {}
                Known::Forwarded => seen.forwarded = true,
                Known::Via => seen.via = true,
                Known::ForwardedFor
                | Known::ForwardedHost
                | Known::ForwardedProto
                | Known::ForwardedPort
                | Known::RealIp
                    if *self.kind != ListenerKind::Gateway || self.is_trusted =>
                {
                    seen.told(known);
                    if !(known == Known::ForwardedFor && *self.kind == ListenerKind::Gateway) {
                        put(name, value);
                    }
                }
                Known::ForwardedFor => {}
                kept if is_end_to_end(kept) => put(name, value),
                _ => {}
            }
        }
        if seen.cookies > 0 {
            cookies(fields, seen.cookies, put);
        }
        if *self.kind == ListenerKind::Gateway {
            self.forwarded(head, &seen, put);
        } else if seen.forwarded {
            fields.all(Known::Forwarded).for_each(|value| put(b"forwarded", value));
        }
        self.via(head, &seen, put);
        if let Some(left) = self.grpc_timeout {
            put(b"grpc-timeout", left.as_bytes());
        }
        self.hop(head, is_h2, put);
        identify(&seen, random, put)
    }

    /// Fields for the next hop.
    fn hop(&self, head: &RequestHead, is_h2: bool, put: &mut impl FnMut(&[u8], &[u8])) {
        if is_h2 {
            return;
        }
        if let Some(protocol) = head.upgrade() {
            put(b"connection", b"upgrade");
            put(b"upgrade", protocol);
        } else if head.fields.has(Known::Te) && head.fields.has_token(Known::Te, "trailers") {
            put(b"te", b"trailers");
            put(b"connection", b"te");
        }
    }

    /// Says who the client was. What a client from elsewhere says about itself, host and protocol is not
    /// believed; the chain of addresses is passed on, because its last entry is ours.
    fn forwarded(&self, head: &RequestHead, seen: &Seen, put: &mut impl FnMut(&[u8], &[u8])) {
        let fields = &head.fields;
        if fields.has(Known::ForwardedFor) {
            let mut chain = Vec::new();
            for earlier in fields.all(Known::ForwardedFor) {
                chain.extend_from_slice(earlier);
                chain.extend_from_slice(b", ");
            }
            chain.extend_from_slice(self.client.as_bytes());
            put(b"x-forwarded-for", &chain);
        } else {
            put(b"x-forwarded-for", self.client.as_bytes());
        }
        if !seen.proto {
            put(b"x-forwarded-proto", self.scheme.as_bytes());
        }
        if !seen.host && !head.host().is_empty() {
            put(b"x-forwarded-host", head.host().as_bytes());
        }
        // RFC 7239: whoever uses it gets our part of it; a stranger's is not passed on.
        if seen.forwarded && self.is_trusted {
            let mut list = Vec::new();
            for earlier in fields.all(Known::Forwarded) {
                list.extend_from_slice(earlier);
                list.extend_from_slice(b", ");
            }
            let is_v6 = self.client.contains(':');
            let (open, close) = if is_v6 { ("\"[", "]\"") } else { ("", "") };
            let ours = format!("for={open}{}{close};proto={}", self.client, self.scheme);
            list.extend_from_slice(ours.as_bytes());
            put(b"forwarded", &list);
        }
    }

    fn via(&self, head: &RequestHead, seen: &Seen, put: &mut impl FnMut(&[u8], &[u8])) {
        let version: &[u8] = match head.version {
            0 => b"1.0 ",
            1 => b"1.1 ",
            _ => b"2.0 ",
        };
        let mut value = [0; 16];
        let ours = &mut value[..version.len() + PSEUDONYM.len()];
        ours[..version.len()].copy_from_slice(version);
        ours[version.len()..].copy_from_slice(PSEUDONYM);
        if seen.via {
            head.fields.all(Known::Via).for_each(|earlier| put(b"via", earlier));
        }
        put(b"via", ours);
    }
}

/// What was met among a request's fields.
#[derive(Default)]
struct Seen {
    id: bool,
    cookies: u32,
    forwarded: bool,
    via: bool,
    proto: bool,
    host: bool,
    trace: Option<Vec<u8>>,
    traces: u32,
}

impl Seen {
    fn trace(&mut self, value: &[u8]) {
        self.traces += 1;
        if is_trace_parent(value) {
            self.trace = Some(value.to_vec());
        }
    }

    fn told(&mut self, known: Known) {
        match known {
            Known::ForwardedProto => self.proto = true,
            Known::ForwardedHost => self.host = true,
            _ => {}
        }
    }
}

fn line(to: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    to.extend_from_slice(name);
    to.extend_from_slice(b": ");
    to.extend_from_slice(value);
    to.extend_from_slice(b"\r\n");
}

pub(crate) fn decimal(to: &mut Vec<u8>, number: u64) {
    let (mut digits, mut at, mut left) = ([0; 20], 20, number);
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(left % 10).unwrap_or(0);
        left /= 10;
        if left == 0 {
            break;
        }
    }
    to.extend_from_slice(&digits[at..]);
}

/// Whether a name is one that only we may say, with `_` for `-`: CGI and WSGI servers make the same variable
/// of both.
fn is_disguised(name: &[u8]) -> bool {
    if memchr::memchr(b'_', name).is_none() {
        return false;
    }
    let plain: Vec<u8> = name.iter().map(|b| if *b == b'_' { b'-' } else { *b }).collect();
    Known::of(&plain) != Known::Other
}

/// Whether a field that the proxy knows goes on as it is.
fn is_end_to_end(known: Known) -> bool {
    matches!(
        known,
        Known::ContentEncoding
            | Known::ContentType
            | Known::Date
            | Known::EnvoyTimeout
            | Known::GrpcTimeout
            | Known::RetryAfter
            | Known::Timeout
            | Known::Vary
    )
}

/// Whether `Connection` names fields, not only whether the connection lives.
pub(crate) fn names_fields(fields: &Fields) -> bool {
    let mut items = fields.all(Known::Connection).flat_map(tokens);
    items.any(|item| {
        !["keep-alive", "close", "upgrade", "te"]
            .iter()
            .any(|usual| item.eq_ignore_ascii_case(usual.as_bytes()))
    })
}

/// Whether `Connection` names this field. Framing, addressing and what we say ourselves are not its to take
/// away.
pub(crate) fn is_named(fields: &Fields, known: Known, name: &[u8]) -> bool {
    let is_ours = matches!(
        known,
        Known::ContentLength
            | Known::ContentType
            | Known::Host
            | Known::TransferEncoding
            | Known::ForwardedFor
            | Known::ForwardedHost
            | Known::ForwardedProto
            | Known::Forwarded
            | Known::Via
            | Known::RequestId
            | Known::TraceParent
    ) || name.eq_ignore_ascii_case(b"authorization")
        || name.eq_ignore_ascii_case(b"cache-control");
    let mut items = fields.all(Known::Connection).flat_map(tokens);
    !is_ours && items.any(|item| item.eq_ignore_ascii_case(name))
}

/// HTTP/2 may split cookies over several fields; HTTP/1.1 has one (RFC 9113 §8.2.3).
fn cookies(fields: &Fields, count: u32, put: &mut impl FnMut(&[u8], &[u8])) {
    let mut all = fields.all(Known::Cookie);
    if count == 1 {
        all.for_each(|value| put(b"cookie", value));
        return;
    }
    let mut joined = all.next().unwrap_or_default().to_vec();
    for value in all {
        joined.extend_from_slice(b"; ");
        joined.extend_from_slice(value);
    }
    put(b"cookie", &joined);
}

/// An address as `X-Forwarded-For` has it.
pub(crate) fn address_text(address: IpAddr) -> Box<str> {
    match address.to_canonical() {
        // Every new connection comes by here, and formatting would cost it as much as parsing its first head.
        IpAddr::V4(address) => {
            let mut text = String::with_capacity(15);
            for (at, octet) in address.octets().into_iter().enumerate() {
                let (hundreds, tens, ones) = (octet / 100, octet / 10 % 10, octet % 10);
                let digit = |digit: u8| char::from(b'0' + digit);
                text.extend((at > 0).then_some('.'));
                text.extend((hundreds > 0).then(|| digit(hundreds)));
                text.extend((octet > 9).then(|| digit(tens)));
                text.push(digit(ones));
            }
            text.into()
        }
        IpAddr::V6(address) => address.to_string().into(),
    }
}

#[cfg(test)]
mod tests;
