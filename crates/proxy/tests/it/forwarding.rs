use crate::support::*;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, header};
use http_body_util::BodyExt as _;
use hyper::body::Frame;
use hyper_util::rt::{TokioExecutor, TokioIo};
use proxy::{Algorithm, HashOn, ListenerId, ListenerKind};
use runtime::TaskSet;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

#[tokio::test]
async fn requests_of_every_method_arrive_with_their_body() {
    let users = Upstream::start("users/1").await;
    let plane = Plane::start(vec![users.endpoint()]);
    let mut client = plane.client().await;
    assert_eq!(client.get("/hello").await.body, "users/1");
    for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
        let reply = client.ask(method.clone(), "/echo", "some body").await.unwrap();
        assert_eq!((reply.status, &*reply.body), (200, "some body"), "{method}");
    }
    let head = client.ask(Method::HEAD, "/hello", "").await.unwrap();
    assert_eq!(
        (head.status, &*head.body, &head.headers["content-length"]),
        (200, "", &"7".parse().unwrap())
    );
    assert_eq!(client.get("/status").await.status, 418);
    assert_eq!(client.get("/large").await.body.len(), 1 << 20);
    let large = "y".repeat(300_000);
    assert_eq!(client.ask(Method::PUT, "/echo", large.clone()).await.unwrap().body, large);
    // An echo begins to answer before it has all; the connection may end with such an answer.
    let mut client = plane.client().await;
    assert_eq!(client.ask(Method::POST, "/echo", large.clone()).await.unwrap().body, large);
}

#[tokio::test]
async fn an_instance_gets_the_path_host_and_the_fields_that_say_who_asked() {
    let users = Upstream::start("users/1").await;
    let plane = Plane::start(vec![users.endpoint()]);
    let reply = raw(
        plane.gateway,
        b"GET /a%20b/head?q=1%2F2 HTTP/1.1\r\nHost: Shop:80\r\nConnection: close, X-Gone\r\n\
          X-Gone: 1\r\nTE: trailers\r\nX-Stays: 2\r\n\r\n",
        "never",
    )
    .await;
    assert!(reply.contains("GET /a%20b/head?q=1%2F2\n"), "{reply}");
    for line in [
        "host: Shop:80\n",
        "x-stays: 2\n",
        "x-forwarded-for: 127.0.0.1\n",
        "x-forwarded-proto: http\n",
        "x-forwarded-host: Shop:80\n",
        "x-request-id: ",
        "traceparent: 00-",
        "te: trailers\n",
    ] {
        assert!(reply.contains(line), "{line} in {reply}");
    }
    assert!(!reply.contains("x-gone"), "{reply}");
}

#[tokio::test]
async fn what_is_sent_in_pieces_flows_in_pieces_both_ways_with_its_trailers() {
    let users = Upstream::start("users/1").await;
    let plane = Plane::start(vec![users.endpoint()]);
    let mut client = plane.client().await;
    let (sender, body) = stream();
    let request = Request::post("/echo")
        .header(header::HOST, "shop")
        .header(header::TRAILER, "x-sum")
        .header(header::TE, "trailers")
        .body(body)
        .unwrap();
    sender.send(Frame::data(Bytes::from_static(b"one"))).await.unwrap();
    let mut answer = client.send(request).await.unwrap().into_body();
    for piece in ["two", "three"] {
        let back = soon(answer.frame()).await.unwrap().unwrap().into_data().unwrap();
        assert!(["one", "two"].contains(&&*String::from_utf8_lossy(&back)), "{back:?}");
        sender.send(Frame::data(Bytes::from(piece))).await.unwrap();
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "42".parse().unwrap());
    sender.send(Frame::trailers(trailers)).await.unwrap();
    drop(sender);
    let rest = soon(answer.collect()).await.unwrap();
    assert_eq!(rest.trailers().unwrap()["x-sum"], "42");
    assert_eq!(rest.to_bytes(), "three");
}

#[tokio::test]
async fn an_event_stream_is_passed_on_event_by_event() {
    let users = Upstream::start("users/1").await;
    let plane = Plane::start(vec![users.endpoint()]);
    let mut client = plane.client().await;
    let request = Request::get("/ticks").header(header::HOST, "shop").body(full("")).unwrap();
    let mut answer = client.send(request).await.unwrap().into_body();
    for _ in 0..3 {
        users.state.gate.add_permits(1);
        let event = soon(answer.frame()).await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(event, "tick\n");
    }
}

#[tokio::test]
async fn an_upgraded_connection_carries_bytes_both_ways_and_counts_as_in_flight() {
    let users = Upstream::start("users/1").await;
    let endpoint = users.endpoint();
    let plane = Plane::start(vec![endpoint.clone()]);
    let mut stream = TcpStream::connect(plane.gateway).await.unwrap();
    stream
        .write_all(
            b"GET /upgrade HTTP/1.1\r\nHost: shop\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n",
        )
        .await
        .unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(soon(stream.read_u8()).await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    assert!(head.starts_with("http/1.1 101"), "{head}");
    assert!(head.contains("upgrade: echo\r\n") && head.contains("connection: upgrade"), "{head}");
    for word in [&b"ping"[..], b"pong"] {
        stream.write_all(word).await.unwrap();
        let mut back = [0; 4];
        soon(stream.read_exact(&mut back)).await.unwrap();
        assert_eq!(back, word);
    }
    assert_eq!(endpoint.in_flight(), 1);
    drop(stream);
    soon(endpoint.idle()).await;
}

#[tokio::test]
async fn http2_clients_reach_http1_instances_and_grpc_goes_through_as_http2() {
    let users = Upstream::start("users/1").await;
    let plane = Plane::start(vec![users.endpoint()]);
    let io = TokioIo::new(TcpStream::connect(plane.gateway).await.unwrap());
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    let mut tasks = TaskSet::new("client");
    tasks.spawn("connection", move |_| async move { drop(connection.await) });

    let request = Request::post("http://shop/echo").body(full("over h2")).unwrap();
    let reply = soon(sender.send_request(request)).await.unwrap();
    assert_eq!(soon(reply.collect()).await.unwrap().to_bytes(), "over h2");
    let request = Request::get("http://shop/head")
        .header(header::COOKIE, "a=1")
        .header(header::COOKIE, "b=2")
        .body(full(""))
        .unwrap();
    let reply = soon(sender.send_request(request)).await.unwrap();
    let text = soon(reply.collect()).await.unwrap().to_bytes();
    let text = String::from_utf8_lossy(&text);
    assert!(text.contains("host: shop\n") && text.contains("cookie: a=1; b=2\n"), "{text}");

    for _ in 0..3 {
        let request = Request::post("http://shop/users.Users/grpc")
            .header(header::CONTENT_TYPE, "application/grpc")
            .header(header::TE, "trailers")
            .body(full(&b"\0\0\0\0\x02hi"[..]))
            .unwrap();
        let reply = soon(sender.send_request(request)).await.unwrap();
        assert_eq!(reply.headers()["x-version"], "HTTP/2.0");
        let message = soon(reply.collect()).await.unwrap();
        assert_eq!(message.trailers().unwrap()["grpc-status"], "0");
        assert_eq!(message.to_bytes(), &b"\0\0\0\0\x02hi"[..]);
    }
}

#[tokio::test]
async fn a_client_that_waits_for_100_continue_is_told_to_go_on() {
    let users = Upstream::start("users/1").await;
    let plane = Plane::start(vec![users.endpoint()]);
    let mut stream = TcpStream::connect(plane.gateway).await.unwrap();
    stream
        .write_all(
            b"POST /echo HTTP/1.1\r\nHost: shop\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\
              Connection: close\r\n\r\n",
        )
        .await
        .unwrap();
    let mut interim = [0; 25];
    soon(stream.read_exact(&mut interim)).await.unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"body").await.unwrap();
    let mut rest = String::new();
    soon(stream.read_to_string(&mut rest)).await.unwrap();
    assert!(rest.starts_with("HTTP/1.1 200") && rest.contains("body"), "{rest}");
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let users = Upstream::start("users/1").await;
    let plane = Plane::start(vec![users.endpoint()]);
    let reply = raw(
        plane.gateway,
        b"GET /status HTTP/1.1\r\nHost: s\r\n\r\nPOST /echo HTTP/1.1\r\nHost: s\r\n\
          Content-Length: 6\r\n\r\nsecondGET /hello HTTP/1.1\r\nHost: s\r\nConnection: close\r\n\r\n",
        "never",
    )
    .await;
    let at = |text: &str| reply.find(text).unwrap_or_else(|| panic!("{text} in {reply}"));
    assert!(at("418") < at("second") && at("second") < at("users/1"), "{reply}");
}

#[tokio::test]
async fn requests_that_can_be_misread_are_refused() {
    let users = Upstream::start("users/1").await;
    let plane = Plane::start(vec![users.endpoint()]);
    for (request, status) in [
        ("GET /a/../b HTTP/1.1\r\nHost: s\r\n\r\n", "400"),
        ("GET /a/%2e%2e/b HTTP/1.1\r\nHost: s\r\n\r\n", "400"),
        ("GET /a%2fb HTTP/1.1\r\nHost: s\r\n\r\n", "400"),
        ("GET /x HTTP/1.1\r\n\r\n", "400"),
        ("GET /x HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "400"),
        ("GET /x HTTP/1.1\r\nHost: a, b\r\n\r\n", "400"),
        ("CONNECT s:80 HTTP/1.1\r\nHost: s\r\n\r\n", "405"),
        ("GET /x HTTP/9.9\r\n\r\n", "505"),
        ("nonsense\r\n\r\n", "400"),
        ("GET /x HTTP/1.1\r\nHost: s\r\nbad header: x\r\n\r\n", "400"),
        ("POST /x HTTP/1.1\r\nHost: s\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "400"),
    ] {
        let reply = raw(plane.gateway, request.as_bytes(), "\r\n\r\n").await;
        assert!(reply.starts_with(&format!("HTTP/1.1 {status}")), "{request}: {reply}");
    }
    assert_eq!(users.requests(), 0);
}

#[tokio::test]
async fn routes_lead_to_services_and_strip_what_they_shall() {
    let users = Upstream::start("users/1").await;
    let mut stripped = route("/api/v1", &[("users", 1)]);
    stripped.strip = true;
    let plane = Plane::with(
        proxy::Config { workers: 1, ..proxy::Config::default() },
        vec![stripped, route("/gone", &[("nobody", 1)])],
        vec![users.endpoint()],
    );
    let mut client = plane.client().await;
    let reply = client.get("/api/v1/x/head?a=b").await;
    assert!(reply.body.starts_with("GET /x/head?a=b\n"), "{}", reply.body);
    let reply = client.get("/elsewhere").await;
    assert_eq!(reply.status, 404);
    assert!(reply.body.contains("\"code\":\"no_route\""), "{}", reply.body);
    let reply = client.get("/gone").await;
    assert_eq!(reply.status, 503);
    assert!(reply.body.contains("\"service\":\"nobody\""), "{}", reply.body);
}

#[tokio::test]
async fn a_need_listener_leads_to_its_service_without_routes() {
    let users = Upstream::start("users/1").await;
    let plane = Plane::with(proxy::Config::default(), vec![], vec![users.endpoint()]);
    let kind = ListenerKind::Need { caller: name("orders"), service: name("users") };
    let any = "127.0.0.1:0".parse().unwrap();
    let address = plane.handle.listen(ListenerId::new("orders->users"), any, kind).unwrap();
    let mut client = Client::connect(address).await;
    let reply = client.get("/any/../path/head").await;
    assert!(reply.body.starts_with("GET /any/../path/head\n"), "{}", reply.body);
    assert!(!reply.body.contains("x-forwarded-for"), "{}", reply.body);
}

#[tokio::test]
async fn requests_are_spread_as_the_algorithm_says() {
    let (one, two) = (Upstream::start("users/1").await, Upstream::start("users/2").await);
    let plane = Plane::with(
        proxy::Config { workers: 1, slow_start: std::time::Duration::ZERO, ..Default::default() },
        vec![route("/", &[("users", 1)])],
        vec![one.weighted(3), two.weighted(1)],
    );
    let mut client = plane.client().await;
    plane.balance(Algorithm::Weighted, HashOn::Client);
    for _ in 0..40 {
        client.get("/").await;
    }
    assert_eq!((one.requests(), two.requests()), (30, 10));
    plane.balance(Algorithm::RoundRobin, HashOn::Client);
    for _ in 0..40 {
        client.get("/").await;
    }
    assert_eq!((one.requests(), two.requests()), (50, 30));
    plane.balance(Algorithm::ConsistentHash, HashOn::Header("x-key".to_owned()));
    for key in 0..20 {
        let mut homes = Vec::new();
        for _ in 0..3 {
            let request = Request::get("/")
                .header(header::HOST, "shop")
                .header("x-key", key)
                .body(full(""))
                .unwrap();
            let body = client.send(request).await.unwrap().into_body();
            homes.push(soon(body.collect()).await.unwrap().to_bytes());
        }
        homes.dedup();
        assert_eq!(homes.len(), 1, "key {key} went to {homes:?}");
    }
    let stats = plane.handle.stats();
    assert_eq!(stats.services[0].totals.requests, 140);
    assert_eq!(stats.routes[0].totals.statuses[1], 140);
    assert_eq!(stats.services[0].endpoints.iter().map(|e| e.totals.requests).sum::<u64>(), 140);
}
