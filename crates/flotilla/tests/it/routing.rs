//! Routes and balancing, as the file says.

use crate::kit::{System, http::Request, load::Load, wait::eventually};
use std::collections::{BTreeMap, BTreeSet};

#[test]
fn routes_go_by_host_path_method_and_header() {
    let system = System::new(
        "
services:
  users: { run: FIXTURE serve }
  items: { run: FIXTURE serve }
  admin: { run: FIXTURE serve }
  web: { run: FIXTURE serve }
gateway:
  listen: GATEWAY
  routes:
    - { path: /, to: web }
    - { path: /api, to: users, strip: true }
    - { path: /api/items, to: items }
    - { path: = /api/items/exact, to: admin }
    - { path: /api/items, methods: [DELETE], to: admin }
    - { path: /api/items, headers: { X-Beta: \"1\" }, to: users }
    - { path: /, host: admin.example.com, to: admin }
    - { path: /, host: \"*.shop.example.com\", to: items }
",
    );
    system.up();
    let check = |request: Request, service: &str, path: &str| {
        let answer = request.send(system.gateway).unwrap();
        let json = answer.json();
        assert_eq!(
            (&json["service"], &json["path"]),
            (&service.into(), &path.into()),
            "{request:?}"
        );
    };
    check(Request::get("/"), "web", "/");
    check(Request::get("/apix"), "web", "/apix");
    check(Request::get("/api"), "users", "/");
    check(Request::get("/api/x"), "users", "/x");
    check(Request::get("/api/items"), "items", "/api/items");
    check(Request::get("/api/items/1"), "items", "/api/items/1");
    check(Request::get("/api/items/exact"), "admin", "/api/items/exact");
    check(Request { method: "DELETE", ..Request::get("/api/items/1") }, "admin", "/api/items/1");
    check(Request::get("/api/items/1").header("X-Beta", "1"), "users", "/api/items/1");
    check(Request::get("/api/items/1").header("X-Beta", "2"), "items", "/api/items/1");
    check(Request::get("/x").header("Host", "ADMIN.example.com:80"), "admin", "/x");
    check(Request::get("/x").header("Host", "a.shop.example.com"), "items", "/x");
    check(Request::get("/x").header("Host", "other.example.com"), "web", "/x");

    let json = Request::get("/x").header("X-Mine", "kept").send(system.gateway).unwrap().json();
    assert_eq!(json["headers"]["x-mine"], "kept");
    assert!(json["headers"]["x-forwarded-for"].as_str().unwrap().contains("127.0.0.1"), "{json:#}");
    system.down();
}

#[test]
fn what_no_route_wants_is_not_found() {
    let system = System::new(
        "
services:
  users: { run: FIXTURE serve }
gateway: { listen: GATEWAY, routes: { /users: users } }
",
    );
    system.up();
    assert_eq!(system.get("/elsewhere").status, 404);
    assert_eq!(system.get("/usersx").status, 404);
    assert_eq!(system.get("/users").status, 200);
    let large = "x".repeat(300_000);
    let request =
        Request { method: "POST", body: large.clone().into_bytes(), ..Request::get("/users/echo") };
    let answer = request.send(system.gateway).unwrap();
    assert_eq!(answer.json()["body"], large.as_str());
    system.down();
}

#[test]
fn weights_share_a_route() {
    let system = System::new(
        "
services:
  old: { run: FIXTURE serve }
  new: { run: FIXTURE serve }
gateway: { listen: GATEWAY, routes: { /: { to: { old: 90, new: 10 } } } }
",
    );
    system.up();
    let mut count: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..500 {
        *count
            .entry(system.get("/").json()["service"].as_str().unwrap().to_owned())
            .or_default() += 1;
    }
    let new = count["new"];
    assert!((15..=100).contains(&new), "about 50 of 500 go to the new one: {count:?}");
    system.down();
}

#[test]
fn a_slow_answer_runs_into_the_timeout_of_its_route() {
    let system = System::new(
        "
services:
  web: { run: FIXTURE serve }
gateway: { listen: GATEWAY, routes: { /: web, /fast: { to: web, timeout: 200ms } } }
",
    );
    system.up();
    assert_eq!(system.get("/fast/slow?ms=5000").status, 504);
    assert_eq!(system.get("/slow?ms=600").status, 200);
    system.down();
}

#[test]
fn every_algorithm_can_be_chosen_and_uses_all_instances() {
    const ALGORITHMS: [&str; 7] = [
        "p2c",
        "round_robin",
        "random",
        "weighted",
        "least_connections",
        "least_response_time",
        "consistent_hash",
    ];
    let name = |algorithm: &str| algorithm.replace('_', "-");
    let services = ALGORITHMS.map(|algorithm| {
        let balance = match algorithm {
            "consistent_hash" => "{ algorithm: consistent_hash, hash_on: { header: X-User } }",
            other => other,
        };
        format!(
            "  {}: {{ run: FIXTURE serve, instances: 3, balance: {balance} }}\n",
            name(algorithm)
        )
    });
    let routes = ALGORITHMS.map(|algorithm| format!("/{0}: {0}", name(algorithm)));
    let system = System::new(&format!(
        "services:\n{}gateway: {{ listen: GATEWAY, routes: {{ {} }} }}\n",
        services.concat(),
        routes.join(", ")
    ));
    system.up();
    for algorithm in ALGORITHMS {
        let path = format!("/{}/slow?ms=2", name(algorithm));
        // Several at once: one by one, "the least busy" may always be the same.
        let load = Load::start(6, system.gateway, move |number| {
            Request::get(&path).header("X-User", &format!("user-{number}"))
        });
        eventually("some answers", || (load.asked() >= 300).then_some(()));
        let tally = load.end();
        tally.assert_none_lost();
        // The others may rightly prefer an instance: the one that answers sooner, or has less to do.
        if ["round_robin", "weighted"].contains(&algorithm) {
            let even = |count: &u64| count * 100 / tally.answered >= 28;
            assert!(tally.by_instance.values().all(even), "{algorithm}: {tally:?}");
        }
        let mut used: BTreeSet<String> = tally.by_instance.into_keys().collect();
        let mut users = 0..;
        eventually("every instance has answered", || {
            let user = format!("later-{:?}", users.next());
            let request = Request::get(format!("/{}/", name(algorithm))).header("X-User", &user);
            let answer = request.send(system.gateway).unwrap();
            used.insert(answer.header("x-instance").unwrap().to_owned());
            (used.len() == 3).then_some(())
        });
    }
    let who = |user: &str| {
        let request = Request::get("/consistent-hash/x").header("X-User", user);
        request.send(system.gateway).unwrap().json()["instance"].as_str().unwrap().to_owned()
    };
    for number in 0..20 {
        let user = format!("user-{number}");
        let first = who(&user);
        assert!((0..5).all(|_| who(&user) == first), "{user} moved");
    }
    system.down();
}

#[test]
fn a_user_moves_only_when_their_instance_is_gone() {
    let system = System::new(
        "
services:
  users: { run: FIXTURE serve, instances: 3, balance: { algorithm: consistent_hash, hash_on: { cookie: session } } }
gateway: { listen: GATEWAY, routes: { /: users } }
",
    );
    system.up();
    let who = |number: u32| {
        let request = Request::get("/").header("Cookie", &format!("a=b; session=s{number}"));
        request.send(system.gateway).unwrap().json()["instance"].as_str().unwrap().to_owned()
    };
    let before: Vec<_> = (0..30).map(who).collect();
    system.flotilla("scale users=2 --wait").expect(0);
    let left: Vec<String> =
        system.until_ready("users", 2).pids("users").into_iter().map(|(id, _)| id).collect();
    eventually("the new table", || {
        let after: Vec<_> = (0..30).map(who).collect();
        let stayed = before.iter().zip(&after).all(|(old, new)| !left.contains(old) || old == new);
        (stayed && after.iter().all(|it| left.contains(it))).then_some(())
    });
    system.down();
}
