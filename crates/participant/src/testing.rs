//! Tries a service's own handlers with what happens in bad hours: every call twice, a failure at every step, an undo that comes before
//! its action, an action that comes after its undo.
//!
//! Say how to make a fresh service, how to call it, and what of it must be right; name the steps; [`check_steps`] does the rest and tells
//! each thing that is wrong with the call that showed it.
//!
//! ```
//! use flotilla_participant::{Answer, Branch, sqlite::Barrier, testing::{Service, Step, check_steps}};
//! use http::{Request, Response};
//!
//! struct Shop(rusqlite::Connection);
//!
//! impl Shop {
//!     fn fresh() -> Self {
//!         let connection = rusqlite::Connection::open_in_memory().unwrap();
//!         connection.execute_batch("CREATE TABLE stock (left INTEGER); INSERT INTO stock VALUES (10)").unwrap();
//!         Barrier::new().create_table(&connection).unwrap();
//!         Self(connection)
//!     }
//! }
//!
//! impl Service for Shop {
//!     type State = i64;
//!
//!     fn call(&mut self, request: Request<Vec<u8>>) -> Response<Vec<u8>> {
//!         let branch = Branch::from_request(&request).unwrap();
//!         let change = if request.uri().path() == "/reserve" { -1 } else { 1 };
//!         let answer = Barrier::new().call(&mut self.0, &branch, |tx| {
//!             tx.execute("UPDATE stock SET left = left + ?1", [change])?;
//!             Ok(Answer::done())
//!         });
//!         Answer::from(answer).into_response()
//!     }
//!
//!     fn state(&mut self) -> i64 {
//!         self.0.query_row("SELECT left FROM stock", [], |row| row.get(0)).unwrap()
//!     }
//! }
//!
//! check_steps(Shop::fresh, &[Step::saga("reserve", "/reserve", "/release").json(r#"{"sku":"apple"}"#)]);
//! ```
//!
//! A service that is asynchronous is called with `runtime.block_on(…)`; keep the runtime in the type.

mod run;
mod step;

pub use step::Step;

use http::{Request, Response};
use run::Run;
use std::fmt::{self, Debug};

/// A service as the checks see it.
pub trait Service {
    /// What must be right in the end: balances, rows, what was sent. Compared, and shown when it is wrong.
    type State: PartialEq + Debug;

    /// Handles a call of the coordinator. The URI is the step's path with the parameters.
    fn call(&mut self, request: Request<Vec<u8>>) -> Response<Vec<u8>>;

    /// What must be right, as it is at the moment. Without the barrier's table.
    fn state(&mut self) -> Self::State;
}

/// Something that a service does wrong.
#[derive(Clone, PartialEq, Eq)]
pub struct Problem {
    /// What was tried: `every call twice`…
    pub trial: &'static str,
    /// What was seen.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.trial, self.text)
    }
}

impl Debug for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Tries everything that this module has.
///
/// # Panics
/// When something is wrong; the text has every problem.
#[track_caller]
pub fn check_steps<S: Service>(fresh: impl FnMut() -> S, steps: &[Step]) {
    let problems = problems(fresh, steps);
    let lines: Vec<_> = problems.iter().map(|problem| format!("- {problem}")).collect();
    assert!(problems.is_empty(), "the steps do not hold:\n{}", lines.join("\n"));
}

/// What is wrong with the steps, in the order of the trials.
pub fn problems<S: Service>(mut fresh: impl FnMut() -> S, steps: &[Step]) -> Vec<Problem> {
    let mut problems = run_each_step_twice(&mut fresh, steps);
    problems.extend(fail_at_each_step(&mut fresh, steps));
    problems.extend(undo_before_action(&mut fresh, steps));
    problems.extend(action_after_undo(&mut fresh, steps));
    problems
}

/// Every call is made twice, as when the first answer was lost. The second must answer the same and change nothing.
pub fn run_each_step_twice<S: Service>(
    mut fresh: impl FnMut() -> S,
    steps: &[Step],
) -> Vec<Problem> {
    let mut run = Run::new("every call twice", fresh());
    for phase in 0..Step::phases(steps) {
        for step in steps {
            let Some(first) = run.forward(step, phase) else { continue };
            let op = step.forward[phase].0;
            run.must_be_done(step, op, &first);
            let before = run.state();
            let Some(second) = run.forward(step, phase) else { continue };
            let (was, is) = (run::shown(&first), run::shown(&second));
            run.must(was == is, || {
                format!("the first {op} of `{}` was answered {was}, the second {is}", step.id)
            });
            run.must_be(&before, || format!("the second {op} of `{}`", step.id));
            run.vote(step, &first);
        }
    }
    run.problems
}

/// The transaction fails at each step, once before and once after the step had its effect, and is undone, each undo twice. In the end
/// everything must be as before.
pub fn fail_at_each_step<S: Service>(mut fresh: impl FnMut() -> S, steps: &[Step]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for phase in 0..Step::phases(steps) {
        for (at, failing) in steps.iter().enumerate() {
            let Some((op, _)) = failing.forward.get(phase).filter(|_| failing.may_fail(phase))
            else {
                continue;
            };
            for has_effect in [false, true] {
                let mut run = Run::new("a failure at every step", fresh());
                let before = run.state();
                for earlier in 0..=phase {
                    let count =
                        if earlier < phase { steps.len() } else { at + usize::from(has_effect) };
                    for step in steps.iter().take(count) {
                        let op = step.forward.get(earlier).map(|(op, _)| *op);
                        if let (Some(answer), Some(op)) = (run.forward(step, earlier), op) {
                            run.must_be_done(step, op, &answer);
                            run.vote(step, &answer);
                        }
                    }
                }
                // Whose call was sent may have run; nobody knows it of the one that failed.
                let called = if phase == 0 { at + 1 } else { steps.len() };
                for step in steps.iter().take(called).rev() {
                    for _ in 0..2 {
                        run.undo(step);
                    }
                }
                let when = if has_effect { "after" } else { "before" };
                run.must_be(&before, || {
                    format!(
                        "a transaction that failed {when} the {op} of `{}` and was undone",
                        failing.id
                    )
                });
                problems.extend(run.problems);
            }
        }
    }
    problems
}

/// The undo of each step comes although its action never did, and the action comes later. Neither may change anything.
pub fn undo_before_action<S: Service>(
    mut fresh: impl FnMut() -> S,
    steps: &[Step],
) -> Vec<Problem> {
    let mut problems = Vec::new();
    for step in steps {
        let mut run = Run::new("an undo before its action", fresh());
        let before = run.state();
        run.undo(step);
        run.must_be(&before, || format!("the {} of `{}`, which never ran,", step.back.0, step.id));
        run.late(step, &before);
        problems.extend(run.problems);
    }
    problems
}

/// The action of each step comes, its undo, and the action once more, because the network held it back. The last must change nothing.
pub fn action_after_undo<S: Service>(mut fresh: impl FnMut() -> S, steps: &[Step]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for step in steps {
        let mut run = Run::new("an action after its undo", fresh());
        let before = run.state();
        for (phase, (op, _)) in step.forward.iter().enumerate() {
            if step.may_fail(phase)
                && let Some(answer) = run.forward(step, phase)
            {
                run.must_be_done(step, *op, &answer);
            }
        }
        run.undo(step);
        run.late(step, &before);
        problems.extend(run.problems);
    }
    problems
}

#[cfg(test)]
mod tests;
