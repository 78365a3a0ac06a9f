//! How many requests a key may make: a token bucket, kept as one number.
//!
//! The generic cell rate algorithm (ITU-T I.371; the form of Brandur Leach's redis-cell): the state is
//! the *theoretical arrival time* (TAT), the moment at which the bucket would be full again. A request
//! moves it by the interval at which requests may come, and is allowed while it lies no more than a
//! burst ahead. That is exactly a bucket of `burst` tokens that refills evenly, without a refill to
//! run. Over any stretch of time a key is granted at most burst + rate × time.
//!
//! [`Table`] keeps the state of many keys in bounded memory for all workers, without a lock.

mod table;

pub use table::{KEYS_DEFAULT, Table};

use base::Moment;
use std::time::Duration;

/// Longest time in which a bucket fills: a limit per year is one that people write.
pub const FILL_MAX: Duration = Duration::from_secs(366 * 86_400);

/// Why a rate cannot be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidRate {
    /// The limit, the burst or the period is zero.
    Zero,
    /// More than one request per nanosecond.
    TooFast,
    /// The bucket takes longer than [`FILL_MAX`] to fill.
    TooSlow,
}

impl InvalidRate {
    /// Says it in words.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Zero => "limit, burst and period must not be zero",
            Self::TooFast => "more than one request per nanosecond",
            Self::TooSlow => "the burst takes more than a year to come back",
        }
    }
}

/// A rate with its burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Between two requests at the rate, in nanoseconds.
    interval_ns: u64,
    /// Tokens of a full bucket.
    burst: u32,
    limit: u32,
    period: Duration,
}

impl Rate {
    /// `limit` requests in each `period`, evenly, and up to `burst` at once.
    ///
    /// # Errors
    /// See [`InvalidRate`].
    pub fn new(limit: u32, period: Duration, burst: u32) -> Result<Self, InvalidRate> {
        if limit == 0 || burst == 0 || period.is_zero() {
            return Err(InvalidRate::Zero);
        }
        if period.as_nanos() < u128::from(limit) {
            return Err(InvalidRate::TooFast);
        }
        // Rounded up, so that rounding never grants more than was asked for.
        let interval_ns = period.as_nanos().div_ceil(u128::from(limit));
        if interval_ns * u128::from(burst) > FILL_MAX.as_nanos() {
            return Err(InvalidRate::TooSlow);
        }
        let interval_ns = u64::try_from(interval_ns).unwrap_or(u64::MAX);
        Ok(Self { interval_ns, burst, limit, period })
    }

    /// Requests per period.
    #[must_use]
    pub const fn limit(&self) -> u32 {
        self.limit
    }

    /// The period.
    #[must_use]
    pub const fn period(&self) -> Duration {
        self.period
    }

    /// Requests at once.
    #[must_use]
    pub const fn burst(&self) -> u32 {
        self.burst
    }

    fn fill_ns(&self) -> u64 {
        self.interval_ns * u64::from(self.burst)
    }
}

/// What came of asking for tokens. The header fields are those of the IETF draft "RateLimit header
/// fields for HTTP" in the form that clients know: `RateLimit-Limit`, `-Remaining`, `-Reset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The request may pass.
    pub is_allowed: bool,
    /// Requests that may still be made at once.
    pub remaining: u32,
    /// Seconds until all tokens are back, rounded up.
    pub reset_s: u64,
    /// Seconds until this request may be made, rounded up; 0 when it is allowed. `None`: never,
    /// because it costs more than a full bucket.
    pub retry_after_s: Option<u64>,
}

/// A key's bucket. `Bucket::default()` is a full one, and so is every one whose TAT has passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bucket {
    /// The theoretical arrival time in nanoseconds after the node's start.
    tat_ns: u64,
}

impl Bucket {
    /// Reads what [`Bucket::pack`] wrote.
    #[must_use]
    pub const fn unpack(word: u64) -> Self {
        Self { tat_ns: word }
    }

    /// The state as one word.
    #[must_use]
    pub const fn pack(self) -> u64 {
        self.tat_ns
    }

    /// Asks for `cost` tokens (0 only looks) and gives the bucket after it: unchanged when refused.
    #[must_use]
    pub fn take(self, now: Moment, rate: &Rate, cost: u32) -> (Self, Decision) {
        let now_ns = nanos(now);
        let fill_ns = rate.fill_ns();
        let cost_ns = rate.interval_ns.saturating_mul(u64::from(cost));
        let tat_ns = self.tat_ns.max(now_ns);
        let next_ns = tat_ns.saturating_add(cost_ns);
        let is_allowed = next_ns - now_ns <= fill_ns;
        let after_ns = if is_allowed { next_ns } else { tat_ns };
        let used_ns = after_ns - now_ns;
        let left = fill_ns.saturating_sub(used_ns) / rate.interval_ns;
        let wait_ns = next_ns - now_ns - fill_ns.min(next_ns - now_ns);
        let decision = Decision {
            is_allowed,
            remaining: u32::try_from(left).unwrap_or(u32::MAX),
            reset_s: used_ns.div_ceil(SECOND_NS),
            retry_after_s: (cost <= rate.burst).then_some(wait_ns.div_ceil(SECOND_NS)),
        };
        let bucket = if is_allowed { Self { tat_ns: next_ns } } else { self };
        (bucket, decision)
    }
}

const SECOND_NS: u64 = 1_000_000_000;

/// 64 bits of nanoseconds last 584 years.
fn nanos(moment: Moment) -> u64 {
    u64::try_from(moment.since_start().as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
