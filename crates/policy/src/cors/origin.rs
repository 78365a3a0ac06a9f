//! Origins as a browser writes them (RFC 6454 §6.2, Fetch §3.2), and the patterns that allow them.

/// The longest origin, in bytes: a scheme, a host name of 253 and a port.
pub const ORIGIN_LEN_MAX: usize = 300;

/// Why a text allows no origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOrigin {
    /// Nothing before `://`.
    #[error("an origin begins with a scheme: https://{0}")]
    NoScheme(String),
    /// The scheme is none.
    #[error("`{0}` is no scheme")]
    Scheme(String),
    /// Something behind the host.
    #[error("an origin ends with the host or port: no path, no slash, no user")]
    Path,
    /// The host is none.
    #[error("`{0}` is no host name or address")]
    Host(String),
    /// A `*` in another place than those it has.
    #[error("`*` stands for whole labels at the beginning (https://*.example.com) or for a port")]
    Wildcard,
    /// No port.
    #[error("`{0}` is no port")]
    Port(String),
    /// Longer than [`ORIGIN_LEN_MAX`].
    #[error("an origin has at most 300 bytes")]
    TooLong,
}

/// What allows an origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// Every one: `*`.
    Any,
    /// `null`: what pages in a sandbox and from files say; any page can make itself one.
    Null,
    /// Origins of one scheme.
    Host {
        /// In lowercase.
        scheme: String,
        /// In lowercase; without the `*.` of a pattern for all names below.
        host: String,
        /// Whether names below `host` are meant, and not itself.
        is_below: bool,
        /// Which port.
        port: Port,
    },
}

/// The port of a [`Pattern`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// The usual one of the scheme: browsers leave it out.
    Usual,
    /// This one.
    Is(u16),
    /// Whichever, also the usual one.
    Any,
}

/// Reads a pattern: `*`, `null`, `https://shop.example`, `https://*.shop.example:8443`, `http://localhost:*`.
///
/// # Errors
/// For everything that no browser writes as an origin: paths, users, a slash at the end.
pub fn parse_pattern(text: &str) -> Result<Pattern, InvalidOrigin> {
    match text {
        "*" => return Ok(Pattern::Any),
        "null" => return Ok(Pattern::Null),
        _ => {}
    }
    if text.len() > ORIGIN_LEN_MAX {
        return Err(InvalidOrigin::TooLong);
    }
    let text = text.to_ascii_lowercase();
    let no_scheme = || InvalidOrigin::NoScheme(text.clone());
    let (scheme, authority) = text.split_once("://").ok_or_else(no_scheme)?;
    if !is_scheme(scheme) {
        return Err(InvalidOrigin::Scheme(scheme.to_owned()));
    }
    if authority.contains(['/', '?', '#', '@', '\\']) {
        return Err(InvalidOrigin::Path);
    }
    let (host, port) = split(authority);
    let (host, is_below) = match host.strip_prefix("*.") {
        Some(host) => (host, true),
        None => (host, false),
    };
    if host.contains('*') {
        return Err(InvalidOrigin::Wildcard);
    }
    if !is_host(host) || is_below && host.starts_with('[') {
        return Err(InvalidOrigin::Host(host.to_owned()));
    }
    let port = match port {
        None => Port::Usual,
        Some("*") => Port::Any,
        Some(text) => match parse_port(text) {
            Some(port) if usual(scheme) == Some(port) => Port::Usual,
            Some(port) => Port::Is(port),
            None => return Err(InvalidOrigin::Port(text.to_owned())),
        },
    };
    Ok(Pattern::Host { scheme: scheme.to_owned(), host: host.to_owned(), is_below, port })
}

impl Pattern {
    /// Whether it allows `origin`, the value of a request's `Origin`. What is no origin in a browser's spelling
    /// (lowercase, without the usual port) is allowed by `*` only.
    #[must_use]
    pub fn allows(&self, origin: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::Null => origin == b"null",
            Self::Host { scheme, host, is_below, port } => {
                if origin.len() > ORIGIN_LEN_MAX {
                    return false;
                }
                let Ok(origin) = std::str::from_utf8(origin) else { return false };
                let rest = origin.strip_prefix(scheme.as_str());
                let Some(authority) = rest.and_then(|rest| rest.strip_prefix("://")) else {
                    return false;
                };
                let (sent_host, sent_port) = split(authority);
                is_host_allowed(sent_host, host, *is_below)
                    && is_port_allowed(sent_port, *port, scheme)
            }
        }
    }
}

fn is_host_allowed(sent: &str, host: &str, is_below: bool) -> bool {
    if !is_below {
        return sent == host;
    }
    // `shop.example.com` below `example.com`: with the dot, so that `evilexample.com` is not below it.
    let labels = sent.strip_suffix(host).and_then(|labels| labels.strip_suffix('.'));
    labels.is_some_and(|labels| labels.split('.').all(is_label))
}

fn is_port_allowed(sent: Option<&str>, port: Port, scheme: &str) -> bool {
    let is_spelled = sent
        .is_none_or(|text| parse_port(text).is_some_and(|number| usual(scheme) != Some(number)));
    is_spelled
        && match port {
            Port::Any => true,
            Port::Usual => sent.is_none(),
            Port::Is(number) => sent.and_then(parse_port) == Some(number),
        }
}

/// Splits the port off. A colon in brackets belongs to an address.
fn split(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

/// A port in its one spelling: digits without a leading zero.
fn parse_port(text: &str) -> Option<u16> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|_| is_plain)
}

fn usual(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.')
        })
}

fn is_host(text: &str) -> bool {
    if let Some(inside) = text.strip_prefix('[') {
        let address = inside.strip_suffix(']').map(str::parse::<std::net::Ipv6Addr>);
        return matches!(address, Some(Ok(_)));
    }
    text.split('.').all(is_label)
}

/// Whether `text` is a label of a host name, in lowercase as browsers write it.
fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_')
        })
}

#[cfg(test)]
mod tests;
