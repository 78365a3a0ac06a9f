//! Upgraded connections: whatever either side sends passes unchanged, from the first byte on.

use super::{GET, Line, Numbers, OK};
use crate::{
    socket::{End, Socket},
    support::*,
};

const ASK: &str = "GET /chat HTTP/1.1\r\nHost: s\r\nConnection: keep-alive, Upgrade\r\n\
     Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: chat\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
     Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
     Sec-WebSocket-Protocol: chat\r\n\r\n";

/// Both ends after the switch.
async fn switched(line: &Line) -> (Socket, Socket) {
    let mut client = line.client().await;
    client.send(ASK).await;
    let mut server = line.instance.accept().await;
    let head = server.head().await.to_lowercase();
    for field in [
        "connection: upgrade\r\n",
        "upgrade: websocket\r\n",
        "sec-websocket-version: 13\r\n",
        "sec-websocket-protocol: chat\r\n",
    ] {
        assert!(head.contains(field), "{field} in {head}");
    }
    assert!(!head.contains("keep-alive"), "{head}");
    server.send(SWITCH).await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let head = head.to_lowercase();
    for field in [
        "connection: upgrade\r\n",
        "upgrade: websocket\r\n",
        "sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n",
        "sec-websocket-protocol: chat\r\n",
    ] {
        assert!(head.contains(field), "{field} in {head}");
    }
    (client, server)
}

/// A WebSocket frame (RFC 6455 §5.2).
fn frame(opcode: u8, is_last: bool, mask: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![opcode | if is_last { 0x80 } else { 0 }];
    let masked = if mask.is_some() { 0x80 } else { 0 };
    match payload.len() {
        short @ 0..=125 => bytes.push(u8::try_from(short).unwrap() | masked),
        middle @ 126..=0xffff => {
            bytes.push(126 | masked);
            bytes.extend(u16::try_from(middle).unwrap().to_be_bytes());
        }
        long => {
            bytes.push(127 | masked);
            bytes.extend(u64::try_from(long).unwrap().to_be_bytes());
        }
    }
    let mask = mask.inspect(|mask| bytes.extend(mask)).unwrap_or_default();
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

const CONTINUED: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// What a test suite for WebSocket sends: all lengths at the borders, fragments with control frames
/// between them, reserved bits and opcodes, text that is no UTF-8, all close codes.
fn everything(numbers: &mut Numbers, is_masked: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut add = |numbers: &mut Numbers, opcode, is_last, payload: &[u8]| {
        let mask = is_masked.then(|| numbers.bytes(4).try_into().unwrap());
        bytes.extend(frame(opcode, is_last, mask, payload));
    };
    for length in [0, 1, 124, 125, 126, 127, 128, 65_535, 65_536, 131_072] {
        for opcode in [TEXT, BINARY] {
            let payload = numbers.bytes(length);
            add(numbers, opcode, true, &payload);
        }
    }
    for pieces in [2, 3, 10, 100] {
        for piece in 0..pieces {
            let opcode = if piece == 0 { TEXT } else { CONTINUED };
            add(numbers, opcode, piece + 1 == pieces, "Größe ".as_bytes());
            add(numbers, if piece % 2 == 0 { PING } else { PONG }, true, b"still there?");
        }
    }
    add(numbers, PING, true, &[0xff; 125]);
    add(numbers, TEXT | 0x70, true, b"reserved bits");
    add(numbers, 3, true, b"a reserved opcode");
    add(numbers, TEXT, true, &[0xc0, 0xaf, 0xff]);
    for code in
        [0_u16, 999, 1000, 1001, 1002, 1003, 1005, 1006, 1007, 1011, 1015, 3000, 4999, 65535]
    {
        add(numbers, CLOSE, true, &[&code.to_be_bytes()[..], b"bye"].concat());
    }
    add(numbers, CLOSE, true, &[]);
    bytes
}

/// Sends `bytes` cut at random.
async fn send(socket: &mut Socket, bytes: &[u8], seed: u64) {
    let mut numbers = Numbers(seed);
    let mut rest = bytes;
    while !rest.is_empty() {
        let most = [3, 200, 70_000][numbers.below(3)];
        let cut = (1 + numbers.below(most)).min(rest.len());
        socket.send(&rest[..cut]).await;
        rest = &rest[cut..];
    }
}

#[tokio::test]
async fn frames_of_all_kinds_pass_unchanged_both_ways() {
    let line = Line::start().await;
    let (mut client, mut server) = switched(&line).await;
    for seed in 1..=3 {
        let up = everything(&mut Numbers(seed), true);
        let down = everything(&mut Numbers(seed + 10), false);
        // Each side sends and reads at once, so neither waits for the other's buffers.
        let (mut client_read, mut server_read) = (Vec::new(), Vec::new());
        for at in 0..4 {
            let part = |all: &[u8]| all[all.len() * at / 4..all.len() * (at + 1) / 4].to_vec();
            let (up, down) = (part(&up), part(&down));
            send(&mut client, &up, seed + 20).await;
            server_read.extend(server.take(up.len()).await);
            send(&mut server, &down, seed + 30).await;
            client_read.extend(client.take(down.len()).await);
        }
        assert!(server_read == up && client_read == down, "seed {seed}");
    }
}

#[tokio::test]
async fn every_message_is_echoed_before_the_next() {
    let line = Line::start().await;
    let (mut client, mut server) = switched(&line).await;
    let mut numbers = Numbers(3);
    for _ in 0..200 {
        let length = numbers.below(3_000);
        let message = frame(BINARY, true, Some([1, 2, 3, 4]), &numbers.bytes(length));
        client.send(&message).await;
        let got = server.take(message.len()).await;
        assert!(got == message);
        server.send(&got).await;
        assert!(client.take(got.len()).await == message);
    }
}

#[tokio::test]
async fn bytes_that_come_with_the_switch_are_not_lost() {
    let line = Line::start().await;
    let mut client = line.client().await;
    // Optimistic, and not forbidden: the client does not wait for the switch.
    client.send(format!("{ASK}first up")).await;
    let mut server = line.instance.accept().await;
    server.head().await;
    server.send(format!("{SWITCH}first down")).await;
    client.head().await;
    assert_eq!(client.take(10).await, b"first down");
    assert_eq!(server.take(8).await, b"first up");
    client.send("second up").await;
    assert_eq!(server.take(9).await, b"second up");
}

#[tokio::test]
async fn bytes_before_the_switch_do_not_reach_the_instance_when_it_does_not_switch() {
    let line = Line::start().await;
    let mut client = line.client().await;
    // What a client sends in hope of a tunnel must not become a request that nobody checked.
    client.send(format!("{ASK}GET /hidden HTTP/1.1\r\nHost: hidden\r\n\r\n")).await;
    let mut server = line.instance.accept().await;
    server.head().await;
    server.send(OK).await;
    assert!(client.head().await.starts_with("HTTP/1.1 200 "));
    assert_eq!(client.take(2).await, b"ok");
    let seen = async {
        // Either it is a request like any other, checked and with the data plane's fields, ...
        let again = async {
            match server.head_or_end().await {
                Some(head) => head,
                None => std::future::pending().await,
            }
        };
        let other = async { line.instance.accept().await.head().await };
        let head = tokio::select! {
            head = again => head,
            head = other => head,
        };
        assert!(head.to_lowercase().contains("\r\nx-forwarded-for: "), "{head}");
    };
    // ... or the connection ends.
    tokio::select! {
        () = seen => {}
        (rest, _) = client.rest() => assert!(rest.is_empty() || rest.starts_with("HTTP/1.1 4")),
    }
}

#[tokio::test]
async fn a_switch_that_is_refused_is_an_answer_like_any_other() {
    let line = Line::start().await;
    let (mut client, mut server) = line.asked(ASK).await;
    server.send("HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\nno").await;
    assert!(client.head().await.starts_with("HTTP/1.1 426 "));
    assert_eq!(client.take(2).await, b"no");
    drop(client);
    drop(server);
    line.is_well().await;
}

#[tokio::test]
async fn a_side_that_has_said_all_still_hears_the_other() {
    let line = Line::start().await;
    let (mut client, mut server) = switched(&line).await;
    client.send("last").await;
    client.half_close().await;
    assert_eq!(server.rest().await, ("last".to_owned(), End::Closed));
    server.send("answer").await;
    assert_eq!(client.take(6).await, b"answer");
    server.half_close().await;
    assert_eq!(client.rest().await, (String::new(), End::Closed));
    drop((client, server));
    line.is_well().await;
}

#[tokio::test]
async fn a_side_that_breaks_off_ends_the_other() {
    for client_breaks in [true, false] {
        let line = Line::start().await;
        let (client, server) = switched(&line).await;
        let (breaks, mut other) = if client_breaks { (client, server) } else { (server, client) };
        breaks.reset();
        other.rest().await;
        drop(other);
        line.plane.members(vec![line.instance.endpoint()]);
        line.is_well().await;
    }
}

#[tokio::test]
async fn a_side_that_does_not_read_stops_the_other() {
    if !is_alone("chaos::tunnel::a_side_that_does_not_read_stops_the_other") {
        return;
    }
    for is_client_slow in [true, false] {
        let line = Line::start().await;
        let (client, server) = switched(&line).await;
        let (mut slow, mut sender) =
            if is_client_slow { (client, server) } else { (server, client) };
        let before = resident();
        let sent = sender.send_until_it_stalls(256 << 20).await;
        let grown = resident().saturating_sub(before);
        assert!(sent < 64 << 20 && grown < 8 << 20, "{sent} sent, {grown} bytes more are held");
        // The other direction is not stopped by that.
        slow.send("meanwhile").await;
        assert_eq!(sender.take(9).await, b"meanwhile");
        assert!(slow.take(sent).await.iter().all(|byte| *byte == b'x'));
    }
}

#[tokio::test]
async fn a_plain_request_after_a_tunnel_gets_a_connection_of_its_own() {
    let line = Line::start().await;
    let (_client, mut server) = switched(&line).await;
    let mut other = line.client().await;
    other.send(GET).await;
    let mut second = line.instance.accept().await;
    assert!(second.head().await.starts_with("GET /x "));
    second.send(OK).await;
    other.until("ok").await;
    assert!(stalls(server.take(1)).await.is_none(), "the tunnel is nobody else's");
}
