//! Large bodies flow through; they are not held.

use super::Line;
use crate::{
    socket::{End, Socket},
    support::*,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const TOTAL: usize = 64 << 20;
const PIECE: usize = 1 << 16;

/// After how many bytes a body repeats: a prime, so that no buffer's size hides what is out of place.
const PERIOD: usize = 251;

/// A body's beginning, of which every stretch is a part.
fn pattern() -> Vec<u8> {
    (0..PIECE + PERIOD).map(|at| u8::try_from(at * 7 % PERIOD).unwrap()).collect()
}

/// The `count` bytes of a body that begin at `at`.
fn stretch(pattern: &[u8], at: usize, count: usize) -> &[u8] {
    &pattern[at % PERIOD..][..count]
}

async fn send_body(socket: &mut Socket, is_chunked: bool) {
    let (mut at, pattern) = (0, pattern());
    while at < TOTAL {
        let piece = stretch(&pattern, at, PIECE.min(TOTAL - at));
        at += piece.len();
        if is_chunked {
            socket.send(format!("{:x}\r\n", piece.len())).await;
        }
        soon(socket.stream.write_all(piece)).await.unwrap();
        if is_chunked {
            socket.send("\r\n").await;
        }
    }
    if is_chunked {
        socket.send("0\r\n\r\n").await;
    }
}

/// Reads a body and compares it byte by byte.
async fn check_body(socket: &mut Socket, is_chunked: bool) {
    let (mut at, pattern) = (0, pattern());
    let mut same = |bytes: &[u8]| {
        for bytes in bytes.chunks(PIECE) {
            assert!(bytes == stretch(&pattern, at, bytes.len()), "after {at} bytes");
            at += bytes.len();
        }
        at
    };
    if is_chunked {
        loop {
            let line = socket.until("\r\n").await;
            let size = usize::from_str_radix(line.trim_end(), 16).unwrap();
            same(&socket.take(size).await);
            assert_eq!(socket.take(2).await, b"\r\n");
            if size == 0 {
                break;
            }
        }
    } else {
        while same(&socket.take(PIECE.min(TOTAL)).await) < TOTAL {}
    }
    assert_eq!(same(&[]), TOTAL);
}

async fn flows(name: &str, is_chunked: bool) {
    if !is_alone(&format!("chaos::large::{name}")) {
        return;
    }
    let framing = if is_chunked {
        "Transfer-Encoding: chunked".to_owned()
    } else {
        format!("Content-Length: {TOTAL}")
    };
    let line = Line::start().await;
    // A first round warms allocators up.
    let mut before = 0;
    for round in 0..2 {
        let head = format!("POST /x HTTP/1.1\r\nHost: s\r\nConnection: close\r\n{framing}\r\n\r\n");
        let (mut client, mut server) = line.asked(&head).await;
        tokio::join!(send_body(&mut client, is_chunked), check_body(&mut server, is_chunked));
        server.send(format!("HTTP/1.1 200 OK\r\nConnection: close\r\n{framing}\r\n\r\n")).await;
        let reading = async {
            assert!(client.head().await.starts_with("HTTP/1.1 200"));
            check_body(&mut client, is_chunked).await;
        };
        tokio::join!(send_body(&mut server, is_chunked), reading);
        if round == 0 {
            before = resident();
        }
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 4 << 20, "{grown} bytes more after {TOTAL} each way");
    assert!(peak() < TOTAL, "{} bytes at most, of which none may be a whole body", peak());
}

/// Most bytes of memory that this process ever had.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim_end_matches("kB").trim().parse::<usize>().unwrap() << 10
}

#[tokio::test]
async fn large_bodies_with_a_length_flow_in_bounded_memory() {
    flows("large_bodies_with_a_length_flow_in_bounded_memory", false).await;
}

#[tokio::test]
async fn large_bodies_in_chunks_flow_in_bounded_memory() {
    flows("large_bodies_in_chunks_flow_in_bounded_memory", true).await;
}

#[tokio::test]
async fn a_large_response_that_ends_with_its_connection_is_complete() {
    let line = Line::start().await;
    let (mut client, mut server) = line.asked("GET /x HTTP/1.0\r\nHost: s\r\n\r\n").await;
    let sending = async {
        server.send("HTTP/1.0 200 OK\r\n\r\n").await;
        for _ in 0..64 {
            server.send(&pattern()[..PIECE]).await;
        }
        server.half_close().await;
    };
    let reading = async {
        client.head().await;
        let mut all = Vec::new();
        soon(client.stream.read_to_end(&mut all)).await.unwrap();
        all
    };
    let ((), after_first_reads) = tokio::join!(sending, reading);
    let (buffered, end) = client.rest().await;
    assert_eq!(end, End::Closed);
    assert_eq!(buffered.chars().count() + after_first_reads.len(), 64 * PIECE);
}

#[tokio::test]
async fn chunks_of_all_sizes_are_put_together_again() {
    let line = Line::start().await;
    let mut numbers = super::Numbers(7);
    let (mut client, mut server) =
        line.asked("POST /x HTTP/1.1\r\nHost: s\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    let sizes: Vec<usize> = (0..3_000)
        .map(|number| match number % 3 {
            0 => 1 + numbers.below(4),
            1 => 1 + numbers.below(300),
            _ => 1 + numbers.below(9_000),
        })
        .collect();
    let total: usize = sizes.iter().sum();
    let pattern = pattern();
    let sending = async {
        let (mut at, mut bytes) = (0, Vec::new());
        for size in sizes {
            // Not all have one: their total is bounded.
            let extension = if size % 20 == 0 { ";n=1" } else { "" };
            bytes.extend(format!("{size:x}{extension}\r\n").bytes());
            bytes.extend(stretch(&pattern, at, size));
            bytes.extend(b"\r\n");
            at += size;
        }
        bytes.extend(b"0\r\n\r\n");
        // Cut where it means nothing, so that every part of a chunk is split somewhere.
        let mut rest = &bytes[..];
        let mut numbers = super::Numbers(8);
        while !rest.is_empty() {
            let cut = (1 + numbers.below(5_000)).min(rest.len());
            client.send(&rest[..cut]).await;
            rest = &rest[cut..];
        }
    };
    let reading = async {
        let mut at = 0;
        loop {
            let line = server.until("\r\n").await;
            let size = usize::from_str_radix(line.trim_end(), 16).expect("no extension");
            let data = server.take(size).await;
            assert!(data == stretch(&pattern, at, size), "after {at} bytes");
            at += size;
            assert_eq!(server.take(2).await, b"\r\n");
            if size == 0 {
                return at;
            }
        }
    };
    let ((), read) = tokio::join!(sending, reading);
    assert_eq!(read, total);
}
