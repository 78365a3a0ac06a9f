//! What is measured, and how it is shown.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use super::{
    Rows,
    engine::{
        Engine::{self, Disk, Embedded, Etcd, Redis},
        Figures,
    },
};
use crate::bench::stats::median;

/// One thing that is measured.
#[derive(Debug)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    about: &'static str,
    pub(super) kind: Kind,
    pub(super) clients: u32,
    /// Who can do it.
    pub(super) engines: &'static [Engine],
    metrics: &'static [Metric],
    /// Ours to that one's should be at least this, in the first metric.
    budget: &'static [(Engine, f64)],
}

/// How it is measured.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Load(&'static str),
    /// Opening a store of a million keys.
    Open {
        is_killed: bool,
    },
}

#[derive(Debug)]
struct Metric {
    name: &'static str,
    head: &'static str,
    decimals: usize,
}

const RATE: &[Metric] = &[
    Metric { name: "per_second", head: "per s", decimals: 0 },
    Metric { name: "p50_us", head: "p50 us", decimals: 0 },
    Metric { name: "p99_us", head: "p99 us", decimals: 0 },
    Metric { name: "cpu_us", head: "CPU us", decimals: 1 },
];

const DELAY: &[Metric] = &[
    Metric { name: "p50_us", head: "p50 us", decimals: 0 },
    Metric { name: "p99_us", head: "p99 us", decimals: 0 },
];

const OPENING: &[Metric] = &[
    Metric { name: "open_ms", head: "open ms", decimals: 0 },
    Metric { name: "memory_mb", head: "RSS MB", decimals: 1 },
    Metric { name: "fill_memory_mb", head: "RSS MB while filled", decimals: 1 },
    Metric { name: "size_mb", head: "disk MB", decimals: 0 },
];

/// All of them.
pub(super) const ALL: &[Scenario] = &[
    Scenario {
        name: "writes-1",
        about: "puts of 128 B, one caller; the disk: appends, each synced",
        kind: Kind::Load("writes"),
        clients: 1,
        engines: &[Disk, Embedded, Etcd, Redis],
        metrics: RATE,
        budget: &[(Disk, 0.6)],
    },
    Scenario {
        name: "writes-64",
        about: "puts of 128 B, 64 callers",
        kind: Kind::Load("writes"),
        clients: 64,
        engines: &[Disk, Embedded, Etcd, Redis],
        metrics: RATE,
        budget: &[(Etcd, 2.0)],
    },
    Scenario {
        name: "reads-64",
        about: "gets of one of 100,000 keys, 64 callers",
        kind: Kind::Load("reads"),
        clients: 64,
        engines: &[Embedded, Etcd, Redis],
        metrics: RATE,
        budget: &[],
    },
    Scenario {
        name: "watches",
        about: "from the call of a put until each of 100 watches is told",
        kind: Kind::Load("watches"),
        clients: 1,
        engines: &[Embedded, Etcd],
        metrics: DELAY,
        budget: &[],
    },
    Scenario {
        name: "open-killed",
        about: "opening a store of a million keys of 128 B that was killed",
        kind: Kind::Open { is_killed: true },
        clients: 1,
        engines: &[Embedded],
        metrics: OPENING,
        budget: &[],
    },
    Scenario {
        name: "open",
        about: "opening a store of a million keys of 128 B that was shut down",
        kind: Kind::Open { is_killed: false },
        clients: 1,
        engines: &[Embedded],
        metrics: OPENING,
        budget: &[],
    },
];

pub(super) fn named(name: &str) -> Result<&'static Scenario> {
    ALL.iter().find(|scenario| scenario.name == name).with_context(|| {
        let names: Vec<_> = ALL.iter().map(|scenario| scenario.name).collect();
        format!("there is no scenario `{name}`: {}", names.join(", "))
    })
}

fn middle(runs: &[Figures], name: &str) -> f64 {
    median(runs.iter().filter_map(|run| run.value(name)))
}

/// Ours to this one's in the first metric, the median over the runs of the ratio within each round: what disturbs the
/// machine for a while disturbs both.
fn ratio(scenario: &Scenario, rows: &Rows, engine: Engine, runs: &[Figures]) -> Option<f64> {
    let name = scenario.metrics.first()?.name;
    let (_, ours) = rows.iter().find(|(engine, _)| *engine == Embedded)?;
    let pairs = ours.iter().zip(runs);
    let ratios: Vec<f64> =
        pairs.filter_map(|(ours, theirs)| Some(ours.value(name)? / theirs.value(name)?)).collect();
    (engine != Embedded && !ratios.is_empty()).then(|| median(ratios))
}

pub(super) fn text(scenario: &Scenario, rows: &Rows) -> String {
    let mut text = format!("\n{}: {}\n{:<10}", scenario.name, scenario.about, "");
    for metric in scenario.metrics {
        let _infallible = write!(text, "  {:>9}", metric.head);
    }
    text.push_str("  us/it\n");
    for (engine, runs) in rows {
        let _infallible = write!(text, "{:<10}", engine.name());
        for metric in scenario.metrics {
            let (width, decimals) = (metric.head.len().max(9), metric.decimals);
            let value = middle(runs, metric.name);
            let _infallible = write!(text, "  {value:>width$.decimals$}");
        }
        if let Some(ratio) = ratio(scenario, rows, *engine, runs) {
            let _infallible = write!(text, "  {ratio:.2}");
            let budget = scenario.budget.iter().find(|(name, _)| name == engine);
            if let Some((_, least)) = budget {
                let met = if ratio >= *least { "met" } else { "missed" };
                let _infallible = write!(text, " (at least {least:.2}: {met})");
            }
        }
        text.push('\n');
    }
    text
}

pub(super) fn json(scenario: &Scenario, rows: &Rows) -> Value {
    let of_engine = |(engine, runs): &(Engine, Vec<Figures>)| {
        let metric = |metric: &Metric| {
            let all: Vec<_> = runs.iter().map(|run| run.value(metric.name)).collect();
            (metric.name.to_owned(), json!({ "median": middle(runs, metric.name), "runs": all }))
        };
        let metrics: Map<String, Value> = scenario.metrics.iter().map(metric).collect();
        json!({
            "engine": engine.name(),
            "metrics": metrics,
            "ratio": ratio(scenario, rows, *engine, runs),
        })
    };
    json!({
        "name": scenario.name,
        "about": scenario.about,
        "engines": rows.iter().map(of_engine).collect::<Vec<_>>(),
    })
}
