//! How much a request that is answered here may hold.

use super::App;
use crate::{
    http2::{Client as H2, post, read},
    socket::Socket,
    support::*,
};
use bytes::Bytes;
use std::sync::atomic::Ordering::SeqCst;

#[tokio::test]
async fn a_body_that_says_that_it_is_too_large_is_refused_before_it_is_read() {
    let app = App::start().await;
    for (path, length) in [("tiny", 11), ("here", (4 << 20) + 1), ("huge", (16 << 20) + 1)] {
        let mut socket = Socket::connect(app.address).await;
        let head = format!(
            "POST /{path}/count HTTP/1.1\r\nHost: s\r\nExpect: 100-continue\r\n\
             Content-Length: {length}\r\n\r\n"
        );
        socket.send(head).await;
        let head = socket.head().await;
        assert!(head.starts_with("HTTP/1.1 413") && head.contains("connection: close"), "{head}");
        let body = socket.until("}}").await;
        assert!(body.contains("body_too_large") && body.contains("orders/1"), "{body}");
    }
    assert_eq!(app.desk.asked.load(SeqCst), 0);
    // What just fits is taken.
    let reply = app.client().await.post("/tiny/count", "0123456789").await;
    assert_eq!(reply.body, "10");
}

#[tokio::test]
async fn a_body_that_turns_out_to_be_too_large_is_refused_and_its_answer_dropped() {
    let app = App::start().await;
    let mut socket = Socket::connect(app.address).await;
    let head = "POST /tiny/count HTTP/1.1\r\nHost: s\r\nTransfer-Encoding: chunked\r\n\r\n";
    socket.send(format!("{head}a\r\n0123456789\r\n")).await;
    app.desk.until_busy().await;
    socket.send("1\r\nx\r\n").await;
    assert!(socket.head().await.starts_with("HTTP/1.1 413"));
    app.desk.until_idle().await;
    let client = H2::connect(app.address).await;
    let (response, mut sender) = client.begin(post("/tiny/count").body(()).unwrap(), false).await;
    sender.send_data(Bytes::from_static(b"01234567890"), false).unwrap();
    assert_eq!(soon(response).await.unwrap().status(), 413);
    app.desk.until_idle().await;
}

#[tokio::test]
async fn a_grpc_call_may_go_on_for_ever() {
    let app = App::start().await;
    let client = H2::connect(app.address).await;
    let request = post("/tiny/count").header("content-type", "application/grpc").body(()).unwrap();
    let (response, mut sender) = client.begin(request, false).await;
    for at in 0..10 {
        sender.send_data(Bytes::from_static(b"message"), at == 9).unwrap();
    }
    let (body, _) = read(soon(response).await.unwrap().body_mut()).await.unwrap();
    assert_eq!(body, b"70");
}

#[tokio::test]
async fn a_body_that_nobody_reads_waits_at_its_client() {
    let app = App::start().await;
    let mut socket = Socket::connect(app.address).await;
    let head = "POST /huge/gate HTTP/1.1\r\nHost: s\r\nTransfer-Encoding: chunked\r\n\r\n";
    socket.send(format!("{head}{:x}\r\n", 64 << 20)).await;
    app.desk.until_busy().await;
    // What the kernel's buffers take.
    let most = 64 << 20;
    let sent = socket.send_until_it_stalls(most).await;
    assert!(sent < most / 2, "{sent}");
    app.desk.gate.add_permits(1);
    let head = socket.head().await;
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("connection: close"), "{head}");
}

#[tokio::test]
async fn a_body_that_breaks_a_rule_on_its_way_is_refused_and_its_answer_dropped() {
    let app = App::start().await;
    let mut socket = Socket::connect(app.address).await;
    let head = "POST /here/count HTTP/1.1\r\nHost: s\r\nTransfer-Encoding: chunked\r\n\r\n";
    socket.send(format!("{head}2\r\nok\r\n")).await;
    app.desk.until_busy().await;
    socket.send("nonsense\r\n").await;
    let head = socket.head().await;
    assert!(head.starts_with("HTTP/1.1 400") && head.contains("connection: close"), "{head}");
    app.desk.until_idle().await;
}
