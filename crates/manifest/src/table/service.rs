//! The keys of a service and of a job.

use super::{
    BOOL, DURATION, PORT, SHELL, TEXT, TEXT_OR_TEXTS,
    coordination::{API, EXTERNAL, OWN_COMPONENTS, USED_CONFIG},
    events::{OUTBOX, SUBSCRIBES},
    health::HEALTH,
    key,
    traffic::{RETRIES, TIMEOUT, TRAFFIC},
};
use crate::shape::{Form, Key, Shape, Table};

/// Most instances of one service on one machine.
pub(crate) const INSTANCES_MAX: u64 = 1_000;

static COMMAND: Shape = Shape::Any(&[Shape::Scalar(Form::Shell), Shape::List(&TEXT)]);
static INSTANCES: Shape = Shape::Scalar(Form::Whole { min: 1, max: INSTANCES_MAX });
static SERVICE_NAME: Shape = Shape::Scalar(Form::Service);
static CONDITION: Shape = Shape::Scalar(Form::Word(&["started", "ready", "completed"]));
static NEEDS: Shape =
    Shape::Any(&[Shape::List(&SERVICE_NAME), Shape::Names { what: "service", value: &CONDITION }]);
static VOLUMES: Shape = Shape::List(&Shape::Scalar(Form::Volume));
static PUBLISH: Shape = Shape::List(&Shape::Scalar(Form::Publish));
static ENV: Shape = Shape::Any(&[
    Shape::List(&Shape::Scalar(Form::Assignment)),
    Shape::Names { what: "variable", value: &Shape::Scalar(Form::Variable) },
]);
static DATABASE: Shape = Shape::Scalar(Form::Database);
static CRON: Shape = Shape::Scalar(Form::Cron);

const ALGORITHMS: Form = Form::Word(&[
    "p2c",
    "round_robin",
    "random",
    "weighted",
    "least_connections",
    "least_response_time",
    "consistent_hash",
]);
static ALGORITHM: Shape = Shape::Scalar(ALGORITHMS);
static HASH_ON: Shape =
    Shape::Any(&[Shape::Scalar(Form::Word(&["client"])), Shape::Keys(&HASH_KEYS)]);
static HASH_KEYS: Table = Table {
    name: "hash_on",
    doc: "What `consistent_hash` looks at. One of the two; a request that lacks it goes by client address.",
    keys: &[
        key("header", &TEXT, "", "X-User", "The value of a header."),
        key("cookie", &TEXT, "", "session", "The value of a cookie."),
    ],
    hints: &[("ip", "write `hash_on: client`")],
    later: &[],
};
static BALANCE: Shape = Shape::Any(&[Shape::Scalar(ALGORITHMS), Shape::Keys(&BALANCE_KEYS)]);
static BALANCE_KEYS: Table = Table {
    name: "balance",
    doc: "How requests are spread over the ready instances.",
    keys: &[
        key(
            "algorithm",
            &ALGORITHM,
            "p2c",
            "consistent_hash",
            "The rule: p2c (the better of two drawn at random by latency and load), round_robin, random, weighted, least_connections, least_response_time, consistent_hash.",
        ),
        key(
            "hash_on",
            &HASH_ON,
            "client",
            "{ header: X-User }",
            "What `consistent_hash` hashes: `client`, a header or a cookie.",
        ),
    ],
    hints: &[
        ("policy", "write `algorithm:`"),
        ("type", "write `algorithm:`"),
        ("method", "write `algorithm:`"),
        ("sticky", "write `traffic: { sticky: true }` beside `balance`"),
        ("slow_start", "write `traffic: { slow_start: 30s }` beside `balance`"),
        ("outlier", "write `traffic: { outlier: … }` beside `balance`"),
    ],
    later: &["weights"],
};

const POLICIES: Form = Form::Word(&["always", "on_failure", "never"]);
static POLICY: Shape = Shape::Scalar(POLICIES);
static RESTART: Shape = Shape::Any(&[Shape::Scalar(POLICIES), Shape::Keys(&RESTART_KEYS)]);
static RESTART_KEYS: Table = Table {
    name: "restart",
    doc: "What happens when an instance ends by itself.",
    keys: &[
        key(
            "policy",
            &POLICY,
            "services always, jobs on_failure",
            "on_failure",
            "When it is started again: always, on_failure (it did not end with 0) or never.",
        ),
        key(
            "backoff",
            &DURATION,
            "200ms",
            "500ms",
            "The first wait before a start; doubled each time.",
        ),
        key("backoff_max", &DURATION, "1m", "30s", "The longest wait before a start."),
        key(
            "reset_after",
            &DURATION,
            "60s",
            "2m",
            "Healthy for this long, it starts counting anew.",
        ),
    ],
    hints: &[
        ("max_backoff", "write `backoff_max:`"),
        ("delay", "write `backoff:`"),
        ("condition", "write `policy:`"),
    ],
    later: &["max"],
};

static SIGNAL: Shape = Shape::Scalar(Form::Signal);
static STOP: Shape = Shape::Keys(&Table {
    name: "stop",
    doc: "How an instance is stopped: no new requests, wait for the open ones, signal, wait, kill.",
    keys: &[
        key("drain", &DURATION, "10s", "20s", "How long open requests may take."),
        key("grace", &DURATION, "30s", "1m", "How long the process may take after the signal."),
        key("signal", &SIGNAL, "TERM", "INT", "The signal that asks it to end."),
    ],
    hints: &[("timeout", "write `grace:`"), ("grace_period", "write `grace:`")],
    later: &["before"],
});

static LIMITS: Shape = Shape::Keys(&Table {
    name: "limits",
    doc: "Upper bounds on what each instance uses.",
    keys: &[
        key("cpu", &Shape::Scalar(Form::Cores), "none", "0.5", "Cores: `2`, `0.5` or `500m`."),
        key("memory", &Shape::Scalar(Form::Size), "none", "512Mi", "Resident memory."),
        key(
            "pids",
            &Shape::Scalar(Form::Whole { min: 1, max: 4_194_304 }),
            "none",
            "200",
            "Processes and threads.",
        ),
    ],
    hints: &[("cpus", "write `cpu:`"), ("mem", "write `memory:`"), ("ram", "write `memory:`")],
    later: &["disk", "files"],
});

const DIR: Key = key(
    "dir",
    &TEXT,
    "the folder named like it",
    "services/api",
    "The folder it runs in, relative to the file. Without a folder of its name, a service with `run` or `image` runs in the file's folder.",
);
const RUN: Key = key(
    "run",
    &COMMAND,
    "detected",
    "node server.js",
    "The command: a line for the shell, or a list that runs without a shell. It listens on `$PORT`. Without it and without `image` it is detected from Cargo.toml, package.json (`start` or `main`), app.py, main.py, server.py, manage.py or wsgi.py, go.mod, pom.xml, build.gradle, Procfile or Dockerfile.",
);
const BUILD: Key = key(
    "build",
    &SHELL,
    "detected",
    "npm ci",
    "A line for the shell that runs in `dir` before the first start and before each changed start.",
);
const IMAGE: Key = key(
    "image",
    &TEXT,
    "",
    "acme/mailer:1.4.2",
    "Runs a container of this image instead of a process.",
);
const ENTRYPOINT: Key = key(
    "entrypoint",
    &TEXT_OR_TEXTS,
    "the image's",
    "[/bin/server]",
    "Replaces the image's entry point.",
);
const ARGS: Key =
    key("command", &TEXT_OR_TEXTS, "the image's", "[--verbose]", "Replaces the image's command.");
const MOUNTS: Key = key(
    "volumes",
    &VOLUMES,
    "",
    "[\"./data:/data\"]",
    "Mounts of a container: `source:target[:ro]`, the source a path or the name of a volume.",
);
const USER: Key =
    key("user", &TEXT, "the image's", "\"1000:1000\"", "The user inside a container.");
const WORKDIR: Key =
    key("workdir", &TEXT, "the image's", "/srv", "The working directory inside a container.");
const NEEDED: Key = key(
    "needs",
    &NEEDS,
    "",
    "[users, items]",
    "What must be up before it starts; `<NAME>_URL` is injected for each service. A list, or a map with a condition each: `started`, `ready` (default for services) or `completed` (default for jobs).",
);
const RESTARTS: Key = key(
    "restart",
    &RESTART,
    "services always, jobs on_failure",
    "on_failure",
    "What happens when it ends by itself: a policy, or a map.",
);
const STOPS: Key = key("stop", &STOP, "", "{ drain: 10s, grace: 30s }", "How it is stopped.");
const BOUNDS: Key = key(
    "limits",
    &LIMITS,
    "",
    "{ cpu: 1, memory: 512Mi }",
    "Upper bounds on what each instance uses.",
);
const VARIABLES: Key = key(
    "env",
    &ENV,
    "",
    "{ LOG_LEVEL: debug }",
    "Environment variables: a map, or a list of `KEY=VALUE`. A key without a value passes the node's own variable on.",
);
const VARIABLE_FILES: Key = key(
    "env_file",
    &TEXT_OR_TEXTS,
    "",
    ".env",
    "Files of `KEY=VALUE` lines; `env` wins over them.",
);
const OWN_DATABASE: Key = key(
    "db",
    &DATABASE,
    "",
    "sqlite",
    "A database of its own: `sqlite` (a file under `.flotilla/data`) or a URL. `DATABASE_URL` is injected.",
);

const HINTS: &[(&str, &str)] = &[
    ("replicas", "write `instances:`"),
    ("count", "write `instances:`"),
    ("workers", "write `instances:`"),
    ("deploy", "write `instances:` and `limits:`"),
    ("depends_on", "write `needs: [name, …]`"),
    ("dependsOn", "write `needs: [name, …]`"),
    ("dependencies", "write `needs: [name, …]`"),
    ("links", "write `needs: [name, …]`"),
    ("cmd", "write `run:`"),
    ("start", "write `run:`"),
    ("script", "write `run:`"),
    ("exec", "write `run:`"),
    ("args", "write `run:`, or `command:` beside `image:`"),
    ("environment", "write `env:`"),
    ("envFrom", "write `env_file:`"),
    (
        "ports",
        "instances get their own `$PORT`; `port:` fixes it, `publish:` adds ports of a container",
    ),
    ("expose", "write `port:`"),
    ("healthcheck", "write `health:`"),
    ("health_check", "write `health:`"),
    ("start_timeout", "write `health: { start_timeout: 2m }`"),
    ("livenessProbe", "write `health: { live: /path }`"),
    ("readinessProbe", "write `health: { ready: /path }`"),
    ("startupProbe", "write `health: { startup: /path }`"),
    ("liveness_probe", "write `health: { live: /path }`"),
    ("readiness_probe", "write `health: { ready: /path }`"),
    ("working_dir", "write `dir:`, or `workdir:` beside `image:`"),
    ("cwd", "write `dir:`"),
    ("path", "write `dir:`"),
    ("folder", "write `dir:`"),
    ("directory", "write `dir:`"),
    ("context", "write `dir:`"),
    ("resources", "write `limits: { cpu: 1, memory: 512Mi }`"),
    ("mem_limit", "write `limits: { memory: 512Mi }`"),
    ("cpus", "write `limits: { cpu: 1 }`"),
    ("stop_signal", "write `stop: { signal: INT }`"),
    ("stop_grace_period", "write `stop: { grace: 30s }`"),
    ("terminationGracePeriodSeconds", "write `stop: { grace: 30s }`"),
    ("restartPolicy", "write `restart:`"),
    ("load_balancing", "write `balance:`"),
    ("lb", "write `balance:`"),
    ("circuit_breaker", "write `traffic: { breaker: … }`"),
    ("breaker", "write `traffic: { breaker: … }`"),
    ("outlier", "write `traffic: { outlier: … }`"),
    ("slow_start", "write `traffic: { slow_start: 30s }`"),
    ("sticky", "write `traffic: { sticky: true }`"),
    ("timeouts", "write `timeout: { response: …, connect: … }`"),
    ("max_connections", "write `traffic: { max_connections: … }`"),
    ("max_requests", "write `traffic: { max_requests: … }`"),
    ("concurrency", "write `traffic: { max_requests: … }`"),
    ("database", "write `db:`"),
    ("networks", "services find each other by `needs`; remove it"),
    ("container_name", "containers are named by their instance; remove it"),
    ("hostname", "services find each other by `needs`; remove it"),
    ("routes", "routes stand under `gateway:`"),
    ("dapr", "write `api:`"),
    ("state", "write `state: { name: {} }` at the top level"),
    ("cache", "write `state: { name: { cache: true } }` at the top level"),
    ("secrets", "write `env: { NAME: \"${secret:NAME}\" }`"),
    ("sidecar", "every instance has an app API; `api:` sets it"),
    ("app_api", "write `api:`"),
    ("configuration", "write `config:`"),
    ("reload", "write `config: { keys: […], on_change: sighup }`"),
    ("cron", "a job with `schedule:` runs at times"),
    (
        "schedule",
        "a job under `jobs:` runs at times; `schedules:` at the top level calls a service at times",
    ),
    ("subscribe", "write `subscribes:`"),
    ("subscriptions", "write `subscribes:`"),
    ("topics", "write `topics:` at the top level, and `subscribes:` here"),
];
const LATER: &[&str] =
    &["scale", "rollout", "publishes", "migrations", "migrate", "test", "watch", "allow", "weight"];

/// A service.
pub(crate) static SERVICE: Shape = Shape::Keys(&Table {
    name: "service",
    doc: "A program that runs until it is stopped. Nothing is required: `api: {}` runs what the folder `api` holds.",
    keys: &[
        DIR,
        RUN,
        BUILD,
        IMAGE,
        ENTRYPOINT,
        ARGS,
        MOUNTS,
        key(
            "publish",
            &PUBLISH,
            "",
            "[\"8080:80\"]",
            "Further ports of a container, `host:container`.",
        ),
        USER,
        WORKDIR,
        key(
            "instances",
            &INSTANCES,
            "1",
            "3",
            "How many copies run; requests are balanced over those that are ready.",
        ),
        NEEDED,
        key(
            "balance",
            &BALANCE,
            "p2c",
            "least_connections",
            "How requests are spread over its instances: a rule, or a map.",
        ),
        key(
            "port",
            &PORT,
            "assigned",
            "3000",
            "The port it listens on when it does not follow `$PORT`; in a container the port inside. Only with one instance, or in a container.",
        ),
        key(
            "listen",
            &BOOL,
            "true",
            "false",
            "`false` for a worker that listens on no port: it gets no traffic and no default probe.",
        ),
        key(
            "health",
            &HEALTH,
            "a TCP connection to `$PORT`",
            "/health",
            "How its health is asked: a path that answers 200 to 399 when it is ready, or a map.",
        ),
        TIMEOUT,
        RETRIES,
        TRAFFIC,
        RESTARTS,
        STOPS,
        BOUNDS,
        VARIABLES,
        VARIABLE_FILES,
        OWN_DATABASE,
        SUBSCRIBES,
        OUTBOX,
        API,
        USED_CONFIG,
        OWN_COMPONENTS,
        EXTERNAL,
    ],
    hints: HINTS,
    later: LATER,
});

const SERVES: &str = "a job serves no requests; only services have this key";

/// A job.
pub(crate) static JOB: Shape = Shape::Keys(&Table {
    name: "job",
    doc: "A program that runs once and ends, or at times.",
    keys: &[
        DIR,
        RUN,
        BUILD,
        IMAGE,
        ENTRYPOINT,
        ARGS,
        MOUNTS,
        USER,
        WORKDIR,
        NEEDED,
        key(
            "schedule",
            &CRON,
            "once, at the start",
            "0 3 * * *",
            "When it runs: minute, hour, day, month, weekday in local time, or @hourly, @daily, @weekly, @monthly, @yearly. Never twice at once.",
        ),
        RESTARTS,
        STOPS,
        BOUNDS,
        VARIABLES,
        VARIABLE_FILES,
        OWN_DATABASE,
        API,
        OWN_COMPONENTS,
    ],
    hints: &[
        ("instances", SERVES),
        ("port", SERVES),
        ("listen", SERVES),
        ("balance", SERVES),
        ("health", SERVES),
        ("publish", SERVES),
        ("external", SERVES),
        ("config", "a job reads the configuration when it starts; only services have this key"),
        ("traffic", SERVES),
        ("subscribes", SERVES),
        ("outbox", "rows are published while a service runs; only services have this key"),
        ("cron", "write `schedule:`"),
        ("every", "write `schedule:`"),
        ("secrets", "write `env: { NAME: \"${secret:NAME}\" }`"),
        ("depends_on", "write `needs: [name, …]`"),
        ("cmd", "write `run:`"),
        ("script", "write `run:`"),
        ("environment", "write `env:`"),
        ("working_dir", "write `dir:`, or `workdir:` beside `image:`"),
    ],
    later: &["timeout", "retries", "time_zone"],
});
