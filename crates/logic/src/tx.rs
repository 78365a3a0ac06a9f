//! One distributed transaction as a state machine: sagas, TCC, two- and three-phase commit, two-phase messages.
//!
//! ```text
//!          open ──submit──► trying ──all said yes──► committing ──► committed
//!            │                │    (3pc: precommitting between)  │
//!            │                └──a no, or the time is over──► aborting ──► aborted
//!            └──abort, time over──────────────────────────────▲     │
//!                                     a participant decided otherwise ──► mixed
//! ```
//!
//! The machine decides; whoever drives it journals and calls. Its contract with the driver:
//! - [`Machine::step`] is given an event and the time, and answers a [`Step`]. The machine's [`State`] is what has to be kept.
//!   [`Journal::Forced`]: the state is durable before the first effect is carried out. [`Journal::Lazy`]: it may be kept later; the
//!   machine goes on rightly when it is lost. [`Journal::Nothing`]: nothing has changed that matters.
//! - A call is made at least once and may be made again, so participants recognise what they have done (the barrier). Of one
//!   branch at most one call is under way as far as the machine knows.
//! - After a crash the driver builds the machine from what it kept and steps [`Event::Recovered`].
//!
//! What always holds:
//! - The decision is durable before the second phase begins, and never changes: no branch is told to commit and another to roll back.
//! - Nothing is committed that a branch has refused; nothing is compensated that cannot have run.
//! - Back-off is capped. What does not end by itself gets [`State::attention`] and is still tried, slowly.
//!
//! Time is in milliseconds since 1970, of a clock that never goes back while the driver runs.
//!
//! Sources: Garcia-Molina and Salem 1987 (sagas); Gray 1978 and Mohan, Lindsay and Obermarck 1986 (two phases, presumed abort, read-only
//! votes); Skeen 1981 (three phases); Pardon and Pautasso 2011 (TCC for REST). Names of states and operations follow DTM.

use serde::{Deserialize, Serialize};
use std::fmt;

mod machine;
mod plan;
mod state;
pub mod target;

#[cfg(test)]
mod tests;

pub use machine::Machine;
pub use plan::{BRANCHES_MAX, Branch, InvalidPlan, Plan, Retry, Then};
pub use state::{BranchState, Cause, Decision, OpSet, Phase, State};

/// Which protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Mode {
    /// Actions, and compensations of what has run when one is refused.
    #[serde(rename = "saga")]
    Saga,
    /// Reservations that are confirmed or cancelled.
    #[serde(rename = "tcc")]
    Tcc,
    /// Two-phase commit with presumed abort.
    #[serde(rename = "2pc")]
    TwoPhase,
    /// Three phases, of which the first takes no locks; no participant decides alone.
    #[serde(rename = "3pc")]
    ThreePhase,
    /// Skeen's three phases: participants decide alone when they hear nothing, which is unsafe when the network is parted.
    #[serde(rename = "3pc_classic")]
    ThreePhaseClassic,
    /// A message that is delivered exactly when the sender's own transaction was committed; the sender is asked when it is silent.
    #[serde(rename = "msg")]
    Message,
}

/// What a participant is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// Saga: a step. Message: a delivery.
    Action,
    /// Saga: undo a step.
    Compensate,
    /// TCC: reserve.
    Try,
    /// TCC: use what was reserved.
    Confirm,
    /// TCC: give back what was reserved.
    Cancel,
    /// 2PC: do the work, promise, vote.
    Prepare,
    /// 3PC: could you? (strict: takes no locks; classic: the vote)
    CanCommit,
    /// 3PC, strict: do the work and promise. Classic: all have voted yes.
    PreCommit,
    /// 2PC, 3PC: make it permanent.
    Commit,
    /// 2PC, 3PC: give it up.
    Rollback,
    /// 2PC with one participant: do the work and make it permanent, or refuse.
    CommitOnePhase,
    /// Message: did your transaction commit?
    #[serde(rename = "msg")]
    Query,
}

impl Op {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Action,
        Self::Compensate,
        Self::Try,
        Self::Confirm,
        Self::Cancel,
        Self::Prepare,
        Self::CanCommit,
        Self::PreCommit,
        Self::Commit,
        Self::Rollback,
        Self::CommitOnePhase,
        Self::Query,
    ];

    /// Its name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Action => "action",
            Self::Compensate => "compensate",
            Self::Try => "try",
            Self::Confirm => "confirm",
            Self::Cancel => "cancel",
            Self::Prepare => "prepare",
            Self::CanCommit => "can_commit",
            Self::PreCommit => "pre_commit",
            Self::Commit => "commit",
            Self::Rollback => "rollback",
            Self::CommitOnePhase => "commit_one_phase",
            Self::Query => "msg",
        }
    }

    /// Whether a participant may say no to it.
    #[must_use]
    pub fn may_be_refused(self) -> bool {
        matches!(
            self,
            Self::Action
                | Self::Try
                | Self::Prepare
                | Self::CanCommit
                | Self::PreCommit
                | Self::CommitOnePhase
                | Self::Query
        )
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Mode {
    /// Its name in the file, the API and `Flotilla-Tx`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Saga => "saga",
            Self::Tcc => "tcc",
            Self::TwoPhase => "2pc",
            Self::ThreePhase => "3pc",
            Self::ThreePhaseClassic => "3pc_classic",
            Self::Message => "msg",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What became of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is done; of a vote: yes.
    Done,
    /// Of [`Op::Prepare`] and [`Op::PreCommit`]: yes, and nothing was changed; no second phase is wanted.
    ReadOnly,
    /// No, for good. Where an operation may not be refused it counts as [`Answer::Failed`].
    Refused(String),
    /// It goes on; ask again. Costs no attempt.
    Working,
    /// Nobody knows: no answer, or one that says nothing. Ask again.
    Failed(String),
    /// Nobody was there to be asked. Ask again; costs no attempt.
    Away(String),
    /// Of [`Op::Commit`] and [`Op::Rollback`] (and their kin): the participant had decided alone.
    Heuristic(Heuristic),
}

/// What a participant did on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Heuristic {
    /// Made it permanent.
    Committed,
    /// Gave it up.
    Aborted,
    /// A part of each.
    Mixed,
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Everywhere done.
    Committed,
    /// Nowhere done, or undone.
    Aborted,
    /// Participants decided otherwise, or an operator ended it against its decision.
    Mixed,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The driver was started again and knows what was kept; calls that were under way are lost.
    Recovered,
    /// It is a moment that [`Effect::Wake`] has asked for, or a later one. At any other moment it changes nothing and asks to be woken again.
    Tick,
    /// While it is open: another branch.
    Enlist(Branch),
    /// While it is open: the client says that its part went well. Again is no error.
    Submit,
    /// The client or an operator gives it up. After the decision to commit it is refused; again is no error.
    Abort(String),
    /// A call was answered. What does not belong to the call that is under way is passed over.
    Answer {
        /// Which branch; `None`: the sender of a message was asked.
        branch: Option<u16>,
        /// What was asked.
        op: Op,
        /// Which attempt.
        attempt: u32,
        /// What came.
        answer: Answer,
    },
    /// What [`Effect::Decide`] has asked for came to an end: the decision is durable with what joins it, or a branch that joins it
    /// cannot be carried out, for the reason.
    Decided(Result<(), (u16, String)>),
    /// Try everything that waits now: an operator says so, or participants came back.
    Retry,
    /// An operator ends what does not end by itself.
    Resolve(Resolution),
}

/// What an operator says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// This branch was put right by hand: the operation that does not end counts as done.
    Branch(u16),
    /// Everything was put right by hand, this way. Against a durable decision the outcome is [`Outcome::Mixed`].
    All(Outcome),
}

/// Why an event is not accepted; nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is not open any more.
    #[error("it is {0} and takes no more branches")]
    NotOpen(Phase),
    /// It is decided.
    #[error("it is {0} already")]
    Decided(Phase),
    /// It has ended.
    #[error("it has ended: {0}")]
    Ended(Phase),
    /// There is nothing to be resolved.
    #[error("nothing of it waits for an operator")]
    NotStuck,
    /// No such branch.
    #[error("it has no such branch")]
    NoBranch,
    /// More branches than a transaction may have, or two with one name.
    #[error("it cannot have this branch: {0}")]
    Branch(&'static str),
}

/// How the state must be kept before effects are carried out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Journal {
    /// Nothing has changed that has to be kept.
    #[default]
    Nothing,
    /// It may be kept later, or with the next one.
    Lazy,
    /// It is durable before the first effect.
    Forced,
}

/// What is to be done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Ask a participant, and report [`Event::Answer`].
    Call {
        /// Which; `None`: the sender of a message, with [`Op::Query`].
        branch: Option<u16>,
        /// What.
        op: Op,
        /// Which attempt, from 1; grows over the life of the transaction's branch and operation.
        attempt: u32,
        /// Until when the participant keeps what it promises; only where the protocol has that.
        until_ms: Option<u64>,
    },
    /// Commit, in one transaction of the kv engine, what these branches do and the state as [`Machine::decided`] has it; report
    /// [`Event::Decided`]. Only for transactions with branches that join the decision.
    Decide {
        /// Which branches join.
        branches: Vec<u16>,
    },
    /// Step [`Event::Tick`] at this moment. The latest one counts; it may come late and may come twice.
    Wake(u64),
    /// It has ended: whoever waits is told.
    Ended(Outcome),
}

/// What comes of an event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// How the state is kept.
    pub journal: Journal,
    /// What is done then.
    pub effects: Vec<Effect>,
}
