//! The examples of this repository, as they are but for their ports and build steps.

use crate::kit::{
    System, alone, fixture,
    http::{Answer, Request},
    repository, skip,
};
use serde_json::{Value, json};
use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
    time::SystemTime,
};

/// Copies a folder without what running it made.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        if [".flotilla", "target", "node_modules", "__pycache__"].iter().any(|it| name == *it) {
            continue;
        }
        let target = to.join(&name);
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A copy of an example, its gateway and admin moved to free ports.
fn example(name: &str) -> System {
    let system = System::empty();
    copy(&repository().join("examples").join(name), system.dir());
    let file = system.dir().join("flotilla.yaml");
    if let Ok(text) = fs::read_to_string(&file) {
        let text = text.replace("127.0.0.1:8080", &system.gateway.to_string());
        fs::write(file, format!("{text}\nadmin: {{ listen: \"{}\" }}\n", system.admin)).unwrap();
    }
    system
}

/// Whether all programs are there; says so when not.
fn has(test: &str, probes: &[&str]) -> bool {
    let works = |line: &str| {
        let status = Command::new("sh")
            .args(["-c", line])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        status.is_ok_and(|status| status.success())
    };
    let missing: Vec<_> = probes.iter().filter(|line| !works(line)).collect();
    if !missing.is_empty() {
        skip(test, &format!("these do not work here: {missing:?}"));
    }
    missing.is_empty()
}

fn send(system: &System, method: &'static str, path: &str, body: &Value) -> Answer {
    Request::with_json(method, path, body).send(system.gateway).unwrap()
}

#[test]
fn all_example_files_are_valid() {
    let system = System::empty();
    for name in ["hello", "polyglot", "shop"] {
        let folder = repository().join("examples").join(name);
        let done = system.flotilla(&format!("-f {} check", folder.display())).expect(0);
        assert!(!done.err.contains("warning"), "{name}: {done:?}");
    }
}

#[test]
fn hello_runs_from_its_procfile_alone() {
    if !has("hello", &["python3 --version", "node --version"]) {
        return;
    }
    let system = example("hello");
    // A Procfile has no place for another port.
    let default = ("127.0.0.1", 8081);
    if TcpListener::bind(default).is_err() {
        return skip("hello", "port 8081 is taken");
    }
    system.flotilla("up -d").expect(0);
    let status = system.status();
    let ask = |service: &str| crate::kit::http::get(status.address(service, 0), "/").unwrap();
    assert_eq!(ask("api").json()["hello"], "from api");
    assert_eq!(ask("web").text(), "hello from web\n");
    system.down();
    TcpListener::bind(default).unwrap();
}

#[test]
fn polyglot_runs_three_languages_as_one_system() {
    let needed = ["python3 -c 'import flask'", "node --version", "go version"];
    if !has("polyglot", &needed) {
        return;
    }
    let _alone = alone();
    let system = example("polyglot");
    system.flotilla("up -d --wait-timeout 2m").expect(0);
    let ann = send(&system, "POST", "/accounts", &json!({ "name": "Ann" }));
    assert_eq!(ann.status, 201, "{}", ann.text());
    let id = ann.json()["id"].as_u64().unwrap();
    assert_eq!(send(&system, "POST", "/accounts", &json!({ "name": "Ann" })).status, 409);
    // Whichever instance answers, the data is the same.
    for _ in 0..8 {
        assert_eq!(system.get(&format!("/accounts/{id}")).json()["name"], "Ann");
        assert_eq!(system.get("/products/tea").json()["price"], 650);
    }
    let tea = json!({ "sku": "tea", "quantity": 2 });
    let basket = send(&system, "POST", &format!("/baskets/{id}/items"), &tea);
    assert!(matches!(basket.status, 200 | 201), "{}", basket.text());
    assert_eq!(basket.json()["total"], 1300);
    for _ in 0..8 {
        assert_eq!(system.get(&format!("/baskets/{id}")).json()["total"], 1300);
    }
    assert!(send(&system, "POST", "/baskets/999/items", &tea).status >= 400);
    let nothing = json!({ "sku": "nothing", "quantity": 1 });
    assert!(send(&system, "POST", &format!("/baskets/{id}/items"), &nothing).status >= 400);
    system.down();
}

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

#[test]
fn the_shop_sells_what_it_has_and_not_more() {
    const BUYERS: u64 = 6;
    const EACH: u64 = 10;
    const STOCK: u64 = 40;
    let _alone = alone();
    let system = shop();
    system.up();
    let status = system.status();
    for service in ["users", "items", "orders"] {
        assert_eq!(status.service(service)["ready"], 3);
    }
    let ann =
        send(&system, "POST", "/users", &json!({ "name": "Ann", "email": "ann@example.org" }));
    assert_eq!(ann.status, 201, "{}", ann.text());
    let user = ann.json()["id"].as_u64().unwrap();
    assert!(
        send(&system, "POST", "/item/apple", &json!({ "price": 35, "quantity": STOCK })).status
            < 300
    );
    check_rest(&system, user);

    // More buyers at once than there are apples: exactly as many orders as apples.
    let gateway = system.gateway;
    let buyers: Vec<_> = (0..BUYERS)
        .map(|_| {
            let buy = move || {
                let order =
                    json!({ "user_id": user, "items": [{ "name": "apple", "quantity": 1 }] });
                let request = Request::with_json("POST", "/orders", &order);
                (0..EACH).map(|_| request.send(gateway).unwrap()).collect::<Vec<_>>()
            };
            runtime::thread("buyer", buy).unwrap()
        })
        .collect();
    let answers: Vec<Answer> = buyers.into_iter().flat_map(|buyer| buyer.join().unwrap()).collect();
    let placed = answers.iter().filter(|answer| answer.status == 201).count() as u64;
    let others: Vec<_> =
        answers.iter().filter(|it| ![201, 409].contains(&it.status)).map(Answer::text).collect();
    assert!(others.is_empty(), "{others:?}");
    assert_eq!(placed, STOCK);
    for _ in 0..6 {
        assert_eq!(system.get("/item/apple").json()["quantity"], 0, "whoever answers");
    }
    system.down();
}

/// What the shop's page promises, leaving the stock as it was.
fn check_rest(system: &System, user: u64) {
    let order = |user: u64, name: &str, quantity: u64| {
        send(
            system,
            "POST",
            "/orders",
            &json!({ "user_id": user, "items": [{ "name": name, "quantity": quantity }] }),
        )
    };
    for _ in 0..6 {
        assert_eq!(system.get(&format!("/users/{user}")).json()["name"], "Ann", "whoever answers");
    }
    let placed = order(user, "apple", 4);
    assert_eq!(placed.status, 201, "{}", placed.text());
    let placed = placed.json();
    assert_eq!((&placed["status"], &placed["total"]), (&"placed".into(), &140.into()));
    let left = system.get("/item/apple").json()["quantity"].as_u64().unwrap();
    assert_eq!(order(user, "apple", left + 1).json()["error"]["code"], "not_available");
    assert_eq!(order(user + 99, "apple", 1).json()["error"]["code"], "unknown_user");
    assert!(order(user, "nothing", 1).status >= 400);

    let id = placed["id"].as_u64().unwrap();
    assert_eq!(
        send(system, "PUT", &format!("/orders/{id}"), &json!({ "status": "paid" })).status,
        200
    );
    assert_eq!(system.get(&format!("/orders/{id}")).json()["status"], "paid");
    assert_eq!(
        send(system, "PUT", &format!("/orders/{id}"), &json!({ "status": "cancelled" })).status,
        200
    );
    assert_eq!(
        system.get("/item/apple").json()["quantity"],
        left + 4,
        "a cancelled order gives its stock back"
    );
    assert_eq!(system.get("/order?id=1").status, 200);
    assert_eq!(system.get("/users/9999").status, 404);
    let patch = send(system, "PATCH", &format!("/users/{user}"), &json!({ "name": "Anna" }));
    assert_eq!(patch.json()["name"], "Anna", "{}", patch.text());
    send(system, "PATCH", &format!("/users/{user}"), &json!({ "name": "Ann" }));
}
