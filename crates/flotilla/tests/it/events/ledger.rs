//! The complete account of what was published, acknowledged and processed while everything is killed.
//!
//! `FLOTILLA_TEST_KILLS` sets how often the node dies.

use super::{Arrival, arrivals, until_settled};
use crate::kit::{
    System, alone,
    http::{Connection, Request},
    processes::kill,
    wait::{eventually, pause},
};
use rustix::process::Signal;
use serde_json::json;
use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

/// Threads that publish, each one keys of its own.
const PUBLISHERS: u64 = 4;
const KEYS: u64 = 4;
/// Acknowledged messages between two kills.
const STRIDE: u64 = 150;
/// Deliveries of a group at a time.
const CONCURRENCY: usize = 16;
/// Settlements that a killed node may not have written yet: they are written together, at the latest after a twentieth of a
/// second, in which a quick service settles a few hundred.
const UNWRITTEN: usize = 600;

fn rounds() -> usize {
    let asked = env::var("FLOTILLA_TEST_KILLS").ok().and_then(|text| text.parse().ok());
    asked.unwrap_or(4)
}

struct Shared {
    to: SocketAddr,
    token: String,
    stop: AtomicBool,
    acknowledged: AtomicU64,
    repeated: AtomicU64,
}

impl Shared {
    /// Publishes numbers, one after the other for each key, and gives back how many of each were acknowledged. What was not
    /// answered is published again with the same id.
    fn publish(&self, publisher: u64) -> Vec<u64> {
        let mut counts = vec![0; usize::try_from(KEYS).unwrap()];
        let mut connection = None;
        for turn in 0.. {
            if self.stop.load(Ordering::SeqCst) {
                break;
            }
            let at = usize::try_from(turn % KEYS).unwrap();
            let (key, n) = (format!("p{publisher}-{at}"), counts[at]);
            let body =
                json!({ "id": format!("{key}-{n}"), "key": key, "data": { "key": key, "n": n } });
            let request = Request::with_json("POST", "/v1/topics/orders/messages", &body)
                .header("Authorization", &format!("Bearer {}", self.token));
            while !self.send(&mut connection, &request) {
                self.repeated.fetch_add(1, Ordering::Relaxed);
                pause();
            }
            counts[at] += 1;
            self.acknowledged.fetch_add(1, Ordering::SeqCst);
        }
        counts
    }

    /// Whether it was acknowledged.
    fn send(&self, connection: &mut Option<Connection>, request: &Request) -> bool {
        let open = match connection.take() {
            Some(open) => Ok(open),
            None => Connection::open(self.to),
        };
        let Ok(mut open) = open else { return false };
        let Ok(answer) = open.ask(request) else { return false };
        if !answer.is_last() {
            *connection = Some(open);
        }
        assert!(matches!(answer.status, 200 | 429 | 500..), "{} {}", answer.status, answer.text());
        answer.status == 200
    }
}

#[test]
fn what_was_acknowledged_is_processed_however_often_everything_is_killed() {
    let _alone = alone();
    let system = System::new(&format!(
        "
topics: {{ orders: {{ retry: {{ max: none, backoff: 10ms..100ms }}, dedup: 1h }} }}
services:
  shop:
    run: FIXTURE serve
    instances: 2
    health: /ready
    env: {{ LEDGER: DIR/shop }}
    restart: {{ backoff: 50ms, backoff_max: 100ms }}
    subscribes: {{ orders: {{ to: POST /event, concurrency: {CONCURRENCY} }} }}
  books:
    run: FIXTURE serve
    health: /ready
    env: {{ LEDGER: DIR/books }}
    restart: {{ backoff: 50ms, backoff_max: 100ms }}
    subscribes: {{ orders: {{ to: POST /event, concurrency: {CONCURRENCY} }} }}
"
    ));
    system.up();
    system.until_ready("shop", 2);
    let token = fs::read_to_string(system.dir().join(".flotilla/token")).unwrap();
    let shared = Arc::new(Shared {
        to: system.admin,
        token: token.trim().to_owned(),
        stop: AtomicBool::new(false),
        acknowledged: AtomicU64::new(0),
        repeated: AtomicU64::new(0),
    });
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|number| {
            let shared = Arc::clone(&shared);
            runtime::thread("publisher", move || shared.publish(number)).unwrap()
        })
        .collect();
    let more = |count: u64| {
        let wanted = shared.acknowledged.load(Ordering::SeqCst) + count;
        eventually("more acknowledged messages", || {
            (shared.acknowledged.load(Ordering::SeqCst) >= wanted).then_some(())
        });
    };
    for round in 0..rounds() {
        more(STRIDE);
        let victims = system.status();
        let (_, shop) = victims.pids("shop")[round % 2].clone();
        kill(shop, Signal::KILL);
        let (_, books) = victims.pids("books")[0].clone();
        kill(books, Signal::KILL);
        more(STRIDE);
        system.kill_node();
        system.up();
        system.until_ready("shop", 2);
        system.until_ready("books", 1);
    }
    more(STRIDE);
    shared.stop.store(true, Ordering::SeqCst);
    let counts: Vec<Vec<u64>> = publishers.into_iter().map(|it| it.join().unwrap()).collect();
    let repeated = shared.repeated.load(Ordering::Relaxed);
    for name in ["shop", "books"] {
        until_settled(&system, "orders", name);
        let bound = rounds() * (2 * CONCURRENCY + UNWRITTEN);
        check(name, &arrivals(&system, name), &counts, bound);
    }
    eprintln!(
        "{} acknowledged, {repeated} publishes tried again",
        shared.acknowledged.load(Ordering::SeqCst)
    );
    assert!(super::dead(&system, "orders").is_empty());
    system.down();
}

/// Nothing is missing, each key's first deliveries are in order, and not much came twice.
fn check(name: &str, all: &[Arrival], counts: &[Vec<u64>], bound: usize) {
    let mut first: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut instances = BTreeSet::new();
    for arrival in all {
        assert!(arrival.is_done(), "{arrival:?}");
        let event = arrival.json();
        let key = event["data"]["key"].as_str().unwrap().to_owned();
        let n = event["data"]["n"].as_u64().unwrap();
        assert_eq!(event["id"], format!("{key}-{n}"));
        instances.insert(arrival.instance.clone());
        if seen.insert((key.clone(), n)) {
            first.entry(key).or_default().push(n);
        }
    }
    for (publisher, of_keys) in counts.iter().enumerate() {
        for (at, count) in of_keys.iter().enumerate() {
            let got = first.remove(&format!("p{publisher}-{at}")).unwrap_or_default();
            // The last one may have been published without its publisher being told.
            assert!(
                got.iter().copied().eq(0..u64::try_from(got.len()).unwrap()),
                "{publisher}/{at}: {got:?}"
            );
            assert!(
                u64::try_from(got.len()).unwrap() >= *count,
                "{publisher}/{at}: {} of {count}",
                got.len()
            );
        }
    }
    assert!(first.is_empty(), "nobody published {first:?}");
    let twice = all.len() - seen.len();
    eprintln!("{name}: {} messages, {twice} came twice, {instances:?}", seen.len());
    assert!(twice <= bound, "{twice} came twice, more than {bound}");
    assert!(!seen.is_empty());
}
