//! The command line for what services share, and what a service notices of it.

use super::{api_of, ask};
use crate::kit::{System, http, wait::eventually};
use serde_json::json;
use std::{fs, io::Write as _, process::Stdio};

const SHOP: &str = "
services:
  web:
    run: FIXTURE serve
    health: /ready
    env: { PASSWORD: 'pw-${secret:DB_PASSWORD}' }
    config: { keys: ['checkout.*'], on_change: restart }
gateway: { listen: GATEWAY, routes: { /: web } }
config: { configstore: { values: { 'checkout.limit': '10' } } }
";

/// Runs `flotilla` with words of which one may have spaces, and with a standard input.
pub(super) fn with_input(system: &System, words: &[&str], input: &str) -> crate::kit::Done {
    let file = system.dir().join("input");
    fs::write(&file, input).unwrap();
    let mut command = system.command(env!("CARGO_BIN_EXE_flotilla"));
    command.args(words).stdin(fs::File::open(file).unwrap());
    system.finish(&mut command)
}

#[test]
fn state_can_be_looked_at_and_changed() {
    let system = System::new("services: { web: { run: FIXTURE serve } }");
    system.up();
    system.flotilla("state set order-1 {\"n\":1} --service web --new").expect(0).says("etag");
    system.flotilla("state set order-1 2 --service web --new").expect(8).says("order-1");
    let item = system.flotilla("state get order-1 --service web -o json").expect(0).json();
    assert_eq!(item["value"], json!({ "n": 1 }));
    let etag = item["etag"].as_str().unwrap();
    system.flotilla(&format!("state set order-1 [2] --service web --etag {etag}")).expect(0);
    system.flotilla(&format!("state set order-1 [3] --service web --etag {etag}")).expect(8);
    system.flotilla("state set order-1 [3] --service web --etag soup").expect(2).says("soup");
    // The service sees the same, under the name that it knows.
    let web = api_of(&system, "web");
    assert_eq!(ask(web, "GET", "/v1.0/state/statestore/order-1", None).json(), json!([2]));
    with_input(&system, &["state", "set", "text", "-", "--service", "web"], "two words\n")
        .expect(0);
    let listed = system.flotilla("state ls --service web").expect(0);
    assert!(listed.out.contains("order-1") && listed.out.contains("two words"), "{listed:?}");
    system.flotilla("state ls").expect(0).says("web||order-1");
    system.flotilla(&format!("state rm order-1 --service web --etag {etag}")).expect(8);
    system.flotilla("state rm order-1 --service web").expect(0).says("deleted");
    system.flotilla("state rm order-1 --service web").expect(0).says("not there");
    system.flotilla("state get order-1 --service web").expect(2);
    system.flotilla("state get x --store carts").expect(2).says("no store `carts`");
    system.flotilla("state stores").expect(0).says("statestore").says("answers");
    system.down();
}

#[test]
fn configuration_has_a_history_and_services_are_told_of_changes() {
    let system = System::new(SHOP);
    with_secret(&system);
    let config = |words: &str| system.flotilla(&format!("config {words}"));
    assert_eq!(config("get checkout.limit").expect(0).out, "10\n");
    let pid = |status: crate::kit::Status| status.service("web")["instances"][0]["pid"].clone();
    let before = pid(system.until_ready("web", 1));
    config("set checkout.limit 20").expect(0).says("version 2");
    eventually("a restart", || {
        let status = system.look()?;
        let web = status.service("web");
        let now = web["instances"].as_array().unwrap();
        (web["ready"] == 1 && now.len() == 1 && now[0]["pid"] != before).then_some(())
    });
    config("set checkout.limit 30 --expect 1").expect(8).says("checkout.limit");
    config("diff checkout.limit 1").expect(0).says("-10").says("+20");
    config("rollback checkout.limit").expect(0).says("version 3");
    assert_eq!(config("get checkout.limit").expect(0).out, "10\n");
    let history = config("history checkout.limit -o json").expect(0).json();
    let values: Vec<_> = history["versions"].as_array().unwrap().iter().collect();
    assert_eq!(values.len(), 3);
    assert_eq!((&values[0]["value"], &values[0]["restores"]), (&json!("10"), &json!(1)));
    // What was set by hand outlives the file's first value.
    config("set checkout.limit 40").expect(0);
    system.until_ready("web", 1);
    system.flotilla("up -d").expect(0);
    assert_eq!(config("get checkout.limit").expect(0).out, "40\n");
    let web = api_of(&system, "web");
    let seen = ask(web, "GET", "/v1.0/configuration/configstore?key=checkout.limit", None);
    assert_eq!(seen.json()["checkout.limit"]["value"], "40");
    config("rm checkout.limit").expect(0);
    config("get checkout.limit").expect(2).says("not set");
    system.down();
}

/// Starts the system, which cannot start its service, and stores the secret that this one waits for.
fn with_secret(system: &System) {
    let up = system.flotilla("up -d --wait-timeout 60s").expect(4);
    assert!(up.err.contains("DB_PASSWORD") && up.err.contains("F037"), "{up:?}");
    with_input(system, &["secrets", "set", "DB_PASSWORD"], "hunter2-hunter2\n").expect(0);
    system.until_ready("web", 1);
}

#[test]
fn a_secret_reaches_the_service_and_nobody_else() {
    let system = System::new(SHOP);
    with_secret(&system);
    let status = system.until_ready("web", 1);
    let env = http::get(status.address("web", 0), "/env").unwrap().json();
    assert_eq!(env["PASSWORD"], "pw-hunter2-hunter2");
    // The service prints what it should not.
    system.get("/print?text=the-password-is-hunter2-hunter2");
    eventually("the line", || {
        system.logs("web").iter().any(|line| line.contains("the-password-is")).then_some(())
    });
    let told = [
        system.flotilla("logs web").out,
        system.flotilla("logs web -o json").out,
        system.flotilla("ps -o json").out,
        system.flotilla("secrets ls -o json").expect(0).out,
        system.flotilla("secrets get DB_PASSWORD -o json").expect(0).out,
        system.flotilla("state ls").out,
        fs::read_to_string(system.dir().join(".flotilla/node.log")).unwrap(),
    ];
    for text in &told {
        assert!(!text.contains("hunter2"), "{text}");
    }
    assert!(told[0].contains("the-password-is-***"), "{}", told[0]);
    // Not even on the disk, but in the run of the service itself.
    for entry in walk(&system.dir().join(".flotilla/data")) {
        let bytes = fs::read(&entry).unwrap();
        let found = bytes.windows(7).any(|window| window == b"hunter2");
        assert!(!found, "{} has the secret", entry.display());
    }
    let shown = system.flotilla("secrets get DB_PASSWORD --reveal").expect(0);
    assert_eq!(shown.out, "hunter2-hunter2\n");
    system.flotilla("secrets rotate").expect(0).says("1 secret is sealed with key ");
    let shown = system.flotilla("secrets get DB_PASSWORD --reveal").expect(0);
    assert_eq!(shown.out, "hunter2-hunter2\n");
    let web = api_of(&system, "web");
    let own = ask(web, "GET", "/v1.0/secrets/secretstore/DB_PASSWORD", None);
    assert_eq!(own.json(), json!({ "DB_PASSWORD": "hunter2-hunter2" }));
    assert_eq!(ask(web, "GET", "/v1.0/secrets/nostore/X", None).status, 401);
    system.flotilla("secrets rm DB_PASSWORD").expect(0).says("deleted");
    system.flotilla("secrets get DB_PASSWORD").expect(2);
    system.down();
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(walk(&path));
        } else {
            found.push(path);
        }
    }
    found
}

#[test]
fn a_service_can_ask_for_a_signal_when_its_configuration_changes() {
    let system = System::empty();
    system.file(
        "web/app.py",
        "
import http.server, os, signal
def told(*_):
    print('told', flush=True)
signal.signal(signal.SIGHUP, told)
http.server.HTTPServer(('127.0.0.1', int(os.environ['PORT'])), http.server.SimpleHTTPRequestHandler).serve_forever()
",
    );
    system.write(
        "services: { web: { run: python3 app.py, config: { keys: [colour], on_change: sighup } } }",
    );
    system.up();
    system.flotilla("config set size 3").expect(0);
    system.flotilla("config set colour blue").expect(0);
    eventually("the signal", || {
        (system.logs("web").iter().filter(|line| *line == "told").count() == 1).then_some(())
    });
    system.flotilla("config set colour red").expect(0);
    eventually("the second signal", || {
        (system.logs("web").iter().filter(|line| *line == "told").count() == 2).then_some(())
    });
    system.down();
}

#[test]
fn a_command_runs_under_a_lock_and_nobody_else_meanwhile() {
    let system = System::new("services: { web: { run: FIXTURE serve } }");
    system.up();
    let program = env!("CARGO_BIN_EXE_flotilla");
    let mut holder = system.command(program);
    holder.args([
        "lock",
        "run",
        "deploy",
        "--",
        "sh",
        "-c",
        "echo $FLOTILLA_LOCK_TOKEN; read line; exit 3",
    ]);
    holder.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut holder = holder.spawn().unwrap();
    let held = eventually("the lock", || {
        let locks = system.flotilla("lock ls -o json").expect(0).json();
        locks["locks"].as_array()?.first().cloned()
    });
    assert_eq!(held["resource"], "deploy");
    let listed = system.flotilla("lock ls").expect(0).says("deploy");
    assert!(!listed.out.contains("LEFT"), "a list does not know it: {listed:?}");
    system.flotilla("lock show deploy").expect(0).says("LEFT");
    let other = system.flotilla("lock run deploy --wait 1s -- echo never");
    assert!(other.code == 5 && !other.out.contains("never"), "{other:?}");
    holder.stdin.take().unwrap().write_all(b"go\n").unwrap();
    let done = holder.wait_with_output().unwrap();
    assert_eq!(done.status.code(), Some(3), "the exit code is the command's");
    let first: u64 = String::from_utf8(done.stdout).unwrap().trim().parse().unwrap();
    assert_eq!(held["token"], first);
    let next = system.flotilla("lock run deploy -- printenv FLOTILLA_LOCK_TOKEN").expect(0);
    assert!(next.out.trim().parse::<u64>().unwrap() > first, "{next:?}");
    system.flotilla("lock show deploy").expect(0).says("nobody");
    system.flotilla("lock run deploy -- no-such-program").expect(127).says("no-such-program");
    system.flotilla("lock show deploy").expect(0).says("nobody");
    system.down();
}
