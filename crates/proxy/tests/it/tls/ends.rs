//! How connections over TLS end: cleanly, in the middle, and never.

use super::*;
use crate::{
    recorder::{Pace, Recorder},
    socket::Instance,
    strict::{plane, plane_to},
};
use proxy::Config;
use std::time::Duration;

/// Short, and long enough for a client that does begin.
const TICK: Duration = Duration::from_millis(500);

#[tokio::test]
async fn a_client_that_has_said_all_it_has_to_say_still_gets_its_answer() {
    let users = Upstream::start("users/1").await;
    let plane = Plane::start(vec![users.endpoint()]);
    let made = secure(&plane);
    let mut client = connect(plane.gateway, &trusting(&[&made], &[]), "shop.test").await;
    soon(client.write_all(get("/gate").as_bytes())).await.unwrap();
    soon(client.shutdown()).await.unwrap();
    until("it arrives", || users.requests() == 1).await;
    users.state.gate.add_permits(1);
    let reply = rest(&mut client).await;
    assert!(reply.ends_with("through the gate"), "{reply}");
}

#[tokio::test]
async fn a_request_that_is_cut_off_is_not_whole_for_its_instance() {
    for framing in ["Content-Length: 100000", "Transfer-Encoding: chunked"] {
        for is_said in [false, true] {
            let recorder = Recorder::start(&[], Pace::AtOnce).await;
            let plane = plane(&recorder);
            let made = secure(&plane);
            let mut client = connect(plane.gateway, &trusting(&[&made], &[]), "shop.test").await;
            let head = format!("POST /x HTTP/1.1\r\nHost: shop.test\r\n{framing}\r\n\r\n");
            soon(client.write_all(head.as_bytes())).await.unwrap();
            soon(client.write_all(b"4\r\nhalf\r\n")).await.unwrap();
            soon(client.flush()).await.unwrap();
            let endpoint = || plane.handle.stats().services[0].endpoints[0].in_flight;
            until("it is on its way", || endpoint() == 1).await;
            if is_said {
                soon(client.shutdown()).await.unwrap();
            }
            // Without a goodbye this is what somebody does who cuts the line.
            drop(client);
            until("it is over", || endpoint() == 0).await;
            let saw = recorder.saw().await;
            assert!(["begun", "nothing"].contains(&&*saw), "{framing}, {is_said}: {saw}");
        }
    }
}

#[tokio::test]
async fn a_response_without_a_length_ends_with_a_goodbye_only_when_it_is_whole() {
    for is_whole in [true, false] {
        let instance = Instance::start().await;
        let plane = plane_to(instance.endpoint());
        let made = secure(&plane);
        let mut client = connect(plane.gateway, &trusting(&[&made], &[]), "shop.test").await;
        let request = "GET / HTTP/1.0\r\nHost: shop.test\r\n\r\n";
        soon(client.write_all(request.as_bytes())).await.unwrap();
        let mut server = instance.accept().await;
        server.head().await;
        server.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n").await;
        let mut read = Vec::new();
        while !read.ends_with(b"half") {
            assert!(soon(client.read_buf(&mut read)).await.unwrap() > 0);
        }
        if is_whole {
            server.send("0\r\n\r\n").await;
        } else {
            drop(server);
        }
        let end = soon(client.read_buf(&mut read)).await;
        assert_eq!(end.as_ref().ok(), is_whole.then_some(&0), "{end:?}");
    }
}

#[tokio::test]
async fn kept_connections_hear_that_their_listener_closes() {
    let users = Upstream::start("users/1").await;
    let plane = Plane::start(vec![users.endpoint()]);
    let made = secure(&plane);
    let mut kept = connect(plane.gateway, &trusting(&[&made], &[]), "shop.test").await;
    talk(&mut kept, &get("/"), "users/1").await;
    let mut new = connect(plane.gateway, &trusting(&[&made], &[]), "shop.test").await;
    let open = || plane.handle.stats().listeners[0].open;
    until("both are there", || open() == 2).await;
    // It says nothing, not even what a handshake begins with.
    let mut silent = TcpStream::connect(plane.gateway).await.unwrap();
    until("it is accepted", || open() == 3).await;
    plane.handle.close(&gateway());
    assert_eq!(rest(&mut kept).await, "");
    assert_eq!(rest(&mut new).await, "");
    assert_eq!(soon(silent.read(&mut [0])).await.unwrap(), 0);
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_up_no_shutdown() {
    let instance = Instance::start().await;
    let mut plane = plane_to(instance.endpoint());
    let made = secure(&plane);
    let mut client = connect(plane.gateway, &trusting(&[&made], &[]), "shop.test").await;
    soon(client.write_all(get("/").as_bytes())).await.unwrap();
    let mut server = instance.accept().await;
    server.head().await;
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n").await;
    let sent = server.send_until_it_stalls(100_000_000).await;
    assert!(sent < 32 << 20, "{sent} bytes were taken for a client that reads none");
    let service = plane.service.take().unwrap();
    soon(service.shutdown(Duration::from_millis(50))).await;
    drop(client);
}

#[tokio::test]
async fn who_never_begins_a_handshake_is_let_go() {
    let users = Upstream::start("users/1").await;
    let config = Config { workers: 1, first_head_timeout: TICK, ..Config::default() };
    let plane = Plane::with(config, vec![route("/", &[("users", 1)])], vec![users.endpoint()]);
    let made = secure(&plane);
    let mut silent = TcpStream::connect(plane.gateway).await.unwrap();
    assert_eq!(soon(silent.read(&mut [0])).await.unwrap(), 0);
    let mut client = connect(plane.gateway, &trusting(&[&made], &[]), "shop.test").await;
    talk(&mut client, &get("/"), "users/1").await;
}
