//! Jobs: what an app wants to be called for, at a time or again and again.

use crate::app::{
    Caller, Shared,
    fault::{Code, Fault},
};
use base::ErrorChain;
use events::{Error, Job, JobInfo, Target};
use http::StatusCode;
use ports::kv;

fn handle(shared: &Shared) -> Result<events::Jobs, Fault> {
    Ok(shared.events.as_ref().ok_or_else(Fault::no_jobs)?.jobs())
}

fn named(name: &str) -> Result<(), Fault> {
    if name.trim().is_empty() {
        return Err(Fault::job_empty("Name", "DAPR_SCHEDULER_JOB_NAME_EMPTY"));
    }
    Ok(())
}

/// Keeps a job of the caller's, to whose app its runs go.
pub(crate) async fn schedule(shared: &Shared, caller: &Caller, job: Job) -> Result<(), Fault> {
    let jobs = handle(shared)?;
    named(&job.name)?;
    let is_empty = |text: &Option<String>| text.as_ref().is_none_or(String::is_empty);
    if is_empty(&job.schedule) && is_empty(&job.due) {
        return Err(Fault::job_empty("Schedule", "DAPR_SCHEDULER_SCHEDULE_EMPTY"));
    }
    let to = Target::DaprJob { service: caller.id.service.clone(), name: job.name.clone() };
    jobs.schedule(job, to).await.map_err(|error| {
        let (status, code) = match &error {
            Error::Exists { .. } => (StatusCode::CONFLICT, Code::AlreadyExists),
            Error::Invalid(_) | Error::TooMany { .. } => {
                (StatusCode::BAD_REQUEST, Code::InvalidArgument)
            }
            Error::Kv { cause: kv::Error::Unavailable { .. }, .. } | Error::Stopping => {
                (StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable)
            }
            _ => (StatusCode::INTERNAL_SERVER_ERROR, Code::Internal),
        };
        Fault::job_schedule(status, code, ErrorChain(&error))
    })
}

pub(crate) async fn get(shared: &Shared, caller: &Caller, name: &str) -> Result<JobInfo, Fault> {
    let jobs = handle(shared)?;
    named(name)?;
    let found = jobs.get(caller.app_id(), name).await;
    let found = found.map_err(|e| Fault::job_get(ErrorChain(&e)))?;
    found.ok_or_else(|| Fault::job_get(format!("job not found: {name}")))
}

/// One that is not there is no error.
pub(crate) async fn delete(shared: &Shared, caller: &Caller, name: &str) -> Result<(), Fault> {
    let jobs = handle(shared)?;
    named(name)?;
    let deleted = jobs.delete(caller.app_id(), name).await;
    deleted.map(drop).map_err(|e| Fault::job_delete(ErrorChain(&e)))
}

pub(crate) async fn delete_by_prefix(
    shared: &Shared,
    caller: &Caller,
    prefix: &str,
) -> Result<(), Fault> {
    let deleted = handle(shared)?.delete_by_prefix(caller.app_id(), prefix).await;
    deleted.map(drop).map_err(|e| Fault::job_delete(ErrorChain(&e)))
}

pub(crate) async fn list(shared: &Shared, caller: &Caller) -> Result<Vec<JobInfo>, Fault> {
    let all = handle(shared)?.list(Some(caller.app_id())).await;
    all.map_err(|e| Fault::job_list(ErrorChain(&e)))
}
