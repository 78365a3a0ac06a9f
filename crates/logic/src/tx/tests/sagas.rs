use super::{
    super::{Mode, Then},
    script::{check, plan},
};

#[test]
fn a_saga_whose_actions_are_all_done_is_committed() {
    check(
        &plan(Mode::Saga, "a b<a"),
        "
        begin => forced: a/action#1; trying
        a action done => lazy: b/action#1; trying
        b action done => forced: ended(Committed); committed
    ",
    );
}

#[test]
fn independent_steps_run_at_the_same_time_and_dependent_ones_after_all_they_need() {
    check(
        &plan(Mode::Saga, "a b c<a,b d<c"),
        "
        begin => forced: a/action#1 b/action#1; trying
        b action done => lazy: ; trying
        a action done => lazy: c/action#1; trying
        c action done => lazy: d/action#1; trying
        d action done => forced: ended(Committed); committed
    ",
    );
}

#[test]
fn one_after_the_other_when_it_is_not_concurrent() {
    let mut plan = plan(Mode::Saga, "a b c");
    plan.concurrent = false;
    check(
        &plan,
        "
        begin => forced: a/action#1; trying
        a action failed broken => lazy: wake@100; trying
        tick => nothing: wake@100; trying
        @100 tick => nothing: a/action#2; trying
        a action done => lazy: b/action#1; trying
        b action done => lazy: c/action#1; trying
        c action refused no => forced: c/compensate#1; aborting
        c compensate done => lazy: b/compensate#1; aborting
        b compensate failed broken => lazy: wake@220; aborting
        @220 tick => nothing: b/compensate#2; aborting
        b compensate done => lazy: a/compensate#1; aborting
        a compensate done => lazy: ended(Aborted); aborted
    ",
    );
}

#[test]
fn steps_without_calls_are_done_at_once() {
    let mut plan = plan(Mode::Saga, "a b<a c<b");
    for branch in &mut plan.branches {
        branch.ops = super::super::OpSet::EMPTY;
    }
    check(
        &plan,
        "
        begin => forced: ended(Committed); committed
    ",
    );
}

#[test]
fn a_refusal_compensates_what_is_done_and_what_was_refused_in_reverse_order() {
    check(
        &plan(Mode::Saga, "a b<a c<b"),
        "
        begin => forced: a/action#1; trying
        a action done => lazy: b/action#1; trying
        b action refused no money => forced: b/compensate#1; aborting
        show reason => `b` refused `action`: no money
        show cause => Refused
        b compensate done => lazy: a/compensate#1; aborting
        a compensate done => lazy: ended(Aborted); aborted
    ",
    );
}

#[test]
fn steps_after_the_refused_one_are_neither_run_nor_compensated() {
    check(
        &plan(Mode::Saga, "a b<a"),
        "
        begin => forced: a/action#1; trying
        a action refused no => forced: a/compensate#1; aborting
        a compensate done => lazy: ended(Aborted); aborted
    ",
    );
}

#[test]
fn what_comes_after_is_compensated_before_what_it_came_after() {
    check(
        &plan(Mode::Saga, "a b<a c<a d"),
        "
        begin => forced: a/action#1 d/action#1; trying
        a action done => lazy: b/action#1 c/action#1; trying
        b action done => lazy: ; trying
        c action done => lazy: ; trying
        d action refused no => forced: d/compensate#1 c/compensate#1 b/compensate#1; aborting
        b compensate done => lazy: ; aborting
        d compensate done => lazy: ; aborting
        c compensate done => lazy: a/compensate#1; aborting
        a compensate done => lazy: ended(Aborted); aborted
    ",
    );
}

#[test]
fn no_branch_is_compensated_while_its_action_is_under_way() {
    check(
        &plan(Mode::Saga, "a b c"),
        "
        begin => forced: a/action#1 b/action#1 c/action#1; trying
        a action refused no => forced: a/compensate#1; aborting
        a compensate done => lazy: ; aborting
        b action failed broken => lazy: b/compensate#1; aborting
        b compensate done => lazy: ; aborting
        c action done => lazy: c/compensate#1; aborting
        c compensate done => lazy: ended(Aborted); aborted
    ",
    );
}

#[test]
fn an_action_that_nobody_heard_is_not_compensated() {
    check(
        &plan(Mode::Saga, "a b c"),
        "
        begin => forced: a/action#1 b/action#1 c/action#1; trying
        b action away no instance => lazy: wake@120; trying
        a action refused no => forced: a/compensate#1; aborting
        c action away no instance => lazy: ; aborting
        a compensate done => lazy: ended(Aborted); aborted
    ",
    );
}

#[test]
fn steps_that_were_not_begun_are_not_compensated_when_the_time_is_over() {
    let mut plan = plan(Mode::Saga, "a b<a");
    plan.timeout_ms = Some(3_000);
    check(
        &plan,
        "
        begin => forced: a/action#1 wake@3000; trying
        @2999 tick => nothing: wake@3000; trying
        @3000 tick => forced: ; aborting
        show reason => Timeout after 3 seconds
        show cause => Timeout
        a action done => lazy: a/compensate#1; aborting
        a compensate done => lazy: ended(Aborted); aborted
    ",
    );
}

#[test]
fn a_last_answer_that_comes_with_the_end_of_the_time_counts() {
    let mut plan = plan(Mode::Saga, "a b<a");
    plan.timeout_ms = Some(3_000);
    check(
        &plan,
        "
        begin => forced: a/action#1 wake@3000; trying
        a action done => lazy: b/action#1; trying
        @3000 b action done => forced: ended(Committed); committed
        tick => nothing: ; committed
    ",
    );
}

#[test]
fn a_step_that_is_tried_as_often_as_it_may_be_aborts_when_the_plan_says_so() {
    let mut plan = plan(Mode::Saga, "a b<a");
    plan.retry.then = Then::Abort;
    check(
        &plan,
        "
        begin => forced: a/action#1; trying
        a action done => lazy: b/action#1; trying
        b action failed broken => lazy: wake@120; trying
        @100 tick => nothing: wake@120; trying
        b action working => nothing: ; trying
        @200 tick => nothing: b/action#2; trying
        b action away gone => lazy: wake@440; trying
        @600 tick => nothing: b/action#2; trying
        b action failed broken => lazy: wake@1600; trying
        @900 tick => nothing: wake@1600; trying
        @2000 tick => nothing: b/action#3; trying
        b action failed broken => forced: b/compensate#1; aborting
        show reason => `b`: `action` failed 3 times: broken
        show cause => Attempts
        b compensate done => lazy: a/compensate#1; aborting
        a compensate done => lazy: ended(Aborted); aborted
    ",
    );
}

#[test]
fn otherwise_an_operator_is_asked_and_it_is_tried_on_slowly() {
    check(
        &plan(Mode::Saga, "a b<a"),
        "
        begin => forced: a/action#1; trying
        a action failed one => lazy: wake@100; trying
        @100 tick => nothing: a/action#2; trying
        a action failed two => lazy: wake@300; trying
        @300 tick => nothing: a/action#3; trying
        a action failed three => lazy: wake@1300; trying
        show attention => `a` does not do `action`, tried 3 times: three
        @1299 tick => nothing: wake@1300; trying
        @1300 tick => nothing: a/action#4; trying
        a action done => lazy: b/action#1; trying
        show attention =>
    ",
    );
}

#[test]
fn a_refusal_of_a_compensation_does_not_count_and_asks_for_an_operator() {
    check(&plan(Mode::Saga, "a"), "
        begin => forced: a/action#1; trying
        a action refused no => forced: a/compensate#1; aborting
        a compensate refused never => lazy: wake@100; aborting
        @100 tick => nothing: a/compensate#2; aborting
        a compensate refused never => lazy: wake@300; aborting
        @300 tick => nothing: a/compensate#3; aborting
        a compensate refused never => lazy: wake@1300; aborting
        show attention => `a` does not do `compensate`, tried 3 times: refused, which it may not be: never
        resolve a => forced: ended(Aborted); aborted
    ");
}

#[test]
fn a_working_step_is_asked_again_and_costs_no_attempt() {
    check(
        &plan(Mode::Saga, "a"),
        "
        begin => forced: a/action#1; trying
        a action working => lazy: wake@100; trying
        show a => it is still working
        @100 tick => nothing: a/action#1; trying
        a action working => lazy: wake@200; trying
        @200 tick => nothing: a/action#1; trying
        a action done => forced: ended(Committed); committed
    ",
    );
}

#[test]
fn the_engine_decides_when_steps_join_the_decision() {
    check(
        &plan(Mode::Saga, "a put! publish! b"),
        "
        begin => forced: a/action#1 b/action#1; trying
        a action done => lazy: ; trying
        b action done => lazy: decide(put,publish); trying
        abort too late => refused: it is trying already
        resolve all aborted => refused: nothing of it waits for an operator
        tick => nothing: ; trying
        decided => nothing: ended(Committed); committed
        decided => nothing: ; committed
        submit => nothing: ; committed
        abort no => refused: it is committed already
    ",
    );
}

#[test]
fn a_step_that_cannot_join_aborts_and_is_not_compensated() {
    check(
        &plan(Mode::Saga, "a put!"),
        "
        begin => forced: a/action#1; trying
        a action done => lazy: decide(put); trying
        decided put the etag is another one => forced: a/compensate#1; aborting
        show reason => `put` cannot be part of the decision: the etag is another one
        show cause => Join
        a compensate done => lazy: ended(Aborted); aborted
    ",
    );
}

#[test]
fn a_decision_that_was_lost_is_asked_for_again() {
    check(
        &plan(Mode::Saga, "a put!"),
        "
        begin => forced: a/action#1; trying
        a action done => lazy: decide(put); trying
        recover kept => nothing: decide(put); trying
        decided put no => forced: a/compensate#1; aborting
    ",
    );
    check(
        &plan(Mode::Saga, "a put!"),
        "
        begin => forced: a/action#1; trying
        a action done => lazy: decide(put); trying
        recover lost => nothing: a/action#2; trying
        a action done => lazy: decide(put); trying
        decided => nothing: ended(Committed); committed
    ",
    );
}

#[test]
fn what_others_use_is_kept_before_they_are_called() {
    check(
        &plan(Mode::Saga, "a+ b<a c<b"),
        "
        begin => forced: a/action#1; trying
        a action done => forced: b/action#1; trying
        b action done => lazy: c/action#1; trying
    ",
    );
    let mut durable = plan(Mode::Saga, "a b<a");
    durable.durable_steps = true;
    check(
        &durable,
        "
        begin => forced: a/action#1; trying
        a action done => forced: b/action#1; trying
        b action refused no => forced: b/compensate#1; aborting
        b compensate done => forced: a/compensate#1; aborting
    ",
    );
}

#[test]
fn after_a_crash_only_what_can_have_run_is_compensated() {
    // Answers were lost: all may have run.
    check(
        &plan(Mode::Saga, "a b<a c<b"),
        "
        begin => forced: a/action#1; trying
        recover lost => nothing: a/action#2; trying
        abort no => forced: c/compensate#1; aborting
        a action done => lazy: ; aborting
        c compensate done => lazy: b/compensate#1; aborting
        b compensate done => lazy: a/compensate#1; aborting
        a compensate done => lazy: ended(Aborted); aborted
    ",
    );
    // Nothing is called before the answer of `a` is kept.
    check(
        &plan(Mode::Saga, "a+ b<a c"),
        "
        begin => forced: a/action#1 c/action#1; trying
        recover lost => nothing: a/action#2 c/action#2; trying
        abort no => forced: ; aborting
        a action failed gone => lazy: a/compensate#1; aborting
        c action failed gone => lazy: c/compensate#1; aborting
    ",
    );
    let mut durable = plan(Mode::Saga, "a b c");
    durable.durable_steps = true;
    durable.concurrent = false;
    check(
        &durable,
        "
        begin => forced: a/action#1; trying
        a action done => forced: b/action#1; trying
        recover lost => nothing: b/action#2; trying
        abort no => forced: ; aborting
        b action failed gone => lazy: b/compensate#1; aborting
    ",
    );
}

#[test]
fn after_the_decision_to_abort_a_crash_goes_on_with_compensations_only() {
    check(
        &plan(Mode::Saga, "a b c<b"),
        "
        begin => forced: a/action#1 b/action#1; trying
        a action refused no => forced: a/compensate#1; aborting
        recover lost => nothing: b/compensate#1 a/compensate#2; aborting
        b compensate done => lazy: ; aborting
        a compensate done => lazy: ended(Aborted); aborted
    ",
    );
}
