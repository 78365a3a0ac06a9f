//! How slow an instance is of late: a moving average that believes bad news at once and good news slowly.
//!
//! A latency above the average replaces it; one below pulls it down with a time constant (Finagle's
//! "peak EWMA"). Without news the average fades, so that an instance that was slow once is tried again.
//! The whole state fits one 64-bit word, which callers keep in an atomic.

/// Time constant of the average in milliseconds: after this long without news 37 % of it is left.
/// Long enough to outlast a garbage collection's echo, short enough that a mended instance is back in
/// seconds.
pub const DECAY_MS: u32 = 10_000;

/// The average and when it was last moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeakEwma {
    /// The average in microseconds, at most 71 minutes; 0: nothing was ever seen.
    latency_us: u32,
    /// When, in milliseconds of the caller's clock; wraps after 49 days, which only costs one decay.
    at_ms: u32,
}

impl PeakEwma {
    /// Reads what [`PeakEwma::pack`] wrote.
    #[must_use]
    pub const fn unpack(word: u64) -> Self {
        let bytes = word.to_le_bytes();
        Self {
            latency_us: u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]),
            at_ms: u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
        }
    }

    /// The state as one word.
    #[must_use]
    pub const fn pack(self) -> u64 {
        let (low, high) = (self.latency_us.to_le_bytes(), self.at_ms.to_le_bytes());
        u64::from_le_bytes([low[0], low[1], low[2], low[3], high[0], high[1], high[2], high[3]])
    }

    /// The state after an answer that took `sample_us`.
    #[must_use]
    pub fn observe(self, now_ms: u32, sample_us: u32) -> Self {
        let sample_us = sample_us.max(1);
        if sample_us >= self.latency_us {
            return Self { latency_us: sample_us, at_ms: now_ms };
        }
        let old = self.kept(now_ms);
        let mean = f64::from(self.latency_us) * old + f64::from(sample_us) * (1.0 - old);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a mean of two values that are positive and fit u32; cut off after a half is rounded"
        )]
        let latency_us = (mean + 0.5) as u32;
        Self { latency_us: latency_us.max(1), at_ms: now_ms }
    }

    /// The average in microseconds, faded to `now_ms`; 0 when nothing was ever seen.
    #[must_use]
    pub fn read(self, now_ms: u32) -> u32 {
        if self.latency_us == 0 {
            return 0;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a positive u32 times a factor of at most 1; cut off after a half is rounded"
        )]
        let faded = (f64::from(self.latency_us) * self.kept(now_ms) + 0.5) as u32;
        faded.max(1)
    }

    /// What part of the old average is left at `now_ms`.
    fn kept(self, now_ms: u32) -> f64 {
        let age_ms = now_ms.wrapping_sub(self.at_ms);
        // More than half the range means that another thread's clock reading overtook ours.
        if age_ms == 0 || age_ms > u32::MAX / 2 {
            return 1.0;
        }
        let age = f64::from(age_ms) / f64::from(DECAY_MS);
        // Under load the news is milliseconds old, and the line is as good as the curve: within 0.05 ‰.
        if age < 0.01 { 1.0 - age } else { (-age).exp() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slower_answer_counts_at_once_and_a_faster_one_only_with_time() {
        let slow = PeakEwma::default().observe(0, 1_000).observe(10, 50_000);
        assert_eq!(slow.read(10), 50_000);
        let soon = slow.observe(11, 1_000);
        assert!(soon.read(11) > 49_000, "{soon:?}");
        let later = slow.observe(10 + 3 * DECAY_MS, 1_000);
        assert!(later.read(10 + 3 * DECAY_MS) < 4_000, "{later:?}");
    }

    #[test]
    fn without_news_the_average_fades_but_never_to_unknown() {
        let seen = PeakEwma::default().observe(5, 10_000);
        let after_one = seen.read(5 + DECAY_MS);
        assert!((3_600..3_750).contains(&after_one), "{after_one}");
        assert_eq!(seen.read(5 + 100 * DECAY_MS), 1);
        assert_eq!(PeakEwma::default().read(1_000_000), 0);
    }

    #[test]
    fn the_state_survives_packing_and_a_clock_that_is_read_out_of_order() {
        let seen = PeakEwma::default().observe(4_000_000_000, 123_456);
        assert_eq!(PeakEwma::unpack(seen.pack()), seen);
        assert_eq!(seen.read(3_999_999_990), 123_456);
        // 49 days are over and the clock started again.
        assert!(seen.read(100) < 123_456);
    }
}
