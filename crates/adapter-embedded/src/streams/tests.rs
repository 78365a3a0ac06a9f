//! Tests of the engine, most of them on a simulated disk.

mod conformance;
mod crash;
mod damage;
mod failing;
mod kill;
mod model;
mod standing;

use ports::streams::{
    Append, Appended, Direction, Event, Expected, NewEvent, Position, Query, Streams,
};
use std::{sync::Arc, time::Duration};

use super::{Error, Handle, Service, recovery::Limits};
use crate::disk::{Disk, simulated::Simulated};

/// Bounds so small that segments end and checkpoints are made all the time.
fn tiny() -> Limits {
    Limits {
        segment_bytes: 2 << 10,
        overlay_bytes: 4 << 10,
        overlay_bytes_max: 64 << 10,
        checked_bytes: 64 << 20,
        checkpoint_age: Duration::from_secs(1),
    }
}

fn open(disk: &Simulated, limits: Limits) -> Result<(Service, Handle), Error> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    Service::open_on(&disk, "simulated".to_owned(), limits, None)
}

/// Runs a test, which may not take longer than some minutes on a busy machine.
fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let result =
        runtime.block_on(async { tokio::time::timeout(Duration::from_secs(300), test).await });
    runtime.shutdown_background();
    result.expect("the test ends in time")
}

fn event(id: impl Into<String>, data: impl Into<bytes::Bytes>) -> NewEvent {
    let (id, kind, data) = (id.into(), "happened".to_owned(), data.into());
    NewEvent { id, kind, data, ..NewEvent::default() }
}

fn append(stream: &str, expected: Expected, events: Vec<NewEvent>) -> Append {
    Append { stream: stream.to_owned(), expected, condition: None, events }
}

/// Appends one event to any stream.
async fn add(streams: &Handle, stream: &str, id: &str, data: &str) -> Appended {
    let events = vec![event(id, data.to_owned())];
    streams.append(append(stream, Expected::Any, events)).await.unwrap()
}

/// All events that match, page by page.
async fn all_of(streams: &dyn Streams, query: &Query, direction: Direction) -> Vec<Event> {
    let (mut events, mut from) = (Vec::new(), None);
    loop {
        let page = streams.read_all(query, from, direction, 1_000).await.unwrap();
        events.extend(page.events);
        from = Some(Position(match page.next {
            Some(next) => next,
            None => return events,
        }));
    }
}

async fn all(streams: &dyn Streams) -> Vec<Event> {
    all_of(streams, &Query::default(), Direction::Forwards).await
}

/// All events of a stream.
async fn stream(streams: &dyn Streams, name: &str) -> Vec<Event> {
    let (mut events, mut from) = (Vec::new(), None);
    loop {
        match streams.read(name, from, Direction::Forwards, 1_000).await {
            Ok(page) => {
                events.extend(page.events);
                from = page.next;
                if from.is_none() {
                    return events;
                }
            }
            Err(ports::streams::Error::NoStream(_)) => return events,
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// What must hold of any store: positions and revisions without gaps, and an index that says the same as the log.
async fn check(streams: &Handle) -> Vec<Event> {
    let events = all(streams).await;
    let status = streams.status().await.unwrap();
    assert_eq!(status.position, Position(events.len() as u64));
    let mut by_stream: std::collections::BTreeMap<&str, Vec<&Event>> = Default::default();
    for (index, event) in events.iter().enumerate() {
        assert_eq!(event.position, Position(index as u64 + 1));
        let of_stream = by_stream.entry(&event.stream).or_default();
        assert_eq!(event.revision, of_stream.len() as u64);
        of_stream.push(event);
    }
    assert_eq!(status.streams, by_stream.len() as u64);
    for (name, expected) in &by_stream {
        assert_eq!(stream(streams, name).await.iter().collect::<Vec<_>>(), *expected);
        let status = streams.stream(name).await.unwrap().unwrap();
        let last = expected.last().unwrap();
        assert_eq!((status.revision, status.position), (last.revision, last.position));
        assert_eq!(status.time, last.time);
    }
    let listed = streams.streams("", None, 1_000).await.unwrap();
    assert!(listed.iter().map(|status| &*status.name).eq(by_stream.keys().copied()));
    events
}

/// How often the long tests are repeated: `FLOTILLA_TEST_ROUNDS`, else `rounds`.
fn rounds(rounds: u64) -> u64 {
    let asked = std::env::var("FLOTILLA_TEST_ROUNDS").ok();
    asked.and_then(|asked| asked.parse().ok()).unwrap_or(rounds)
}
