//! The keys of `gateway` and `admin`.

use super::{ADDRESS, BOOL, DURATION, TEXT, TEXT_OR_TEXTS, key};
use crate::shape::{Form, Key, Shape, Table};

static WEIGHT: Shape = Shape::Scalar(Form::Whole { min: 0, max: 1_000_000 });
static TARGETS: Shape =
    Shape::Any(&[Shape::Scalar(Form::Service), Shape::Names { what: "service", value: &WEIGHT }]);
static HEADERS: Shape = Shape::Names { what: "header", value: &Shape::Scalar(Form::Value) };
static RETRIES: Shape = Shape::Scalar(Form::Whole { min: 0, max: 10 });

const TO: Key = key(
    "to",
    &TARGETS,
    "",
    "{ users: 90, users-next: 10 }",
    "The service, or several with weights.",
);
const HOST: Key =
    key("host", &TEXT, "any", "api.example.com", "The host name; `*.example.com` for all below.");
const METHODS: Key = key("methods", &TEXT_OR_TEXTS, "any", "[GET, HEAD]", "The methods.");
const HEADER: Key = key(
    "headers",
    &HEADERS,
    "",
    "{ X-Beta: \"1\" }",
    "Headers that must have these values; without a value the header must be there.",
);
const STRIP: Key = key(
    "strip",
    &BOOL,
    "false",
    "true",
    "Removes the matched prefix before the request is forwarded.",
);
const TIMEOUT: Key = key(
    "timeout",
    &DURATION,
    "60s",
    "5s",
    "How long it may take until the head of the response is there.",
);
const TRIES: Key = key(
    "retries",
    &RETRIES,
    "2",
    "0",
    "How often a request that may safely be repeated is tried again.",
);
const HINTS: &[(&str, &str)] = &[
    ("service", "write `to:`"),
    ("backend", "write `to:`"),
    ("upstream", "write `to:`"),
    ("target", "write `to:`"),
    ("hosts", "write `host:`, one route a host"),
    ("method", "write `methods:`"),
    ("prefix", "the path is the route's key; in a list write `path:`"),
    ("strip_prefix", "write `strip: true`"),
    ("stripPrefix", "write `strip: true`"),
    ("weight", "write `to: { users: 90, users-next: 10 }`"),
    ("weights", "write `to: { users: 90, users-next: 10 }`"),
];
const LATER: &[&str] = &[
    "auth",
    "allow",
    "scopes",
    "rate",
    "cors",
    "cache",
    "compress",
    "rewrite",
    "redirect",
    "body_max",
    "require",
    "idempotency",
    "mirror",
];

static ROUTE_KEYS: Table = Table {
    name: "route",
    doc: "What a route does. In a map of routes its key says what it matches: `/prefix`, `= /exact`, `GET /prefix`, `api.example.com/prefix`.",
    keys: &[TO, HOST, METHODS, HEADER, STRIP, TIMEOUT, TRIES],
    hints: HINTS,
    later: LATER,
};
static ROUTE: Shape = Shape::Any(&[Shape::Scalar(Form::Service), Shape::Keys(&ROUTE_KEYS)]);
static LISTED_KEYS: Table = Table {
    name: "listed_route",
    doc: "A route in a list: for several routes on one path with different methods or headers.",
    keys: &[
        key(
            "path",
            &TEXT,
            "",
            "= /health",
            "What it matches, written like the key of a route in a map.",
        ),
        TO,
        HOST,
        METHODS,
        HEADER,
        STRIP,
        TIMEOUT,
        TRIES,
    ],
    hints: HINTS,
    later: LATER,
};
static LISTED: Shape = Shape::Keys(&LISTED_KEYS);
static ROUTES: Shape =
    Shape::Any(&[Shape::List(&LISTED), Shape::Names { what: "route", value: &ROUTE }]);

/// `gateway:`.
pub(crate) static GATEWAY: Shape = Shape::Keys(&Table {
    name: "gateway",
    doc: "Listens and routes requests. Of the routes that match, the most specific wins: host, then exact path, then longest prefix, then methods, then number of headers, then order in the file.",
    keys: &[
        key(
            "listen",
            &ADDRESS,
            "127.0.0.1:8080",
            "0.0.0.0:80",
            "Where it listens. A port alone means this machine only.",
        ),
        key(
            "routes",
            &ROUTES,
            "",
            "{ /api/users: users, /: web }",
            "Which request goes where: a map by path, or a list.",
        ),
    ],
    hints: &[
        ("port", "write `listen: 127.0.0.1:8080`"),
        ("address", "write `listen:`"),
        ("bind", "write `listen:`"),
        ("http", "write `routes:`"),
    ],
    later: &[
        "auth",
        "cors",
        "tls",
        "rate",
        "domain",
        "compress",
        "compression",
        "access_log",
        "limits",
        "headers",
        "timeout",
        "retries",
        "trusted_proxies",
    ],
});

/// `admin:`.
pub(crate) static ADMIN: Shape = Shape::Keys(&Table {
    name: "admin",
    doc: "The admin API and the dashboard. It needs a token, and listens on this machine only unless told otherwise.",
    keys: &[key("listen", &ADDRESS, "127.0.0.1:8081", "127.0.0.1:9081", "Where it listens.")],
    hints: &[("port", "write `listen: 127.0.0.1:8081`")],
    later: &["auth", "tls", "users", "token"],
});
