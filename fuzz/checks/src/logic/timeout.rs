//! The fields that carry a deadline.

use std::time::Duration;

use logic::deadline::{TIMEOUT_MAX, format_grpc, format_ms, parse_grpc, parse_ms};

/// What is read is bounded, and reads back when it is written: never as longer, unless it was shorter
/// than what can be written, and nearly as long.
pub(crate) fn check(data: &[u8]) {
    if let Some(timeout) = parse_grpc(data) {
        assert!(data.len() <= 9 && timeout <= TIMEOUT_MAX);
        let written = format_grpc(timeout);
        let again = parse_grpc(written.as_bytes()).expect("what is written can be read");
        assert!(again <= timeout.max(Duration::from_nanos(1)), "{timeout:?} became {again:?}");
        assert!(timeout - again.min(timeout) <= timeout / 100_000, "{timeout:?} became {again:?}");
        assert_eq!(format_grpc(again), written);
    }
    if let Some(timeout) = parse_ms(data) {
        assert!(timeout <= TIMEOUT_MAX);
        let again = parse_ms(format_ms(timeout).as_bytes()).expect("what is written can be read");
        assert_eq!(again, timeout.max(Duration::from_millis(1)));
        assert_eq!(
            str::from_utf8(data).ok().and_then(|text| text.parse().ok()),
            Some(
                // Only what is more than the most differs from the plain number.
                if timeout == TIMEOUT_MAX { number(data) } else { timeout.as_millis() },
            )
        );
    }
}

fn number(digits: &[u8]) -> u128 {
    digits.iter().fold(0, |sum, digit| sum * 10 + u128::from(digit - b'0'))
}
