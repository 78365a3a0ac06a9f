//! Server-sent events: each arrives when it is sent.

use super::{GET, Line};
use crate::{
    socket::End,
    support::{soon, stalls},
};

#[tokio::test]
async fn each_event_arrives_before_the_next_is_sent() {
    for (framing, is_chunked) in
        [("Transfer-Encoding: chunked\r\n", true), ("Connection: close\r\n", false)]
    {
        let line = Line::start().await;
        let (mut client, mut server) = line.asked(GET).await;
        server
            .send(format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{framing}\r\n"))
            .await;
        let head = client.head().await.to_lowercase();
        assert!(head.contains("content-type: text/event-stream\r\n"), "{head}");
        for number in 0..50 {
            let event = format!("id: {number}\ndata: event\n\n");
            if is_chunked {
                server.send(format!("{:x}\r\n{event}\r\n", event.len())).await;
            } else {
                server.send(&event).await;
            }
            client.until(&event).await;
        }
        if is_chunked {
            server.send("0\r\n\r\n").await;
            client.until("0\r\n\r\n").await;
        } else {
            drop(server);
        }
    }
}

#[tokio::test]
async fn an_event_in_pieces_arrives_in_pieces() {
    let line = Line::start().await;
    let (mut client, mut server) = line.asked(GET).await;
    server.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n").await;
    client.head().await;
    // One chunk of a hundred bytes, ten at a time: it is not held until it is whole.
    for number in 0..10 {
        server.send(format!("data: {number:03}\n")).await;
        client.until(&format!("{number:03}")).await;
    }
    server.send("\r\n0\r\n\r\n").await;
    client.until("0\r\n\r\n").await;
}

#[tokio::test]
async fn a_listener_that_leaves_is_not_sent_to() {
    let line = Line::start().await;
    let (mut client, mut server) = line.asked(GET).await;
    server.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n").await;
    client.until("one").await;
    drop(client);
    // It may only have closed its side; that it does not listen either shows when it is sent to.
    let leaving = async {
        while stalls(server.take_or_end(1)).await.is_none() {
            drop(server.stream.try_write(b"5\r\nevent\r\n"));
        }
    };
    soon(leaving).await;
    drop(server);
    line.plane.members(vec![line.instance.endpoint()]);
    line.is_well().await;
}

#[tokio::test]
async fn a_listener_that_breaks_off_is_not_waited_for() {
    let line = Line::start().await;
    let (mut client, mut server) = line.asked(GET).await;
    server.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n").await;
    client.until("one").await;
    client.reset();
    // Without another event: a reset says that nobody listens.
    assert_eq!(server.rest().await.0, "");
    drop(server);
    line.plane.members(vec![line.instance.endpoint()]);
    line.is_well().await;
}

#[tokio::test]
async fn a_stream_that_the_instance_ends_ends_for_the_client() {
    let line = Line::start().await;
    let (mut client, mut server) =
        line.asked("GET /x HTTP/1.1\r\nHost: s\r\nConnection: close\r\n\r\n").await;
    server.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n").await;
    client.until("one").await;
    server.send("0\r\n\r\n").await;
    let (rest, end) = client.rest().await;
    assert!(rest.ends_with("0\r\n\r\n"), "{rest:?}");
    assert_eq!(end, End::Closed);
}
