//! Deliveries to a path of a service.
//!
//! What an answer means: any 2xx is done. Everything else is tried again, at the earliest when `Retry-After` says (in
//! seconds), until the subscription's attempts are used up; then it is a dead letter. That goes for 404, 410 and 422 too: a
//! service that is being deployed answers them for a while, and what was given up at the first of them would be lost to the
//! version that knows better. An app that wants an event never again says so: `Flotilla-Verdict: drop` in an answer of any
//! status. `retry` and `done` may stand there as well.

use super::{AFTER_MAX, Ask, Deliverer, Version, retry, said};
use crate::{
    answer::JSON,
    app::grpc::jobs::JSON_TYPE,
    cloudevents::{STRUCTURED, Structured, fields},
};
use ::http::{HeaderMap, HeaderValue, Method, Response, header};
use base::ServiceName;
use bytes::Bytes;
use events::{Event, Incoming, Origin, Shape, Verdict};
use std::{borrow::Cow, time::Duration};

/// What an app says of an event where the status does not say it.
const VERDICT: &str = "flotilla-verdict";

/// The type of events whose publisher gave them none.
const KIND: &str = "message";

/// Where a delivery leads.
#[derive(Clone, Copy)]
pub(super) struct To<'a> {
    pub(super) service: &'a ServiceName,
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) shape: Shape,
}

impl Deliverer {
    pub(super) async fn by_http(
        &self,
        to: To<'_>,
        incoming: &Incoming,
        timeout: Duration,
    ) -> Verdict {
        let Ok(method) = to.method.parse::<Method>() else {
            return retry(format!("`{}` is no method of HTTP", to.method));
        };
        let event = named(incoming);
        let mut headers = self.fields(to.service, Some(&event));
        let body = match to.shape {
            Shape::Structured => {
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(STRUCTURED));
                Structured(&event).to_bytes()
            }
            Shape::Binary => {
                headers.extend(fields(&event));
                event.data.clone()
            }
            Shape::Raw => {
                // What a job is about says what it is in its own way.
                let is_json = event.schema.as_deref() == Some(JSON_TYPE);
                let kind = event.content_type.as_deref().or(is_json.then_some(JSON));
                let kind = kind.map(HeaderValue::from_str);
                if let Some(Ok(kind)) = kind {
                    headers.insert(header::CONTENT_TYPE, kind);
                }
                event.data.clone()
            }
        };
        where_from(&mut headers, incoming);
        let ask = Ask { method, path: to.path.to_owned(), headers, body };
        match self.ask(to.service, Version::Http1, ask, timeout).await {
            Ok((response, _)) => verdict(&response),
            Err(unanswered) => unanswered.into(),
        }
    }
}

/// The event with all that CloudEvents asks for, which one that was published without any attribute does not have. Where it
/// stands tells it apart from all others, so that it is the same however often it is delivered.
fn named(incoming: &Incoming) -> Cow<'_, Event> {
    let event = &incoming.event;
    if !event.is_raw() {
        return Cow::Borrowed(event);
    }
    let (id, source) = match &incoming.origin {
        Origin::Topic { topic, offset } => (offset.to_string(), format!("topics/{topic}")),
        Origin::Stream { stream, revision, .. } => {
            (revision.to_string(), format!("events/{stream}"))
        }
        Origin::Job { name } => (name.clone(), format!("jobs/{name}")),
    };
    Cow::Owned(Event { id, source, kind: KIND.to_owned(), ..event.clone() })
}

/// Says where the event stands and how often it was tried, for apps that keep count.
fn where_from(headers: &mut HeaderMap, incoming: &Incoming) {
    let mut put = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    put("flotilla-attempt", &incoming.attempt.to_string());
    match &incoming.origin {
        Origin::Topic { topic, offset } => {
            put("flotilla-topic", topic.as_str());
            put("flotilla-offset", &offset.to_string());
        }
        Origin::Stream { stream, revision, position } => {
            put("flotilla-stream", &crate::query::escape(stream));
            put("flotilla-revision", &revision.to_string());
            put("flotilla-position", &position.to_string());
        }
        Origin::Job { name } => put("flotilla-job", &crate::query::escape(name)),
    }
}

pub(super) fn verdict(response: &Response<Bytes>) -> Verdict {
    let status = response.status();
    let reason = said(status, response.body());
    let named = response.headers().get(VERDICT).and_then(|it| it.to_str().ok());
    match named.map(str::trim) {
        Some("drop") => return Verdict::Drop { reason },
        Some("done") => return Verdict::Done,
        Some("retry") => {}
        _ if status.is_success() => return Verdict::Done,
        _ => {}
    }
    let after = response.headers().get(header::RETRY_AFTER).and_then(|it| it.to_str().ok());
    let after = after.and_then(|it| it.trim().parse().ok()).map(Duration::from_secs);
    Verdict::Retry { after: after.map(|after| after.min(AFTER_MAX)), reason }
}
