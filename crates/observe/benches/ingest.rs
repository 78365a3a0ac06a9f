//! How many lines a second of processor time the log store takes in: the budget is 500,000.
//!
//! `cargo bench -p observe`. CPU time is that of this thread as the kernel counts it.

#![expect(clippy::print_stdout, reason = "a benchmark prints its numbers")]

use base::{InstanceId, ServiceName, Timestamp};
use observe::{Config, Filter, Grep, Query, Service};
use ports::logs::{Line, Sink, Stream};
use std::time::Instant;

const LINES: u64 = 2_000_000;

fn main() {
    let dir = std::env::temp_dir().join(format!("flotilla-bench-{}", std::process::id()));
    for batch in [1, 16, 256] {
        ingest(&dir, batch);
    }
    search(&dir);
    std::fs::remove_dir_all(&dir).expect("the folder was made by this program");
}

fn lines(batch: u64) -> Vec<Line> {
    let line = |number: u64| Line {
        at: Timestamp(1_700_000_000_000_000 + number),
        instance: InstanceId {
            service: ServiceName::new("orders").expect("a valid name"),
            number: u32::try_from(number % 3 + 1).expect("at most 3"),
        },
        stream: Stream::Out,
        text: format!(
            "2026-03-01T10:00:00.000Z INFO orders::http: GET /orders/{number} 200 in 1.3ms"
        ),
        is_cut: false,
    };
    (0..batch).map(line).collect()
}

fn ingest(dir: &std::path::Path, batch: u64) {
    let _gone = std::fs::remove_dir_all(dir);
    let service = Service::open(Config::new(dir)).expect("a fresh folder");
    let sink = service.handle();
    let lines = lines(batch);
    let (cpu, wall) = (cpu_ms(), Instant::now());
    for _ in 0..LINES / batch {
        sink.append(&lines);
    }
    let cpu = (cpu_ms() - cpu).max(1);
    let rate = LINES * 1_000 / cpu;
    println!(
        "append, {batch:>3} lines a call: {rate:>9} lines/CPU-s ({cpu} ms CPU, {:?})",
        wall.elapsed()
    );
}

fn search(dir: &std::path::Path) {
    let wall = Instant::now();
    let service = Service::open(Config::new(dir)).expect("the folder of the run before");
    println!("open {}: {:?}", service.handle().stats().size, wall.elapsed());
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let ask = |what: &str, query: Query| {
        let wall = Instant::now();
        let page = runtime.block_on(service.handle().query(&query));
        println!("{what}: {} lines in {:?}", page.records.len(), wall.elapsed());
    };
    ask("tail 100", Query { tail: Some(100), ..Query::default() });
    let grep = Some(Grep::new("no such text", false));
    ask(
        "grep all, nothing found",
        Query { filter: Filter { grep, ..Filter::default() }, ..Query::default() },
    );
    let services = vec![ServiceName::new("absent").expect("a valid name")];
    ask(
        "a service that is not there",
        Query { filter: Filter { services, ..Filter::default() }, ..Query::default() },
    );
}

/// User and system time of this process in milliseconds, from `/proc/self/stat` (ticks of 10 ms).
fn cpu_ms() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let after_name = stat.rsplit(')').next().expect("a name in parentheses");
    let ticks: u64 = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|tick| tick.parse::<u64>().ok())
        .sum();
    ticks * 10
}
