//! Puts the embedded broker, NATS JetStream, Redis streams, or the bare disk under load:
//! `broker_load embedded|nats|redis|disk PLACE PID SCENARIO CLIENTS BYTES SECONDS`.
//!
//! `PLACE` is a folder or an address, `PID` the process whose CPU time and memory are told: that of a server, or `self`.
//! `cargo xtask bench events` starts it; it prints one object of JSON. Scenarios: `publish`, `topics` (to any of a
//! thousand), `delay` (from the publish to a subscription), `consume`, `replay`, `fill` (a million messages, then ours is
//! killed), `catch-up` (consumes them).

#![expect(clippy::print_stdout, reason = "the result is what it is for")]

mod embedded;
mod gauge;
mod load;
mod nats;
mod redis;
#[path = "../streams_load/report.rs"]
#[expect(dead_code, reason = "the program that it is shared with uses all of it")]
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
        "embedded" => runtime.block_on(embedded(place, scenario, &load)),
        "nats" => runtime.block_on(async {
            let start = Instant::now();
            let engine: Arc<dyn Engine> = Arc::new(Nats(place.clone()));
            load::run(&engine, scenario, &load, start).await
        }),
        "redis" => runtime.block_on(async {
            let start = Instant::now();
            let engine: Arc<dyn Engine> = Arc::new(Redis::open(place).await);
            load::run(&engine, scenario, &load, start).await
        }),
        other => panic!("there is no engine `{other}`"),
    };
    println!("{}", report.json());
}

async fn embedded(place: &str, scenario: &str, load: &Load) -> Report {
    let start = Instant::now();
    let (service, broker) = Service::open(&Config { folder: place.into() }).expect("it opens");
    let engine: Arc<dyn Engine> = Arc::new(Embedded(broker));
    let report = load::run(&engine, scenario, load, start).await;
    if scenario == "fill" {
        println!("{}", report.json());
        // As if it were killed: nothing is brought in order.
        std::io::stdout().flush().expect("somebody listens");
        std::process::abort();
    }
    service.shutdown().await;
    report
}

/// One append and one sync after the other.
fn disk(folder: &Path, load: &Load) -> Report {
    fs::create_dir_all(folder).expect("the folder can be made");
    let mut file = fs::File::create(folder.join("raw")).expect("the file can be made");
    let bytes = vec![7; load.bytes];
    let gauge = Gauge::start(&load.pid);
    let (start, mut times) = (Instant::now(), Times::default());
    while start.elapsed() < load.length {
        let before = Instant::now();
        file.write_all(&bytes).and_then(|()| file.sync_data()).expect("the disk takes it");
        times.add(before.elapsed());
    }
    gauge.stop(times.report(Report::default(), start.elapsed()))
}
