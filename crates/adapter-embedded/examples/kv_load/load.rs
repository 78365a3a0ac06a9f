//! What is asked of an engine, and how fast it does it. Shared by the programs that put an engine under load.

use bytes::Bytes;
use ports::kv::{Kv, Life, Range, Transaction};
use std::{
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

/// Length of a value.
pub(crate) const VALUE: usize = 128;

/// Keys that are written and read.
pub(crate) const KEYS: u64 = 100_000;

/// Watches of one range that are told of each put.
const WATCHES: usize = 100;

/// What a run found, as text pairs of JSON.
#[derive(Debug, Default)]
pub(crate) struct Report(String);

impl Report {
    pub(crate) fn number(mut self, name: &str, number: f64) -> Self {
        let comma = if self.0.is_empty() { "" } else { "," };
        write!(self.0, "{comma}\"{name}\":{number:.3}").expect("text takes text");
        self
    }

    pub(crate) fn json(&self) -> String {
        format!("{{{}}}", self.0)
    }
}

/// Numbers in no order.
#[derive(Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn roll(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

pub(crate) fn key(number: u64) -> Bytes {
    format!("bench/key/{number:012}").into()
}

pub(crate) fn value(dice: &mut Dice) -> Bytes {
    let mut value = Vec::with_capacity(VALUE);
    while value.len() < VALUE {
        value.extend_from_slice(&dice.roll(u64::MAX).to_le_bytes());
    }
    value.into()
}

/// How long something took for each of many.
#[derive(Debug, Default)]
pub(crate) struct Times(Vec<f64>);

impl Times {
    pub(crate) fn add(&mut self, time: Duration) {
        self.0.push(time.as_secs_f64() * 1e6);
    }

    pub(crate) fn join(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// Adds how many there were in a second, and quantiles in microseconds.
    pub(crate) fn report(mut self, report: Report, took: Duration) -> Report {
        self.0.sort_unstable_by(f64::total_cmp);
        let at = |thousandth: usize| {
            self.0.get(self.0.len() * thousandth / 1_000).copied().unwrap_or(0.0)
        };
        let count = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        report
            .number("count", f64::from(count))
            .number("per_second", f64::from(count) / took.as_secs_f64())
            .number("p50_us", at(500))
            .number("p99_us", at(990))
    }
}

/// Lets `clients` call `call` again and again for `seconds`.
pub(crate) async fn repeat<F>(
    clients: u64,
    seconds: u64,
    call: impl Fn(u64) -> F + Send + Sync + 'static,
) -> (Times, Duration)
where
    F: Future<Output = Box<dyn Client>> + Send + 'static,
{
    let mut open = JoinSet::new();
    for client in 0..clients {
        open.spawn(call(client));
    }
    let clients = open.join_all().await;
    let (start, length) = (Instant::now(), Duration::from_secs(seconds));
    let mut tasks = JoinSet::new();
    for mut client in clients {
        tasks.spawn(async move {
            let mut times = Times::default();
            let mut now = Instant::now();
            while start.elapsed() < length {
                client.call().await;
                let after = Instant::now();
                times.add(after - now);
                now = after;
            }
            times
        });
    }
    let mut all = Times::default();
    for times in tasks.join_all().await {
        all.join(times);
    }
    (all, start.elapsed())
}

/// Somebody who makes calls one after the other.
#[async_trait::async_trait]
pub(crate) trait Client: Send {
    async fn call(&mut self);
}

struct Writer(Arc<dyn Kv>, Dice);

#[async_trait::async_trait]
impl Client for Writer {
    async fn call(&mut self) {
        let put = Transaction::put(key(self.1.roll(KEYS)), value(&mut self.1));
        self.0.commit(put).await.expect("the engine takes it");
    }
}

struct Reader(Arc<dyn Kv>, Dice);

#[async_trait::async_trait]
impl Client for Reader {
    async fn call(&mut self) {
        self.0.get(&key(self.1.roll(KEYS))).await.expect("the engine answers");
    }
}

pub(crate) async fn writes(kv: Arc<dyn Kv>, clients: u64, seconds: u64) -> Report {
    let (times, took) = repeat(clients, seconds, move |client| {
        let kv = Arc::clone(&kv);
        async move { Box::new(Writer(kv, Dice::new(client + 1))) as Box<dyn Client> }
    })
    .await;
    times.report(Report::default(), took)
}

pub(crate) async fn reads(kv: Arc<dyn Kv>, clients: u64, seconds: u64) -> Report {
    fill(&kv, KEYS).await;
    let (times, took) = repeat(clients, seconds, move |client| {
        let kv = Arc::clone(&kv);
        async move { Box::new(Reader(kv, Dice::new(client + 1))) as Box<dyn Client> }
    })
    .await;
    times.report(Report::default(), took)
}

/// Puts keys 0 to `keys`, many in a transaction.
pub(crate) async fn fill(kv: &Arc<dyn Kv>, keys: u64) {
    const AT_ONCE: u64 = 100;
    const TASKS: u64 = 16;
    const STRIDE: usize = 1_600;
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let kv = Arc::clone(kv);
        tasks.spawn(async move {
            let mut dice = Dice::new(task + 1);
            for first in (task * AT_ONCE..keys).step_by(STRIDE) {
                let mut transaction = Transaction::default();
                for number in first..(first + AT_ONCE).min(keys) {
                    let value = value(&mut dice);
                    transaction = transaction.and_put(key(number), value, Life::Endless);
                }
                kv.commit(transaction).await.expect("the engine takes it");
            }
        });
    }
    tasks.join_all().await;
}

/// How long after a put was asked for each of many watches is told of it.
pub(crate) async fn watches(kv: Arc<dyn Kv>, seconds: u64) -> Report {
    let asked: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let range = Range::prefix("bench/watched/".into());
    let mut tasks = JoinSet::new();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    for _ in 0..WATCHES {
        let mut watch = kv.watch(range.clone(), None).await.expect("the engine watches");
        let (asked, mut stopped) = (Arc::clone(&asked), stopped.clone());
        tasks.spawn(async move {
            let (mut times, mut seen) = (Times::default(), 0);
            loop {
                let change = tokio::select! {
                    change = watch.next() => change.expect("the engine tells"),
                    _ = stopped.wait_for(|stop| *stop) => return times,
                };
                let now = Instant::now();
                let asked = asked.lock().unwrap_or_else(PoisonError::into_inner)[seen];
                times.add(now - asked);
                seen += change.events.len();
            }
        });
    }
    let (start, mut dice) = (Instant::now(), Dice::new(7));
    while start.elapsed() < Duration::from_secs(seconds) {
        asked.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
        let put = Transaction::put("bench/watched/key", value(&mut dice));
        kv.commit(put).await.expect("the engine takes it");
        // So slow that no put meets the tellings of the one before.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let took = start.elapsed();
    stop.send_replace(true);
    let mut all = Times::default();
    for times in tasks.join_all().await {
        all.join(times);
    }
    all.report(Report::default(), took)
}

/// Memory of this process in MB.
pub(crate) fn memory() -> f64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: f64 = text.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0.0);
    pages * 4_096.0 / 1e6
}
