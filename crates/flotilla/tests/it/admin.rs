//! The admin API as anybody else's program sees it.

use crate::kit::{
    System,
    http::{Connection, Request},
    wait::eventually,
};
use serde_json::{Value, json};
use std::{
    fs,
    io::{Read, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream},
};

const SYSTEM: &str = "
name: shop
services:
  users: { run: FIXTURE serve, instances: 2 }
gateway: { listen: GATEWAY, routes: { /users: users } }
";

#[test]
fn over_tcp_it_needs_its_token() {
    let system = System::new(SYSTEM);
    system.up();
    let ask = |request: Request| request.send(system.admin).unwrap();
    for path in ["/v1/status", "/v1/logs", "/v1/openapi.json"] {
        assert_eq!(ask(Request::get(path)).status, 401, "{path}");
        assert_eq!(
            ask(Request::get(path).header("Authorization", "Bearer wrong")).status,
            401,
            "{path}"
        );
        assert_eq!(system.api("GET", path, None).status, 200, "{path}");
    }
    let shutdown = Request { method: "POST", ..Request::get("/v1/shutdown") };
    assert_eq!(ask(shutdown).status, 401);

    // The dashboard's link turns the token into a cookie.
    let link = system.flotilla("open --print").expect(0).out;
    let (_, path) = link.trim().split_once(&system.admin.to_string()).unwrap();
    let answer = ask(Request::get(path));
    let cookie = answer.header("set-cookie").unwrap_or_else(|| panic!("{answer:?}")).to_owned();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite"), "{cookie}");
    let pair = cookie.split(';').next().unwrap();
    assert_eq!(ask(Request::get("/v1/status").header("Cookie", pair)).status, 200);

    for (name, wanted) in [("token", 0o600), ("flotilla.sock", 0o600)] {
        let mode =
            fs::metadata(system.dir().join(".flotilla").join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, wanted, "{name}");
    }
    system.down();
}

#[test]
fn over_the_socket_file_permissions_are_enough() {
    let system = System::new(SYSTEM);
    system.up();
    let mut stream = UnixStream::connect(system.dir().join(".flotilla/flotilla.sock")).unwrap();
    stream.write_all(b"GET /v1/system HTTP/1.0\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(" 200 "), "{head}");
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!((&body["name"], &body["detached"]), (&"shop".into(), &true.into()));
    assert_eq!(body["pid"], system.node());
    assert_eq!(body["gateway_url"], format!("http://{}", system.gateway));
    assert!(body["node"]["memory_bytes"].as_u64().unwrap() > 1_000_000, "{body:#}");
    system.down();
}

#[test]
fn it_describes_itself_and_each_path_it_describes_is_there() {
    let system = System::new(SYSTEM);
    system.up();
    let document = system.api("GET", "/v1/openapi.json", None).json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3."), "{document:#}");
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() >= 15, "{:?}", paths.keys());
    for (path, methods) in paths.iter().filter(|(_, methods)| methods.get("get").is_some()) {
        let stores = [
            ("/v1/state/", "statestore"),
            ("/v1/locks/", "lockstore"),
            ("/v1/config/", "configstore"),
            ("/v1/secrets/", "secretstore"),
        ];
        let store = stores.iter().find(|(begin, _)| path.starts_with(begin)).map(|(_, name)| *name);
        let path = path.replace("{number}", "1").replace("{name}", "users");
        let path = path.replace("{key}", "k").replace("{resource}", "r");
        let answer = system.api("GET", &path.replace("{store}", store.unwrap_or("none")), None);
        let text = answer.text();
        assert!(!text.contains("there is nothing at"), "{path} {methods:#}");
        // In a store that is empty a value is not there, a difference has no versions, and a watch wants a stream. What is
        // left of place-holders names nothing: no topic, no stream, no job.
        let is_empty = store.is_some() || path.contains('{');
        let expected: &[u16] = if is_empty { &[200, 400, 404, 406] } else { &[200] };
        assert!(expected.contains(&answer.status), "{path} {}: {text} {methods:#}", answer.status);
    }
    assert_eq!(system.api("GET", "/v1/services/nobody", None).status, 404);
    assert_eq!(system.api("POST", "/v1/status", None).status, 405);
    let scale = |body: &Value| system.api("POST", "/v1/services/users/scale", Some(body)).status;
    assert_eq!(scale(&json!({ "instances": -1 })), 400);
    assert_eq!(scale(&json!({ "instances": 1, "speed": 7 })), 400);
    assert_eq!(scale(&json!({ "instances": 3 })), 202);
    system.until_ready("users", 3);
    system.down();
}

/// Reads messages of an event stream until one is as wanted.
fn read_until(stream: &mut Connection, wanted: impl Fn(&Value) -> bool) -> Value {
    loop {
        let line = stream.line().unwrap();
        let Some(data) = line.strip_prefix("data:") else { continue };
        let data: Value = serde_json::from_str(data).unwrap();
        if wanted(&data) {
            return data;
        }
    }
}

#[test]
fn streams_deliver_what_changes() {
    let system = System::new(SYSTEM);
    system.up();
    let token = fs::read_to_string(system.dir().join(".flotilla/token")).unwrap();
    let open = |path: &str| {
        let mut connection = Connection::open(system.admin).unwrap();
        let request = Request::get(path)
            .header("Accept", "text/event-stream")
            .header("Authorization", &format!("Bearer {}", token.trim()));
        let answer = connection.open_stream(&request).unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.header("content-type").unwrap().starts_with("text/event-stream"));
        connection
    };
    let mut status = open("/v1/status");
    let mut events = open("/v1/events");
    let mut logs = open("/v1/logs?tail=0");
    let first = read_until(&mut status, |_| true);
    assert_eq!(first["services"][0]["desired"], 2);
    assert_eq!(
        system.api("POST", "/v1/services/users/scale", Some(&json!({ "instances": 3 }))).status,
        202
    );
    let changed = read_until(&mut status, |it| it["services"][0]["ready"] == 3);
    assert!(changed["revision"].as_u64() > first["revision"].as_u64());
    read_until(&mut events, |it| it["instance"] == "users/3" && it["kind"] == "ready");
    eventually("a line from the new one", || {
        system.get("/users/print?text=to-the-stream");
        (system.get("/users/x").json()["instance"] == "users/3").then_some(())
    });
    read_until(&mut logs, |batch| {
        let lines = batch["lines"].as_array().unwrap();
        lines.iter().any(|line| line["text"] == "to-the-stream")
    });
    system.down();
}

#[test]
fn traffic_is_counted() {
    let system = System::new(SYSTEM);
    system.up();
    for _ in 0..30 {
        assert_eq!(system.get("/users/x").status, 200);
    }
    let traffic = system.api("GET", "/v1/traffic", None).json();
    let users = &traffic["services"]
        .as_array()
        .unwrap()
        .iter()
        .find(|it| it["service"] == "users")
        .unwrap();
    // The node itself has asked it what it is subscribed to.
    assert!(users["total"]["requests"].as_u64().unwrap() >= 30, "{users:#}");
    assert_eq!(users["total"]["errors"], 0);
    assert_eq!(users["instances"].as_array().unwrap().len(), 2);
    let gateway =
        traffic["listeners"].as_array().unwrap().iter().find(|it| it["name"] == "gateway").unwrap();
    assert_eq!(gateway["requests"], 30);
    system.down();
}
