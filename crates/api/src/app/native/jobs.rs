//! Jobs of a service: what it wants to be called for, at a time or again and again.

use super::Asker;
use crate::{
    answer::{Answer, Problem, json},
    app::grpc::jobs::{JSON_TYPE, failures},
    context::Context,
    handlers::messaging::given,
    wire::{self, state::Deleted},
};
use events::{Job, Target};
use http::{Method, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::time::Duration;

/// A job. At most one of `data`, `text` and `base64`; `schedule` or `due`, or both.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "JobPut")]
pub(crate) struct Put {
    /// When it runs again and again: a cron expression of five or six fields, `@daily`, `@every 5m`, `R5/PT1M`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) schedule: Option<String>,
    /// Its first run, or its only one: a time (RFC 3339), or how long from now (`90s`, `PT5M`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) due: Option<String>,
    /// How many runs; without end when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) repeats: Option<u32>,
    /// When it is forgotten, written as `due`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ttl: Option<String>,
    /// A job of this name that is there already stays, and the answer is 409.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) keep: bool,
    /// Where a run goes: a method and a path of the service, `POST /reports`. Without it runs go to `POST /job/{name}`, or
    /// to `OnJobEvent` of services that speak gRPC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) call: Option<String>,
    /// How often a run is tried; three times when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) attempts: Option<u32>,
    /// The pause between two tries; a second when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pause_ms: Option<u64>,
    /// What it is about, as JSON, kept byte for byte.
    #[serde(
        default,
        deserialize_with = "wire::state::given",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "serde_json::Value")]
    pub(crate) data: Option<Box<RawValue>>,
    /// What it is about, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<String>,
    /// What it is about, as base 64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) base64: Option<String>,
}

/// Tries of a run where only the pause is said.
const ATTEMPTS: u32 = 3;

pub(super) async fn put(context: Context<Asker>) -> Result<Answer, Problem> {
    let put: Put = context.read()?;
    let caller = &context.backend.caller;
    let (owner, name) = (caller.app_id().to_owned(), context.value(0).to_owned());
    if put.schedule.is_none() && put.due.is_none() {
        return Err(Problem::bad_request("give `schedule`, `due`, or both"));
    }
    let service = caller.id.service.clone();
    let to = match put.call.as_deref().map(call).transpose()? {
        Some((method, path)) => {
            let shape = events::Shape::Raw;
            Target::Http { service, method, path, shape }
        }
        None => Target::DaprJob { service, name: name.clone() },
    };
    let retry = (put.attempts.is_some() || put.pause_ms.is_some()).then(|| {
        let retries = put.attempts.unwrap_or(ATTEMPTS).saturating_sub(1);
        failures::constant(put.pause_ms.map(Duration::from_millis), Some(retries))
    });
    let is_json = put.data.is_some();
    let (data, _) = given(put.data, put.text, put.base64)?;
    let job = Job {
        owner: owner.clone(),
        name: name.clone(),
        schedule: put.schedule,
        due: put.due,
        repeats: put.repeats,
        ttl: put.ttl,
        overwrite: !put.keep,
        retry,
        data,
        type_url: if is_json { JSON_TYPE.to_owned() } else { String::new() },
    };
    let jobs = context.events()?.jobs();
    jobs.schedule(job, to).await?;
    let kept = jobs.get(&owner, &name).await?.ok_or_else(|| no_job(&name))?;
    Ok(json(StatusCode::OK, &wire::jobs::Job::from(kept)))
}

/// A method and a path.
fn call(text: &str) -> Result<(String, String), Problem> {
    let (method, path) = text.split_once(' ').unwrap_or(("POST", text));
    let is_method = method.parse::<Method>().is_ok();
    let path = path.trim();
    if !is_method || !path.starts_with('/') {
        let message = format!("`call: {}` is no method and path", text.escape_debug());
        return Err(Problem::bad_request(message).help("write it like `POST /reports`"));
    }
    Ok((method.to_owned(), path.to_owned()))
}

fn no_job(name: &str) -> Problem {
    let message = format!("there is no job `{}`", name.escape_debug());
    Problem::not_found(message, Some("GET /v1/jobs lists them".to_owned()))
}

pub(super) async fn list(context: Context<Asker>) -> Result<Answer, Problem> {
    let owner = context.backend.caller.app_id();
    let found = context.events()?.jobs().list(Some(owner)).await?;
    let jobs = found.into_iter().map(wire::jobs::Job::from).collect();
    Ok(json(StatusCode::OK, &wire::jobs::Jobs { jobs }))
}

pub(super) async fn get(context: Context<Asker>) -> Result<Answer, Problem> {
    let (owner, name) = (context.backend.caller.app_id(), context.value(0));
    let found = context.events()?.jobs().get(owner, name).await?.ok_or_else(|| no_job(name))?;
    Ok(json(StatusCode::OK, &wire::jobs::Job::from(found)))
}

pub(super) async fn delete(context: Context<Asker>) -> Result<Answer, Problem> {
    let owner = context.backend.caller.app_id();
    let deleted = context.events()?.jobs().delete(owner, context.value(0)).await?;
    Ok(json(StatusCode::OK, &Deleted { deleted }))
}
