//! Schedules of the file, and jobs of apps.

use super::messaging::Shown;
use crate::{
    answer::{Answer, Problem, json},
    context::Context,
    wire::{
        Time,
        jobs::{Job, Jobs, LastRun, Outcome, Started},
        state::Deleted,
    },
};
use events::{JobInfo, RunOutcome};
use http::StatusCode;

pub(crate) async fn list(context: Context) -> Result<Answer, Problem> {
    let found = context.events()?.jobs().list(context.params.text("owner")).await?;
    let jobs = found.into_iter().map(Job::from).collect();
    Ok(json(StatusCode::OK, &Jobs { jobs }))
}

pub(crate) async fn show(context: Context) -> Result<Answer, Problem> {
    let (owner, name) = (context.value(0), context.value(1));
    let found = context.events()?.jobs().get(owner, name).await?;
    let job = found.ok_or_else(|| no_job(&context))?;
    Ok(json(StatusCode::OK, &Job::from(job)))
}

pub(crate) async fn run(context: Context) -> Result<Answer, Problem> {
    let (owner, name) = (context.value(0), context.value(1));
    context.events()?.jobs().run_now(owner, name).await?;
    tracing::info!(owner, name, "a job is run by the operator");
    Ok(json(StatusCode::ACCEPTED, &Started { started: true }))
}

pub(crate) async fn remove(context: Context) -> Result<Answer, Problem> {
    let (owner, name) = (context.value(0), context.value(1));
    if !context.events()?.jobs().delete(owner, name).await? {
        return Err(no_job(&context));
    }
    tracing::info!(owner, name, "a job is deleted by the operator");
    Ok(json(StatusCode::OK, &Deleted { deleted: true }))
}

fn no_job(context: &Context) -> Problem {
    let message = match (context.value(0), context.value(1)) {
        (events::FILE, name) => format!("the file has no schedule `{name}`"),
        (owner, name) => format!("`{owner}` has no job `{name}`"),
    };
    Problem::not_found(message, Some("GET /v1/jobs lists them".to_owned()))
}

impl From<JobInfo> for Job {
    fn from(info: JobInfo) -> Self {
        let JobInfo { job, next, last, runs, paused } = info;
        let Shown { data, text, base64 } = Shown::of(&job.data);
        Self {
            owner: job.owner,
            name: job.name,
            schedule: job.schedule,
            due: job.due,
            repeats: job.repeats,
            ttl: job.ttl,
            paused,
            next_at: next.map(Time),
            runs,
            last: last.map(LastRun::from),
            data,
            text,
            base64,
        }
    }
}

impl From<events::LastRun> for LastRun {
    fn from(run: events::LastRun) -> Self {
        let (outcome, error) = match run.outcome {
            RunOutcome::Running => (Outcome::Running, None),
            RunOutcome::Done => (Outcome::Done, None),
            RunOutcome::Failed(why) => (Outcome::Failed, Some(why)),
        };
        Self {
            due_at: run.due.into(),
            ended_at: run.ended.map(Time),
            attempts: run.attempts,
            outcome,
            error,
        }
    }
}
