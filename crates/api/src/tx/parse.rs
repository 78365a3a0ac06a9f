//! Transactions as JSON says them, read into what the coordinator takes.
//!
//! Serde reads one step at a time, so that what is wrong with it can be said with its name.

mod steps;
mod templates;

pub(crate) use steps::steps;

use super::ask::may_be_given;
use crate::{
    answer::Problem,
    wire::transactions::{Mode as WireMode, Profile, Retry as WireRetry, Submit, Then as WireThen},
};
use base::units;
use http::{HeaderName, HeaderValue};
use logic::tx::{Mode, Retry, Then, target};
use std::time::Duration;
use transactions::{Ask, Call, Gid, Spec};

/// What is submitted.
#[derive(Debug)]
pub(crate) struct Submitted {
    pub(crate) gid: Option<Gid>,
    pub(crate) ask: Ask,
    /// The client does the first phase.
    pub(crate) is_open: bool,
}

/// Who submits it, and in which trace.
#[derive(Clone, Debug, Default)]
pub(crate) struct From {
    pub(crate) caller: Option<String>,
    pub(crate) traceparent: Option<String>,
}

/// What is wrong, at a place of the body.
pub(crate) fn wrong(at: &str, message: impl std::fmt::Display) -> Problem {
    Problem::bad_request(format!("{at}: {message}"))
}

/// What a body asks for; `key` is the header `Idempotency-Key`.
///
/// # Errors
/// Says which part of the body is wrong, and why.
pub(crate) fn submit(body: Submit, key: Option<&str>, from: From) -> Result<Submitted, Problem> {
    let gid = gid(body.id.as_deref(), key)?;
    let is_open = body.open;
    let ask = if let Some(name) = &body.name {
        only_used(&body)?;
        let name = name.clone();
        let From { caller, traceparent } = from;
        Ask::Use { name, input: body.input, labels: body.labels, traceparent, caller }
    } else {
        Ask::Spec(Box::new(spec(body, from)?))
    };
    Ok(Submitted { gid, ask, is_open })
}

/// A transaction's id.
///
/// # Errors
/// When there is one and it is none.
fn gid(id: Option<&str>, key: Option<&str>) -> Result<Option<Gid>, Problem> {
    let (text, at) = match (id, key) {
        (Some(id), _) => (id, "id"),
        // The header's draft (IETF httpapi) has it in quotes; most clients leave them out.
        (None, Some(key)) => (key.trim_matches('"'), "Idempotency-Key"),
        (None, None) => return Ok(None),
    };
    Gid::new(text).map(Some).map_err(|e| wrong(at, e))
}

/// Refuses what a definition says already.
fn only_used(body: &Submit) -> Result<(), Problem> {
    let said = [
        ("mode", body.mode.is_some()),
        ("profile", body.profile.is_some()),
        ("steps", !body.steps.is_empty()),
        ("timeout", body.timeout.is_some()),
        ("retry", body.retry.is_some()),
        ("headers", !body.headers.is_empty()),
        ("durable_steps", body.durable_steps),
        ("sequential", body.sequential),
        ("query", body.query.is_some()),
        ("delay", body.delay.is_some()),
    ];
    match said.iter().find(|(_, is_said)| *is_said) {
        Some((name, _)) => {
            let message = format!("`{name}` cannot be given with `use`: the definition says it");
            Err(Problem::bad_request(message)
                .help("with `use` go `id`, `input`, `labels` and `open`"))
        }
        None => Ok(()),
    }
}

fn spec(body: Submit, from: From) -> Result<Spec, Problem> {
    let mode = mode(&body)?;
    if body.open && !matches!(mode, Mode::Tcc | Mode::TwoPhase | Mode::Message) {
        let message = format!("a transaction of mode {mode} is submitted whole");
        return Err(wrong("open", message).help("only tcc, 2pc and msg can be open"));
    }
    let steps = steps(mode, body.open, body.steps)?;
    if mode != Mode::Message {
        let only = [("query", body.query.is_some()), ("delay", body.delay.is_some())];
        if let Some((name, _)) = only.iter().find(|(_, is_said)| *is_said) {
            return Err(wrong(
                name,
                format_args!("only a transaction of mode msg has it, and this is a {mode}"),
            ));
        }
    }
    if mode == Mode::Message && body.query.is_some() && !body.open {
        let message = "only an open message has it: this one is delivered at once";
        return Err(wrong("query", message));
    }
    for (name, value) in &body.headers {
        header(name, value)?;
    }
    Ok(Spec {
        mode,
        name: None,
        steps,
        input: body.input,
        labels: body.labels,
        headers: body.headers,
        timeout_ms: body.timeout.map(|text| millis("timeout", &text)).transpose()?,
        retry: body.retry.map(|retry| self::retry("retry", &retry)).transpose()?,
        durable_steps: body.durable_steps,
        concurrent: !body.sequential,
        query: body.query.map(|text| call("query", &text)).transpose()?,
        delay_ms: body.delay.map(|text| millis("delay", &text)).transpose()?,
        traceparent: from.traceparent,
        caller: from.caller,
        dialect: transactions::Dialect::Native,
        extra: serde_json::Value::Null,
    })
}

fn mode(body: &Submit) -> Result<Mode, Problem> {
    if body.profile.is_some() && body.mode != Some(WireMode::ThreePhase) {
        return Err(wrong("profile", "only a transaction of mode 3pc has it"));
    }
    Ok(match (body.mode, body.profile) {
        (None | Some(WireMode::Saga), _) => Mode::Saga,
        (Some(WireMode::Tcc), _) => Mode::Tcc,
        (Some(WireMode::TwoPhase), _) => Mode::TwoPhase,
        (Some(WireMode::ThreePhase), None | Some(Profile::Strict)) => Mode::ThreePhase,
        (Some(WireMode::ThreePhase), Some(Profile::Classic))
        | (Some(WireMode::ThreePhaseClassic), _) => Mode::ThreePhaseClassic,
        (Some(WireMode::Message), _) => Mode::Message,
    })
}

/// A header field of all calls.
fn header(name: &str, value: &str) -> Result<(), Problem> {
    let at = format!("headers.{}", name.escape_debug());
    let parsed = HeaderName::try_from(name);
    let parsed = parsed.map_err(|_invalid| wrong(&at, "this is no name of a header field"))?;
    HeaderValue::try_from(value)
        .map_err(|_invalid| wrong(&at, "the value has characters that no header field can have"))?;
    if !may_be_given(&parsed) {
        return Err(wrong(&at, "this field is set by the node"));
    }
    Ok(())
}

/// A duration above zero, in milliseconds.
pub(crate) fn millis(at: &str, text: &str) -> Result<u64, Problem> {
    let duration = units::parse_duration(text).map_err(|e| wrong(at, e))?;
    if duration < Duration::from_millis(1) {
        return Err(wrong(at, format_args!("`{text}` is less than a millisecond")));
    }
    Ok(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

/// How calls are repeated.
pub(crate) fn retry(at: &str, said: &WireRetry) -> Result<Retry, Problem> {
    let usual = Retry::default();
    let pause = |key: &str, text: &Option<String>| {
        text.as_deref().map(|text| millis(&format!("{at}.{key}"), text)).transpose()
    };
    let base_ms = pause("base", &said.base)?.unwrap_or(usual.base_ms);
    let max_ms = pause("max", &said.max)?.unwrap_or_else(|| usual.max_ms.max(base_ms));
    if max_ms < base_ms {
        return Err(wrong(&format!("{at}.max"), "the longest pause is shorter than the first one"));
    }
    if said.attempts == Some(0) {
        return Err(wrong(&format!("{at}.attempts"), "a call is made once at least"));
    }
    let then = match said.then {
        None => usual.then,
        Some(WireThen::Attention) => Then::Attention,
        Some(WireThen::Abort) => Then::Abort,
    };
    Ok(Retry { base_ms, max_ms, attempts: said.attempts.or(usual.attempts), then })
}

/// Where a call goes.
pub(crate) fn call(at: &str, text: &str) -> Result<Call, Problem> {
    let target::Call { method, target } = target::parse(text).map_err(|e| {
        let shown: String = text.chars().take(100).collect();
        wrong(at, format_args!("`{}`: {e}", shown.escape_debug()))
            .help("write it like `POST items/reserve`, `https://example.com/path` or `grpc://orders/package.Service/Method`")
    })?;
    let target = match target {
        target::Target::Service { service, path } => {
            transactions::Target::Service { service: service.to_string(), path }
        }
        target::Target::Url(url) => transactions::Target::Url(url),
        target::Target::GrpcService { service, method } => {
            transactions::Target::GrpcService { service: service.to_string(), method }
        }
        target::Target::Grpc { authority, method } => {
            transactions::Target::Grpc { authority, method }
        }
    };
    Ok(Call { target, method: method.to_owned() })
}
