//! Events as HTTP fields with the data as body (HTTP protocol binding §3.1).

use super::structured::set;
use bytes::Bytes;
use events::{Event, InvalidEvent};
use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Stands before the names of attributes.
const PREFIX: &str = "ce-";

/// Whether the fields of a request are those of an event.
pub(crate) fn is_binary(headers: &HeaderMap) -> bool {
    headers.contains_key("ce-specversion") || headers.contains_key("ce-id")
}

/// Reads an event. Attributes that must be there may be missing; they are empty then.
///
/// # Errors
/// For attributes that cannot be meant.
pub(crate) fn from_fields(headers: &HeaderMap, data: Bytes) -> Result<Event, InvalidEvent> {
    let mut event = Event { data, ..Event::default() };
    if let Some(kind) = headers.get(header::CONTENT_TYPE) {
        let kind = kind.to_str();
        let kind = kind.map_err(|_e| InvalidEvent("`Content-Type` is not ASCII".to_owned()))?;
        event.content_type = Some(kind.to_owned());
    }
    for (name, value) in headers {
        let Some(attribute) = name.as_str().strip_prefix(PREFIX) else { continue };
        let value = decode(value)
            .ok_or_else(|| InvalidEvent(format!("the field `{name}` is no text in UTF-8")))?;
        set(&mut event, attribute, value)?;
    }
    Ok(event)
}

/// The fields of an event, the type of its data among them.
pub(crate) fn fields(event: &Event) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut put = |name: &str, value: &str| {
        let name = HeaderName::from_bytes(format!("{PREFIX}{name}").as_bytes());
        // Names were checked when the event was taken, and an encoded value is visible ASCII.
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(&encode(value))) {
            headers.insert(name, value);
        }
    };
    put("specversion", super::VERSION);
    put("id", &event.id);
    put("source", &event.source);
    put("type", &event.kind);
    let optional =
        [("subject", &event.subject), ("time", &event.time), ("dataschema", &event.schema)];
    for (name, value) in optional {
        if let Some(value) = value {
            put(name, value);
        }
    }
    for (name, value) in &event.extensions {
        put(name, value);
    }
    let kind = event.content_type.as_deref().and_then(|kind| HeaderValue::from_str(kind).ok());
    if let Some(kind) = kind {
        headers.insert(header::CONTENT_TYPE, kind);
    }
    headers
}

/// A value as a field has it: percent-encoded where it is not visible ASCII, or a space, `"` or `%` (§3.1.3.2).
fn encode(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'"' | b'%' => out.push_str(&format!("%{byte:02X}")),
            b'!'..=b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Undoes [`encode`]. A `%` that begins no escape stands for itself, as some senders do not encode it.
fn decode(value: &HeaderValue) -> Option<String> {
    let value = value.as_bytes();
    let hex = |at: usize| {
        let digit = char::from(*value.get(at)?).to_digit(16)?;
        u8::try_from(digit).ok()
    };
    let (mut out, mut at) = (Vec::with_capacity(value.len()), 0);
    while let Some(byte) = value.get(at) {
        match (byte, hex(at + 1), hex(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push(high << 4 | low);
                at += 3;
            }
            _ => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8(out).ok()
}
