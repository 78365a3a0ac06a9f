//! Peers that read or write slowly.

use super::{GET, Line};
use crate::support::*;

#[tokio::test]
async fn a_client_that_does_not_read_stops_the_instance() {
    if !is_alone("chaos::slow::a_client_that_does_not_read_stops_the_instance") {
        return;
    }
    for chunked in [false, true] {
        let line = Line::start().await;
        let (mut client, mut server) = line.asked(GET).await;
        let most = 256 << 20;
        let framing = if chunked {
            format!("Transfer-Encoding: chunked\r\n\r\n{most:x}\r\n")
        } else {
            format!("Content-Length: {most}\r\n\r\n")
        };
        server.send(format!("HTTP/1.1 200 OK\r\n{framing}")).await;
        let before = resident();
        let sent = server.send_until_it_stalls(most).await;
        let grown = resident().saturating_sub(before);
        assert!(sent < 64 << 20, "{sent} bytes were taken for a client that reads none");
        assert!(grown < 8 << 20, "{grown} bytes more are held");
        // It goes on where it stood. The client reads all there is: a kernel says that there is room
        // again only when a good part of a buffer is free.
        client.head().await;
        let taken = client.take(sent).await;
        assert!(taken.iter().filter(|byte| **byte == b'x').count() > sent / 2);
        assert!(server.send_until_it_stalls(1 << 16).await > 0);
    }
}

#[tokio::test]
async fn an_instance_that_does_not_read_stops_the_client() {
    if !is_alone("chaos::slow::an_instance_that_does_not_read_stops_the_client") {
        return;
    }
    for framing in
        ["Content-Length: 268435456\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n10000000\r\n"]
    {
        let line = Line::start().await;
        let mut client = line.client().await;
        client.send(format!("POST /x HTTP/1.1\r\nHost: s\r\n{framing}")).await;
        let mut server = line.instance.accept().await;
        let before = resident();
        let sent = client.send_until_it_stalls(256 << 20).await;
        let grown = resident().saturating_sub(before);
        assert!(sent < 64 << 20, "{sent} bytes were taken for an instance that reads none");
        assert!(grown < 8 << 20, "{grown} bytes more are held");
        server.head().await;
        server.take(sent).await;
        assert!(client.send_until_it_stalls(1 << 16).await > 0);
    }
}

#[tokio::test]
async fn many_clients_that_do_not_read_are_held_in_bounded_memory() {
    if !is_alone("chaos::slow::many_clients_that_do_not_read_are_held_in_bounded_memory") {
        return;
    }
    let users = Upstream::start("users/1").await;
    let plane = Plane::start(vec![users.endpoint()]);
    let before = resident();
    let mut clients = Vec::new();
    for _ in 0..200 {
        let mut client = crate::socket::Socket::connect(plane.gateway).await;
        // Answers that are asked for and not read: at most one is held.
        client.send("GET /large HTTP/1.1\r\nHost: s\r\n\r\n".repeat(50)).await;
        clients.push(client);
    }
    until("each is at work", || users.requests() >= 200).await;
    let settled = || async {
        let before = users.requests();
        stalls(std::future::pending::<()>()).await;
        users.requests() == before
    };
    soon(async { while !settled().await {} }).await;
    assert!(users.requests() < 200 * 50, "nobody reads, so not all can have been answered");
    let grown = resident().saturating_sub(before);
    // The instance's own copies of a MiB each are in this process too.
    assert!(grown < (200 << 20) + (64 << 20), "{grown} bytes more are held");
}

#[tokio::test]
async fn what_trickles_in_trickles_through() {
    let line = Line::start().await;
    let mut client = line.client().await;
    // Large enough to be streamed: small bodies may be collected first.
    let request = "POST /x HTTP/1.1\r\nHost: s\r\nContent-Length: 1000000\r\n\r\n";
    for byte in request.bytes() {
        client.send([byte]).await;
        tokio::task::yield_now().await;
    }
    let mut server = line.instance.accept().await;
    server.head().await;
    // Each byte arrives before the next is sent: nothing is held back until there is more.
    for byte in b"0123456789" {
        client.send([*byte]).await;
        assert_eq!(server.take(1).await, [*byte]);
    }
    let response = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n";
    for byte in response.bytes() {
        server.send([byte]).await;
        tokio::task::yield_now().await;
    }
    let mut answered = false;
    for byte in b"0123456789" {
        server.send([*byte]).await;
        if !answered {
            client.head().await;
            answered = true;
        }
        assert_eq!(client.take(1).await, [*byte]);
    }
}
