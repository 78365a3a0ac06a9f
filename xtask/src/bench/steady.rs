//! Requests at a constant rate, as wrk2 sends them, because wrk knows only "as fast as possible".
//!
//! Each connection has its own timetable. A request that starts late because the answer before it was late
//! is counted from when it was due, so that a stall shows in full; one that starts late because this program was
//! woken late is counted from when it was sent, because that is not the proxy's doing.

use std::{
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use super::{client::Client, server::pause};

/// Connections: few, so that half load is carried by requests one after the other, not by a crowd.
const CONNECTIONS: u32 = 16;

/// What was seen, in milliseconds.
#[derive(Debug, Default)]
pub(super) struct Steady {
    pub(super) times_ms: Vec<f64>,
    pub(super) failed: u32,
}

/// How many requests per second come back when each connection asks as fast as it can.
pub(super) fn capacity(to: SocketAddr, path: &str, time: Duration) -> Result<f64> {
    let seen = run(to, path, f64::INFINITY, time)?.times_ms.len();
    Ok(f64::from(u32::try_from(seen)?) / time.as_secs_f64())
}

/// Asks `path` `rate` times per second for a while.
pub(super) fn run(to: SocketAddr, path: &str, rate: f64, time: Duration) -> Result<Steady> {
    let start = Instant::now() + Duration::from_millis(20);
    let gap = Duration::from_secs_f64(f64::from(CONNECTIONS) / rate);
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CONNECTIONS)
            .map(|number| {
                let first = start + gap * number / CONNECTIONS;
                scope.spawn(move || one(to, path, first, gap, start + time))
            })
            .collect();
        let mut sum = Steady::default();
        for client in clients {
            let steady = client.join().ok().context("a client panicked")?;
            sum.times_ms.extend(steady.times_ms);
            sum.failed += steady.failed;
        }
        Ok(sum)
    })
}

fn one(to: SocketAddr, path: &str, first: Instant, gap: Duration, end: Instant) -> Steady {
    let mut seen = Steady::default();
    let mut client = None;
    let mut due = first;
    loop {
        let now = Instant::now();
        if due.max(now) >= end {
            return seen;
        }
        let began = if now < due {
            pause(due - now);
            Instant::now()
        } else {
            due
        };
        let answer = match client.take().map_or_else(|| Client::open(to), Ok) {
            Ok(open) => client.insert(open).get(path),
            Err(error) => Err(error),
        };
        match answer {
            Ok(answer) if answer.status == 200 => {
                seen.times_ms.push(began.elapsed().as_secs_f64() * 1000.0);
            }
            Ok(_) => seen.failed += 1,
            Err(_) => {
                seen.failed += 1;
                client = None;
            }
        }
        due += gap;
    }
}
