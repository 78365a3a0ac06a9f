//! The keys of `health`.

use super::{DURATION, PORT, key};
use crate::shape::{Form, Shape, Table};

static PATH: Shape = Shape::Scalar(Form::UrlPath);
static COMMAND: Shape =
    Shape::Any(&[Shape::Scalar(Form::Shell), Shape::List(&Shape::Scalar(Form::Shell))]);
static HEADERS: Shape = Shape::Names { what: "header", value: &Shape::Scalar(Form::Value) };
static TIMES: Shape = Shape::Scalar(Form::Whole { min: 1, max: 10_000 });
static TCP: Shape = Shape::Scalar(Form::TrueOrPort);
static GRPC: Shape = Shape::Scalar(Form::Text);

static PROBE_KEYS: Table = Table {
    name: "probe",
    doc: "One question. At most one of `http`, `tcp`, `command` and `grpc`; without any it is `tcp`.",
    keys: &[
        key("http", &PATH, "", "/health", "`GET` this path; 200 to 399 is good."),
        key("tcp", &TCP, "", "true", "The port accepts a connection: `true`, or another port."),
        key(
            "command",
            &COMMAND,
            "",
            "pg_isready",
            "This command ends with 0: a line for the shell, or a list. In a container it runs inside.",
        ),
        key(
            "grpc",
            &GRPC,
            "",
            "true",
            "`grpc.health.v1.Health/Check` answers SERVING: `true` for the whole server, or a name.",
        ),
        key("port", &PORT, "the instance's", "9000", "Another port for `http` and `grpc`."),
        key("headers", &HEADERS, "", "{ X-Probe: \"1\" }", "Extra headers for `http`."),
        key("initial_delay", &DURATION, "0", "5s", "Wait before the first question."),
        key(
            "period",
            &DURATION,
            "startup 200ms (a command 1s), others 10s",
            "5s",
            "Time between two questions.",
        ),
        key("timeout", &DURATION, "1s, a command 10s", "2s", "Time an answer may take."),
        key(
            "failures",
            &TIMES,
            "3; startup as many as fit in `start_timeout`",
            "5",
            "Failures in a row that count as failed.",
        ),
        key("successes", &TIMES, "1", "2", "Successes in a row that count as good again."),
    ],
    hints: &[
        ("path", "write `http: /path`"),
        ("httpGet", "write `http: /path`"),
        ("http_get", "write `http: /path`"),
        ("tcpSocket", "write `tcp: true`"),
        ("exec", "write `command:`"),
        ("interval", "write `period:`"),
        ("retries", "write `failures:`"),
        ("start_period", "write `start_timeout:` beside the probes"),
        ("periodSeconds", "write `period: 10s`"),
        ("timeoutSeconds", "write `timeout: 1s`"),
        ("initialDelaySeconds", "write `initial_delay: 5s`"),
        ("failureThreshold", "write `failures:`"),
        ("successThreshold", "write `successes:`"),
    ],
    later: &[],
};
static PROBE: Shape = Shape::Any(&[Shape::Scalar(Form::UrlPath), Shape::Keys(&PROBE_KEYS)]);

static HEALTH_KEYS: Table = Table {
    name: "health",
    doc: "Three probes with Kubernetes' meanings. A probe is a path, or a map.",
    keys: &[
        key(
            "startup",
            &PROBE,
            "like `ready`",
            "/started",
            "Until it succeeds once the others wait; when it fails too often the instance is started anew.",
        ),
        key(
            "ready",
            &PROBE,
            "a TCP connection to `$PORT`",
            "/ready",
            "While it fails the instance gets no traffic.",
        ),
        key("live", &PROBE, "not asked", "/live", "When it fails the instance is started anew."),
        key("start_timeout", &DURATION, "30s", "2m", "How long a start may take."),
    ],
    hints: &[
        ("path", "write `ready: /path`"),
        ("http", "write `ready: { http: /path }`"),
        ("tcp", "write `ready: { tcp: true }`"),
        ("command", "write `ready: { command: … }`"),
        ("grpc", "write `ready: { grpc: true }`"),
        ("liveness", "write `live:`"),
        ("readiness", "write `ready:`"),
        ("test", "write `ready: { command: … }`"),
        ("interval", "write `ready: { http: /path, period: 5s }`"),
        ("period", "write `ready: { http: /path, period: 5s }`"),
        ("timeout", "write `ready: { http: /path, timeout: 1s }`"),
    ],
    later: &[],
};

/// `health:`.
pub(crate) static HEALTH: Shape =
    Shape::Any(&[Shape::Scalar(Form::UrlPath), Shape::Keys(&HEALTH_KEYS)]);
