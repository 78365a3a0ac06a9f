//! Times of jobs and schedules, and which instant a civil time is.

use crate::{Error, Job, Missed, Schedule, When};
use base::Timestamp;
use bytes::Bytes;
use jiff::{civil::DateTime, tz::TimeZone};
use logic::{
    missed::{self, Due},
    schedule::{Civil, Plan, PlanText, Repeat, Schedule as Cron},
};

/// The times of a job that was asked for at `start`.
pub(super) fn of_job(job: &Job, start: Timestamp) -> Result<Plan, Error> {
    let text = PlanText {
        schedule: job.schedule.as_deref(),
        due: job.due.as_deref(),
        repeats: job.repeats,
        ttl: job.ttl.as_deref(),
    };
    let plan = Plan::parse(&text, start).map_err(|error| Error::Invalid(error.to_string()))?;
    if let Some(Repeat::Cron { zone: Some(zone), .. }) = &plan.repeat {
        check_zone(zone)?;
    }
    Ok(plan)
}

/// The times of a schedule that the file has since `start`.
pub(super) fn of_schedule(schedule: &Schedule, start: Timestamp) -> Plan {
    let mut plan = Plan { due: None, start, repeat: None, runs_max: None, until: None };
    match &schedule.when {
        When::Cron(cron) => {
            let (schedule, zone) = (cron.clone(), schedule.zone.clone());
            plan.repeat = Some(Repeat::Cron { schedule, zone });
        }
        When::Every(period) => plan.repeat = Some(Repeat::Every(*period)),
        When::At(at) => plan.due = Some(*at),
    }
    plan
}

/// What a schedule says of its times: when that changes it begins anew.
pub(super) fn fingerprint(schedule: &Schedule) -> String {
    format!("{:?} {:?}", schedule.when, schedule.zone)
}

/// A schedule in the words of a job, for people.
pub(super) fn job_of(schedule: &Schedule) -> Job {
    let due = match schedule.when {
        When::At(_) => Some(schedule.text.clone()),
        When::Cron(_) | When::Every(_) => None,
    };
    Job {
        owner: super::FILE.to_owned(),
        name: schedule.name.clone(),
        schedule: due.is_none().then(|| schedule.text.clone()),
        due,
        repeats: None,
        ttl: None,
        overwrite: false,
        retry: Some(schedule.retry),
        data: Bytes::new(),
        type_url: String::new(),
    }
}

/// # Errors
/// When there is no such time zone.
pub(crate) fn check_zone(zone: &str) -> Result<(), Error> {
    TimeZone::get(zone).map(|_| ()).map_err(|error| {
        Error::Invalid(format!(
            "there is no time zone `{zone}` on this machine ({error}): write an IANA name such as `Europe/Berlin`"
        ))
    })
}

/// The first run.
pub(super) fn first(plan: &Plan) -> Option<Timestamp> {
    plan.next(0, None, next)
}

/// What is due at `now` of a plan whose next run is `at`, after `runs` of them.
pub(super) fn due(plan: &Plan, policy: Missed, runs: u64, at: Timestamp, now: Timestamp) -> Due {
    let policy = match policy {
        Missed::Skip => missed::Missed::Skip,
        Missed::Once => missed::Missed::Once,
        Missed::All => missed::Missed::All,
    };
    let runs = u32::try_from(runs).unwrap_or(u32::MAX);
    let after = |from: Timestamp| {
        if from < at { Some(at) } else { plan.next(runs, Some(from), next) }
    };
    let mut due = missed::due(policy, Timestamp(at.0.saturating_sub(1)), now, after);
    if let Some(most) = plan.runs_max {
        let left = usize::try_from(most.saturating_sub(runs)).unwrap_or(usize::MAX);
        due.runs.truncate(left);
        if due.runs.len() >= left {
            due.next = None;
        }
    }
    due
}

/// The first instant after `after` at which a clock in the zone shows what fits; UTC without a zone. A local time that does not exist
/// (clocks go forward) is moved on by the gap; one that exists twice counts the first time.
fn next(schedule: &Cron, zone: Option<&str>, after: Timestamp) -> Option<Timestamp> {
    let zone = match zone {
        Some(zone) => TimeZone::get(zone).ok()?,
        None => TimeZone::UTC,
    };
    let instant = jiff::Timestamp::from_microsecond(i64::try_from(after.0).ok()?).ok()?;
    let mut civil = of_civil(zone.to_datetime(instant))?;
    loop {
        civil = schedule.next_after(civil)?;
        let found = zone.to_ambiguous_timestamp(to_civil(civil)?).compatible().ok()?;
        if found > instant {
            return u64::try_from(found.as_microsecond()).ok().map(Timestamp);
        }
    }
}

fn of_civil(at: DateTime) -> Option<Civil> {
    Some(Civil {
        year: i32::from(at.year()),
        month: u8::try_from(at.month()).ok()?,
        day: u8::try_from(at.day()).ok()?,
        hour: u8::try_from(at.hour()).ok()?,
        minute: u8::try_from(at.minute()).ok()?,
        second: u8::try_from(at.second()).ok()?,
    })
}

fn to_civil(at: Civil) -> Option<DateTime> {
    let year = i16::try_from(at.year).ok()?;
    let small = |n: u8| i8::try_from(n).ok();
    let (hour, minute, second) = (small(at.hour)?, small(at.minute)?, small(at.second)?);
    DateTime::new(year, small(at.month)?, small(at.day)?, hour, minute, second, 0).ok()
}

/// An instant as CloudEvents write it.
pub(crate) fn rfc3339(at: Timestamp) -> Option<String> {
    let micros = i64::try_from(at.0).ok()?;
    jiff::Timestamp::from_microsecond(micros).ok().map(|at| at.to_string())
}
