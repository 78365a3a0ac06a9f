//! Connections that end where they should not.

use super::{GET, Line, OK};
use crate::{
    recorder::{Pace, Recorder},
    socket::{End, Socket},
    strict::{end, plane},
    support::*,
};
use std::sync::atomic::Ordering::SeqCst;

#[tokio::test]
async fn a_client_that_breaks_off_within_its_head_asks_nobody() {
    let recorder = Recorder::start(&[], Pace::AtOnce).await;
    let mut plane = plane(&recorder);
    for cut in [0, 1, 10, 20, GET.len() - 1] {
        let mut client = Socket::connect(plane.gateway).await;
        client.send(&GET.as_bytes()[..cut]).await;
        client.reset();
    }
    let accepted = || plane.handle.stats().listeners[0].clone();
    until("all are gone", || accepted().accepted == 5 && accepted().open == 0).await;
    end(plane.service.take()).await;
    assert_eq!(recorder.saw().await, "nothing");
}

#[tokio::test]
async fn a_client_that_breaks_off_within_its_body_leaves_no_whole_request_behind() {
    for framing in
        ["Content-Length: 1000000\r\n\r\nsome", "Transfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n"]
    {
        let line = Line::start().await;
        let (client, mut server) =
            line.asked(&format!("POST /x HTTP/1.1\r\nHost: s\r\n{framing}")).await;
        assert!(server.until("some").await.ends_with("some"));
        client.reset();
        let (rest, _) = server.rest().await;
        assert!(!rest.contains("0\r\n\r\n"), "a chunked body must not end: {rest:?}");
        line.is_well().await;
    }
}

#[tokio::test]
async fn a_client_that_breaks_off_while_it_waits_is_not_waited_for() {
    let line = Line::start().await;
    let (client, mut server) = line.asked(GET).await;
    client.reset();
    assert_eq!(server.rest().await.0, "", "the instance is told that nobody waits");
    line.is_well().await;
}

#[tokio::test]
async fn a_client_that_breaks_off_within_a_response_stops_the_instance() {
    let line = Line::start().await;
    let (mut client, mut server) = line.asked(GET).await;
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").await;
    server.send(vec![b'x'; 1 << 16]).await;
    client.until("xxxx").await;
    client.reset();
    let sent = server.send_until_it_stalls(1 << 30).await;
    assert!(sent < 64 << 20, "it was told: {sent}");
    drop(server);
    line.is_well().await;
}

#[tokio::test]
async fn a_client_that_has_said_all_still_gets_its_answer() {
    for request in [
        GET.to_owned(),
        "POST /x HTTP/1.1\r\nHost: s\r\nContent-Length: 4\r\n\r\nbody".to_owned(),
        "POST /x HTTP/1.1\r\nHost: s\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"
            .to_owned(),
    ] {
        let line = Line::start().await;
        let mut client = line.client().await;
        client.send(&request).await;
        client.half_close().await;
        let mut server = line.instance.accept().await;
        server.head().await;
        // The end of the client's side has long arrived when the answer comes.
        assert!(stalls(server.rest()).await.is_none(), "the request is not broken off: {request}");
        server.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n").await;
        server.send("do").await;
        client.until("do").await;
        server.send("ne").await;
        let (rest, end) = client.rest().await;
        assert_eq!((&*rest, end), ("ne", End::Closed), "{request}");
    }
}

#[tokio::test]
async fn an_instance_that_breaks_off_is_a_bad_gateway_and_not_a_broken_client() {
    let post = "POST /x HTTP/1.1\r\nHost: s\r\nContent-Length: 4\r\n\r\nbody";
    for (what, answer) in [
        ("before it says anything", ""),
        ("within its status line", "HTTP/1.1 2"),
        ("within its head", "HTTP/1.1 200 OK\r\nContent-Le"),
        ("after an interim response", "HTTP/1.1 100 Continue\r\n\r\n"),
    ] {
        for with_reset in [false, true] {
            let line = Line::start().await;
            let (mut client, mut server) = line.asked(post).await;
            server.take(4).await;
            server.send(answer).await;
            if with_reset {
                server.reset();
            } else {
                drop(server);
            }
            let mut head = client.head().await;
            if head.starts_with("HTTP/1.1 100") {
                head = client.head().await;
            }
            assert!(head.starts_with("HTTP/1.1 502"), "{what}, {with_reset}: {head}");
            client.until("}}\n").await;
            drop(client);
            line.plane.members(vec![line.instance.endpoint()]);
            line.is_well().await;
        }
    }
}

#[tokio::test]
async fn an_instance_that_breaks_off_within_its_response_breaks_the_client_off() {
    for head in ["Content-Length: 100000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n186a0\r\n"] {
        let line = Line::start().await;
        let (mut client, mut server) =
            line.asked("POST /x HTTP/1.1\r\nHost: s\r\nContent-Length: 0\r\n\r\n").await;
        server.send(format!("HTTP/1.1 200 OK\r\n{head}")).await;
        server.send(vec![b'x'; 90_000]).await;
        // Enough has come through for the head to be on its way, so it cannot be a 502 any more.
        client.until("xxxx").await;
        server.reset();
        let (rest, _) = client.rest().await;
        assert!(rest.len() < 100_000 - 4 && !rest.contains("\r\n0\r\n"), "it looks complete");
        line.plane.members(vec![line.instance.endpoint()]);
        drop(client);
        line.is_well().await;
    }
}

/// Where the end of the connection is the end of the body, only a reset can say that it is not.
#[tokio::test]
async fn a_client_that_knows_no_chunks_can_tell_a_broken_response_from_a_whole_one() {
    for breaks in [true, false] {
        let line = Line::start().await;
        let (mut client, mut server) = line.asked("GET /x HTTP/1.0\r\nHost: s\r\n\r\n").await;
        server.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegun\r\n").await;
        client.until("begun").await;
        if breaks {
            drop(server);
            assert_eq!(client.rest().await, (String::new(), End::Reset));
        } else {
            server.send("0\r\n\r\n").await;
            assert_eq!(client.rest().await, (String::new(), End::Closed));
        }
    }
}

#[tokio::test]
async fn an_instance_that_closes_a_kept_connection_is_asked_on_another() {
    let line = Line::start().await;
    let (mut client, mut server) = line.asked(GET).await;
    for _ in 0..5 {
        server.send(OK).await;
        client.until("ok").await;
        drop(server);
        // A POST too: the connection's end is known before anything is sent, or the kernel says so.
        client.send("POST /x HTTP/1.1\r\nHost: s\r\nContent-Length: 4\r\n\r\nbody").await;
        server = line.instance.accept().await;
        assert!(server.head().await.starts_with("POST /x "));
        server.take(4).await;
    }
    server.send(OK).await;
    client.until("ok").await;
}

#[tokio::test]
async fn nothing_is_left_of_clients_that_break_off_at_random() {
    if !is_alone("chaos::breaks::nothing_is_left_of_clients_that_break_off_at_random") {
        return;
    }
    let users = Upstream::start("users/1").await;
    let plane = Plane::start(vec![users.endpoint()]);
    let mut numbers = super::Numbers(1);
    let request = "POST /echo HTTP/1.1\r\nHost: s\r\nContent-Length: 2000\r\n\r\n".to_owned()
        + &"x".repeat(2_000);
    let mut before = None;
    for round in 0..1_200 {
        let mut client = Socket::connect(plane.gateway).await;
        client.send(&request.as_bytes()[..numbers.below(request.len() + 1)]).await;
        match numbers.below(4) {
            0 => client.reset(),
            1 => drop(client),
            2 => client.half_close().await,
            _ => drop(stalls_shortly(client.rest()).await),
        }
        if round == 200 {
            before = Some((descriptors(), resident()));
        }
    }
    until("all are gone", || plane.handle.stats().listeners[0].open == 0).await;
    until("all is done", || users.state.working.load(SeqCst) == 0).await;
    let (open, memory) = before.unwrap();
    until("descriptors are closed", || descriptors() <= open + 16).await;
    let grown = resident().saturating_sub(memory);
    assert!(grown < 16 << 20, "{grown} bytes more after a thousand connections");
    assert_eq!(plane.client().await.post("/echo", "x").await.body, "x");
}

/// Long enough for something to have come, most of the time.
async fn stalls_shortly<T>(future: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(std::time::Duration::from_millis(2), future).await.ok()
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}
