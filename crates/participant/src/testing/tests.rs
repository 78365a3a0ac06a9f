use super::*;
use crate::{Answer, Branch, Op};
use std::collections::BTreeMap;

/// What a service does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// It forgets which calls it had.
    NoBarrier,
    /// It keeps only calls apart that are the same.
    OnlyDuplicates,
    /// It answers a repeated call differently.
    OtherAnswer,
    /// Its undo does too little.
    HalfUndo,
    /// Its undo fails when there is nothing to undo.
    StrictUndo,
    /// It refuses its action.
    Refuses,
    /// It fails with an action that comes too late.
    LateFails,
}

/// A service in memory, with a barrier of its own.
struct Account {
    fault: Fault,
    balance: i64,
    seen: BTreeMap<(String, String), String>,
}

impl Account {
    fn new(fault: Fault) -> Self {
        Self { fault, balance: 0, seen: BTreeMap::new() }
    }

    fn answer(&mut self, branch: &Branch, path: &str) -> Answer {
        let row = |op: Op| (branch.id.clone(), op.to_string());
        let reason = branch.op.to_string();
        if self.fault != Fault::NoBarrier {
            let mut undoes_nothing = false;
            if let Some(origin) = branch.origin().filter(|_| self.fault != Fault::OnlyDuplicates)
                && !self.seen.contains_key(&row(origin))
            {
                self.seen.insert(row(origin), reason.clone());
                undoes_nothing = true;
            }
            if let Some(found) = self.seen.get(&row(branch.op)) {
                let is_late = *found != reason;
                return match self.fault {
                    Fault::OtherAnswer if !is_late => Answer::json("[2]"),
                    Fault::LateFails if is_late => Answer::failed("too late"),
                    _ if is_late && branch.is_vote() => Answer::refused("too late"),
                    _ => Answer::done(),
                };
            }
            self.seen.insert(row(branch.op), reason);
            if undoes_nothing {
                let is_strict = self.fault == Fault::StrictUndo;
                return if is_strict { Answer::failed("nothing is there") } else { Answer::done() };
            }
        }
        if self.fault == Fault::Refuses && branch.op == Op::Action {
            return Answer::refused("sold out");
        }
        self.balance += match (branch.op, path) {
            (Op::Action | Op::Try | Op::Prepare | Op::PreCommit, _) => 5,
            (Op::Compensate | Op::Cancel | Op::Rollback, _) if self.fault == Fault::HalfUndo => -4,
            (Op::Compensate | Op::Cancel | Op::Rollback, _) => -5,
            _ => 0,
        };
        Answer::done()
    }
}

impl Service for Account {
    type State = i64;

    fn call(&mut self, request: Request<Vec<u8>>) -> Response<Vec<u8>> {
        assert_eq!(request.body(), b"{}");
        let branch = Branch::from_request(&request).unwrap();
        self.answer(&branch, request.uri().path()).into_response()
    }

    fn state(&mut self) -> i64 {
        self.balance
    }
}

fn steps() -> Vec<Step> {
    let steps = [
        Step::saga("reserve", "/reserve", "/release?by=5"),
        Step::saga("charge", "/charge", "/refund"),
        Step::tcc("seat", "/try", "/confirm", "/cancel"),
        Step::two_phase("from", "/tx"),
        Step::three_phase("to", "/tx"),
    ];
    steps.map(|step| step.json("{}")).into()
}

#[test]
fn a_service_with_a_barrier_holds() {
    check_steps(|| Account::new(Fault::None), &steps());
}

#[test]
fn every_fault_is_found_and_named() {
    for (fault, trial, text) in [
        (
            Fault::NoBarrier,
            "every call twice",
            "the second action of `reserve` changed the state from 5 to 10",
        ),
        (
            Fault::NoBarrier,
            "a failure at every step",
            "failed before the action of `reserve` and was undone changed the state from 0 to -10",
        ),
        (
            Fault::NoBarrier,
            "an undo before its action",
            "the compensate of `reserve`, which never ran, changed the state from 0 to -5",
        ),
        (
            Fault::NoBarrier,
            "an action after its undo",
            "the late action of `reserve`, which was undone, changed the state from 0 to 5",
        ),
        (
            Fault::OnlyDuplicates,
            "an undo before its action",
            "the cancel of `seat`, which never ran, changed the state from 0 to -5",
        ),
        (
            Fault::OtherAnswer,
            "every call twice",
            "the first try of `seat` was answered 200 ``, the second 200 `[2]`",
        ),
        (
            Fault::HalfUndo,
            "a failure at every step",
            "failed after the prepare of `from` and was undone changed the state",
        ),
        (
            Fault::StrictUndo,
            "an undo before its action",
            "the rollback of `to` was answered 500 `nothing is there`",
        ),
        (Fault::Refuses, "every call twice", "the action of `charge` was answered 409 `sold out`"),
        (
            Fault::LateFails,
            "an undo before its action",
            "the late pre_commit of `to` was answered 500 `too late`",
        ),
    ] {
        let problems = problems(|| Account::new(fault), &steps());
        let is_found = problems.iter().any(|it| it.trial == trial && it.text.contains(text));
        assert!(is_found, "{fault:?}: {text}\n{problems:#?}");
    }
}

#[test]
fn a_path_that_cannot_be_called_is_a_problem_and_no_panic() {
    let steps = [Step::saga("reserve", "not a path", "/release").json("{}")];
    let problems = problems(|| Account::new(Fault::None), &steps);
    assert!(problems[0].text.contains("`not a path`"), "{problems:#?}");
}
