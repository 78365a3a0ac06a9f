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

/// The rows of the outbox: key, type, payload.
fn outbox(db: &Connection) -> Vec<(String, String, serde_json::Value)> {
    let sql = "SELECT aggregateid, type, payload FROM outbox ORDER BY rowid";
    let row = |row: &Row<'_>| {
        let payload: String = row.get(2)?;
        Ok((row.get(0)?, row.get(1)?, serde_json::from_str(&payload).unwrap()))
    };
    db.prepare(sql).unwrap().query_map([], row).unwrap().map(rusqlite::Result::unwrap).collect()
}

#[test]
fn an_order_is_stored_with_its_prices_and_its_message() {
    with_store(|db| {
        let order = create(db, &new(&[("pear", 2), ("apple", 3)]), &[50, 30]).unwrap();
        assert_eq!((order.status, order.total), (Status::Pending, 190));
        let line = |name: &str, quantity, price| Line { name: name.into(), quantity, price };
        assert_eq!(order.items, [line("pear", 2, 50), line("apple", 3, 30)]);
        let message = json!({ "order": order.id, "items": order.items });
        assert_eq!(outbox(db), [(order.id.to_string(), "order.created".into(), message)]);
        assert_eq!(list(db).unwrap(), [order]);
    });
}

#[test]
fn an_order_whose_transaction_fails_leaves_no_message() {
    with_store(|db| {
        db.execute_batch("BEGIN").unwrap();
        create(db, &new(&[("apple", 1)]), &[30]).unwrap();
        db.execute_batch("ROLLBACK").unwrap();
        assert_eq!((list(db).unwrap(), outbox(db)), (vec![], vec![]));
    });
}

#[test]
fn an_order_is_settled_once() {
    with_store(|db| {
        let id = create(db, &new(&[("apple", 1)]), &[30]).unwrap().id;
        assert!(settle(db, id, Status::Confirmed, None).unwrap());
        assert!(!settle(db, id, Status::Confirmed, None).unwrap());
        assert!(!settle(db, id, Status::Rejected, Some("late")).unwrap());
        assert_eq!(get(db, id).unwrap().status, Status::Confirmed);

        let id = create(db, &new(&[("apple", 1)]), &[30]).unwrap().id;
        assert!(settle(db, id, Status::Rejected, Some("0 left")).unwrap());
        let order = get(db, id).unwrap();
        assert_eq!((order.status, order.reason.as_deref()), (Status::Rejected, Some("0 left")));
        assert!(!settle(db, 99, Status::Confirmed, None).unwrap(), "there is no such order");
        assert_eq!(report(db).unwrap(), [("confirmed".into(), 1, 30), ("rejected".into(), 1, 30)]);
    });
}

#[test]
fn an_order_cancelled_meanwhile_stays_cancelled() {
    with_store(|db| {
        let id = create(db, &new(&[("apple", 1)]), &[30]).unwrap().id;
        cancel(db, id).unwrap();
        assert!(!settle(db, id, Status::Confirmed, None).unwrap());
        assert_eq!(get(db, id).unwrap().status, Status::Cancelled);
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
    check(Status::Pending, "confirmed rejected cancelled");
    check(Status::Confirmed, "paid cancelled");
    check(Status::Rejected, "");
    check(Status::Paid, "shipped cancelled");
    check(Status::Shipped, "");
    check(Status::Cancelled, "cancelled");
}

#[test]
fn a_removed_order_takes_its_lines_along_and_its_id_never_comes_back() {
    with_store(|db| {
        let id = create(db, &new(&[("apple", 1)]), &[30]).unwrap().id;
        remove(db, id).unwrap();
        assert_eq!(get(db, id).unwrap_err().code, "not_found");
        assert_eq!(remove(db, id).unwrap_err().code, "not_found");
        assert!(lines(db, id).unwrap().is_empty());
        assert!(create(db, &new(&[("apple", 1)]), &[30]).unwrap().id > id);
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
