//! Locks and elections.

use super::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A lock that is held.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Lock {
    /// What it protects.
    pub resource: String,
    /// Who holds it.
    pub owner: String,
    /// The fencing token: greater than that of every earlier grant of this lock.
    pub token: u64,
    /// Since when.
    pub since: Time,
    /// How long it is held without renewal.
    pub ttl_ms: u64,
    /// How long it is held if it is not renewed, as far as that is known.
    pub remaining_ms: Option<u64>,
    /// The instance it is bound to: it is released when that ends.
    pub instance: Option<String>,
    /// The node that asked for it.
    pub node: String,
    /// What the holder says.
    pub value: String,
}

/// Locks that are held.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Locks {
    /// In the order of resources.
    pub locks: Vec<Lock>,
}

/// A lock, held or not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "LockLook")]
pub struct Look {
    /// What it protects.
    pub resource: String,
    /// Who holds it; null: nobody.
    pub holder: Option<Lock>,
}

/// Asks for a lock, or to lead.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "LockAcquire")]
pub struct Acquire {
    /// Who asks; different for each who may ask.
    pub owner: String,
    /// How long the lock is held without renewal, from 1000, rounded up to seconds.
    pub ttl_ms: u64,
    /// How long to wait for it, at most 300000. Those who wait get it in the order in which they came. Default 0.
    #[serde(default)]
    pub wait_ms: u64,
    /// What the holder says to all who look, for example its address.
    #[serde(default)]
    pub value: String,
    /// The lock outlives the instance that asks for it, until its time is over.
    #[serde(default)]
    pub outlives: bool,
}

/// What became of that.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "LockAcquired")]
pub struct Acquired {
    /// Whether the caller has it.
    pub acquired: bool,
    /// The fencing token, if it has.
    pub token: Option<u64>,
    /// How long it is held without renewal, counted from the request, if it has.
    pub ttl_ms: Option<u64>,
    /// Who has it otherwise.
    pub holder: Option<Lock>,
}

/// Gives a lock its full time again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "LockRenew")]
pub struct Renew {
    /// Who holds it.
    pub owner: String,
    /// The fencing token.
    pub token: u64,
}

/// The lock has its full time again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "LockRenewed")]
pub struct Renewed {
    /// How long that is, counted from the request.
    pub ttl_ms: u64,
}

/// Gives a lock back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "LockRelease")]
pub struct Release {
    /// Who holds it. In the admin API it may be left out: whoever holds it loses it.
    #[serde(default)]
    pub owner: String,
    /// The fencing token, if it is known.
    #[serde(default)]
    pub token: Option<u64>,
}

/// What became of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "LockReleased")]
pub struct Released {
    /// What it was.
    pub outcome: ReleaseOutcome,
    /// Who holds it, if it is another.
    pub holder: Option<Lock>,
}

/// What became of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "LockReleaseOutcome")]
pub enum ReleaseOutcome {
    /// It is free.
    Released,
    /// It was free before.
    Missing,
    /// Somebody else holds it, or the same owner under another token.
    Other,
}
