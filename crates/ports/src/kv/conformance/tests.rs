//! The suite against the model, and the model against what must always hold.

mod invariants;

use super::{Clause, Memory, Task, World};
use crate::kv::{Capabilities, Kv};
use async_trait::async_trait;
use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::Duration,
};

struct Alone {
    memory: Memory,
    clock: std::sync::Mutex<Duration>,
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future on this thread.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park_timeout(Duration::from_secs(30)),
        }
    }
}

#[async_trait]
impl World for Alone {
    async fn open(&self) -> Arc<dyn Kv> {
        Arc::new(self.memory.clone())
    }

    async fn restart(&self) -> Option<Arc<dyn Kv>> {
        self.memory.restart();
        Some(self.open().await)
    }

    async fn pass(&self, time: Duration) {
        *self.clock.lock().unwrap() += time;
        self.memory.advance(time);
    }

    fn now(&self) -> Duration {
        *self.clock.lock().unwrap()
    }

    async fn pause(&self) {
        thread::yield_now();
    }

    async fn together(&self, tasks: Vec<Task>) {
        thread::scope(|scope| {
            for task in tasks {
                scope.spawn(|| block_on(task));
            }
        });
    }
}

fn run_on(memory: Memory, clause: Clause) {
    block_on(clause(&Alone { memory, clock: std::sync::Mutex::default() }));
}

fn run(clause: Clause) {
    run_on(Memory::new(), clause);
}

crate::kv_conformance!(run);

/// The same with an engine that offers nothing: clauses that need more must pass, refusals are checked.
mod limited {
    use super::{Capabilities, Clause, Memory, run_on};

    fn run(clause: Clause) {
        run_on(
            Memory::offering(Capabilities {
                durable: false,
                transactions: true,
                leases: false,
                watches: false,
                shared: false,
            }),
            clause,
        );
    }

    crate::kv_conformance!(run);

    #[test]
    fn transactions_over_several_keys_can_be_refused_too() {
        let offered = Capabilities {
            durable: false,
            transactions: false,
            leases: true,
            watches: true,
            shared: false,
        };
        run_on(Memory::offering(offered), |world| {
            Box::pin(crate::kv::conformance::what_is_not_offered_is_refused(world))
        });
    }
}

#[test]
fn memory_fails_as_it_is_told() {
    use super::{Failure, committed, ok};
    use crate::kv::{Error, Range, Transaction};
    block_on(async {
        let kv = Memory::new();
        let mut watch = ok(kv.watch(Range::all(), None).await);
        kv.fail_next(Failure::Unavailable);
        assert!(matches!(kv.get(b"a").await, Err(Error::Unavailable { .. })));
        assert!(matches!(kv.get(b"a").await, Ok(None)));
        for (failure, found) in
            [(Failure::UnknownAndLost, None), (Failure::UnknownButApplied, Some("2"))]
        {
            kv.fail_next(failure);
            let result = kv.commit(Transaction::put("a", found.unwrap_or("1"))).await;
            assert!(matches!(result, Err(Error::Unknown { .. })), "{result:?}");
            let entry = ok(kv.get(b"a").await);
            assert_eq!(entry.map(|entry| entry.value), found.map(bytes::Bytes::from));
        }
        assert_eq!(super::told(&mut *watch).await, "1: a=2");
        kv.set_down(true);
        assert!(matches!(kv.get(b"a").await, Err(Error::Unavailable { .. })));
        assert!(matches!(watch.next().await, Err(Error::Unavailable { .. })));
        kv.set_down(false);
        assert_eq!(committed(kv.commit(Transaction::put("a", "3")).await).0, 2);
        assert!(matches!(watch.next().await, Err(Error::Unavailable { .. })));
    });
}
