//! What is kept of a transaction while it runs.

use super::{Heuristic, Mode, Op, Outcome};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A set of operations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OpSet(u16);

impl OpSet {
    /// None.
    pub const EMPTY: Self = Self(0);

    /// The same with one more.
    #[must_use]
    pub fn with(self, op: Op) -> Self {
        Self(self.0 | Self::bit(op))
    }

    /// Whether it is in it.
    #[must_use]
    pub fn has(self, op: Op) -> bool {
        self.0 & Self::bit(op) != 0
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0 == 0
    }

    /// All of them, in the order of [`Op::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Op> {
        Op::ALL.into_iter().filter(move |op| self.has(*op))
    }

    fn bit(op: Op) -> u16 {
        1 << (op as u16)
    }
}

impl FromIterator<Op> for OpSet {
    fn from_iter<T: IntoIterator<Item = Op>>(ops: T) -> Self {
        ops.into_iter().fold(Self::EMPTY, Self::with)
    }
}

/// What a transaction was decided to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Decision {
    /// It becomes permanent.
    Commit,
    /// It is given up.
    Abort,
}

/// Why a transaction is aborted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The client or an operator has said so.
    Asked,
    /// A participant has refused.
    Refused,
    /// A participant was tried as often as the plan allows.
    Attempts,
    /// It was not decided in time.
    Timeout,
    /// A reservation was over before it was decided.
    Reservation,
    /// A branch could not join the decision.
    Join,
    /// The sender of a message has not committed.
    Sender,
    /// The coordinator was restarted while participants voted.
    Restart,
}

/// Where a transaction stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The client does the first phase and has not said how it went.
    Open,
    /// First phase: actions, reservations, votes, checks.
    Trying,
    /// Three phases: all could; promises are taken. Classic: from here on there is no way back.
    Precommitting,
    /// Decided: it becomes permanent everywhere. Deliveries of a message.
    Committing,
    /// Decided: it is undone everywhere.
    Aborting,
    /// It ended.
    Committed,
    /// It ended.
    Aborted,
    /// It ended, not everywhere alike.
    Mixed,
}

impl Phase {
    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Trying => "trying",
            Self::Precommitting => "precommitting",
            Self::Committing => "committing",
            Self::Aborting => "aborting",
            Self::Committed => "committed",
            Self::Aborted => "aborted",
            Self::Mixed => "mixed",
        }
    }

    /// How it ended, if it has.
    #[must_use]
    pub fn outcome(self) -> Option<Outcome> {
        match self {
            Self::Committed => Some(Outcome::Committed),
            Self::Aborted => Some(Outcome::Aborted),
            Self::Mixed => Some(Outcome::Mixed),
            Self::Open | Self::Trying | Self::Precommitting | Self::Committing | Self::Aborting => {
                None
            }
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is kept of a transaction besides its plan.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct State {
    /// Where it stands.
    pub phase: Phase,
    /// When it began.
    pub begun_ms: u64,
    /// When it is given up unless it is decided (a message: from when on the sender is asked).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// When it was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_ms: Option<u64>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_ms: Option<u64>,
    /// Why it is aborted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What kind of reason that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// Why an operator should look at it. It goes on being tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attention: Option<String>,
    /// Of a message: how it goes with asking its sender.
    #[serde(default, skip_serializing_if = "BranchState::is_untouched")]
    pub sender: BranchState,
    /// One for each branch.
    pub branches: Vec<BranchState>,
    /// The engine is deciding, see [`super::Effect::Decide`]. Until it has, nothing else can. Lost in a crash.
    #[serde(skip)]
    pub is_deciding: bool,
}

/// What is kept of a branch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BranchState {
    /// Operations that are done.
    #[serde(default, skip_serializing_if = "OpSet::is_empty")]
    pub done: OpSet,
    /// The operation that it has refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Op>,
    /// Its first phase may have been carried out, though no answer is known.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub may_have_run: bool,
    /// It wants no second phase.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
    /// What it did on its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heuristic: Option<Heuristic>,
    /// An operator has put it right by hand.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub resolved: bool,
    /// The operation that is tried, or was tried last. What follows is about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub op: Option<Op>,
    /// Its attempts, with the one that is under way.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub attempts: u32,
    /// How often it was put off in a row since it failed or nobody was there: each time longer, up to the longest pause.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub pauses: u32,
    /// When it is tried next; 0: at once.
    #[serde(default, skip_serializing_if = "is_zero_ms")]
    pub next_ms: u64,
    /// Until when the participant keeps what it promises with it. The same for all attempts, as the participant knows the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
    /// What went wrong last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The operation that is under way. The answer is lost in a crash: then this says that it may have been carried out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calling: Option<Op>,
}

impl State {
    /// What is decided; `None`: nothing. Tell others of a decision only what is durable.
    #[must_use]
    pub fn decision(&self, mode: Mode) -> Option<Decision> {
        match self.phase {
            Phase::Precommitting if mode == Mode::ThreePhaseClassic => Some(Decision::Commit),
            Phase::Open | Phase::Trying | Phase::Precommitting => None,
            Phase::Committing | Phase::Committed => Some(Decision::Commit),
            Phase::Aborting | Phase::Aborted => Some(Decision::Abort),
            // It is aborted for a reason, and committed without one.
            Phase::Mixed if self.reason.is_some() => Some(Decision::Abort),
            Phase::Mixed => Some(Decision::Commit),
        }
    }
}

impl BranchState {
    /// Whether there is nothing to be kept of it.
    fn is_untouched(&self) -> bool {
        *self == Self::default()
    }
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

fn is_zero_ms(number: &u64) -> bool {
    *number == 0
}
