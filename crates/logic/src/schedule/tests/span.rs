use super::super::*;
use base::Timestamp;
use std::time::Duration;

#[test]
fn durations_of_go_and_iso_are_read() {
    for (text, months, time) in [
        ("0", 0, 0.0),
        ("0s", 0, 0.0),
        ("90s", 0, 90.0),
        ("+1h30m", 0, 5_400.0),
        ("2h45m37.5s", 0, 9_937.5),
        ("500ms", 0, 0.5),
        ("1.5h", 0, 5_400.0),
        (".5s", 0, 0.5),
        ("250us", 0, 0.000_25),
        ("250µs", 0, 0.000_25),
        ("100ns", 0, 0.000_000_1),
        ("P1Y2M3W4DT5H6M7.5S", 14, 2_178_367.5),
        ("P1M", 1, 0.0),
        ("PT1M", 0, 60.0),
        ("P2W", 0, 1_209_600.0),
        ("PT0S", 0, 0.0),
    ] {
        let span = Span { months, time: Duration::from_secs_f64(time) };
        assert_eq!(Span::parse(text), Ok(span), "{text}");
    }
}

#[test]
fn what_is_no_duration_is_refused() {
    for text in [
        "",
        " ",
        "5",
        "1 h",
        "h",
        "1d",
        "-5s",
        "1h-5m",
        "1.2.3s",
        "P",
        "PT",
        "P1",
        "P1H",
        "PT1D",
        "P1DT",
        "P1D2Y",
        "P-1D",
        "P1.5D",
        "R5/PT1M",
        "1000000h",
        "P101Y",
        "99999999999999999999s",
        "P99999999999999999999D",
        "PT1S1M",
        "p1d",
        "1µ",
    ] {
        let error = Span::parse(text).expect_err(text).to_string();
        assert!(error.contains(&format!("`{text}` is no length of time")), "{error}");
    }
}

#[test]
fn instants_are_read_with_their_zone() {
    for (text, expected_s, micros) in [
        ("1970-01-01T00:00:00Z", 0, 0),
        ("2000-02-29T12:00:00Z", 951_825_600, 0),
        ("2026-03-01T12:00:00+01:30", 1_772_361_000, 0),
        ("2026-02-28T23:30:00-11:00", 1_772_361_000, 0),
        ("2026-03-01t10:30:00.123456789z", 1_772_361_000, 123_456),
        ("9999-12-31T23:59:59Z", 253_402_300_799, 0),
    ] {
        assert_eq!(
            instant(text, Timestamp(7)),
            Ok(Timestamp(expected_s * 1_000_000 + micros)),
            "{text}"
        );
    }
    for text in [
        "2026-03-01T12:00:00",
        "2026-03-01",
        "2026-02-29T12:00:00Z",
        "2026-13-01T12:00:00Z",
        "2026-00-01T12:00:00Z",
        "2026-03-00T12:00:00Z",
        "2026-03-01T24:00:00Z",
        "2026-03-01T12:60:00Z",
        "2026-03-01T12:00:60Z",
        "2026-03-01T12:00Z",
        "2026-03-01T12:00:00.Z",
        "2026-03-01T12:00:00+1",
        "2026-03-01T12:00:00+24:00",
        "2026-03-01T12:00:00ZZ",
        "1969-12-31T23:59:59Z",
        "1970-01-01T00:00:00+01:00",
        "26-03-01T12:00:00Z",
        "2026-03-01T+2:00:00Z",
        "tomorrow",
    ] {
        let error = instant(text, Timestamp(7)).expect_err(text).to_string();
        assert!(error.contains("is no time: write an instant with its zone"), "{error}");
    }
}

#[test]
fn durations_count_from_an_instant_and_months_by_the_calendar() {
    for (from, span, expected) in [
        ("2026-01-31T10:00:00.5Z", "90s", "2026-01-31T10:01:30.5Z"),
        ("2026-01-15T10:00:00Z", "P1M", "2026-02-15T10:00:00Z"),
        // The day that is not there runs over.
        ("2026-01-31T10:00:00Z", "P1M", "2026-03-03T10:00:00Z"),
        ("2028-01-31T10:00:00Z", "P1M", "2028-03-02T10:00:00Z"),
        ("2026-12-31T10:00:00Z", "P1M", "2027-01-31T10:00:00Z"),
        ("2024-02-29T10:00:00Z", "P1Y1D", "2025-03-02T10:00:00Z"),
        ("1970-01-01T00:00:00Z", "P13M", "1971-02-01T00:00:00Z"),
        ("2026-11-30T23:00:00Z", "P2MT2H", "2027-01-31T01:00:00Z"),
    ] {
        let read = |text: &str| instant(text, Timestamp(0)).unwrap();
        assert_eq!(instant(span, read(from)), Ok(read(expected)), "{from} {span}");
    }
}

#[test]
fn any_instant_has_a_date() {
    let month = Span { months: 1, time: Duration::ZERO };
    assert!(month.after(Timestamp(u64::MAX)) >= Timestamp(u64::MAX - 1));
}
