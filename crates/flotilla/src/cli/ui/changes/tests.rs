use super::*;
use crate::cli::sample;
use expect_test::{Expect, expect};
use wire::{InstanceState as I, Phase, ServiceState as S};

fn check(old: Option<&wire::Status>, new: &wire::Status, expected: &Expect) {
    expected.assert_eq(&changes(old, new, &|_| true).join("\n"));
}

fn one(service: wire::Service) -> wire::Status {
    sample::status(1, Phase::Starting, vec![service])
}

#[test]
fn a_start_is_told_instance_by_instance() {
    let mut waiting = sample::service("items", S::Waiting, 0, 0);
    waiting.waiting_for = vec!["users".into()];
    let first = sample::status(
        1,
        Phase::Starting,
        vec![sample::service("users", S::Starting, 0, 2), waiting.clone()],
    );
    check(
        None,
        &first,
        &expect![[r#"
        users/1 starting
        users/2 starting
        items waiting for users"#]],
    );
    let second =
        sample::status(2, Phase::Starting, vec![sample::service("users", S::Ready, 2, 2), waiting]);
    check(
        Some(&first),
        &second,
        &expect![[r#"
        users/1 ready in 0.4 s
        users/2 ready in 0.4 s
        users ready, 2/2"#]],
    );
    check(Some(&second), &second, &expect![[""]]);
}

#[test]
fn crashes_are_told_with_their_cause() {
    let ready = one(sample::service("users", S::Ready, 1, 1));
    let mut service = sample::service("users", S::Degraded, 0, 1);
    service.instances[0].state = I::Backoff;
    service.instances[0].last_exit = Some("exit code 3".into());
    let crashed = one(service.clone());
    check(
        Some(&ready),
        &crashed,
        &expect![[r#"
        users/1 exit code 3, starts again soon
        users degraded, 0/1 ready"#]],
    );
    service.state = S::Failed;
    service.reason = "keeps crashing".into();
    service.instances[0].state = I::CrashLoop;
    service.instances[0].restarts = 5;
    let looping = one(service);
    check(
        Some(&crashed),
        &looping,
        &expect![[r#"
        users/1 crash loop: exit code 3
        users failed: keeps crashing"#]],
    );
}

#[test]
fn adopted_instances_removed_services_and_stops_are_told() {
    let mut service = sample::service("users", S::Ready, 1, 1);
    service.instances[0].adopted = true;
    let adopted = one(service);
    check(None, &adopted, &expect!["users/1 ready, adopted from the earlier node"]);
    let mut smaller = adopted.clone();
    smaller.services[0].instances.clear();
    smaller.services[0].state = S::Stopped;
    check(
        Some(&adopted),
        &smaller,
        &expect![[r#"
        users/1 stopped
        users stopped"#]],
    );
    check(Some(&smaller), &sample::status(2, Phase::Ready, vec![]), &expect!["users removed"]);
}
