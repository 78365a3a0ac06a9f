//! Bringing the index up to where the log is, on a thread of its own.

use base::ErrorChain;
use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    time::Duration,
};
use tokio::sync::Notify;
use tracing::{debug, warn};

use super::{
    index::{Numbers, Store},
    overlay::Overlay,
    shared::Shared,
};
use crate::tree::Trouble;

/// Between a checkpoint that failed and the next attempt: a disk that is full or failing stays so for a while, and the
/// log holds everything meanwhile.
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Where the writer leaves work for the thread, and the thread what became of it.
#[derive(Debug, Default)]
pub(super) struct Desk {
    state: Mutex<State>,
    wake: Condvar,
    /// Tells the writer that a checkpoint succeeded or failed.
    pub(super) done: Notify,
}

#[derive(Debug, Default)]
struct State {
    job: Option<Job>,
    must_reopen: bool,
    is_stopping: bool,
    /// Why the last attempt failed, if it did.
    failed: Option<Trouble>,
}

/// What is to be written.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) rows: Arc<Overlay>,
    pub(super) numbers: Numbers,
}

enum Task {
    Write(Job),
    Reopen,
    Stop,
}

impl Desk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves a job. There must be none.
    pub(super) fn put(&self, job: Job) {
        self.state().job = Some(job);
        self.wake.notify_one();
    }

    /// Ends the thread when it has done its job, or failed once more.
    pub(super) fn stop(&self) {
        self.state().is_stopping = true;
        self.wake.notify_one();
    }

    /// Why the last attempt failed, if it did.
    pub(super) fn failed(&self) -> Option<Trouble> {
        self.state().failed.clone()
    }

    /// Has the index opened anew, since a reader met an error.
    pub(super) fn ask_to_reopen(&self) {
        self.state().must_reopen = true;
        self.wake.notify_one();
    }

    /// What is to be done next. A job is handed out once: its doer keeps it until it is done.
    fn next(&self) -> Task {
        let mut state = self.state();
        loop {
            if std::mem::take(&mut state.must_reopen) {
                return Task::Reopen;
            }
            if let Some(job) = state.job.take() {
                return Task::Write(job);
            }
            if state.is_stopping {
                return Task::Stop;
            }
            state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits `pause`, or until the engine ends. Returns whether it does.
    fn pause(&self, pause: Duration) -> bool {
        let state = self.state();
        let waited = self.wake.wait_timeout_while(state, pause, |state| !state.is_stopping);
        waited.unwrap_or_else(PoisonError::into_inner).0.is_stopping
    }

    fn finish(&self, failed: Option<Trouble>) {
        self.state().failed = failed;
        self.done.notify_one();
    }
}

/// Does what is left at the desk until it is told to stop.
pub(super) fn run(shared: &Shared, mut store: Store) {
    loop {
        let is_stopping = match shared.desk.next() {
            Task::Stop => true,
            Task::Reopen => again(shared, &mut store, |store| reopen(shared, store)),
            Task::Write(job) => again(shared, &mut store, |store| write(shared, store, &job)),
        };
        if is_stopping {
            return;
        }
    }
}

/// Tries until it succeeds. Returns whether the engine ended before.
fn again(
    shared: &Shared,
    store: &mut Store,
    mut attempt: impl FnMut(&mut Store) -> Result<(), Trouble>,
) -> bool {
    let mut pause = PAUSE_MIN;
    let mut result = attempt(store);
    while let Err(trouble) = result {
        let error = ErrorChain(&trouble);
        warn!(store = shared.place, %error, "the index cannot be written, the log has everything");
        if matches!(trouble, Trouble::Damaged(_)) {
            shared.is_index_damaged.store(true, Ordering::Release);
        }
        shared.desk.finish(Some(trouble));
        if shared.desk.pause(pause) {
            return true;
        }
        pause = (pause * 2).min(PAUSE_MAX);
        // redb refuses everything after an error until it is opened anew.
        result = reopen(shared, store).and_then(|()| attempt(store));
    }
    shared.desk.finish(None);
    false
}

fn write(shared: &Shared, store: &Store, job: &Job) -> Result<(), Trouble> {
    // A commit of which nobody can tell whether it is durable may be found done when it is tried again, and writing it
    // once more changes nothing.
    store.write(&job.rows.read(), job.numbers)?;
    let base = Arc::new(store.base()?);
    shared.index_bytes.store(store.bytes(), Ordering::Relaxed);
    let dropped = {
        let mut view = shared.view_mut();
        (std::mem::replace(&mut view.base, base), view.frozen.take())
    };
    // Taking a large overlay apart takes a while, in which nobody should wait for the view.
    drop(dropped);
    debug!(store = shared.place, position = job.numbers.position, "checkpoint");
    Ok(())
}

fn reopen(shared: &Shared, store: &mut Store) -> Result<(), Trouble> {
    store.reopen()?;
    let base = Arc::new(store.base()?);
    shared.view_mut().base = base;
    Ok(())
}
