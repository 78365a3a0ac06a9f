//! The suite against the engine that is made of the contract.

use super::{Clause, Memory, Task, World};
use crate::streams::Streams;
use async_trait::async_trait;
use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::Duration,
};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future on this thread. It is polled every now and then, so that it may look at other threads.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park_timeout(Duration::from_millis(2)),
        }
    }
}

struct Alone(Memory);

#[async_trait]
impl World for Alone {
    async fn open(&self) -> Arc<dyn Streams> {
        Arc::new(self.0.clone())
    }

    async fn restart(&self) -> Option<Arc<dyn Streams>> {
        self.0.restart();
        Some(self.open().await)
    }

    async fn pause(&self) {
        thread::yield_now();
    }

    async fn together(&self, tasks: Vec<Task>) {
        let start = |task: Task| {
            thread::Builder::new().spawn(|| block_on(task)).expect("the machine has threads")
        };
        let mut running: Vec<_> = tasks.into_iter().map(start).collect();
        poll_fn(|_| {
            while running.last().is_some_and(thread::JoinHandle::is_finished) {
                if let Some(Err(panic)) = running.pop().map(thread::JoinHandle::join) {
                    std::panic::resume_unwind(panic);
                }
            }
            if running.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

fn run(clause: Clause) {
    block_on(clause(&Alone(Memory::in_real_time())));
}

crate::streams_conformance!(run);

#[test]
fn memory_fails_as_it_is_told() {
    use super::kit::{append, everything, ids, noted};
    use crate::{
        kv::conformance::Failure,
        streams::{Error, Position},
    };

    let memory = Memory::new();
    block_on(async {
        memory.fail_next(Failure::Unavailable);
        assert!(matches!(memory.status().await, Err(Error::Unavailable { .. })));
        for (failure, id, is_there) in
            [(Failure::UnknownAndLost, "a", false), (Failure::UnknownButApplied, "b", true)]
        {
            memory.fail_next(failure);
            let result = memory.append(noted("s", &[id])).await;
            assert!(matches!(result, Err(Error::Unknown { .. })), "{result:?}");
            let repeated = append(&memory, "s", &[id]).await;
            assert_eq!(repeated.duplicate, is_there);
        }
        memory.advance(Duration::from_secs(1));
        append(&memory, "s", &["c"]).await;
        let all = everything(&memory).await;
        assert_eq!(ids(&all), ["a", "b", "c"]);
        assert_eq!(all[2].time.0 - all[0].time.0, 1_000_000);

        let mut wait = memory.wait(Position(3));
        let polled = poll_fn(|context| Poll::Ready(wait.as_mut().poll(context).is_pending())).await;
        assert!(polled, "there is nothing to wake for");
        memory.set_down(true);
        assert!(matches!(wait.await, Err(Error::Unavailable { .. })));
        let refused = memory.append(noted("s", &["d"])).await;
        assert!(matches!(refused, Err(Error::Unavailable { .. })), "{refused:?}");
        memory.set_down(false);
        assert!(!append(&memory, "s", &["d"]).await.duplicate);
    });
}
