//! Somebody else has what is needed: a port, a lock.

use crate::kit::{System, wait::eventually};
use rustix::process::Signal;
use std::{net::TcpListener, process::Stdio};

const SYSTEM: &str = "
services:
  web: { run: FIXTURE serve }
gateway: { listen: GATEWAY, routes: { /: web } }
";

#[test]
fn a_taken_port_is_named_with_its_holder_and_the_key_to_change() {
    let system = System::new(SYSTEM);
    let itself = std::process::id().to_string();
    let held = TcpListener::bind(system.gateway).unwrap();
    let port = system.gateway.port().to_string();
    system.flotilla("up -d").expect(8).says("[F016]").says(&port).says(&itself).says("gateway");
    system.flotilla("doctor").expect(4).says(&port).says(&itself);
    assert!(system.processes().is_empty(), "{:?}", system.processes());
    system.flotilla("up").expect(8).says("[F016]");
    drop(held);

    let held = TcpListener::bind(system.admin).unwrap();
    let port = system.admin.port().to_string();
    system.flotilla("up -d").expect(8).says("[F016]").says(&port).says(&itself).says("admin");
    drop(held);
    system.up();
    system.down();
}

#[test]
fn a_service_whose_fixed_port_is_taken_says_who_has_it() {
    let held = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = held.local_addr().unwrap().port();
    let system =
        System::new(&format!("services:\n  web: {{ run: FIXTURE serve, port: {port} }}\n"));
    let done = system.flotilla("up -d --wait-timeout 20s");
    assert!([4, 8].contains(&done.code), "{done:?}");
    done.says("[F016]").says(&port.to_string()).says(&std::process::id().to_string());
    drop(held);
    system.until_ready("web", 1);
    system.down();
}

#[test]
fn two_systems_run_side_by_side() {
    let (one, two) = (System::new(SYSTEM), System::new(SYSTEM));
    one.up();
    two.up();
    assert_ne!(one.get("/").json()["pid"], two.get("/").json()["pid"]);
    one.down();
    assert_eq!(two.get("/").status, 200);
    two.down();
}

#[test]
fn a_node_that_holds_the_lock_and_does_not_answer_is_a_conflict() {
    let system = System::new(SYSTEM);
    system.up();
    let node = system.node();
    // A node that lives but whose socket is gone: someone cleaned too much.
    std::fs::remove_file(system.dir().join(".flotilla/flotilla.sock")).unwrap();
    system.flotilla("up -d").expect(8).says("[F024]").says(&node.to_string());
    system.flotilla("doctor").says(&node.to_string());
    crate::kit::processes::kill(node, Signal::TERM);
    eventually("its end", || system.processes().is_empty().then_some(()));
}

#[test]
fn of_many_that_start_at_once_one_wins_and_nothing_starts_twice() {
    let system = System::new(SYSTEM);
    let mut ups: Vec<_> = (0..4)
        .map(|_| {
            let mut command = system.command(env!("CARGO_BIN_EXE_flotilla"));
            command.args(["up", "-d"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        })
        .collect();
    let codes: Vec<_> = ups
        .iter_mut()
        .map(|up| crate::kit::end_of(up, std::time::Duration::from_secs(60)).expect("`up -d` ends"))
        .collect();
    assert!(codes.iter().all(|code| *code == 0), "all have what they asked for: {codes:?}");
    system.until_ready("web", 1);
    let instances = system.processes().iter().filter(|it| it.command.contains("fixture")).count();
    assert_eq!(instances, 1, "{:?}", system.processes());
    system.down();
}

#[test]
fn an_up_right_after_a_down_waits_for_the_end_and_starts_again() {
    let system = System::new(&SYSTEM.replace("serve", "ignore-term, stop: { grace: 2s }"));
    system.up();
    let before = system.status().pids("web");
    let mut command = system.command(env!("CARGO_BIN_EXE_flotilla"));
    let mut down = command.arg("down").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    system.until("stopping", |status| status.0["phase"] == "stopping");
    system.flotilla("up -d").expect(0).says("being stopped");
    assert_eq!(crate::kit::end_of(&mut down, std::time::Duration::from_secs(60)), Some(0));
    assert_ne!(system.until_ready("web", 1).pids("web"), before);
    system.down();
}

#[test]
fn a_file_in_the_place_of_the_state_folder_is_named() {
    let system = System::new(SYSTEM);
    system.file(".flotilla", "");
    system.flotilla("ps").expect(6).says("[F023]");
    for up in ["up -d", "up"] {
        system.flotilla(up).expect(1).says("[F027]").says(".flotilla");
    }
}
