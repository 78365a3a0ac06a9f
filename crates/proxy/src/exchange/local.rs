//! A request on an app listener: [`Local`] says where it leads.

mod deliver;
mod here;
mod message;

use super::{
    Context, Ended, Exchange, Scratch,
    arrival::{is_small, outlives, send_own},
    note::{self, Notes},
    target,
};
use crate::{
    buffer::Buffer,
    cluster::Cluster,
    flow::Source,
    h1::{Fields, Framing, Known, fields::tokens},
    listener::ListenerKind,
    local::{Direction, Local, Look, Refused, To, Upstream},
    refusal::Refusal,
    reply::Reply,
    snapshot::Snapshot,
    times::Times,
};
use base::{InstanceId, ServiceName};
use http::{HeaderName, HeaderValue};
use std::sync::Arc;

/// A request on an app listener.
struct Asked<'a, 'c> {
    context: &'a Context<'c>,
    caller: &'a InstanceId,
    local: &'a dyn Local,
    is_grpc: bool,
    started: base::Moment,
    notes: Notes,
}

/// Where a request's body comes from; what was read of it already lies in the buffer.
struct Coming<'a, 's> {
    framing: Framing,
    source: &'a mut Source<'s>,
    buffer: &'a mut Buffer,
}

/// Answers one request on an app listener of `caller`. Its head is in `scratch`, what was read of its body in
/// `buffer`.
pub(super) async fn serve(
    context: &Context<'_>,
    caller: &InstanceId,
    scratch: &mut Scratch,
    framing: Framing,
    source: &mut Source<'_>,
    buffer: &mut Buffer,
    mut reply: Reply<'_>,
) -> Ended {
    let started = context.worker.now();
    let is_grpc = scratch.request.is_grpc();
    let Some(local) = context.worker.app() else {
        reply.close();
        let refusal = Refusal::not_ready();
        return super::refuse(context, scratch, &refusal, is_grpc, reply).await;
    };
    let local: &dyn Local = &**local;
    let asked = Asked { context, caller, local, is_grpc, started, notes: Notes::default() };
    let mut coming = Coming { framing, source, buffer };
    match local.direct(caller, &Look::head(&scratch.request)) {
        Direction::Here { body_size_max } => {
            asked.here(body_size_max, scratch, coming, reply).await
        }
        Direction::Service(to) => asked.service(to, scratch, coming, reply).await,
        Direction::Refuse(response) => {
            if !coming.outlives(response.status().as_u16()) {
                reply.close();
            }
            let body = message::answer(response, &mut scratch.response);
            asked.send(scratch, &body, None, reply).await
        }
    }
}

impl Coming<'_, '_> {
    /// See [`outlives`].
    fn outlives(&mut self, status: u16) -> bool {
        outlives(status, self.framing, self.source, self.buffer)
    }
}

impl Asked<'_, '_> {
    /// Lets an instance of a service answer.
    async fn service(
        &self,
        to: To,
        scratch: &mut Scratch,
        mut coming: Coming<'_, '_>,
        mut reply: Reply<'_>,
    ) -> Ended {
        let To { service, path, remove, set, protocol } = to;
        let snapshot = self.context.worker.snapshot();
        let cluster = match find(&snapshot, &service, path.as_deref()) {
            Ok(cluster) => cluster,
            Err(refusal) => {
                if !coming.outlives(refusal.status) {
                    reply.close();
                }
                return self.refuse(&refusal, Some(&service), scratch, reply).await;
            }
        };
        edit(&mut scratch.request.fields, &remove, &set);
        let said = target::settings(self.context, None, cluster, 0);
        let exchange = Exchange {
            context: self.context,
            cluster,
            route: None,
            is_grpc: self.is_grpc,
            is_shared: self.is_grpc || protocol == Upstream::Http2,
            started: self.started,
            snapshot: &snapshot,
            times: Times::new(self.started, said, &scratch.request.fields, self.is_grpc),
            path,
            effects: None,
            asked: policy::compress::Asked::default(),
            stay: None,
            is_trusted: false,
            notes: Notes::default(),
        };
        let Coming { framing, source, buffer } = coming;
        let ended = if is_small(framing) && !exchange.is_shared {
            exchange.run(scratch, framing, source, buffer, reply).await
        } else {
            Box::pin(exchange.streamed(scratch, framing, source, buffer, reply)).await
        };
        exchange.note(&scratch.request);
        ended
    }

    /// Answers in place of a service or of [`Local::answer`].
    async fn refuse(
        &self,
        refusal: &Refusal,
        service: Option<&ServiceName>,
        scratch: &mut Scratch,
        reply: Reply<'_>,
    ) -> Ended {
        self.notes.refusal.set(Some(refusal.code));
        let body = word(self.context, refusal, scratch, self.is_grpc);
        self.send(scratch, &body, service, reply).await
    }

    /// Sends the answer whose head is in `scratch`.
    async fn send(
        &self,
        scratch: &mut Scratch,
        body: &[u8],
        service: Option<&ServiceName>,
        reply: Reply<'_>,
    ) -> Ended {
        self.notes.status.set(scratch.response.status);
        self.notes.first_byte.set(Some(self.context.worker.now()));
        self.notes.sent(body.len());
        self.note(scratch, service);
        send_own(self.context, scratch, body, reply).await
    }

    /// Tells those who look of the request, which is over.
    fn note(&self, scratch: &Scratch, service: Option<&ServiceName>) {
        note::write(self.context, &scratch.request, &self.notes, self.started, service, None);
    }
}

/// Takes away and sets fields of a request.
///
/// What the node says of a caller must not be for the caller to change: neither by naming it in `Connection`, which ends
/// a field on this hop, nor by another spelling that servers of CGI and WSGI take for the same.
fn edit(fields: &mut Fields, remove: &[HeaderName], set: &[(HeaderName, HeaderValue)]) {
    unname(fields, set);
    let names = || remove.iter().chain(set.iter().map(|(name, _)| name));
    let is_same = |given: &[u8], name: &HeaderName| {
        let plain = given.iter().map(|byte| if *byte == b'_' { b'-' } else { *byte });
        plain.map(|byte| byte.to_ascii_lowercase()).eq(name.as_str().bytes())
    };
    let given = fields.iter().map(|(_, given, _)| given);
    let disguised: Vec<String> = given
        .filter(|given| given.contains(&b'_') && names().any(|name| is_same(given, name)))
        .map(|given| String::from_utf8_lossy(given).into_owned())
        .collect();
    for name in names().map(HeaderName::as_str).chain(disguised.iter().map(String::as_str)) {
        fields.remove(name);
    }
    for (name, value) in set {
        fields.add(name.as_str().as_bytes(), value.as_bytes());
    }
}

/// Makes `Connection` name none of the fields that are set.
fn unname(fields: &mut Fields, set: &[(HeaderName, HeaderValue)]) {
    let is_set = |item: &[u8]| {
        set.iter().any(|(name, _)| item.eq_ignore_ascii_case(name.as_str().as_bytes()))
    };
    if !fields.all(Known::Connection).flat_map(tokens).any(is_set) {
        return;
    }
    let items = fields.all(Known::Connection).flat_map(tokens);
    let kept: Vec<&[u8]> = items.filter(|item| !is_set(item)).collect();
    let kept = kept.join(&b", "[..]);
    fields.set("connection", &kept);
}

/// The cluster of a service that a request leads to, by a path that can be sent.
fn find<'a>(
    snapshot: &'a Snapshot,
    service: &ServiceName,
    path: Option<&str>,
) -> Result<&'a Arc<Cluster>, Refusal> {
    if let Some(path) = path
        && !(path.starts_with('/') && path.bytes().all(|b| matches!(b, 0x21..=0x7e) && b != b'#'))
    {
        return Err(Refusal::bad_request("path", "the path cannot be sent to an instance"));
    }
    let cluster = snapshot.clusters.get(service);
    cluster.ok_or_else(|| Refusal::no_instance(service, ": it is not known"))
}

/// Makes the response's head that of the answer that we give in place of an instance, and returns its body. On an app listener it is in
/// the caller's vocabulary.
pub(super) fn word(
    context: &Context<'_>,
    refusal: &Refusal,
    scratch: &mut Scratch,
    is_grpc: bool,
) -> Vec<u8> {
    let head = &mut scratch.response;
    let (ListenerKind::App { caller }, Some(local)) =
        (&context.listener.kind, context.worker.app())
    else {
        return refusal.response(head, is_grpc);
    };
    let refused = Refused {
        status: refusal.status,
        code: refusal.code,
        message: &refusal.message,
        path: scratch.request.path_and_query(),
        service: refusal.service.as_ref(),
        retry_after_s: refusal.retry_after_s,
        is_grpc,
    };
    message::answer(local.refusal(caller, &refused), head).into()
}
