//! How what was measured is shown.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::{
    Rows,
    engine::{Engine, Figures},
    scenario::{Metric, Scenario},
};
use crate::bench::stats::median;

fn middle(runs: &[Figures], name: &str) -> f64 {
    median(runs.iter().filter_map(|run| run.value(name)))
}

/// Ours to this one's in the first metric, the median over the runs of the ratio within each round: what disturbs the
/// machine for a while disturbs both.
fn ratio(scenario: &Scenario, rows: &Rows, engine: Engine, runs: &[Figures]) -> Option<f64> {
    let name = scenario.metrics.first()?.name;
    let (_, ours) = rows.iter().find(|(engine, _)| *engine == Engine::Embedded)?;
    let pairs = ours.iter().zip(runs);
    let ratios: Vec<f64> =
        pairs.filter_map(|(ours, theirs)| Some(ours.value(name)? / theirs.value(name)?)).collect();
    (engine != Engine::Embedded && !ratios.is_empty()).then(|| median(ratios))
}

fn met(value: f64, least: f64) -> &'static str {
    if value >= least { "met" } else { "missed" }
}

pub(super) fn text(scenario: &Scenario, rows: &Rows) -> String {
    let mut text = format!("\n{}: {}\n{:<12}", scenario.name, scenario.about, "");
    for metric in scenario.metrics {
        let _infallible = write!(text, "  {:>9}", metric.head);
    }
    text.push_str("  us/it\n");
    for (engine, runs) in rows {
        let _infallible = write!(text, "{:<12}", engine.name());
        for metric in scenario.metrics {
            let (width, decimals) = (metric.head.len().max(9), metric.decimals);
            let value = middle(runs, metric.name);
            let _infallible = write!(text, "  {value:>width$.decimals$}");
        }
        if let Some(ratio) = ratio(scenario, rows, *engine, runs) {
            let _infallible = write!(text, "  {ratio:.2}");
            let budget = scenario.budget.iter().find(|(name, _)| name == engine);
            if let Some((_, least)) = budget {
                let _infallible = write!(text, " (at least {least:.2}: {})", met(ratio, *least));
            }
        }
        if let (Engine::Embedded, Some(least), Some(metric)) =
            (engine, scenario.least, scenario.metrics.first())
        {
            let value = middle(runs, metric.name);
            let _infallible = write!(text, "  at least {least:.0}: {}", met(value, least));
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
