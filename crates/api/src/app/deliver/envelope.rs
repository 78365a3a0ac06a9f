//! Events as Dapr shows them to apps: CloudEvents with some more attributes. Only what was published raw has no trace.

use crate::{
    app::backend::called,
    cloudevents::{Structured, from_json},
    trace::{self, TRACEPARENT, TRACESTATE},
};
use bytes::Bytes;
use events::{Event, Incoming, Origin};

/// The source of events that name none.
pub(crate) const SOURCE: &str = "Dapr";
/// The type of events that name none.
pub(crate) const KIND: &str = "com.dapr.event.sent";

pub(crate) const TOPIC: &str = "topic";
pub(crate) const PUBSUB: &str = "pubsubname";
pub(crate) const TRACEID: &str = "traceid";

const BYTES: &str = "application/octet-stream";
const TEXT: &str = "text/plain";

/// A component as events name it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Component {
    pub(crate) name: String,
    /// What stands before its topics in the broker.
    pub(crate) prefix: String,
}

/// The topic of an event, as those call it who use the component.
pub(crate) fn topic_of(incoming: &Incoming, pubsub: &Component) -> String {
    match &incoming.origin {
        Origin::Topic { topic, .. } => called(&pubsub.prefix, topic),
        Origin::Stream { stream, .. } => stream.clone(),
        Origin::Job { name } => name.clone(),
    }
}

/// Tells a delivered event apart from all others of its topic.
pub(crate) fn place(incoming: &Incoming) -> String {
    match &incoming.origin {
        Origin::Topic { offset, .. } => offset.to_string(),
        Origin::Stream { position, .. } => position.to_string(),
        Origin::Job { name } => name.clone(),
    }
}

/// The event as an app gets it. With `raw` its data is the whole message as bytes, whatever that is.
pub(crate) fn envelope(incoming: &Incoming, pubsub: &Component, topic: &str, raw: bool) -> Event {
    let event = &incoming.event;
    let mut out = if raw {
        wrapped(incoming, topic, message(event, pubsub, topic))
    } else if event.is_raw() {
        // Whoever published it may have written the envelope already.
        match from_json(&event.data) {
            Ok(inner) => inner,
            Err(_) => wrapped(incoming, topic, event.data.clone()),
        }
    } else {
        let mut event = event.clone();
        // Nobody traced what led to a row of an outbox or a schedule's message: then the delivery is the beginning.
        event.extensions.entry(TRACEPARENT.to_owned()).or_insert_with(trace::begin);
        event
    };
    fill(&mut out, pubsub, topic);
    if out.id.is_empty() {
        out.id = format!("{topic}/{}", place(incoming));
    }
    out
}

/// The bytes of a message, as another broker would have them.
pub(crate) fn message(event: &Event, pubsub: &Component, topic: &str) -> Bytes {
    if event.is_raw() {
        return event.data.clone();
    }
    let mut whole = event.clone();
    fill(&mut whole, pubsub, topic);
    Structured(&whole).to_bytes()
}

fn wrapped(incoming: &Incoming, topic: &str, data: Bytes) -> Event {
    let traces = [TRACEPARENT, TRACESTATE].into_iter().filter_map(|name| {
        let value = incoming.event.extensions.get(name)?;
        Some((name.to_owned(), value.clone()))
    });
    Event {
        // The same however often it is delivered.
        id: format!("{topic}/{}", place(incoming)),
        content_type: Some(BYTES.to_owned()),
        extensions: traces.collect(),
        data,
        ..Event::default()
    }
}

/// Gives an event what Dapr's events always have.
fn fill(event: &mut Event, pubsub: &Component, topic: &str) {
    if event.source.is_empty() {
        SOURCE.clone_into(&mut event.source);
    }
    if event.kind.is_empty() {
        KIND.clone_into(&mut event.kind);
    }
    if event.content_type.is_none() {
        let is_json = serde_json::from_slice::<&serde_json::value::RawValue>(&event.data).is_ok();
        let kind = if is_json { crate::answer::JSON } else { TEXT };
        event.content_type = Some(kind.to_owned());
    }
    let trace = event.extensions.get(TRACEPARENT).cloned();
    let trace = trace.into_iter().flat_map(|it| [(TRACEID, it), (TRACESTATE, String::new())]);
    let named = [(TOPIC, topic.to_owned()), (PUBSUB, pubsub.name.clone())];
    for (name, value) in named.into_iter().chain(trace) {
        event.extensions.entry(name.to_owned()).or_insert(value);
    }
}
