//! The keys of `gateway` and `admin`.

use super::{
    ADDRESS, DURATION, SIZE, TEXT,
    auth::AUTH,
    key,
    messages::{COMPRESS, CORS, RATE, REQUEST_HEADERS, RESPONSE_HEADERS},
    route::ROUTES,
    traffic::{RETRIES, TIMEOUT},
};
use crate::shape::{Form, Shape, Table};

static TLS: Shape = Shape::Any(&[
    Shape::Scalar(Form::Word(&["dev"])),
    Shape::Keys(&PAIR_KEYS),
    Shape::List(&Shape::Keys(&PAIR_KEYS)),
]);
static PAIR_KEYS: Table = Table {
    name: "tls",
    doc: "A certificate with its key, as PEM files. Changed files are read again by themselves.",
    keys: &[
        key(
            "cert",
            &TEXT,
            "",
            "certs/site.pem",
            "The certificate and those that lead to its authority, the site's own first.",
        ),
        key("key", &TEXT, "", "certs/site.key", "The private key of the certificate."),
    ],
    hints: &[
        ("certificate", "write `cert:`"),
        ("crt", "write `cert:`"),
        ("chain", "the file of `cert` holds the chain too"),
        ("private_key", "write `key:`"),
        ("file", "write `cert:` and `key:`"),
    ],
    later: &["auto", "acme", "client_ca", "min_version"],
};

static ACCESS_LOG: Shape = Shape::Scalar(Form::SwitchOrPath);
static NETWORKS: Shape =
    Shape::Any(&[Shape::Scalar(Form::Network), Shape::List(&Shape::Scalar(Form::Network))]);

static LIMITS: Shape = Shape::Keys(&Table {
    name: "gateway_limits",
    doc: "What a client may ask of the gateway at most. What is larger or slower is refused: 413 for a body, 431 for a head, 408 for one that does not come.",
    keys: &[
        key("head", &SIZE, "64Ki", "16Ki", "Size of a request's head: first line and headers."),
        key(
            "headers",
            &Shape::Scalar(Form::Whole { min: 1, max: 1_000 }),
            "128",
            "64",
            "Number of headers of a request.",
        ),
        key("body", &SIZE, "none", "10Mi", "Size of a request's body; `body_max` of a route wins."),
        key(
            "connections",
            &Shape::Scalar(Form::Whole { min: 1, max: 1_000_000 }),
            "16384 per core",
            "10000",
            "Connections of clients at the same time; further ones wait to be accepted.",
        ),
        key(
            "streams",
            &Shape::Scalar(Form::Whole { min: 1, max: 10_000 }),
            "256",
            "100",
            "Requests at the same time on one HTTP/2 connection.",
        ),
        key(
            "head_timeout",
            &DURATION,
            "10s",
            "5s",
            "How long the head of a request may take from its first byte on, and the first one from the connection on.",
        ),
        key(
            "idle_timeout",
            &DURATION,
            "75s",
            "30s",
            "How long a connection is kept without a request.",
        ),
    ],
    hints: &[
        ("body_max", "write `body:`"),
        ("header", "write `head:` for the size, `headers:` for the number"),
        ("header_size", "write `head:`"),
        ("keepalive", "write `idle_timeout:`"),
        ("rate", "write `rate:` beside `limits:`"),
        ("timeout", "write `timeout:` beside `limits:`"),
        ("cpu", "a gateway is no process of its own; services have limits of that kind"),
        ("memory", "a gateway is no process of its own; services have limits of that kind"),
    ],
    later: &[],
});

/// `gateway:`.
pub(crate) static GATEWAY: Shape = Shape::Keys(&Table {
    name: "gateway",
    doc: "Listens and routes requests. Of the routes that match, the most specific wins: host, then exact path, then longest prefix, then methods, then number of header and query conditions, then order in the file. `auth`, `cors`, `rate`, `compress`, `timeout`, `retries` and the header changes are for all routes; a route that has such a key has its own instead.",
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
        key(
            "tls",
            &TLS,
            "none",
            "{ cert: certs/site.pem, key: certs/site.key }",
            "HTTPS instead of HTTP: a certificate and its key, a list of them for several hosts, or `dev` for a certificate of an authority that is made on this machine.",
        ),
        key(
            "http_redirect",
            &ADDRESS,
            "none",
            "0.0.0.0:80",
            "Listens there too, without TLS, and sends every request to its `https` address.",
        ),
        AUTH,
        CORS,
        RATE,
        COMPRESS,
        REQUEST_HEADERS,
        RESPONSE_HEADERS,
        TIMEOUT,
        RETRIES,
        key("limits", &LIMITS, "", "{ body: 10Mi }", "What a client may ask at most."),
        key(
            "trusted_proxies",
            &NETWORKS,
            "none",
            "[10.0.0.0/8]",
            "Networks of load balancers in front. Of requests from there `X-Forwarded-For` and `Forwarded` are believed.",
        ),
        key(
            "access_log",
            &ACCESS_LOG,
            "false",
            "logs/access.log",
            "A line of JSON for each request: `true` for `.flotilla/access.log`, or a file.",
        ),
    ],
    hints: &[
        ("port", "write `listen: 127.0.0.1:8080`"),
        ("address", "write `listen:`"),
        ("bind", "write `listen:`"),
        ("http", "write `routes:`"),
        ("https", "write `tls: { cert: …, key: … }`"),
        ("certificates", "write `tls: { cert: …, key: … }`"),
        ("jwt", "write `auth: { jwt: … }`"),
        ("api_keys", "write `auth: { api_keys: … }`"),
        ("basic", "write `auth: { basic: … }`"),
        ("basic_auth", "write `auth: { basic: … }`"),
        ("compression", "write `compress: true`"),
        ("gzip", "write `compress: true`"),
        ("rate_limit", "write `rate: 100/s per ip`"),
        ("headers", "write `request_headers:` or `response_headers:`"),
        ("accesslog", "write `access_log:`"),
        ("log", "write `access_log:`"),
        ("trusted", "write `trusted_proxies:`"),
        ("body_max", "write `limits: { body: … }`"),
        ("timeouts", "write `timeout: { response: …, connect: … }`"),
        ("scopes", "write `scopes` in `auth: { jwt: … }`, or in a route"),
        ("allow", "conditions stand in routes"),
    ],
    later: &["domain", "cache", "plugins"],
});

/// `admin:`.
pub(crate) static ADMIN: Shape = Shape::Keys(&Table {
    name: "admin",
    doc: "The admin API and the dashboard. It needs a token, and listens on this machine only unless told otherwise.",
    keys: &[key("listen", &ADDRESS, "127.0.0.1:8081", "127.0.0.1:9081", "Where it listens.")],
    hints: &[("port", "write `listen: 127.0.0.1:8081`")],
    later: &["auth", "tls", "users", "token"],
});
