//! Requests that are answered here.

use super::App;
use crate::{
    http2::{Client as H2, post, read},
    socket::Socket,
    support::*,
};
use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use proxy::record::Filter;

#[tokio::test]
async fn a_request_is_answered_here_and_its_caller_is_known() {
    let app = App::start().await;
    let mut client = app.client().await;
    let reply = client.get("/here/caller").await;
    assert_eq!((reply.status, reply.body.as_str()), (200, "orders/1"));
    assert_eq!(reply.headers["content-length"], "8");
    assert!(reply.headers.contains_key("date"));
    // On the same connection, with bodies of every size that is read at once.
    for length in [0_usize, 1, 16 << 10, 64 << 10] {
        let reply = client.ask(Method::POST, "/here/count", vec![b'x'; length]).await.unwrap();
        assert_eq!(reply.body, length.to_string());
    }
    assert_eq!(app.users.requests(), 0);
    app.desk.until_idle().await;
}

#[tokio::test]
async fn a_head_arrives_as_it_was_sent_without_what_is_for_the_connection() {
    let app = App::start().await;
    let mut socket = Socket::connect(app.address).await;
    socket
        .send(
            "POST //here/%2e/head?a=1&b HTTP/1.1\r\nHost: h:1\r\nX-Own: 1\r\nConnection: x-hop\r\n\
             X-Hop: 1\r\nKeep-Alive: 1\r\nTE: trailers, gzip\r\nExpect: 100-continue\r\n\
             Content-Length: 2\r\n\r\nhi",
        )
        .await;
    assert!(socket.head().await.starts_with("HTTP/1.1 200"));
    let seen = socket.until("\n").await + &socket.until("trailers\n").await;
    // Nobody cleans paths before `direct` and `answer` see them.
    assert!(seen.starts_with("POST //here/%2e/head?a=1&b HTTP/1.1\n"), "{seen}");
    for kept in ["host: h:1\n", "x-own: 1\n", "content-length: 2\n", "te: trailers\n"] {
        assert!(seen.contains(kept), "{kept} in {seen}");
    }
    for gone in ["x-hop", "connection", "keep-alive", "expect"] {
        assert!(!seen.contains(gone), "{gone} in {seen}");
    }
}

#[tokio::test]
async fn a_response_is_framed_by_its_body_and_not_by_its_fields() {
    let app = App::start().await;
    let mut client = app.client().await;
    let reply = client.get("/here/odd").await;
    assert_eq!(
        (reply.body.as_str(), &reply.headers["content-length"]),
        ("odd", &"3".parse().unwrap())
    );
    for gone in ["x-hop", "transfer-encoding", "connection"] {
        assert!(!reply.headers.contains_key(gone), "{:?}", reply.headers);
    }
    let reply = client.get("/here/empty").await;
    assert_eq!((reply.status, reply.body.as_str()), (204, ""));
    assert!(reply.headers.contains_key("x-kept") && !reply.headers.contains_key("content-length"));
    let reply = client.ask(Method::HEAD, "/here/name", "").await.unwrap();
    assert_eq!(
        (reply.body.as_str(), &reply.headers["content-length"]),
        ("", &"5".parse().unwrap())
    );
    assert_eq!(client.get("/here/name").await.body, "first");
}

#[tokio::test]
async fn an_http_1_0_client_is_answered_with_the_end_of_the_connection() {
    let app = App::start().await;
    let answer = raw(app.address, b"GET /here/trailers HTTP/1.0\r\n\r\n", "\0").await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\ndata"), "{answer}");
    assert!(!answer.contains("chunked"), "{answer}");
}

#[tokio::test]
async fn bodies_flow_both_ways_at_the_same_time_over_http_1() {
    let app = App::start().await;
    let mut socket = Socket::connect(app.address).await;
    socket
        .send(
            "POST /here/echo HTTP/1.1\r\nHost: s\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n",
        )
        .await;
    let head = socket.head().await;
    assert!(head.contains("transfer-encoding: chunked"), "{head}");
    assert_eq!(socket.until("one\r\n").await, "3\r\none\r\n");
    socket.send("5;x=1\r\nthree\r\n").await;
    assert_eq!(socket.until("three\r\n").await, "5\r\nthree\r\n");
    socket.send("0\r\nX-Sum: 8\r\n\r\nGET /here/name HTTP/1.1\r\nHost: s\r\n\r\n").await;
    assert_eq!(socket.until("\r\n\r\n").await, "0\r\nX-Sum: 8\r\n\r\n".to_lowercase());
    assert!(socket.until("first").await.starts_with("HTTP/1.1 200"), "the connection goes on");
    app.desk.until_idle().await;
}

#[tokio::test]
async fn bodies_flow_both_ways_at_the_same_time_over_http_2() {
    let app = App::start().await;
    let client = H2::connect(app.address).await;
    for kind in ["text/plain", "application/grpc"] {
        let request = post("/here/echo").header("content-type", kind).body(()).unwrap();
        let (response, mut sender) = client.begin(request, false).await;
        sender.send_data(Bytes::from_static(b"one"), false).unwrap();
        let mut body = soon(response).await.unwrap().into_body();
        for piece in ["one", "two", "three"] {
            if piece != "one" {
                sender.send_data(Bytes::from(piece), false).unwrap();
            }
            let data = soon(body.data()).await.unwrap().unwrap();
            assert_eq!(data, piece.as_bytes());
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        sender.send_trailers(trailers).unwrap();
        let (rest, trailers) = read(&mut body).await.unwrap();
        assert_eq!((rest.len(), &trailers.unwrap()["grpc-status"]), (0, &"0".parse().unwrap()));
    }
    app.desk.until_idle().await;
}

#[tokio::test]
async fn trailers_of_an_answer_reach_clients_of_both_protocols() {
    let app = App::start().await;
    let mut socket = Socket::connect(app.address).await;
    socket.send("GET /here/trailers HTTP/1.1\r\nHost: s\r\n\r\n").await;
    socket.head().await;
    assert_eq!(socket.until("\r\n\r\n").await, "4\r\ndata\r\n0\r\nx-sum: 7\r\n\r\n");
    let client = H2::connect(app.address).await;
    let request = Request::get("http://s/here/trailers").body(()).unwrap();
    let (response, _) = client.begin(request, true).await;
    let (body, trailers) = read(soon(response).await.unwrap().body_mut()).await.unwrap();
    let trailers = trailers.unwrap();
    assert_eq!(
        (body.as_slice(), trailers.len(), &trailers["x-sum"]),
        (&b"data"[..], 1, &"7".parse().unwrap())
    );
}

#[tokio::test]
async fn events_arrive_one_by_one() {
    let app = App::start().await;
    let mut socket = Socket::connect(app.address).await;
    socket.send("GET /here/ticks HTTP/1.1\r\nHost: s\r\n\r\n").await;
    // The head comes before the first event.
    socket.head().await;
    for _ in 0..3 {
        app.desk.gate.add_permits(1);
        assert_eq!(socket.until("tick\n\r\n").await, "5\r\ntick\n\r\n");
    }
}

#[tokio::test]
async fn a_large_answer_waits_for_its_client_in_one_piece_of_memory() {
    let app = App::start().await;
    let client = H2::connect(app.address).await;
    let request = Request::get("http://s/here/large").body(()).unwrap();
    let (response, _) = client.begin(request, true).await;
    let (body, _) = read(soon(response).await.unwrap().body_mut()).await.unwrap();
    assert_eq!(body.len(), 8 << 20);
    assert_eq!(app.client().await.get("/here/large").await.body.len(), 8 << 20);
}

#[tokio::test]
async fn a_client_is_told_to_go_on_before_its_body_is_read() {
    let app = App::start().await;
    for framing in ["Content-Length: 2", "Transfer-Encoding: chunked"] {
        let mut socket = Socket::connect(app.address).await;
        let head = format!(
            "POST /here/count HTTP/1.1\r\nHost: s\r\nExpect: 100-continue\r\n{framing}\r\n\r\n"
        );
        socket.send(head).await;
        assert_eq!(socket.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
        let body = if framing.starts_with('C') { "hi" } else { "2\r\nhi\r\n0\r\n\r\n" };
        socket.send(body).await;
        assert!(socket.until("\r\n\r\n2").await.starts_with("HTTP/1.1 200"));
    }
}

#[tokio::test]
async fn requests_in_one_segment_are_answered_in_their_order() {
    let app = App::start().await;
    let mut socket = Socket::connect(app.address).await;
    socket
        .send(
            "POST /here/count HTTP/1.1\r\nHost: s\r\nContent-Length: 3\r\n\r\nabc\
             GET /here/caller HTTP/1.1\r\nHost: s\r\n\r\n\
             POST /here/count HTTP/1.1\r\nHost: s\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n\
             GET /plain HTTP/1.1\r\nHost: s\r\n\r\n\
             GET /here/name HTTP/1.1\r\nHost: s\r\n\r\n",
        )
        .await;
    for answer in ["\r\n\r\n3", "\r\n\r\norders/1", "\r\n\r\n4", "\r\n\r\nusers/1", "\r\n\r\nfirst"]
    {
        assert!(socket.until(answer).await.starts_with("HTTP/1.1 200"), "{answer}");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_seen_to() {
    let app = App::start().await;
    for path in ["broken", "boasting"] {
        let mut socket = Socket::connect(app.address).await;
        socket.send(format!("GET /here/{path} HTTP/1.1\r\nHost: s\r\n\r\n")).await;
        socket.head().await;
        assert_eq!(socket.until_or_end("0\r\n\r\n").await, None, "{path} has no end");
        let client = H2::connect(app.address).await;
        let request = Request::get(format!("http://s/here/{path}")).body(()).unwrap();
        let (response, _) = client.begin(request, true).await;
        // The reset may overtake the head.
        let outcome = match soon(response).await {
            Ok(mut response) => read(response.body_mut()).await.map(|_| ()),
            Err(error) => Err(error),
        };
        assert!(outcome.unwrap_err().is_reset(), "{path}");
    }
    // Before anything was sent there is a better way to say it.
    let reply = app.client().await.get("/here/failed").await;
    assert_eq!(reply.status, 500);
    assert!(reply.body.contains("\"code\":\"internal\",\"to\":\"orders/1\""), "{}", reply.body);
    app.desk.until_idle().await;
}

#[tokio::test]
async fn an_answer_need_not_wait_for_a_body_that_nobody_wants() {
    let app = App::start().await;
    let mut socket = Socket::connect(app.address).await;
    socket
        .send("POST /here/early HTTP/1.1\r\nHost: s\r\nContent-Length: 1000000\r\n\r\nsome of it")
        .await;
    let head = socket.head().await;
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("connection: close"), "{head}");
    assert_eq!(socket.until("early").await, "early");
    let client = H2::connect(app.address).await;
    let (response, _sender) = client.begin(post("/here/early").body(()).unwrap(), false).await;
    let (body, _) = read(soon(response).await.unwrap().body_mut()).await.unwrap();
    assert_eq!(body, b"early");
    app.desk.until_idle().await;
}

#[tokio::test]
async fn a_refusal_of_direct_is_sent_as_it_is() {
    let app = App::start().await;
    let mut client = app.client().await;
    for _ in 0..2 {
        let reply = client.post("/forbidden", "small").await;
        assert_eq!((reply.status, reply.body.as_str()), (403, "not you"));
    }
    assert_eq!(app.desk.asked.load(std::sync::atomic::Ordering::SeqCst), 0);
}

#[tokio::test]
async fn requests_are_noted_with_who_asked_and_who_answered() {
    let app = App::start().await;
    let mut requests = app.plane.handle.requests().subscribe(Filter::default());
    let mut client = app.client().await;
    client.get("/here/caller?x=1").await;
    client.get("/plain").await;
    client.get("/forbidden").await;
    let mut seen = Vec::new();
    while seen.len() < 3 {
        for record in soon(requests.next()).await.records {
            let service = record.service.as_ref().map(ToString::to_string);
            let caller = record.caller.as_ref().map(ToString::to_string);
            seen.push((record.path.to_string(), record.status, caller, service, record.bytes_out));
        }
    }
    let who = Some("orders".to_owned());
    let by = |service: &str| Some(service.to_owned());
    assert_eq!(
        seen,
        [
            ("/here/caller".to_owned(), 200, who.clone(), by("flotilla"), 8),
            ("/plain".to_owned(), 200, who.clone(), by("users"), 7),
            ("/forbidden".to_owned(), 403, who, None, 7),
        ]
    );
}
