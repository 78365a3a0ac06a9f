//! Which call is made when: one at a time of each branch, with pauses between.

use super::{Machine, Turn};
use crate::backoff::Backoff;
use crate::tx::{BranchState, Effect, Mode, Op, Retry};
use std::time::Duration;

/// Shortest pause after a failure, in milliseconds: whatever a plan says, no participant is called in a tight loop.
const PAUSE_MS_MIN: u64 = 10;

/// Longest text of an error or a reason that is kept, in bytes.
const TEXT_LEN_MAX: usize = 512;

/// What one branch is waited for.
pub(super) enum Want {
    /// Nothing.
    Nothing,
    /// Something, but not yet.
    Later,
    /// This.
    Now(Op),
}

impl Machine {
    /// Goes on with all branches in one direction: calls what is wanted and due. Whether nothing is wanted any more.
    pub(super) fn pursue_all(
        &mut self,
        is_reverse: bool,
        turn: &mut Turn,
        want: impl Fn(&Self, usize) -> Want,
    ) -> bool {
        let count = self.plan.branches.len();
        let mut is_done = true;
        for position in 0..count {
            let at = if is_reverse { count - 1 - position } else { position };
            match want(self, at) {
                Want::Nothing => {}
                Want::Later => is_done = false,
                Want::Now(op) => is_done &= self.pursue(at, op, turn),
            }
            if !is_done && !self.plan.concurrent {
                break;
            }
        }
        is_done
    }

    /// Goes on with a branch: calls it when it is due. Whether the operation is done, as it is at once when it is no call.
    pub(super) fn pursue(&mut self, at: usize, op: Op, turn: &mut Turn) -> bool {
        if self.state.branches[at].calling.is_some() {
            return false;
        }
        if !self.plan.branches[at].ops.has(op) {
            let branch = &mut self.state.branches[at];
            branch.done = branch.done.with(op);
            return true;
        }
        let reserve_ms = self.plan.branches[at].reserve_ms.filter(|_| self.is_promised(op));
        let until_ms = reserve_ms.map(|reserve_ms| turn.now_ms.saturating_add(reserve_ms));
        let branch = &mut self.state.branches[at];
        branch.turn_to(op);
        if branch.until_ms.is_none() {
            branch.until_ms = until_ms;
        }
        let until_ms = branch.until_ms.filter(|_| reserve_ms.is_some());
        branch.call(u16::try_from(at).ok(), until_ms, turn);
        false
    }

    /// Whether a participant is told until when it keeps its promise.
    fn is_promised(&self, op: Op) -> bool {
        match self.plan.mode {
            Mode::Tcc => op == Op::Try,
            Mode::ThreePhase | Mode::ThreePhaseClassic => {
                matches!(op, Op::CanCommit | Op::PreCommit)
            }
            Mode::Saga | Mode::TwoPhase | Mode::Message => false,
        }
    }
}

impl BranchState {
    /// From here on what is kept of attempts is about this operation.
    pub(super) fn turn_to(&mut self, op: Op) {
        if self.op == Some(op) {
            return;
        }
        self.op = Some(op);
        self.attempts = 0;
        self.pauses = 0;
        self.next_ms = 0;
        self.until_ms = None;
        self.error = None;
    }

    /// Calls, or waits until it may be called.
    pub(super) fn call(&mut self, branch: Option<u16>, until_ms: Option<u64>, turn: &mut Turn) {
        let Some(op) = self.op.filter(|_| self.calling.is_none()) else { return };
        if self.next_ms > turn.now_ms {
            turn.wake_at(self.next_ms);
            return;
        }
        self.calling = Some(op);
        self.attempts = self.attempts.saturating_add(1);
        turn.step.effects.push(Effect::Call { branch, op, attempt: self.attempts, until_ms });
    }

    /// The call was answered so that it has to be made again, and it did not count.
    pub(super) fn uncount(&mut self) {
        self.attempts = self.attempts.saturating_sub(1);
    }

    /// It has to be made again, later each time.
    pub(super) fn back_off(&mut self, retry: Retry, error: &str, random: u64, now_ms: u64) {
        self.pauses = self.pauses.saturating_add(1);
        self.error = Some(clipped(error));
        // What is stuck is tried slowly, whatever pauses came before.
        let first_ms = if self.pauses >= retry.limit() { retry.max_ms } else { retry.base_ms };
        let backoff = Backoff {
            first: Duration::from_millis(first_ms),
            max: Duration::from_millis(retry.max_ms),
        };
        let pause_ms =
            u64::try_from(backoff.wait(self.pauses, random).as_millis()).unwrap_or(u64::MAX);
        self.next_ms = now_ms.saturating_add(pause_ms.max(PAUSE_MS_MIN));
    }

    /// It goes on; it is asked again after the first pause.
    pub(super) fn poll_later(&mut self, retry: Retry, now_ms: u64) {
        self.uncount();
        self.pauses = 0;
        self.error = Some("it is still working".to_owned());
        self.next_ms = now_ms.saturating_add(retry.base_ms.max(PAUSE_MS_MIN));
    }

    /// The operation is done.
    pub(super) fn complete(&mut self, op: Op) {
        self.done = self.done.with(op);
        self.pauses = 0;
        self.next_ms = 0;
        self.error = None;
    }
}

/// As much of a text as is kept.
pub(super) fn clipped(text: &str) -> String {
    let mut end = text.len().min(TEXT_LEN_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}
