use super::*;
use proptest::prelude::*;
use std::collections::VecDeque;

const DEFAULT: Settings = Settings {
    failures: Failures::NoAnswer,
    failure_percent: 90,
    requests_min: 20,
    open_ms: 1_000,
    open_ms_max: 30_000,
};

fn pass(breaker: &Breaker, now_ms: u64) -> Ticket {
    match breaker.admit(now_ms) {
        Verdict::Pass(ticket) => ticket,
        Verdict::Refuse { retry_after_ms } => panic!("refused for {retry_after_ms} ms"),
    }
}

fn fail(breaker: &Breaker, now_ms: u64, count: usize) -> Option<Phase> {
    let settle = |_| breaker.settle(Ticket::Normal, now_ms, Outcome::Failure, &DEFAULT);
    (0..count).filter_map(settle).last()
}

fn probe(breaker: &Breaker, now_ms: u64, outcome: Outcome) -> Option<Phase> {
    let ticket = pass(breaker, now_ms);
    assert_eq!(ticket, Ticket::Probe);
    breaker.settle(ticket, now_ms, outcome, &DEFAULT)
}

#[test]
fn the_defaults_are_what_the_tests_assume() {
    assert_eq!(Settings::default(), DEFAULT);
}

#[test]
fn it_opens_when_practically_all_of_enough_requests_fail() {
    let breaker = Breaker::default();
    assert_eq!(fail(&breaker, 500, 19), None);
    assert_eq!(fail(&breaker, 500, 1), Some(Phase::Open));
    assert_eq!(breaker.admit(500), Verdict::Refuse { retry_after_ms: 1_000 });
    assert_eq!(breaker.admit(1_499), Verdict::Refuse { retry_after_ms: 1 });
}

#[test]
fn it_stays_closed_while_one_request_in_nine_is_answered() {
    let breaker = Breaker::default();
    for round in 0..1_000 {
        let now_ms = round * 50;
        breaker.settle(Ticket::Normal, now_ms, Outcome::Success, &DEFAULT);
        assert_eq!(fail(&breaker, now_ms, 8), None);
    }
}

#[test]
fn failures_older_than_the_window_do_not_count() {
    let breaker = Breaker::default();
    fail(&breaker, 0, 19);
    assert_eq!(breaker.counts(9_999), (19, 19));
    assert_eq!(breaker.counts(10_000), (0, 0));
    assert_eq!(fail(&breaker, 10_000, 19), None);
    assert_eq!(fail(&breaker, 10_999, 1), Some(Phase::Open));
}

#[test]
fn after_the_pause_three_probes_must_succeed() {
    let breaker = Breaker::default();
    fail(&breaker, 0, 20);
    let tickets: Vec<_> = (0..3).map(|_| pass(&breaker, 1_000)).collect();
    assert!(matches!(breaker.admit(1_001), Verdict::Refuse { .. }));
    let mut phases = tickets.iter().map(|ticket| {
        assert_eq!(*ticket, Ticket::Probe);
        breaker.settle(*ticket, 1_100, Outcome::Success, &DEFAULT)
    });
    assert!(phases.by_ref().take(2).all(|phase| phase.is_none()));
    assert_eq!(phases.next(), Some(Some(Phase::Closed)));
    assert_eq!(pass(&breaker, 1_100), Ticket::Normal);
    // What opened it is forgotten.
    assert_eq!(fail(&breaker, 1_200, 19), None);
}

#[test]
fn the_pause_doubles_with_each_failed_probe_up_to_its_bound_and_starts_anew_after_closing() {
    let breaker = Breaker::default();
    let mut now_ms = 0;
    fail(&breaker, now_ms, 20);
    for pause_ms in [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000] {
        assert_eq!(breaker.admit(now_ms), Verdict::Refuse { retry_after_ms: pause_ms });
        now_ms += pause_ms;
        assert_eq!(breaker.phase(now_ms), Phase::HalfOpen);
        assert_eq!(probe(&breaker, now_ms, Outcome::Failure), Some(Phase::Open));
    }
    now_ms += 30_000;
    for _ in 0..PROBES {
        probe(&breaker, now_ms, Outcome::Success);
    }
    fail(&breaker, now_ms, 20);
    assert_eq!(breaker.admit(now_ms), Verdict::Refuse { retry_after_ms: 1_000 });
}

#[test]
fn a_probe_without_a_verdict_gives_its_place_back_and_a_lost_one_blocks_nothing() {
    let breaker = Breaker::default();
    fail(&breaker, 0, 20);
    for _ in 0..20 {
        assert_eq!(probe(&breaker, 1_000, Outcome::Unknown), None);
    }
    let _lost: Vec<_> = (0..3).map(|_| pass(&breaker, 1_000)).collect();
    assert!(matches!(breaker.admit(1_000 + PROBE_PATIENCE_MS - 1), Verdict::Refuse { .. }));
    assert_eq!(pass(&breaker, 1_000 + PROBE_PATIENCE_MS), Ticket::Probe);
}

#[test]
fn a_new_instance_is_tried_at_once() {
    let breaker = Breaker::default();
    fail(&breaker, 0, 20);
    breaker.instance_came(10);
    for _ in 0..PROBES {
        probe(&breaker, 10, Outcome::Success);
    }
    assert_eq!(breaker.phase(10), Phase::Closed);
    breaker.instance_came(11);
    assert_eq!(breaker.phase(11), Phase::Closed);
}

#[test]
fn requests_of_before_neither_open_nor_close_a_breaker_that_is_open() {
    let breaker = Breaker::default();
    fail(&breaker, 0, 20);
    assert_eq!(fail(&breaker, 500, 100), None);
    breaker.settle(Ticket::Normal, 500, Outcome::Success, &DEFAULT);
    breaker.settle(Ticket::Probe, 500, Outcome::Success, &DEFAULT);
    assert_eq!(breaker.admit(500), Verdict::Refuse { retry_after_ms: 500 });
}

#[test]
fn a_share_above_all_never_opens_it() {
    let breaker = Breaker::default();
    let never = Settings { failure_percent: 101, ..DEFAULT };
    for _ in 0..100 {
        assert_eq!(breaker.settle(Ticket::Normal, 0, Outcome::Failure, &never), None);
    }
}

#[test]
fn what_counts_as_a_failure_is_chosen() {
    let counted = |failures: Failures| {
        [200, 404, 500, 501, 502, 503, 504, 599].into_iter().filter(move |s| failures.include(*s))
    };
    assert_eq!(counted(Failures::NoAnswer).count(), 0);
    assert_eq!(counted(Failures::Gateway).collect::<Vec<_>>(), [502, 503, 504]);
    assert_eq!(counted(Failures::ServerErrors).count(), 6);
}

#[test]
fn a_place_at_work_and_a_place_in_the_queue_are_counted_apart() {
    let limits = Limits { concurrent_max: 1, pending_max: 1 };
    let busy = Occupancy::default().begin(&limits).unwrap();
    assert_eq!(busy.begin(&limits), Err(Full));
    let waiting = busy.wait(&limits).unwrap();
    assert_eq!(waiting.wait(&limits), Err(Full));
    assert_eq!(waiting.promote(&limits), Err(Full));
    let promoted = waiting.end().promote(&limits).unwrap();
    assert_eq!(promoted, Occupancy { working: 1, pending: 0 });
    assert_eq!(promoted.end().end().give_up(), Occupancy::default());
    assert_eq!(Occupancy::unpack(waiting.pack()), waiting);
}

/// The window as one would write it without packing: seconds and outcomes in a list.
#[derive(Default)]
struct Model(VecDeque<(u64, bool)>);

impl Model {
    fn is_too_bad(&mut self, now_ms: u64, is_failure: bool) -> bool {
        self.0.push_back((now_ms / 1_000, is_failure));
        while self.0.front().is_some_and(|(second, _)| second + 10 <= now_ms / 1_000) {
            self.0.pop_front();
        }
        let failed = self.0.iter().filter(|(_, failed)| *failed).count();
        is_failure && self.0.len() >= 20 && failed * 100 >= self.0.len() * 90
    }
}

proptest! {
    #[test]
    fn it_opens_exactly_when_a_plain_list_of_outcomes_says_so(
        steps in prop::collection::vec((0_u64..900, prop::bool::weighted(0.93)), 1..400),
    ) {
        let (breaker, mut model, mut now_ms) = (Breaker::default(), Model::default(), 0);
        for (pause_ms, is_failure) in steps {
            now_ms += pause_ms;
            let outcome = if is_failure { Outcome::Failure } else { Outcome::Success };
            let change = breaker.settle(Ticket::Normal, now_ms, outcome, &DEFAULT);
            prop_assert_eq!(change == Some(Phase::Open), model.is_too_bad(now_ms, is_failure));
            if change.is_some() {
                break;
            }
        }
    }

    #[test]
    fn the_gate_survives_packing_and_admits_after_every_history(
        steps in prop::collection::vec((0_u64..5_000, 0..5), 1..200),
    ) {
        let (mut gate, mut now_ms) = (Gate::CLOSED, 0);
        for (pause_ms, action) in steps {
            now_ms += pause_ms;
            gate = match action {
                0 => gate.open(now_ms, &DEFAULT),
                1 => gate.probed(now_ms, Outcome::Success, &DEFAULT),
                2 => gate.probed(now_ms, Outcome::Failure, &DEFAULT),
                3 => gate.probed(now_ms, Outcome::Unknown, &DEFAULT),
                _ => gate.admit(now_ms).0,
            };
            prop_assert_eq!(Gate::unpack(gate.pack()), gate);
        }
        // Whatever happened, it never refuses for longer than its longest pause.
        let verdict = gate.admit(now_ms + DEFAULT.open_ms_max).1;
        prop_assert!(matches!(verdict, Verdict::Pass(_)), "{:?}", verdict);
    }
}
