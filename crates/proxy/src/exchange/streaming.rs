//! Bodies that flow: a request's while its response may come back already, a response's as the client
//! takes it.

use super::{Delivered, Ended, Exchange, Scratch, until};
use crate::{
    attempt::{Call, Failed, Trouble, unsent},
    buffer::{Buffer, SMALL},
    config::LINGER,
    endpoint::InFlight,
    flow::{Broken, Coding, Sink, Source, pump},
    h1::{BodyDecoder, Framing, RequestHead, ResponseHead, body::Part},
    h2,
    onward::Length,
    refusal::Refusal,
    reply::{Gone, Reply},
    transport::Transport,
    upstream,
};
use ::h2::client::ResponseFuture;
use logic::retry::Failure;
use std::{future::Future, io, pin::pin, sync::Arc};

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
enum From {
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
            && let Err(refusal) = self.go_on(scratch, &mut reply).await
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
        if !self.is_grpc {
            let worker = self.context.worker;
            let identity =
                worker.random(|random| onward.write(&scratch.request, random, &mut scratch.up));
            self.notes.trace.set(identity.trace);
        }
        loop {
            let in_flight = call.pick().await?;
            let endpoint = Arc::clone(in_flight.endpoint());
            let started = call.picked_at();
            let way = if self.is_grpc {
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
                worker.pools(|pools| pools.unshare(endpoint));
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
        let delivery = async {
            if let Some(mut packer) = packer {
                let mut before = &scratch.down[..];
                if let Some(part) = &first {
                    packer
                        .add(buffer, part)
                        .map_err(|_| Broken::Ended(io::ErrorKind::InvalidData.into()))?;
                } else {
                    sink.send(before, &[], false).await.map_err(|(_, e)| Broken::Refused(e))?;
                    before = &[];
                }
                let seen = |count| {
                    self.sent(count);
                    self.rest(worker.now());
                };
                return packer.pump(source, buffer, &mut sink, before, seen).await;
            }
            let mut is_complete = source.is_done() && first.is_none();
            match &first {
                Some(part) => {
                    let data = buffer.part(part.data.clone());
                    self.sent(data.len());
                    let ends = source.is_done() && part.trailers.is_none();
                    sink.send(&scratch.down, data, ends)
                        .await
                        .map_err(|(_, e)| Broken::Refused(e))?;
                    buffer.skip_to(part.next);
                    if source.is_done() && part.trailers.is_some() {
                        let ended = sink.end(part.trailers.as_ref()).await;
                        ended.map_err(|(_, e)| Broken::Refused(e))?;
                        is_complete = true;
                    }
                    is_complete |= ends;
                }
                None => {
                    let sent = sink.send(&scratch.down, &[], is_complete).await;
                    sent.map_err(|(_, e)| Broken::Refused(e))?;
                }
            }
            if is_complete {
                return Ok(());
            }
            if buffer.capacity() == SMALL && buffer.is_empty() {
                worker.give(std::mem::replace(buffer, worker.large()));
            }
            pump(source, buffer, &mut sink, |count| {
                self.sent(count);
                self.rest(worker.now());
                true
            })
            .await
        };
        self.rest(worker.now());
        let instead = || Err(Broken::Refused(io::ErrorKind::ConnectionReset.into()));
        let outcome = alarm.within(until(delivery, gone.wait(), instead())).await;
        match outcome {
            Ok(Ok(())) => Delivered::Whole { keeps },
            Ok(Err(Broken::Refused(_))) => Delivered::Gone,
            broken => {
                if let Sink::H2(outgoing) = &mut sink {
                    outgoing.reset(::h2::Reason::INTERNAL_ERROR);
                }
                if broken.is_err() { Delivered::Late } else { Delivered::Broken }
            }
        }
    }
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
fn received(
    response: ResponseFuture,
    head: &mut ResponseHead,
) -> impl Future<Output = Result<From, Failed>> {
    async move {
        let response = response.await.map_err(|error| Failed::Upstream(error.to_string()))?;
        let (parts, body) = response.into_parts();
        head.begin(parts.status.as_u16(), 2);
        for (name, value) in &parts.headers {
            head.fields.add(name.as_str().as_bytes(), value.as_bytes());
        }
        Ok(From::Shared(h2::Incoming::new(body)))
    }
}

/// The status of an answer as HTTP would have it: a gRPC answer without a message says how the call ended in
/// its head. As Envoy and gRPC's own mapping have it.
fn grpc(head: &ResponseHead) -> u16 {
    match head.fields.named("grpc-status").next() {
        Some(b"14") => 503,
        // Unknown, internal, data loss.
        Some(b"2" | b"13" | b"15") => 500,
        _ => head.status,
    }
}

/// Who answers.
struct Answering<'a> {
    own: Option<&'a (Transport, bool)>,
    shared: Option<ResponseFuture>,
}

/// A request's body on its way: where it comes from and goes.
type Upload<'u, 's, 'k> = (&'u mut Source<'s>, &'u mut Buffer, &'u mut Sink<'k>);

/// How far the request's body has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Up {
    Running,
    Done,
    /// The instance does not want the rest.
    Refused,
}

struct Outcome {
    ended: Ended,
    /// The connection to the instance can carry the next request.
    is_clean: bool,
}

/// Both bodies of an exchange.
struct Both<'e, 'x, 'c> {
    exchange: &'e Exchange<'x>,
    call: Call<'c>,
    started: base::Moment,
    in_flight: InFlight,
    down: Buffer,
}

impl Both<'_, '_, '_> {
    async fn run(
        &mut self,
        from: Answering<'_>,
        upload: Option<Upload<'_, '_, '_>>,
        scratch: &mut Scratch,
        mut reply: Reply<'_>,
    ) -> Outcome {
        let exchange = self.exchange;
        let (worker, alarm) = (exchange.context.worker, exchange.context.alarm);
        let mut up = if upload.is_some() { Up::Running } else { Up::Done };
        let upload = async {
            let Some((source, buffer, sink)) = upload else { return Ok(()) };
            let seen = |count| {
                exchange.rest(worker.now());
                exchange.received(count)
            };
            pump(source, buffer, sink, seen).await
        };
        let mut upload = pin!(upload);
        let own = from.own.map(|(connection, _)| connection);
        let endpoint = Arc::clone(self.in_flight.endpoint());
        let head = alarm.within(self.head(from, &mut upload, &mut up, scratch, &mut reply)).await;
        let from = match head {
            Ok(Ok(from)) => from,
            failed => {
                let refusal = match failed {
                    Ok(Err(failed)) => exchange.failed(&mut self.call, &failed),
                    // Nobody can say that the instance took too long.
                    _ if up == Up::Running => Refusal::slow_client(),
                    _ => exchange.timed_out(&mut self.call),
                };
                reply.close();
                let ended = exchange.refused(scratch, &refusal, Some(endpoint), 0, reply).await;
                return Outcome { ended, is_clean: false };
            }
        };
        let status = scratch.response.status;
        let status = if exchange.is_grpc { grpc(&scratch.response) } else { status };
        self.call.head_came(&endpoint, self.started, status);
        exchange.book(scratch.response.status, 0, Some(&endpoint));
        exchange.dress(&mut scratch.response);
        exchange.bind(&endpoint, &mut scratch.response);
        if up == Up::Refused {
            // Its rest stays unread, so the next request cannot be found.
            reply.close();
        }
        let is_watched = up == Up::Done || reply.is_h2();
        let keeps_own = scratch.response.keeps_alive();
        let (mut from, length) = match (from, own) {
            (From::Own(framing), Some(transport)) => {
                let decoder = BodyDecoder::new(framing);
                (Source::H1 { transport, decoder }, length(framing))
            }
            (From::Own(_), None) => return Outcome { ended: Ended::Close, is_clean: false },
            (From::Shared(incoming), _) => {
                let length = if incoming.is_done() { Length::None } else { Length::Unknown };
                (Source::H2(Box::new(incoming)), length)
            }
        };
        let is_until_close = matches!(&from, Source::H1 { decoder: BodyDecoder::UntilClose, .. });
        let delivery =
            exchange.deliver(&mut from, &mut self.down, None, length, is_watched, scratch, reply);
        let mut delivery = pin!(delivery);
        let delivered = loop {
            tokio::select! {
                biased;
                delivered = &mut delivery => break delivered,
                done = &mut upload, if up == Up::Running => match done {
                    Ok(()) => up = Up::Done,
                    Err(Broken::Refused(_)) => up = Up::Refused,
                    // The client broke off; it waits for nothing more.
                    Err(_) => break Delivered::Gone,
                },
            }
        };
        if up == Up::Running && delivered == (Delivered::Whole { keeps: true }) {
            // The rest of the body is nearly always on its way; then the connection can be kept.
            alarm.set(worker.now() + LINGER);
            if let Ok(Ok(())) = alarm.within(&mut upload).await {
                up = Up::Done;
            }
        }
        let ended = match delivered {
            Delivered::Whole { keeps: true } if up != Up::Done => Ended::Close,
            Delivered::Whole { keeps: true } => Ended::Keep,
            Delivered::Broken => {
                exchange.broke(&endpoint);
                Ended::Broken
            }
            Delivered::Late => Ended::Broken,
            Delivered::Whole { keeps: false } | Delivered::Gone => Ended::Close,
        };
        let is_whole = matches!(delivered, Delivered::Whole { .. });
        let is_clean = is_whole && keeps_own && up == Up::Done && !is_until_close;
        Outcome { ended, is_clean }
    }

    /// Waits for the head of the response while the request's body goes up.
    async fn head(
        &mut self,
        from: Answering<'_>,
        upload: &mut (impl Future<Output = Result<(), Broken>> + Unpin),
        up: &mut Up,
        scratch: &mut Scratch,
        reply: &mut Reply<'_>,
    ) -> Result<From, Failed> {
        let exchange = self.exchange;
        let (worker, alarm) = (exchange.context.worker, exchange.context.alarm);
        let (gone, is_h2) = (reply.gone(), reply.is_h2());
        let receive = async {
            match (from.own, from.shared) {
                (Some((connection, is_kept)), _) => {
                    let (down, head) = (&mut self.down, &mut scratch.response);
                    let read = self.call.receive(connection, down, head, reply).await;
                    read.map(From::Own).map_err(|unread| self.call.lost(unread, *is_kept))
                }
                (None, Some(response)) => {
                    let received = received(response, &mut scratch.response).await;
                    received.inspect_err(|_failed| self.call.broke())
                }
                (None, None) => Err(Failed::Upstream("it was not asked".to_owned())),
            }
        };
        let mut receive = pin!(receive);
        loop {
            tokio::select! {
                biased;
                head = &mut receive => return head,
                () = gone.wait(), if *up == Up::Done || is_h2 => return Err(Failed::Client),
                done = &mut *upload, if *up == Up::Running => {
                    // The response may take its time from now on.
                    alarm.set(exchange.times.head_from(worker.now()));
                    *up = match done {
                        Ok(()) => Up::Done,
                        // The instance may have answered before it hung up.
                        Err(Broken::Refused(_)) => Up::Refused,
                        Err(Broken::Bad(bad)) => return Err(Failed::Bad(bad)),
                        Err(Broken::TooLong) => return Err(Failed::TooLong),
                        Err(Broken::Ended(_)) => return Err(Failed::Client),
                    };
                }
            }
        }
    }
}
