//! The parts of a URI (RFC 3986), written so that nothing of a request changes where it points.

use std::borrow::Cow;

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// The longest host name (RFC 1035 §2.3.4).
const HOST_LEN_MAX: usize = 253;

/// Whether `byte` stands for itself everywhere in a URI (RFC 3986 §2.3).
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Whether `byte` may stand in a segment (RFC 3986 §3.3), `%` aside.
const fn is_segment_byte(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(
            byte,
            b'!' | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b';'
                | b'='
                | b':'
                | b'@'
        )
}

fn push_encoded(byte: u8, into: &mut String) {
    into.push('%');
    into.push(char::from(HEX[usize::from(byte >> 4)]));
    into.push(char::from(HEX[usize::from(byte & 15)]));
}

/// Adds a path as it was sent. Repeated slashes become one, also where it is joined: `//evil.example` at the
/// beginning of a reference would be a host. What may not stand in a path is encoded.
pub(crate) fn push_path(path: &str, into: &mut String) {
    for byte in path.bytes() {
        match byte {
            b'/' if into.ends_with('/') => {}
            b'/' | b'%' => into.push(char::from(byte)),
            byte if is_segment_byte(byte) => into.push(char::from(byte)),
            byte => push_encoded(byte, into),
        }
    }
}

/// Adds a query as it was sent; what may not stand in one is encoded.
pub(crate) fn push_query(query: &str, into: &mut String) {
    for byte in query.bytes() {
        match byte {
            b'/' | b'?' | b'%' => into.push(char::from(byte)),
            byte if is_segment_byte(byte) => into.push(char::from(byte)),
            byte => push_encoded(byte, into),
        }
    }
}

/// Adds a text as one value of a query: it comes out of the other side's decoder as it went in.
pub(crate) fn push_value(text: &str, into: &mut String) {
    for byte in text.bytes() {
        if is_unreserved(byte) || byte == b'/' {
            into.push(char::from(byte));
        } else {
            push_encoded(byte, into);
        }
    }
}

/// Splits `host[:port]`. The port is digits only or absent; what else stands there belongs to the host and
/// makes it invalid.
pub(crate) fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            (host, Some(port).filter(|port| !port.is_empty()))
        }
        _ => (authority, None),
    }
}

/// Whether `host`, without a port, is a name or an address as browsers understand it: no user, no escapes.
pub(crate) fn is_host(host: &str) -> bool {
    if let Some(inside) = host.strip_prefix('[') {
        let address = inside.strip_suffix(']').map(str::parse::<std::net::Ipv6Addr>);
        return matches!(address, Some(Ok(_)));
    }
    let is_name_byte =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    (1..=HOST_LEN_MAX).contains(&host.len())
        && host.bytes().all(is_name_byte)
        && !host.starts_with('.')
        && !host.contains("..")
}

/// Whether `authority` is a host with or without a port.
pub(crate) fn is_authority(authority: &str) -> bool {
    let (host, port) = split_port(authority);
    is_host(host) && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

/// What follows the segments of `prefix` in `path`, both as sent: nothing, or a text that begins with `/`.
pub(crate) fn rest<'a>(path: &'a str, prefix: &str) -> &'a str {
    let rest = logic::route::path::strip(path, prefix);
    if rest == "/" && !path.ends_with('/') { "" } else { rest }
}

/// `prefix` in place of what a route matched, before `rest`; never empty.
pub(crate) fn replace_prefix(prefix: &str, rest: &str) -> String {
    let mut path = String::with_capacity(prefix.len() + rest.len() + 1);
    path.push_str(if rest.is_empty() { prefix } else { prefix.trim_end_matches('/') });
    push_path(rest, &mut path);
    if path.is_empty() {
        path.push('/');
    }
    path
}

/// The host of a request, checked; `None` when it is none.
pub(crate) fn host_of(authority: &str) -> Option<Cow<'_, str>> {
    let (host, _) = split_port(authority);
    is_host(host).then(|| {
        if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(host.to_ascii_lowercase())
        } else {
            Cow::Borrowed(host)
        }
    })
}
