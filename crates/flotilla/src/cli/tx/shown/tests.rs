use super::*;
use crate::cli::output::Output;
use base::Timestamp;
use expect_test::{Expect, expect};
use serde_json::json;

/// Far in the future, so that its age is 0 whenever the test runs.
const BEGUN_MS: u64 = 4_102_444_800_000;

fn at(ms: u64) -> Time {
    Time(Timestamp((BEGUN_MS + ms) * 1_000))
}

fn context(format: Format) -> Context {
    let out = Output::new(format, true, false);
    Context { file: None, environment: None, verbose: 0, out }
}

fn stuck() -> Transaction {
    Transaction {
        id: "order-8".into(),
        mode: "saga".into(),
        name: Some("checkout".into()),
        status: "aborting".into(),
        attention: Some("reserve: compensate failed 20 times: 500".into()),
        reason: Some("charge: refused".into()),
        begun: at(0),
        decided: Some(at(1_500)),
        node: "a".into(),
        labels: [("tenant".to_owned(), "acme".to_owned())].into(),
        input: json!({ "sku": "a\u{1b}[2J" }),
        branches: vec![
            Branch {
                id: "reserve".into(),
                status: "undoing".into(),
                done: vec!["action".into()],
                op: Some("compensate".into()),
                attempts: 20,
                next: Some(Time(Timestamp(0))),
                error: Some("it answered 500\u{7}".into()),
                calls: [("compensate".to_owned(), "POST items/release".to_owned())].into(),
                ..Branch::default()
            },
            Branch {
                id: "charge".into(),
                status: "refused".into(),
                done: vec!["action".into()],
                ..Branch::default()
            },
        ],
        ..Transaction::default()
    }
}

fn check(text: &str, expected: Expect) {
    expected.assert_eq(text);
}

#[test]
fn what_waits_for_somebody_says_why_in_the_list() {
    let done = Transaction {
        id: "01kah2".into(),
        mode: "2pc".into(),
        status: "committed".into(),
        begun: at(0),
        ended: Some(at(12)),
        ..Transaction::default()
    };
    let all = [stuck(), done];
    check(
        &list(&context(Format::Text), &all),
        expect![[r#"
        ID       NAME      MODE  STATUS     STEPS  AGE  WHY
        order-8  checkout  saga  aborting     1/2   0s  reserve: compensate failed 20 times: 500
        01kah2             2pc   committed    0/0   0s
    "#]],
    );
    check(
        &list(&context(Format::Wide), &all),
        expect![[r#"
        ID       NAME      MODE  STATUS     STEPS  AGE  NODE  LABELS       WHY
        order-8  checkout  saga  aborting     1/2   0s  a     tenant=acme  reserve: compensate failed 20 times: 500
        01kah2             2pc   committed    0/0   0s
    "#]],
    );
}

#[test]
fn a_transaction_is_shown_with_its_branches_and_history() {
    let one = stuck();
    check(
        &line(&context(Format::Text), &one),
        expect!["checkout order-8 is aborting: reserve: compensate failed 20 times: 500"],
    );
    check(
        &facts(&context(Format::Text), &one).unwrap(),
        expect![[r#"
        transaction  order-8
        status       aborting
        attention    reserve: compensate failed 20 times: 500
        why          charge: refused
        name         checkout
        mode         saga
        begun        2100-01-01T00:00:00.000Z
        decided      2100-01-01T00:00:01.500Z
        node         a
        labels       tenant=acme
        input        {"sku":"a\u001b[2J"}
    "#]],
    );
    check(
        &branches(&context(Format::Text), &one.branches),
        expect![[r#"
        BRANCH   STATUS   DONE    OP          ATTEMPTS  NEXT  ERROR
        reserve  undoing  action  compensate        20  now   it answered 500\u{7}
        charge   refused  action
    "#]],
    );
    check(
        &branches(&context(Format::Wide), &one.branches),
        expect![[r#"
        BRANCH   STATUS   DONE    OP          ATTEMPTS  NEXT  TO                  ERROR
        reserve  undoing  action  compensate        20  now   POST items/release  it answered 500\u{7}
        charge   refused  action
    "#]],
    );
    let events = [
        Event { at: at(0), status: "trying".into(), text: "begun".into(), ..Event::default() },
        Event {
            at: at(900),
            status: "trying".into(),
            branch: Some("charge".into()),
            op: Some("action".into()),
            text: "refused: no\u{1b}".into(),
            ..Event::default()
        },
    ];
    check(
        &history(&context(Format::Text), &events),
        expect![[r#"
        TIME                      STATUS  BRANCH  OP      WHAT
        2100-01-01T00:00:00.000Z  trying                  begun
        2100-01-01T00:00:00.900Z  trying  charge  action  refused: no\u{1b}
    "#]],
    );
}
