//! Tables in which services leave messages.

use super::{Arrival, arrivals, until_done};
use crate::kit::{System, skip, wait::eventually};
use std::process::{Command, Stdio};

/// Makes the table, or works on it, with what every Python has.
const PROGRAM: &str = "
import sqlite3, sys
db = sqlite3.connect('shop.db', timeout=60)
what, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
if what == 'make':
    db.execute('pragma journal_mode = wal')
    db.execute('create table outbox (id text primary key, aggregatetype text, aggregateid text, type text, payload text)')
    db.execute('create table orders (id integer primary key)')
elif what == 'count':
    print(db.execute('select count(*) from outbox').fetchone()[0])
else:
    for n in range(first, first + count):
        db.execute('insert into orders values (?)', (n,))
        row = (f'id-{n}', 'order', f'k{n % 3}', 'OrderMade', '{\"n\": %d}' % n)
        db.execute('insert into outbox values (?, ?, ?, ?, ?)', row)
        if what == 'take-back':
            db.rollback()
        else:
            db.commit()
db.commit()
";

#[test]
fn rows_of_an_outbox_are_published_in_order_over_the_end_of_the_node() {
    let test = "rows_of_an_outbox_are_published_in_order_over_the_end_of_the_node";
    let sqlite =
        Command::new("python3").args(["-c", "import sqlite3"]).stderr(Stdio::null()).status();
    if !sqlite.is_ok_and(|status| status.success()) {
        return skip(test, "there is no `python3` with SQLite");
    }
    let system = System::new(
        "
topics: { shop.order: {} }
services:
  shop:
    run: FIXTURE serve
    health: /ready
    outbox: { url: 'sqlite://DIR/shop.db', topic: 'shop.{aggregatetype}' }
  mail:
    run: FIXTURE serve
    health: /ready
    env: { LEDGER: DIR/mail }
    subscribes: { shop.order: { to: POST /event, start: oldest } }
",
    );
    let work = |what: &str, first: usize, count: usize| {
        let mut command = system.command("python3");
        command.args(["-c", PROGRAM, what, &first.to_string(), &count.to_string()]);
        system.finish(&mut command).expect(0).out.trim().to_owned()
    };
    // The database comes after the node, as when a service makes it at its first start.
    system.up();
    work("make", 0, 0);
    work("put", 0, 20);
    let all = until_done(&system, "mail", 20);
    // Other keys may be quicker.
    let first = all.iter().map(Arrival::json).find(|it| it["id"] == "id-0").unwrap();
    assert_eq!(
        (&first["type"], &first["subject"]),
        (&"OrderMade".into(), &"k0".into()),
        "{first:#}"
    );
    work("take-back", 500, 5);
    system.kill_node();
    work("put", 20, 20);
    system.up();
    work("put", 40, 20);
    let all = until_done(&system, "mail", 60);
    eventually("an empty table", || (work("count", 0, 0) == "0").then_some(()));
    for key in 0..3 {
        let of_key = all.iter().filter(|it| it.number("n") % 3 == key);
        let mut numbers: Vec<_> = of_key.map(|it| it.number("n")).collect();
        numbers.dedup();
        let expected: Vec<_> = (0..60).filter(|n| n % 3 == key).collect();
        assert_eq!(numbers, expected);
    }
    assert!(arrivals(&system, "mail").iter().all(|it| it.number("n") < 60), "rolled back");
    system.flotilla("topics relays").expect(0).says("shop").says("outbox");
    system.down();
}
