//! What only caches have: bounds, eviction, their own history.

use super::*;

fn cache(max: u64) -> (State, Arc<Cache>) {
    let memory = Arc::new(Cache::new(max, Clock::simulated(NOON)));
    let store =
        StateStore { kind: StateKind::Cache { max: ByteSize(max) }, ..StateStore::durable("c") };
    (State::cache(store, Arc::clone(&memory)), memory)
}

/// Bytes that a value of 100 takes.
const SIZE: u64 = 104 + super::super::cache::OVERHEAD;

async fn put(state: &State, n: usize) {
    state.put(Write::new(format!("k{n:03}"), vec![0; 100])).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_cache_never_takes_more_than_it_may_and_counts_what_it_does() {
    let (state, _) = cache(10 * SIZE);
    for n in 0..100 {
        put(&state, n).await;
        let stats = state.cache_stats().unwrap();
        assert!(stats.bytes <= stats.bytes_max, "{stats:?}");
    }
    assert!(state.get("k099").await.unwrap().is_some());
    assert!(state.get("k000").await.unwrap().is_none());
    let stats = state.cache_stats().unwrap();
    assert_eq!((stats.items, stats.evictions, stats.hits, stats.misses), (10, 90, 1, 1));
    assert_eq!(stats.bytes, 10 * SIZE);
}

#[tokio::test(start_paused = true)]
async fn what_is_read_stays_while_a_sweep_over_many_keys_goes_by() {
    let (state, _) = cache(10 * SIZE);
    for n in 0..5 {
        put(&state, n).await;
    }
    for n in 100..300 {
        put(&state, n).await;
        for hot in 0..5 {
            assert!(state.get(&format!("k{hot:03}")).await.unwrap().is_some(), "{hot} at {n}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_has_expired_goes_before_what_is_used() {
    let (state, memory) = cache(10 * SIZE);
    let ttl = Ttl::After(Duration::from_secs(1));
    for n in 0..10 {
        let ttl = if n % 2 == 0 { ttl } else { Ttl::Endless };
        state.put(Write { ttl, ..Write::new(format!("k{n:03}"), vec![0; 100]) }).await.unwrap();
    }
    tokio::time::advance(Duration::from_secs(1)).await;
    for n in 100..105 {
        put(&state, n).await;
    }
    let stats = state.cache_stats().unwrap();
    assert_eq!((stats.items, stats.evictions, stats.expirations), (10, 0, 5));
    assert!(!memory.sweep());
}

#[tokio::test(start_paused = true)]
async fn a_value_that_never_fits_is_refused_and_pushes_nothing_out() {
    let (state, _) = cache(10 * SIZE);
    for n in 0..10 {
        put(&state, n).await;
    }
    let error = state.put(Write::new("big", vec![0; 10_000])).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { what: "bytes for the cache", .. }), "{error}");
    let halves = (0..2).map(|n| StateOp::Put(Write::new(format!("h{n}"), vec![0; 4_000])));
    assert!(state.transact(halves.collect()).await.is_err());
    assert_eq!(state.cache_stats().unwrap().items, 10);
}

#[tokio::test(start_paused = true)]
async fn a_transaction_that_needs_room_does_not_push_out_its_own_keys() {
    let (state, _) = cache(10 * SIZE);
    for n in 0..10 {
        put(&state, n).await;
    }
    let steps = (0..10).map(|n| StateOp::Put(Write::new(format!("k{:03}", n + 5), vec![0; 100])));
    state.transact(steps.collect()).await.unwrap();
    let keys = state.scan("", None, 100).await.unwrap().items;
    assert_eq!(keys.first().unwrap().key, "k005");
    assert_eq!(keys.len(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_smaller_bound_holds_at_once() {
    let (state, memory) = cache(10 * SIZE);
    for n in 0..10 {
        put(&state, n).await;
    }
    memory.resize(3 * SIZE);
    let stats = state.cache_stats().unwrap();
    assert_eq!((stats.items, stats.bytes), (3, 3 * SIZE));
}

#[tokio::test(start_paused = true)]
async fn evicted_and_expired_keys_are_told_to_watches() {
    let (state, memory) = cache(2 * SIZE);
    let mut watch = state.watch("", None).await.unwrap();
    put(&state, 0).await;
    put(&state, 1).await;
    put(&state, 2).await;
    let mut changes = Vec::new();
    for _ in 0..3 {
        changes.push(watch.next().await.unwrap());
    }
    assert!(changes[2].events.contains(&StateEvent::Delete { key: "k000".to_owned() }));
    assert_eq!(changes[2].events.len(), 2);
    let ttl = Ttl::After(Duration::from_secs(1));
    state.put(Write { ttl, ..Write::new("k001", "") }).await.unwrap();
    watch.next().await.unwrap();
    tokio::time::advance(Duration::from_secs(1)).await;
    memory.sweep();
    let change = watch.next().await.unwrap();
    assert_eq!(change.events, [StateEvent::Delete { key: "k001".to_owned() }]);
}

#[tokio::test(start_paused = true)]
async fn a_watcher_that_is_far_behind_is_told_to_read_anew_and_holds_no_memory() {
    let (state, _) = cache(64 << 20);
    let mut watch = state.watch("", None).await.unwrap();
    for n in 0..100 {
        state.put(Write::new("k", vec![0; 100_000 + n])).await.unwrap();
    }
    let error = watch.next().await.unwrap_err();
    assert!(matches!(error, Error::Compacted { .. }), "{error}");
    assert!(state.cache_stats().unwrap().bytes < 5 << 20);
    let scan = state.scan("", None, 1).await.unwrap();
    assert!(state.watch("", Some(scan.revision)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn etags_of_an_earlier_life_match_nothing() {
    let (state, _) = cache(1 << 20);
    let etag = state.put(Write::new("k", "1")).await.unwrap();
    tokio::time::advance(Duration::from_millis(1)).await;
    let later = Arc::new(Cache::new(1 << 20, Clock::simulated(Timestamp(NOON.0 + 1_000))));
    let later = State::cache(StateStore::durable("c"), later);
    let now = later.put(Write::new("k", "2")).await.unwrap();
    assert!(now > etag);
    assert!(later.put(write("k", "3", Match::Etag(etag))).await.is_err());
    let error = later.watch("", Some(etag.0)).await.unwrap_err();
    assert!(matches!(error, Error::Compacted { .. }), "{error}");
}
