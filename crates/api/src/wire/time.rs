//! Wall-clock time on the wire: RFC 3339 in UTC with milliseconds, `2026-03-01T09:30:00.250Z`.
//!
//! Written by hand because it is forty lines and exact, and the alternative is a crate for a
//! calendar. Days and dates are converted as in "chrono-compatible low-level date algorithms"
//! (Howard Hinnant, 2013).

use base::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{borrow::Cow, fmt};

/// A point in time for people, with millisecond resolution on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub Timestamp);

/// Why a text is not a time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a time: write it like 2026-03-01T09:30:00Z")]
pub struct InvalidTime(pub String);

const DAY_S: u64 = 86_400;
/// Days from 0000-03-01 to 1970-01-01.
const EPOCH_DAYS: u64 = 719_468;
/// Days in 400 years, after which the calendar repeats.
const ERA_DAYS: u64 = 146_097;

impl Time {
    /// Reads RFC 3339 with an upper or lower case `T` and `Z` or an offset, seconds with any
    /// number of decimals; years 1970 to 9999.
    ///
    /// # Errors
    /// When `text` is anything else, or names a day that does not exist.
    pub fn parse(text: &str) -> Result<Self, InvalidTime> {
        parse(text).map(Self).ok_or_else(|| InvalidTime(text.to_owned()))
    }
}

impl From<Timestamp> for Time {
    fn from(at: Timestamp) -> Self {
        Self(at)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.millis();
        let seconds = millis / 1_000;
        let (year, month, day) = date(seconds / DAY_S);
        let (hour, minute) = (seconds % DAY_S / 3_600, seconds % 3_600 / 60);
        let (second, milli) = (seconds % 60, millis % 1_000);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
    }
}

/// The date `days` after 1970-01-01.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + EPOCH_DAYS;
    let (era, of_era) = (days / ERA_DAYS, days % ERA_DAYS);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year + era * 400 + u64::from(month <= 2), month, day)
}

/// Days from 1970-01-01 to a date; the year is 1970 or later.
fn days(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year / 400, year % 400);
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * shifted + 2) / 5 + day - 1;
    era * ERA_DAYS + of_era * 365 + of_era / 4 - of_era / 100 + of_year - EPOCH_DAYS
}

fn parse(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| -> Option<u64> {
        let digits = bytes.get(from..to)?;
        digits.iter().try_fold(0_u64, |value, byte| {
            byte.is_ascii_digit().then(|| value * 10 + u64::from(byte - b'0'))
        })
    };
    let is = |at: usize, allowed: &[u8]| bytes.get(at).is_some_and(|byte| allowed.contains(byte));
    if !(is(4, b"-") && is(7, b"-") && is(10, b"Tt ") && is(13, b":") && is(16, b":")) {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if year < 1970 || hour > 23 || minute > 59 || second > 59 || !(1..=12).contains(&month) {
        return None;
    }
    let day_number = (day >= 1).then(|| days(year, month, day))?;
    // A day that the month does not have comes out as another date.
    if date(day_number) != (year, month, day) {
        return None;
    }
    let mut at = 19;
    let mut micros = 0;
    if is(at, b".") {
        let digits = bytes.get(at + 1..)?.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            return None;
        }
        let kept = digits.min(6);
        let scale = 10_u64.pow(u32::try_from(6 - kept).ok()?);
        micros = number(at + 1, at + 1 + kept)? * scale;
        at += 1 + digits;
    }
    let seconds = day_number * DAY_S + hour * 3_600 + minute * 60 + second;
    let utc = match bytes.get(at..)? {
        [b'Z' | b'z'] => seconds,
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let (hours, minutes) = (number(at + 1, at + 3)?, number(at + 4, at + 6)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let offset = hours * 3_600 + minutes * 60;
            if *sign == b'+' { seconds.checked_sub(offset)? } else { seconds + offset }
        }
        _ => return None,
    };
    Some(Timestamp(utc * 1_000_000 + micros))
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

impl JsonSchema for Time {
    fn schema_name() -> Cow<'static, str> {
        "Time".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_times_read_and_print() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00.000Z", 0),
            ("2000-02-29T12:34:56.000Z", 951_827_696),
            ("2024-12-31T23:59:59.000Z", 1_735_689_599),
            ("2100-03-01T00:00:00.000Z", 4_107_542_400),
        ] {
            let time = Time(Timestamp(seconds * 1_000_000));
            assert_eq!(time.to_string(), text);
            assert_eq!(Time::parse(text), Ok(time));
        }
        let half = Time::parse("2000-02-29T13:34:56.5+01:00").unwrap();
        assert_eq!(half.to_string(), "2000-02-29T12:34:56.500Z");
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for bad in [
            "",
            "2024-02-30T00:00:00Z",
            "2023-02-29T00:00:00Z",
            "2024-13-01T00:00:00Z",
            "2024-01-00T00:00:00Z",
            "2024-01-01T24:00:00Z",
            "2024-01-01T00:00:00",
            "2024-01-01",
            "2024-01-01T00:00:00.Z",
            "2024-01-01T00:00:00+1:00",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+01:00",
            "2024-01-01T00:00:00Zé",
            "2024-01-01T00:00:0é",
        ] {
            assert_eq!(Time::parse(bad), Err(InvalidTime(bad.to_owned())));
        }
    }

    proptest::proptest! {
        #[test]
        fn a_printed_time_reads_back(millis in 0_u64..253_402_300_800_000) {
            let time = Time(Timestamp(millis * 1_000));
            proptest::prop_assert_eq!(Time::parse(&time.to_string()), Ok(time));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "[0-9TtZz:. +-]{0,40}") {
            let _result = Time::parse(&text);
        }
    }
}
