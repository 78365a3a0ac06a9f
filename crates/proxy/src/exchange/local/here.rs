//! A request that is answered here: its body goes to [`crate::local::Local::answer`] as it is taken, and the
//! response comes back as the caller takes it.

use super::{Asked, Coming, message};
use crate::{
    alarm::Elapsed,
    buffer::Buffer,
    config::LINGER,
    exchange::{Delivered, Ended, Scratch, arrival::is_small, go_on, until, whole},
    flow::{Broken, Source},
    h1::Framing,
    local::{BODY_SIZE_MAX, BodyError, BoxBody, Feed, LocalBody, flowing},
    refusal::Refusal,
    reply::Reply,
};
use bytes::Bytes;
use http::Response;
use std::{
    cell::Cell,
    future::{Future, pending, poll_fn},
    pin::{Pin, pin},
    task::Poll,
};

/// How far the request's body has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Up {
    Running,
    Done,
    /// Nobody wants the rest.
    Refused,
}

/// The request's body on its way.
struct Upload<'a, F> {
    future: Pin<&'a mut F>,
    up: Up,
    /// The response has begun; the connection's alarm is its own from then on.
    is_answered: &'a Cell<bool>,
}

/// Why there is no response.
enum Failed {
    /// The caller is gone.
    Gone,
    Refused(Refusal),
}

impl Asked<'_, '_> {
    /// Answers a request whose body may have `body_size_max` bytes.
    pub(super) async fn here(
        &self,
        body_size_max: u64,
        scratch: &mut Scratch,
        coming: Coming<'_, '_>,
        mut reply: Reply<'_>,
    ) -> Ended {
        let Coming { framing, source, buffer } = coming;
        let most = if self.is_grpc { u64::MAX } else { body_size_max.min(BODY_SIZE_MAX) };
        let length = if let Framing::Length(length) = framing { length } else { 0 };
        let started = if length > most {
            Err(Refusal::too_large_here())
        } else if is_small(framing) && !(self.is_grpc && framing != Framing::None) {
            self.whole(length, scratch, source, buffer, &mut reply).await
        } else {
            go_on(scratch, &mut reply).await.map(|()| None)
        };
        let ended = match started {
            Ok(Some(body)) => {
                let future = pin!(pending());
                let is_answered = &Cell::new(false);
                let upload = Upload { future, up: Up::Done, is_answered };
                self.answer(LocalBody::whole(body), upload, scratch, reply).await
            }
            Ok(None) => {
                let (body, feed) = flowing((length > 0).then_some(length));
                let is_answered = &Cell::new(false);
                let future = pin!(self.upload(most, is_answered, feed, source, buffer));
                let upload = Upload { future, up: Up::Running, is_answered };
                self.answer(body, upload, scratch, reply).await
            }
            Err(refusal) => {
                reply.close();
                return self.refuse(&refusal, self.context.worker.node(), scratch, reply).await;
            }
        };
        self.note(scratch, self.context.worker.node());
        ended
    }

    /// Reads a body that fits into memory.
    async fn whole(
        &self,
        length: u64,
        scratch: &mut Scratch,
        source: &mut Source<'_>,
        buffer: &mut Buffer,
        reply: &mut Reply<'_>,
    ) -> Result<Option<Bytes>, Refusal> {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length == 0 {
            return Ok(Some(Bytes::new()));
        }
        whole(self.context, scratch, length, source, buffer, reply).await?;
        self.notes.received(length);
        let body = Bytes::copy_from_slice(buffer.filled().get(..length).unwrap_or_default());
        source.finish(buffer);
        Ok(Some(body))
    }

    /// Puts the request's body where it is wanted, one piece when the last was taken.
    async fn upload(
        &self,
        most: u64,
        is_answered: &Cell<bool>,
        feed: Feed,
        source: &mut Source<'_>,
        buffer: &mut Buffer,
    ) -> Result<(), Broken> {
        let (worker, alarm) = (self.context.worker, self.context.alarm);
        let is_timed = || !self.is_grpc && !is_answered.get();
        loop {
            let room = feed.room().await.map_err(|_unwanted| Broken::Refused)?;
            if is_timed() {
                alarm.set(worker.now() + worker.config().stream_idle);
            }
            let piece = until(source.piece(buffer), feed.unwanted()).await;
            if is_timed() {
                alarm.clear();
            }
            let piece = piece.unwrap_or(Err(Broken::Refused)).and_then(|(data, trailers)| {
                self.notes.received(data.len());
                let fits = self.notes.bytes_in.get() <= most;
                if fits { Ok((data, trailers)) } else { Err(Broken::TooLong) }
            });
            let (data, trailers) = match piece {
                Ok(piece) => piece,
                Err(broken) => {
                    room.fail(BodyError::from(&broken));
                    return Err(broken);
                }
            };
            if !data.is_empty() {
                room.data(data);
                if let Some(trailers) = trailers {
                    let room = feed.room().await.map_err(|_unwanted| Broken::Refused)?;
                    room.trailers(&trailers);
                }
            } else if let Some(trailers) = trailers {
                room.trailers(&trailers);
            }
            if source.is_done() {
                return Ok(());
            }
        }
    }

    /// Asks for the response, and sends it.
    async fn answer<F: Future<Output = Result<(), Broken>>>(
        &self,
        body: LocalBody,
        mut upload: Upload<'_, F>,
        scratch: &mut Scratch,
        mut reply: Reply<'_>,
    ) -> Ended {
        let alarm = self.context.alarm;
        alarm.clear();
        let response = match message::request(&scratch.request, body) {
            Ok(request) => {
                let answering = self.local.answer(self.caller, request);
                match alarm.within(upload.response(answering, &reply)).await {
                    Ok(response) => response,
                    Err(Elapsed) => Err(Failed::Refused(Refusal::slow_client())),
                }
            }
            Err(refusal) => Err(Failed::Refused(refusal)),
        };
        match response {
            Ok(response) => self.respond(response, upload, scratch, reply).await,
            Err(Failed::Gone) => {
                self.notes.error.set(Some("client_gone"));
                Ended::Close
            }
            Err(Failed::Refused(refusal)) => {
                if upload.up != Up::Done {
                    reply.close();
                }
                self.notes.refusal.set(Some(refusal.code));
                let word = super::word;
                let body = word(self.context, &refusal, scratch, self.is_grpc);
                self.began(scratch);
                self.notes.sent(body.len());
                super::send_own(self.context, scratch, &body, reply).await
            }
        }
    }

    pub(super) fn began(&self, scratch: &Scratch) {
        self.notes.status.set(scratch.response.status);
        self.notes.first_byte.set(Some(self.context.worker.now()));
    }

    /// Sends the response, while the rest of the request's body may still come.
    async fn respond<F: Future<Output = Result<(), Broken>>>(
        &self,
        response: Response<BoxBody>,
        mut upload: Upload<'_, F>,
        scratch: &mut Scratch,
        mut reply: Reply<'_>,
    ) -> Ended {
        let (parts, body) = response.into_parts();
        message::respond(&parts, &mut scratch.response);
        self.began(scratch);
        upload.is_answered.set(true);
        let is_h2 = reply.is_h2();
        if !is_h2 {
            // Who answers has read what it wants by now; when that was not all, the next request cannot be found.
            upload.look().await;
            if upload.up == Up::Refused {
                reply.close();
            }
        }
        let is_watched = is_h2 || upload.up != Up::Running;
        let mut delivery = pin!(self.deliver(body, is_watched, scratch, reply));
        let delivered = loop {
            tokio::select! {
                biased;
                delivered = &mut delivery => break delivered,
                done = &mut upload.future, if upload.up == Up::Running => match done {
                    Ok(()) => upload.up = Up::Done,
                    Err(Broken::Ended) => break Delivered::Gone,
                    Err(_) => upload.up = Up::Refused,
                },
            }
        };
        if delivered == (Delivered::Whole { keeps: true }) && !is_h2 && upload.up == Up::Running {
            // The rest of the body is nearly always on its way; then the connection can be kept.
            let (worker, alarm) = (self.context.worker, self.context.alarm);
            alarm.set(worker.now() + LINGER);
            if let Ok(Ok(())) = alarm.within(&mut upload.future).await {
                upload.up = Up::Done;
            }
        }
        match delivered {
            Delivered::Whole { keeps: true } if is_h2 || upload.up == Up::Done => Ended::Keep,
            Delivered::Broken | Delivered::Late => {
                self.notes.error.set(Some("answer_broke"));
                Ended::Broken
            }
            Delivered::Gone => {
                self.notes.error.set(Some("client_gone"));
                Ended::Close
            }
            Delivered::Whole { .. } => Ended::Close,
        }
    }
}

impl<F: Future<Output = Result<(), Broken>>> Upload<'_, F> {
    /// Waits for the response while the request's body goes up.
    async fn response(
        &mut self,
        mut answering: impl Future<Output = Response<BoxBody>> + Unpin,
        reply: &Reply<'_>,
    ) -> Result<Response<BoxBody>, Failed> {
        let (gone, is_h2) = (reply.gone(), reply.is_h2());
        loop {
            tokio::select! {
                biased;
                response = &mut answering => return Ok(response),
                () = gone.left(), if self.up != Up::Running || is_h2 => return Err(Failed::Gone),
                done = &mut self.future, if self.up == Up::Running => self.up = match done {
                    Ok(()) => Up::Done,
                    Err(Broken::Refused) => Up::Refused,
                    Err(Broken::Bad(bad)) => return Err(Failed::Refused(Refusal::bad(bad))),
                    Err(Broken::TooLong) => {
                        return Err(Failed::Refused(Refusal::too_large_here()));
                    }
                    // It may have closed its side only, and hear what is wrong.
                    Err(Broken::Ended) => return Err(Failed::Refused(Refusal::client_gone())),
                },
            }
        }
    }

    /// Looks how far it is, without waiting.
    async fn look(&mut self) {
        if self.up != Up::Running {
            return;
        }
        let looked = poll_fn(|cx| Poll::Ready(self.future.as_mut().poll(cx))).await;
        if let Poll::Ready(done) = looked {
            self.up = if done.is_ok() { Up::Done } else { Up::Refused };
        }
    }
}
