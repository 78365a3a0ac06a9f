//! The time that transactions are driven by.

use base::{Moment, Timestamp};
use runtime::Clock;
use std::time::Duration;
use tokio::time::Instant;

/// The wall clock as it was at the start, going on with the monotonic one: it never goes back, and a wall clock that is set shortens no
/// deadline.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    clock: Clock,
    wall_ms: u64,
    start: Moment,
}

impl Now {
    pub(crate) fn new(clock: Clock) -> Self {
        let Timestamp(micros) = clock.date();
        Self { clock, wall_ms: micros / 1_000, start: clock.now() }
    }

    /// Milliseconds since 1970.
    pub(crate) fn ms(&self) -> u64 {
        let since = self.clock.now().since(self.start).as_millis();
        self.wall_ms.saturating_add(u64::try_from(since).unwrap_or(u64::MAX))
    }

    /// When it is so late.
    pub(crate) fn instant(&self, ms: u64) -> Instant {
        let since = Duration::from_millis(ms.saturating_sub(self.wall_ms));
        self.clock.instant(self.start + since)
    }
}
