//! Stores of the building blocks, and the engine below them.

use super::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What stores there are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Stores {
    /// In the order of kinds and names.
    pub stores: Vec<Store>,
}

/// A store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Store {
    /// What callers call it.
    pub name: String,
    /// What it is for.
    pub kind: StoreKind,
    /// Where its keys are in the engine; stores with the same one are the same store under several names.
    pub namespace: String,
    /// How full it is, if it is a cache.
    pub cache: Option<Cache>,
}

/// What a store is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StoreKind {
    /// State in the engine.
    State,
    /// State in memory.
    Cache,
    /// Locks and elections.
    Lock,
    /// Configuration.
    Config,
    /// Secrets.
    Secret,
}

/// How full a cache is, and how it is used since the node started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cache {
    /// Values.
    pub items: u64,
    /// What they take.
    pub size_bytes: u64,
    /// Most they may take.
    pub size_max_bytes: u64,
    /// Reads that found a value.
    pub hits: u64,
    /// Reads that found none.
    pub misses: u64,
    /// Values that had to go for others.
    pub evictions: u64,
    /// Values whose time had come.
    pub expirations: u64,
}

/// The engine below all stores that are not in memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Kv {
    /// Where it is: a folder, an address.
    pub place: String,
    /// Whether it answers.
    pub up: bool,
    /// Since when.
    pub since: Time,
    /// What is wrong with it.
    pub trouble: Option<String>,
    /// Its newest revision.
    pub revision: Option<u64>,
    /// Watches can begin after this revision.
    pub compacted: Option<u64>,
    /// Size on disk.
    pub size_bytes: Option<u64>,
}
