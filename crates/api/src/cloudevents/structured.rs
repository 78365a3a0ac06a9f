//! Events as JSON objects.

use super::{VERSION, is_bytes, is_json};
use base::Timestamp;
use base64::Engine as _;
use bytes::Bytes;
use events::{Event, InvalidEvent};
use serde::{Serialize, Serializer, ser::SerializeMap as _};
use serde_json::{Value, value::RawValue};
use std::collections::BTreeMap;

/// The extension in which Dapr says until when somebody wants the event.
const EXPIRATION: &str = "expiration";

/// Most events of a batch: as many as one publish takes.
const BATCH_MAX: usize = ports::broker::BATCH_MAX;

/// An event as it stands in JSON.
///
/// The data is a JSON value where its type is JSON, base 64 where it is no text, and a string otherwise.
pub(crate) struct Structured<'a>(pub(crate) &'a Event);

/// How data stands in JSON.
enum Data<'a> {
    Nothing,
    Json(&'a RawValue),
    Text(&'a str),
    Bytes(&'a [u8]),
}

fn data(event: &Event) -> Data<'_> {
    let kind = event.content_type.as_deref();
    if event.data.is_empty() && kind.is_none_or(is_json) {
        return Data::Nothing;
    }
    let text = std::str::from_utf8(&event.data).ok().filter(|_| !kind.is_some_and(is_bytes));
    let Some(text) = text else { return Data::Bytes(&event.data) };
    // Without a type it is JSON (JSON event format §3.1).
    let value = kind.is_none_or(is_json).then(|| serde_json::from_str::<&RawValue>(text));
    match value {
        Some(Ok(value)) => Data::Json(value),
        _ => Data::Text(text),
    }
}

impl Serialize for Structured<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let event = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("specversion", VERSION)?;
        map.serialize_entry("id", &event.id)?;
        map.serialize_entry("source", &event.source)?;
        map.serialize_entry("type", &event.kind)?;
        let optional = [
            ("subject", &event.subject),
            ("time", &event.time),
            ("datacontenttype", &event.content_type),
            ("dataschema", &event.schema),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                map.serialize_entry(name, value)?;
            }
        }
        for (name, value) in &event.extensions {
            map.serialize_entry(name, value)?;
        }
        match data(event) {
            Data::Nothing => {}
            Data::Json(value) => map.serialize_entry("data", value)?,
            Data::Text(text) => map.serialize_entry("data", text)?,
            Data::Bytes(bytes) => {
                let coded = base64::engine::general_purpose::STANDARD.encode(bytes);
                map.serialize_entry("data_base64", &coded)?;
            }
        }
        map.end()
    }
}

impl Structured<'_> {
    /// As bytes of JSON.
    pub(crate) fn to_bytes(&self) -> Bytes {
        // Only a map with keys that are no strings can fail, and there is none.
        serde_json::to_vec(self).unwrap_or_default().into()
    }
}

/// Reads one event. Attributes that must be there may be missing; they are empty then.
///
/// # Errors
/// For what is no JSON object, and for attributes that cannot be meant.
pub(crate) fn from_json(bytes: &[u8]) -> Result<Event, InvalidEvent> {
    let members: BTreeMap<String, &RawValue> = serde_json::from_slice(bytes)
        .map_err(|e| InvalidEvent(format!("the event is no JSON object: {e}")))?;
    of_members(members)
}

/// Reads a batch.
///
/// # Errors
/// For what is no array of events; says which one is wrong.
pub(crate) fn from_batch(bytes: &[u8]) -> Result<Vec<Event>, InvalidEvent> {
    let all: Vec<BTreeMap<String, &RawValue>> = serde_json::from_slice(bytes)
        .map_err(|e| InvalidEvent(format!("the batch is no JSON array of objects: {e}")))?;
    if all.len() > BATCH_MAX {
        let count = all.len();
        return Err(InvalidEvent(format!("the batch has {count} events, {BATCH_MAX} are allowed")));
    }
    let one = |(at, members)| {
        of_members(members).map_err(|e| InvalidEvent(format!("event {at} of the batch: {e}")))
    };
    all.into_iter().enumerate().map(one).collect()
}

fn of_members(members: BTreeMap<String, &RawValue>) -> Result<Event, InvalidEvent> {
    let mut event = Event::default();
    let (mut data, mut coded) = (None, None);
    for (name, raw) in members {
        match name.as_str() {
            "data" => data = Some(raw).filter(|raw| raw.get() != "null"),
            "data_base64" => coded = text("data_base64", raw)?,
            name => {
                if let Some(value) = attribute(name, raw)? {
                    set(&mut event, name, value)?;
                }
            }
        }
    }
    event.data = match (data, coded) {
        (Some(_), Some(_)) => {
            let message = "the event has `data` and `data_base64`: only one of them can be meant";
            return Err(InvalidEvent(message.to_owned()));
        }
        (Some(raw), None) => inner(raw, event.content_type.as_deref()),
        (None, Some(coded)) => {
            let decoded = base64::engine::general_purpose::STANDARD.decode(coded);
            decoded.map_err(|e| InvalidEvent(format!("`data_base64` cannot be read: {e}")))?.into()
        }
        (None, None) => Bytes::new(),
    };
    Ok(event)
}

/// The bytes of data that stands in JSON.
fn inner(raw: &RawValue, kind: Option<&str>) -> Bytes {
    let is_json = kind.is_none_or(is_json);
    match serde_json::from_str::<String>(raw.get()) {
        Ok(text) if !is_json => text.into(),
        _ => Bytes::copy_from_slice(raw.get().as_bytes()),
    }
}

fn text(name: &str, raw: &RawValue) -> Result<Option<String>, InvalidEvent> {
    serde_json::from_str(raw.get())
        .map_err(|_e| InvalidEvent(format!("the event's `{name}` is no text")))
}

/// The value of an attribute as text; `None` for null, which is as good as missing.
fn attribute(name: &str, raw: &RawValue) -> Result<Option<String>, InvalidEvent> {
    match serde_json::from_str::<Value>(raw.get()) {
        Ok(Value::Null) => Ok(None),
        Ok(Value::String(text)) => Ok(Some(text)),
        Ok(Value::Number(_) | Value::Bool(_)) => Ok(Some(raw.get().to_owned())),
        _ => Err(InvalidEvent(format!(
            "the event's `{name}` is an object or a list: attributes are texts, numbers and booleans"
        ))),
    }
}

/// Sets an attribute by its name on the wire.
pub(super) fn set(event: &mut Event, name: &str, value: String) -> Result<(), InvalidEvent> {
    match name {
        "specversion" if value == VERSION => {}
        "specversion" => {
            return Err(InvalidEvent(format!(
                "the event is of CloudEvents {value:?}; {VERSION} is what is taken"
            )));
        }
        "id" => event.id = value,
        "source" => event.source = value,
        "type" => event.kind = value,
        "subject" => event.subject = Some(value),
        "time" => event.time = Some(value),
        "datacontenttype" => event.content_type = Some(value),
        "dataschema" => event.schema = Some(value),
        extension => {
            if extension == EXPIRATION {
                event.expires = expiry(&value);
            }
            event.extensions.insert(extension.to_owned(), value);
        }
    }
    Ok(())
}

/// What Dapr's `expiration` says, when that is a time.
fn expiry(text: &str) -> Option<Timestamp> {
    crate::wire::Time::parse(text).ok().map(|time| time.0)
}

/// Lets nobody want the event after `at`.
pub(crate) fn expire(event: &mut Event, at: Timestamp) {
    event.expires = Some(at);
    event.extensions.insert(EXPIRATION.to_owned(), crate::wire::Time(at).to_string());
}
