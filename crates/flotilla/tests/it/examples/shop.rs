//! The shop: what its page promises, and that its sums are right whoever is killed.

mod checkouts;

use super::{example, send};
use crate::kit::{
    System, alone, fixture,
    http::{Answer, Request},
    processes, repository,
    wait::{eventually, pause, within},
};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, SystemTime},
};

use checkouts::Shoppers;

/// Long enough for several attempts with the longest pause that the shop's file allows.
const SETTLED_WITHIN: Duration = Duration::from_secs(180);

/// When the newest file below a folder was written.
fn newest(folder: &Path) -> SystemTime {
    let changed = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let times = entries
        .filter(|path| !path.ends_with(".flotilla"))
        .map(|path| if path.is_dir() { newest(&path) } else { changed(&path) });
    times.max().unwrap_or(SystemTime::UNIX_EPOCH)
}

/// The shop with programs of the same profile as the tests, so that no release build is needed.
fn shop() -> System {
    let programs = fixture().parent().and_then(Path::parent).unwrap().to_owned();
    let services = ["users", "items", "orders"];
    let program = |service: &str| programs.join(format!("shop-{service}"));
    let sources = newest(&repository().join("examples/shop"));
    let is_fresh = |service: &&str| {
        let built = fs::metadata(program(service)).and_then(|it| it.modified());
        built.is_ok_and(|built| built > sources)
    };
    if !services.iter().all(is_fresh) {
        let mut build = Command::new(env!("CARGO"));
        build
            .current_dir(repository())
            .args(["build", "--quiet", "--target-dir"])
            .arg(programs.parent().unwrap());
        build
            .args(services.iter().flat_map(|service| ["-p".to_owned(), format!("shop-{service}")]));
        assert!(build.stdin(Stdio::null()).status().unwrap().success(), "the shop does not build");
    }
    let system = example("shop");
    let file = system.dir().join("flotilla.yaml");
    let mut text = fs::read_to_string(&file).unwrap();
    for service in services {
        let run = format!("  {service}:\n    run: [{}]\n", program(service).display());
        text = text.replacen(&format!("  {service}:\n"), &run, 1);
    }
    fs::write(file, text).unwrap();
    system
}

fn order_of(user: u64, name: &str, quantity: u64) -> Value {
    json!({ "user_id": user, "items": [{ "name": name, "quantity": quantity }] })
}

/// Starts the shop with a user, whose id it gives, and apples.
fn open(stock: u64) -> (System, u64) {
    let system = shop();
    system.up();
    let ann = json!({ "name": "Ann", "email": "ann@example.org" });
    let ann = send(&system, "POST", "/users", &ann);
    assert_eq!(ann.status, 201, "{}", ann.text());
    let apples = json!({ "price": 35, "quantity": stock });
    assert_eq!(send(&system, "POST", "/item/apple", &apples).status, 201);
    (system, ann.json()["id"].as_u64().unwrap())
}

/// All orders, when none of them waits any more.
#[track_caller]
fn settled(system: &System) -> Vec<Value> {
    let mut last = Value::Null;
    let all = within(SETTLED_WITHIN, &mut || {
        let answer = Request::get("/orders").send(system.gateway).ok()?;
        last = answer.json();
        let orders = last["orders"].as_array()?;
        orders.iter().all(|order| order["status"] != "pending").then(|| orders.clone())
    });
    all.unwrap_or_else(|| panic!("some orders wait for ever: {last:#}"))
}

/// Those orders that are for one item.
fn of(item: &str, mut orders: Vec<Value>) -> Vec<Value> {
    orders.retain(|order| order["items"][0]["name"] == item);
    orders
}

fn count(orders: &[Value], status: &str) -> u64 {
    orders.iter().filter(|order| order["status"] == status).count() as u64
}

#[test]
fn the_shop_sells_what_it_has_and_not_more() {
    const BUYERS: u64 = 6;
    const EACH: u64 = 10;
    const STOCK: u64 = 40;
    let _alone = alone();
    let (system, user) = open(STOCK);
    let status = system.status();
    for service in ["users", "items", "orders"] {
        assert_eq!(status.service(service)["ready"], 3);
    }
    let before = check_tour(&system, user);

    // More buyers at once than there are apples: exactly as many confirmed orders as apples.
    let gateway = system.gateway;
    let buyers: Vec<_> = (0..BUYERS)
        .map(|_| {
            let buy = move || {
                let request = Request::with_json("POST", "/orders", &order_of(user, "apple", 1));
                (0..EACH).map(|_| request.send(gateway).unwrap()).collect::<Vec<_>>()
            };
            runtime::thread("buyer", buy).unwrap()
        })
        .collect();
    let answers: Vec<Answer> = buyers.into_iter().flat_map(|buyer| buyer.join().unwrap()).collect();
    let others: Vec<_> =
        answers.iter().filter(|answer| answer.status != 201).map(Answer::text).collect();
    assert!(others.is_empty(), "{others:?}");
    let orders = settled(&system).split_off(before);
    assert_eq!(
        (count(&orders, "confirmed"), count(&orders, "rejected")),
        (STOCK, BUYERS * EACH - STOCK)
    );
    for _ in 0..6 {
        assert_eq!(system.get("/item/apple").json()["quantity"], 0, "whoever answers");
    }
    check_report(&system);
    checkouts::check_tour(&system, user);
    system.down();
}

/// What the shop's page promises, leaving the stock as it was. Gives how many orders there are then.
fn check_tour(system: &System, user: u64) -> usize {
    let order =
        |user, name, quantity| send(system, "POST", "/orders", &order_of(user, name, quantity));
    let until = |id: &Value, status: &str| {
        eventually(&format!("order {id} {status}"), || {
            let order = system.get(&format!("/orders/{id}")).json();
            (order["status"] == status).then_some(order)
        })
    };
    for _ in 0..6 {
        assert_eq!(system.get(&format!("/users/{user}")).json()["name"], "Ann", "whoever answers");
    }
    let stock = system.get("/item/apple").json()["quantity"].as_u64().unwrap();
    let placed = order(user, "apple", 4);
    assert_eq!(placed.status, 201, "{}", placed.text());
    let placed = placed.json();
    assert_eq!((&placed["status"], &placed["total"]), (&"pending".into(), &140.into()));
    let id = &placed["id"];
    until(id, "confirmed");
    assert_eq!(system.get("/item/apple").json()["quantity"], stock - 4);
    let rejected = until(&order(user, "apple", stock).json()["id"], "rejected");
    let reason = format!("{} of `apple` left, {stock} asked", stock - 4);
    assert_eq!(rejected["reason"], reason);
    assert_eq!(order(user + 99, "apple", 1).json()["error"]["code"], "unknown_user");
    assert_eq!(order(user, "nothing", 1).json()["error"]["code"], "not_available");

    let change = |status: &str| {
        send(system, "PUT", &format!("/orders/{id}"), &json!({ "status": status })).status
    };
    assert_eq!(change("paid"), 200);
    assert_eq!(system.get(&format!("/orders/{id}")).json()["status"], "paid");
    assert_eq!(change("cancelled"), 200);
    let left = &system.get("/item/apple").json()["quantity"];
    assert_eq!(left, stock, "a cancelled order gives its stock back");
    assert_eq!(change("confirmed"), 400);
    assert_eq!(system.get("/order?id=1").status, 200);
    assert_eq!(system.get("/users/9999").status, 404);
    let patch = send(system, "PATCH", &format!("/users/{user}"), &json!({ "name": "Anna" }));
    assert_eq!(patch.json()["name"], "Anna", "{}", patch.text());
    send(system, "PATCH", &format!("/users/{user}"), &json!({ "name": "Ann" }));
    check_account(system, user);
    settled(system).len()
}

fn check_account(system: &System, user: u64) {
    let change = |what: &str, amount: u64| {
        send(system, "POST", &format!("/users/{user}/{what}"), &json!({ "amount": amount })).json()
    };
    let account = || system.get(&format!("/users/{user}/account")).json();
    assert_eq!(account(), json!({ "balance": 0, "revision": null }));
    assert_eq!(change("deposit", 500), json!({ "balance": 500, "revision": 0 }));
    assert_eq!(change("withdraw", 140), json!({ "balance": 360, "revision": 1 }));
    assert_eq!(change("withdraw", 361)["error"]["code"], "too_little");
    for _ in 0..6 {
        assert_eq!(account(), json!({ "balance": 360, "revision": 1 }), "whoever answers");
    }
    assert_eq!(system.get("/users/9999/account").status, 404);
}

/// The nightly report, without waiting for the night.
fn check_report(system: &System) {
    let run = system.api("POST", "/v1/jobs/file/nightly/run", None);
    assert_eq!(run.status, 202, "{}", run.text());
    eventually("the report", || {
        let lines = system.logs("orders");
        lines.iter().any(|line| line.contains(": 40 confirmed, 1400 in all")).then_some(())
    });
}

/// Somebody who asks again and again, whatever the answers.
struct Customer {
    stop: Arc<AtomicBool>,
    served: Arc<AtomicU64>,
    thread: JoinHandle<(Vec<Value>, u64)>,
}

impl Customer {
    fn start(to: SocketAddr, request: Request) -> Self {
        let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let thread = {
            let (stop, served) = (Arc::clone(&stop), Arc::clone(&served));
            let ask = move || {
                let (mut answers, mut asked) = (Vec::new(), 0);
                while !stop.load(Ordering::Relaxed) {
                    asked += 1;
                    match request.send(to) {
                        Ok(answer) if answer.status < 300 => {
                            answers.push(answer.json());
                            served.fetch_add(1, Ordering::Relaxed);
                        }
                        // Nobody there, or it is unknown what became of it. Not too often then.
                        Ok(_) | Err(_) => pause(),
                    }
                }
                (answers, asked)
            };
            runtime::thread("customer", ask).unwrap()
        };
        Self { stop, served, thread }
    }

    fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }

    /// What it was answered, and how often it asked.
    fn end(self) -> (Vec<Value>, u64) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

#[test]
fn every_order_of_the_shop_is_settled_once_whoever_is_killed() {
    const STOCK: u64 = 150;
    /// Orders that are stored between two kills.
    const BETWEEN: u64 = 40;
    /// Checkouts that end between two kills.
    const CHECKOUTS_BETWEEN: u64 = 9;
    let _alone = alone();
    let (system, user) = open(STOCK);
    let request = Request::with_json("POST", "/orders", &order_of(user, "apple", 1));
    let buyer = Customer::start(system.gateway, request);
    let request =
        Request::with_json("POST", format!("/users/{user}/deposit"), &json!({ "amount": 1 }));
    let savers: Vec<_> = (0..2).map(|_| Customer::start(system.gateway, request.clone())).collect();
    let shoppers = Shoppers::start(&system);
    let go_on = || {
        let (enough, more) = (buyer.served() + BETWEEN, shoppers.ended() + CHECKOUTS_BETWEEN);
        let is_enough = || buyer.served() >= enough && shoppers.ended() >= more;
        within(SETTLED_WITHIN, &mut || is_enough().then_some(())).expect("more orders");
    };
    for victim in ["items", "orders", "users", "node", "items", "orders", "node"] {
        go_on();
        if victim == "node" {
            system.kill_node();
            system.up();
            continue;
        }
        let killed = system.status().pids(victim);
        for (_, process) in &killed {
            processes::kill(*process, Signal::KILL);
        }
        system.until(&format!("{victim} again"), |status| {
            let living = status.pids(victim);
            status.service(victim)["ready"] == 3 && !living.iter().any(|it| killed.contains(it))
        });
    }
    go_on();
    let (bought, asked) = buyer.end();
    let saved: Vec<_> = savers.into_iter().map(Customer::end).collect();

    shoppers.end(&system, || of("pear", settled(&system)));
    let orders = of("apple", settled(&system));
    let (confirmed, rejected) = (count(&orders, "confirmed"), count(&orders, "rejected"));
    assert_eq!(confirmed + rejected, orders.len() as u64, "{orders:?}");
    assert!(asked >= orders.len() as u64 && rejected > 0, "{asked} asked, {rejected} rejected");
    for order in &bought {
        let is_there = orders.iter().any(|stored| stored["id"] == order["id"]);
        assert!(is_there, "it was acknowledged: {order}");
    }
    assert_eq!(confirmed, STOCK, "each apple was sold once");
    assert_eq!(system.get("/item/apple").json()["quantity"], 0);

    // What was acknowledged is there, and nothing that nobody asked for.
    let account = system.get(&format!("/users/{user}/account")).json();
    let balance = account["balance"].as_u64().unwrap();
    let (known, most) = saved
        .iter()
        .fold((0, 0), |(known, most), (done, asked)| (known + done.len() as u64, most + asked));
    assert!((known..=most).contains(&balance), "{known} to {most}: {account}");
    assert_eq!(account["revision"], balance - 1, "one event for each cent");
    system.down();
}
