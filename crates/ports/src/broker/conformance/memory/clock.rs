//! Time, which stands until it is told to go on, or passes by itself.

use super::topic::Now;
use base::Timestamp;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

pub(super) type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

pub(super) struct Clock {
    /// What was advanced.
    ahead: Mutex<Duration>,
    /// The wall clock at the beginning.
    begin: Timestamp,
    real: Option<Real>,
}

struct Real {
    start: Instant,
    sleep: Box<dyn Fn(Duration) -> Sleep + Send + Sync>,
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock")
            .field("now", &self.now())
            .field("is_real", &self.real.is_some())
            .finish()
    }
}

impl Clock {
    pub(super) fn standing() -> Self {
        // 2020-01-01: a date that looks like one.
        Self { ahead: Mutex::default(), begin: Timestamp(1_577_836_800_000_000), real: None }
    }

    pub(super) fn real(sleep: Box<dyn Fn(Duration) -> Sleep + Send + Sync>) -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let begin = Timestamp(u64::try_from(since.as_micros()).unwrap_or(u64::MAX));
        Self { ahead: Mutex::default(), begin, real: Some(Real { start: Instant::now(), sleep }) }
    }

    pub(super) fn now(&self) -> Now {
        let ahead = *self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        let moment = ahead + self.real.as_ref().map_or(Duration::ZERO, |real| real.start.elapsed());
        let past_us = u64::try_from(moment.as_micros()).unwrap_or(u64::MAX);
        Now { moment, time: Timestamp(self.begin.0.saturating_add(past_us)) }
    }

    pub(super) fn advance(&self, time: Duration) {
        *self.ahead.lock().unwrap_or_else(PoisonError::into_inner) += time;
    }

    /// What wakes whoever waits for `moment`; a standing clock wakes them itself.
    pub(super) fn until(&self, moment: Duration) -> Option<Sleep> {
        let real = self.real.as_ref()?;
        Some((real.sleep)(moment.saturating_sub(self.now().moment)))
    }
}
