//! When a cron job runs next, by the machine's local time.

use base::Timestamp;
use jiff::{Zoned, civil::DateTime, tz::TimeZone};
use logic::schedule::{Civil, Schedule};
use manifest::Kind;
use runtime::Clock;
use std::time::Duration;

/// The next due time of a cron job.
pub(crate) struct Timer {
    clock: Clock,
    schedule: Schedule,
    due: Option<Timestamp>,
}

impl Timer {
    /// A timer for a cron job; `None` for everything else. The expression was checked with the file.
    pub(crate) fn new(kind: &Kind, clock: Clock) -> Option<Self> {
        let Kind::Cron(expression) = kind else { return None };
        let schedule = Schedule::parse(expression).ok()?;
        let due = local(clock).and_then(|now| next(&schedule, &now));
        Some(Self { clock, schedule, due })
    }

    pub(crate) fn due(&self) -> Option<Timestamp> {
        self.due
    }

    /// When to wake. At most an hour ahead, because the wall clock may be set meanwhile.
    pub(crate) fn instant(&self) -> Option<tokio::time::Instant> {
        let left = self.due?.0.saturating_sub(self.clock.date().0);
        let wait = Duration::from_micros(left).min(Duration::from_secs(3_600));
        Some(tokio::time::Instant::now() + wait)
    }

    /// Whether the due time has come; then the one after it is due.
    pub(crate) fn advance(&mut self) -> bool {
        if self.due.is_none_or(|due| due > self.clock.date()) {
            return false;
        }
        self.due = local(self.clock).and_then(|now| next(&self.schedule, &now));
        true
    }
}

/// The clock's wall time in the machine's time zone.
fn local(clock: Clock) -> Option<Zoned> {
    let now = i64::try_from(clock.date().0).ok()?;
    Some(jiff::Timestamp::from_microsecond(now).ok()?.to_zoned(TimeZone::system()))
}

/// The first instant after `now` whose local time fits. A local time that does not exist (clocks go
/// forward) is moved on by the gap; one that exists twice counts the first time.
fn next(schedule: &Schedule, now: &Zoned) -> Option<Timestamp> {
    let zone: TimeZone = now.time_zone().clone();
    let mut civil = of_civil(now.datetime())?;
    loop {
        civil = schedule.next_after(civil)?;
        let local = to_civil(civil)?;
        let instant = zone.to_ambiguous_timestamp(local).compatible().ok()?;
        if instant > now.timestamp() {
            return u64::try_from(instant.as_microsecond()).ok().map(Timestamp);
        }
    }
}

fn of_civil(at: DateTime) -> Option<Civil> {
    Some(Civil {
        year: i32::from(at.year()),
        month: u8::try_from(at.month()).ok()?,
        day: u8::try_from(at.day()).ok()?,
        hour: u8::try_from(at.hour()).ok()?,
        minute: u8::try_from(at.minute()).ok()?,
        second: u8::try_from(at.second()).ok()?,
    })
}

fn to_civil(at: Civil) -> Option<DateTime> {
    let year = i16::try_from(at.year).ok()?;
    let small = |n: u8| i8::try_from(n).ok();
    let (hour, minute, second) = (small(at.hour)?, small(at.minute)?, small(at.second)?);
    DateTime::new(year, small(at.month)?, small(at.day)?, hour, minute, second, 0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Next runs of `expression` after the local time `now` in Berlin, as instants.
    fn check(expression: &str, now: &str, expected: &str) {
        let schedule = Schedule::parse(expression).unwrap();
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let now = now.parse::<DateTime>().unwrap().to_zoned(zone).unwrap();
        let at = next(&schedule, &now).unwrap();
        let at = jiff::Timestamp::from_microsecond(i64::try_from(at.0).unwrap()).unwrap();
        assert_eq!(at.to_string(), expected);
    }

    #[test]
    fn local_time_decides_also_when_the_clocks_change() {
        check("0 3 * * *", "2026-01-10T12:00", "2026-01-11T02:00:00Z");
        check("0 3 * * *", "2026-07-10T12:00", "2026-07-11T01:00:00Z");
        // 02:30 does not exist on 29 March 2026: it runs at 03:30.
        check("30 2 * * *", "2026-03-29T00:00", "2026-03-29T01:30:00Z");
        // 02:30 exists twice on 25 October 2026: it runs the first time, and not again.
        check("30 2 * * *", "2026-10-25T00:00", "2026-10-25T00:30:00Z");
    }
}
