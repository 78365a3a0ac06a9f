//! How long to wait before trying again.

use std::time::Duration;

/// Doubling waits with jitter and a cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The first wait.
    pub first: Duration,
    /// No wait is longer.
    pub max: Duration,
}

impl Backoff {
    /// The wait before the next try, after `failures` failures in a row (1 or more).
    ///
    /// `random` is any number; it moves the wait by up to a fifth either way, so that instances
    /// that failed together do not return together (Brooker 2015, "Exponential backoff and jitter").
    #[must_use]
    pub fn wait(&self, failures: u32, random: u64) -> Duration {
        let doublings = failures.saturating_sub(1).min(32);
        let full = self.first.saturating_mul(1 << doublings.min(31)).min(self.max);
        let percent = 80 + u32::try_from(random % 41).unwrap_or(20);
        (full.saturating_mul(percent) / 100).min(self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff =
        Backoff { first: Duration::from_millis(200), max: Duration::from_secs(60) };

    #[test]
    fn waits_double_from_the_first_to_the_cap() {
        let middle = |failures| BACKOFF.wait(failures, 20).as_millis();
        assert_eq!(
            [1, 2, 3, 4, 9, 10, 40].map(middle),
            [200, 400, 800, 1_600, 51_200, 60_000, 60_000]
        );
    }

    proptest::proptest! {
        #[test]
        fn jitter_stays_within_a_fifth_and_under_the_cap(failures in 0_u32..100, random: u64) {
            let middle = BACKOFF.wait(failures, 20);
            let wait = BACKOFF.wait(failures, random);
            proptest::prop_assert!(wait >= middle * 4 / 5 && wait <= (middle * 6 / 5).min(BACKOFF.max));
        }
    }
}
