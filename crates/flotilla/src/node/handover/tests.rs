use super::*;
use base::ServiceName;
use std::{fs, sync::Arc};
use supervisor::{InstanceState, ServiceState, Status};

/// The same folder for one test: where a service is, is part of what it is.
fn system(folder: &tempfile::TempDir, yaml: &str) -> manifest::System {
    let file = folder.path().join("flotilla.yaml");
    fs::write(&file, yaml).unwrap();
    manifest::load(&file, &manifest::Options::default()).unwrap().system
}

fn instance(id: &str, state: InstanceState) -> supervisor::InstanceStatus {
    supervisor::InstanceStatus {
        id: InstanceId::parse(id).unwrap(),
        state,
        pid: None,
        port: None,
        address: None,
        started_at: None,
        ready_after: None,
        restarts: 0,
        last_exit: None,
        next_start: None,
        adopted: false,
        outdated: false,
        usage: None,
        message: String::new(),
    }
}

fn service(
    name: &str,
    state: ServiceState,
    desired: u32,
    instances: Vec<supervisor::InstanceStatus>,
) -> Arc<supervisor::ServiceStatus> {
    Arc::new(supervisor::ServiceStatus {
        name: ServiceName::new(name).unwrap(),
        kind: manifest::Kind::Service,
        language: String::new(),
        state,
        reason: String::new(),
        desired,
        ready: 0,
        waited: None,
        waiting_for: Vec::new(),
        next_run: None,
        problem: None,
        instances,
    })
}

const FILE: &str = "
services:
  users: { run: x, instances: 2 }
  items: { run: x, instances: 2 }
  none: { run: x, instances: 1 }
  idle: { run: x, instances: 1 }
jobs:
  seed: { run: x }
  other: { run: x }
";

fn status() -> Status {
    let done = |id| instance(id, InstanceState::Completed);
    Status {
        services: vec![
            service("users", ServiceState::Ready, 5, vec![done("users/10001")]),
            service("items", ServiceState::Ready, 2, Vec::new()),
            service("none", ServiceState::Stopped, 0, Vec::new()),
            service("idle", ServiceState::Stopped, 1, Vec::new()),
            service("seed", ServiceState::Completed, 1, vec![done("seed/1")]),
            service("other", ServiceState::Completed, 1, vec![done("other/1")]),
            service("gone", ServiceState::Stopping, 3, Vec::new()),
        ],
        ..Status::default()
    }
}

#[test]
fn what_was_done_by_hand_is_told_and_holds_for_the_same_file() {
    let folder = tempfile::tempdir().unwrap();
    let before = system(&folder, FILE);
    let told = Told::of(&before, &status(), &[]);
    let told: Told = serde_json::from_str(&serde_json::to_string(&told).unwrap()).unwrap();
    let name = |text| ServiceName::new(text).unwrap();
    let carried = told.carried(&before);
    assert_eq!(carried.counts, [(name("users"), 5), (name("none"), 0)].into());
    assert_eq!(carried.stopped, [name("idle")].into());
    let done = ["other/1", "seed/1"].map(|id| InstanceId::parse(id).unwrap());
    assert_eq!(carried.completed, done.into());
}

#[test]
fn what_the_file_says_anew_goes_before_what_was_done_by_hand() {
    let folder = tempfile::tempdir().unwrap();
    let told = Told::of(&system(&folder, FILE), &status(), &[]);
    let after = FILE
        .replace("users: { run: x, instances: 2 }", "users: { run: x, instances: 3 }")
        .replace("idle: { run: x, instances: 1 }", "")
        .replace("seed: { run: x }", "seed: { run: y }");
    let carried = told.carried(&system(&folder, &after));
    assert_eq!(carried.counts, [(ServiceName::new("none").unwrap(), 0)].into());
    assert_eq!(carried.stopped, BTreeSet::new());
    assert_eq!(carried.completed, [InstanceId::parse("other/1").unwrap()].into());
}

#[test]
fn waiting_ends_when_each_instance_that_served_is_ready_or_will_not_be() {
    let routed: BTreeSet<String> = ["users/1", "users/2", "users/3"].map(str::to_owned).into();
    let of = |states: &[InstanceState]| {
        let ids = ["users/1", "users/2", "users/4"];
        let instances = ids.iter().zip(states).map(|(id, state)| instance(id, *state)).collect();
        let services = vec![service("users", ServiceState::Ready, 3, instances)];
        is_undecided(&Status { services, ..Status::default() }, &routed)
    };
    use InstanceState::{Backoff, Ready, Starting, Unready};
    assert!(of(&[Ready, Unready, Ready]));
    assert!(of(&[Starting, Ready, Ready]));
    assert!(!of(&[Ready, Ready, Starting]), "users/4 did not serve");
    assert!(!of(&[Ready, Backoff]), "users/3 is gone");
    assert!(!of(&[]));
}
