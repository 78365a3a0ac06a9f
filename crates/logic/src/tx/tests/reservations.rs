use super::{
    super::{Mode, Plan},
    script::{check, plan},
};

/// As clients of DTM use it: the client makes the reservations, and the coordinator calls one branch after the other.
pub(super) fn of_dtm(mode: Mode, branches: &str) -> Plan {
    let mut plan = plan(mode, branches);
    plan.concurrent = false;
    plan
}

#[test]
fn reservations_are_confirmed_when_all_were_made() {
    check(
        &plan(Mode::Tcc, "a b"),
        "
        begin => forced: a/try#1 b/try#1; trying
        a try done => lazy: ; trying
        b try done => forced: b/confirm#1 a/confirm#1; committing
        a confirm done => lazy: ; committing
        b confirm refused never => lazy: wake@120; committing
        @200 tick => nothing: b/confirm#2; committing
        b confirm done => lazy: ended(Committed); committed
    ",
    );
}

#[test]
fn reservations_are_cancelled_when_one_is_refused() {
    check(
        &plan(Mode::Tcc, "a b c"),
        "
        begin => forced: a/try#1 b/try#1 c/try#1; trying
        c try away gone => lazy: wake@83; trying
        b try refused none left => forced: b/cancel#1; aborting
        a try failed broken => lazy: a/cancel#1; aborting
        a cancel done => lazy: ; aborting
        b cancel done => lazy: ended(Aborted); aborted
    ",
    );
}

#[test]
fn what_the_client_has_reserved_is_confirmed_last_first() {
    check(
        &of_dtm(Mode::Tcc, ""),
        "
        open => forced: ; open
        enlist a* => forced: ; open
        enlist b* => forced: ; open
        enlist a* => refused: it cannot have this branch: it has one of that name
        submit => forced: b/confirm#1; committing
        submit => nothing: ; committing
        enlist c* => refused: it is committing and takes no more branches
        b confirm done => lazy: a/confirm#1; committing
        a confirm done => lazy: ended(Committed); committed
    ",
    );
}

#[test]
fn what_the_client_has_reserved_is_cancelled_last_first_and_working_is_asked_again() {
    check(
        &of_dtm(Mode::Tcc, "a* b*"),
        "
        open => forced: ; open
        abort FAILURE of b => forced: b/cancel#1; aborting
        abort again => nothing: ; aborting
        submit => refused: it is aborting already
        b cancel working => lazy: wake@100; aborting
        @200 tick => nothing: b/cancel#1; aborting
        b cancel done => lazy: a/cancel#1; aborting
        a cancel done => lazy: ended(Aborted); aborted
        show reason => FAILURE of b
    ",
    );
}

#[test]
fn an_open_transaction_is_aborted_when_its_time_is_over() {
    let mut plan = of_dtm(Mode::Tcc, "a*");
    plan.timeout_ms = Some(35_000);
    check(
        &plan,
        "
        open => forced: wake@35000; open
        @35000 tick => forced: a/cancel#1; aborting
        enlist b* => refused: it is aborting and takes no more branches
        a cancel done => lazy: ended(Aborted); aborted
        show reason => Timeout after 35 seconds
    ",
    );
}

#[test]
fn an_open_transaction_without_branches_is_committed_when_it_is_submitted() {
    for mode in [Mode::Saga, Mode::Tcc, Mode::TwoPhase, Mode::ThreePhase, Mode::Message] {
        check(
            &plan(mode, ""),
            "
            open => forced: ; open
            submit => forced: ended(Committed); committed
        ",
        );
    }
}

#[test]
fn a_reservation_that_is_over_is_not_confirmed() {
    let mut plan = plan(Mode::Tcc, "a b");
    plan.branches[0].reserve_ms = Some(1_000);
    check(
        &plan,
        "
        begin => forced: a/try#1<1000 b/try#1 wake@1000; trying
        @10 a try done => lazy: ; trying
        @1000 b try done => forced: b/cancel#1 a/cancel#1; aborting
        show reason => the reservation of `a` is over
        show cause => Reservation
    ",
    );
    check(
        &plan,
        "
        begin => forced: a/try#1<1000 b/try#1 wake@1000; trying
        a try failed broken => lazy: wake@100; trying
        @100 tick => nothing: a/try#2<1000 wake@1000; trying
        @1001 tick => forced: ; aborting
    ",
    );
    // The end of a reservation is not lost with the answer: it began no earlier than the transaction.
    plan.concurrent = false;
    plan.branches[1].reserve_ms = Some(1_000);
    check(
        &plan,
        "
        begin => forced: a/try#1<1000 wake@1000; trying
        @500 a try done => lazy: b/try#1<1500; trying
        recover lost => nothing: a/try#2<1000 wake@1000; trying
        @900 a try done => lazy: b/try#1<1000; trying
        b try done => forced: b/confirm#1; committing
        b confirm done => lazy: a/confirm#1; committing
        a confirm done => lazy: ended(Committed); committed
    ",
    );
    check(
        &plan,
        "
        begin => forced: a/try#1<1000 wake@1000; trying
        @500 a try done => lazy: b/try#1<1500; trying
        recover lost => nothing: a/try#2<1000 wake@1000; trying
        @900 a try done => lazy: b/try#1<1000; trying
        @1000 b try done => forced: b/cancel#1; aborting
    ",
    );
}

#[test]
fn reservations_are_made_again_after_a_crash_and_the_decision_is_not() {
    check(
        &plan(Mode::Tcc, "a b"),
        "
        begin => forced: a/try#1 b/try#1; trying
        a try done => lazy: ; trying
        recover lost => nothing: a/try#2 b/try#2; trying
        b try refused no => forced: b/cancel#1; aborting
        recover lost => nothing: b/cancel#2 a/cancel#1; aborting
        a cancel done => lazy: ; aborting
        b cancel done => lazy: ended(Aborted); aborted
    ",
    );
}
