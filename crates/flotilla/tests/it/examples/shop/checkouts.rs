//! Checkouts: what the shop's page promises of them, and whether the books are right whoever was killed.

use super::{SETTLED_WITHIN, send};
use crate::kit::{
    System,
    http::{Answer, Request},
    wait::{eventually, within},
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
};

const PRICE: u64 = 50;

/// More than is sold while the test runs, on most machines; right it must be in any case.
const STOCK: u64 = 5_000;

/// One who can always pay, one for whom it is soon too much, and one with nothing.
const MONEY: [u64; 3] = [1_000_000_000, 20 * PRICE, 0];

/// How many of all checkouts are asked for again at the end.
const ASKED_AGAIN: usize = 50;

fn checkout_of(id: &str, user: u64, quantity: u64) -> Request {
    let items = json!([{ "name": "pear", "quantity": quantity }]);
    Request::with_json("POST", "/checkout", &json!({ "id": id, "user_id": user, "items": items }))
}

fn money_of(system: &System, user: u64) -> u64 {
    let wallet = system.get(&format!("/users/{user}/wallet"));
    wallet.json()["balance"].as_u64().unwrap_or_else(|| panic!("{}", wallet.text()))
}

fn top_up(system: &System, user: u64, amount: u64) {
    let path = format!("/users/{user}/wallet");
    let filled = send(system, "POST", &path, &json!({ "amount": amount }));
    assert_eq!(filled.status, 200, "{}", filled.text());
}

fn stock(system: &System) -> u64 {
    system.get("/item/pear").json()["quantity"].as_u64().unwrap()
}

/// What the shop's page promises of a checkout, of a user with an empty wallet.
pub(super) fn check_tour(system: &System, user: u64) {
    let pears = json!({ "price": PRICE, "quantity": 10 });
    assert_eq!(send(system, "POST", "/item/pear", &pears).status, 201);
    top_up(system, user, 200);
    let until = |request: &Request| {
        eventually("the end of a checkout", || {
            let answer = request.send(system.gateway).unwrap();
            (answer.status != 202).then_some(answer)
        })
    };
    let refused = |id: &str, quantity: u64| {
        let answer = until(&checkout_of(id, user, quantity));
        assert_eq!(answer.status, 409, "{}", answer.text());
        assert_eq!(answer.json()["error"]["code"], "rejected");
        answer.json()["error"]["message"].as_str().unwrap().to_owned()
    };
    for _time in 0..2 {
        let bought = until(&checkout_of("tour-1", user, 3));
        assert_eq!(bought.status, 201, "{}", bought.text());
        let order = bought.json();
        assert_eq!((&order["status"], &order["total"]), (&"confirmed".into(), &150.into()));
        let id = &order["id"];
        assert_eq!(bought.header("location"), Some(&*format!("/orders/{id}")));
        assert_eq!((money_of(system, user), stock(system)), (50, 7), "once, however often asked");
        let cancel = json!({ "status": "cancelled" });
        let cancelled = send(system, "PUT", &format!("/orders/{id}"), &cancel);
        assert_eq!(cancelled.json()["error"]["code"], "checked_out");
    }
    let other = until(&checkout_of("tour-1", user, 4));
    assert_eq!((other.status, &other.json()["error"]["code"]), (409, &"id_reused".into()));
    let reason = refused("tour-2", 2);
    assert!(reason.contains("the wallet has 50, 100 asked"), "{reason}");
    top_up(system, user, 1_000);
    let reason = refused("tour-3", 8);
    assert!(reason.contains("7 of `pear` left, 8 asked"), "{reason}");
    assert_eq!((money_of(system, user), stock(system)), (1_050, 7), "all was given back");
    let orders = system.get("/orders").json();
    let mut reasons = orders["orders"].as_array().unwrap().iter().map(|order| &order["reason"]);
    assert!(reasons.any(|it| *it == reason), "the order says it, too: {orders:#}");
    assert_eq!(messages(system, 1), ["tour-1".to_owned()].into());
}

/// The transactions whose message `order.confirmed` is there, when there are `count`.
fn messages(system: &System, count: usize) -> BTreeSet<String> {
    eventually("the messages about confirmed orders", || {
        let (mut found, mut next) = (Vec::new(), Some(0));
        while let Some(from) = next {
            let path = format!("/v1/topics/order.confirmed/messages?limit=1000&from={from}");
            let page = system.api("GET", &path, None).json();
            let of = |it: &Value| it["event"]["subject"].as_str().unwrap().to_owned();
            found.extend(page["messages"].as_array().unwrap().iter().map(of));
            next = page["next"].as_u64();
        }
        let ids: BTreeSet<_> = found.iter().cloned().collect();
        assert_eq!(ids.len(), found.len(), "one message for each: {found:?}");
        (ids.len() >= count).then_some(ids)
    })
}

/// What was asked for, and the order it came to or why there is none.
type Ended = (u64, Result<Value, String>);

/// Somebody who checks out again and again, each until it is known how it ended.
struct Shopper {
    user: u64,
    money: u64,
    thread: JoinHandle<BTreeMap<String, Ended>>,
}

/// Several shoppers with wallets of their own, who buy pears.
pub(super) struct Shoppers {
    all: Vec<Shopper>,
    stop: Arc<AtomicBool>,
    ended: Arc<AtomicU64>,
}

impl Shoppers {
    pub(super) fn start(system: &System) -> Self {
        let pears = json!({ "price": PRICE, "quantity": STOCK });
        assert_eq!(send(system, "POST", "/item/pear", &pears).status, 201);
        let (stop, ended) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let shopper = |(at, money): (usize, u64)| {
            let user = json!({ "name": "Shopper", "email": format!("s{at}@example.org") });
            let user = send(system, "POST", "/users", &user).json()["id"].as_u64().unwrap();
            if money > 0 {
                top_up(system, user, money);
            }
            let (gateway, stop, ended) = (system.gateway, Arc::clone(&stop), Arc::clone(&ended));
            let shop = move || shop(gateway, user, &stop, &ended);
            Shopper { user, money, thread: runtime::thread("shopper", shop).unwrap() }
        };
        let all = MONEY.into_iter().enumerate().map(shopper).collect();
        Self { all, stop, ended }
    }

    /// How many checkouts have ended.
    pub(super) fn ended(&self) -> u64 {
        self.ended.load(Ordering::Relaxed)
    }

    /// Lets them end what they began, and checks that money, stock, orders, transactions and messages add up.
    pub(super) fn end(self, system: &System, orders: impl Fn() -> Vec<Value>) {
        self.stop.store(true, Ordering::Relaxed);
        let mut ended = BTreeMap::new();
        for Shopper { user, money, thread } in self.all {
            let own = thread.join().unwrap();
            let spent: u64 = own.values().filter_map(|(_, end)| total(end)).sum();
            assert_eq!(money_of(system, user) + spent, money, "the money of user {user}");
            ended.extend(own.into_iter().map(|(id, end)| (id, (user, end))));
        }
        let sold = |(_, (quantity, end)): &(u64, Ended)| end.is_ok().then_some(*quantity);
        let sold: u64 = ended.values().filter_map(sold).sum();
        assert_eq!(stock(system) + sold, STOCK);
        check_orders(&orders(), &ended);
        check_transactions(system, &ended);
        let confirmed = ended.iter().filter(|(_, (_, (_, end)))| end.is_ok());
        let confirmed: BTreeSet<_> = confirmed.map(|(id, _)| id.clone()).collect();
        assert!(!confirmed.is_empty() && confirmed.len() < ended.len(), "some of both: {ended:?}");
        assert_eq!(messages(system, confirmed.len()), confirmed);
        for (id, (user, (quantity, end))) in ended.iter().step_by(ended.len() / ASKED_AGAIN + 1) {
            let again = eventually("an answer to who asks again", || {
                ended_as(&checkout_of(id, *user, *quantity).send(system.gateway).ok()?)
            });
            assert_eq!(again, *end, "{id}, asked again");
        }
    }
}

fn total(end: &Result<Value, String>) -> Option<u64> {
    end.as_ref().ok().map(|order| order["total"].as_u64().unwrap())
}

/// What a shopper does.
fn shop(
    gateway: SocketAddr,
    user: u64,
    stop: &AtomicBool,
    count: &AtomicU64,
) -> BTreeMap<String, Ended> {
    let mut ended = BTreeMap::new();
    for number in 0_u64.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        // Every third one finds the money but not the stock, so that it has to be given back.
        let quantity = if number % 3 == 2 { STOCK + 1 } else { 1 + number % 2 };
        let id = format!("u{user}-{number}");
        let request = checkout_of(&id, user, quantity);
        // Whatever else is answered, or nothing: it is unknown what became of it, so it is asked again.
        let end =
            within(SETTLED_WITHIN, &mut || request.send(gateway).ok().as_ref().and_then(ended_as));
        let end = end.unwrap_or_else(|| panic!("{id} does not end"));
        ended.insert(id, (quantity, end));
        count.fetch_add(1, Ordering::Relaxed);
    }
    ended
}

/// How a checkout ended, if the answer says it.
fn ended_as(answer: &Answer) -> Option<Result<Value, String>> {
    match answer.status {
        201 => Some(Ok(answer.json())),
        409 => {
            let error = answer.json()["error"].clone();
            assert_eq!(error["code"], "rejected", "{error}");
            Some(Err(error["message"].as_str().unwrap().to_owned()))
        }
        _ => None,
    }
}

/// Each checkout has at most one order, which stands as the customer was told.
fn check_orders(orders: &[Value], ended: &BTreeMap<String, (u64, Ended)>) {
    let told: BTreeMap<_, _> = ended
        .values()
        .filter_map(|(_, (_, end))| end.as_ref().ok())
        .map(|it| (it["id"].as_u64(), it))
        .collect();
    let (mut confirmed, mut rejected) = (0, 0);
    for order in orders {
        match order["status"].as_str() {
            Some("confirmed") => {
                assert_eq!(told.get(&order["id"].as_u64()), Some(&order), "nobody was told of it");
                confirmed += 1;
            }
            Some("rejected") => rejected += 1,
            _ => panic!("it is held: {order}"),
        }
    }
    let reasons: BTreeSet<_> =
        ended.values().filter_map(|(_, (_, end))| end.as_ref().err()).collect();
    assert_eq!(confirmed, told.len(), "one order for each");
    assert!(rejected <= ended.len() - confirmed, "{rejected} rejected: {reasons:?}");
}

/// Every transaction is over, and as the customer was told.
fn check_transactions(system: &System, ended: &BTreeMap<String, (u64, Ended)>) {
    let (mut known, mut cursor) = (BTreeMap::new(), String::new());
    loop {
        let path = format!("/v1/tx?name=checkout&limit=1000{cursor}");
        let page = system.api("GET", &path, None).json();
        let text = |it: &Value, key: &str| it[key].as_str().unwrap().to_owned();
        let all = page["transactions"].as_array().unwrap();
        known.extend(all.iter().map(|it| (text(it, "id"), text(it, "status"))));
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let status = |end: &Result<Value, String>| match end {
        Ok(_) => "committed".to_owned(),
        Err(_) => "aborted".to_owned(),
    };
    let told: BTreeMap<_, _> =
        ended.iter().map(|(id, (_, (_, end)))| (id.clone(), status(end))).collect();
    assert_eq!(known, told);
}
