//! The keys of `flotilla.yaml`: the one description of the format.
//!
//! A key that is added here is checked, is in the JSON Schema, and is in `docs/guide/file.md`; then
//! `read` must give it a meaning.

mod auth;
mod broker;
mod coordination;
mod events;
mod gateway;
mod health;
mod messages;
mod route;
mod service;
mod target;
mod traffic;
mod transactions;

use crate::shape::{Form, Key, Shape, Table};

pub(crate) use service::{INSTANCES_MAX, JOB, SERVICE};
pub(crate) use transactions::is_key as is_key_of_transactions;

/// A key with everything the table says of it.
pub(crate) const fn key(
    name: &'static str,
    shape: &'static Shape,
    default: &'static str,
    example: &'static str,
    doc: &'static str,
) -> Key {
    Key { name, shape, doc, default, example }
}

pub(crate) static TEXT: Shape = Shape::Scalar(Form::Text);
pub(crate) static TEXT_OR_TEXTS: Shape =
    Shape::Any(&[Shape::Scalar(Form::Text), Shape::List(&TEXT)]);
pub(crate) static SHELL: Shape = Shape::Scalar(Form::Shell);
pub(crate) static BOOL: Shape = Shape::Scalar(Form::Bool);
pub(crate) static DURATION: Shape = Shape::Scalar(Form::Duration);
pub(crate) static PORT: Shape = Shape::Scalar(Form::Whole { min: 1, max: 65_535 });
pub(crate) static SIZE: Shape = Shape::Scalar(Form::Size);
pub(crate) static ADDRESS: Shape = Shape::Scalar(Form::Address);

static SERVICES: Shape = Shape::Names { what: "service", value: &SERVICE };
static JOBS: Shape = Shape::Names { what: "job", value: &JOB };
static ENVIRONMENTS: Shape = Shape::Names { what: "environment", value: &ENVIRONMENT };

const SERVICES_DOC: &str =
    "Services by name: programs that run until they are stopped. A name is a DNS label.";
const JOBS_DOC: &str = "Programs that run once and end, or at times (`schedule`).";
const LATER: &[&str] = &["mesh", "observe", "telemetry", "flags"];
const HINTS: &[(&str, &str)] = &[
    ("version", "the file has no version key; remove it"),
    ("apps", "write `services:`"),
    ("processes", "write `services:`"),
    ("routes", "routes stand under `gateway:`"),
    ("networks", "services find each other by `needs`; remove it"),
    ("volumes", "volumes stand in a service that has `image:`"),
    (
        "cron",
        "write `schedules:` for calls and messages; a job with `schedule:` runs a program at times",
    ),
    ("schedule", "write `schedules:`"),
    ("topic", "write `topics:`"),
    ("pubsub", "write `topics:`"),
    ("queues", "write `topics:`"),
    ("events", "write `topics:`"),
    ("broker", "write `engines: { broker: … }`"),
    ("subscribes", "`subscribes:` stands in a service"),
    ("subscriptions", "write `subscribes:` in a service"),
    ("outbox", "`outbox:` stands in a service"),
    ("profiles", "write `environments:`"),
    ("extends", "write `include:`"),
    ("imports", "write `include:`"),
    ("configuration", "write `config:`"),
    ("stores", "write `state:`"),
    ("statestores", "write `state:`"),
    ("cache", "write `state: { name: { cache: true } }`"),
    ("lock", "write `locks:`"),
    ("secret", "write `secrets:`"),
    ("resources", "write `components:`"),
    ("transaction", "write `transactions:`"),
    ("sagas", "write `transactions:`"),
    ("workflows", "write `transactions:`"),
    ("dtm", "write `transactions: { dtm: true }`"),
];

/// What services share. An environment may say all of it differently.
const SHARED: &[Key] = &[
    key(
        "engines",
        &coordination::ENGINES,
        "",
        "{ kv: embedded, broker: embedded }",
        "What keeps the data: embedded engines, or servers that are there already.",
    ),
    key(
        "state",
        &coordination::STATE,
        "{ statestore: {} }",
        "{ orders: {}, sessions: { cache: true, max: 256MiB, ttl: 30m } }",
        "Stores for state, by name. `{}` for none.",
    ),
    key(
        "locks",
        &coordination::LOCKS,
        "[lockstore]",
        "[lockstore, jobs]",
        "Stores for locks: a list of names, or a map. `[]` for none.",
    ),
    key(
        "config",
        &coordination::CONFIG,
        "{ configstore: {} }",
        "{ configstore: { values: { checkout.limit: 10 } } }",
        "Stores for configuration, by name. `{}` for none.",
    ),
    key(
        "secrets",
        &coordination::SECRETS,
        "",
        "{ env: [STRIPE_KEY], file: ./secrets.json }",
        "Where `secretstore` and `${secret:NAME}` look for secrets.",
    ),
    key(
        "components",
        &coordination::COMPONENTS,
        "",
        "./components",
        "Folders or files of Dapr components: their stores are there under their names, served by our engines.",
    ),
    key(
        "topics",
        &events::TOPICS,
        "",
        "{ order.created: { retain: 7d, retry: { max: 5 } }, report.due: {}, auto: false }",
        "Topics, by name: what services publish and subscribe to. With `auto: true` any other name makes a topic when somebody publishes to it; that is the default with Dapr's files and components, and `false` otherwise.",
    ),
    key(
        "schedules",
        &events::SCHEDULES,
        "",
        "{ nightly: { cron: \"0 3 * * *\", call: POST reports/run } }",
        "What happens at times, by name: calls of services and messages.",
    ),
    key(
        "transactions",
        &transactions::TRANSACTIONS,
        "",
        "{ checkout: { steps: [{ call: POST items/reserve, undo: POST items/release }] } }",
        "Transactions over several services, by name: sagas, TCC, two- and three-phase commit, messages.",
    ),
];

/// The whole file.
pub(crate) static ROOT: Shape = Shape::Keys(&Table {
    name: "file",
    doc: "The top level of `flotilla.yaml`.",
    keys: &[
        key("name", &TEXT, "the folder's name", "shop", "The system's name."),
        key("services", &SERVICES, "", "{ api: {}, web: {} }", SERVICES_DOC),
        key("jobs", &JOBS, "", "{ seed: { run: ./seed } }", JOBS_DOC),
        key(
            "gateway",
            &gateway::GATEWAY,
            "",
            "{ routes: { /: web } }",
            "The entrance: which request goes to which service.",
        ),
        key(
            "admin",
            &gateway::ADMIN,
            "",
            "{ listen: \"127.0.0.1:8081\" }",
            "The admin API and the dashboard.",
        ),
        SHARED[0],
        SHARED[1],
        SHARED[2],
        SHARED[3],
        SHARED[4],
        SHARED[5],
        SHARED[6],
        SHARED[7],
        SHARED[8],
        key(
            "environments",
            &ENVIRONMENTS,
            "",
            "{ prod: { gateway: { listen: \"0.0.0.0:80\" } } }",
            "What is different when `--env NAME` is given: maps are merged, everything else is replaced.",
        ),
        key(
            "include",
            &TEXT_OR_TEXTS,
            "",
            "compose.yaml",
            "Other files to read first: compose.yaml, Procfile, dapr.yaml or flotilla.yaml. Keys of this file win.",
        ),
    ],
    hints: HINTS,
    later: LATER,
});

static ENVIRONMENT: Shape = Shape::Keys(&Table {
    name: "environment",
    doc: "What is different in one environment.",
    keys: &[
        key(
            "services",
            &SERVICES,
            "",
            "{ api: { instances: 3 } }",
            "Keys of services that are different.",
        ),
        key(
            "jobs",
            &JOBS,
            "",
            "{ seed: { env: { ROWS: 10 } } }",
            "Keys of jobs that are different.",
        ),
        key(
            "gateway",
            &gateway::GATEWAY,
            "",
            "{ listen: \"0.0.0.0:80\" }",
            "Keys of the gateway that are different.",
        ),
        key(
            "admin",
            &gateway::ADMIN,
            "",
            "{ listen: \"127.0.0.1:9081\" }",
            "Keys of the admin API that are different.",
        ),
        SHARED[0],
        SHARED[1],
        SHARED[2],
        SHARED[3],
        SHARED[4],
        SHARED[5],
        SHARED[6],
        SHARED[7],
        SHARED[8],
    ],
    hints: HINTS,
    later: LATER,
});
