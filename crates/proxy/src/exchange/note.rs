//! What is noted of an exchange when it has ended.

use super::{Context, Exchange};
use crate::{
    endpoint::Held,
    h1::RequestHead,
    listener::ListenerKind,
    record::{Protocol, Record, Summary},
};
use base::{Moment, ServiceName};
use std::cell::{Cell, RefCell};

/// What is gathered while an exchange goes on.
#[derive(Default)]
pub(crate) struct Notes {
    pub(crate) status: Cell<u16>,
    pub(crate) first_byte: Cell<Option<Moment>>,
    pub(crate) bytes_in: Cell<u64>,
    pub(crate) bytes_out: Cell<u64>,
    pub(crate) retries: Cell<u32>,
    pub(crate) refusal: Cell<Option<&'static str>>,
    pub(crate) error: Cell<Option<&'static str>>,
    pub(crate) endpoint: RefCell<Option<Held>>,
    pub(crate) trace: Cell<[u8; 32]>,
}

impl Notes {
    pub(crate) fn received(&self, bytes: usize) {
        self.bytes_in.set(self.bytes_in.get() + u64::try_from(bytes).unwrap_or(0));
    }

    pub(crate) fn sent(&self, bytes: usize) {
        self.bytes_out.set(self.bytes_out.get() + u64::try_from(bytes).unwrap_or(0));
    }
}

impl Exchange<'_> {
    /// Tells those who look of the exchange, which is over.
    pub(super) fn note(&self, request: &RequestHead) {
        let service = Some(&self.cluster.service);
        write(self.context, request, &self.notes, self.started, service, self.route);
    }
}

/// Tells those who look of a request that is over.
pub(crate) fn write(
    context: &Context<'_>,
    request: &RequestHead,
    notes: &Notes,
    started: Moment,
    service: Option<&ServiceName>,
    route: Option<&crate::Route>,
) {
    let worker = context.worker;
    let caller = match &context.listener.kind {
        ListenerKind::Gateway => None,
        ListenerKind::Need { caller, .. } => Some(caller),
        ListenerKind::App { caller } => Some(&caller.service),
    };
    // Bodies that flow have asked for the time with their last piece.
    let duration = worker.recent().since(started);
    let sent = request.path_and_query();
    let path = super::target::only_path(request);
    let query = sent.get(path.len() + 1..);
    let first_byte = notes.first_byte.get().map(|at| at.since(started));
    let summary =
        Summary { caller, service, path, status: notes.status.get(), duration, first_byte };
    worker.record(&summary, || {
        let field = |name| {
            let value = request.fields.named(name).next()?;
            Some(Box::from(String::from_utf8_lossy(value)))
        };
        let trace = notes.trace.get();
        let trace = trace.iter().any(|byte| *byte != 0).then_some(trace);
        let took_us = u64::try_from(duration.as_micros()).unwrap_or(0);
        Record {
            at: base::Timestamp(worker.date_exact().0.saturating_sub(took_us)),
            method: request.method().into(),
            host: request.host().into(),
            path: path.into(),
            query: query.map(Into::into),
            status: notes.status.get(),
            duration,
            first_byte,
            bytes_in: notes.bytes_in.get(),
            bytes_out: notes.bytes_out.get(),
            client: context.client,
            protocol: match request.version {
                0 => Protocol::Http10,
                1 => Protocol::Http11,
                _ => Protocol::Http2,
            },
            is_tls: context.scheme == "https",
            caller: caller.cloned(),
            route: route.map(|route| route.pattern()),
            service: service.cloned(),
            instance: notes.endpoint.borrow().as_ref().map(|it| it.instance().clone()),
            retries: notes.retries.get(),
            trace: trace.map(|trace| Box::from(String::from_utf8_lossy(&trace))),
            user_agent: field("user-agent"),
            referer: field("referer"),
            refusal: notes.refusal.get(),
            error: notes.error.get(),
        }
    });
}
