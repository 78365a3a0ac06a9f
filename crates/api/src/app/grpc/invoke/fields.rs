//! Metadata and header fields, as each side may see those of the other.

use http::{HeaderMap, HeaderName};
use std::fmt::Write as _;

/// The trace of older clients: the one name of gRPC's own that goes on.
const TRACE: HeaderName = HeaderName::from_static("grpc-trace-bin");

/// What belongs to one exchange and not to what it carries.
const OF_THE_EXCHANGE: &[&str] = &[
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What says who calls whom: the listener says it anew.
const IDENTITY: &[&str] = &[
    "dapr-api-token",
    "dapr-app-id",
    "dapr-callee-app-id",
    "dapr-caller-app-id",
    "dapr-caller-namespace",
];

/// Fields of HTTP's own, which reach a gRPC client with `dapr-` before their names.
const OF_HTTP: &[&str] = &[
    "accept",
    "accept-charset",
    "accept-language",
    "accept-ranges",
    "cache-control",
    "content-type",
    "cookie",
    "date",
    "from",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-schedule-tag-match",
    "if-unmodified-since",
    "max-forwards",
    "origin",
    "pragma",
    "referer",
    "via",
    "warning",
];

/// Metadata of a call as the fields of the request that it stands for. Binary metadata has no place there.
pub(super) fn to_http(metadata: &HeaderMap) -> HeaderMap {
    let kept = metadata.iter().filter(|(name, _)| {
        let name = name.as_str();
        is_free(name) && !IDENTITY.contains(&name) && name != "content-type" && !is_binary(name)
    });
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Metadata of a call, or the fields of a request, as metadata of the application's call.
pub(super) fn to_grpc(fields: &HeaderMap) -> HeaderMap {
    let of_trace = fields.get(TRACE).map(|value| (TRACE, value.clone()));
    let mut metadata = renamed(fields, |name| !IDENTITY.contains(&name) && name != "content-type");
    metadata.extend(of_trace);
    metadata
}

/// Fields of an answer as metadata. What only looks like binary metadata is none.
pub(super) fn from_http(fields: &HeaderMap) -> HeaderMap {
    renamed(fields, |name| !is_binary(name))
}

/// Metadata of an application's answer, without what its own exchange was about.
pub(super) fn from_grpc(fields: &HeaderMap) -> HeaderMap {
    let kept = fields.iter().filter(|(name, _)| {
        let name = name.as_str();
        is_free(name) && name != "content-type"
    });
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The fields that `keep` keeps, those of HTTP's own under their names in metadata.
fn renamed(fields: &HeaderMap, keep: impl Fn(&str) -> bool) -> HeaderMap {
    let mut metadata = HeaderMap::new();
    for (name, value) in fields {
        let text = name.as_str();
        if !is_free(text) || !keep(text) {
            continue;
        }
        let renamed =
            OF_HTTP.contains(&text).then(|| HeaderName::try_from(format!("dapr-{text}")).ok());
        metadata.append(renamed.flatten().unwrap_or_else(|| name.clone()), value.clone());
    }
    metadata
}

/// Whether a field belongs to what is carried, and not to an exchange or to gRPC itself.
fn is_free(name: &str) -> bool {
    !OF_THE_EXCHANGE.contains(&name) && !name.starts_with("grpc-")
}

fn is_binary(name: &str) -> bool {
    name.ends_with("-bin")
}

/// `text` as it can stand in a path or a query: what is escaped already stays so.
pub(super) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        let may_stand = byte.is_ascii_graphic() && !br##""#<>\^`{|}"##.contains(&byte);
        if may_stand {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}
