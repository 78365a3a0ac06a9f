//! Calls: from the line to the participant, and what came of them.

use super::{
    Body, Called, Event, Slot, Table, Waiting,
    jobs::{Call, Job},
    live::bounded,
    stepping::call_of,
};
use crate::{CallRequest, StepSpec, lines::service, random::Dice, render::Values};
use logic::tx::{Answer, Op};
use std::{sync::Arc, time::Duration};
use tracing::debug;

/// How long one call may take unless its step says otherwise.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// The name of a message's sender where branches have theirs, as DTM has it.
const SENDER: &str = "00";

/// Most services that are waited for at the same time; calls of others come back by their pauses.
const SERVICES_MAX: usize = 256;

impl Table {
    /// Makes calls as long as there is room.
    pub(super) fn pump(&mut self) {
        while !self.is_engine_away && !self.is_closing {
            let Some((to, waiting)) = self.lines.next() else { return };
            let Waiting { id, branch, op, attempt, .. } = waiting;
            let request = self.request(&waiting);
            match request {
                Some(Ok((request, is_service))) => {
                    let call = Call { id, branch, op, attempt, to, is_service };
                    self.jobs.push(Job::Call { call, request: Box::new(request) });
                }
                Some(Err(answer)) => {
                    self.lines.ended(&to);
                    let answer = bounded(answer);
                    self.inbox.push_back((id, Event::Answer { branch, op, attempt, answer }));
                }
                // Nobody wants it any more.
                None => self.lines.ended(&to),
            }
        }
    }

    /// A call with its place holders filled in, and whether it goes to a service. `Err`: that cannot be done, which is an answer too.
    fn request(&mut self, waiting: &Waiting) -> Option<Result<(CallRequest, bool), Answer>> {
        let Waiting { id, branch, op, attempt, until_ms } = *waiting;
        let Some(Slot { gid, body: Body::Warm(live), .. }) = self.slots.get_mut(&id) else {
            return None;
        };
        // What was known when it was put in line is known now.
        call_of(live, branch, op)?;
        let spec = live.spec.as_deref()?;
        let step = branch.and_then(|branch| spec.steps.get(usize::from(branch)));
        let call = match step {
            Some(step) => step.calls.get(&op)?,
            None => spec.query.as_ref()?,
        };
        let values = Values { spec, results: &live.results };
        let (target, headers, body) = match values.fill(step, call) {
            Ok(filled) => filled,
            // What could not be called for its first phase needs no second one.
            Err(_) if is_undoing(op) && !can_have_begun(&values, step) => {
                return Some(Err(Answer::Done));
            }
            Err(error) => return Some(Err(Answer::Refused(error.to_string()))),
        };
        let timeout = step.and_then(|step| step.timeout_ms).map(Duration::from_millis);
        let is_service = service(&target).is_some();
        let request = CallRequest {
            gid: gid.clone(),
            mode: spec.mode,
            dialect: spec.dialect,
            branch: step.map_or_else(|| SENDER.to_owned(), |step| step.id.clone()),
            op,
            attempt,
            until_ms,
            target,
            method: call.method.clone(),
            headers,
            body,
            traceparent: spec
                .traceparent
                .as_deref()
                .map(|parent| Dice::child(&mut self.dice, parent)),
            timeout: timeout.unwrap_or(CALL_TIMEOUT),
        };
        Some(Ok((request, is_service)))
    }

    /// A call has come to an end.
    pub(crate) fn called(&mut self, called: Called) {
        let Called { call, called } = called;
        let Call { id, branch, op, attempt, to, is_service } = call;
        self.lines.ended(&to);
        let crate::Called { mut answer, body, .. } = called;
        if let (Some(branch), Answer::Done | Answer::ReadOnly, true) =
            (branch, &answer, is_first(op))
            && let Some(live) = self.live(id)
            && let Err(reason) = live.keep_result(branch, body)
        {
            answer = Answer::Refused(reason);
        }
        if is_service && matches!(answer, Answer::Away(_)) {
            self.wait_for(&to, id);
        }
        let answer = bounded(answer);
        self.inbox.push_back((id, Event::Answer { branch, op, attempt, answer }));
    }

    /// A transaction wants to know when a service is there.
    fn wait_for(&mut self, service: &Arc<str>, id: u64) {
        if let Some(waiting) = self.away.get_mut(&**service) {
            waiting.insert(id);
        } else if self.away.len() < SERVICES_MAX {
            self.away.insert(service.to_string(), [id].into());
            self.jobs.push(Job::Ready { service: service.to_string() });
        }
    }

    /// An instance of a service is there: what waits for it is tried.
    pub(crate) fn ready(&mut self, service: &str) {
        for id in self.away.remove(service).unwrap_or_default() {
            if !self.slots.contains_key(&id) {
                continue;
            }
            // What has ended or waits for nothing needs no try.
            if self.warm(id)
                && let Err(error) = self.step(id, Event::Retry)
            {
                debug!(%error, "nothing is to be tried");
            }
        }
        self.settle();
    }

    /// There is no telling when a service is there: what waits for it comes back by its pauses.
    pub(crate) fn not_told(&mut self, service: &str) {
        self.away.remove(service);
    }
}

/// Whether the first phase of a step could be called.
fn can_have_begun(values: &Values<'_>, step: Option<&StepSpec>) -> bool {
    step.is_none_or(|step| {
        let mut first = step.calls.iter().filter(|(op, _)| is_first(**op));
        first.any(|(_, call)| values.fill(Some(step), call).is_ok())
    })
}

fn is_undoing(op: Op) -> bool {
    matches!(op, Op::Compensate | Op::Cancel | Op::Rollback)
}

/// Whether an operation's answer can be used by later steps.
fn is_first(op: Op) -> bool {
    matches!(op, Op::Action | Op::Try | Op::Prepare | Op::CanCommit)
}
