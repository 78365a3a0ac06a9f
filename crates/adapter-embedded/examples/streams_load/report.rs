//! What a run found.

use std::{fmt::Write as _, time::Duration};

/// Pairs of JSON, as text.
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
        let count = float(u64::try_from(self.0.len()).unwrap_or(u64::MAX));
        report
            .number("count", count)
            .number("per_second", count / took.as_secs_f64())
            .number("p50_us", at(500))
            .number("p99_us", at(990))
    }
}

/// A count as a number to compute with; thousandths of it are exact beyond any count there is here.
pub(crate) fn float(number: u64) -> f64 {
    let high = u32::try_from(number >> 32).unwrap_or(u32::MAX);
    let low = u32::try_from(number & 0xffff_ffff).unwrap_or(u32::MAX);
    f64::from(high) * 4_294_967_296.0 + f64::from(low)
}

/// Memory of this process in MB.
pub(crate) fn memory() -> f64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: f64 = text.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0.0);
    pages * 4_096.0 / 1e6
}
