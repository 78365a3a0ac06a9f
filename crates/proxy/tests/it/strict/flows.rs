//! Shapes that need a conversation: each side waits for what the other says.

use super::plane;
use crate::{
    recorder::{Pace, Recorder},
    socket::{End, Instance, Socket},
    support::*,
};

/// A plane before an instance that is driven by hand.
fn by_hand(instance: &Instance) -> Plane {
    super::plane_to(instance.endpoint())
}

const EXPECTING: &str =
    "POST /x HTTP/1.1\r\nHost: s\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n";

/// Plays the instance's part of an expectation, whether the data plane passes it on or answers itself.
async fn goes_on(instance: &mut Socket) -> String {
    let head = instance.head().await;
    if head.to_lowercase().contains("\r\nexpect:") {
        instance.send("HTTP/1.1 100 Continue\r\n\r\n").await;
    }
    head
}

#[tokio::test]
async fn a_client_that_waits_for_100_gets_it_once_and_then_sends_its_body() {
    let instance = Instance::start().await;
    let plane = by_hand(&instance);
    let mut client = Socket::connect(plane.gateway).await;
    client.send(EXPECTING).await;
    let server = async {
        let mut server = instance.accept().await;
        goes_on(&mut server).await;
        assert_eq!(server.take(4).await, b"body");
        server.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        server
    };
    let asking = async {
        assert_eq!(client.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
        client.send("body").await;
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert_eq!(client.take(2).await, b"ok");
    };
    let (_server, ()) = tokio::join!(server, asking);
}

#[tokio::test]
async fn an_instance_that_refuses_before_the_body_is_heard() {
    for (status, reason) in [("417", "Expectation Failed"), ("413", "Content Too Large")] {
        let instance = Instance::start().await;
        let plane = by_hand(&instance);
        let mut client = Socket::connect(plane.gateway).await;
        client.send(EXPECTING).await;
        let server = async {
            let mut server = instance.accept().await;
            server.head().await;
            server.send(format!("HTTP/1.1 {status} {reason}\r\nContent-Length: 2\r\n\r\nno")).await;
            server
        };
        let asking = async {
            let mut head = client.head().await;
            if head.starts_with("HTTP/1.1 100") {
                client.send("body").await;
                head = client.head().await;
            }
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
            assert_eq!(client.take(2).await, b"no");
        };
        let (mut server, ()) = tokio::join!(server, asking);
        // Whatever is next on this connection, it must not be taken for the body, nor the body for it.
        let _ = client.stream.try_write(b"GET /next HTTP/1.1\r\nHost: s\r\n\r\n");
        // The body, when it was asked for, has come to the same connection before.
        let same = async {
            match server.until_or_end("GET ").await {
                Some(_body) => server.head().await,
                None => std::future::pending().await,
            }
        };
        let other = async { instance.accept().await.head().await.replacen("GET ", "", 1) };
        tokio::select! {
            head = same => assert!(head.starts_with("/next "), "{head}"),
            head = other => assert!(head.starts_with("/next "), "{head}"),
            (rest, _) = client.rest() => assert!(!rest.contains("next"), "{rest}"),
        }
    }
}

#[tokio::test]
async fn a_client_that_never_sends_the_body_it_announced_gets_no_answer_of_another() {
    let recorder = Recorder::start(&[], Pace::AtOnce).await;
    let mut plane = plane(&recorder);
    let mut client = Socket::connect(plane.gateway).await;
    client.send(EXPECTING).await;
    assert_eq!(client.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.half_close().await;
    let (rest, _) = client.rest().await;
    assert!(rest.is_empty() || rest.starts_with("HTTP/1.1 400"), "{rest}");
    super::end(plane.service.take()).await;
    let saw = recorder.saw().await;
    assert!(["nothing", "begun"].contains(&&*saw), "{saw}");
}

/// Header fields that an instance gets from the data plane and a client cannot forge.
#[tokio::test]
async fn a_client_cannot_have_the_fields_removed_that_say_who_it_is() {
    let instance = Instance::start().await;
    let plane = by_hand(&instance);
    let mut client = Socket::connect(plane.gateway).await;
    client
        .send(
            "GET /x HTTP/1.1\r\nHost: s\r\nConnection: X-Forwarded-For, X-Request-Id, traceparent, \
             X-Forwarded-Proto, X-Forwarded-Host, Via\r\n\r\n",
        )
        .await;
    let head = instance.accept().await.head().await.to_lowercase();
    for field in [
        "x-forwarded-for: 127.0.0.1\r\n",
        "x-forwarded-proto: http\r\n",
        "x-forwarded-host: s\r\n",
        "x-request-id: ",
        "traceparent: 00-",
    ] {
        assert_eq!(head.matches(&format!("\r\n{field}")).count(), 1, "{field} in {head}");
    }
}

#[tokio::test]
async fn who_forwarded_is_said_to_the_instance_and_when_it_answered_to_the_client() {
    let instance = Instance::start().await;
    let plane = by_hand(&instance);
    let mut client = Socket::connect(plane.gateway).await;
    client.send("GET /x HTTP/1.1\r\nHost: s\r\nVia: 1.0 first\r\n\r\n").await;
    let mut server = instance.accept().await;
    let head = server.head().await.to_lowercase();
    let via: Vec<&str> = head.lines().filter(|line| line.starts_with("via: ")).collect();
    let via = via.join(", ").replace("via: ", "");
    assert!(via.starts_with("1.0 first, 1.1 "), "RFC 9110 §7.6.3: {head}");
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let head = client.head().await.to_lowercase();
    assert_eq!(head.matches("\r\ndate: ").count(), 1, "RFC 9110 §6.6.1: {head}");
    assert_eq!(client.take(2).await, b"ok");

    client.send("GET /x HTTP/1.1\r\nHost: s\r\n\r\n").await;
    server.head().await;
    let date = "Sun, 06 Nov 1994 08:49:37 GMT";
    server.send(format!("HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Length: 2\r\n\r\nok")).await;
    let head = client.head().await;
    assert_eq!(head.matches(&format!("\r\nDate: {date}\r\n")).count(), 1, "its own stays: {head}");
    assert_eq!(head.to_lowercase().matches("\r\ndate: ").count(), 1, "{head}");
}

#[tokio::test]
async fn what_comes_on_a_kept_connection_unasked_answers_nobody() {
    let instance = Instance::start().await;
    let plane = by_hand(&instance);
    let mut client = Socket::connect(plane.gateway).await;
    let ask = "GET /x HTTP/1.1\r\nHost: s\r\n\r\n";
    client.send(ask).await;
    let mut first = instance.accept().await;
    first.head().await;
    first.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    client.until("ok").await;
    // The connection is idle now, and the instance says something.
    first.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil").await;
    // The data plane hangs up, or does so once it looks at the connection again.
    client.send(ask).await;
    let mut second = instance.accept().await;
    assert!(second.head().await.starts_with("GET /x "));
    second.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood").await;
    let answer = client.until("d").await + &client.until("good").await;
    assert!(!answer.contains("evil"), "{answer}");
    let (rest, end) = first.rest().await;
    assert_eq!(rest, "", "nothing was asked there again: {end:?}");
}

#[tokio::test]
async fn a_refused_client_gets_its_answer_although_it_sends_on() {
    let instance = Instance::start().await;
    let plane = by_hand(&instance);
    let mut client = Socket::connect(plane.gateway).await;
    client.send("POST /x HTTP/1.1\r\nHost: s\r\nContent-Length: x\r\n\r\n").await;
    // More than the kernel buffers of both sides hold, so that somebody must have read it, or hung up.
    let more = vec![b'x'; 1 << 20];
    let (mut from, mut to) = client.stream.split();
    let sending = async {
        use tokio::io::AsyncWriteExt as _;
        for _ in 0..16 {
            if to.write_all(&more).await.is_err() {
                return;
            }
        }
    };
    let mut answer = Vec::new();
    let reading = async {
        use tokio::io::AsyncReadExt as _;
        while let Ok(1..) = from.read_buf(&mut answer).await {}
    };
    soon(async { tokio::join!(sending, reading) }).await;
    let answer = crate::wire::show(&answer);
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}

#[tokio::test]
async fn a_connection_that_says_nothing_more_is_closed_by_the_side_that_said_so() {
    let instance = Instance::start().await;
    let plane = by_hand(&instance);
    let mut client = Socket::connect(plane.gateway).await;
    client.send("GET /x HTTP/1.1\r\nHost: s\r\nConnection: close\r\n\r\n").await;
    let mut server = instance.accept().await;
    server.head().await;
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let (answer, end) = client.rest().await;
    assert_eq!(end, End::Closed);
    assert!(answer.to_lowercase().contains("\r\nconnection: close\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nok"), "{answer}");
}
