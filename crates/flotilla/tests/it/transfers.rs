//! Money between two banks in every mode of transactions, while what takes part is killed.
//!
//! The banks are those of `examples/transfer`, with the barrier of the Python package. What must hold whatever happens: every transfer that was
//! acknowledged ends, both sides of it moved once or neither did, no balance is negative, and nothing stays held.

mod matrix;
mod storm;
mod two_nodes;

use crate::kit::{
    System,
    http::{Answer, Request},
    repository,
    wait::eventually,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs, io,
    process::{Command, Stdio},
};

const FAULTY: &str = include_str!("transfers/faulty.py");

/// What Ann has at first.
const MONEY: i64 = 1_000_000;

/// The definitions of the file, by what they are called here.
const MODES: [&str; 5] = ["saga", "tcc", "2pc", "3pc", "3pc-classic"];

/// The two banks, with accounts; `None` without Python.
fn banks(test: &str) -> Option<System> {
    has_python(test).then(|| {
        let system = System::empty();
        file(&system, "", "db: sqlite, ", "");
        system.up();
        open_accounts(&system);
        system
    })
}

fn has_python(test: &str) -> bool {
    let mut python = Command::new("python3");
    let works = python.args(["-c", "import sqlite3"]).stderr(Stdio::null()).status();
    let works = works.is_ok_and(|status| status.success());
    if !works {
        crate::kit::skip(test, "there is no `python3` with SQLite");
    }
    works
}

fn open_accounts(system: &System) {
    for (path, balance) in [("/north/accounts/ann", MONEY), ("/south/accounts/bob", 0)] {
        let put = Request::with_json("PUT", path, &json!({ "balance": balance }));
        assert_eq!(put.send(system.gateway).unwrap().status, 204);
    }
}

/// Writes the file of the two banks: with `head` before all, each bank with `database` (ends with a comma, or is empty), and `url` in its environment, where
/// `BANK_NAME` is the bank's name.
fn file(system: &System, head: &str, database: &str, url: &str) {
    let top = repository();
    let example = fs::read_to_string(top.join("examples/transfer/flotilla.yaml")).unwrap();
    let definitions = example.split_once("transactions:\n").unwrap().1;
    let three = definitions.split_once("  transfer-3pc:\n").unwrap().1;
    let classic = three.replacen("mode: 3pc", "mode: 3pc\n    profile: classic", 1);
    let bank = |name: &str| {
        let bank = format!(
            "{{ run: python3 faulty.py, dir: ., instances: 2, {database}health: /ready, restart: {{ backoff: 50ms, backoff_max: 200ms }}, \
             env: {{ PYTHONPATH: {0}/clients/python, BANK_CODE: {0}/examples/transfer, FAULT: DIR/fault, PYTHONDONTWRITEBYTECODE: '1' {url} }} }}",
            top.display()
        );
        bank.replace("BANK_NAME", name)
    };
    let (north, south) = (bank("north"), bank("south"));
    system.file("faulty.py", FAULTY);
    system.write(&format!(
        "
{head}
services:
  north: {north}
  south: {south}
gateway:
  listen: GATEWAY
  routes: {{ /north: {{ to: north, strip: true }}, /south: {{ to: south, strip: true }} }}
transactions:
{definitions}
  transfer-3pc-classic:
{classic}
"
    ));
}

/// Asks the admin API; an error when nobody answers.
fn ask(
    system: &System,
    method: &'static str,
    path: &str,
    body: Option<&Value>,
) -> io::Result<Answer> {
    let token = fs::read_to_string(system.dir().join(".flotilla/token"))?;
    let request = match body {
        Some(body) => Request::with_json(method, path, body),
        None => Request { method, ..Request::get(path) },
    };
    request.header("Authorization", &format!("Bearer {}", token.trim())).send(system.admin)
}

/// Submits a transfer from Ann; whether it was taken.
fn submit(system: &System, id: &str, mode: &str, to: &str, amount: i64) -> bool {
    let input = json!({ "from": "ann", "to": to, "amount": amount });
    let body = json!({ "id": id, "use": format!("transfer-{mode}"), "input": input });
    let answer = ask(system, "POST", "/v1/tx", Some(&body));
    let Ok(answer) = answer else { return false };
    assert!(matches!(answer.status, 200 | 201 | 503), "{id}: {} {}", answer.status, answer.text());
    answer.status != 503
}

/// How a transaction ended, when it has.
fn outcome(system: &System, id: &str) -> Option<String> {
    let answer = ask(system, "GET", &format!("/v1/tx/{id}"), None).ok()?;
    if answer.status != 200 {
        return None;
    }
    let transaction = answer.json();
    let status = transaction["status"].as_str().unwrap();
    matches!(status, "committed" | "aborted" | "mixed").then(|| status.to_owned())
}

/// What a bank says, as soon as it does.
fn bank(system: &System, path: &str) -> Value {
    eventually(path, || {
        let answer = crate::kit::http::get(system.gateway, path).ok()?;
        (answer.status == 200).then(|| answer.json())
    })
}

/// Checks both banks' books against how the transactions ended.
fn audit(system: &System, ended: &BTreeMap<String, (String, i64)>) {
    let mut moved: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for side in ["/north/moves", "/south/moves"] {
        for row in bank(system, side)["moves"].as_array().unwrap() {
            let gid = row[0].as_str().unwrap().to_owned();
            moved.entry(gid).or_default().push(row[2].as_i64().unwrap());
        }
    }
    let mut spent = 0;
    for (id, (outcome, amount)) in ended {
        let mut moves = moved.remove(id).unwrap_or_default();
        moves.sort_unstable();
        if outcome == "committed" {
            assert_eq!(moves, [-amount, *amount], "{id} committed");
            spent += amount;
        } else {
            // A saga that was undone has moved there and back; nobody else has moved at all.
            assert_eq!(outcome, "aborted", "{id}");
            assert!(moves.is_empty() || moves == [-amount, *amount], "{id} aborted: {moves:?}");
        }
    }
    assert!(moved.is_empty(), "moved by nobody: {moved:?}");
    let account = |path: &str| bank(system, path)["accounts"][0].clone();
    let (ann, bob) = (account("/north/accounts"), account("/south/accounts"));
    assert_eq!((&ann["held"], &bob["held"]), (&json!(0), &json!(0)), "{ann} {bob}");
    let balance = |of: &Value| of["balance"].as_i64().unwrap();
    assert_eq!((balance(&ann), balance(&bob)), (MONEY - spent, spent));
}
