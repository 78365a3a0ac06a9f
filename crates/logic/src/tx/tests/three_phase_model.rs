//! Three-phase commit. Strict: participants agree whatever happens. Classic: they agree while its assumptions hold, and the checker
//! finds how they are parted when they do not.

use super::{
    super::Mode,
    participant::Vote,
    system::System,
    two_phase_model::{check, system, wrong},
    world::{Faults, NONE},
};

fn strict(participants: usize, faults: Faults) -> System {
    System {
        votes: &[Vote::Yes, Vote::No, Vote::ReadOnly],
        ..system(Mode::ThreePhase, participants, faults)
    }
}

/// Participants that are cut off or silent decide alone, as Skeen has it; one that was itself away asks first.
fn classic(participants: usize, faults: Faults) -> System {
    let mut system = system(Mode::ThreePhaseClassic, participants, faults);
    system.plan.branches.iter_mut().for_each(|branch| branch.reserve_ms = Some(30_000));
    system
}

#[test]
fn strict_agrees_when_the_coordinator_dies_at_any_moment() {
    check("3pc, 2, crashes", &strict(2, Faults { crashes: 2, ..NONE }));
    check("3pc, 3, a crash", &strict(3, Faults { crashes: 1, ..NONE }));
}

#[test]
fn strict_agrees_when_messages_are_lost_late_or_repeated() {
    check("3pc, 2, lost and late", &strict(2, Faults { losses: 1, impatience: 1, ..NONE }));
    check("3pc, 2, twice and late", &strict(2, Faults { repeats: 1, impatience: 1, ..NONE }));
}

#[test]
fn strict_agrees_when_the_network_fails_while_the_coordinator_dies() {
    let crash = Faults { crashes: 1, ..NONE };
    check("3pc, 2, crash and late", &strict(2, Faults { impatience: 1, ..crash }));
    check("3pc, 2, crash and lost", &strict(2, Faults { losses: 1, ..crash }));
    check("3pc, 2, crash and twice", &strict(2, Faults { repeats: 1, ..crash }));
}

#[test]
fn strict_agrees_when_participants_are_cut_off_at_any_moment() {
    check("3pc, 2, partition", &strict(2, Faults { cuts: 2, impatience: 1, ..NONE }));
    check("3pc, 2, partition and crash", &strict(2, Faults { cuts: 1, crashes: 1, ..NONE }));
}

#[test]
fn strict_agrees_when_the_time_is_over_or_the_client_gives_up_while_the_coordinator_dies() {
    let faults = Faults { deadlines: 1, aborts: 1, crashes: 1, ..NONE };
    check("3pc, 2, time", &strict(2, faults));
}

#[test]
fn classic_agrees_while_only_processes_die_and_the_network_holds() {
    let faults = Faults { restarts: 1, crashes: 1, ..NONE };
    check("classic, 2, deaths", &classic(2, faults));
    check("classic, 3, deaths", &classic(3, Faults { crashes: 1, ..NONE }));
    check("classic, 2, the client gives up", &classic(2, Faults { aborts: 1, ..faults }));
}

#[test]
fn classic_ends_without_the_coordinator_where_strict_would_wait() {
    let faults = Faults { stops: 1, restarts: 1, ..NONE };
    check("classic, 2, coordinator gone", &classic(2, faults));
    check("classic, 3, coordinator gone", &classic(3, faults));
    let (what, _) = wrong("3pc, 2, coordinator gone", &strict(2, Faults { stops: 1, ..NONE }));
    assert!(what.starts_with("it never ends"), "{what}");
}

/// What happened, without where the coordinator stood.
fn story(trace: &[String]) -> Vec<&str> {
    trace.iter().map(|line| line.split("  [").next().unwrap_or_default()).collect()
}

#[test]
fn classic_is_parted_by_a_partition_and_the_checker_shows_how() {
    let (what, trace) = wrong("classic, partition", &classic(2, Faults { cuts: 1, ..NONE }));
    assert_eq!(what, "one has committed and another has not");
    assert_eq!(
        story(&trace),
        [
            "A hears can_commit (attempt 1), would say Yes: Holds",
            "the coordinator has an answer of A",
            "A is cut off",
            "B hears can_commit (attempt 1), would say Yes: Holds",
            "the coordinator has an answer of B",
            "A decides alone: Undone",
            "B asks: Done",
        ]
    );
}

#[test]
fn what_participants_of_classic_did_alone_is_told_as_mixed() {
    let cut = Faults { cuts: 1, ..NONE };
    check("classic, cut", &System { may_part: true, ..classic(2, cut) });
    let late = Faults { impatience: 1, ..cut };
    check("classic, cut and late", &System { may_part: true, ..classic(2, late) });
    check(
        "classic, cut twice",
        &System { may_part: true, ..classic(2, Faults { cuts: 2, ..NONE }) },
    );
}

/// Participants cannot ask each other, so what one of them knows does not help the others.
#[test]
fn classic_is_parted_by_a_coordinator_that_dies_between_two_announcements() {
    let torn = System { tears: true, ..classic(2, Faults { stops: 1, ..NONE }) };
    let (what, trace) = wrong("classic, torn", &torn);
    assert_eq!(what, "one has committed and another has not");
    assert_eq!(
        story(&trace),
        [
            "A hears can_commit (attempt 1), would say Yes: Holds",
            "the coordinator has an answer of A",
            "B hears can_commit (attempt 1), would say Yes: Holds",
            "the coordinator has an answer of B",
            "A asks: Done",
            "the coordinator dies for good before pre_commit to B is sent",
            "B decides alone: Undone",
        ]
    );
}
