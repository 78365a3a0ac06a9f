//! Runs as messages.

use super::{
    Jobs, Name, TRIES_MAX,
    row::{RetryKept, Row, TargetKept},
    times,
};
use crate::{Error, Event, Retry, Schedule, Target, kept, wanted};
use base::Timestamp;
use bytes::Bytes;
use ports::{
    broker::{ID_MAX, Message, NewMessage, TopicName},
    kv::Transaction,
};
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};
use tracing::warn;

/// The topic of runs.
pub(crate) const TOPIC: &str = "flotilla.runs";

/// The group that delivers them.
pub(crate) const GROUP: &str = "flotilla.runs";

/// How long an app may take for a run of a job.
const JOB_TIMEOUT: Duration = Duration::from_secs(30);

/// The header that says what a run is of, and where it goes.
const HEADER: &str = "flotilla-run";

/// The type of events that runs are.
const KIND: &str = "flotilla.run";

/// A run on its way into the outbox.
pub(super) struct Kept {
    pub(super) message: (TopicName, NewMessage),
    /// It is for an app; if not, it is done once it is published.
    pub(super) is_delivered: bool,
}

#[derive(Serialize, Deserialize)]
struct Head {
    /// Of its row.
    of: String,
    due_us: u64,
    to: TargetKept,
    retry: RetryKept,
    timeout_ms: u64,
}

/// A run as it comes out of its topic.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    of: Name,
    due: Timestamp,
    pub(crate) to: Target,
    pub(crate) retry: Retry,
    pub(crate) timeout: Duration,
}

impl Run {
    /// `None`: somebody else published it.
    pub(crate) fn of(message: &Message) -> Option<Self> {
        let head: Head = serde_json::from_str(message.header(HEADER)?).ok()?;
        Some(Self {
            of: Name::parse(&head.of)?,
            due: Timestamp(head.due_us),
            to: head.to.target()?,
            retry: head.retry.retry(),
            timeout: Duration::from_millis(head.timeout_ms),
        })
    }

    /// The job's name, as apps know it.
    pub(crate) fn name(&self) -> &str {
        match &self.of {
            Name::Job { name, .. } | Name::Schedule(name) => name,
        }
    }
}

impl Jobs {
    /// The run of a job that is due at `due`; `None`: the file does not have the schedule.
    pub(super) fn run(&self, name: &Name, row: &Row, due: Timestamp) -> Option<Kept> {
        match name {
            Name::Job { owner, name: job } => {
                let (to, retry) = row.target()?;
                let type_url = row.job(owner, job).type_url;
                let schema = (!type_url.is_empty()).then_some(type_url);
                let of = name.key();
                let id = format!("{owner}/{job}@{}", due.0);
                let event = event(id, owner, job, due, row.data.clone(), None);
                let event = Event { schema, ..event };
                Some(delivered(
                    Head {
                        of,
                        due_us: due.0,
                        to,
                        retry: RetryKept::of(retry),
                        timeout_ms: ms(JOB_TIMEOUT),
                    },
                    event,
                ))
            }
            Name::Schedule(schedule) => {
                let wanted = Arc::clone(&self.wanted.borrow());
                let schedule = wanted.schedules.iter().find(|known| known.name == *schedule)?;
                run_of_schedule(name, schedule, due)
            }
        }
    }

    /// Notes how a run ended. A job that has no run left is forgotten then.
    pub(crate) async fn ended(&self, run: &Run, attempts: u32, failure: &str) {
        if let Err(error) = self.note_end(run, attempts, failure).await {
            // Its end is for people; the run itself is settled in its topic.
            warn!(job = run.of.key(), error = %base::ErrorChain(&error), "the end of a run was not noted");
        }
    }

    async fn note_end(&self, run: &Run, attempts: u32, failure: &str) -> Result<(), Error> {
        for _ in 0..TRIES_MAX {
            let Some(found) = self.entry(&run.of).await? else { return Ok(()) };
            let Some(mut row) = Row::decode(&found.value) else { return Ok(()) };
            if !row.ended(run.due, self.clock.date(), attempts, failure) {
                return Ok(());
            }
            let is_over = row.next().is_none() && matches!(run.of, Name::Job { .. });
            let is_done = match is_over {
                true => {
                    let key = found.key.clone();
                    let is = ports::kv::Is::ModifiedAt(found.modified);
                    self.rows
                        .commit(super::WHAT, Transaction::delete(key.clone()).when(key, is))
                        .await?
                }
                false => self.put(&run.of, Some(&found), &row, Transaction::default()).await?,
            };
            if is_done {
                return Ok(());
            }
        }
        Ok(())
    }
}

fn run_of_schedule(name: &Name, schedule: &Schedule, due: Timestamp) -> Option<Kept> {
    let source = format!("schedule/{}", schedule.name);
    let id = format!("{source}@{}", due.0);
    match &schedule.run {
        wanted::Run::Publish { topic, data, content_type } => {
            let event = event(id, &source, &schedule.name, due, data.clone(), content_type.clone());
            let event = Event { kind: topic.to_string(), ..event };
            let id = message_id(&event.id);
            let message = (topic.clone(), event.into_message(id));
            Some(Kept { message, is_delivered: false })
        }
        wanted::Run::Deliver { to, data, content_type } => {
            let event = event(id, &source, &schedule.name, due, data.clone(), content_type.clone());
            let head = Head {
                of: name.key(),
                due_us: due.0,
                to: TargetKept::of(to)?,
                retry: RetryKept::of(schedule.retry),
                timeout_ms: ms(schedule.timeout),
            };
            Some(delivered(head, event))
        }
    }
}

fn event(
    id: String,
    source: &str,
    subject: &str,
    due: Timestamp,
    data: Bytes,
    content_type: Option<String>,
) -> Event {
    Event {
        id,
        source: source.to_owned(),
        kind: KIND.to_owned(),
        subject: Some(subject.to_owned()),
        time: times::rfc3339(due),
        content_type,
        data,
        ..Event::default()
    }
}

fn delivered(head: Head, event: Event) -> Kept {
    let id = message_id(&event.id);
    let mut message = event.into_message(id);
    // Texts and numbers always can be written, and JSON has no control characters.
    let head = serde_json::to_string(&head).unwrap_or_default();
    message.headers.push((HEADER.to_owned(), head));
    Kept { message: (kept::topic(TOPIC), message), is_delivered: true }
}

/// What makes a second publish of a run a duplicate, where a name can be that; otherwise the outbox gives it an id.
fn message_id(id: &str) -> Option<String> {
    let fits = id.len() <= ID_MAX && id.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then(|| id.to_owned())
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
