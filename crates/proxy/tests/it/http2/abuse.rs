//! Clients that use HTTP/2 against the data plane: resets, floods, bombs, broken frames.

use super::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Field, GOAWAY, HEADERS, PING, RST_STREAM, Raw,
    SETTINGS, WINDOW_UPDATE, block, frame,
};
use crate::{
    recorder::{Pace, Recorder},
    strict::plane,
    support::*,
};
use std::net::SocketAddr;
use std::sync::atomic::Ordering::SeqCst;
use tokio::io::AsyncWriteExt as _;

const ENHANCE_YOUR_CALM: u32 = 11;
const REFUSED_STREAM: u32 = 7;
const CANCEL: [u8; 4] = [0, 0, 0, 8];

fn get(path: &[u8]) -> Vec<u8> {
    let fields: [Field<'_>; 4] =
        [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"s"), (b":path", path)];
    block(&fields)
}

/// A request that is taken back at once.
fn taken_back(stream: u32) -> Vec<u8> {
    let mut bytes = frame(HEADERS, END_HEADERS | END_STREAM, stream, &get(b"/gate"));
    bytes.extend(frame(RST_STREAM, 0, stream, &CANCEL));
    bytes
}

/// Reads until the connection ends and gives the code it ended with.
async fn goodbye(raw: &mut Raw) -> Option<u32> {
    let mut code = None;
    while let Some(frame) = raw.next().await {
        if frame.kind == GOAWAY {
            code = Some(frame.code());
        }
    }
    code
}

/// The data plane still serves others.
async fn is_well(gateway: SocketAddr) {
    let reply =
        soon(raw(gateway, b"GET / HTTP/1.1\r\nHost: s\r\nConnection: close\r\n\r\n", "never"));
    let reply = reply.await;
    assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
}

#[tokio::test]
async fn a_burst_of_requests_that_are_taken_back_ends_the_connection() {
    let users = Upstream::start("users/1").await;
    let plane = Plane::start(vec![users.endpoint()]);
    let mut client = Raw::connect(plane.gateway).await;
    let burst: Vec<u8> = (0..10_000).flat_map(|number| taken_back(2 * number + 1)).collect();
    // It fails when the data plane has hung up, which is what is wanted.
    drop(soon(client.0.stream.write_all(&burst)).await);
    assert_eq!(soon(goodbye(&mut client)).await, Some(ENHANCE_YOUR_CALM));
    until("nothing is left of it", || users.state.working.load(SeqCst) == 0).await;
    is_well(plane.gateway).await;
}

#[tokio::test]
async fn requests_that_are_taken_back_one_by_one_end_the_connection_too() {
    let users = Upstream::start("users/1").await;
    let plane = Plane::start(vec![users.endpoint()]);
    let mut client = Raw::connect(plane.gateway).await;
    for number in 0..20_000 {
        if soon(client.0.stream.write_all(&taken_back(2 * number + 1))).await.is_err() {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(soon(goodbye(&mut client)).await, Some(ENHANCE_YOUR_CALM));
    until("nothing is left of it", || users.state.working.load(SeqCst) == 0).await;
    is_well(plane.gateway).await;
}

#[tokio::test]
async fn a_client_gets_no_more_streams_at_once_than_it_was_told() {
    let users = Upstream::start("users/1").await;
    let plane = Plane::start(vec![users.endpoint()]);
    let mut client = Raw::connect(plane.gateway).await;
    let settings = client.any().await.unwrap();
    assert_eq!(settings.kind, SETTINGS);
    let entries = settings.payload.chunks(6).map(|entry| {
        let value = u32::from_be_bytes(entry[2..].try_into().unwrap());
        (u16::from_be_bytes([entry[0], entry[1]]), value)
    });
    let most = entries.filter(|(id, _)| *id == 3).map(|(_, value)| value).next();
    let most = most.expect("it says how many");
    assert!((100..=1_000).contains(&most), "RFC 9113 §6.5.2 advises 100 at least: {most}");
    client.send(SETTINGS, super::frames::ACK, 0, &[]).await;
    let excess = 10;
    for number in 0..most + excess {
        client.send(HEADERS, END_HEADERS | END_STREAM, 2 * number + 1, &get(b"/gate")).await;
    }
    let mut refused = Vec::new();
    while refused.len() < usize::try_from(excess).unwrap() {
        let frame = client.next().await.expect("the connection goes on");
        assert_eq!(frame.kind, RST_STREAM, "nothing is answered yet: {frame:?}");
        assert_eq!(frame.code(), REFUSED_STREAM);
        refused.push(frame.stream);
    }
    assert!(refused.iter().all(|stream| *stream > 2 * most), "{refused:?}");
    let all = u64::from(most);
    until("the others arrive", || users.state.working.load(SeqCst) == all).await;
    users.state.gate.add_permits(usize::try_from(most).unwrap());
    let mut answered = 0;
    while answered < most {
        let frame = client.next().await.expect("the connection goes on");
        if frame.kind == HEADERS {
            assert_eq!(frame.status(), 200);
            answered += 1;
        }
    }
    assert_eq!(users.requests(), all);
}

#[tokio::test]
async fn field_blocks_without_end_are_cut_off() {
    let recorder = Recorder::start(&[], Pace::AtOnce).await;
    let plane = plane(&recorder);
    let mut client = Raw::connect(plane.gateway).await;
    client.send(HEADERS, END_STREAM, 1, &get(b"/x")).await;
    let more: Vec<u8> = (0..200)
        .flat_map(|_| frame(CONTINUATION, 0, 1, &block(&[(b"x-a", &[b'a'; 8_000])])))
        .collect();
    for _ in 0..20 {
        if soon(client.0.stream.write_all(&more)).await.is_err() {
            break;
        }
    }
    let code = soon(goodbye(&mut client)).await;
    assert!(code.is_none_or(|code| code != 0), "it ended with an error: {code:?}");
    is_well(plane.gateway).await;
    assert_eq!(recorder.requests(), 1, "only the other client's");
}

#[tokio::test]
async fn small_blocks_that_stand_for_large_ones_are_refused() {
    let recorder = Recorder::start(&[], Pace::AtOnce).await;
    let plane = plane(&recorder);
    let mut client = Raw::connect(plane.gateway).await;
    // One field of 3,900 bytes goes into the table, then is named 4,000 times with a byte each.
    let mut bomb = get(b"/x");
    bomb.push(0x40);
    let literal = block(&[(b"x-a", &[b'a'; 3_900])]);
    bomb.extend(&literal[1..]);
    bomb.extend([0xbe; 4_000]);
    client.send(HEADERS, END_HEADERS | END_STREAM, 1, &bomb).await;
    let frame = client.next().await;
    let is_refused = frame.as_ref().is_none_or(|frame| match frame.kind {
        HEADERS => frame.status() == 431,
        RST_STREAM | GOAWAY => frame.code() != 0,
        _ => false,
    });
    assert!(is_refused, "{frame:?}");
    is_well(plane.gateway).await;
    assert_eq!(recorder.requests(), 1, "only the other client's");
}

#[tokio::test]
async fn frames_that_make_no_sense_end_the_stream_or_the_connection() {
    let recorder = Recorder::start(&[], Pace::AtOnce).await;
    let plane = plane(&recorder);
    let get = get(b"/x");
    let open = frame(HEADERS, END_HEADERS, 1, &get);
    let padded = [&[200][..], &get].concat();
    let after = |more: Vec<u8>| [open.clone(), more].concat();
    let cases: [(&str, Vec<u8>); 14] = [
        ("data of no stream", frame(DATA, 0, 0, b"x")),
        ("data of a stream that is not open", frame(DATA, 0, 5, b"x")),
        ("a head of no stream", frame(HEADERS, END_HEADERS, 0, &get)),
        ("a head of an even stream", frame(HEADERS, END_HEADERS, 2, &get)),
        ("more padding than payload", frame(HEADERS, END_HEADERS | 8, 1, &padded)),
        ("a window that grows by nothing", frame(WINDOW_UPDATE, 0, 0, &[0; 4])),
        (
            "a window that overflows",
            frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]).repeat(2),
        ),
        ("settings of a stream", frame(SETTINGS, 0, 1, &[])),
        ("settings that are cut off", frame(SETTINGS, 0, 0, &[0, 3, 0])),
        ("a ping of seven bytes", frame(PING, 0, 0, &[0; 7])),
        ("a frame that is too large", frame(DATA, 0, 1, &[0; 16_385])),
        ("a field that is in no table", frame(HEADERS, END_HEADERS, 1, &[0xff, 0xff, 0xff, 0x0f])),
        ("a continuation of nothing", after(frame(CONTINUATION, END_HEADERS, 1, &[]))),
        (
            "another frame within a block",
            [frame(HEADERS, 0, 1, &get), frame(PING, 0, 0, &[0; 8])].concat(),
        ),
    ];
    for (name, bytes) in cases {
        let mut client = Raw::connect(plane.gateway).await;
        client.0.send(&bytes).await;
        let frame = client.next().await;
        let is_error = frame
            .as_ref()
            .is_none_or(|frame| [RST_STREAM, GOAWAY].contains(&frame.kind) && frame.code() != 0);
        assert!(is_error, "{name}: {frame:?}");
    }
    is_well(plane.gateway).await;
}

#[tokio::test]
async fn pings_are_answered_and_a_flood_of_them_hurts_nobody() {
    if !is_alone("http2::abuse::pings_are_answered_and_a_flood_of_them_hurts_nobody") {
        return;
    }
    let recorder = Recorder::start(&[], Pace::AtOnce).await;
    let plane = plane(&recorder);
    let mut client = Raw::connect(plane.gateway).await;
    client.send(PING, 0, 0, b"8 bytes!").await;
    loop {
        let frame = client.any().await.unwrap();
        if frame.kind == PING {
            assert_eq!((frame.flags, &*frame.payload), (super::frames::ACK, &b"8 bytes!"[..]));
            break;
        }
    }
    // Nothing of what is answered is read: at some point the data plane stops reading, or hangs up.
    let flood = frame(PING, 0, 0, &[0; 8]).repeat(1_000);
    let before = resident();
    let mut written = 0_usize;
    while written < 64 << 20 {
        match stalls(client.0.stream.write(&flood)).await {
            Some(Ok(count)) if count > 0 => written += count,
            _ => break,
        }
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 32 << 20, "{grown} bytes more after {written} of pings");
    is_well(plane.gateway).await;
}
