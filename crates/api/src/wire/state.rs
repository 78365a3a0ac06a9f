//! State: values under keys.

use super::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

/// A value in one of three forms: as JSON, as text, or as base 64.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "StateItem")]
pub struct Item {
    /// Its key.
    pub key: String,
    /// The value, when it is JSON; byte for byte as it was written.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "serde_json::Value")]
    pub value: Option<Box<RawValue>>,
    /// The value, when it is other text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The value, when it is no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
    /// Which of the values that the key has had it is.
    pub etag: String,
    /// What kind of value it is, if that was said.
    pub content_type: Option<String>,
    /// When it ends by itself.
    pub expires_at: Option<Time>,
}

/// Items next to each other.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "StateItems")]
pub struct Items {
    /// In the order of keys.
    pub items: Vec<Item>,
    /// What to give as `after` for those that follow.
    pub next: Option<String>,
    /// When this was so: a watch after it misses nothing.
    pub revision: u64,
}

/// A value to write, in one of three forms.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "StatePut")]
pub struct Put {
    /// The value as JSON, kept byte for byte.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "serde_json::Value")]
    pub value: Option<Box<RawValue>>,
    /// The value as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The value as base 64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
    /// What must hold of the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<Expect>,
    /// How long the value stays; 0: until it is deleted. As the store is set up when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
    /// What kind of value it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// The lock the write depends on: it is refused when the lock is not held under this token any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fence: Option<Fence>,
}

/// What must hold of a key. Exactly one of the two.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "StateExpect")]
pub struct Expect {
    /// It is there, with this etag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// It is not there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub missing: bool,
}

/// A lock that a write depends on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "StateFence")]
pub struct Fence {
    /// The store of the lock.
    pub store: String,
    /// The lock's resource.
    pub resource: String,
    /// The token that acquiring it gave.
    pub token: u64,
}

/// A key and its new value.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "StatePutKey")]
pub struct PutKey {
    /// The key.
    pub key: String,
    /// The value and its conditions.
    pub put: Put,
}

/// Several keys to read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "StateGetMany")]
pub struct GetMany {
    /// At most 1000.
    pub keys: Vec<String>,
}

/// What was read.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "StateGotMany")]
pub struct GotMany {
    /// In the order of the request.
    pub results: Vec<Got>,
}

/// What was found under one of several keys: an item, an error, or neither when nothing is there.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "StateGot")]
pub struct Got {
    /// The key.
    pub key: String,
    /// What is there.
    pub item: Option<Item>,
    /// Why it cannot be read.
    pub error: Option<String>,
}

/// Several values to write, each for itself.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "StatePutMany")]
pub struct PutMany {
    /// At most 1000.
    pub items: Vec<PutKey>,
}

/// What became of several writes.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "StateWrittenMany")]
pub struct WrittenMany {
    /// In the order of the request. Some may be written and others not.
    pub results: Vec<WrittenKey>,
}

/// What became of one of several writes.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "StateWrittenKey")]
pub struct WrittenKey {
    /// The key.
    pub key: String,
    /// The new etag, if it was written.
    pub etag: Option<String>,
    /// Why it was not.
    pub error: Option<super::ErrorDetail>,
}

/// Steps that are done all or not at all, as if one after the other.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "StateTransaction")]
pub struct Transaction {
    /// At most 128 keys.
    pub operations: Vec<Operation>,
    /// Messages that are published exactly when the steps are done, at most 100. They count as steps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub publish: Vec<PublishBeside>,
}

/// A message that is published when a transaction is done.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "StatePublish")]
pub struct PublishBeside {
    /// Where.
    pub topic: String,
    /// What. It is published at once: `at` and `after_ms` are refused.
    pub message: super::topics::Publish,
}

/// A step of a transaction.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
#[schemars(rename = "StateOperation")]
pub enum Operation {
    /// Writes a value.
    Put(PutKey),
    /// Deletes a key.
    Delete(Delete),
}

/// A key to delete.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "StateDelete")]
pub struct Delete {
    /// The key.
    pub key: String,
    /// What must hold of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<Expect>,
    /// The lock the deletion depends on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fence: Option<Fence>,
}

/// What a transaction did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "StateTransacted")]
pub struct Transacted {
    /// The new etag for each operation; null for a deletion, and for a value that a later step replaced.
    pub etags: Vec<Option<String>>,
}

/// What a write did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "StateWritten")]
pub struct Written {
    /// The new etag.
    pub etag: String,
}

/// What a deletion did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "StateDeleted")]
pub struct Deleted {
    /// Whether it was there.
    pub deleted: bool,
}

/// What did not match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "StateConflict")]
pub struct Conflict {
    /// The first key that did not match, or the lock's resource.
    pub key: String,
    /// The etag, version or token that was asked for; null: that there is none.
    pub expected: Option<String>,
    /// What it was; null: it is missing.
    pub found: Option<String>,
}

/// All that one revision changed.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "StateChange")]
pub struct Change {
    /// The revision; also the event's id, to resume after.
    pub revision: u64,
    /// Values that were written.
    pub put: Vec<Item>,
    /// Keys that were deleted, or ended.
    pub deleted: Vec<String>,
    /// Only in the last event, `compacted`, of a stream whose past is not kept any more: the last revision that is gone.
    /// Read anew, and watch after what that gives.
    pub compacted: Option<u64>,
}

/// Tells a `null` that was given from nothing.
pub(crate) fn given<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(deserializer).map(Some)
}
