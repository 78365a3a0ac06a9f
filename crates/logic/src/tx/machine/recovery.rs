//! After a crash: answers were lost, and so were states that were to be kept later.

use super::{Cause, Machine, Mode, Op, Phase, Refused, Turn};

/// Why votes that were under way are not taken again.
const RESTARTED: &str = "the coordinator was restarted before it was decided";

impl Machine {
    pub(super) fn recovered(&mut self, turn: &mut Turn) {
        self.wake_ms = None;
        self.state.is_deciding = false;
        self.state.sender.calling = None;
        for at in 0..self.state.branches.len() {
            if let Some(op) = self.state.branches[at].calling.take() {
                self.may_have_run(at, op);
            }
        }
        match self.state.phase {
            Phase::Trying => self.recovered_trying(turn),
            // A participant may have rolled back already, if that was decided and lost.
            Phase::Precommitting if self.plan.mode == Mode::ThreePhase => {
                self.presume_run();
                self.abort(Cause::Restart, RESTARTED, turn);
            }
            Phase::Open
            | Phase::Precommitting
            | Phase::Committing
            | Phase::Aborting
            | Phase::Committed
            | Phase::Aborted
            | Phase::Mixed => {}
        }
    }

    fn recovered_trying(&mut self, turn: &mut Turn) {
        match self.plan.mode {
            Mode::Message => {}
            Mode::Saga => self.presume_run(),
            Mode::Tcc => {
                self.presume_run();
                self.presume_reserved();
            }
            Mode::TwoPhase if self.plan.is_one_phase() => self.presume_run(),
            // A lost decision to abort may have been told to participants, so that their votes mean nothing any more.
            Mode::TwoPhase | Mode::ThreePhase | Mode::ThreePhaseClassic => {
                // With durable steps it would be precommitting if a promise had been asked for.
                if self.plan.mode != Mode::ThreePhase || !self.plan.durable_steps {
                    self.presume_run();
                }
                self.abort(Cause::Restart, RESTARTED, turn);
            }
        }
    }

    /// What is not known to be done may have run, unless something before it that would have been kept is not done.
    fn presume_run(&mut self) {
        let op = self.plan.binding();
        // Bit by position: it may have been called.
        let mut possible = 0_u128;
        let mut is_reached = true;
        for (at, branch) in self.plan.branches.iter().enumerate() {
            let is_due = if self.plan.concurrent {
                branch.after.iter().all(|before| possible & (1 << before) != 0)
            } else {
                is_reached
            };
            let state = &mut self.state.branches[at];
            let is_call = branch.ops.has(op) && !branch.joins && !branch.tried_by_client;
            if is_due && is_call && !state.done.has(op) {
                state.may_have_run = true;
            }
            let is_kept = is_call && (self.plan.durable_steps || branch.feeds);
            if is_due && (state.done.has(op) || !is_kept) {
                // What comes after it may have been called.
                possible |= 1 << at;
            } else {
                is_reached = false;
            }
        }
    }

    /// A reservation whose end was lost ends at the earliest moment that it can end.
    fn presume_reserved(&mut self) {
        for (branch, state) in self.plan.branches.iter().zip(&mut self.state.branches) {
            if state.may_have_run && state.until_ms.is_none() {
                state.turn_to(Op::Try);
                state.until_ms =
                    branch.reserve_ms.map(|length| self.state.begun_ms.saturating_add(length));
            }
        }
    }

    pub(super) fn retry_now(&mut self, turn: &Turn) -> Result<(), Refused> {
        if self.state.phase.outcome().is_some() {
            return Err(Refused::Ended(self.state.phase));
        }
        for branch in &mut self.state.branches {
            branch.next_ms = branch.next_ms.min(turn.now_ms);
        }
        let sender = &mut self.state.sender;
        sender.next_ms = sender.next_ms.min(turn.now_ms);
        Ok(())
    }
}
