//! An event as messages carry it: the attributes of CloudEvents 1.0 beside the data, in headers.

use base::Timestamp;
use bytes::Bytes;
use ports::broker::{Message, NewMessage};
use std::collections::BTreeMap;

/// An event. The attributes are those of CloudEvents 1.0 (§3); a message without any of them is *raw*: only its data counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// `id`: with the source it tells the event apart from all others. Empty: raw.
    pub id: String,
    /// `source`: who says so, a URI reference; for services their name.
    pub source: String,
    /// `type`: what happened.
    pub kind: String,
    /// `subject`: what it happened to.
    pub subject: Option<String>,
    /// `time`, RFC 3339.
    pub time: Option<String>,
    /// `datacontenttype`.
    pub content_type: Option<String>,
    /// `dataschema`.
    pub schema: Option<String>,
    /// Extensions: names of lower-case letters and digits, values as text. `traceparent` and `tracestate` are among them.
    pub extensions: BTreeMap<String, String>,
    /// The data, as `content_type` says.
    pub data: Bytes,
    /// Messages with the same key stay in order.
    pub key: Option<Bytes>,
    /// After this time nobody wants it any more: it is dropped, or becomes a dead letter.
    pub expires: Option<Timestamp>,
}

/// Why attributes are not those of an event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidEvent(pub String);

impl Event {
    /// Whether only its data counts.
    #[must_use]
    pub fn is_raw(&self) -> bool {
        self.id.is_empty()
    }
}

/// Names of headers in which attributes stand.
mod header {
    pub(super) const ID: &str = "ce-id";
    pub(super) const SOURCE: &str = "ce-source";
    pub(super) const KIND: &str = "ce-type";
    pub(super) const SUBJECT: &str = "ce-subject";
    pub(super) const TIME: &str = "ce-time";
    pub(super) const SCHEMA: &str = "ce-dataschema";
    pub(super) const CONTENT_TYPE: &str = "content-type";
    pub(super) const EXPIRES: &str = "flotilla-expires";
    /// Stands before the names of extensions.
    pub(super) const EXTENSION: &str = "ce-x-";
}

/// Most extensions of an event: with the other attributes and what a dead letter says they stay below the headers that a
/// message may have.
pub const EXTENSIONS_MAX: usize = 40;

impl Event {
    /// Checks the attributes against CloudEvents 1.0 §3.1.
    ///
    /// # Errors
    /// Names the attribute.
    pub fn check(&self) -> Result<(), InvalidEvent> {
        if self.is_raw() {
            return Ok(());
        }
        for (name, value) in [("source", &self.source), ("type", &self.kind)] {
            if value.is_empty() {
                return Err(InvalidEvent(format!("the attribute `{name}` of an event is empty")));
            }
        }
        if self.extensions.len() > EXTENSIONS_MAX {
            let count = self.extensions.len();
            return Err(InvalidEvent(format!(
                "an event has {count} extensions, {EXTENSIONS_MAX} are allowed"
            )));
        }
        for name in self.extensions.keys() {
            let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
            if name.is_empty() || !name.bytes().all(fits) {
                return Err(InvalidEvent(format!(
                    "{name:?} is no name of an attribute: lower-case letters and digits"
                )));
            }
        }
        let known = [&self.id, &self.source, &self.kind].into_iter();
        let rest = [&self.subject, &self.time, &self.schema, &self.content_type];
        let rest = rest.into_iter().flatten().chain(self.extensions.values());
        match known.chain(rest).find(|value| value.chars().any(char::is_control)) {
            Some(value) => Err(InvalidEvent(format!(
                "an attribute of an event has control characters: {value:?}"
            ))),
            None => Ok(()),
        }
    }

    /// The message that carries it. `message_id` is what makes a second publish a duplicate, which an event's own id is
    /// not: it counts only with its source.
    #[must_use]
    pub fn into_message(self, message_id: Option<String>) -> NewMessage {
        let mut headers = Vec::new();
        let mut put = |name: &str, value: Option<String>| {
            headers.extend(value.map(|value| (name.to_owned(), value)));
        };
        if !self.is_raw() {
            put(header::ID, Some(self.id));
            put(header::SOURCE, Some(self.source));
            put(header::KIND, Some(self.kind));
            put(header::SUBJECT, self.subject);
            put(header::TIME, self.time);
            put(header::SCHEMA, self.schema);
        }
        put(header::CONTENT_TYPE, self.content_type);
        put(header::EXPIRES, self.expires.map(|time| time.0.to_string()));
        for (name, value) in self.extensions {
            put(&format!("{}{name}", header::EXTENSION), Some(value));
        }
        NewMessage { id: message_id, key: self.key, headers, payload: self.data }
    }

    /// The event that a message carries; headers that are none of its attributes are left out.
    #[must_use]
    pub fn from_message(message: &Message) -> Self {
        let text = |name: &str| message.header(name).map(str::to_owned);
        let extension = |(name, value): &(String, String)| {
            Some((name.strip_prefix(header::EXTENSION)?.to_owned(), value.clone()))
        };
        Self {
            id: text(header::ID).unwrap_or_default(),
            source: text(header::SOURCE).unwrap_or_default(),
            kind: text(header::KIND).unwrap_or_default(),
            subject: text(header::SUBJECT),
            time: text(header::TIME),
            content_type: text(header::CONTENT_TYPE),
            schema: text(header::SCHEMA),
            extensions: message.headers.iter().filter_map(extension).collect(),
            data: message.payload.clone(),
            key: message.key.clone(),
            expires: message
                .header(header::EXPIRES)
                .and_then(|time| time.parse().ok())
                .map(Timestamp),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ports::broker::Offset;

    fn sent(event: &Event) -> Message {
        let NewMessage { id, key, headers, payload } = event.clone().into_message(None);
        assert_eq!(id, None);
        let (offset, time) = (Offset(1), Timestamp(7));
        Message { offset, time, id: "m".to_owned(), key, headers, payload }
    }

    #[test]
    fn an_event_comes_out_of_its_message_as_it_went_in() {
        let event = Event {
            id: "7".to_owned(),
            source: "orders".to_owned(),
            kind: "order.created".to_owned(),
            subject: Some("order/7".to_owned()),
            time: Some("2026-01-02T03:04:05Z".to_owned()),
            content_type: Some("application/json".to_owned()),
            schema: Some("https://shop.example/order".to_owned()),
            extensions: BTreeMap::from([("traceparent".to_owned(), "00-aa-bb-01".to_owned())]),
            data: Bytes::from_static(b"{}"),
            key: Some(Bytes::from_static(b"7")),
            expires: Some(Timestamp(99)),
        };
        assert_eq!(event.check(), Ok(()));
        assert_eq!(Event::from_message(&sent(&event)), event);
        let raw = Event { data: Bytes::from_static(b"\x00\xff"), ..Event::default() };
        assert_eq!(raw.check(), Ok(()));
        assert!(Event::from_message(&sent(&raw)).is_raw());
        assert_eq!(Event::from_message(&sent(&raw)), raw);
    }

    #[test]
    fn attributes_that_are_none_are_named() {
        let good = Event {
            id: "7".to_owned(),
            source: "orders".to_owned(),
            kind: "created".to_owned(),
            ..Event::default()
        };
        let told = |event: Event| event.check().unwrap_err().0;
        let empty = Event { source: String::new(), ..good.clone() };
        assert_eq!(told(empty), "the attribute `source` of an event is empty");
        let extensions = BTreeMap::from([("traceParent".to_owned(), String::new())]);
        let upper = Event { extensions, ..good.clone() };
        assert!(told(upper).contains("\"traceParent\" is no name of an attribute"));
        let control = Event { subject: Some("a\nb".to_owned()), ..good };
        assert!(told(control).contains("control characters"));
    }
}
