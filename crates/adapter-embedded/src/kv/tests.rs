//! Tests of the engine, most of them on a simulated disk.

mod conformance;
mod crash;
mod damage;
mod failing;
mod kill;
mod model;
mod reopening;
mod repair;
mod standing;

use ports::kv::{Entry, Kv, Outcome, Range, Transaction};
use std::{sync::Arc, time::Duration};

use super::{Error, Handle, Service, recovery::Limits};
use crate::disk::{Disk, simulated::Simulated};

/// Bounds so small that segments end, history is compacted and checkpoints are made all the time.
fn tiny() -> Limits {
    Limits {
        segment_bytes: 2 << 10,
        history_bytes: 1 << 20,
        overlay_bytes: 4 << 10,
        overlay_bytes_max: 64 << 10,
        replay_bytes: 16 << 10,
        checked_bytes: 64 << 20,
        checkpoint_age: Duration::from_secs(1),
    }
}

fn open(disk: &Simulated, limits: Limits) -> Result<(Service, Handle), Error> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    Service::open_on(&disk, "simulated".to_owned(), limits, None)
}

/// Runs a test, which may not take longer than a minute or two on a busy machine.
fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let result =
        runtime.block_on(async { tokio::time::timeout(Duration::from_secs(120), test).await });
    runtime.shutdown_background();
    result.expect("the test ends in time")
}

async fn put(kv: &Handle, key: &str, value: &str) -> u64 {
    match kv.commit(Transaction::put(key.to_owned(), value.to_owned())).await.unwrap() {
        Outcome::Committed { revision } => revision.0,
        Outcome::Refused { .. } => unreachable!("it has no conditions"),
    }
}

async fn value(kv: &Handle, key: &str) -> Option<String> {
    let entry = kv.get(key.as_bytes()).await.unwrap();
    entry.map(|entry| String::from_utf8(entry.value.to_vec()).unwrap())
}

async fn all(kv: &dyn Kv) -> Vec<Entry> {
    let (mut range, mut entries) = (Range::all(), Vec::new());
    loop {
        let page = kv.range(&range, 1_000).await.unwrap();
        entries.extend(page.entries);
        let Some(next) = page.next else { return entries };
        range.from = next;
    }
}

/// How often the long tests are repeated: `FLOTILLA_TEST_ROUNDS`, else `rounds`.
fn rounds(rounds: u64) -> u64 {
    let asked = std::env::var("FLOTILLA_TEST_ROUNDS").ok();
    asked.and_then(|asked| asked.parse().ok()).unwrap_or(rounds)
}
