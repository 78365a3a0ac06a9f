//! How it ends, and what an operator is told and can do when it does not.

use super::{Cause, Effect, Journal, Machine, Op, Outcome, Phase, Refused, Turn};
use crate::tx::{Decision, Heuristic, Mode, Resolution};

impl Machine {
    /// The outcome, when this was decided and all have been told.
    pub(super) fn outcome(&self, decided: Outcome) -> Outcome {
        let has_other = (0..self.state.branches.len()).any(|at| self.contradicts_end(at, decided));
        if has_other { Outcome::Mixed } else { decided }
    }

    fn contradicts_end(&self, at: usize, decided: Outcome) -> bool {
        match self.state.branches[at].heuristic {
            None => false,
            Some(Heuristic::Committed) => decided != Outcome::Committed,
            Some(Heuristic::Aborted) => decided != Outcome::Aborted,
            Some(Heuristic::Mixed) => true,
        }
    }

    pub(super) fn end(&mut self, outcome: Outcome, turn: &mut Turn) {
        self.state.phase = match outcome {
            Outcome::Committed => Phase::Committed,
            Outcome::Aborted => Phase::Aborted,
            Outcome::Mixed => Phase::Mixed,
        };
        self.state.decided_ms.get_or_insert(turn.now_ms);
        self.state.ended_ms = Some(turn.now_ms);
        turn.keep(Journal::Lazy);
        turn.step.effects.push(Effect::Ended(outcome));
    }

    /// Why an operator should look at it.
    pub(super) fn needs_attention(&self) -> Option<String> {
        let others: Vec<String> = (0..self.state.branches.len())
            .filter(|at| self.contradicts(*at))
            .filter_map(|at| {
                let did = match self.state.branches[at].heuristic? {
                    Heuristic::Committed => "committed",
                    Heuristic::Aborted => "gave up",
                    Heuristic::Mixed => "did a part",
                };
                Some(format!("`{}` {did} on its own", self.plan.branches[at].id))
            })
            .collect();
        if !others.is_empty() {
            return Some(others.join("; "));
        }
        if self.state.phase.outcome().is_some() {
            // An operator has ended it against its decision.
            return self.state.attention.clone().filter(|_| self.state.phase == Phase::Mixed);
        }
        let sender = &self.state.sender;
        if self.state.phase == Phase::Open && sender.pauses >= self.plan.retry.limit() {
            return Some(stuck("the sender", Op::Query, sender.pauses, sender.error.as_deref()));
        }
        let at = (0..self.state.branches.len()).find(|at| self.is_stuck(*at))?;
        let state = &self.state.branches[at];
        let name = format!("`{}`", self.plan.branches[at].id);
        Some(stuck(&name, state.op?, state.pauses, state.error.as_deref()))
    }

    fn is_stuck(&self, at: usize) -> bool {
        self.pending(at).is_some()
            && self.state.branches[at].pauses >= self.plan.retry_of(Some(at)).limit()
    }

    /// The operation of a branch that is tried in this phase and is not done.
    fn pending(&self, at: usize) -> Option<Op> {
        let state = &self.state.branches[at];
        let op = state.op.filter(|op| !state.done.has(*op) && state.refused != Some(*op))?;
        let (commit, undo) = self.plan.second();
        let is_due = match self.state.phase {
            Phase::Open => false,
            Phase::Trying => op != undo && (op != commit || self.plan.mode == Mode::Saga),
            Phase::Precommitting => op == Op::PreCommit,
            Phase::Committing => op == commit,
            Phase::Aborting => op == undo,
            Phase::Committed | Phase::Aborted | Phase::Mixed => false,
        };
        is_due.then_some(op)
    }

    pub(super) fn resolve(
        &mut self,
        resolution: Resolution,
        turn: &mut Turn,
    ) -> Result<(), Refused> {
        if self.state.phase.outcome().is_some() {
            return Err(Refused::Ended(self.state.phase));
        }
        // The engine may be writing another end at this moment.
        if self.state.is_deciding {
            return Err(Refused::NotStuck);
        }
        match resolution {
            Resolution::Branch(branch) => self.resolve_branch(usize::from(branch), turn),
            Resolution::All(outcome) => {
                self.resolve_all(outcome, turn);
                Ok(())
            }
        }
    }

    fn resolve_branch(&mut self, at: usize, turn: &mut Turn) -> Result<(), Refused> {
        if at >= self.state.branches.len() {
            return Err(Refused::NoBranch);
        }
        // Nobody votes for a participant; what is not decided can be aborted.
        let is_vote = |op: Op| matches!(op, Op::Prepare | Op::CanCommit | Op::PreCommit);
        let op = self.pending(at).filter(|op| !is_vote(*op)).ok_or(Refused::NotStuck)?;
        let state = &mut self.state.branches[at];
        if state.error.is_none() {
            return Err(Refused::NotStuck);
        }
        state.calling = None;
        state.complete(op);
        state.resolved = true;
        turn.keep(Journal::Forced);
        Ok(())
    }

    fn resolve_all(&mut self, outcome: Outcome, turn: &mut Turn) {
        let end = match (self.state.decision(self.plan.mode), outcome) {
            (Some(Decision::Commit), Outcome::Aborted)
            | (Some(Decision::Abort), Outcome::Committed) => Outcome::Mixed,
            (_, outcome) => outcome,
        };
        if self.state.decision(self.plan.mode).is_none() && outcome != Outcome::Committed {
            self.state.reason = Some("an operator has ended it".to_owned());
            self.state.cause = Some(Cause::Asked);
        }
        for state in &mut self.state.branches {
            state.calling = None;
        }
        self.state.sender.calling = None;
        turn.keep(Journal::Forced);
        self.end(end, turn);
        if end == Outcome::Mixed {
            self.state.attention = Some("an operator has ended it against its decision".to_owned());
        }
    }
}

fn stuck(who: &str, op: Op, pauses: u32, error: Option<&str>) -> String {
    let times = if pauses == 1 { "once" } else { "times" };
    let number = if pauses == 1 { String::new() } else { format!("{pauses} ") };
    format!("{who} does not do `{op}`, tried {number}{times}: {}", error.unwrap_or("no answer"))
}
