//! A message of the port as a message of NATS, and back.
//!
//! All that is not payload stands in headers. Values of the port's headers are put in quotes, as the blanks around a value are
//! lost on the way; the key is in base64. Ours have a word before them, so none of them means something to JetStream.

use crate::receipt::Stamp;
use async_nats::{HeaderMap, HeaderName, HeaderValue};
use base::Timestamp;
use base64::{Engine, prelude::BASE64_STANDARD_NO_PAD};
use bytes::Bytes;
use ports::broker::{Message, NewMessage, Offset};

const ID: &str = "Flotilla-Id";
const KEY: &str = "Flotilla-Key";
/// Before the name of a header of the port.
const HEADER: &str = "Flotilla-H-";
/// By this JetStream compares messages.
const COMPARED: &str = "Nats-Msg-Id";

/// What NATS writes around headers and each of them: `NATS/1.0`, `: ` and line ends.
const FRAME_SIZE: usize = 12;
const HEADER_FRAME_SIZE: usize = 4;

/// A message on its way, without its payload.
pub(crate) fn headers(message: &NewMessage, id: &str, is_compared: bool) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    let mut put = |name: String, value: String| {
        let (name, value) = (name.parse::<HeaderName>().ok()?, value.parse::<HeaderValue>().ok()?);
        headers.insert(name, value);
        Some(())
    };
    put(ID.to_owned(), id.to_owned())?;
    if is_compared {
        put(COMPARED.to_owned(), id.to_owned())?;
    }
    if let Some(key) = &message.key {
        // A value must not be empty, but a key may be.
        put(KEY.to_owned(), format!("={}", BASE64_STANDARD_NO_PAD.encode(key)))?;
    }
    for (name, value) in &message.headers {
        put(format!("{HEADER}{name}"), format!("\"{value}\""))?;
    }
    Some(headers)
}

/// Bytes of a message on its way.
pub(crate) fn size(headers: &HeaderMap, payload: &Bytes) -> usize {
    let one = |(name, values): (&HeaderName, &Vec<HeaderValue>)| -> usize {
        let name: &str = name.as_ref();
        values.iter().map(|value| name.len() + value.as_str().len() + HEADER_FRAME_SIZE).sum()
    };
    FRAME_SIZE + headers.iter().map(one).sum::<usize>() + payload.len()
}

/// A message as it came. What others than us have published is read as well as can be.
pub(crate) fn read(message: async_nats::Message, stamp: &Stamp<'_>) -> Message {
    let sent = message.headers.unwrap_or_default();
    let value = |name: &str| sent.get(name).map(HeaderValue::as_str);
    let id = value(ID).or_else(|| value(COMPARED));
    let id = id.map_or_else(|| format!("{}.{}", stamp.stream, stamp.offset), str::to_owned);
    let key = value(KEY)
        .and_then(|text| BASE64_STANDARD_NO_PAD.decode(text.strip_prefix('=')?).ok())
        .map(Bytes::from);
    let mut headers = Vec::new();
    for (name, values) in sent.iter() {
        let name: &str = name.as_ref();
        let Some(value) = values.first().map(HeaderValue::as_str) else { continue };
        if let Some(name) = name.strip_prefix(HEADER) {
            let inner = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
            headers.push((name.to_owned(), inner.unwrap_or(value).to_owned()));
        }
    }
    headers.sort_unstable();
    let time = u64::try_from(stamp.time.as_micros()).unwrap_or(u64::MAX);
    Message {
        offset: Offset(stamp.offset),
        time: Timestamp(time),
        id,
        key,
        headers,
        payload: message.payload,
    }
}
