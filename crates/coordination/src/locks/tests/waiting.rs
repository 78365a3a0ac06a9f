//! Waiting for locks.

use super::*;

/// Lets `owners` wait one after the other on two nodes in turn, and returns who got the lock in which order.
async fn order_of(nodes: [&Node; 2], owners: &[String]) -> Vec<(String, Grant)> {
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = TaskSet::new("waiters");
    for (at, owner) in owners.iter().enumerate() {
        let (locks, owner) = (nodes[at % 2].handle.locks(), owner.clone());
        let order = Arc::clone(&order);
        tasks.spawn("waiter", |_| async move {
            let grant = locks.acquire(&request(&owner), LONG).await.unwrap().unwrap();
            order.lock().unwrap().push((owner.clone(), grant));
            // Who only tries does not overtake those who wait.
            assert_eq!(locks.try_acquire(&request("pusher")).await.unwrap(), None);
            assert_eq!(release(&locks, &owner).await, Released::Done);
        });
        until_waiting(nodes[0], at + 1).await;
    }
    assert_eq!(release(&nodes[0].handle.locks(), "first").await, Released::Done);
    assert!(tasks.join(LONG).await);
    Arc::try_unwrap(order).unwrap().into_inner().unwrap()
}

#[tokio::test(start_paused = true)]
async fn waiters_get_the_lock_in_the_order_in_which_they_came_over_two_nodes() {
    let node = Node::start();
    let other = node.beside("two");
    let first = node.handle.locks().try_acquire(&request("first")).await.unwrap().unwrap();
    let owners: Vec<String> = (0..20).map(|n| format!("w{n}")).collect();
    let got = order_of([&node, &other], &owners).await;
    assert_eq!(got.iter().map(|(owner, _)| owner.clone()).collect::<Vec<_>>(), owners);
    let mut last = first.token;
    for (_, grant) in got {
        assert!(grant.token > last, "tokens grow");
        last = grant.token;
    }
    assert_eq!(waiting(&node).await, 0);
}

#[tokio::test(start_paused = true)]
async fn each_release_wakes_one_waiter_and_not_all() {
    let node = Node::start();
    let locks = node.handle.locks();
    locks.try_acquire(&request("first")).await.unwrap().unwrap();
    let mut tasks = TaskSet::new("waiters");
    for n in 0..50 {
        let locks = node.handle.locks();
        tasks.spawn("waiter", move |_| async move {
            drop(locks.acquire(&request(&format!("w{n}")), LONG).await);
        });
        until_waiting(&node, n + 1).await;
    }
    node.engine.calls();
    release(&locks, "first").await;
    // Looked at without being counted.
    until_waiting(&node, 49).await;
    let (reads, writes) = node.engine.calls();
    assert!(writes <= 3, "{writes} writes for one release and one grant");
    assert!(reads <= 20, "{reads} reads: more than one waiter has looked");
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_in_time_and_leaves_no_place_behind() {
    let node = Node::start();
    let locks = node.handle.locks();
    locks.try_acquire(&request("ann")).await.unwrap().unwrap();
    let before = tokio::time::Instant::now();
    assert_eq!(locks.acquire(&request("bob"), Duration::from_secs(7)).await.unwrap(), None);
    assert_eq!(before.elapsed(), Duration::from_secs(7));
    until_waiting(&node, 0).await;
    assert_eq!(locks.acquire(&request("bob"), Duration::ZERO).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_gives_up_or_dies_stands_in_nobodys_way() {
    let node = Node::start();
    let other = node.beside("two");
    let locks = node.handle.locks();
    locks.try_acquire(&request("ann")).await.unwrap().unwrap();
    let mut tasks = TaskSet::new("waiters");
    // This one's node dies with it: nothing but its lease ends.
    let dying = other.handle.locks();
    let mut doomed = TaskSet::new("doomed");
    doomed.spawn("waiter", |_| async move {
        drop(dying.acquire(&request("dead"), LONG).await);
    });
    until_waiting(&node, 1).await;
    let patient = node.handle.locks();
    tasks.spawn("waiter", |_| async move {
        patient.acquire(&request("bob"), LONG).await.unwrap().unwrap();
    });
    until_waiting(&node, 2).await;
    drop(other);
    drop(doomed);
    release(&locks, "ann").await;
    assert_eq!(locks.try_acquire(&request("eve")).await.unwrap(), None, "bob waits");
    until("the dead one's lease ends and bob is next", || async {
        node.engine.memory.advance(Duration::from_millis(500));
        held(&locks).await.is_some_and(|info| info.owner == "bob")
    })
    .await;
    assert!(tasks.join(LONG).await);
}

#[tokio::test(start_paused = true)]
async fn a_waiter_gets_the_lock_when_its_holder_dies() {
    let node = Node::start();
    let locks = node.handle.locks();
    let ann = locks.try_acquire(&request("ann")).await.unwrap().unwrap();
    let bob = request("bob");
    let waiting = locks.acquire(&bob, LONG);
    let dying = async {
        until_waiting(&node, 1).await;
        node.engine.memory.advance(TTL);
    };
    let (bob, ()) = tokio::join!(waiting, dying);
    assert!(bob.unwrap().unwrap().token > ann.token);
}

#[tokio::test(start_paused = true)]
async fn a_wait_goes_on_over_outages_and_keeps_its_place_when_they_are_short() {
    let node = Node::start();
    let locks = node.handle.locks();
    locks.try_acquire(&LockRequest { ttl: LONG, ..request("ann") }).await.unwrap().unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = TaskSet::new("waiters");
    for (at, owner) in ["bob", "cid"].into_iter().enumerate() {
        let (locks, order) = (node.handle.locks(), Arc::clone(&order));
        tasks.spawn("waiter", move |_| async move {
            locks.acquire(&request(owner), LONG).await.unwrap().unwrap();
            order.lock().unwrap().push(owner);
            release(&locks, owner).await;
        });
        until_waiting(&node, at + 1).await;
    }
    node.engine.memory.set_down(true);
    let error = locks.acquire(&request("eve"), LONG).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}: known from the start");
    tokio::time::sleep(Duration::from_secs(5)).await;
    node.engine.memory.set_down(false);
    node.engine.memory.restart();
    until("the engine is back", || async { locks.look("lockstore", "r").await.is_ok() }).await;
    release(&locks, "ann").await;
    assert!(tasks.join(LONG).await);
    assert_eq!(*order.lock().unwrap(), ["bob", "cid"]);
}

#[tokio::test(start_paused = true)]
async fn a_waiter_whose_lease_ended_in_an_outage_queues_again() {
    let node = Node::start();
    let locks = node.handle.locks();
    locks.try_acquire(&LockRequest { ttl: LONG, ..request("ann") }).await.unwrap().unwrap();
    let bob = request("bob");
    let waiting_for = locks.acquire(&bob, LONG);
    let outage = async {
        until_waiting(&node, 1).await;
        node.engine.memory.set_down(true);
        node.engine.memory.advance(Duration::from_secs(60));
        tokio::time::sleep(Duration::from_secs(5)).await;
        node.engine.memory.set_down(false);
        until_waiting(&node, 1).await;
        release(&locks, "ann").await
    };
    let (bob, released) = tokio::join!(waiting_for, outage);
    assert_eq!(released, Released::Done);
    assert!(bob.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_ends_while_the_engine_is_away_says_so() {
    let node = Node::start();
    let locks = node.handle.locks();
    locks.try_acquire(&request("ann")).await.unwrap().unwrap();
    let bob = request("bob");
    let waiting_for = locks.acquire(&bob, Duration::from_secs(30));
    let outage = async {
        until_waiting(&node, 1).await;
        node.engine.memory.set_down(true);
    };
    let (bob, ()) = tokio::join!(waiting_for, outage);
    assert!(matches!(bob, Err(Error::Unavailable { .. })), "{bob:?}");
}

/// An engine may do late what nobody waits for any more. A place in the queue that came to be so would have nobody who
/// leaves it, and a lease that those who wait behind it keep alive.
#[tokio::test(start_paused = true)]
async fn a_place_that_is_taken_too_late_is_none() {
    let node = Node::start();
    let locks = node.handle.locks();
    locks.try_acquire(&LockRequest { ttl: LONG, ..request("ann") }).await.unwrap().unwrap();
    let mut tasks = TaskSet::new("waiters");
    for owner in ["zoe", "bob"] {
        let locks = node.handle.locks();
        tasks.spawn("waiter", move |_| async move {
            locks.acquire(&request(owner), LONG).await.unwrap().unwrap();
            release(&locks, owner).await;
        });
        if owner == "zoe" {
            until_waiting(&node, 1).await;
            *node.engine.late.lock().unwrap() = Some(Vec::new());
        }
    }
    let late = || node.engine.late.lock().unwrap().as_ref().and_then(|late| late.first().cloned());
    until("it stands in the queue", || async { late().is_some() }).await;
    let late = late().unwrap();
    node.engine.calls();
    *node.engine.late.lock().unwrap() = None;
    until_waiting(&node, 2).await;
    until("the first place is given back", || async {
        node.engine.writes.load(std::sync::atomic::Ordering::SeqCst) >= 2
    })
    .await;
    node.engine.memory.commit(late).await.unwrap();
    assert_eq!(waiting(&node).await, 2);
    release(&locks, "ann").await;
    assert!(soon("both had it", tasks.join(LONG)).await);
}
