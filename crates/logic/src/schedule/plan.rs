//! When a job runs: a first time, a repetition, an end.
//!
//! The words and their meanings are those of Dapr's jobs API. A repetition by cron goes by a time zone, which only
//! the caller knows: [`Plan::next`] asks it.

use super::{InvalidSchedule, InvalidTime, Schedule, Span, instant};
use base::Timestamp;
use std::{fmt, time::Duration};

/// The shortest repetition. Each run is written to disk, so more often than this a job would keep a disk busy.
pub const EVERY_MIN: Duration = Duration::from_millis(10);

/// A job's times as its owner wrote them.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlanText<'a> {
    /// What [`Repeat::parse`] reads.
    pub schedule: Option<&'a str>,
    /// The first run, or the only one: what [`instant`] reads.
    pub due: Option<&'a str>,
    /// Most runs.
    pub repeats: Option<u32>,
    /// After this there are no more runs: what [`instant`] reads, counted from `due`.
    pub ttl: Option<&'a str>,
}

/// When something runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The first run. `None`: the first that `repeat` gives after `start`.
    pub due: Option<Timestamp>,
    /// When it was asked for.
    pub start: Timestamp,
    /// How it goes on. `None`: one run, at `due`.
    pub repeat: Option<Repeat>,
    /// Most runs.
    pub runs_max: Option<u32>,
    /// No runs after this.
    pub until: Option<Timestamp>,
}

/// A repetition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// So long after the run before.
    Every(Duration),
    /// At these times of a calendar.
    Cron {
        /// The times.
        schedule: Schedule,
        /// The time zone as an IANA name, which is not checked here. `None`: the caller's.
        zone: Option<String>,
    },
}

/// Why a job has no times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvalidPlan {
    /// Neither a schedule nor a due time.
    Nothing,
    /// A schedule cannot be read.
    Schedule(InvalidSchedule),
    /// A duration or an instant cannot be read.
    Time {
        /// Which field.
        field: &'static str,
        /// Why.
        why: InvalidTime,
    },
    /// A repetition without a time between, or with one that is too short or not fixed.
    Every(String),
    /// No run at all.
    NoRepeats,
    /// Several runs or an end, without a schedule.
    NeedsSchedule(&'static str),
    /// It would end before it begins.
    EndsBeforeDue,
}

impl fmt::Display for InvalidPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => write!(f, "a job needs a `schedule` or a `dueTime`"),
            Self::Schedule(why) => write!(f, "`schedule`: {why}"),
            Self::Time { field, why } => write!(f, "`{field}`: {why}"),
            Self::Every(text) => write!(
                f,
                "`schedule`: `{text}` is not repeated: write a fixed time of 10ms or more (`@every 1m`), or for months \
                 a cron expression"
            ),
            Self::NoRepeats => write!(f, "`repeats` is 0: write 1 or more, or leave it out"),
            Self::NeedsSchedule(field) => write!(f, "`{field}` needs a `schedule`"),
            Self::EndsBeforeDue => write!(f, "`ttl` ends before `dueTime`"),
        }
    }
}

impl std::error::Error for InvalidPlan {}

impl Repeat {
    /// Reads `@every 1m30s`, a duration alone (which means the same), `@daily` and its like, or a cron expression of six
    /// fields (five: at second 0), before which `CRON_TZ=Europe/Berlin ` or `TZ=…` may name a zone. `R5/PT1M` also says how many runs there
    /// are; they are the second answer.
    ///
    /// # Errors
    /// Says what cannot be read.
    pub fn parse(text: &str) -> Result<(Self, Option<u32>), InvalidPlan> {
        let text = text.trim();
        if let Some(period) = text.strip_prefix("@every ") {
            return Ok((Self::every(text, period.trim())?, None));
        }
        if let Some((repeats, period)) =
            text.strip_prefix('R').and_then(|text| text.split_once('/'))
        {
            let invalid = |_| InvalidPlan::Every(text.to_owned());
            let repeats: u32 = repeats.parse().map_err(invalid)?;
            return Ok((Self::every(text, period)?, Some(repeats)));
        }
        if !text.starts_with('@')
            && !text.contains(char::is_whitespace)
            && Span::parse(text).is_ok()
        {
            return Ok((Self::every(text, text)?, None));
        }
        let prefixed = text.strip_prefix("CRON_TZ=").or_else(|| text.strip_prefix("TZ="));
        let (zone, fields) = match prefixed.and_then(|text| text.split_once(char::is_whitespace)) {
            Some((zone, fields)) if !zone.is_empty() => (Some(zone.to_owned()), fields),
            Some(_) | None => (None, text),
        };
        let schedule = Schedule::parse_seconds(fields).map_err(InvalidPlan::Schedule)?;
        Ok((Self::Cron { schedule, zone }, None))
    }

    fn every(text: &str, period: &str) -> Result<Self, InvalidPlan> {
        let time = |why| InvalidPlan::Time { field: "schedule", why };
        let Span { months, time } = Span::parse(period).map_err(time)?;
        if months > 0 || time < EVERY_MIN {
            return Err(InvalidPlan::Every(text.to_owned()));
        }
        Ok(Self::Every(time))
    }
}

impl Plan {
    /// Reads a job's times; durations count from `now`.
    ///
    /// # Errors
    /// Says which field is wrong, and why.
    pub fn parse(text: &PlanText<'_>, now: Timestamp) -> Result<Self, InvalidPlan> {
        let time = |field| move |why| InvalidPlan::Time { field, why };
        let due = text.due.map(|text| instant(text, now).map_err(time("dueTime"))).transpose()?;
        let repeat = text.schedule.map(Repeat::parse).transpose()?;
        let (repeat, repeats_of_schedule) =
            repeat.map_or((None, None), |(repeat, n)| (Some(repeat), n));
        let runs_max = match (text.repeats, repeats_of_schedule) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        match (&repeat, due, runs_max) {
            (None, None, _) => return Err(InvalidPlan::Nothing),
            (_, _, Some(0)) => return Err(InvalidPlan::NoRepeats),
            (None, _, Some(2..)) => return Err(InvalidPlan::NeedsSchedule("repeats")),
            (None, _, _) if text.ttl.is_some() => return Err(InvalidPlan::NeedsSchedule("ttl")),
            (_, _, _) => {}
        }
        let begin = due.unwrap_or(now);
        let until = text.ttl.map(|text| instant(text, begin).map_err(time("ttl"))).transpose()?;
        if due.is_some() && until.is_some_and(|until| until < begin) {
            return Err(InvalidPlan::EndsBeforeDue);
        }
        Ok(Self { due, start: now, repeat, runs_max, until })
    }

    /// The run after `last`, or the first one, when there were `runs` so far; `None`: there is none any more.
    /// `cron` is asked for the first time of a schedule in a zone after an instant.
    pub fn next(
        &self,
        runs: u32,
        last: Option<Timestamp>,
        cron: impl FnOnce(&Schedule, Option<&str>, Timestamp) -> Option<Timestamp>,
    ) -> Option<Timestamp> {
        if self.runs_max.is_some_and(|most| runs >= most) {
            return None;
        }
        let next = match (last, self.due) {
            (None, Some(due)) => due,
            (last, _) => {
                let from = last.unwrap_or(self.start);
                match self.repeat.as_ref()? {
                    // In step with the runs before, also when `last` was passed over.
                    Repeat::Every(period) => {
                        every_after(self.due.unwrap_or(self.start), *period, from)
                    }
                    Repeat::Cron { schedule, zone } => cron(schedule, zone.as_deref(), from)?,
                }
            }
        };
        self.until.is_none_or(|until| next <= until).then_some(next)
    }
}

/// The first instant after `after` that is a whole number of periods from `anchor`, at least one.
#[must_use]
pub fn every_after(anchor: Timestamp, period: Duration, after: Timestamp) -> Timestamp {
    let period = u64::try_from(period.as_micros()).unwrap_or(u64::MAX).max(1);
    let periods = after.0.saturating_sub(anchor.0) / period + 1;
    Timestamp(anchor.0.saturating_add(periods.saturating_mul(period)))
}
