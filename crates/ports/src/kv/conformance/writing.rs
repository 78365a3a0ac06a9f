//! Clauses about transactions.

use super::{World, all, committed, delete, keys, ok, prefix, put};
use crate::kv::{
    Entry, Error, Is, KEY_MAX, Life, OPERATIONS_MAX, Operation, Outcome, Range, Revision,
    TRANSACTION_SIZE_MAX, Transaction, VALUE_MAX,
};
use bytes::Bytes;

/// Revisions count changes, whichever keys they are of.
pub async fn a_change_takes_the_next_revision_and_no_change_takes_none(world: &dyn World) {
    let kv = &*world.open().await;
    let first = put(kv, "a", "").await;
    assert_eq!(put(kv, "b", "").await, first.next());
    // The same value again is a change.
    assert_eq!(put(kv, "b", "").await, first.next().next());
    let newest = delete(kv, "a").await;
    assert_eq!(newest, Revision(first.0 + 3));

    let nothing = [
        Transaction::default(),
        Transaction::delete("a"),
        Transaction::default().when("b", Is::Present),
        Transaction::default().when("b", Is::Present).and_delete("a").and_delete("c"),
        delete_range(prefix("x")),
        delete_range(Range { from: "b".into(), to: Some("b".into()) }),
    ];
    for transaction in nothing {
        let revision = committed(kv.commit(transaction.clone()).await);
        assert_eq!(revision, newest, "{transaction:?}");
    }
    let refused = Transaction::put("b", "").when("b", Is::Missing);
    let Outcome::Refused { revision, .. } = ok(kv.commit(refused).await) else {
        panic!("`b` is there");
    };
    assert_eq!(revision, newest);
    assert_eq!(ok(kv.range(&Range::all(), 1).await).revision, newest);
    assert_eq!(ok(kv.snapshot().await).revision(), newest);
    // Half of it is a change.
    let half = Transaction::delete("a").and_delete("b");
    assert_eq!(committed(kv.commit(half).await), newest.next());
}

fn delete_range(range: Range) -> Transaction {
    let operations = vec![Operation::DeleteRange { range }];
    Transaction { conditions: Vec::new(), operations }
}

/// Each kind of condition, on a key that is there, that never was, and that was deleted.
pub async fn conditions_of_every_kind_hold_when_they_should(world: &dyn World) {
    let kv = &*world.open().await;
    put(kv, "gone", "x").await;
    let gone = delete(kv, "gone").await;
    let created = put(kv, "there", "before").await;
    let modified = put(kv, "there", "x").await;
    put(kv, "empty", "").await;
    let zero = Revision(0);
    let cases = [
        ("there", Is::Missing, false),
        ("there", Is::Present, true),
        ("there", Is::CreatedAt(created), true),
        ("there", Is::CreatedAt(modified), false),
        ("there", Is::CreatedAt(zero), false),
        ("there", Is::ModifiedAt(modified), true),
        ("there", Is::ModifiedAt(created), false),
        ("there", Is::ModifiedAt(modified.next()), false),
        ("there", Is::ModifiedAt(Revision(u64::MAX)), false),
        ("there", Is::Value("x".into()), true),
        ("there", Is::Value("before".into()), false),
        ("there", Is::Value("xx".into()), false),
        ("there", Is::Value(Bytes::new()), false),
        ("empty", Is::Value(Bytes::new()), true),
        ("empty", Is::Present, true),
        ("empty", Is::Missing, false),
    ];
    let absent = [
        (Is::Missing, true),
        (Is::Present, false),
        (Is::CreatedAt(zero), false),
        (Is::CreatedAt(created), false),
        (Is::CreatedAt(Revision(u64::MAX)), false),
        (Is::ModifiedAt(zero), false),
        (Is::ModifiedAt(gone), false),
        (Is::Value("x".into()), false),
        (Is::Value(Bytes::new()), false),
    ];
    let absent = ["gone", "never"].map(|key| absent.clone().map(|(is, holds)| (key, is, holds)));
    for (key, is, holds) in cases.into_iter().chain(absent.into_iter().flatten()) {
        let name = format!("`{key}` {is:?}");
        let outcome = ok(kv.commit(Transaction::default().when(key, is)).await);
        assert_eq!(matches!(outcome, Outcome::Committed { .. }), holds, "{name}: {outcome:?}");
    }
}

/// Whoever is refused is told why, so that nobody has to read before trying again.
pub async fn a_refused_transaction_does_nothing_and_tells_what_it_found(world: &dyn World) {
    let kv = &*world.open().await;
    put(kv, "a", "1").await;
    let newest = put(kv, "b", "2").await;
    let before = all(kv, &Range::all()).await;
    let transaction = Transaction::put("a", "changed")
        .and_delete("b")
        .and_put("c", "new", Life::Endless)
        .when("b", Is::Present)
        .when("c", Is::Present)
        .when("a", Is::Value("1".into()))
        .when("b", Is::Missing);
    let outcome = ok(kv.commit(transaction).await);
    let entry = |number: usize| Some::<Entry>(before[number].clone());
    let found = vec![entry(1), None, entry(0), entry(1)];
    assert_eq!(outcome, Outcome::Refused { revision: newest, found });
    assert_eq!(all(kv, &Range::all()).await, before);
}

/// All or nothing, at one revision; conditions see what was there before.
pub async fn a_transaction_is_applied_whole_at_one_revision(world: &dyn World) {
    let kv = &*world.open().await;
    put(kv, "gone", "").await;
    let old = put(kv, "old", "1").await;
    let revision = committed(
        kv.commit(
            Transaction::put("new", "1")
                .when("new", Is::Missing)
                .when("old", Is::ModifiedAt(old))
                .when("gone", Is::Present)
                .and_put("old", "2", Life::Endless)
                .and_delete("gone"),
        )
        .await,
    );
    let page = ok(kv.range(&Range::all(), 10).await);
    assert_eq!(page.revision, revision);
    let told: Vec<_> = page
        .entries
        .iter()
        .map(|entry| (&*entry.key, &*entry.value, entry.created, entry.modified, entry.version))
        .collect();
    let expected: [(&[u8], &[u8], _, _, _); 2] =
        [(b"new", b"1", revision, revision, 1), (b"old", b"2", old, revision, 2)];
    assert_eq!(told, expected);
}

/// What a key is after two writes of one revision would be anybody's guess.
pub async fn a_key_may_be_written_once_in_a_transaction(world: &dyn World) {
    let kv = &*world.open().await;
    let newest = put(kv, "k", "").await;
    let range = |from: &str, to: &str| {
        let (from, to) =
            (Bytes::copy_from_slice(from.as_bytes()), Bytes::copy_from_slice(to.as_bytes()));
        Operation::DeleteRange { range: Range { from, to: Some(to) } }
    };
    let and = |mut transaction: Transaction, operation: Operation| {
        transaction.operations.push(operation);
        transaction
    };
    let twice = [
        Transaction::put("k", "1").and_put("k", "2", Life::Endless),
        Transaction::put("k", "1").and_put("m", "", Life::Endless).and_delete("k"),
        Transaction::delete("k").and_delete("k"),
        and(Transaction::put("k", "1"), range("a", "z")),
        and(and(Transaction::default(), range("a", "m")), range("c", "d")),
        and(and(Transaction::default(), range("c", "l")), range("a", "k")),
        and(Transaction::put("z", ""), Operation::DeleteRange { range: Range::all() }),
    ];
    for transaction in twice {
        let result = kv.commit(transaction.clone()).await;
        assert!(matches!(result, Err(Error::Invalid(_))), "{transaction:?}: {result:?}");
    }
    assert_eq!(ok(kv.status().await).revision, newest);
    let apart = and(and(Transaction::put("k", "1"), range("a", "k")), range("k\0", "z"));
    assert_eq!(committed(kv.commit(apart).await), newest.next());
    // A range in which nothing can be writes nothing.
    let empty = and(Transaction::put("k", "2"), range("k", "k"));
    committed(kv.commit(empty).await);
}

/// A range is emptied by one change, and its neighbours stay.
pub async fn a_range_is_deleted_at_once(world: &dyn World) {
    let kv = &*world.open().await;
    let names = ["a", "a/1", "a/2", "a/2/x", "a0", "b"];
    let fill = async || {
        for name in names {
            put(kv, name, "").await;
        }
    };
    let check = async |range: Range, left: &[&str]| {
        fill().await;
        let before = ok(kv.status().await).revision;
        let with = delete_range(range.clone()).when("a", Is::Present);
        assert_eq!(committed(kv.commit(with).await), before.next(), "{range:?}");
        let entries = all(kv, &Range::all()).await;
        let left: Vec<&[u8]> = left.iter().map(|name| name.as_bytes()).collect();
        assert_eq!(keys(&entries), left, "{range:?}");
    };
    check(prefix("a/"), &["a", "a0", "b"]).await;
    check(prefix("a"), &["b"]).await;
    check(Range::key("a".into()), &names[1..]).await;
    check(Range { from: "a/2".into(), to: None }, &["a", "a/1"]).await;
    check(Range::all(), &[]).await;
    check(Range::prefix(Bytes::new()), &[]).await;

    fill().await;
    let revision = ok(kv.status().await).revision.next();
    let both = delete_range(prefix("a/")).and_put("a", "kept", Life::Endless).and_delete("b");
    assert_eq!(committed(kv.commit(both).await), revision);
    assert_eq!(keys(&all(kv, &Range::all()).await), [&b"a"[..], b"a0"]);
}

/// The bounds are part of the contract from both sides.
pub async fn the_most_conditions_and_operations_pass_and_more_do_not(world: &dyn World) {
    let kv = &*world.open().await;
    let many = |conditions: usize, operations: usize| {
        let transaction = (0..conditions).fold(Transaction::default(), |transaction, number| {
            transaction.when(format!("c/{number}"), Is::Missing)
        });
        (0..operations).fold(transaction, |transaction, number| {
            transaction.and_put(format!("k/{number}"), "", Life::Endless)
        })
    };
    committed(kv.commit(many(OPERATIONS_MAX, OPERATIONS_MAX)).await);
    assert_eq!(all(kv, &prefix("k/")).await.len(), OPERATIONS_MAX);
    for (conditions, operations) in [(OPERATIONS_MAX + 1, 1), (0, OPERATIONS_MAX + 1)] {
        let result = kv.commit(many(conditions, operations)).await;
        assert!(
            matches!(result, Err(Error::TooLarge { size: 129, limit: OPERATIONS_MAX, .. })),
            "{result:?}"
        );
    }
    // As many conditions on one key, and a refusal that tells them all.
    let mut same = Transaction::default().when("c", Is::Present);
    same.conditions = vec![same.conditions[0].clone(); OPERATIONS_MAX];
    let Outcome::Refused { found, .. } = ok(kv.commit(same).await) else {
        panic!("`c` is missing");
    };
    assert_eq!(found, vec![None; OPERATIONS_MAX]);
}

/// Any bytes may be a key or a value, up to a length.
pub async fn the_longest_keys_and_values_pass_and_longer_ones_do_not(world: &dyn World) {
    let kv = &*world.open().await;
    let key = |length: usize| Bytes::from(vec![0xff; length]);
    let value = |length: usize| Bytes::from(vec![0; length]);
    let largest = Transaction::put(key(KEY_MAX), value(VALUE_MAX));
    committed(kv.commit(largest).await);
    let entry = ok(kv.get(&key(KEY_MAX)).await).expect("it was put");
    assert_eq!(entry.value, value(VALUE_MAX));
    let same = Transaction::default().when(key(KEY_MAX), Is::Value(value(VALUE_MAX)));
    committed(kv.commit(same).await);
    let rest = TRANSACTION_SIZE_MAX - VALUE_MAX - 2;
    let full = Transaction::put("a", value(VALUE_MAX)).and_put("b", value(rest), Life::Endless);
    let newest = committed(kv.commit(full).await);

    let too_large = [
        Transaction::put(key(KEY_MAX + 1), ""),
        Transaction::delete(key(KEY_MAX + 1)),
        Transaction::default().when(key(KEY_MAX + 1), Is::Missing),
        Transaction::put("a", value(VALUE_MAX + 1)),
        Transaction::put("a", value(VALUE_MAX)).and_put("b", value(rest + 1), Life::Endless),
        Transaction::put("a", value(VALUE_MAX)).when("b", Is::Value(value(rest + 1))),
    ];
    for transaction in too_large {
        let result = kv.commit(transaction).await;
        assert!(matches!(result, Err(Error::TooLarge { .. })), "{result:?}");
    }
    let empty = [
        Transaction::put("", "x"),
        Transaction::delete(""),
        Transaction::default().when("", Is::Missing),
    ];
    for transaction in empty {
        let result = kv.commit(transaction).await;
        assert!(matches!(result, Err(Error::Invalid(_))), "{result:?}");
    }
    assert!(matches!(kv.get(b"").await, Err(Error::Invalid(_))));
    let result = kv.get(&key(KEY_MAX + 1)).await;
    assert!(matches!(result, Err(Error::TooLarge { .. })), "{result:?}");
    assert_eq!(ok(kv.status().await).revision, newest);
}

/// The answer to a small transaction can be larger than any request.
pub async fn what_refused_transactions_found_may_be_large(world: &dyn World) {
    let kv = &*world.open().await;
    let names: Vec<String> = (0..10).map(|number| format!("large/{number}")).collect();
    for name in &names {
        committed(kv.commit(Transaction::put(name.clone(), vec![b'x'; VALUE_MAX])).await);
    }
    let all = names.iter().fold(Transaction::put("k", ""), |transaction, name| {
        transaction.when(name.clone(), Is::Missing)
    });
    let Outcome::Refused { found, .. } = ok(kv.commit(all).await) else {
        panic!("they are all there");
    };
    assert_eq!(found.len(), names.len());
    assert!(found.iter().flatten().all(|entry| entry.value.len() == VALUE_MAX));

    // Long keys are told too, though the transaction that asks for them has no room for them twice.
    let long = |number: usize| format!("{number:0KEY_MAX$}");
    let mut full = (0..OPERATIONS_MAX).fold(Transaction::default(), |transaction, number| {
        transaction.when(long(number), Is::Missing)
    });
    let rest = TRANSACTION_SIZE_MAX - OPERATIONS_MAX * KEY_MAX - 1;
    full = full.and_put("k", vec![b'y'; rest], Life::Endless);
    committed(kv.commit(full.clone()).await);
    put(kv, &long(5), "there").await;
    let Outcome::Refused { found, .. } = ok(kv.commit(full).await) else {
        panic!("one is there");
    };
    let there: Vec<_> = (0..).zip(&found).filter(|(_, entry)| entry.is_some()).collect();
    assert_eq!((found.len(), there.len(), there[0].0), (OPERATIONS_MAX, 1, 5));
}
