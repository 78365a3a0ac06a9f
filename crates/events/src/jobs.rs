//! Jobs of apps and schedules of the file: what runs at times.
//!
//! ```text
//!  schedule ──► row (definition, next run, last run) + entry in the order of due times
//!                    │ due
//!                    ▼
//!  one transaction: next run written, entry moved, the run put into the outbox ──► topic `flotilla.runs` ──► app
//! ```
//!
//! Every node looks for what is due; the transaction lets one of them have it, and no run is lost between claiming and
//! publishing. A run is a message: it is tried as often as the job says, then it is a dead letter.

mod row;
mod runs;
mod scheduler;
mod times;

pub(crate) use runs::{GROUP, Run, TOPIC};
pub(crate) use times::{check_zone, rfc3339};

use crate::{Error, Job, Target, Wanted, kept::Rows, outbox::Outbox};
use base::Timestamp;
use ports::kv::{Entry, Is, Life, Transaction};
use row::Row;
use runtime::Clock;
use std::sync::Arc;
use tokio::sync::{Notify, watch};

/// Longest name of a job, and of its owner, in bytes.
pub const JOB_NAME_MAX: usize = 256;

/// Most bytes of a job's data: with its run it fits into one transaction of every kv engine.
pub const JOB_DATA_MAX: usize = 512 << 10;

/// Most jobs of one list.
pub const JOBS_LIST_MAX: usize = 10_000;

/// Who the schedules of the file belong to.
pub const FILE: &str = "file";

/// How often a change is tried again that met another one.
const TRIES_MAX: usize = 10;

const WHAT: &str = "a job";
const JOBS: &str = "jobs/";
const SCHEDULES: &str = "schedules/";
const DUE: &str = "due/";

/// What a job is like.
#[derive(Clone, Debug, PartialEq)]
pub struct JobInfo {
    /// As it was asked for. Of a schedule of the file: its name and times.
    pub job: Job,
    /// When it runs next.
    pub next: Option<Timestamp>,
    /// Its last run.
    pub last: Option<LastRun>,
    /// How many runs there were.
    pub runs: u64,
    /// It is stopped for the time being.
    pub paused: bool,
}

/// A run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastRun {
    /// When it was due.
    pub due: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// How often it was tried.
    pub attempts: u32,
    /// How it went.
    pub outcome: RunOutcome,
}

/// How a run went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunOutcome {
    /// It waits, runs, or is tried again.
    Running,
    /// The app has done it.
    Done,
    /// It was given up.
    Failed(String),
}

/// Jobs and schedules. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Jobs {
    rows: Rows,
    clock: Clock,
    wanted: watch::Receiver<Arc<Wanted>>,
    outbox: Outbox,
    /// Something may be due earlier than was thought.
    earlier: Arc<Notify>,
    /// There is, or will be, something to deliver.
    needed: watch::Sender<bool>,
}

/// A job or a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Name {
    Job { owner: String, name: String },
    Schedule(String),
}

impl Name {
    fn of(owner: &str, name: &str) -> Self {
        if owner == FILE {
            Self::Schedule(name.to_owned())
        } else {
            Self::Job { owner: owner.to_owned(), name: name.to_owned() }
        }
    }

    fn parse(text: &str) -> Option<Self> {
        if let Some(name) = text.strip_prefix(SCHEDULES) {
            return Some(Self::Schedule(name.to_owned()));
        }
        let (owner, name) = text.strip_prefix(JOBS)?.split_once('/')?;
        Some(Self::Job { owner: owner.to_owned(), name: name.to_owned() })
    }

    /// What its row is called.
    fn key(&self) -> String {
        match self {
            Self::Job { owner, name } => format!("{JOBS}{owner}/{name}"),
            Self::Schedule(name) => format!("{SCHEDULES}{name}"),
        }
    }

    fn due(&self, at: Timestamp) -> String {
        format!("{DUE}{:016x}/{}", at.0, self.key())
    }
}

impl Jobs {
    pub(crate) fn new(
        rows: Rows,
        clock: Clock,
        wanted: watch::Receiver<Arc<Wanted>>,
        outbox: Outbox,
    ) -> Self {
        let needed = watch::Sender::new(false);
        Self { rows, clock, wanted, outbox, earlier: Arc::new(Notify::new()), needed }
    }

    /// Tells when runs have to be delivered: without any there is no topic for them.
    pub(crate) fn needed(&self) -> watch::Receiver<bool> {
        self.needed.subscribe()
    }

    pub(crate) fn need(&self) {
        self.needed.send_if_modified(|needed| !std::mem::replace(needed, true));
    }

    /// Keeps a job; durable when it returns.
    ///
    /// # Errors
    /// [`Error::Invalid`] says which field is wrong; [`Error::Exists`] unless it may be overwritten.
    ///
    /// # Cancel safety
    /// Not cancel safe: it may have been kept.
    pub async fn schedule(&self, job: Job, to: Target) -> Result<(), Error> {
        check_name("the owner of a job", &job.owner)?;
        check_name("the name of a job", &job.name)?;
        if job.owner.contains('/') || job.owner == FILE {
            return Err(Error::Invalid(format!("`{}` can own no jobs", job.owner)));
        }
        let (count, limit) = (job.data.len(), JOB_DATA_MAX);
        if count > limit {
            return Err(Error::TooMany { what: "bytes in the data of a job", count, limit });
        }
        if job.type_url.chars().any(char::is_control) {
            return Err(Error::Invalid("the type URL of a job has control characters".to_owned()));
        }
        let (name, overwrite) = (Name::of(&job.owner, &job.name), job.overwrite);
        let row = Row::of_job(&job, &to, self.clock.date())?;
        for _ in 0..TRIES_MAX {
            let found = self.entry(&name).await?;
            if found.is_some() && !overwrite {
                return Err(Error::Exists { what: "job", name: job.name });
            }
            if self.put(&name, found.as_ref(), &row, Transaction::default()).await? {
                self.earlier.notify_one();
                self.need();
                return Ok(());
            }
        }
        Err(too_many_at_once(&name))
    }

    /// A job; with the owner `file`, a schedule of the file.
    ///
    /// # Errors
    /// [`Error::Kv`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn get(&self, owner: &str, name: &str) -> Result<Option<JobInfo>, Error> {
        let name = Name::of(owner, name);
        let found = self.entry(&name).await?;
        Ok(found.and_then(|entry| self.info(&name, &entry)))
    }

    /// Forgets a job. A run that is under way goes on. Answers whether it was there.
    ///
    /// # Errors
    /// [`Error::Kv`], [`Error::Invalid`] for a schedule of the file.
    ///
    /// # Cancel safety
    /// Not cancel safe.
    pub async fn delete(&self, owner: &str, name: &str) -> Result<bool, Error> {
        if owner == FILE {
            let message = format!("schedule `{name}` stands in the file: remove it there");
            return Err(Error::Invalid(message));
        }
        self.remove(&Name::of(owner, name)).await
    }

    /// Forgets the jobs of an owner whose names begin with `prefix`. Answers how many.
    ///
    /// # Errors
    /// [`Error::Kv`]; some may be gone then.
    ///
    /// # Cancel safety
    /// Not cancel safe.
    pub async fn delete_by_prefix(&self, owner: &str, prefix: &str) -> Result<u64, Error> {
        let (mut count, mut range) = (0, self.rows.prefix(&format!("{JOBS}{owner}/{prefix}")));
        loop {
            let page = self.rows.first(WHAT, &range).await?;
            for entry in &page.entries {
                if let Some(name) = self.rows.name(&entry.key).and_then(Name::parse) {
                    count += u64::from(self.remove(&name).await?);
                }
            }
            let Some(next) = page.next else { return Ok(count) };
            range.from = next;
        }
    }

    /// The jobs of an owner, or of all; those of `file` are the schedules of the file, and are among all. At most
    /// [`JOBS_LIST_MAX`], by owner and name.
    ///
    /// # Errors
    /// [`Error::Kv`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn list(&self, owner: Option<&str>) -> Result<Vec<JobInfo>, Error> {
        let prefixes = match owner {
            Some(FILE) => vec![SCHEDULES.to_owned()],
            Some(owner) => vec![format!("{JOBS}{owner}/")],
            None => vec![SCHEDULES.to_owned(), JOBS.to_owned()],
        };
        let mut found = Vec::new();
        for prefix in prefixes {
            let mut range = self.rows.prefix(&prefix);
            while found.len() < JOBS_LIST_MAX {
                let page = self.rows.first(WHAT, &range).await?;
                found.extend(page.entries.iter().filter_map(|entry| {
                    self.info(&self.rows.name(&entry.key).and_then(Name::parse)?, entry)
                }));
                let Some(next) = page.next else { break };
                range.from = next;
            }
        }
        found.truncate(JOBS_LIST_MAX);
        Ok(found)
    }

    /// Lets a job run once, now, beside its times.
    ///
    /// # Errors
    /// [`Error::Missing`].
    ///
    /// # Cancel safety
    /// Not cancel safe: it may run.
    pub async fn run_now(&self, owner: &str, name: &str) -> Result<(), Error> {
        let name_of = Name::of(owner, name);
        for _ in 0..TRIES_MAX {
            let found = self.entry(&name_of).await?;
            let now = self.clock.date();
            let run = found.as_ref().and_then(|entry| {
                let row = Row::decode(&entry.value)?;
                Some((self.run(&name_of, &row, now)?, row))
            });
            let Some((run, mut row)) = run else {
                let (what, name, hint) = ("job", name.to_owned(), String::new());
                return Err(Error::Missing { what, name, hint });
            };
            if run.is_delivered {
                self.need();
            }
            row.ran(now, &run);
            let with = self.outbox.rows(vec![run.message])?;
            let with = Transaction { operations: with, ..Transaction::default() };
            if self.put(&name_of, found.as_ref(), &row, with).await? {
                self.outbox.wake();
                return Ok(());
            }
        }
        Err(too_many_at_once(&name_of))
    }

    async fn entry(&self, name: &Name) -> Result<Option<Entry>, Error> {
        self.rows.get(WHAT, &self.rows.key(&name.key())).await
    }

    fn info(&self, name: &Name, entry: &Entry) -> Option<JobInfo> {
        let row = Row::decode(&entry.value)?;
        let (job, paused) = match name {
            Name::Job { owner, name } => (row.job(owner, name), false),
            Name::Schedule(name) => {
                let wanted = Arc::clone(&self.wanted.borrow());
                let schedule = wanted.schedules.iter().find(|schedule| schedule.name == *name)?;
                (times::job_of(schedule), schedule.paused)
            }
        };
        Some(JobInfo { job, next: row.next(), last: row.last(), runs: row.runs(), paused })
    }

    /// Writes a row in the place of `found`, and moves it to its place in the order of due times. Answers whether nobody else was
    /// faster.
    async fn put(
        &self,
        name: &Name,
        found: Option<&Entry>,
        row: &Row,
        with: Transaction,
    ) -> Result<bool, Error> {
        let key = self.rows.key(&name.key());
        let is = found.map_or(Is::Missing, |entry| Is::ModifiedAt(entry.modified));
        let before = found.and_then(|entry| Row::decode(&entry.value)).and_then(|row| row.next());
        let mut transaction = with.when(key.clone(), is).and_put(key, row.encode(), Life::Endless);
        if before != row.next() {
            if let Some(at) = before {
                transaction = transaction.and_delete(self.rows.key(&name.due(at)));
            }
            if let Some(at) = row.next() {
                transaction = transaction.and_put(self.rows.key(&name.due(at)), "", Life::Endless);
            }
        }
        self.rows.commit(WHAT, transaction).await
    }

    async fn remove(&self, name: &Name) -> Result<bool, Error> {
        for _ in 0..TRIES_MAX {
            let Some(found) = self.entry(name).await? else { return Ok(false) };
            let key = found.key.clone();
            let mut transaction =
                Transaction::delete(key.clone()).when(key, Is::ModifiedAt(found.modified));
            if let Some(at) = Row::decode(&found.value).and_then(|row| row.next()) {
                transaction = transaction.and_delete(self.rows.key(&name.due(at)));
            }
            if self.rows.commit(WHAT, transaction).await? {
                return Ok(true);
            }
        }
        Err(too_many_at_once(name))
    }
}

fn too_many_at_once(name: &Name) -> Error {
    Error::Invalid(format!("too many change `{}` at once", name.key()))
}

fn check_name(what: &str, text: &str) -> Result<(), Error> {
    if text.is_empty() || text.len() > JOB_NAME_MAX || text.chars().any(char::is_control) {
        return Err(Error::Invalid(format!(
            "{what} has 1 to {JOB_NAME_MAX} bytes and no control characters: {text:?}"
        )));
    }
    Ok(())
}
