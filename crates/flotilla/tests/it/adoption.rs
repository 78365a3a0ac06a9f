//! The node is killed; its instances go on, and the next node takes them over.

use crate::kit::{System, alone, http, load::Load, processes, wait::eventually};
use std::{net::TcpListener, process::Stdio, time::Duration};

const SYSTEM: &str = "
services:
  users: { run: FIXTURE serve, instances: 3, health: /ready }
  web: { run: FIXTURE serve, needs: [users], health: { ready: /ready, live: /live } }
gateway:
  listen: GATEWAY
  routes: { /users: users, /: web }
";

#[test]
fn a_killed_node_leaves_its_instances_serving_and_the_next_one_adopts_them() {
    let system = System::new(SYSTEM);
    system.up();
    let before = system.status();
    let need = system.need(before.address("web", 0), "USERS_URL");
    system.kill_node();
    system.flotilla("ps").expect(6);

    // Nobody watches, and they serve on.
    for at in 0..3 {
        assert_eq!(http::get(before.address("users", at), "/").unwrap().status, 200);
    }
    http::get(before.address("web", 0), "/print?text=while-alone").unwrap();

    system.up();
    let after = system.until_ready("users", 3);
    assert_eq!(after.pids("users"), before.pids("users"));
    assert_eq!(after.pids("web"), before.pids("web"));
    assert!(after.instances("users").iter().all(|it| it["adopted"] == true && it["restarts"] == 0));
    assert_eq!(system.get("/users/x").json()["service"], "users");
    assert_eq!(
        http::get(need, "/x").unwrap().json()["service"],
        "users",
        "the caller's address is the same"
    );
    eventually("what was said meanwhile", || {
        system.logs("web").contains(&"while-alone".to_owned()).then_some(())
    });
    let lines = system.logs("web");
    assert_eq!(lines.iter().filter(|line| *line == "while-alone").count(), 1);

    // What is adopted is watched like everything else.
    let (_, first) = after.pids("users")[0].clone();
    processes::kill(first, rustix::process::Signal::KILL);
    system.until("a replacement", |status| {
        status.service("users")["ready"] == 3
            && status.pids("users").iter().all(|(_, pid)| *pid != first)
    });
    system.down();
}

#[test]
fn down_stops_what_a_killed_node_left() {
    let system = System::new(SYSTEM);
    system.up();
    let ports: Vec<_> = (0..3).map(|at| system.status().address("users", at)).collect();
    system.kill_node();
    assert!(!system.processes().is_empty());
    system.down();
    for address in ports {
        TcpListener::bind(address).unwrap_or_else(|error| panic!("{address}: {error}"));
    }
    system.flotilla("down").expect(6);
}

#[test]
fn an_instance_that_died_while_nobody_watched_is_started_again() {
    let system = System::new(SYSTEM);
    system.up();
    let before = system.status();
    system.kill_node();
    let (_, lost) = before.pids("users")[1].clone();
    processes::kill(lost, rustix::process::Signal::KILL);
    eventually("its end", || (!processes::lives(lost)).then_some(()));
    system.up();
    let after = system.until_ready("users", 3);
    let kept = after.pids("users").iter().filter(|it| before.pids("users").contains(it)).count();
    assert_eq!(kept, 2, "{before:?} {after:?}");
    system.down();
}

#[test]
fn a_file_that_changed_while_nobody_watched_replaces_only_what_changed() {
    let system = System::new(SYSTEM);
    system.up();
    let before = system.status();
    system.kill_node();
    system.write(&SYSTEM.replace("web: { run", "web: { env: { COLOUR: red }, run"));
    system.up();
    let after = system.until("web replaced", |status| {
        status.state("web") == "ready" && status.pids("web") != before.pids("web")
    });
    assert_eq!(after.pids("users"), before.pids("users"));
    let env = http::get(after.address("web", 0), "/env").unwrap().json();
    assert_eq!(env["COLOUR"], "red");
    system.down();
}

#[test]
fn killing_the_node_again_and_again_never_starts_an_instance_twice() {
    let _alone = alone();
    let system = System::new(SYSTEM);
    system.up();
    let before = system.status();
    for _ in 0..5 {
        system.kill_node();
        system.up();
    }
    let after = system.status();
    assert_eq!(after.pids("users"), before.pids("users"));
    assert_eq!(after.pids("web"), before.pids("web"));
    let load = Load::start(2, system.gateway, |_| http::Request::get("/users/x"));
    eventually("some traffic", || (load.asked() > 500).then_some(()));
    load.end().assert_none_lost();
    system.down();
}

#[test]
fn down_goes_on_when_the_node_is_killed_while_it_stops() {
    let system =
        System::new("services: { web: { run: FIXTURE ignore-term, stop: { grace: 2s } } }");
    system.up();
    let mut command = system.command(env!("CARGO_BIN_EXE_flotilla"));
    let mut down = command.arg("down").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    system.until("stopping", |status| status.0["phase"] == "stopping");
    system.kill_node();
    assert_eq!(crate::kit::end_of(&mut down, Duration::from_secs(60)), Some(0));
    system.assert_nothing_left();
}

#[test]
fn what_a_killed_node_left_gets_the_stop_signal_of_its_service() {
    let system = System::new(
        "
services:
  web:
    run: trap 'touch DIR/asked; exit 0' INT; trap '' TERM; while true; do sleep 0.1; done
    listen: false
    stop: { signal: INT }
",
    );
    system.up();
    system.kill_node();
    system.down();
    assert!(system.dir().join("asked").exists());
}
