//! Configuration: values with versions.

use super::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A value that is in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ConfigItem")]
pub struct Item {
    /// The value.
    pub value: String,
    /// Counts the changes of the key, deletions included, from 1.
    pub version: u64,
    /// What was noted with it.
    pub metadata: BTreeMap<String, String>,
    /// When it was set.
    pub changed_at: Time,
    /// By whom.
    pub by: String,
}

/// Values that are in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ConfigItems")]
pub struct Items {
    /// By key.
    pub items: BTreeMap<String, Item>,
    /// The engine is away: there may be newer values.
    pub stale: bool,
    /// A watch after it misses nothing.
    pub revision: u64,
}

/// A value to set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ConfigSet")]
pub struct Set {
    /// The value.
    pub value: String,
    /// What is noted with it.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// The version that must be in force; 0: the key must not be set.
    #[serde(default)]
    pub expected: Option<u64>,
}

/// What a change did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ConfigChanged")]
pub struct Changed {
    /// The version that it made; null: there was nothing to change.
    pub version: Option<u64>,
}

/// A version to go back to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ConfigRollback")]
pub struct Rollback {
    /// The version whose value is set again, as a new version.
    pub to: u64,
}

/// One of the values that a key has had.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ConfigVersion")]
pub struct Version {
    /// Which.
    pub version: u64,
    /// The value; null: the key was deleted.
    pub value: Option<String>,
    /// What was noted with it.
    pub metadata: BTreeMap<String, String>,
    /// When it was set.
    pub changed_at: Time,
    /// By whom.
    pub by: String,
    /// The version whose value it is again.
    pub restores: Option<u64>,
}

/// The versions of a key that are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ConfigHistory")]
pub struct History {
    /// The newest first.
    pub versions: Vec<Version>,
}

/// What is different between two versions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ConfigDiff")]
pub struct Diff {
    /// As unified diff; empty when they are the same.
    pub diff: String,
}

/// What changed at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ConfigChange")]
pub struct Change {
    /// The revision; also the event's id, to resume after.
    pub revision: u64,
    /// The keys and what they are; null: deleted.
    pub items: BTreeMap<String, Option<Item>>,
}
