//! Puts the coordinator alone under load, over the embedded engine and with participants that cost nothing:
//! `tx_load FOLDER SCENARIO CLIENTS SECONDS`, where the scenario is `saga`, `2pc`, `tcc`, `empty`, `idle`, `fill` or `recover`.
//!
//! `idle` begins 100,000 transactions whose participants are away, and tells their memory. `fill` begins as many that wait for participants
//! that say nothing, and ends as if it were killed; `recover` takes them up. Prints one object of JSON.

#![expect(clippy::print_stdout, reason = "the result is what it is for")]
#![expect(clippy::disallowed_methods, reason = "it owns its clients, and they end with it")]

use adapter_embedded::kv;
use async_trait::async_trait;
use logic::tx::{Answer, Mode, Op, Retry, Then};
use runtime::Clock;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use transactions::{
    Ask, Call, CallRequest, Called, Config, Dialect, Gid, Handle, Join, JoinOf, JoinRefused,
    Joined, Participants, Prepared, Service, Spec, StepSpec, Target, Wanted,
};

/// Transactions that are left behind.
const MANY: u64 = 100_000;

/// Says yes to everything, unless it is away or says nothing.
#[derive(Debug, Default)]
struct Yes {
    is_away: AtomicBool,
    is_deaf: AtomicBool,
}

#[async_trait]
impl Participants for Yes {
    async fn call(&self, _: CallRequest) -> Called {
        tokio::task::yield_now().await;
        if self.is_deaf.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        let answer = if self.is_away.load(Ordering::Relaxed) {
            Answer::Away("nobody is there".to_owned())
        } else {
            Answer::Done
        };
        Called { answer, status: Some(200), body: Value::Null }
    }

    async fn ready(&self, _: &str) {}
}

#[derive(Debug)]
struct Nothing;

#[async_trait]
impl Joined for Nothing {
    async fn prepare(&self, _: JoinOf<'_>, _: &Join, _: &Value) -> Result<Prepared, JoinRefused> {
        Err(JoinRefused::Never("there is nothing to join".to_owned()))
    }
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [folder, scenario, clients, seconds] = args.as_slice() else {
        panic!("tx_load FOLDER SCENARIO CLIENTS SECONDS");
    };
    let number = |text: &String| text.parse().expect("a number");
    let (clients, seconds) = (number(clients), number(seconds));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("the system has threads");
    let report = runtime.block_on(run(folder, scenario, clients, Duration::from_secs(seconds)));
    println!("{report}");
}

async fn run(folder: &str, scenario: &str, clients: u64, time: Duration) -> Value {
    let start = Instant::now();
    let (engine, kv) = kv::Service::open(&kv::Config { folder: folder.into() }).expect("it opens");
    let opened = start.elapsed();
    let app = Arc::new(Yes::default());
    app.is_away.store(scenario == "idle", Ordering::Relaxed);
    app.is_deaf.store(scenario == "fill", Ordering::Relaxed);
    let before = memory_kb();
    let config = Config {
        kv: Arc::new(kv),
        participants: Arc::clone(&app) as Arc<dyn Participants>,
        joined: Arc::new(Nothing),
        system: "load".to_owned(),
        node: "one".to_owned(),
        clock: Clock::start(),
        wanted: Wanted::default(),
    };
    let (service, handle) = Service::start(config).expect("it starts");
    let report = match scenario {
        "saga" => load(&handle, spec(Mode::Saga), clients, time).await,
        "2pc" => load(&handle, spec(Mode::TwoPhase), clients, time).await,
        "tcc" => load(&handle, spec(Mode::Tcc), clients, time).await,
        "empty" => {
            let mut spec = spec(Mode::Saga);
            spec.steps.iter_mut().for_each(|step| step.calls.clear());
            load(&handle, spec, clients, time).await
        }
        "idle" | "fill" => {
            let report = fill(&handle, clients, before).await;
            println!("{report}");
            std::io::stdout().flush().expect("somebody listens");
            // As if it were killed: nothing is brought in order.
            std::process::abort();
        }
        "recover" => recover(&handle, opened).await,
        other => panic!("there is no scenario `{other}`"),
    };
    service.shutdown(Duration::from_secs(10)).await;
    engine.shutdown().await;
    report
}

/// Two branches with bodies of a hundred bytes.
fn spec(mode: Mode) -> Spec {
    let ops: &[Op] = match mode {
        Mode::Saga => &[Op::Action, Op::Compensate],
        Mode::Tcc => &[Op::Try, Op::Confirm, Op::Cancel],
        _ => &[Op::Prepare, Op::Commit, Op::Rollback],
    };
    let step = |id: &str, service: &str| {
        let path = "/tx".to_owned();
        let target = Target::Service { service: service.to_owned(), path };
        let call = Call { target, method: "POST".to_owned() };
        StepSpec {
            id: id.to_owned(),
            calls: ops.iter().map(|op| (*op, call.clone())).collect(),
            body: Some(
                json!({ "account": "4711", "amount": 7, "text": "for the books and the tea" }),
            ),
            // Longer than it takes to leave the last one behind.
            timeout_ms: Some(600_000),
            ..StepSpec::default()
        }
    };
    let pause = 60_000;
    Spec {
        mode,
        name: None,
        steps: vec![step("from", "items"), step("to", "orders")],
        input: Value::Null,
        labels: BTreeMap::new(),
        headers: BTreeMap::new(),
        timeout_ms: None,
        retry: Some(Retry { base_ms: pause, max_ms: pause, attempts: None, then: Then::Attention }),
        durable_steps: false,
        concurrent: true,
        query: None,
        delay_ms: None,
        dialect: Dialect::Native,
        extra: Value::Null,
        traceparent: None,
        caller: None,
    }
}

/// Clients that submit, wait for the end, and submit again.
async fn load(handle: &Handle, spec: Spec, clients: u64, time: Duration) -> Value {
    let end = Instant::now() + time;
    let client = |_| {
        let (handle, spec) = (handle.clone(), spec.clone());
        tokio::spawn(async move {
            let mut times = Vec::new();
            while Instant::now() < end {
                let start = Instant::now();
                let ask = Ask::Spec(Box::new(spec.clone()));
                let wait = Some(Duration::from_secs(60));
                let taken = handle.submit(None, ask, wait).await.expect("it is taken");
                assert!(taken.view.state.phase.outcome().is_some(), "it has ended");
                times.push(start.elapsed());
            }
            times
        })
    };
    let clients: Vec<_> = (0..clients).map(client).collect();
    let mut times = Vec::new();
    for client in clients {
        times.extend(client.await.expect("no client panics"));
    }
    times.sort_unstable();
    let at = |part: f64| {
        let count = u32::try_from(times.len()).expect("few");
        let index = (f64::from(count) * part).floor();
        times
            .iter()
            .zip(0_u32..)
            .find(|(_, at)| f64::from(*at) >= index)
            .map_or(0.0, |(time, _)| time.as_secs_f64() * 1_000.0)
    };
    let count = u32::try_from(times.len()).expect("few");
    json!({
        "per_second": (f64::from(count) / time.as_secs_f64()).round(),
        "p50_ms": at(0.5),
        "p99_ms": at(0.99),
    })
}

/// Leaves unfinished transactions behind.
async fn fill(handle: &Handle, clients: u64, before_kb: u64) -> Value {
    let start = Instant::now();
    let client = |number| {
        let handle = handle.clone();
        tokio::spawn(async move {
            for at in 0..MANY / clients {
                let ask = Ask::Spec(Box::new(spec(Mode::Saga)));
                let gid = Gid::new(format!("{number}-{at}")).expect("it is a name");
                handle.submit(Some(gid), ask, None).await.expect("it is taken");
            }
        })
    };
    let clients: Vec<_> = (0..clients).map(client).collect();
    for client in clients {
        client.await.expect("no client panics");
    }
    let seconds = start.elapsed().as_secs_f64();
    // Until the last of them are bytes only.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let unfinished = handle.counts().unfinished;
    let bytes = (memory_kb().saturating_sub(before_kb)) * 1_024 / unfinished.max(1);
    json!({ "unfinished": unfinished, "seconds": seconds, "bytes_each_with_the_engine": bytes })
}

/// Takes up what was left behind.
async fn recover(handle: &Handle, opened: Duration) -> Value {
    let start = Instant::now();
    let most = MANY / 2;
    while handle.counts().unfinished + handle.counts().committed < most {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let spec = spec(Mode::Saga);
    let ask = Ask::Spec(Box::new(spec));
    handle.submit(None, ask, Some(Duration::from_secs(60))).await.expect("it is taken");
    let served = start.elapsed();
    while handle.counts().unfinished > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    json!({
        "engine_opened_s": opened.as_secs_f64(),
        "half_known_and_served_s": served.as_secs_f64(),
        "all_ended_s": start.elapsed().as_secs_f64(),
        "ended": handle.counts().committed,
    })
}

/// The memory of this process.
fn memory_kb() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number.and_then(|number| number.parse().ok()).unwrap_or_default()
}
