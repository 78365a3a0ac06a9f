//! The node's clocks.

use base::{Moment, Timestamp};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// Reads the monotonic and the wall clock. Cheap to copy; all copies count from the same start.
///
/// The monotonic clock is tokio's, so that where tokio's time is paused, what is decided and what is
/// waited for agree.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
    wall_at_start: Option<Timestamp>,
}

impl Clock {
    /// A clock that starts now.
    #[must_use]
    pub fn start() -> Self {
        Self { start: Instant::now(), wall_at_start: None }
    }

    /// A clock whose wall time is `wall` now and goes on with the monotonic time: for simulations.
    #[must_use]
    pub fn simulated(wall: Timestamp) -> Self {
        Self { start: Instant::now(), wall_at_start: Some(wall) }
    }

    /// Time since the start.
    #[must_use]
    pub fn now(&self) -> Moment {
        Moment::from_start(self.start.elapsed())
    }

    /// Wall-clock time.
    #[must_use]
    pub fn wall() -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(micros(since))
    }

    /// Wall-clock time as this clock has it.
    #[must_use]
    pub fn date(&self) -> Timestamp {
        self.wall_at_start.map_or_else(Self::wall, |wall| {
            Timestamp(wall.0.saturating_add(micros(self.start.elapsed())))
        })
    }

    /// The tokio instant at which `moment` is reached.
    #[must_use]
    pub fn instant(&self, moment: Moment) -> Instant {
        self.start + moment.since_start()
    }
}

fn micros(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
