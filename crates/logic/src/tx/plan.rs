//! What a transaction consists of.

use super::{Mode, Op, OpSet};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// Most branches of a transaction: what one record has room for, and DTM's numbers of two digits.
pub const BRANCHES_MAX: usize = 99;

/// How long and how often a call is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// The first pause, in milliseconds; it doubles.
    pub base_ms: u64,
    /// The longest pause, in milliseconds.
    pub max_ms: u64,
    /// Attempts of one operation after which `then` happens; `None`: never.
    pub attempts: Option<u32>,
    /// What happens then.
    pub then: Then,
}

/// What happens when an operation was tried as often as it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Then {
    /// An operator is asked; it is still tried, at the longest pause.
    Attention,
    /// Before the decision it is given up as if it had been refused. After it as [`Then::Attention`].
    Abort,
}

impl Default for Retry {
    /// Half a second to a minute, attention after 20 attempts: with these pauses a quarter of an hour.
    fn default() -> Self {
        Self { base_ms: 500, max_ms: 60_000, attempts: Some(20), then: Then::Attention }
    }
}

/// A participant's part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Branch {
    /// Its name within the transaction.
    pub id: String,
    /// Positions of the branches whose action comes before its own. Only sagas; all of them stand before it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<u16>,
    /// Which operations are calls. One that is missing here is done without a call.
    pub ops: OpSet,
    /// It is carried out within the decision's own transaction of the kv engine, without a call. Only sagas.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub joins: bool,
    /// Others use what it answers, so its answer is kept before they are called.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub feeds: bool,
    /// The client has asked it for its first phase itself ([`Op::Try`] of TCC, [`Op::Prepare`] of 2PC as DTM's XA does).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tried_by_client: bool,
    /// How long a reservation is kept, in milliseconds; sent with [`Op::Try`] and the promises of 3PC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserve_ms: Option<u64>,
    /// Instead of [`Plan::retry`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
}

/// What a transaction consists of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The protocol.
    pub mode: Mode,
    /// The participants. An open transaction gets more of them.
    pub branches: Vec<Branch>,
    /// How calls are repeated.
    pub retry: Retry,
    /// How long it may take until it is decided, in milliseconds; then it is aborted. Of a message that is open: until the sender is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Each answer is kept before anything else happens: for participants that do not recognise what they have done.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub durable_steps: bool,
    /// Branches that are independent are called at the same time. Otherwise one after the other; compensations, confirmations and
    /// cancellations too, in reverse where DTM does so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub concurrent: bool,
    /// Of a message: the sender can be asked. Otherwise a message that stays open is aborted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_query: bool,
    /// Of a message: its deliveries begin at this moment, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before_ms: Option<u64>,
}

/// Why a plan is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPlan {
    /// It has more branches than [`BRANCHES_MAX`].
    #[error("{0} branches, {BRANCHES_MAX} are allowed")]
    TooMany(usize),
    /// A closed transaction without branches does nothing.
    #[error("it has no branches")]
    Empty,
    /// Two branches have one name.
    #[error("two branches are called `{0}`")]
    Twice(String),
    /// A branch comes after one that does not stand before it.
    #[error("`{branch}` comes after {after}, which does not stand before it")]
    After {
        /// The branch.
        branch: String,
        /// The position.
        after: u16,
    },
    /// An operation of another protocol.
    #[error("`{branch}` has `{op}`, which is none of {mode}")]
    Op {
        /// The branch.
        branch: String,
        /// The operation.
        op: Op,
        /// The protocol.
        mode: Mode,
    },
    /// Something that only sagas have.
    #[error("`{0}` comes after others, or joins the decision, which only steps of a saga do")]
    OnlySagas(String),
}

impl Retry {
    /// Attempts after which `then` happens.
    pub(super) fn limit(&self) -> u32 {
        // To try nothing at all is none of the protocols.
        self.attempts.map_or(u32::MAX, |attempts| attempts.max(1))
    }
}

impl Mode {
    /// Whether a branch of this protocol may be asked for `op`.
    #[must_use]
    pub fn has(self, op: Op) -> bool {
        match self {
            Self::Saga => matches!(op, Op::Action | Op::Compensate),
            Self::Tcc => matches!(op, Op::Try | Op::Confirm | Op::Cancel),
            Self::TwoPhase => {
                matches!(op, Op::Prepare | Op::Commit | Op::Rollback | Op::CommitOnePhase)
            }
            Self::ThreePhase | Self::ThreePhaseClassic => {
                matches!(op, Op::CanCommit | Op::PreCommit | Op::Commit | Op::Rollback)
            }
            Self::Message => op == Op::Action,
        }
    }
}

impl Plan {
    /// Checks what the types do not say. An open transaction may be without branches as yet.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self, is_open: bool) -> Result<(), InvalidPlan> {
        if self.branches.len() > BRANCHES_MAX {
            return Err(InvalidPlan::TooMany(self.branches.len()));
        }
        if self.branches.is_empty() && !is_open {
            return Err(InvalidPlan::Empty);
        }
        let mut names = HashSet::with_capacity(self.branches.len());
        for (at, branch) in self.branches.iter().enumerate() {
            if !names.insert(branch.id.as_str()) {
                return Err(InvalidPlan::Twice(branch.id.clone()));
            }
            self.check_branch(branch, at)?;
        }
        Ok(())
    }

    /// Checks a branch that stands at this position.
    pub(super) fn check_branch(&self, branch: &Branch, at: usize) -> Result<(), InvalidPlan> {
        if self.mode != Mode::Saga && (branch.joins || !branch.after.is_empty()) {
            return Err(InvalidPlan::OnlySagas(branch.id.clone()));
        }
        if let Some(op) = branch.ops.iter().find(|op| !self.mode.has(*op)) {
            return Err(InvalidPlan::Op { branch: branch.id.clone(), op, mode: self.mode });
        }
        // What joins the decision is done after everything else: nothing can come after it.
        let is_before = |after: u16| {
            let after = usize::from(after);
            after < at && self.branches.get(after).is_some_and(|before| !before.joins)
        };
        match branch.after.iter().find(|after| !is_before(**after)) {
            Some(after) => Err(InvalidPlan::After { branch: branch.id.clone(), after: *after }),
            None => Ok(()),
        }
    }

    /// How calls of this branch are repeated; `None`: of the sender of a message.
    pub(super) fn retry_of(&self, branch: Option<usize>) -> Retry {
        branch
            .and_then(|at| self.branches.get(at))
            .and_then(|branch| branch.retry)
            .unwrap_or(self.retry)
    }

    /// The operation that leaves something behind to be undone, and is a promise where there are promises.
    pub(super) fn binding(&self) -> Op {
        match self.mode {
            Mode::Saga | Mode::Message => Op::Action,
            Mode::Tcc => Op::Try,
            Mode::TwoPhase if self.is_one_phase() => Op::CommitOnePhase,
            Mode::TwoPhase => Op::Prepare,
            Mode::ThreePhase => Op::PreCommit,
            Mode::ThreePhaseClassic => Op::CanCommit,
        }
    }

    /// What makes a branch permanent, and what undoes it, in the second phase.
    pub(super) fn second(&self) -> (Op, Op) {
        match self.mode {
            Mode::Saga | Mode::Message => (Op::Action, Op::Compensate),
            Mode::Tcc => (Op::Confirm, Op::Cancel),
            Mode::TwoPhase | Mode::ThreePhase | Mode::ThreePhaseClassic => {
                (Op::Commit, Op::Rollback)
            }
        }
    }

    /// One participant can decide: it is asked to do all at once (as X/Open XA and REST-AT have it).
    pub(super) fn is_one_phase(&self) -> bool {
        matches!(&self.branches[..], [only] if only.ops.has(Op::CommitOnePhase) && !only.tried_by_client)
            && self.mode == Mode::TwoPhase
    }
}
