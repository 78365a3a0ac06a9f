//! Bounds: sizes, times, counts.

use super::*;
use crate::{
    client,
    patience::Patience,
    routes,
    server::{Shared, serve},
};
use runtime::TaskSet;
use tokio::{io::DuplexStream, sync::Semaphore};

#[tokio::test]
async fn a_body_has_a_longest_length() {
    let setup = setup().await;
    let bearer = bearer();
    let headers = [HOST, &bearer, "Content-Type: application/json"];
    let fitting = format!(r#"{{"service":"users","shell":"{}"}}"#, "x".repeat(1_000_000));
    assert_eq!(raw(setup.address, "POST /v1/run", &headers, &fitting).await.status, 202);
    // Refused by its announced length, before it is sent.
    let announced = [HOST, &bearer, "Content-Type: application/json", "Content-Length: 1048577"];
    let refused = raw(setup.address, "POST /v1/run", &announced, "").await;
    assert_eq!((refused.status, refused.code().as_str()), (413, "payload_too_large"));
}

#[tokio::test]
async fn streams_are_counted_and_others_are_still_answered() {
    let setup = setup_with(Config { streams_max: 2, ..Config::default() }).await;
    let first = setup.client.event_stream(0).await.unwrap();
    let second = setup.client.status_stream().await.unwrap();
    let refused = setup.client.log_stream(&wire::LogQuery::default()).await.unwrap_err();
    let client::Error::Api { status, body } = refused else { panic!("{refused:?}") };
    assert_eq!((status, body.code.as_str()), (503, "too_many_streams"));
    assert!(setup.client.health().await.is_ok());
    drop((first, second));
    within(async {
        // The server notices the closed connections a moment later.
        while setup.client.event_stream(0).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_full_listener_goes_on_when_a_connection_ends() {
    let setup = setup_with(Config { connections_max: 2, ..Config::default() }).await;
    let bearer = bearer();
    let idle = [
        TcpStream::connect(setup.address).await.unwrap(),
        TcpStream::connect(setup.address).await.unwrap(),
    ];
    // The other listener has places of its own.
    assert!(setup.client.health().await.is_ok());
    let headers = [HOST, bearer.as_str()];
    let waiting = raw(setup.address, "GET /v1/health", &headers, "");
    let (answer, ()) = tokio::join!(waiting, async { drop(idle) });
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn what_is_no_http_is_refused() {
    let setup = setup().await;
    for text in ["\0\0\0\0\r\n\r\n", "GET / HTTP/1.1\r\nBad Header: x\r\n\r\n", "GET /\r\n\r\n"] {
        let mut stream = TcpStream::connect(setup.address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        let _reset = within(stream.read_to_end(&mut bytes)).await;
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.is_empty() || text.starts_with("HTTP/1.1 400"), "{text}");
    }
    let long = format!("X-Long: {}", "x".repeat(200_000));
    let mut stream = TcpStream::connect(setup.address).await.unwrap();
    let head = format!("GET / HTTP/1.1\r\n{HOST}\r\n{long}\r\n\r\n");
    // The server may close before all was sent.
    let _result = stream.write_all(head.as_bytes()).await;
    let mut bytes = Vec::new();
    let _reset = within(stream.read_to_end(&mut bytes)).await;
    assert!(!String::from_utf8_lossy(&bytes).contains(" 200 "));
    assert!(setup.client.health().await.is_ok());
}

/// One connection in memory, so that time can be made to pass at once.
pub(super) fn connection(
    folder: &Folder,
    tasks: &mut TaskSet,
    buffer_len: usize,
) -> (DuplexStream, Arc<Fake>) {
    let (client, server) = tokio::io::duplex(buffer_len);
    let fake = Fake::new(folder);
    let shared = Arc::new(Shared {
        backend: fake.clone(),
        table: routes::table(),
        document: "{}".into(),
        streams: Arc::new(Semaphore::new(4)),
        retiring: watch::Sender::new(None).subscribe(),
    });
    tasks.spawn("connection", |stop| serve(Box::new(server), shared, None, stop));
    (client, fake)
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_finish_its_head_or_body_is_let_go() {
    let folder = Folder::new();
    let mut tasks = TaskSet::new("test");
    let (mut half_head, _) = connection(&folder, &mut tasks, 1_024);
    half_head.write_all(b"GET /v1/health HTTP/1.1\r\nHost: x").await.unwrap();
    let mut bytes = Vec::new();
    half_head.read_to_end(&mut bytes).await.unwrap();
    assert!(!String::from_utf8_lossy(&bytes).contains("200"));

    let (mut half_body, _) = connection(&folder, &mut tasks, 1_024);
    let head =
        b"POST /v1/run HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 9\r\n\r\n{";
    half_body.write_all(head).await.unwrap();
    let mut bytes = Vec::new();
    half_body.read_to_end(&mut bytes).await.unwrap();
    assert!(String::from_utf8_lossy(&bytes).starts_with("HTTP/1.1 408"));
}

#[tokio::test(start_paused = true)]
async fn a_stream_says_something_even_when_nothing_happens() {
    let folder = Folder::new();
    let mut tasks = TaskSet::new("test");
    let (mut client, _) = connection(&folder, &mut tasks, 1_024);
    let head = b"GET /v1/events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n";
    client.write_all(head).await.unwrap();
    let mut text = String::new();
    while text.matches("\n:\n\n").count() < 2 {
        let mut bytes = [0; 512];
        let read = client.read(&mut bytes).await.unwrap();
        assert!(read > 0);
        text.push_str(&String::from_utf8_lossy(&bytes[..read]));
    }
    assert!(text.contains("retry: 1000"));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_cut_off() {
    let folder = Folder::new();
    let mut tasks = TaskSet::new("test");
    let (mut client, _) = connection(&folder, &mut tasks, 1_024);
    client.write_all(b"GET /v1/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    client.write_all(b"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    while tasks.count() > 0 {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }

    let (near, far) = tokio::io::duplex(4);
    let mut near = Patience::new(near, Duration::from_secs(30));
    near.write_all(b"1234").await.unwrap();
    let error = near.write_all(b"5").await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    drop(far);
    // One that takes a little now and then is only slow.
    let (near, mut far) = tokio::io::duplex(4);
    let mut near = Patience::new(near, Duration::from_secs(30));
    let read = async {
        for _ in 0..12 {
            tokio::time::sleep(Duration::from_secs(20)).await;
            let mut byte = [0];
            far.read_exact(&mut byte).await.unwrap();
        }
    };
    let (written, ()) = tokio::join!(near.write_all(b"123456789012"), read);
    assert!(written.is_ok());
}
