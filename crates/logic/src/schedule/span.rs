//! Lengths of time and instants, as Dapr's APIs take them: Go's durations, ISO 8601's, and RFC 3339.

use base::Timestamp;
use std::{fmt, time::Duration};

/// The longest length of time that is read: a hundred years. Whoever writes more has mistaken the unit.
pub const SPAN_MAX: Duration = Duration::from_secs(100 * 366 * DAY_SECONDS);

const DAY_SECONDS: u64 = 24 * 3_600;
const DAY: Duration = Duration::from_secs(DAY_SECONDS);

/// A length of time. Months have no fixed length, so they count from somewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Calendar months.
    pub months: u32,
    /// Everything else; a day is 24 hours.
    pub time: Duration,
}

/// Why a text is no time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidTime {
    text: String,
    wants_instant: bool,
}

impl fmt::Display for InvalidTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { text, wants_instant } = self;
        let durations = "a duration of at most 100 years as `1h30m`, `500ms` or `P1DT12H`";
        match wants_instant {
            true => write!(
                f,
                "`{text}` is no time: write an instant with its zone as `2026-03-01T12:00:00Z`, or {durations}"
            ),
            false => write!(f, "`{text}` is no length of time: write {durations}"),
        }
    }
}

impl std::error::Error for InvalidTime {}

impl Span {
    /// Reads a duration in Go's form (numbers with the units `h`, `m`, `s`, `ms`, `us` or `µs`, `ns`; `0`) or in ISO 8601's (`P1Y2M3W4DT5H6M7S`,
    /// each part at most once and in this order, the seconds with a fraction). Negative ones are refused.
    ///
    /// # Errors
    /// When it is neither, or longer than [`SPAN_MAX`].
    pub fn parse(text: &str) -> Result<Self, InvalidTime> {
        let span = match text.strip_prefix('P') {
            Some(parts) => iso(parts),
            None => go(text).map(|time| Self { months: 0, time }),
        };
        // A month counts as its longest here.
        let fits = |span: &Self| {
            DAY.saturating_mul(span.months).saturating_mul(31).saturating_add(span.time) <= SPAN_MAX
        };
        let wants_instant = false;
        span.filter(fits).ok_or_else(|| InvalidTime { text: text.to_owned(), wants_instant })
    }

    /// The instant this much after `from`. Months are added in UTC; a day that the month does not have runs over into the next
    /// one, as in Go: 31 January and a month is 3 March.
    #[must_use]
    pub fn after(&self, from: Timestamp) -> Timestamp {
        let mut micros = from.0;
        if self.months > 0 {
            let day_micros = DAY_SECONDS * 1_000_000;
            let (year, month, day) = date_of(micros / day_micros);
            let month = u64::from(month) - 1 + u64::from(self.months);
            let days = days_before(year + month / 12, month % 12 + 1) + u64::from(day) - 1;
            micros = days.saturating_mul(day_micros).saturating_add(micros % day_micros);
        }
        let time = u64::try_from(self.time.as_micros()).unwrap_or(u64::MAX);
        Timestamp(micros.saturating_add(time))
    }
}

/// Reads an instant in the form of RFC 3339, or a length of time ([`Span::parse`]) that counts from `from`.
///
/// # Errors
/// When it is neither; also before 1970.
pub fn instant(text: &str, from: Timestamp) -> Result<Timestamp, InvalidTime> {
    let span = || Span::parse(text).ok().map(|span| span.after(from));
    let invalid = || InvalidTime { text: text.to_owned(), wants_instant: true };
    rfc3339(text).or_else(span).ok_or_else(invalid)
}

fn go(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    let mut total = None;
    while !rest.is_empty() {
        let (whole, fraction, after) = decimal(rest)?;
        let units = [
            ("ns", 1),
            ("us", 1_000),
            ("µs", 1_000),
            ("μs", 1_000),
            ("ms", 1_000_000),
            ("s", NANOS),
            ("m", 60 * NANOS),
            ("h", 3_600 * NANOS),
        ];
        let unit = units.into_iter().find_map(|(unit, ns)| Some((after.strip_prefix(unit)?, ns)));
        let (after, unit_ns) = unit?;
        total =
            Some(total.unwrap_or(Duration::ZERO).checked_add(scale(whole, fraction, unit_ns)?)?);
        rest = after;
    }
    total
}

const NANOS: u64 = 1_000_000_000;

/// So many units, with billionths.
fn scale(whole: u64, billionths: u64, unit_ns: u64) -> Option<Duration> {
    let ns = u128::from(whole) * u128::from(unit_ns)
        + u128::from(billionths) * u128::from(unit_ns) / u128::from(NANOS);
    // More than SPAN_MAX does not fit into 64 bits or is refused by the caller.
    u64::try_from(ns).ok().map(Duration::from_nanos)
}

/// Digits with an optional fraction at the beginning of `text`: the whole, the billionths, and what follows.
fn decimal(text: &str) -> Option<(u64, u64, &str)> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let (whole, mut rest) = text.split_at_checked(digits(text))?;
    let mut fraction = "";
    if let Some(after) = rest.strip_prefix('.') {
        (fraction, rest) = after.split_at_checked(digits(after))?;
    }
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let nine = fraction.bytes().chain(std::iter::repeat(b'0')).take(9);
    let billionths = nine.fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    Some((whole, billionths, rest))
}

fn iso(parts: &str) -> Option<Span> {
    let (date, time) = match parts.split_once('T') {
        Some((date, time)) if !time.is_empty() => (date, time),
        Some(_) => return None,
        None => (parts, ""),
    };
    if date.is_empty() && time.is_empty() {
        return None;
    }
    let ([years, months, weeks, days], rest) = designated(date, ['Y', 'M', 'W', 'D'])?;
    let ([hours, minutes], seconds) = designated(time, ['H', 'M'])?;
    if !rest.is_empty() {
        return None;
    }
    let seconds = match seconds {
        "" => Duration::ZERO,
        seconds => {
            let (whole, billionths, "S") = decimal(seconds)? else { return None };
            scale(whole, billionths, NANOS)?
        }
    };
    let days = weeks.checked_mul(7)?.checked_add(days)?.checked_mul(DAY_SECONDS)?;
    let clock = hours.checked_mul(60)?.checked_add(minutes)?.checked_mul(60)?;
    let time = Duration::from_secs(days.checked_add(clock)?).checked_add(seconds)?;
    let months = u32::try_from(years.checked_mul(12)?.checked_add(months)?).ok()?;
    Some(Span { months, time })
}

/// Whole numbers before these letters, each at most once and in their order; and what follows the last one.
fn designated<const N: usize>(text: &str, letters: [char; N]) -> Option<([u64; N], &str)> {
    let (mut numbers, mut rest) = ([0; N], text);
    for (number, letter) in numbers.iter_mut().zip(letters) {
        if let Some((whole, 0, after)) = decimal(rest)
            && let Some(after) = after.strip_prefix(letter)
        {
            (*number, rest) = (whole, after);
        }
    }
    Some((numbers, rest))
}

fn rfc3339(text: &str) -> Option<Timestamp> {
    let (date, time) = text.split_once(['T', 't'])?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let at = time.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = time.split_at_checked(at)?;
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let [hour, minute, second] = numbers(clock, ':', [2, 2, 2])?;
    let is_digits = !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let days_max = super::days_in_month(i32::try_from(year).ok()?, u8::try_from(month).ok()?);
    let is_date =
        year >= 1970 && (1..=12).contains(&month) && (1..=u64::from(days_max)).contains(&day);
    if !is_date || hour > 23 || minute > 59 || second > 59 || !is_digits {
        return None;
    }
    let days = days_before(year, month) + day - 1;
    let local_s = days * DAY_SECONDS + hour * 3_600 + minute * 60 + second;
    let seconds = match zone.strip_prefix(['+', '-']) {
        None => (zone.len() == 1).then_some(local_s)?,
        Some(offset) => {
            let [hours, minutes] = numbers(offset, ':', [2, 2])?;
            if hours > 23 || minutes > 59 {
                return None;
            }
            let offset_s = hours * 3_600 + minutes * 60;
            // East of Greenwich it is later.
            if zone.starts_with('+') { local_s.checked_sub(offset_s)? } else { local_s + offset_s }
        }
    };
    let six = fraction.bytes().chain(std::iter::repeat(b'0')).take(6);
    let micros = six.fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    Some(Timestamp(seconds * 1_000_000 + micros))
}

/// Numbers of exactly these widths with a separator between.
fn numbers<const N: usize>(text: &str, separator: char, widths: [usize; N]) -> Option<[u64; N]> {
    let (mut numbers, mut parts) = ([0; N], text.split(separator));
    for (number, width) in numbers.iter_mut().zip(widths) {
        let part = parts.next()?;
        let is_number = part.len() == width && part.bytes().all(|byte| byte.is_ascii_digit());
        *number = if is_number { part.parse().ok()? } else { return None };
    }
    parts.next().is_none().then_some(numbers)
}

/// Days from 1970-01-01 to the first of that month.
fn days_before(year: u64, month: u64) -> u64 {
    // Years that begin in March have their leap day at their end, so months have fixed places in them.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5;
    days - MARCH_FIRST_YEAR_0
}

/// Days from 1 March of the year 0 to 1970-01-01.
const MARCH_FIRST_YEAR_0: u64 = 719_468;

/// The date so many days after 1970-01-01.
fn date_of(days: u64) -> (u64, u8, u8) {
    // No year has more than 366 days, so this is that year or an earlier one.
    let mut year = 1970 + days / 366;
    while days_before(year + 1, 1) <= days {
        year += 1;
    }
    let month = (2..=12).take_while(|month| days_before(year, *month) <= days).last().unwrap_or(1);
    let day = days - days_before(year, month) + 1;
    (year, u8::try_from(month).unwrap_or(12), u8::try_from(day).unwrap_or(31))
}
