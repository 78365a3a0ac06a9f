//! What the answers of participants mean.

use super::{Answer, Cause, Journal, Machine, Mode, Op, Phase, Turn, calls::clipped};
use crate::tx::{Decision, Heuristic, Then};

impl Machine {
    /// Takes an answer in; whether it belongs to the call that is under way.
    pub(super) fn answered(
        &mut self,
        branch: Option<u16>,
        op: Op,
        attempt: u32,
        answer: Answer,
        turn: &mut Turn,
    ) -> bool {
        if self.state.phase.outcome().is_some() {
            return false;
        }
        let Some(branch) = branch else { return self.sender_answered(op, attempt, answer, turn) };
        let at = usize::from(branch);
        let Some(state) = self.state.branches.get_mut(at) else { return false };
        if state.calling != Some(op) || state.attempts != attempt {
            return false;
        }
        state.calling = None;
        turn.keep(Journal::Lazy);
        match answer {
            Answer::Done => self.done(at, op, turn),
            Answer::ReadOnly => {
                // Elsewhere there is a second phase all the same.
                if matches!(op, Op::Prepare | Op::PreCommit) {
                    self.state.branches[at].read_only = true;
                }
                self.done(at, op, turn);
            }
            Answer::Refused(why) if self.may_refuse(op) => self.refused(at, op, &why, turn),
            Answer::Refused(why) => {
                self.failed(at, op, &format!("refused, which it may not be: {why}"), turn);
            }
            Answer::Working => {
                let retry = self.plan.retry_of(Some(at));
                self.state.branches[at].poll_later(retry, turn.now_ms);
                self.may_have_run(at, op);
            }
            Answer::Failed(why) => self.failed(at, op, &why, turn),
            Answer::Away(why) => {
                let (retry, random) = (self.plan.retry_of(Some(at)), spread(turn.random, at));
                let state = &mut self.state.branches[at];
                state.uncount();
                state.back_off(retry, &why, random, turn.now_ms);
            }
            Answer::Heuristic(what) => self.decided_alone(at, op, what, turn),
        }
        true
    }

    fn done(&mut self, at: usize, op: Op, turn: &mut Turn) {
        self.state.branches[at].complete(op);
        if self.plan.durable_steps || self.plan.branches[at].feeds {
            turn.keep(Journal::Forced);
        }
    }

    fn refused(&mut self, at: usize, op: Op, why: &str, turn: &mut Turn) {
        let state = &mut self.state.branches[at];
        state.refused = Some(op);
        state.error = Some(clipped(why));
        if self.plan.durable_steps {
            turn.keep(Journal::Forced);
        }
        if matches!(self.state.phase, Phase::Trying | Phase::Precommitting) {
            let reason = format!("`{}` refused `{op}`: {why}", self.plan.branches[at].id);
            self.abort(Cause::Refused, &reason, turn);
        }
    }

    fn failed(&mut self, at: usize, op: Op, why: &str, turn: &mut Turn) {
        let (retry, random) = (self.plan.retry_of(Some(at)), spread(turn.random, at));
        let state = &mut self.state.branches[at];
        state.back_off(retry, why, random, turn.now_ms);
        let attempts = state.attempts;
        self.may_have_run(at, op);
        if attempts >= retry.limit() && retry.then == Then::Abort && self.can_abort() {
            let id = &self.plan.branches[at].id;
            let reason = format!("`{id}`: `{op}` failed {attempts} times: {why}");
            self.abort(Cause::Attempts, &reason, turn);
        }
    }

    /// The participant reports what it did on its own. Where there was nothing to be decided alone it says nothing.
    fn decided_alone(&mut self, at: usize, op: Op, what: Heuristic, turn: &mut Turn) {
        match (op, what) {
            (Op::CommitOnePhase, Heuristic::Aborted) => {
                self.refused(at, op, "it gave it up on its own", turn);
            }
            (Op::CommitOnePhase, Heuristic::Committed) => self.done(at, op, turn),
            (Op::PreCommit, _) if self.plan.mode == Mode::ThreePhaseClassic => {
                self.reported(at, op, what, turn);
            }
            (
                Op::Compensate
                | Op::Confirm
                | Op::Cancel
                | Op::Commit
                | Op::Rollback
                | Op::CommitOnePhase,
                _,
            ) => {
                self.reported(at, op, what, turn);
            }
            (Op::Action | Op::Try | Op::Prepare | Op::CanCommit | Op::PreCommit | Op::Query, _) => {
                self.failed(
                    at,
                    op,
                    "it says that it has decided alone, which it cannot have",
                    turn,
                );
            }
        }
    }

    fn reported(&mut self, at: usize, op: Op, what: Heuristic, turn: &mut Turn) {
        self.state.branches[at].heuristic = Some(what);
        self.done(at, op, turn);
        if self.contradicts(at) {
            turn.keep(Journal::Forced);
        }
    }

    /// Whether a branch did something else than what was decided.
    pub(super) fn contradicts(&self, at: usize) -> bool {
        match (self.state.branches[at].heuristic, self.state.decision(self.plan.mode)) {
            (None, _)
            | (Some(Heuristic::Committed), Some(Decision::Commit))
            | (Some(Heuristic::Aborted), Some(Decision::Abort)) => false,
            (Some(_), _) => true,
        }
    }

    /// Whether a no counts: in the first phase, and not where there is no way back.
    fn may_refuse(&self, op: Op) -> bool {
        match self.plan.mode {
            Mode::Message => false,
            Mode::ThreePhaseClassic => op == Op::CanCommit,
            Mode::Saga | Mode::Tcc | Mode::TwoPhase | Mode::ThreePhase => op.may_be_refused(),
        }
    }

    /// Somebody has heard it, or may have.
    pub(super) fn may_have_run(&mut self, at: usize, op: Op) {
        if op == self.plan.binding() && self.plan.mode != Mode::Message {
            self.state.branches[at].may_have_run = true;
        }
    }
}

/// Branches that failed together do not come back together.
pub(super) fn spread(random: u64, at: usize) -> u64 {
    let at = u64::try_from(at).unwrap_or_default();
    random.wrapping_add(at.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}
