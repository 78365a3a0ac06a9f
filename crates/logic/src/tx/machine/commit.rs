//! Protocols with promises: TCC, two-phase and three-phase commit.

use super::{Journal, Machine, Mode, Op, Outcome, Phase, Turn, calls::Want};

/// Attempts to announce the decision of the classic protocol where the plan names no number: after them it is told with the commit.
const ANNOUNCEMENTS_MAX: u32 = 3;

impl Machine {
    /// First phase: reservations, votes, checks.
    pub(super) fn vote(&mut self, turn: &mut Turn) {
        let op = match self.plan.mode {
            Mode::ThreePhase | Mode::ThreePhaseClassic => Op::CanCommit,
            Mode::Saga | Mode::Tcc | Mode::TwoPhase | Mode::Message => self.plan.binding(),
        };
        if self.is_in_one_phase() {
            self.finish_one_phase(turn);
            return;
        }
        let is_done = self.collect(op, turn);
        // A promise that is over is none, even when all were made in time.
        if (!is_done || self.expired(turn.now_ms).is_some()) && self.abort_in_time(turn) {
            return;
        }
        if !is_done {
            return;
        }
        match self.plan.mode {
            Mode::ThreePhase => self.state.phase = Phase::Precommitting,
            Mode::ThreePhaseClassic => self.decide_commit(Phase::Precommitting, turn),
            Mode::TwoPhase if self.plan.is_one_phase() => self.finish_one_phase(turn),
            Mode::TwoPhase => self.decide_promised(turn),
            Mode::Saga | Mode::Tcc | Mode::Message => self.decide_commit(Phase::Committing, turn),
        }
    }

    /// Asks for promises; whether all have made them.
    fn collect(&mut self, op: Op, turn: &mut Turn) -> bool {
        let may_call = !self.is_late(turn.now_ms) && self.expired(turn.now_ms).is_none();
        self.pursue_all(false, turn, |machine, at| {
            let (branch, state) = (&machine.plan.branches[at], &machine.state.branches[at]);
            let is_clients = branch.tried_by_client && matches!(op, Op::Try | Op::Prepare);
            if is_clients || state.done.has(op) {
                Want::Nothing
            } else if !may_call && branch.ops.has(op) {
                Want::Later
            } else {
                Want::Now(op)
            }
        })
    }

    /// Strict: takes the promises; nothing is decided. Classic: tells what is decided.
    pub(super) fn precommit(&mut self, turn: &mut Turn) {
        if self.plan.mode == Mode::ThreePhaseClassic {
            self.announce(turn);
            return;
        }
        if self.collect(Op::PreCommit, turn) {
            self.decide_promised(turn);
        } else {
            self.abort_in_time(turn);
        }
    }

    /// All have promised. Who has changed nothing need not be told.
    fn decide_promised(&mut self, turn: &mut Turn) {
        if !self.state.branches.is_empty()
            && self.state.branches.iter().all(|branch| branch.read_only)
        {
            turn.keep(Journal::Forced);
            self.end(Outcome::Committed, turn);
        } else {
            self.decide_commit(Phase::Committing, turn);
        }
    }

    fn decide_commit(&mut self, phase: Phase, turn: &mut Turn) {
        self.state.phase = phase;
        self.state.decided_ms = Some(turn.now_ms);
        turn.keep(Journal::Forced);
    }

    /// There is no way back: who cannot be told in time is told with the commit, or has committed by itself.
    fn announce(&mut self, turn: &mut Turn) {
        let now_ms = turn.now_ms;
        let is_told = self.pursue_all(false, turn, |machine, at| {
            if machine.is_announced(at, now_ms) { Want::Nothing } else { Want::Now(Op::PreCommit) }
        });
        if is_told {
            self.state.phase = Phase::Committing;
            return;
        }
        self.state.deadline_ms.into_iter().for_each(|at_ms| turn.wake_at(at_ms));
        for state in &self.state.branches {
            if state.op == Some(Op::PreCommit) && !state.done.has(Op::PreCommit) {
                state.until_ms.into_iter().for_each(|at_ms| turn.wake_at(at_ms));
            }
        }
    }

    fn is_announced(&self, at: usize, now_ms: u64) -> bool {
        let state = &self.state.branches[at];
        let retry = self.plan.retry_of(Some(at));
        let most = if retry.attempts.is_none() { ANNOUNCEMENTS_MAX } else { retry.limit() };
        let is_tried = state.op == Some(Op::PreCommit);
        let is_over = state.calling.is_none() && state.pauses >= most
            || state.until_ms.is_some_and(|until_ms| until_ms <= now_ms);
        state.done.has(Op::PreCommit) || self.is_late(now_ms) || (is_tried && is_over)
    }

    /// Second phase after the decision to commit.
    pub(super) fn make_permanent(&mut self, turn: &mut Turn) {
        let (op, _) = self.plan.second();
        let is_done = self.pursue_all(self.is_reverse(), turn, |machine, at| {
            let state = &machine.state.branches[at];
            if state.read_only || state.heuristic.is_some() || state.done.has(op) {
                Want::Nothing
            } else {
                Want::Now(op)
            }
        });
        if is_done {
            self.end(self.outcome(Outcome::Committed), turn);
        }
    }

    /// Second phase after the decision to abort.
    pub(super) fn undo(&mut self, turn: &mut Turn) {
        let (_, op) = self.plan.second();
        let is_done = self.pursue_all(self.is_reverse(), turn, |machine, at| {
            let state = &machine.state.branches[at];
            if state.calling.is_some_and(|calling| calling != op) {
                Want::Later
            } else if !machine.is_held(at) || state.heuristic.is_some() || state.done.has(op) {
                Want::Nothing
            } else {
                Want::Now(op)
            }
        });
        if is_done {
            self.end(self.outcome(Outcome::Aborted), turn);
        }
    }

    /// Whether a participant may hold something that has to be given up.
    fn is_held(&self, at: usize) -> bool {
        let (branch, state) = (&self.plan.branches[at], &self.state.branches[at]);
        let op = self.plan.binding();
        if op == Op::CommitOnePhase {
            // It has refused, or was never asked.
            return false;
        }
        // A participant that does not keep what it was asked may refuse the second attempt because of what the first one reserved.
        let is_reserved = self.plan.mode == Mode::Tcc && state.refused == Some(op);
        !state.read_only
            && (state.done.has(op) || state.may_have_run || branch.tried_by_client || is_reserved)
    }

    /// DTM confirms and cancels the last branch first.
    fn is_reverse(&self) -> bool {
        self.plan.mode == Mode::Tcc
    }

    /// The only participant was asked to do all at once, so that it decides.
    pub(super) fn is_in_one_phase(&self) -> bool {
        self.plan.is_one_phase()
            && self.state.branches.first().is_some_and(|state| {
                state.op == Some(Op::CommitOnePhase)
                    && (state.calling.is_some() || state.attempts > 0)
                    || state.may_have_run
                    || state.done.has(Op::CommitOnePhase)
            })
    }

    /// Waits for what the only participant decides. No time is over: it may have committed.
    fn finish_one_phase(&mut self, turn: &mut Turn) {
        let is_done =
            self.state.branches.first().is_none_or(|state| state.done.has(Op::CommitOnePhase));
        if is_done || self.pursue(0, Op::CommitOnePhase, turn) {
            turn.keep(Journal::Forced);
            self.end(self.outcome(Outcome::Committed), turn);
        }
    }

    /// The first branch whose promise is over before it was decided: the participant may have given it up by itself.
    pub(super) fn expired(&self, now_ms: u64) -> Option<usize> {
        let is_over = |at: &usize| self.promise_end(*at).is_some_and(|until_ms| until_ms <= now_ms);
        (0..self.state.branches.len()).find(is_over)
    }

    /// When the first promise is over.
    pub(super) fn reservations_end(&self) -> Option<u64> {
        (0..self.state.branches.len()).filter_map(|at| self.promise_end(at)).min()
    }

    /// Until when a branch keeps what it gives up by itself then.
    fn promise_end(&self, at: usize) -> Option<u64> {
        let is_own = match self.plan.mode {
            Mode::Tcc => true,
            Mode::ThreePhaseClassic => self.state.phase == Phase::Trying,
            Mode::Saga | Mode::TwoPhase | Mode::ThreePhase | Mode::Message => false,
        };
        self.state.branches[at].until_ms.filter(|_| is_own)
    }
}
