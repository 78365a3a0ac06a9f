//! Locks as their holders and waiters see them, over one node and two.

use super::{Grant, LockEvent, LockInfo, LockRequest, Locks, Released, upkeep};
use crate::{
    Error,
    testing::{Node, soon, until},
};
use base::InstanceId;
use ports::kv::{Kv as _, Range, Transaction, conformance::Failure};
use runtime::TaskSet;
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

const TTL: Duration = Duration::from_secs(10);
const LONG: Duration = Duration::from_secs(3_600);

fn request(owner: &str) -> LockRequest {
    LockRequest::new("lockstore", "r", owner, TTL)
}

async fn held(locks: &Locks) -> Option<LockInfo> {
    locks.look("lockstore", "r").await.unwrap()
}

async fn release(locks: &Locks, owner: &str) -> Released {
    locks.release("lockstore", "r", owner, None).await.unwrap()
}

/// How many stand in the queue, as the engine has it.
async fn waiting(node: &Node) -> usize {
    let range = Range::prefix("flotilla/shop/lock/lockstore/wait/".into());
    node.engine.memory.range(&range, 1_000).await.unwrap().entries.len()
}

async fn until_waiting(node: &Node, count: usize) {
    until("the queue has that many", || async { waiting(node).await == count }).await;
}

mod waiting;

#[tokio::test(start_paused = true)]
async fn a_lock_is_granted_once_and_released_only_by_its_owner() {
    let node = Node::start();
    let locks = node.handle.locks();
    let instance = InstanceId::parse("orders/1").unwrap();
    let ask = LockRequest {
        instance: Some(instance.clone()),
        value: "10.0.0.1".to_owned(),
        ttl: Duration::from_millis(9_001),
        ..request("ann")
    };
    let grant = locks.try_acquire(&ask).await.unwrap().unwrap();
    assert_eq!(grant.ttl, TTL, "whole seconds");
    assert_eq!(locks.try_acquire(&request("bob")).await.unwrap(), None);
    assert_eq!(locks.try_acquire(&request("ann")).await.unwrap(), None, "not twice");
    let info = held(&locks).await.unwrap();
    assert_eq!((info.owner.as_str(), info.token, info.ttl), ("ann", grant.token, TTL));
    assert_eq!((info.remaining, info.instance), (Some(TTL), Some(instance)));
    assert_eq!((info.node.as_str(), info.value.as_str()), ("one", "10.0.0.1"));
    assert!(
        matches!(release(&locks, "bob").await, Released::OthersLock(info) if info.owner == "ann")
    );
    let other_token = Some(grant.token + 1);
    let released = locks.release("lockstore", "r", "ann", other_token).await.unwrap();
    assert!(matches!(released, Released::OthersLock(_)), "{released:?}");
    assert_eq!(release(&locks, "ann").await, Released::Done);
    assert_eq!(release(&locks, "ann").await, Released::Missing);
    assert_eq!(held(&locks).await, None);
    let next = locks.try_acquire(&request("bob")).await.unwrap().unwrap();
    assert!(next.token > grant.token);
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_renews_keeps_the_lock_and_one_that_lost_it_learns_it() {
    let node = Node::start();
    let locks = node.handle.locks();
    let ann = locks.try_acquire(&request("ann")).await.unwrap().unwrap();
    for _ in 0..5 {
        node.engine.memory.advance(Duration::from_secs(9));
        node.engine.calls();
        let ttl = locks.renew("lockstore", "r", "ann", ann.token).await.unwrap();
        assert_eq!(ttl, TTL);
        assert_eq!(node.engine.calls().1, 0, "a renewal writes nothing");
    }
    let renew = async |owner, token| locks.renew("lockstore", "r", owner, token).await.unwrap_err();
    let error = renew("bob", ann.token).await;
    assert!(
        matches!(&error, Error::NotHeld { holder: Some(h), .. } if h.owner == "ann"),
        "{error}"
    );
    assert!(matches!(renew("ann", ann.token + 1).await, Error::NotHeld { holder: Some(_), .. }));
    node.engine.memory.advance(TTL);
    let error = renew("ann", ann.token).await;
    assert_eq!(error.to_string(), "the lock `r` is not held by `ann`: nobody holds it");
    let bob = locks.try_acquire(&request("bob")).await.unwrap().unwrap();
    let error = renew("ann", ann.token).await;
    assert_eq!(error.to_string(), "the lock `r` is not held by `ann`: `bob` holds it");
    assert!(bob.token > ann.token);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_outcome_is_found_out_and_a_dropped_call_gives_back_what_it_took() {
    let node = Node::start();
    node.handle.settled(LONG).await;
    let locks = node.handle.locks();
    let names = locks.names("lockstore", "r").unwrap();
    node.engine.memory.fail_next(Failure::UnknownButApplied);
    let grant = match locks.take(&names, &request("ann"), None).await.unwrap() {
        super::taking::Taken::Yes(grant) => grant,
        super::taking::Taken::No { .. } => panic!("nobody else wants it"),
    };
    assert_eq!(held(&locks).await.unwrap().token, grant.token);
    release(&locks, "ann").await;

    node.engine.memory.fail_next(Failure::UnknownAndLost);
    let lost = locks.take(&names, &request("ann"), None).await;
    assert!(matches!(lost, Err(Error::Unknown { .. })));
    assert_eq!(held(&locks).await, None);

    // The commit is made, but nobody hears of it any more.
    node.engine.memory.fail_next(Failure::UnknownButApplied);
    node.engine.memory.fail_next(Failure::Unavailable);
    let lost = locks.take(&names, &request("ann"), None).await;
    assert!(matches!(lost, Err(Error::Unknown { .. })));
    until("it is given back", || async { held(&locks).await.is_none() }).await;

    // The lock is taken, and the caller gone before it hears of it.
    node.engine.set_deaf(true);
    let (ann, patience) = (request("ann"), Duration::from_secs(1));
    assert!(tokio::time::timeout(patience, locks.try_acquire(&ann)).await.is_err());
    assert!(held(&locks).await.is_some());
    node.engine.set_deaf(false);
    until("it is given back", || async { held(&locks).await.is_none() }).await;

    // The engine falls silent behind the commit: the lock is there, so it is granted.
    node.engine.set_deaf(true);
    let grant = locks.try_acquire(&ann).await.unwrap().unwrap();
    node.engine.set_deaf(false);
    assert_eq!(held(&locks).await.unwrap().token, grant.token);
}

#[tokio::test(start_paused = true)]
async fn the_locks_of_an_instance_are_released_when_it_ends_and_no_others() {
    let node = Node::start();
    let other = node.beside("two");
    let locks = node.handle.locks();
    let instance = InstanceId::parse("orders/1").unwrap();
    let bound = |resource: &str| LockRequest {
        resource: resource.to_owned(),
        instance: Some(instance.clone()),
        ..request("ann")
    };
    for resource in ["a", "b"] {
        locks.try_acquire(&bound(resource)).await.unwrap().unwrap();
    }
    locks.try_acquire(&LockRequest { instance: None, ..bound("free") }).await.unwrap().unwrap();
    other.handle.locks().try_acquire(&bound("elsewhere")).await.unwrap().unwrap();
    // While the engine is away the release waits.
    node.engine.memory.set_down(true);
    node.handle.instance_ended(&instance);
    tokio::time::sleep(Duration::from_secs(3)).await;
    node.engine.memory.set_down(false);
    until("they are released", || async {
        let left = locks.list("lockstore", "", 10).await.unwrap_or_default();
        left.iter().map(|info| info.resource.as_str()).eq(["elsewhere", "free"])
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_was_restarted_knows_the_locks_of_its_instances() {
    let node = Node::start();
    let instance = InstanceId::parse("orders/1").unwrap();
    let bound = LockRequest { instance: Some(instance.clone()), ttl: LONG, ..request("ann") };
    node.handle.locks().try_acquire(&bound).await.unwrap().unwrap();
    drop(node.service);
    let (engine, folder) = (node.engine.clone(), Arc::clone(&node.folder));
    let again = Node::on(engine, folder, "one", crate::Stores::usual());
    // It ends before the new node has found out which locks there are.
    again.handle.instance_ended(&instance);
    let next = LockRequest { resource: "next".to_owned(), ..bound };
    tokio::time::sleep(Duration::from_secs(1)).await;
    again.handle.locks().try_acquire(&next).await.unwrap().unwrap();
    let locks = again.handle.locks();
    until("it is released", || async {
        let left = locks.list("lockstore", "", 10).await.unwrap();
        left.iter().map(|info| info.resource.as_str()).eq(["next"])
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_watch_tells_who_holds_a_lock_and_leads_over_outages() {
    let node = Node::start();
    let locks = node.handle.locks();
    let free = LockEvent::Free { resource: "r".to_owned() };
    let leader = |event: LockEvent| match event {
        LockEvent::Held(info) => format!("{} {}", info.owner, info.value),
        LockEvent::Free { .. } => "nobody".to_owned(),
    };
    let mut watch = locks.observe("lockstore", "r").await.unwrap();
    assert_eq!(soon("it is free", watch.next()).await.unwrap(), free);
    let candidate = |owner: &str| LockRequest { value: format!("at {owner}"), ..request(owner) };
    let ann = locks.campaign(&candidate("ann"), LONG).await.unwrap().unwrap();
    assert_eq!(leader(soon("ann leads", watch.next()).await.unwrap()), "ann at ann");
    locks.renew("lockstore", "r", "ann", ann.token).await.unwrap();
    let mut late = locks.watch("lockstore", None).await.unwrap();
    assert_eq!(leader(soon("ann leads", late.next()).await.unwrap()), "ann at ann");
    locks.resign("lockstore", "r", "ann", ann.token).await.unwrap();
    assert_eq!(soon("nobody leads", watch.next()).await.unwrap(), free);
    // What happens while the watch is cut off and history is forgotten is told by its outcome.
    node.engine.memory.set_down(true);
    node.engine.memory.set_down(false);
    locks.campaign(&candidate("bob"), LONG).await.unwrap().unwrap();
    release(&locks, "bob").await;
    locks.campaign(&candidate("cid"), LONG).await.unwrap().unwrap();
    let newest = node.engine.memory.status().await.unwrap().revision;
    node.engine.memory.compact(newest).await.unwrap();
    assert_eq!(leader(soon("cid leads", watch.next()).await.unwrap()), "cid at cid");
    assert_eq!(leader(soon("cid leads", late.next()).await.unwrap()), "cid at cid");
}

#[tokio::test(start_paused = true)]
async fn bad_names_and_unknown_stores_are_refused() {
    let node = Node::start();
    let locks = node.handle.locks();
    for (bad, message) in [
        (
            LockRequest { resource: String::new(), ..request("ann") },
            "the name of a lock must not be",
        ),
        (
            LockRequest { resource: "a\0b".to_owned(), ..request("ann") },
            "the name of a lock must not",
        ),
        (
            LockRequest { resource: "r".repeat(3_841), ..request("ann") },
            "3841 bytes in a name, 3840",
        ),
        (request(""), "the owner of a lock must not be empty"),
        (
            LockRequest { ttl: Duration::from_millis(10), ..request("ann") },
            "a time to live is between",
        ),
        (
            LockRequest { store: "x".to_owned(), ..request("ann") },
            "there is no lock store `x`; there are",
        ),
        (
            LockRequest { value: "x".repeat(16_385), ..request("ann") },
            "16385 bytes in the value of a",
        ),
    ] {
        let error = locks.try_acquire(&bad).await.unwrap_err().to_string();
        assert!(error.starts_with(message), "{error}");
    }
    let longest = LockRequest { resource: "r".repeat(3_840), ..request("ann") };
    locks.try_acquire(&longest).await.unwrap().unwrap();
    assert_eq!(locks.acquire(&longest, Duration::from_secs(1)).await.unwrap(), None);
}

#[test]
fn giving_back_asks_for_the_very_grant() {
    let undo = upkeep::giving_back("k", ports::kv::Revision(7));
    assert_eq!(undo.conditions[0].is, ports::kv::Is::CreatedAt(ports::kv::Revision(7)));
}

/// An engine need not name the leases of its entries, and between a look and an act anything may happen.
#[tokio::test(start_paused = true)]
async fn a_lock_that_is_lost_while_it_is_renewed_is_not_held() {
    let node = Node::start();
    let locks = node.handle.locks();
    let grant = locks.try_acquire(&request("ann")).await.unwrap().unwrap();
    let key = "flotilla/shop/lock/lockstore/held/r";
    let mut entry = node.engine.memory.get(key.as_bytes()).await.unwrap().unwrap();
    entry.lease = None;
    *node.engine.seen.lock().unwrap() = Some(entry);
    assert_eq!(locks.renew("lockstore", "r", "ann", grant.token).await.unwrap(), TTL);
    node.engine.memory.commit(Transaction::delete(key)).await.unwrap();
    let lost = locks.renew("lockstore", "r", "ann", grant.token).await;
    assert!(matches!(lost, Err(Error::NotHeld { .. })), "{lost:?}");
}
