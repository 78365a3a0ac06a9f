//! A connection to a server, and what of its answers is there.

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// How much is read at once.
const READ: usize = 256 << 10;

#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    buffer: BytesMut,
}

impl Wire {
    pub(crate) async fn open(place: &str) -> Self {
        let stream = TcpStream::connect(place).await.expect("the server listens");
        stream.set_nodelay(true).expect("the socket is one of TCP");
        Self { stream, buffer: BytesMut::new() }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("the server reads");
    }

    /// Waits for more of the answer.
    pub(crate) async fn more(&mut self) {
        self.buffer.reserve(READ);
        let count = self.stream.read_buf(&mut self.buffer).await.expect("the server answers");
        assert!(count > 0, "the server hung up");
    }

    /// What has come and was not taken.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer
    }

    /// Takes the first `count` bytes.
    pub(crate) fn take(&mut self, count: usize) -> Bytes {
        self.buffer.split_to(count).freeze()
    }
}

/// The line that begins at `at` and where the next one does, if its end has come.
pub(crate) fn line(bytes: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let rest = bytes.get(at..)?;
    let len = rest.windows(2).position(|pair| pair == b"\r\n")?;
    Some((&rest[..len], at + len + 2))
}

/// A number in an answer.
pub(crate) fn number(text: &[u8]) -> i64 {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).expect("a number")
}
