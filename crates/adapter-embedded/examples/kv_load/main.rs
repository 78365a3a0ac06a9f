//! Puts the embedded engine, Redis, or the bare disk under load: `kv_load ENGINE PLACE SCENARIO CLIENTS SECONDS`.
//!
//! `cargo xtask bench kv` starts it; it prints one object of JSON.

#![expect(clippy::print_stdout, reason = "the result is what it is for")]

mod load;
mod redis;

use adapter_embedded::kv::{Config, Service};
use load::{Dice, Report, Times};
use ports::kv::Kv;
use std::{
    fs,
    io::Write as _,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

/// Keys of a large store.
const MANY: u64 = 1_000_000;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [engine, place, scenario, clients, seconds] = args.as_slice() else {
        panic!("kv_load embedded|redis|disk PLACE SCENARIO CLIENTS SECONDS");
    };
    let number = |text: &String| text.parse().expect("a number");
    let (clients, seconds) = (number(clients), number(seconds));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("the system has threads");
    let report = match engine.as_str() {
        "disk" => disk(Path::new(place), seconds),
        "redis" => runtime.block_on(redis::run(place, scenario, clients, seconds)),
        "embedded" => runtime.block_on(embedded(place, scenario, clients, seconds)),
        other => panic!("there is no engine `{other}`"),
    };
    println!("{}", report.json());
}

async fn embedded(place: &str, scenario: &str, clients: u64, seconds: u64) -> Report {
    let start = Instant::now();
    let (service, kv) = Service::open(&Config { folder: place.into() }).expect("it opens");
    let opened = start.elapsed();
    let kv: Arc<dyn Kv> = Arc::new(kv);
    let report = match scenario {
        "writes" => load::writes(Arc::clone(&kv), clients, seconds).await,
        "reads" => load::reads(Arc::clone(&kv), clients, seconds).await,
        "watches" => load::watches(Arc::clone(&kv), seconds).await,
        "fill" => {
            let start = Instant::now();
            load::fill(&kv, MANY).await;
            let report = Report::default().number("seconds", start.elapsed().as_secs_f64());
            println!("{}", report.number("memory_mb", load::memory()).json());
            // As if it were killed: nothing is brought in order.
            std::io::stdout().flush().expect("somebody listens");
            std::process::abort();
        }
        "open" => {
            let first = Instant::now();
            kv.get(&load::key(MANY / 2)).await.expect("it answers").expect("the key is there");
            Report::default()
                .number("open_ms", opened.as_secs_f64() * 1e3)
                .number("first_get_ms", first.elapsed().as_secs_f64() * 1e3)
                .number("memory_mb", load::memory())
                .number("size_mb", size(&*kv).await)
        }
        "idle" => Report::default().number("memory_mb", load::memory()),
        other => panic!("there is no scenario `{other}`"),
    };
    service.shutdown().await;
    report
}

async fn size(kv: &dyn Kv) -> f64 {
    let bytes = kv.status().await.expect("it answers").size;
    f64::from(u32::try_from(bytes >> 10).unwrap_or(u32::MAX)) * 1_024.0 / 1e6
}

/// One small append and one sync after the other: what any engine with one writer is bound by.
fn disk(folder: &Path, seconds: u64) -> Report {
    fs::create_dir_all(folder).expect("the folder can be made");
    let mut file = fs::File::create(folder.join("raw")).expect("the file can be made");
    let (mut times, mut dice) = (Times::default(), Dice::new(1));
    let (start, length) = (Instant::now(), Duration::from_secs(seconds));
    while start.elapsed() < length {
        let value = load::value(&mut dice);
        let before = Instant::now();
        file.write_all(&value).and_then(|()| file.sync_data()).expect("the disk takes it");
        times.add(before.elapsed());
    }
    times.report(Report::default(), start.elapsed())
}
