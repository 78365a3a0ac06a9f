//! How often, from where, and what is changed on the way.

use crate::kit::{
    System,
    http::{Answer, Connection, Request},
    wait::eventually,
};
use serde_json::json;
use std::{
    io::{Read, Write},
    net::TcpStream,
};

const SYSTEM: &str = "
services: { web: { run: FIXTURE serve }, users: { run: FIXTURE serve } }
gateway:
  listen: GATEWAY
  request_headers: { set: { X-Tenant: shop, X-Client: '{client}' }, remove: [X-Debug] }
  response_headers: { set: { X-Frame-Options: DENY }, remove: [X-Instance] }
  routes:
    /: web
    /own: { to: web, request_headers: { set: { X-Tenant: own } } }
    /cors: { to: web, cors: { origins: ['https://shop.example', 'https://*.shop.example'], credentials: true, max_age: 1h } }
    /anybody: { to: web, cors: { origins: '*' } }
    /ip: { to: web, rate: 3/h per ip }
    /name: { to: web, rate: 2/h per header X-Name }
    /old: { redirect: '/new{rest}' }
    /away: { redirect: { host: shop.example, status: 302 } }
    /v1: { to: users, rewrite: '/api{rest}' }
    /host: { to: users, rewrite: { prefix: /, host: legacy.internal } }
    /small: { to: web, body_max: 1Ki }
    /abort: { to: web, fault: { abort: 503 } }
    /wished: { to: web, fault: { abort: 418, header: X-Fault } }
    /delay: { to: web, fault: { delay: 300ms } }
";

fn ask(system: &System, method: &'static str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let request = Request { method, ..Request::get(path) };
    let request =
        headers.iter().fold(request, |request, (name, value)| request.header(name, value));
    request.send(system.gateway).unwrap()
}

fn has_vary(answer: &Answer, wanted: &str) -> bool {
    let named = |name: &str| name.eq_ignore_ascii_case("vary");
    answer
        .headers
        .iter()
        .filter(|(name, _)| named(name))
        .flat_map(|(_, value)| value.split(','))
        .any(|word| word.trim().eq_ignore_ascii_case(wanted))
}

fn check_cors(system: &System) {
    let preflight = |path: &str, origin: &str| {
        let headers = [
            ("Origin", origin),
            ("Access-Control-Request-Method", "PUT"),
            ("Access-Control-Request-Headers", "x-a, content-type"),
        ];
        ask(system, "OPTIONS", path, &headers)
    };
    for origin in ["https://shop.example", "https://a.shop.example"] {
        let answer = preflight("/cors", origin);
        assert_eq!(answer.status, 204);
        assert_eq!(answer.header("access-control-allow-origin"), Some(origin));
        assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
        assert_eq!(answer.header("access-control-max-age"), Some("3600"));
        assert!(answer.header("access-control-allow-methods").unwrap().contains("PUT"));
        assert!(has_vary(&answer, "Origin"), "{answer:?}");
    }
    for origin in ["https://evil.example", "http://shop.example", "null", "https://xshop.example"] {
        let answer = preflight("/cors", origin);
        assert_eq!(answer.header("access-control-allow-origin"), None, "{origin}");
        // The answer for one origin must not be kept for another.
        assert!(has_vary(&answer, "Origin"), "{answer:?}");
    }
    let simple = ask(system, "GET", "/cors/x", &[("Origin", "https://shop.example")]);
    assert_eq!(
        (simple.status, simple.header("access-control-allow-origin")),
        (200, Some("https://shop.example"))
    );
    assert!(has_vary(&simple, "Origin"));
    assert!(has_vary(&ask(system, "GET", "/cors/x", &[]), "Origin"));
    let anybody = ask(system, "GET", "/anybody", &[("Origin", "https://evil.example")]);
    assert_eq!(anybody.header("access-control-allow-origin"), Some("*"));
    assert_eq!(anybody.header("access-control-allow-credentials"), None);
}

fn check_rate(system: &System) {
    for left in ["2", "1", "0"] {
        let answer = ask(system, "GET", "/ip", &[]);
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("ratelimit-limit"), Some("3"));
        assert_eq!(answer.header("ratelimit-remaining"), Some(left));
        assert!(answer.header("ratelimit-reset").unwrap().parse::<u64>().unwrap() > 0);
    }
    let answer = ask(system, "GET", "/ip", &[("X-Forwarded-For", "203.0.113.9")]);
    assert_eq!(answer.status, 429, "what a stranger says about the address does not count");
    assert_eq!(answer.header("ratelimit-remaining"), Some("0"));
    assert!(answer.header("retry-after").unwrap().parse::<u64>().unwrap() > 0);
    for name in ["ann", "bob"] {
        let ask = || ask(system, "GET", "/name", &[("X-Name", name)]).status;
        assert_eq!([ask(), ask(), ask()], [200, 200, 429], "{name}");
    }
    assert_eq!(ask(system, "GET", "/", &[]).header("ratelimit-limit"), None);
}

fn check_changes(system: &System) {
    let answer = ask(system, "GET", "/x", &[("X-Tenant", "evil"), ("X-Debug", "1")]);
    let seen = answer.json();
    assert_eq!(seen["headers"]["x-tenant"], "shop");
    assert_eq!(seen["headers"]["x-client"], "127.0.0.1");
    assert_eq!(seen["headers"]["x-debug"], json!(null));
    assert_eq!(answer.header("x-frame-options"), Some("DENY"));
    assert_eq!(answer.header("x-instance"), None);
    assert_eq!(ask(system, "GET", "/own", &[]).json()["headers"]["x-tenant"], "own");

    let moved = ask(system, "POST", "/old/a/b?c=d", &[]);
    assert_eq!((moved.status, moved.header("location")), (308, Some("/new/a/b?c=d")));
    let away = ask(system, "GET", "/away/x?y=1", &[]);
    let there = format!("http://shop.example:{}/away/x?y=1", system.gateway.port());
    assert_eq!((away.status, away.header("location")), (302, Some(there.as_str())));

    let rewritten = ask(system, "GET", "/v1/a?size=1", &[]).json();
    assert_eq!((&rewritten["service"], &rewritten["path"]), (&json!("users"), &json!("/api/a")));
    assert_eq!(rewritten["padding"], "x", "the query stays");
    let host = ask(system, "GET", "/host/a", &[]).json();
    assert_eq!(
        (&host["path"], &host["headers"]["host"]),
        (&json!("/a"), &json!("legacy.internal"))
    );
}

/// The status line for a body that comes in chunks of which no length is known before.
fn chunked(system: &System, length: usize) -> String {
    let mut stream = TcpStream::connect(system.gateway).unwrap();
    let head = "POST /small HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    let body = format!("{length:x}\r\n{}\r\n0\r\n\r\n", "x".repeat(length));
    stream.write_all(head.as_bytes()).unwrap();
    // It may be refused while it is still being sent.
    let _refused = stream.write_all(body.as_bytes());
    let mut answer = Vec::new();
    let _reset = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned()
}

fn check_sizes(system: &System) {
    let post = |length: usize| {
        let request =
            Request { method: "POST", body: vec![b'x'; length], ..Request::get("/small") };
        request.send(system.gateway).unwrap()
    };
    assert_eq!(post(1024).status, 200);
    assert_eq!(post(1025).status, 413);
    assert!(chunked(system, 1024).contains("200"));
    let refused = chunked(system, 1025);
    assert!(refused.contains("413"), "{refused}");
}

fn check_faults(system: &System) {
    assert_eq!(ask(system, "GET", "/abort", &[]).status, 503);
    assert_eq!(ask(system, "GET", "/wished", &[]).status, 200);
    assert_eq!(ask(system, "GET", "/wished", &[("X-Fault", "1")]).status, 418);
    // That it took its time is what the record of it says.
    assert_eq!(ask(system, "GET", "/delay", &[]).status, 200);
}

#[test]
fn requests_are_limited_changed_and_refused_as_the_file_says() {
    let system = System::new(SYSTEM);
    system.up();
    check_cors(&system);
    check_rate(&system);
    check_changes(&system);
    check_sizes(&system);
    check_faults(&system);
    system.down();
}

#[test]
fn a_limit_outlives_a_change_of_the_file_and_a_broken_file_changes_nothing() {
    let file = |rest: &str| {
        format!(
            "
services: {{ web: {{ run: FIXTURE serve }} }}
gateway:
  listen: GATEWAY
  routes:
    /few: {{ to: web, rate: 2/h per ip }}
    /: {rest}
"
        )
    };
    let system = System::new(&file("web"));
    system.up();
    let mut kept = Connection::open(system.gateway).unwrap();
    assert_eq!(kept.ask(&Request::get("/few")).unwrap().status, 200);
    for (broken, place) in [
        ("{ to: nobody }", "nobody"),
        ("{ to: web, allow: 'request.metod ==' }", "allow"),
        ("{ to: web, rate: 5/fortnight }", "rate"),
        ("{ to: web, auth: { jwt: { jwks: missing.json } } }", "missing.json"),
    ] {
        system.write(&file(broken));
        system.flotilla("up -d").expect(3).says(place);
        assert_eq!(kept.ask(&Request::get("/x")).unwrap().status, 200, "{broken}");
    }
    system.write(&file("{ to: web, response_headers: { set: { X-New: '1' } } }"));
    system.flotilla("up -d").expect(0).says("routes changed");
    eventually("the new header", || {
        let answer = kept.ask(&Request::get("/x")).unwrap();
        (answer.header("x-new") == Some("1")).then_some(())
    });
    assert_eq!(kept.ask(&Request::get("/few")).unwrap().status, 200);
    assert_eq!(kept.ask(&Request::get("/few")).unwrap().status, 429);
    system.down();
}
