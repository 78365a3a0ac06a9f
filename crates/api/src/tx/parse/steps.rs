//! Steps.

use super::{call, millis, retry, templates, wrong};
use crate::{
    answer::Problem,
    wire::transactions::{Entry, OnePhase, Step},
};
use logic::tx::{
    Mode, Op,
    target::{self, ONE_PHASE, PARTICIPANT},
};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use transactions::{Call, Join, StepSpec};

/// Longest name of a step: it stands in every call.
const STEP_ID_LEN_MAX: usize = 64;

/// The keys of a step that say what it does with the decision.
const JOINS: [&str; 4] = ["publish", "put", "delete", "holds"];

/// The steps of a transaction, in order; of an open one what it begins with. A saga none of whose steps says what comes before
/// it is a chain.
///
/// # Errors
/// Names the step that is wrong, and why it is.
pub(crate) fn steps(
    mode: Mode,
    is_open: bool,
    steps: Vec<Value>,
) -> Result<Vec<StepSpec>, Problem> {
    let mut all: Vec<StepSpec> = Vec::with_capacity(steps.len());
    let mut names: BTreeSet<String> = BTreeSet::new();
    let mut is_chain = true;
    for (number, step) in steps.into_iter().enumerate() {
        let at = place(number, &step);
        let step: Step = serde_json::from_value(step).map_err(|e| wrong(&at, e))?;
        is_chain &= step.after.is_none();
        let spec = one(mode, is_open, number, step, &at)?;
        if let Some(unknown) = spec.after.iter().find(|before| !names.contains(*before)) {
            let unknown = unknown.escape_debug();
            let message =
                format!("it comes after `{unknown}`, and no step before it has that name");
            return Err(wrong(&at, message));
        }
        if !names.insert(spec.id.clone()) {
            return Err(wrong(&at, "another step has this name"));
        }
        all.push(spec);
    }
    if is_chain && mode == Mode::Saga {
        let mut before: Option<String> = None;
        for step in all.iter_mut().filter(|step| step.join.is_none()) {
            step.after.extend(before.replace(step.id.clone()));
        }
    }
    templates::check(&all)?;
    Ok(all)
}

/// A step's place, for people.
fn place(number: usize, step: &Value) -> String {
    match step.get("id").and_then(Value::as_str) {
        Some(id) if id.len() <= STEP_ID_LEN_MAX => {
            format!("steps[{number}] (`{}`)", id.escape_debug())
        }
        _ => format!("steps[{number}]"),
    }
}

fn one(
    mode: Mode,
    is_open: bool,
    number: usize,
    step: Step,
    at: &str,
) -> Result<StepSpec, Problem> {
    let id = match &step.id {
        Some(id) => checked(id, at)?,
        None => format!("{:02}", number + 1),
    };
    let at_key = |key: &str| format!("{at}.{key}");
    if mode != Mode::Saga && step.after.is_some() {
        return Err(wrong(at, "only steps of a saga have `after`"));
    }
    let join = join(mode, &step, at)?;
    let (calls, tried_by_client) = match &join {
        Some(_) => (none(&step, at)?, false),
        None => calls(mode, is_open, &step, at)?,
    };
    if step.reserve.is_some()
        && !matches!(mode, Mode::Tcc | Mode::ThreePhase | Mode::ThreePhaseClassic)
    {
        return Err(wrong(
            &at_key("reserve"),
            format_args!("participants of mode {mode} keep nothing for a time"),
        ));
    }
    Ok(StepSpec {
        id,
        after: step.after.unwrap_or_default(),
        calls,
        join,
        body: step.body,
        payload: None,
        timeout_ms: step.timeout.map(|text| millis(&at_key("timeout"), &text)).transpose()?,
        retry: step.retry.map(|said| retry(&at_key("retry"), &said)).transpose()?,
        reserve_ms: step.reserve.map(|text| millis(&at_key("reserve"), &text)).transpose()?,
        tried_by_client,
    })
}

fn checked(id: &str, at: &str) -> Result<String, Problem> {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if id.is_empty() || id.len() > STEP_ID_LEN_MAX || !id.bytes().all(is_good) {
        let message = format!("`id` is 1 to {STEP_ID_LEN_MAX} of A-Z a-z 0-9 - _");
        return Err(wrong(at, message));
    }
    Ok(id.to_owned())
}

/// The call that a key says.
fn said<'s>(step: &'s Step, key: &str) -> Option<&'s str> {
    let text = match key {
        "call" => &step.call,
        "undo" => &step.undo,
        "try" => &step.reserve_call,
        "confirm" => &step.confirm,
        "cancel" => &step.cancel,
        "prepare" => &step.prepare,
        "can_commit" => &step.can_commit,
        "pre_commit" => &step.pre_commit,
        "commit" => &step.commit,
        "rollback" => &step.rollback,
        PARTICIPANT => &step.participant,
        _ => &None,
    };
    text.as_deref()
}

/// The keys that say calls, in whatever mode, and are there.
fn said_keys(step: &Step) -> impl Iterator<Item = &'static str> {
    const KEYS: [&str; 11] = [
        "call",
        "undo",
        "try",
        "confirm",
        "cancel",
        "prepare",
        "can_commit",
        "pre_commit",
        "commit",
        "rollback",
        PARTICIPANT,
    ];
    let one_phase = step.one_phase.is_some().then_some(ONE_PHASE);
    KEYS.into_iter().filter(|key| said(step, key).is_some()).chain(one_phase)
}

/// Refuses calls where there can be none.
fn none(step: &Step, at: &str) -> Result<BTreeMap<Op, Call>, Problem> {
    match said_keys(step).next() {
        Some(key) => Err(wrong(
            at,
            format_args!(
                "it is done with the decision, without a call: `{key}` has no place there"
            ),
        )),
        None => Ok(BTreeMap::new()),
    }
}

/// The calls of a step, and whether its first one is the client's.
fn calls(
    mode: Mode,
    is_open: bool,
    step: &Step,
    at: &str,
) -> Result<(BTreeMap<Op, Call>, bool), Problem> {
    let keys = target::calls(mode);
    let has_participant = target::modes_of(PARTICIPANT).contains(&plain(mode));
    let is_known = |key: &str| {
        keys.iter().any(|(known, _)| *known == key)
            || key == PARTICIPANT && has_participant
            || key == ONE_PHASE && mode == Mode::TwoPhase
    };
    if let Some(key) = said_keys(step).find(|key| !is_known(key)) {
        let modes: Vec<&str> = target::modes_of(key).into_iter().map(Mode::as_str).collect();
        let message =
            format!("`{key}` is a call of mode {}, and this is a {mode}", modes.join(", "));
        return Err(wrong(at, message));
    }
    let mut calls = BTreeMap::new();
    let mut tried_by_client = false;
    if let Some(text) = &step.participant {
        if let Some(key) = keys.iter().map(|(key, _)| *key).find(|key| said(step, key).is_some()) {
            let message = format!("give `{PARTICIPANT}` or `{key}`: the one says all calls");
            return Err(wrong(at, message));
        }
        let participant = call(&format!("{at}.{PARTICIPANT}"), text)?;
        calls.extend(keys.iter().map(|(_, op)| (*op, participant.clone())));
    } else {
        for (number, (key, op)) in keys.iter().enumerate() {
            let is_first = number == 0;
            match said(step, key) {
                Some(text) => {
                    calls.insert(*op, call(&format!("{at}.{key}"), text)?);
                }
                None if is_first && is_open && matches!(mode, Mode::Tcc | Mode::TwoPhase) => {
                    tried_by_client = true;
                }
                // What has nothing to undo needs no call for it.
                None if *op == Op::Compensate => {}
                None => return Err(missing(mode, key, at)),
            }
        }
    }
    if let Some(one) = one_phase(step, &calls, at)? {
        calls.insert(Op::CommitOnePhase, one);
    }
    Ok((calls, tried_by_client))
}

fn missing(mode: Mode, key: &str, at: &str) -> Problem {
    let problem = wrong(at, format_args!("`{key}` is missing"));
    match mode {
        Mode::Saga => {
            problem.help("a step of a saga says `call`, or one of publish, put, delete and holds")
        }
        Mode::Message => problem.help("a step of a message says where it goes: `call`"),
        _ => problem.help(format!("say where each operation goes, or one `{PARTICIPANT}` for all")),
    }
}

fn one_phase(step: &Step, calls: &BTreeMap<Op, Call>, at: &str) -> Result<Option<Call>, Problem> {
    match &step.one_phase {
        None | Some(OnePhase::Is(false)) => Ok(None),
        Some(OnePhase::Call(text)) => call(&format!("{at}.{ONE_PHASE}"), text).map(Some),
        Some(OnePhase::Is(true)) => match calls.get(&Op::Prepare) {
            Some(prepare) => Ok(Some(prepare.clone())),
            None => Err(wrong(
                at,
                format_args!("`{ONE_PHASE}: true` goes where `prepare` goes, which is missing"),
            )),
        },
    }
}

/// The mode as hints name it.
fn plain(mode: Mode) -> Mode {
    if mode == Mode::ThreePhaseClassic { Mode::ThreePhase } else { mode }
}

/// What a step does with the decision.
fn join(mode: Mode, step: &Step, at: &str) -> Result<Option<Join>, Problem> {
    let there =
        [step.publish.is_some(), step.put.is_some(), step.delete.is_some(), step.holds.is_some()];
    let said: Vec<&str> =
        JOINS.iter().zip(there).filter(|(_, is_there)| *is_there).map(|(key, _)| *key).collect();
    if let [first, second, ..] = said[..] {
        return Err(wrong(
            at,
            format_args!("it has both `{first}` and `{second}`: make two steps of it"),
        ));
    }
    if let ([key], true) = (&said[..], mode != Mode::Saga) {
        return Err(wrong(at, format_args!("`{key}` is a step of a saga, and this is a {mode}")));
    }
    if step.key.is_some() && step.publish.is_none() {
        return Err(wrong(at, "`key` belongs to `publish`"));
    }
    if !said.is_empty() && step.after.as_ref().is_some_and(|after| !after.is_empty()) {
        let message =
            "what is done with the decision comes after all calls: `after` has no place there";
        return Err(wrong(at, message));
    }
    let found = if let Some(topic) = &step.publish {
        Some(Join::Publish { topic: topic.clone(), key: step.key.clone() })
    } else if let Some(Entry { store, key, etag }) = step.put.clone() {
        Some(Join::Put { store, key, etag })
    } else if let Some(Entry { store, key, etag }) = step.delete.clone() {
        Some(Join::Delete { store, key, etag })
    } else {
        let holds = step.holds.clone();
        holds.map(|it| Join::Holds { store: it.store, resource: it.lock, token: it.token })
    };
    let has_body = matches!(found, None | Some(Join::Publish { .. } | Join::Put { .. }));
    if step.body.is_some() && !has_body {
        return Err(wrong(at, "it has no use for a `body`"));
    }
    Ok(found)
}
