//! Bodies that flow: a request's while its response may come back already, a response's as the client
//! takes it.

use super::{
    Delivered, Ended, Exchange, Scratch,
    both::{Answering, Both},
    go_on,
    pack::Packer,
    until,
};
use crate::{
    attempt::{Call, Failed, Trouble, unsent},
    buffer::{Buffer, SMALL},
    endpoint::InFlight,
    flow::{Broken, Coding, Sink, Source, pump},
    h1::{Framing, RequestHead, ResponseHead, body::Part},
    h2,
    onward::Length,
    reply::{Gone, Reply},
    transport::Transport,
    upstream,
};
use ::h2::client::ResponseFuture;
use logic::retry::Failure;
use std::{rc::Rc, sync::Arc};

/// What a body's framing says of its length.
pub(crate) fn length(framing: Framing) -> Length {
    match framing {
        Framing::None => Length::None,
        Framing::Length(length) => Length::Exact(length),
        Framing::Chunked | Framing::UntilClose => Length::Unknown,
    }
}

/// A request whose head is on its way to an instance.
struct Open {
    in_flight: InFlight,
    started: base::Moment,
    way: Way,
}

/// On a connection of its own or a stream of a shared one.
enum Way {
    Own { connection: Transport, is_kept: bool },
    Shared { response: ResponseFuture, body: Option<h2::Outgoing> },
}

/// A response's head was read; its body comes from here.
pub(super) enum From {
    Own(Framing),
    Shared(h2::Incoming),
}

impl Exchange<'_> {
    /// Answers a request whose body flows.
    pub(super) async fn streamed(
        &self,
        scratch: &mut Scratch,
        framing: Framing,
        source: &mut Source<'_>,
        buffer: &mut Buffer,
        mut reply: Reply<'_>,
    ) -> Ended {
        let (worker, alarm) = (self.context.worker, self.context.alarm);
        if framing != Framing::None
            && let Err(refusal) = go_on(scratch, &mut reply).await
        {
            reply.close();
            return self.refused(scratch, &refusal, None, 0, reply).await;
        }
        // What was not sent can be sent again; nothing else here can.
        let is_upload = framing != Framing::None && !self.is_grpc;
        let mut call = self.call(&scratch.request, framing == Framing::None, is_upload);
        alarm.set(self.times.head_from(worker.now()));
        let opened = alarm.within(self.open(&mut call, scratch, framing)).await;
        let open = match opened {
            Ok(Ok(open)) => open,
            failed => {
                reply.close();
                let refusal = match failed {
                    Ok(Err(failed)) => self.failed(&mut call, &failed),
                    _ => self.timed_out(&mut call),
                };
                return self.refused(scratch, &refusal, call.working.take(), 0, reply).await;
            }
        };
        self.exchange_bodies(open, call, scratch, framing, source, buffer, reply).await
    }

    /// Sends the head to an instance that takes it.
    async fn open(
        &self,
        call: &mut Call<'_>,
        scratch: &mut Scratch,
        framing: Framing,
    ) -> Result<Open, Failed> {
        let onward = self.onward(&scratch.request, length(framing));
        if !self.is_shared {
            let worker = self.context.worker;
            let identity =
                worker.random(|random| onward.write(&scratch.request, random, &mut scratch.up));
            self.notes.trace.set(identity.trace);
        }
        loop {
            let in_flight = call.pick().await?;
            let endpoint = Rc::clone(in_flight.endpoint());
            let started = call.picked_at();
            let way = if self.is_shared {
                self.open_shared(call, &endpoint, &scratch.request, framing).await
            } else {
                open_own(call, &endpoint, &scratch.up).await
            };
            match way {
                Ok(way) => return Ok(Open { in_flight, started, way }),
                Err(trouble) => call.again(trouble, &endpoint)?,
            }
        }
    }

    async fn open_shared(
        &self,
        call: &Call<'_>,
        endpoint: &Arc<crate::Endpoint>,
        request: &RequestHead,
        framing: Framing,
    ) -> Result<Way, Trouble> {
        let worker = self.context.worker;
        let unsent = |error: &::h2::Error| Trouble {
            failure: Failure::NotSent,
            is_endpoints: false,
            detail: error.to_string(),
        };
        let sender = match worker.pools(|pools| pools.shared(endpoint)) {
            Some(sender) => sender,
            None => call.connecting(upstream::connect_shared(worker, endpoint)).await?,
        };
        let mut sender = match sender.ready().await {
            Ok(sender) => sender,
            Err(error) => {
                worker.pools(|pools| pools.unshare(endpoint, endpoint.life()));
                return Err(unsent(&error));
            }
        };
        let mut onward = self.onward(request, length(framing));
        onward.grpc_timeout = self.times.grpc(worker.now());
        let authority = endpoint.address().to_string();
        let made = worker.random(|random| onward.request(request, random, &authority));
        let Some((head, identity)) = made else {
            return Err(Trouble {
                failure: Failure::TimedOut,
                is_endpoints: false,
                detail: "the request has no form in HTTP/2".to_owned(),
            });
        };
        self.notes.trace.set(identity.trace);
        let ends = framing == Framing::None;
        let (response, body) = sender.send_request(head, ends).map_err(|error| unsent(&error))?;
        let body = (!ends).then(|| h2::Outgoing::new(body));
        Ok(Way::Shared { response, body })
    }

    /// Sends the request's body up and the response down, at the same time where the instance wants
    /// that.
    #[expect(clippy::too_many_arguments, reason = "all parts of an exchange meet here")]
    async fn exchange_bodies(
        &self,
        open: Open,
        call: Call<'_>,
        scratch: &mut Scratch,
        framing: Framing,
        source: &mut Source<'_>,
        buffer: &mut Buffer,
        reply: Reply<'_>,
    ) -> Ended {
        let worker = self.context.worker;
        let Open { in_flight, started, way } = open;
        let mut both = Both { exchange: self, call, started, in_flight, down: worker.small() };
        let (connection, mut sink, response) = match way {
            Way::Own { connection, is_kept } => (Some((connection, is_kept)), Sink::Nowhere, None),
            Way::Shared { response, body } => {
                let sink = body.map_or(Sink::Nowhere, |body| Sink::H2(Box::new(body)));
                (None, sink, Some(response))
            }
        };
        let is_chunked = framing == Framing::Chunked;
        let coding = if is_chunked { Coding::Chunked } else { Coding::Plain };
        if let Some((connection, _)) = &connection {
            sink = Sink::H1 { transport: connection, coding };
        }
        let from = Answering { own: connection.as_ref(), shared: response };
        let upload = (framing != Framing::None).then_some((source, buffer, &mut sink));
        let outcome = both.run(from, upload, scratch, reply).await;
        drop(sink);
        let Both { in_flight, down, .. } = both;
        worker.give(down);
        if let Some((connection, _)) = connection
            && outcome.is_clean
        {
            worker.keep(in_flight.endpoint(), connection);
        }
        outcome.ended
    }

    /// Sends a response to the client as its body comes. When nothing else reads from the client's connection it
    /// may be watched, so that a client that leaves is noticed before the next piece.
    #[expect(clippy::too_many_arguments, reason = "all parts of a response meet here")]
    pub(super) async fn deliver(
        &self,
        source: &mut Source<'_>,
        buffer: &mut Buffer,
        first: Option<Part>,
        length: Length,
        is_watched: bool,
        scratch: &mut Scratch,
        mut reply: Reply<'_>,
    ) -> Delivered {
        let (worker, alarm) = (self.context.worker, self.context.alarm);
        let exact = if let Length::Exact(exact) = length { Some(exact) } else { None };
        let packer = match length {
            Length::None => None,
            _ => self.packer(&mut scratch.response, exact),
        };
        let length = if packer.is_some() { Length::Unknown } else { length };
        reply.expect(length);
        let keeps = reply.keeps_alive();
        let begun = reply.begin(&scratch.response, length, &worker.date(), &mut scratch.down);
        let Ok(mut sink) = begun else { return Delivered::Gone };
        let gone = if is_watched { sink.gone() } else { Gone::Never };
        let coming = Coming { source, buffer, first };
        let delivery = async {
            match packer {
                Some(packer) => self.packed_body(packer, coming, &mut sink, &scratch.down).await,
                None => self.body(coming, &mut sink, &scratch.down).await,
            }
        };
        self.rest(worker.now());
        let outcome = alarm.within(until(delivery, gone.wait())).await;
        let outcome = outcome.map(|delivered| delivered.unwrap_or(Err(Broken::Refused)));
        match outcome {
            Ok(Ok(())) => Delivered::Whole { keeps },
            Ok(Err(Broken::Refused)) => Delivered::Gone,
            broken => {
                if let Sink::H2(outgoing) = &mut sink {
                    outgoing.reset(::h2::Reason::INTERNAL_ERROR);
                }
                if broken.is_err() { Delivered::Late } else { Delivered::Broken }
            }
        }
    }

    /// Sends head and body as they come.
    async fn body(
        &self,
        coming: Coming<'_, '_>,
        sink: &mut Sink<'_>,
        head: &[u8],
    ) -> Result<(), Broken> {
        let Coming { source, buffer, first } = coming;
        let worker = self.context.worker;
        let refused = |_error| Broken::Refused;
        let Some(part) = first else {
            let is_empty = source.is_done();
            sink.send(head, &[], is_empty).await.map_err(refused)?;
            return if is_empty { Ok(()) } else { self.rest_of_body(source, buffer, sink).await };
        };
        let data = buffer.part(part.data.clone());
        self.sent(data.len());
        let (is_last, has_trailers) = (source.is_done(), part.trailers.is_some());
        sink.send(head, data, is_last && !has_trailers).await.map_err(refused)?;
        buffer.skip_to(part.next);
        match (is_last, has_trailers) {
            (true, true) => sink.end(part.trailers.as_ref()).await.map_err(refused),
            (true, false) => Ok(()),
            (false, _) => {
                if buffer.capacity() == SMALL && buffer.is_empty() {
                    worker.give(std::mem::replace(buffer, worker.large()));
                }
                self.rest_of_body(source, buffer, sink).await
            }
        }
    }

    async fn rest_of_body(
        &self,
        source: &mut Source<'_>,
        buffer: &mut Buffer,
        sink: &mut Sink<'_>,
    ) -> Result<(), Broken> {
        let seen = |count| {
            self.sent(count);
            self.rest(self.context.worker.now());
            true
        };
        pump(source, buffer, sink, seen).await
    }

    /// Sends head and body as they come, packed.
    async fn packed_body(
        &self,
        mut packer: Packer,
        coming: Coming<'_, '_>,
        sink: &mut Sink<'_>,
        head: &[u8],
    ) -> Result<(), Broken> {
        let Coming { source, buffer, first } = coming;
        let mut before = head;
        match &first {
            Some(part) => packer.add(buffer, part).map_err(|_failed| Broken::Ended)?,
            None => {
                sink.send(head, &[], false).await.map_err(|_error| Broken::Refused)?;
                before = &[];
            }
        }
        let seen = |count| {
            self.sent(count);
            self.rest(self.context.worker.now());
        };
        packer.pump(source, buffer, sink, before, seen).await
    }
}

/// A body that comes from an instance; `first` was taken out of the buffer already.
struct Coming<'a, 's> {
    source: &'a mut Source<'s>,
    buffer: &'a mut Buffer,
    first: Option<Part>,
}

async fn open_own(
    call: &Call<'_>,
    endpoint: &Arc<crate::Endpoint>,
    head: &[u8],
) -> Result<Way, Trouble> {
    let (connection, is_kept) = call.connection(endpoint).await?;
    match call.write(&connection, call.picked_at(), head, &[]).await {
        Ok(()) => Ok(Way::Own { connection, is_kept }),
        Err((written, error)) => Err(unsent(written, &error, is_kept)),
    }
}

/// The head of a response on a stream.
pub(super) async fn received(
    response: ResponseFuture,
    head: &mut ResponseHead,
) -> Result<From, Failed> {
    let response = response.await.map_err(|error| Failed::Upstream(error.to_string()))?;
    let (parts, body) = response.into_parts();
    head.begin(parts.status.as_u16(), 2);
    for (name, value) in &parts.headers {
        head.fields.add(name.as_str().as_bytes(), value.as_bytes());
    }
    Ok(From::Shared(h2::Incoming::new(body)))
}

/// The status of an answer as HTTP would have it: a gRPC answer without a message says how the call ended in
/// its head. As Envoy and gRPC's own mapping have it.
pub(super) fn grpc(head: &ResponseHead) -> u16 {
    match head.fields.named("grpc-status").next() {
        Some(b"14") => 503,
        // Unknown, internal, data loss.
        Some(b"2" | b"13" | b"15") => 500,
        _ => head.status,
    }
}
