//! The response that was made here, on its way to the caller.

use super::{Asked, message};
use crate::{
    alarm::Elapsed,
    exchange::{Delivered, Ended, Scratch, until},
    flow::Sink,
    h1::Known,
    h2,
    local::BoxBody,
    onward::Length,
    refusal::Refusal,
    reply::{Gone, Reply},
};
use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as _, Frame};
use std::{
    future::{Future, poll_fn},
    io,
    pin::Pin,
    task::Poll,
};

impl Asked<'_, '_> {
    /// Sends head and body as they come.
    pub(super) async fn deliver(
        &self,
        mut body: BoxBody,
        is_watched: bool,
        scratch: &mut Scratch,
        mut reply: Reply<'_>,
    ) -> Delivered {
        let announced = body.size_hint().exact();
        let head = &mut scratch.response;
        if reply.is_head()
            && !head.fields.has(Known::ContentLength)
            && let Some(length) = announced.filter(|length| *length > 0)
        {
            head.fields.add(b"content-length", length.to_string().as_bytes());
        }
        let first = if reply.is_head() || !message::has_body(head.status) {
            Some(Next::End)
        } else {
            poll_fn(|cx| {
                let next = Pin::new(&mut body).poll_frame(cx);
                Poll::Ready(match next {
                    Poll::Ready(frame) => Some(Next::of(frame, &body)),
                    Poll::Pending => None,
                })
            })
            .await
        };
        let length = match (&first, announced) {
            (Some(Next::Failed), _) => return self.instead(scratch, reply).await,
            (Some(Next::End), _) => Length::None,
            (Some(Next::Data(data, true)), _) => Length::Exact(count(data)),
            (_, Some(length)) => Length::Exact(length),
            (_, None) => Length::Unknown,
        };
        reply.expect(length);
        let keeps = reply.keeps_alive();
        let date = self.context.worker.date();
        let Ok(mut sink) = reply.begin(&scratch.response, length, &date, &mut scratch.down) else {
            return Delivered::Gone;
        };
        let gone = if is_watched { sink.gone() } else { Gone::Never };
        match self.pieces(body, first, length, &scratch.down, &mut sink, &gone).await {
            Ok(()) => Delivered::Whole { keeps },
            Err(delivered) => {
                if let (Sink::H2(outgoing), Delivered::Broken | Delivered::Late) =
                    (&mut sink, delivered)
                {
                    outgoing.reset(::h2::Reason::INTERNAL_ERROR);
                }
                delivered
            }
        }
    }

    /// Says that the answer failed before any of it was sent.
    async fn instead(&self, scratch: &mut Scratch, mut reply: Reply<'_>) -> Delivered {
        reply.close();
        let refusal = Refusal::failed_here();
        self.notes.refusal.set(Some(refusal.code));
        let body = super::word(self.context, &refusal, scratch, self.is_grpc);
        self.began(scratch);
        self.notes.sent(body.len());
        match super::send_own(self.context, scratch, &body, reply).await {
            Ended::Keep => Delivered::Whole { keeps: true },
            _ => Delivered::Whole { keeps: false },
        }
    }

    /// Sends head and pieces until the body's end.
    async fn pieces(
        &self,
        mut body: BoxBody,
        mut next: Option<Next>,
        length: Length,
        head: &[u8],
        sink: &mut Sink<'_>,
        gone: &Gone<'_>,
    ) -> Result<(), Delivered> {
        let mut left = if let Length::Exact(length) = length { Some(length) } else { None };
        let mut before = head;
        if next.is_none() {
            self.taken(sink.send(before, &[], false)).await?;
            before = &[];
        }
        loop {
            let piece = match next.take() {
                Some(next) => next,
                None => until(Next::from(&mut body), gone.left()).await.ok_or(Delivered::Gone)?,
            };
            match piece {
                Next::Data(data, is_last) => {
                    if let Some(left) = &mut left {
                        // More or less than was announced would be taken for another message.
                        *left = left.checked_sub(count(&data)).ok_or(Delivered::Broken)?;
                        if is_last && *left > 0 {
                            return Err(Delivered::Broken);
                        }
                    }
                    self.notes.sent(data.len());
                    self.taken(sink.give(before, data, is_last)).await?;
                    if is_last {
                        return Ok(());
                    }
                }
                Next::End | Next::Trailers(_) if left.is_some_and(|left| left > 0) => {
                    return Err(Delivered::Broken);
                }
                Next::End if !before.is_empty() => {
                    return self.taken(sink.send(before, &[], true)).await;
                }
                Next::End => return self.taken(sink.end(None)).await,
                Next::Trailers(trailers) => {
                    let trailers = h2::fields(&trailers).map_err(|_bad| Delivered::Broken)?;
                    if !before.is_empty() {
                        self.taken(sink.send(before, &[], false)).await?;
                    }
                    return self.taken(sink.end(Some(&trailers))).await;
                }
                Next::Failed => return Err(Delivered::Broken),
            }
            before = &[];
        }
    }

    /// Waits until a piece is on its way, no longer than one may stand still.
    async fn taken(
        &self,
        sending: impl Future<Output = Result<(), (usize, io::Error)>>,
    ) -> Result<(), Delivered> {
        let (worker, alarm) = (self.context.worker, self.context.alarm);
        alarm.set(worker.now() + worker.config().stream_idle);
        match alarm.within(sending).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Delivered::Gone),
            Err(Elapsed) => Err(Delivered::Late),
        }
    }
}

/// What comes next of a response's body.
enum Next {
    /// A piece, and whether it is the last.
    Data(Bytes, bool),
    Trailers(HeaderMap),
    End,
    Failed,
}

impl Next {
    fn of<E>(frame: Option<Result<Frame<Bytes>, E>>, body: &BoxBody) -> Self {
        let frame = match frame {
            None => return Self::End,
            Some(Err(_)) => return Self::Failed,
            Some(Ok(frame)) => frame,
        };
        match frame.into_data() {
            Ok(data) => {
                let is_last = body.is_end_stream();
                Self::Data(data, is_last)
            }
            // There are only data and trailers.
            Err(frame) => Self::Trailers(frame.into_trailers().unwrap_or_default()),
        }
    }

    /// Waits for it.
    async fn from(body: &mut BoxBody) -> Self {
        let frame = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await;
        Self::of(frame, body)
    }
}

fn count(data: &Bytes) -> u64 {
    u64::try_from(data.len()).unwrap_or(u64::MAX)
}
