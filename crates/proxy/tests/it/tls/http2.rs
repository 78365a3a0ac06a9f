//! HTTP/2 over TLS, and clients of it that must be cut off.

use super::*;
use h2::client::SendRequest;
use tokio::{
    sync::oneshot,
    time::{Duration, timeout},
};

/// A connection of HTTP/2 over TLS.
struct Client {
    sender: SendRequest<Bytes>,
    /// How the connection ended.
    end: oneshot::Receiver<Result<(), h2::Error>>,
    _task: TaskSet,
}

async fn http2(plane: &Plane, trusted: &[&Made], host: &str) -> Client {
    let stream = connect(plane.gateway, &trusting(trusted, &["h2", "http/1.1"]), host).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(1 << 20).initial_connection_window_size(1 << 21);
    let (sender, connection) = soon(builder.handshake(stream)).await.unwrap();
    let mut task = TaskSet::new("client");
    let (said, end) = oneshot::channel();
    task.spawn("connection", move |_| async move { drop(said.send(connection.await)) });
    Client { sender, end, _task: task }
}

impl Client {
    /// Status and body of a `GET`.
    async fn get(&self, uri: &str) -> (u16, String) {
        let mut sender = soon(self.sender.clone().ready()).await.unwrap();
        let request = Request::get(uri).body(()).unwrap();
        let response = soon(sender.send_request(request, true).unwrap().0).await.unwrap();
        let (head, mut body) = response.into_parts();
        let mut read = Vec::new();
        while let Some(data) = soon(body.data()).await {
            let data = data.unwrap();
            body.flow_control().release_capacity(data.len()).unwrap();
            read.extend_from_slice(&data);
        }
        (head.status.as_u16(), String::from_utf8(read).unwrap())
    }
}

#[tokio::test]
async fn a_client_that_can_speaks_http2() {
    let users = Upstream::start("users/1").await;
    let plane = Plane::start(vec![users.endpoint()]);
    let made = secure(&plane);
    let client = http2(&plane, &[&made], "shop.test").await;
    let (status, body) = client.get("https://shop.test/head").await;
    assert_eq!(status, 200);
    assert!(body.contains("x-forwarded-proto: https\n"), "{body}");
    assert!(body.contains("host: shop.test\n"), "{body}");
    let (status, body) = client.get("https://shop.test/large").await;
    assert_eq!((status, body.len()), (200, 1 << 20));
}

#[tokio::test]
async fn a_misdirected_stream_does_not_end_its_connection() {
    let users = Upstream::start("users/1").await;
    let plane = Plane::start(vec![users.endpoint()]);
    let both = Made::new(&["shop.test", "cart.test"]);
    let bank = Made::new(&["bank.test"]);
    plane.handle.secure(&gateway(), tls(&[&both, &bank]));
    let client = http2(&plane, &[&both, &bank], "shop.test").await;
    let (status, body) = client.get("https://bank.test/").await;
    assert_eq!(status, 421);
    assert!(body.contains("\"code\":\"misdirected\""), "{body}");
    // Hosts of one certificate share a connection.
    for host in ["shop.test", "cart.test:443"] {
        assert_eq!(client.get(&format!("https://{host}/")).await, (200, "users/1".to_owned()));
    }
    assert_eq!(users.requests(), 2);
}

#[tokio::test]
async fn a_client_may_ask_before_it_sends_its_body() {
    let users = Upstream::start("users/1").await;
    let plane = Plane::start(vec![users.endpoint()]);
    let made = secure(&plane);
    let client = http2(&plane, &[&made], "shop.test").await;
    let mut sender = soon(client.sender.clone().ready()).await.unwrap();
    let request = Request::post("https://shop.test/echo")
        .header("expect", "100-continue")
        .header("content-length", "4")
        .body(())
        .unwrap();
    let (mut response, mut body) = sender.send_request(request, false).unwrap();
    let told = soon(std::future::poll_fn(|cx| response.poll_informational(cx))).await;
    assert_eq!(told.expect("it may go on").unwrap().status(), 100);
    body.send_data(Bytes::from_static(b"body"), true).unwrap();
    assert_eq!(soon(response).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_client_that_takes_back_one_request_after_the_other_is_cut_off() {
    let users = Upstream::start("users/1").await;
    let plane = Plane::start(vec![users.endpoint()]);
    let made = secure(&plane);
    let client = http2(&plane, &[&made], "shop.test").await;
    let mut taken_back = 0;
    while let Ok(mut sender) = soon(client.sender.clone().ready()).await {
        let request = Request::get("https://shop.test/gate").body(()).unwrap();
        let Ok((response, mut stream)) = sender.send_request(request, true) else { continue };
        // Each has reached the instance: it is not the crate's limit for those that were not looked at.
        let before = users.requests();
        let arrival = until("it arrives", || users.requests() > before);
        tokio::select! {
            () = arrival => {}
            answer = response => assert!(answer.is_err(), "{answer:?}"),
        }
        stream.send_reset(h2::Reason::CANCEL);
        taken_back += 1;
        assert!(taken_back < 2_000, "it goes on for ever");
    }
    let error = soon(client.end).await.unwrap().unwrap_err();
    assert_eq!(error.reason(), Some(h2::Reason::ENHANCE_YOUR_CALM), "{error:?}");
    assert!(taken_back >= 256, "a page that is left takes back so many: {taken_back}");
    until("nothing is left of it", || {
        users.state.working.load(std::sync::atomic::Ordering::SeqCst) == 0
    })
    .await;
}

#[tokio::test]
async fn a_client_that_is_told_to_go_and_stays_is_cut_off() {
    let users = Upstream::start("users/1").await;
    let plane = Plane::start(vec![users.endpoint()]);
    let made = secure(&plane);
    let mut client = connect(plane.gateway, &trusting(&[&made], &["h2"]), "shop.test").await;
    // No request, and no answer to the ping that goes with the farewell.
    soon(client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")).await.unwrap();
    let mut read = Vec::new();
    soon(client.read_buf(&mut read)).await.unwrap();
    plane.handle.close(&gateway());
    let ended = timeout(Duration::from_secs(20), client.read_to_end(&mut read)).await;
    // However it ends: it does.
    assert!(ended.is_ok(), "it is still there");
    let is_told = read.windows(4).any(|window| window == [0, 0, 8, 7]);
    assert!(is_told, "GOAWAY comes first: {read:?}");
}
