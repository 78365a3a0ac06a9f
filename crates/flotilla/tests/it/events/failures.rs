//! What becomes of messages that services do not take.

use super::{
    answer, arrivals, dead, keyed, publish, subscription, until, until_done, until_settled,
};
use crate::kit::{System, wait::eventually};
use serde_json::json;

/// `retry` of the topic, and more of the subscription.
fn system(retry: &str, more: &str) -> System {
    let system = System::new(&format!(
        "
topics: {{ orders: {{ retry: {{ {retry} }} }} }}
services:
  shop:
    run: FIXTURE serve
    health: /ready
    env: {{ LEDGER: DIR/shop }}
    subscribes: {{ orders: {{ to: POST /event{more} }} }}
  books:
    run: FIXTURE serve
    health: /ready
    env: {{ LEDGER: DIR/books }}
    subscribes: {{ orders: POST /event }}
"
    ));
    system.up();
    system
}

#[test]
fn a_message_that_fails_holds_up_its_own_key_only() {
    let system = system("max: none, backoff: 10ms..50ms", "");
    answer(&system, "shop", "500 0 \"fails\":true\n");
    let (keys, rounds) = (5, 12);
    for number in 0..keys * rounds {
        let (key, round) = (number % keys, number / keys);
        // The last key has none that fails.
        let fails = key != keys - 1 && round == key + 1;
        let data = json!({ "key": key, "n": number, "fails": fails });
        publish(&system, "orders", &keyed(&format!("k{key}"), &data));
    }
    let got =
        until(&system, "shop", "the key without failures, and failures of all others", |all| {
            let free = all.iter().filter(|it| it.number("key") == keys - 1).count();
            let tried = |key| all.iter().any(|it| it.number("key") == key && it.attempt() > 2);
            free == usize::try_from(rounds).unwrap() && (0..keys - 1).all(tried)
        });
    for key in 0..keys - 1 {
        let past = got.iter().any(|it| it.number("key") == key && it.number("n") / keys > key + 1);
        assert!(!past, "something of the key {key} overtook");
    }
    answer(&system, "shop", "");
    let all = until_done(&system, "shop", usize::try_from(keys * rounds).unwrap());
    for key in 0..keys {
        let done = all.iter().filter(|it| it.is_done() && it.number("key") == key);
        let numbers: Vec<_> = done.map(|it| it.number("n")).collect();
        assert!(numbers.is_sorted(), "{key}: {numbers:?}");
    }
    until_settled(&system, "orders", "shop");
    assert!(dead(&system, "orders").is_empty());
    system.down();
}

#[test]
fn a_poison_message_becomes_a_dead_letter_that_can_be_brought_back() {
    let system = system("max: 3, backoff: 10ms..50ms", "");
    answer(&system, "shop", "500 0 poison\n");
    publish(&system, "orders", &json!({ "id": "bad", "key": "k", "data": { "is": "poison" } }));
    publish(&system, "orders", &json!({ "id": "good", "key": "k", "data": { "is": "fine" } }));
    let got = until_done(&system, "shop", 1);
    let attempts: Vec<_> = got.iter().map(|it| (it.status, it.attempt())).collect();
    assert_eq!(attempts, [(500, 1), (500, 2), (500, 3), (200, 1)], "{got:#?}");

    let letters = eventually("the letter", || {
        let letters = dead(&system, "orders");
        (!letters.is_empty()).then_some(letters)
    });
    assert_eq!(letters.len(), 1, "{letters:#?}");
    let told = &letters[0]["dead"];
    assert_eq!((&told["group"], &told["attempts"]), (&json!("shop"), &json!(3)), "{told:#}");
    assert!(told["reason"].as_str().unwrap().contains("500"), "{told:#}");
    assert_eq!(letters[0]["event"]["id"], "bad");
    system.flotilla("topics dlq ls orders").expect(0).says("poison").says("500");
    system.flotilla("topics show orders").expect(0).says("dead");

    // It outlives the node.
    system.kill_node();
    system.up();
    assert_eq!(dead(&system, "orders").len(), 1);
    answer(&system, "shop", "");
    system.flotilla("topics dlq redrive orders").expect(0).says("1");
    let got = until_done(&system, "shop", 2);
    let last = got.last().unwrap();
    assert_eq!((last.json()["id"].as_str(), last.status), (Some("bad"), 200), "{last:?}");
    until_settled(&system, "orders", "shop");
    until_settled(&system, "orders", "books");
    assert!(dead(&system, "orders").is_empty());
    system.flotilla("topics dlq redrive orders").expect(0).says("0");
    // Only the group that gave it up got it again.
    let ids: Vec<_> = arrivals(&system, "books").iter().map(|it| it.json()["id"].clone()).collect();
    assert_eq!(ids, ["bad", "good"]);
    system.down();
}

#[test]
fn a_service_that_is_away_loses_neither_messages_nor_attempts() {
    let system = system("max: 2, backoff: 10ms..50ms", "");
    system.flotilla("scale shop=0 --wait").expect(0);
    for number in 0..30 {
        publish(&system, "orders", &json!({ "data": { "n": number } }));
    }
    // The others do not wait for it.
    until_done(&system, "books", 30);
    eventually("word of the pause", || {
        subscription(&system, "orders", "shop")?["paused"].as_str().map(str::to_owned)
    });
    assert!(arrivals(&system, "shop").is_empty());
    // A node that begins anew has as many instances as the file says.
    system.kill_node();
    system.up();
    let got = until_done(&system, "shop", 30);
    assert!(got.iter().all(|it| it.attempt() == 1), "{got:#?}");
    assert!(dead(&system, "orders").is_empty());
    until_settled(&system, "orders", "shop");
    system.down();
}

#[test]
fn a_service_that_never_answers_is_tried_again_and_harms_nobody() {
    let system = system("max: 2, backoff: 10ms..50ms", ", timeout: 3s");
    // For longer than this test takes.
    answer(&system, "shop", "200 600000 silent\n");
    publish(&system, "orders", &json!({ "id": "s", "key": "s", "data": { "is": "silent" } }));
    for number in 0..20 {
        publish(&system, "orders", &json!({ "data": { "n": number } }));
    }
    let letters = eventually("the letter", || {
        let letters = dead(&system, "orders");
        (!letters.is_empty()).then_some(letters)
    });
    assert_eq!(letters[0]["event"]["id"], "s", "{letters:#?}");
    assert!(letters[0]["dead"]["reason"].as_str().unwrap().contains("3 s"), "{letters:#?}");
    let tried = |all: &[super::Arrival]| {
        all.iter()
            .filter(|it| it.json()["id"] == "s")
            .map(super::Arrival::attempt)
            .collect::<Vec<_>>()
    };
    let all = until(&system, "shop", "the others", |all| all.len() >= 22);
    assert_eq!(tried(&all), [1, 2]);
    until_settled(&system, "orders", "shop");
    system.down();
}

#[test]
fn without_a_place_for_dead_letters_a_message_is_given_up_and_counted() {
    let system = system("max: 3, backoff: 10ms..50ms", ", dead_letter: false");
    answer(&system, "shop", "404 0 odd\n");
    publish(&system, "orders", &json!({ "data": { "is": "odd" } }));
    publish(&system, "orders", &json!({ "data": { "is": "fine" } }));
    let got = until(&system, "shop", "all attempts", |all| all.len() >= 4);
    assert_eq!(got.iter().filter(|it| it.status == 404).count(), 3, "{got:#?}");
    until_settled(&system, "orders", "shop");
    assert!(dead(&system, "orders").is_empty(), "it was to be kept nowhere");
    let shown = subscription(&system, "orders", "shop").unwrap();
    assert_eq!(shown["dropped"], 1, "{shown:#}");
    system.down();
}
