//! Clauses about the engine as a whole: what survives, what it offers, how it says it is.

use super::{World, all, committed, delete, get, ok, prefix, put, told, watch};
use crate::kv::{Error, Kv, LeaseId, Life, Operation, Range, Revision, Transaction};
use std::{num::NonZeroU64, sync::Arc, time::Duration};

/// An engine that ends at any moment comes back with everything it acknowledged, revisions included.
pub async fn acknowledged_writes_survive_the_end_of_the_engine(world: &dyn World) {
    let mut kv = world.open().await;
    let first = put(&*kv, "a", "1").await;
    let mut revision = first;
    for round in 0..3 {
        for number in 0..20 {
            let key = format!("k/{round}/{number}");
            let write = Transaction::put(key, "x").and_put("a", "2", Life::Endless);
            let next = committed(kv.commit(write).await);
            assert_eq!(next, revision.next());
            revision = next;
        }
        revision = delete(&*kv, &format!("k/{round}/7")).await;
        let before = all(&*kv, &Range::all()).await;
        let Some(again) = world.restart().await else { return };
        kv = again;
        assert_eq!(all(&*kv, &Range::all()).await, before);
        assert_eq!(ok(kv.status().await).revision, revision);
    }
    let entry = get(&*kv, "a").await.expect("it was put");
    assert_eq!((entry.created, entry.version), (first, 61));
    if kv.capabilities().watches && ok(kv.status().await).compacted < first {
        let mut changes = watch(&*kv, prefix("a"), Some(first)).await;
        assert_eq!(told(&mut *changes).await, format!("{first}: a=1"));
        for number in 1..21 {
            let expected = format!("{}: a=2", first.0 + number);
            assert_eq!(told(&mut *changes).await, expected);
        }
    }
    // What was forgotten stays so.
    ok(kv.compact(first.next()).await);
    let Some(kv) = world.restart().await else { return };
    assert!(ok(kv.status().await).compacted >= first.next());
    assert_eq!(put(&*kv, "a", "3").await, revision.next());
}

/// Nothing is done in silence, and nothing is done by half.
pub async fn what_is_not_offered_is_refused(world: &dyn World) {
    let kv = &*world.open().await;
    let offered = kv.capabilities();
    let newest = put(kv, "k", "").await;
    let refused = |what: &str, error: Option<Error>| {
        assert!(matches!(error, Some(Error::Unsupported(_))), "{what}: {error:?}");
    };
    let id = LeaseId(NonZeroU64::MIN);
    if !offered.leases {
        refused("grant", kv.grant(Duration::from_secs(10)).await.err());
        refused("renew", kv.renew(id).await.err());
        refused("revoke", kv.revoke(id).await.err());
        refused("lease", kv.lease(id).await.err());
        for life in [Life::Lease(id), Life::Ttl(Duration::from_secs(10))] {
            let put = Transaction::default().and_put("k", "x", life);
            refused("a put with a lease", kv.commit(put).await.err());
        }
    }
    if !offered.transactions {
        let two = Transaction::put("a", "").and_put("b", "", Life::Endless);
        refused("two keys", kv.commit(two).await.err());
        let other = Transaction::put("a", "").when("k", crate::kv::Is::Present);
        refused("a condition on another key", kv.commit(other).await.err());
        let operations = vec![Operation::DeleteRange { range: Range::all() }];
        let range = Transaction { conditions: Vec::new(), operations };
        refused("a range", kv.commit(range).await.err());
        let same = Transaction::put("k", "1").when("k", crate::kv::Is::Present);
        committed(kv.commit(same).await);
    } else {
        assert_eq!(ok(kv.status().await).revision, newest);
    }
    if !offered.watches {
        let past = kv.watch(Range::all(), Some(newest)).await;
        refused("a watch from the past", past.err());
    }
    let mut changes = watch(kv, Range::all(), None).await;
    let next = put(kv, "k", "2").await;
    while told(&mut *changes).await != format!("{next}: k=2") {}
}

/// What is shown to people is true.
pub async fn the_status_agrees_with_what_happened(world: &dyn World) {
    let kv = &*world.open().await;
    let empty = ok(kv.status().await);
    assert!(empty.compacted <= empty.revision, "{empty:?}");
    assert!(!empty.place.is_empty());
    let newest = put(kv, "a", "").await;
    let status = ok(kv.status().await);
    assert_eq!(status.revision, newest);
    assert_eq!(status.place, empty.place);
    if !kv.capabilities().leases {
        return;
    }
    let lease = ok(kv.grant(Duration::from_secs(1_000)).await);
    let with = ok(kv.status().await);
    assert_eq!(with.revision, newest, "a lease is no change");
    if let (Some(before), Some(with)) = (status.leases, with.leases) {
        assert_eq!(with, before + 1);
        ok(kv.revoke(lease.id).await);
        assert_eq!(ok(kv.status().await).leases, Some(before));
    }
}

/// Two ways to one store show one store.
pub async fn everybody_sees_the_same_keys(world: &dyn World) {
    let (one, other): (Arc<dyn Kv>, Arc<dyn Kv>) = (world.open().await, world.open().await);
    let mut changes = watch(&*other, Range::all(), None).await;
    for number in 0..50_u64 {
        let revision = put(&*one, "k", &number.to_string()).await;
        let entry = get(&*other, "k").await.expect("it was acknowledged");
        assert_eq!((entry.modified, entry.version), (revision, number + 1));
        assert_eq!(told(&mut *changes).await, format!("{revision}: k={number}"));
        assert_ne!(revision, Revision(0));
    }
}
