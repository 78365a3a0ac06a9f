//! Clauses about leases. An engine that does not offer them passes; that it refuses them is a clause of its own.

use super::{
    PATIENCE, World, all, committed, get, keys, ok, put, short, told, until_missing, watch,
};
use crate::kv::{Error, Is, Kv, Lease, LeaseId, Life, Outcome, Range, TTL_MAX, Transaction};
use bytes::Bytes;
use std::{collections::BTreeSet, num::NonZeroU64, time::Duration};

const SHORT: Duration = Duration::from_secs(2);
const LONG: Duration = Duration::from_secs(1_000);

async fn grant(kv: &dyn Kv, ttl: Duration) -> Lease {
    let lease = ok(kv.grant(ttl).await);
    assert!(lease.ttl >= ttl, "{lease:?}");
    assert_eq!(lease.ttl.subsec_nanos(), 0, "{lease:?}");
    lease
}

async fn put_with(kv: &dyn Kv, key: &str, life: Life) {
    committed(kv.commit(Transaction::default().and_put(key.to_owned(), "", life)).await);
}

fn unknown() -> LeaseId {
    LeaseId(NonZeroU64::new(0x7fff_0123_4567_89ab).expect("it is not zero"))
}

/// Silence ends a lease: all its keys are deleted in one revision, other keys stay.
pub async fn a_lease_takes_its_keys_with_it_and_not_too_early(world: &dyn World) {
    let kv = &*world.open().await;
    if !kv.capabilities().leases {
        return;
    }
    let begin = world.now();
    let lease = grant(kv, SHORT).await;
    let life = Life::Lease(lease.id);
    let both = Transaction::put("a", "").and_put("b", "", life).and_put("c", "", life);
    committed(kv.commit(both).await);
    put_with(kv, "d", life).await;
    let newest = ok(kv.status().await).revision;
    let mut changes = watch(kv, Range::all(), Some(newest.next())).await;
    until_missing(world, kv, "b").await;
    let lasted = world.now() - begin;
    assert!(lasted >= lease.ttl, "it ended after {lasted:?} instead of {:?}", lease.ttl);
    assert_eq!(keys(&all(kv, &Range::all()).await), [b"a"]);
    assert_eq!(told(&mut *changes).await, format!("{}: -b -c -d", newest.next()));
    assert!(matches!(kv.renew(lease.id).await, Err(Error::LeaseGone(id)) if id == lease.id));
    assert!(matches!(kv.lease(lease.id).await, Err(Error::LeaseGone(id)) if id == lease.id));
    ok(kv.revoke(lease.id).await);
}

/// Each renewal gives the full time. (A machine that stood still for so long that the lease may have ended is given
/// another try.)
pub async fn a_lease_that_is_renewed_lives_on(world: &dyn World) {
    let kv = &*world.open().await;
    if !kv.capabilities().leases {
        return;
    }
    let start = world.now();
    'anew: loop {
        assert!(world.now() - start < PATIENCE, "no try went without a standstill");
        let mut renewed = world.now();
        let lease = grant(kv, Duration::from_secs(4)).await;
        put_with(kv, "k", Life::Lease(lease.id)).await;
        for _ in 0..4 {
            world.pass(Duration::from_millis(1_500)).await;
            let moment = world.now();
            match kv.renew(lease.id).await {
                Ok(ttl) => assert_eq!(ttl, lease.ttl),
                Err(error) => {
                    let silence = world.now() - renewed;
                    assert!(silence >= lease.ttl, "{error} after {silence:?}");
                    continue 'anew;
                }
            }
            renewed = moment;
        }
        let is_there = get(kv, "k").await.is_some();
        assert!(is_there || world.now() - renewed >= lease.ttl, "it was renewed and is gone");
        until_missing(world, kv, "k").await;
        assert!(world.now() - renewed >= lease.ttl, "a renewal gave less than the full time");
        return;
    }
}

/// Whoever gives a lease back makes room at once.
pub async fn a_revoked_lease_is_gone_with_its_keys(world: &dyn World) {
    let kv = &*world.open().await;
    if !kv.capabilities().leases {
        return;
    }
    let (lease, other) = (grant(kv, LONG).await, grant(kv, LONG).await);
    assert_ne!(lease.id, other.id);
    for (key, life) in [
        ("a", Life::Lease(lease.id)),
        ("b", Life::Lease(other.id)),
        ("c", Life::Lease(lease.id)),
        ("d", Life::Endless),
    ] {
        put_with(kv, key, life).await;
    }
    let newest = ok(kv.status().await).revision;
    let mut changes = watch(kv, Range::all(), Some(newest.next())).await;
    ok(kv.revoke(lease.id).await);
    assert_eq!(keys(&all(kv, &Range::all()).await), [b"b", b"d"]);
    assert_eq!(told(&mut *changes).await, format!("{}: -a -c", newest.next()));
    ok(kv.revoke(lease.id).await);
    ok(kv.revoke(unknown()).await);
    // A lease without keys leaves no trace.
    let empty = grant(kv, LONG).await;
    ok(kv.revoke(empty.id).await);
    assert_eq!(ok(kv.status().await).revision, newest.next());
    let ids: BTreeSet<_> = [lease.id, other.id, empty.id, grant(kv, LONG).await.id].into();
    assert_eq!(ids.len(), 4, "a name was used again");
}

/// A late writer must learn that its lease is gone, and must not have half written.
pub async fn a_lease_that_is_gone_refuses_and_changes_nothing(world: &dyn World) {
    let kv = &*world.open().await;
    if !kv.capabilities().leases {
        return;
    }
    let (alive, revoked) = (grant(kv, LONG).await, grant(kv, LONG).await);
    ok(kv.revoke(revoked.id).await);
    let newest = put(kv, "a", "").await;
    for gone in [revoked.id, unknown()] {
        let is_gone = |error: Option<Error>| {
            assert!(matches!(error, Some(Error::LeaseGone(id)) if id == gone), "{error:?}");
        };
        is_gone(kv.renew(gone).await.err());
        is_gone(kv.lease(gone).await.err());
        let write = Transaction::put("b", "")
            .and_put("c", "", Life::Lease(gone))
            .and_delete("a")
            .when("a", Is::Present);
        is_gone(kv.commit(write).await.err());
        // Of several, the one that is gone is named.
        let several = Transaction::default()
            .and_put("c", "", Life::Lease(alive.id))
            .and_put("d", "", Life::Lease(gone))
            .and_put("e", "", Life::Ttl(LONG));
        is_gone(kv.commit(several).await.err());
        // What is not written needs no lease.
        let refused = Transaction::default().and_put("c", "", Life::Lease(gone));
        let refused = ok(kv.commit(refused.when("a", Is::Missing)).await);
        assert!(matches!(refused, Outcome::Refused { .. }), "{refused:?}");
    }
    assert_eq!(keys(&all(kv, &Range::all()).await), [b"a"]);
    assert_eq!(ok(kv.status().await).revision, newest);
}

/// What is told of a lease is what was done with it.
pub async fn a_lease_tells_its_time_and_its_keys(world: &dyn World) {
    let kv = &*world.open().await;
    if !kv.capabilities().leases {
        return;
    }
    let lease = grant(kv, LONG).await;
    let status = ok(kv.lease(lease.id).await);
    assert_eq!((status.ttl, status.keys), (lease.ttl, Vec::new()));
    assert!(status.remaining <= lease.ttl, "{:?}", status.remaining);
    assert!(lease.ttl - status.remaining < Duration::from_secs(60), "{:?}", status.remaining);

    for key in ["b", "a", "c", "a"] {
        put_with(kv, key, Life::Lease(lease.id)).await;
    }
    committed(kv.commit(Transaction::delete("c")).await);
    put(kv, "other", "").await;
    let status = ok(kv.lease(lease.id).await);
    assert_eq!(status.keys, ["a", "b"].map(Bytes::from));
    assert_eq!(get(kv, "a").await.and_then(|entry| entry.lease), Some(lease.id));

    world.pass(Duration::from_secs(2)).await;
    let remaining = ok(kv.lease(lease.id).await).remaining;
    assert!(remaining < lease.ttl, "{remaining:?}");
    assert_eq!(ok(kv.renew(lease.id).await), lease.ttl);
}

/// A time to live needs nobody to renew or revoke it.
pub async fn an_entry_with_a_time_to_live_ends_by_itself(world: &dyn World) {
    let kv = &*world.open().await;
    if !kv.capabilities().leases {
        return;
    }
    let count = ok(kv.status().await).leases;
    let begin = world.now();
    let write = Transaction::put("stays", "")
        .when("a", Is::Missing)
        .and_put("a", "1", Life::Ttl(Duration::from_millis(1_200)))
        .and_put("b", "2", Life::Ttl(LONG));
    let revision = committed(kv.commit(write.clone()).await);
    let entry = get(kv, "a").await.expect("it has at least 1.2 s");
    assert_eq!((&*entry.value, entry.modified), (&b"1"[..], revision));
    assert!(entry.lease.is_some());
    assert_ne!(entry.lease, get(kv, "b").await.and_then(|entry| entry.lease));
    let refused = ok(kv.commit(write).await);
    assert!(matches!(refused, Outcome::Refused { .. }), "{refused:?}");

    let mut changes = watch(kv, Range::all(), Some(revision.next())).await;
    until_missing(world, kv, "a").await;
    let lasted = world.now() - begin;
    assert!(lasted >= Duration::from_secs(2), "whole seconds, rounded up: {lasted:?}");
    assert_eq!(told(&mut *changes).await, format!("{}: -a", revision.next()));
    assert_eq!(keys(&all(kv, &Range::all()).await), [&b"b"[..], b"stays"]);
    assert_eq!(ok(kv.status().await).leases, count, "leases of single entries are not counted");
}

/// The newest put says how long an entry stays, whatever the one before it said.
pub async fn a_put_that_replaces_another_frees_its_lease(world: &dyn World) {
    let kv = &*world.open().await;
    if !kv.capabilities().leases {
        return;
    }
    let (first, second) = (grant(kv, LONG).await, grant(kv, LONG).await);
    let (on_first, on_second) = (Life::Lease(first.id), Life::Lease(second.id));
    let brief = Life::Ttl(Duration::from_secs(1));
    for (key, before, after) in [
        ("endless", on_first, Life::Endless),
        ("moved", on_first, on_second),
        ("given", Life::Endless, on_first),
        ("ttl to endless", brief, Life::Endless),
        ("ttl to lease", brief, on_second),
        ("ttl to ttl", brief, Life::Ttl(LONG)),
        ("lease to ttl", on_first, Life::Ttl(LONG)),
    ] {
        let put = Transaction::default().and_put(key, "before", before);
        committed(kv.commit(put).await);
        put_with(kv, key, after).await;
    }
    // Deleted and put again: the second life knows nothing of the first.
    for (key, life) in [("again", on_first), ("ttl again", brief)] {
        put_with(kv, key, life).await;
        committed(kv.commit(Transaction::delete(key)).await);
        put(kv, key, "").await;
    }
    put_with(kv, "witness", brief).await;
    assert_eq!(ok(kv.lease(first.id).await).keys, ["given"].map(Bytes::from));
    let second_keys = ["moved", "ttl to lease"].map(Bytes::from);
    assert_eq!(ok(kv.lease(second.id).await).keys, second_keys);
    let newest = ok(kv.status().await).revision;
    let mut changes = watch(kv, Range::all(), Some(newest)).await;
    ok(kv.revoke(first.id).await);
    // The witness was given its time after all the others: when it is gone, theirs would be over too.
    until_missing(world, kv, "witness").await;
    world.pass(SHORT).await;
    let left = all(kv, &Range::all()).await;
    let expected = [
        "again",
        "endless",
        "lease to ttl",
        "moved",
        "ttl again",
        "ttl to endless",
        "ttl to lease",
        "ttl to ttl",
    ];
    assert_eq!(keys(&left), expected.map(str::as_bytes));
    put(kv, "end", "").await;
    let mut ended = Vec::new();
    loop {
        let change = ok(changes.next().await);
        let text = short(&change);
        let (_, text) = text.split_once(": ").expect("a change begins with its revision");
        if text == "end" {
            break;
        }
        ended.push(text.to_owned());
    }
    ended.sort_unstable();
    assert_eq!(ended, ["-given", "-witness", "witness"]);
}

/// From one second to ten years.
pub async fn times_to_live_out_of_bounds_are_refused(world: &dyn World) {
    let kv = &*world.open().await;
    if !kv.capabilities().leases {
        return;
    }
    let newest = put(kv, "k", "").await;
    let over = TTL_MAX + Duration::from_secs(1);
    for ttl in [Duration::ZERO, Duration::from_millis(999), over, Duration::MAX] {
        let granted = kv.grant(ttl).await;
        assert!(matches!(granted, Err(Error::Invalid(_))), "{ttl:?}: {granted:?}");
        let put = Transaction::default().and_put("k", "", Life::Ttl(ttl));
        let put = kv.commit(put).await;
        assert!(matches!(put, Err(Error::Invalid(_))), "{ttl:?}: {put:?}");
    }
    assert_eq!(ok(kv.status().await).revision, newest);
    for ttl in [Duration::from_secs(1), Duration::from_millis(1_001), TTL_MAX] {
        let lease = grant(kv, ttl).await;
        ok(kv.revoke(lease.id).await);
    }
}

/// An engine that was away cannot know who tried to renew.
pub async fn leases_have_their_full_time_after_a_restart(world: &dyn World) {
    let kv = world.open().await;
    if !kv.capabilities().leases {
        return;
    }
    let ttl = Duration::from_secs(5);
    let (lease, empty) = (grant(&*kv, ttl).await, grant(&*kv, LONG).await);
    put_with(&*kv, "a", Life::Lease(lease.id)).await;
    put_with(&*kv, "b", Life::Ttl(ttl)).await;
    world.pass(Duration::from_secs(3)).await;
    let begin = world.now();
    let was_there = get(&*kv, "a").await.is_some() && get(&*kv, "b").await.is_some();
    let Some(kv) = world.restart().await else { return };
    if !was_there {
        // The machine stood still before: nothing is left to look at.
        return;
    }
    assert_eq!(ok(kv.lease(empty.id).await).ttl, empty.ttl);
    until_missing(world, &*kv, "a").await;
    until_missing(world, &*kv, "b").await;
    let lasted = world.now() - begin;
    assert!(lasted >= ttl, "it ended {lasted:?} after the restart");
    assert!(matches!(kv.renew(lease.id).await, Err(Error::LeaseGone(_))));
    assert_ne!(grant(&*kv, LONG).await.id, lease.id, "a name was used again");
    assert_eq!(ok(kv.renew(empty.id).await), empty.ttl);
}
