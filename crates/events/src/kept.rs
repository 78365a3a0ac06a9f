//! Messages as they are kept in the kv engine until they are published.

use crate::Error;
use bytes::Bytes;
use ports::{
    broker::{GroupName, NewMessage, TopicName},
    kv::{Entry, Error as KvError, Kv, Outcome, Page, Range, Transaction},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::sync::Arc;

/// The format that this release writes.
const VERSION: u8 = 1;

/// Version, length of what comes first.
const HEAD: usize = 5;

/// How many rows are read at once: with the longest messages it is memory for a moment only.
const PAGE: usize = 100;

#[derive(Serialize, Deserialize)]
struct Parts {
    topic: String,
    id: Option<String>,
    key: Option<Vec<u8>>,
    headers: Vec<(String, String)>,
}

/// What is said of something as JSON, then its bytes as they are.
pub(crate) fn pack(head: &impl Serialize, body: &[u8]) -> Bytes {
    // Texts and numbers always can be written.
    let head = serde_json::to_vec(head).unwrap_or_default();
    let mut bytes = Vec::with_capacity(HEAD + head.len() + body.len());
    bytes.push(VERSION);
    bytes.extend_from_slice(&u32::try_from(head.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend_from_slice(&head);
    bytes.extend_from_slice(body);
    bytes.into()
}

/// What [`pack`] wrote. `None`: another release wrote it, or nobody did.
pub(crate) fn unpack<T: DeserializeOwned>(bytes: &Bytes) -> Option<(T, Bytes)> {
    let (&version, rest) = bytes.split_first()?;
    let length = usize::try_from(u32::from_le_bytes(*rest.first_chunk::<4>()?)).ok()?;
    let end = HEAD.checked_add(length).filter(|end| *end <= bytes.len())?;
    let head = serde_json::from_slice(bytes.get(HEAD..end)?).ok()?;
    (version == VERSION).then(|| (head, bytes.slice(end..)))
}

/// A message and where it goes, as bytes.
pub(crate) fn encode(topic: &TopicName, message: &NewMessage) -> Bytes {
    let parts = Parts {
        topic: topic.to_string(),
        id: message.id.clone(),
        key: message.key.as_ref().map(|key| key.to_vec()),
        headers: message.headers.clone(),
    };
    pack(&parts, &message.payload)
}

/// What [`encode`] wrote. `None`: another release wrote it, or nobody did.
pub(crate) fn decode(bytes: &Bytes) -> Option<(TopicName, NewMessage)> {
    let (Parts { topic, id, key, headers }, payload) = unpack(bytes)?;
    let message = NewMessage { id, key: key.map(Bytes::from), headers, payload };
    Some((TopicName::new(&topic).ok()?, message))
}

/// A name that is one of ours.
///
/// # Panics
/// When it is no name, which a test shows.
pub(crate) fn topic(name: &'static str) -> TopicName {
    TopicName::new(name).expect("names of ours are names")
}

/// As [`topic`].
pub(crate) fn group(name: &'static str) -> GroupName {
    GroupName::new(name).expect("names of ours are names")
}

/// The part of the kv engine that belongs to events of one system.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    pub(crate) kv: Arc<dyn Kv>,
    root: String,
}

impl Rows {
    pub(crate) fn new(kv: Arc<dyn Kv>, system: &str) -> Self {
        Self { kv, root: format!("flotilla/{system}/events/") }
    }

    /// The key with this name.
    pub(crate) fn key(&self, name: &str) -> Bytes {
        format!("{}{name}", self.root).into()
    }

    /// The keys that begin with this.
    pub(crate) fn prefix(&self, name: &str) -> Range {
        Range::prefix(self.key(name))
    }

    /// What a key is called here.
    pub(crate) fn name<'a>(&self, key: &'a [u8]) -> Option<&'a str> {
        std::str::from_utf8(key).ok()?.strip_prefix(self.root.as_str())
    }

    /// One entry.
    pub(crate) async fn get(&self, what: &'static str, key: &[u8]) -> Result<Option<Entry>, Error> {
        self.kv.get(key).await.map_err(|cause| Error::Kv { what, cause })
    }

    /// The first entries of a range.
    pub(crate) async fn first(&self, what: &'static str, range: &Range) -> Result<Page, Error> {
        self.kv.range(range, PAGE).await.map_err(|cause| Error::Kv { what, cause })
    }

    /// Applies a transaction. Answers whether its conditions held.
    pub(crate) async fn commit(
        &self,
        what: &'static str,
        transaction: Transaction,
    ) -> Result<bool, Error> {
        let outcome: Result<Outcome, KvError> = self.kv.commit(transaction).await;
        match outcome {
            Ok(Outcome::Committed { .. }) => Ok(true),
            Ok(Outcome::Refused { .. }) => Ok(false),
            Err(cause) => Err(Error::Kv { what, cause }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_message_comes_out_as_it_went_in() {
        let topic = TopicName::new("order.created").unwrap();
        let message = NewMessage {
            id: Some("7".to_owned()),
            key: Some(Bytes::from_static(b"\xff\x00")),
            headers: vec![("ce-id".to_owned(), "ü".to_owned())],
            payload: Bytes::from_static(b"\x00\xffdata"),
        };
        let bytes = encode(&topic, &message);
        assert_eq!(decode(&bytes), Some((topic, message)));
        for end in 0..bytes.len() - 6 {
            assert_eq!(decode(&bytes.slice(..end)), None, "cut at {end}");
        }
        assert_eq!(decode(&Bytes::from_static(b"\x02\0\0\0\0")), None);
    }
}
