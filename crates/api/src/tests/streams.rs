//! Streams: order, resumption, coalescing, ending.

use super::{limits::connection, *};
use crate::client::{Item, Stream as Reader};
use runtime::TaskSet;

async fn next<T: serde::de::DeserializeOwned>(stream: &mut Reader<T>) -> Item<T> {
    within(stream.next()).await.unwrap().expect("the stream goes on")
}

#[tokio::test]
async fn a_status_stream_shows_the_picture_and_then_its_changes() {
    let Setup { fake, client, .. } = &setup().await;
    let mut stream = client.status_stream().await.unwrap();
    let first = next(&mut stream).await;
    assert_eq!((first.id, first.data), (1, wire::Status::from(&picture(1))));
    for revision in 2..=1_000 {
        fake.status.send_replace(Arc::new(picture(revision)));
    }
    loop {
        let item = next(&mut stream).await;
        assert_eq!(item.id, item.data.revision);
        if item.id == 1_000 {
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_status_stream_shows_at_most_ten_pictures_a_second() {
    let folder = Folder::new();
    let mut tasks = TaskSet::new("test");
    let (mut client, fake) = connection(&folder, &mut tasks, 1 << 20);
    let head = b"GET /v1/status HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n";
    client.write_all(head).await.unwrap();
    for revision in 2..=200 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        fake.status.send_replace(Arc::new(picture(revision)));
    }
    let mut bytes = Vec::new();
    while !String::from_utf8_lossy(&bytes).contains("id: 200\n") {
        assert!(client.read_buf(&mut bytes).await.unwrap() > 0);
    }
    // Two seconds of a change each 10 ms.
    let pictures = String::from_utf8_lossy(&bytes).matches("event: status").count();
    assert!((15..=22).contains(&pictures), "{pictures}");
}

#[tokio::test]
async fn an_event_stream_is_resumed_without_gap_or_duplicate() {
    let setup = setup().await;
    for _ in 0..5 {
        setup.fake.happen("started");
    }
    let mut stream = setup.client.event_stream(0).await.unwrap();
    for seq in 1..=3 {
        assert_eq!(next(&mut stream).await.data.seq, seq);
    }
    drop(stream);
    setup.fake.happen("ready");
    let mut stream = setup.client.event_stream(3).await.unwrap();
    for seq in 4..=6 {
        assert_eq!(next(&mut stream).await.id, seq);
    }
    setup.fake.happen("exited");
    let last = next(&mut stream).await;
    assert_eq!((last.id, last.data.kind.as_str()), (7, "exited"));

    // A browser resumes by header, which goes before what the address says.
    let bearer = bearer();
    let headers = [HOST, &bearer, "Accept: text/event-stream", "Last-Event-ID: 6"];
    let text = first_bytes(setup.address, "GET /v1/events?after=2", &headers, "id: 7").await;
    assert!(text.contains("content-type: text/event-stream"));
    assert!(text.contains("id: 7\nevent: event\ndata: {") && !text.contains("id: 6"), "{text}");
    let headers = [HOST, &bearer, "Accept: text/event-stream", "Last-Event-ID: x"];
    assert_eq!(raw(setup.address, "GET /v1/events", &headers, "").await.status, 400);
}

/// Reads until `end` has come.
async fn first_bytes(address: SocketAddr, request: &str, headers: &[&str], end: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("{request} HTTP/1.1\r\n{}\r\n\r\n", headers.join("\r\n"));
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    while !String::from_utf8_lossy(&bytes).contains(end) {
        let read = within(stream.read_buf(&mut bytes)).await.unwrap();
        assert!(read > 0, "{}", String::from_utf8_lossy(&bytes));
    }
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn log_streams_lose_and_repeat_nothing_over_broken_connections() {
    const LINES: u64 = 3_000;
    let Setup { fake, client, .. } = &setup().await;
    fake.print((0..100).map(|number| format!("line {number}")));
    let writer = {
        let fake = fake.clone();
        runtime::thread("writer", move || {
            for number in 100..LINES {
                fake.print([format!("line {number}")]);
            }
        })
        .unwrap()
    };
    let mut texts = Vec::new();
    let mut question = wire::LogQuery { tail: Some(10), ..wire::LogQuery::default() };
    let last = format!("line {}", LINES - 1);
    'all: loop {
        let mut stream = client.log_stream(&question).await.unwrap();
        for _ in 0..7 {
            let item = next(&mut stream).await;
            assert_eq!(item.id, item.data.next);
            texts.extend(item.data.lines.into_iter().map(|line| line.text));
            question = wire::LogQuery { after: Some(item.id), ..wire::LogQuery::default() };
            if texts.last() == Some(&last) {
                break 'all;
            }
        }
    }
    writer.join().unwrap();
    let count = u64::try_from(texts.len()).unwrap();
    let expected: Vec<String> =
        (LINES - count..LINES).map(|number| format!("line {number}")).collect();
    assert!(count >= 10 && texts == expected);
}

#[tokio::test]
async fn log_lines_come_as_lines_of_json_for_scripts() {
    let setup = setup().await;
    setup.fake.print(["one".into(), "{\"level\":\"error\",\"msg\":\"two\"}".into()]);
    let bearer = bearer();
    let headers = [HOST, &bearer, "Accept: application/x-ndjson"];
    let page = raw(setup.address, "GET /v1/logs", &headers, "").await;
    assert_eq!(page.header("content-type"), Some("application/x-ndjson"));
    let lines: Vec<wire::LogLine> =
        page.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0].text, "one");
    assert_eq!((lines[1].level, lines[1].seq), (Some(wire::Level::Error), 2));
    let text =
        first_bytes(setup.address, "GET /v1/logs?follow=1&tail=1", &headers, "\"seq\":2").await;
    assert!(!text.contains("\"seq\":1"));
    // Who resumes gets what came since, not another tail.
    let headers = [HOST, &bearer, "Accept: text/event-stream", "Last-Event-ID: 0"];
    let text = first_bytes(setup.address, "GET /v1/logs?tail=1", &headers, "\"seq\":2").await;
    assert!(text.contains("\"seq\":1"), "{text}");
}

#[tokio::test]
async fn streams_end_when_the_node_ends() {
    let setup = setup().await;
    let client = &setup.client;
    let mut status = client.status_stream().await.unwrap();
    next(&mut status).await;
    let mut logs = client.log_stream(&wire::LogQuery::default()).await.unwrap();
    let (ended, read, ()) =
        within(async { tokio::join!(status.next(), logs.next(), setup.service.shutdown()) }).await;
    assert!(ended.unwrap().is_none() && read.unwrap().is_none());
}

#[tokio::test]
async fn a_reader_that_is_cancelled_loses_no_message() {
    let Setup { fake, client, .. } = &setup().await;
    let mut stream = client.event_stream(0).await.unwrap();
    for seq in 1..=50 {
        // Dropped at any point of its way.
        for _ in 0..seq % 5 {
            tokio::select! {
                biased;
                item = stream.next() => panic!("{item:?} has not happened"),
                () = tokio::task::yield_now() => {}
            }
        }
        fake.happen("started");
        assert_eq!(next(&mut stream).await.id, seq);
    }
}
