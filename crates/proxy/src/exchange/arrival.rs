//! A request arrives: its route is found, its policy asked, and where it goes is decided.

use super::{Context, Ended, Exchange, Scratch, guard, local, note, note::Notes, sticky, target};
use crate::{
    buffer::Buffer, config::REPLAY_SIZE_MAX, flow::Source, h1::Framing, listener::ListenerKind,
    onward::Length, refusal::Refusal, reply::Reply, snapshot::Route, times::Times,
};

/// A request before it is known where it goes.
struct Arrival<'a, 'c> {
    context: &'a Context<'c>,
    scratch: &'a mut Scratch,
    started: base::Moment,
    is_grpc: bool,
    /// The route, as soon as it is known.
    route: Option<&'a Route>,
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
        self.note(Some(refusal.code), body.len());
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
        self.note((!policy.code.is_empty()).then_some(policy.code), body.len());
        send_own(self.context, self.scratch, &body, reply).await
    }

    fn note(&self, refusal: Option<&'static str>, bytes: usize) {
        let notes = Notes::default();
        notes.status.set(self.scratch.response.status);
        notes.first_byte.set(Some(self.context.worker.now()));
        notes.refusal.set(refusal);
        notes.sent(bytes);
        note::write(self.context, &self.scratch.request, &notes, self.started, None, self.route);
    }
}

/// Answers one request. Its head is in `scratch`, what was read of its body in `buffer`.
#[expect(
    clippy::too_many_lines,
    reason = "each step hands on what the next one needs, in the order of the checks"
)]
pub(crate) async fn serve(
    context: &Context<'_>,
    scratch: &mut Scratch,
    framing: Framing,
    source: &mut Source<'_>,
    buffer: &mut Buffer,
    mut reply: Reply<'_>,
) -> Ended {
    if let ListenerKind::App { caller } = &context.listener.kind {
        let served = local::serve(context, caller, scratch, framing, source, buffer, reply);
        return Box::pin(served).await;
    }
    let snapshot = context.worker.snapshot();
    let is_grpc = scratch.request.is_grpc();
    let started = context.worker.now();
    let mut arrival = Arrival { context, scratch, started, is_grpc, route: None };
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
    arrival.route = route;
    let (mut effects, mut asked) = (None, policy::compress::Asked::default());
    if guard::is_asked(context, &snapshot, route) {
        let request = &arrival.scratch.request;
        let asking = guard::admit(context, route, &snapshot, request, respelt.as_deref());
        let answer = Box::pin(asking).await;
        context.worker.now();
        match answer {
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
            context.worker.now();
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
        is_shared: is_grpc,
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
    let is_small = is_small(framing);
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

/// Whether a body is read before the request goes on, so that it can be sent again.
pub(super) fn is_small(framing: Framing) -> bool {
    match framing {
        Framing::None => true,
        Framing::Length(length) => length <= u64::try_from(REPLAY_SIZE_MAX).unwrap_or(0),
        Framing::Chunked | Framing::UntilClose => false,
    }
}

/// Whether the connection outlives a refusal: the body that nobody wants must be out of the way.
pub(super) fn outlives(
    status: u16,
    framing: Framing,
    source: &mut Source<'_>,
    buffer: &mut Buffer,
) -> bool {
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
pub(super) async fn send_own(
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
