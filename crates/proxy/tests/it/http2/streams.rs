//! Many streams on one connection, and how much of each is held.

use super::{Client, post, read};
use crate::{
    recorder::{Pace, Recorder},
    socket::Instance,
    strict::{plane, plane_to},
    support::*,
};
use bytes::Bytes;
use http::{HeaderMap, Request, header::TRAILER};

#[tokio::test]
async fn a_hundred_streams_at_once_get_their_own_answers() {
    let users = Upstream::start("users/1").await;
    let plane = Plane::start(vec![users.endpoint()]);
    // Room for all answers at once: those that are not read yet must not hold up the one that is.
    let mut builder = h2::client::Builder::new();
    builder.initial_connection_window_size(1 << 20);
    let client = Client::build(plane.gateway, &builder).await;
    let mut open = Vec::new();
    for number in 0..100 {
        open.push((number, client.begin(post("/echo").body(()).unwrap(), false).await));
    }
    // The last one first, so that none waits for another.
    for (number, (_, sender)) in open.iter_mut().rev() {
        let body = format!("body {number} ").repeat(100);
        sender.send_data(Bytes::from(body), true).unwrap();
    }
    for (number, (response, _)) in open {
        let response = soon(response).await.unwrap();
        let (body, _) = read(&mut response.into_body()).await.unwrap();
        assert_eq!(body, format!("body {number} ").repeat(100).into_bytes());
    }
    assert_eq!(users.requests(), 100);
}

#[tokio::test]
async fn trailers_go_through_both_ways() {
    let users = Upstream::start("users/1").await;
    let plane = Plane::start(vec![users.endpoint()]);
    let client = Client::connect(plane.gateway).await;
    let request = post("/echo").header(TRAILER, "x-sum").header("te", "trailers").body(()).unwrap();
    let (response, mut sender) = client.begin(request, false).await;
    sender.send_data(Bytes::from_static(b"body"), false).unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "42".parse().unwrap());
    sender.send_trailers(trailers).unwrap();
    let mut body = soon(response).await.unwrap().into_body();
    let (body, trailers) = read(&mut body).await.unwrap();
    assert_eq!(body, b"body");
    assert_eq!(trailers.expect("trailers come back")["x-sum"], "42");
}

#[tokio::test]
async fn responses_without_a_body_end_at_once() {
    let instance = Instance::start().await;
    let plane = plane_to(instance.endpoint());
    let client = Client::connect(plane.gateway).await;
    for (method, answer) in [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"),
    ] {
        let request = Request::builder().method(method).uri("http://s/x").body(()).unwrap();
        let (response, _) = client.begin(request, true).await;
        let server = async {
            let mut server = instance.accept().await;
            server.head().await;
            server.send(answer).await;
            server.half_close().await;
        };
        let (response, ()) = tokio::join!(soon(response), server);
        let response = response.unwrap();
        assert!(answer.contains(response.status().as_str()), "{response:?}");
        assert!(
            response.body().is_end_stream() || {
                let (body, _) = read(&mut response.into_body()).await.unwrap();
                body.is_empty()
            }
        );
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_stops_the_instance() {
    if !is_alone("http2::streams::a_client_that_does_not_read_stops_the_instance") {
        return;
    }
    let instance = Instance::start().await;
    let plane = plane_to(instance.endpoint());
    let client = Client::connect(plane.gateway).await;
    let (response, _) = client.begin(Request::get("http://s/x").body(()).unwrap(), true).await;
    let mut server = instance.accept().await;
    server.head().await;
    let length = 256 << 20;
    server.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n")).await;
    let mut body = soon(response).await.unwrap().into_body();
    let before = resident();
    let sent = server.send_until_it_stalls(length).await;
    let grown = resident().saturating_sub(before);
    // Two kernel buffers, one window of HTTP/2 and what the data plane holds.
    assert!(sent < 32 << 20, "{sent} bytes were taken for a client that reads none");
    assert!(grown < 16 << 20, "{grown} bytes more are held");
    // What it does read is all there, and lets the instance go on.
    let mut read = 0;
    while read < sent {
        let data = soon(body.data()).await.expect("there is more").unwrap();
        assert!(data.iter().all(|byte| *byte == b'x'));
        body.flow_control().release_capacity(data.len()).unwrap();
        read += data.len();
    }
}

#[tokio::test]
async fn an_instance_that_does_not_read_stops_the_client() {
    if !is_alone("http2::streams::an_instance_that_does_not_read_stops_the_client") {
        return;
    }
    let instance = Instance::start().await;
    let plane = plane_to(instance.endpoint());
    let client = Client::connect(plane.gateway).await;
    let (_response, mut sender) = client.begin(post("/x").body(()).unwrap(), false).await;
    let piece = Bytes::from(vec![b'x'; 1 << 16]);
    let before = resident();
    let (mut sent, most) = (0, 256 << 20);
    sender.reserve_capacity(piece.len());
    let _server = instance.accept();
    while sent < most {
        let more = std::future::poll_fn(|cx| sender.poll_capacity(cx));
        let Some(Some(Ok(count))) = stalls(more).await else { break };
        sender.send_data(piece.slice(..count), false).unwrap();
        sent += count;
        sender.reserve_capacity(piece.len());
    }
    let grown = resident().saturating_sub(before);
    assert!(sent < 32 << 20, "{sent} bytes were taken for an instance that reads none");
    assert!(grown < 16 << 20, "{grown} bytes more are held");
}

#[tokio::test]
async fn one_stream_that_is_not_read_does_not_stop_another() {
    let users = Upstream::start("users/1").await;
    let plane = Plane::start(vec![users.endpoint()]);
    // Room on the connection for one stream's window and more.
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(1 << 16).initial_connection_window_size(1 << 20);
    let client = Client::build(plane.gateway, &builder).await;
    let large = |path: &str| Request::get(format!("http://s{path}")).body(()).unwrap();
    let (unread, _) = client.begin(large("/large"), true).await;
    let _unread = soon(unread).await.unwrap();
    for _ in 0..3 {
        let (response, _) = client.begin(large("/large"), true).await;
        let (body, _) = read(&mut soon(response).await.unwrap().into_body()).await.unwrap();
        assert_eq!(body.len(), 1 << 20);
    }
}

#[tokio::test]
async fn a_stream_that_is_taken_back_ends_its_request_and_no_other() {
    let instance = Instance::start().await;
    let plane = plane_to(instance.endpoint());
    let client = Client::connect(plane.gateway).await;
    let get = |path: &str| Request::get(format!("http://s{path}")).body(()).unwrap();
    let (first, mut taken_back) = client.begin(get("/1"), true).await;
    let mut one = instance.accept().await;
    assert!(one.head().await.starts_with("GET /1 "));
    let (second, _) = client.begin(get("/2"), true).await;
    let mut two = instance.accept().await;
    assert!(two.head().await.starts_with("GET /2 "));
    taken_back.send_reset(h2::Reason::CANCEL);
    drop(first);
    let (rest, _) = one.rest().await;
    assert_eq!(rest, "", "the instance is told by the end of its connection");
    two.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let mut body = soon(second).await.unwrap().into_body();
    assert_eq!(read(&mut body).await.unwrap().0, b"ok");
}

#[tokio::test]
async fn a_response_that_breaks_off_is_an_error_of_its_stream() {
    for head in
        ["Content-Length: 10\r\n\r\nhalf", "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"]
    {
        let instance = Instance::start().await;
        let plane = plane_to(instance.endpoint());
        let client = Client::connect(plane.gateway).await;
        let (response, _) = client.begin(post("/x").body(()).unwrap(), true).await;
        let mut server = instance.accept().await;
        server.head().await;
        server.send(format!("HTTP/1.1 200 OK\r\n{head}")).await;
        let mut response = Box::pin(soon(response));
        // It may wait for the rest before it says anything.
        let early = stalls(response.as_mut()).await;
        drop(server);
        let response = match early {
            Some(response) => response.unwrap(),
            None => response.await.unwrap(),
        };
        if response.status() == 502 {
            continue;
        }
        let end = read(&mut response.into_body()).await;
        assert!(end.is_err(), "it looks complete: {end:?}");
    }
}

#[tokio::test]
async fn large_bodies_arrive_unchanged_both_ways() {
    let users = Upstream::start("users/1").await;
    let plane = Plane::start(vec![users.endpoint()]);
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(1 << 20).initial_connection_window_size(1 << 21);
    let client = Client::build(plane.gateway, &builder).await;
    let (response, mut sender) = client.begin(post("/echo").body(()).unwrap(), false).await;
    let mut body = soon(response).await.unwrap().into_body();
    let total = 8 << 20;
    let byte_at = |at: usize| u8::try_from(at * 7 % 251).unwrap();
    let sending = async {
        let mut sent = 0;
        while sent < total {
            sender.reserve_capacity(1 << 16);
            let more = std::future::poll_fn(|cx| sender.poll_capacity(cx));
            let count = soon(more).await.unwrap().unwrap().min(total - sent);
            let piece: Vec<u8> = (sent..sent + count).map(byte_at).collect();
            sent += count;
            sender.send_data(Bytes::from(piece), sent == total).unwrap();
        }
    };
    let reading = async {
        let mut at = 0;
        while let Some(data) = soon(body.data()).await {
            let data = data.unwrap();
            body.flow_control().release_capacity(data.len()).unwrap();
            let expected: Vec<u8> = (at..at + data.len()).map(byte_at).collect();
            assert!(data == expected, "after {at} bytes");
            at += data.len();
        }
        at
    };
    let ((), read) = tokio::join!(sending, reading);
    assert_eq!(read, total);
}

#[tokio::test]
async fn a_connection_that_is_closed_gracefully_answers_what_it_has_begun() {
    let recorder = Recorder::start(&[], Pace::AtOnce).await;
    let plane = plane(&recorder);
    let client = Client::connect(plane.gateway).await;
    let (response, mut sender) = client.begin(post("/x").body(()).unwrap(), false).await;
    let in_flight = || plane.handle.stats().services[0].endpoints[0].in_flight;
    until("it arrives", || in_flight() == 1).await;
    // One stream is open: closing the listener must not break it.
    plane.handle.close(&proxy::ListenerId::new("gateway"));
    sender.send_data(Bytes::from_static(b"late"), true).unwrap();
    let mut body = soon(response).await.unwrap().into_body();
    assert_eq!(read(&mut body).await.unwrap().0, b"ok");
}
