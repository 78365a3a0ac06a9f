//! Events of streams as events of this crate, and as dead letters.

use crate::{Error, Event, dead, jobs::rfc3339};
use ports::{
    broker::{Message, Offset, TopicName},
    streams,
};
use std::collections::BTreeMap;

/// Longest metadata that goes along with an event as an attribute.
const METADATA_MAX: usize = 4 << 10;

/// The topic whose dead letters the events of a subscription become.
pub(super) fn topic_of(name: &str) -> Option<TopicName> {
    TopicName::new(&format!("streams.{name}")).ok()
}

/// Checks that a subscription can be called so.
///
/// # Errors
/// [`Error::Invalid`].
pub(crate) fn check_name(name: &str) -> Result<(), Error> {
    let topic = topic_of(name).and_then(|topic| dead::own_topic(&topic));
    match topic {
        Some(_) => Ok(()),
        None => Err(Error::Invalid(format!("a subscription to streams cannot be called `{name}`"))),
    }
}

/// An event of a stream as it is delivered: its stream is the source.
pub(super) fn of_stream(event: &streams::Event) -> Event {
    let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(&event.data).is_ok();
    let content_type = if is_json { "application/json" } else { "application/octet-stream" };
    let mut extensions = BTreeMap::new();
    let metadata = std::str::from_utf8(&event.metadata).ok();
    let fits = |text: &&str| !text.is_empty() && text.len() <= METADATA_MAX;
    if let Some(text) = metadata.filter(fits).filter(|it| !it.contains(char::is_control)) {
        extensions.insert("metadata".to_owned(), text.to_owned());
    }
    if !event.tags.is_empty() {
        extensions.insert("tags".to_owned(), event.tags.join(","));
    }
    Event {
        id: event.id.clone(),
        source: event.stream.clone(),
        kind: event.kind.clone(),
        time: rfc3339(event.time),
        content_type: Some(content_type.to_owned()),
        extensions,
        data: event.data.clone(),
        ..Event::default()
    }
}

pub(super) fn as_message(event: &streams::Event) -> Message {
    let message = of_stream(event).into_message(None);
    Message {
        offset: Offset(event.position.0),
        time: event.time,
        id: String::new(),
        key: None,
        headers: message.headers,
        payload: message.payload,
    }
}
