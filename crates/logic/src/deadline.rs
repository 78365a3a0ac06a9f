//! Until when a request must be answered, and how that is passed on.
//!
//! A service that calls others on behalf of a caller should not work longer than that caller waits.
//! So every request carries how much time is left, and each that passes it on subtracts what it took:
//!
//! - `grpc-timeout` on gRPC requests, as gRPC's "HTTP/2 protocol mapping" has it;
//! - `flotilla-timeout-ms` ([`HEADER`]) on all others: whole milliseconds, a decimal number;
//! - `x-envoy-expected-rq-timeout-ms` ([`ENVOY_HEADER`]), which Envoy and Istio send, is read, not
//!   written.
//!
//! The time left when a request arrives is the least of what its headers and its route allow; a
//! caller can make it shorter, never longer. A field that cannot be read counts as absent: it says
//! nothing, and a request is not worth refusing for it.

mod text;

pub use text::{Text, format_grpc, format_ms};

use base::Moment;
use std::time::Duration;

/// The field that says how long a request may take, in milliseconds.
pub const HEADER: &str = "flotilla-timeout-ms";

/// Envoy's field of the same meaning.
pub const ENVOY_HEADER: &str = "x-envoy-expected-rq-timeout-ms";

/// gRPC's field.
pub const GRPC_HEADER: &str = "grpc-timeout";

/// Longest time that is understood; a longer one is no limit in practice. A hundred years.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(100 * 366 * 86_400);

/// Least time that another try is worth: below it an answer would hardly come back in time.
pub const TRY_MIN: Duration = Duration::from_millis(5);

/// Reads `grpc-timeout`: one to eight digits and one of the units `H M S m u n`. Longer than
/// [`TIMEOUT_MAX`] is as long as that; `None` when it is something else.
#[must_use]
pub fn parse_grpc(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.len() > 8 {
        return None;
    }
    let number = number(digits)?;
    let timeout = match unit {
        b'H' => Duration::from_secs(number * 3_600),
        b'M' => Duration::from_secs(number * 60),
        b'S' => Duration::from_secs(number),
        b'm' => Duration::from_millis(number),
        b'u' => Duration::from_micros(number),
        b'n' => Duration::from_nanos(number),
        _ => return None,
    };
    Some(timeout.min(TIMEOUT_MAX))
}

/// Reads whole milliseconds: 1 to 15 digits and nothing else. Longer than [`TIMEOUT_MAX`] is as long
/// as that; `None` when it is something else.
#[must_use]
pub fn parse_ms(value: &[u8]) -> Option<Duration> {
    if value.len() > 15 {
        return None;
    }
    Some(Duration::from_millis(number(value)?).min(TIMEOUT_MAX))
}

/// At most 15 digits, so that it fits.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
}

/// When a request's time is up. `Deadline::NONE`: never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deadline(Option<Moment>);

impl Deadline {
    /// No limit.
    pub const NONE: Self = Self(None);

    /// The deadline of a request that arrives at `now`: the earlier of what its route and its caller
    /// allow.
    #[must_use]
    pub fn new(now: Moment, route: Option<Duration>, caller: Option<Duration>) -> Self {
        let limit = match (route, caller) {
            (Some(route), Some(caller)) => Some(route.min(caller)),
            (one, other) => one.or(other),
        };
        Self(limit.map(|limit| now + limit))
    }

    /// When it is.
    #[must_use]
    pub const fn moment(self) -> Option<Moment> {
        self.0
    }

    /// Whether it has passed.
    #[must_use]
    pub fn is_over(self, now: Moment) -> bool {
        self.0.is_some_and(|at| now >= at)
    }

    /// What is left, zero when it has passed; `None` without a limit. This is what is passed on.
    #[must_use]
    pub fn left(self, now: Moment) -> Option<Duration> {
        self.0.map(|at| at.since(now))
    }

    /// How long one try may take that begins at `now`; `None`: without limit.
    #[must_use]
    pub fn for_try(self, now: Moment, per_try: Option<Duration>) -> Option<Duration> {
        match (self.left(now), per_try) {
            (Some(left), Some(per_try)) => Some(left.min(per_try)),
            (one, other) => one.or(other),
        }
    }

    /// Whether another try at `now` can still be answered in time.
    #[must_use]
    pub fn allows_try(self, now: Moment) -> bool {
        self.left(now).is_none_or(|left| left >= TRY_MIN)
    }
}

#[cfg(test)]
mod tests;
