use std::{path::Path, sync::Barrier, time::Duration};

use rusqlite::TransactionBehavior;

use super::*;

fn open(path: &Path) -> Connection {
    let db = Connection::open(path).unwrap();
    db.busy_timeout(Duration::from_secs(5)).unwrap();
    db.pragma_update(None, "journal_mode", "wal").unwrap();
    db.execute_batch(SCHEMA).unwrap();
    db
}

fn with_apples(quantity: i64, test: impl FnOnce(&Connection, &Path)) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("items.db");
    let db = open(&path);
    put(&db, "apple", &Put { price: Some(30), quantity: Some(quantity) }).unwrap();
    test(&db, &path);
}

fn left(db: &Connection) -> i64 {
    get(db, "apple").unwrap().quantity
}

#[test]
fn an_item_is_created_then_changed_then_removed() {
    with_apples(5, |db, _| {
        let (item, is_new) = put(db, "apple", &Put { price: Some(40), quantity: None }).unwrap();
        assert_eq!((item.price, item.quantity, is_new), (40, 5, false));
        assert_eq!(put(db, "pear", &Put::default()).unwrap_err().code, "invalid");
        let (pear, is_new) = put(db, "pear", &Put { price: Some(50), quantity: None }).unwrap();
        assert_eq!((pear.quantity, is_new), (0, true));
        assert_eq!(list(db).unwrap(), [item, pear]);
        remove(db, "apple").unwrap();
        assert_eq!(get(db, "apple").unwrap_err().code, "not_found");
        assert_eq!(remove(db, "apple").unwrap_err().code, "not_found");
    });
}

#[test]
fn no_more_is_taken_than_there_is() {
    with_apples(5, |db, _| {
        assert_eq!(take(db, "apple", 3).unwrap().quantity, 2);
        assert_eq!(take(db, "apple", 3).unwrap_err().code, "too_few");
        assert_eq!(give(db, "apple", 1).unwrap().quantity, 3);
        assert_eq!(take(db, "pear", 1).unwrap_err().code, "not_found");
        assert_eq!(give(db, "pear", 1).unwrap_err().code, "not_found");
    });
}

#[test]
fn a_keyed_take_happens_once_and_is_given_back_once() {
    with_apples(5, |db, _| {
        take_once(db, "order-1", "apple", 2).unwrap();
        take_once(db, "order-1", "apple", 2).unwrap();
        assert_eq!(left(db), 3);
        assert_eq!(take_once(db, "order-1", "apple", 1).unwrap_err().code, "key_reused");
        give_once(db, "order-1", "apple").unwrap();
        give_once(db, "order-1", "apple").unwrap();
        assert_eq!(left(db), 5);
    });
}

#[test]
fn a_take_that_arrives_after_its_give_is_refused() {
    with_apples(5, |db, _| {
        give_once(db, "order-1", "apple").unwrap();
        assert_eq!(take_once(db, "order-1", "apple", 2).unwrap_err().code, "given_back");
        assert_eq!(left(db), 5);
    });
}

fn order(order: i64, lines: &[(&str, i64)]) -> Order {
    let line =
        |(name, quantity): &(&str, i64)| Line { name: (*name).to_owned(), quantity: *quantity };
    Order { order, items: lines.iter().map(line).collect() }
}

#[test]
fn a_message_takes_the_stock_of_its_order_once_however_often_it_comes() {
    with_apples(5, |db, _| {
        for _delivery in 0..3 {
            assert_eq!(take_order(db, "m1", &order(1, &[("apple", 3)])).unwrap(), None);
            assert_eq!(left(db), 2);
        }
        let short = Some("2 of `apple` left, 3 asked".to_owned());
        assert_eq!(take_order(db, "m2", &order(2, &[("apple", 3)])).unwrap(), short);
        give(db, "apple", 5).unwrap();
        assert_eq!(take_order(db, "m2", &order(2, &[("apple", 3)])).unwrap(), short, "it was said");
        assert_eq!(left(db), 7);
    });
}

#[test]
fn of_an_order_all_is_taken_or_nothing() {
    with_apples(5, |db, _| {
        put(db, "pear", &Put { price: Some(50), quantity: Some(1) }).unwrap();
        let missing = take_order(db, "m1", &order(1, &[("apple", 1), ("pear", 2)])).unwrap();
        assert_eq!(missing.as_deref(), Some("1 of `pear` left, 2 asked"));
        let missing = take_order(db, "m2", &order(2, &[("apple", 1), ("kiwi", 1)])).unwrap();
        assert_eq!(missing.as_deref(), Some("there is no item `kiwi`"));
        assert_eq!(left(db), 5);
    });
}

#[test]
fn an_order_that_was_cancelled_before_its_message_came_takes_nothing() {
    with_apples(5, |db, _| {
        give_once(db, "order-1", "apple").unwrap();
        let missing = take_order(db, "m1", &order(1, &[("apple", 1)])).unwrap();
        assert_eq!(missing.as_deref(), Some("`order-1` was given back already"));
        take_order(db, "m2", &order(2, &[("apple", 4)])).unwrap();
        give_once(db, "order-2", "apple").unwrap();
        assert_eq!(left(db), 5);
    });
}

#[test]
fn of_two_connections_that_race_for_the_last_one_exactly_one_wins() {
    with_apples(0, |db, path| {
        let rounds = 50;
        let start = Barrier::new(2);
        for _round in 0..rounds {
            give(db, "apple", 1).unwrap();
            let race = || {
                let mut own = open(path);
                start.wait();
                let transaction =
                    own.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
                let result = take(&transaction, "apple", 1).map_err(|error| error.code);
                transaction.commit().unwrap();
                result.map(|item| item.quantity)
            };
            let mut results = std::thread::scope(|threads| {
                let (one, two) = (threads.spawn(race), threads.spawn(race));
                [one.join().unwrap(), two.join().unwrap()]
            });
            results.sort();
            assert_eq!(results, [Ok(0), Err("too_few")]);
            assert_eq!(left(db), 0);
        }
    });
}

#[test]
fn numbers_out_of_range_are_refused() {
    for number in [-1, NUMBER_MAX + 1] {
        assert!(Put { price: Some(number), quantity: None }.check().is_err());
        assert!(Put { price: None, quantity: Some(number) }.check().is_err());
        assert!(check_move(number).is_err());
    }
    assert!(check_move(0).is_err() && check_move(1).is_ok());
}
