//! What is asked for: transactions to submit, and what is done to them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// A transaction to submit: either `use`, or `mode` and `steps`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TransactionSubmit")]
pub struct Submit {
    /// Its id, 1 to 128 of `A-Z a-z 0-9 - _ . : @`. The same id and content again answers as the transaction stands. It gets
    /// one when it is left out; then the header `Idempotency-Key` is taken for it if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The definition of the file that is used. With it only `id`, `input`, `labels` and `open` can be given.
    #[serde(rename = "use", default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What templates get as `{{input.…}}`, and what steps without a `body` are sent.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub input: Value,
    /// Labels to find it by, at most 16.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The client does the first phase itself: adds branches, calls them, then commits or aborts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub open: bool,
    /// The protocol; `saga` when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// Of `3pc`: `strict` when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<Profile>,
    /// Its steps or participants, at most 99.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<Step>")]
    pub steps: Vec<Value>,
    /// How long it may take until it is decided, `2m`; then it is aborted. Of an open message: until its sender is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    /// How calls are repeated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// Header fields that every call has.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Each answer is kept before anything else happens: for participants that do not recognise what they have done.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub durable_steps: bool,
    /// Steps that do not depend on each other are called one after the other.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sequential: bool,
    /// Of an open message: whom to ask when its sender is silent, `GET orders/tx-query`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// Of a message: how long after its submission deliveries begin, `10s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<String>,
}

/// A protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "TransactionMode")]
pub enum Mode {
    /// Actions, and compensations of what has run when one is refused.
    #[serde(rename = "saga")]
    Saga,
    /// Reservations that are confirmed or cancelled.
    #[serde(rename = "tcc")]
    Tcc,
    /// Two-phase commit.
    #[serde(rename = "2pc")]
    TwoPhase,
    /// Three-phase commit.
    #[serde(rename = "3pc")]
    ThreePhase,
    /// Three-phase commit with `profile: classic`.
    #[serde(rename = "3pc_classic")]
    ThreePhaseClassic,
    /// A message that is delivered exactly when its sender's own transaction was committed.
    #[serde(rename = "msg")]
    Message,
}

/// How participants of three-phase commit behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "TransactionProfile")]
pub enum Profile {
    /// They never decide alone.
    Strict,
    /// They decide alone when they hear nothing, which is unsafe when the network is parted.
    Classic,
}

/// A step: calls of its mode, or one of `publish`, `put`, `delete` and `holds`, which are done with the decision.
/// A call is written `POST items/reserve`, `items/reserve`, `GET https://…` or `grpc://orders/package.Service/Method`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TransactionStep")]
pub struct Step {
    /// Its name, 1 to 64 of `A-Z a-z 0-9 - _`; `01`, `02` and so on when it is left out. Branches that are added need one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Steps of a saga before it. When no step says it, each comes after the one before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Vec<String>>,
    /// Of `saga`: what it does. Of `msg`: where the message goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<String>,
    /// Of `saga`: what undoes it; without it there is nothing to undo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<String>,
    /// Of `tcc`: reserve. Left out in an open transaction when the client asks the participant itself.
    #[serde(rename = "try", default, skip_serializing_if = "Option::is_none")]
    pub reserve_call: Option<String>,
    /// Of `tcc`: use what was reserved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm: Option<String>,
    /// Of `tcc`: give it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel: Option<String>,
    /// Of `2pc`: do the work and promise. Left out in an open transaction when the client asks the participant itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prepare: Option<String>,
    /// Of `3pc`: could it?
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub can_commit: Option<String>,
    /// Of `3pc`: do the work and promise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pre_commit: Option<String>,
    /// Of `2pc` and `3pc`: make it permanent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Of `2pc` and `3pc`: give it up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<String>,
    /// Of `tcc`, `2pc` and `3pc`: one call for all of them; the operation tells them apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub participant: Option<String>,
    /// Of `2pc`: a transaction of this participant alone may be done in one phase, by the call of `prepare`, or by this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub one_phase: Option<OnePhase>,
    /// Of `saga`: publishes a message to this topic with the decision; `body` is its data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publish: Option<String>,
    /// Of `publish`: the message's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Of `saga`: stores `body` with the decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub put: Option<Entry>,
    /// Of `saga`: deletes a key with the decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete: Option<Entry>,
    /// Of `saga`: the decision is to commit only while this lock is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holds: Option<Holds>,
    /// What is sent; the transaction's input when it is left out. Texts may have `{{input.…}}` and `{{steps.ID.body.…}}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// How long one call may take, `3s`; `10s` when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    /// How its calls are repeated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// How long a reservation or promise is kept, `30s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserve: Option<String>,
}

/// Whether a transaction of one participant may be done in one phase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "TransactionOnePhase")]
pub enum OnePhase {
    /// `true`: by the call of `prepare`.
    Is(bool),
    /// By this call.
    Call(String),
}

/// A key of a state store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TransactionEntry")]
pub struct Entry {
    /// The store.
    pub store: String,
    /// The key; may have templates in it.
    pub key: String,
    /// The etag that the value must have; empty: the key must be missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
}

/// A lock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TransactionHolds")]
pub struct Holds {
    /// The store of locks.
    pub store: String,
    /// The resource; may have templates in it.
    pub lock: String,
    /// The fencing token; may have templates in it.
    pub token: String,
}

/// How calls are repeated. What is left out is as for the transaction, or as usual.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TransactionRetry")]
pub struct Retry {
    /// The first pause, `500ms`; it doubles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// The longest pause, `60s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<String>,
    /// Attempts of one operation after which `then` happens, 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// What happens then, `attention`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub then: Option<Then>,
}

/// What happens when a call was tried as often as it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "TransactionThen")]
pub enum Then {
    /// An operator is asked; it is still tried, at the longest pause.
    Attention,
    /// Before the decision the transaction is aborted; after it as `attention`.
    Abort,
}

/// Branches to add to an open transaction: `steps`, or one step in place of all this.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TransactionBranches")]
pub struct Branches {
    /// They; all are added or none.
    #[schemars(with = "Vec<Step>")]
    pub steps: Vec<Value>,
}

/// Gives a transaction up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TransactionAbort")]
pub struct Abort {
    /// Why; stands in the transaction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Ends what does not end by itself. Either `branch` or `outcome`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TransactionResolve")]
pub struct Resolve {
    /// This branch was put right by hand: the operation that does not end counts as done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// Everything was put right by hand, this way: `committed`, `aborted` or `mixed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// Why; stands in the transaction's history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
