//! The keys `rewrite` and `redirect` of a route.

use super::{PORT, TEXT, key};
use crate::shape::{Form, Key, Shape, Table};

static STATUS: Shape = Shape::Scalar(Form::Whole { min: 301, max: 308 });

/// `redirect` of a route.
pub(crate) const REDIRECT: Key = key(
    "redirect",
    &REDIRECTS,
    "",
    "\"https://www.example.com{path}\"",
    "Sends the client elsewhere instead of forwarding: `https` for the same address over TLS, a URL or path in which `{host}`, `{path}`, `{rest}` (what follows the route's prefix) and `{query}` are filled in, or a map.",
);
static REDIRECTS: Shape = Shape::Any(&[Shape::Scalar(Form::Text), Shape::Keys(&REDIRECT_KEYS)]);
static REDIRECT_KEYS: Table = Table {
    name: "redirect",
    doc: "Where a client is sent: `to`, or single parts of the address that are replaced. The query is kept unless the new address has one.",
    keys: &[
        key("to", &TEXT, "", "\"/new{rest}\"", "A URL or path with variables."),
        key(
            "status",
            &STATUS,
            "308",
            "302",
            "With 307 and 308 the method and the body are kept; with 301, 302 and 303 most clients turn to GET.",
        ),
        key(
            "scheme",
            &Shape::Scalar(Form::Word(&["http", "https"])),
            "the same",
            "https",
            "Another scheme.",
        ),
        key("host", &TEXT, "the same", "www.example.com", "Another host."),
        key("port", &PORT, "the request's, or that of a new `scheme`", "8443", "Another port."),
        key("path", &TEXT, "the same", "/new", "Another path; may have the variables."),
        key(
            "prefix",
            &Shape::Scalar(Form::UrlPath),
            "the same",
            "/v2",
            "What stands in place of the route's prefix.",
        ),
    ],
    hints: &[
        ("url", "write `to:`"),
        ("code", "write `status:`"),
        ("hostname", "write `host:`"),
        ("permanent", "write `status: 308`"),
    ],
    later: &[],
};

/// `rewrite` of a route.
pub(crate) const REWRITE: Key = key(
    "rewrite",
    &REWRITES,
    "",
    "\"/v2{rest}\"",
    "Another path for the service, in which `{path}`, `{rest}` (what follows the route's prefix), `{host}` and, after `?`, `{query}` are filled in; or a map. Not with `strip`.",
);
static REWRITES: Shape = Shape::Any(&[Shape::Scalar(Form::Text), Shape::Keys(&REWRITE_KEYS)]);
static REWRITE_KEYS: Table = Table {
    name: "rewrite",
    doc: "What the service gets instead of what the client sent.",
    keys: &[
        key("path", &TEXT, "the same", "\"/v2{rest}\"", "Another path; may have the variables."),
        key(
            "prefix",
            &Shape::Scalar(Form::UrlPath),
            "the same",
            "/v2",
            "What stands in place of the route's prefix.",
        ),
        key("host", &TEXT, "the same", "users.internal", "Another `Host`."),
    ],
    hints: &[
        ("to", "write `path:`"),
        ("hostname", "write `host:`"),
        ("strip", "write `strip: true` beside `rewrite`"),
        ("replace", "write `path:`"),
        ("regex", "patterns are not known here: write `path:` with `{rest}`"),
    ],
    later: &[],
};
