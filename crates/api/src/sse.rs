//! Streams that go on: server-sent events (WHATWG HTML §9.2) and lines of JSON.
//!
//! A stream is pulled: the next piece is made when the connection has taken the last one. So a slow client holds one
//! piece and a cursor, and gets pictures that are newer instead of a queue of old ones; one that takes nothing for
//! long is cut off by [`crate::patience`].

use crate::answer::{Answer, body_of};
use bytes::Bytes;
use futures_util::stream;
use http::StatusCode;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use runtime::Stop;
use serde::Serialize;
use std::{convert::Infallible, future::Future, time::Duration};
use tokio::sync::OwnedSemaphorePermit;

pub(crate) const SSE: &str = "text/event-stream";
pub(crate) const NDJSON: &str = "application/x-ndjson";

/// Something is sent at least this often, so that both ends notice when the other is gone.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// How pieces are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Sse,
    Ndjson,
}

/// Makes the pieces of a stream.
pub(crate) trait Source: Send + 'static {
    /// The next piece; `None` at the end. Must be cancel safe.
    fn next(&mut self) -> impl Future<Output = Option<Bytes>> + Send;
}

/// A message with the number to resume after.
pub(crate) fn message(id: u64, event: &str, data: &impl Serialize) -> Bytes {
    Bytes::from(format!("id: {id}\nevent: {event}\n{}\n", lines(data)))
}

/// A message that cannot be resumed after.
pub(crate) fn plain_message(event: &str, data: &impl Serialize) -> Bytes {
    Bytes::from(format!("event: {event}\n{}\n", lines(data)))
}

/// The `data` lines of a message. JSON is one line, but for values that are kept as they were written: those may have
/// line breaks between their parts.
fn lines(data: &impl Serialize) -> String {
    let data = serde_json::to_string(data).unwrap_or_default();
    let lines = data.split(['\r', '\n']).filter(|line| !line.is_empty());
    lines.map(|line| format!("data: {line}\n")).collect()
}

/// The answer that streams `source` until it or the node ends. The permit is given back with the stream.
pub(crate) fn answer<S: Source>(
    source: S,
    format: Format,
    stop: Stop,
    permit: OwnedSemaphorePermit,
) -> Answer {
    let state = State { source, format, stop, _permit: permit, is_begun: false };
    let body = stream::unfold(state, |mut state| async move {
        let piece = state.piece().await?;
        Some((Ok::<_, Infallible>(Frame::data(piece)), state))
    });
    let kind = match format {
        Format::Sse => SSE,
        Format::Ndjson => NDJSON,
    };
    body_of(StatusCode::OK, kind, BodyExt::boxed_unsync(StreamBody::new(body)))
}

struct State<S> {
    source: S,
    format: Format,
    stop: Stop,
    _permit: OwnedSemaphorePermit,
    is_begun: bool,
}

impl<S: Source> State<S> {
    async fn piece(&mut self) -> Option<Bytes> {
        if !self.is_begun && self.format == Format::Sse {
            // The client learns that it is connected before there is anything to say, and when to try again.
            self.is_begun = true;
            return Some(Bytes::from_static(b"retry: 1000\n\n"));
        }
        tokio::select! {
            biased;
            () = self.stop.wait() => None,
            piece = self.source.next() => piece,
            () = tokio::time::sleep(HEARTBEAT) => Some(match self.format {
                Format::Sse => Bytes::from_static(b":\n\n"),
                Format::Ndjson => Bytes::from_static(b"\n"),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_have_line_breaks_are_one_message() {
        let raw = "{ \"a\":\r\n1,\n\n\"b\": 2 }".to_owned();
        let raw = serde_json::value::RawValue::from_string(raw).unwrap();
        let text = "id: 7\nevent: x\ndata: { \"a\":\ndata: 1,\ndata: \"b\": 2 }\n\n";
        assert_eq!(message(7, "x", &raw), text);
        assert_eq!(plain_message("x", &"a\nb"), "event: x\ndata: \"a\\nb\"\n\n");
    }
}
