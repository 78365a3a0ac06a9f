//! Sagas: actions in order, and compensations in the reverse order (Garcia-Molina and Salem 1987).

use super::{Cause, Effect, Journal, Machine, Op, Outcome, Turn, calls::Want};

impl Machine {
    /// Runs actions; when all are done it is committed, by the engine if branches join the decision.
    pub(super) fn run_saga(&mut self, turn: &mut Turn) {
        if self.state.is_deciding {
            return;
        }
        let may_call = !self.is_late(turn.now_ms);
        let is_done =
            self.pursue_all(false, turn, |machine, at| machine.wanted_action(at, may_call));
        if !is_done {
            self.abort_in_time(turn);
            return;
        }
        let joined: Vec<u16> = (0_u16..)
            .zip(&self.plan.branches)
            .filter_map(|(at, branch)| branch.joins.then_some(at))
            .collect();
        if joined.is_empty() {
            // The decision and the end are one record.
            turn.keep(Journal::Forced);
            self.end(Outcome::Committed, turn);
        } else {
            self.state.is_deciding = true;
            turn.step.effects.push(Effect::Decide { branches: joined });
        }
    }

    fn wanted_action(&self, at: usize, may_call: bool) -> Want {
        let (branch, state) = (&self.plan.branches[at], &self.state.branches[at]);
        let is_done = |before: &u16| self.state.branches[usize::from(*before)].done.has(Op::Action);
        if branch.joins || state.done.has(Op::Action) {
            Want::Nothing
        } else if !branch.after.iter().all(is_done) || (!may_call && branch.ops.has(Op::Action)) {
            Want::Later
        } else {
            Want::Now(Op::Action)
        }
    }

    /// The engine has decided, or could not.
    pub(super) fn has_decided(&mut self, result: Result<(), (u16, String)>, turn: &mut Turn) {
        if !self.state.is_deciding {
            return;
        }
        self.state.is_deciding = false;
        match result {
            Ok(()) => {
                // The engine has kept this state already, so there is nothing to be kept.
                self.state = self.decided(turn.now_ms);
                turn.step.effects.push(Effect::Ended(Outcome::Committed));
            }
            Err((branch, why)) => {
                if let Some(state) = self.state.branches.get_mut(usize::from(branch)) {
                    state.refused = Some(Op::Action);
                    state.error = Some(super::calls::clipped(&why));
                }
                let id =
                    self.plan.branches.get(usize::from(branch)).map_or("", |branch| &branch.id);
                let reason = format!("`{id}` cannot be part of the decision: {why}");
                self.abort(Cause::Join, &reason, turn);
            }
        }
    }

    /// Compensates what has run or may have run; a branch after all those that came after it.
    pub(super) fn compensate(&mut self, turn: &mut Turn) {
        let mut is_done = true;
        // Bit by position: something that came after it is not compensated yet.
        let mut blocked = 0_u128;
        for at in (0..self.plan.branches.len()).rev() {
            let state = &self.state.branches[at];
            // While the action is under way, it may or may not have run.
            let is_open = state.calling == Some(Op::Action);
            if self.plan.branches[at].joins
                || (!is_open && (!self.has_run(at) || state.done.has(Op::Compensate)))
            {
                continue;
            }
            let is_free = !is_open && blocked & (1 << at) == 0;
            if is_free && self.pursue(at, Op::Compensate, turn) {
                continue;
            }
            is_done = false;
            for before in &self.plan.branches[at].after {
                blocked |= 1 << before;
            }
            if !self.plan.concurrent {
                break;
            }
        }
        if is_done {
            self.end(self.outcome(Outcome::Aborted), turn);
        }
    }

    /// Whether there may be something to be compensated. A participant that has refused may have done a part before.
    fn has_run(&self, at: usize) -> bool {
        let state = &self.state.branches[at];
        state.done.has(Op::Action) || state.refused == Some(Op::Action) || state.may_have_run
    }
}
