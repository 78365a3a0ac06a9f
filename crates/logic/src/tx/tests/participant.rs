//! Participants as they ought to be: what each answers, and what it does when it hears nothing.
//!
//! Their barrier is in the rules: an operation that is there already is done without doing it again, and what is undone before it
//! came is never done.

use super::super::{Answer, Heuristic, Mode, Op, OpSet};

/// Where a participant stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Place {
    /// It has heard of nothing.
    Idle,
    /// It has said that it could, and holds nothing.
    Could,
    /// It has done the work, can still go either way, and waits.
    Holds,
    /// Classic: it knows that all have voted yes.
    Announced,
    /// It is permanent.
    Done,
    /// It has said no; nothing is left.
    Refused,
    /// It is undone, or barred before it began.
    Undone,
    /// It has read only and is out of it.
    ReadOnly,
}

/// What a participant says when it has the choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Vote {
    Yes,
    No,
    ReadOnly,
}

/// An answer on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Reply {
    Done,
    ReadOnly,
    Refused,
    /// It had decided alone: to commit, or not.
    Alone(bool),
}

impl Reply {
    pub(super) fn answer(self) -> Answer {
        match self {
            Self::Done => Answer::Done,
            Self::ReadOnly => Answer::ReadOnly,
            Self::Refused => Answer::Refused("no".to_owned()),
            Self::Alone(true) => Answer::Heuristic(Heuristic::Committed),
            Self::Alone(false) => Answer::Heuristic(Heuristic::Aborted),
        }
    }
}

/// What a barrier answers to a first phase that comes after the undoing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Barrier {
    /// No: it was not done and will not be.
    Refuses,
    /// Done, as for any operation that needs nothing to be done.
    SaysDone,
    /// There is none: it is done.
    Missing,
}

/// A participant, and what is on its way to it and from it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Part {
    pub(super) place: Place,
    /// It decided without being told.
    pub(super) alone: bool,
    /// It was away and has to ask before it does anything of its own accord.
    pub(super) must_ask: bool,
    /// Nothing passes between it and the coordinator.
    pub(super) is_cut: bool,
    /// The call that the coordinator waits for.
    pub(super) call: Option<(Op, u32)>,
    pub(super) requests: Vec<(Op, u32)>,
    pub(super) replies: Vec<(Op, u32, Reply)>,
    /// All that it was ever asked, whether it has come or not.
    pub(super) asked: OpSet,
}

/// What must not happen at a participant.
pub(super) type Wrong = &'static str;

impl Part {
    pub(super) fn new() -> Self {
        Self {
            place: Place::Idle,
            alone: false,
            must_ask: false,
            is_cut: false,
            call: None,
            requests: Vec::new(),
            replies: Vec::new(),
            asked: OpSet::EMPTY,
        }
    }

    pub(super) fn ask(&mut self, op: Op, attempt: u32) {
        self.asked = self.asked.with(op);
        self.call = Some((op, attempt));
        if let Err(at) = self.requests.binary_search(&(op, attempt)) {
            self.requests.insert(at, (op, attempt));
        }
    }

    pub(super) fn reply(&mut self, op: Op, attempt: u32, reply: Reply) {
        if let Err(at) = self.replies.binary_search(&(op, attempt, reply)) {
            self.replies.insert(at, (op, attempt, reply));
        }
    }

    /// Whether it could say one thing or the other to this.
    pub(super) fn may_choose(&self, op: Op) -> bool {
        match self.place {
            Place::Idle => op.may_be_refused(),
            Place::Could => op == Op::PreCommit,
            Place::Holds
            | Place::Announced
            | Place::Done
            | Place::Refused
            | Place::Undone
            | Place::ReadOnly => false,
        }
    }

    /// It holds something and does not know how it ends.
    pub(super) fn is_in_doubt(&self) -> bool {
        matches!(self.place, Place::Holds | Place::Announced)
    }

    /// It is asked something.
    pub(super) fn hear(
        &mut self,
        mode: Mode,
        op: Op,
        vote: Vote,
        barrier: Barrier,
    ) -> Result<Reply, Wrong> {
        match op {
            Op::Action | Op::CommitOnePhase => Ok(self.first(vote, Place::Done, barrier)),
            Op::CanCommit if mode == Mode::ThreePhase => {
                Ok(self.first(vote, Place::Could, barrier))
            }
            Op::Try | Op::Prepare | Op::CanCommit => Ok(self.first(vote, Place::Holds, barrier)),
            Op::PreCommit if mode == Mode::ThreePhase => {
                if self.place == Place::Could {
                    self.place = Place::Idle;
                }
                Ok(self.first(vote, Place::Holds, barrier))
            }
            Op::PreCommit => self.announce(),
            Op::Commit | Op::Confirm => self.commit(),
            Op::Compensate if self.place == Place::Done => {
                self.place = Place::Undone;
                Ok(Reply::Done)
            }
            Op::Rollback | Op::Cancel | Op::Compensate => self.undo(),
            // The sender of a message bars its own transaction when it is asked before it.
            Op::Query => Ok(match self.place {
                Place::Done => Reply::Done,
                _ => {
                    self.place = Place::Undone;
                    Reply::Refused
                }
            }),
        }
    }

    /// The first operation of a protocol, which leads to `yes`.
    fn first(&mut self, vote: Vote, yes: Place, barrier: Barrier) -> Reply {
        match (self.place, vote) {
            (Place::Idle, Vote::Yes) => {
                self.place = yes;
                Reply::Done
            }
            (Place::Idle, Vote::ReadOnly) => {
                self.place = Place::ReadOnly;
                Reply::ReadOnly
            }
            (Place::Idle, Vote::No) => {
                self.place = Place::Refused;
                Reply::Refused
            }
            (Place::Undone, _) if barrier == Barrier::Missing => {
                self.place = yes;
                Reply::Done
            }
            (Place::Refused, _) => Reply::Refused,
            (Place::Undone, _) if barrier == Barrier::Refuses => Reply::Refused,
            (Place::ReadOnly, _) => Reply::ReadOnly,
            (Place::Could | Place::Holds | Place::Announced | Place::Done | Place::Undone, _) => {
                Reply::Done
            }
        }
    }

    fn announce(&mut self) -> Result<Reply, Wrong> {
        match self.place {
            Place::Holds | Place::Announced => {
                self.place = Place::Announced;
                Ok(Reply::Done)
            }
            Place::Done => Ok(Reply::Done),
            Place::Undone => Ok(Reply::Refused),
            Place::Idle | Place::Could | Place::Refused | Place::ReadOnly => {
                Err("announced where nobody voted yes")
            }
        }
    }

    fn commit(&mut self) -> Result<Reply, Wrong> {
        match self.place {
            Place::Holds | Place::Announced => {
                self.place = Place::Done;
                Ok(Reply::Done)
            }
            Place::Done => Ok(Reply::Done),
            Place::Undone if self.alone => Ok(Reply::Alone(false)),
            Place::ReadOnly => Err("a second phase for one that has only read"),
            Place::Idle | Place::Could | Place::Refused | Place::Undone => {
                Err("told to commit what it does not hold")
            }
        }
    }

    fn undo(&mut self) -> Result<Reply, Wrong> {
        match self.place {
            Place::Done if self.alone => Ok(Reply::Alone(true)),
            Place::Done => Err("told to roll back what is permanent"),
            Place::Refused | Place::ReadOnly => Ok(Reply::Done),
            Place::Idle | Place::Could | Place::Holds | Place::Announced | Place::Undone => {
                self.place = Place::Undone;
                Ok(Reply::Done)
            }
        }
    }
}
