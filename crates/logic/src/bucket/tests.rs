use super::*;
use crate::balance::{Random, hash};
use proptest::prelude::*;
use std::{
    sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
    thread,
};

fn rate(limit: u32, period_s: u64, burst: u32) -> Rate {
    Rate::new(limit, Duration::from_secs(period_s), burst).unwrap()
}

fn at_ms(ms: u64) -> Moment {
    Moment::from_start(Duration::from_millis(ms))
}

#[test]
fn a_burst_is_granted_at_once_and_then_one_per_interval() {
    let (rate, mut bucket) = (rate(10, 60, 3), Bucket::default());
    let mut seen = Vec::new();
    for ms in [0, 0, 0, 0, 5_999, 6_000, 6_001, 60_000] {
        let (next, decision) = bucket.take(at_ms(ms), &rate, 1);
        bucket = next;
        let Decision { is_allowed, remaining, reset_s, retry_after_s } = decision;
        seen.push((is_allowed, remaining, reset_s, retry_after_s.unwrap()));
    }
    let expected = [
        (true, 2, 6, 0),
        (true, 1, 12, 0),
        (true, 0, 18, 0),
        (false, 0, 18, 6),
        (false, 0, 13, 1),
        (true, 0, 18, 0),
        (false, 0, 18, 6),
        (true, 2, 6, 0),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn a_cost_of_zero_only_looks_and_one_above_the_burst_never_passes() {
    let rate = rate(1, 1, 5);
    let (bucket, decision) = Bucket::default().take(at_ms(0), &rate, 0);
    assert_eq!((bucket, decision.remaining, decision.reset_s), (Bucket::default(), 5, 0));
    let (_, decision) = bucket.take(at_ms(0), &rate, 6);
    assert!(!decision.is_allowed);
    assert_eq!(decision.retry_after_s, None);
}

#[test]
fn rates_that_cannot_be_kept_are_refused() {
    let new = |limit, period, burst| Rate::new(limit, period, burst);
    assert_eq!(new(0, Duration::from_secs(1), 1), Err(InvalidRate::Zero));
    assert_eq!(new(1, Duration::ZERO, 1), Err(InvalidRate::Zero));
    assert_eq!(new(1, Duration::from_secs(1), 0), Err(InvalidRate::Zero));
    assert_eq!(new(11, Duration::from_nanos(10), 1), Err(InvalidRate::TooFast));
    assert_eq!(new(1, Duration::from_secs(86_400 * 300), 2), Err(InvalidRate::TooSlow));
    assert_eq!(new(1, Duration::MAX, u32::MAX), Err(InvalidRate::TooSlow));
    assert!(new(u32::MAX, Duration::from_secs(5), u32::MAX).is_ok());
}

proptest! {
    #[test]
    fn it_decides_as_a_bucket_that_is_refilled_step_by_step_does(
        (limit, period_s, burst) in (1_u32..50, 1_u64..100, 1_u32..20),
        steps in prop::collection::vec((0_u64..20_000, 0_u32..4), 1..200),
    ) {
        let rate = rate(limit, period_s, burst);
        let (mut bucket, mut now_ns) = (Bucket::default(), 0_u64);
        // The model counts tokens in units of 1/interval.
        let (full, mut tokens) = (u128::from(burst) * u128::from(rate.interval_ns), 0_u128);
        tokens += full;
        for (pause_ms, cost) in steps {
            now_ns += pause_ms * 1_000_000;
            tokens = (tokens + u128::from(pause_ms) * 1_000_000).min(full);
            let price = u128::from(cost) * u128::from(rate.interval_ns);
            let is_allowed = price <= tokens;
            if is_allowed {
                tokens -= price;
            }
            let now = Moment::from_start(Duration::from_nanos(now_ns));
            let (next, decision) = bucket.take(now, &rate, cost);
            bucket = next;
            prop_assert_eq!(decision.is_allowed, is_allowed);
            prop_assert_eq!(
                u128::from(decision.remaining),
                tokens / u128::from(rate.interval_ns)
            );
            prop_assert_eq!(decision.retry_after_s == Some(0), is_allowed);
        }
    }

    #[test]
    fn what_retry_after_says_is_enough_and_a_second_less_is_not(
        (limit, period_s, burst, cost) in (1_u32..50, 1_u64..100, 1_u32..20, 1_u32..20),
        taken in 0_u32..20,
    ) {
        let rate = rate(limit, period_s, burst);
        let bucket = (0..taken).fold(Bucket::default(), |b, _| b.take(at_ms(5), &rate, 1).0);
        let (bucket, decision) = bucket.take(at_ms(5), &rate, cost);
        match decision.retry_after_s {
            Some(0) => prop_assert!(decision.is_allowed),
            Some(wait_s) => {
                prop_assert!(bucket.take(at_ms(5 + wait_s * 1_000), &rate, cost).1.is_allowed);
                let before = 5 + (wait_s - 1) * 1_000;
                prop_assert!(!bucket.take(at_ms(before), &rate, cost).1.is_allowed);
            }
            None => prop_assert!(cost > burst),
        }
    }

    #[test]
    fn a_table_with_room_decides_for_each_key_as_a_bucket_of_its_own(
        steps in prop::collection::vec((0_u64..3_000, 2_u64..10), 1..300),
    ) {
        let (table, rate) = (Table::new(8), rate(2, 1, 4));
        let (mut buckets, mut now_ms) = ([Bucket::default(); 8], 0);
        for (pause_ms, key) in steps {
            now_ms += pause_ms;
            let own = &mut buckets[usize::try_from(key - 2).unwrap()];
            let (next, expected) = own.take(at_ms(now_ms), &rate, 1);
            *own = next;
            prop_assert_eq!(table.take(key, at_ms(now_ms), &rate, 1), expected);
        }
    }
}

#[test]
fn a_full_table_forgets_the_key_that_loses_least() {
    let (table, rate) = (Table::new(8), rate(1, 10, 10));
    // Key 3 has used one token, the others four.
    for key in 2..=9_u64 {
        for _ in 0..if key == 3 { 1 } else { 4 } {
            table.take(key, at_ms(0), &rate, 1);
        }
    }
    table.take(10, at_ms(0), &rate, 1);
    for key in [2, 4, 5, 6, 7, 8, 9] {
        assert_eq!(table.take(key, at_ms(0), &rate, 0).remaining, 6, "{key}");
    }
    assert_eq!(table.take(10, at_ms(0), &rate, 0).remaining, 9);
}

#[test]
fn keys_spread_over_the_whole_table() {
    let table = Table::default();
    let rate = rate(1, 60, 10);
    assert!(table.capacity() >= KEYS_DEFAULT);
    let keys = KEYS_DEFAULT / 4;
    let key = |n: usize| hash(&n.to_le_bytes());
    for n in 0..keys {
        table.take(key(n), at_ms(0), &rate, 1);
    }
    let lost = (0..keys).filter(|n| table.take(key(*n), at_ms(0), &rate, 0).remaining != 9).count();
    // A quarter full, a set of eight overflows about once in a thousand.
    assert!(lost < keys / 500, "{lost} of {keys} were forgotten");
}

#[test]
fn workers_together_grant_no_more_than_the_burst_and_the_rate() {
    const WORKERS: u64 = 4;
    const KEYS: usize = 40;
    // Few sets, so that keys share them, but with room for all.
    for seed in 0..30 {
        let (table, rate) = (Table::new(200), rate(100, 1, 5));
        let clock_ms = AtomicU64::new(0);
        let granted: Vec<AtomicUsize> = (0..KEYS).map(|_| AtomicUsize::new(0)).collect();
        thread::scope(|scope| {
            for worker in 0..WORKERS {
                let (table, rate, clock_ms, granted) = (&table, &rate, &clock_ms, &granted);
                scope.spawn(move || {
                    let mut random = Random::new(seed * WORKERS + worker);
                    for round in 0..4_000 {
                        if round % 40 == 0 {
                            clock_ms.fetch_add(1, SeqCst);
                        }
                        let at = random.below(KEYS);
                        let now = at_ms(clock_ms.load(SeqCst));
                        if table.take(hash(&[u8::try_from(at).unwrap()]), now, rate, 1).is_allowed {
                            granted[at].fetch_add(1, SeqCst);
                        }
                    }
                });
            }
        });
        let rate_times_time = usize::try_from(clock_ms.load(SeqCst)).unwrap() * 100 / 1_000;
        for (at, count) in granted.iter().enumerate() {
            let count = count.load(SeqCst);
            assert!(count <= 5 + rate_times_time, "key {at} was granted {count}");
            assert!(count >= 5, "key {at} was granted {count}");
        }
    }
}

#[test]
fn workers_that_bring_the_same_new_key_share_one_bucket() {
    let rate = rate(1, 3_600, 3);
    let table = Table::new(80);
    for key in 1..300 {
        // Each round all other keys of the table are quiet again.
        let now = Moment::from_start(Duration::from_secs(key * 36_000));
        let granted = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..4 {
                        let decision = table.take(hash(&key.to_le_bytes()), now, &rate, 1);
                        granted.fetch_add(usize::from(decision.is_allowed), SeqCst);
                    }
                });
            }
        });
        assert_eq!(granted.load(SeqCst), 3, "key {key}");
    }
}
