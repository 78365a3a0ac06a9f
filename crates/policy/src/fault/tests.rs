use super::*;
use crate::testing::View;

fn config() -> Config {
    Config { delay: None, abort: Some(503), percent: 100.0, header: None }
}

fn hit(fault: &Fault, request: &View, random: u64) -> (Option<u16>, Option<Duration>) {
    let mut effects = Effects::default();
    let reply = fault.apply(request, random, &mut effects);
    let delay = reply.as_ref().map_or(effects.delay, |reply| reply.delay);
    (reply.map(|reply| reply.status), delay)
}

#[test]
fn an_abort_answers_in_place_of_the_service_after_its_delay() {
    let delay = Some(Duration::from_millis(200));
    let fault = Fault::new(Config { delay, ..config() }).unwrap();
    assert_eq!(hit(&fault, &View::any(), u64::MAX), (Some(503), delay));
}

#[test]
fn a_delay_alone_lets_the_request_pass_later() {
    let delay = Some(Duration::from_millis(200));
    let fault = Fault::new(Config { delay, abort: None, ..config() }).unwrap();
    assert_eq!(hit(&fault, &View::any(), 7), (None, delay));
}

#[test]
fn the_share_is_decided_by_the_number_that_was_drawn() {
    let share = |percent| Fault::new(Config { percent, ..config() }).unwrap();
    for (percent, random, is_hit) in [
        (100.0, u64::MAX, true),
        (100.0, 0, true),
        (0.0, 0, false),
        (50.0, u64::MAX / 2, true),
        (50.0, u64::MAX / 2 + 1, false),
        (10.0, u64::MAX / 10 - 10, true),
        (10.0, u64::MAX / 10 + 10, false),
        (0.001, u64::MAX / 100_000 - 100_000, true),
        (0.001, u64::MAX / 100_000 + 100_000, false),
    ] {
        let (status, _) = hit(&share(percent), &View::any(), random);
        assert_eq!(status.is_some(), is_hit, "{percent} % of {random}");
    }
}

#[test]
fn with_a_header_only_requests_that_carry_it_are_hit() {
    let fault = Fault::new(Config { header: Some("X-Fault".to_owned()), ..config() }).unwrap();
    assert_eq!(hit(&fault, &View::any(), 0), (None, None));
    assert_eq!(hit(&fault, &View::any().with("x-fault", ""), 0), (Some(503), None));
    let twice = View::any().with("x-fault", "1").with("x-fault", "2");
    assert_eq!(hit(&fault, &twice, 0), (Some(503), None));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let with = |change: &dyn Fn(&mut Config)| {
        let mut config = config();
        change(&mut config);
        Fault::new(config).unwrap_err()
    };
    assert_eq!(with(&|it| it.abort = None), Error::Nothing);
    assert_eq!(with(&|it| it.delay = Some(DELAY_MAX + Duration::from_millis(1))), Error::Delay);
    assert_eq!(with(&|it| it.abort = Some(199)), Error::Status(199));
    assert_eq!(with(&|it| it.abort = Some(600)), Error::Status(600));
    for percent in [-0.1, 100.1, f64::NAN, f64::INFINITY] {
        assert_eq!(with(&|it| it.percent = percent), Error::Percent);
    }
    assert!(matches!(with(&|it| it.header = Some("a b".to_owned())), Error::Header(_)));
}
