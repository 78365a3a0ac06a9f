//! The keys of a route.

use super::{
    BOOL, SIZE, TEXT, TEXT_OR_TEXTS,
    auth::AUTH,
    key,
    messages::{COMPRESS, CORS, FAULT, RATE, REQUEST_HEADERS, RESPONSE_HEADERS},
    target::{REDIRECT, REWRITE},
    traffic::{RETRIES, STICKY, TIMEOUT},
};
use crate::shape::{Form, Key, Shape, Table};

static WEIGHT: Shape = Shape::Scalar(Form::Whole { min: 0, max: 1_000_000 });
static TARGETS: Shape =
    Shape::Any(&[Shape::Scalar(Form::Service), Shape::Names { what: "service", value: &WEIGHT }]);
static HEADERS: Shape = Shape::Names { what: "header", value: &Shape::Scalar(Form::Value) };
static QUERY: Shape = Shape::Names { what: "parameter", value: &Shape::Scalar(Form::Value) };

const TO: Key = key(
    "to",
    &TARGETS,
    "",
    "{ users: 90, users-next: 10 }",
    "The service, or several with weights. Not with `redirect`.",
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
const PARAMETERS: Key = key(
    "query",
    &QUERY,
    "",
    "{ version: \"2\" }",
    "Parameters of the query that must have these values; without a value the parameter must be there.",
);
const ALLOW: Key = key(
    "allow",
    &Shape::Scalar(Form::Condition),
    "everybody",
    "\"claims.scope.contains('orders')\"",
    "A condition (CEL) that must hold, else 403. It sees `request.method`, `.path`, `.host`, `.scheme`, `.query`, `.parameters['x']`, `.headers['x']`, `.client`, and `claims.x` and `subject`. What has no answer, as when a claim is missing, does not hold.",
);
const SCOPES: Key = key(
    "scopes",
    &TEXT_OR_TEXTS,
    "none",
    "[orders]",
    "Scopes that the token must have besides those of `jwt`, else 403.",
);
const STRIP: Key = key(
    "strip",
    &BOOL,
    "false",
    "true",
    "Removes the matched prefix before the request is forwarded.",
);
const BODY_MAX: Key = key(
    "body_max",
    &SIZE,
    "the gateway's `limits.body`",
    "1Mi",
    "Size of a request's body; what is larger gets 413.",
);
const STICKS: Key = key(
    "sticky",
    &STICKY,
    "the service's",
    "true",
    "Whether the requests of a client go to the instance that answered its first: `true`, the name of a cookie, or a map. `false` against the service's.",
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
    ("set_headers", "write `request_headers:` or `response_headers:`"),
    ("add_headers", "write `request_headers:` or `response_headers:`"),
    ("params", "write `query:`"),
    ("rate_limit", "write `rate: 10/min per ip`"),
    ("jwt", "write `auth: { jwt: … }`"),
    ("api_keys", "write `auth: { api_keys: … }`"),
    ("basic", "write `auth: { basic: … }`"),
    ("scope", "write `scopes:`"),
    ("if", "write `allow:`"),
    ("when", "write `allow:`"),
    ("condition", "write `allow:`"),
    ("body_limit", "write `body_max:`"),
    ("max_body_size", "write `body_max:`"),
    ("timeouts", "write `timeout: { response: …, connect: … }`"),
    ("retry", "write `retries:`"),
    ("session", "write `sticky:`"),
    ("session_affinity", "write `sticky:`"),
    ("affinity", "write `sticky:`"),
    ("faults", "write `fault:`"),
    ("compression", "write `compress:`"),
];
const LATER: &[&str] = &["cache", "require", "idempotency", "mirror"];

/// What a route may have, wherever it stands.
const KEYS: [Key; 21] = [
    TO,
    HOST,
    METHODS,
    HEADER,
    PARAMETERS,
    STRIP,
    REWRITE,
    REDIRECT,
    AUTH,
    ALLOW,
    SCOPES,
    RATE,
    CORS,
    COMPRESS,
    REQUEST_HEADERS,
    RESPONSE_HEADERS,
    BODY_MAX,
    TIMEOUT,
    RETRIES,
    STICKS,
    FAULT,
];

/// The path is the key of a route in a map, and a key of its own in a list.
const PATH: Key = key(
    "path",
    &TEXT,
    "",
    "= /health",
    "What it matches, written like the key of a route in a map.",
);

const LISTED_WITH_PATH: [Key; KEYS.len() + 1] = {
    let mut keys = [PATH; KEYS.len() + 1];
    let mut at = 0;
    while at < KEYS.len() {
        keys[at + 1] = KEYS[at];
        at += 1;
    }
    keys
};

static ROUTE_KEYS: Table = Table {
    name: "route",
    doc: "What a route does. In a map of routes its key says what it matches: `/prefix`, `= /exact`, `GET /prefix`, `api.example.com/prefix`.",
    keys: &KEYS,
    hints: HINTS,
    later: LATER,
};
static ROUTE: Shape = Shape::Any(&[Shape::Scalar(Form::Service), Shape::Keys(&ROUTE_KEYS)]);
static LISTED_KEYS: Table = Table {
    name: "listed_route",
    doc: "A route in a list: for several routes on one path with different methods, headers or parameters.",
    keys: &LISTED_WITH_PATH,
    hints: HINTS,
    later: LATER,
};
static LISTED: Shape = Shape::Keys(&LISTED_KEYS);

/// `routes` of the gateway.
pub(crate) static ROUTES: Shape =
    Shape::Any(&[Shape::List(&LISTED), Shape::Names { what: "route", value: &ROUTE }]);
