//! The Python package against the same servers: its own tests, which need no more than the standard library and the drivers.

use crate::{
    bank::{client, run},
    servers::{Kind, Server, shared, skip},
};
use std::{
    fs::{self, File},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// How long all tests of the package may take, on a busy machine.
const TESTS_TIME_MAX: Duration = Duration::from_secs(600);

fn works(code: &str) -> bool {
    let mut python = Command::new("python3");
    python.args(["-c", code]).stdout(Stdio::null()).stderr(Stdio::null());
    python.status().is_ok_and(|status| status.success())
}

/// The server's address, once it serves. MariaDB is waited for by asking for its port; it opens it last.
fn address(server: &Server, kind: Kind, user: &str) -> String {
    match kind {
        Kind::Postgres => run(async { drop(client(server, "postgres").await) }),
        Kind::MariaDb => {
            let start = Instant::now();
            while let Err(error) = std::net::TcpStream::connect(("127.0.0.1", server.port)) {
                server.not_ready(start, &error);
                std::thread::park_timeout(Duration::from_millis(50));
            }
        }
    }
    format!("127.0.0.1:{}:{user}", server.port)
}

#[test]
fn the_python_package_passes_its_tests() {
    if !works("import unittest, sqlite3") {
        return skip("the Python package", "there is no python3 with sqlite3");
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../clients/python");
    let out = tempfile::tempdir().unwrap();
    let log = out.path().join("log");
    let file = File::create(&log).unwrap();
    let mut tests = Command::new("python3");
    tests.args(["-m", "unittest", "discover", "-v", "-t", ".", "-s", "tests"]);
    tests.current_dir(folder).env("PYTHONDONTWRITEBYTECODE", "1").stdin(Stdio::null());
    tests.stdout(file.try_clone().unwrap()).stderr(file);
    let mut servers = Vec::new();
    for (kind, driver, variable, user) in [
        (Kind::Postgres, "psycopg", "FLOTILLA_TEST_POSTGRES", "flotilla"),
        (Kind::MariaDb, "pymysql", "FLOTILLA_TEST_MYSQL", "root"),
    ] {
        tests.env_remove(variable);
        if !works(&format!("import {driver}")) {
            skip(
                &format!("the Python package on {kind:?}"),
                &format!("there is no Python module {driver}: `cargo xtask setup`"),
            );
            continue;
        }
        let Some(server) = shared(kind) else { continue };
        tests.env(variable, address(&server, kind, user));
        servers.push(server);
    }
    let mut child = tests.spawn().unwrap();
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break Some(status);
        }
        if start.elapsed() > TESTS_TIME_MAX {
            child.kill().unwrap();
            child.wait().unwrap();
            break None;
        }
        std::thread::park_timeout(Duration::from_millis(50));
    };
    let text = fs::read_to_string(&log).unwrap();
    assert!(status.is_some_and(|status| status.success()), "{text}");
    // What was meant to run has run.
    assert!(servers.len() < 2 || !text.contains("skipped="), "{text}");
    assert!(text.contains("\nOK"), "{text}");
}
