use super::*;
use crate::cli::sample;
use expect_test::expect;
use wire::{Phase, ServiceState as S};

const PLAIN: Paint = Paint { on: false };

fn picture() -> wire::Status {
    let mut users = sample::service("users", S::Ready, 2, 2);
    for instance in &mut users.instances {
        instance.usage =
            Some(wire::Usage { cpu_cores: 0.021, memory_bytes: 6 << 20, processes: 1 });
    }
    users.instances[1].restarts = 3;
    users.instances[1].last_exit = Some("exit code 1".into());
    users.instances[1].adopted = true;
    let mut items = sample::service("items", S::Waiting, 0, 1);
    items.instances.clear();
    items.waiting_for = vec!["users".into()];
    sample::status(1, Phase::Starting, vec![users, items])
}

fn later() -> wire::Time {
    wire::Time(base::Timestamp(260_000_000))
}

#[test]
fn services_are_listed_with_what_they_use_together() {
    expect![[r#"
        SERVICE  STATE    READY  RESTARTS  PORTS         AGE   CPU  MEMORY
        users    ready      2/2         3  :41001-41002   3m  4.2%   12MiB
        items    waiting    0/1         0                                   waiting for users
    "#]]
    .assert_eq(&services(&picture(), PLAIN, later()));
}

#[test]
fn instances_are_listed_with_how_they_ended_last() {
    expect![[r#"
        INSTANCE  STATE   PID  ADDRESS          RESTARTS  AGE   CPU  MEMORY  PROCESSES  LAST EXIT
        users/1   ready  4001  127.0.0.1:41001         0   3m  2.1%    6MiB          1
        users/2   ready  4002  127.0.0.1:41002         3   3m  2.1%    6MiB          1  exit code 1  adopted
    "#]]
    .assert_eq(&instances(&picture(), PLAIN, later()));
}

#[test]
fn a_name_may_be_a_service_or_an_instance() {
    let kept = |names: &[&str]| {
        let mut status = picture();
        keep(&mut status, &names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>());
        let names = |s: &wire::Service| format!("{} {}", s.name, s.instances.len());
        status.services.iter().map(names).collect::<Vec<_>>()
    };
    assert_eq!(kept(&[]), ["users 2", "items 0"]);
    assert_eq!(kept(&["items"]), ["items 0"]);
    assert_eq!(kept(&["users/2"]), ["users 1"]);
    assert_eq!(kept(&["users", "users/2"]), ["users 2"]);
}
