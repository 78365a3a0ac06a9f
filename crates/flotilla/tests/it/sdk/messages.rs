//! Publishing, subscribing and jobs by the SDKs: `checks` publishes, and the others are apps that subscribe in each of the
//! ways that the SDK has.

use super::{check, modules, program, python};
use crate::kit::{System, skip};
use std::path::Path;

/// Cases of the Python program; `hold` and `release` stand around a restart.
pub(super) const PYTHON: &[&str] = &[
    "publish",
    "kinds_of_data",
    "cloud_event",
    "attributes",
    "raw",
    "ttl",
    "bulk",
    "errors",
    "retry",
    "dead_letters",
    "routes",
    "shares",
    "jobs_of_callback",
    "jobs_of_web",
];

/// Cases of the Node program, with the protocol by which it publishes.
const NODE: &[&str] = &[
    "publish/http",
    "publish/grpc",
    "text/http",
    "text/grpc",
    "cloudEvent/http",
    "cloudEvent/grpc",
    "raw/http",
    "raw/grpc",
    "bulk/http",
    "bulk/grpc",
    "bulkSubscribe/http",
    "retry/http",
    "deadLetters/http",
    "routes/http",
    "routes/grpc",
    "shares/http",
    "errors/http",
];

/// A system in which each service runs the program with its own name. The pauses of its topics are short, and topics are made
/// when they are used.
fn system(run: &str, env: &str, has_stream: bool) -> System {
    let system = System::empty();
    start(&system, "embedded", run, env, has_stream);
    system
}

/// Starts that system, with its topics kept by `broker`.
pub(super) fn start(system: &System, broker: &str, run: &str, env: &str, has_stream: bool) {
    let service = |name: &str, more: &str| {
        format!(
            "  {name}:
    run: [{run}, {name}]
    env: {{ LEDGER: DIR/ledger{env} }}
{more}
"
        )
    };
    let health = "    health: { ready: /healthz, start_timeout: 1m }";
    let mut services = service("checks", health);
    services.push_str(&service("web", &format!("{health}\n    instances: 2")));
    services.push_str(&service("callback", "    api: { protocol: grpc }"));
    if has_stream {
        services.push_str(&service("stream", health));
    }
    system.write(&format!(
        "
engines: {{ broker: '{broker}' }}
topics:
  auto: true
  orders: {{ retry: {{ max: none, backoff: 100ms..1s }} }}
  many: {{ retry: {{ max: none, backoff: 100ms..1s }} }}
services:
{services}"
    ));
    system.flotilla("up -d --wait-timeout 2m").expect(0);
}

/// What an app asked for again is asked for again after the node died.
pub(super) fn check_restart(system: &System, hold: &str, release: &str) {
    check(system, &[hold]);
    system.kill_node();
    system.up();
    check(system, &[release]);
}

pub(super) fn quoted(path: &Path) -> String {
    format!("'{}'", path.display())
}

#[test]
fn messages_and_jobs_of_the_python_sdk_work_unmodified() {
    let Some(python) = python() else {
        return skip(
            "messages of the Python SDK",
            "its packages are not installed: `cargo xtask setup`",
        );
    };
    let run = format!("{}, '{}'", quoted(&python), program("python/messages.py"));
    let system = system(&run, "", true);
    check(&system, PYTHON);
    check_restart(&system, "hold", "release");
    system.down();
}

#[test]
fn messages_of_the_javascript_sdk_work_unmodified() {
    let Some(modules) = modules() else {
        return skip(
            "messages of the JavaScript SDK",
            "its packages are not installed: `cargo xtask setup`",
        );
    };
    let run = format!("node, '{}'", program("node/messages.js"));
    let env = format!(", NODE_PATH: {}", quoted(&modules));
    let system = system(&run, &env, false);
    check(&system, NODE);
    check_restart(&system, "hold/http", "release/grpc");
    system.down();
}
