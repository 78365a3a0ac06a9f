//! Clauses about history that is not kept.

use super::{World, all, delete, get, ok, prefix, put, told, watch, watching::is_pending};
use crate::kv::{Error, Range, Revision};

/// What cannot be told without a gap is not told.
pub async fn forgotten_history_is_told_as_compacted(world: &dyn World) {
    let kv = &*world.open().await;
    let first = put(kv, "a", "1").await;
    let second = put(kv, "b", "1").await;
    let third = delete(kv, "b").await;
    let mut early = ok(kv.snapshot().await);
    let last = put(kv, "a", "2").await;
    let mut open = watch(kv, prefix("a"), None).await;
    ok(kv.compact(third).await);
    ok(kv.compact(third).await);
    ok(kv.compact(first).await);
    assert_eq!(ok(kv.status().await).compacted, third);
    // A snapshot from before is as it was, or is gone; it is not something else.
    match early.range(&Range::all(), 10).await {
        Ok(page) => assert_eq!((page.revision, page.entries.len()), (third, 1)),
        Err(Error::Compacted { .. }) => {}
        Err(error) => panic!("{error:?}"),
    }
    if kv.capabilities().watches {
        for from in [Revision(0), Revision(1), first, second, third] {
            let result = match kv.watch(prefix("a"), Some(from)).await {
                Ok(mut watch) => watch.next().await,
                Err(error) => Err(error),
            };
            let Err(Error::Compacted { compacted }) = result else {
                panic!("from {from}: {result:?}");
            };
            assert_eq!(compacted, third, "from {from}");
        }
        let mut changes = watch(kv, Range::all(), Some(third.next())).await;
        assert_eq!(told(&mut *changes).await, format!("{last}: a=2"));
    }
    // Who was there already misses nothing.
    let next = put(kv, "a", "3").await;
    let mut text = told(&mut *open).await;
    if text == format!("{last}: a=2") {
        text = told(&mut *open).await;
    }
    assert_eq!(text, format!("{next}: a=3"));
    // Who waits for something else, and has seen all that was, needs no history.
    let mut quiet = watch(kv, prefix("quiet"), None).await;
    put(kv, "a", "4").await;
    assert!(is_pending(&mut *quiet).await);
    ok(kv.compact(ok(kv.status().await).revision).await);
    let told_at_last = put(kv, "quiet", "").await;
    assert_eq!(told(&mut *quiet).await, format!("{told_at_last}: quiet"));
}

/// Forgetting changes no value, and the future cannot be forgotten.
pub async fn what_is_compacted_is_the_past_only(world: &dyn World) {
    let kv = &*world.open().await;
    for number in 0..20 {
        put(kv, &format!("k/{}", number % 3), &number.to_string()).await;
    }
    let newest = delete(kv, "k/1").await;
    let before = all(kv, &Range::all()).await;
    let future = kv.compact(newest.next()).await;
    assert!(matches!(future, Err(Error::Invalid(_))), "{future:?}");
    let future = kv.compact(Revision(u64::MAX)).await;
    assert!(matches!(future, Err(Error::Invalid(_))), "{future:?}");
    assert!(ok(kv.status().await).compacted < newest);
    ok(kv.compact(Revision(0)).await);
    ok(kv.compact(newest).await);
    assert_eq!(all(kv, &Range::all()).await, before);
    let status = ok(kv.status().await);
    assert_eq!((status.revision, status.compacted), (newest, newest));
    assert_eq!(put(kv, "k/1", "").await, newest.next());
    assert_eq!(get(kv, "k/1").await.map(|entry| entry.version), Some(1));
    assert_eq!(get(kv, "k/0").await.map(|entry| entry.version), Some(7));
    let mut now = ok(kv.snapshot().await);
    assert_eq!(ok(now.range(&Range::all(), 10).await).entries.len(), 3);
}
