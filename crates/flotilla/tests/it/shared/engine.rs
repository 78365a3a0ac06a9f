//! Traffic does not depend on the engine: it dies, and only what needs it says so.

use super::{api_of, ask};
use crate::kit::{System, etcd::Etcd, http::Request, wait::eventually};
use serde_json::json;
use std::{fs, path::PathBuf};

#[test]
fn requests_go_on_without_etcd_and_state_comes_back_with_it() {
    let system = System::empty();
    let Some(mut etcd) =
        Etcd::start("requests_go_on_without_etcd_and_state_comes_back_with_it", &system)
    else {
        return;
    };
    system.write(&format!(
        "
engines: {{ kv: {{ url: 'etcd://127.0.0.1:{}', prefix: shop }} }}
services:
  web: {{ run: FIXTURE serve, health: /ready }}
gateway: {{ listen: GATEWAY, routes: {{ /: web }} }}
config: {{ configstore: {{ values: {{ limit: '10' }} }} }}
",
        etcd.port()
    ));
    system.up();
    let web = api_of(&system, "web");
    let body = json!([{ "key": "k", "value": 1 }]);
    let write = || ask(web, "POST", "/v1.0/state/statestore", Some(&body));
    assert_eq!(write().status, 204);
    let config = || ask(web, "GET", "/v1.0/configuration/configstore?key=limit", None);
    assert_eq!(config().json()["limit"]["value"], "10");

    etcd.kill();
    let refused = ask(web, "GET", "/v1/state/statestore/keys/k", None);
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.header("retry-after").is_some());
    assert!(refused.text().contains("etcd"), "{}", refused.text());
    assert!(matches!(write().status, 500 | 503));
    for _ in 0..20 {
        assert_eq!(system.get("/").status, 200);
        assert_eq!(Request::get("/v1.0/invoke/web/method/x").send(web).unwrap().status, 200);
    }
    // What is known goes on being known.
    assert_eq!(config().json()["limit"]["value"], "10");
    system.flotilla("config get limit").expect(0).says("does not answer");
    system.flotilla("scale web=2").expect(0);
    system.until_ready("web", 2);

    etcd.run();
    eventually("state", || (write().status == 204).then_some(()));
    assert_eq!(ask(web, "GET", "/v1.0/state/statestore/k", None).json(), 1);
    eventually("configuration", || {
        (system.flotilla("config set limit 11").code == 0).then_some(())
    });
    eventually("the new value", || (config().json()["limit"]["value"] == "11").then_some(()));
    system.down();
}

#[test]
fn a_damaged_store_is_named_and_requests_are_served_all_the_same() {
    let system = System::new(
        "
services: { web: { run: FIXTURE serve, health: /ready } }
gateway: { listen: GATEWAY, routes: { /: web } }
",
    );
    system.up();
    let web = api_of(&system, "web");
    for number in 0..200 {
        let body = json!([{ "key": format!("k{number}"), "value": "x".repeat(100) }]);
        assert_eq!(ask(web, "POST", "/v1.0/state/statestore", Some(&body)).status, 204);
    }
    system.kill_node();
    let log = segment(&system);
    let mut bytes = fs::read(&log).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    fs::write(&log, &bytes).unwrap();

    system.up();
    assert_eq!(system.get("/").status, 200);
    let name = log.file_name().unwrap().to_str().unwrap();
    let status = system.flotilla("ps -o json").expect(0);
    let stores = system.flotilla("state stores").expect(0);
    assert!(stores.err.contains(name) || stores.out.contains(name), "{stores:?} {status:?}");
    let refused = ask(web, "GET", "/v1/state/statestore/keys/k1", None);
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert_eq!(fs::read(&log).unwrap(), bytes, "nobody touches a damaged file");
    system.down();
}

/// The newest file of the log.
pub(super) fn segment(system: &System) -> PathBuf {
    let mut found = Vec::new();
    let mut folders = vec![system.dir().join(".flotilla/data/kv")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "log") {
                found.push(path);
            }
        }
    }
    found.sort();
    found.pop().unwrap_or_else(|| panic!("no log below {}", system.dir().display()))
}
