//! HTTP/2 written byte by byte, for what a library refuses to send (RFC 9113 §4, RFC 7541).

use crate::{socket::Socket, support::soon};
use std::net::SocketAddr;
use tokio::io::AsyncWriteExt as _;

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const ACK: u8 = 1;
pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;

/// Name and value of a field, any bytes.
pub(super) type Field<'a> = (&'a [u8], &'a [u8]);

/// A frame as bytes.
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A field block of literals that are not indexed and not compressed.
pub(super) fn block(fields: &[Field<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        for text in [name, value] {
            integer(&mut bytes, text.len());
            bytes.extend_from_slice(text);
        }
    }
    bytes
}

/// An integer with a prefix of seven bits (RFC 7541 §5.1).
fn integer(bytes: &mut Vec<u8>, value: usize) {
    let Some(mut rest) = value.checked_sub(127) else {
        return bytes.push(u8::try_from(value).unwrap());
    };
    bytes.push(127);
    while rest >= 128 {
        bytes.push(u8::try_from(rest % 128).unwrap() | 128);
        rest /= 128;
    }
    bytes.push(u8::try_from(rest).unwrap());
}

/// A received frame.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
}

impl Frame {
    /// The error code of a RST_STREAM or GOAWAY frame.
    pub(super) fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        self.number(at)
    }

    pub(super) fn number(&self, at: usize) -> u32 {
        let bytes = self.payload[at..at + 4].try_into().unwrap();
        u32::from_be_bytes(bytes)
    }

    /// The status of a HEADERS frame, which is its first field.
    pub(super) fn status(&self) -> u16 {
        // A change of the table's size may come first (RFC 7541 §6.3).
        let skip = self.payload.iter().take_while(|byte| **byte & 0xe0 == 0x20).count();
        let block = &self.payload[skip..];
        match block[0] {
            indexed @ 0x88..=0x8e => {
                [200, 204, 206, 304, 400, 404, 500][usize::from(indexed - 0x88)]
            }
            // A literal with the indexed name `:status`.
            0x48 | 0x08 | 0x18 => digits(block[1], &block[2..]),
            other => panic!("no status begins with {other:#x}: {self:?}"),
        }
    }
}

/// A number as a string literal, Huffman-coded or plain (RFC 7541 §5.2, appendix B).
fn digits(length: u8, bytes: &[u8]) -> u16 {
    let count = usize::from(length & 0x7f);
    if length & 0x80 == 0 {
        return std::str::from_utf8(&bytes[..count]).unwrap().parse().unwrap();
    }
    let mut bits =
        bytes[..count].iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1));
    let mut next = |count: usize| -> u16 {
        bits.by_ref().take(count).fold(0, |all, bit| all << 1 | u16::from(bit))
    };
    let mut number = 0;
    for _ in 0..3 {
        // `0`, `1` and `2` have five bits, the other digits six.
        let five = next(5);
        let digit = if five <= 2 { five } else { (five << 1 | next(1)) - 0b01_1001 + 3 };
        number = number * 10 + digit;
    }
    number
}

/// A connection that has sent its preface.
pub(super) struct Raw(pub(super) Socket);

impl Raw {
    pub(super) async fn connect(address: SocketAddr) -> Self {
        let mut socket = Socket::connect(address).await;
        socket.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        socket.send(frame(SETTINGS, 0, 0, &[])).await;
        Self(socket)
    }

    pub(super) async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        // That the other side is gone shows in what is read.
        drop(soon(self.0.stream.write_all(&frame(kind, flags, stream, payload))).await);
    }

    /// The next frame that is not about the connection's own affairs; `None` at the end.
    pub(super) async fn next(&mut self) -> Option<Frame> {
        loop {
            let frame = self.any().await?;
            match frame.kind {
                SETTINGS if frame.flags & ACK == 0 => self.send(SETTINGS, ACK, 0, &[]).await,
                SETTINGS | PING | WINDOW_UPDATE => {}
                _ => return Some(frame),
            }
        }
    }

    /// The next frame, whatever it is.
    pub(super) async fn any(&mut self) -> Option<Frame> {
        let head = self.0.take_or_end(9).await?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let payload = self.0.take_or_end(length).await?;
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }
}
