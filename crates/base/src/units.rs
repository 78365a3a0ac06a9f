//! Quantities as people write them: `10s`, `512Mi`, `70%`.

use std::{fmt, str::FromStr, time::Duration};

/// Why a text is not a quantity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUnit {
    /// Not a duration.
    #[error(
        "`{0}` is not a duration: write a number with a unit, for example 500ms, 10s, 1m30s, 2h, 7d"
    )]
    Duration(String),
    /// Not a size in bytes.
    #[error(
        "`{0}` is not a size: write a number with a unit, for example 64KiB, 512Mi, 1GiB, 10MB"
    )]
    Size(String),
    /// Not a percentage.
    #[error("`{0}` is not a percentage from 0% to 100%")]
    Percent(String),
}

/// Reads a duration: numbers with the units `us`, `ms`, `s`, `m`, `h`, `d`, `w`, joined (`1m30s`),
/// fractions allowed (`0.5s`). A bare number is refused, because its unit would be a guess; only
/// `0` stands alone.
///
/// # Errors
/// When the text is empty, has no or an unknown unit, a negative number, or exceeds 100 years.
pub fn parse_duration(text: &str) -> Result<Duration, InvalidUnit> {
    const YEARS_100_S: f64 = 100.0 * 365.25 * 86_400.0;
    let bad = || InvalidUnit::Duration(text.to_owned());
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text;
    let mut total_s = 0.0;
    while !rest.is_empty() {
        let (number, after) = split_number(rest).ok_or_else(bad)?;
        let unit_len = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, next) = after.split_at(unit_len);
        let unit_s = match unit {
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            "d" => 86_400.0,
            "w" => 604_800.0,
            _ => return Err(bad()),
        };
        total_s += number * unit_s;
        rest = next;
    }
    if text.is_empty() || total_s > YEARS_100_S {
        return Err(bad());
    }
    // Rounded to whole microseconds: 0.1s must be exactly 100ms for comparisons and printing.
    let us = u64::try_from(Duration::from_secs_f64(total_s + 5e-7).as_micros());
    us.map(Duration::from_micros).ok().ok_or_else(bad)
}

/// Splits a leading decimal number off; `None` when there is none.
fn split_number(text: &str) -> Option<(f64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    Some((number.parse().ok()?, rest))
}

/// Prints a duration as it would be written in the file: `1m30s`, `200ms`, `0`.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let mut left_us = duration.as_micros();
    if left_us == 0 {
        return "0".to_owned();
    }
    let mut text = String::new();
    for (unit, unit_us) in [
        ("d", 86_400_000_000),
        ("h", 3_600_000_000),
        ("m", 60_000_000),
        ("s", 1_000_000),
        ("ms", 1_000),
        ("us", 1),
    ] {
        let count = left_us / unit_us;
        left_us %= unit_us;
        if count > 0 {
            text.push_str(&format!("{count}{unit}"));
        }
    }
    text
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

impl FromStr for ByteSize {
    type Err = InvalidUnit;

    /// Reads `512Mi`, `64KiB`, `10MB`, `1.5G`, `100` (bytes). `K`, `M`, `G`, `T` count by 1000, `Ki`, `Mi`,
    /// `Gi`, `Ti` by 1024 (Kubernetes' quantities); a trailing `B` changes nothing; case of `k` is free.
    fn from_str(text: &str) -> Result<Self, InvalidUnit> {
        let bad = || InvalidUnit::Size(text.to_owned());
        let (number, unit) = split_number(text).ok_or_else(bad)?;
        let factor: u64 = match unit.strip_suffix(['B', 'b']).unwrap_or(unit) {
            "" => 1,
            "k" | "K" => 1_000,
            "Ki" | "ki" => 1 << 10,
            "m" | "M" => 1_000_000,
            "Mi" | "mi" => 1 << 20,
            "g" | "G" => 1_000_000_000,
            "Gi" | "gi" => 1 << 30,
            "t" | "T" => 1_000_000_000_000,
            "Ti" | "ti" => 1 << 40,
            _ => return Err(bad()),
        };
        #[expect(
            clippy::cast_precision_loss,
            reason = "a factor is at most 2^40, which f64 holds exactly"
        )]
        let bytes = number * factor as f64;
        if bytes >= 9.0e18 {
            return Err(bad());
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked to be within 0 and 9e18 just above"
        )]
        Ok(Self(bytes.round() as u64))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, shift) in [("GiB", 30), ("MiB", 20), ("KiB", 10)] {
            let size = 1_u64 << shift;
            if self.0 >= size {
                let tenths = (u128::from(self.0) * 10 + u128::from(size / 2)) / u128::from(size);
                let (whole, tenth) = (tenths / 10, tenths % 10);
                return f.pad(&if tenth == 0 {
                    format!("{whole}{unit}")
                } else {
                    format!("{whole}.{tenth}{unit}")
                });
            }
        }
        f.pad(&format!("{}B", self.0))
    }
}

/// A share from 0 to 100.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Percent(pub f64);

impl FromStr for Percent {
    type Err = InvalidUnit;

    /// Reads `70%`.
    fn from_str(text: &str) -> Result<Self, InvalidUnit> {
        let bad = || InvalidUnit::Percent(text.to_owned());
        let number: f64 =
            text.strip_suffix('%').and_then(|n| n.trim().parse().ok()).ok_or_else(bad)?;
        if (0.0..=100.0).contains(&number) { Ok(Self(number)) } else { Err(bad()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_units_only() {
        for (text, ms) in [
            ("0", 0),
            ("10s", 10_000),
            ("1m30s", 90_000),
            ("500ms", 500),
            ("0.5s", 500),
            ("0.1s", 100),
            ("7d", 604_800_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for bad in
            ["", "10", "s", "10 s", "-1s", "1x", "1s2", "1e3s", "9999999999w", "..s", "1m 30s"]
        {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_follow_kubernetes_quantities() {
        for (text, bytes) in [
            ("100", 100),
            ("64KiB", 65_536),
            ("512Mi", 536_870_912),
            ("10MB", 10_000_000),
            ("1.5Gi", 1_610_612_736),
        ] {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
        for bad in ["", "Mi", "1X", "-1", "1 Mi", "99999999999Ti"] {
            assert!(bad.parse::<ByteSize>().is_err(), "{bad}");
        }
        assert_eq!(ByteSize(1_610_612_736).to_string(), "1.5GiB");
        assert_eq!(ByteSize(12).to_string(), "12B");
    }

    proptest::proptest! {
        #[test]
        fn a_printed_duration_reads_back(us in 0_u64..3_000_000_000_000_000) {
            let duration = Duration::from_micros(us);
            proptest::prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }
    }
}
