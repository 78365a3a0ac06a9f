//! HTTP/2 through the `h2` crate: bodies as streams with windows.
//!
//! A window is given back when a piece has been taken out of the stream, and a piece is taken out when the
//! last one was sent on. So a slow receiver slows its sender down, and no more than one window is in
//! memory.

use crate::{
    buffer::Buffer,
    flow::Broken,
    h1::{Bad, Fields, body::Part, chunk::may_trail},
};
use bytes::{Buf as _, Bytes};
use h2::{RecvStream, SendStream, server::SendResponse};
use http::{HeaderMap, HeaderName, HeaderValue};
use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    rc::Rc,
    task::{Context, Poll},
};

/// A body that comes on a stream.
pub(crate) struct Incoming {
    stream: RecvStream,
    /// What the buffer had no room for.
    pending: Bytes,
    is_done: bool,
}

/// Turns an error of the crate into one of input and output.
pub(crate) fn broken(error: h2::Error) -> io::Error {
    if error.is_io() {
        return error.into_io().unwrap_or_else(|| io::ErrorKind::ConnectionReset.into());
    }
    io::Error::new(io::ErrorKind::ConnectionReset, error)
}

impl Incoming {
    pub(crate) fn new(stream: RecvStream) -> Self {
        let is_done = stream.is_end_stream();
        Self { stream, pending: Bytes::new(), is_done }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.is_done
    }

    /// See [`crate::flow::Source::next`].
    pub(crate) async fn next(&mut self, buffer: &mut Buffer) -> Result<Part, Broken> {
        while buffer.is_empty() && !self.is_done {
            if self.pending.is_empty() && !self.receive().await? {
                let trailers = self.stream.trailers().await;
                self.is_done = true;
                let trailers = trailers.map_err(|_error| Broken::Ended)?;
                let here = buffer.range();
                let trailers = trailers.as_ref().map(fields).transpose().map_err(Broken::Bad)?;
                return Ok(Part { data: here.start..here.start, next: here.start, trailers });
            }
            self.fill(buffer);
        }
        let here = buffer.range();
        Ok(Part { next: here.end, data: here, trailers: None })
    }

    /// The next piece as it came, without a copy; trailers and the end come with an empty one.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn piece(&mut self) -> Result<(Bytes, Option<Fields>), Broken> {
        while !self.is_done && self.pending.is_empty() {
            if !self.receive().await? {
                let trailers = self.stream.trailers().await;
                self.is_done = true;
                let trailers = trailers.map_err(|_error| Broken::Ended)?;
                let trailers = trailers.as_ref().map(fields).transpose().map_err(Broken::Bad)?;
                return Ok((Bytes::new(), trailers));
            }
        }
        let piece = std::mem::take(&mut self.pending);
        self.is_done |= self.stream.is_end_stream();
        Ok((piece, None))
    }

    /// See [`crate::flow::Source::whole`].
    pub(crate) async fn whole(&mut self, buffer: &mut Buffer, length: usize) -> Result<(), Broken> {
        while buffer.len() < length {
            if self.pending.is_empty() && !self.receive().await? {
                return Err(Broken::Ended);
            }
            self.fill(buffer);
        }
        Ok(())
    }

    /// Waits for the end of a body without content. What trails it means nothing.
    pub(crate) async fn nothing(&mut self) -> Result<(), Broken> {
        while !self.is_done {
            let has_more = self.receive().await?;
            if !self.pending.is_empty() {
                return Err(Broken::TooLong);
            }
            self.is_done = !has_more || self.stream.is_end_stream();
        }
        Ok(())
    }

    /// Takes the next piece out of the stream; false: there is none.
    async fn receive(&mut self) -> Result<bool, Broken> {
        match self.stream.data().await {
            Some(Ok(piece)) => {
                // The window belongs to the peer again once the piece is ours.
                let returned = self.stream.flow_control().release_capacity(piece.len());
                returned.map_err(|_error| Broken::Ended)?;
                self.pending = piece;
                Ok(true)
            }
            Some(Err(_)) => Err(Broken::Ended),
            None => Ok(false),
        }
    }

    fn fill(&mut self, buffer: &mut Buffer) {
        let room = buffer.room();
        let count = room.len().min(self.pending.len());
        room[..count].copy_from_slice(&self.pending[..count]);
        self.pending.advance(count);
        buffer.filled_up(count);
        self.is_done = self.pending.is_empty() && self.stream.is_end_stream();
    }
}

/// A body that goes onto a stream. The stream is borrowed only while it is polled.
pub(crate) struct Outgoing(Rc<RefCell<SendStream<Bytes>>>);

/// The client's side of a stream, to hear when it takes its request back.
pub(crate) enum Taken {
    /// Before the response.
    Head(Rc<RefCell<SendResponse<Bytes>>>),
    /// While the body goes.
    Body(Rc<RefCell<SendStream<Bytes>>>),
}

impl Taken {
    /// Waits until the client has taken the request back.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let reset = match self {
            Self::Head(respond) => respond.borrow_mut().poll_reset(cx),
            Self::Body(stream) => stream.borrow_mut().poll_reset(cx),
        };
        reset.map(|_| ())
    }
}

impl Outgoing {
    pub(crate) fn new(stream: SendStream<Bytes>) -> Self {
        Self(Rc::new(RefCell::new(stream)))
    }

    /// What hears when the other side does not want the body any more.
    pub(crate) fn taken(&self) -> Taken {
        Taken::Body(Rc::clone(&self.0))
    }

    /// Sends `piece` as the receiver's window allows.
    pub(crate) async fn send(
        &mut self,
        mut piece: Bytes,
        is_last: bool,
    ) -> Result<(), (usize, io::Error)> {
        let mut sent = 0;
        while !piece.is_empty() {
            self.0.borrow_mut().reserve_capacity(piece.len());
            let room = match poll_fn(|cx| self.poll_room(cx)).await {
                Some(Ok(room)) => room.min(piece.len()),
                Some(Err(error)) => return Err((sent, broken(error))),
                None => return Err((sent, io::ErrorKind::ConnectionReset.into())),
            };
            let now = piece.split_to(room);
            let ends = is_last && piece.is_empty();
            self.0.borrow_mut().send_data(now, ends).map_err(|error| (sent, broken(error)))?;
            sent += room;
        }
        if is_last && sent == 0 {
            self.0
                .borrow_mut()
                .send_data(Bytes::new(), true)
                .map_err(|error| (sent, broken(error)))?;
        }
        Ok(())
    }

    /// How much can be sent, at least one byte. The crate tells of room once only; what is left of it must be asked
    /// for.
    fn poll_room(&self, cx: &mut Context<'_>) -> Poll<Option<Result<usize, h2::Error>>> {
        let mut stream = self.0.borrow_mut();
        match stream.capacity() {
            0 => stream.poll_capacity(cx),
            room => Poll::Ready(Some(Ok(room))),
        }
    }

    pub(crate) fn end(&mut self, trailers: Option<&Fields>) -> Result<(), (usize, io::Error)> {
        let mut stream = self.0.borrow_mut();
        let ended = match trailers.map(map).filter(|map| !map.is_empty()) {
            Some(trailers) => stream.send_trailers(trailers),
            None => stream.send_data(Bytes::new(), true),
        };
        ended.map_err(|error| (0, broken(error)))
    }

    /// Breaks the body off, so that the receiver does not take it for complete.
    pub(crate) fn reset(&mut self, reason: h2::Reason) {
        self.0.borrow_mut().send_reset(reason);
    }
}

/// Trailers of HTTP/2 as fields.
pub(crate) fn fields(trailers: &HeaderMap) -> Result<Fields, Bad> {
    let mut fields = Fields::default();
    for (name, value) in trailers.iter().filter(|(name, _)| may_trail(name.as_str().as_bytes())) {
        // HTTP/1.1 would not give white space on to whoever reads it either.
        fields.add(name.as_str().as_bytes(), value.as_bytes().trim_ascii());
    }
    Ok(fields)
}

/// Fields as HTTP/2 has them. What it cannot express is left out.
pub(crate) fn map(fields: &Fields) -> HeaderMap {
    let mut map = HeaderMap::with_capacity(fields.len());
    for (_, name, value) in fields.iter() {
        let (name, value) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value));
        if let (Ok(name), Ok(value)) = (name, value) {
            map.append(name, value);
        }
    }
    map
}
