//! The access log: one line of JSON for each request that came through the gateway.
//!
//! ```text
//!  proxy::record lanes (bounded) ─► task: takes what has gathered ─► blocking thread: lines, file, rotation
//! ```
//!
//! What must hold: no request waits for it. A disk that is too slow, or full, costs lines and nothing else: what does
//! not fit into the lanes is counted there, what cannot be written is counted here, and both are said, in the node's
//! log and, when the file can be written again, by a line in it.
//!
//! Two processes may write the same file while a node hands over: lines are appended whole, and before a file is
//! rotated it is looked whether it still is the one under the name; so an outside rotation (logrotate) is heeded too.
//!
//! The fields are those of the Elastic Common Schema 8 (`docs/guide/access-log.md`).

use proxy::record::{Batch, Filter, Requests, Subscription};
use runtime::{Stop, TaskSet};
use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::Notify;
use tracing::warn;

mod file;
mod line;

use file::Log;
pub use file::{FILE_LEN_MAX, FILES_MAX};

/// How long the last lines may take to be written at the end.
const END_MAX: Duration = Duration::from_secs(2);

/// Missing lines are said this often in the node's log.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// The access log cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("the access log `{}` cannot be written", .path.display())]
pub struct AccessLogError {
    /// The file.
    pub path: PathBuf,
    /// What the system said.
    #[source]
    pub cause: io::Error,
}

/// The access log's task. Dropping it ends it at once; what is queued is lost then.
#[derive(Debug)]
pub struct AccessLog {
    tasks: TaskSet,
}

/// Says where the access log is written. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AccessLogHandle(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    requests: Requests,
    wanted: Mutex<Wanted>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Wanted {
    path: Option<PathBuf>,
    /// What the task shall go on with, when it is another: a writer, or nothing.
    next: Option<Option<Box<Writer>>>,
}

impl AccessLog {
    /// Starts it; it writes nowhere before [`AccessLogHandle::write_to`]. Needs a tokio runtime.
    #[must_use]
    pub fn start(requests: Requests) -> (Self, AccessLogHandle) {
        let shared =
            Arc::new(Shared { requests, wanted: Mutex::default(), changed: Notify::new() });
        let handle = AccessLogHandle(Arc::clone(&shared));
        let mut tasks = TaskSet::new("access log");
        tasks.spawn("access log", move |stop| run(shared, stop));
        (Self { tasks }, handle)
    }

    /// Ends it and writes what is queued, for 2 s at most.
    pub async fn shutdown(self) {
        self.tasks.shutdown(END_MAX).await;
    }
}

impl AccessLogHandle {
    /// Writes to this file, or to none. Each request that ends from now on is in it, each that has ended is where it
    /// was written before; what ends in the moment of the change may be in both. Blocks for the opening of the file.
    ///
    /// # Errors
    /// When the file cannot be opened; the log is written to where it was before.
    pub fn write_to(&self, path: Option<&Path>) -> Result<(), AccessLogError> {
        let mut wanted = self.0.wanted();
        if wanted.path.as_deref() == path {
            return Ok(());
        }
        let writer = match path {
            Some(path) => {
                let fail = |cause| AccessLogError { path: path.to_owned(), cause };
                let log = Log::open(path.to_owned()).map_err(fail)?;
                Some(Box::new(Writer::new(&self.0.requests, path.to_owned(), Some(log))))
            }
            None => None,
        };
        wanted.path = path.map(Path::to_owned);
        wanted.next = Some(writer);
        self.0.changed.notify_one();
        Ok(())
    }
}

impl Shared {
    fn wanted(&self) -> MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes what is wanted until the end.
async fn run(shared: Arc<Shared>, mut stop: Stop) {
    let mut present: Option<Box<Writer>> = None;
    loop {
        let is_over = match &mut present {
            None => tokio::select! {
                () = shared.changed.notified() => false,
                () = stop.wait() => true,
            },
            Some(writer) => tokio::select! {
                batch = writer.subscription.next() => {
                    present = write(present, batch).await;
                    continue;
                }
                () = shared.changed.notified() => false,
                () = stop.wait() => true,
            },
        };
        let next = shared.wanted().next.take();
        if is_over || next.is_some() {
            // Nothing that has ended before is left out.
            present = finish(present).await;
        }
        if let Some(next) = next {
            present = next;
        }
        if is_over {
            finish(present).await;
            return;
        }
    }
}

/// Writes what is left for a writer.
async fn finish(mut writer: Option<Box<Writer>>) -> Option<Box<Writer>> {
    let last = writer.as_mut().map(|writer| writer.subscription.take());
    match last {
        Some(batch) => write(writer, batch).await,
        None => writer,
    }
}

/// Writes a batch where blocking is allowed.
async fn write(writer: Option<Box<Writer>>, batch: Batch) -> Option<Box<Writer>> {
    let mut writer = writer?;
    let written = runtime::blocking(move || {
        writer.write(&batch);
        writer
    });
    Some(written.await)
}

/// One file and what comes into it.
#[derive(Debug)]
struct Writer {
    subscription: Subscription,
    log: Option<Log>,
    path: PathBuf,
    /// Lines that are missing since the last one that was written.
    missing: u64,
    /// Lines that are missing and were not said yet.
    unsaid: u64,
    said_at: Option<Instant>,
}

impl Writer {
    fn new(requests: &Requests, path: PathBuf, log: Option<Log>) -> Self {
        let filter = Filter { from_outside: true, ..Filter::default() };
        let subscription = requests.subscribe(filter);
        Self { subscription, log, path, missing: 0, unsaid: 0, said_at: None }
    }

    fn write(&mut self, batch: &Batch) {
        self.lack(batch.dropped, "more came than could be written");
        if batch.records.is_empty() && self.missing == 0 {
            return;
        }
        let mut text = Vec::new();
        if self.missing > 0 {
            line::missing(self.missing, &mut text);
        }
        for record in &batch.records {
            line::write(record, &mut text);
        }
        let written = match &mut self.log {
            Some(log) => log.append(&text),
            None => Log::open(self.path.clone()).and_then(|log| self.log.insert(log).append(&text)),
        };
        match written {
            Ok(()) => self.missing = 0,
            Err(error) => {
                // Opened anew for the next batch: the folder may come back.
                self.log = None;
                let count = u64::try_from(batch.records.len()).unwrap_or(u64::MAX);
                self.lack(count, &error.to_string());
            }
        }
    }

    /// Counts missing lines, and says so now and then.
    fn lack(&mut self, count: u64, why: &str) {
        if count == 0 {
            return;
        }
        self.missing = self.missing.saturating_add(count);
        self.unsaid = self.unsaid.saturating_add(count);
        if self.said_at.is_none_or(|at| at.elapsed() >= SAY_EVERY) {
            let path = self.path.display();
            warn!(%path, lines = self.unsaid, why, "the access log lacks lines");
            self.unsaid = 0;
            self.said_at = Some(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests;
