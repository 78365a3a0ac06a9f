//! CloudEvents 1.0 on the wire: as one JSON object, as many of them, and as HTTP fields beside the data.
//!
//! Sources: CloudEvents 1.0.2, JSON event format (§2 and §3.1, batches §4) and HTTP protocol binding (§3.1 to §3.3).
//! Reading is lenient about what is missing, because Dapr fills that in; who wants all of it calls [`complete`].

mod binary;
mod structured;

pub(crate) use binary::{fields, from_fields, is_binary};
pub(crate) use structured::{Structured, expire, from_batch, from_json};

use events::{Event, InvalidEvent};

/// One event as a JSON object.
pub(crate) const STRUCTURED: &str = "application/cloudevents+json";

/// Events as a JSON array.
pub(crate) const BATCH: &str = "application/cloudevents-batch+json";

/// The only version there is of the format that events have here.
pub(crate) const VERSION: &str = "1.0";

/// A media type without its parameters, in lower case.
fn essence(kind: &str) -> String {
    kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Whether `kind` is a media type of JSON (RFC 6839 §3.1).
pub(crate) fn is_json(kind: &str) -> bool {
    let kind = essence(kind);
    kind == "application/json" || kind == "text/json" || kind.ends_with("+json")
}

/// Whether `kind` is a media type of bytes that are no text.
pub(crate) fn is_bytes(kind: &str) -> bool {
    let kind = essence(kind);
    ["application/octet-stream", "application/x-protobuf", "application/protobuf"]
        .contains(&kind.as_str())
}

/// Whether `kind` means one event as a JSON object.
pub(crate) fn is_structured(kind: &str) -> bool {
    essence(kind) == STRUCTURED
}

/// Whether `kind` means an array of events.
pub(crate) fn is_batch(kind: &str) -> bool {
    essence(kind) == BATCH
}

/// Checks that an event has all that CloudEvents asks for.
///
/// # Errors
/// Names the attribute.
pub(crate) fn complete(event: Event) -> Result<Event, InvalidEvent> {
    for (name, value) in [("id", &event.id), ("source", &event.source), ("type", &event.kind)] {
        if value.is_empty() {
            return Err(InvalidEvent(format!("the event has no `{name}`, which it must have")));
        }
    }
    event.check()?;
    Ok(event)
}

/// An id like no other, in the form of a random UUID (RFC 9562 §5.4).
pub(crate) fn new_id() -> String {
    let mut bytes = [0; 16];
    // Without randomness from the system nothing secure runs at all; the clock then still tells two apart.
    if getrandom::fill(&mut bytes).is_err() {
        bytes[8..].copy_from_slice(&runtime::Clock::wall().0.to_le_bytes());
    }
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut text = String::with_capacity(36);
    for (at, byte) in bytes.iter().enumerate() {
        if [4, 6, 8, 10].contains(&at) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

#[cfg(test)]
mod tests;
