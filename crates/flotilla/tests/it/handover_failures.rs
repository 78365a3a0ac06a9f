//! `restart --node` that fails: the present node goes on as before and says why.

use crate::kit::{
    System, end_of, fixture, http::Request, kill_child, load::Load, processes, wait::eventually,
};
use serde_json::json;
use std::{
    fs::{self, File, Permissions},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

const SYSTEM: &str = "
services:
  users: { run: FIXTURE serve, instances: 3, health: /ready }
  web: { run: FIXTURE serve, needs: [users] }
gateway:
  listen: GATEWAY
  routes: { /users: users, /: web }
";

/// A program that does this.
fn program(system: &System, name: &str, script: &str) -> PathBuf {
    let path = system.dir().join(name);
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    path
}

/// Asks for a replacement by another program, and for why there was none.
#[track_caller]
fn refused(system: &System, program: &Path) -> String {
    let body = json!({ "program": program.display().to_string() });
    let answer = system.api("POST", "/v1/node/restart", Some(&body));
    assert!(answer.status >= 400, "{}", answer.text());
    answer.json()["error"]["message"].as_str().unwrap().to_owned()
}

#[test]
fn a_program_that_cannot_take_over_changes_nothing_and_is_told() {
    let system = System::new(SYSTEM);
    system.up();
    let (node, before) = (system.node(), system.until_ready("users", 3));
    let load = Load::start(2, system.gateway, |_| Request::get("/users/x"));
    let asked = |program: &Path, says: &[&str]| {
        let why = refused(&system, program);
        for word in says {
            assert!(why.contains(word), "`{word}` is not in: {why}");
        }
        let status = system.status();
        assert_eq!(system.node(), node);
        for service in ["users", "web"] {
            assert_eq!(status.pids(service), before.pids(service));
        }
    };
    asked(Path::new("/nowhere/flotilla"), &["cannot be started", "No such file"]);
    let plain = system.dir().join("plain");
    fs::write(&plain, "no program").unwrap();
    asked(&plain, &["cannot be started", "ermission denied"]);
    let loud = program(&system, "loud", "#!/bin/sh\necho a library is missing >&2\nexit 3\n");
    asked(&loud, &["exit status: 3", "a library is missing"]);
    asked(&program(&system, "quiet", "#!/bin/sh\nexit 0\n"), &["exit status: 0"]);
    let babble = program(&system, "babble", "#!/bin/sh\nprintf 'hello world, hello' >&0\n");
    asked(&babble, &["speaks another language"]);
    // Dies with all instances in its hands.
    asked(&fixture(), &["exit status: 7", "the successor dies"]);
    load.end().assert_none_lost();

    // The instances that were taken back are watched, and the next try succeeds.
    let (_, first) = system.status().pids("users")[0].clone();
    processes::kill(first, rustix::process::Signal::KILL);
    system.until("a new process", |status| {
        status.service("users")["ready"] == 3
            && status.pids("users").iter().all(|(_, pid)| *pid != first)
    });
    system.flotilla("restart --node").expect(0);
    assert_ne!(system.node(), node);
    system.down();
}

#[test]
fn a_program_that_says_nothing_is_ended() {
    let system = System::new("services: { web: { run: FIXTURE serve } }");
    system.up();
    let node = system.node();
    let hanging = program(&system, "hanging", "#!/bin/sh\nexec sleep 1000\n");
    let why = refused(&system, &hanging);
    assert!(why.contains("did not answer in time"), "{why}");
    let sleeps = || system.processes().iter().any(|it| it.command.starts_with("sleep 1000"));
    eventually("its end", || (!sleeps()).then_some(()));
    assert_eq!(system.node(), node);
    system.down();
}

#[test]
fn a_file_that_is_wrong_or_cannot_be_served_leaves_the_node_as_it_is() {
    let system = System::new(SYSTEM);
    system.up();
    let (node, before) = (system.node(), system.until_ready("users", 3));
    let load = Load::start(2, system.gateway, |_| Request::get("/users/x"));
    system.write(&SYSTEM.replace("instances", "instanses"));
    system.flotilla("restart --node").expect(3).says("[F002]").says("did you mean `instances`");
    assert_eq!(system.node(), node);

    // Found out only when the instances have been given away: another program has the new port.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    system.write(&SYSTEM.replace("GATEWAY", &format!("\"127.0.0.1:{port}\"")));
    system.flotilla("restart --node").expect(8).says("[F016]").says("taken");
    assert_eq!(system.node(), node);
    load.end().assert_none_lost();
    let status = system.until_ready("users", 3);
    for service in ["users", "web"] {
        assert_eq!(status.pids(service), before.pids(service));
    }
    system.write(SYSTEM);
    system.flotilla("restart --node").expect(0);
    system.down();
}

#[test]
fn a_node_in_front_of_a_terminal_and_a_run_under_way_are_not_replaced() {
    let system = System::new("services: { web: { run: FIXTURE serve } }");
    system.flotilla("restart --node").expect(6);
    let out = File::create(system.dir().join("up.out")).unwrap();
    let mut command = system.command(env!("CARGO_BIN_EXE_flotilla"));
    let command = command.arg("up").stdin(Stdio::null()).stdout(out).stderr(Stdio::null());
    let mut up = command.spawn().unwrap();
    system.until("ready", |status| status.0["phase"] == "ready");
    system.flotilla("restart --node").expect(1).says("ends with it").says("up -d");
    assert_eq!(system.api("POST", "/v1/node/restart", None).status, 409);
    processes::kill(up.id(), rustix::process::Signal::TERM);
    if end_of(&mut up, Duration::from_secs(30)).is_none() {
        kill_child(&mut up);
        panic!("`up` does not end");
    }

    system.up();
    let node = system.node();
    let body = json!({ "service": "web", "shell": "sleep 1000" });
    assert_eq!(system.api("POST", "/v1/run", Some(&body)).status, 202);
    eventually("the run", || (system.status().instances("web").len() == 2).then_some(()));
    system.flotilla("restart --node").expect(8).says("`flotilla run` of web");
    assert_eq!(system.node(), node);
    system.down();
}
