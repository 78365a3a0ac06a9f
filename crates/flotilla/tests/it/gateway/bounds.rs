//! What one client may have at the same time, and keys that come from elsewhere.

use super::identity::{bearer, es256, now, sign_es256};
use crate::kit::{
    System,
    http::{Connection, Request},
    wait::eventually,
};
use serde_json::{Value, json};
use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

#[test]
fn connections_over_the_limit_wait_until_others_end() {
    let system = System::new(
        "
services: { web: { run: FIXTURE serve } }
gateway: { listen: GATEWAY, limits: { connections: 2 }, routes: { /: web } }
",
    );
    system.up();
    let request = Request::get("/");
    // Each worker may have begun to accept one more before the limit was reached.
    let workers = thread::available_parallelism().unwrap().get();
    let mut served = Vec::new();
    let mut waiting = None;
    for _ in 0..=2 + workers {
        let mut connection = TcpStream::connect(system.gateway).unwrap();
        connection.write_all(b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n").unwrap();
        connection.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        match connection.read(&mut [0; 64]) {
            Ok(count) => {
                assert!(count > 0, "closed instead of served");
                served.push(connection);
            }
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "{error}");
                waiting = Some(connection);
                break;
            }
        }
    }
    let mut waiting = waiting.expect("one more connection than may be was served");
    assert!(served.len() >= 2, "only {} were served", served.len());
    drop(served);
    waiting.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut answer = [0; 12];
    waiting.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    drop(waiting);
    assert_eq!(Connection::open(system.gateway).unwrap().ask(&request).unwrap().status, 200);
    system.down();
}

/// The value of `SETTINGS_MAX_CONCURRENT_STREAMS` that a server begins with (RFC 9113 §6.5.2).
fn streams_max(server: SocketAddr) -> Option<u32> {
    let mut stream = TcpStream::connect(server).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    // The preface and empty settings.
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
    let mut head = [0; 9];
    stream.read_exact(&mut head).unwrap();
    assert_eq!(head[3], 4, "the first frame is SETTINGS");
    let mut settings = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
    stream.read_exact(&mut settings).unwrap();
    let found = settings.chunks(6).find(|setting| setting[..2] == [0, 3]);
    found.map(|setting| u32::from_be_bytes(setting[2..].try_into().unwrap()))
}

#[test]
fn a_client_is_told_how_many_streams_it_may_open() {
    let system = System::new(
        "
services: { web: { run: FIXTURE serve } }
gateway: { listen: GATEWAY, limits: { streams: 7 }, routes: { /: web } }
",
    );
    system.up();
    assert_eq!(streams_max(system.gateway), Some(7));
    system.down();
}

#[test]
fn each_api_key_has_a_rate_of_its_own() {
    let hash = |key: &str| {
        let digest = ring::digest::digest(&ring::digest::SHA256, key.as_bytes());
        digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let system = System::new(&format!(
        "
services: {{ web: {{ run: FIXTURE serve }} }}
gateway:
  listen: GATEWAY
  auth: {{ api_keys: {{ keys: {{ ann: 'sha256:{}', bob: 'sha256:{}' }} }} }}
  routes: {{ /: {{ to: web, rate: 2/h per key }} }}
",
        hash("key of ann"),
        hash("key of bob"),
    ));
    system.up();
    let ask = |key: &str| {
        let request = Request::get("/").header("X-API-Key", key);
        request.send(system.gateway).unwrap().status
    };
    for key in ["key of ann", "key of bob"] {
        assert_eq!([ask(key), ask(key), ask(key)], [200, 200, 429], "{key}");
    }
    // Whoever has no key uses up nobody's rate.
    assert_eq!(ask("no key"), 401);
    system.down();
}

/// A server of keys that can be changed.
struct KeyServer {
    address: SocketAddr,
    keys: Arc<Mutex<Value>>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl KeyServer {
    fn start(keys: Value) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let keys = Arc::new(Mutex::new(keys));
        let is_over = Arc::new(AtomicBool::new(false));
        let shared = (Arc::clone(&keys), Arc::clone(&is_over));
        let thread = runtime::thread("keys", move || {
            let (keys, is_over) = shared;
            for stream in listener.incoming() {
                if is_over.load(SeqCst) {
                    return;
                }
                let mut stream = stream.unwrap();
                let mut lines = BufReader::new(&stream).lines();
                // To the empty line behind the head; who goes before is no matter.
                while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
                let body = json!({ "keys": [keys.lock().unwrap().clone()] }).to_string();
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n", body.len());
                drop(write!(stream, "{head}Connection: close\r\n\r\n{body}"));
            }
        })
        .unwrap();
        Self { address, keys, is_over, thread: Some(thread) }
    }
}

impl Drop for KeyServer {
    fn drop(&mut self) {
        self.is_over.store(true, SeqCst);
        drop(TcpStream::connect(self.address));
        self.thread.take().unwrap().join().unwrap();
    }
}

#[test]
fn keys_from_an_address_are_fetched_again_when_a_token_names_one_that_is_not_known() {
    let ((first, first_public), (second, second_public)) = (es256("one"), es256("two"));
    let server = KeyServer::start(first_public);
    let system = System::new(&format!(
        "
services: {{ web: {{ run: FIXTURE serve }} }}
gateway:
  listen: GATEWAY
  auth: {{ jwt: {{ jwks: 'http://{}/keys.json' }} }}
  routes: {{ /: web }}
",
        server.address
    ));
    system.up();
    let claims = json!({ "sub": "ann", "exp": now() + 600 });
    let status = |token: &str| bearer(&system, "/", token).status;
    let (old, new) = (sign_es256(&first, "one", &claims), sign_es256(&second, "two", &claims));
    eventually("the keys", || (status(&old) == 200).then_some(()));

    *server.keys.lock().unwrap() = second_public;
    eventually("the new key", || (status(&new) == 200).then_some(()));
    eventually("the end of the old key", || (status(&old) == 401).then_some(()));
    system.down();
}
