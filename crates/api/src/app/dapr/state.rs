//! `state/…`: JSON arrays and objects, with the values kept byte for byte.

use super::{Answer, Ask, METADATA, data, empty, json};
use crate::{
    answer::JSON,
    app::{
        blocks::state::{self, Got, Op, Remove, Save},
        fault::Fault,
    },
};
use base64::Engine as _;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, header};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct SaveItem<'a> {
    #[serde(default)]
    key: String,
    #[serde(borrow)]
    value: Option<&'a RawValue>,
    etag: Option<String>,
    metadata: Option<BTreeMap<String, String>>,
    options: Option<Options>,
}

#[derive(Default, Deserialize)]
struct Options {
    concurrency: Option<String>,
    consistency: Option<String>,
}

#[derive(Deserialize)]
struct BulkGet {
    keys: Option<Vec<String>>,
}

#[derive(Serialize)]
struct BulkItem<'a> {
    key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    etag: Option<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

#[derive(Deserialize)]
struct Transaction<'a> {
    #[serde(borrow)]
    operations: Option<Vec<TransactionItem<'a>>>,
    metadata: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct TransactionItem<'a> {
    #[serde(default)]
    operation: String,
    #[serde(borrow)]
    request: Option<&'a RawValue>,
}

/// Whether the write loses against a value that is there already.
fn is_first_write(concurrency: Option<&str>, consistency: Option<&str>) -> Result<bool, Fault> {
    match consistency.unwrap_or_default() {
        "" | "eventual" | "strong" => {}
        other => {
            let why = format!("unrecognized consistency model '{other}': use eventual or strong");
            return Err(Fault::bad_request(why));
        }
    }
    match concurrency.unwrap_or_default() {
        "" | "last-write" => Ok(false),
        "first-write" => Ok(true),
        other => {
            let why =
                format!("unrecognized concurrency model '{other}': use first-write or last-write");
            Err(Fault::bad_request(why))
        }
    }
}

impl SaveItem<'_> {
    /// The write, with metadata of the whole request before its own.
    fn into_save(self, body: &Bytes, of_all: &BTreeMap<String, String>) -> Result<Save, Fault> {
        if self.key.is_empty() {
            return Err(Fault::bad_request("\"key\" is a required field"));
        }
        let options = self.options.unwrap_or_default();
        let first_write =
            is_first_write(options.concurrency.as_deref(), options.consistency.as_deref())?;
        let value = match self.value {
            Some(raw) => body.slice_ref(raw.get().as_bytes()),
            None => Bytes::from_static(b"null"),
        };
        let mut metadata = self.metadata.unwrap_or_default();
        metadata.extend(of_all.clone());
        let content_type = None;
        Ok(Save { key: self.key, value, etag: self.etag, metadata, first_write, content_type })
    }
}

pub(super) async fn save(ask: Ask) -> Answer {
    let store = ask.value(0);
    state::check(&ask.shared, &ask.caller, store)?;
    let metadata = ask.metadata();
    let items: Option<Vec<SaveItem<'_>>> =
        serde_json::from_slice(&ask.body).map_err(|e| Fault::bad_request(e.to_string()))?;
    let items = items.unwrap_or_default().into_iter();
    let saves: Vec<Save> =
        items.map(|item| item.into_save(&ask.body, &metadata)).collect::<Result<_, _>>()?;
    state::save(&ask.shared, &ask.caller, store, saves).await?;
    Ok(empty())
}

pub(super) async fn get(ask: Ask) -> Answer {
    is_first_write(None, ask.param("consistency"))?;
    let got = state::get(&ask.shared, &ask.caller, ask.value(0), ask.value(1)).await?;
    let Some(got) = got else { return Ok(empty()) };
    let mut answer = data(got.content_type.as_deref().unwrap_or(JSON), got.data);
    let headers = answer.headers_mut();
    if let Ok(etag) = HeaderValue::from_str(&got.etag) {
        headers.insert(header::ETAG, etag);
    }
    for (name, value) in &got.metadata {
        let name = HeaderName::from_bytes(format!("{METADATA}{name}").as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
            headers.insert(name, value);
        }
    }
    Ok(answer)
}

pub(super) async fn delete(ask: Ask) -> Answer {
    is_first_write(ask.param("concurrency"), ask.param("consistency"))?;
    let etag = match ask.headers.get(header::IF_MATCH).map(HeaderValue::to_str) {
        None => None,
        Some(Ok(etag)) => Some(etag.to_owned()),
        Some(Err(_)) => return Err(Fault::bad_request("If-Match is not ASCII")),
    };
    let (store, key) = (ask.value(0), ask.value(1).to_owned());
    let remove = Remove { key, etag };
    state::delete(&ask.shared, &ask.caller, store, remove).await?;
    Ok(empty())
}

pub(super) async fn bulk(ask: Ask) -> Answer {
    let store = ask.value(0);
    state::check(&ask.shared, &ask.caller, store)?;
    let request: BulkGet = ask.read()?;
    let keys = request.keys.unwrap_or_default();
    let found = state::get_bulk(&ask.shared, &ask.caller, store, &keys).await?;
    let items: Vec<BulkItem<'_>> = found
        .iter()
        .map(|one| {
            let (got, error) = match &one.outcome {
                Ok(got) => (got.as_ref(), None),
                Err(error) => (None, Some(error.as_str())),
            };
            let metadata = got.map(|got| &got.metadata).into_iter().flatten();
            BulkItem {
                key: &one.key,
                data: got.map(as_json),
                etag: got.map(|got| got.etag.as_str()),
                metadata: metadata.map(|(name, value)| (name.as_str(), value.as_str())).collect(),
                error,
            }
        })
        .collect();
    Ok(json(&items))
}

/// A value inside of JSON: what is JSON as it is, other text as a string, other bytes as base 64.
fn as_json(got: &Got) -> Box<RawValue> {
    let text = std::str::from_utf8(&got.data);
    if let Ok(text) = text
        && let Ok(raw) = serde_json::from_str::<Box<RawValue>>(text)
    {
        return raw;
    }
    let text = match text {
        Ok(text) => text.to_owned(),
        Err(_) => base64::engine::general_purpose::STANDARD.encode(&got.data),
    };
    serde_json::value::to_raw_value(&text).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

pub(super) async fn transaction(ask: Ask) -> Answer {
    let store = ask.value(0);
    state::check(&ask.shared, &ask.caller, store)?;
    let request: Transaction<'_> = serde_json::from_slice(&ask.body).map_err(Fault::malformed)?;
    let mut metadata = request.metadata.unwrap_or_default();
    metadata.extend(ask.metadata());
    let operations = request.operations.unwrap_or_default().into_iter();
    let operations: Vec<Op> =
        operations.map(|item| operation(&item, &ask.body, &metadata)).collect::<Result<_, _>>()?;
    state::transact(&ask.shared, &ask.caller, store, operations).await?;
    Ok(empty())
}

fn operation(
    item: &TransactionItem<'_>,
    body: &Bytes,
    metadata: &BTreeMap<String, String>,
) -> Result<Op, Fault> {
    let raw = item.request.map_or("null", RawValue::get);
    let is_upsert = match item.operation.as_str() {
        "upsert" => true,
        "delete" => false,
        other => return Err(Fault::state_operation(other)),
    };
    let request: SaveItem<'_> = serde_json::from_str(raw)
        .map_err(|e| Fault::malformed(format!("`request` of `{}`: {e}", item.operation)))?;
    let save = request.into_save(body, metadata)?;
    if is_upsert {
        return Ok(Op::Upsert(save));
    }
    Ok(Op::Delete(Remove { key: save.key, etag: save.etag }))
}

pub(super) async fn query(ask: Ask) -> Answer {
    state::check(&ask.shared, &ask.caller, ask.value(0))?;
    // An `await` so that all handlers are of one shape.
    std::future::ready(Err(Fault::state_query(ask.value(0)))).await
}
