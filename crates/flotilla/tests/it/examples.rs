//! The examples of this repository, as they are but for their ports and build steps.

mod shop;

use crate::kit::{
    System, alone,
    http::{Answer, Request},
    repository, skip,
};
use serde_json::{Value, json};
use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
};

/// Copies a folder without what running it made.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        if [".flotilla", "target", "node_modules", "__pycache__"].iter().any(|it| name == *it) {
            continue;
        }
        let target = to.join(&name);
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A copy of an example, its gateway and admin moved to free ports.
fn example(name: &str) -> System {
    let system = System::empty();
    copy(&repository().join("examples").join(name), system.dir());
    let file = system.dir().join("flotilla.yaml");
    if let Ok(text) = fs::read_to_string(&file) {
        let text = text.replace("127.0.0.1:8080", &system.gateway.to_string());
        fs::write(file, format!("{text}\nadmin: {{ listen: \"{}\" }}\n", system.admin)).unwrap();
    }
    system
}

/// Whether all programs are there; says so when not.
fn has(test: &str, probes: &[&str]) -> bool {
    let works = |line: &str| {
        let status = Command::new("sh")
            .args(["-c", line])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        status.is_ok_and(|status| status.success())
    };
    let missing: Vec<_> = probes.iter().filter(|line| !works(line)).collect();
    if !missing.is_empty() {
        skip(test, &format!("these do not work here: {missing:?}"));
    }
    missing.is_empty()
}

fn send(system: &System, method: &'static str, path: &str, body: &Value) -> Answer {
    Request::with_json(method, path, body).send(system.gateway).unwrap()
}

#[test]
fn all_example_files_are_valid() {
    let system = System::empty();
    for name in ["hello", "polyglot", "shop", "transfer"] {
        let folder = repository().join("examples").join(name);
        let done = system.flotilla(&format!("-f {} check", folder.display())).expect(0);
        assert!(!done.err.contains("warning"), "{name}: {done:?}");
    }
}

#[test]
fn hello_runs_from_its_procfile_alone() {
    if !has("hello", &["python3 --version", "node --version"]) {
        return;
    }
    let system = example("hello");
    // A Procfile has no place for another port.
    let default = ("127.0.0.1", 8081);
    if TcpListener::bind(default).is_err() {
        return skip("hello", "port 8081 is taken");
    }
    system.flotilla("up -d").expect(0);
    let status = system.status();
    let ask = |service: &str| crate::kit::http::get(status.address(service, 0), "/").unwrap();
    assert_eq!(ask("api").json()["hello"], "from api");
    assert_eq!(ask("web").text(), "hello from web\n");
    system.down();
    TcpListener::bind(default).unwrap();
}

#[test]
fn polyglot_runs_three_languages_as_one_system() {
    let needed = ["python3 -c 'import flask'", "node --version", "go version"];
    if !has("polyglot", &needed) {
        return;
    }
    let _alone = alone();
    let system = example("polyglot");
    system.flotilla("up -d --wait-timeout 2m").expect(0);
    let ann = send(&system, "POST", "/accounts", &json!({ "name": "Ann" }));
    assert_eq!(ann.status, 201, "{}", ann.text());
    let id = ann.json()["id"].as_u64().unwrap();
    assert_eq!(send(&system, "POST", "/accounts", &json!({ "name": "Ann" })).status, 409);
    // Whichever instance answers, the data is the same.
    for _ in 0..8 {
        assert_eq!(system.get(&format!("/accounts/{id}")).json()["name"], "Ann");
        assert_eq!(system.get("/products/tea").json()["price"], 650);
    }
    let tea = json!({ "sku": "tea", "quantity": 2 });
    let basket = send(&system, "POST", &format!("/baskets/{id}/items"), &tea);
    assert!(matches!(basket.status, 200 | 201), "{}", basket.text());
    assert_eq!(basket.json()["total"], 1300);
    for _ in 0..8 {
        assert_eq!(system.get(&format!("/baskets/{id}")).json()["total"], 1300);
    }
    assert!(send(&system, "POST", "/baskets/999/items", &tea).status >= 400);
    let nothing = json!({ "sku": "nothing", "quantity": 1 });
    assert!(send(&system, "POST", &format!("/baskets/{id}/items"), &nothing).status >= 400);
    system.down();
}
