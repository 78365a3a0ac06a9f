use super::*;
use crate::tidy::lines;

fn source(path: &str, text: &str) -> Source {
    Source { path: path.to_owned(), text: text.to_owned() }
}

fn check_file(path: &str, text: &str, expected: &str) {
    assert_eq!(lines(check(&source(path, text))), expected, "{path}: {text}");
}

const CLOCK: &str = "logic reads no clock, environment, file or socket";
const SPAWN: &str = "only runtime spawns: tasks have an owner";

#[test]
fn logic_reads_nothing_of_the_world() {
    let check_logic = |text: &str, expected: &str| {
        let expected = expected.replace('…', CLOCK);
        check_file("crates/logic/src/lease.rs", text, &expected);
    };
    check_logic("use std::time::Instant;", "1: `std::time::Instant`: …");
    check_logic("\nlet now = std::time::SystemTime::now();", "2: `std::time::SystemTime`: …");
    check_logic("use std::{fmt, fs};", "1: `std::fs`: …");
    check_logic("use std::{\n    fmt,\n    env::{self, var},\n};", "1: `std::env`: …");
    check_logic("pub(crate) use std::{net::{IpAddr, TcpStream}};", "1: `std::net::TcpStream`: …");
    check_logic("use std::time;\nlet x = time::Instant::now();", "2: `std::time::Instant`: …");
    check_logic("use std::{net::IpAddr, time::Duration};\nlet instant = 1;", "");
    check_logic("/// Unlike `std::time::Instant`.\nlet url = \"a\"; // std::fs", "");
    check_file("crates/runtime/src/clock.rs", "use std::time::Instant;", "");
}

#[test]
fn only_runtime_and_tests_spawn() {
    let check_gateway = |text: &str, expected: &str| {
        let expected = expected.replace('…', SPAWN);
        check_file("crates/gateway/src/service.rs", text, &expected);
    };
    check_gateway("tokio::spawn(work);", "1: `tokio::spawn`: …");
    check_gateway("use tokio::{spawn, time};", "1: `tokio::spawn`: …");
    check_gateway("task::spawn_blocking(work).await;", "1: `tokio::task::spawn_blocking`: …");
    check_gateway("std::thread::spawn(work);", "1: `std::thread::spawn`: …");
    check_gateway("tasks.spawn(\"events\", OnExit::StopAll, work);", "");
    check_gateway("runtime::spawn_blocking(work).await;", "");
    check_gateway("#[cfg(test)]\nmod tests {\n    tokio::spawn(x);\n}\n", "");
    check_gateway("#[cfg(test)]\nmod tests {\n}\ntokio::spawn(x);", "4: `tokio::spawn`: …");
    for path in
        ["crates/runtime/src/a.rs", "crates/api/src/a/tests.rs", "crates/api/tests/it/main.rs"]
    {
        check_file(path, "tokio::spawn(work);", "");
    }
    check_file("examples/shop/kit/src/serve.rs", "tokio::spawn(work);", "");
}

#[test]
fn a_crate_says_what_it_is() {
    let message = "1: a crate starts with `//!`: what it is";
    check_file("crates/api/src/lib.rs", "mod a;", message);
    check_file("crates/flotilla/src/main.rs", "\n//! Late.", message);
    check_file("crates/api/src/lib.rs", "//! The surface.", "");
    check_file("crates/api/src/routes.rs", "mod a;", "");
}

#[test]
fn a_long_file_is_an_exception_and_a_very_long_one_is_refused() {
    let file = |lines: usize| source("crates/api/src/a.rs", &"x\n".repeat(lines));
    let check = |lines_in_file, exceptions: &[&str], expected: &str| {
        assert_eq!(lines(length(&file(lines_in_file), exceptions)), expected);
    };
    check(400, &[], "");
    check(401, &[], "1: 401 lines, more than 400: is this two subjects?");
    check(401, &["crates/api/src/a.rs"], "");
    check(601, &["crates/api/src/a.rs"], "1: 601 lines, never more than 600: split it by subject");
    let outdated =
        |lines_in_file| lines(outdated(&["crates/api/src/a.rs"], &[file(lines_in_file)]));
    assert_eq!(outdated(401), "");
    assert_eq!(outdated(400), "1: is no longer a long file: take it from LONG_FILES");
}
