//! Time left, written into a few bytes on the stack.

use std::{fmt, time::Duration};

/// The longest: 13 digits of milliseconds, which [`super::TIMEOUT_MAX`] has.
const LENGTH_MAX: usize = 16;

/// A short text without allocation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Text {
    bytes: [u8; LENGTH_MAX],
    start: usize,
}

impl Text {
    fn new(mut number: u64, unit: Option<u8>) -> Self {
        let (mut bytes, mut start) = ([0; LENGTH_MAX], LENGTH_MAX);
        let mut push = |byte| {
            start -= 1;
            bytes[start] = byte;
        };
        if let Some(unit) = unit {
            push(unit);
        }
        loop {
            push(b'0' + u8::try_from(number % 10).unwrap_or(0));
            number /= 10;
            if number == 0 {
                return Self { bytes, start };
            }
        }
    }

    /// The text's bytes, all ASCII.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// Writes `left` as `grpc-timeout`: in the finest unit that eight digits can hold, rounded down so that
/// the callee never has longer than the caller waits, but at least a nanosecond, because zero is not
/// a time-out that all implementations accept.
#[must_use]
pub fn format_grpc(left: Duration) -> Text {
    const DIGITS_8: u128 = 99_999_999;
    let left_ns = left.min(super::TIMEOUT_MAX).as_nanos().max(1);
    let units = [
        (b'n', 1),
        (b'u', 1_000),
        (b'm', 1_000_000),
        (b'S', 1_000_000_000),
        (b'M', 60_000_000_000),
        (b'H', 3_600_000_000_000),
    ];
    let fits = units.into_iter().map(|(unit, unit_ns)| (left_ns / unit_ns, unit));
    let (number, unit) = fits.clone().find(|(number, _)| *number <= DIGITS_8).unwrap_or((1, b'H'));
    Text::new(u64::try_from(number).unwrap_or(1), Some(unit))
}

/// Writes `left` in whole milliseconds, rounded down, but at least 1: zero would mean that nothing
/// can be done, and then the request is not sent at all.
#[must_use]
pub fn format_ms(left: Duration) -> Text {
    let left_ms = left.min(super::TIMEOUT_MAX).as_millis().max(1);
    Text::new(u64::try_from(left_ms).unwrap_or(1), None)
}
