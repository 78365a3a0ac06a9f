//! The suite against the engine that is made of the contract, with a clock that stands and one that does not.

use super::{Clause, Memory, Task, World};
use crate::broker::{Broker, Capabilities, Durability};
use async_trait::async_trait;
use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{Arc, Mutex},
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future on this thread. It is polled every now and then, so that it may look at a clock.
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

fn sleep(time: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    let end = Instant::now() + time;
    Box::pin(poll_fn(move |_| if Instant::now() < end { Poll::Pending } else { Poll::Ready(()) }))
}

struct Alone {
    memory: Memory,
    start: Instant,
    /// What was added to the engine's clock.
    ahead: Mutex<Duration>,
    /// Whether the clock goes on by itself, too.
    is_real: bool,
}

impl Alone {
    fn advance(&self, time: Duration) {
        let mut ahead = self.ahead.lock().unwrap();
        self.memory.advance(time);
        *ahead += time;
    }
}

#[async_trait]
impl World for Alone {
    async fn open(&self) -> Arc<dyn Broker> {
        Arc::new(self.memory.clone())
    }

    async fn restart(&self) -> Option<Arc<dyn Broker>> {
        self.memory.restart();
        Some(self.open().await)
    }

    async fn pass(&self, time: Duration) {
        if self.is_real {
            // Time that passes by itself, and no more of it than shows that it does.
            sleep(time / 5).await;
            self.advance(time * 4 / 5);
        } else {
            self.advance(time);
        }
    }

    fn now(&self) -> Duration {
        let passed = if self.is_real { self.start.elapsed() } else { Duration::ZERO };
        passed + *self.ahead.lock().unwrap()
    }

    async fn pause(&self) {
        thread::yield_now();
    }

    async fn together(&self, tasks: Vec<Task>) {
        let start = |task: Task| {
            thread::Builder::new().spawn(|| block_on(task)).expect("the machine has threads")
        };
        let mut running: Vec<_> = tasks.into_iter().map(start).collect();
        let mut last = Instant::now();
        poll_fn(|_| {
            if !self.is_real {
                let passed = last.elapsed();
                last += passed;
                self.advance(passed);
            }
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

fn run_on(memory: Memory, is_real: bool, clause: Clause) {
    block_on(clause(&Alone { memory, start: Instant::now(), ahead: Mutex::default(), is_real }));
}

mod with_a_clock_that_stands {
    use super::{Clause, Memory, run_on};

    fn run(clause: Clause) {
        run_on(Memory::new(), false, clause);
    }

    crate::broker_conformance!(run);
}

/// The same with an engine that offers as little as it may, in real time.
mod in_real_time_with_less {
    use super::{Capabilities, Clause, Durability, Memory, run_on, sleep};

    fn run(clause: Clause) {
        let offered = Capabilities {
            durable: Durability::Process,
            parallel_keys: false,
            live_seek: false,
            shared: false,
        };
        run_on(Memory::in_real_time(sleep).offering(offered), true, clause);
    }

    crate::broker_conformance!(run);
}

#[test]
fn memory_fails_as_it_is_told() {
    use super::kit::{from_start, group, message, numbers, ok, read_all, take, texts, topic};
    use crate::{
        broker::{Error, Settle, Start, TopicConfig},
        kv::conformance::Failure,
    };

    let memory = Memory::new();
    let world = Alone {
        memory: memory.clone(),
        start: Instant::now(),
        ahead: Mutex::default(),
        is_real: false,
    };
    let (t, g) = (topic("t"), group("g"));
    block_on(async {
        ok(memory.ensure_topic(&t, TopicConfig::default()).await);
        let mut reader = ok(memory.read(&t, Start::Beginning).await);
        let mut subscription =
            ok(memory.subscribe(&t, &g, from_start(Duration::from_secs(1))).await);
        memory.fail_next(Failure::Unavailable);
        assert!(matches!(memory.topics().await, Err(Error::Unavailable { .. })));
        memory.fail_publish(Failure::UnknownAndLost);
        memory.fail_publish(Failure::UnknownButApplied);
        memory.fail_publish(Failure::Unavailable);
        assert_eq!(ok(memory.topic(&t).await).messages, 0, "it is for publishers");
        for (number, messages) in [("lost", 0), ("0", 1)] {
            let result = memory.publish(&t, vec![message(number)]).await;
            assert!(matches!(result, Err(Error::Unknown { .. })), "{result:?}");
            assert_eq!(ok(memory.topic(&t).await).messages, messages);
        }
        let result = memory.publish(&t, vec![message("refused")]).await;
        assert!(matches!(result, Err(Error::Unavailable { .. })), "{result:?}");
        ok(memory.publish(&t, vec![message("1")]).await);

        let deliveries = take(&world, &mut *subscription, 2).await;
        assert_eq!(texts(&deliveries), numbers(0..2));
        let done = |index: usize| vec![(deliveries[index].receipt.clone(), Settle::Ack)];
        memory.fail_settle(Failure::UnknownAndLost);
        memory.fail_settle(Failure::UnknownButApplied);
        for (index, lag) in [(0, 2), (1, 1)] {
            let result = memory.settle(&t, &g, done(index)).await;
            assert!(matches!(result, Err(Error::Unknown { .. })), "{result:?}");
            assert_eq!(ok(memory.groups(&t).await)[0].lag, lag);
        }

        memory.set_down(true);
        assert!(matches!(memory.topics().await, Err(Error::Unavailable { .. })));
        assert!(matches!(reader.next(1).await, Err(Error::Unavailable { .. })));
        memory.set_down(false);
        assert!(matches!(subscription.next(1).await, Err(Error::Unavailable { .. })));
        assert_eq!(read_all(&world, &memory, &t).await.len(), 2);
        let mut again = ok(memory.subscribe(&t, &g, from_start(Duration::from_secs(1))).await);
        assert_eq!(texts(&take(&world, &mut *again, 1).await), ["0"], "what was lost comes again");
    });
}
