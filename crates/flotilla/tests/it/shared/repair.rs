//! A store that cannot be opened: it is named, it is repaired, and the node takes it as soon as it can.

use super::{api_of, ask, engine::segment};
use crate::kit::{Done, System, wait::within};
use serde_json::{Value, json};
use std::{
    fs::{self, File},
    net::SocketAddr,
    path::PathBuf,
    time::Duration,
};

const SHOP: &str = "
services: { web: { run: FIXTURE serve, health: /ready } }
gateway: { listen: GATEWAY, routes: { /: web } }
";

/// Longer than the longest pause between two tries of a node to open its store.
const OPENED_MAX: Duration = Duration::from_secs(180);

const KEYS: usize = 200;

/// A system with keys, whose node was killed.
fn killed() -> System {
    let system = System::new(SHOP);
    system.up();
    let web = api_of(&system, "web");
    for number in 0..KEYS {
        let body = json!([{ "key": format!("k{number}"), "value": "x".repeat(100) }]);
        assert_eq!(ask(web, "POST", "/v1.0/state/statestore", Some(&body)).status, 204);
    }
    system.kill_node();
    system
}

/// Turns a byte in the middle of the log over. Returns the file.
fn damage(system: &System) -> PathBuf {
    let log = segment(system);
    let mut bytes = fs::read(&log).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    fs::write(&log, bytes).unwrap();
    log
}

/// What the node says is not as it should be.
fn notes(system: &System) -> String {
    system.api("GET", "/v1/system", None).json()["notes"].to_string()
}

fn key(web: SocketAddr, number: usize) -> (u16, String) {
    let answer = ask(web, "GET", &format!("/v1.0/state/statestore/k{number}"), None);
    (answer.status, answer.text())
}

/// Starts the system, which serves but has no store.
fn up_without_store(system: &System, why: &str) -> SocketAddr {
    let up: Done = system.up();
    assert!(up.err.contains("F036") && up.err.contains(why), "{up:?}");
    assert_eq!(system.get("/").status, 200);
    let web = api_of(system, "web");
    assert_eq!(ask(web, "GET", "/v1/state/statestore/keys/k0", None).status, 503);
    assert!(notes(system).contains("F036"), "{}", notes(system));
    web
}

/// Waits until the store is there again.
fn until_opened(system: &System, web: SocketAddr) {
    let found = within(OPENED_MAX, &mut || (key(web, 0).0 == 200).then_some(()));
    assert!(found.is_some(), "the store is still not there: {}", notes(system));
    assert!(!notes(system).contains("F036"), "{}", notes(system));
    system.flotilla("state stores").expect(0).says("answers");
}

#[test]
fn a_damaged_store_is_repaired_when_no_node_has_it() {
    let system = killed();
    let log = damage(&system);
    let bytes = fs::read(&log).unwrap();
    up_without_store(&system, "state repair");
    system.down();

    let name = log.file_name().unwrap().to_str().unwrap();
    let done = system.flotilla("state repair").expect(0);
    let aside = format!("{name}.damaged-1");
    assert!(done.out.contains("put aside") && done.out.contains(&aside), "{done:?}");
    assert!(done.out.contains("lost") && done.out.contains("from entry"), "{done:?}");
    assert_eq!(fs::read(log.with_file_name(aside)).unwrap(), bytes, "it is kept as it was");
    let again = system.flotilla("state repair").expect(0).says("nothing to repair");
    assert_eq!(again.out, "");
    let again = system.flotilla("state repair -o json").expect(0).json();
    assert_eq!((&again["aside"], &again["lost"]), (&json!([]), &json!([])));

    let up = system.up();
    assert!(!up.err.contains("F036"), "{up:?}");
    let web = api_of(&system, "web");
    assert_eq!(key(web, 0).0, 200, "what was written before the damage is there");
    let there = (0..KEYS).filter(|number| key(web, *number).0 == 200).count();
    assert!(there > KEYS / 4 && there < KEYS, "{there}");
    let in_use = system.flotilla("state repair").expect(8);
    assert!(in_use.err.contains("in use") && in_use.err.contains("flotilla down"), "{in_use:?}");
    system.down();
}

#[test]
fn a_folder_without_a_store_has_nothing_to_repair() {
    let system = System::new(SHOP);
    system.flotilla("state repair").expect(0).says("nothing to repair");
    assert!(!system.dir().join(".flotilla").exists(), "and nothing was made");
}

#[test]
fn a_store_that_is_repaired_while_its_node_runs_is_opened_without_a_restart() {
    let system = killed();
    damage(&system);
    let web = up_without_store(&system, "state repair");
    let node = system.node();
    let repaired = system.flotilla("state repair -o json").expect(0).json();
    assert_eq!(repaired["aside"].as_array().map(Vec::len), Some(1), "{repaired:#}");
    assert_eq!(repaired["lost"].as_array().map(Vec::len), Some(1), "{repaired:#}");
    until_opened(&system, web);
    let body: Value = json!([{ "key": "after", "value": 1 }]);
    assert_eq!(ask(web, "POST", "/v1.0/state/statestore", Some(&body)).status, 204);
    system.flotilla("lock run x -- true").expect(0);
    assert_eq!(system.node(), node);
    system.flotilla("state repair").expect(8);
    system.down();
    // It was closed well.
    system.up();
    assert_eq!(ask(api_of(&system, "web"), "GET", "/v1.0/state/statestore/after", None).json(), 1);
    system.down();
}

#[test]
fn a_store_that_another_process_has_is_opened_when_it_is_let_go_of() {
    let system = killed();
    let lock = File::options().write(true).open(system.dir().join(".flotilla/data/kv/lock"));
    let lock = lock.unwrap();
    lock.try_lock().unwrap();
    up_without_store(&system, "in use");
    // The next node waits for it as well, and so does the one after that.
    system.flotilla("restart --node").expect(0);
    assert!(notes(&system).contains("F036"), "{}", notes(&system));
    assert_eq!(system.get("/").status, 200);
    system.down();
    let web = up_without_store(&system, "in use");
    lock.unlock().unwrap();
    until_opened(&system, web);
    system.flotilla("restart --node").expect(0);
    let web = api_of(&system, "web");
    let found = within(OPENED_MAX, &mut || (key(web, KEYS - 1).0 == 200).then_some(()));
    assert!(found.is_some(), "{}", notes(&system));
    system.down();
}
