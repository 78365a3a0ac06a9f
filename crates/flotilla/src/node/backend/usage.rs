//! What the node itself uses.

use super::NodeBackend;
use api::wire;
use base::Moment;
use std::{sync::PoisonError, time::Duration};

/// Two looks at the node's own processor time, so that callers close together do not shorten each other's interval.
#[derive(Default)]
pub(in crate::node) struct Looks {
    before: (Moment, Duration),
    latest: (Moment, Duration),
}

/// Looks closer together than this say more about the clock's ticks than about the node.
const USAGE_INTERVAL: Duration = Duration::from_secs(1);

impl NodeBackend {
    /// The node's own use; processor time as cores over the time since the last look that is a second ago or more.
    pub(super) fn node_usage(&self) -> wire::NodeUsage {
        let (cpu, memory) = own_usage();
        let now = self.clock.now();
        let mut looks = self.usage.lock().unwrap_or_else(PoisonError::into_inner);
        if now.since(looks.latest.0) >= USAGE_INTERVAL {
            looks.before = looks.latest;
            looks.latest = (now, cpu);
        }
        let (since, used) = looks.before;
        let interval = now.since(since).as_secs_f64();
        let cores =
            if interval > 0.0 { cpu.saturating_sub(used).as_secs_f64() / interval } else { 0.0 };
        wire::NodeUsage {
            cpu_cores: cores,
            cpu_ms: u64::try_from(cpu.as_millis()).unwrap_or(u64::MAX),
            memory_bytes: memory,
        }
    }
}

/// Processor time and resident memory of this process.
fn own_usage() -> (Duration, u64) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks: u64 = stat
        .rsplit_once(')')
        .map(|(_, rest)| {
            rest.split_whitespace().skip(11).take(2).filter_map(|t| t.parse::<u64>().ok()).sum()
        })
        .unwrap_or(0);
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split_whitespace().nth(1).and_then(|p| p.parse().ok()).unwrap_or(0);
    let page_size = u64::try_from(rustix::param::page_size()).unwrap_or(4_096);
    let tick_ms = 1_000 / rustix::param::clock_ticks_per_second().max(1);
    (Duration::from_millis(ticks * tick_ms), pages * page_size)
}
