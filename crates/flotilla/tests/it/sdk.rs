//! The official SDKs of Dapr against the app API, unmodified: our own programs make their calls from inside a system.
//!
//! `sdk/python` and `sdk/node` hold the programs; `cargo xtask setup` installs the packages below the target folder.

mod messages;
mod over_nats;

use crate::kit::{
    System, fixture,
    http::{Connection, Request},
    repository, skip,
    wait::eventually,
};
use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Cases of the Python program; `shutdown` has a test of its own.
const PYTHON: &[&str] = &[
    "state",
    "bulk",
    "transaction",
    "ttl",
    "errors",
    "lock",
    "configuration",
    "secrets",
    "invoke_http",
    "invoke_grpc",
    "proxying",
    "metadata",
];

/// Cases of the Node program, with the protocol of the SDK.
const NODE: &[&str] = &[
    "state/http",
    "state/grpc",
    "ttl/http",
    "ttl/grpc",
    "lock/http",
    "lock/grpc",
    // Over HTTP the SDK has no configuration.
    "configuration/grpc",
    "secrets/http",
    "secrets/grpc",
    "invokeHttp/http",
    "invokeGrpc/http",
    "invokeHttp/grpc",
    "invokeGrpc/grpc",
    "metadata/http",
    "metadata/grpc",
    "health/http",
];

/// Where `cargo xtask setup` puts the packages.
pub(crate) fn packages() -> PathBuf {
    // The fixture is in `<target>/<profile>/examples`.
    fixture().ancestors().nth(3).unwrap().join("sdk")
}

/// The Python that has the SDK.
fn python() -> Option<PathBuf> {
    let python = packages().join("python/bin/python3");
    let works = Command::new(&python)
        .args(["-c", "import dapr.clients, dapr.ext.grpc"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    works.is_ok_and(|status| status.success()).then_some(python)
}

/// Where the packages of Node are.
fn modules() -> Option<PathBuf> {
    let modules = packages().join("node/node_modules");
    let is_there = modules.join("@dapr/dapr/package.json").is_file();
    let node = Command::new("node").arg("--version").stdout(Stdio::null()).status();
    (is_there && node.is_ok_and(|status| status.success())).then_some(modules)
}

fn program(name: &str) -> String {
    let path = Path::new("crates/flotilla/tests/it/sdk").join(name);
    repository().join(path).display().to_string()
}

/// A system whose service `checks` runs `run`, with something to call: `echo` over HTTP, `greeter` over gRPC.
fn system(python: &Path, run: &[&str], env: &str) -> System {
    let python = python.display();
    let callee = program("python/callee.py");
    let system = System::new(&format!(
        "
services:
  checks:
    run: {run:?}
    env: {{ {env} }}
    health: {{ ready: /healthz, start_timeout: 1m }}
  echo: {{ run: ['{python}', '{callee}', http] }}
  greeter: {{ run: ['{python}', '{callee}', grpc], api: {{ protocol: grpc }} }}
secrets:
  file: secrets.env
"
    ));
    system.file("secrets.env", "DB_PASSWORD=hunter2\n");
    system.flotilla("up -d --wait-timeout 2m").expect(0);
    system
}

/// Runs the cases one after another and names all that failed.
fn check(system: &System, cases: &[&str]) {
    let checks = system.status().address("checks", 0);
    let mut failed = Vec::new();
    for case in cases {
        let answer = Connection::open(checks).unwrap().ask(&Request::get(format!("/{case}")));
        let answer = answer.unwrap();
        if answer.status != 200 {
            failed.push(format!("{case}:\n{}", answer.text()));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// An app that asks for its end through the SDK is stopped, and its place is taken again.
fn check_shutdown(system: &System, path: &str) {
    let before = system.status();
    let checks = before.address("checks", 0);
    // The answer may come or not: who asks is stopped meanwhile.
    drop(Connection::open(checks).unwrap().ask(&Request::get(path)));
    eventually("the end of who asked for it", || {
        let answer = Connection::open(checks).and_then(|mut it| it.ask(&Request::get("/healthz")));
        answer.is_err().then_some(())
    });
}

#[test]
fn the_python_sdk_works_unmodified() {
    let Some(python) = python() else {
        return skip("the Python SDK", "its packages are not installed: `cargo xtask setup`");
    };
    let checks = program("python/checks.py");
    let system = system(&python, &[&python.display().to_string(), &checks], "");
    check(&system, PYTHON);
    check_shutdown(&system, "/shutdown");
    system.down();
}

#[test]
fn the_javascript_sdk_works_unmodified() {
    let (Some(python), Some(modules)) = (python(), modules()) else {
        return skip("the JavaScript SDK", "its packages are not installed: `cargo xtask setup`");
    };
    let checks = program("node/checks.js");
    let env = format!("NODE_PATH: '{}'", modules.display());
    let system = system(&python, &["node", &checks], &env);
    check(&system, NODE);
    check_shutdown(&system, "/shutdown/http");
    system.down();
}
