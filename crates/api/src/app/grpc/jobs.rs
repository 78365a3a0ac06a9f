//! Jobs.

use super::service::Dapr;
use crate::app::{Caller, blocks::jobs, fault::Fault};
use bytes::Bytes;
use proto::{
    dapr::{
        common::{
            JobFailurePolicy, JobFailurePolicyConstant, JobFailurePolicyDrop,
            job_failure_policy::Policy,
        },
        runtime::{
            DeleteJobRequest, DeleteJobResponse, GetJobRequest, GetJobResponse, Job,
            ScheduleJobRequest, ScheduleJobResponse,
        },
    },
    prost::Message as _,
    prost_types::{Any, ListValue, Struct, Value, value::Kind},
};
use serde_json::Value as Json;
use std::time::Duration;
use tonic::{Response, Status};

/// The type of data that is JSON. It is kept as text, byte for byte as it was written, and becomes a message for those who
/// want one.
pub(crate) const JSON_TYPE: &str = "type.googleapis.com/google.protobuf.Value";

/// The data of a job as a message.
pub(crate) fn any(data: &[u8], type_url: &str) -> Any {
    let value = match type_url {
        JSON_TYPE => {
            let json = serde_json::from_slice(data).unwrap_or_default();
            of_json(json).encode_to_vec()
        }
        _ => data.to_vec(),
    };
    Any { type_url: type_url.to_owned(), value }
}

fn of_json(json: Json) -> Value {
    let kind = match json {
        Json::Null => Kind::NullValue(0),
        Json::Bool(yes) => Kind::BoolValue(yes),
        // JSON has no other numbers in this form (protobuf, google.protobuf.Value).
        Json::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        Json::String(text) => Kind::StringValue(text),
        Json::Array(all) => {
            Kind::ListValue(ListValue { values: all.into_iter().map(of_json).collect() })
        }
        Json::Object(all) => {
            let fields = all.into_iter().map(|(name, value)| (name, of_json(value))).collect();
            Kind::StructValue(Struct { fields })
        }
    };
    Value { kind: Some(kind) }
}

fn to_json(value: Value) -> Json {
    match value.kind {
        None | Some(Kind::NullValue(_)) => Json::Null,
        Some(Kind::BoolValue(yes)) => Json::Bool(yes),
        Some(Kind::NumberValue(number)) => {
            serde_json::Number::from_f64(number).map_or(Json::Null, Json::Number)
        }
        Some(Kind::StringValue(text)) => Json::String(text),
        Some(Kind::ListValue(all)) => Json::Array(all.values.into_iter().map(to_json).collect()),
        Some(Kind::StructValue(all)) => {
            all.fields.into_iter().map(|(name, value)| (name, to_json(value))).collect()
        }
    }
}

/// The data of a message as it is kept, and its type.
fn kept(any: Any) -> Result<(Bytes, String), Status> {
    let Any { type_url, value } = any;
    if type_url != JSON_TYPE {
        return Ok((value.into(), type_url));
    }
    let value = Value::decode(value.as_slice());
    let value = value.map_err(|e| Status::invalid_argument(format!("the job's data: {e}")))?;
    Ok((to_json(value).to_string().into(), type_url))
}

/// A job that shall be kept.
fn asked(caller: &Caller, job: Job, overwrite: bool) -> Result<events::Job, Status> {
    let (data, type_url) = kept(job.data.unwrap_or_default())?;
    let retry = job.failure_policy.and_then(|it| it.policy).map(|policy| match policy {
        Policy::Drop(JobFailurePolicyDrop {}) => failures::dropped(),
        Policy::Constant(JobFailurePolicyConstant { interval, max_retries }) => {
            let interval = interval.and_then(|interval| Duration::try_from(interval).ok());
            failures::constant(interval, max_retries)
        }
    });
    Ok(events::Job {
        owner: caller.app_id().to_owned(),
        name: job.name,
        schedule: job.schedule,
        due: job.due_time,
        repeats: job.repeats,
        ttl: job.ttl,
        overwrite,
        retry,
        data,
        type_url,
    })
}

fn told(info: events::JobInfo) -> Job {
    let job = info.job;
    let policy = job.retry.map(|retry| match retry.max {
        Some(0 | 1) => Policy::Drop(JobFailurePolicyDrop {}),
        most => Policy::Constant(JobFailurePolicyConstant {
            interval: retry.backoff.first.try_into().ok(),
            max_retries: most.map(|most| most - 1),
        }),
    });
    Job {
        data: (!job.data.is_empty() || !job.type_url.is_empty())
            .then(|| any(&job.data, &job.type_url)),
        name: job.name,
        schedule: job.schedule,
        repeats: job.repeats,
        due_time: job.due,
        ttl: job.ttl,
        failure_policy: policy.map(|policy| JobFailurePolicy { policy: Some(policy) }),
    }
}

impl Dapr {
    pub(super) async fn schedule(
        &self,
        request: ScheduleJobRequest,
    ) -> Result<Response<ScheduleJobResponse>, Status> {
        let job = request.job.ok_or_else(|| Fault::job_empty("Job", "DAPR_SCHEDULER_EMPTY"))?;
        let job = asked(&self.caller, job, request.overwrite)?;
        jobs::schedule(&self.shared, &self.caller, job).await?;
        Ok(Response::new(ScheduleJobResponse {}))
    }

    pub(super) async fn job(
        &self,
        request: GetJobRequest,
    ) -> Result<Response<GetJobResponse>, Status> {
        let info = jobs::get(&self.shared, &self.caller, &request.name).await?;
        Ok(Response::new(GetJobResponse { job: Some(told(info)) }))
    }

    pub(super) async fn unschedule(
        &self,
        request: DeleteJobRequest,
    ) -> Result<Response<DeleteJobResponse>, Status> {
        jobs::delete(&self.shared, &self.caller, &request.name).await?;
        Ok(Response::new(DeleteJobResponse {}))
    }

    pub(super) async fn unschedule_all(&self, prefix: Option<String>) -> Result<(), Status> {
        let prefix = prefix.unwrap_or_default();
        Ok(jobs::delete_by_prefix(&self.shared, &self.caller, &prefix).await?)
    }

    pub(super) async fn jobs(&self) -> Result<Vec<Job>, Status> {
        let all = jobs::list(&self.shared, &self.caller).await?;
        Ok(all.into_iter().map(told).collect())
    }
}

/// What becomes of runs that failed, in the words of [`events::Retry`].
pub(crate) mod failures {
    use events::Retry;
    use logic::backoff::Backoff;
    use serde_json::{Value, json};
    use std::time::Duration;

    /// The pause where a policy says none.
    const PAUSE: Duration = Duration::from_secs(1);
    /// No pause is shorter: a job that fails at once would keep the node busy.
    const PAUSE_MIN: Duration = Duration::from_millis(10);

    /// One try.
    pub(crate) fn dropped() -> Retry {
        Retry { max: Some(1), backoff: Backoff { first: PAUSE, max: PAUSE } }
    }

    /// The same pause each time; without a most number, for ever.
    pub(crate) fn constant(interval: Option<Duration>, retries: Option<u32>) -> Retry {
        let pause = interval.unwrap_or(PAUSE).max(PAUSE_MIN);
        let max = retries.map(|retries| retries.saturating_add(1));
        Retry { max, backoff: Backoff { first: pause, max: pause } }
    }

    /// As JSON has it.
    pub(crate) fn shown(retry: &Retry) -> Value {
        match retry.max {
            Some(0 | 1) => json!({ "drop": {} }),
            most => {
                let interval = format!("{}s", retry.backoff.first.as_secs_f64());
                let mut constant = json!({ "interval": interval });
                if let Some(most) = most {
                    constant["maxRetries"] = (most - 1).into();
                }
                json!({ "constant": constant })
            }
        }
    }
}
