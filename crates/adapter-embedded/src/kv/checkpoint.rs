//! Bringing the tree up to where the log is, on a thread of its own.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    time::Duration,
};
use tokio::sync::Notify;
use tracing::{debug, warn};

use super::{
    base::{Numbers, Store},
    overlay::Overlay,
    shared::Shared,
    trouble::Trouble,
};

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
    progress: Progress,
}

/// What is to be written.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) rows: Arc<Overlay>,
    pub(super) numbers: Numbers,
}

/// What this process has written.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    /// The tree has, durably, all entries before this one. What an earlier process wrote does not count: it may have
    /// seen its own sync fail.
    pub(super) position: u64,
    /// Why the last attempt failed, if it did.
    pub(super) failed: Option<Trouble>,
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

    pub(super) fn progress(&self) -> Progress {
        self.state().progress.clone()
    }

    /// Has the tree opened anew, since a reader met an error.
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

    fn finish(&self, position: u64) {
        self.state().progress = Progress { position, failed: None };
        self.done.notify_one();
    }

    fn fail(&self, trouble: Trouble) {
        self.state().progress.failed = Some(trouble);
        self.done.notify_one();
    }
}

/// Does what is left at the desk until it is told to stop.
pub(super) fn run(shared: &Arc<Shared>, mut store: Store) {
    loop {
        let is_stopping = match shared.desk.next() {
            Task::Stop => true,
            Task::Reopen => {
                let is_stopping = again(shared, &mut store, |store| reopen(shared, store));
                shared.desk.state().progress.failed = None;
                is_stopping
            }
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
        let error: &dyn std::error::Error = &trouble;
        warn!(
            store = shared.place, error = %base::ErrorChain(error),
            "checkpoint failed, the log holds everything"
        );
        shared.desk.fail(trouble);
        if shared.desk.pause(pause) {
            return true;
        }
        pause = (pause * 2).min(PAUSE_MAX);
        // redb refuses everything after an error until it is opened anew.
        result = reopen(shared, store).and_then(|()| attempt(store));
    }
    false
}

fn write(shared: &Shared, store: &Store, job: &Job) -> Result<(), Trouble> {
    {
        let rows = job.rows.read();
        store.write(&rows, &job.numbers)?;
    }
    let base = Arc::new(store.base()?);
    shared.tree_bytes.store(store.bytes(), Ordering::Relaxed);
    let dropped = {
        let mut view = shared.view_mut();
        let old = std::mem::replace(&mut view.layers.base, base);
        (old, view.layers.frozen.take())
    };
    // Taking a large overlay apart takes a while, in which nobody should wait for the view.
    drop(dropped);
    debug!(store = shared.place, position = job.numbers.position, "checkpoint");
    shared.desk.finish(job.numbers.position);
    Ok(())
}

fn reopen(shared: &Shared, store: &mut Store) -> Result<(), Trouble> {
    store.reopen()?;
    let base = Arc::new(store.base()?);
    shared.view_mut().layers.base = base;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(position: u64) -> Job {
        Job { rows: Arc::default(), numbers: Numbers { position, ..Numbers::default() } }
    }

    #[test]
    fn a_job_that_is_left_while_another_one_is_finished_is_not_lost() {
        let desk = Desk::default();
        desk.put(job(1));
        assert!(matches!(desk.next(), Task::Write(job) if job.numbers.position == 1));
        // The writer may see the result of the first before the desk notes it.
        desk.put(job(2));
        desk.finish(1);
        desk.stop();
        assert!(matches!(desk.next(), Task::Write(job) if job.numbers.position == 2));
        assert!(matches!(desk.next(), Task::Stop));
    }
}
