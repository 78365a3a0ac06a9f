use super::{
    super::{Mode, Op, OpSet, Plan, Then},
    reservations::of_dtm,
    script::{check, plan},
};

fn one_phase() -> Plan {
    let mut plan = plan(Mode::TwoPhase, "a");
    plan.branches[0].ops = plan.branches[0].ops.with(Op::CommitOnePhase);
    plan
}

#[test]
fn two_phases_commit_when_all_have_voted_yes() {
    check(
        &plan(Mode::TwoPhase, "a b"),
        "
        begin => forced: a/prepare#1 b/prepare#1; trying
        a prepare done => lazy: ; trying
        show decision => None
        b prepare done => forced: a/commit#1 b/commit#1; committing
        show decision => Some(Commit)
        recover lost => nothing: a/commit#2 b/commit#2; committing
        abort no => refused: it is committing already
        a commit done => lazy: ; committing
        b commit failed broken => lazy: wake@120; committing
        @200 tick => nothing: b/commit#3; committing
        b commit done => lazy: ended(Committed); committed
    ",
    );
}

#[test]
fn two_phases_roll_back_who_voted_yes_or_may_have() {
    check(
        &plan(Mode::TwoPhase, "a b c d"),
        "
        begin => forced: a/prepare#1 b/prepare#1 c/prepare#1 d/prepare#1; trying
        a prepare done => lazy: ; trying
        d prepare away gone => lazy: wake@103; trying
        b prepare refused no => lazy: a/rollback#1; aborting
        c prepare failed broken => lazy: c/rollback#1; aborting
        a rollback done => lazy: ; aborting
        c rollback done => lazy: ended(Aborted); aborted
    ",
    );
}

#[test]
fn who_only_reads_is_not_asked_again() {
    check(
        &plan(Mode::TwoPhase, "a b"),
        "
        begin => forced: a/prepare#1 b/prepare#1; trying
        a prepare readonly => lazy: ; trying
        b prepare done => forced: b/commit#1; committing
        b commit done => lazy: ended(Committed); committed
    ",
    );
    check(
        &plan(Mode::TwoPhase, "a b"),
        "
        begin => forced: a/prepare#1 b/prepare#1; trying
        a prepare readonly => lazy: ; trying
        b prepare readonly => forced: ended(Committed); committed
    ",
    );
    check(
        &plan(Mode::TwoPhase, "a b"),
        "
        begin => forced: a/prepare#1 b/prepare#1; trying
        a prepare readonly => lazy: ; trying
        b prepare refused no => lazy: ended(Aborted); aborted
    ",
    );
}

#[test]
fn votes_that_were_under_way_in_a_crash_are_given_up() {
    check(
        &plan(Mode::TwoPhase, "a b"),
        "
        begin => forced: a/prepare#1 b/prepare#1; trying
        a prepare done => lazy: ; trying
        recover lost => lazy: a/rollback#1 b/rollback#1; aborting
        show reason => the coordinator was restarted before it was decided
        a rollback done => lazy: ; aborting
        b rollback done => lazy: ended(Aborted); aborted
    ",
    );
    check(
        &plan(Mode::TwoPhase, "a b"),
        "
        begin => forced: a/prepare#1 b/prepare#1; trying
        a prepare refused no => lazy: ; aborting
        b prepare done => lazy: b/rollback#1; aborting
        recover lost => lazy: a/rollback#1 b/rollback#1; aborting
        a rollback done => lazy: ; aborting
        b rollback done => lazy: ended(Aborted); aborted
    ",
    );
}

#[test]
fn an_xa_transaction_that_the_client_has_prepared_commits_in_its_order() {
    check(
        &of_dtm(Mode::TwoPhase, ""),
        "
        open => forced: ; open
        enlist a* => forced: ; open
        enlist b* => forced: ; open
        submit => forced: a/commit#1; committing
        a commit done => lazy: b/commit#1; committing
        b commit done => lazy: ended(Committed); committed
    ",
    );
    check(
        &of_dtm(Mode::TwoPhase, "a*"),
        "
        open => forced: ; open
        abort b refused => forced: a/rollback#1; aborting
        recover lost => nothing: a/rollback#2; aborting
        submit => refused: it is aborting already
        a rollback done => lazy: ended(Aborted); aborted
    ",
    );
}

#[test]
fn one_participant_does_all_at_once() {
    check(
        &one_phase(),
        "
        begin => forced: a/commit_one_phase#1; trying
        a commit_one_phase done => forced: ended(Committed); committed
    ",
    );
    check(
        &one_phase(),
        "
        begin => forced: a/commit_one_phase#1; trying
        a commit_one_phase refused no => forced: ended(Aborted); aborted
    ",
    );
    check(
        &one_phase(),
        "
        begin => forced: a/commit_one_phase#1; trying
        a commit_one_phase mixed => forced: ended(Mixed); mixed
        show attention => `a` did a part on its own
    ",
    );
}

#[test]
fn one_participant_that_was_asked_decides_and_nobody_else() {
    let mut plan = one_phase();
    plan.timeout_ms = Some(1_000);
    plan.retry.then = Then::Abort;
    check(
        &plan,
        "
        begin => forced: a/commit_one_phase#1; trying
        a commit_one_phase away gone => lazy: wake@100; trying
        @100 tick => nothing: a/commit_one_phase#1; trying
        abort no => refused: it is trying already
        @1000 tick => nothing: ; trying
        a commit_one_phase failed broken => lazy: wake@1200; trying
        recover lost => nothing: a/commit_one_phase#2; trying
        @2000 tick => nothing: ; trying
        abort no => refused: it is trying already
        a commit_one_phase failed broken => lazy: wake@2100; trying
        @3000 retry => nothing: a/commit_one_phase#3; trying
        a commit_one_phase refused no => forced: ended(Aborted); aborted
    ",
    );
    check(
        &plan,
        "
        begin => forced: a/commit_one_phase#1; trying
        a commit_one_phase away gone => lazy: wake@100; trying
        abort no => forced: ended(Aborted); aborted
    ",
    );
}

#[test]
fn a_participant_that_decided_alone_and_rightly_is_done() {
    check(
        &plan(Mode::TwoPhase, "a b"),
        "
        begin => forced: a/prepare#1 b/prepare#1; trying
        a prepare done => lazy: ; trying
        b prepare done => forced: a/commit#1 b/commit#1; committing
        a commit committed => lazy: ; committing
        b commit done => lazy: ended(Committed); committed
        show attention =>
    ",
    );
}

#[test]
fn a_participant_that_decided_otherwise_makes_the_outcome_mixed_and_is_named() {
    check(
        &plan(Mode::TwoPhase, "a b"),
        "
        begin => forced: a/prepare#1 b/prepare#1; trying
        a prepare done => lazy: ; trying
        b prepare done => forced: a/commit#1 b/commit#1; committing
        a commit aborted => forced: ; committing
        show attention => `a` gave up on its own
        b commit mixed => forced: ended(Mixed); mixed
        show attention => `a` gave up on its own; `b` did a part on its own
        show decision => Some(Commit)
        abort no => refused: it has ended: mixed
    ",
    );
    check(
        &plan(Mode::Tcc, "a b"),
        "
        begin => forced: a/try#1 b/try#1; trying
        a try done => lazy: ; trying
        b try refused no => forced: b/cancel#1 a/cancel#1; aborting
        a cancel committed => forced: ; aborting
        b cancel aborted => lazy: ended(Mixed); mixed
        show decision => Some(Abort)
    ",
    );
    check(
        &plan(Mode::ThreePhaseClassic, "a b"),
        "
        begin => forced: a/can_commit#1 b/can_commit#1; trying
        a can_commit done => lazy: ; trying
        b can_commit done => forced: a/pre_commit#1 b/pre_commit#1; precommitting
        a pre_commit aborted => forced: ; precommitting
        b pre_commit done => lazy: b/commit#1; committing
        b commit done => lazy: ended(Mixed); mixed
        show attention => `a` gave up on its own
    ",
    );
}

#[test]
fn a_report_where_nothing_can_be_decided_alone_says_nothing() {
    check(
        &plan(Mode::TwoPhase, "a b"),
        "
        begin => forced: a/prepare#1 b/prepare#1; trying
        a prepare committed => lazy: wake@100; trying
        show a => it says that it has decided alone, which it cannot have
    ",
    );
}

#[test]
fn operations_that_are_no_calls_are_done_without_one() {
    let mut plan = plan(Mode::TwoPhase, "a b");
    plan.branches[0].ops = OpSet::EMPTY.with(Op::Commit);
    check(
        &plan,
        "
        begin => forced: b/prepare#1; trying
        b prepare done => forced: a/commit#1 b/commit#1; committing
        b commit done => lazy: ; committing
        a commit done => lazy: ended(Committed); committed
    ",
    );
}
