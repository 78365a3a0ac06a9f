//! Ejection by comparison: an instance that fails clearly more often than its siblings.
//!
//! Envoy's `success_rate`: each interval, instances with enough requests are compared; who lies more
//! than a factor of standard deviations below the mean is an outlier. It finds the instance that
//! fails every third request and so never five in a row. Off unless asked for: with few instances or
//! requests, chance looks like an outlier.

/// Which instances are compared, and when one is an outlier.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SuccessRate {
    /// Fewest instances with enough requests.
    pub instances_min: usize,
    /// Fewest requests of an instance in the interval.
    pub requests_min: u64,
    /// Standard deviations below the mean that are normal.
    pub deviations: f64,
}

impl Default for SuccessRate {
    /// Envoy's: five instances, a hundred requests, 1.9 deviations.
    fn default() -> Self {
        Self { instances_min: 5, requests_min: 100, deviations: 1.9 }
    }
}

/// The success rate from 0 to 1 below which an instance is an outlier, out of the (successes,
/// requests) of each in one interval; `None` when too few are comparable or all are alike.
#[must_use]
pub fn success_rate_floor(
    instances: impl Iterator<Item = (u64, u64)> + Clone,
    settings: &SuccessRate,
) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "counts of one interval are far below 2^52")]
    let rates = instances
        .filter(|(_, requests)| *requests >= settings.requests_min.max(1))
        .map(|(successes, requests)| successes.min(requests) as f64 / requests as f64);
    let count = rates.clone().count();
    if count < settings.instances_min.max(1) {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "instances are far below 2^52")]
    let count = count as f64;
    let mean = rates.clone().sum::<f64>() / count;
    let variance = rates.map(|rate| (rate - mean).powi(2)).sum::<f64>() / count;
    let floor = mean - settings.deviations * variance.sqrt();
    (variance > 0.0 && floor > 0.0).then_some(floor)
}
