use super::{
    super::Mode,
    script::{check, plan},
};

#[test]
fn three_phases_take_promises_after_all_could() {
    check(
        &plan(Mode::ThreePhase, "a b"),
        "
        begin => forced: a/can_commit#1 b/can_commit#1; trying
        a can_commit done => lazy: ; trying
        b can_commit done => lazy: a/pre_commit#1 b/pre_commit#1; precommitting
        a pre_commit done => lazy: ; precommitting
        show decision => None
        b pre_commit done => forced: a/commit#1 b/commit#1; committing
        show decision => Some(Commit)
        a commit done => lazy: ; committing
        b commit done => lazy: ended(Committed); committed
    ",
    );
}

#[test]
fn three_phases_hold_nothing_before_the_promise() {
    check(
        &plan(Mode::ThreePhase, "a b"),
        "
        begin => forced: a/can_commit#1 b/can_commit#1; trying
        a can_commit done => lazy: ; trying
        b can_commit refused no => lazy: ended(Aborted); aborted
    ",
    );
    check(
        &plan(Mode::ThreePhase, "a b c"),
        "
        begin => forced: a/can_commit#1 b/can_commit#1 c/can_commit#1; trying
        a can_commit done => lazy: ; trying
        b can_commit done => lazy: ; trying
        c can_commit done => lazy: a/pre_commit#1 b/pre_commit#1 c/pre_commit#1; precommitting
        b pre_commit refused no => lazy: ; aborting
        a pre_commit readonly => lazy: ; aborting
        c pre_commit done => lazy: c/rollback#1; aborting
        c rollback done => lazy: ended(Aborted); aborted
    ",
    );
}

#[test]
fn strict_promises_that_were_under_way_in_a_crash_are_given_up() {
    let script = "
        begin => forced: a/can_commit#1 b/can_commit#1; trying
        a can_commit done => lazy: ; trying
        b can_commit done => lazy: a/pre_commit#1 b/pre_commit#1; precommitting
        a pre_commit done => lazy: ; precommitting
    ";
    for how in ["kept", "lost"] {
        let end = "
            a rollback done => lazy: ; aborting
            b rollback done => lazy: ended(Aborted); aborted
        ";
        let recovered = format!("recover {how} => lazy: a/rollback#1 b/rollback#1; aborting\n");
        check(&plan(Mode::ThreePhase, "a b"), &format!("{script}{recovered}{end}"));
    }
}

#[test]
fn the_classic_protocol_has_no_way_back_after_all_votes() {
    check(
        &plan(Mode::ThreePhaseClassic, "a b"),
        "
        begin => forced: a/can_commit#1 b/can_commit#1; trying
        a can_commit done => lazy: ; trying
        b can_commit done => forced: a/pre_commit#1 b/pre_commit#1; precommitting
        show decision => Some(Commit)
        abort no => refused: it is precommitting already
        a pre_commit done => lazy: ; precommitting
        recover lost => nothing: a/pre_commit#2 b/pre_commit#2; precommitting
        a pre_commit done => lazy: ; precommitting
        b pre_commit refused no => lazy: wake@120; precommitting
        @100 tick => nothing: wake@120; precommitting
        @120 tick => nothing: b/pre_commit#3; precommitting
        b pre_commit failed broken => lazy: wake@360; precommitting
        @400 tick => nothing: b/pre_commit#4; precommitting
        b pre_commit failed broken => lazy: a/commit#1 b/commit#1; committing
        a commit done => lazy: ; committing
        b commit done => lazy: ended(Committed); committed
    ",
    );
}

#[test]
fn the_classic_protocol_decides_no_commit_after_a_promise_is_over() {
    let mut plan = plan(Mode::ThreePhaseClassic, "a b");
    plan.branches.iter_mut().for_each(|branch| branch.reserve_ms = Some(500));
    check(
        &plan,
        "
        begin => forced: a/can_commit#1<500 b/can_commit#1<500 wake@500; trying
        a can_commit done => lazy: ; trying
        @500 b can_commit done => lazy: a/rollback#1 b/rollback#1; aborting
        a rollback done => lazy: ; aborting
        b rollback done => lazy: ended(Aborted); aborted
    ",
    );
    check(&plan, "
        begin => forced: a/can_commit#1<500 b/can_commit#1<500 wake@500; trying
        a can_commit done => lazy: ; trying
        @400 b can_commit done => forced: a/pre_commit#1<900 b/pre_commit#1<900 wake@900; precommitting
        a pre_commit done => lazy: ; precommitting
        b pre_commit failed broken => lazy: wake@520; precommitting
        @900 tick => lazy: a/commit#1 b/commit#1; committing
        a commit done => lazy: ; committing
        b commit committed => lazy: ended(Committed); committed
    ");
}

#[test]
fn the_classic_protocol_rolls_back_who_may_have_voted() {
    check(
        &plan(Mode::ThreePhaseClassic, "a b c"),
        "
        begin => forced: a/can_commit#1 b/can_commit#1 c/can_commit#1; trying
        a can_commit done => lazy: ; trying
        b can_commit refused no => lazy: a/rollback#1; aborting
        c can_commit failed broken => lazy: c/rollback#1; aborting
        a rollback done => lazy: ; aborting
        c rollback done => lazy: ended(Aborted); aborted
    ",
    );
    check(
        &plan(Mode::ThreePhaseClassic, "a b"),
        "
        begin => forced: a/can_commit#1 b/can_commit#1; trying
        a can_commit done => lazy: ; trying
        recover lost => lazy: a/rollback#1 b/rollback#1; aborting
        a rollback done => lazy: ; aborting
        b rollback done => lazy: ended(Aborted); aborted
    ",
    );
}
