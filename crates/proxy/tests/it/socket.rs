//! One end of a TCP connection, driven by hand: bytes out, bytes in, and how it ended.

use crate::{
    support::{soon, stalls},
    wire,
};
use base::InstanceId;
use proxy::Endpoint;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The other side has said all it had to say.
    Closed,
    /// It broke off.
    Reset,
}

/// One end.
pub(crate) struct Socket {
    pub(crate) stream: TcpStream,
    /// Read and not yet taken.
    buffer: Vec<u8>,
}

impl Socket {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::new(TcpStream::connect(address).await.unwrap())
    }

    fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::new() }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        soon(self.stream.write_all(bytes.as_ref())).await.unwrap();
    }

    /// Takes everything up to and including `mark`.
    pub(crate) async fn until(&mut self, mark: &str) -> String {
        let taken = self.until_or_end(mark).await;
        taken
            .unwrap_or_else(|| panic!("no {mark:?} before the end: {:?}", wire::show(&self.buffer)))
    }

    /// Takes everything up to and including `mark`, or nothing when the end comes first.
    pub(crate) async fn until_or_end(&mut self, mark: &str) -> Option<String> {
        loop {
            if let Some(at) = wire::find(&self.buffer, mark.as_bytes()) {
                let taken: Vec<u8> = self.buffer.drain(..at + mark.len()).collect();
                return Some(wire::show(&taken));
            }
            let count = soon(self.stream.read_buf(&mut self.buffer)).await.unwrap_or(0);
            if count == 0 {
                return None;
            }
        }
    }

    /// Sends until `most` bytes are out or nobody takes any more; gives how many were taken.
    pub(crate) async fn send_until_it_stalls(&mut self, most: usize) -> usize {
        let piece = vec![b'x'; 1 << 16];
        let mut sent = 0;
        while sent < most {
            let more = self.stream.write(&piece[..piece.len().min(most - sent)]);
            match stalls(more).await {
                Some(Ok(count)) if count > 0 => sent += count,
                _ => break,
            }
        }
        sent
    }

    /// Takes a head.
    pub(crate) async fn head(&mut self) -> String {
        self.until("\r\n\r\n").await
    }

    /// Takes a head, or nothing when the end comes first.
    pub(crate) async fn head_or_end(&mut self) -> Option<String> {
        self.until_or_end("\r\n\r\n").await
    }

    /// Takes exactly `count` bytes.
    pub(crate) async fn take(&mut self, count: usize) -> Vec<u8> {
        let taken = self.take_or_end(count).await;
        taken.unwrap_or_else(|| panic!("the end came after {} bytes", self.buffer.len()))
    }

    /// Takes exactly `count` bytes, or nothing when the end comes first.
    pub(crate) async fn take_or_end(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < count {
            let read = soon(self.stream.read_buf(&mut self.buffer)).await.unwrap_or(0);
            if read == 0 {
                return None;
            }
        }
        Some(self.buffer.drain(..count).collect())
    }

    /// Takes everything there is until the end.
    pub(crate) async fn rest(&mut self) -> (String, End) {
        let end = loop {
            match soon(self.stream.read_buf(&mut self.buffer)).await {
                Ok(0) => break End::Closed,
                Ok(_) => {}
                Err(_) => break End::Reset,
            }
        };
        (wire::show(&std::mem::take(&mut self.buffer)), end)
    }

    /// Says that nothing more is sent, and goes on reading.
    pub(crate) async fn half_close(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// Breaks off: the other side gets a reset.
    pub(crate) fn reset(self) {
        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
}

/// An instance whose connections are driven by hand.
pub(crate) struct Instance {
    listener: TcpListener,
    name: &'static str,
}

impl Instance {
    pub(crate) async fn start() -> Self {
        Self::named("users/1").await
    }

    pub(crate) async fn named(name: &'static str) -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap(), name }
    }

    pub(crate) fn endpoint(&self) -> Arc<Endpoint> {
        let id = InstanceId::parse(self.name).unwrap();
        Endpoint::new(id, self.listener.local_addr().unwrap(), 1)
    }

    pub(crate) async fn accept(&self) -> Socket {
        Socket::new(soon(self.listener.accept()).await.unwrap().0)
    }
}
