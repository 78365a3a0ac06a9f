use shop_kit::testing::{Step, check_steps};

use super::*;

fn ann(db: &Connection) -> Result<i64> {
    let ann = store::NewUser { name: "Ann".into(), email: "ann@example.org".into() };
    Ok(store::insert(db, &ann)?.id)
}

fn with_wallet(test: impl FnOnce(&Connection, i64)) {
    let folder = tempfile::tempdir().unwrap();
    let db = Connection::open(folder.path().join("users.db")).unwrap();
    db.pragma_update(None, "foreign_keys", true).unwrap();
    db.execute_batch(store::SCHEMA).unwrap();
    let ann = ann(&db).unwrap();
    change(&db, ann, 100).unwrap();
    test(&db, ann);
}

#[test]
fn a_wallet_pays_what_it_has_and_not_more() {
    with_wallet(|db, ann| {
        assert_eq!(change(db, ann, -30).unwrap(), Wallet { balance: 70 });
        let refused = change(db, ann, -71).unwrap_err();
        assert_eq!(
            (refused.code, &*refused.message),
            ("too_little", "the wallet has 70, 71 asked")
        );
        assert_eq!(change(db, ann, -70).unwrap(), Wallet { balance: 0 });
        assert_eq!(change(db, ann, 0).unwrap(), Wallet { balance: 0 });
    });
}

#[test]
fn nobody_has_an_empty_wallet_unless_there_is_such_a_user() {
    with_wallet(|db, ann| {
        let bob = store::NewUser { name: "Bob".into(), email: "bob@example.org".into() };
        let bob = store::insert(db, &bob).unwrap().id;
        assert_eq!(find(db, bob).unwrap(), Wallet { balance: 0 });
        assert_eq!(find(db, bob + 1).unwrap_err().code, "not_found");
        assert_eq!(change(db, bob + 1, 5).unwrap_err().code, "not_found");
        store::remove(db, ann).unwrap();
        assert_eq!(find(db, ann).unwrap_err().code, "not_found");
    });
}

#[test]
fn paying_holds_whatever_comes_twice_or_late() {
    check_steps(
        store::SCHEMA,
        |db| ann(db).and_then(|ann| change(db, ann, 100)).map(drop),
        routes,
        |db| find(db, 1),
        &[
            Step::saga("pay", "/tx/pay", "/tx/refund").json(r#"{"user":1,"amount":30}"#),
            Step::saga("tip", "/tx/pay", "/tx/refund").json(r#"{"user":1,"amount":2}"#),
        ],
    );
}

#[test]
fn a_refund_to_nobody_is_done() {
    with_wallet(|db, ann| {
        store::remove(db, ann).unwrap();
        assert_eq!(give_back(db, ann, 5).unwrap(), None);
    });
}
