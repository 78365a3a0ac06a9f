use super::*;
use proptest::prelude::*;

const DEFAULT: Settings = Settings {
    consecutive: 5,
    eject_ms: 30_000,
    eject_ms_max: 300_000,
    ejected_percent_max: 50,
    panic_percent: 50,
};

fn after(record: Record, now_ms: u64, event: Event) -> Record {
    record.after(now_ms, event, &DEFAULT, || true)
}

fn after_all(record: Record, now_ms: u64, events: &[Event]) -> Record {
    events.iter().fold(record, |record, event| after(record, now_ms, *event))
}

#[test]
fn the_defaults_are_what_the_tests_assume() {
    assert_eq!(Settings::default(), DEFAULT);
    assert_eq!(Record::default().pack(), 0);
}

#[test]
fn the_pause_after_failed_connections_doubles_up_to_its_bound_and_ends_with_an_answer() {
    let off = Settings { consecutive: 0, ..DEFAULT };
    let (mut record, mut now_ms) = (Record::default(), 1_000);
    for pause_ms in [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000] {
        // Several at once count as one.
        for _ in 0..3 {
            record = record.after(now_ms, Event::Unreachable, &off, || true);
        }
        assert!(record.is_paused(now_ms + pause_ms - 1), "{pause_ms}");
        now_ms += pause_ms;
        assert!(!record.is_out(now_ms), "{pause_ms}");
    }
    for _ in 0..300 {
        now_ms += PAUSE_MS_MAX;
        record = record.after(now_ms, Event::Broken, &off, || true);
    }
    assert!(record.is_paused(now_ms));
    assert!(!record.is_ejected(now_ms));
    assert_eq!(after(record, now_ms, Event::Answered(200)).pack(), 0);
}

#[test]
fn five_failures_in_a_row_eject_and_an_answer_between_them_starts_anew() {
    let bad = Event::Answered(500);
    let four = after_all(Record::default(), 7, &[bad; 4]);
    assert!(!four.is_out(7));
    let mended = after_all(four, 7, &[Event::Answered(200), bad, bad, bad, bad]);
    assert!(!mended.is_out(7));
    let ejected = after(four, 7, Event::TimedOut);
    assert!(ejected.is_ejected(30_006));
    assert!(!ejected.is_out(30_007));
}

#[test]
fn statuses_that_speak_of_the_request_or_the_service_do_not_eject() {
    for status in [200, 302, 400, 404, 429, 499, 501, 505] {
        assert!(!Event::Answered(status).is_failure(), "{status}");
    }
    for status in [500, 502, 503, 504, 507, 599] {
        assert!(Event::Answered(status).is_failure(), "{status}");
    }
}

#[test]
fn an_ejection_is_served_in_full_whatever_earlier_requests_come_to() {
    let ejected = after_all(Record::default(), 0, &[Event::Answered(503); 5]);
    let later = after_all(ejected, 100, &[Event::Answered(200), Event::Broken, Event::TimedOut]);
    assert!(later.is_ejected(29_999));
    assert!(!later.is_out(30_000));
}

#[test]
fn each_ejection_is_longer_and_time_without_one_makes_them_shorter_again() {
    let (mut record, mut now_ms) = (Record::default(), 0);
    for seconds in [30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 300] {
        record = after_all(record, now_ms, &[Event::TimedOut; 5]);
        assert!(record.is_ejected(now_ms + seconds * 1_000 - 1), "{seconds}");
        now_ms += seconds * 1_000;
        assert!(!record.is_out(now_ms), "{seconds}");
    }
    // Eleven were booked; ten times 30 s later one is left, and this is the second.
    now_ms += 300_000;
    record = after_all(record, now_ms, &[Event::TimedOut; 5]);
    assert!(record.is_ejected(now_ms + 59_999));
    assert!(!record.is_out(now_ms + 60_000));
}

#[test]
fn without_leave_the_instance_stays_in_and_the_next_failure_asks_again() {
    let mut record = Record::default();
    for _ in 0..300 {
        record = record.after(0, Event::TimedOut, &DEFAULT, || false);
    }
    assert!(!record.is_out(0));
    assert!(record.after(0, Event::TimedOut, &DEFAULT, || true).is_ejected(0));
    // An unreachable one is paused all the same.
    assert!(record.after(0, Event::Unreachable, &DEFAULT, || false).is_paused(0));
}

#[test]
fn a_bad_answer_ends_a_pause_but_not_the_failures_in_a_row() {
    let paused = after_all(Record::default(), 0, &[Event::Unreachable]);
    let reached = after(paused, 10, Event::Answered(500));
    assert!(!reached.is_out(10));
    let ejected = after_all(reached, 10, &[Event::Answered(500); 3]);
    assert!(ejected.is_ejected(10));
}

#[test]
fn at_most_half_are_ejected_and_never_the_last() {
    let allowed: Vec<usize> = (0..8)
        .map(|members| (0..members).take_while(|out| may_eject(*out, members, &DEFAULT)).count())
        .collect();
    assert_eq!(allowed, [0, 0, 1, 1, 2, 2, 3, 3]);
    let tenth = Settings { ejected_percent_max: 10, ..DEFAULT };
    assert!(may_eject(0, 3, &tenth));
    assert!(!may_eject(1, 3, &tenth));
    assert!(!is_panic(1, 2, &DEFAULT));
    assert!(is_panic(2, 3, &DEFAULT));
    assert!(!is_panic(0, 0, &DEFAULT));
}

#[test]
fn the_instance_that_fails_more_often_than_its_siblings_lies_below_the_floor() {
    let settings = SuccessRate::default();
    let all = [(99, 100), (98, 100), (100, 100), (99, 100), (70, 100), (0, 10)];
    let floor = success_rate_floor(all.into_iter(), &settings).unwrap();
    assert!(floor > 0.70 && floor < 0.98, "{floor}");
    assert_eq!(success_rate_floor(all.into_iter().take(4), &settings), None);
    assert_eq!(success_rate_floor([(1, 100); 9].into_iter(), &settings), None);
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(Event::Answered(200)),
        Just(Event::Answered(500)),
        Just(Event::Unreachable),
        Just(Event::Broken),
        Just(Event::TimedOut),
    ]
}

proptest! {
    #[test]
    fn every_record_survives_packing_and_ends(
        steps in prop::collection::vec((0_u64..40_000, any_event(), any::<bool>()), 1..300),
    ) {
        let (mut record, mut now_ms) = (Record::default(), 0);
        for (pause_ms, event, may_eject) in steps {
            now_ms += pause_ms;
            let before = record;
            record = record.after(now_ms, event, &DEFAULT, || may_eject);
            prop_assert_eq!(Record::unpack(record.pack()), record);
            prop_assert!(!record.is_out(now_ms + DEFAULT.eject_ms_max));
            prop_assert!(!(record.is_paused(now_ms) && record.is_ejected(now_ms)));
            if before.is_indifferent_to(event) {
                prop_assert_eq!(before, record);
            }
        }
    }
}
