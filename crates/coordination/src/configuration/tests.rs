//! Configuration as its readers, writers and watchers see it.

use super::{CONFIG_VALUE_LEN_MAX, ConfigChange, ConfigWatch, Configuration, HISTORY_MAX, Select};
use crate::{
    ConfigStore, Error, Stores,
    testing::{Node, soon, until},
};
use ports::kv::{Kv as _, conformance::Failure};
use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

mod unchanged;

const STORE: &str = "configstore";

async fn set(configuration: &Configuration, key: &str, value: &str) -> u64 {
    configuration.set(STORE, key, value, BTreeMap::new(), None, "test").await.unwrap()
}

/// What is in force, as `key=value@version`.
async fn get(configuration: &Configuration, select: &Select) -> String {
    let answer = configuration.get(STORE, select).await.unwrap();
    let items = answer.items.iter().map(|(k, item)| format!("{k}={}@{}", item.value, item.version));
    items.collect::<Vec<_>>().join(" ")
}

fn text(change: &ConfigChange) -> String {
    let items = change.items.iter().map(|(key, item)| match item {
        Some(item) => format!("{key}={}@{}", item.value, item.version),
        None => format!("{key}-"),
    });
    items.collect::<Vec<_>>().join(" ")
}

async fn next(watch: &mut ConfigWatch) -> String {
    text(&soon("a change", watch.next()).await.unwrap())
}

#[tokio::test(start_paused = true)]
async fn what_this_node_has_set_it_reads_at_once() {
    let node = Node::start();
    let configuration = node.handle.configuration();
    let metadata = BTreeMap::from([("why".to_owned(), "test".to_owned())]);
    let version =
        configuration.set(STORE, "a.b", "1", metadata.clone(), None, "cli").await.unwrap();
    let answer = configuration.get(STORE, &Select::keys(&["a.b".to_owned()])).await.unwrap();
    let item = &answer.items["a.b"];
    assert_eq!((item.value.as_str(), item.version, item.by.as_str()), ("1", version, "cli"));
    assert_eq!((&item.metadata, answer.stale), (&metadata, false));
    assert_eq!(item.changed.0 / 1_000_000, 1_700_000_000);
    for n in 2..20 {
        assert_eq!(set(&configuration, "a.b", &n.to_string()).await, n);
        assert_eq!(get(&configuration, &Select::All).await, format!("a.b={n}@{n}"));
    }
    set(&configuration, "a.c", "x").await;
    set(&configuration, "b", "y").await;
    let pattern = Select::Patterns(vec!["a.*".to_owned()]);
    assert_eq!(get(&configuration, &pattern).await, "a.b=19@19 a.c=x@1");
    assert_eq!(
        get(&configuration, &Select::keys(&["b".to_owned(), "z".to_owned()])).await,
        "b=y@1"
    );
}

#[tokio::test(start_paused = true)]
async fn an_expected_version_is_a_conflict_when_another_is_in_force() {
    let node = Node::start();
    let configuration = node.handle.configuration();
    let set = async |value: &str, expected| {
        configuration.set(STORE, "k", value, BTreeMap::new(), Some(expected), "test").await
    };
    let error = set("1", 3).await.unwrap_err();
    assert_eq!(error.to_string(), "`k` was to be at 3, but is missing");
    assert_eq!(set("1", 0).await.unwrap(), 1);
    assert_eq!(set("2", 1).await.unwrap(), 2);
    assert_eq!(set("3", 1).await.unwrap_err().to_string(), "`k` was to be at 1, but is at 2");
    assert_eq!(set("3", 0).await.unwrap_err().to_string(), "`k` was to be missing, but is at 2");
    let delete = async |expected| configuration.delete(STORE, "k", expected, "test").await;
    assert!(matches!(delete(Some(1)).await, Err(Error::Conflict { .. })));
    assert_eq!(delete(Some(2)).await.unwrap(), Some(3));
    assert_eq!(delete(None).await.unwrap(), None);
    assert_eq!(set("4", 0).await.unwrap(), 4, "versions go on after a deletion");
}

#[tokio::test(start_paused = true)]
async fn concurrent_changes_without_expectation_all_become_versions() {
    let node = Node::start();
    let other = node.beside("two");
    let (one, two) = (node.handle.configuration(), other.handle.configuration());
    let sets = (0..8).map(|n| {
        let configuration = if n % 2 == 0 { one.clone() } else { two.clone() };
        async move { set(&configuration, "k", &n.to_string()).await }
    });
    let mut versions = futures_util::future::join_all(sets).await;
    versions.sort_unstable();
    assert_eq!(versions, (1..=8).collect::<Vec<_>>());
    assert_eq!(one.history(STORE, "k").await.unwrap().len(), 8);
    until("both nodes see the same", || async {
        get(&one, &Select::All).await == get(&two, &Select::All).await
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn history_is_bounded_and_a_rollback_is_a_new_version() {
    let node = Node::start();
    let configuration = node.handle.configuration();
    for n in 1..=HISTORY_MAX + 20 {
        set(&configuration, "k", &format!("line\nvalue {n}\n")).await;
    }
    let history = configuration.history(STORE, "k").await.unwrap();
    let versions: Vec<u64> = history.iter().map(|version| version.version).collect();
    assert_eq!(versions, (21..=120).rev().collect::<Vec<_>>());
    let error = configuration.rollback(STORE, "k", 20, "test").await.unwrap_err();
    assert_eq!(error.to_string(), "there is no version `20 of k`: 21 to 120 are kept");
    assert_eq!(configuration.rollback(STORE, "k", 30, "ann").await.unwrap(), 121);
    let newest = configuration.history(STORE, "k").await.unwrap().swap_remove(0);
    assert_eq!((newest.restores, newest.by.as_str()), (Some(30), "ann"));
    assert_eq!(newest.value.unwrap(), "line\nvalue 30\n");
    let diff = configuration.diff(STORE, "k", 120, None).await.unwrap();
    let expected =
        "--- k version 120\n+++ k version 121\n@@ -1,2 +1,2 @@\n line\n-value 120\n+value 30\n";
    assert_eq!(diff, expected);
    let error = configuration.diff(STORE, "k", 21, None).await.unwrap_err();
    assert!(matches!(error, Error::Missing { what: "version", .. }), "{error}");
    assert_eq!(configuration.diff(STORE, "k", 30, Some(121)).await.unwrap(), "");
    assert_eq!(configuration.diff(STORE, "k", 121, None).await.unwrap(), "");
}

#[tokio::test(start_paused = true)]
async fn a_deletion_is_a_version_that_can_be_rolled_back_over() {
    let node = Node::start();
    let configuration = node.handle.configuration();
    set(&configuration, "k", "1").await;
    configuration.delete(STORE, "k", None, "ann").await.unwrap();
    assert_eq!(get(&configuration, &Select::All).await, "");
    assert_eq!(configuration.rollback(STORE, "k", 1, "bob").await.unwrap(), 3);
    assert_eq!(get(&configuration, &Select::All).await, "k=1@3");
    assert_eq!(configuration.rollback(STORE, "k", 2, "bob").await.unwrap(), 4);
    assert_eq!(get(&configuration, &Select::All).await, "");
    assert_eq!(configuration.rollback(STORE, "k", 2, "bob").await.unwrap(), 4, "it is as it was");
    assert!(configuration.history(STORE, "other").await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_key_that_begins_like_another_has_a_history_of_its_own() {
    let node = Node::start();
    let configuration = node.handle.configuration();
    for key in ["k", "k/x", "k0"] {
        for n in 0..3 {
            set(&configuration, key, &n.to_string()).await;
        }
    }
    assert_eq!(configuration.history(STORE, "k").await.unwrap().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn initial_values_are_written_only_to_keys_that_were_never_set() {
    let values = |pairs: &[(&str, &str)]| {
        let pairs = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let store = ConfigStore { values: pairs.collect(), ..ConfigStore::new(STORE) };
        Stores { configuration: vec![store], ..Stores::usual() }
    };
    let node = Node::with(values(&[("a", "1"), ("b", "1")]));
    assert!(node.handle.settled(Duration::from_secs(60)).await);
    let configuration = node.handle.configuration();
    assert_eq!(get(&configuration, &Select::All).await, "a=1@1 b=1@1");
    set(&configuration, "a", "mine").await;
    configuration.delete(STORE, "b", None, "test").await.unwrap();
    // The engine is away while the file changes; its values come when it is back.
    node.engine.memory.set_down(true);
    node.handle.apply(values(&[("a", "2"), ("b", "2"), ("c", "2")])).unwrap();
    assert!(!node.handle.settled(Duration::from_secs(10)).await);
    node.engine.memory.set_down(false);
    assert!(node.handle.settled(Duration::from_secs(60)).await);
    assert_eq!(get(&configuration, &Select::All).await, "a=mine@2 c=2@1");
    let too_long = "x".repeat(CONFIG_VALUE_LEN_MAX + 1);
    assert!(node.handle.apply(values(&[("a", &too_long)])).is_err());
}

#[tokio::test(start_paused = true)]
async fn reads_go_on_from_memory_when_the_engine_is_away_and_say_so() {
    let node = Node::start();
    let configuration = node.handle.configuration();
    set(&configuration, "k", "1").await;
    assert_eq!(get(&configuration, &Select::All).await, "k=1@1");
    let is_stale =
        async || configuration.get(STORE, &Select::All).await.is_ok_and(|answer| answer.stale);
    for silent in [true, false] {
        if silent {
            node.engine.set_silent(true);
        } else {
            node.engine.memory.set_down(true);
        }
        until("it is known to be away", || async { is_stale().await }).await;
        let before = tokio::time::Instant::now();
        assert_eq!(get(&configuration, &Select::All).await, "k=1@1");
        assert_eq!(before.elapsed(), Duration::ZERO);
        let set = configuration.set(STORE, "k", "2", BTreeMap::new(), None, "test").await;
        assert!(set.unwrap_err().is_outage());
        assert!(before.elapsed() <= Duration::from_secs(2));
        assert!(!node.handle.engine().is_up);
        node.engine.set_silent(false);
        node.engine.memory.set_down(false);
        until("it is back", || async { !is_stale().await }).await;
        assert!(node.handle.engine().is_up);
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_never_saw_its_engine_says_so_within_two_seconds() {
    let engine = crate::testing::Engine::default();
    engine.memory.set_down(true);
    let folder = std::sync::Arc::new(tempfile::tempdir().unwrap());
    let node = Node::on(engine, folder, "one", Stores::usual());
    let configuration = node.handle.configuration();
    let before = tokio::time::Instant::now();
    let error = configuration.get(STORE, &Select::All).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    assert!(before.elapsed() <= Duration::from_secs(2));
    let text = base::ErrorChain(&error).to_string();
    assert_eq!(text.matches("does not answer").count(), 1, "{text}");
    node.engine.memory.set_down(false);
    assert!(node.handle.settled(Duration::from_secs(60)).await);
    assert_eq!(get(&configuration, &Select::All).await, "");
}

#[tokio::test(start_paused = true)]
async fn a_watch_tells_every_change_of_its_keys_once_whatever_happens_to_the_engine() {
    let node = Node::start();
    let configuration = node.handle.configuration();
    set(&configuration, "k", "0").await;
    let mut watch =
        configuration.watch(STORE, Select::keys(&["k".to_owned()]), None).await.unwrap();
    assert_eq!(watch.initial().items["k"].value, "0");
    let mut expected = VecDeque::new();
    for n in 1..40_u64 {
        match n % 8 {
            1 => node.engine.memory.restart(),
            3 => {
                node.engine.memory.set_down(true);
                tokio::time::sleep(Duration::from_millis(n * 37)).await;
                node.engine.memory.set_down(false);
            }
            5 => node.engine.memory.fail_next(Failure::Unavailable),
            _ => {}
        }
        let value = n.to_string();
        until("it is set", || async {
            let set = configuration.set(STORE, "k", &value, BTreeMap::new(), Some(n), "test").await;
            set.is_ok()
        })
        .await;
        expected.push_back(format!("k={n}@{}", n + 1));
        let _ = configuration.set(STORE, "other", &value, BTreeMap::new(), None, "test").await;
        if n % 5 == 0 {
            while let Some(expected) = expected.pop_front() {
                assert_eq!(next(&mut watch).await, expected);
            }
        }
    }
    configuration.delete(STORE, "k", None, "test").await.unwrap();
    expected.push_back("k-".to_owned());
    for expected in expected {
        assert_eq!(next(&mut watch).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_over_forgotten_history_tells_what_came_of_it_once() {
    let node = Node::start();
    let other = node.beside("two");
    let (one, two) = (node.handle.configuration(), other.handle.configuration());
    for key in ["same", "changed", "deleted"] {
        set(&one, key, "1").await;
    }
    let mut watch = two.watch(STORE, Select::All, Some(0)).await.unwrap();
    let mut seen = BTreeMap::new();
    while seen.len() < 3 {
        let change = soon("what there is", watch.next()).await.unwrap();
        seen.extend(change.items);
    }
    // Two cannot reach the engine while one changes values and the engine forgets how.
    node.engine.memory.set_down(true);
    node.engine.memory.set_down(false);
    set(&one, "changed", "2").await;
    set(&one, "changed", "3").await;
    one.delete(STORE, "deleted", None, "test").await.unwrap();
    set(&one, "new", "1").await;
    let newest = node.engine.memory.status().await.unwrap().revision;
    node.engine.memory.compact(newest).await.unwrap();
    assert_eq!(next(&mut watch).await, "changed=3@3 deleted- new=1@1");
    set(&one, "same", "2").await;
    assert_eq!(next(&mut watch).await, "same=2@2");
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_comes_back_is_told_what_it_missed_in_order() {
    let node = Node::start();
    let configuration = node.handle.configuration();
    set(&configuration, "a", "1").await;
    set(&configuration, "b", "1").await;
    let mut watch = configuration.watch(STORE, Select::All, Some(0)).await.unwrap();
    let first = soon("a", watch.next()).await.unwrap();
    assert_eq!(text(&first), "a=1@1");
    drop(watch);
    set(&configuration, "c", "1").await;
    configuration.delete(STORE, "a", None, "test").await.unwrap();
    let mut watch = configuration.watch(STORE, Select::All, Some(first.revision)).await.unwrap();
    assert_eq!(next(&mut watch).await, "b=1@1");
    assert_eq!(next(&mut watch).await, "c=1@1");
    let last = soon("a is gone", watch.next()).await.unwrap();
    assert_eq!(text(&last), "a-");
    let mut watch = configuration.watch(STORE, Select::All, Some(last.revision)).await.unwrap();
    set(&configuration, "d", "1").await;
    assert_eq!(next(&mut watch).await, "d=1@1");
}

#[tokio::test(start_paused = true)]
async fn a_watcher_that_is_far_behind_is_told_the_outcome() {
    let node = Node::start();
    let configuration = node.handle.configuration();
    let mut watch = configuration.watch(STORE, Select::All, None).await.unwrap();
    for n in 0..1_500 {
        set(&configuration, if n % 2 == 0 { "even" } else { "odd" }, &n.to_string()).await;
    }
    get(&configuration, &Select::All).await;
    assert_eq!(next(&mut watch).await, "even=1498@750");
    assert_eq!(next(&mut watch).await, "odd=1499@750");
    set(&configuration, "k", "1").await;
    assert_eq!(next(&mut watch).await, "k=1@1");
}

#[tokio::test(start_paused = true)]
async fn bad_keys_and_values_are_refused_with_the_limit() {
    let node = Node::start();
    let configuration = node.handle.configuration();
    let set = async |key: &str, value: &str, metadata: &str| {
        let metadata = BTreeMap::from([("m".to_owned(), metadata.to_owned())]);
        let set = configuration.set(STORE, key, value, metadata, None, "t").await;
        set.map_or_else(|error| error.to_string(), |version| version.to_string())
    };
    let longest = "\u{1}".repeat(CONFIG_VALUE_LEN_MAX);
    for metadata in ["1", "2"] {
        set("k", &longest, metadata).await;
    }
    assert_eq!(set("k", &longest, "").await, "3");
    let longer = format!("{longest}x");
    assert_eq!(set("k", &longer, "").await, "262145 bytes in the value, 262144 are allowed");
    assert_eq!(set(&"k".repeat(3_841), "", "").await, "3841 bytes in the key, 3840 are allowed");
    assert_eq!(set(&"k".repeat(3_840), "", "").await, "1");
    assert!(set("k", "", &"m".repeat(4_096)).await.starts_with("4098 bytes in the metadata"));
    assert!(set("", "", "").await.starts_with("a key of configuration must not be empty"));
    assert!(set("a\0", "", "").await.starts_with("a key of configuration must not be empty"));
    let error = configuration.get("x", &Select::All).await.unwrap_err();
    assert_eq!(error.to_string(), "there is no configuration store `x`; there are: configstore");
}

#[tokio::test(start_paused = true)]
async fn a_record_that_nobody_can_read_is_left_out_and_named_to_who_asks_for_it() {
    let node = Node::start();
    let configuration = node.handle.configuration();
    let foreign = ports::kv::Transaction::put("flotilla/shop/config/now/configstore/bad", "x");
    node.engine.commit(foreign).await.unwrap();
    set(&configuration, "good", "1").await;
    assert_eq!(get(&configuration, &Select::All).await, "good=1@1");
    let error = configuration.history(STORE, "bad").await.unwrap_err();
    assert!(matches!(&error, Error::Damaged { what, .. } if what == "`bad`"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_watch_tells_what_there_is_and_then_its_end_when_coordination_ends() {
    let node = Node::start();
    let configuration = node.handle.configuration();
    let mut watch = configuration.watch(STORE, Select::All, None).await.unwrap();
    set(&configuration, "k", "1").await;
    get(&configuration, &Select::All).await;
    node.service.shutdown(Duration::from_secs(5)).await;
    assert_eq!(next(&mut watch).await, "k=1@1");
    assert_eq!(soon("the end", watch.next()).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_slow_watcher_does_not_hold_many_large_values() {
    let node = Node::start();
    let configuration = node.handle.configuration();
    let mut watch = configuration.watch(STORE, Select::All, None).await.unwrap();
    for n in 0..100 {
        set(&configuration, "k", &n.to_string().repeat(CONFIG_VALUE_LEN_MAX / 2)).await;
    }
    get(&configuration, &Select::All).await;
    let change = soon("the outcome", watch.next()).await.unwrap();
    assert_eq!(change.items["k"].as_ref().unwrap().version, 100, "those between are not kept");
}
