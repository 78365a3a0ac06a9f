//! Counters that every worker adds to and anybody may read.
//!
//! Relaxed atomics: a reader sees each counter right and may see two of them a request apart.

use std::sync::{
    OnceLock,
    atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
};

/// Number of latency classes: class `n` counts answers that took less than 2ⁿ⁺¹ µs, the last all others
/// (from 2²⁵ µs, 33 s).
pub const LATENCY_CLASSES: usize = 26;

/// Parts that a set of counters has, each made when it is first used. A part is of one thread, which needs no locked
/// instruction to add to it and shares its line of memory with no other; should there ever be more threads,
/// they share the last.
const SHARDS: usize = 32;

thread_local! {
    /// Which part this thread adds to.
    static SHARD: usize = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        NEXT.fetch_add(1, Relaxed).min(SHARDS - 1)
    };
}

/// What one endpoint, service or route has done.
#[derive(Debug, Default)]
pub struct Counters([OnceLock<Box<Shard>>; SHARDS]);

/// What some threads have added.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    requests: AtomicU64,
    statuses: [AtomicU64; 5],
    failures: AtomicU64,
    retries: AtomicU64,
    timeouts: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    latency: Histogram,
}

/// The counters at one time. All grow only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Requests that were answered, by an instance or by the data plane in its place.
    pub requests: u64,
    /// Answers by class of status: 1xx (upgrades), 2xx, 3xx, 4xx, 5xx.
    pub statuses: [u64; 5],
    /// Tries that failed below HTTP: connection refused, reset, broken off.
    pub failures: u64,
    /// Requests that were sent again.
    pub retries: u64,
    /// Requests that got no answer in time.
    pub timeouts: u64,
    /// Bytes of request bodies.
    pub bytes_in: u64,
    /// Bytes of response bodies.
    pub bytes_out: u64,
    /// Time until the response's head.
    pub latency: HistogramView,
}

impl Counters {
    /// Lets `add` add to this thread's part.
    fn add(&self, add: impl FnOnce(&Shard, Adder)) {
        let at = SHARD.with(|shard| *shard);
        let shard = self.0[at].get_or_init(Box::default);
        add(shard, Adder { is_shared: at == SHARDS - 1 });
    }

    /// Books an answer with its status and the time until its head.
    pub(crate) fn answered(&self, status: u16, latency_us: u64) {
        self.add(|shard, adder| {
            adder.add(&shard.requests, 1);
            if let Some(class) = shard.statuses.get(usize::from(status / 100).wrapping_sub(1)) {
                adder.add(class, 1);
            }
            adder.add(shard.latency.class(latency_us), 1);
        });
    }

    pub(crate) fn failed(&self) {
        self.add(|shard, adder| adder.add(&shard.failures, 1));
    }

    pub(crate) fn retried(&self) {
        self.add(|shard, adder| adder.add(&shard.retries, 1));
    }

    pub(crate) fn timed_out(&self) {
        self.add(|shard, adder| adder.add(&shard.timeouts, 1));
    }

    pub(crate) fn received(&self, bytes: usize) {
        if bytes > 0 {
            self.add(|shard, adder| adder.add(&shard.bytes_in, u64::try_from(bytes).unwrap_or(0)));
        }
    }

    pub(crate) fn sent(&self, bytes: usize) {
        if bytes > 0 {
            self.add(|shard, adder| adder.add(&shard.bytes_out, u64::try_from(bytes).unwrap_or(0)));
        }
    }

    /// Reads all of them.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for shard in self.0.iter().filter_map(OnceLock::get) {
            totals.requests += shard.requests.load(Relaxed);
            for (to, from) in totals.statuses.iter_mut().zip(&shard.statuses) {
                *to += from.load(Relaxed);
            }
            totals.failures += shard.failures.load(Relaxed);
            totals.retries += shard.retries.load(Relaxed);
            totals.timeouts += shard.timeouts.load(Relaxed);
            totals.bytes_in += shard.bytes_in.load(Relaxed);
            totals.bytes_out += shard.bytes_out.load(Relaxed);
            shard.latency.add_to(&mut totals.latency);
        }
        totals
    }
}

/// How to add to a part.
#[derive(Clone, Copy)]
struct Adder {
    is_shared: bool,
}

impl Adder {
    fn add(self, to: &AtomicU64, count: u64) {
        if self.is_shared {
            to.fetch_add(count, Relaxed);
        } else {
            // Nobody else writes it, so nothing can come between.
            to.store(to.load(Relaxed).wrapping_add(count), Relaxed);
        }
    }
}

/// Latencies in classes that double.
#[derive(Debug, Default)]
pub struct Histogram([AtomicU64; LATENCY_CLASSES]);

impl Histogram {
    fn class(&self, latency_us: u64) -> &AtomicU64 {
        let class = usize::try_from(latency_us.max(1).ilog2()).unwrap_or(0);
        &self.0[class.min(LATENCY_CLASSES - 1)]
    }

    fn add_to(&self, view: &mut HistogramView) {
        for (to, from) in view.classes.iter_mut().zip(&self.0) {
            *to += from.load(Relaxed);
        }
    }
}

/// A histogram at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistogramView {
    /// Class `n` counts latencies from 2ⁿ up to 2ⁿ⁺¹ µs; the first has also 0, the last all above.
    pub classes: [u64; LATENCY_CLASSES],
}

impl HistogramView {
    /// What came in since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut view = self.clone();
        for (now, then) in view.classes.iter_mut().zip(&earlier.classes) {
            *now = now.saturating_sub(*then);
        }
        view
    }

    /// The latency in microseconds that `percent` (0 to 100) of the answers did not exceed, interpolated
    /// within its class; `None` when there are no answers.
    #[must_use]
    pub fn percentile_us(&self, percent: f64) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "a count above 2^52 cannot be reached")]
        let as_f64 = |count: u64| count as f64;
        let total = as_f64(self.classes.iter().sum());
        if total == 0.0 {
            return None;
        }
        let mut left = total * percent.clamp(0.0, 100.0) / 100.0;
        let mut low = 0.0;
        let mut high = 2.0;
        for count in self.classes.map(as_f64) {
            if count > 0.0 && left <= count {
                return Some(low + (high - low) * left / count);
            }
            left -= count;
            low = high;
            high *= 2.0;
        }
        Some(low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_however_many_threads_add() {
        let counters = Counters::default();
        std::thread::scope(|scope| {
            for _ in 0..2 * SHARDS {
                scope.spawn(|| (0..1_000).for_each(|_| counters.answered(200, 1)));
            }
        });
        assert_eq!(counters.totals().requests, 2 * u64::try_from(SHARDS).unwrap() * 1_000);
    }

    #[test]
    fn percentiles_lie_in_the_class_their_answers_fell_into() {
        let counters = Counters::default();
        assert_eq!(counters.totals().latency.percentile_us(50.0), None);
        for _ in 0..90 {
            counters.answered(200, 1_000);
        }
        for _ in 0..10 {
            counters.answered(503, 100_000);
        }
        let totals = counters.totals();
        let at = |percent| totals.latency.percentile_us(percent).unwrap();
        assert!((512.0..=1_024.0).contains(&at(50.0)), "{}", at(50.0));
        assert!((65_536.0..=131_072.0).contains(&at(99.0)), "{}", at(99.0));
        assert_eq!((totals.requests, totals.statuses), (100, [0, 90, 0, 0, 10]));
        counters.answered(200, u64::MAX);
        counters.answered(99, 0);
        let later = counters.totals().latency.since(&totals.latency);
        assert_eq!(later.classes.iter().sum::<u64>(), 2);
    }
}
