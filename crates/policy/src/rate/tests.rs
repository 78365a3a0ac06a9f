use super::*;
use crate::testing::{View, at};
use proptest::prelude::*;
use std::time::Duration;

fn limits(specs: &[&str]) -> Limits {
    try_limits(specs, &[]).unwrap()
}

fn try_limits(specs: &[&str], old: &[Limit]) -> Result<Limits, Error> {
    let specs: Vec<Spec> = specs.iter().map(|text| parse(text).unwrap()).collect();
    Limits::new(&specs, 42, old)
}

const NOBODY: Who<'static> = Who { name: None, claim: &|_| None };

/// Asks both phases; the answer, or the fields of the response.
fn ask(limits: &Limits, request: &View, who: Who<'_>, ms: u64) -> Result<String, String> {
    let mut standing = Standing::default();
    let refused = limits
        .before_auth(request, at(ms), &mut standing)
        .or_else(|| limits.after_auth(request, who, at(ms), &mut standing));
    let text = |fields: Vec<(Cow<'static, str>, Cow<'static, str>)>| {
        let lines = fields.iter().map(|(name, value)| format!("{name}: {value}"));
        lines.collect::<Vec<_>>().join("\n").replace("ratelimit-", "")
    };
    if let Some(reply) = refused {
        assert_eq!((reply.status, reply.code), (429, "rate_limited"));
        return Err(text(reply.headers));
    }
    let mut effects = Effects::default();
    limits.show(standing, &mut effects);
    let fields = effects.response.into_iter().map(|edit| match edit {
        Edit::Set(name, value) => (name, value),
        other => panic!("{other:?}"),
    });
    Ok(text(fields.collect()))
}

fn passes(limits: &Limits, request: &View, ms: u64) -> bool {
    ask(limits, request, NOBODY, ms).is_ok()
}

/// How many of 100 requests at once pass.
fn granted(limits: &Limits, request: &View, who: Who<'_>) -> usize {
    (0..100).filter(|_| ask(limits, request, who, 0).is_ok()).count()
}

fn client(address: &str) -> View {
    View::any().client(address)
}

#[test]
fn a_client_gets_its_burst_then_one_request_per_interval() {
    let limits = limits(&["10/min per ip"]);
    let request = client("198.51.100.7");
    assert_eq!(granted(&limits, &request, NOBODY), 10);
    assert!(!passes(&limits, &request, 5_999));
    assert!(passes(&limits, &request, 6_000));
    assert!(!passes(&limits, &request, 6_001));
    assert_eq!((0..100).filter(|_| passes(&limits, &request, 600_000)).count(), 10);
}

#[test]
fn clients_do_not_share_a_bucket_but_all_addresses_of_one_network_do() {
    let limits = limits(&["1/h per ip"]);
    assert!(passes(&limits, &client("198.51.100.7"), 0));
    assert!(passes(&limits, &client("198.51.100.8"), 0));
    assert!(!passes(&limits, &client("::ffff:198.51.100.7"), 0));
    assert!(passes(&limits, &client("2001:db8:1:2::1"), 0));
    assert!(!passes(&limits, &client("2001:db8:1:2:ffff:ffff:ffff:ffff"), 0));
    assert!(passes(&limits, &client("2001:db8:1:3::1"), 0));
}

#[test]
fn responses_say_where_the_client_stands() {
    let limits = limits(&["10/min per ip burst 3"]);
    let request = client("198.51.100.7");
    for (remaining, reset) in [(2, 6), (1, 12), (0, 18)] {
        assert_eq!(
            ask(&limits, &request, NOBODY, 0),
            Ok(format!(
                "limit: 3\nremaining: {remaining}\nreset: {reset}\npolicy: 10;w=60;burst=3"
            ))
        );
    }
    assert_eq!(
        ask(&limits, &request, NOBODY, 500),
        Err("limit: 3\nremaining: 0\nreset: 18\npolicy: 10;w=60;burst=3\nretry-after: 6".to_owned())
    );
}

#[test]
fn the_limit_that_is_nearest_to_its_end_is_shown() {
    let limits = limits(&["100/min per ip", "5/h", "50/s per key"]);
    let shown = ask(&limits, &client("198.51.100.7"), NOBODY, 0).unwrap();
    assert_eq!(shown, "limit: 5\nremaining: 4\nreset: 720\npolicy: 100;w=60, 5;w=3600, 50;w=1");
}

#[test]
fn all_limits_must_allow() {
    let limits = limits(&["100/min per ip", "2/min per header x-tenant"]);
    let tenant = |name: &str| client("198.51.100.7").with("x-tenant", name);
    assert_eq!(granted(&limits, &tenant("a"), NOBODY), 2);
    assert_eq!(granted(&limits, &tenant("b"), NOBODY), 2);
}

#[test]
fn who_has_used_up_its_own_limit_takes_nothing_from_the_shared_one() {
    let limits = limits(&["10/h", "2/h per key"]);
    let who = |name| Who { name: Some(name), ..NOBODY };
    assert_eq!(granted(&limits, &View::any(), who("loud")), 2);
    assert_eq!(granted(&limits, &View::any(), who("a")), 2);
    assert_eq!(granted(&limits, &View::any(), who("b")), 2);
    assert_eq!(granted(&limits, &View::any(), who("c")), 2);
    assert_eq!(granted(&limits, &View::any(), who("d")), 2);
    assert_eq!(granted(&limits, &View::any(), who("e")), 0);
}

#[test]
fn addresses_are_asked_before_authentication_and_everything_else_after_it() {
    let limits = limits(&["1/h per ip", "1/h per header x-a", "1/h per key", "1/h per claim sub"]);
    let request = client("198.51.100.7").with("x-a", "1");
    let mut standing = Standing::default();
    assert_eq!(limits.before_auth(&request, at(0), &mut standing), None);
    assert!(limits.before_auth(&request, at(0), &mut standing).is_some());
    assert_eq!(limits.after_auth(&request, NOBODY, at(0), &mut standing), None);
    assert!(limits.after_auth(&request, NOBODY, at(0), &mut standing).is_some());
}

#[test]
fn keys_and_claims_have_buckets_of_their_own() {
    let limits = limits(&["1/h per key", "3/h per claim plan"]);
    let passes = |name, plan: &str| {
        let claim = |asked: &str| (asked == "plan").then(|| plan.to_owned());
        let who = Who { name: Some(name), claim: &claim };
        ask(&limits, &View::any(), who, 0).is_ok()
    };
    assert!(passes("ann", "free"));
    assert!(!passes("ann", "free"));
    assert!(passes("bob", "free"));
    assert!(passes("cal", "free"));
    assert!(!passes("dan", "free"));
    assert!(passes("dan", "paid"));
}

#[test]
fn a_request_without_the_key_is_counted_by_its_address() {
    for spec in ["1/h per key", "1/h per claim sub", "1/h per header x-tenant"] {
        let limits = limits(&[spec]);
        assert!(passes(&limits, &client("198.51.100.7"), 0), "{spec}");
        assert!(!passes(&limits, &client("198.51.100.7"), 0), "{spec}");
        assert!(passes(&limits, &client("198.51.100.8"), 0), "{spec}");
        // Nor does a name that reads like an address get that one's bucket.
        let who = Who { name: Some("198.51.100.7"), claim: &|_| Some("198.51.100.7".to_owned()) };
        let named = client("198.51.100.9").with("x-tenant", "198.51.100.7");
        assert!(ask(&limits, &named, who, 0).is_ok(), "{spec}");
    }
}

#[test]
fn a_field_that_is_empty_or_there_twice_separates_nobody() {
    let limits = limits(&["1/h per header x-tenant"]);
    let request = || client("198.51.100.7");
    assert!(passes(&limits, &request().with("x-tenant", ""), 0));
    assert!(!passes(&limits, &request().with("x-tenant", "a").with("x-tenant", "b"), 0));
    assert!(passes(&limits, &request().with("x-tenant", [0xff, 0xfe]), 0));
}

#[test]
fn a_new_configuration_keeps_the_buckets_of_limits_that_stay() {
    let old = limits(&["1/h per ip", "5/h"]);
    let request = client("198.51.100.7");
    assert!(passes(&old, &request, 0));
    let same = try_limits(&["7/h", "1/h per ip"], old.limits()).unwrap();
    assert!(!passes(&same, &request, 0));
    let other = try_limits(&["1/h per ip burst 2"], old.limits()).unwrap();
    assert!(passes(&other, &request, 0));
}

#[test]
fn one_limit_can_hold_for_several_routes() {
    let limit = Limit::new(parse("3/h per ip").unwrap(), 1).unwrap();
    let (users, items) = (Limits::of(vec![limit.clone()]), Limits::of(vec![limit]));
    assert_eq!(granted(&users, &View::any(), NOBODY), 3);
    assert_eq!(granted(&items, &View::any(), NOBODY), 0);
}

#[test]
fn without_limits_nothing_is_asked_or_shown() {
    assert_eq!(ask(&Limits::default(), &View::any(), NOBODY, 0), Ok(String::new()));
}

#[test]
fn workers_together_grant_no_more_than_the_limit() {
    let limits = limits(&["200/h per ip", "300/h"]);
    let granted: usize = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| (0..200).filter(|_| passes(&limits, &View::any(), 0)).count()))
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).sum()
    });
    assert_eq!(granted, 200);
}

#[test]
fn lists_of_limits_are_bounded_and_without_repetition() {
    let many: Vec<String> = (1..=9).map(|count| format!("{count}/s")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(try_limits(&many, &[]).unwrap_err(), Error::TooMany);
    let twice = try_limits(&["60/min per ip", "60/1m per ip"], &[]).unwrap_err();
    assert_eq!(twice, Error::Twice("60/min per ip".to_owned()));
}

/// `text` as it is printed again, or what is wrong and where.
fn check_spec(text: &str, expected: &str) {
    let read = parse(text);
    let said = match &read {
        Ok(spec) => spec.to_string(),
        Err(invalid) => format!("{}: {:?}", invalid.offset, invalid.problem),
    };
    assert_eq!(said, expected, "{text}");
}

#[test]
fn limits_are_read_as_people_write_them() {
    for (text, printed) in [
        ("10/min per ip", "10/min per ip"),
        ("100/s", "100/s"),
        ("5/10s per claim sub burst 20", "5/10s per claim sub burst 20"),
        ("  1/h   per  key ", "1/h per key"),
        ("3/day per header X-Tenant", "3/d per header x-tenant"),
        ("60/60s", "60/min"),
        ("7/90min", "7/90min"),
        ("5/250ms burst 1", "5/250ms burst 1"),
        ("1/sec burst 1000000", "1/s burst 1000000"),
        ("9/2hours per claim https://a.example/roles", "9/2h per claim https://a.example/roles"),
    ] {
        check_spec(text, printed);
    }
}

#[test]
fn what_is_wrong_with_a_limit_is_said_with_its_place() {
    for (text, problem) in [
        ("", "0: Count"),
        ("ten/min", "0: Count"),
        ("0/min", "0: Count"),
        ("-1/min", "0: Count"),
        ("1000001/min", "0: Count"),
        ("99999999999/min", "0: Count"),
        ("10", "2: Slash"),
        ("10 /min", "2: Slash"),
        ("10/", "3: Unit"),
        ("10/fortnight", "3: Unit"),
        ("10/0s", "3: Count"),
        ("10/5", "4: Unit"),
        ("10/5 s", "4: Unit"),
        ("10/min ip", "7: Word"),
        ("10/min per", "10: Per"),
        ("10/min per planet", "11: Per"),
        ("10/min per claim", "16: Name"),
        ("10/min per header x:y", "18: Name"),
        ("10/min per header", "17: Name"),
        ("10/min per ip per key", "14: Word"),
        ("10/min burst", "12: Count"),
        ("10/min burst 0", "13: Count"),
        ("10/min burst 5x", "14: Count"),
        ("10/min burst 5 per ip", "15: Word"),
        ("10/min burst 5 burst 5", "15: Word"),
        ("1/1000000d", "0: Rate(\"the burst takes more than a year to come back\")"),
        ("1/d burst 400", "0: Rate(\"the burst takes more than a year to come back\")"),
    ] {
        check_spec(text, problem);
    }
}

#[test]
fn policies_speak_of_whole_seconds() {
    for (spec, expected) in [
        ("10/min", "10;w=60"),
        ("10/min burst 10", "10;w=60"),
        ("10/min burst 3", "10;w=60;burst=3"),
        ("5/100ms", "50;w=1;burst=5"),
        ("5/1500ms", "6;w=2;burst=5"),
    ] {
        assert_eq!(policy(&parse(spec).unwrap()), expected, "{spec}");
    }
}

fn any_spec() -> impl Strategy<Value = Spec> {
    let per = prop_oneof![
        Just(Per::All),
        Just(Per::Ip),
        Just(Per::Key),
        "[a-z_.]{1,10}".prop_map(Per::Claim),
        "[a-z-]{1,10}".prop_map(Per::Header),
    ];
    (1..1_000_u32, 1..100_000_u64, per, prop::option::of(1..1_000_u32)).prop_map(
        |(count, ms, per, burst)| Spec { count, period: Duration::from_millis(ms), per, burst },
    )
}

proptest! {
    #[test]
    fn what_is_printed_is_read_again(spec in any_spec()) {
        prop_assert_eq!(parse(&spec.to_string()), Ok(spec));
    }

    #[test]
    fn reading_never_panics_and_points_into_the_text(text in "[0-9/a-z ]{0,30}|\\PC{0,20}") {
        if let Err(invalid) = parse(&text) {
            prop_assert!(text.is_char_boundary(invalid.offset));
        }
    }

    #[test]
    fn over_any_stretch_no_more_is_granted_than_burst_and_rate(
        count in 1..20_u32, period_ms in 1..5_000_u64, burst in 1..20_u32,
        waits_ms in prop::collection::vec(0..500_u64, 1..200),
    ) {
        let spec =
            Spec { count, period: Duration::from_millis(period_ms), per: Per::Ip, burst: Some(burst) };
        let limits = Limits::new(&[spec], 3, &[]).unwrap();
        let (mut now_ms, mut granted_ms) = (0, Vec::new());
        for wait_ms in waits_ms {
            now_ms += wait_ms;
            if passes(&limits, &View::any(), now_ms) {
                granted_ms.push(now_ms);
            }
        }
        for (first, start) in granted_ms.iter().enumerate() {
            for (last, end) in granted_ms.iter().enumerate().skip(first) {
                let most = u64::from(burst) + (end - start) * u64::from(count) / period_ms;
                prop_assert!((last - first + 1) as u64 <= most);
            }
        }
    }

    #[test]
    fn a_client_below_the_rate_is_never_refused(count in 1..50_u64, burst in 1..5_u32, requests in 1..100_u64) {
        let text = format!("{count}/s per ip burst {burst}");
        let limits = limits(&[&text]);
        for request in 0..requests {
            prop_assert!(passes(&limits, &View::any(), request * 1_000_u64.div_ceil(count)));
        }
    }
}
