//! One request and its response: where it leads, what goes up, what comes down.
//!
//! Whichever protocol the client speaks, it arrives here as a head, a source for its body and a reply for its
//! response. A body that fits into memory is read first and can be sent again; a longer one
//! flows while the response may come back already (`streaming`). What leads to the node itself is in `local`.

pub(crate) mod arrival;
mod both;
pub(crate) mod forward;
pub(crate) mod guard;
mod local;
pub(crate) mod note;
pub(crate) mod pack;
pub(crate) mod sticky;
pub(crate) mod streaming;
pub(crate) mod target;

use crate::{
    alarm::{Alarm, Elapsed},
    attempt::{Asked, Call, Failed},
    buffer::{Buffer, LARGE},
    cluster::Cluster,
    endpoint::{Endpoint, Held, InFlight},
    flow::{Broken, Source},
    h1::{Framing, Known, RequestHead, ResponseHead},
    listener::Listener,
    onward::{Length, Onward},
    refusal::Refusal,
    reply::Reply,
    snapshot::{Route, Snapshot},
    times::Times,
    transport::Transport,
    worker::Worker,
};
pub(crate) use arrival::{refuse, serve};
pub(crate) use forward::Delivered;

use arrival::send_own;
use logic::retry;
use note::Notes;
use pin_project_lite::pin_project;
use std::{
    future::Future,
    net::SocketAddr,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{self, Poll},
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
        let fields = self.request.capacity() + self.response.fields.capacity();
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
    /// Instances are spoken to over HTTP/2, as all gRPC calls need it.
    pub(crate) is_shared: bool,
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
            let read = whole(self.context, scratch, length, source, buffer, &mut reply);
            if let Err(refusal) = read.await {
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
        let outcome = alarm.within(until(called, gone.wait())).await;
        let outcome = outcome.map(|called| called.unwrap_or(Err(Failed::Client)));
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
            is_shared: self.is_shared,
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
    fn book(&self, status: u16, retries: u32, endpoint: Option<&Held>) {
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
        endpoint: Option<Held>,
        retries: u32,
        reply: Reply<'_>,
    ) -> Ended {
        self.book(refusal.status, retries, endpoint.as_ref());
        self.notes.refusal.set(Some(refusal.code));
        let body = local::word(self.context, refusal, scratch, self.is_grpc);
        self.notes.sent(body.len());
        self.dress(&mut scratch.response);
        send_own(self.context, scratch, &body, reply).await
    }
}

/// Reads the request's body, which is so long.
async fn whole(
    context: &Context<'_>,
    scratch: &mut Scratch,
    length: usize,
    source: &mut Source<'_>,
    buffer: &mut Buffer,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    if buffer.len() >= length {
        return Ok(());
    }
    go_on(scratch, reply).await?;
    if length > buffer.capacity() {
        buffer.grow(LARGE);
    }
    let (worker, alarm) = (context.worker, context.alarm);
    alarm.set(worker.now() + worker.config().body_timeout);
    let read = alarm.within(source.whole(buffer, length)).await;
    worker.now();
    match read {
        Ok(Ok(())) => Ok(()),
        Ok(Err(Broken::Bad(bad))) => Err(Refusal::bad(bad)),
        Ok(Err(_)) => Err(Refusal::client_gone()),
        Err(Elapsed) => Err(Refusal::slow_client()),
    }
}

/// Tells a client that waits for it to send its body (RFC 9110 §10.1.1).
async fn go_on(scratch: &mut Scratch, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    if scratch.request.version > 0 && scratch.request.fields.has(Known::Expect) {
        scratch.response.begin(100, 1);
        let told = reply.inform(&scratch.response).await;
        told.map_err(|_gone| Refusal::client_gone())?;
    }
    Ok(())
}

pin_project! {
    /// Awaits `future`; `None` when `other` comes first. An `async fn` in its place would hold both twice.
    pub(crate) struct Until<F, G> {
        #[pin]
        future: F,
        #[pin]
        other: G,
    }
}

/// See [`Until`].
pub(crate) fn until<F: Future, G: Future>(future: F, other: G) -> Until<F, G> {
    Until { future, other }
}

impl<F: Future, G: Future> Future for Until<F, G> {
    type Output = Option<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match this.future.poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => this.other.poll(cx).map(|_| None),
        }
    }
}
