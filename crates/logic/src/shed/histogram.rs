//! Latencies of a window, counted in half octaves: enough to tell four times slower from usual.

/// Two for each power of two that a `u32` of microseconds can have: up to 71 minutes.
const BUCKETS: usize = 64;

#[derive(Clone, Copy, Debug)]
pub(super) struct Histogram {
    counts: [u32; BUCKETS],
    count: u32,
    sum_us: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: [0; BUCKETS], count: 0, sum_us: 0 }
    }
}

impl Histogram {
    pub(super) fn add(&mut self, latency_us: u64) {
        let latency_us = u32::try_from(latency_us).unwrap_or(u32::MAX).max(1);
        let octave = latency_us.ilog2();
        // The bit below the highest tells the half; an octave of one number has no halves.
        let half = if octave == 0 { 0 } else { latency_us >> (octave - 1) & 1 };
        let at = usize::try_from(octave * 2 + half).unwrap_or(0);
        self.counts[at] = self.counts[at].saturating_add(1);
        self.count = self.count.saturating_add(1);
        self.sum_us = self.sum_us.saturating_add(u64::from(latency_us));
    }

    pub(super) const fn count(&self) -> u32 {
        self.count
    }

    /// 0 without samples.
    pub(super) fn mean(&self) -> u64 {
        self.sum_us / u64::from(self.count.max(1))
    }

    /// The lower end of the half octave that it lies in; 0 without samples.
    pub(super) fn tenth_percentile(&self) -> u64 {
        let rank = self.count.div_ceil(10);
        let mut seen = 0;
        for (at, count) in (0_u32..).zip(self.counts) {
            seen += count;
            if seen >= rank && count > 0 {
                let (octave, half) = (at / 2, u64::from(at % 2));
                return (1 << octave) + half * ((1 << octave) / 2);
            }
        }
        0
    }
}
