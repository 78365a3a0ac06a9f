//! A system whose topics are kept by a real NATS.

use super::{answer, arrivals, dead, publish, until, until_done, until_settled};
use crate::kit::{
    System, free_port,
    http::{self, Answer, Request},
    skip,
    wait::eventually,
};
use serde_json::{Value, json};
use std::{
    fs,
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

/// A server with JetStream, on a port of its own, which keeps its files when it is killed.
pub(crate) struct Nats {
    folder: PathBuf,
    pub(crate) port: u16,
    child: Option<Child>,
}

impl Nats {
    /// Starts one; `None`, and it is said, when there is none on this machine.
    pub(crate) fn start(test: &str, system: &System) -> Option<Self> {
        let found = Command::new("nats-server").arg("--version").stdout(Stdio::null()).status();
        if !found.is_ok_and(|status| status.success()) {
            skip(test, "there is no `nats-server`: `apt-get install nats-server`");
            return None;
        }
        let folder = system.dir().join("nats");
        let mut nats = Self { folder, port: free_port(), child: None };
        nats.run();
        Some(nats)
    }

    fn run(&mut self) {
        let mut command = Command::new("nats-server");
        command.args(["--addr", "127.0.0.1", "--port", &self.port.to_string(), "--jetstream"]);
        command.arg("--store_dir").arg(&self.folder);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.spawn().unwrap());
        let port = self.port;
        eventually("NATS", || TcpStream::connect(("127.0.0.1", port)).ok());
    }

    /// Kills it with SIGKILL.
    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A system over NATS, running.
fn system(test: &str) -> Option<(System, Nats)> {
    let system = System::empty();
    let nats = Nats::start(test, &system)?;
    system.write(&format!(
        "
engines: {{ broker: {{ url: 'nats://127.0.0.1:{}', prefix: shop }} }}
topics: {{ orders: {{ retry: {{ max: 3, backoff: 10ms..50ms }} }} }}
services:
  shop:
    run: FIXTURE serve
    health: /ready
    env: {{ LEDGER: DIR/shop }}
    subscribes: {{ orders: {{ to: POST /event, start: oldest }} }}
gateway: {{ listen: GATEWAY, routes: {{ /: shop }} }}
",
        nats.port
    ));
    system.up();
    Some((system, nats))
}

fn api_of(system: &System) -> SocketAddr {
    let env = http::get(system.status().address("shop", 0), "/env").unwrap().json();
    env["DAPR_HTTP_ENDPOINT"].as_str().unwrap().strip_prefix("http://").unwrap().parse().unwrap()
}

const DAPR: &str = "/v1.0/publish/pubsub/orders";
const NATIVE: &str = "/v1/topics/orders";

fn post(to: SocketAddr, path: &str, data: &Value) -> Answer {
    Request::with_json("POST", path, data).send(to).unwrap()
}

#[test]
fn messages_over_nats_are_delivered_retried_given_up_and_brought_back() {
    let test = "messages_over_nats_are_delivered_retried_given_up_and_brought_back";
    let Some((system, _nats)) = system(test) else { return };
    let api = api_of(&system);
    assert_eq!(post(api, DAPR, &json!({ "n": 1 })).status, 204);
    let told = post(api, NATIVE, &json!({ "n": 2 }));
    assert_eq!((told.status, told.json()["offset"].as_u64()), (201, Some(2)), "{}", told.text());
    let got = until_done(&system, "shop", 2);
    let numbers: Vec<_> = got.iter().map(|it| it.number("n")).collect();
    assert_eq!(numbers, [1, 2], "{got:#?}");
    let shown = system.flotilla("topics ls -o json").expect(0).json();
    assert!(shown["broker"]["place"].as_str().unwrap().contains("nats://"), "{shown:#}");

    answer(&system, "shop", "500 0 poison\n");
    publish(&system, "orders", &json!({ "id": "bad", "data": { "n": 3, "is": "poison" } }));
    assert_eq!(post(api, DAPR, &json!({ "n": 4 })).status, 204);
    let letters = eventually("the letter", || {
        let letters = dead(&system, "orders");
        (!letters.is_empty()).then_some(letters)
    });
    assert_eq!((&letters[0]["event"]["id"], letters.len()), (&json!("bad"), 1), "{letters:#?}");
    assert_eq!(letters[0]["dead"]["attempts"], 3, "{letters:#?}");
    let tried: Vec<_> = arrivals(&system, "shop")
        .into_iter()
        .filter(|it| it.number("n") == 3)
        .map(|it| (it.status, it.attempt()))
        .collect();
    assert_eq!(tried, [(500, 1), (500, 2), (500, 3)]);

    answer(&system, "shop", "");
    system.flotilla("topics dlq redrive orders").expect(0).says("1");
    let got = until(&system, "shop", "the letter, brought back", |all| {
        all.iter().any(|it| it.number("n") == 3 && it.is_done())
    });
    assert!(got.iter().any(|it| it.number("n") == 4), "{got:#?}");
    until_settled(&system, "orders", "shop");
    assert!(dead(&system, "orders").is_empty());
    system.flotilla("topics dlq redrive orders").expect(0).says("0");
    system.down();
}

#[test]
fn without_nats_publishing_is_refused_requests_go_on_and_all_comes_back_by_itself() {
    let test = "without_nats_publishing_is_refused_requests_go_on_and_all_comes_back_by_itself";
    let Some((system, mut nats)) = system(test) else { return };
    let api = api_of(&system);
    for n in 0..20 {
        assert_eq!(post(api, NATIVE, &json!({ "n": n })).status, 201);
    }
    until_done(&system, "shop", 20);
    let pids = system.status().pids("shop");

    nats.kill();
    for _ in 0..3 {
        let refused = post(api, NATIVE, &json!({ "n": 100 }));
        assert_eq!(refused.status, 503, "{}", refused.text());
        assert!(refused.header("retry-after").is_some(), "{refused:?}");
        assert!(refused.text().contains("nats://127.0.0.1"), "{}", refused.text());
        // Dapr's own word for it.
        let refused = post(api, DAPR, &json!({ "n": 100 }));
        assert!(matches!(refused.status, 500 | 503), "{}", refused.text());
        assert_eq!(refused.json()["errorCode"], "ERR_PUBSUB_PUBLISH_MESSAGE");
        assert!(refused.text().contains("nats://127.0.0.1"), "{}", refused.text());
        for _ in 0..20 {
            assert_eq!(system.get("/").status, 200);
            let called = Request::get("/v1.0/invoke/shop/method/x").send(api).unwrap();
            assert_eq!(called.status, 200);
        }
    }
    system.flotilla("topics publish orders {\"n\":100}").expect(1).says("nats://127.0.0.1");
    system.flotilla("ps").expect(0).says("shop");
    // It comes up without NATS as well, and has its requests served.
    system.kill_node();
    system.up();
    assert_eq!(system.get("/").status, 200);
    assert_eq!(system.status().pids("shop"), pids, "nobody was restarted for that");
    let api = api_of(&system);
    assert_eq!(post(api, NATIVE, &json!({ "n": 100 })).status, 503);

    nats.run();
    eventually("a message that is taken", || {
        (post(api, NATIVE, &json!({ "n": 20 })).status == 201).then_some(())
    });
    assert_eq!(post(api, DAPR, &json!({ "n": 21 })).status, 204);
    let got = until(&system, "shop", "what was published after that", |all| {
        [20, 21].iter().all(|n| all.iter().any(|it| it.number("n") == *n && it.is_done()))
    });
    // What was settled may come again if NATS had not yet written that, and what was refused may have been taken.
    for n in 0..22 {
        assert!(got.iter().any(|it| it.number("n") == n), "{n} is lost");
    }
    until_settled(&system, "orders", "shop");
    let log = fs::read_to_string(system.dir().join(".flotilla/node.log")).unwrap();
    assert!(log.contains("nats://127.0.0.1"), "{log}");
    system.down();
}
