//! What is told of transactions.

use crate::{Gid, Spec};
use logic::tx::{Mode, Op, Phase, State};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A transaction as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// Its name.
    pub gid: Gid,
    /// What was asked for.
    pub spec: Spec,
    /// Where it stands.
    pub state: State,
    /// What steps have answered, where others use it; by the position of the step.
    pub results: Vec<Value>,
    /// What has happened, oldest first; at most [`NOTES_MAX`], the first and the last ones.
    pub notes: Vec<Note>,
    /// The node that drives it.
    pub node: String,
}

/// Most notes that are kept of a transaction.
pub const NOTES_MAX: usize = 64;

/// Something that happened to a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Its number within the transaction, from 1, without gaps but for notes that are not kept any more.
    pub seq: u32,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Where the transaction stood then.
    pub phase: Phase,
    /// The branch, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// The operation, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub op: Option<Op>,
    /// In words: `begun`, `done`, `refused: …`, `failed: …`, `decided: …`, `recovered`, `resolved by …`.
    pub text: String,
}

/// Which transactions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// In these phases; empty: in any.
    pub phases: Vec<Phase>,
    /// Only those that wait for an operator.
    pub attention: bool,
    /// Of this protocol.
    pub mode: Option<Mode>,
    /// Made of this definition.
    pub name: Option<String>,
    /// With this label.
    pub label: Option<(String, String)>,
    /// Begun at this moment or later, in milliseconds since 1970.
    pub since_ms: Option<u64>,
    /// Begun before this moment.
    pub until_ms: Option<u64>,
    /// Where the page before ended.
    pub cursor: Option<String>,
    /// Most that are given, up to [`LIST_MAX`].
    pub limit: Option<usize>,
}

/// Most transactions of one page.
pub const LIST_MAX: usize = 1_000;

/// Some transactions, the newest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// They.
    pub transactions: Vec<View>,
    /// Where the next page begins, when there is one.
    pub next: Option<String>,
}

/// What a participant in doubt is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Make it permanent.
    Commit,
    /// Give it up. Also of what nobody knows: what was not decided and kept is aborted (presumed abort).
    Abort,
    /// Ask again.
    Undecided,
}
