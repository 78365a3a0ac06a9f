use super::*;

fn with_store(test: impl FnOnce(&Connection)) {
    let folder = tempfile::tempdir().unwrap();
    let db = Connection::open(folder.path().join("orders.db")).unwrap();
    db.pragma_update(None, "foreign_keys", true).unwrap();
    db.execute_batch(SCHEMA).unwrap();
    test(&db);
}

fn new(lines: &[(&str, i64)]) -> NewOrder {
    let line =
        |(name, quantity): &(&str, i64)| NewLine { name: (*name).to_owned(), quantity: *quantity };
    NewOrder { user_id: 7, items: lines.iter().map(line).collect() }
}

#[test]
fn a_placed_order_has_the_prices_of_its_lines_and_their_total() {
    with_store(|db| {
        let pending = begin(db, &new(&[("pear", 2), ("apple", 3)])).unwrap();
        assert_eq!((pending.status, pending.total), (Status::Pending, 0));
        let placed = place(db, pending.id, &[50, 30]).unwrap();
        assert_eq!((placed.status, placed.total), (Status::Placed, 190));
        let line = |name: &str, quantity, price| Line { name: name.into(), quantity, price };
        assert_eq!(placed.items, [line("pear", 2, 50), line("apple", 3, 30)]);
        assert_eq!(list(db).unwrap(), [placed]);
    });
}

#[test]
fn an_order_cancelled_meanwhile_is_not_placed() {
    with_store(|db| {
        let id = begin(db, &new(&[("apple", 1)])).unwrap().id;
        cancel(db, id).unwrap();
        assert_eq!(place(db, id, &[30]).unwrap_err().code, "wrong_status");
    });
}

#[test]
fn a_status_follows_only_the_one_before_it() {
    let check = |from: Status, allowed: &str| {
        let next: Vec<_> = Status::ALL
            .into_iter()
            .filter(|next| from.can_become(*next))
            .map(Status::name)
            .collect();
        assert_eq!(next.join(" "), allowed, "from {from}");
    };
    check(Status::Pending, "placed cancelled");
    check(Status::Placed, "paid cancelled");
    check(Status::Paid, "shipped cancelled");
    check(Status::Shipped, "");
    check(Status::Cancelled, "cancelled");
}

#[test]
fn a_removed_order_takes_its_lines_along_and_its_id_never_comes_back() {
    with_store(|db| {
        let id = begin(db, &new(&[("apple", 1)])).unwrap().id;
        remove(db, id).unwrap();
        assert_eq!(get(db, id).unwrap_err().code, "not_found");
        assert_eq!(remove(db, id).unwrap_err().code, "not_found");
        assert!(lines(db, id).unwrap().is_empty());
        assert!(begin(db, &new(&[("apple", 1)])).unwrap().id > id);
    });
}

#[test]
fn an_order_that_makes_no_sense_is_refused() {
    assert!(new(&[("apple", 1)]).check().is_ok());
    let wrong: [&[(&str, i64)]; 5] =
        [&[], &[("apple", 0)], &[("a/b", 1)], &[("apple", 1), ("apple", 2)], &[("apple", 10_001)]];
    for lines in wrong {
        assert_eq!(new(lines).check().unwrap_err().status.as_u16(), 400, "{lines:?}");
    }
}
