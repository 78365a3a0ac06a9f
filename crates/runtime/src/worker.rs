//! Threads with a runtime of their own, whose tasks never leave them.

use std::{future::Future, io, marker::PhantomData, rc::Rc, sync::mpsc};
use tokio::runtime::{Builder, LocalOptions};

/// Starts tasks on the worker it was given to. They need not be `Send`, they share the worker's
/// thread, and those that have not ended when the worker's main task returns are dropped.
#[derive(Clone, Debug)]
pub struct Local(PhantomData<Rc<()>>);

impl Local {
    /// Starts a task.
    pub fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        drop(tokio::task::spawn_local(task));
    }
}

/// Starts a thread with a single-threaded runtime and runs `main` on it. Returns when the runtime
/// stands. The thread ends when `main` does.
///
/// # Errors
/// When the system refuses a thread or the runtime's file descriptors.
pub fn worker<F>(
    name: impl Into<String>,
    main: impl FnOnce(Local) -> F + Send + 'static,
) -> io::Result<std::thread::JoinHandle<()>>
where
    F: Future<Output = ()> + 'static,
{
    let (started, outcome) = mpsc::sync_channel(1);
    let thread = super::thread(name, move || {
        let runtime =
            Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        let (runtime, result) = match runtime {
            Ok(runtime) => (Some(runtime), Ok(())),
            Err(e) => (None, Err(e)),
        };
        // The caller waits for this, so it is there to take it.
        if started.send(result).is_err() {
            return;
        }
        if let Some(runtime) = runtime {
            runtime.block_on(async move { main(Local(PhantomData)).await });
        }
    })?;
    match outcome.recv() {
        Ok(Ok(())) => Ok(thread),
        Ok(Err(e)) => Err(e),
        Err(_) => Err(io::Error::other("a worker thread ended before it started")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn a_worker_runs_tasks_that_share_its_thread_and_drops_the_rest_with_itself() {
        let (sender, receiver) = mpsc::channel();
        let thread = worker("test", move |local| async move {
            let sum = Rc::new(Cell::new(0));
            let (done, wait) = tokio::sync::oneshot::channel::<()>();
            let shared = Rc::clone(&sum);
            local.spawn(async move {
                shared.set(shared.get() + 2);
                drop(done);
            });
            local.spawn(std::future::pending());
            assert!(wait.await.is_err());
            sender.send(sum.get()).unwrap();
        })
        .unwrap();
        assert_eq!(receiver.recv().unwrap(), 2);
        thread.join().unwrap();
    }
}
