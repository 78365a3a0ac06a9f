//! Where the writer leaves work for the keeper of files.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::Notify;

use super::{segment::Place, topic::Topic};
use crate::log::Error;

/// What was done, and why it does not go on.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    /// Up to which entry of the journal everything is in files.
    pub(super) position: u64,
    pub(super) failed: Option<Arc<Error>>,
}

/// Where work is left for the keeper.
#[derive(Debug, Default)]
pub(super) struct Desk {
    state: Mutex<Work>,
    wake: Condvar,
    /// Told when something was done or failed.
    pub(super) done: Notify,
}

#[derive(Debug, Default)]
struct Work {
    flush: VecDeque<Arc<Topic>>,
    remove: Vec<Place>,
    checkpoint: Option<u64>,
    is_busy: bool,
    is_stopping: bool,
    progress: Progress,
}

pub(super) enum Task {
    Remove(Vec<Place>),
    Flush(Arc<Topic>),
    Checkpoint(u64),
    Stop,
}

impl Desk {
    fn work(&self) -> MutexGuard<'_, Work> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a topic written to its files.
    pub(super) fn flush(&self, topic: Arc<Topic>) {
        self.work().flush.push_back(topic);
        self.wake.notify_one();
    }

    pub(super) fn remove(&self, places: Vec<Place>) {
        if !places.is_empty() {
            self.work().remove.extend(places);
            self.wake.notify_one();
        }
    }

    /// Has everything that the journal has before `position` made durable in files.
    pub(super) fn checkpoint(&self, position: u64) {
        self.work().checkpoint = Some(position);
        self.wake.notify_one();
    }

    /// Whether a checkpoint is asked for or being made.
    pub(super) fn is_busy(&self) -> bool {
        let work = self.work();
        work.is_busy || work.checkpoint.is_some()
    }

    /// Ends the keeper when it has done what was asked for.
    pub(super) fn stop(&self) {
        self.work().is_stopping = true;
        self.wake.notify_one();
    }

    pub(super) fn progress(&self) -> Progress {
        self.work().progress.clone()
    }

    /// What was done before the engine was opened.
    pub(super) fn begin(&self, position: u64) {
        self.work().progress.position = position;
    }

    pub(super) fn next(&self) -> Task {
        let mut work = self.work();
        loop {
            if !work.remove.is_empty() {
                return Task::Remove(std::mem::take(&mut work.remove));
            }
            if let Some(topic) = work.flush.pop_front() {
                return Task::Flush(topic);
            }
            if let Some(position) = work.checkpoint.take() {
                work.is_busy = true;
                return Task::Checkpoint(position);
            }
            if work.is_stopping {
                return Task::Stop;
            }
            work = self.wake.wait(work).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits `pause`, or until the engine ends. Returns whether it does.
    pub(super) fn pause(&self, pause: Duration) -> bool {
        let work = self.work();
        let waited = self.wake.wait_timeout_while(work, pause, |work| !work.is_stopping);
        waited.unwrap_or_else(PoisonError::into_inner).0.is_stopping
    }

    pub(super) fn finish(&self, position: Option<u64>) {
        let mut work = self.work();
        work.progress.failed = None;
        if let Some(position) = position {
            work.progress.position = position;
            work.is_busy = false;
        }
        drop(work);
        self.done.notify_one();
    }

    pub(super) fn fail(&self, error: Error) {
        self.work().progress.failed = Some(Arc::new(error));
        self.done.notify_one();
    }
}
