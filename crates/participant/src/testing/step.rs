//! What is tried.

use crate::{Mode, Op};

/// One branch of a transaction, as the checks call it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Step {
    pub(super) id: String,
    pub(super) mode: Mode,
    /// Calls on the way to the end, and their paths.
    pub(super) forward: Vec<(Op, String)>,
    pub(super) back: (Op, String),
    pub(super) body: Option<String>,
}

impl Step {
    /// A step of a saga, with the paths of its action and of what undoes it.
    pub fn saga(id: &str, action: &str, compensate: &str) -> Self {
        Self::of(id, Mode::Saga, &[(Op::Action, action)], (Op::Compensate, compensate))
    }

    /// A reservation, with the paths that make it, turn it into a fact, and give it back.
    pub fn tcc(id: &str, try_: &str, confirm: &str, cancel: &str) -> Self {
        let forward = [(Op::Try, try_), (Op::Confirm, confirm)];
        Self::of(id, Mode::Tcc, &forward, (Op::Cancel, cancel))
    }

    /// A branch of a two-phase commit, with the path that all its phases are sent to.
    pub fn two_phase(id: &str, path: &str) -> Self {
        let forward = [(Op::Prepare, path), (Op::Commit, path)];
        Self::of(id, Mode::TwoPhase, &forward, (Op::Rollback, path))
    }

    /// A branch of a strict three-phase commit, with the path that all its phases are sent to.
    pub fn three_phase(id: &str, path: &str) -> Self {
        let forward = [(Op::CanCommit, path), (Op::PreCommit, path), (Op::Commit, path)];
        Self::of(id, Mode::ThreePhase, &forward, (Op::Rollback, path))
    }

    /// What every call carries.
    pub fn json(mut self, body: &str) -> Self {
        self.body = Some(body.to_owned());
        self
    }

    fn of(id: &str, mode: Mode, forward: &[(Op, &str)], back: (Op, &str)) -> Self {
        let owned = |(op, path): (Op, &str)| (op, path.to_owned());
        let forward = forward.iter().copied().map(owned).collect();
        Self { id: id.to_owned(), mode, forward, back: owned(back), body: None }
    }

    /// How many phases the longest step has.
    pub(super) fn phases(steps: &[Self]) -> usize {
        steps.iter().map(|step| step.forward.len()).max().unwrap_or_default()
    }

    /// Whether a transaction can still be undone when this phase fails. What comes last in the protocols with a second phase cannot.
    pub(super) fn may_fail(&self, phase: usize) -> bool {
        phase + usize::from(self.forward.len() > 1) < self.forward.len()
    }
}
