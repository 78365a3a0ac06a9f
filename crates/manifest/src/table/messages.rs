//! The keys that say what becomes of requests and answers: CORS, rates, compression, changes of headers, rewriting,
//! redirects, faults.

use super::{BOOL, DURATION, SIZE, TEXT_OR_TEXTS, key};
use crate::shape::{Form, Key, Shape, Table};

static OFF_OR_CORS: Shape =
    Shape::Any(&[Shape::Scalar(Form::Word(&["off"])), Shape::Keys(&CORS_KEYS)]);

/// `cors`, of the gateway and of a route.
pub(crate) const CORS: Key = key(
    "cors",
    &OFF_OR_CORS,
    "off",
    "{ origins: [\"https://shop.example\"] }",
    "Which web pages of other sites may call it from a browser. The gateway answers preflights itself.",
);
static CORS_KEYS: Table = Table {
    name: "cors",
    doc: "Cross-origin resource sharing (WHATWG Fetch). `Vary` is kept right.",
    keys: &[
        key(
            "origins",
            &TEXT_OR_TEXTS,
            "",
            "[\"https://shop.example\", \"https://*.shop.example\"]",
            "The pages' origins; `*` for all of them.",
        ),
        key(
            "methods",
            &TEXT_OR_TEXTS,
            "GET, HEAD, POST, PUT, PATCH, DELETE",
            "[GET, PUT]",
            "Methods they may use; `*` for all.",
        ),
        key(
            "headers",
            &TEXT_OR_TEXTS,
            "all",
            "[Content-Type, Authorization]",
            "Headers they may send; `*` for all.",
        ),
        key(
            "expose",
            &TEXT_OR_TEXTS,
            "the few that they always may",
            "[X-Total-Count]",
            "Headers of answers they may read.",
        ),
        key(
            "credentials",
            &BOOL,
            "false",
            "true",
            "Whether browsers send cookies and passwords along. Not with `origins: \"*\"`.",
        ),
        key(
            "max_age",
            &DURATION,
            "10m",
            "1h",
            "How long a browser may remember a preflight, up to `1d`.",
        ),
        key(
            "private_network",
            &BOOL,
            "false",
            "true",
            "Whether public pages may call this address in a private network.",
        ),
    ],
    hints: &[
        ("origin", "write `origins:`"),
        ("allow_origins", "write `origins:`"),
        ("allowed_origins", "write `origins:`"),
        ("allow_methods", "write `methods:`"),
        ("allow_headers", "write `headers:`"),
        ("expose_headers", "write `expose:`"),
        ("allow_credentials", "write `credentials:`"),
    ],
    later: &[],
};

static RATES: Shape =
    Shape::Any(&[Shape::Scalar(Form::Rate), Shape::List(&Shape::Scalar(Form::Rate))]);

/// `rate`, of the gateway and of a route.
pub(crate) const RATE: Key = key(
    "rate",
    &RATES,
    "none",
    "10/min per ip",
    "How many requests may come, one limit or several: a number a time (`100/s`), `per ip`, `per key` (an API key, a user, a token's subject), `per claim NAME` or `per header NAME`, and `burst NUMBER` for how many at once. What is too much gets 429. `off` for none.",
);

static COMPRESSION: Shape = Shape::Any(&[Shape::Scalar(Form::Bool), Shape::Keys(&COMPRESS_KEYS)]);

/// `compress`, of the gateway and of a route.
pub(crate) const COMPRESS: Key = key(
    "compress",
    &COMPRESSION,
    "false",
    "true",
    "Whether answers are compressed for clients that can read that.",
);
static PACKERS: Shape = Shape::Any(&[
    Shape::Scalar(Form::Word(PACKER_WORDS)),
    Shape::List(&Shape::Scalar(Form::Word(PACKER_WORDS))),
]);
const PACKER_WORDS: &[&str] = &["zstd", "br", "gzip"];
static COMPRESS_KEYS: Table = Table {
    name: "compress",
    doc: "Which answers are compressed, and how.",
    keys: &[
        key(
            "algorithms",
            &PACKERS,
            "[zstd, br, gzip]",
            "[br, gzip]",
            "The ways, the best one first; the client decides which of them it reads.",
        ),
        key(
            "types",
            &TEXT_OR_TEXTS,
            "text, JSON, JavaScript, XML, SVG, WebAssembly",
            "[text/*, application/json]",
            "The media types that are compressed.",
        ),
        key("min", &SIZE, "1Ki", "4Ki", "Answers that are shorter stay as they are."),
    ],
    hints: &[
        ("min_size", "write `min:`"),
        ("min_length", "write `min:`"),
        ("encodings", "write `algorithms:`"),
        ("encoding", "write `algorithms:`"),
    ],
    later: &["level"],
};

/// `request_headers`, of the gateway and of a route.
pub(crate) const REQUEST_HEADERS: Key = key(
    "request_headers",
    &CHANGES,
    "",
    "{ set: { X-Tenant: shop } }",
    "Changes of the headers that the service gets. Those of gateway and route both count; for a header in both it is the route's.",
);
/// `response_headers`, of the gateway and of a route.
pub(crate) const RESPONSE_HEADERS: Key = key(
    "response_headers",
    &CHANGES,
    "",
    "{ set: { X-Frame-Options: DENY }, remove: [Server] }",
    "Changes of the headers that the client gets. Those of gateway and route both count; for a header in both it is the route's.",
);
static VALUES: Shape = Shape::Names { what: "header", value: &Shape::Scalar(Form::Text) };
static CHANGES: Shape = Shape::Keys(&Table {
    name: "header_changes",
    doc: "Changes of headers. In values `{client}`, `{method}`, `{scheme}`, `{host}`, `{path}`, `{query}`, `{subject}` and `{request_id}` stand for those of the request; `{{` is a brace.",
    keys: &[
        key(
            "set",
            &VALUES,
            "",
            "{ X-Client: \"{client}\" }",
            "Headers that replace those of their name.",
        ),
        key(
            "add",
            &VALUES,
            "",
            "{ Link: \"</style.css>; rel=preload\" }",
            "Headers beside those of their name.",
        ),
        key("remove", &TEXT_OR_TEXTS, "", "[Server]", "Headers that are removed."),
    ],
    hints: &[
        ("append", "write `add:`"),
        ("replace", "write `set:`"),
        ("delete", "write `remove:`"),
        ("unset", "write `remove:`"),
    ],
    later: &[],
});

static PERCENT: Shape = Shape::Scalar(Form::Percent { fraction: true });
/// `fault` of a route.
pub(crate) const FAULT: Key = key(
    "fault",
    &FAULTS,
    "none",
    "{ delay: 200ms, abort: 503, percent: 10% }",
    "Breaks requests on purpose, for tests.",
);
static FAULTS: Shape = Shape::Keys(&Table {
    name: "fault",
    doc: "What happens to requests on purpose. At least one of `delay` and `abort`.",
    keys: &[
        key("delay", &DURATION, "none", "200ms", "Wait before the request goes on, up to 60s."),
        key(
            "abort",
            &Shape::Scalar(Form::Whole { min: 200, max: 599 }),
            "none",
            "503",
            "The status it is answered with instead.",
        ),
        key("percent", &PERCENT, "100%", "10%", "The share of requests that are hit."),
        key(
            "header",
            &Shape::Scalar(Form::Header),
            "none",
            "X-Fault",
            "Hits only requests with this header.",
        ),
    ],
    hints: &[("status", "write `abort:`"), ("percentage", "write `percent:`")],
    later: &[],
});
