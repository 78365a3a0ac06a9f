//! Certificates that change while clients are busy, and what many quiet clients hold.

use super::*;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

/// Asks over new connections, and over one that is kept, until it is told to stop; any failure is a panic.
async fn ask(address: SocketAddr, client: Arc<ClientConfig>, state: Arc<Busy>) {
    let mut kept = connect(address, &client, "shop.test").await;
    while !state.stop.load(SeqCst) {
        let mut new = connect(address, &client, "shop.test").await;
        talk(&mut new, &get("/"), "users/1").await;
        talk(&mut kept, &get("/"), "users/1").await;
        state.answered.fetch_add(2, SeqCst);
    }
}

#[derive(Default)]
struct Busy {
    stop: AtomicBool,
    answered: AtomicU64,
}

#[tokio::test]
async fn other_certificates_under_load_cost_no_connection() {
    let users = Upstream::start("users/1").await;
    let plane = Plane::start(vec![users.endpoint()]);
    let (old, new) = (Made::new(&["shop.test"]), Made::new(&["shop.test"]));
    plane.handle.secure(&gateway(), tls(&[&old]));
    // Sessions are resumed where they can be; they end with their certificate.
    let client = trusting(&[&old, &new], &[]);
    let busy = Arc::new(Busy::default());
    let clients: Vec<_> =
        (0..4).map(|_| ask(plane.gateway, Arc::clone(&client), Arc::clone(&busy))).collect();
    let mut tasks = TaskSet::new("clients");
    let ended = Arc::new(AtomicU64::new(0));
    for client in clients {
        let ended = Arc::clone(&ended);
        tasks.spawn("client", move |_| async move {
            client.await;
            ended.fetch_add(1, SeqCst);
        });
    }
    for round in 1..=20 {
        let next = if round % 2 == 0 { &old } else { &new };
        plane.handle.secure(&gateway(), tls(&[next]));
        let before = busy.answered.load(SeqCst);
        until("they go on", || busy.answered.load(SeqCst) >= before + 8).await;
        let shown = connect(plane.gateway, &client, "shop.test").await;
        let shown = shown.get_ref().1.peer_certificates().unwrap()[0].clone();
        let expected = CertificateDer::from_pem_slice(next.certificate.as_bytes()).unwrap();
        assert_eq!(shown, expected, "round {round}");
    }
    busy.stop.store(true, SeqCst);
    // Who has panicked does not get there.
    until("all clients end well", || ended.load(SeqCst) == 4).await;
}

/// Bytes that each of `count` connections holds that were used once and wait.
async fn held(protocol: &str, count: usize) -> usize {
    let users = Upstream::start("users/1").await;
    let plane = Plane::start(vec![users.endpoint()]);
    if protocol == "plain" {
        return held_plain(&plane, count).await;
    }
    let made = secure(&plane);
    let client = trusting(&[&made], &[protocol]);
    let mut sockets = Vec::new();
    let mut before = 0;
    for number in 0..count + 50 {
        // What comes once for the whole process is not counted.
        if number == 50 {
            before = resident();
        }
        let mut stream = connect(plane.gateway, &client, "shop.test").await;
        if protocol == "h2" {
            let hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
            soon(stream.write_all(hello)).await.unwrap();
            let head = b"\x82\x87\x84\x41\x09shop.test";
            let length = u8::try_from(head.len()).unwrap();
            let frame = [&[0, 0, length, 1, 5, 0, 0, 0, 1], &head[..]].concat();
            soon(stream.write_all(&frame)).await.unwrap();
            let mut read = Vec::new();
            while !String::from_utf8_lossy(&read).contains("users/1") {
                assert!(soon(stream.read_buf(&mut read)).await.unwrap() > 0, "{read:?}");
            }
        } else {
            talk(&mut stream, &get("/"), "users/1").await;
        }
        // The client's half of TLS is not what is measured: only its socket stays.
        sockets.push(stream.into_inner().0);
    }
    assert_eq!(plane.handle.stats().listeners[0].open, count + 50);
    resident().saturating_sub(before) / count
}

/// The same without TLS.
async fn held_plain(plane: &Plane, count: usize) -> usize {
    let mut sockets = Vec::new();
    let mut before = 0;
    for number in 0..count + 50 {
        if number == 50 {
            before = resident();
        }
        let mut socket = crate::socket::Socket::connect(plane.gateway).await;
        socket.send(get("/")).await;
        socket.until("users/1").await;
        sockets.push(socket.stream);
    }
    resident().saturating_sub(before) / count
}

#[tokio::test]
async fn quiet_connections_hold_little() {
    if !is_alone("tls::load::quiet_connections_hold_little") {
        return;
    }
    let plain = held("plain", 400).await;
    let first = held("http/1.1", 400).await;
    let second = held("h2", 400).await;
    println!("a quiet connection holds {plain} bytes, over TLS {first}, of HTTP/2 {second}");
    assert!(first < 24 << 10, "{first} bytes of HTTP/1.1");
    assert!(second < 96 << 10, "{second} bytes of HTTP/2");
}
