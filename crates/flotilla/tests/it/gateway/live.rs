//! What is seen of requests while and after they pass: the access log, and compression of their answers.

use super::{curl, has};
use crate::kit::{System, end_of, http::Request, kill_child, processes, wait::eventually};
use serde_json::Value;
use std::{
    fs::{self, File},
    process::Stdio,
    time::Duration,
};

#[test]
fn each_request_is_a_line_of_the_access_log_and_shown_as_it_ends() {
    let system = System::new(
        "
services: { web: { run: FIXTURE serve } }
gateway:
  listen: GATEWAY
  access_log: true
  routes:
    /: web
    /late: { to: web, fault: { delay: 100ms } }
    /guarded: { to: web, auth: { jwt: { secret: a-secret-of-thirty-two-bytes-or-more } } }
",
    );
    system.up();
    let out = system.dir().join("followed");
    let mut follow = system.command(env!("CARGO_BIN_EXE_flotilla"));
    follow.args(["requests", "-f", "-o", "json", "--path", "/seen"]);
    follow.stdout(File::create(&out).unwrap()).stderr(Stdio::null());
    let mut follow = follow.spawn().unwrap();
    let shown = eventually("a request", || {
        system.get("/seen/a?token=hidden");
        fs::read_to_string(&out).unwrap().lines().next().map(str::to_owned)
    });
    processes::kill(follow.id(), rustix::process::Signal::INT);
    if end_of(&mut follow, Duration::from_secs(10)).is_none() {
        kill_child(&mut follow);
    }
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!((&shown["status"], &shown["service"]), (&200.into(), &"web".into()));
    assert_eq!(shown["path"], "/seen/a?token=REDACTED");

    let post = Request { method: "POST", body: b"12345".to_vec(), ..Request::get("/late?size=10") };
    let post = post.header("User-Agent", "me/1").send(system.gateway).unwrap();
    assert_eq!((post.status, system.get("/guarded").status), (200, 401));
    let lines = eventually("the lines", || {
        let text = fs::read_to_string(system.dir().join(".flotilla/access.log")).unwrap();
        let lines: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        lines.iter().any(|line| line["url"]["path"] == "/guarded").then_some(lines)
    });
    assert!(!format!("{lines:?}").contains("hidden"));
    let find = |path: &str| lines.iter().find(|line| line["url"]["path"] == path).unwrap();
    let late = find("/late");
    assert_eq!(late["http"]["request"]["method"], "POST");
    assert_eq!(late["http"]["request"]["body"]["bytes"], 5);
    assert_eq!(late["http"]["response"]["status_code"], 200);
    assert_eq!(late["http"]["response"]["body"]["bytes"], post.body.len());
    assert_eq!(late["client"]["ip"], "127.0.0.1");
    assert_eq!(late["service"]["node"]["name"], "web/1");
    assert_eq!(late["flotilla"]["route"], "/late");
    assert_eq!(late["user_agent"]["original"], "me/1");
    assert_eq!(late["url"]["query"], "size=10");
    // The delay of the fault.
    assert!(late["event"]["duration"].as_u64().unwrap() >= 100_000_000, "{late}");
    let guarded = find("/guarded");
    assert_eq!(guarded["http"]["response"]["status_code"], 401);
    assert_eq!(guarded["flotilla"]["refusal"], "unauthorized");
    system.down();
}

#[test]
fn answers_are_compressed_as_the_client_wishes() {
    let needed = [
        "curl --version | grep -q brotli",
        "curl --version | grep -q zstd",
        "curl --version | grep -q libz",
    ];
    if !has("compression", &needed) {
        return;
    }
    let system = System::new(
        "
services: { web: { run: FIXTURE serve } }
gateway:
  listen: GATEWAY
  routes:
    /: { to: web, compress: true }
    /plain: web
",
    );
    system.up();
    let url = |path: &str| format!("http://{}{path}", system.gateway);
    for coding in ["gzip", "br", "zstd"] {
        let accept = format!("Accept-Encoding: {coding}");
        let words = ["--compressed", "-H", &accept, &url("/x?size=100000")];
        let answer = curl(&system, &words);
        assert_eq!(answer.header("content-encoding"), Some(coding));
        assert!(answer.headers.iter().any(|(name, value)| {
            name.eq_ignore_ascii_case("vary") && value.to_lowercase().contains("accept-encoding")
        }));
        let text = answer.json();
        assert_eq!(text["padding"].as_str().unwrap().len(), 100_000);
        // What came over the wire is much less.
        let raw = curl(&system, &["-H", &accept, &url("/x?size=100000")]);
        assert!(raw.body.len() < 10_000, "{coding}: {}", raw.body.len());
    }
    for (accept, path) in
        [("gzip", "/plain?size=100000"), ("identity", "/x?size=100000"), ("gzip", "/x")]
    {
        let answer =
            Request::get(path).header("Accept-Encoding", accept).send(system.gateway).unwrap();
        assert_eq!(answer.header("content-encoding"), None, "{accept} {path}");
        assert_eq!(answer.json()["method"], "GET");
    }
    system.down();
}
