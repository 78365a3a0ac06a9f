//! Clauses about reading: single keys, ranges, pages, snapshots.

use super::{World, all, committed, delete, get, keys, ok, prefix, put};
use crate::kv::{Entry, Kv, Life, OPERATIONS_MAX, Page, Range, Snapshot, Transaction, VALUE_MAX};
use bytes::Bytes;

/// What is put is read, and tells when it was created and changed, and how often.
pub async fn a_put_is_read_back_with_its_revisions(world: &dyn World) {
    let kv = &*world.open().await;
    assert_eq!(get(kv, "a").await, None);
    let first = put(kv, "a", "one").await;
    let mut expected = Entry {
        key: "a".into(),
        value: "one".into(),
        created: first,
        modified: first,
        version: 1,
        lease: None,
    };
    assert_eq!(get(kv, "a").await, Some(expected.clone()));
    put(kv, "other", "").await;
    assert_eq!(get(kv, "a").await, Some(expected.clone()));

    expected.modified = put(kv, "a", "").await;
    expected.value = Bytes::new();
    expected.version = 2;
    assert!(expected.modified > first);
    assert_eq!(get(kv, "a").await, Some(expected));

    let gone = delete(kv, "a").await;
    assert_eq!(get(kv, "a").await, None);
    let again = put(kv, "a", "three").await;
    let entry = get(kv, "a").await.expect("it was put");
    assert!(again > gone);
    assert_eq!((entry.created, entry.modified, entry.version), (again, again, 1));
}

/// Bytes are compared as numbers, and a range is what its bounds say.
pub async fn ranges_are_in_the_order_of_bytes(world: &dyn World) {
    let kv = &*world.open().await;
    let names: [&[u8]; 10] =
        [b"\0", b"a", b"a\0", b"a/1", b"a/1/x", b"a/2", b"a\xff", b"a\xff\xff", b"b", b"\xff\xff"];
    for name in names.into_iter().rev() {
        committed(kv.commit(Transaction::put(name, name)).await);
    }
    let check = async |range: Range, expected: &[&[u8]]| {
        assert_eq!(keys(&all(kv, &range).await), expected, "{range:?}");
        let expected = names.into_iter().filter(|name| range.contains(name)).collect::<Vec<_>>();
        assert_eq!(keys(&all(kv, &range).await), expected, "{range:?}");
    };
    let range =
        |from: &'static [u8], to: &'static [u8]| Range { from: from.into(), to: Some(to.into()) };
    check(Range::all(), &names).await;
    check(Range { from: "b".into(), to: None }, &names[8..]).await;
    check(Range { from: b"\xff\xff\xff"[..].into(), to: None }, &[]).await;
    check(Range::key("a".into()), &names[1..2]).await;
    check(Range::key("missing".into()), &[]).await;
    check(prefix("a"), &names[1..8]).await;
    check(prefix("a/"), &names[3..6]).await;
    check(Range::prefix(b"a\xff"[..].into()), &names[6..8]).await;
    check(Range::prefix(b"\xff"[..].into()), &names[9..]).await;
    check(Range::prefix(Bytes::new()), &names).await;
    check(range(b"a", b"b"), &names[1..8]).await;
    check(range(b"", b"a"), &names[..1]).await;
    check(range(b"a", b"a"), &[]).await;
    check(range(b"b", b"a"), &[]).await;
    check(range(b"", b""), &[]).await;
}

/// Pages of any length are the range, in order, without gap and without repetition.
pub async fn pages_join_up_to_the_whole(world: &dyn World) {
    let kv = &*world.open().await;
    put(kv, "before", "").await;
    let mut expected = fill(kv, 2_100).await;
    put(kv, "q", "").await;
    expected.sort_unstable();
    for limit in [0, 1, 7, 999, 1_000, 2_100, usize::MAX] {
        let (mut range, mut found) = (prefix("p/"), Vec::new());
        if limit < 2 {
            range.from = expected[2_080].clone();
            found.extend_from_slice(&expected[..2_080]);
        }
        loop {
            let Page { entries, next, .. } = ok(kv.range(&range, limit).await);
            assert!(entries.len() <= limit.clamp(1, crate::kv::PAGE_MAX), "{limit}");
            assert!(!entries.is_empty(), "{limit}");
            found.extend(entries.into_iter().map(|entry| entry.key));
            let Some(next) = next else { break };
            let last = found.last().expect("a page has an entry");
            assert!(next > *last, "{limit}: the next page begins after {last:?}, not at {next:?}");
            range.from = next;
        }
        assert_eq!(found, expected, "{limit}");
    }
    let nothing = ok(kv.range(&prefix("nothing"), 10).await);
    assert_eq!((nothing.entries.len(), nothing.next), (0, None));
    // Exactly the last ones: whether more is said to come or not, none comes.
    let last = Range { from: expected[2_090].clone(), to: prefix("p/").to };
    let page = ok(kv.range(&last, 10).await);
    assert_eq!(page.entries.len(), 10);
    if let Some(next) = page.next {
        let rest = ok(kv.range(&Range { from: next, to: last.to }, 10).await);
        assert_eq!((rest.entries.len(), rest.next), (0, None));
    }
}

/// Puts so many keys below `p/`, and returns them.
async fn fill(kv: &dyn Kv, count: usize) -> Vec<Bytes> {
    let all: Vec<Bytes> = (0..count).map(|number| format!("p/{number}").into()).collect();
    for some in all.chunks(OPERATIONS_MAX) {
        let put = some.iter().fold(Transaction::default(), |put, key| {
            put.and_put(key.clone(), key.clone(), Life::Endless)
        });
        committed(kv.commit(put).await);
    }
    all
}

/// Entries that together are larger than any message come all the same, and whole.
pub async fn large_values_come_in_pages(world: &dyn World) {
    let kv = &*world.open().await;
    let value = |number: u8| Bytes::from(vec![number; VALUE_MAX]);
    for number in 0..12 {
        let key = format!("large/{number:02}");
        committed(kv.commit(Transaction::put(key, value(number))).await);
    }
    let mut snapshot = ok(kv.snapshot().await);
    let entries = all(kv, &prefix("large/")).await;
    assert_eq!(entries.len(), 12);
    let expected = (0..).map(value);
    assert!(entries.iter().zip(expected).all(|(entry, value)| entry.value == value));
    assert_eq!(all_of(&mut *snapshot, &prefix("large/"), usize::MAX).await, entries);
}

/// All of a range of a snapshot, page by page.
async fn all_of(snapshot: &mut dyn Snapshot, range: &Range, limit: usize) -> Vec<Entry> {
    let (mut range, mut entries) = (range.clone(), Vec::new());
    loop {
        let page = ok(snapshot.range(&range, limit).await);
        assert_eq!(page.revision, snapshot.revision());
        entries.extend(page.entries);
        let Some(next) = page.next else { return entries };
        range.from = next;
    }
}

/// A snapshot shows everything that was acknowledged before it, and nothing that came later.
pub async fn a_snapshot_stays_as_it_was(world: &dyn World) {
    let kv = &*world.open().await;
    let empty = &mut *ok(kv.snapshot().await);
    fill(kv, 50).await;
    put(kv, "p/7", "changed").await;
    let newest = delete(kv, "p/8").await;
    let before = all(kv, &Range::all()).await;
    let snapshot = &mut *ok(kv.snapshot().await);
    assert!(snapshot.revision() >= newest);

    let first = ok(snapshot.range(&prefix("p/"), 10).await);
    assert_eq!(keys(&first.entries), keys(&before[..10]));
    for number in 0..60 {
        put(kv, &format!("p/{number}"), "later").await;
    }
    committed(kv.commit(Transaction::delete("p/9")).await);
    put(kv, "p/a", "later").await;
    let rest = Range { from: first.next.expect("there are more"), to: prefix("p/").to };
    assert_eq!(all_of(snapshot, &rest, 10).await, before[10..]);
    assert_eq!(all_of(snapshot, &Range::all(), 7).await, before);
    assert_eq!(all_of(empty, &Range::all(), 7).await, []);
    assert_eq!(all_of(&mut *ok(kv.snapshot().await), &Range::all(), 7).await.len(), 60);
}
