//! When a participant that has promised something asks, waits, or decides alone.
//!
//! A pure machine: it reads no clock and does nothing. Keep its text ([`Promise`] is written and read as one) in the service's database,
//! change it in the transaction of the work, and wake it at the time that it names.
//!
//! | protocol | promised by | when the deadline has passed |
//! |---|---|---|
//! | `2pc`, `3pc` | `prepare`, `pre_commit` | asks for the decision until there is one; never decides |
//! | `3pc` | `can_commit`: nothing | forgets |
//! | `3pc_classic` | `can_commit` | undoes, alone |
//! | `3pc_classic` | `pre_commit` | keeps, alone: Skeen's rule, which is wrong when the network was cut in two |
//! | `tcc` | `try` | gives the reservation back, alone |
//!
//! The rules of `3pc_classic` are for participants that were up all the time. One that was down meanwhile does not know what the others
//! have done by then: tell it [`Event::Restarted`] when the service starts, and it asks, too.
//!
//! What was decided alone is told when the coordinator calls next ([`Answer::heuristic`]).
//!
//! A call that comes after the deadline, but before the machine was woken, is followed: nothing was decided yet, and what the
//! coordinator says is always the better guess.

use crate::{Answer, Branch, Decision, Error, Mode, Op, Outcome};
use std::{fmt, str::FromStr};

/// How long to wait, in milliseconds, before the coordinator is asked again. Whoever waits holds locks, so not longer; a question costs
/// the coordinator one reading.
pub const ASK_PAUSE_MS: u64 = 5_000;

/// What a participant holds for one branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promise {
    rule: Rule,
    state: State,
    /// Until when it is kept at least.
    deadline_ms: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    Strict,
    Classic,
    /// Classic, and the participant was down meanwhile.
    ClassicRestarted,
    Reservation,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing was asked, or it was forgotten.
    Nothing,
    /// It was asked whether the work is possible. Nothing is held.
    Checked,
    /// The work is done, can still be kept or undone, and holds its locks.
    Holding,
    /// Holding, and everybody voted yes.
    Bound,
    Kept {
        alone: bool,
    },
    Undone {
        alone: bool,
    },
}

/// What happens to a promise.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// The coordinator calls.
    Call(&'a Branch),
    /// The time came for which [`Next::wake_at_ms`] asked.
    Wake,
    /// What the coordinator said when it was asked.
    Decided(Decision),
    /// The service was started and found this promise.
    Restarted,
}

/// What the participant has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Act {
    /// Nothing.
    Nothing,
    /// See whether the work is possible, without holding anything. If not: answer `refused` and keep the old promise.
    Check,
    /// Do the work so that it can be kept or undone. If that is impossible: answer `refused` and keep the old promise.
    Work,
    /// Keep the work.
    Keep,
    /// Undo the work.
    Undo,
    /// Ask for the decision ([`crate::Decide`]) and bring the answer as [`Event::Decided`].
    Ask,
}

/// What follows from an event.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Next {
    /// To be done, in one database transaction with writing `promise`.
    pub act: Act,
    /// The promise from then on.
    pub promise: Promise,
    /// What to tell the coordinator, if it called, after that.
    pub answer: Option<Answer>,
    /// When to wake the promise, in milliseconds since 1970.
    pub wake_at_ms: Option<u64>,
}

impl Promise {
    /// A participant that has promised nothing yet.
    ///
    /// # Errors
    /// [`Error::Op`] for a protocol in which nothing is promised.
    pub fn new(mode: Mode) -> Result<Self, Error> {
        let rule = match mode {
            Mode::TwoPhase | Mode::ThreePhase => Rule::Strict,
            Mode::ThreePhaseClassic => Rule::Classic,
            Mode::Tcc => Rule::Reservation,
            Mode::Saga | Mode::Msg | Mode::Xa | Mode::Workflow => {
                return Err(Error::Op { op: Op::Action, mode, helper: "promises" });
            }
        };
        Ok(Self { rule, state: State::Nothing, deadline_ms: None })
    }

    /// What to do. `now_ms` are milliseconds since 1970.
    pub fn on(self, event: Event<'_>, now_ms: u64) -> Next {
        let (act, promise, answer) = match event {
            Event::Call(branch) => {
                let (act, state, answer) = self.called(branch);
                let is_new = state != self.state || self.deadline_ms.is_none();
                let deadline_ms =
                    if is_new { branch.deadline_ms.or(self.deadline_ms) } else { self.deadline_ms };
                (act, Self { state, deadline_ms, ..self }, Some(answer))
            }
            Event::Wake if self.deadline_ms.is_some_and(|deadline| now_ms < deadline) => {
                (Act::Nothing, self, None)
            }
            Event::Wake => {
                let (act, state) = self.woken();
                (act, Self { state, ..self }, None)
            }
            Event::Decided(decision) => {
                let (act, state) = self.decided(decision);
                (act, Self { state, ..self }, None)
            }
            Event::Restarted => {
                let is_classic = self.rule == Rule::Classic && self.is_open();
                let rule = if is_classic { Rule::ClassicRestarted } else { self.rule };
                let act = if is_classic { Act::Ask } else { Act::Nothing };
                (act, Self { rule, ..self }, None)
            }
        };
        Next { act, promise, answer, wake_at_ms: promise.wake_at(now_ms) }
    }

    /// Whether the work is done and neither kept nor undone.
    #[must_use]
    pub fn is_open(self) -> bool {
        matches!(self.state, State::Holding | State::Bound)
    }

    /// What was done in the end, and whether alone.
    #[must_use]
    pub fn outcome(self) -> Option<(Outcome, bool)> {
        match self.state {
            State::Kept { alone } => Some((Outcome::Committed, alone)),
            State::Undone { alone } => Some((Outcome::Aborted, alone)),
            State::Nothing | State::Checked | State::Holding | State::Bound => None,
        }
    }

    fn called(self, branch: &Branch) -> (Act, State, Answer) {
        use Rule::Strict;
        use State::{Bound, Checked, Holding, Kept, Nothing, Undone};
        let (state, op) = (self.state, branch.op);
        let stay = |answer| (Act::Nothing, state, answer);
        match (state, Phase::of(op)) {
            (_, None) => stay(Answer::failed(format!("a promise has no `{op}`"))),
            (Kept { .. } | Bound, Some(Phase::Check | Phase::Vote)) => stay(Answer::done()),
            (Holding, Some(Phase::Check)) => stay(Answer::done()),
            (Holding, Some(Phase::Vote)) if self.is_classic() && op == Op::PreCommit => {
                (Act::Nothing, Bound, Answer::done())
            }
            (Holding, Some(Phase::Vote)) => stay(Answer::done()),
            (Undone { .. }, Some(Phase::Check | Phase::Vote)) => {
                stay(Answer::refused("the transaction was rolled back here before"))
            }
            (Nothing | Checked, Some(Phase::Check)) if self.rule == Strict => {
                (Act::Check, Checked, Answer::done())
            }
            (Nothing | Checked, Some(Phase::Vote)) if self.is_classic() => {
                stay(Answer::refused("nothing was promised here by `can_commit`"))
            }
            (Nothing | Checked, Some(Phase::Check | Phase::Vote)) => {
                (Act::Work, Holding, Answer::done())
            }
            (Holding | Bound, Some(Phase::Keep)) => {
                (Act::Keep, Kept { alone: false }, Answer::done())
            }
            (Holding | Bound, Some(Phase::Undo)) => {
                (Act::Undo, Undone { alone: false }, Answer::done())
            }
            (Nothing | Checked, Some(Phase::Undo)) => {
                (Act::Nothing, Undone { alone: false }, Answer::done())
            }
            (Nothing | Checked, Some(Phase::Keep)) => {
                (Act::Nothing, Undone { alone: true }, Answer::heuristic(op, Outcome::Aborted))
            }
            (Kept { alone: false }, Some(Phase::Keep))
            | (Undone { alone: false }, Some(Phase::Undo)) => stay(Answer::done()),
            (Kept { .. }, Some(Phase::Keep | Phase::Undo)) => {
                stay(Answer::heuristic(op, Outcome::Committed))
            }
            (Undone { .. }, Some(Phase::Keep | Phase::Undo)) => {
                stay(Answer::heuristic(op, Outcome::Aborted))
            }
        }
    }

    fn is_classic(self) -> bool {
        matches!(self.rule, Rule::Classic | Rule::ClassicRestarted)
    }

    /// After the deadline, or without one.
    fn woken(self) -> (Act, State) {
        let has_deadline = self.deadline_ms.is_some();
        match (self.state, self.rule) {
            (State::Checked, _) => (Act::Nothing, State::Nothing),
            (State::Holding | State::Bound, Rule::Strict | Rule::ClassicRestarted) => {
                (Act::Ask, self.state)
            }
            (State::Holding, Rule::Classic | Rule::Reservation) if has_deadline => {
                (Act::Undo, State::Undone { alone: true })
            }
            (State::Bound, _) if has_deadline => (Act::Keep, State::Kept { alone: true }),
            _ => (Act::Nothing, self.state),
        }
    }

    fn decided(self, decision: Decision) -> (Act, State) {
        match (self.is_open(), decision) {
            (true, Decision::Commit) => (Act::Keep, State::Kept { alone: false }),
            (true, Decision::Abort) => (Act::Undo, State::Undone { alone: false }),
            (false, _) | (true, Decision::Undecided) => (Act::Nothing, self.state),
        }
    }

    fn wake_at(self, now_ms: u64) -> Option<u64> {
        let pause = now_ms.saturating_add(ASK_PAUSE_MS);
        match (self.state, self.rule) {
            (State::Checked, _) => self.deadline_ms,
            // Who only asks may do so at any time, also without a deadline.
            (State::Holding | State::Bound, Rule::Strict | Rule::ClassicRestarted) => {
                Some(self.deadline_ms.filter(|deadline| *deadline > now_ms).unwrap_or(pause))
            }
            (State::Holding | State::Bound, _) => self.deadline_ms,
            (State::Nothing | State::Kept { .. } | State::Undone { .. }, _) => None,
        }
    }
}

/// What an operation means for a promise.
enum Phase {
    Check,
    Vote,
    Keep,
    Undo,
}

impl Phase {
    fn of(op: Op) -> Option<Self> {
        match op {
            Op::CanCommit => Some(Self::Check),
            Op::Prepare | Op::PreCommit | Op::Try => Some(Self::Vote),
            Op::Commit | Op::Confirm => Some(Self::Keep),
            Op::Rollback | Op::Cancel => Some(Self::Undo),
            Op::Action | Op::Compensate | Op::CommitOnePhase | Op::Msg => None,
        }
    }
}

const RULES: [(Rule, &str); 4] = [
    (Rule::Strict, "strict"),
    (Rule::Classic, "classic"),
    (Rule::ClassicRestarted, "classic_restarted"),
    (Rule::Reservation, "reservation"),
];

const STATES: [(State, &str); 8] = [
    (State::Nothing, "nothing"),
    (State::Checked, "checked"),
    (State::Holding, "holding"),
    (State::Bound, "bound"),
    (State::Kept { alone: false }, "kept"),
    (State::Kept { alone: true }, "kept_alone"),
    (State::Undone { alone: false }, "undone"),
    (State::Undone { alone: true }, "undone_alone"),
];

/// `strict holding 1767225600000`: the form in which it is kept.
impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rule = RULES.iter().find(|(rule, _)| *rule == self.rule).map_or("", |it| it.1);
        let state = STATES.iter().find(|(state, _)| *state == self.state).map_or("", |it| it.1);
        write!(f, "{rule} {state}")?;
        self.deadline_ms.map_or(Ok(()), |deadline| write!(f, " {deadline}"))
    }
}

impl FromStr for Promise {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let read = || {
            let mut words = text.split(' ');
            let (rule, state) = (words.next()?, words.next()?);
            let rule = RULES.iter().find(|(_, name)| *name == rule)?.0;
            let state = STATES.iter().find(|(_, name)| *name == state)?.0;
            let deadline_ms = words.next().map(str::parse).transpose().ok()?;
            words.next().is_none().then_some(Self { rule, state, deadline_ms })
        };
        let expected = "what a promise is written as, like `strict holding 1767225600000`, is";
        let name = || Error::Name { what: "a promise", name: text.to_owned(), expected };
        read().ok_or_else(name)
    }
}

#[cfg(test)]
mod tests;
