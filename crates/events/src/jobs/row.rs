//! Jobs as they are kept.

use super::{LastRun, RunOutcome, runs::Kept, times};
use crate::{Error, Job, Retry, Schedule, Target, kept};
use base::Timestamp;
use bytes::Bytes;
use logic::{backoff::Backoff, schedule::Plan};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How a job is tried that does not say it: three times more, a second apart.
const JOB_RETRY: Retry = Retry {
    max: Some(4),
    backoff: Backoff { first: Duration::from_secs(1), max: Duration::from_secs(1) },
};

/// A row: what is said of the job, and its data.
#[derive(Clone, Debug)]
pub(super) struct Row {
    head: Head,
    pub(super) data: Bytes,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Head {
    /// When it was asked for: durations count from there.
    start_us: u64,
    next_us: Option<u64>,
    runs: u64,
    last: Option<Last>,
    what: What,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum What {
    Job {
        schedule: Option<String>,
        due: Option<String>,
        repeats: Option<u32>,
        ttl: Option<String>,
        retry: Option<RetryKept>,
        type_url: String,
        to: TargetKept,
    },
    /// Of the file, which says the rest: its times as they were, and whether it was stopped.
    Schedule { times: String, paused: bool },
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Last {
    due_us: u64,
    ended_us: Option<u64>,
    attempts: u32,
    /// `None`: running; empty: done.
    failure: Option<String>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct RetryKept {
    max: Option<u32>,
    first_ms: u64,
    longest_ms: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum TargetKept {
    Http { service: String, method: String, path: String, shape: u8 },
    Dapr { service: String, pubsub: String, path: String, raw: bool, bulk: bool },
    DaprJob { service: String, name: String },
}

impl Row {
    pub(super) fn of_job(job: &Job, to: &Target, now: Timestamp) -> Result<Self, Error> {
        let never = || Error::Invalid("these times never come".to_owned());
        let next = times::first(&times::of_job(job, now)?).ok_or_else(never)?;
        let open = || Error::Invalid("a job cannot be delivered to a connection".to_owned());
        let what = What::Job {
            schedule: job.schedule.clone(),
            due: job.due.clone(),
            repeats: job.repeats,
            ttl: job.ttl.clone(),
            retry: job.retry.map(RetryKept::of),
            type_url: job.type_url.clone(),
            to: TargetKept::of(to).ok_or_else(open)?,
        };
        let head = Head { start_us: now.0, next_us: Some(next.0), runs: 0, last: None, what };
        Ok(Self { head, data: job.data.clone() })
    }

    /// The row of a schedule of the file; `None`: `before` says it already.
    pub(super) fn of_schedule(
        schedule: &Schedule,
        before: Option<&Self>,
        now: Timestamp,
    ) -> Option<Self> {
        let (times, paused) = (times::fingerprint(schedule), schedule.paused);
        if let Some(Self {
            head: Head { what: What::Schedule { times: was, paused: stood }, .. },
            ..
        }) = before
            && (was, stood) == (&times, &paused)
        {
            return None;
        }
        let first = times::first(&times::of_schedule(schedule, now));
        // A time that has passed when the file first says it is no missed run.
        let next = first.filter(|first| !paused && *first > now);
        let head = Head {
            start_us: now.0,
            next_us: next.map(|at| at.0),
            runs: before.map_or(0, |row| row.head.runs),
            last: before.and_then(|row| row.head.last.clone()),
            what: What::Schedule { times, paused },
        };
        Some(Self { head, data: Bytes::new() })
    }

    pub(super) fn encode(&self) -> Bytes {
        kept::pack(&self.head, &self.data)
    }

    pub(super) fn decode(bytes: &Bytes) -> Option<Self> {
        let (head, data) = kept::unpack(bytes)?;
        Some(Self { head, data })
    }

    pub(super) fn start(&self) -> Timestamp {
        Timestamp(self.head.start_us)
    }

    pub(super) fn next(&self) -> Option<Timestamp> {
        self.head.next_us.map(Timestamp)
    }

    pub(super) fn set_next(&mut self, next: Option<Timestamp>) {
        self.head.next_us = next.map(|at| at.0);
    }

    pub(super) fn runs(&self) -> u64 {
        self.head.runs
    }

    pub(super) fn last(&self) -> Option<LastRun> {
        let Last { due_us, ended_us, attempts, failure } = self.head.last.clone()?;
        let outcome = match failure {
            None => RunOutcome::Running,
            Some(reason) if reason.is_empty() => RunOutcome::Done,
            Some(reason) => RunOutcome::Failed(reason),
        };
        let (due, ended) = (Timestamp(due_us), ended_us.map(Timestamp));
        Some(LastRun { due, ended, attempts, outcome })
    }

    /// A run begins. One that only publishes is done with the transaction that says so.
    pub(super) fn ran(&mut self, due: Timestamp, run: &Kept) {
        self.head.runs += 1;
        let (ended_us, failure) = match run.is_delivered {
            true => (None, None),
            false => (Some(due.0), Some(String::new())),
        };
        self.head.last = Some(Last { due_us: due.0, ended_us, attempts: 0, failure });
    }

    /// The run that was due at `due` ends. Answers whether that was the last one that began.
    pub(super) fn ended(
        &mut self,
        due: Timestamp,
        now: Timestamp,
        attempts: u32,
        failure: &str,
    ) -> bool {
        let Some(last) = self.head.last.as_mut().filter(|last| last.due_us == due.0) else {
            return false;
        };
        (last.ended_us, last.attempts) = (Some(now.0), attempts);
        last.failure = Some(failure.to_owned());
        true
    }

    /// The job as it was asked for.
    pub(super) fn job(&self, owner: &str, name: &str) -> Job {
        let (mut schedule_of, mut due_of, mut repeats_of, mut ttl_of) = (None, None, None, None);
        let (mut retry_of, mut type_url_of) = (None, String::new());
        if let What::Job { schedule, due, repeats, ttl, retry, type_url, to: _ } = &self.head.what {
            (schedule_of, due_of) = (schedule.clone(), due.clone());
            (repeats_of, ttl_of) = (*repeats, ttl.clone());
            (retry_of, type_url_of) = (*retry, type_url.clone());
        }
        Job {
            owner: owner.to_owned(),
            name: name.to_owned(),
            schedule: schedule_of,
            due: due_of,
            repeats: repeats_of,
            ttl: ttl_of,
            overwrite: false,
            retry: retry_of.map(RetryKept::retry),
            data: self.data.clone(),
            type_url: type_url_of,
        }
    }

    /// Where a job's runs go, and how they are tried; `None`: it is a schedule.
    pub(super) fn target(&self) -> Option<(TargetKept, Retry)> {
        match &self.head.what {
            What::Job { to, retry, .. } => {
                Some((to.clone(), retry.map_or(JOB_RETRY, RetryKept::retry)))
            }
            What::Schedule { .. } => None,
        }
    }

    /// A job's times.
    pub(super) fn plan(&self, owner: &str, name: &str) -> Option<Plan> {
        times::of_job(&self.job(owner, name), self.start()).ok()
    }
}

impl RetryKept {
    pub(super) fn of(retry: Retry) -> Self {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let Retry { max, backoff: Backoff { first, max: longest } } = retry;
        Self { max, first_ms: ms(first), longest_ms: ms(longest) }
    }

    pub(super) fn retry(self) -> Retry {
        let time = Duration::from_millis;
        let backoff = Backoff { first: time(self.first_ms), max: time(self.longest_ms) };
        Retry { max: self.max, backoff }
    }
}

impl TargetKept {
    /// `None`: connections do not live that long.
    pub(super) fn of(target: &Target) -> Option<Self> {
        use crate::Shape;
        Some(match target.clone() {
            Target::Http { service, method, path, shape } => {
                let shape = match shape {
                    Shape::Structured => 0,
                    Shape::Binary => 1,
                    Shape::Raw => 2,
                };
                Self::Http { service: service.to_string(), method, path, shape }
            }
            Target::Dapr { service, pubsub, path, raw, bulk } => {
                Self::Dapr { service: service.to_string(), pubsub, path, raw, bulk }
            }
            Target::DaprJob { service, name } => {
                Self::DaprJob { service: service.to_string(), name }
            }
            Target::Open(_) => return None,
        })
    }

    pub(super) fn target(self) -> Option<Target> {
        use crate::Shape;
        let name = |text: &str| base::ServiceName::new(text).ok();
        Some(match self {
            Self::Http { service, method, path, shape } => {
                let shape = match shape {
                    0 => Shape::Structured,
                    1 => Shape::Binary,
                    _ => Shape::Raw,
                };
                Target::Http { service: name(&service)?, method, path, shape }
            }
            Self::Dapr { service, pubsub, path, raw, bulk } => {
                Target::Dapr { service: name(&service)?, pubsub, path, raw, bulk }
            }
            Self::DaprJob { service, name: job } => {
                Target::DaprJob { service: name(&service)?, name: job }
            }
        })
    }
}
