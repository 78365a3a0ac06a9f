//! One request and its response: where it leads, what goes up, what comes down.
//!
//! Whichever protocol the client speaks, it arrives here as a head, a source for its body and a reply for its
//! response. A body that fits into memory is read first and can be sent again; a longer one
//! flows while the response may come back already (`streaming`).

pub(crate) mod guard;
pub(crate) mod note;
pub(crate) mod pack;
pub(crate) mod sticky;
pub(crate) mod streaming;
pub(crate) mod target;

use crate::{
    alarm::{Alarm, Elapsed},
    attempt::{Answer, Asked, Call, Failed},
    buffer::{Buffer, LARGE},
    cluster::Cluster,
    config::REPLAY_SIZE_MAX,
    endpoint::{Endpoint, InFlight},
    flow::{Broken, Source},
    h1::{BodyDecoder, Framing, Known, RequestHead, ResponseHead},
    listener::Listener,
    onward::{Length, Onward},
    refusal::Refusal,
    reply::Reply,
    snapshot::{Route, Snapshot},
    times::Times,
    transport::Transport,
    worker::Worker,
};
use logic::{outlier::Event, retry};
use note::Notes;
use std::{
    future::{Future, poll_fn},
    net::SocketAddr,
    pin::pin,
    rc::Rc,
    sync::Arc,
    task::Poll,
};

/// What belongs to a client's connection.
pub(crate) struct Context<'a> {
    pub(crate) worker: &'a Rc<Worker>,
    pub(crate) listener: &'a Arc<Listener>,
    pub(crate) client: SocketAddr,
    /// Its address as fields have it.
    pub(crate) client_text: &'a str,
    /// `http` or `https`.
    pub(crate) scheme: &'static str,
    pub(crate) alarm: &'a Alarm,
}

/// Memory that one exchange needs besides buffers; a worker uses it again.
#[derive(Default)]
pub(crate) struct Scratch {
    pub(crate) request: RequestHead,
    pub(crate) response: ResponseHead,
    /// The head on its way to the instance.
    pub(crate) up: Vec<u8>,
    /// The head on its way to the client.
    pub(crate) down: Vec<u8>,
}

impl Scratch {
    /// Bytes that it holds.
    pub(crate) fn capacity(&self) -> usize {
        let fields = self.request.fields.capacity() + self.response.fields.capacity();
        fields + self.up.capacity() + self.down.capacity()
    }
}

/// What becomes of the client's connection.
pub(crate) enum Ended {
    /// It can carry the next request.
    Keep,
    /// It ends.
    Close,
    /// The response broke off, and the client must notice.
    Broken,
    /// Both sides switched to another protocol.
    Switched(Switched),
}

/// The instance's side of a connection that switched protocols.
pub(crate) struct Switched {
    pub(crate) connection: Transport,
    pub(crate) buffer: Buffer,
    pub(crate) in_flight: InFlight,
}

/// One exchange.
pub(crate) struct Exchange<'a> {
    pub(crate) context: &'a Context<'a>,
    pub(crate) cluster: &'a Arc<Cluster>,
    pub(crate) route: Option<&'a Route>,
    pub(crate) is_grpc: bool,
    pub(crate) started: base::Moment,
    pub(crate) snapshot: &'a Rc<Snapshot>,
    /// Until when what must have happened.
    pub(crate) times: Times,
    /// Path and query as the instance gets them; `None`: as they were sent.
    pub(crate) path: Option<String>,
    /// What the route's policy does to request and response.
    pub(crate) effects: Option<Box<policy::Effects>>,
    /// How the response may be packed.
    pub(crate) asked: policy::compress::Asked,
    /// The client stays at one instance.
    pub(crate) stay: Option<sticky::Stay<'a>>,
    pub(crate) is_trusted: bool,
    pub(crate) notes: Notes,
}

/// A request before it is known where it goes.
struct Arrival<'a, 'c> {
    context: &'a Context<'c>,
    scratch: &'a mut Scratch,
    started: base::Moment,
    is_grpc: bool,
}

impl Arrival<'_, '_> {
    /// Answers it here.
    async fn refuse(
        &mut self,
        refusal: &Refusal,
        edits: Option<&policy::Effects>,
        reply: Reply<'_>,
    ) -> Ended {
        let body = refusal.response(&mut self.scratch.response, self.is_grpc);
        if let Some(effects) = edits {
            guard::edit(&mut self.scratch.response.fields, &effects.response);
        }
        self.note(Some(refusal.code));
        send_own(self.context, self.scratch, &body, reply).await
    }

    /// Answers it as its policy says.
    async fn reply(&mut self, policy: &policy::Reply, reply: Reply<'_>) -> Ended {
        if let Some(delay) = policy.delay {
            tokio::time::sleep(delay).await;
        }
        let body = if self.is_grpc && policy.status >= 400 {
            let refusal = Refusal::policy(policy.status, policy.code, &policy.message);
            refusal.response(&mut self.scratch.response, true)
        } else {
            guard::reply(policy, &mut self.scratch.response)
        };
        self.note((!policy.code.is_empty()).then_some(policy.code));
        send_own(self.context, self.scratch, &body, reply).await
    }

    fn note(&self, refusal: Option<&'static str>) {
        let notes = Notes::default();
        notes.status.set(self.scratch.response.status);
        notes.first_byte.set(Some(self.context.worker.now()));
        notes.refusal.set(refusal);
        note::write(self.context, &self.scratch.request, &notes, self.started, None, None);
    }
}

/// Answers one request. Its head is in `scratch`, what was read of its body in `buffer`.
pub(crate) async fn serve(
    context: &Context<'_>,
    scratch: &mut Scratch,
    framing: Framing,
    source: &mut Source<'_>,
    buffer: &mut Buffer,
    mut reply: Reply<'_>,
) -> Ended {
    let snapshot = context.worker.snapshot();
    let is_grpc = scratch.request.is_grpc();
    let started = context.worker.now();
    let mut arrival = Arrival { context, scratch, started, is_grpc };
    let route = match target::route(context, &snapshot, &arrival.scratch.request) {
        Ok(route) => route,
        Err(refusal) => {
            if !outlives(refusal.status, framing, source, buffer) {
                reply.close();
            }
            return arrival.refuse(&refusal, None, reply).await;
        }
    };
    let (route, respelt) = route.map_or((None, None), |(route, path)| (Some(route), path));
    let (mut effects, mut asked) = (None, policy::compress::Asked::default());
    if guard::is_asked(context, &snapshot, route) {
        let request = &arrival.scratch.request;
        let asking = guard::admit(context, route, &snapshot, request, respelt.as_deref());
        match Box::pin(asking).await {
            Ok(admitted) => (effects, asked) = (Some(Box::new(admitted.effects)), admitted.asked),
            Err(answer) => {
                if !outlives(answer.status, framing, source, buffer) {
                    reply.close();
                }
                return Box::pin(arrival.reply(&answer, reply)).await;
            }
        }
    }
    let request = &arrival.scratch.request;
    let known = route.and_then(|route| sticky::target(context, &snapshot, route, request));
    let (cluster, target) = match target::cluster(context, &snapshot, route, known, request) {
        Ok(found) => found,
        Err(refusal) => {
            if !outlives(refusal.status, framing, source, buffer) {
                reply.close();
            }
            return arrival.refuse(&refusal, effects.as_deref(), reply).await;
        }
    };
    let path = target::path(route, effects.as_deref(), &scratch.request);
    let stay = sticky::find(context, &snapshot, route, cluster, &scratch.request);
    if let Some(effects) = &effects {
        guard::edit(&mut scratch.request.fields, &effects.request);
        if let Some(delay) = effects.delay {
            tokio::time::sleep(delay).await;
        }
    }
    let said = target::settings(context, route, cluster, target);
    let times = Times::new(started, said, &scratch.request.fields, is_grpc);
    let peer = context.client.ip().to_canonical();
    let exchange = Exchange {
        context,
        cluster,
        route,
        is_grpc,
        started,
        snapshot: &snapshot,
        times,
        path,
        effects,
        asked,
        stay,
        // A client on this machine may be a proxy that ends TLS.
        is_trusted: peer.is_loopback() || snapshot.clients().trust(peer),
        notes: Notes::default(),
    };
    let is_small = match framing {
        Framing::None => true,
        Framing::Length(length) => length <= u64::try_from(REPLAY_SIZE_MAX).unwrap_or(0),
        Framing::Chunked | Framing::UntilClose => false,
    };
    let ended = if exchange.is_too_long(framing) {
        reply.close();
        exchange.refused(scratch, &Refusal::too_long(), None, 0, reply).await
    } else if is_small && !is_grpc {
        exchange.run(scratch, framing, source, buffer, reply).await
    } else {
        // Seldom, and large as a future: it has its own memory while it lasts.
        Box::pin(exchange.streamed(scratch, framing, source, buffer, reply)).await
    };
    exchange.note(&scratch.request);
    ended
}

/// Whether the connection outlives a refusal: the body that nobody wants must be out of the way.
fn outlives(status: u16, framing: Framing, source: &mut Source<'_>, buffer: &mut Buffer) -> bool {
    if status == 400 {
        return false;
    }
    match (framing, source) {
        (Framing::None, _) | (_, Source::H2(_)) => true,
        (_, Source::H1 { decoder, .. }) => {
            let part = decoder.take(buffer);
            if let Ok(part) = &part {
                buffer.skip_to(part.next);
            }
            part.is_ok() && decoder.is_done()
        }
    }
}

/// Sends an answer of our own.
pub(crate) async fn refuse(
    context: &Context<'_>,
    scratch: &mut Scratch,
    refusal: &Refusal,
    is_grpc: bool,
    reply: Reply<'_>,
) -> Ended {
    let body = refusal.response(&mut scratch.response, is_grpc);
    send_own(context, scratch, &body, reply).await
}

/// Sends the response whose head is in `scratch`.
async fn send_own(
    context: &Context<'_>,
    scratch: &mut Scratch,
    body: &[u8],
    reply: Reply<'_>,
) -> Ended {
    let length = u64::try_from(body.len()).unwrap_or(u64::MAX);
    let length = if body.is_empty() { Length::None } else { Length::Exact(length) };
    let keeps = reply.keeps_alive();
    let date = context.worker.date();
    let Ok(mut sink) = reply.begin(&scratch.response, length, &date, &mut scratch.down) else {
        return Ended::Close;
    };
    context.alarm.set(context.worker.recent() + context.worker.config().stream_idle);
    match context.alarm.within(sink.send(&scratch.down, body, true)).await {
        Ok(Ok(())) if keeps => Ended::Keep,
        _ => Ended::Close,
    }
}

impl Exchange<'_> {
    /// Answers a request whose body fits into memory.
    async fn run(
        &self,
        scratch: &mut Scratch,
        framing: Framing,
        source: &mut Source<'_>,
        buffer: &mut Buffer,
        mut reply: Reply<'_>,
    ) -> Ended {
        let (worker, alarm) = (self.context.worker, self.context.alarm);
        let mut length = 0;
        if let Framing::Length(announced) = framing {
            length = usize::try_from(announced).unwrap_or(usize::MAX);
            if let Err(refusal) = self.whole(scratch, length, source, buffer, &mut reply).await {
                reply.close();
                return self.refused(scratch, &refusal, None, 0, reply).await;
            }
            self.received(length);
        }
        let announced = u64::try_from(length).unwrap_or(u64::MAX);
        let announced = if length == 0 { Length::None } else { Length::Exact(announced) };
        let onward = self.onward(&scratch.request, announced);
        let identity =
            worker.random(|random| onward.write(&scratch.request, random, &mut scratch.up));
        self.notes.trace.set(identity.trace);
        let mut call = self.call(&scratch.request, true, false);
        alarm.set(self.times.head_from(self.started));
        let body = buffer.filled().get(..length).unwrap_or_default();
        let gone = reply.gone();
        let called = call.run(&scratch.up, body, &mut scratch.response, &mut reply);
        let outcome = alarm.within(until(called, gone.wait(), Err(Failed::Client))).await;
        source.finish(buffer);
        let retries = call.used.retries;
        match outcome {
            Ok(Ok(answer)) => self.forward(answer, retries, scratch, reply).await,
            Ok(Err(failed)) => {
                let refusal = self.failed(&mut call, &failed);
                if matches!(failed, Failed::Client) {
                    reply.close();
                }
                self.refused(scratch, &refusal, call.working.take(), retries, reply).await
            }
            Err(Elapsed) => {
                let refusal = self.timed_out(&mut call);
                self.refused(scratch, &refusal, call.working.take(), retries, reply).await
            }
        }
    }

    /// Reads the request's body, which is so long.
    async fn whole(
        &self,
        scratch: &mut Scratch,
        length: usize,
        source: &mut Source<'_>,
        buffer: &mut Buffer,
        reply: &mut Reply<'_>,
    ) -> Result<(), Refusal> {
        if buffer.len() >= length {
            return Ok(());
        }
        self.go_on(scratch, reply).await?;
        if length > buffer.capacity() {
            buffer.grow(LARGE);
        }
        let (worker, alarm) = (self.context.worker, self.context.alarm);
        alarm.set(worker.now() + worker.config().body_timeout);
        match alarm.within(source.whole(buffer, length)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(Broken::Bad(bad))) => Err(Refusal::bad(bad)),
            Ok(Err(_)) => Err(Refusal::client_gone()),
            Err(Elapsed) => Err(Refusal::slow_client()),
        }
    }

    /// Tells a client that waits for it to send its body (RFC 9110 §10.1.1).
    async fn go_on(&self, scratch: &mut Scratch, reply: &mut Reply<'_>) -> Result<(), Refusal> {
        if scratch.request.version > 0 && scratch.request.fields.has(Known::Expect) {
            scratch.response.begin(100, 1);
            let told = reply.inform(&scratch.response).await;
            told.map_err(|_gone| Refusal::client_gone())?;
        }
        Ok(())
    }

    fn onward<'b>(&'b self, request: &'b RequestHead, body: Length) -> Onward<'b> {
        let is_nameless = request.host().is_empty();
        let rewritten = self.effects.as_ref().and_then(|effects| effects.host.as_deref());
        Onward {
            kind: &self.context.listener.kind,
            client: self.context.client_text,
            is_trusted: self.is_trusted,
            scheme: self.context.scheme,
            path: self.path.as_deref().unwrap_or_else(|| request.path_and_query()),
            host: rewritten.or_else(|| is_nameless.then(|| self.cluster.service.as_str())),
            body,
            grpc_timeout: None,
            is_timed: self.times.is_told(),
        }
    }

    fn call(&self, request: &RequestHead, is_replayable: bool, is_upload: bool) -> Call<'_> {
        let asked = Asked {
            stays: self.stay.as_ref().and_then(|stay| stay.endpoint),
            key: target::key(self.context, self.cluster, request),
            is_idempotent: retry::is_idempotent(request.method()) && request.upgrade().is_none(),
            is_replayable,
            is_head: request.method() == "HEAD",
            is_upload,
            is_shared: self.is_grpc,
        };
        let Context { worker, alarm, .. } = self.context;
        Call::new(worker, alarm, self.snapshot, self.cluster, &self.times, asked)
    }

    /// Books why a request got no answer, and says what the client gets.
    fn failed(&self, call: &mut Call<'_>, failed: &Failed) -> Refusal {
        if let Failed::TimedOut(_) = failed {
            call.timed_out();
            self.cluster.counters.timed_out();
        } else {
            call.failed(failed);
        }
        failed.refusal(&self.cluster.service)
    }

    fn timed_out(&self, call: &mut Call<'_>) -> Refusal {
        self.failed(call, &Failed::TimedOut(self.times.limit))
    }

    /// Lets a body stand still for as long as it may from `now` on.
    fn rest(&self, now: base::Moment) {
        match self.times.idle_from(now) {
            Some(at) => self.context.alarm.set(at),
            None => self.context.alarm.clear(),
        }
    }

    /// The largest body of a request.
    pub(crate) fn body_max(&self) -> u64 {
        let policy = self.route.and_then(|route| route.settings.policy.as_ref());
        policy.and_then(|policy| policy.body_max()).unwrap_or(u64::MAX)
    }

    fn is_too_long(&self, framing: Framing) -> bool {
        matches!(framing, Framing::Length(length) if length > self.body_max())
    }

    /// Counts a piece of the request's body in; false: it is too long.
    pub(crate) fn received(&self, bytes: usize) -> bool {
        self.cluster.counters.received(bytes);
        self.notes.received(bytes);
        self.notes.bytes_in.get() <= self.body_max()
    }

    /// Counts a piece of the response's body in.
    pub(crate) fn sent(&self, bytes: usize) {
        self.cluster.counters.sent(bytes);
        self.notes.sent(bytes);
    }

    /// Changes the response as the route's policy wants it.
    pub(crate) fn dress(&self, head: &mut ResponseHead) {
        if let Some(effects) = &self.effects {
            guard::edit(&mut head.fields, &effects.response);
        }
    }

    /// Binds the client to the instance that answered, if clients stay at one.
    pub(crate) fn bind(&self, answered: &Arc<Endpoint>, head: &mut ResponseHead) {
        if let Some(stay) = &self.stay {
            stay.bind(self.context, self.cluster, answered, head);
        }
    }

    /// Books what became of the request.
    fn book(&self, status: u16, retries: u32, endpoint: Option<&Arc<Endpoint>>) {
        let now = self.context.worker.recent();
        self.notes.status.set(status);
        self.notes.first_byte.set(Some(now));
        self.notes.retries.set(retries);
        *self.notes.endpoint.borrow_mut() = endpoint.cloned();
        let latency = now.since(self.started);
        let latency_us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        let counters = [Some(&*self.cluster.counters), self.route.map(|route| &*route.counters)];
        let own = endpoint.map(|endpoint| endpoint.counters());
        for counters in counters.into_iter().chain([own]).flatten() {
            counters.answered(status, latency_us);
            if retries > 0 {
                counters.retried();
            }
        }
    }

    async fn refused(
        &self,
        scratch: &mut Scratch,
        refusal: &Refusal,
        endpoint: Option<Arc<Endpoint>>,
        retries: u32,
        reply: Reply<'_>,
    ) -> Ended {
        self.book(refusal.status, retries, endpoint.as_ref());
        self.notes.refusal.set(Some(refusal.code));
        let body = refusal.response(&mut scratch.response, self.is_grpc);
        self.dress(&mut scratch.response);
        send_own(self.context, scratch, &body, reply).await
    }

    /// Sends an instance's response on.
    async fn forward(
        &self,
        mut answer: Answer,
        retries: u32,
        scratch: &mut Scratch,
        reply: Reply<'_>,
    ) -> Ended {
        self.book(scratch.response.status, retries, Some(answer.in_flight.endpoint()));
        if scratch.response.status == 101 {
            return self.switch(answer, scratch, reply).await;
        }
        let worker = self.context.worker;
        self.dress(&mut scratch.response);
        self.bind(answer.in_flight.endpoint(), &mut scratch.response);
        let mut decoder = BodyDecoder::new(answer.framing);
        let keeps_own = scratch.response.keeps_alive();
        let Ok(part) = decoder.take(&mut answer.buffer) else {
            worker.give(answer.buffer);
            let refusal = Refusal::upstream(&self.cluster.service, "its body is not valid");
            return self.answer_instead(scratch, &refusal, reply).await;
        };
        if !decoder.is_done() || part.trailers.is_some() {
            // Seldom enough; the usual future stays small.
            return Box::pin(self.flow(answer, part, decoder, scratch, reply)).await;
        }
        // All of it is here: the instance is free before a slow client has taken it.
        let Answer { connection, mut buffer, in_flight, .. } = answer;
        if keeps_own && part.next == buffer.range().end {
            worker.keep(in_flight.endpoint(), connection);
        }
        drop(in_flight);
        let keeps = reply.keeps_alive();
        let data = buffer.part(part.data.clone());
        let packed = self.packed(&mut scratch.response, data);
        let data = packed.as_deref().unwrap_or(data);
        let length = match data.len() {
            0 => Length::None,
            length => Length::Exact(u64::try_from(length).unwrap_or(u64::MAX)),
        };
        let ended = match reply.begin(&scratch.response, length, &worker.date(), &mut scratch.down)
        {
            Ok(mut sink) => {
                self.sent(data.len());
                self.rest(worker.recent());
                let sending = sink.send(&scratch.down, data, true);
                match self.context.alarm.within(sending).await {
                    Ok(Ok(())) if keeps => Ended::Keep,
                    Ok(Ok(())) => Ended::Close,
                    _ => self.lost("client_gone"),
                }
            }
            Err(_) => self.lost("client_gone"),
        };
        buffer.skip_to(part.next);
        worker.give(buffer);
        ended
    }

    /// Answers in place of a response that cannot be sent on.
    async fn answer_instead(
        &self,
        scratch: &mut Scratch,
        refusal: &Refusal,
        reply: Reply<'_>,
    ) -> Ended {
        self.notes.status.set(refusal.status);
        self.notes.refusal.set(Some(refusal.code));
        let body = refusal.response(&mut scratch.response, self.is_grpc);
        self.dress(&mut scratch.response);
        send_own(self.context, scratch, &body, reply).await
    }

    /// A whole body packed, when the response is to be packed.
    fn packed(&self, head: &mut ResponseHead, data: &[u8]) -> Option<Vec<u8>> {
        self.route?.settings.policy.as_ref()?.compress()?;
        let length = u64::try_from(data.len()).ok();
        self.packer(head, length)?.whole(data)
    }

    /// The exchange broke off.
    fn lost(&self, error: &'static str) -> Ended {
        self.notes.error.set(Some(error));
        Ended::Close
    }

    /// Sends on a response whose body is not all there yet.
    async fn flow(
        &self,
        answer: Answer,
        first: crate::h1::body::Part,
        decoder: BodyDecoder,
        scratch: &mut Scratch,
        reply: Reply<'_>,
    ) -> Ended {
        let Answer { connection, mut buffer, framing, in_flight, .. } = answer;
        let worker = self.context.worker;
        let keeps_own = scratch.response.keeps_alive();
        let mut source = Source::H1 { transport: &connection, decoder };
        let flowed = self.deliver(
            &mut source,
            &mut buffer,
            Some(first),
            streaming::length(framing),
            true,
            scratch,
            reply,
        );
        let ended = flowed.await;
        match ended {
            Delivered::Whole { keeps } => {
                if keeps_own
                    && source.is_done()
                    && buffer.is_empty()
                    && framing != Framing::UntilClose
                {
                    worker.keep(in_flight.endpoint(), connection);
                }
                worker.give(buffer);
                if keeps { Ended::Keep } else { Ended::Close }
            }
            Delivered::Broken => {
                self.broke(in_flight.endpoint());
                worker.give(buffer);
                Ended::Broken
            }
            Delivered::Late => {
                worker.give(buffer);
                Ended::Broken
            }
            Delivered::Gone => {
                worker.give(buffer);
                Ended::Close
            }
        }
    }

    /// Books that an instance broke off in the middle of its response.
    fn broke(&self, endpoint: &Endpoint) {
        let worker = self.context.worker;
        let traffic = worker.traffic(self.cluster);
        self.cluster.saw(endpoint, worker.now_ms(), Event::Broken, traffic);
    }

    /// Both sides switch to another protocol, if the client asked for that.
    async fn switch(&self, answer: Answer, scratch: &mut Scratch, reply: Reply<'_>) -> Ended {
        let Answer { connection, buffer, in_flight, .. } = answer;
        if scratch.request.upgrade().is_none() {
            self.context.worker.give(buffer);
            let refusal = Refusal::upstream(&self.cluster.service, "it switched protocols unasked");
            return self.answer_instead(scratch, &refusal, reply).await;
        }
        let date = self.context.worker.date();
        let begun = reply.begin(&scratch.response, Length::None, &date, &mut scratch.down);
        let Ok(mut sink) = begun else { return Ended::Close };
        match sink.send(&scratch.down, &[], false).await {
            Ok(()) => Ended::Switched(Switched { connection, buffer, in_flight }),
            Err(_) => Ended::Close,
        }
    }
}

/// Awaits `future`, or `other` if that comes first, which then means `instead`.
pub(crate) async fn until<T>(
    future: impl Future<Output = T>,
    other: impl Future<Output = ()>,
    instead: T,
) -> T {
    let (mut future, mut other) = (pin!(future), pin!(other));
    let mut instead = Some(instead);
    poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(output);
        }
        match other.as_mut().poll(cx) {
            Poll::Ready(()) => instead.take().map_or(Poll::Pending, Poll::Ready),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// How the delivery of a response's body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivered {
    /// The client has all of it.
    Whole { keeps: bool },
    /// The instance broke it off. The client's connection is broken too, so that it notices.
    Broken,
    /// It stood still for too long, or the time for all of it is up. The client notices in the same way.
    Late,
    /// The client is gone.
    Gone,
}
