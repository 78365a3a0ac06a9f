//! Clients that submit one transaction after the other, each over a connection of its own.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::{scenario::Figures, system::System};
use crate::bench::{
    client::{Answer, Client},
    stats,
    usage::{self, Machine},
};

/// What is submitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Load {
    /// A definition of the file, and the client waits until it has ended.
    Waits(&'static str),
    /// The same, and the client is content when it is taken.
    Taken(&'static str),
    /// A saga of two steps without calls, in DTM's own words, as DTM measures itself.
    Empty,
}

/// Numbers names of transactions that clients have to give.
static NEXT: AtomicU64 = AtomicU64::new(0);

impl Load {
    fn address(self, system: &System) -> SocketAddr {
        match self {
            Self::Waits(_) | Self::Taken(_) => system.app,
            Self::Empty => system.dtm,
        }
    }

    pub(super) fn request(self, to: SocketAddr) -> String {
        let (path, extra, body) = match self {
            Self::Waits(name) => ("/v1/tx", "Prefer: wait=30\r\n", using(name)),
            Self::Taken(name) => ("/v1/tx", "", using(name)),
            Self::Empty => ("/api/dtmsvr/submit", "", empty()),
        };
        let length = body.len();
        format!(
            "POST {path} HTTP/1.1\r\nHost: {to}\r\n{extra}Content-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        )
    }

    fn is_good(self, answer: &Answer) -> bool {
        let says =
            |text: &str| answer.body.windows(text.len()).any(|window| window == text.as_bytes());
        match self {
            Self::Waits(_) => answer.status == 201 && says("\"status\":\"committed\""),
            Self::Taken(_) => answer.status == 201,
            Self::Empty => answer.status == 200 && says("SUCCESS"),
        }
    }
}

fn using(name: &str) -> String {
    format!(r#"{{"use":"{name}","input":{{"sku":"tea","count":2}}}}"#)
}

fn empty() -> String {
    let number = NEXT.fetch_add(1, Relaxed);
    let id = std::process::id();
    format!(
        r#"{{"gid":"bench-{id}-{number}","trans_type":"saga","steps":[{{"action":"","compensate":""}},{{"action":"","compensate":""}}],"payloads":["",""],"wait_result":true}}"#
    )
}

/// What the clients saw, in milliseconds.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) times_ms: Vec<f64>,
    pub(super) failed: u32,
    /// What one that failed was answered.
    pub(super) example: Option<String>,
}

/// Puts load on the system for so many seconds.
pub(super) fn measure(system: &System, load: Load, clients: u32, seconds: u32) -> Result<Figures> {
    let time = Duration::from_secs(u64::from(seconds));
    let (machine, own) = (Machine::now()?, usage::own_cpu()?);
    let (cpu, all) = (usage::cpu_of_one(system.pid())?, usage::cpu(system.pid())?.total());
    let end = Instant::now() + time;
    let mut seen = run(load.address(system), load, clients, || Instant::now() < end)?;
    let spent = usage::cpu_of_one(system.pid())? - cpu;
    let known = usage::cpu(system.pid())?.total() - all + usage::own_cpu()? - own;
    let machine_now = Machine::now()?;
    let others = (machine_now.busy - machine.busy - known) / (machine_now.all - machine.all);
    if let Some(example) = seen.example {
        bail!("{} of {} failed: {example}", seen.failed, seen.times_ms.len());
    }
    let count = f64::from(u32::try_from(seen.times_ms.len())?);
    Ok(Figures::from([
        ("per_second", count / time.as_secs_f64()),
        ("p50_ms", stats::quantile(&mut seen.times_ms, 0.5)),
        ("p99_ms", stats::quantile(&mut seen.times_ms, 0.99)),
        ("cpu_us", spent * 1e6 / count),
        ("others", (others * 100.0).max(0.0)),
    ]))
}

/// Lets clients submit as fast as they are answered, while there is something to do.
pub(super) fn run(
    to: SocketAddr,
    load: Load,
    clients: u32,
    goes_on: impl Fn() -> bool + Sync,
) -> Result<Seen> {
    thread::scope(|scope| {
        let threads: Vec<_> =
            (0..clients).map(|_| scope.spawn(|| one(to, load, &goes_on))).collect();
        let mut sum = Seen::default();
        for thread in threads {
            let seen = thread.join().ok().context("a client panicked")??;
            sum.times_ms.extend(seen.times_ms);
            sum.failed += seen.failed;
            sum.example = sum.example.or(seen.example);
        }
        Ok(sum)
    })
}

fn one(to: SocketAddr, load: Load, goes_on: &dyn Fn() -> bool) -> Result<Seen> {
    let mut client = Client::open(to).with_context(|| format!("nobody listens on {to}"))?;
    let mut seen = Seen::default();
    while goes_on() {
        let request = load.request(to);
        let start = Instant::now();
        let answer = client.ask(request.as_bytes()).context("a submission was not answered")?;
        seen.times_ms.push(start.elapsed().as_secs_f64() * 1000.0);
        if !load.is_good(&answer) {
            seen.failed += 1;
            let body = String::from_utf8_lossy(&answer.body).into_owned();
            seen.example.get_or_insert_with(|| format!("{} {body}", answer.status));
        }
        if answer.closes {
            client = Client::open(to)?;
        }
    }
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_ended_well_counts() {
        let answer =
            |status, body: &str| Answer { status, body: body.as_bytes().to_vec(), closes: false };
        let waits = Load::Waits("saga");
        assert!(waits.is_good(&answer(201, r#"{"id":"1","status":"committed"}"#)));
        assert!(!waits.is_good(&answer(201, r#"{"id":"1","status":"trying"}"#)));
        assert!(!waits.is_good(&answer(503, r#"{"status":"committed"}"#)));
        assert!(Load::Taken("saga").is_good(&answer(201, "{}")));
        assert!(!Load::Empty.is_good(&answer(409, r#"{"dtm_result":"FAILURE"}"#)));
        assert!(Load::Empty.is_good(&answer(200, r#"{"dtm_result":"SUCCESS"}"#)));
    }

    #[test]
    fn requests_say_their_length_and_names_are_never_the_same() {
        let to = SocketAddr::from(([127, 0, 0, 1], 9));
        let body = |request: &str| request.split("\r\n\r\n").nth(1).unwrap().to_owned();
        let request = Load::Waits("saga").request(to);
        assert!(request.contains(&format!("Content-Length: {}\r\n", body(&request).len())));
        assert_ne!(body(&Load::Empty.request(to)), body(&Load::Empty.request(to)));
        let parsed: serde_json::Value =
            serde_json::from_str(&body(&Load::Empty.request(to))).unwrap();
        assert_eq!(parsed["trans_type"], "saga");
    }
}
