//! Puts a broker, or the bare disk, under load: `broker_load ENGINE PLACE PID SCENARIO CLIENTS BYTES SECONDS`.
//!
//! `cargo xtask bench events` starts it; it prints one object of JSON. Engines: `embedded` and `disk` (the place is a
//! folder), `nats` and `redis` (an address). The CPU time and memory of process `PID` count; `self` is this one.
//! Scenarios: `publish`, `topics` (to any of a thousand), `delay`, `consume`, `replay`, `fill` (a million messages; an engine
//! in this process then ends as if it were killed), `catch-up` (consumes them, after a start).

#![expect(clippy::print_stdout, reason = "the result is what it is for")]

mod embedded;
mod gauge;
mod load;
mod nats;
mod redis;
#[path = "../streams_load/report.rs"]
#[expect(dead_code, reason = "the other program that shares it uses more of it")]
mod report;
mod wire;

use adapter_embedded::broker::{Config, Service};
use embedded::Embedded;
use gauge::Gauge;
use load::{Engine, Load};
use nats::Nats;
use redis::Redis;
use report::{Report, Times};
use std::{
    fs,
    io::Write as _,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

/// Messages of a large backlog.
const MANY: usize = 1_000_000;

/// Messages that are consumed or replayed.
const SOME: usize = 300_000;

/// Topics, where there are many.
const TOPICS: u64 = 1_000;

/// Within which any run ends: a broker that has lost a message would be waited for in vain.
const RUN_MAX: Duration = Duration::from_secs(900);

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [engine, place, pid, scenario, clients, bytes, seconds] = args.as_slice() else {
        panic!("broker_load embedded|nats|redis|disk PLACE PID SCENARIO CLIENTS BYTES SECONDS");
    };
    let number = |text: &String| text.parse().expect("a number");
    let bytes = usize::try_from(number(bytes)).expect("a length");
    let length = Duration::from_secs(number(seconds));
    let load = Load { clients: number(clients), bytes, length, pid: pid.clone() };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("the system has threads");
    let report = match engine.as_str() {
        "disk" => disk(Path::new(place), &load),
        "embedded" => runtime.block_on(bounded(embedded(place, scenario, &load))),
        "nats" | "redis" => runtime.block_on(bounded(server(engine, place, scenario, &load))),
        other => panic!("there is no engine `{other}`"),
    };
    println!("{}", report.json());
}

async fn bounded(run: impl Future<Output = Report>) -> Report {
    tokio::time::timeout(RUN_MAX, run).await.expect("the broker goes on")
}

async fn embedded(place: &str, scenario: &str, load: &Load) -> Report {
    let start = Instant::now();
    let (service, handle) = Service::open(&Config { folder: place.into() }).expect("it opens");
    let engine: Arc<dyn Engine> = Arc::new(Embedded(handle));
    let report = run(&engine, scenario, load, start).await;
    if scenario == "fill" {
        println!("{}", report.json());
        // As if it were killed: nothing is brought in order.
        std::io::stdout().flush().expect("somebody listens");
        std::process::abort();
    }
    service.shutdown().await;
    report
}

async fn server(engine: &str, place: &str, scenario: &str, load: &Load) -> Report {
    let start = Instant::now();
    let engine: Arc<dyn Engine> = match engine {
        "redis" => Arc::new(Redis::open(place).await),
        _ => Arc::new(Nats(place.to_owned())),
    };
    run(&engine, scenario, load, start).await
}

async fn run(engine: &Arc<dyn Engine>, scenario: &str, load: &Load, start: Instant) -> Report {
    match scenario {
        "publish" => load::publish(engine, load, 1).await,
        "topics" => load::publish(engine, load, TOPICS).await,
        "delay" => load::delay(engine, load).await,
        "consume" => {
            load::fill(engine, SOME, load.bytes).await;
            load::consume(engine, load, SOME).await
        }
        "replay" => {
            load::fill(engine, SOME, load.bytes).await;
            load::replay(engine, load, SOME).await
        }
        "fill" => {
            let gauge = Gauge::start(&load.pid);
            load::fill(engine, MANY, load.bytes).await;
            let took = start.elapsed().as_secs_f64();
            gauge.stop(Report::default().number("seconds", took))
        }
        "catch-up" => {
            // Somebody who asks for the topic has an answer.
            engine.prepare(1).await;
            let opened = start.elapsed().as_secs_f64() * 1e3;
            load::consume(engine, load, MANY).await.number("open_ms", opened)
        }
        other => panic!("there is no scenario `{other}`"),
    }
}

/// One append and one sync after the other: what any engine with one publisher is bound by.
fn disk(folder: &Path, load: &Load) -> Report {
    fs::create_dir_all(folder).expect("the folder can be made");
    let mut file = fs::File::create(folder.join("raw")).expect("the file can be made");
    let payload = load::payload(load.bytes, 1);
    let (gauge, mut times, start) = (Gauge::start(&load.pid), Times::default(), Instant::now());
    while start.elapsed() < load.length {
        let before = Instant::now();
        file.write_all(&payload).and_then(|()| file.sync_data()).expect("the disk takes it");
        times.add(before.elapsed());
    }
    gauge.stop(times.report(Report::default(), start.elapsed()))
}
