//! The words of the protocols.

use super::Invalid;
use std::{fmt, str::FromStr};

/// The protocol of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Actions, and compensations for what has to be undone.
    Saga,
    /// Try, confirm or cancel: reservations.
    Tcc,
    /// Two-phase commit.
    TwoPhase,
    /// Three-phase commit whose participants ask when they are in doubt.
    ThreePhase,
    /// Three-phase commit whose participants decide alone when they are in doubt.
    ThreePhaseClassic,
    /// A message that is sent if a local transaction was committed.
    Msg,
    /// DTM's name of a two-phase commit; its first phase is called `action`.
    Xa,
    /// DTM's transactions whose steps a program runs; its branches may be of any kind.
    Workflow,
}

/// What a branch is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// The work of a step.
    Action,
    /// Undoes [`Op::Action`].
    Compensate,
    /// Reserves.
    Try,
    /// Turns a reservation into a fact.
    Confirm,
    /// Gives a reservation back.
    Cancel,
    /// Does the work so that it can still be undone or kept, and votes.
    Prepare,
    /// Whether the work could be done.
    CanCommit,
    /// The work in strict mode, an announcement in classic mode.
    PreCommit,
    /// Keeps what was prepared.
    Commit,
    /// Undoes what was prepared.
    Rollback,
    /// Does the work at once: there is no other participant.
    CommitOnePhase,
    /// Asks whether the local transaction of a message was committed.
    Msg,
}

impl Mode {
    const ALL: [Self; 8] = [
        Self::Saga,
        Self::Tcc,
        Self::TwoPhase,
        Self::ThreePhase,
        Self::ThreePhaseClassic,
        Self::Msg,
        Self::Xa,
        Self::Workflow,
    ];

    /// As it stands in requests and in the barrier table.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Saga => "saga",
            Self::Tcc => "tcc",
            Self::TwoPhase => "2pc",
            Self::ThreePhase => "3pc",
            Self::ThreePhaseClassic => "3pc_classic",
            Self::Msg => "msg",
            Self::Xa => "xa",
            Self::Workflow => "workflow",
        }
    }

    /// Whether its branches are kept or undone together, by a commit or a rollback.
    #[must_use]
    pub fn is_atomic(self) -> bool {
        matches!(self, Self::TwoPhase | Self::ThreePhase | Self::ThreePhaseClassic | Self::Xa)
    }

    /// The operations of the protocol.
    pub(super) fn ops(self) -> &'static [Op] {
        use Op::{Action, Cancel, Commit, Compensate, Confirm, PreCommit, Prepare, Rollback, Try};
        match self {
            Self::Saga => &[Action, Compensate],
            Self::Tcc => &[Try, Confirm, Cancel],
            Self::TwoPhase => &[Prepare, Commit, Rollback, Op::CommitOnePhase],
            Self::ThreePhase | Self::ThreePhaseClassic => {
                &[Op::CanCommit, PreCommit, Commit, Rollback]
            }
            Self::Msg => &[Action, Op::Msg],
            Self::Xa => &[Action, Commit, Rollback],
            Self::Workflow => &[Action, Compensate, Try, Confirm, Cancel, Commit, Rollback],
        }
    }
}

impl Op {
    const ALL: [Self; 12] = [
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
        Self::Msg,
    ];

    /// As it stands in requests and in the barrier table.
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
            Self::Msg => "msg",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Mode {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let expected = "saga, tcc, 2pc, 3pc, 3pc_classic, msg, xa and workflow are";
        let found = Self::ALL.into_iter().find(|mode| mode.as_str() == text);
        found.ok_or_else(|| value("mode of transactions", text, expected))
    }
}

impl FromStr for Op {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let expected = "action, compensate, try, confirm, cancel, prepare, can_commit, pre_commit, commit, rollback, commit_one_phase and msg are";
        let found = Self::ALL.into_iter().find(|op| op.as_str() == text);
        found.ok_or_else(|| value("operation", text, expected))
    }
}

pub(super) fn value(what: &'static str, value: &str, expected: &'static str) -> Invalid {
    Invalid::Value { what, value: value.to_owned(), expected }
}
