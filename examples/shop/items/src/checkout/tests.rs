use rusqlite::Connection;
use shop_kit::testing::{Step, check_steps};

use super::*;

fn fill(db: &Connection) -> Result<()> {
    for (name, quantity) in [("apple", 5), ("pear", 3)] {
        let item = store::Put { price: Some(30), quantity: Some(quantity) };
        store::put(db, name, &item)?;
    }
    Ok(())
}

#[test]
fn taking_stock_holds_whatever_comes_twice_or_late() {
    let both =
        r#"{"order":1,"items":[{"name":"apple","quantity":2},{"name":"pear","quantity":1}]}"#;
    let other = r#"{"order":2,"items":[{"name":"apple","quantity":1}]}"#;
    check_steps(
        store::SCHEMA,
        fill,
        routes,
        store::list,
        &[
            Step::saga("both", "/tx/take", "/tx/give").json(both),
            Step::saga("other", "/tx/take", "/tx/give").json(other),
        ],
    );
}
