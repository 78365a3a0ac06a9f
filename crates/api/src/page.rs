//! The page at `/`: the services as they are, until there is a dashboard.
//!
//! Everything that a service can choose (names, messages) is put in as text by the script, never as markup, and the
//! policy header lets no other script run.

use crate::answer::{Answer, bytes_of};
use http::{HeaderValue, StatusCode, header};

const HTML: &str = include_str!("page/index.html");
const SCRIPT: &str = include_str!("page/page.js");
const STYLE: &str = include_str!("page/page.css");

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The file at `path`, when it is one of the page's.
pub(crate) fn find(path: &str) -> Option<Answer> {
    let (kind, text) = match path {
        "/" => ("text/html; charset=utf-8", HTML),
        "/page.js" => ("text/javascript; charset=utf-8", SCRIPT),
        "/page.css" => ("text/css; charset=utf-8", STYLE),
        _ => return None,
    };
    let mut answer = bytes_of(StatusCode::OK, kind, text);
    answer.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    Some(answer)
}
