use super::super::*;
use base::Timestamp;
use std::time::Duration;

const MINUTE: u64 = 60_000_000;
const NOW: Timestamp = Timestamp(1_000 * MINUTE);

fn plan<'a>(schedule: &'a str, due: &'a str, repeats: u32, ttl: &'a str) -> PlanText<'a> {
    let text = |text: &'a str| (!text.is_empty()).then_some(text);
    let repeats = (repeats < 99).then_some(repeats);
    PlanText { schedule: text(schedule), due: text(due), repeats, ttl: text(ttl) }
}

/// The runs of a plan in minutes after it was made, five at most. Cron means: every ten minutes.
fn check(text: PlanText<'_>, expected: &[u64]) {
    let plan = Plan::parse(&text, NOW).unwrap();
    let (mut runs, mut last) = (Vec::new(), None);
    while runs.len() < 5 {
        let count = u32::try_from(runs.len()).unwrap();
        let cron = |_: &Schedule, _: Option<&str>, after: Timestamp| {
            Some(Timestamp((after.0 / (10 * MINUTE) + 1) * 10 * MINUTE))
        };
        let Some(next) = plan.next(count, last, cron) else { break };
        runs.push((next.0 - NOW.0) / MINUTE);
        last = Some(next);
    }
    assert_eq!(runs, expected, "{text:?}");
}

#[test]
fn a_job_runs_at_its_due_time_and_then_as_its_schedule_says() {
    for (schedule, due, repeats, ttl, expected) in [
        ("", "5m", 99, "", &[5][..]),
        ("", "0s", 1, "", &[0]),
        ("", "1970-01-01T17:00:00Z", 99, "", &[20]),
        ("@every 3m", "", 99, "", &[3, 6, 9, 12, 15]),
        ("3m", "", 2, "", &[3, 6]),
        ("R3/PT3M", "", 99, "", &[3, 6, 9]),
        ("R3/PT3M", "", 2, "", &[3, 6]),
        ("@every 3m", "PT1M", 3, "", &[1, 4, 7]),
        ("@every 3m", "1m", 99, "6m", &[1, 4, 7]),
        ("@every 3m", "", 99, "7m", &[3, 6]),
        ("0 */10 * * * *", "", 99, "35m", &[10, 20, 30]),
        ("@daily", "7m", 2, "", &[7, 10]),
        ("CRON_TZ=Europe/Berlin 0 0 3 * * *", "", 1, "", &[10]),
    ] {
        check(plan(schedule, due, repeats, ttl), expected);
    }
}

#[test]
fn runs_that_were_passed_over_do_not_shift_the_later_ones() {
    let plan = Plan::parse(&plan("@every 3m", "1m", 99, ""), NOW).unwrap();
    let next = plan.next(1, Some(Timestamp(NOW.0 + 90 * MINUTE + 1)), |_, _, _| None);
    assert_eq!(next, Some(Timestamp(NOW.0 + 91 * MINUTE)));
    assert_eq!(every_after(Timestamp(10), Duration::ZERO, Timestamp(5)), Timestamp(11));
    assert_eq!(every_after(Timestamp(10), Duration::MAX, Timestamp(5)), Timestamp(u64::MAX));
}

#[test]
fn a_zone_is_told_apart_from_the_fields() {
    for (text, expected) in [
        ("CRON_TZ=Europe/Berlin 0 30 3 * * *", Some("Europe/Berlin")),
        ("TZ=UTC  30 3 * * *", Some("UTC")),
        ("0 30 3 * * *", None),
    ] {
        let (Repeat::Cron { schedule, zone }, None) = Repeat::parse(text).unwrap() else {
            panic!("{text} is no cron expression");
        };
        assert_eq!(zone.as_deref(), expected, "{text}");
        assert_eq!(schedule, Schedule::parse("30 3 * * *").unwrap(), "{text}");
    }
}

#[test]
fn what_is_no_plan_is_refused_with_the_field_that_is_wrong() {
    for (text, why) in [
        (plan("", "", 99, ""), "needs a `schedule` or a `dueTime`"),
        (plan("", "5m", 0, ""), "`repeats` is 0"),
        (plan("R0/PT1M", "", 99, ""), "`repeats` is 0"),
        (plan("", "5m", 2, ""), "`repeats` needs a `schedule`"),
        (plan("", "5m", 1, "5m"), "`ttl` needs a `schedule`"),
        (
            plan("@every 1m", "2026-01-01T00:00:00Z", 1, "2025-01-01T00:00:00Z"),
            "`ttl` ends before `dueTime`",
        ),
        (plan("@every 1m", "soon", 1, ""), "`dueTime`: `soon` is no time"),
        (plan("@every 1m", "", 1, "soon"), "`ttl`: `soon` is no time"),
        (plan("@every 1ms", "", 1, ""), "10ms or more"),
        (plan("@every", "", 1, ""), "`@every` is none of"),
        (plan("@every often", "", 1, ""), "`schedule`: `often` is no length of time"),
        (plan("P1M", "", 1, ""), "for months a cron expression"),
        (plan("Rx/PT1M", "", 1, ""), "`Rx/PT1M` is not repeated"),
        (plan("0s", "", 1, ""), "`0s` is not repeated"),
        (plan("* * *", "", 1, ""), "six fields"),
        (plan("TZ=UTC", "", 1, ""), "has 1"),
        (plan("0 0 0 31 2 *", "", 1, ""), "no day ever fits"),
        (plan("@sometimes", "", 1, ""), "`@sometimes` is none of"),
    ] {
        let error = Plan::parse(&text, NOW).expect_err(why).to_string();
        assert!(error.contains(why), "{text:?}: {error}");
    }
}
