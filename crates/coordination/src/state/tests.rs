//! Both kinds of stores against one model, and what only one of them has.

use super::{Cache, Etag, Fence, Item, Match, State, StateEvent, StateOp, Ttl, Write};
use crate::{
    Error, LockRequest, StateStore, Stores,
    config::StateKind,
    engine,
    testing::{Engine, Node},
};
use base::{ByteSize, ServiceName, Timestamp};
use bytes::Bytes;
use ports::kv::{self, Kv as _, Life, Operation, conformance::Failure};
use runtime::Clock;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::sync::watch;

mod against_a_model;
mod cached;

const NOON: Timestamp = Timestamp(1_700_000_000_000_000);

/// A store in an engine, and one in memory.
struct Pair {
    engine: Engine,
    durable: State,
    cache: State,
    memory: Arc<Cache>,
}

fn pair() -> Pair {
    let engine = Engine::default();
    let clock = Clock::simulated(NOON);
    let place = "memory".to_owned();
    let bounded = engine::Engine::new(Arc::new(engine.clone()), place, "shop", clock);
    let stores = watch::Sender::new(Arc::new(Stores::usual())).subscribe();
    let durable = State::durable(StateStore::durable("d"), &Arc::new(bounded), &stores);
    let max = ByteSize(64 << 20);
    let memory = Arc::new(Cache::new(max.0, clock));
    let cache = State::cache(StateStore::cache("c", max), Arc::clone(&memory));
    Pair { engine, durable, cache, memory }
}

fn write(key: &str, value: &str, etag: Match) -> Write {
    Write { etag, ..Write::new(key, value.to_owned()) }
}

fn delete(key: &str, etag: Match) -> StateOp {
    StateOp::Delete { key: key.to_owned(), etag, fence: None }
}

async fn value(state: &State, key: &str) -> Option<String> {
    let item = state.get(key).await.unwrap()?;
    Some(String::from_utf8(item.value.to_vec()).unwrap())
}

#[tokio::test(start_paused = true)]
async fn an_item_reads_back_with_all_that_was_written() {
    let pair = pair();
    for state in [&pair.durable, &pair.cache] {
        let ttl = Ttl::After(Duration::from_millis(1_500));
        let content_type = Some("application/json".to_owned());
        let written = Write { ttl, content_type: content_type.clone(), ..Write::new("k", "1") };
        let etag = state.put(written).await.unwrap();
        let expires = Some(Timestamp(NOON.0 + 2_000_000));
        let (key, value) = ("k".to_owned(), Bytes::from("1"));
        let item = Item { key, value, etag, content_type, expires };
        assert_eq!(state.get("k").await.unwrap(), Some(item));
    }
}

#[tokio::test(start_paused = true)]
async fn a_conflict_names_the_key_what_was_expected_and_what_was_found() {
    let pair = pair();
    for state in [&pair.durable, &pair.cache] {
        let etag = state.put(Write::new("k", "1")).await.unwrap();
        let error = state.put(write("k", "2", Match::Missing)).await.unwrap_err();
        assert_eq!(error.to_string(), format!("`k` was to be missing, but is at {etag}"));
        let error = state.put(write("x", "2", Match::Etag(Etag(9)))).await.unwrap_err();
        assert_eq!(error.to_string(), "`x` was to be at 9, but is missing");
        let steps = vec![
            StateOp::Put(write("new", "1", Match::Missing)),
            delete("k", Match::Etag(Etag(etag.0 + 1))),
            StateOp::Put(write("y", "1", Match::Etag(etag))),
        ];
        let error = state.transact(steps).await.unwrap_err();
        let Error::Conflict { key, expected, found } = error else { panic!("{error}") };
        assert_eq!((key.as_str(), found), ("k", Some(etag.to_string())));
        assert_eq!(expected, Some((etag.0 + 1).to_string()));
        assert_eq!(value(state, "new").await, None, "nothing of it was done");
    }
}

#[tokio::test(start_paused = true)]
async fn what_no_store_takes_is_refused_with_the_limit() {
    let pair = pair();
    for state in [&pair.durable, &pair.cache] {
        let long = "k".repeat(super::KEY_LEN_MAX);
        state.put(Write::new(long.clone(), vec![0; super::VALUE_LEN_MAX])).await.unwrap();
        for (bad, message) in [
            (Write::new(format!("{long}k"), ""), "3841 bytes in the key, 3840 are allowed"),
            (Write::new("", ""), "the key is empty"),
            (
                Write::new("k", vec![0; super::VALUE_LEN_MAX + 1]),
                "1048065 bytes in the value, 1048064 are allowed",
            ),
            (
                Write { content_type: Some("x".repeat(256)), ..Write::new("k", "") },
                "256 bytes in the content type, 255 are allowed",
            ),
            (
                Write { ttl: Ttl::After(Duration::from_secs(u64::MAX / 2)), ..Write::new("k", "") },
                "a time to live is between 1 s and 315360000 s",
            ),
        ] {
            assert_eq!(state.put(bad).await.unwrap_err().to_string(), message);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn many_are_written_each_for_itself_and_the_last_write_of_a_key_wins() {
    let pair = pair();
    for state in [&pair.durable, &pair.cache] {
        state.put(Write::new("taken", "0")).await.unwrap();
        let mut writes: Vec<Write> =
            (0..200).map(|n| Write::new(format!("k{}", n % 150), n.to_string())).collect();
        writes.insert(3, write("taken", "1", Match::Missing));
        writes.insert(5, Write::new("", ""));
        let answers = state.put_many(writes).await;
        assert_eq!(answers.len(), 202);
        assert!(matches!(answers[3], Err(Error::Conflict { .. })), "{:?}", answers[3]);
        assert!(matches!(answers[5], Err(Error::Invalid(_))), "{:?}", answers[5]);
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 200);
        assert_eq!(value(state, "k10").await.unwrap(), "160");
        let last = state.get("k10").await.unwrap().unwrap();
        assert_eq!(answers[162].as_ref().unwrap(), &last.etag);
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_with_conditions_is_one_call_of_the_engine() {
    let pair = pair();
    let state = &pair.durable;
    let etag = state.put(write("k", "1", Match::Missing)).await.unwrap();
    assert_eq!(pair.engine.calls(), (0, 1));
    state.put(write("k", "2", Match::Etag(etag))).await.unwrap();
    state.put(write("k", "2", Match::Missing)).await.unwrap_err();
    state.delete("k", Match::Any, None).await.unwrap();
    assert_eq!(pair.engine.calls(), (0, 3));
    let writes = (0..64).map(|n| Write::new(format!("k{n}"), "")).collect();
    state.put_many(writes).await;
    assert_eq!(pair.engine.calls(), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_scan_goes_on_behind_a_key_and_a_watch_behind_the_scan() {
    let pair = pair();
    for state in [&pair.durable, &pair.cache] {
        for key in ["a", "b/1", "b/2", "b/3", "c"] {
            state.put(Write::new(key, key)).await.unwrap();
        }
        let scan = state.scan("b/", None, 2).await.unwrap();
        let keys: Vec<_> = scan.items.iter().map(|item| item.key.as_str()).collect();
        assert_eq!((keys, scan.next.as_deref()), (vec!["b/1", "b/2"], Some("b/2")));
        let mut watch = state.watch("b/", None).await.unwrap();
        let rest = state.scan("b/", scan.next.as_deref(), 2).await.unwrap();
        assert_eq!((rest.items.len(), rest.next), (1, None));
        state.put(Write::new("c", "")).await.unwrap();
        state.delete("b/1", Match::Any, None).await.unwrap();
        let change = watch.next().await.unwrap();
        assert_eq!(change.events, [StateEvent::Delete { key: "b/1".to_owned() }]);
        assert_eq!(watch.revision(), change.revision);
        let mut again = state.watch("", Some(rest.revision)).await.unwrap();
        assert!(matches!(&again.next().await.unwrap().events[..], [StateEvent::Put(_)]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_tells_all_once_over_outages_and_restarts() {
    let pair = pair();
    let mut watch = pair.durable.watch("", None).await.unwrap();
    let mut told = Vec::new();
    for round in 0..20 {
        pair.durable.put(Write::new("k", round.to_string())).await.unwrap();
        match round % 4 {
            0 => pair.engine.memory.restart(),
            1 => {
                pair.engine.memory.set_down(true);
                let waiting = tokio::time::timeout(Duration::from_secs(5), watch.next()).await;
                told.extend(waiting.ok().map(Result::unwrap));
                pair.engine.memory.set_down(false);
            }
            2 => {
                pair.engine.memory.fail_next(Failure::Unavailable);
                told.push(watch.next().await.unwrap());
            }
            _ => {}
        }
    }
    while told.len() < 20 {
        told.push(watch.next().await.unwrap());
    }
    let values = told.iter().flat_map(|change| &change.events).map(|event| match event {
        StateEvent::Put(item) => String::from_utf8(item.value.to_vec()).unwrap(),
        StateEvent::Delete { .. } => "-".to_owned(),
    });
    let expected: Vec<String> = (0..20).map(|n: u32| n.to_string()).collect();
    assert_eq!(values.collect::<Vec<_>>(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_comes_back_too_late_is_told_so() {
    let pair = pair();
    let etag = pair.durable.put(Write::new("k", "1")).await.unwrap();
    pair.durable.put(Write::new("k", "2")).await.unwrap();
    let newest = pair.durable.put(Write::new("k", "3")).await.unwrap();
    kv::Kv::compact(&pair.engine, kv::Revision(newest.0)).await.unwrap();
    let error = pair.durable.watch("", Some(etag.0)).await.unwrap_err();
    assert!(matches!(error, Error::Compacted { compacted } if compacted == newest.0), "{error}");
    // A revision that the engine has not reached was told by one that is lost.
    let error = pair.durable.watch("", Some(newest.0 + 1)).await.unwrap_err();
    assert!(matches!(error, Error::Compacted { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_is_away_or_silent_is_an_error_within_two_seconds() {
    let pair = pair();
    let state = &pair.durable;
    pair.engine.memory.set_down(true);
    let error = state.get("k").await.unwrap_err();
    assert_eq!(error.to_string(), "the kv engine at memory does not answer");
    assert!(matches!(state.put(Write::new("k", "")).await, Err(Error::Unavailable { .. })));
    pair.engine.memory.set_down(false);
    pair.engine.set_silent(true);
    let before = tokio::time::Instant::now();
    assert!(matches!(state.get("k").await, Err(Error::Unavailable { .. })));
    assert!(matches!(state.put(Write::new("k", "")).await, Err(Error::Unknown { .. })));
    let keys: Vec<String> = (0..500).map(|n| n.to_string()).collect();
    let many = state.get_many(&keys).await;
    assert_eq!(many.iter().filter(|one| one.is_err()).count(), 500);
    let writes = keys.iter().map(|key| write(key, "", Match::Missing)).collect();
    let many = state.put_many(writes).await;
    let is_unknown = |one: &Result<Etag, Error>| matches!(one, Err(Error::Unknown { .. }));
    assert_eq!(many.iter().filter(|one| is_unknown(one)).count(), 64, "the rest was not tried");
    assert_eq!(many.iter().filter(|one| one.is_err()).count(), 500);
    assert_eq!(before.elapsed().as_secs(), 8, "four calls of two seconds");
    pair.engine.set_silent(false);
    assert_eq!(value(state, "k").await, None);
}

#[tokio::test(start_paused = true)]
async fn a_paused_holder_cannot_write_after_its_lock_went_to_somebody_else() {
    let node = Node::start();
    let (state, locks) = (node.handle.state("statestore").unwrap(), node.handle.locks());
    let request =
        |owner: &str| LockRequest::new("lockstore", "leader", owner, Duration::from_secs(10));
    let fenced = |value: &str, token: u64| {
        let (store, resource) = ("lockstore".to_owned(), "leader".to_owned());
        Write { fence: Some(Fence { store, resource, token }), ..Write::new("k", value.to_owned()) }
    };
    let ann = locks.try_acquire(&request("ann")).await.unwrap().unwrap();
    state.put(fenced("ann", ann.token)).await.unwrap();
    // Ann is paused for longer than her lease; Bob takes over.
    node.engine.memory.advance(Duration::from_secs(10));
    let error = state.put(fenced("late", ann.token)).await.unwrap_err();
    assert!(matches!(error, Error::Stale { current: None, .. }), "{error}");
    let bob = locks.try_acquire(&request("bob")).await.unwrap().unwrap();
    assert!(bob.token > ann.token);
    state.put(fenced("bob", bob.token)).await.unwrap();
    let Err(Error::Stale { token, current, .. }) = state.put(fenced("late", ann.token)).await
    else {
        panic!("a stale write was applied")
    };
    assert_eq!((token, current), (ann.token, Some(bob.token)));
    let fence = fenced("", ann.token).fence;
    let error = state.delete("k", Match::Any, fence.clone()).await.unwrap_err();
    assert!(matches!(error, Error::Stale { .. }), "{error}");
    let steps = vec![StateOp::Put(Write::new("x", "1")), StateOp::Put(fenced("late", ann.token))];
    let error = state.transact(steps).await.unwrap_err();
    assert!(matches!(error, Error::Stale { .. }), "{error}");
    assert_eq!(value(&state, "k").await.unwrap(), "bob");
    assert_eq!(value(&state, "x").await, None);
}

#[tokio::test(start_paused = true)]
async fn a_fence_on_a_cache_or_of_an_unknown_lock_store_is_refused() {
    let pair = pair();
    let fence = |store: &str| {
        let (store, resource) = (store.to_owned(), "r".to_owned());
        Some(Fence { store, resource, token: 1 })
    };
    let refused = Write { fence: fence("lockstore"), ..Write::new("k", "") };
    let error = pair.cache.put(refused).await.unwrap_err();
    assert!(matches!(error, Error::Unsupported(_)), "{error}");
    let unknown = Write { fence: fence("lokstore"), ..Write::new("k", "") };
    let error = pair.durable.put(unknown).await.unwrap_err();
    assert_eq!(error.to_string(), "there is no lock store `lokstore`; there are: lockstore");
}

#[tokio::test(start_paused = true)]
async fn what_somebody_else_has_put_there_is_named_and_does_not_stop_a_watch() {
    let pair = pair();
    let mut watch = pair.durable.watch("", None).await.unwrap();
    let foreign = kv::Transaction::put("flotilla/shop/state/d/k", "plain text");
    kv::Kv::commit(&pair.engine, foreign).await.unwrap();
    let error = pair.durable.get("k").await.unwrap_err();
    assert!(matches!(&error, Error::Damaged { what, .. } if what.contains("`k`")), "{error}");
    pair.durable.put(Write::new("k", "1")).await.unwrap();
    assert!(matches!(&watch.next().await.unwrap().events[..], [StateEvent::Put(_)]));
}

#[test]
fn an_etag_is_a_number_as_it_is_printed() {
    assert_eq!("42".parse::<Etag>().unwrap(), Etag(42));
    for bad in ["", "x", "-1", "+1", "042", " 1", "1 ", "\"1\"", "99999999999999999999"] {
        let error = bad.parse::<Etag>().unwrap_err();
        assert!(matches!(error, Error::BadEtag(_)), "{bad}");
    }
}

#[test]
fn a_prefix_goes_on_and_comes_off() {
    let orders = ServiceName::new("orders").unwrap();
    for (prefix, full) in [
        (crate::KeyPrefix::Service, "orders||k"),
        (crate::KeyPrefix::Store, "d||k"),
        (crate::KeyPrefix::None, "k"),
        (crate::KeyPrefix::Literal("team".to_owned()), "team||k"),
        (crate::KeyPrefix::Namespace("prod".to_owned()), "prod.orders||k"),
    ] {
        let store = StateStore { prefix, ..StateStore::durable("d") };
        assert_eq!(store.prefix.apply(&orders, "d", "k"), full);
        assert_eq!(store.prefix.strip(&orders, "d", full), Some("k"));
    }
    assert_eq!(crate::KeyPrefix::Service.strip(&orders, "d", "users||k"), None);
}

#[test]
fn dapr_seconds_of_nothing_leave_it_to_the_store_and_below_one_mean_endless() {
    assert_eq!(Ttl::from_seconds(None), Ttl::Store);
    assert_eq!(Ttl::from_seconds(Some(0)), Ttl::Endless);
    assert_eq!(Ttl::from_seconds(Some(-1)), Ttl::Endless);
    assert_eq!(Ttl::from_seconds(Some(3)), Ttl::After(Duration::from_secs(3)));
}

#[tokio::test(start_paused = true)]
async fn what_stands_beside_a_transaction_is_there_exactly_when_it_commits() {
    let Pair { engine, durable, cache, .. } = pair();
    let beside = |key: &'static str| {
        vec![Operation::Put {
            key: Bytes::from_static(key.as_bytes()),
            value: Bytes::from_static(b"message"),
            life: Life::Endless,
        }]
    };
    let put = |key, etag| vec![StateOp::Put(write(key, "1", etag))];
    durable.transact_beside(put("a", Match::Missing), beside("sent")).await.unwrap();
    assert!(engine.memory.get(b"sent").await.unwrap().is_some());
    let refused = durable.transact_beside(put("a", Match::Missing), beside("unsent")).await;
    assert!(matches!(refused, Err(Error::Conflict { .. })), "{refused:?}");
    assert!(engine.memory.get(b"unsent").await.unwrap().is_none());
    // Messages may go without any value.
    assert_eq!(durable.transact_beside(Vec::new(), beside("alone")).await.unwrap(), []);
    assert!(engine.memory.get(b"alone").await.unwrap().is_some());
    let refused = cache.transact_beside(put("a", Match::Any), beside("never")).await;
    assert!(matches!(refused, Err(Error::Unsupported(_))), "{refused:?}");
    assert_eq!(value(&cache, "a").await, None);
}

#[tokio::test(start_paused = true)]
async fn others_can_commit_what_a_store_would_do_with_something_of_their_own() {
    let Pair { engine, durable, cache, .. } = pair();
    let put = |etag| vec![StateOp::Put(write("a", "1", etag)), delete("b", Match::Any)];
    durable.put(Write::new("b", "0")).await.unwrap();
    let joined =
        durable.transaction(put(Match::Missing)).unwrap().and_put("own", "x", Life::Endless);
    assert_eq!(value(&durable, "a").await, None, "nothing is done before it is committed");
    engine.memory.commit(joined.clone()).await.unwrap();
    assert_eq!(value(&durable, "a").await.as_deref(), Some("1"));
    assert_eq!(value(&durable, "b").await, None);
    let again = engine.memory.commit(joined).await.unwrap();
    assert!(matches!(again, kv::Outcome::Refused { .. }), "its condition is part of it: {again:?}");
    let refused = cache.transaction(put(Match::Any));
    assert!(matches!(refused, Err(Error::Unsupported(_))), "{refused:?}");
}
