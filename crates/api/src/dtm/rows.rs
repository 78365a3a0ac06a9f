//! Transactions as DTM shows them: one object for the whole, and a row for each operation of a branch.

use super::asked::Kind;
use crate::wire::time::Time;
use base::Timestamp;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use logic::tx::{BranchState, Cause, Mode, Op, Phase};
use serde_json::{Map, Value, json};
use transactions::{Call, Payload, StepSpec, Target, View};

/// The step in which the result of a workflow is kept.
pub(super) const RESULT: &str = "result";

/// Where a transaction stands, in DTM's words.
pub(super) fn status(phase: Phase) -> &'static str {
    match phase {
        Phase::Open => "prepared",
        Phase::Trying | Phase::Precommitting | Phase::Committing => "submitted",
        Phase::Aborting => "aborting",
        Phase::Committed => "succeed",
        Phase::Aborted | Phase::Mixed => "failed",
    }
}

/// The phases that DTM calls so; `None`: it has no such word.
pub(super) fn phases(status: &str) -> Option<Vec<Phase>> {
    Some(match status {
        "" => Vec::new(),
        "prepared" => vec![Phase::Open],
        "submitted" => vec![Phase::Trying, Phase::Precommitting, Phase::Committing],
        "aborting" => vec![Phase::Aborting],
        "succeed" => vec![Phase::Committed],
        "failed" => vec![Phase::Aborted, Phase::Mixed],
        _ => return None,
    })
}

/// The whole of it. Fields that say nothing are left out.
pub(super) fn transaction(view: &View) -> Map<String, Value> {
    let (spec, state) = (&view.spec, &view.state);
    let mut out = Map::new();
    let mut text = |name: &str, text: &str| {
        if !text.is_empty() {
            out.insert(name.to_owned(), text.into());
        }
    };
    let extra = |name: &str| spec.extra.get(name).and_then(Value::as_str).unwrap_or_default();
    text("gid", view.gid.as_str());
    text("trans_type", Kind::word(spec.mode, spec.dialect));
    text("status", status(state.phase));
    text("query_prepared", &spec.query.as_ref().map(url).unwrap_or_default());
    text("protocol", if extra("protocol").is_empty() { "http" } else { extra("protocol") });
    text("rollback_reason", &reason(view));
    text("result", &result(view));
    text("options", extra("options"));
    text("custom_data", extra("custom_data"));
    text("owner", &view.node);
    let seconds = spec.retry.map_or(0, |retry| retry.base_ms / 1_000);
    if seconds > 0 {
        out.insert("next_cron_interval".to_owned(), seconds.into());
    }
    out.insert("id".to_owned(), 0.into());
    let updated = view.notes.last().map_or(state.begun_ms, |note| note.at_ms);
    let mut time = |name: &str, millis: Option<u64>| {
        if let Some(millis) = millis {
            out.insert(name.to_owned(), json!(time(millis)));
        }
    };
    time("create_time", Some(state.begun_ms));
    time("update_time", Some(updated.max(state.begun_ms)));
    let is_committed = state.phase == Phase::Committed;
    time("finish_time", state.ended_ms.filter(|_| is_committed));
    time("rollback_time", state.ended_ms.filter(|_| !is_committed));
    time("next_cron_time", next_ms(view));
    let steps = spec.steps.iter().filter(|step| !step.calls.is_empty());
    let steps: Vec<Value> = steps.map(step).collect();
    if matches!(spec.mode, Mode::Saga | Mode::Message) && !steps.is_empty() {
        out.insert("steps".to_owned(), steps.into());
    }
    out
}

/// When it goes on by itself, in milliseconds since 1970; `None`: at once, or it has ended.
pub(super) fn next_ms(view: &View) -> Option<u64> {
    let state = &view.state;
    if state.phase.outcome().is_some() {
        return None;
    }
    let all = state.branches.iter().chain([&state.sender]);
    all.map(|branch| branch.next_ms).filter(|next| *next > 0).min().or(state.deadline_ms)
}

/// Why it was rolled back, or an empty text.
pub(super) fn reason(view: &View) -> String {
    let limit = view.spec.retry.and_then(|retry| retry.attempts);
    match (view.state.cause, limit) {
        // In the words that clients know. They count the repetitions.
        (Some(Cause::Attempts), Some(attempts)) if view.spec.dialect.is_dtm() => {
            let limit = attempts.saturating_sub(1);
            format!("RetryCount is greater than RetryLimit, RetryLimit: {limit}")
        }
        _ => view.state.reason.clone().unwrap_or_default(),
    }
}

/// What a workflow gave, in base 64.
pub(super) fn result(view: &View) -> String {
    let step = view.spec.steps.iter().find(|step| is_result(step));
    step.and_then(|step| step.payload.as_ref())
        .map(|payload| String::from_utf8_lossy(bytes(payload)).into_owned())
        .unwrap_or_default()
}

fn is_result(step: &StepSpec) -> bool {
    step.id == RESULT && step.calls.is_empty()
}

/// A row for each operation of each branch, as DTM lays them out.
pub(super) fn rows(view: &View) -> Vec<Value> {
    let states = &view.state.branches;
    let mut pairs: Vec<(&StepSpec, Option<&BranchState>)> =
        view.spec.steps.iter().enumerate().map(|(at, step)| (step, states.get(at))).collect();
    if view.spec.mode == Mode::Saga {
        // They stand in the order in which they run; their names say where the client had them.
        pairs.sort_by(|(one, _), (other, _)| one.id.cmp(&other.id));
    }
    let is_workflow = Kind::word(view.spec.mode, view.spec.dialect) == Kind::Workflow.as_str();
    let mut out = Vec::new();
    for (step, state) in pairs {
        if is_workflow {
            if !is_result(step) {
                out.push(progress(view, step));
            }
            continue;
        }
        for op in operations(view.spec.mode) {
            out.push(row(view, step, state, *op));
        }
    }
    out
}

/// The operations of a branch, in the order of its rows.
fn operations(mode: Mode) -> &'static [Op] {
    match mode {
        Mode::Saga => &[Op::Compensate, Op::Action],
        Mode::Tcc => &[Op::Cancel, Op::Confirm],
        Mode::TwoPhase | Mode::ThreePhase | Mode::ThreePhaseClassic => &[Op::Rollback, Op::Commit],
        Mode::Message => &[Op::Action],
    }
}

fn row(view: &View, step: &StepSpec, state: Option<&BranchState>, op: Op) -> Value {
    let status = match state {
        Some(state) if state.done.has(op) => "succeed",
        Some(state) if state.refused == Some(op) => "failed",
        _ => "prepared",
    };
    let call = step.calls.get(&op);
    let note = view
        .notes
        .iter()
        .rev()
        .find(|note| note.op == Some(op) && note.branch.as_deref() == Some(&step.id));
    let mut out = base(view, step, note.map(|note| note.at_ms));
    out.insert("url".to_owned(), call.map(url).unwrap_or_default().into());
    out.insert("branch_id".to_owned(), step.id.as_str().into());
    out.insert("op".to_owned(), op.as_str().into());
    out.insert("status".to_owned(), status.into());
    if let Some(note) = note.filter(|_| status != "prepared") {
        out.insert("finish_time".to_owned(), json!(time(note.at_ms)));
    }
    Value::Object(out)
}

/// The result of a step of a workflow, which its client has kept here.
fn progress(view: &View, step: &StepSpec) -> Value {
    let mut out = base(view, step, None);
    for name in ["branch_id", "op", "status"] {
        let said = step.body.as_ref().and_then(|body| body.get(name));
        out.insert(name.to_owned(), said.cloned().unwrap_or_else(|| "".into()));
    }
    Value::Object(out)
}

fn base(view: &View, step: &StepSpec, updated_ms: Option<u64>) -> Map<String, Value> {
    let payload = step.payload.as_ref().map(bytes).unwrap_or_default();
    let begun = view.state.begun_ms;
    let Value::Object(out) = json!({
        "id": 0,
        "create_time": time(begun),
        "update_time": time(updated_ms.unwrap_or(begun)),
        "gid": view.gid.as_str(),
        "bin_data": BASE64.encode(payload),
    }) else {
        return Map::new();
    };
    out
}

fn step(step: &StepSpec) -> Value {
    let called = |op| step.calls.get(&op).map(url);
    let mut out = Map::new();
    out.insert("action".to_owned(), called(Op::Action).unwrap_or_default().into());
    if let Some(url) = called(Op::Compensate) {
        out.insert("compensate".to_owned(), url.into());
    }
    Value::Object(out)
}

fn url(call: &Call) -> String {
    match &call.target {
        Target::Url(url) => url.clone(),
        Target::Service { service, path } => format!("{service}{path}"),
        Target::GrpcService { service, method } => format!("{service}/{method}"),
        Target::Grpc { authority, method } => format!("{authority}/{method}"),
    }
}

fn bytes(payload: &Payload) -> &[u8] {
    match payload {
        Payload::Text(text) => text.as_bytes(),
        Payload::Bytes(bytes) => bytes,
    }
}

fn time(millis: u64) -> Time {
    Time(Timestamp(millis.saturating_mul(1_000)))
}
