//! Texts of events, and what they mean.

use super::*;

fn shown<T: std::fmt::Debug>(read: Result<T, String>) -> String {
    match read {
        Ok(read) => format!("{read:?}"),
        Err(why) => format!("no: {why}"),
    }
}

#[test]
fn pauses_are_two_durations_or_one() {
    assert_eq!(shown(pauses("1s..1m")), "(1s, 60s)");
    assert_eq!(shown(pauses("500ms .. 500ms")), "(500ms, 500ms)");
    assert_eq!(shown(pauses("5s")), "(5s, 5s)");
    for bad in ["", "1s..", "..", "1..2", "2s..1s", "0..1s", "1s..2d", "1s..2s..3s"] {
        assert!(pauses(bad).is_err(), "{bad}");
    }
}

#[test]
fn ways_and_calls_have_a_method_or_are_posts() {
    assert_eq!(shown(way("POST /a?b=c")), r#"("POST", "/a?b=c")"#);
    assert_eq!(shown(way("/a")), r#"("POST", "/a")"#);
    assert_eq!(shown(way("PUT  /a")), r#"("PUT", "/a")"#);
    assert_eq!(shown(way("GET /a")), "no: `GET` is none of the methods POST, PUT, PATCH");
    assert_eq!(shown(way("a")), "no: the path must begin with `/`");
    assert_eq!(shown(way("POST /a b")), "no: the path must not have ' ' in it");
    assert_eq!(shown(call("GET reports/run/1")), r#"("GET", "reports", "/run/1")"#);
    assert_eq!(shown(call("reports")), r#"("POST", "reports", "/")"#);
    assert_eq!(shown(call("/run")), "no: before the path stands the name of a service");
    assert!(call("POST Reports/run").is_err());
    assert!(call("post reports/run").is_err());
}

#[test]
fn times_are_cron_expressions_names_and_durations() {
    assert_eq!(shown(times("0 3 * * *")), r#"("0 3 * * *", None)"#);
    assert_eq!(shown(times("*/10 0 3 * * *")), r#"("*/10 0 3 * * *", None)"#);
    assert_eq!(shown(times("@daily")), r#"("@daily", None)"#);
    assert_eq!(shown(times("@every 1m30s")), r#"("@every 1m30s", None)"#);
    assert_eq!(
        shown(times("CRON_TZ=Europe/Berlin  0 3 * * *")),
        r#"("0 3 * * *", Some("Europe/Berlin"))"#
    );
    assert_eq!(shown(times("R5/PT1M")), "no: how often it runs in all cannot be said here");
    for bad in ["", "0 25 * * *", "@never", "1 2 3", "@every 1ms"] {
        assert!(times(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_period_is_written_as_it_is_read() {
    for (period, text) in [
        (Duration::from_secs(300), "@every 5m"),
        (Duration::from_secs(90_061), "@every 25h1m1s"),
        (Duration::from_millis(1_500), "@every 1500000us"),
    ] {
        assert_eq!(every(period), text);
        assert_eq!(Repeat::parse(text).unwrap().0, Repeat::Every(period));
    }
}

#[test]
fn the_topic_of_an_outbox_has_one_placeholder() {
    for good in ["a", "outbox.event.{aggregatetype}", "{aggregatetype}"] {
        assert_eq!(outbox_topic(good), Ok(()), "{good}");
    }
    assert_eq!(outbox_topic("a.{kind}"), Err("the only placeholder is {aggregatetype}".to_owned()));
    assert!(outbox_topic("a b").is_err());
}

#[test]
fn tables_may_have_a_schema() {
    for good in ["outbox", "_o1", "shop.outbox"] {
        assert_eq!(table(good), Ok(()), "{good}");
    }
    for bad in ["", "a.b.c", "a-b", "1a", "a;b", ".a", "a."] {
        assert!(table(bad).is_err(), "{bad}");
    }
}
