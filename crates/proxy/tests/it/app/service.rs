//! Requests on an app listener that lead to a service.

use super::App;
use crate::{
    http2::{Client as H2, post, read},
    socket::Socket,
    support::*,
};
use bytes::Bytes;
use http::{Method, Request};

#[tokio::test]
async fn a_request_leads_to_a_service_with_path_and_fields_changed() {
    let app = App::start().await;
    let mut socket = Socket::connect(app.address).await;
    socket
        .send(
            "POST /edited/v1/head?a=b HTTP/1.1\r\nHost: h:1\r\nDapr-Api-Token: secret\r\nX-Set: by me\r\n\
             X-Own: 1\r\nContent-Length: 2\r\n\r\nhi",
        )
        .await;
    socket.head().await;
    let seen = socket.until("traceparent").await;
    assert!(seen.starts_with("POST /v1/head?added=1\nhost: h:1\n"), "{seen}");
    assert!(seen.contains("x-set: by us\n") && seen.contains("x-own: 1\n"), "{seen}");
    assert!(!seen.contains("secret") && !seen.contains("by me"), "{seen}");
    // As on the listener of a need: one hop more, and no client from elsewhere.
    assert!(seen.contains("via: 1.1 flotilla\n") && !seen.contains("x-forwarded"), "{seen}");
}

#[tokio::test]
async fn what_the_node_says_of_a_caller_is_not_for_the_caller_to_change() {
    let app = App::start().await;
    for version in ["edited", "h2c"] {
        let mut socket = Socket::connect(app.address).await;
        socket
            .send(&format!(
                "GET /{version}/v1/head HTTP/1.1\r\nHost: h:1\r\nConnection: x-set, keep-alive, X-Own\r\n\
                 x_set: by me\r\nX-Own: 1\r\nDapr_Api-Token: secret\r\nx_other: 2\r\n\r\n"
            ))
            .await;
        socket.head().await;
        let seen = socket.until("traceparent").await;
        if version == "edited" {
            assert!(seen.contains("x-set: by us\n") && !seen.contains("by me"), "{seen}");
            assert!(!seen.contains("secret"), "{seen}");
        }
        // What else ends with the hop still does, and other names may have what they like.
        assert!(!seen.contains("X-Own") && !seen.contains("x-own"), "{seen}");
        assert!(seen.contains("x_other: 2\n"), "{seen}");
    }
}

#[tokio::test]
async fn a_request_of_http_2_leads_to_a_service_of_http_1_and_back() {
    let app = App::start().await;
    let client = H2::connect(app.address).await;
    let request = post("/edited/echo").header("trailer", "x-sum").header("te", "trailers");
    let request = request.body(()).unwrap();
    let (response, mut sender) = client.begin(request, false).await;
    sender.send_data(Bytes::from_static(b"hello"), false).unwrap();
    let mut trailers = http::HeaderMap::new();
    trailers.insert("x-sum", "5".parse().unwrap());
    sender.send_trailers(trailers).unwrap();
    let (body, trailers) = read(soon(response).await.unwrap().body_mut()).await.unwrap();
    assert_eq!(
        (body.as_slice(), &trailers.unwrap()["x-sum"]),
        (&b"hello"[..], &"5".parse().unwrap())
    );
}

#[tokio::test]
async fn a_grpc_call_leads_to_a_service_over_http_2_with_its_trailers() {
    let app = App::start().await;
    let client = H2::connect(app.address).await;
    let request = post("/edited/pkg.Users/grpc")
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    let (response, mut sender) = client.begin(request.body(()).unwrap(), false).await;
    sender.send_data(Bytes::from_static(b"message"), true).unwrap();
    let mut response = soon(response).await.unwrap();
    assert_eq!(response.headers()["x-version"], "HTTP/2.0");
    let (body, trailers) = read(response.body_mut()).await.unwrap();
    assert_eq!(
        (body.as_slice(), &trailers.unwrap()["grpc-status"]),
        (&b"message"[..], &"0".parse().unwrap())
    );
}

#[tokio::test]
async fn an_app_that_speaks_http_2_only_is_spoken_to_so_whatever_the_caller_speaks() {
    let app = App::start().await;
    let mut client = app.client().await;
    for length in [0_usize, 2, 200_000] {
        let reply = client.ask(Method::POST, "/h2c/grpc", vec![b'x'; length]).await.unwrap();
        assert_eq!((reply.status, reply.headers["x-version"].to_str().unwrap()), (200, "HTTP/2.0"));
        assert_eq!(reply.body.len(), length);
    }
    let reply = client.get("/h2c/head").await;
    assert!(reply.body.starts_with("GET http://shop/head\n"), "{}", reply.body);
    let h2 = H2::connect(app.address).await;
    let request = Request::get("http://s/h2c/head").body(()).unwrap();
    let (response, _) = h2.begin(request, true).await;
    let (body, _) = read(soon(response).await.unwrap().body_mut()).await.unwrap();
    assert!(String::from_utf8(body).unwrap().starts_with("GET http://s/head\n"));
}

#[tokio::test]
async fn a_body_of_any_size_flows_to_a_service() {
    let app = App::start().await;
    let mut client = app.client().await;
    let body = vec![b'x'; 20 << 20];
    let reply = client.ask(Method::POST, "/users/echo", body).await.unwrap();
    assert_eq!((reply.status, reply.body.len()), (200, 20 << 20));
}

#[tokio::test]
async fn a_websocket_leads_to_a_service() {
    let app = App::start().await;
    let mut socket = Socket::connect(app.address).await;
    socket
        .send("GET /edited/upgrade HTTP/1.1\r\nHost: s\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
        .await;
    assert!(socket.head().await.starts_with("HTTP/1.1 101"));
    socket.send("ping").await;
    assert_eq!(socket.until("ping").await, "ping");
}

#[tokio::test]
async fn a_service_that_cannot_answer_is_refused_in_the_callers_words() {
    let app = App::start().await;
    let traffic = proxy::Traffic {
        pending_timeout: std::time::Duration::from_millis(1),
        ..proxy::Traffic::default()
    };
    app.plane.traffic(traffic);
    let mut client = app.client().await;
    let reply = client.post("/nobody/x", "body").await;
    assert_eq!(reply.status, 503);
    let says = |text: &str, of: &str| {
        assert!(text.contains("\"to\":\"orders/1\"") && text.contains(of), "{text}");
    };
    says(&reply.body, "\"code\":\"no_instance\",\"to\":\"orders/1\",\"of\":\"nobody\"");
    let reply = client.post("/injected", "body").await;
    assert_eq!(reply.status, 400);
    says(&reply.body, "\"code\":\"path\"");
    let mut client = app.client().await;
    let reply = client.post("/users/die", "body").await;
    assert_eq!(reply.status, 502);
    says(&reply.body, "\"code\":\"upstream_failed\"");
    app.plane.members(vec![]);
    let reply = client.get("/users").await;
    assert_eq!(reply.status, 503);
    says(&reply.body, "\"of\":\"users\"");
    let h2 = H2::connect(app.address).await;
    for path in ["/nobody/x", "/users/x"] {
        let request = post(path).header("content-type", "application/grpc").body(()).unwrap();
        let (response, _sender) = h2.begin(request, false).await;
        let response = soon(response).await.unwrap();
        assert_eq!(response.headers()["grpc-status"], "14");
        assert_eq!(response.headers()["grpc-message"], "no_instance");
    }
    let reply = app.client().await.get("/here/name").await;
    assert_eq!(reply.body, "first", "what is answered here needs no instance");
}
