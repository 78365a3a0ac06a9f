//! What is measured, and how it is shown.

use std::{collections::BTreeMap, fmt::Write as _};

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use super::load::Load;
use crate::bench::stats::median;

/// What one run gave, by name.
pub(super) type Figures = BTreeMap<&'static str, f64>;

/// One thing that is measured.
#[derive(Debug)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    about: &'static str,
    pub(super) kind: Kind,
    pub(super) clients: u32,
    budgets: &'static [Budget],
}

/// How it is measured.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Load(Load),
    /// Filled with unfinished ones, killed, started again.
    Recovery,
}

/// What a median is held against.
#[derive(Debug)]
enum Budget {
    Least(&'static str, f64),
    Most(&'static str, f64),
    /// The median latency is at most that of the disk and a millisecond more.
    DiskAndMore,
}

#[derive(Debug)]
struct Metric {
    name: &'static str,
    head: &'static str,
    decimals: usize,
}

const RATE: &[Metric] = &[
    Metric { name: "per_second", head: "per s", decimals: 0 },
    Metric { name: "p50_ms", head: "p50 ms", decimals: 2 },
    Metric { name: "p99_ms", head: "p99 ms", decimals: 2 },
    Metric { name: "cpu_us", head: "CPU us", decimals: 1 },
    Metric { name: "disk_p50_us", head: "disk us", decimals: 0 },
    Metric { name: "disk_p99_us", head: "disk p99", decimals: 0 },
    Metric { name: "others", head: "others %", decimals: 0 },
];

const RECOVERY: &[Metric] = &[
    Metric { name: "filled_per_second", head: "filled/s", decimals: 0 },
    Metric { name: "disk_bytes", head: "disk B/tx", decimals: 0 },
    Metric { name: "memory_bytes", head: "RSS B/tx", decimals: 0 },
    Metric { name: "served_ms", head: "served ms", decimals: 0 },
    Metric { name: "ended_s", head: "ended s", decimals: 1 },
    Metric { name: "memory_mb", head: "RSS MB", decimals: 0 },
    Metric { name: "disk_p50_us", head: "disk us", decimals: 0 },
];

const fn load(
    name: &'static str,
    about: &'static str,
    load: Load,
    clients: u32,
    budgets: &'static [Budget],
) -> Scenario {
    Scenario { name, about, kind: Kind::Load(load), clients, budgets }
}

/// All of them.
pub(super) const ALL: &[Scenario] = &[
    load("saga-1", "two calls, one client, waited for", Load::Waits("saga"), 1, &[]),
    load(
        "saga-64",
        "two calls, 64 clients, waited for",
        Load::Waits("saga"),
        64,
        &[Budget::Least("per_second", 5_000.0), Budget::Most("p99_ms", 50.0)],
    ),
    load(
        "empty-64",
        "two steps without calls, through DTM's API, 64 clients, waited for",
        Load::Empty,
        64,
        &[Budget::Least("per_second", 8_000.0)],
    ),
    load(
        "ack-1",
        "a saga, one client, until it is taken",
        Load::Taken("saga"),
        1,
        &[Budget::DiskAndMore],
    ),
    load("ack-64", "a saga, 64 clients, until it is taken", Load::Taken("saga"), 64, &[]),
    load("tcc-64", "two reservations, 64 clients, waited for", Load::Waits("tcc"), 64, &[]),
    load("2pc-1", "two participants, one client, waited for", Load::Waits("two"), 1, &[]),
    load(
        "2pc-64",
        "two participants, 64 clients, waited for",
        Load::Waits("two"),
        64,
        &[Budget::Least("per_second", 2_500.0)],
    ),
    load("3pc-64", "strict, two participants, 64 clients", Load::Waits("three"), 64, &[]),
    load(
        "classic-64",
        "3PC classic, two participants, 64 clients",
        Load::Waits("classic"),
        64,
        &[],
    ),
    Scenario {
        name: "recovery",
        about: "unfinished sagas, the node killed with SIGKILL and started again",
        kind: Kind::Recovery,
        clients: 64,
        budgets: &[
            Budget::Most("served_ms", 5_000.0),
            Budget::Most("ended_s", 30.0),
            Budget::Most("memory_bytes", 1_024.0),
        ],
    },
];

pub(super) fn named(name: &str) -> Result<&'static Scenario> {
    ALL.iter().find(|scenario| scenario.name == name).with_context(|| {
        let names: Vec<_> = ALL.iter().map(|scenario| scenario.name).collect();
        format!("there is no scenario `{name}`: {}", names.join(", "))
    })
}

fn metrics(scenario: &Scenario) -> &'static [Metric] {
    match scenario.kind {
        Kind::Load(_) => RATE,
        Kind::Recovery => RECOVERY,
    }
}

fn middle(runs: &[Figures], name: &str) -> f64 {
    median(runs.iter().filter_map(|run| run.get(name).copied()))
}

/// The budget in words, what the figure is to it, and whether it is met.
fn judge(budget: &Budget, runs: &[Figures]) -> (String, f64, bool) {
    let (words, value, limit) = match budget {
        Budget::Least(name, least) => {
            let value = middle(runs, name);
            return (format!("{name} at least {least}"), value / least, value >= *least);
        }
        Budget::Most(name, most) => (format!("{name} at most {most}"), middle(runs, name), *most),
        Budget::DiskAndMore => {
            let limit = middle(runs, "disk_p50_us") / 1e3 + 1.0;
            (
                format!("p50_ms at most that of the disk and 1: {limit:.2}"),
                middle(runs, "p50_ms"),
                limit,
            )
        }
    };
    (words, value / limit, value <= limit)
}

pub(super) fn text(scenario: &Scenario, runs: &[Figures]) -> String {
    let mut text = format!("\n{}: {}\n", scenario.name, scenario.about);
    for metric in metrics(scenario) {
        let _infallible = write!(text, "  {:>9}", metric.head);
    }
    text.push('\n');
    for metric in metrics(scenario) {
        let (width, decimals) = (metric.head.len().max(9), metric.decimals);
        let _infallible = write!(text, "  {:>width$.decimals$}", middle(runs, metric.name));
    }
    for budget in scenario.budgets {
        let (words, ratio, is_met) = judge(budget, runs);
        let met = if is_met { "met" } else { "missed" };
        let _infallible = write!(text, "\n  budget: {words}: {met} ({ratio:.2} of it)");
    }
    text
}

pub(super) fn json(scenario: &Scenario, runs: &[Figures]) -> Value {
    let metric = |metric: &Metric| {
        let all: Vec<_> = runs.iter().map(|run| run.get(metric.name)).collect();
        (metric.name.to_owned(), json!({ "median": middle(runs, metric.name), "runs": all }))
    };
    let values: Map<String, Value> = metrics(scenario).iter().map(metric).collect();
    let budget = |budget: &Budget| {
        let (words, ratio, is_met) = judge(budget, runs);
        json!({ "budget": words, "ratio": ratio, "is_met": is_met })
    };
    json!({
        "name": scenario.name,
        "about": scenario.about,
        "metrics": values,
        "budgets": scenario.budgets.iter().map(budget).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_are_judged_by_medians() {
        let run =
            |per_second, p99_ms| Figures::from([("per_second", per_second), ("p99_ms", p99_ms)]);
        let runs = [run(4_000.0, 20.0), run(6_000.0, 60.0), run(7_000.0, 70.0)];
        let text = text(named("saga-64").unwrap(), &runs);
        assert!(text.contains("per_second at least 5000: met (1.20 of it)"), "{text}");
        assert!(text.contains("p99_ms at most 50: missed (1.20 of it)"), "{text}");
        let ack = Figures::from([("p50_ms", 1.1), ("disk_p50_us", 200.0)]);
        let json = json(named("ack-1").unwrap(), &[ack]);
        assert_eq!(json["budgets"][0]["is_met"], true);
    }
}
