use super::{
    super::{Answer, BRANCHES_MAX, Branch, Event, Machine, Mode, Op, OpSet, Plan, Refused, Step},
    script::{BEGIN_MS, check, plan},
};

fn invalid(plan: Plan, expected: &str) {
    let error =
        Machine::begin(plan, false, BEGIN_MS).map(|_| ()).map_err(|error| error.to_string());
    assert_eq!(error, Err(expected.to_owned()));
}

#[test]
fn a_plan_that_cannot_be_carried_out_is_refused_with_the_reason() {
    let with = |mode, branches, change: fn(&mut Branch)| {
        let mut plan = plan(mode, branches);
        plan.branches.iter_mut().for_each(change);
        plan
    };
    invalid(plan(Mode::Saga, ""), "it has no branches");
    invalid(plan(Mode::Saga, "a b a"), "two branches are called `a`");
    invalid(
        with(Mode::Saga, "a", |branch| branch.after = vec![0]),
        "`a` comes after 0, which does not stand before it",
    );
    invalid(plan(Mode::Saga, "a! b<a"), "`b` comes after 0, which does not stand before it");
    invalid(
        plan(Mode::Tcc, "a!"),
        "`a` comes after others, or joins the decision, which only steps of a saga do",
    );
    invalid(
        with(Mode::Tcc, "a", |branch| branch.ops = OpSet::EMPTY.with(Op::Prepare)),
        "`a` has `prepare`, which is none of tcc",
    );
    let names: Vec<String> = (0..=BRANCHES_MAX).map(|at| at.to_string()).collect();
    invalid(plan(Mode::Saga, &names.join(" ")), "100 branches, 99 are allowed");
}

#[test]
fn an_open_transaction_takes_only_branches_that_it_can_have() {
    let names: Vec<String> = (0..BRANCHES_MAX).map(|at| format!("{at}*")).collect();
    check(
        &plan(Mode::Tcc, &names.join(" ")),
        "
        open => forced: ; open
        enlist a => refused: it cannot have this branch: it has as many as it may have
    ",
    );
    let (mut machine, _) = Machine::begin(plan(Mode::Tcc, "a*"), true, BEGIN_MS).unwrap();
    let other = plan(Mode::Saga, "x").branches.remove(0);
    let refused = machine.step(Event::Enlist(other), BEGIN_MS, 0);
    assert!(matches!(refused, Err(Refused::Branch(_))), "{refused:?}");
    assert_eq!(machine.state().branches.len(), 1);
}

#[test]
fn answers_that_belong_to_no_call_are_passed_over() {
    check(
        &plan(Mode::Saga, "a b<a"),
        "
        begin => forced: a/action#1; trying
        a action#2 done => nothing: ; trying
        a compensate#1 done => nothing: ; trying
        b action#1 done => nothing: ; trying
        sender msg#1 done => nothing: ; trying
        a action#1 failed broken => lazy: wake@100; trying
        a action#1 done => nothing: ; trying
    ",
    );
}

#[test]
fn an_answer_of_a_branch_that_does_not_exist_is_passed_over() {
    let (mut machine, _) = Machine::begin(plan(Mode::Saga, "a"), false, BEGIN_MS).unwrap();
    let event = Event::Answer { branch: Some(7), op: Op::Action, attempt: 1, answer: Answer::Done };
    assert_eq!(machine.step(event, BEGIN_MS, 0), Ok(Step::default()));
}

#[test]
fn to_retry_calls_at_once_what_waits() {
    check(
        &plan(Mode::Saga, "a b"),
        "
        begin => forced: a/action#1 b/action#1; trying
        a action away gone => lazy: wake@100; trying
        b action failed broken => lazy: ; trying
        retry => nothing: a/action#1 b/action#2; trying
        retry => nothing: ; trying
    ",
    );
}

#[test]
fn an_operator_resolves_a_branch_that_failed_and_no_other() {
    check(
        &plan(Mode::TwoPhase, "a b"),
        "
        begin => forced: a/prepare#1 b/prepare#1; trying
        a prepare failed broken => lazy: wake@100; trying
        resolve a => refused: nothing of it waits for an operator
        @100 tick => nothing: a/prepare#2; trying
        a prepare done => lazy: ; trying
        b prepare done => forced: a/commit#1 b/commit#1; committing
        resolve a => refused: nothing of it waits for an operator
        a commit failed broken => lazy: wake@200; committing
        resolve a => forced: ; committing
        resolve a => refused: nothing of it waits for an operator
        resolve z => refused: it has no such branch
        b commit done => lazy: ended(Committed); committed
        resolve b => refused: it has ended: committed
    ",
    );
}

#[test]
fn an_operator_ends_a_transaction_in_any_state() {
    check(
        &plan(Mode::Saga, "a b"),
        "
        begin => forced: a/action#1 b/action#1; trying
        resolve all committed => forced: ended(Committed); committed
        a action done => nothing: ; committed
        resolve all aborted => refused: it has ended: committed
        retry => refused: it has ended: committed
    ",
    );
    check(
        &plan(Mode::Saga, "a b"),
        "
        begin => forced: a/action#1 b/action#1; trying
        resolve all aborted => forced: ended(Aborted); aborted
        show cause => Asked
    ",
    );
    check(
        &plan(Mode::Saga, "a b"),
        "
        begin => forced: a/action#1 b/action#1; trying
        a action refused no => forced: a/compensate#1; aborting
        resolve all committed => forced: ended(Mixed); mixed
        show attention => an operator has ended it against its decision
        show decision => Some(Abort)
    ",
    );
    check(
        &plan(Mode::Message, "a"),
        "
        begin => forced: a/action#1; committing
        resolve all aborted => forced: ended(Mixed); mixed
        show decision => Some(Commit)
    ",
    );
}

#[test]
fn what_is_over_stays_as_it_is() {
    check(
        &plan(Mode::Saga, "a"),
        "
        begin => forced: a/action#1; trying
        a action done => forced: ended(Committed); committed
        recover kept => nothing: ; committed
        tick => nothing: ; committed
        submit => nothing: ; committed
        a action#1 refused no => nothing: ; committed
        abort no => refused: it is committed already
        enlist b => refused: it is committed and takes no more branches
    ",
    );
}

#[test]
fn a_reason_is_kept_only_so_far() {
    let mut plan = plan(Mode::Saga, "a");
    plan.branches[0].id = "ä".repeat(2_000);
    let (mut machine, _) = Machine::begin(plan, false, BEGIN_MS).unwrap();
    machine.step(Event::Abort("ö".repeat(2_000)), BEGIN_MS, 0).unwrap();
    assert_eq!(machine.state().reason.as_ref().map(String::len), Some(512));
}

#[test]
fn a_record_that_does_not_fit_its_plan_does_not_bring_the_driver_down() {
    let (machine, _) = Machine::begin(plan(Mode::Saga, "a b c"), false, BEGIN_MS).unwrap();
    let short = plan(Mode::Saga, "a");
    let mut machine = Machine::resume(short, machine.state().clone());
    assert!(machine.step(Event::Recovered, BEGIN_MS, 0).is_ok());
    let mut state = machine.state().clone();
    state.branches.clear();
    let mut machine = Machine::resume(plan(Mode::TwoPhase, "a b"), state);
    assert!(machine.step(Event::Recovered, BEGIN_MS, 0).is_ok());
}

#[test]
fn a_state_that_nothing_has_happened_to_takes_few_bytes() {
    let (machine, _) = Machine::begin(plan(Mode::Saga, "a b<a"), false, BEGIN_MS).unwrap();
    let text = serde_json::to_string(machine.state()).unwrap();
    assert!(text.len() < 120, "{} bytes: {text}", text.len());
}

#[test]
fn a_plan_that_asks_for_no_pause_is_not_tried_in_a_tight_loop() {
    let mut plan = plan(Mode::Saga, "a");
    plan.retry.base_ms = 0;
    plan.retry.max_ms = 0;
    check(
        &plan,
        "
        begin => forced: a/action#1; trying
        a action failed broken => lazy: wake@10; trying
        @10 tick => nothing: a/action#2; trying
    ",
    );
}
