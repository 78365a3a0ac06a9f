//! Transactions as answers show them.

use crate::wire::{
    Time,
    transactions::{Branch, Event, Transaction},
};
use base::Timestamp;
use logic::tx::{BranchState, Heuristic, Mode, Op, Phase};
use serde_json::Value;
use transactions::{Join, Note, StepSpec, Target, View};

/// Of three-phase commit whose participants never decide alone.
pub(crate) const SAFE: &str = "blocking_safe";
/// Of three-phase commit whose participants decide alone when they hear nothing.
pub(crate) const UNSAFE: &str = "non_blocking_unsafe_under_partition";

fn time(ms: u64) -> Time {
    Time(Timestamp(ms.saturating_mul(1_000)))
}

/// A transaction as it is shown.
pub(crate) fn transaction(view: View) -> Transaction {
    let View { gid, spec, state, results, node, .. } = view;
    let (mode, phase) = (spec.mode, state.phase);
    let mut results = results.into_iter();
    let branches = spec.steps.iter().enumerate().map(|(number, step)| {
        let result = results.next().filter(|result| !result.is_null());
        // A branch is there with its step; a record that lacks it is shown as one that nothing has happened to.
        let none = BranchState::default();
        branch(mode, phase, step, state.branches.get(number).unwrap_or(&none), result)
    });
    let branches = branches.collect();
    Transaction {
        id: gid.into(),
        mode: mode.as_str().to_owned(),
        name: spec.name,
        status: phase.as_str().to_owned(),
        attention: state.attention,
        reason: state.reason,
        begun: time(state.begun_ms),
        decided: state.decided_ms.map(time),
        ended: state.ended_ms.map(time),
        deadline: state.deadline_ms.filter(|_| state.decided_ms.is_none()).map(time),
        node,
        caller: spec.caller,
        labels: spec.labels,
        input: spec.input,
        safety: safety(mode).map(str::to_owned),
        traceparent: spec.traceparent,
        branches,
    }
}

fn safety(mode: Mode) -> Option<&'static str> {
    match mode {
        Mode::ThreePhase => Some(SAFE),
        Mode::ThreePhaseClassic => Some(UNSAFE),
        Mode::Saga | Mode::Tcc | Mode::TwoPhase | Mode::Message => None,
    }
}

fn branch(
    mode: Mode,
    phase: Phase,
    step: &StepSpec,
    state: &BranchState,
    result: Option<Value>,
) -> Branch {
    let is_over = phase.outcome().is_some();
    let calls = step.calls.iter().map(|(op, call)| (op.as_str().to_owned(), target(call)));
    Branch {
        id: step.id.clone(),
        status: status(mode, step, state).to_owned(),
        done: done(step, state).map(|op| op.as_str().to_owned()).collect(),
        op: op(state).filter(|_| !is_over).map(|op| op.as_str().to_owned()),
        attempts: state.attempts,
        next: (state.next_ms > 0 && !is_over).then(|| time(state.next_ms)),
        error: state.error.clone(),
        heuristic: state.heuristic.map(|it| heuristic(it).to_owned()),
        after: step.after.clone(),
        calls: calls.collect(),
        joins: step.join.as_ref().map(joins),
        result,
    }
}

/// The operation that is under way or is tried next.
fn op(state: &BranchState) -> Option<Op> {
    state.op.filter(|op| !state.done.has(*op) && state.refused != Some(*op))
}

/// What is done of a branch. To undo what needs no undoing is nothing that was done.
fn done(step: &StepSpec, state: &BranchState) -> impl Iterator<Item = Op> {
    state.done.iter().filter(|op| !undoes(*op) || step.calls.contains_key(op))
}

/// How far a branch is, in one word. What undoes stands before what it undoes.
fn status(mode: Mode, step: &StepSpec, state: &BranchState) -> &'static str {
    const WORDS: [(Op, &str); 11] = [
        (Op::Compensate, "undone"),
        (Op::Cancel, "cancelled"),
        (Op::Rollback, "rolled_back"),
        (Op::Confirm, "confirmed"),
        (Op::Commit, "committed"),
        (Op::CommitOnePhase, "committed"),
        (Op::PreCommit, "prepared"),
        (Op::Prepare, "prepared"),
        (Op::CanCommit, "could"),
        (Op::Try, "reserved"),
        (Op::Action, "done"),
    ];
    if state.resolved {
        return "resolved";
    }
    let done = WORDS.iter().find(|(op, _)| done(step, state).any(|done| done == *op));
    match done {
        // Only what ends it counts for more than a no.
        Some((op, word)) if state.refused.is_none() || undoes(*op) => match *op {
            // In Skeen's first phase the vote binds.
            Op::CanCommit if mode == Mode::ThreePhaseClassic => "prepared",
            Op::Prepare | Op::PreCommit if state.read_only => "read_only",
            _ => word,
        },
        _ if state.refused.is_some() => "refused",
        _ if state.attempts > 0 || state.calling.is_some() || state.may_have_run => "trying",
        _ => "waiting",
    }
}

fn undoes(op: Op) -> bool {
    matches!(op, Op::Compensate | Op::Cancel | Op::Rollback)
}

pub(crate) fn heuristic(it: Heuristic) -> &'static str {
    match it {
        Heuristic::Committed => "committed",
        Heuristic::Aborted => "aborted",
        Heuristic::Mixed => "mixed",
    }
}

/// A call as it is written.
fn target(call: &transactions::Call) -> String {
    match &call.target {
        Target::Service { service, path } => format!("{} {service}{path}", call.method),
        // What stands behind a `?` may be a secret of whoever is called.
        Target::Url(url) => {
            format!("{} {}", call.method, url.split('?').next().unwrap_or_default())
        }
        Target::GrpcService { service, method } => format!("grpc://{service}/{method}"),
        Target::Grpc { authority, method } => format!("grpc://{authority}/{method}"),
    }
}

fn joins(join: &Join) -> String {
    match join {
        Join::Put { store, key, .. } => format!("put {store}/{key}"),
        Join::Delete { store, key, .. } => format!("delete {store}/{key}"),
        Join::Publish { topic, .. } => format!("publish {topic}"),
        Join::Holds { store, resource, .. } => format!("holds {store}/{resource}"),
    }
}

/// A note as it is shown.
pub(crate) fn event(note: Note) -> Event {
    Event {
        seq: note.seq.into(),
        at: time(note.at_ms),
        status: note.phase.as_str().to_owned(),
        branch: note.branch,
        op: note.op.map(|op| op.as_str().to_owned()),
        text: note.text,
    }
}
