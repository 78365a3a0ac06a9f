//! Two nodes on one engine in a folder.

use adapter_embedded::kv;
use base::InstanceId;
use coordination::{
    Config, Error, Etag, Fence, Handle, LockRequest, Match, Secret, Select, Service, Stores, Write,
};
use runtime::{Clock, TaskSet};
use std::{collections::BTreeMap, future::Future, path::Path, sync::Arc, time::Duration};

const PATIENCE: Duration = Duration::from_secs(60);
const TTL: Duration = Duration::from_secs(30);

struct World {
    folder: tempfile::TempDir,
    engine: kv::Service,
    /// Kept so that their tasks live.
    _services: Vec<Service>,
    nodes: Vec<Handle>,
}

fn open(folder: &Path) -> World {
    let config = kv::Config { folder: folder.join("kv") };
    let (engine, handle) = kv::Service::open(&config).unwrap();
    let nodes = ["one", "two"].map(|node| {
        let config = Config {
            kv: Arc::new(handle.clone()),
            place: "a folder".to_owned(),
            system: "shop".to_owned(),
            node: node.to_owned(),
            key_file: folder.join("secrets.key"),
            clock: Clock::start(),
            stores: Stores::usual(),
        };
        Service::start(config).unwrap()
    });
    let (services, nodes) = nodes.into_iter().unzip();
    World { folder: tempfile::tempdir().unwrap(), engine, _services: services, nodes }
}

fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    let world = open(folder.path());
    World { folder, ..world }
}

fn request(owner: &str, ttl: Duration) -> LockRequest {
    LockRequest::new("lockstore", "r", owner, ttl)
}

async fn until<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "in vain: {what}");
}

/// Adds one to a counter under the lock, with a write that depends on it.
async fn count(node: &Handle, owner: &str) {
    let (locks, state) = (node.locks(), node.state("statestore").unwrap());
    let grant = locks.acquire(&request(owner, TTL), PATIENCE).await.unwrap().unwrap();
    let before = state.get("counter").await.unwrap();
    let number: u64 =
        before.map_or(0, |item| std::str::from_utf8(&item.value).unwrap().parse().unwrap());
    let (store, resource) = ("lockstore".to_owned(), "r".to_owned());
    let fence = Some(Fence { store, resource, token: grant.token });
    let write = Write { fence, ..Write::new("counter", (number + 1).to_string()) };
    state.put(write).await.unwrap();
    locks.release("lockstore", "r", owner, Some(grant.token)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_lock_excludes_all_others_on_both_nodes_and_nobody_waits_for_ever() {
    let world = world();
    let mut tasks = TaskSet::new("counters");
    for n in 0..16 {
        let node = world.nodes[n % 2].clone();
        tasks.spawn("counter", move |_| async move {
            for round in 0..10 {
                count(&node, &format!("{n}/{round}")).await;
            }
        });
        // Some give up while they wait, and must not leave anything behind.
        let node = world.nodes[n % 2].clone();
        tasks.spawn("impatient", move |_| async move {
            for round in 0..10_u64 {
                let owner = format!("impatient {n}/{round}");
                let wait = Duration::from_millis(round);
                let locks = node.locks();
                let request = request(&owner, TTL);
                let got = tokio::time::timeout(wait, locks.acquire(&request, PATIENCE)).await;
                if let Ok(Ok(Some(grant))) = got {
                    locks.release("lockstore", "r", &owner, Some(grant.token)).await.unwrap();
                }
            }
        });
    }
    assert!(tasks.join(PATIENCE).await);
    let state = world.nodes[0].state("statestore").unwrap();
    assert_eq!(state.get("counter").await.unwrap().unwrap().value, "160");
    let locks = world.nodes[1].locks();
    until("nothing is held or waited for", || async {
        let free = locks.try_acquire(&request("last", TTL)).await.unwrap();
        free.is_some()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_holder_whose_time_is_over_cannot_write_and_the_next_one_can() {
    let world = world();
    let (one, two) = (&world.nodes[0], &world.nodes[1]);
    let fenced = |value: &str, token: u64| {
        let (store, resource) = ("lockstore".to_owned(), "r".to_owned());
        Write { fence: Some(Fence { store, resource, token }), ..Write::new("k", value.to_owned()) }
    };
    // Ann pauses, and does not know how long.
    let ttl = Duration::from_secs(1);
    let ann = one.locks().try_acquire(&request("ann", ttl)).await.unwrap().unwrap();
    let bob = two.locks().acquire(&request("bob", TTL), PATIENCE).await.unwrap().unwrap();
    assert!(bob.token > ann.token);
    two.state("statestore").unwrap().put(fenced("bob", bob.token)).await.unwrap();
    let state = one.state("statestore").unwrap();
    let error = state.put(fenced("ann", ann.token)).await.unwrap_err();
    let current = Some(bob.token);
    assert!(matches!(error, Error::Stale { current: found, .. } if found == current), "{error}");
    let error = one.locks().renew("lockstore", "r", "ann", ann.token).await.unwrap_err();
    assert!(matches!(error, Error::NotHeld { .. }), "{error}");
    assert_eq!(two.locks().renew("lockstore", "r", "bob", bob.token).await.unwrap(), TTL);
    let info = one.locks().look("lockstore", "r").await.unwrap().unwrap();
    assert!(info.remaining.is_some_and(|left| left <= TTL && left > TTL / 2), "{info:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_writers_race_and_one_wins() {
    let world = world();
    for round in 0..20 {
        let key = format!("k{round}");
        let puts = (0..8).map(|n| {
            let state = world.nodes[n % 2].state("statestore").unwrap();
            let write = Write { etag: Match::Missing, ..Write::new(key.clone(), n.to_string()) };
            async move { state.put(write).await }
        });
        let results = futures_util::future::join_all(puts).await;
        let won: Vec<Etag> = results.iter().filter_map(|result| result.clone().ok()).collect();
        assert_eq!(won.len(), 1, "{results:?}");
        for error in results.into_iter().filter_map(Result::err) {
            let Error::Conflict { found, .. } = error else { panic!("{error}") };
            assert_eq!(found, Some(won[0].to_string()));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_there_after_the_engine_was_closed_and_opened_again() {
    let world = world();
    let node = &world.nodes[0];
    let instance = InstanceId::parse("orders/1").unwrap();
    let state = node.state("statestore").unwrap();
    let etag = state.put(Write::new("k", "1")).await.unwrap();
    let (configuration, secrets) = (node.configuration(), node.secrets());
    for value in ["1", "2", "3"] {
        configuration.set("configstore", "k", value, BTreeMap::new(), None, "t").await.unwrap();
    }
    secrets.set("secretstore", "db", Secret::new("hunter2")).await.unwrap();
    assert_eq!(secrets.get("secretstore", "db").await.unwrap().values["db"].expose(), "hunter2");
    let bound = LockRequest { instance: Some(instance.clone()), ..request("ann", TTL) };
    let grant = node.locks().try_acquire(&bound).await.unwrap().unwrap();
    let answer = configuration.get("configstore", &Select::All).await.unwrap();
    assert_eq!((answer.items["k"].value.as_str(), answer.stale), ("3", false));
    world.engine.shutdown().await;

    // While it is closed, what is in memory can be read, and all else is an error at once.
    until("it is known to be away", || async {
        configuration.get("configstore", &Select::All).await.unwrap().stale
    })
    .await;
    assert_eq!(secrets.get("secretstore", "db").await.unwrap().values["db"].expose(), "hunter2");
    assert!(matches!(state.get("k").await, Err(Error::Unavailable { .. })));
    assert!(node.locks().try_acquire(&bound).await.unwrap_err().is_outage());

    let again = open(world.folder.path());
    let node = &again.nodes[0];
    assert!(node.settled(PATIENCE).await);
    let state = node.state("statestore").unwrap();
    assert_eq!(state.get("k").await.unwrap().unwrap().etag, etag);
    let history = node.configuration().history("configstore", "k").await.unwrap();
    assert_eq!(history.iter().map(|version| version.version).collect::<Vec<_>>(), [3, 2, 1]);
    let secret = node.secrets().reveal("${secret:db}").await.unwrap();
    assert_eq!(secret.expose(), "hunter2");
    let info = node.locks().look("lockstore", "r").await.unwrap().unwrap();
    assert_eq!((info.owner.as_str(), info.token), ("ann", grant.token));
    // The node knows the lock of its instance although it was granted in an earlier life.
    until("the lock is released", || async {
        node.instance_ended(&instance);
        node.locks().look("lockstore", "r").await.unwrap().is_none()
    })
    .await;
}
