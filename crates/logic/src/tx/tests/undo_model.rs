//! Sagas, TCC and messages: all or nothing at the end, nothing runs after it was undone, and order is kept both ways.

use super::{
    super::{Mode, OpSet, Plan, Retry, Then},
    participant::Barrier,
    system::System,
    two_phase_model::{check, plan, system, wrong},
    world::{Faults, NONE},
};

/// Barriers as they are usual: what comes late is answered as if it were done.
fn usual(mode: Mode, participants: usize, faults: Faults) -> System {
    System { barrier: Barrier::SaysDone, ..system(mode, participants, faults) }
}

fn saga(after: &[&[u16]], faults: Faults) -> System {
    let mut system = usual(Mode::Saga, after.len(), faults);
    for (branch, after) in system.plan.branches.iter_mut().zip(after) {
        branch.after = after.to_vec();
    }
    system
}

const CHAIN: &[&[u16]] = &[&[], &[0]];
const APART: &[&[u16]] = &[&[], &[]];
const FORK: &[&[u16]] = &[&[], &[0], &[0]];
const JOIN: &[&[u16]] = &[&[], &[], &[0, 1]];

#[test]
fn a_saga_is_done_or_undone_when_the_coordinator_dies_at_any_moment() {
    let faults = Faults { crashes: 2, ..NONE };
    check("saga, chain, crashes", &saga(CHAIN, faults));
    check("saga, apart, crashes", &saga(APART, faults));
    check("saga, fork, a crash", &saga(FORK, Faults { crashes: 1, ..NONE }));
    check("saga, join, a crash", &saga(JOIN, Faults { crashes: 1, ..NONE }));
}

#[test]
fn a_saga_is_done_or_undone_when_messages_are_lost_late_or_repeated() {
    let network = Faults { losses: 1, impatience: 1, repeats: 1, ..NONE };
    check("saga, chain, network", &saga(CHAIN, network));
    check("saga, join, network", &saga(JOIN, Faults { repeats: 0, ..network }));
    let crash = Faults { crashes: 1, ..NONE };
    check("saga, apart, crash and late", &saga(APART, Faults { impatience: 1, ..crash }));
    check("saga, chain, crash and lost", &saga(CHAIN, Faults { losses: 1, ..crash }));
    check("saga, apart, crash and twice", &saga(APART, Faults { repeats: 1, ..crash }));
}

#[test]
fn a_saga_is_done_or_undone_when_the_time_is_over_or_the_client_gives_up() {
    let faults = Faults { deadlines: 1, aborts: 1, crashes: 1, ..NONE };
    check("saga, chain, time", &saga(CHAIN, Faults { impatience: 1, ..faults }));
    check("saga, apart, time", &saga(APART, faults));
    check("saga, fork, time", &saga(FORK, Faults { aborts: 0, crashes: 0, ..faults }));
}

#[test]
fn a_saga_in_sequence_and_one_with_durable_steps_are_done_or_undone() {
    let faults = Faults { crashes: 1, deadlines: 1, impatience: 1, ..NONE };
    let mut sequence = saga(APART, faults);
    sequence.plan.concurrent = false;
    check("saga, in sequence", &sequence);
    let mut durable = saga(CHAIN, faults);
    durable.plan.durable_steps = true;
    check("saga, durable", &durable);
}

#[test]
fn a_step_that_is_used_up_undoes_the_saga() {
    let retry = Retry { base_ms: 1_000, max_ms: 1_000, attempts: Some(1), then: Then::Abort };
    let mut system = saga(CHAIN, Faults { impatience: 1, losses: 1, crashes: 1, ..NONE });
    system.plan.retry = retry;
    check("saga, attempts", &system);
}

#[test]
fn what_joins_the_decision_is_done_exactly_with_it() {
    let faults = Faults { crashes: 2, refusals: 1, deadlines: 1, aborts: 1, ..NONE };
    let mut system = saga(APART, faults);
    system.plan.branches[1].joins = true;
    system.plan.branches[1].ops = OpSet::EMPTY;
    check("saga, joins", &system);
}

#[test]
fn reservations_are_all_confirmed_or_all_cancelled() {
    let crash = Faults { crashes: 1, ..NONE };
    check("tcc, 2, crashes", &usual(Mode::Tcc, 2, Faults { crashes: 2, ..NONE }));
    check("tcc, 3, a crash", &usual(Mode::Tcc, 3, crash));
    let network = Faults { losses: 1, impatience: 1, repeats: 1, ..NONE };
    check("tcc, 2, network", &usual(Mode::Tcc, 2, network));
    check("tcc, 2, crash and late", &usual(Mode::Tcc, 2, Faults { impatience: 1, ..crash }));
    let time = Faults { deadlines: 1, aborts: 1, ..crash };
    check("tcc, 2, time", &usual(Mode::Tcc, 2, time));
    let mut sequence = usual(Mode::Tcc, 2, Faults { deadlines: 1, impatience: 1, ..crash });
    sequence.plan.concurrent = false;
    check("tcc, in sequence", &sequence);
}

fn message(participants: usize, faults: Faults) -> System {
    let plan = Plan { has_query: true, ..plan(Mode::Message, participants) };
    System { plan, is_open: true, ..usual(Mode::Message, participants, faults) }
}

#[test]
fn a_message_is_delivered_exactly_when_its_sender_has_committed() {
    let faults = Faults { deadlines: 2, crashes: 2, ..NONE };
    check("msg, 1, crashes", &message(1, faults));
    check("msg, 2, a crash", &message(2, Faults { crashes: 1, impatience: 1, ..faults }));
    let network = Faults { losses: 1, impatience: 1, repeats: 1, deadlines: 2, ..NONE };
    check("msg, 1, network", &message(1, network));
}

#[test]
fn the_checker_sees_what_a_participant_without_a_barrier_would_do() {
    let (what, _) = wrong(
        "saga, no barrier",
        &System { barrier: Barrier::Missing, ..saga(APART, Faults { impatience: 1, ..NONE }) },
    );
    assert!(what.contains("is Done"), "{what}");
}
