//! When a cron job runs next, and when what Dapr calls a job does ([`Plan`]).
//!
//! Five fields (minute, hour, day of month, month, day of week) with the meanings of cron(5), or six, the first of which
//! is the second: when both day fields are restricted, a day that fits either one fits. Civil time only: which instant 02:30 is on the
//! day the clocks change is decided by the caller, who knows the time zone.

use std::fmt;

mod plan;
mod span;

pub use plan::{EVERY_MIN, InvalidPlan, Plan, PlanText, Repeat, every_after};
pub use span::{InvalidTime, SPAN_MAX, Span, instant};

/// How far ahead a fitting day is looked for: 29 February and a given weekday meet within 40 years
/// (a century year that is no leap year included); a schedule without a day in 41 years has none.
const YEARS_AHEAD: i32 = 41;

/// A date and time of day as a calendar and a clock show them (proleptic Gregorian).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Civil {
    /// The year, 1970 to 9999.
    pub year: i32,
    /// The month, 1 to 12.
    pub month: u8,
    /// The day of the month, 1 to 31.
    pub day: u8,
    /// The hour, 0 to 23.
    pub hour: u8,
    /// The minute, 0 to 59.
    pub minute: u8,
    /// The second, 0 to 59.
    pub second: u8,
}

impl fmt::Display for Civil {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { year, month, day, hour, minute, second } = self;
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}")?;
        if *second > 0 { write!(f, ":{second:02}") } else { Ok(()) }
    }
}

/// Why a text is no schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvalidSchedule {
    /// Not five fields, but this many.
    Fields(usize),
    /// Neither five fields nor six, but this many.
    FieldsOfSeconds(usize),
    /// An `@name` that is not known.
    Name(String),
    /// A part of a field cannot be read or is out of range.
    Part {
        /// Which field, in words.
        field: &'static str,
        /// The part.
        part: String,
        /// Smallest value of the field.
        min: u8,
        /// Largest value of the field.
        max: u8,
    },
    /// No day ever fits, such as 31 February.
    Never,
}

impl fmt::Display for InvalidSchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fields(count) => {
                write!(
                    f,
                    "a schedule has five fields (minute hour day month weekday), this one has {count}"
                )
            }
            Self::FieldsOfSeconds(count) => {
                write!(
                    f,
                    "a schedule has six fields (second minute hour day month weekday), or five without \
                     the second, this one has {count}"
                )
            }
            Self::Name(name) => {
                write!(f, "`{name}` is none of @hourly, @daily, @weekly, @monthly, @yearly")
            }
            Self::Part { field, part, min, max } => {
                write!(
                    f,
                    "`{part}` is no {field}: write {min} to {max}, `*`, a range `a-b`, a step `*/n` or a list `a,b`"
                )
            }
            Self::Never => write!(f, "no day ever fits this schedule"),
        }
    }
}

impl std::error::Error for InvalidSchedule {}

/// A schedule: the seconds at which something runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    // Bit sets: bit n is set when the value n fits.
    seconds: u64,
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    /// Sunday is 0.
    weekdays: u64,
    /// Both day fields are restricted: a day that fits one of them fits.
    either_day: bool,
}

/// One of the fields.
struct Field {
    name: &'static str,
    min: u8,
    max: u8,
    /// Names of the values from `min` on.
    names: &'static [&'static str],
}

const MONTHS: &[&str] =
    &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const SECOND: Field = Field { name: "second", min: 0, max: 59, names: &[] };
const FIELDS: [Field; 5] = [
    Field { name: "minute", min: 0, max: 59, names: &[] },
    Field { name: "hour", min: 0, max: 23, names: &[] },
    Field { name: "day of the month", min: 1, max: 31, names: &[] },
    Field { name: "month", min: 1, max: 12, names: MONTHS },
    Field { name: "day of the week", min: 0, max: 7, names: WEEKDAYS },
];

impl Schedule {
    /// Reads five fields separated by blanks, or `@hourly`, `@daily` (`@midnight`), `@weekly`, `@monthly`,
    /// `@yearly` (`@annually`). A field is a list of values, ranges and steps; months and weekdays may be named
    /// by three letters; Sunday is 0 or 7; `?` means `*`.
    ///
    /// # Errors
    /// Says which part of which field is wrong; also when no day fits in 41 years.
    pub fn parse(text: &str) -> Result<Self, InvalidSchedule> {
        let fields = split(text)?;
        let &[minute, hour, day, month, weekday] = fields.as_slice() else {
            return Err(InvalidSchedule::Fields(fields.len()));
        };
        // At the minute's start.
        Self::from_fields(1, [minute, hour, day, month, weekday])
    }

    /// The same with six fields, the first of which is the second, as Dapr and other schedulers write it; five are read
    /// as above.
    ///
    /// # Errors
    /// The same.
    pub fn parse_seconds(text: &str) -> Result<Self, InvalidSchedule> {
        let fields = split(text)?;
        match *fields.as_slice() {
            [second, minute, hour, day, month, weekday] => {
                let seconds = SECOND.read(second)?;
                Self::from_fields(seconds, [minute, hour, day, month, weekday])
            }
            [minute, hour, day, month, weekday] => {
                Self::from_fields(1, [minute, hour, day, month, weekday])
            }
            _ => Err(InvalidSchedule::FieldsOfSeconds(fields.len())),
        }
    }

    fn from_fields(seconds: u64, fields: [&str; 5]) -> Result<Self, InvalidSchedule> {
        let [minute, hour, day, month, weekday] = fields;
        let [minutes_of, hours_of, days_of, months_of, weekdays_of] = &FIELDS;
        let weekdays = weekdays_of.read(weekday)?;
        let schedule = Self {
            seconds,
            minutes: minutes_of.read(minute)?,
            hours: hours_of.read(hour)?,
            days: days_of.read(day)?,
            months: months_of.read(month)?,
            weekdays: (weekdays | (weekdays >> 7)) & 0x7f,
            either_day: !is_star(day) && !is_star(weekday),
        };
        // A leap year's start, so that 29 February is found at once.
        let start = Civil { year: 2000, month: 1, day: 1, hour: 0, minute: 0, second: 0 };
        if schedule.next_after(start).is_none() {
            return Err(InvalidSchedule::Never);
        }
        Ok(schedule)
    }

    /// The first fitting second after `now`, `now` itself excluded; `None` when there is none in 41 years.
    #[must_use]
    pub fn next_after(&self, now: Civil) -> Option<Civil> {
        // The rest of today, then whole days.
        if self.fits_day(now.year, now.month, now.day)
            && let Some((hour, minute, second)) = self.time_after(now)
        {
            return Some(Civil { hour, minute, second, ..now });
        }
        let (hour, minute) = (first_bit(self.hours, 0)?, first_bit(self.minutes, 0)?);
        let second = first_bit(self.seconds, 0)?;
        let (mut year, mut month, mut day) = (now.year, now.month, now.day);
        while year <= now.year.saturating_add(YEARS_AHEAD) {
            day += 1;
            if day > days_in_month(year, month) || !has_bit(self.months, month) {
                day = 1;
                month += 1;
                if month > 12 {
                    month = 1;
                    year = year.saturating_add(1);
                }
                if !has_bit(self.months, month) {
                    continue;
                }
            }
            if self.fits_day(year, month, day) {
                return Some(Civil { year, month, day, hour, minute, second });
            }
        }
        None
    }

    fn fits_day(&self, year: i32, month: u8, day: u8) -> bool {
        let by_day = has_bit(self.days, day);
        let by_weekday = has_bit(self.weekdays, weekday(year, month, day));
        let fits = if self.either_day { by_day || by_weekday } else { by_day && by_weekday };
        fits && has_bit(self.months, month)
    }

    /// The next fitting time of the same day.
    fn time_after(&self, now: Civil) -> Option<(u8, u8, u8)> {
        let Civil { hour, minute, second, .. } = now;
        if has_bit(self.hours, hour) {
            if has_bit(self.minutes, minute)
                && let Some(second) = first_bit(self.seconds, second + 1)
            {
                return Some((hour, minute, second));
            }
            if let Some(minute) = first_bit(self.minutes, minute + 1) {
                return Some((hour, minute, first_bit(self.seconds, 0)?));
            }
        }
        let hour = first_bit(self.hours, hour + 1)?;
        Some((hour, first_bit(self.minutes, 0)?, first_bit(self.seconds, 0)?))
    }
}

/// The fields of a schedule, those that an `@name` stands for among them.
fn split(text: &str) -> Result<Vec<&str>, InvalidSchedule> {
    let fields = match text.trim() {
        "@hourly" => "0 * * * *",
        "@daily" | "@midnight" => "0 0 * * *",
        "@weekly" => "0 0 * * 0",
        "@monthly" => "0 0 1 * *",
        "@yearly" | "@annually" => "0 0 1 1 *",
        name if name.starts_with('@') => return Err(InvalidSchedule::Name(name.to_owned())),
        fields => fields,
    };
    Ok(fields.split_whitespace().collect())
}

/// Whether a day field leaves every day open (cron(5): it begins with a star).
fn is_star(field: &str) -> bool {
    field.starts_with(['*', '?'])
}

impl Field {
    /// The set of values that a field's text names.
    fn read(&self, text: &str) -> Result<u64, InvalidSchedule> {
        text.split(',')
            .try_fold(0, |set, part| Ok(set | self.part(part).ok_or_else(|| self.bad(part))?))
    }

    fn bad(&self, part: &str) -> InvalidSchedule {
        let (min, max) = (self.min, self.max);
        InvalidSchedule::Part { field: self.name, part: part.to_owned(), min, max }
    }

    /// `*`, `5`, `1-5`, each with an optional `/step`.
    fn part(&self, part: &str) -> Option<u64> {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(number(step).filter(|step| *step > 0)?)),
            None => (part, None),
        };
        let (first, last) = if range == "*" || range == "?" {
            (self.min, self.max)
        } else if let Some((first, last)) = range.split_once('-') {
            (self.value(first)?, self.value(last)?)
        } else {
            // `5/10` means from 5 on.
            let first = self.value(range)?;
            (first, if step.is_some() { self.max } else { first })
        };
        if first > last {
            return None;
        }
        Some(
            (first..=last)
                .step_by(usize::from(step.unwrap_or(1)))
                .fold(0, |set, value| set | (1 << value)),
        )
    }

    fn value(&self, text: &str) -> Option<u8> {
        let lower = text.to_ascii_lowercase();
        if let Some(at) = self.names.iter().position(|name| *name == lower) {
            return Some(self.min + u8::try_from(at).ok()?);
        }
        number(text).filter(|value| (self.min..=self.max).contains(value))
    }
}

/// Digits only: `+5` is not a number here.
fn number(text: &str) -> Option<u8> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

fn has_bit(set: u64, bit: u8) -> bool {
    set & (1 << bit) != 0
}

/// The smallest member that is `from` or more.
fn first_bit(set: u64, from: u8) -> Option<u8> {
    (from..64).find(|bit| has_bit(set, *bit))
}

fn days_in_month(year: i32, month: u8) -> u8 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Sunday is 0 (Sakamoto's method).
fn weekday(year: i32, month: u8, day: u8) -> u8 {
    const SHIFTS: [i32; 12] = [0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4];
    let year = if month < 3 { year.saturating_sub(1) } else { year };
    let shift = SHIFTS.get(usize::from(month.clamp(1, 12)) - 1).copied().unwrap_or(0);
    let sum = i64::from(year) + i64::from(year.div_euclid(4)) - i64::from(year.div_euclid(100))
        + i64::from(year.div_euclid(400))
        + i64::from(shift)
        + i64::from(day);
    u8::try_from(sum.rem_euclid(7)).unwrap_or(0)
}

#[cfg(test)]
mod tests;
