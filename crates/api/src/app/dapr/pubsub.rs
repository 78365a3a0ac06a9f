//! `publish/{pubsub}/{topic}` and `publish/bulk/{pubsub}/{topic}`.

use super::{Answer, Ask, empty, json_with};
use crate::{
    app::{
        blocks::pubsub::{self, Entry, Message, Use},
        fault::Fault,
    },
    cloudevents::{is_bytes, is_json},
    trace::Trace,
};
use base64::Engine as _;
use bytes::Bytes;
use http::{StatusCode, header};
use serde::Deserialize;
use serde_json::{json, value::RawValue};
use std::collections::BTreeMap;

/// A message among many.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BulkEntry {
    // Dapr takes the name in any case, and its SDK for JavaScript writes it like this.
    #[serde(default, alias = "entryID")]
    entry_id: String,
    #[serde(default)]
    event: Option<Box<RawValue>>,
    #[serde(default)]
    content_type: String,
    #[serde(default)]
    metadata: Option<BTreeMap<String, String>>,
}

pub(super) async fn publish(ask: Ask) -> Answer {
    let kind = ask.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let message = Message {
        data: ask.body.clone(),
        content_type: kind.unwrap_or_default().to_owned(),
        metadata: ask.metadata(),
    };
    let trace = Trace::of(&ask.headers);
    let (component, topic) = (ask.value(0), ask.value(1));
    pubsub::publish(&ask.shared, &ask.caller, component, topic, message, &trace).await?;
    Ok(empty())
}

pub(super) async fn bulk(ask: Ask) -> Answer {
    let (component, topic) = (ask.value(0), ask.value(1));
    pubsub::find(&ask.shared, &ask.caller, component, topic, Use::Publish)?;
    let given: Vec<BulkEntry> =
        serde_json::from_slice(&ask.body).map_err(|e| Fault::pubsub_body(component, topic, e))?;
    let of_all = ask.metadata();
    let mut entries = Vec::with_capacity(given.len());
    for one in given {
        let data = data(one.event.as_deref(), &one.content_type)
            .map_err(|why| Fault::pubsub_entries(component, topic, why))?;
        let mut metadata = of_all.clone();
        metadata.extend(one.metadata.unwrap_or_default());
        let message = Message { data, content_type: one.content_type, metadata };
        entries.push(Entry { id: one.entry_id, message });
    }
    let trace = Trace::of(&ask.headers);
    let failed =
        pubsub::publish_bulk(&ask.shared, &ask.caller, component, topic, entries, &trace).await?;
    if failed.is_empty() {
        return Ok(empty());
    }
    let failed: Vec<_> =
        failed.iter().map(|it| json!({ "entryId": it.id, "error": it.error })).collect();
    let body = json!({ "failedEntries": failed, "errorCode": "ERR_PUBSUB_PUBLISH_MESSAGE" });
    Ok(json_with(StatusCode::INTERNAL_SERVER_ERROR, &body))
}

/// The data of an entry: bytes are in base 64, texts are strings, and JSON is itself.
fn data(event: Option<&RawValue>, kind: &str) -> Result<Bytes, String> {
    let Some(event) = event else { return Ok(Bytes::new()) };
    let raw = || Bytes::copy_from_slice(event.get().as_bytes());
    if is_json(kind) {
        return Ok(raw());
    }
    let text: Option<String> = serde_json::from_str(event.get()).ok();
    match text {
        Some(coded) if is_bytes(kind) => {
            let decoded = base64::engine::general_purpose::STANDARD.decode(coded);
            decoded.map(Bytes::from).map_err(|e| format!("the event is no base 64: {e}"))
        }
        Some(text) => Ok(text.into()),
        None if is_bytes(kind) => Err(format!("an event of {kind} is a string in base 64")),
        None if kind.is_empty() => Ok(raw()),
        None => Err(format!("an event of {kind} is a string")),
    }
}
