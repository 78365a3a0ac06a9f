//! `flotilla tx`: transactions of the file as operators see, mend and end them.

use crate::kit::{System, wait::eventually};
use serde_json::Value;
use std::fs;

const FILE: &str = "
services:
  items: { run: FIXTURE serve, health: /ready, env: { LEDGER: DIR/items } }
  orders: { run: FIXTURE serve, health: /ready, env: { LEDGER: DIR/orders } }
  back: { run: FIXTURE serve, health: /ready, env: { LEDGER: DIR/back } }
transactions:
  checkout:
    retry: { base: 10ms, max: 100ms, attempts: 3 }
    steps:
      - { id: reserve, call: POST items/event, undo: POST back/event, body: { order: \"{{input.order}}\" } }
      - { id: charge, call: \"POST orders/event?order={{input.order}}\", body: { order: \"{{input.order}}\" } }
";

/// Lines of `STATUS MS TEXT`: how a service answers what has the text in its body.
fn answer(system: &System, service: &str, lines: &str) {
    system.file(&format!("{service}.next"), lines);
    let path = |what: &str| system.dir().join(format!("{service}.{what}"));
    fs::rename(path("next"), path("answers")).unwrap();
}

/// How often a service has said that it did what has `text` in it.
fn done(system: &System, service: &str, text: &str) -> usize {
    let ledger = fs::read_to_string(system.dir().join(service)).unwrap_or_default();
    let is_done = |line: &&str| line.contains(text) && line.contains("\"status\":200");
    ledger.lines().filter(is_done).count()
}

fn shown(system: &System, id: &str) -> Value {
    system.flotilla(&format!("tx show {id} -o json")).expect(0).json()
}

/// Waits until a transaction asks for somebody.
fn until_stuck(system: &System, id: &str) {
    eventually("a transaction that asks for somebody", || {
        let listed = system.flotilla("tx ls --attention").expect(0);
        listed.out.contains(id).then_some(())
    });
}

#[test]
fn a_transaction_of_the_file_is_submitted_seen_and_mended_from_the_command_line() {
    let system = System::new(FILE);
    system.up();
    let submit = "tx submit checkout --wait 60s --id";
    let first = system.flotilla(&format!("{submit} order-1 --input {{\"order\":\"o-1\"}}"));
    first.expect(0).says("checkout order-1 is committed");
    assert_eq!((done(&system, "items", "o-1"), done(&system, "orders", "o-1")), (1, 1));
    let again = system.flotilla("tx submit checkout --id order-1 --input {\"order\":\"o-1\"}");
    again.expect(0).says("committed");
    assert_eq!(done(&system, "items", "o-1"), 1);
    system.flotilla("tx submit checkout --id order-1 --input {\"order\":\"o-9\"}").expect(8);
    system.flotilla("tx submit chekcout").expect(2).says("checkout");

    answer(&system, "orders", "409 0 o-2\n409 0 o-3\n409 0 o-4\n");
    let refused = system.flotilla(&format!("{submit} order-2 --input {{\"order\":\"o-2\"}}"));
    refused.expect(1).says("order-2 is aborted").says("charge");
    assert_eq!(done(&system, "back", "o-2"), 1, "the reservation was given back");
    system.flotilla("tx abort order-1").expect(8);
    system.flotilla("tx show order-9").expect(2);

    answer(&system, "back", "500 0 o-3\n500 0 o-4\n");
    let stuck =
        system.flotilla("tx submit checkout --wait 1s --id order-3 --input {\"order\":\"o-3\"}");
    stuck.expect(5).says("flotilla tx watch order-3");
    until_stuck(&system, "order-3");
    system.flotilla("tx show order-3").expect(0).says("compensate").says("500").says("refused");
    let resolve = "tx resolve order-3 --branch reserve --reason mended";
    system.flotilla(resolve).expect(2).says("--yes");
    system.flotilla(&format!("{resolve} --yes")).expect(0).says("order-3 is aborted");
    system.flotilla(&format!("{resolve} --yes")).expect(8);
    let ended = shown(&system, "order-3");
    assert!(ended["events"].to_string().contains("mended"), "{ended:#}");

    system
        .flotilla("tx submit checkout --label kind=late --id order-4 --input {\"order\":\"o-4\"}")
        .expect(0);
    until_stuck(&system, "order-4");
    system.kill_node();
    system.up();
    until_stuck(&system, "order-4");
    system.flotilla("tx retry order-4").expect(0).says("order-4 is aborting");
    answer(&system, "back", "");
    system.flotilla("tx watch order-4").expect(1).says("compensate").says("order-4 is aborted");
    assert_eq!(done(&system, "back", "o-4"), 1);
    system.flotilla("tx ls --label kind=late --status aborted").expect(0).says("order-4");
    let all = system.flotilla("tx ls -n 2 -o json").expect(0).says("there are more");
    assert_eq!(all.out.lines().count(), 2);
    system.down();
}
