//! Bodies under way: where they come from, where they go, whichever protocol either side speaks.
//!
//! One piece at a time is in memory: the next is read when the last was taken. That is the whole of flow
//! control for HTTP/1.1 and, with HTTP/2's windows given back as pieces are taken, for HTTP/2.

use crate::{
    buffer::Buffer,
    h1::{Bad, BodyDecoder, Fields, body::Part},
    h2,
    reply::Gone,
    transport::Transport,
};
use bytes::Bytes;
use std::io;

/// Why a body did not come whole.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The sender broke a rule.
    Bad(Bad),
    /// The sender's side ended or failed.
    Ended,
    /// The receiver's side failed.
    Refused,
    /// It is longer than allowed.
    TooLong,
}

/// Where a body comes from.
pub(crate) enum Source<'a> {
    /// An HTTP/1.1 connection. What was read of it lies in the buffer that goes with it.
    H1 { transport: &'a Transport, decoder: BodyDecoder },
    /// A stream of HTTP/2.
    H2(Box<h2::Incoming>),
}

impl Source<'_> {
    /// Whether nothing more comes.
    pub(crate) fn is_done(&self) -> bool {
        match self {
            Self::H1 { decoder, .. } => decoder.is_done(),
            Self::H2(incoming) => incoming.is_done(),
        }
    }

    /// The next piece of the body, which lies in `buffer`. Empty with trailers or at the end only.
    ///
    /// # Cancel safety
    /// Cancel safe: what was read stays in the buffer.
    pub(crate) async fn next(&mut self, buffer: &mut Buffer) -> Result<Part, Broken> {
        match self {
            Self::H1 { transport, decoder } => loop {
                let part = decoder.take(buffer).map_err(Broken::Bad)?;
                if !part.data.is_empty() || decoder.is_done() {
                    return Ok(part);
                }
                buffer.skip_to(part.next);
                let is_until_close = matches!(decoder, BodyDecoder::UntilClose);
                match transport.read(buffer).await {
                    Ok(0) if is_until_close => *decoder = BodyDecoder::Done,
                    Ok(0) => return Err(Broken::Ended),
                    Ok(_) => {}
                    Err(_) => return Err(Broken::Ended),
                }
            },
            Self::H2(incoming) => incoming.next(buffer).await,
        }
    }

    /// The next piece of the body, to be kept. Empty with trailers or at the end only.
    ///
    /// # Cancel safety
    /// Cancel safe, as [`Self::next`].
    pub(crate) async fn piece(
        &mut self,
        buffer: &mut Buffer,
    ) -> Result<(Bytes, Option<Fields>), Broken> {
        if let Self::H2(incoming) = self
            && buffer.is_empty()
        {
            return incoming.piece().await;
        }
        let part = self.next(buffer).await?;
        let piece = Bytes::copy_from_slice(buffer.part(part.data));
        buffer.skip_to(part.next);
        Ok((piece, part.trailers))
    }

    /// Reads the body of `length` bytes, which the buffer has room for, without using it up.
    ///
    /// # Cancel safety
    /// Cancel safe for HTTP/1.1.
    pub(crate) async fn whole(&mut self, buffer: &mut Buffer, length: usize) -> Result<(), Broken> {
        match self {
            Self::H1 { transport, .. } => {
                while buffer.len() < length {
                    match transport.read(buffer).await {
                        Ok(0) => return Err(Broken::Ended),
                        Ok(_) => {}
                        Err(_) => return Err(Broken::Ended),
                    }
                }
                Ok(())
            }
            Self::H2(incoming) => incoming.whole(buffer, length).await,
        }
    }
}

impl Source<'_> {
    /// Uses up a body that [`Source::whole`] has read.
    pub(crate) fn finish(&mut self, buffer: &mut Buffer) {
        match self {
            Self::H1 { decoder, .. } => {
                if let Ok(part) = decoder.take(buffer) {
                    buffer.skip_to(part.next);
                }
            }
            Self::H2(_) => buffer.skip_to(buffer.range().end),
        }
    }
}

/// How a body is delimited towards HTTP/1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    /// There is no body: only what comes before it is sent.
    Nothing,
    /// By its length or the connection's end.
    Plain,
    /// In chunks.
    Chunked,
}

/// Where a body goes.
pub(crate) enum Sink<'a> {
    /// An HTTP/1.1 connection.
    H1 { transport: &'a Transport, coding: Coding },
    /// A stream of HTTP/2.
    H2(Box<h2::Outgoing>),
    /// Nowhere: the head of a response without a body was sent already.
    Nowhere,
}

/// What ends a chunked body without trailers.
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Up to this length a body is copied behind its head: that costs less than to tell the kernel of two parts.
const JOINED_MAX: usize = 4 * 1024;

impl<'a> Sink<'a> {
    /// Sends a whole message.
    pub(crate) async fn send_whole(
        &mut self,
        head: &mut Vec<u8>,
        body: &[u8],
    ) -> Result<(), (usize, io::Error)> {
        match self {
            Self::H1 { transport, coding: Coding::Plain } if body.len() <= JOINED_MAX => {
                head.extend_from_slice(body);
                transport.write_one(head).await
            }
            _ => self.send(head, body, true).await,
        }
    }

    /// Sends one piece; with `before` in front of it (a head), and the end behind it when `is_last`.
    pub(crate) async fn send(
        &mut self,
        before: &[u8],
        piece: &[u8],
        is_last: bool,
    ) -> Result<(), (usize, io::Error)> {
        match self {
            Self::H1 { transport, coding: Coding::Nothing } => transport.write_one(before).await,
            Self::H1 { transport, coding: Coding::Plain } => {
                transport.write(&[before, piece]).await
            }
            Self::H1 { transport, coding: Coding::Chunked } => {
                let mut line = [0; 18];
                let size = chunk_line(piece.len(), &mut line);
                let end: &[u8] = match (piece.is_empty(), is_last) {
                    (true, true) => return transport.write(&[before, LAST_CHUNK]).await,
                    (true, false) => return transport.write(&[before]).await,
                    (false, true) => b"\r\n0\r\n\r\n",
                    (false, false) => b"\r\n",
                };
                transport.write(&[before, size, piece, end]).await
            }
            Self::H2(outgoing) if piece.is_empty() && !is_last => Ok(()),
            Self::H2(outgoing) => outgoing.send(Bytes::copy_from_slice(piece), is_last).await,
            Self::Nowhere => Ok(()),
        }
    }

    /// As [`Self::send`], for a piece that need not be copied where it is kept.
    pub(crate) async fn give(
        &mut self,
        before: &[u8],
        piece: Bytes,
        is_last: bool,
    ) -> Result<(), (usize, io::Error)> {
        match self {
            Self::H2(outgoing) if !piece.is_empty() || is_last => {
                outgoing.send(piece, is_last).await
            }
            _ => self.send(before, &piece, is_last).await,
        }
    }

    /// What hears when the receiver is gone.
    pub(crate) fn gone(&self) -> Gone<'a> {
        match self {
            Self::H1 { transport, .. } => Gone::H1(transport),
            Self::H2(outgoing) => Gone::H2(outgoing.taken()),
            Self::Nowhere => Gone::Never,
        }
    }

    /// Ends the body, with trailers where they can be sent.
    pub(crate) async fn end(
        &mut self,
        trailers: Option<&Fields>,
    ) -> Result<(), (usize, io::Error)> {
        match self {
            Self::H1 { transport, coding: Coding::Chunked } => {
                let mut last = b"0\r\n".to_vec();
                for (_, name, value) in trailers.into_iter().flat_map(Fields::iter) {
                    last.extend_from_slice(name);
                    last.extend_from_slice(b": ");
                    last.extend_from_slice(value);
                    last.extend_from_slice(b"\r\n");
                }
                last.extend_from_slice(b"\r\n");
                transport.write(&[&last]).await
            }
            Self::H1 { coding: Coding::Plain | Coding::Nothing, .. } | Self::Nowhere => Ok(()),
            Self::H2(outgoing) => outgoing.end(trailers),
        }
    }
}

/// The line before a chunk of `size` bytes.
fn chunk_line(size: usize, line: &mut [u8; 18]) -> &[u8] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    line[16..].copy_from_slice(b"\r\n");
    let (mut at, mut left) = (16, size);
    loop {
        at -= 1;
        line[at] = DIGITS[left % 16];
        left /= 16;
        if left == 0 {
            return &line[at..];
        }
    }
}

/// Moves a body from `source` to `sink` until its end. `seen` is told of every piece and may refuse it.
///
/// # Cancel safety
/// Not cancel safe: a piece may have been sent in part.
pub(crate) async fn pump(
    source: &mut Source<'_>,
    buffer: &mut Buffer,
    sink: &mut Sink<'_>,
    mut seen: impl FnMut(usize) -> bool,
) -> Result<(), Broken> {
    let refused = |_error| Broken::Refused;
    loop {
        let part = source.next(buffer).await?;
        let is_last = source.is_done();
        if !part.data.is_empty() {
            if !seen(part.data.len()) {
                return Err(Broken::TooLong);
            }
            let ends = is_last && part.trailers.is_none();
            sink.send(&[], buffer.part(part.data), ends).await.map_err(refused)?;
            buffer.skip_to(part.next);
            if ends {
                return Ok(());
            }
        } else {
            buffer.skip_to(part.next);
        }
        if is_last {
            return sink.end(part.trailers.as_ref()).await.map_err(refused);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunk_lines_are_hexadecimal() {
        let mut line = [0; 18];
        assert_eq!(chunk_line(0, &mut line), b"0\r\n");
        assert_eq!(chunk_line(0xabc, &mut line), b"abc\r\n");
        assert_eq!(chunk_line(usize::MAX, &mut line), b"ffffffffffffffff\r\n");
    }
}
