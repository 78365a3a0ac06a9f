use super::*;

mod plan;
mod span;

/// Reads `2026-03-09 12:30` or `2026-03-09 12:30:15`.
fn civil(text: &str) -> Civil {
    let parts: Vec<i32> = text.split(['-', ' ', ':']).map(|part| part.parse().unwrap()).collect();
    let small = |at: usize| u8::try_from(parts[at]).unwrap();
    let second = if parts.len() > 5 { small(5) } else { 0 };
    Civil {
        year: parts[0],
        month: small(1),
        day: small(2),
        hour: small(3),
        minute: small(4),
        second,
    }
}

/// The next times after `from`.
fn check(schedule: &str, from: &str, expected: &[&str]) {
    let schedule = Schedule::parse_seconds(schedule).unwrap();
    let mut now = civil(from);
    for expected in expected {
        now = schedule.next_after(now).unwrap();
        assert_eq!(now.to_string(), *expected, "{schedule:?}");
    }
}

#[test]
fn every_field_is_followed() {
    check("* * * * *", "2026-12-31 23:58", &["2026-12-31 23:59", "2027-01-01 00:00"]);
    check("*/15 * * * *", "2026-03-01 10:07", &["2026-03-01 10:15", "2026-03-01 10:30"]);
    check("30 4 * * *", "2026-03-01 04:30", &["2026-03-02 04:30"]);
    check("0 9-17/4 * * MON-FRI", "2026-03-06 14:00", &["2026-03-06 17:00", "2026-03-09 09:00"]);
    check("0 0 1,15 * *", "2026-01-10 00:00", &["2026-01-15 00:00", "2026-02-01 00:00"]);
    check("0 0 * FEB,Jul *", "2026-03-01 00:00", &["2026-07-01 00:00", "2026-07-02 00:00"]);
    check(
        "5/20 0 * * *",
        "2026-03-01 00:00",
        &["2026-03-01 00:05", "2026-03-01 00:25", "2026-03-01 00:45"],
    );
    check("0 0 31 * *", "2026-04-01 00:00", &["2026-05-31 00:00", "2026-07-31 00:00"]);
}

#[test]
fn six_fields_begin_with_the_second() {
    check("*/20 * * * * *", "2026-12-31 23:59:20", &["2026-12-31 23:59:40", "2027-01-01 00:00"]);
    check("0 30 * * * *", "2026-03-01 10:30", &["2026-03-01 11:30"]);
    check("5 15 3 * * MON", "2026-03-02 03:15:04", &["2026-03-02 03:15:05", "2026-03-09 03:15:05"]);
    check("30 0 0,12 * * *", "2026-03-01 00:00:30", &["2026-03-01 12:00:30"]);
    check("* * * * *", "2026-03-01 10:30:59", &["2026-03-01 10:31"]);
    let error = Schedule::parse_seconds("* * *").expect_err("too few").to_string();
    assert!(error.contains("six fields") && error.contains("has 3"), "{error}");
    let error = Schedule::parse_seconds("60 * * * * *").expect_err("no second").to_string();
    assert!(error.contains("`60` is no second"), "{error}");
}

#[test]
fn names_stand_for_schedules() {
    check("@hourly", "2026-03-01 10:07", &["2026-03-01 11:00"]);
    check("@daily", "2026-02-28 10:07", &["2026-03-01 00:00"]);
    check("@weekly", "2026-03-02 00:00", &["2026-03-08 00:00"]);
    check("@monthly", "2026-03-01 00:00", &["2026-04-01 00:00"]);
    check("@yearly", "2026-01-01 00:00", &["2027-01-01 00:00"]);
}

#[test]
fn restricted_days_and_weekdays_are_joined_by_or() {
    check(
        "0 0 13 * FRI",
        "2026-03-01 00:00",
        &["2026-03-06 00:00", "2026-03-13 00:00", "2026-03-20 00:00"],
    );
    check("0 0 13 4 FRI", "2026-04-04 00:00", &["2026-04-10 00:00", "2026-04-13 00:00"]);
    // A star with a step leaves the field open (cron(5)), so both must fit.
    check("0 0 */2 * MON", "2026-03-01 00:00", &["2026-03-09 00:00", "2026-03-23 00:00"]);
}

#[test]
fn sunday_is_0_and_7() {
    check("0 0 * * 7", "2026-03-02 00:00", &["2026-03-08 00:00"]);
    check("0 0 * * 0", "2026-03-02 00:00", &["2026-03-08 00:00"]);
    check(
        "0 0 * * 5-7",
        "2026-03-02 00:00",
        &["2026-03-06 00:00", "2026-03-07 00:00", "2026-03-08 00:00"],
    );
}

#[test]
fn leap_days_are_found_also_over_a_century() {
    check("0 0 29 2 *", "2026-03-01 00:00", &["2028-02-29 00:00", "2032-02-29 00:00"]);
    check("0 0 29 2 *", "2096-03-01 00:00", &["2104-02-29 00:00"]);
}

#[test]
fn what_is_no_schedule_is_refused_with_the_part_that_is_wrong() {
    for (text, why) in [
        ("", "five fields"),
        ("* * * *", "has 4"),
        ("* * * * * *", "has 6"),
        ("60 * * * *", "`60` is no minute: write 0 to 59"),
        ("* 24 * * *", "`24` is no hour"),
        ("* * 0 * *", "`0` is no day of the month"),
        ("* * * 13 *", "`13` is no month"),
        ("* * * * 8", "`8` is no day of the week"),
        ("* * * * MOON", "`MOON` is no day of the week"),
        ("5-1 * * * *", "`5-1`"),
        ("*/0 * * * *", "`*/0`"),
        ("+5 * * * *", "`+5`"),
        ("1,,2 * * * *", "``"),
        ("- * * * *", "`-`"),
        ("@often", "`@often` is none of"),
        ("0 0 31 2 *", "no day ever fits"),
        ("0 0 30 FEB *", "no day ever fits"),
    ] {
        let error = Schedule::parse(text).expect_err(text).to_string();
        assert!(error.contains(why), "{text}: {error}");
    }
}

#[test]
fn weekdays_follow_the_calendar() {
    for (date, day) in [((1970, 1, 1), 4), ((2000, 2, 29), 2), ((2026, 8, 3), 1), ((2100, 3, 1), 1)]
    {
        assert_eq!(weekday(date.0, date.1, date.2), day, "{date:?}");
    }
}
