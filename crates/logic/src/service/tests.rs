//! Plays the machine against a small world with its own time.

use super::*;
use crate::{
    instance::{Kind, Restart},
    probe,
};
use std::collections::BTreeSet;
use world::{World, desired, policy, secs};

mod histories;
mod world;

#[test]
fn instances_start_together_and_become_ready() {
    let mut world = World::new(desired(3));
    world.run_to(10);
    assert_eq!(world.routed, BTreeSet::from([1, 2, 3]));
    assert!(world.machine.is_settled());
    assert_eq!(world.story.matches("ready after 1s").count(), 3);
}

#[test]
fn nothing_starts_before_the_gate_is_open() {
    let mut machine = Machine::new(desired(2));
    assert_eq!(machine.tick(Moment::START), vec![]);
    assert_eq!(machine.set_open(true, Moment::START).len(), 2);
}

#[test]
fn a_crash_is_unrouted_cleared_up_and_started_again_after_a_wait() {
    let mut world = World::new(desired(1));
    world.run_to(10);
    world.story.clear();
    world.crash(1);
    assert!(world.routed.is_empty(), "a dead instance gets no traffic");
    world.run_to(20);
    assert_eq!(
        world.story,
        "10s 1 exited\n10s 1 again in 1s\n11s 1 started\n11s 1 ready after 1s\n"
            .replace("11s 1 started\n11s", "12s 1 started\n12s")
    );
    assert_eq!(world.machine.instances()[&1].restarts, 1);
}

#[test]
fn a_program_that_never_becomes_ready_ends_in_a_visible_crash_loop() {
    let mut world = World::new(desired(1));
    world.all_sick = true;
    world.sick.insert(1);
    world.run_to(100);
    assert!(world.machine.instances()[&1].is_crash_loop());
    assert!(world.story.contains("neverready"));
    assert!(world.routed.is_empty());
}

#[test]
fn failures_are_counted_anew_after_a_healthy_minute() {
    let mut world = World::new(desired(1));
    world.run_to(10);
    world.crash(1);
    world.run_to(20);
    world.crash(1);
    assert_eq!(world.machine.instances()[&1].failures, 2);
    world.run_to(100);
    world.crash(1);
    assert_eq!(world.machine.instances()[&1].failures, 1);
}

#[test]
fn scaling_down_unroutes_waits_for_open_requests_and_only_then_signals() {
    let mut world = World::new(desired(3));
    world.run_to(10);
    world.story.clear();
    world.open_requests = secs(4);
    world.act(|m, now| m.desire(desired(1), false, now));
    assert_eq!(world.routed, BTreeSet::from([1]), "the highest numbers go");
    world.run_to(13);
    assert!(!world.story.contains("asked"), "requests are still open");
    world.run_to(30);
    assert_eq!(world.story.matches("asked, drained true").count(), 2);
    assert!(world.machine.is_settled());
}

#[test]
fn requests_that_never_end_are_waited_for_only_so_long() {
    let mut world = World::new(desired(1));
    world.run_to(10);
    world.open_requests = secs(1_000);
    world.act(Machine::halt);
    world.run_to(19);
    assert!(!world.story.contains("asked"));
    world.run_to(21);
    assert!(world.story.contains("20s 1 asked, drained false"));
}

#[test]
fn what_ignores_the_signal_is_killed_after_the_grace() {
    let mut world = World::new(desired(1));
    world.run_to(10);
    world.deaf = true;
    world.act(Machine::halt);
    world.run_to(40);
    assert!(!world.story.contains("killed"));
    world.run_to(60);
    assert!(world.story.contains("41s 1 killed\n41s 1 gone"), "{}", world.story);
    assert!(world.alive.is_empty() && world.machine.instances().is_empty());
}

#[test]
fn patience_can_be_ended() {
    let mut world = World::new(desired(2));
    world.run_to(10);
    world.deaf = true;
    world.open_requests = secs(1_000);
    world.act(Machine::halt);
    world.act(Machine::hurry);
    world.run_to(11);
    assert!(world.alive.is_empty());
}

#[test]
fn a_new_version_replaces_one_by_one_and_never_lowers_the_number_ready() {
    let mut world = World::new(desired(3));
    world.run_to(10);
    world.lowest_ready = 3;
    world.act(|m, now| m.desire(desired(3), true, now));
    world.run_to(60);
    assert!(world.machine.is_settled());
    assert_eq!(world.lowest_ready, 3);
    assert_eq!(world.story.matches("gone").count(), 3, "each old one left");
}

#[test]
fn a_new_version_that_never_becomes_ready_leaves_the_old_one_serving() {
    let mut world = World::new(desired(3));
    world.run_to(10);
    world.all_sick = true;
    world.lowest_ready = 3;
    world.act(|m, now| m.desire(desired(3), true, now));
    world.run_to(300);
    assert_eq!(world.lowest_ready, 3);
    assert_eq!(world.routed, BTreeSet::from([1, 2, 3]));
    assert!(!world.machine.is_settled());
    // The mended version goes through.
    world.all_sick = false;
    world.sick.clear();
    world.act(|m, now| m.desire(desired(3), true, now));
    world.run_to(400);
    assert!(world.machine.is_settled());
}

#[test]
fn an_exclusive_service_ends_before_its_replacement_starts() {
    let mut world = World::new(Desired { exclusive: true, ..desired(1) });
    world.run_to(10);
    world.story.clear();
    world.act(|m, now| m.restart(None, now));
    world.run_to(30);
    let gone = world.story.find("gone").unwrap();
    let started = world.story.find("started").unwrap();
    assert!(gone < started, "{}", world.story);
    assert!(world.machine.is_settled());
}

#[test]
fn nothing_old_leaves_while_nothing_new_may_start() {
    for exclusive in [false, true] {
        let mut world = World::new(Desired { exclusive, ..desired(1) });
        world.run_to(10);
        world.act(|m, now| m.set_open(false, now));
        world.act(|m, now| m.desire(Desired { exclusive, ..desired(1) }, true, now));
        world.run_to(30);
        assert_eq!(world.routed, BTreeSet::from([1]), "the old one serves while the build runs");
        world.act(|m, now| m.set_open(true, now));
        world.run_to(60);
        assert!(world.machine.is_settled());
    }
}

#[test]
fn a_restart_asked_for_while_nothing_may_start_waits_for_the_gate() {
    let mut world = World::new(desired(1));
    world.sick.insert(1);
    world.run_to(100);
    world.act(|m, now| m.set_open(false, now));
    world.run_to(200);
    assert!(!world.machine.instances()[&1].is_alive());
    world.act(|m, now| m.restart(None, now));
    assert!(!world.machine.instances()[&1].is_alive());
    world.sick.clear();
    world.act(|m, now| m.set_open(true, now));
    world.run_to(203);
    assert!(world.machine.is_settled(), "{}", world.story);
}

#[test]
fn a_changed_probe_asks_at_once_and_a_removed_one_holds_nobody_up() {
    let mut wanted = desired(1);
    wanted.policy.startup_is_ready = false;
    let mut world = World::new(wanted.clone());
    world.sick.insert(1);
    world.run_to(1);
    // A question of the startup probe is under way when the policy changes.
    let startup = probe::Policy { period: secs(2), ..wanted.policy.startup.unwrap() };
    wanted.policy.startup = Some(startup);
    world.act(|m, now| m.desire(wanted.clone(), false, now));
    world.sick.clear();
    world.run_to(10);
    assert!(world.machine.is_settled(), "{}", world.story);

    world.sick.insert(1);
    world.run_to(15);
    assert!(world.routed.is_empty(), "the readiness probe fails");
    wanted.policy.ready = None;
    world.act(|m, now| m.desire(wanted.clone(), false, now));
    assert_eq!(world.routed, BTreeSet::from([1]), "nobody asks any more");
}

#[test]
fn an_outdated_instance_is_asked_as_before() {
    let mut world = World::new(desired(1));
    world.run_to(10);
    world.all_sick = true;
    let mut wanted = desired(1);
    wanted.policy.ready = None;
    wanted.policy.startup = None;
    wanted.policy.live = Some(probe::Policy { failures: 1, ..policy().ready.unwrap() });
    world.act(|m, now| m.set_open(false, now));
    world.act(|m, now| m.desire(wanted, true, now));
    world.sick.insert(1);
    world.run_to(20);
    assert!(!world.story.contains("notalive"), "the new liveness probe is not for the old version");
    assert!(world.story.contains("unready"), "its own readiness probe still is");
}

#[test]
fn a_restart_asked_for_cuts_a_wait_short() {
    let mut world = World::new(desired(1));
    world.sick.insert(1);
    world.run_to(100);
    world.sick.clear();
    let waiting = matches!(world.machine.instances()[&1].phase, Phase::Backoff { .. });
    world.act(|m, now| m.restart(Some(1), now));
    world.run_to(if waiting { 103 } else { 140 });
    assert!(world.machine.is_settled());
}

#[test]
fn a_job_runs_once_and_again_only_when_asked() {
    let mut job = desired(1);
    job.policy = Policy {
        restart: Restart::OnFailure,
        retries_max: Some(2),
        startup: None,
        ready: None,
        routed: false,
        ..policy()
    };
    let mut world = World::new(job);
    world.run_to(5);
    let run = *world.alive.first().unwrap();
    world.act(|m, now| m.step(run, &Input::Exited { success: true }, now, 20));
    world.run_to(100);
    assert_eq!(world.machine.instances()[&1].phase, Phase::Completed);
    assert!(world.machine.is_settled());
    world.act(Machine::rerun);
    world.run_to(102);
    for _ in 0..3 {
        world.crash(1);
        world.run_to(world.now.since_start().as_secs() + 10);
    }
    assert_eq!(world.machine.instances()[&1].phase, Phase::Failed, "given up after two more tries");
}

#[test]
fn an_adopted_instance_is_routed_as_soon_as_it_answers_and_an_outdated_one_is_replaced() {
    let mut world = World::new(desired(2));
    world.machine = Machine::new(desired(2));
    world.due.clear();
    world.alive = BTreeSet::from([Run { number: 1, run: 1 }, Run { number: 2, run: 1 }]);
    world.act(|m, now| m.adopt(1, false, now));
    world.act(|m, now| m.adopt(2, true, now));
    world.act(|m, now| m.set_open(true, now));
    world.run_to(1);
    assert!(world.routed.contains(&1));
    assert_eq!(world.story.matches("started").count(), 0, "nothing starts in its place");
    world.run_to(30);
    assert!(world.machine.is_settled());
}

/// A machine that adopts one instance which answers no probe yet.
fn adopted_while_starting(wanted: Desired) -> World {
    let mut world = World::new(desired(1));
    world.machine = Machine::new(wanted);
    world.due.clear();
    world.alive = BTreeSet::from([Run { number: 1, run: 1 }]);
    world.sick.insert(1);
    world.act(|m, now| m.adopt(1, false, now));
    world.act(|m, now| m.set_open(true, now));
    world
}

#[test]
fn an_instance_adopted_in_the_middle_of_its_start_is_asked_as_often_as_at_a_start() {
    let rarely = |failures| {
        Some(probe::Policy { initial_delay: secs(10), period: secs(10), failures, successes: 1 })
    };
    let mut wanted = desired(1);
    wanted.policy.startup = Some(probe::Policy {
        initial_delay: secs(10),
        period: secs(1),
        failures: 60,
        successes: 1,
    });
    wanted.policy.ready = rarely(3);
    wanted.policy.live = rarely(1);
    for same in [true, false] {
        wanted.policy.startup_is_ready = same;
        let mut world = adopted_while_starting(wanted.clone());
        world.run_to(40);
        assert!(world.routed.is_empty(), "it has not answered");
        assert!(!world.story.contains("notalive"), "liveness waits for the startup");
        world.sick.clear();
        world.run_to(42);
        assert!(world.machine.is_settled(), "{}", world.story);
        assert_eq!(world.story.matches("started").count(), 0, "it is not started again");
    }
}

#[test]
fn an_adopted_instance_that_is_not_ready_is_left_alone_and_one_that_never_started_up_is_not() {
    let mut world = adopted_while_starting(desired(1));
    world.run_to(60);
    assert_eq!(world.machine.instances()[&1].phase, Phase::Running { ready: false });
    world.sick.clear();
    world.run_to(62);
    assert!(world.machine.is_settled());
    let mut wanted = desired(1);
    wanted.policy.ready = None;
    let mut world = adopted_while_starting(wanted);
    world.run_to(10);
    assert!(world.story.contains("neverready"), "{}", world.story);
}

#[test]
fn a_changed_startup_probe_goes_on_with_an_instance_that_was_just_adopted() {
    for startup in [None, policy().ready] {
        let mut world = adopted_while_starting(desired(1));
        let mut wanted = desired(1);
        wanted.policy.startup = startup;
        world.act(|m, now| m.desire(wanted, false, now));
        world.run_to(3);
        world.sick.clear();
        world.run_to(6);
        assert!(world.machine.is_settled(), "{startup:?}: {}", world.story);
    }
}

#[test]
fn a_failing_liveness_probe_restarts_and_a_failing_readiness_probe_only_unroutes() {
    let mut wanted = desired(1);
    wanted.policy.live =
        Some(probe::Policy { initial_delay: secs(0), period: secs(10), failures: 2, successes: 1 });
    let mut world = World::new(wanted);
    world.run_to(5);
    world.sick.insert(1);
    world.run_to(9);
    assert!(world.routed.is_empty() && world.story.contains("unready"));
    assert!(!world.story.contains("notalive"));
    world.run_to(25);
    assert!(world.story.contains("notalive"));
    world.sick.clear();
    world.run_to(60);
    assert!(world.machine.is_settled());
}

#[test]
fn a_late_answer_about_an_earlier_run_changes_nothing() {
    let mut world = World::new(desired(1));
    world.run_to(5);
    let old = *world.alive.first().unwrap();
    world.crash(1);
    world.run_to(10);
    assert_eq!(world.machine.step(old, &Input::Exited { success: false }, world.now, 0), vec![]);
    assert!(world.machine.is_settled());
}

#[test]
fn a_kind_names_one_probe() {
    let mut world = World::new(desired(1));
    world.run_to(5);
    assert_eq!(world.machine.instances()[&1].probe_failures(Kind::Ready), 0);
}
