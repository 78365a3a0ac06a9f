//! A version of a value as it is kept in the engine.
//!
//! ```text
//!  {"format":1,"version":7,…}⏎the value
//! ```
//!
//! One line of JSON, then the value as it is: so it can be read with the tools of an engine, and no value becomes
//! longer by being quoted.

use super::{ConfigItem, Version};
use crate::error::Error;
use base::Timestamp;
use bytes::Bytes;
use ports::kv::Entry;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const FORMAT: u32 = 1;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Head {
    format: u32,
    version: u64,
    /// Microseconds since 1970.
    changed: u64,
    by: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_deleted: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    restores: Option<u64>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<String, String>,
}

pub(super) fn encode(version: &Version) -> Bytes {
    let head = Head {
        format: FORMAT,
        version: version.version,
        changed: version.changed.0,
        by: version.by.clone(),
        is_deleted: version.value.is_none(),
        restores: version.restores,
        metadata: version.metadata.clone(),
    };
    let mut record = serde_json::to_vec(&head).expect("texts and numbers can be written as JSON");
    record.push(b'\n');
    record.extend_from_slice(version.value.as_deref().unwrap_or_default().as_bytes());
    record.into()
}

pub(super) fn decode(key: &str, entry: &Entry) -> Result<Version, Error> {
    parse(&entry.value).map_err(|reason| Error::Damaged { what: format!("`{key}`"), reason })
}

fn parse(record: &[u8]) -> Result<Version, String> {
    let end = record.iter().position(|byte| *byte == b'\n').ok_or("it has no head")?;
    let (head, value) = record.split_at(end);
    let head: Head = serde_json::from_slice(head).map_err(|error| error.to_string())?;
    if head.format != FORMAT {
        return Err(format!("format {} is of a newer version", head.format));
    }
    let value = std::str::from_utf8(value.get(1..).unwrap_or_default());
    let value = value.map_err(|error| error.to_string())?;
    Ok(Version {
        version: head.version,
        value: (!head.is_deleted).then(|| value.to_owned()),
        metadata: head.metadata,
        changed: Timestamp(head.changed),
        by: head.by,
        restores: head.restores,
    })
}

/// The value in force, unless it is deleted.
pub(super) fn item(version: Version, entry: &Entry) -> Option<ConfigItem> {
    Some(ConfigItem {
        value: version.value?,
        version: version.version,
        metadata: version.metadata,
        changed: version.changed,
        by: version.by,
        revision: entry.modified.0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ports::kv::Revision;

    #[test]
    fn a_record_reads_back_what_was_written_and_refuses_what_it_does_not_know() {
        let version = Version {
            version: 7,
            value: Some("two\nlines \u{0}".to_owned()),
            metadata: BTreeMap::from([("why".to_owned(), "a\n\"b\"".to_owned())]),
            changed: Timestamp(12),
            by: "cli".to_owned(),
            restores: Some(3),
        };
        let entry = |value| Entry {
            key: Bytes::from("k"),
            value,
            created: Revision(1),
            modified: Revision(2),
            version: 1,
            lease: None,
        };
        for version in [version.clone(), Version { value: None, restores: None, ..version }] {
            assert_eq!(decode("k", &entry(encode(&version))).unwrap(), version);
        }
        for bad in [&b"x"[..], b"{}\n", b"{\"format\":2,\"version\":1,\"changed\":1,\"by\":\"\"}\n"]
        {
            let error = decode("k", &entry(Bytes::from(bad))).unwrap_err();
            assert!(matches!(error, Error::Damaged { .. }), "{error}");
        }
    }
}
