//! What was measured, as a table and as JSON.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::{
    scenario::{Kind, Scenario},
    stats::median,
};

/// One run of one proxy: a value for each metric of the scenario.
pub(super) type Sample = Vec<f64>;

/// All runs of one proxy.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) proxy: &'static str,
    pub(super) runs: Vec<Sample>,
}

impl Row {
    fn median(&self, metric: usize) -> f64 {
        median(self.runs.iter().filter_map(|run| run.get(metric).copied()))
    }
}

/// All of one scenario.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) scenario: &'static Scenario,
    pub(super) rows: Vec<Row>,
    /// What could not be measured, and why.
    pub(super) notes: Vec<String>,
}

impl Report {
    /// Ours to this one's, the median over the runs of the ratio within each round: what disturbs the machine
    /// for a while disturbs both.
    fn ratio(&self, row: &Row) -> Option<f64> {
        // Differences of latencies are near zero and can be below it: their ratios say nothing.
        if self.scenario.kind == Kind::HalfLoad {
            return None;
        }
        let ours = self.rows.first().filter(|row| row.proxy == "flotilla")?;
        let pairs = ours.runs.iter().zip(&row.runs);
        let ratios: Vec<f64> = pairs
            .filter_map(|(our, their)| Some(our.first()? / their.first()?))
            .filter(|ratio| ratio.is_finite())
            .collect();
        (row.proxy != ours.proxy && !ratios.is_empty()).then(|| median(ratios))
    }

    fn budget(&self, proxy: &str) -> Option<f64> {
        self.scenario.budget.iter().find(|(name, _)| *name == proxy).map(|(_, most)| *most)
    }

    pub(super) fn table(&self) -> String {
        let metrics = self.scenario.metrics();
        let mut text = format!("\n{}: {}\n", self.scenario.name, self.scenario.about);
        let mut head = format!("{:<10}", "");
        for metric in metrics {
            let _infallible = write!(head, "  {:>9}", metric.head);
        }
        let _infallible = writeln!(text, "{head}  us/it");
        for row in &self.rows {
            let _infallible = write!(text, "{:<10}", row.proxy);
            for (at, metric) in metrics.iter().enumerate() {
                let width = metric.head.len().max(9);
                let decimals = metric.decimals;
                let value = row.median(at);
                let _infallible = if value.is_nan() {
                    write!(text, "  {:>width$}", "-")
                } else {
                    write!(text, "  {value:>width$.decimals$}")
                };
            }
            if let Some(ratio) = self.ratio(row) {
                let _infallible = write!(text, "  {ratio:.2}");
                if let Some(most) = self.budget(row.proxy) {
                    let verdict = if ratio <= most { "met" } else { "not met" };
                    let _infallible = write!(text, " (budget {most:.2}: {verdict})");
                }
            }
            text.push('\n');
        }
        for note in self.limits().iter().chain(&self.notes) {
            let _infallible = writeln!(text, "  {note}");
        }
        text
    }

    fn limits(&self) -> Vec<String> {
        let Some(ours) = self.rows.first().filter(|row| row.proxy == "flotilla") else {
            return Vec::new();
        };
        let line = |(key, most): &(&str, f64)| {
            let metrics = self.scenario.metrics();
            let at = metrics.iter().position(|metric| metric.key == *key)?;
            let verdict = if ours.median(at) <= *most { "met" } else { "not met" };
            Some(format!("budget: {} at most {most}: {verdict}", metrics.get(at)?.head))
        };
        self.scenario.limits.iter().filter_map(line).collect()
    }

    pub(super) fn json(&self) -> Value {
        let metrics = self.scenario.metrics();
        let named = |value: &dyn Fn(usize) -> f64| {
            let pairs = metrics.iter().enumerate();
            pairs
                .map(|(at, metric)| (metric.key.to_owned(), json!(value(at))))
                .collect::<Map<_, _>>()
        };
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|row| {
                let run = |run: &Sample| named(&|at| run.get(at).copied().unwrap_or(0.0));
                json!({
                    "proxy": row.proxy,
                    "median": named(&|at| row.median(at)),
                    "us_to_it": self.ratio(row),
                    "budget": self.budget(row.proxy),
                    "runs": row.runs.iter().map(run).collect::<Vec<_>>(),
                })
            })
            .collect();
        json!({
            "scenario": self.scenario.name,
            "about": self.scenario.about,
            "proxies": rows,
            "notes": self.notes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::scenario::ALL;

    fn row(proxy: &'static str, cpu: &[f64]) -> Row {
        let run = |cpu: &f64| vec![*cpu, 1.0, 2.0, 30_000.0, 1.5, 4.0, 7.0, 0.0, 3.0];
        Row { proxy, runs: cpu.iter().map(run).collect() }
    }

    fn report() -> Report {
        let rows = vec![
            row("flotilla", &[8.0, 9.0, 20.0]),
            row("nginx", &[10.0, 12.0, 16.0]),
            row("haproxy", &[16.0, 18.0, 20.0]),
        ];
        Report { scenario: &ALL[0], rows, notes: vec!["envoy: not installed".to_owned()] }
    }

    #[test]
    fn ratios_are_medians_over_rounds_and_budgets_are_judged() {
        let table = report().table();
        let line = |start: &str| table.lines().find(|line| line.starts_with(start)).unwrap();
        assert!(line("nginx").ends_with("0.80 (budget 0.80: met)"), "{table}");
        assert!(line("haproxy").ends_with("0.50 (budget 0.80: met)"), "{table}");
        assert!(line("flotilla").trim_end().ends_with('3'), "{table}");
        assert!(table.contains("envoy: not installed"));
    }

    #[test]
    fn the_json_has_every_run() {
        let json = report().json();
        assert_eq!(json["proxies"][0]["median"]["cpu_us"], 9.0);
        assert_eq!(json["proxies"][0]["us_to_it"], Value::Null);
        assert_eq!(json["proxies"][1]["runs"][2]["cpu_us"], 16.0);
        assert_eq!(json["proxies"][1]["us_to_it"], 0.8);
    }
}
