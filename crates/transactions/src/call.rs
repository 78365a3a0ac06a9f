//! Whom the coordinator needs: who calls participants, and who knows state, topics and locks.

use crate::{Dialect, Gid, Join, Target};
use async_trait::async_trait;
use bytes::Bytes;
use logic::tx::{Answer, Mode, Op};
use ports::kv::{Condition, Operation};
use serde_json::Value;
use std::{collections::BTreeMap, fmt, time::Duration};

/// A call to a participant, ready to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallRequest {
    /// The transaction.
    pub gid: Gid,
    /// Its protocol.
    pub mode: Mode,
    /// Whom it is spoken of with.
    pub dialect: Dialect,
    /// The branch's name; `00` for the query of a message.
    pub branch: String,
    /// What is asked.
    pub op: Op,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// Until when the participant keeps its promise, in milliseconds since 1970.
    pub until_ms: Option<u64>,
    /// Where it goes, without place holders.
    pub target: Target,
    /// The method.
    pub method: String,
    /// Headers besides those that every call has.
    pub headers: BTreeMap<String, String>,
    /// What is sent; empty: nothing.
    pub body: Bytes,
    /// The trace that the call belongs to.
    pub traceparent: Option<String>,
    /// How long it may take.
    pub timeout: Duration,
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq)]
pub struct Called {
    /// What it means.
    pub answer: Answer,
    /// The status of the answer: HTTP's, or gRPC's code.
    pub status: Option<u16>,
    /// The answer's body as JSON, at most [`RESULT_LEN_MAX`] bytes of it; `Null`: there was none or it is something else. For steps that use it.
    pub body: Value,
}

/// Longest answer that later steps can use, in bytes.
pub const RESULT_LEN_MAX: usize = 64 << 10;

/// Calls participants.
#[async_trait]
pub trait Participants: Send + Sync + fmt::Debug {
    /// Makes one call and judges the answer. Does not try again.
    ///
    /// # Cancel safety
    /// The participant may or may not have heard it.
    async fn call(&self, request: CallRequest) -> Called;

    /// Waits until an instance of this service is ready; returns at once where there is no telling.
    ///
    /// # Cancel safety
    /// Cancel safe.
    async fn ready(&self, service: &str);
}

/// What a step that joins the decision asks of the kv engine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prepared {
    /// What must hold.
    pub conditions: Vec<Condition>,
    /// What is done.
    pub operations: Vec<Operation>,
}

/// Why a step cannot join a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JoinRefused {
    /// It never can: the transaction is aborted for this reason.
    Never(String),
    /// Not now, but later it may: the decision is tried again.
    Later(String),
}

/// Knows state, topics and locks.
#[async_trait]
pub trait Joined: Send + Sync + fmt::Debug {
    /// What `join` asks of the kv engine. `value` is the step's body. Asked again for the same step it may ask for something else.
    ///
    /// # Errors
    /// Why it cannot.
    async fn prepare(
        &self,
        of: JoinOf<'_>,
        join: &Join,
        value: &Value,
    ) -> Result<Prepared, JoinRefused>;
}

/// Whose step joins a decision.
#[derive(Clone, Copy, Debug)]
pub struct JoinOf<'a> {
    /// The transaction.
    pub gid: &'a Gid,
    /// The step's name.
    pub step: &'a str,
    /// The service whose transaction it is, if it is known; keys of state are its own.
    pub caller: Option<&'a str>,
    /// The trace that the transaction belongs to.
    pub traceparent: Option<&'a str>,
}
