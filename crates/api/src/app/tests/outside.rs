//! Calls of addresses outside the system.

use super::*;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// Takes one request up to the end of its head, answers it, and gives it back.
async fn serve(listener: TcpListener, answer: &str) -> String {
    let (mut stream, _) = within(listener.accept()).await.unwrap();
    let mut text = String::new();
    while !text.contains("\r\n\r\n") {
        let mut bytes = [0; 4_096];
        let read = within(stream.read(&mut bytes)).await.unwrap();
        text.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
    }
    stream.write_all(answer.as_bytes()).await.unwrap();
    text
}

#[tokio::test]
async fn an_address_is_called_with_method_headers_and_body() {
    let rig = Rig::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = "HTTP/1.1 418 Teapot\r\nx-from: them\r\ncontent-length: 5\r\n\r\nhello";
    let line = format!("PUT /v1.0/invoke/http://localhost:{port}/method/a//b?q=1");
    let headers = [
        ("x-mine", "1"),
        ("dapr-caller-app-id", "admin"),
        ("dapr-api-token", "t"),
        ("content-length", "2"),
    ];
    let ask = ask_as(&rig, CALLER, &line, &headers, "{}");
    let (reply, asked) = tokio::join!(ask, serve(listener, answer));
    assert_eq!((reply.line().as_str(), reply.header("x-from")), ("418 hello", "them"));
    assert!(asked.starts_with("PUT /a/b?q=1 HTTP/1.1\r\n"), "{asked}");
    let asked = asked.to_ascii_lowercase();
    assert!(
        asked.contains("x-mine: 1") && asked.contains(&format!("host: localhost:{port}")),
        "{asked}"
    );
    assert!(!asked.contains("dapr-"), "{asked}");
}

#[tokio::test]
async fn an_address_that_does_not_answer_is_said_so() {
    let rig = Rig::new().await;
    // A port that was free a moment ago.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    for (app, words) in [
        (format!("http://127.0.0.1:{port}"), "cannot be connected to"),
        ("http://user:pass@127.0.0.1:1".to_owned(), "is no address"),
        ("http://bad host".to_owned(), "is no address"),
    ] {
        let reply = ask_as(&rig, CALLER, "GET /a", &[("dapr-app-id", &app)], "").await;
        assert_eq!(
            (reply.status, &reply.json()["errorCode"]),
            (500, &"ERR_DIRECT_INVOKE".into()),
            "{reply:?}"
        );
        assert!(reply.text().contains(words), "{app}: {reply:?}");
    }
}

#[tokio::test]
async fn an_app_that_speaks_grpc_is_called_by_a_message() {
    let rig = Rig::new().await;
    rig.node.offer("greeter", crate::app::Protocol::Grpc);
    // Nobody listens for what goes back through the caller's own listener.
    let reply = ask(&rig, "POST /v1.0/invoke/greeter/method/hello", "{}").await;
    assert!(reply.status >= 500, "{reply:?}");
    let body = reply.json();
    assert!(body["code"].is_number() && body["message"].is_string(), "{body}");
    assert_eq!(body["details"], serde_json::json!([]));
}
