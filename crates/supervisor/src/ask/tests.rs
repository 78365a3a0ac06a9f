//! Asks real listeners on loopback.

use super::*;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// A server that answers every connection with `answer` and closes it.
async fn server(answer: &'static str) -> (SocketAddr, TaskSet) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = TaskSet::new("server");
    tasks.spawn("serve", |_| async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 1024];
            if stream.read(&mut head).await.is_ok() {
                drop(stream.write_all(answer.as_bytes()).await);
            }
        }
    });
    (address, tasks)
}

use runtime::TaskSet;

const SECOND: Duration = Duration::from_secs(5);

async fn check(answer: &'static str) -> Answer {
    let (address, _tasks) = server(answer).await;
    within(SECOND, "GET", http_get(address, "/ready", &[])).await
}

#[tokio::test]
async fn an_http_probe_takes_200_to_399_as_good() {
    for (answer, good) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", true),
        ("HTTP/1.1 204 No Content\r\n\r\n", true),
        ("HTTP/1.1 302 Found\r\ncontent-length: 0\r\n\r\n", true),
        ("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", false),
        ("HTTP/1.1 503 Unavailable\r\ncontent-length: 0\r\n\r\n", false),
        ("nonsense\r\n\r\n", false),
        ("", false),
    ] {
        let said = check(answer).await;
        assert_eq!(said.good, good, "{answer:?}: {}", said.detail);
    }
    assert_eq!(
        check("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await.detail,
        "GET answered 404"
    );
}

#[tokio::test]
async fn a_refused_connection_says_that_nothing_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let said = within(SECOND, "TCP", connect(address)).await;
    assert!(!said.good && said.detail.contains("nothing listens there"), "{}", said.detail);
}

#[tokio::test]
async fn silence_ends_with_the_time_out() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let said = within(Duration::from_millis(20), "GET", http_get(address, "/", &[])).await;
    assert_eq!(said, Answer { good: false, detail: "GET did not answer within 20ms".to_owned() });
}

#[test]
fn a_grpc_health_request_is_one_framed_message() {
    assert_eq!(health_request(""), [0, 0, 0, 0, 0]);
    assert_eq!(health_request("ab"), [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
    let long = health_request(&"x".repeat(200));
    assert_eq!(long[..8], [0, 0, 0, 0, 203, 0x0a, 0xc8, 1]);
}

#[test]
fn a_grpc_health_answer_is_good_only_when_serving() {
    assert!(health_answer(&[0, 0, 0, 0, 2, 8, 1]).is_ok());
    for bad in [&[0, 0, 0, 0, 2, 8, 2][..], &[0, 0, 0, 0, 0], &[1, 0, 0, 0, 2, 8, 1], &[], &[0, 0]]
    {
        assert!(health_answer(bad).is_err(), "{bad:?}");
    }
}

/// A gRPC server of hyper's that answers every call with this message and status.
async fn grpc_server(message: &'static [u8], status: &'static str) -> (SocketAddr, TaskSet) {
    use http_body_util::{BodyExt, Full};
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = TaskSet::new("grpc server");
    tasks.spawn("serve", move |_| async move {
        let answer = move |request: Request<hyper::body::Incoming>| async move {
            assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
            let mut trailers = http::HeaderMap::new();
            trailers.insert("grpc-status", http::HeaderValue::from_static(status));
            let body =
                Full::new(Bytes::from_static(message)).with_trailers(async { Some(Ok(trailers)) });
            Ok::<_, std::convert::Infallible>(http::Response::new(body))
        };
        while let Ok((stream, _)) = listener.accept().await {
            let serving = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), hyper::service::service_fn(answer));
            drop(serving.await);
        }
    });
    (address, tasks)
}

#[tokio::test]
async fn a_grpc_probe_asks_the_health_service_and_believes_only_serving() {
    for (message, status, expected) in [
        (&[0, 0, 0, 0, 2, 8, 1][..], "0", Ok("answered SERVING")),
        (&[0, 0, 0, 0, 2, 8, 2], "0", Err("answered NOT_SERVING")),
        (&[], "12", Err("answered UNIMPLEMENTED: it has no grpc.health.v1 service")),
        (&[], "14", Err("answered gRPC status 14")),
    ] {
        let (address, _tasks) = grpc_server(message, status).await;
        let said = tokio::time::timeout(SECOND, grpc_health(address, "shop")).await.unwrap();
        let expected = expected.map(str::to_owned).map_err(str::to_owned);
        assert_eq!(said, expected);
    }
}
