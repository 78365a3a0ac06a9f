//! The node's clocks.

use base::{Moment, Timestamp};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Reads the monotonic and the wall clock. Cheap to copy; all copies count from the same start.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that starts now.
    #[must_use]
    pub fn start() -> Self {
        Self { start: Instant::now() }
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
        Timestamp(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
    }

    /// The tokio instant at which `moment` is reached.
    #[must_use]
    pub fn instant(&self, moment: Moment) -> tokio::time::Instant {
        tokio::time::Instant::from_std(self.start + moment.since_start())
    }
}
