//! The keys of the traffic to a service: times, retries, bounds, what happens to instances that fail.

use super::{BOOL, DURATION, key};
use crate::shape::{Form, Key, Shape, Table};

/// Most tries again of one request.
const TRIES_MAX: u64 = 10;

/// `timeout`, of the gateway, of a route and of a service.
pub(crate) const TIMEOUT: Key = key(
    "timeout",
    &TIMES,
    "60s",
    "5s",
    "How long it may take until the head of the response is there, all tries together; or a map of several times. A route's value wins over its service's, that over the gateway's.",
);
static TIMES: Shape = Shape::Any(&[Shape::Scalar(Form::Duration), Shape::Keys(&TIMES_KEYS)]);
static TIMES_KEYS: Table = Table {
    name: "timeout",
    doc: "What may take how long. Who is too late gets 504. Of `connect`, `response` and `idle` at least 1ms; `0` switches `idle` and `overall` off.",
    keys: &[
        key("connect", &DURATION, "1s", "500ms", "Until a connection to an instance is open."),
        key(
            "response",
            &DURATION,
            "60s",
            "5s",
            "Until the head of the response is there, all tries together.",
        ),
        key(
            "idle",
            &DURATION,
            "5m",
            "1h",
            "Without a byte of a body in either direction. WebSockets have no such limit.",
        ),
        key("overall", &DURATION, "none", "10m", "Until the last byte of the response."),
    ],
    hints: &[
        ("per_try", "write `retries: { per_try: … }`"),
        ("request", "write `response:`"),
        ("read", "write `response:` until the head, `idle:` after it"),
        ("send", "write `idle:`"),
        ("total", "write `overall:`"),
    ],
    later: &[],
};

static TRIES: Shape = Shape::Scalar(Form::Whole { min: 0, max: TRIES_MAX });
/// `retries`, of the gateway, of a route and of a service.
pub(crate) const RETRIES: Key = key(
    "retries",
    &REPEATS,
    "2",
    "0",
    "How often a request that may safely be repeated is tried again, on another instance if there is one: a number, or a map. A route's value wins over its service's, that over the gateway's.",
);
static REPEATS: Shape = Shape::Any(&[
    Shape::Scalar(Form::Whole { min: 0, max: TRIES_MAX }),
    Shape::Keys(&REPEATS_KEYS),
]);
static STATUS: Shape = Shape::Scalar(Form::Whole { min: 400, max: 599 });
static REPEATS_KEYS: Table = Table {
    name: "retries",
    doc: "When a request is tried again. It always is when it surely was not processed, and when it is idempotent (GET, HEAD, PUT, DELETE, OPTIONS) and its connection broke. All retries to a service are at most a fifth of its requests.",
    keys: &[
        key("max", &TRIES, "2", "1", "How often."),
        key(
            "on",
            &Shape::List(&STATUS),
            "none",
            "[502, 503]",
            "Statuses after which an idempotent request is tried again too.",
        ),
        key(
            "per_try",
            &DURATION,
            "the whole `timeout`",
            "1s",
            "How long one try may take until the head of the response is there; then an idempotent request is tried again.",
        ),
    ],
    hints: &[
        ("attempts", "write `max:`"),
        ("count", "write `max:`"),
        ("codes", "write `on:`"),
        ("status", "write `on:`"),
        ("timeout", "write `per_try:`"),
        ("retry_on", "write `on:`"),
    ],
    later: &["backoff", "budget"],
};

/// `sticky`, of a route and of a service's `traffic`.
pub(crate) static STICKY: Shape =
    Shape::Any(&[Shape::Scalar(Form::SwitchOrCookie), Shape::Keys(&STICKY_KEYS)]);
static STICKY_KEYS: Table = Table {
    name: "sticky",
    doc: "Sessions that stay at one instance by a cookie that the gateway sets. When the instance is gone another one takes over.",
    keys: &[
        key(
            "cookie",
            &Shape::Scalar(Form::Cookie),
            "flotilla-<service>",
            "session-at",
            "The cookie's name.",
        ),
        key(
            "max_age",
            &DURATION,
            "until the browser closes",
            "1h",
            "How long the cookie is kept by the client.",
        ),
    ],
    hints: &[
        ("name", "write `cookie:`"),
        ("ttl", "write `max_age:`"),
        ("expires", "write `max_age:`"),
    ],
    later: &["header"],
};

const MANY: Form = Form::Whole { min: 1, max: 1_000_000 };
static COUNT: Shape = Shape::Scalar(MANY);
static SHARE: Shape = Shape::Scalar(Form::Percent { fraction: false });

static BREAKER: Shape = Shape::Any(&[Shape::Scalar(Form::Bool), Shape::Keys(&BREAKER_KEYS)]);
static BREAKER_KEYS: Table = Table {
    name: "breaker",
    doc: "When a service gets no requests for a while, because practically none is answered. Then it gets a few to see whether it answers again.",
    keys: &[
        key(
            "on",
            &Shape::Scalar(Form::Word(&["no_answer", "gateway_errors", "server_errors"])),
            "no_answer",
            "server_errors",
            "What counts as a failure: no_answer (not connected, broken off, too late), gateway_errors (also 502, 503, 504) or server_errors (also all other 5xx).",
        ),
        key(
            "failures",
            &SHARE,
            "90%",
            "50%",
            "The share of failures among the requests of ten seconds that opens it.",
        ),
        key(
            "min_requests",
            &COUNT,
            "20",
            "100",
            "With fewer requests in ten seconds it never opens.",
        ),
        key("open", &DURATION, "1s", "5s", "The first pause; doubled each time."),
        key("open_max", &DURATION, "30s", "1m", "The longest pause."),
    ],
    hints: &[
        ("threshold", "write `failures:`"),
        ("failure_rate", "write `failures:`"),
        ("timeout", "write `open:`"),
        ("consecutive", "instances that fail in a row are the matter of `outlier:`"),
    ],
    later: &[],
};

static OUTLIER: Shape = Shape::Any(&[Shape::Scalar(Form::Bool), Shape::Keys(&OUTLIER_KEYS)]);
static OUTLIER_KEYS: Table = Table {
    name: "outlier",
    doc: "When an instance gets no requests for a while, because it answers worse than it should.",
    keys: &[
        key(
            "consecutive",
            &Shape::Scalar(Form::Whole { min: 1, max: 255 }),
            "5",
            "3",
            "Server errors in a row that take it out.",
        ),
        key("eject", &DURATION, "30s", "10s", "How long, times how often it was taken out."),
        key("eject_max", &DURATION, "5m", "1m", "The longest time."),
        key(
            "max_ejected",
            &SHARE,
            "50%",
            "30%",
            "The most instances that are out at the same time; never the last one.",
        ),
        key(
            "panic",
            &SHARE,
            "50%",
            "70%",
            "When more instances than this are out, all get requests again: then it is not theirs.",
        ),
    ],
    hints: &[
        ("errors", "write `consecutive:`"),
        ("consecutive_errors", "write `consecutive:`"),
        ("time", "write `eject:`"),
        ("max_ejection_percent", "write `max_ejected:`"),
        ("panic_threshold", "write `panic:`"),
    ],
    later: &["success_rate"],
};

/// `traffic` of a service.
pub(crate) const TRAFFIC: Key = key(
    "traffic",
    &WAYS,
    "",
    "{ max_requests: 100, slow_start: 30s }",
    "How the traffic to it is bounded and what happens when instances fail. Nothing here has to be set.",
);
static WAYS: Shape = Shape::Keys(&Table {
    name: "traffic",
    doc: "For the traffic to a service, from the gateway and from other services.",
    keys: &[
        key(
            "max_requests",
            &COUNT,
            "no bound",
            "100",
            "Requests that it works on at the same time, all instances together; further ones wait.",
        ),
        key(
            "max_pending",
            &COUNT,
            "1024",
            "50",
            "Requests that wait for an instance or a place; further ones get 503.",
        ),
        key(
            "max_connections",
            &COUNT,
            "no bound",
            "64",
            "Connections to each instance at the same time.",
        ),
        key(
            "pending_timeout",
            &DURATION,
            "1s",
            "5s",
            "How long a request waits when no instance is ready or all places are taken.",
        ),
        key(
            "slow_start",
            &DURATION,
            "10s",
            "30s",
            "How long until a new instance gets its full share; `0` for at once.",
        ),
        key(
            "sticky",
            &STICKY,
            "false",
            "true",
            "Whether the requests of a client go to the instance that answered its first, by a cookie of the gateway: `true`, the name of the cookie, or a map.",
        ),
        key(
            "breaker",
            &BREAKER,
            "true",
            "{ failures: 50% }",
            "The circuit breaker: `false` for none, or a map.",
        ),
        key(
            "outlier",
            &OUTLIER,
            "true",
            "{ consecutive: 3 }",
            "Taking instances out that fail: `false` for not, or a map.",
        ),
        key(
            "shed",
            &BOOL,
            "true",
            "false",
            "Whether requests are refused (503 with `Retry-After`) before an overloaded service collapses.",
        ),
    ],
    hints: &[
        ("timeout", "write `timeout:` beside `traffic:`"),
        ("retries", "write `retries:` beside `traffic:`"),
        ("balance", "write `balance:` beside `traffic:`"),
        ("circuit_breaker", "write `breaker:`"),
        ("outlier_detection", "write `outlier:`"),
        ("max_concurrent", "write `max_requests:`"),
        ("concurrency", "write `max_requests:`"),
        ("queue", "write `max_pending:`"),
        ("connect_timeout", "write `timeout: { connect: … }` beside `traffic:`"),
        ("panic", "write `outlier: { panic: … }`"),
        ("load_shedding", "write `shed:`"),
        ("session_affinity", "write `sticky:`"),
    ],
    later: &["weight"],
});
