//! The dashboard at `/`: files that were built into the program, or a plain page where the dashboard was not built.
//!
//! The policy header lets no script but our own run, and nothing be loaded from elsewhere, whatever a service prints.

use crate::answer::{Answer, bytes_of};
use http::{HeaderMap, HeaderValue, StatusCode, header};

include!(concat!(env!("OUT_DIR"), "/dashboard.rs"));

/// Shown where there is no dashboard.
const PLAIN: &[File] = &[
    File {
        path: "/index.html",
        tag: "plain",
        plain: include_bytes!("page/index.html"),
        packed: None,
    },
    File { path: "/page.js", tag: "plain", plain: include_bytes!("page/page.js"), packed: None },
    File { path: "/page.css", tag: "plain", plain: include_bytes!("page/page.css"), packed: None },
];

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// A browser asks each time whether it still has the right one: names do not change with the plain page's content, and
/// the first page must never be older than the program.
const ASK_AGAIN: &str = "no-cache";
/// Names under `/assets/` contain a hash of their content.
const FOR_EVER: &str = "private, max-age=31536000, immutable";

/// A file that is part of the program.
#[derive(Debug)]
pub(crate) struct File {
    path: &'static str,
    /// Tells versions apart; without quotes.
    tag: &'static str,
    plain: &'static [u8],
    /// The same with gzip.
    packed: Option<&'static [u8]>,
}

/// The file at `path`, when it is one of the dashboard's.
pub(crate) fn find(path: &str, headers: &HeaderMap) -> Option<Answer> {
    find_in(if FILES.is_empty() { PLAIN } else { FILES }, path, headers)
}

fn find_in(files: &[File], path: &str, headers: &HeaderMap) -> Option<Answer> {
    let path = if path == "/" { "/index.html" } else { path };
    let file = files.iter().find(|file| file.path == path)?;
    let packed = file.packed.filter(|_| takes_gzip(headers));
    // A strong tag names the bytes that are sent, so the packed form needs one of its own.
    let tag = match (file.tag, packed) {
        // The plain page is not built, so nothing has computed a tag for it.
        ("plain", _) => None,
        (tag, Some(_)) => Some(format!("\"{tag}-gz\"")),
        (tag, None) => Some(format!("\"{tag}\"")),
    };
    let is_known = tag.as_deref().is_some_and(|tag| is_known(headers, tag));
    let (status, bytes) = match (is_known, packed) {
        (true, _) => (StatusCode::NOT_MODIFIED, &b""[..]),
        (false, Some(packed)) => (StatusCode::OK, packed),
        (false, None) => (StatusCode::OK, file.plain),
    };
    let mut answer = bytes_of(status, kind(path), bytes);
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    let cache = if path.starts_with("/assets/") { FOR_EVER } else { ASK_AGAIN };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    if packed.is_some() {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    if let Some(tag) = tag.and_then(|tag| HeaderValue::try_from(tag).ok()) {
        headers.insert(header::ETAG, tag);
    }
    Some(answer)
}

fn kind(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, end)| end) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

/// Whether gzip is among what the client takes, without the weight that would forbid it (RFC 9110 §12.5.3).
fn takes_gzip(headers: &HeaderMap) -> bool {
    values(headers, header::ACCEPT_ENCODING).any(|one| {
        let (name, weight) = one.split_once(';').unwrap_or((one, ""));
        let weight = weight.trim().strip_prefix("q=").unwrap_or("1");
        name.trim().eq_ignore_ascii_case("gzip")
            && weight.parse::<f32>().is_ok_and(|weight| weight > 0.0)
    })
}

/// Whether the client has these bytes already (RFC 9110 §13.1.2).
fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    values(headers, header::IF_NONE_MATCH)
        .any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag)
}

fn values(headers: &HeaderMap, name: header::HeaderName) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim)
}

#[cfg(test)]
mod tests;
