//! `jobs/{name}`.

use super::{Answer, Ask, empty, json};
use crate::app::{
    blocks::jobs,
    fault::Fault,
    grpc::jobs::{JSON_TYPE, failures},
};
use base64::Engine as _;
use bytes::Bytes;
use events::{Job, Retry};
use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};
use std::time::Duration;

/// Longest pause between two tries that is taken.
const INTERVAL_MAX_S: f64 = 86_400.0;

/// A job as it is written.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Written {
    name: Option<String>,
    schedule: Option<String>,
    #[serde(alias = "due_time")]
    due_time: Option<String>,
    repeats: Option<u32>,
    ttl: Option<String>,
    data: Option<Box<RawValue>>,
    overwrite: bool,
    #[serde(alias = "failure_policy")]
    failure_policy: Option<Policy>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum Policy {
    Drop {},
    Constant(Constant),
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Constant {
    /// Seconds with an `s`, as protobuf writes them in JSON.
    interval: Option<String>,
    #[serde(alias = "max_retries")]
    max_retries: Option<u32>,
}

impl Policy {
    fn retry(self) -> Result<Retry, Fault> {
        let Constant { interval, max_retries } = match self {
            Self::Drop {} => return Ok(failures::dropped()),
            Self::Constant(constant) => constant,
        };
        let interval = interval.map(|text| {
            let number = text.strip_suffix('s').and_then(|number| number.parse::<f64>().ok());
            let number = number.filter(|number| (0.0..=INTERVAL_MAX_S).contains(number));
            number.map(Duration::from_secs_f64).ok_or_else(|| {
                let text = text.escape_debug();
                Fault::bad_request(format!("the interval `{text}` is no number of seconds: `1.5s`"))
            })
        });
        Ok(failures::constant(interval.transpose()?, max_retries))
    }
}

pub(super) async fn schedule(ask: Ask) -> Answer {
    let written: Written = ask.read()?;
    if written.name.is_some_and(|name| !name.is_empty()) {
        return Err(Fault::job_name_twice());
    }
    let data = written.data.filter(|data| data.get() != "null");
    let type_url = data.as_ref().map(|_| JSON_TYPE.to_owned()).unwrap_or_default();
    let job = Job {
        owner: ask.caller.app_id().to_owned(),
        name: ask.value(0).trim().to_owned(),
        schedule: written.schedule,
        due: written.due_time,
        repeats: written.repeats,
        ttl: written.ttl,
        overwrite: written.overwrite,
        retry: written.failure_policy.map(Policy::retry).transpose()?,
        data: data
            .map(|data| Bytes::from(String::from(Box::<str>::from(data))))
            .unwrap_or_default(),
        type_url,
    };
    jobs::schedule(&ask.shared, &ask.caller, job).await?;
    Ok(empty())
}

pub(super) async fn get(ask: Ask) -> Answer {
    let info = jobs::get(&ask.shared, &ask.caller, ask.value(0)).await?;
    Ok(json(&shown(info.job)))
}

pub(super) async fn delete(ask: Ask) -> Answer {
    jobs::delete(&ask.shared, &ask.caller, ask.value(0)).await?;
    Ok(empty())
}

fn shown(job: Job) -> Value {
    let mut out = Map::new();
    out.insert("name".to_owned(), job.name.into());
    let texts = [("schedule", job.schedule), ("dueTime", job.due), ("ttl", job.ttl)];
    let texts = texts.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?.into())));
    out.extend(texts);
    if let Some(repeats) = job.repeats {
        out.insert("repeats".to_owned(), repeats.into());
    }
    if !job.data.is_empty() || !job.type_url.is_empty() {
        // As protobuf writes a message of any type in JSON.
        let value = serde_json::from_slice(&job.data)
            .unwrap_or_else(|_| base64::engine::general_purpose::STANDARD.encode(&job.data).into());
        let value = [("@type".to_owned(), job.type_url.into()), ("value".to_owned(), value)];
        out.insert("data".to_owned(), Value::Object(value.into_iter().collect()));
    }
    if let Some(retry) = job.retry {
        out.insert("failurePolicy".to_owned(), failures::shown(&retry));
    }
    Value::Object(out)
}
