//! Puts the embedded engine of `streams` under load: `streams_load PLACE SCENARIO CLIENTS BYTES SECONDS`.
//!
//! It prints one object of JSON. Scenarios: `append` (each client one event after the other), `reads` (streams of ten
//! events), `fill` (a million events, then it is killed), `replay` (all events), `open` (how long a start takes), `forget`
//! (the same without the index).

#![expect(clippy::print_stdout, reason = "the result is what it is for")]

mod report;

use adapter_embedded::streams::{Config, Handle, Service};
use bytes::Bytes;
use ports::streams::{Append, Direction, Expected, NewEvent, PAGE_MAX, Position, Query, Streams};
use report::{Dice, Report, Times, float};
use std::{
    io::Write as _,
    path::Path,
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

/// Events of a large store.
const MANY: u64 = 1_000_000;

/// Events of a stream.
const LENGTH: u64 = 10;

/// Streams that are read.
const STREAMS: u64 = 10_000;

/// What a run is asked for.
#[derive(Clone, Copy, Debug)]
struct Load {
    clients: u64,
    bytes: usize,
    length: Duration,
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [place, scenario, clients, bytes, seconds] = args.as_slice() else {
        panic!("streams_load PLACE SCENARIO CLIENTS BYTES SECONDS");
    };
    let number = |text: &String| text.parse().expect("a number");
    let bytes = usize::try_from(number(bytes)).expect("a length");
    let length = Duration::from_secs(number(seconds));
    let load = Load { clients: number(clients), bytes, length };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("the system has threads");
    let report = runtime.block_on(run(Path::new(place), scenario, load));
    println!("{}", report.json());
}

async fn run(place: &Path, scenario: &str, load: Load) -> Report {
    if scenario == "forget" {
        std::fs::remove_file(place.join("index.redb")).expect("there is an index");
    }
    let start = Instant::now();
    let (service, streams) = Service::open(&Config { folder: place.into() }).expect("it opens");
    let opened = start.elapsed();
    let report = match scenario {
        "append" => append(&streams, load).await,
        "reads" => reads(&streams, load).await,
        "fill" => {
            let start = Instant::now();
            fill(&streams, MANY, load.bytes).await;
            let report = status(&streams, Report::default()).await;
            println!("{}", report.number("seconds", start.elapsed().as_secs_f64()).json());
            // As if it were killed: nothing is brought in order.
            std::io::stdout().flush().expect("somebody listens");
            std::process::abort();
        }
        "replay" => replay(&streams).await,
        "open" | "forget" => {
            let first = Instant::now();
            let last = streams.read_all(&Query::default(), None, Direction::Backwards, 1).await;
            last.expect("it answers");
            let report = Report::default()
                .number("open_ms", opened.as_secs_f64() * 1e3)
                .number("first_read_ms", first.elapsed().as_secs_f64() * 1e3);
            status(&streams, report).await
        }
        other => panic!("there is no scenario `{other}`"),
    };
    service.shutdown().await;
    report.number("memory_mb", report::memory())
}

async fn status(streams: &Handle, report: Report) -> Report {
    let status = streams.status().await.expect("it answers");
    report.number("events", float(status.position.0)).number("disk_mb", float(status.bytes) / 1e6)
}

fn event(number: u64, bytes: usize, dice: &mut Dice) -> NewEvent {
    let mut data = Vec::with_capacity(bytes + 8);
    while data.len() < bytes {
        data.extend_from_slice(&dice.roll(u64::MAX).to_le_bytes());
    }
    data.truncate(bytes);
    NewEvent {
        // As long as most ids are, and in no order.
        id: format!("{:016x}-{number:016x}", dice.roll(u64::MAX)),
        kind: "deposited".to_owned(),
        tags: vec![format!("customer:{}", dice.roll(10_000))],
        data: data.into(),
        metadata: Bytes::new(),
    }
}

fn one(stream: String, expected: Expected, events: Vec<NewEvent>) -> Append {
    Append { stream, expected, condition: None, events }
}

/// Lets clients append one event after the other to streams of ten.
async fn append(streams: &Handle, load: Load) -> Report {
    let begin = streams.status().await.expect("it answers").position.0;
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for client in 0..load.clients {
        let streams = streams.clone();
        tasks.spawn(async move {
            let (mut dice, mut times) = (Dice::new(begin + client + 1), Times::default());
            let mut now = Instant::now();
            for number in 0.. {
                if start.elapsed() > load.length {
                    break;
                }
                let stream = format!("account-{begin}.{client}.{}", number / LENGTH);
                let expected = match number % LENGTH {
                    0 => Expected::NoStream,
                    number => Expected::Revision(number - 1),
                };
                let events = vec![event(number, load.bytes, &mut dice)];
                streams.append(one(stream, expected, events)).await.expect("it takes it");
                let after = Instant::now();
                times.add(after - now);
                now = after;
            }
            times
        });
    }
    let mut times = Times::default();
    tasks.join_all().await.into_iter().for_each(|of_one| times.join(of_one));
    times.report(Report::default(), start.elapsed())
}

/// Lets clients read whole streams whose events stand far from each other.
async fn reads(streams: &Handle, load: Load) -> Report {
    for round in 0..LENGTH {
        let mut tasks = JoinSet::new();
        for part in 0..16 {
            let streams = streams.clone();
            tasks.spawn(async move {
                let mut dice = Dice::new(round * 16 + part + 1);
                for stream in (part..STREAMS).step_by(16) {
                    let events = vec![event(round, load.bytes, &mut dice)];
                    let one = one(format!("read-{stream}"), Expected::Any, events);
                    streams.append(one).await.expect("it takes it");
                }
            });
        }
        tasks.join_all().await;
    }
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for client in 0..load.clients {
        let streams = streams.clone();
        tasks.spawn(async move {
            let (mut dice, mut times) = (Dice::new(client + 1), Times::default());
            let mut now = Instant::now();
            while start.elapsed() < load.length {
                let stream = format!("read-{}", dice.roll(STREAMS));
                let page = streams.read(&stream, None, Direction::Forwards, PAGE_MAX).await;
                assert!(page.expect("it answers").events.len() >= 10);
                let after = Instant::now();
                times.add(after - now);
                now = after;
            }
            times
        });
    }
    let mut times = Times::default();
    tasks.join_all().await.into_iter().for_each(|of_one| times.join(of_one));
    times.report(Report::default(), start.elapsed())
}

/// Appends many events, each stream's at once.
async fn fill(streams: &Handle, events: u64, bytes: usize) {
    let mut tasks = JoinSet::new();
    for part in 0..32 {
        let streams = streams.clone();
        tasks.spawn(async move {
            let mut dice = Dice::new(part + 1);
            for stream in (part..events / LENGTH).step_by(32) {
                let events = (0..LENGTH).map(|number| event(number, bytes, &mut dice)).collect();
                let one = one(format!("fill-{stream}"), Expected::NoStream, events);
                streams.append(one).await.expect("it takes it");
            }
        });
    }
    tasks.join_all().await;
}

/// Reads all events in their order.
async fn replay(streams: &Handle) -> Report {
    let (start, mut bytes, mut events) = (Instant::now(), 0, 0);
    let mut from = None;
    loop {
        let page = streams.read_all(&Query::default(), from, Direction::Forwards, PAGE_MAX).await;
        let page = page.expect("it answers");
        events += page.events.len();
        bytes += page.events.iter().map(|event| event.data.len() + event.id.len()).sum::<usize>();
        let Some(next) = page.next else { break };
        from = Some(Position(next));
    }
    let took = start.elapsed().as_secs_f64();
    let float = |number: usize| float(u64::try_from(number).unwrap_or(u64::MAX));
    let report = Report::default()
        .number("seconds", took)
        .number("events_per_second", float(events) / took)
        .number("payload_mb_per_second", float(bytes) / 1e6 / took);
    let on_disk = streams.status().await.expect("it answers").bytes;
    let on_disk = usize::try_from(on_disk).unwrap_or(usize::MAX);
    report.number("disk_mb", float(on_disk) / 1e6)
}
