//! Callers that leave before they are answered.

use super::App;
use crate::{
    http2::{Client as H2, post},
    socket::Socket,
    support::*,
};
use bytes::Bytes;
use http::Request;
use tokio::io::AsyncWriteExt as _;

#[tokio::test]
async fn an_answer_is_dropped_when_its_stream_is_reset_or_its_connection_ends() {
    let app = App::start().await;
    for path in ["gate", "ticks", "count"] {
        let client = H2::connect(app.address).await;
        let (response, mut sender) =
            client.begin(post(&format!("/here/{path}")).body(()).unwrap(), false).await;
        app.desk.until_busy().await;
        sender.send_reset(h2::Reason::CANCEL);
        app.desk.until_idle().await;
        drop(response);
        let request = Request::get(format!("http://s/here/{path}")).body(()).unwrap();
        if path != "count" {
            let (_response, _) = client.begin(request, true).await;
            app.desk.until_busy().await;
            drop(client);
            app.desk.until_idle().await;
        }
    }
}

#[tokio::test]
async fn an_answer_is_dropped_when_its_connection_is_broken_off_or_closed() {
    let app = App::start().await;
    for path in ["gate", "ticks"] {
        for is_reset in [true, false] {
            let mut socket = Socket::connect(app.address).await;
            socket.send(format!("GET /here/{path} HTTP/1.1\r\nHost: s\r\n\r\n")).await;
            app.desk.until_busy().await;
            if is_reset {
                let linger = Some(std::time::Duration::ZERO);
                socket2::SockRef::from(&socket.stream).set_linger(linger).unwrap();
            }
            drop(socket);
            app.desk.until_idle().await;
        }
    }
}

#[tokio::test]
async fn a_client_that_closes_its_side_gets_a_quick_answer_all_the_same() {
    let app = App::start().await;
    let mut socket = Socket::connect(app.address).await;
    socket.send("POST /here/count HTTP/1.1\r\nHost: s\r\nContent-Length: 2\r\n\r\nhi").await;
    socket.stream.shutdown().await.unwrap();
    assert!(socket.until("\r\n\r\n2").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn who_breaks_off_its_body_is_told_so_and_its_answer_dropped() {
    let app = App::start().await;
    let mut socket = Socket::connect(app.address).await;
    let head = "POST /here/count HTTP/1.1\r\nHost: s\r\nTransfer-Encoding: chunked\r\n\r\n";
    socket.send(format!("{head}2\r\nok\r\n")).await;
    app.desk.until_busy().await;
    socket.stream.shutdown().await.unwrap();
    let head = socket.head().await;
    assert!(head.starts_with("HTTP/1.1 400") && head.contains("connection: close"), "{head}");
    app.desk.until_idle().await;
}

#[tokio::test]
async fn a_stream_that_its_answer_outlives_goes_on_until_the_caller_leaves() {
    let app = App::start().await;
    let client = H2::connect(app.address).await;
    let request = post("/here/echo").header("content-type", "application/grpc").body(()).unwrap();
    let (response, mut sender) = client.begin(request, false).await;
    sender.send_data(Bytes::from_static(b"hello"), false).unwrap();
    let mut body = soon(response).await.unwrap().into_body();
    assert_eq!(soon(body.data()).await.unwrap().unwrap(), "hello");
    sender.send_reset(h2::Reason::CANCEL);
    app.desk.until_idle().await;
}

#[tokio::test]
async fn answers_end_with_the_data_plane() {
    let mut app = App::start().await;
    let mut socket = Socket::connect(app.address).await;
    socket.send("GET /here/ticks HTTP/1.1\r\nHost: s\r\n\r\n").await;
    app.desk.until_busy().await;
    soon(app.plane.service.take().unwrap().shutdown(std::time::Duration::ZERO)).await;
    app.desk.until_idle().await;
}
