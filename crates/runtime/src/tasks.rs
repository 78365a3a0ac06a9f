//! Owned tasks.

use std::{future::Future, io, time::Duration};
use tokio::{sync::watch, task::JoinSet};
use tracing::{debug, error, warn};

/// Tells a task to end. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Waits until the task shall end; for ever while its owner lives and does not stop it.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn wait(&mut self) {
        // An owner that is gone stops its tasks too.
        if self.0.wait_for(|stop| *stop).await.is_err() {
            debug!("the owner of a task is gone");
        }
    }

    /// Whether the task shall end.
    #[must_use]
    pub fn is_set(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }
}

/// A set of tasks with one owner. Dropping it aborts what is left.
#[derive(Debug)]
pub struct TaskSet {
    name: &'static str,
    stop: watch::Sender<bool>,
    tasks: JoinSet<&'static str>,
}

impl TaskSet {
    /// An empty set; `name` stands in logs.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        Self { name, stop: watch::Sender::new(false), tasks: JoinSet::new() }
    }

    /// What tells the tasks of this set to end.
    #[must_use]
    pub fn stop(&self) -> Stop {
        Stop(self.stop.subscribe())
    }

    /// Starts a task on the current tokio runtime.
    pub fn spawn<F>(&mut self, name: &'static str, run: impl FnOnce(Stop) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.reap();
        let task = run(self.stop());
        self.tasks.spawn(async move {
            task.await;
            name
        });
    }

    /// Waits until all tasks have ended by themselves, at most `patience`; then aborts the rest. Returns
    /// whether all ended.
    pub async fn join(mut self, patience: Duration) -> bool {
        let ended = tokio::time::timeout(patience, async {
            while let Some(end) = self.tasks.join_next().await {
                note(self.name, end);
            }
        });
        ended.await.is_ok()
    }

    /// Number of tasks that have not ended.
    #[must_use]
    pub fn count(&mut self) -> usize {
        self.reap();
        self.tasks.len()
    }

    /// Tells all tasks to end, waits at most `grace`, aborts the rest and says which set they were of.
    /// Returns whether all ended by themselves.
    pub async fn shutdown(mut self, grace: Duration) -> bool {
        self.stop.send_replace(true);
        let ended = tokio::time::timeout(grace, async {
            while let Some(end) = self.tasks.join_next().await {
                note(self.name, end);
            }
        })
        .await
        .is_ok();
        if !ended {
            warn!(set = self.name, left = self.tasks.len(), "tasks did not end in time, aborted");
            self.tasks.shutdown().await;
        }
        ended
    }

    /// Forgets tasks that ended, so that a set that lives long does not grow.
    fn reap(&mut self) {
        while let Some(end) = self.tasks.try_join_next() {
            note(self.name, end);
        }
    }
}

/// Says it when a task panicked: its siblings go on, but somebody must look.
fn note(set: &'static str, end: Result<&'static str, tokio::task::JoinError>) {
    match end {
        Ok(name) => debug!(set, task = name, "task ended"),
        Err(e) if e.is_panic() => error!(set, error = %e, "task panicked"),
        Err(_) => {}
    }
}

/// Runs `work` where blocking is allowed and waits for it.
///
/// # Panics
/// When `work` panics.
/// # Cancel safety
/// The work goes on when the call is dropped.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(e) => match e.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Blocking work cannot be cancelled once it runs; before, only by a runtime that ends.
            Err(_) => std::future::pending().await,
        },
    }
}

/// Starts a named thread of its own. The caller joins it or lets it run until the process ends.
///
/// # Errors
/// When the system refuses a thread.
pub fn thread<T: Send + 'static>(
    name: impl Into<String>,
    run: impl FnOnce() -> T + Send + 'static,
) -> io::Result<std::thread::JoinHandle<T>> {
    std::thread::Builder::new().name(name.into()).spawn(run)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn shutdown_waits_for_tasks_that_heed_it_and_aborts_the_rest() {
        let mut heeding = TaskSet::new("heeding");
        heeding.spawn("a", |mut stop| async move { stop.wait().await });
        assert!(heeding.shutdown(Duration::from_secs(5)).await);

        let mut deaf = TaskSet::new("deaf");
        deaf.spawn("b", |_| std::future::pending());
        assert!(!deaf.shutdown(Duration::from_millis(1)).await);
    }

    #[tokio::test]
    async fn a_task_ends_when_its_owner_is_gone() {
        let set = TaskSet::new("gone");
        let mut stop = set.stop();
        drop(set);
        stop.wait().await;
        assert!(stop.is_set());
    }
}
