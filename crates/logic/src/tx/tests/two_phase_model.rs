//! Two-phase commit: no interleaving of messages, crashes and losses parts the participants.

use super::{
    super::{Branch, Mode, Op, OpSet, Plan, Retry, Then},
    checker::{Report, explore},
    participant::{Barrier, Vote},
    system::System,
    world::{Faults, NONE},
};

/// Most states of a model here: what a slow machine visits within a minute.
const STATES_MAX: usize = 200_000;

/// Operations of each protocol that are calls.
pub(super) fn ops(mode: Mode) -> OpSet {
    let ops: &[Op] = match mode {
        Mode::Saga => &[Op::Action, Op::Compensate],
        Mode::Tcc => &[Op::Try, Op::Confirm, Op::Cancel],
        Mode::TwoPhase => &[Op::Prepare, Op::Commit, Op::Rollback],
        Mode::ThreePhase | Mode::ThreePhaseClassic => {
            &[Op::CanCommit, Op::PreCommit, Op::Commit, Op::Rollback]
        }
        Mode::Message => &[Op::Action],
    };
    ops.iter().copied().collect()
}

/// A participant with all calls of its protocol.
pub(super) fn branch(at: usize, ops: OpSet) -> Branch {
    Branch {
        id: format!("{:02}", at + 1),
        after: Vec::new(),
        ops,
        joins: false,
        feeds: false,
        tried_by_client: false,
        reserve_ms: None,
        retry: None,
    }
}

/// A transaction that is tried for ever, and has a deadline.
pub(super) fn plan(mode: Mode, participants: usize) -> Plan {
    Plan {
        mode,
        branches: (0..participants).map(|at| branch(at, ops(mode))).collect(),
        retry: Retry { base_ms: 1_000, max_ms: 1_000, attempts: None, then: Then::Attention },
        timeout_ms: Some(1_000_000_000),
        durable_steps: false,
        concurrent: true,
        has_query: false,
        not_before_ms: None,
    }
}

/// A protocol and what may go wrong with it.
pub(super) fn system(mode: Mode, participants: usize, faults: Faults) -> System {
    System {
        plan: plan(mode, participants),
        is_open: false,
        faults,
        barrier: Barrier::Refuses,
        may_part: false,
        tears: false,
        votes: &[Vote::Yes, Vote::No],
    }
}

/// Visits all of it and says how much that was.
pub(super) fn visit(name: &str, system: &System) -> Report {
    let report = explore(system, STATES_MAX);
    println!("{name}: {}", report.text());
    report
}

/// Visits all of it, where nothing is wrong.
#[track_caller]
pub(super) fn check(name: &str, system: &System) {
    visit(name, system).is_clean(name);
}

/// Visits it until something is wrong: what, and the way there.
#[track_caller]
pub(super) fn wrong(name: &str, system: &System) -> (String, Vec<String>) {
    let report = visit(name, system);
    let Some(violation) = report.violation else { panic!("{name}: nothing is wrong with it") };
    (violation.what, violation.trace)
}

fn two_phases(participants: usize, faults: Faults) -> System {
    System {
        votes: &[Vote::Yes, Vote::No, Vote::ReadOnly],
        ..system(Mode::TwoPhase, participants, faults)
    }
}

#[test]
fn two_phases_agree_when_the_coordinator_dies_at_any_moment() {
    check("2pc, 2, crashes", &two_phases(2, Faults { crashes: 2, ..NONE }));
    check("2pc, 3, a crash", &two_phases(3, Faults { crashes: 1, ..NONE }));
}

#[test]
fn two_phases_agree_when_messages_are_lost_late_or_repeated() {
    let network = Faults { losses: 1, impatience: 1, repeats: 1, ..NONE };
    check("2pc, 2, network", &two_phases(2, network));
    check("2pc, 3, lost", &two_phases(3, Faults { losses: 1, ..NONE }));
}

#[test]
fn two_phases_agree_when_the_network_fails_while_the_coordinator_dies() {
    let crash = Faults { crashes: 1, ..NONE };
    check("2pc, 2, crash and late", &two_phases(2, Faults { impatience: 1, ..crash }));
    check("2pc, 2, crash and lost", &two_phases(2, Faults { losses: 1, ..crash }));
    check("2pc, 2, crash and twice", &two_phases(2, Faults { repeats: 1, ..crash }));
}

#[test]
fn two_phases_agree_when_the_time_is_over_or_the_client_gives_up_while_the_coordinator_dies() {
    let faults = Faults { deadlines: 1, aborts: 1, crashes: 1, ..NONE };
    check("2pc, 2, time", &two_phases(2, faults));
    check("2pc, 2, time and late", &two_phases(2, Faults { impatience: 1, crashes: 0, ..faults }));
    check("2pc, 3, time", &two_phases(3, Faults { aborts: 0, ..faults }));
}

#[test]
fn attempts_that_are_used_up_before_the_decision_abort_and_after_it_do_not() {
    let retry = Retry { base_ms: 1_000, max_ms: 1_000, attempts: Some(1), then: Then::Abort };
    let faults = Faults { impatience: 1, crashes: 1, ..NONE };
    let mut system = two_phases(2, faults);
    system.plan.retry = retry;
    check("2pc, 2, attempts", &system);
}

#[test]
fn a_single_participant_in_one_phase_is_never_rolled_back_when_it_may_have_committed() {
    let faults = Faults { impatience: 1, repeats: 1, crashes: 1, aborts: 1, ..NONE };
    let mut system = two_phases(1, Faults { deadlines: 1, ..faults });
    let ops = [Op::CommitOnePhase, Op::Commit, Op::Rollback];
    system.plan.branches = vec![branch(0, ops.into_iter().collect())];
    check("2pc, one phase", &system);
}

#[test]
fn participants_that_the_client_has_prepared_agree() {
    let faults = Faults { impatience: 1, crashes: 1, aborts: 1, deadlines: 1, ..NONE };
    let mut system = System { is_open: true, ..two_phases(2, faults) };
    for branch in &mut system.plan.branches {
        branch.tried_by_client = true;
    }
    check("2pc, prepared by the client", &system);
}

/// The coordinator never asks again for a vote that it may have had rolled back, so even such barriers are safe.
#[test]
fn two_phases_agree_with_barriers_that_say_done_to_whatever_comes_late() {
    let faults = Faults { crashes: 1, impatience: 1, ..NONE };
    let literal = System { barrier: Barrier::SaysDone, ..two_phases(2, faults) };
    check("2pc, barrier says done", &literal);
    let faults = Faults { crashes: 1, aborts: 1, repeats: 1, ..NONE };
    check("2pc, barrier says done, abort", &System { faults, ..literal });
}
