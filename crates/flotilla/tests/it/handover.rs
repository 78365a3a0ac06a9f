//! `restart --node`: another process runs the system, and nobody notices.

use crate::kit::{
    System, alone, end_of,
    http::{self, Connection, Request},
    load::Load,
    processes,
    wait::eventually,
};
use std::{fs, process::Stdio, time::Duration};

const SYSTEM: &str = "
services:
  users: { run: FIXTURE serve, instances: 3, health: /ready }
  web: { run: FIXTURE serve, needs: [users], health: { ready: /ready, live: /live } }
gateway:
  listen: GATEWAY
  routes: { /users: users, /: web }
";

/// As many answers have come since it began to matter.
fn after(load: &Load, more: u64) {
    let begun = load.asked();
    eventually("some traffic", || (load.asked() > begun + more).then_some(()));
}

fn read(path: &str) -> impl Fn(u64) -> Request + Send + Sync + 'static {
    let path = path.to_owned();
    move |_| Request::get(&path)
}

/// A connection for each request.
fn once(path: &str) -> impl Fn(u64) -> Request + Send + Sync + 'static {
    let path = path.to_owned();
    move |_| Request::get(&path).header("Connection", "close")
}

#[test]
fn the_node_is_replaced_again_and_again_under_load_and_nothing_is_lost() {
    let _alone = alone();
    let system = System::new(SYSTEM);
    system.up();
    let before = system.until_ready("users", 3);
    let need = system.need(before.address("web", 0), "USERS_URL");
    let loads = [
        Load::start(2, system.gateway, read("/users/kept")),
        Load::start(2, system.gateway, once("/users/new")),
        Load::start(1, need, read("/inner")),
        Load::start(1, need, once("/inner/new")),
    ];
    let mut nodes = vec![system.node()];
    for _ in 0..6 {
        loads.iter().for_each(|load| after(load, 50));
        system.flotilla("restart --node").expect(0).says("the services went on");
        nodes.push(system.node());
    }
    loads.iter().for_each(|load| after(load, 50));
    for load in loads {
        let tally = load.end();
        eprintln!("{} answered", tally.answered);
        tally.assert_none_lost();
    }
    let different: std::collections::BTreeSet<u32> = nodes.iter().copied().collect();
    assert_eq!(different.len(), nodes.len(), "{nodes:?}");
    let status = system.status();
    for service in ["users", "web"] {
        assert_eq!(status.pids(service), before.pids(service));
        assert!(status.instances(service).iter().all(|it| it["restarts"] == 0));
    }
    // What was adopted is watched, and the nodes that were replaced end when their clients have gone.
    let (_, first) = status.pids("users")[0].clone();
    processes::kill(first, rustix::process::Signal::KILL);
    system.until("a new process", |status| {
        status.service("users")["ready"] == 3
            && status.pids("users").iter().all(|(_, pid)| *pid != first)
    });
    eventually("the end of the earlier nodes", || {
        nodes[..nodes.len() - 1].iter().all(|node| !processes::lives(*node)).then_some(())
    });
    system.down();
}

#[test]
fn a_connection_that_is_open_goes_on_until_its_next_answer() {
    let system = System::new(SYSTEM);
    system.up();
    let old = system.node();
    let mut kept = Connection::open(system.gateway).unwrap();
    let mut slow = Connection::open(system.gateway).unwrap();
    let mut unused = Connection::open(system.gateway).unwrap();
    assert!(!kept.ask(&Request::get("/users/a")).unwrap().is_last());
    let asking = runtime::thread("slow", move || slow.ask(&Request::get("/slow?ms=2500"))).unwrap();
    eventually("an open request", || {
        let top = system.flotilla("top -o json").expect(0).json();
        let rows = top["instances"].as_array().unwrap();
        rows.iter().any(|row| row["traffic"]["in_flight"] == 1).then_some(())
    });
    system.flotilla("restart --node --grace 30s").expect(0);
    assert!(processes::lives(old), "it has clients");
    assert_eq!(asking.join().unwrap().unwrap().status, 200);
    for connection in [&mut kept, &mut unused] {
        let answer = connection.ask(&Request::get("/users/b")).unwrap();
        assert_eq!((answer.status, answer.is_last()), (200, true));
        assert!(connection.ask(&Request::get("/users/c")).is_err(), "it was closed");
    }
    eventually("the end of the old node", || (!processes::lives(old)).then_some(()));
    system.down();
}

#[test]
fn an_old_node_with_clients_that_say_nothing_ends_after_its_grace_or_with_the_new_one() {
    let system = System::new(SYSTEM);
    system.up();
    let mut silent = Vec::new();
    for words in ["restart --node --grace 100ms", "restart --node --grace 10m"] {
        let old = system.node();
        let mut connection = Connection::open(system.gateway).unwrap();
        connection.ask(&Request::get("/users/a")).unwrap();
        silent.push(connection);
        system.flotilla(words).expect(0);
        if words.ends_with("100ms") {
            eventually("the end of the old node", || (!processes::lives(old)).then_some(()));
        } else {
            assert!(processes::lives(old));
        }
    }
    // Also the second one ends, although its client still says nothing.
    system.down();
}

#[test]
fn what_was_done_by_hand_stays_and_a_job_that_is_done_is_not_done_again() {
    let system = System::new(
        "
services:
  users: { run: FIXTURE serve, instances: 2 }
  items: { run: FIXTURE serve, needs: { seed: completed } }
  idle: { run: FIXTURE serve }
jobs:
  seed: { run: echo seeded >> DIR/seeded }
gateway: { listen: GATEWAY, routes: { /users: users, /: items } }
",
    );
    system.up();
    system.flotilla("scale users=4 --wait").expect(0);
    assert_eq!(system.api("POST", "/v1/services/idle/stop", None).status, 202);
    let before = system.until("it is so", |status| {
        status.service("users")["ready"] == 4 && status.state("idle") == "stopped"
    });
    for _ in 0..2 {
        system.flotilla("restart --node").expect(0);
        let after = system.status();
        assert_eq!(after.pids("users"), before.pids("users"));
        assert_eq!(after.pids("items"), before.pids("items"));
        assert_eq!((after.state("idle"), after.state("seed")), ("stopped", "completed"));
    }
    assert_eq!(fs::read_to_string(system.dir().join("seeded")).unwrap(), "seeded\n");
    // For the new node, too, a number set by hand is no difference to the file.
    system.flotilla("up --dry-run").expect(0).says("nothing to change");
    assert_eq!(system.status().pids("users").len(), 4);
    system.down();
}

#[test]
fn the_new_node_reads_the_file_anew_and_keeps_the_output() {
    let system = System::new(SYSTEM);
    system.up();
    let before = system.status();
    http::get(before.address("web", 0), "/print?text=before").unwrap();
    let load = Load::start(2, system.gateway, read("/users/x"));
    let (logs, log) = (system.dir().join("followed"), "logs web -f --file flotilla.yaml");
    let mut command = system.command(env!("CARGO_BIN_EXE_flotilla"));
    command.args(log.split(' ')).stdout(fs::File::create(&logs).unwrap()).stderr(Stdio::null());
    let mut following = command.spawn().unwrap();
    let followed = |line: &str| {
        eventually(line, || fs::read_to_string(&logs).unwrap().contains(line).then_some(()));
    };
    followed("before");
    system.write(&SYSTEM.replace("/: web", "/web: web, /: users"));
    system.flotilla("restart --node").expect(0);
    http::get(before.address("web", 0), "/print?text=after").unwrap();
    assert_eq!(system.get("/other").json()["service"], "users");
    eventually("both lines", || {
        let lines = system.logs("web");
        ["before", "after"].iter().all(|line| lines.iter().any(|it| it == line)).then_some(())
    });
    for line in ["before", "after"] {
        assert_eq!(system.logs("web").iter().filter(|it| *it == line).count(), 1, "{line}");
    }
    load.end().assert_none_lost();
    assert_eq!(system.status().pids("web"), before.pids("web"));
    // Who follows the output goes on with the new node, and ends with the system.
    followed("after");
    system.down();
    assert_eq!(end_of(&mut following, Duration::from_secs(30)), Some(0));
    assert_eq!(fs::read_to_string(&logs).unwrap().matches("before").count(), 1);
}

#[test]
fn routes_that_change_under_load_lose_no_request() {
    let _alone = alone();
    let system = System::new(SYSTEM);
    system.up();
    let before = system.status();
    let loads = [
        Load::start(2, system.gateway, read("/users/kept")),
        Load::start(2, system.gateway, once("/users/new")),
    ];
    for round in 0..10 {
        let routes = if round % 2 == 0 { "/users: web, /: users" } else { "/users: users, /: web" };
        system.write(&SYSTEM.replace("/users: users, /: web", routes));
        system.flotilla("up -d").expect(0).says("routes changed");
        let wanted = if round % 2 == 0 { "web" } else { "users" };
        assert_eq!(system.get("/users/y").json()["service"], wanted);
        loads.iter().for_each(|load| after(load, 20));
    }
    for load in loads {
        load.end().assert_none_lost();
    }
    let status = system.status();
    assert_eq!(status.pids("users"), before.pids("users"));
    assert_eq!(status.pids("web"), before.pids("web"));
    system.down();
}
