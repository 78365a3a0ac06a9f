//! A lock as it is kept in the engine.

use super::{Bound, LockInfo, LockRequest};
use crate::error::Error;
use base::{InstanceId, Timestamp};
use bytes::Bytes;
use ports::kv::Entry;
use serde::{Deserialize, Serialize};
use std::time::Duration;

const FORMAT: u32 = 1;

/// JSON, so that it can be read with the tools of an engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    format: u32,
    pub(super) owner: String,
    /// Microseconds since 1970.
    since: u64,
    ttl_s: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    pub(super) node: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    value: String,
    /// Makes each attempt to take a lock another value: a caller that does not know whether it got it can find out.
    nonce: u64,
}

impl Record {
    pub(super) fn new(request: &LockRequest, node: &str, now: Timestamp) -> Result<Self, Error> {
        let whole = request.ttl.as_secs() + u64::from(request.ttl.subsec_nanos() > 0);
        Ok(Self {
            format: FORMAT,
            owner: request.owner.clone(),
            since: now.0,
            ttl_s: whole,
            instance: request.instance.as_ref().map(InstanceId::to_string),
            node: node.to_owned(),
            value: request.value.clone(),
            nonce: nonce()?,
        })
    }

    pub(super) fn encode(&self) -> Bytes {
        serde_json::to_vec(self).expect("texts and numbers can be written as JSON").into()
    }

    pub(super) fn decode(resource: &str, value: &[u8]) -> Result<Self, Error> {
        let read: Result<Self, _> = serde_json::from_slice(value);
        let reason = match read {
            Ok(record) if record.format == FORMAT => return Ok(record),
            Ok(record) => format!("format {} is of a newer version", record.format),
            Err(error) => error.to_string(),
        };
        Err(Error::Damaged { what: format!("the lock `{resource}`"), reason })
    }

    pub(super) fn ttl(&self) -> Duration {
        Duration::from_secs(self.ttl_s)
    }

    pub(super) fn since(&self) -> Timestamp {
        Timestamp(self.since)
    }

    pub(super) fn instance(&self) -> Bound {
        self.instance.as_deref().and_then(|text| InstanceId::parse(text).ok())
    }

    pub(super) fn info(&self, resource: &str, entry: &Entry) -> LockInfo {
        LockInfo {
            resource: resource.to_owned(),
            owner: self.owner.clone(),
            token: entry.created.0,
            since: self.since(),
            ttl: self.ttl(),
            remaining: None,
            instance: self.instance(),
            node: self.node.clone(),
            value: self.value.clone(),
        }
    }
}

/// The lock of an entry whose key begins with `root`.
pub(super) fn read(root: &str, entry: &Entry) -> Result<LockInfo, Error> {
    let resource = resource(root, &entry.key);
    Ok(Record::decode(&resource, &entry.value)?.info(&resource, entry))
}

/// The resource of a key that begins with `root`.
pub(super) fn resource(root: &str, key: &[u8]) -> String {
    let own = key.strip_prefix(root.as_bytes()).unwrap_or(key);
    String::from_utf8_lossy(own).into_owned()
}

pub(super) fn nonce() -> Result<u64, Error> {
    getrandom::u64().map_err(|error| Error::Unsupported(format!("no random numbers: {error}")))
}
