//! How long the data plane waits for whom. The limits are small here; what counts is that each holds, and
//! that what is not too slow is not cut off by another.

use super::{GET, Line, OK};
use crate::{
    socket::{End, Instance, Socket},
    support::*,
};
use proxy::Config;
use std::time::Duration;

/// A limit that is met by standing still for a moment.
const SHORT: Duration = Duration::from_millis(200);

fn line(instance: Instance, change: impl FnOnce(&mut Config)) -> Line {
    let mut config = Config { workers: 1, slow_start: Duration::ZERO, ..Config::default() };
    change(&mut config);
    let mut all = route("/", &[("users", 1)]);
    all.retries = Some(0);
    let plane = Plane::with(config, vec![all], vec![instance.endpoint()]);
    Line { plane, instance }
}

/// The data plane hangs up, and may say why.
async fn is_given_up(client: &mut Socket) {
    let (answer, _) = client.rest().await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408 "), "{answer}");
}

#[tokio::test]
async fn a_client_that_says_nothing_is_given_up() {
    let line = line(Instance::start().await, |config| config.first_head_timeout = SHORT);
    let mut client = line.client().await;
    is_given_up(&mut client).await;
    line.is_well().await;
}

/// A byte now and then keeps no connection open.
#[tokio::test]
async fn a_head_that_trickles_in_without_end_is_given_up() {
    for is_second in [false, true] {
        let line = line(Instance::start().await, |config| {
            config.first_head_timeout = SHORT;
            config.head_timeout = SHORT;
        });
        let mut client = line.client().await;
        if is_second {
            client.send(GET).await;
            let mut server = line.instance.accept().await;
            server.head().await;
            server.send(OK).await;
            client.until("ok").await;
        }
        client.send("GET /x HTTP/1.1\r\nHost: s\r\nX-A: ").await;
        let trickling = async {
            loop {
                let pause = tokio::time::timeout(SHORT / 10, client.rest());
                if let Ok(end) = pause.await {
                    return end;
                }
                // It fails once the data plane has hung up; then the end can be read.
                drop(client.stream.try_write(b"a"));
            }
        };
        let (answer, _) = soon(trickling).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408 "), "{answer}");
        line.plane.members(vec![line.instance.endpoint()]);
        line.is_well().await;
    }
}

#[tokio::test]
async fn a_kept_connection_that_is_not_used_is_closed_without_a_word() {
    let line = line(Instance::start().await, |config| config.client_idle = SHORT);
    let (mut client, mut server) = line.asked(GET).await;
    // Waiting for an answer is not idling.
    assert!(stalls(client.rest()).await.is_none());
    server.send(OK).await;
    client.until("ok").await;
    assert_eq!(client.rest().await, (String::new(), End::Closed));
}

#[tokio::test]
async fn a_small_body_that_does_not_come_is_given_up_and_nobody_is_asked() {
    let line = line(Instance::start().await, |config| {
        config.body_timeout = SHORT;
        config.stream_idle = SHORT;
    });
    let mut client = line.client().await;
    client.send("PUT /x HTTP/1.1\r\nHost: s\r\nContent-Length: 10\r\n\r\nhalf").await;
    is_given_up(&mut client).await;
    drop(client);
    line.is_well().await;
}

#[tokio::test]
async fn a_large_body_that_stands_still_is_given_up() {
    let line = line(Instance::start().await, |config| config.stream_idle = SHORT);
    let (mut client, mut server) =
        line.asked("POST /x HTTP/1.1\r\nHost: s\r\nContent-Length: 1000000\r\n\r\nbegun").await;
    assert_eq!(server.take(5).await, b"begun");
    is_given_up(&mut client).await;
    assert_eq!(server.rest().await.0, "");
    drop((client, server));
    line.plane.members(vec![line.instance.endpoint()]);
    line.is_well().await;
}

#[tokio::test]
async fn a_response_that_stands_still_is_given_up_and_does_not_look_complete() {
    let line = line(Instance::start().await, |config| config.stream_idle = SHORT);
    let (mut client, mut server) = line.asked(GET).await;
    server.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegun\r\n").await;
    client.until("begun").await;
    let (rest, _) = client.rest().await;
    assert!(!rest.contains("0\r\n"), "{rest:?}");
    assert_eq!(server.rest().await.0, "");
}

#[tokio::test]
async fn a_client_that_stops_to_read_is_given_up() {
    let line = line(Instance::start().await, |config| config.stream_idle = SHORT);
    let (client, mut server) = line.asked(GET).await;
    server.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 1 << 30)).await;
    server.send_until_it_stalls(1 << 30).await;
    // The data plane hangs up, and the instance may stop.
    server.rest().await;
    drop(client);
    line.plane.members(vec![line.instance.endpoint()]);
    line.is_well().await;
}

#[tokio::test]
async fn a_body_that_goes_on_slowly_is_not_given_up() {
    let line = line(Instance::start().await, |config| config.stream_idle = 5 * SHORT);
    let (mut client, mut server) =
        line.asked("POST /x HTTP/1.1\r\nHost: s\r\nContent-Length: 1000000\r\n\r\n").await;
    // Together longer than the limit; each byte well within it.
    for _ in 0..10 {
        client.send("a").await;
        assert_eq!(server.take(1).await, b"a");
        let pause = tokio::time::timeout(SHORT, client.rest()).await;
        assert!(pause.is_err(), "it was given up: {pause:?}");
    }
}
