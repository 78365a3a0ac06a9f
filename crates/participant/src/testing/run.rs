//! One transaction against one fresh service.

use super::{Problem, Service, Step};
use crate::{Branch, Op};
use http::{Request, Response, header};
use std::collections::BTreeSet;

/// Every run has a fresh service, so all may have the same transaction.
const GID: &str = "check-1";

/// Longest part of an answer's body that is shown, in characters.
const SHOWN_MAX: usize = 200;

pub(super) struct Run<S: Service> {
    trial: &'static str,
    service: S,
    /// Steps whose vote was that they need no second phase.
    read_only: BTreeSet<String>,
    pub(super) problems: Vec<Problem>,
}

impl<S: Service> Run<S> {
    pub(super) fn new(trial: &'static str, service: S) -> Self {
        Self { trial, service, read_only: BTreeSet::new(), problems: Vec::new() }
    }

    pub(super) fn state(&mut self) -> S::State {
        self.service.state()
    }

    /// The step's call of a phase; `None` when it has none.
    pub(super) fn forward(&mut self, step: &Step, phase: usize) -> Option<Response<Vec<u8>>> {
        if self.read_only.contains(&step.id) {
            return None;
        }
        let (op, path) = step.forward.get(phase)?;
        self.call(step, *op, path)
    }

    /// Undoes a step, which must never fail.
    pub(super) fn undo(&mut self, step: &Step) {
        if self.read_only.contains(&step.id) {
            return;
        }
        let (op, path) = &step.back;
        if let Some(answer) = self.call(step, *op, path) {
            self.must_be_done(step, *op, &answer);
        }
    }

    /// The calls of a step that was undone.
    pub(super) fn late(&mut self, step: &Step, before: &S::State) {
        for (phase, (op, path)) in step.forward.iter().enumerate() {
            if !step.may_fail(phase) {
                continue;
            }
            if let Some(answer) = self.call(step, *op, path) {
                let status = answer.status();
                // A vote may say no; any other answer would have the coordinator call for ever.
                self.must(status.is_success() || status.as_u16() == 409, || {
                    format!("the late {op} of `{}` was answered {}", step.id, shown(&answer))
                });
            }
            self.must_be(before, || format!("the late {op} of `{}`, which was undone,", step.id));
        }
    }

    /// Notes whether the step needs a second phase.
    pub(super) fn vote(&mut self, step: &Step, answer: &Response<Vec<u8>>) {
        if answer.headers().get("flotilla-vote").is_some_and(|vote| vote == "read_only") {
            self.read_only.insert(step.id.clone());
        }
    }

    pub(super) fn must_be_done(&mut self, step: &Step, op: Op, answer: &Response<Vec<u8>>) {
        let is_done = answer.status().is_success() && answer.status().as_u16() != 202;
        self.must(is_done, || format!("the {op} of `{}` was answered {}", step.id, shown(answer)));
    }

    /// The state must be as it was.
    pub(super) fn must_be(&mut self, before: &S::State, what: impl FnOnce() -> String) {
        let state = self.state();
        self.must(state == *before, || {
            format!("{} changed the state from {before:?} to {state:?}", what())
        });
    }

    pub(super) fn must(&mut self, is_right: bool, text: impl FnOnce() -> String) {
        if !is_right {
            self.problems.push(Problem { trial: self.trial, text: text() });
        }
    }

    fn call(&mut self, step: &Step, op: Op, path: &str) -> Option<Response<Vec<u8>>> {
        match request(step, op, path) {
            Ok(request) => Some(self.service.call(request)),
            Err(error) => {
                self.must(false, || format!("`{}` cannot be called at `{path}`: {error}", step.id));
                None
            }
        }
    }
}

/// The request that the coordinator would send.
fn request(step: &Step, op: Op, path: &str) -> Result<Request<Vec<u8>>, crate::BoxError> {
    let branch = Branch::new(GID, &step.id, step.mode, op)?;
    let mark = if path.contains('?') { '&' } else { '?' };
    let uri =
        format!("{path}{mark}gid={GID}&trans_type={}&branch_id={}&op={op}", step.mode, step.id);
    let request = Request::post(uri)
        .header("flotilla-tx", branch.to_line())
        .header("idempotency-key", branch.key())
        .header(header::CONTENT_TYPE, "application/json");
    Ok(request.body(step.body.clone().unwrap_or_default().into_bytes())?)
}

/// An answer in one line.
pub(super) fn shown(answer: &Response<Vec<u8>>) -> String {
    let body: String = String::from_utf8_lossy(answer.body()).chars().take(SHOWN_MAX).collect();
    let vote = answer.headers().get("flotilla-vote").map_or("", |_| " (read_only)");
    format!("{}{vote} `{body}`", answer.status().as_u16())
}
