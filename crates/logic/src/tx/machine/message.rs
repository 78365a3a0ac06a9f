//! Two-phase messages: the sender says that its own transaction was committed, or is asked.

use super::{
    Answer, Cause, Journal, Machine, Op, Outcome, Phase, Turn, answers::spread, calls::Want,
};

/// Where the sender stands in the spreading of pauses: before all branches.
const SENDER: usize = usize::MAX;

impl Machine {
    /// When the sender is silent for too long it is asked; one that cannot be asked has given up.
    pub(super) fn ask_sender(&mut self, turn: &mut Turn) {
        if !self.is_late(turn.now_ms) {
            self.state.deadline_ms.into_iter().for_each(|at_ms| turn.wake_at(at_ms));
        } else if self.plan.has_query {
            self.state.sender.turn_to(Op::Query);
            self.state.sender.call(None, None, turn);
        } else {
            self.abort_in_time(turn);
        }
    }

    /// Takes in what the sender says; whether it was asked for.
    pub(super) fn sender_answered(
        &mut self,
        op: Op,
        attempt: u32,
        answer: Answer,
        turn: &mut Turn,
    ) -> bool {
        let retry = self.plan.retry_of(None);
        let sender = &mut self.state.sender;
        if self.state.phase != Phase::Open
            || sender.calling != Some(op)
            || sender.attempts != attempt
        {
            return false;
        }
        sender.calling = None;
        turn.keep(Journal::Lazy);
        let random = spread(turn.random, SENDER);
        match answer {
            Answer::Done | Answer::ReadOnly => {
                sender.complete(op);
                self.state.phase = Phase::Trying;
                turn.keep(Journal::Forced);
            }
            Answer::Refused(why) => {
                sender.refused = Some(op);
                let reason = format!("the sender did not commit: {why}");
                self.abort(Cause::Sender, &reason, turn);
            }
            Answer::Working => sender.poll_later(retry, turn.now_ms),
            Answer::Failed(why) => sender.back_off(retry, &why, random, turn.now_ms),
            Answer::Away(why) => {
                sender.uncount();
                sender.back_off(retry, &why, random, turn.now_ms);
            }
            Answer::Heuristic(_) => {
                let why = "it says that it has decided alone, which says nothing";
                sender.back_off(retry, why, random, turn.now_ms);
            }
        }
        true
    }

    /// That it is submitted is the decision.
    pub(super) fn deliver_from_now(&mut self, turn: &mut Turn) {
        self.state.phase = Phase::Committing;
        self.state.decided_ms = Some(turn.now_ms);
        turn.keep(Journal::Forced);
    }

    /// Delivers; a receiver cannot refuse.
    pub(super) fn deliver(&mut self, turn: &mut Turn) {
        if let Some(at_ms) = self.plan.not_before_ms
            && at_ms > turn.now_ms
        {
            turn.wake_at(at_ms);
            return;
        }
        let is_done = self.pursue_all(false, turn, |machine, at| {
            if machine.state.branches[at].done.has(Op::Action) {
                Want::Nothing
            } else {
                Want::Now(Op::Action)
            }
        });
        if is_done {
            self.end(Outcome::Committed, turn);
        }
    }
}
