//! A connection as bytes, plain or encrypted.
//!
//! Reading and writing take it by reference, so that one task can send a body up while it receives
//! the answer. Nothing is borrowed over a wait.

use crate::{buffer::Buffer, endpoint::Slot};
use std::{
    cell::RefCell,
    future::poll_fn,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// A stream of either kind.
pub(crate) enum Stream {
    Tcp(TcpStream),
    Tls(Box<tokio_rustls::server::TlsStream<TcpStream>>),
}

/// A connection.
pub(crate) struct Transport {
    stream: RefCell<Stream>,
    /// That it counts as one to its instance, if it leads to one.
    slot: Option<Slot>,
}

impl Transport {
    pub(crate) fn new(stream: Stream) -> Self {
        Self { stream: RefCell::new(stream), slot: None }
    }

    /// A connection to an instance.
    pub(crate) fn counted(stream: Stream, slot: Slot) -> Self {
        Self { stream: RefCell::new(stream), slot: Some(slot) }
    }

    pub(crate) fn into_stream(self) -> Stream {
        self.stream.into_inner()
    }

    /// Reads into `room`; 0: the other side sends nothing more.
    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        room: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut read = ReadBuf::new(room);
        ready!(match &mut *self.stream.borrow_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(cx, &mut read),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_read(cx, &mut read),
        })?;
        Poll::Ready(Ok(read.filled().len()))
    }

    /// Reads more into `buffer`, which must have room; 0: the other side sends nothing more.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn read(&self, buffer: &mut Buffer) -> io::Result<usize> {
        let count = poll_fn(|cx| self.poll_read(cx, buffer.room())).await?;
        buffer.filled_up(count);
        Ok(count)
    }

    /// Writes all of `bytes`.
    ///
    /// # Errors
    /// With how much had been written when it broke.
    pub(crate) async fn write_one(&self, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
        let mut written = 0;
        poll_fn(|cx| {
            while let Some(left @ [_, ..]) = bytes.get(written..) {
                let wrote = match &mut *self.stream.borrow_mut() {
                    Stream::Tcp(stream) => Pin::new(stream).poll_write(cx, left),
                    Stream::Tls(stream) => Pin::new(&mut **stream).poll_write(cx, left),
                };
                match ready!(wrote)? {
                    0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    count => written += count,
                }
            }
            self.poll_flush(cx)
        })
        .await
        .map_err(|error| (written, error))
    }

    /// Writes all of `parts`, at most four, in as few calls as possible.
    ///
    /// # Errors
    /// With how much had been written when it broke.
    pub(crate) async fn write(&self, parts: &[&[u8]]) -> Result<(), (usize, io::Error)> {
        let mut written = 0;
        poll_fn(|cx| {
            loop {
                let mut slices = [IoSlice::new(&[]); 4];
                let left = unwritten(parts, written, &mut slices);
                if left.is_empty() {
                    return self.poll_flush(cx);
                }
                match ready!(self.poll_write(cx, left))? {
                    0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    count => written += count,
                }
            }
        })
        .await
        .map_err(|error| (written, error))
    }

    fn poll_write(&self, cx: &mut Context<'_>, parts: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let mut stream = self.stream.borrow_mut();
        match parts {
            [one] => Pin::new(&mut *stream).poll_write(cx, one),
            several => Pin::new(&mut *stream).poll_write_vectored(cx, several),
        }
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self.stream.borrow_mut() {
            // What was written to a socket is on its way.
            Stream::Tcp(_) => Poll::Ready(Ok(())),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_flush(cx),
        }
    }

    /// Says that nothing more will be sent.
    pub(crate) async fn shut(&self) -> io::Result<()> {
        poll_fn(|cx| Pin::new(&mut *self.stream.borrow_mut()).poll_shutdown(cx)).await
    }

    /// Lets the connection end with a reset, and without TLS's goodbye, so that nobody takes for whole what was sent.
    pub(crate) fn abort(&self) {
        let stream = self.stream.borrow();
        let socket = match &*stream {
            Stream::Tcp(socket) => socket,
            Stream::Tls(stream) => stream.get_ref().0,
        };
        // When it cannot be set, the socket is gone already.
        let _set = socket2::SockRef::from(socket).set_linger(Some(std::time::Duration::ZERO));
    }

    /// Waits until the other side has broken the connection off (a reset). One that only sends nothing more
    /// still listens, as far as anybody can tell. Must not be used while something reads.
    pub(crate) fn poll_broken(&self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let stream = self.stream.borrow();
        let socket = match &*stream {
            Stream::Tcp(socket) => socket,
            Stream::Tls(stream) => stream.get_ref().0,
        };
        match ready!(socket.poll_read_ready(cx)) {
            Err(error) => Poll::Ready(error),
            // Something came: an end, the next request, or an error.
            Ok(()) => match socket.take_error() {
                Ok(Some(error)) | Err(error) => Poll::Ready(error),
                Ok(None) => Poll::Pending,
            },
        }
    }

    /// Waits until the other side sends nothing more, or has broken the connection off; the next request that it
    /// sends hides both. Must not be used while something reads.
    pub(crate) fn poll_ended(&self, cx: &mut Context<'_>) -> Poll<()> {
        let stream = self.stream.borrow();
        let Stream::Tcp(socket) = &*stream else {
            drop(stream);
            return self.poll_broken(cx).map(|_error| ());
        };
        match ready!(socket.poll_peek(cx, &mut ReadBuf::new(&mut [0]))) {
            Ok(0) | Err(_) => Poll::Ready(()),
            Ok(_) => Poll::Pending,
        }
    }

    /// Whether it is open and quiet, as a connection must be that is used again. Costs no system call
    /// unless something happened on it; so a worker that was held up may not have heard yet that the other
    /// side is gone, which matters when an instance was stopped and started meanwhile: one from before a
    /// drain is not used again.
    pub(crate) fn is_quiet(&self) -> bool {
        if self.slot.as_ref().is_some_and(|slot| !slot.is_current()) {
            return false;
        }
        let mut nothing = [0];
        match &*self.stream.borrow() {
            // Asks for nothing to wake it, which would cost three times as much.
            Stream::Tcp(stream) => {
                let read = stream.try_read(&mut nothing);
                read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
            }
            Stream::Tls(_) => {
                let polled = self.poll_read(&mut Context::from_waker(Waker::noop()), &mut nothing);
                polled.is_pending()
            }
        }
    }
}

/// What is left of `parts` after so many bytes, without empty parts, put into `slices`.
fn unwritten<'s, 'a>(
    parts: &[&'a [u8]],
    written: usize,
    slices: &'s mut [IoSlice<'a>; 4],
) -> &'s [IoSlice<'a>] {
    let (mut skip, mut count) = (written, 0);
    for part in parts {
        let rest = part.get(skip..).unwrap_or_default();
        skip = skip.saturating_sub(part.len());
        if let Some(slice) = slices.get_mut(count).filter(|_| !rest.is_empty()) {
            *slice = IoSlice::new(rest);
            count += 1;
        }
    }
    &slices[..count]
}

impl Stream {
    fn reader(self: Pin<&mut Self>) -> Pin<&mut (dyn AsyncRead + Unpin)> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream),
            Self::Tls(stream) => Pin::new(&mut **stream),
        }
    }

    fn writer(self: Pin<&mut Self>) -> Pin<&mut (dyn AsyncWrite + Unpin)> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream),
            Self::Tls(stream) => Pin::new(&mut **stream),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.reader().poll_read(cx, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.writer().poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.writer().poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer().poll_shutdown(cx)
    }
}

/// A stream of which the first bytes were read already.
pub(crate) struct Prefixed {
    first: Buffer,
    stream: Stream,
}

impl Prefixed {
    pub(crate) fn new(first: Buffer, stream: Stream) -> Self {
        Self { first, stream }
    }
}

impl AsyncRead for Prefixed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let here = self.first.range();
        let end = here.end.min(here.start + buffer.remaining());
        buffer.put_slice(self.first.part(here.start..end));
        self.first.skip_to(end);
        if self.first.is_empty() {
            self.first = Buffer::default();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Prefixed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
