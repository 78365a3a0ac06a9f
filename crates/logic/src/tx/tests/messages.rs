use super::{
    super::{Mode, Plan},
    script::{check, plan},
};

/// A message whose sender is asked after 35 seconds.
fn message() -> Plan {
    let mut plan = plan(Mode::Message, "a b");
    plan.timeout_ms = Some(35_000);
    plan
}

#[test]
fn a_message_is_delivered_when_it_is_submitted_and_that_is_its_decision() {
    check(
        &message(),
        "
        open => forced: wake@35000; open
        show decision => None
        submit => forced: a/action#1 b/action#1; committing
        show decision => Some(Commit)
        abort no => refused: it is committing already
        a action refused not me => lazy: wake@100; committing
        b action done => lazy: ; committing
        @100 tick => nothing: a/action#2; committing
        recover lost => nothing: a/action#2 b/action#2; committing
        a action done => lazy: ; committing
        b action done => lazy: ended(Committed); committed
    ",
    );
    check(
        &message(),
        "
        begin => forced: a/action#1 b/action#1; committing
        a action done => lazy: ; committing
        b action done => lazy: ended(Committed); committed
    ",
    );
}

#[test]
fn a_silent_sender_is_asked_until_it_knows() {
    check(
        &message(),
        "
        open => forced: wake@35000; open
        @34999 tick => nothing: wake@35000; open
        @35000 tick => nothing: sender/msg#1; open
        sender msg working => lazy: wake@35100; open
        @35100 tick => nothing: sender/msg#1; open
        sender msg failed broken => lazy: wake@35196; open
        @35200 tick => nothing: sender/msg#2; open
        recover kept => nothing: sender/msg#3; open
        sender msg done => forced: a/action#1 b/action#1; committing
    ",
    );
    check(
        &message(),
        "
        open => forced: wake@35000; open
        @35000 tick => nothing: sender/msg#1; open
        sender msg refused rolled back => forced: ended(Aborted); aborted
        show reason => the sender did not commit: rolled back
        show cause => Sender
    ",
    );
}

#[test]
fn an_operator_is_asked_when_the_sender_does_not_answer() {
    check(
        &message(),
        "
        open => forced: wake@35000; open
        @35000 tick => nothing: sender/msg#1; open
        sender msg away gone => lazy: wake@35096; open
        @35200 tick => nothing: sender/msg#1; open
        sender msg failed gone => lazy: wake@35392; open
        @36000 tick => nothing: sender/msg#2; open
        sender msg failed gone => lazy: wake@36960; open
        show attention => the sender does not do `msg`, tried 3 times: gone
        @37000 retry => nothing: sender/msg#3; open
    ",
    );
}

#[test]
fn the_answer_to_a_question_that_has_become_needless_says_nothing() {
    check(
        &message(),
        "
        open => forced: wake@35000; open
        @35000 tick => nothing: sender/msg#1; open
        submit => forced: a/action#1 b/action#1; committing
        sender msg refused rolled back => nothing: ; committing
        a action done => lazy: ; committing
        b action done => lazy: ended(Committed); committed
    ",
    );
    check(
        &message(),
        "
        open => forced: wake@35000; open
        @35000 tick => nothing: sender/msg#1; open
        abort no => forced: ended(Aborted); aborted
        sender msg done => nothing: ; aborted
        submit => refused: it is aborted already
    ",
    );
}

#[test]
fn a_message_whose_sender_cannot_be_asked_is_given_up() {
    let mut plan = message();
    plan.has_query = false;
    check(
        &plan,
        "
        open => forced: wake@35000; open
        @35000 tick => forced: ended(Aborted); aborted
    ",
    );
}

#[test]
fn to_retry_does_not_ask_a_sender_that_still_has_time() {
    check(
        &message(),
        "
        open => forced: wake@35000; open
        retry => nothing: ; open
    ",
    );
}

#[test]
fn deliveries_wait_for_their_moment() {
    let mut plan = message();
    plan.not_before_ms = Some(super::script::BEGIN_MS + 10_000);
    plan.concurrent = false;
    check(
        &plan,
        "
        begin => forced: wake@10000; committing
        @9999 tick => nothing: wake@10000; committing
        @10000 tick => nothing: a/action#1; committing
        a action done => lazy: b/action#1; committing
        b action done => lazy: ended(Committed); committed
    ",
    );
}
