//! What is measured.

use anyhow::{Context, Result};

use super::engine::Engine::{self, Disk, Embedded, Nats, NatsDefault, Redis};

/// One thing that is measured.
#[derive(Debug)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) kind: Kind,
    pub(super) clients: u32,
    /// Length of a message.
    pub(super) bytes: u32,
    /// Who takes part.
    pub(super) engines: &'static [Engine],
    pub(super) metrics: &'static [Metric],
    /// What our first metric should be at least.
    pub(super) least: Option<f64>,
    /// Ours to that one's should be at least this, in the first metric.
    pub(super) budget: &'static [(Engine, f64)],
}

/// How it is measured.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// What the load is asked for.
    Load(&'static str),
    /// A million messages, then it is killed, then they are consumed.
    Backlog,
}

#[derive(Debug)]
pub(super) struct Metric {
    pub(super) name: &'static str,
    pub(super) head: &'static str,
    pub(super) decimals: usize,
}

const RATE: &[Metric] = &[
    Metric { name: "per_second", head: "per s", decimals: 0 },
    Metric { name: "p50_us", head: "p50 us", decimals: 0 },
    Metric { name: "p99_us", head: "p99 us", decimals: 0 },
    Metric { name: "cpu_us", head: "CPU us", decimals: 1 },
    Metric { name: "memory_mb", head: "RSS MB", decimals: 1 },
];

const DELAY: &[Metric] = &[
    Metric { name: "p50_us", head: "p50 us", decimals: 0 },
    Metric { name: "p99_us", head: "p99 us", decimals: 0 },
    Metric { name: "cpu_us", head: "CPU us", decimals: 1 },
];

const CONSUMING: &[Metric] = &[
    Metric { name: "per_second", head: "per s", decimals: 0 },
    Metric { name: "cpu_us", head: "CPU us", decimals: 1 },
    Metric { name: "memory_mb", head: "RSS MB", decimals: 1 },
];

const REPLAY: &[Metric] = &[
    Metric { name: "mb_per_second", head: "MB/s", decimals: 0 },
    Metric { name: "per_second", head: "per s", decimals: 0 },
    Metric { name: "cpu_us", head: "CPU us", decimals: 2 },
    Metric { name: "memory_mb", head: "RSS MB", decimals: 1 },
];

const BACKLOG: &[Metric] = &[
    Metric { name: "per_second", head: "per s", decimals: 0 },
    Metric { name: "open_ms", head: "open ms", decimals: 0 },
    Metric { name: "cpu_us", head: "CPU us", decimals: 1 },
    Metric { name: "memory_mb", head: "RSS MB", decimals: 1 },
    Metric { name: "fill_memory_mb", head: "RSS MB while filled", decimals: 1 },
];

const DURABLE: &[Engine] = &[Disk, Embedded, Nats, NatsDefault, Redis];

const BROKERS: &[Engine] = &[Embedded, Nats, NatsDefault, Redis];

/// Filling a topic with a sync for each message takes minutes, and reading it is the same with and without.
const READ: &[Engine] = &[Embedded, NatsDefault, Redis];

const fn publish(name: &'static str, about: &'static str, clients: u32, bytes: u32) -> Scenario {
    let (kind, metrics) = (Kind::Load("publish"), RATE);
    Scenario {
        name,
        about,
        kind,
        clients,
        bytes,
        engines: DURABLE,
        metrics,
        least: None,
        budget: &[],
    }
}

const fn delay(name: &'static str, about: &'static str, clients: u32, bytes: u32) -> Scenario {
    let (kind, metrics) = (Kind::Load("delay"), DELAY);
    Scenario {
        name,
        about,
        kind,
        clients,
        bytes,
        engines: BROKERS,
        metrics,
        least: None,
        budget: &[],
    }
}

const fn read(name: &'static str, about: &'static str, kind: Kind, bytes: u32) -> Scenario {
    let (clients, metrics) = (1, CONSUMING);
    Scenario { name, about, kind, clients, bytes, engines: READ, metrics, least: None, budget: &[] }
}

/// All of them.
pub(super) const ALL: &[Scenario] = &[
    publish("publish-1-128", "128 B published and acknowledged, 1 publisher", 1, 128),
    publish("publish-64-128", "128 B published and acknowledged, 64 publishers", 64, 128),
    publish("publish-1-1k", "1 KB published and acknowledged, 1 publisher", 1, 1_024),
    Scenario {
        least: Some(60_000.0),
        budget: &[(Nats, 10.0), (Redis, 1.3)],
        ..publish("publish-64-1k", "1 KB published and acknowledged, 64 publishers", 64, 1_024)
    },
    Scenario {
        kind: Kind::Load("topics"),
        ..publish("topics", "1 KB published to any of 1,000 topics, 64 publishers", 64, 1_024)
    },
    delay("delay-1-128", "128 B from the publish to a subscription, 200 a second", 1, 128),
    delay("delay-1-1k", "1 KB from the publish to a subscription, 200 a second", 1, 1_024),
    delay("delay-64-128", "128 B, 64 publishers with 2,000 a second together", 64, 128),
    delay("delay-64-1k", "1 KB, 64 publishers with 2,000 a second together", 64, 1_024),
    Scenario {
        least: Some(120_000.0),
        ..read("consume", "1 KB consumed and acknowledged", Kind::Load("consume"), 1_024)
    },
    Scenario {
        metrics: REPLAY,
        ..read("replay", "1 KB read in order", Kind::Load("replay"), 1_024)
    },
    Scenario {
        metrics: BACKLOG,
        ..read("backlog", "a million of 128 B consumed after a kill", Kind::Backlog, 128)
    },
];

pub(super) fn named(name: &str) -> Result<&'static Scenario> {
    ALL.iter().find(|scenario| scenario.name == name).with_context(|| {
        let names: Vec<_> = ALL.iter().map(|scenario| scenario.name).collect();
        format!("there is no scenario `{name}`: {}", names.join(", "))
    })
}
