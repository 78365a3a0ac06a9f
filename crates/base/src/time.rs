//! Two kinds of time: [`Moment`] orders what happens, [`Timestamp`] tells people when it happened.

use std::{
    ops::{Add, Sub},
    time::Duration,
};

/// A point on the node's monotonic clock, counted from the node's start.
///
/// Pure code takes it as an argument instead of reading a clock, so tests choose it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(Duration);

impl Moment {
    /// The node's start.
    pub const START: Self = Self(Duration::ZERO);

    /// The moment `since_start` after the node's start.
    #[must_use]
    pub const fn from_start(since_start: Duration) -> Self {
        Self(since_start)
    }

    /// The time since the node's start.
    #[must_use]
    pub const fn since_start(self) -> Duration {
        self.0
    }

    /// The time from `earlier` to this moment; zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Moment {
    type Output = Self;
    fn add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(by))
    }
}

impl Sub<Duration> for Moment {
    type Output = Self;
    fn sub(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(by))
    }
}

/// Wall-clock time in microseconds since 1970-01-01 UTC. It may jump; never compute a wait from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Whole milliseconds since 1970-01-01 UTC.
    #[must_use]
    pub const fn millis(self) -> u64 {
        self.0 / 1_000
    }
}
