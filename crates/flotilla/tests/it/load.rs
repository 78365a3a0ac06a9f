//! Nothing is lost: instances are killed, scaled and replaced under load.
//!
//! `FLOTILLA_TEST_REQUESTS` sets how many requests each direction gets at least.

use crate::kit::{
    System, alone,
    http::Request,
    load::Load,
    processes::kill,
    wait::{eventually, within},
};
use rustix::process::Signal;
use std::{
    collections::BTreeMap,
    env, fs,
    net::SocketAddr,
    time::{Duration, Instant},
};

const CLIENTS: usize = 4;
/// Between two kills.
const KILL_PERIOD: Duration = Duration::from_millis(300);
/// A body larger than what fits in one read.
const LARGE: usize = 20 * 1024;

/// How many requests each direction gets.
fn requests() -> u64 {
    let asked = env::var("FLOTILLA_TEST_REQUESTS").ok().and_then(|text| text.parse().ok());
    asked.unwrap_or(25_000)
}

fn system() -> System {
    System::new(
        "
services:
  users:
    run: FIXTURE serve
    instances: 3
    health: /ready
    env: { LEDGER: DIR/ledger }
    restart: { backoff: 50ms, backoff_max: 100ms }
  web: { run: FIXTURE serve, needs: [users] }
gateway:
  listen: GATEWAY
  routes: { /users: users, /: web }
",
    )
}

/// Every second answer is large.
fn read(number: u64) -> Request {
    let size = if number.is_multiple_of(2) { 0 } else { LARGE };
    Request::get(format!("/users/x?size={size}"))
}

#[test]
fn killing_one_of_three_instances_again_and_again_loses_no_request() {
    let _alone = alone();
    let system = system();
    system.up();
    let status = system.until_ready("users", 3);
    let need = system.need(status.address("web", 0), "USERS_URL");
    let outer = Load::start(CLIENTS, system.gateway, read);
    let inner = Load::start(CLIENTS, need, read);
    let mut kills = 0;
    while outer.asked().min(inner.asked()) < requests() {
        let status = system.until_ready("users", 3);
        let (_, victim) = status.pids("users")[kills % 3].clone();
        kill(victim, Signal::KILL);
        kills += 1;
        within(KILL_PERIOD, &mut || None::<()>);
    }
    let (outer, inner) = (outer.end(), inner.end());
    eprintln!(
        "{kills} kills, {} answered by the gateway, {} by USERS_URL",
        outer.answered, inner.answered
    );
    assert!(kills >= 3, "{kills} kills are no test");
    outer.assert_none_lost();
    inner.assert_none_lost();
}

/// Writes and reads in turn; some writes take a while, so that every stop meets open ones.
fn mixed(number: u64) -> Request {
    if number.is_multiple_of(2) {
        return read(number / 2 + 1);
    }
    let ms = if number % 16 == 1 { 20 } else { 0 };
    let path = format!("/users/record?id={number}&ms={ms}");
    Request { method: "POST", body: b"{}".to_vec(), ..Request::get(path) }
}

#[test]
fn scaling_and_replacing_under_load_loses_nothing_and_does_nothing_twice() {
    let _alone = alone();
    let system = system();
    system.up();
    let status = system.until_ready("users", 3);
    let need = system.need(status.address("web", 0), "USERS_URL");
    check_changes(&system, system.gateway, requests());
    check_changes(&system, need, requests() / 5);
}

fn check_changes(system: &System, to: SocketAddr, requests: u64) {
    fs::write(system.dir().join("ledger"), "").unwrap();
    let load = Load::start(CLIENTS, to, mixed);
    let begun = Instant::now();
    let mut rounds = 0;
    while load.asked() < requests || rounds < 1 {
        for words in
            ["scale users=1", "scale users=4", "scale users=2", "restart users", "scale users=3"]
        {
            system.flotilla(&format!("{words} --wait")).expect(0);
        }
        rounds += 1;
    }
    let asked = load.asked();
    let tally = load.end();
    eprintln!(
        "{rounds} rounds in {:.1} s, {} answered",
        begun.elapsed().as_secs_f64(),
        tally.answered
    );
    tally.assert_none_lost();
    let ledger = fs::read_to_string(system.dir().join("ledger")).unwrap();
    let mut times: BTreeMap<u64, u32> = BTreeMap::new();
    for line in ledger.lines() {
        *times.entry(line.parse().unwrap()).or_default() += 1;
    }
    let wrong: Vec<_> = (0..asked)
        .filter(|n| n % 2 == 1)
        .map(|n| (n, times.get(&n)))
        .filter(|(_, n)| *n != Some(&1))
        .collect();
    assert!(wrong.is_empty(), "not done exactly once: {wrong:?}");
}

#[test]
fn an_instance_that_hangs_or_says_it_is_not_ready_gets_no_traffic() {
    let system = System::new(
        "
services:
  users:
    run: FIXTURE serve
    instances: 2
    health:
      ready: { http: /ready, period: 200ms, timeout: 500ms, failures: 1 }
      live: { http: /live, period: 200ms, timeout: 500ms, failures: 2 }
gateway: { listen: GATEWAY, routes: { /: users } }
",
    );
    system.up();
    let status = system.until_ready("users", 2);
    let (shy, pid) = status.pids("users")[0].clone();
    crate::kit::http::get(status.address("users", 0), "/unready").unwrap();
    system.until("one unready", |status| {
        status.instances("users").iter().any(|it| it["state"] == "unready")
    });
    for _ in 0..20 {
        assert_ne!(system.get("/").json()["instance"], shy.as_str());
    }
    // Not ready is no reason to start it anew; not alive is one.
    let (_, same) = system.status().pids("users")[0].clone();
    assert_eq!(same, pid);
    let address = status.address("users", 1);
    let hang = Request::get("/hang");
    let client = runtime::thread("hang", move || drop(hang.send(address))).unwrap();
    let (_, hanging) = status.pids("users")[1].clone();
    system.until("a new process for the one that hangs", |status| {
        !status.pids("users").iter().any(|(_, pid)| *pid == hanging)
            && status.service("users")["ready"] == 1
    });
    client.join().unwrap();
    eventually("an answer", || (system.get("/").status == 200).then_some(()));
    system.down();
}
