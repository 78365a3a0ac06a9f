//! Transactions over several services.

mod submitting;

pub use submitting::*;

use super::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// A transaction.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Transaction {
    /// Its id.
    pub id: String,
    /// The protocol: `saga`, `tcc`, `2pc`, `3pc`, `3pc_classic`, `msg`.
    pub mode: String,
    /// The definition of the file that was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `open`, `trying`, `precommitting`, `committing`, `aborting`, or its end: `committed`, `aborted`, `mixed`.
    pub status: String,
    /// Why an operator should look at it. It goes on being tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attention: Option<String>,
    /// Why it is aborted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it began.
    pub begun: Time,
    /// When it was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Time>,
    /// When it is aborted unless it is decided; of an open message: when its sender is asked next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Time>,
    /// The node that drives it.
    pub node: String,
    /// The service that submitted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<String>,
    /// Labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// What it was given.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub input: Value,
    /// Of three-phase commit: `blocking_safe` (strict) or `non_blocking_unsafe_under_partition` (classic).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub safety: Option<String>,
    /// The trace that it belongs to, as `traceparent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// Its steps or participants, in order.
    pub branches: Vec<Branch>,
}

/// A branch of a transaction.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "TransactionBranch")]
pub struct Branch {
    /// Its name.
    pub id: String,
    /// `waiting`, `trying`, or how far it is: `done`, `undone`, `reserved`, `confirmed`, `cancelled`, `could`, `prepared`,
    /// `read_only`, `committed`, `rolled_back`; `refused`; `resolved` by an operator.
    pub status: String,
    /// Operations that are done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub done: Vec<String>,
    /// The operation that is under way or is tried next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub op: Option<String>,
    /// How often that was tried.
    #[serde(default)]
    pub attempts: u32,
    /// When it is tried next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Time>,
    /// What went wrong last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What the participant has done on its own: `committed`, `aborted`, `mixed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heuristic: Option<String>,
    /// Steps that come before it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<String>,
    /// Where its calls go, by operation.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub calls: BTreeMap<String, String>,
    /// What it is about when it is done with the decision: `publish order.created`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joins: Option<String>,
    /// What it has answered, if other steps use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
}

/// Transactions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Transactions {
    /// They, the newest first.
    pub transactions: Vec<Transaction>,
    /// The `cursor` of the next page, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Something that happened to a transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "TransactionEvent")]
pub struct Event {
    /// Its number within the transaction, from 1; of a long history those in the middle are not kept.
    pub seq: u64,
    /// When.
    pub at: Time,
    /// Where the transaction stood then.
    pub status: String,
    /// The branch, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// The operation, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub op: Option<String>,
    /// In words.
    pub text: String,
}

/// What has happened to a transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "TransactionEvents")]
pub struct Events {
    /// Oldest first.
    pub events: Vec<Event>,
}

/// What a participant in doubt is told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "TransactionDecision")]
pub struct Decision {
    /// The transaction.
    pub gid: String,
    /// `commit`, `abort` (also of a transaction that nobody knows), or `undecided`: ask again.
    pub decision: String,
}
