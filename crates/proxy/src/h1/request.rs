//! Heads of requests.

use super::{Bad, Fields, Framing, Known};
use std::mem::MaybeUninit;

/// A request's head, of either protocol. A connection reuses it.
///
/// What is asked for as text many times a request is kept as text: to look at it costs no check.
#[derive(Clone, Debug, Default)]
pub(crate) struct RequestHead {
    pub(crate) fields: Fields,
    method: String,
    /// Path and query, or `*`.
    path: String,
    host: String,
    /// 0 or 1 for HTTP/1, 2 for HTTP/2.
    pub(crate) version: u8,
}

impl RequestHead {
    /// Parses `head`, which ends with its empty line and has no bare line feed.
    ///
    /// # Errors
    /// When it is no request, or one that could be read in more than one way.
    pub(crate) fn parse(&mut self, head: &[u8], fields_max: usize) -> Result<Framing, Bad> {
        let mut list = [const { MaybeUninit::uninit() }; FIELDS_LIMIT];
        let mut parsed = httparse::Request::new(&mut []);
        let room = list.get_mut(..fields_max.min(FIELDS_LIMIT)).unwrap_or_default();
        match parsed.parse_with_uninit_headers(head, room) {
            Ok(httparse::Status::Complete(length)) if length == head.len() => {}
            Ok(_) => return Err(Bad::request("the head is not complete")),
            Err(error) => return Err(refusal(error, head)),
        }
        let (Some(method), Some(target), Some(minor)) =
            (parsed.method, parsed.path, parsed.version)
        else {
            return Err(Bad::request("the request line is not complete"));
        };
        self.fields.start(head);
        self.version = minor;
        set(&mut self.method, method);
        for header in parsed.headers.iter() {
            let name = Fields::span_of(head, header.name.as_bytes());
            self.fields.add_spans(name, Fields::span_of(head, header.value));
        }
        self.address(method, target)?;
        Framing::of_request(&self.fields, minor)
    }

    /// Sets host and path from target and `Host` (RFC 9112 §3.2, RFC 9110 §7.2).
    fn address(&mut self, method: &str, target: &str) -> Result<(), Bad> {
        if method == "CONNECT" {
            return Err(Bad { status: 405, why: "CONNECT is not served here" });
        }
        if target.bytes().any(|byte| !(0x21..=0x7e).contains(&byte) || byte == b'#') {
            return Err(Bad::request("the target has a character that no target may have"));
        }
        if self.fields.all(Known::Host).nth(1).is_some() {
            return Err(Bad::request("the request has more than one Host field"));
        }
        let (authority, path) = split_target(target, method)?;
        let host = match (self.fields.first(Known::Host), authority) {
            (Some(host), _) => host,
            (None, Some(authority)) if self.version == 0 => authority.as_bytes(),
            (None, None) if self.version == 0 => b"",
            (None, _) => return Err(Bad::request("the request has no Host field")),
        };
        let host = check_host(host, self.version)?;
        if authority.is_some_and(|authority| !authority.eq_ignore_ascii_case(host)) {
            return Err(Bad::request("the target and the Host field name different hosts"));
        }
        set(&mut self.host, host);
        let has_no_path = path.is_empty() || path.starts_with('?');
        set(&mut self.path, if has_no_path { "/" } else { "" });
        self.path.push_str(path);
        Ok(())
    }

    /// Begins a head that came in parts (HTTP/2); fields are added to `fields`. The parts must be valid.
    pub(crate) fn begin(&mut self, method: &str, path: &str, host: &str) {
        self.fields.clear();
        self.version = 2;
        set(&mut self.method, method);
        set(&mut self.path, path);
        set(&mut self.host, host);
    }

    /// Bytes that are held for later heads; see the buffers.
    pub(crate) fn capacity(&self) -> usize {
        let texts = [&self.method, &self.path, &self.host].map(String::capacity);
        texts.iter().sum::<usize>() + self.fields.capacity()
    }

    /// The method, as sent.
    pub(crate) fn method(&self) -> &str {
        &self.method
    }

    /// Path and query, as sent; `*` for a request to the whole server.
    pub(crate) fn path_and_query(&self) -> &str {
        &self.path
    }

    /// Host and port, as sent; empty when an HTTP/1.0 client named none.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Whether the client lets the connection live after the response.
    pub(crate) fn keeps_alive(&self) -> bool {
        match self.version {
            0 => {
                self.fields.has_token(Known::Connection, "keep-alive")
                    && !self.fields.has_token(Known::Connection, "close")
            }
            _ => {
                !self.fields.has(Known::Connection)
                    || !self.fields.has_token(Known::Connection, "close")
            }
        }
    }

    /// The protocol it wants to switch to. HTTP/2 is none of them (obsolete, RFC 9113 §3.1).
    pub(crate) fn upgrade(&self) -> Option<&[u8]> {
        if self.version != 1 || !self.fields.has(Known::Upgrade) {
            return None;
        }
        let mut protocols = self.fields.all(Known::Upgrade);
        let (protocol, has_more) = (protocols.next()?, protocols.next().is_some());
        let is_wanted = self.fields.has_token(Known::Connection, "upgrade");
        let is_http2 = self.fields.has_token(Known::Upgrade, "h2c");
        (is_wanted && !has_more && !is_http2).then_some(protocol)
    }

    /// Whether it is gRPC: HTTP/2 with gRPC's content type.
    pub(crate) fn is_grpc(&self) -> bool {
        self.version == 2
            && self
                .fields
                .first(Known::ContentType)
                .is_some_and(|value| value.starts_with(b"application/grpc"))
    }
}

/// Replaces a text in its own memory.
fn set(to: &mut String, text: &str) {
    to.clear();
    to.push_str(text);
}

/// Most fields that any configuration lets pass.
pub(crate) const FIELDS_LIMIT: usize = 256;

fn refusal(error: httparse::Error, head: &[u8]) -> Bad {
    match error {
        httparse::Error::TooManyHeaders => {
            Bad { status: 431, why: "the request has too many fields" }
        }
        httparse::Error::Version if has_other_version(head) => {
            Bad { status: 505, why: "of HTTP/1 only 1.0 and 1.1 are served" }
        }
        httparse::Error::Version => Bad::request("the request line has no valid version"),
        httparse::Error::HeaderName => Bad::request("the name of a field is not valid"),
        httparse::Error::HeaderValue => Bad::request("the value of a field is not valid"),
        httparse::Error::NewLine => Bad::request("a line does not end with CR LF"),
        _ => Bad::request("the request line is not valid"),
    }
}

/// Whether the first line ends with a well-formed version, which then is another one than 1.0 and 1.1.
fn has_other_version(head: &[u8]) -> bool {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let mut parts = line.split(|byte| *byte == b' ');
    let (Some(_), Some(_), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    matches!(version, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
        if major.is_ascii_digit() && minor.is_ascii_digit())
}

/// A target's authority, if it has one, and its path with query.
fn split_target<'a>(target: &'a str, method: &str) -> Result<(Option<&'a str>, &'a str), Bad> {
    if target.starts_with('/') {
        return Ok((None, target));
    }
    if target == "*" {
        return match method {
            "OPTIONS" => Ok((None, target)),
            _ => Err(Bad::request("only OPTIONS asks for `*`")),
        };
    }
    let (scheme, rest) =
        target.split_once("://").ok_or(Bad::request("the target is not a path"))?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return Err(Bad::request("the target's scheme is not served here"));
    }
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
    if authority.is_empty() {
        return Err(Bad::request("the target names no host"));
    }
    Ok((Some(authority), path))
}

/// A host is a name or an address with an optional port; what else `Host` may hold has only ever been used
/// for attacks.
pub(crate) fn check_host(host: &[u8], version: u8) -> Result<&str, Bad> {
    if host.is_empty() {
        return if version == 0 { Ok("") } else { Err(Bad::request("the host is empty")) };
    }
    let invalid = Bad::request("the host is not valid");
    let (name, port) = match host {
        [b'[', rest @ ..] => {
            let end = memchr::memchr(b']', rest).ok_or(invalid)?;
            (&rest[..end], &rest[end + 1..])
        }
        _ => {
            let end = host.iter().position(|byte| *byte == b':').unwrap_or(host.len());
            host.split_at(end)
        }
    };
    let is_port = match port {
        [] => true,
        [b':', digits @ ..] => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    let is_name = |byte: &u8| {
        // Registered names (RFC 3986 §3.2.2) without percent-encoding, and the colons of IPv6, which the
        // brackets keep apart from the port's.
        byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b':')
    };
    let is_good = !name.is_empty() && name.iter().all(is_name) && is_port;
    std::str::from_utf8(host).ok().filter(|_| is_good).ok_or(invalid)
}

#[cfg(test)]
mod tests;
