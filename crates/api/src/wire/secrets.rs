//! Secrets. Values stand only in what is asked for by name.

use super::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// What is known of a secret without its value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SecretInfo")]
pub struct Info {
    /// Its name.
    pub name: String,
    /// Where it comes from: `kv`, a file, the environment.
    pub source: String,
    /// When it was set, if it is stored.
    pub changed_at: Option<Time>,
}

/// The secrets of a store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SecretNames")]
pub struct Names {
    /// In the order of names.
    pub secrets: Vec<Info>,
}

/// A secret.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Secret {
    /// Its name.
    pub name: String,
    /// Its values by key, `***` unless they were asked to be revealed.
    pub values: BTreeMap<String, String>,
    /// Whether the values are real.
    pub revealed: bool,
    /// The engine is away: there may be a newer one.
    pub stale: bool,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A secret to store.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SecretSet")]
pub struct Set {
    /// The value.
    pub value: String,
}

impl fmt::Debug for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Set")
    }
}

/// The secret is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SecretStored")]
pub struct Stored {
    /// Always true.
    pub stored: bool,
}

/// All stored secrets are sealed anew.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SecretRotated")]
pub struct Rotated {
    /// The name of the key they are sealed with.
    pub key: String,
    /// How many there are.
    pub secrets: u64,
}
