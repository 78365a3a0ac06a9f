//! `flotilla jobs`: schedules of the file, and what apps want to be done at times.

use super::{
    Context,
    args::JobsCommand,
    data,
    exit::{Exit, Failure, Outcome},
    locate,
    output::{Align, Cell, Tint, table},
    ps::{now, to_json},
    state::value,
    store::{short, visible},
    topics::deleted,
    words,
};
use api::{
    Client,
    wire::{
        Time,
        jobs::{Job, LastRun, Outcome as Ended},
    },
};

/// Who the schedules of the file belong to.
const FILE: &str = "file";

pub(crate) async fn run(context: &Context, command: &JobsCommand) -> Outcome {
    let client = context.place()?.client();
    match command {
        JobsCommand::Ls { owner } => list(context, &client, owner.as_deref()).await,
        JobsCommand::Show { job } => show(context, &client, parts(job)).await,
        JobsCommand::Run { job } => {
            let (owner, name) = parts(job);
            let started = client.run_job(owner, name).await;
            let started = started.map_err(|e| locate::unanswered(&e))?;
            if context.out.is_json() {
                context.out.json(&to_json(&started)?)?;
            } else {
                context
                    .out
                    .say(&format!("{} runs; `flotilla jobs show` tells how it goes", visible(job)));
            }
            Ok(Exit::Success)
        }
        JobsCommand::Rm { job } => {
            let (owner, name) = parts(job);
            let done = client.delete_job(owner, name).await;
            deleted(context, done.map_err(|e| locate::unanswered(&e))?.deleted)
        }
    }
}

/// Owner and name of what was typed: what has no owner is a schedule of the file.
fn parts(job: &str) -> (&str, &str) {
    job.split_once('/').unwrap_or((FILE, job))
}

/// What a job is called where owners are mixed.
fn title(job: &Job) -> String {
    let name = visible(&job.name);
    if job.owner == FILE { name } else { format!("{}/{name}", visible(&job.owner)) }
}

async fn list(context: &Context, client: &Client, owner: Option<&str>) -> Outcome {
    let found = client.jobs(owner).await.map_err(|e| locate::unanswered(&e))?.jobs;
    if context.out.is_json() {
        for job in &found {
            context.out.line(&value::json_line(job)?)?;
        }
        return Ok(Exit::Success);
    }
    let head = [
        ("JOB", Align::Left),
        ("WHEN", Align::Left),
        ("NEXT", Align::Left),
        ("LAST", Align::Left),
        ("RUNS", Align::Right),
    ];
    let now = now();
    let rows: Vec<Vec<Cell>> = found.iter().map(|job| row(job, now)).collect();
    context.out.raw(&table(context.out.paint, &head, &rows))?;
    if rows.is_empty() {
        context.out.say("there are no schedules and no jobs");
    }
    Ok(Exit::Success)
}

fn row(job: &Job, now: Time) -> Vec<Cell> {
    let when = job.schedule.as_deref().or(job.due.as_deref()).unwrap_or_default();
    let next = match (job.paused, job.next_at) {
        (true, _) => Cell::tinted("paused", Tint::Yellow),
        (false, Some(next)) => next.to_string().into(),
        (false, None) => Cell::tinted("never", Tint::Dim),
    };
    let last = match &job.last {
        Some(run) => {
            let (word, tint) = ended(run);
            Cell::tinted(format!("{word}, {} ago", words::age(run.due_at, now)), tint)
        }
        None => "".into(),
    };
    vec![title(job).into(), visible(when).into(), next, last, job.runs.to_string().into()]
}

fn ended(run: &LastRun) -> (&'static str, Tint) {
    match run.outcome {
        Ended::Running => ("running", Tint::Yellow),
        Ended::Done => ("done", Tint::Green),
        Ended::Failed => ("failed", Tint::Red),
    }
}

async fn show(context: &Context, client: &Client, (owner, name): (&str, &str)) -> Outcome {
    let job = client.job(owner, name).await.map_err(|e| locate::unanswered(&e))?;
    if context.out.is_json() {
        context.out.line(&value::json_line(&job)?)?;
        return Ok(Exit::Success);
    }
    let rows: Vec<Vec<Cell>> = facts(&job)?
        .into_iter()
        .map(|(name, fact)| vec![Cell::tinted(name, Tint::Dim), fact])
        .collect();
    context.out.raw(&table(context.out.paint, &[("", Align::Left); 2], &rows))?;
    Ok(Exit::Success)
}

/// What is known of a job.
fn facts(job: &Job) -> Result<Vec<(&'static str, Cell)>, Failure> {
    let data = data::line(job.data.as_deref(), job.text.as_deref(), job.base64.as_deref())?;
    let texts = [
        ("when", job.schedule.clone()),
        ("first", job.due.clone()),
        ("runs at most", job.repeats.map(|repeats| repeats.to_string())),
        ("until", job.ttl.clone()),
        ("next", job.next_at.map(|next| next.to_string())),
        ("runs so far", Some(job.runs.to_string())),
        ("data", (!data.is_empty()).then_some(data)),
    ];
    let mut facts: Vec<(&'static str, Cell)> = vec![("job", title(job).into())];
    if job.paused {
        facts.push(("state", Cell::tinted("paused", Tint::Yellow)));
    }
    let told = texts.into_iter().filter_map(|(name, text)| Some((name, visible(&text?).into())));
    facts.extend(told);
    if let Some(run) = &job.last {
        let (word, tint) = ended(run);
        let tries = words::count(usize::try_from(run.attempts).unwrap_or(usize::MAX), "attempt");
        facts.push(("last run", Cell::tinted(format!("{word}, {tries}"), tint)));
        facts.push(("due", run.due_at.to_string().into()));
        facts.extend(run.ended_at.map(|at| ("ended", at.to_string().into())));
        let why = run.error.as_deref().map(|why| Cell::tinted(short(why), Tint::Red));
        facts.extend(why.map(|why| ("why", why)));
    }
    Ok(facts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_without_an_owner_is_a_schedule_of_the_file() {
        assert_eq!(parts("nightly"), ("file", "nightly"));
        assert_eq!(parts("orders/remind/7"), ("orders", "remind/7"));
        let job = |owner: &str| Job { owner: owner.into(), name: "n".into(), ..Job::default() };
        assert_eq!((title(&job("file")), title(&job("orders"))), ("n".into(), "orders/n".into()));
    }
}
