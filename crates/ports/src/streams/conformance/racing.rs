//! Clauses about many at the same time.

use super::{
    Task, World,
    kit::{assert_gapless, everything, noted, ok, read_all},
};
use crate::streams::{Appended, Direction, Event, Position, Query, Streams};
use std::{
    collections::BTreeMap,
    future::{Future, pending, poll_fn},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
};

const WRITERS: usize = 8;
const EACH: usize = 30;
/// Of one append.
const EVENTS: usize = 3;

fn names(writer: usize, number: usize) -> [String; EVENTS] {
    std::array::from_fn(|part| format!("{writer}.{number}.{part}"))
}

/// Half of them share a stream.
fn stream(writer: usize) -> String {
    format!("s-{}", writer / 2)
}

/// Whoever has read up to somewhere never finds anything before it, and finds each append in one piece.
pub async fn positions_have_no_gap_while_many_append(world: &dyn World) {
    let last = Position(u64::try_from(WRITERS * EACH * EVENTS).expect("it is small"));
    let streams = world.open().await;
    let seen: Arc<Mutex<Vec<Vec<Event>>>> = Arc::default();
    let mut tasks: Vec<Task> = Vec::new();
    for reader in 0..3 {
        let (streams, seen) = (Arc::clone(&streams), Arc::clone(&seen));
        tasks.push(Box::pin(async move {
            let mut events: Vec<Event> = Vec::new();
            let at = |events: &[Event]| events.last().map_or(Position(0), |event| event.position);
            while at(&events) < last {
                let from = at(&events);
                ok(streams.wait(from).await);
                let from = Some(Position(from.0 + 1));
                let (query, limit) = (Query::default(), 5 + reader * 40);
                events.extend(read_all(&*streams, &query, from, Direction::Forwards, limit).await);
            }
            seen.lock().unwrap_or_else(PoisonError::into_inner).push(events);
        }));
    }
    for writer in 0..WRITERS {
        let streams = Arc::clone(&streams);
        tasks.push(Box::pin(async move {
            let mut before = Position(0);
            for number in 0..EACH {
                let names = names(writer, number);
                let new = noted(&stream(writer), &names.each_ref().map(String::as_str));
                let appended = ok(streams.append(new).await);
                assert!(appended.position > before && !appended.duplicate);
                before = appended.position;
            }
        }));
    }
    world.together(tasks).await;
    let all = everything(&*streams).await;
    assert_gapless(&all);
    for events in seen.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        assert!(*events == all, "a reader saw something else");
    }
    for together in all.chunks(EVENTS) {
        let id = together[0].id.strip_suffix(".0").expect("an append begins with its first event");
        let is_next = |(event, part): (&Event, usize)| event.id == format!("{id}.{part}");
        assert!(together.iter().zip(0..).all(is_next), "{together:?}");
    }
}

/// The engine that is there at the moment, and who waits for something to change.
struct Line {
    streams: Arc<dyn Streams>,
    /// Grows with every restart.
    life: u64,
    ticks: u64,
    waiting: Vec<Waker>,
}

#[derive(Clone)]
struct Current(Arc<Mutex<Line>>);

impl Current {
    fn lock(&self) -> MutexGuard<'_, Line> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Line)) {
        let waiting = {
            let mut line = self.lock();
            change(&mut line);
            std::mem::take(&mut line.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Waits for `future`; `None` when `is_over` says so first.
    async fn until<T>(
        &self,
        is_over: impl Fn(&Line) -> bool,
        future: impl Future<Output = T>,
    ) -> Option<T> {
        let mut future = pin!(future);
        poll_fn(|context| {
            {
                let mut line = self.lock();
                if is_over(&line) {
                    return Poll::Ready(None);
                }
                line.waiting.retain(|waker| !waker.will_wake(context.waker()));
                line.waiting.push(context.waker().clone());
            }
            future.as_mut().poll(context).map(Some)
        })
        .await
    }
}

type Told = Arc<Mutex<BTreeMap<String, Appended>>>;

/// Appends until each is acknowledged, again when it was not told.
fn stubborn_writer(current: &Current, told: &Told, writer: usize) -> Task {
    let (current, told) = (current.clone(), Arc::clone(told));
    Box::pin(async move {
        for number in 0..EACH {
            let names = names(writer, number);
            let new = noted(&stream(writer), &names.each_ref().map(String::as_str));
            let appended = loop {
                let (streams, life, ticks) = {
                    let line = current.lock();
                    (Arc::clone(&line.streams), line.life, line.ticks)
                };
                let call = streams.append(new.clone());
                match current.until(|line| line.life != life, call).await {
                    Some(Ok(appended)) => break appended,
                    Some(Err(error)) => {
                        use crate::streams::Error::{Busy, Unavailable, Unknown};
                        let is_known =
                            matches!(error, Unavailable { .. } | Unknown { .. } | Busy { .. });
                        assert!(is_known, "{error:?}");
                        current.until(|line| line.ticks != ticks, pending::<()>()).await;
                    }
                    None => {}
                }
            };
            let [first, ..] = names;
            told.lock().unwrap_or_else(PoisonError::into_inner).insert(first, appended);
        }
    })
}

/// An engine that is killed while everybody works keeps what it acknowledged, and appends nothing twice.
pub async fn nothing_is_lost_over_restarts_under_load(world: &dyn World) {
    const TOTAL: usize = WRITERS * EACH;
    drop(world.open().await);
    let Some(streams) = world.restart().await else { return };
    let line = Line { streams, life: 0, ticks: 0, waiting: Vec::new() };
    let (current, told) = (Current(Arc::new(Mutex::new(line))), Told::default());
    let tasks = (0..WRITERS).map(|writer| stubborn_writer(&current, &told, writer)).collect();
    let mut together = pin!(world.together(tasks));
    let mut restarts = 0;
    loop {
        let mut pause = world.pause();
        let is_over = poll_fn(|context| match together.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(true),
            Poll::Pending => pause.as_mut().poll(context).map(|()| false),
        });
        if is_over.await {
            break;
        }
        let count = told.lock().unwrap_or_else(PoisonError::into_inner).len();
        if restarts < 3 && count >= (restarts + 1) * TOTAL / 4 {
            restarts += 1;
            let streams = world.restart().await.expect("it was restarted before");
            current.change(|line| (line.streams, line.life) = (streams, line.life + 1));
        }
        current.change(|line| line.ticks += 1);
    }
    let streams = Arc::clone(&current.lock().streams);
    let all = everything(&*streams).await;
    assert_eq!(all.len(), TOTAL * EVENTS);
    assert_gapless(&all);
    let told = told.lock().unwrap_or_else(PoisonError::into_inner);
    for together in all.chunks(EVENTS) {
        let appended = told[&together[0].id];
        let last = &together[EVENTS - 1];
        assert_eq!((last.position, last.revision), (appended.position, appended.revision));
    }
}
