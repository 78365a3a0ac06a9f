//! Clauses about watches and what is kept for them.

use super::{Task, World, committed, delete, ok, prefix, put, short, told, watch};
use crate::kv::{
    Change, Error, Event, Kv, Life, OPERATIONS_MAX, Operation, Range, Revision, Transaction, Watch,
};
use bytes::Bytes;
use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
};

/// After the call has returned, nothing is missed.
pub async fn a_watch_tells_what_happens_after_it_began(world: &dyn World) {
    let kv = &*world.open().await;
    let before = put(kv, "a", "before").await;
    let mut changes = watch(kv, Range::all(), None).await;
    let first = put(kv, "a", "1").await;
    let second = delete(kv, "a").await;
    let third =
        committed(kv.commit(Transaction::put("b", "2").and_put("c", "3", Life::Endless)).await);
    let mut next = told(&mut *changes).await;
    // It may begin earlier.
    if next == format!("{before}: a=before") {
        next = told(&mut *changes).await;
    }
    assert_eq!(next, format!("{first}: a=1"));
    assert_eq!(told(&mut *changes).await, format!("{second}: -a"));
    assert_eq!(told(&mut *changes).await, format!("{third}: b=2 c=3"));
}

/// History is told as it was: every change, its entries as they were then.
pub async fn a_watch_from_the_past_tells_everything_since(world: &dyn World) {
    let kv = &*world.open().await;
    if !kv.capabilities().watches {
        return;
    }
    let created = put(kv, "a", "1").await;
    put(kv, "b", "").await;
    committed(kv.commit(Transaction::put("a", "2").and_delete("b")).await);
    committed(kv.commit(Transaction::delete("missing")).await);
    put(kv, "a", "2").await;
    delete(kv, "a").await;
    let last = put(kv, "a", "3").await;
    let at = |steps: u64| created.0 + steps;
    let expected = [
        format!("{created}: a=1"),
        format!("{}: b", at(1)),
        format!("{}: a=2 -b", at(2)),
        format!("{}: a=2", at(3)),
        format!("{}: -a", at(4)),
        format!("{}: a=3", at(5)),
    ];
    assert_eq!(last.0, at(5));
    for (skipped, steps) in (0..6).enumerate() {
        let from = Revision(at(steps));
        let mut changes = watch(kv, Range::all(), Some(from)).await;
        for expected in &expected[skipped..] {
            assert_eq!(told(&mut *changes).await, *expected, "from {from}");
        }
    }
    for from in [Revision(0), Revision(1)] {
        let mut changes = watch(kv, prefix("a"), Some(from)).await;
        assert_eq!(told(&mut *changes).await, expected[0], "from {from}");
        let change = ok(changes.next().await);
        let Event::Put(entry) = &change.events[0] else { panic!("{change:?}") };
        assert_eq!((entry.created, entry.modified, entry.version), (created, Revision(at(2)), 2));
    }
    // What happens meanwhile follows what happened before.
    let mut changes = watch(kv, Range::all(), Some(last)).await;
    let next = put(kv, "a", "4").await;
    assert_eq!(told(&mut *changes).await, expected[5]);
    assert_eq!(told(&mut *changes).await, format!("{next}: a=4"));
}

/// Whoever knows of a revision that this engine has not seen yet waits for it.
pub async fn a_watch_from_the_future_waits_for_it(world: &dyn World) {
    let kv = &*world.open().await;
    let newest = put(kv, "a", "").await;
    let from = Revision(newest.0 + 3);
    let mut changes = watch(kv, Range::all(), Some(from)).await;
    let mut far = watch(kv, Range::all(), Some(Revision(u64::MAX))).await;
    for value in ["1", "2"] {
        put(kv, "a", value).await;
        assert!(is_pending(&mut *changes).await);
    }
    assert_eq!(put(kv, "a", "3").await, from);
    put(kv, "a", "4").await;
    assert_eq!(told(&mut *changes).await, format!("{from}: a=3"));
    assert_eq!(told(&mut *changes).await, format!("{}: a=4", from.next()));
    assert!(is_pending(&mut *far).await);
}

/// Asks once, and drops the call.
pub(super) async fn is_pending(watch: &mut dyn Watch) -> bool {
    let mut next = pin!(watch.next());
    poll_fn(|context| Poll::Ready(next.as_mut().poll(context).is_pending())).await
}

/// Neighbours are not told of, and do not count.
pub async fn a_watch_tells_of_its_range_only(world: &dyn World) {
    let kv = &*world.open().await;
    let newest = ok(kv.status().await).revision.next();
    let range = |from: &str, to: &str| Range {
        from: Bytes::copy_from_slice(from.as_bytes()),
        to: Some(Bytes::copy_from_slice(to.as_bytes())),
    };
    let ranges = [
        (Range::all(), "a a/ a/1 a/2 a0 b"),
        (prefix("a/"), "a/ a/1 a/2"),
        (Range::key("a".into()), "a"),
        (range("a/1", "a0"), "a/1 a/2"),
        (Range { from: "a0".into(), to: None }, "a0 b"),
    ];
    let mut watches = Vec::new();
    for (range, _) in &ranges {
        watches.push(watch(kv, range.clone(), Some(newest)).await);
    }
    let mut nothing = watch(kv, range("x", "x"), Some(newest)).await;
    let names = ["a", "a/", "a/1", "a/2", "a0", "b"];
    let together = names
        .iter()
        .fold(Transaction::default(), |put, name| put.and_put(*name, "", Life::Endless));
    let revision = committed(kv.commit(together).await);
    for ((range, expected), watch) in ranges.iter().zip(&mut watches) {
        assert_eq!(told(&mut **watch).await, format!("{revision}: {expected}"), "{range:?}");
    }
    let mut last = revision;
    for name in names {
        last = delete(kv, name).await;
    }
    for ((range, expected), watch) in ranges.iter().zip(&mut watches) {
        for name in expected.split(' ') {
            let text = told(&mut **watch).await;
            assert!(text.ends_with(&format!(": -{name}")), "{range:?}: {text}");
        }
    }
    assert_eq!(ok(kv.status().await).revision, last);
    assert!(is_pending(&mut *nothing).await);
}

/// A change that is larger than any message is still one.
pub async fn a_change_holds_all_of_one_revision_however_large(world: &dyn World) {
    let kv = &*world.open().await;
    let mut changes = watch(kv, prefix("k/"), None).await;
    let name = |number: usize| format!("k/{number:05}/{}", "x".repeat(1_000));
    let count = 30 * OPERATIONS_MAX;
    for first in (0..count).step_by(OPERATIONS_MAX) {
        let put = (first..first + OPERATIONS_MAX).fold(Transaction::default(), |put, number| {
            put.and_put(name(number), vec![b'v'; 6_000], Life::Endless)
        });
        let revision = committed(kv.commit(put).await);
        let change = ok(changes.next().await);
        assert_eq!((change.revision, change.events.len()), (revision, OPERATIONS_MAX));
    }
    let range = prefix("k/");
    let operations = vec![Operation::DeleteRange { range }];
    let revision = committed(kv.commit(Transaction { conditions: Vec::new(), operations }).await);
    let after = put(kv, "k/after", "").await;
    let change = ok(changes.next().await);
    assert_eq!((change.revision, change.events.len()), (revision, count));
    let mut found: Vec<_> = change.events.iter().map(|event| event.key().clone()).collect();
    found.sort_unstable();
    assert!(found.iter().enumerate().all(|(number, key)| **key == *name(number).as_bytes()));
    assert_eq!(told(&mut *changes).await, format!("{after}: k/after"));
}

/// Writers at work, and watches that begin before, in the middle, and in the past.
pub async fn watches_have_no_gap_and_no_duplicate_while_many_write(world: &dyn World) {
    const WRITERS: u64 = 8;
    const WRITES: u64 = 60;
    const WATCHERS: u64 = 6;
    let kv = world.open().await;
    let first = put(&*kv, "k/start", "").await;
    let last = Revision(first.0 + WRITERS * WRITES + 1);
    let told: Arc<Mutex<Vec<Vec<Change>>>> = Arc::default();
    let opened = Arc::new(AtomicU64::new(0));
    let mut tasks: Vec<Task> = Vec::new();
    for writer in 0..WRITERS {
        let kv = Arc::clone(&kv);
        tasks.push(Box::pin(async move {
            for number in 0..WRITES {
                put(&*kv, &format!("k/{writer}"), &number.to_string()).await;
            }
        }));
    }
    let (writer, open) = (Arc::clone(&kv), Arc::clone(&opened));
    tasks.push(Box::pin(async move {
        until_at(&*writer, last.0 - 1).await;
        // Whoever begins late has something to be told all the same.
        while open.load(Ordering::SeqCst) < WATCHERS {
            until_at(&*writer, last.0 - 1).await;
        }
        assert_eq!(put(&*writer, "k/end", "").await, last);
    }));
    for watcher in 0..WATCHERS {
        let (kv, told, opened) = (Arc::clone(&kv), Arc::clone(&told), Arc::clone(&opened));
        let from = (watcher % 2 == 0 && kv.capabilities().watches).then(|| first.next());
        tasks.push(Box::pin(async move {
            until_at(&*kv, first.0 + watcher * WRITERS * WRITES / 8).await;
            let mut watch = watch(&*kv, prefix("k/"), from).await;
            opened.fetch_add(1, Ordering::SeqCst);
            let mut changes: Vec<Change> = Vec::new();
            while changes.last().is_none_or(|change| change.revision < last) {
                let change = ok(watch.next().await);
                assert!(change.revision <= last, "{}", short(&change));
                changes.push(change);
            }
            if from.is_some() {
                assert_eq!(changes.first().map(|change| change.revision), from);
            }
            told.lock().unwrap_or_else(PoisonError::into_inner).push(changes);
        }));
    }
    world.together(tasks).await;
    let mut all: Vec<Vec<Change>> =
        std::mem::take(&mut *told.lock().unwrap_or_else(PoisonError::into_inner));
    all.sort_by_key(|changes| changes.first().map(|change| change.revision));
    for changes in &all {
        let jump = changes.windows(2).find(|pair| pair[1].revision != pair[0].revision.next());
        assert_eq!(jump, None, "after each revision comes the next");
        let longest = &all[0];
        assert_eq!(changes[..], longest[longest.len() - changes.len()..]);
    }
}

/// Waits until the engine is at a revision.
async fn until_at(kv: &dyn Kv, revision: u64) {
    while ok(kv.status().await).revision.0 < revision {}
}

/// A caller that waits for several things drops the calls that came second.
pub async fn calls_to_next_may_be_dropped(world: &dyn World) {
    let kv = &*world.open().await;
    let mut changes = watch(kv, prefix("k"), None).await;
    let mut expected = Vec::new();
    let mut found = Vec::new();
    for round in 0..200 {
        if round < 100 {
            let revision = put(kv, "k", &round.to_string()).await;
            expected.push(format!("{revision}: k={round}"));
        } else if found.len() == expected.len() {
            break;
        } else {
            world.pause().await;
        }
        for _ in 0..2 {
            let mut next = pin!(changes.next());
            let polled = poll_fn(|context| Poll::Ready(next.as_mut().poll(context))).await;
            if let Poll::Ready(change) = polled {
                found.push(short(&ok(change)));
            }
        }
    }
    while found.len() < expected.len() {
        found.push(told(&mut *changes).await);
    }
    assert_eq!(found, expected);
}

/// Somebody who never looks costs the others nothing, and finds everything when it looks, or is told that it is gone.
pub async fn a_slow_watcher_holds_up_nobody(world: &dyn World) {
    const WRITES: u64 = 3_000;
    let kv = world.open().await;
    let mut slow = watch(&*kv, prefix("k/"), None).await;
    let mut quick = watch(&*kv, prefix("k/"), None).await;
    let first = ok(kv.status().await).revision.next();
    let mut tasks: Vec<Task> = Vec::new();
    for writer in 0..10 {
        let kv = Arc::clone(&kv);
        tasks.push(Box::pin(async move {
            for number in 0..WRITES / 10 {
                let key = format!("k/{writer}/{}", number % 10);
                committed(kv.commit(Transaction::put(key, vec![b'v'; 4_000])).await);
            }
        }));
    }
    tasks.push(Box::pin(async move {
        for number in 0..WRITES {
            assert_eq!(ok(quick.next().await).revision, Revision(first.0 + number));
        }
    }));
    world.together(tasks).await;
    for number in 0..WRITES {
        match slow.next().await {
            Ok(change) => assert_eq!(change.revision, Revision(first.0 + number)),
            Err(Error::Compacted { compacted }) => {
                assert!(compacted >= Revision(first.0 + number));
                return;
            }
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// Every watch is told what is its own.
pub async fn many_watches_are_told_their_own(world: &dyn World) {
    let kv = &*world.open().await;
    let mut watches = Vec::new();
    for number in 0..200 {
        let key = format!("k/{number}").into();
        watches.push(watch(kv, Range::key(key), None).await);
    }
    let mut expected = Vec::new();
    for number in (0..200).rev() {
        let revision = put(kv, &format!("k/{number}"), "").await;
        expected.push(format!("{revision}: k/{number}"));
    }
    for (watch, expected) in watches.iter_mut().zip(expected.iter().rev()) {
        assert_eq!(told(&mut **watch).await, *expected);
    }
    drop(watches.split_off(10));
    let again = put(kv, "k/3", "").await;
    put(kv, "k/30", "").await;
    assert_eq!(told(&mut *watches[3]).await, format!("{again}: k/3"));
}

/// Whoever watches again from the revision after the last one it was told has seen everything once.
pub async fn watches_go_on_after_a_restart_without_a_gap(world: &dyn World) {
    let kv = world.open().await;
    let mut changes = watch(&*kv, prefix("k"), None).await;
    let first = put(&*kv, "k", "1").await;
    assert_eq!(told(&mut *changes).await, format!("{first}: k=1"));
    let second = put(&*kv, "k", "2").await;
    let Some(kv) = world.restart().await else { return };
    if !kv.capabilities().watches {
        return;
    }
    let third = put(&*kv, "k", "3").await;
    let mut last = first;
    for (expected, value) in [(second, "2"), (third, "3")] {
        let text = loop {
            match changes.next().await {
                Ok(change) => {
                    last = change.revision;
                    break short(&change);
                }
                Err(Error::Unavailable { .. }) => {
                    changes = watch(&*kv, prefix("k"), Some(last.next())).await;
                }
                Err(error) => panic!("{error:?}"),
            }
        };
        assert_eq!(text, format!("{expected}: k={value}"));
    }
}
