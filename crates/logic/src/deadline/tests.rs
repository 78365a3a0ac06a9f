use super::*;
use proptest::prelude::*;

#[test]
fn grpc_timeouts_are_read_in_all_units() {
    for (text, ns) in [
        ("1n", 1),
        ("250u", 250_000),
        ("100m", 100_000_000),
        ("5S", 5_000_000_000),
        ("2M", 120_000_000_000),
        ("1H", 3_600_000_000_000),
        ("00000007m", 7_000_000),
        ("0S", 0),
    ] {
        let expected = Some(Duration::from_nanos(ns));
        assert_eq!(parse_grpc(text.as_bytes()), expected, "{text}");
    }
    assert_eq!(parse_grpc(b"99999999H"), Some(TIMEOUT_MAX));
    for bad in ["", "1", "S", "123456789S", "-1S", "+1S", "1.5S", "1s", "1 S", " 1S", "1S ", "1SS"]
    {
        assert_eq!(parse_grpc(bad.as_bytes()), None, "{bad}");
    }
}

#[test]
fn milliseconds_are_read_as_a_plain_number() {
    assert_eq!(parse_ms(b"1500"), Some(Duration::from_millis(1_500)));
    assert_eq!(parse_ms(b"999999999999999"), Some(TIMEOUT_MAX));
    for bad in ["", "1s", "-1", "0x10", "1.5", "9999999999999999", "\u{0661}"] {
        assert_eq!(parse_ms(bad.as_bytes()), None, "{bad}");
    }
}

#[test]
fn what_is_left_is_written_in_the_finest_unit_that_fits() {
    for (left, grpc, ms) in [
        (Duration::ZERO, "1n", "1"),
        (Duration::from_nanos(99_999_999), "99999999n", "99"),
        (Duration::from_millis(100), "100000u", "100"),
        (Duration::from_secs(60), "60000000u", "60000"),
        (Duration::from_secs(100), "100000m", "100000"),
        (Duration::from_secs(86_400 * 366), "31622400S", "31622400000"),
        (Duration::MAX, "52704000M", "3162240000000"),
    ] {
        assert_eq!(format_grpc(left).as_str(), grpc, "{left:?}");
        assert_eq!(format_ms(left).as_str(), ms, "{left:?}");
    }
}

#[test]
fn the_shorter_of_route_and_caller_holds_and_a_try_is_bounded_by_what_is_left() {
    let s = Duration::from_secs;
    let start = Moment::START;
    assert_eq!(Deadline::new(start, None, None), Deadline::NONE);
    assert_eq!(Deadline::new(start, Some(s(5)), None).left(start), Some(s(5)));
    assert_eq!(Deadline::new(start, Some(s(5)), Some(s(9))).left(start), Some(s(5)));
    let deadline = Deadline::new(start, Some(s(5)), Some(s(3)));
    assert_eq!(deadline.moment(), Some(start + s(3)));
    assert_eq!(deadline.for_try(start + s(1), Some(s(1))), Some(s(1)));
    assert_eq!(deadline.for_try(start + s(1), Some(s(4))), Some(s(2)));
    assert_eq!(deadline.for_try(start + s(1), None), Some(s(2)));
    assert_eq!(Deadline::NONE.for_try(start, None), None);
    assert!(deadline.allows_try(start + s(2)));
    assert!(!deadline.is_over(start + s(2)));
    assert!(!deadline.allows_try(start + s(3) - Duration::from_millis(1)));
    assert!(deadline.is_over(start + s(3)));
    assert_eq!(deadline.left(start + s(4)), Some(Duration::ZERO));
    assert!(Deadline::NONE.allows_try(start) && !Deadline::NONE.is_over(start));
}

proptest! {
    #[test]
    fn a_written_timeout_reads_back_as_no_longer_and_nearly_as_long(ns in 1_u64..3_162_240_000_000_000_000) {
        let left = Duration::from_nanos(ns);
        let read = parse_grpc(format_grpc(left).as_bytes()).unwrap();
        prop_assert!(read <= left);
        // Eight digits leave a ten-millionth, or in the coarser steps to minutes a sixtieth of that.
        prop_assert!(left - read <= left / 100_000 + Duration::from_nanos(1));
        let ms = parse_ms(format_ms(left).as_bytes()).unwrap();
        prop_assert!(ms <= left.max(Duration::from_millis(1)));
        prop_assert!(left <= ms + Duration::from_millis(1));
    }
}
