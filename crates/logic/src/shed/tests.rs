use super::*;
use crate::balance::Random;
use proptest::prelude::*;
use std::collections::VecDeque;

/// A service of `servers` that work one request at a time for `service_ms` each, behind a queue
/// without bound; who is not answered within `patience_ms` has gone, but its request is worked on.
struct Service {
    servers: usize,
    service_ms: u64,
    patience_ms: u64,
    queue: VecDeque<u64>,
    /// (done at, sent at)
    busy: Vec<(u64, u64)>,
    /// When those were sent that somebody still waits for, in order.
    open: VecDeque<u64>,
}

impl Service {
    fn new(servers: usize, service_ms: u64) -> Self {
        let (queue, open) = (VecDeque::new(), VecDeque::new());
        Self { servers, service_ms, patience_ms: 1_000, queue, busy: Vec::new(), open }
    }

    fn send(&mut self, now_ms: u64) {
        self.queue.push_back(now_ms);
        self.open.push_back(now_ms);
    }

    /// What ends in this millisecond.
    fn step(&mut self, now_ms: u64) -> Vec<End> {
        let mut ends = Vec::new();
        let service_ms = self.service_ms;
        let (done, busy): (Vec<_>, Vec<_>) =
            self.busy.iter().partition(|(end_ms, _)| *end_ms <= now_ms);
        self.busy = busy;
        for (_, sent_ms) in done {
            if let Ok(at) = self.open.binary_search(&sent_ms) {
                self.open.remove(at);
                ends.push(End::Answered((now_ms - sent_ms) * 1_000));
            }
        }
        while self.busy.len() < self.servers
            && let Some(sent_ms) = self.queue.pop_front()
        {
            self.busy.push((now_ms + service_ms, sent_ms));
        }
        let patience_ms = self.patience_ms;
        while self.open.front().is_some_and(|sent_ms| now_ms - sent_ms >= patience_ms) {
            self.open.pop_front();
            ends.push(End::Late);
        }
        ends
    }
}

#[derive(Debug, Default)]
struct Seen {
    answered: u64,
    late: u64,
    shed: u64,
    slowest_ms: u64,
}

/// Sends `per_second(second)` requests at random moments for so many seconds, and counts what came of
/// those sent after `from_s`.
fn run(
    service: &mut Service,
    limiter: &mut Limiter,
    seconds: (u64, u64),
    per_second: impl Fn(u64) -> usize,
    mut each_second: impl FnMut(u64, &mut Service),
) -> Seen {
    let mut random = Random::new(7);
    let (mut seen, (from_s, to_s)) = (Seen::default(), seconds);
    for now_ms in 0..to_s * 1_000 {
        if now_ms % 1_000 == 0 {
            each_second(now_ms / 1_000, service);
        }
        let counts = u64::from(now_ms >= from_s * 1_000);
        for end in service.step(now_ms) {
            limiter.end(now_ms, end);
            match end {
                End::Answered(us) => {
                    seen.answered += counts;
                    seen.slowest_ms = seen.slowest_ms.max(counts * us / 1_000);
                }
                End::Late => seen.late += counts,
                End::Unknown => {}
            }
        }
        // Ten draws a millisecond, each a request with the chance that makes the rate.
        for _ in 0..10 {
            if random.below(10_000) < per_second(now_ms / 1_000) {
                match limiter.arrive(now_ms, 0) {
                    Verdict::Admit => service.send(now_ms),
                    Verdict::Queue => unreachable!("nothing may wait"),
                    Verdict::Shed { .. } => seen.shed += counts,
                }
            }
        }
    }
    seen
}

#[test]
fn a_service_below_its_capacity_is_never_limited() {
    // 2,000 a second are its capacity.
    let (mut service, mut limiter) = (Service::new(20, 10), Limiter::default());
    let seen = run(&mut service, &mut limiter, (0, 60), |_| 1_700, |_, _| {});
    assert_eq!((seen.shed, seen.late), (0, 0), "{seen:?}");
    assert_eq!(limiter.limit(), None);
}

#[test]
fn an_overloaded_service_collapses_without_a_limit_and_works_on_with_one() {
    let rate = |second| if second < 10 { 1_000 } else { 6_000 };
    let (mut service, mut limiter) = (Service::new(20, 10), Limiter::default());
    let seen = run(&mut service, &mut limiter, (20, 60), rate, |_, _| {});
    let capacity = 2_000 * 40;
    assert!(seen.answered > capacity * 8 / 10, "{seen:?}");
    assert!(seen.late < capacity / 20, "{seen:?}");

    // The same without: a limiter that is new each second knows nothing.
    let mut service = Service::new(20, 10);
    let (mut random, mut answered) = (Random::new(7), 0);
    for now_ms in 0..60_000 {
        let ends = service.step(now_ms);
        if now_ms >= 20_000 {
            answered += ends.iter().filter(|end| matches!(end, End::Answered(_))).count();
        }
        (0..10).filter(|_| random.below(10_000) < rate(now_ms / 1_000)).for_each(|_| {
            service.send(now_ms);
        });
    }
    assert!(answered < 2_000, "{answered} were answered in time");
}

#[test]
fn the_limit_goes_when_the_overload_is_over() {
    let rate = |second| if (10..40).contains(&second) { 6_000 } else { 1_000 };
    let (mut service, mut limiter) = (Service::new(20, 10), Limiter::default());
    let seen = run(&mut service, &mut limiter, (50, 120), rate, |_, _| {});
    assert_eq!(seen.shed, 0, "{seen:?}");
    assert_eq!(limiter.limit(), None);
}

#[test]
fn a_service_that_became_slower_for_good_is_not_limited_for_long() {
    // Ten times slower, with servers to spare: no queue, only latency.
    let (mut service, mut limiter) = (Service::new(2_000, 10), Limiter::default());
    let slower = |second, service: &mut Service| {
        if second == 20 {
            service.service_ms = 200;
        }
    };
    let seen = run(&mut service, &mut limiter, (40, 120), |_| 1_000, slower);
    assert_eq!((seen.shed, seen.late), (0, 0), "{seen:?}");
    assert_eq!(limiter.limit(), None);
}

#[test]
fn a_few_slow_requests_among_fast_ones_bring_no_limit() {
    let mut limiter = Limiter::default();
    let mut random = Random::new(3);
    for now_ms in 0..120_000_u64 {
        // From the first minute on half of the requests are long polls, and a thousand are open.
        let is_slow = now_ms > 60_000 && random.below(2) == 0;
        assert_eq!(limiter.arrive(now_ms, 0), Verdict::Admit);
        if !(60_000..=61_000).contains(&now_ms) {
            limiter.end(now_ms, End::Answered(if is_slow { 2_000_000 } else { 3_000 }));
        }
    }
    assert!(limiter.at_work() >= 1_000);
    assert_eq!(limiter.limit(), None);
}

#[test]
fn a_pause_of_one_window_brings_no_limit() {
    let (mut service, mut limiter) = (Service::new(20, 10), Limiter::default());
    let pause = |second, service: &mut Service| {
        service.service_ms = if second % 15 == 14 { 300 } else { 10 };
        service.patience_ms = 60_000;
    };
    let seen = run(&mut service, &mut limiter, (0, 120), |_| 300, pause);
    assert_eq!(seen.shed, 0, "{seen:?}");
}

/// A limiter in a window that has brought a limit.
fn limited() -> Limiter {
    let mut limiter = Limiter::default();
    let mut now_ms = 0;
    while limiter.limit().is_none() {
        now_ms += 10;
        assert!(now_ms < 20_000, "no limit came");
        let _ = limiter.arrive(now_ms, 0);
        if limiter.at_work() > 40 {
            limiter.end(now_ms, End::Late);
        }
    }
    limiter
}

#[test]
fn what_waits_goes_first_and_the_queue_is_bounded() {
    let mut limiter = limited();
    let limit = limiter.limit().unwrap();
    while limiter.at_work() >= limit {
        limiter.end(0, End::Unknown);
    }
    assert_eq!(limiter.arrive(0, 2), Verdict::Admit);
    assert_eq!(limiter.arrive(0, 2), Verdict::Queue);
    assert_eq!(limiter.arrive(0, 2), Verdict::Queue);
    assert!(matches!(limiter.arrive(0, 2), Verdict::Shed { retry_after_s: 1..=8 }));
    assert!(!limiter.admit_next());
    limiter.end(0, End::Unknown);
    assert_eq!(limiter.arrive(0, 3), Verdict::Queue);
    assert!(limiter.admit_next());
    assert!(!limiter.admit_next());
    assert_eq!((limiter.at_work(), limiter.waiting()), (limit, 2));
    assert!(matches!(limiter.give_up(), Verdict::Shed { .. }));
    assert_eq!(limiter.waiting(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]
    #[test]
    fn no_service_is_limited_at_seven_tenths_of_its_capacity(
        servers in 1_usize..60,
        service_ms in 2_u64..40,
    ) {
        let capacity = servers * 1_000 / usize::try_from(service_ms).unwrap();
        let rate = (capacity * 7 / 10).min(7_000);
        let (mut service, mut limiter) = (Service::new(servers, service_ms), Limiter::default());
        let seen = run(&mut service, &mut limiter, (0, 15), |_| rate, |_, _| {});
        prop_assert_eq!(seen.shed, 0);
        prop_assert_eq!(limiter.limit(), None);
    }

    #[test]
    fn counts_return_to_zero_after_every_history(
        steps in prop::collection::vec((0_u64..400, 0..4), 1..2_000),
    ) {
        let (mut limiter, mut now_ms) = (Limiter::default(), 0);
        let (mut at_work, mut waiting) = (0, 0);
        for (pause_ms, action) in steps {
            now_ms += pause_ms;
            match action {
                0 | 1 => match limiter.arrive(now_ms, 50) {
                    Verdict::Admit => at_work += 1,
                    Verdict::Queue => waiting += 1,
                    Verdict::Shed { retry_after_s } => prop_assert!((1..=8).contains(&retry_after_s)),
                },
                2 if at_work > 0 => {
                    limiter.end(now_ms, End::Late);
                    at_work -= 1;
                }
                _ => {
                    let went = u32::from(limiter.admit_next());
                    at_work += went;
                    waiting -= went;
                }
            }
            prop_assert_eq!((limiter.at_work(), limiter.waiting()), (at_work, waiting));
            prop_assert!(limiter.limit().is_none_or(|limit| limit >= LIMIT_MIN));
        }
    }
}
