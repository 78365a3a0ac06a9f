//! Instances that answer before the request is complete, late, or never.

use super::{GET, Line, OK};
use crate::{socket::Socket, support::*};
use proxy::Config;
use std::time::Duration;

const LARGE: &str = "POST /x HTTP/1.1\r\nHost: s\r\nContent-Length: 100000000\r\n\r\n";

/// Reads what ends with `last` while the client goes on sending a body that nobody wants.
async fn answer_while_sending(client: &mut Socket, last: &[u8]) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let (mut from, mut to) = client.stream.split();
    let piece = vec![b'x'; 1 << 16];
    let sending = async {
        while to.write_all(&piece).await.is_ok() {}
        // What was written is over; what can be read is what counts.
        std::future::pending::<()>().await;
    };
    let mut read = Vec::new();
    let reading = async {
        while !read.ends_with(last) && matches!(from.read_buf(&mut read).await, Ok(1..)) {}
    };
    soon(async {
        tokio::select! {
            () = sending => {}
            () = reading => {}
        }
    })
    .await;
    crate::wire::show(&read)
}

#[tokio::test]
async fn an_answer_that_comes_before_the_body_is_complete_arrives() {
    for closes in [true, false] {
        let line = Line::start().await;
        let (mut client, mut server) = line.asked(LARGE).await;
        let connection = if closes { "Connection: close\r\n" } else { "" };
        server
            .send(format!(
                "HTTP/1.1 413 Content Too Large\r\n{connection}Content-Length: 5\r\n\r\nlarge"
            ))
            .await;
        if closes {
            // Closed with data unread: the kernel makes that a reset.
            drop(server);
        }
        let answer = answer_while_sending(&mut client, b"large").await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "closes: {closes}: {answer}");
        assert!(answer.ends_with("\r\n\r\nlarge"), "closes: {closes}: {answer}");
    }
}

#[tokio::test]
async fn an_answer_to_a_body_that_never_comes_arrives() {
    let line = Line::start().await;
    let (mut client, mut server) = line.asked(LARGE).await;
    server.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno").await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 403 "), "{head}");
    assert_eq!(client.take(2).await, b"no");
    drop((client, server));
    line.plane.members(vec![line.instance.endpoint()]);
    line.is_well().await;
}

#[tokio::test]
async fn an_instance_that_streams_its_answer_while_it_reads_can() {
    let line = Line::start().await;
    let (mut client, mut server) =
        line.asked("POST /x HTTP/1.1\r\nHost: s\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    server.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    assert!(client.head().await.starts_with("HTTP/1.1 200"));
    for number in 0..10 {
        client.send(format!("6\r\nup {number:03}\r\n")).await;
        server.until(&format!("up {number:03}")).await;
        server.send(format!("8\r\ndown {number:03}\r\n")).await;
        client.until(&format!("down {number:03}")).await;
    }
    client.send("0\r\n\r\n").await;
    server.until("0\r\n\r\n").await;
    server.send("0\r\n\r\n").await;
    client.until("0\r\n\r\n").await;
}

#[tokio::test]
async fn an_instance_that_never_answers_costs_its_time_and_no_more() {
    let instance = crate::socket::Instance::start().await;
    let config = Config { workers: 1, slow_start: Duration::ZERO, ..Config::default() };
    let mut all = route("/", &[("users", 1)]);
    all.retries = Some(0);
    all.timeout = Some(Duration::from_millis(100));
    let plane = Plane::with(config, vec![all], vec![instance.endpoint()]);
    let mut client = Socket::connect(plane.gateway).await;
    for part in ["", "HTTP/1.1 200 OK\r\nContent-Le"] {
        client.send(GET).await;
        let mut server = instance.accept().await;
        server.head().await;
        server.send(part).await;
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 504"), "{head}");
        client.until("}}\n").await;
        assert_eq!(server.rest().await.0, "", "it is told that nobody waits");
    }
}

#[tokio::test]
async fn an_instance_that_answers_before_it_was_asked_answers_nobody() {
    let line = Line::start().await;
    let mut client = line.client().await;
    client.send("POST /x HTTP/1.1\r\nHost: s\r\nContent-Length: 1000000\r\n\r\n").await;
    let mut server = line.instance.accept().await;
    // Perhaps before the head, certainly before the body.
    server.send(OK).await;
    let mut second = line.client().await;
    second.send(GET).await;
    let mut other = line.instance.accept().await;
    assert!(other.head().await.starts_with("GET /x "), "the first connection is not free");
    other.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond").await;
    second.until("second").await;
}
