//! The coordinator's machine, its journal, the network and the participants, as one state for the checker.
//!
//! Time is taken out of it: a pause or a deadline is either over or not, and may be over at any moment. The network delays and
//! reorders as it likes; it loses and repeats as often as [`Faults`] allows. What the coordinator kept is what its journal demands,
//! or any later state.

use super::{
    super::{
        Answer, BranchState, Decision, Effect, Event, Journal, Machine, Mode, Op, Outcome, Plan,
        State,
    },
    participant::{Part, Place},
};

/// The moment that it always is.
pub(super) const NOW: u64 = 1_000_000_000_000;
/// A pause is not over.
pub(super) const LATER: u64 = NOW + 1_000;
/// A deadline has not come.
pub(super) const FAR: u64 = NOW + 1_000_000_000;
/// Spreads no pause.
const MIDDLE: u64 = 20;

/// How often what may still go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Faults {
    /// The coordinator is killed and started again.
    pub(super) crashes: u8,
    /// The coordinator is gone for good.
    pub(super) stops: u8,
    /// Another node takes over while this one goes on.
    pub(super) takeovers: u8,
    /// A message is lost.
    pub(super) losses: u8,
    /// A request comes twice.
    pub(super) repeats: u8,
    /// The coordinator does not wait for an answer that is on its way.
    pub(super) impatience: u8,
    /// The time until the decision is over.
    pub(super) deadlines: u8,
    /// The client gives up.
    pub(super) aborts: u8,
    /// A participant is killed and started again.
    pub(super) restarts: u8,
    /// A participant is cut off from the coordinator.
    pub(super) cuts: u8,
    /// What joins the decision cannot be done.
    pub(super) refusals: u8,
}

/// All goes well.
pub(super) const NONE: Faults = Faults {
    crashes: 0,
    stops: 0,
    takeovers: 0,
    losses: 0,
    repeats: 0,
    impatience: 0,
    deadlines: 0,
    aborts: 0,
    restarts: 0,
    cuts: 0,
    refusals: 0,
};

/// What the coordinator wants to be woken for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Wake {
    #[default]
    Never,
    /// When a pause is over.
    Soon,
    /// When the deadline comes.
    Far,
}

/// Everything there is.
#[derive(Clone, Debug)]
pub(super) struct World {
    /// What the coordinator knows; `None`: it is down.
    pub(super) up: Option<Machine>,
    /// One that was deposed and does not know it.
    pub(super) old: Option<Machine>,
    /// What its journal knows.
    pub(super) kept: State,
    pub(super) wake: Wake,
    /// The kv engine is about to decide.
    pub(super) is_deciding: bool,
    /// What joins the decision was done.
    pub(super) has_joined: bool,
    /// What was told to anybody or is kept for good: commit or not.
    pub(super) decision: Option<Decision>,
    pub(super) has_crashed: bool,
    pub(super) has_stopped: bool,
    pub(super) parts: Vec<Part>,
    pub(super) left: Faults,
    pub(super) wrong: Option<String>,
}

impl World {
    pub(super) fn begin(plan: &Plan, is_open: bool, left: Faults) -> Self {
        let (machine, step) =
            Machine::begin(plan.clone(), is_open, NOW).expect("the plan of a test is right");
        let mut parts = vec![Part::new(); plan.branches.len() + usize::from(plan.has_query)];
        for (part, branch) in parts.iter_mut().zip(&plan.branches) {
            if branch.tried_by_client {
                part.place = Place::Holds;
            }
        }
        let mut world = Self {
            up: None,
            old: None,
            kept: machine.state().clone(),
            wake: Wake::Never,
            is_deciding: false,
            has_joined: false,
            decision: None,
            has_crashed: false,
            has_stopped: false,
            parts,
            left,
            wrong: None,
        };
        if step.journal != Journal::Forced {
            world.blame("the first state is not forced");
        }
        world.carry_out(plan, machine, step.journal, step.effects);
        world
    }

    /// The state that counts: what the coordinator knows, or what it will know.
    pub(super) fn state(&self) -> &State {
        self.up.as_ref().map_or(&self.kept, Machine::state)
    }

    pub(super) fn blame(&mut self, what: impl Into<String>) {
        self.wrong.get_or_insert(what.into());
    }

    /// Steps the machine and does what it says.
    pub(super) fn step(&mut self, plan: &Plan, event: Event) {
        let Some(mut machine) = self.up.take() else { return };
        match machine.step(event.clone(), NOW, MIDDLE) {
            Ok(step) => {
                self.carry_out(plan, machine, step.journal, step.effects);
            }
            Err(error) => {
                self.up = Some(machine);
                // The client may come too late; everything else is the driver's own and must be taken.
                if !matches!(event, Event::Abort(_) | Event::Submit) {
                    self.blame(format!("{event:?} was refused: {error}"));
                }
            }
        }
    }

    fn carry_out(
        &mut self,
        plan: &Plan,
        mut machine: Machine,
        journal: Journal,
        effects: Vec<Effect>,
    ) {
        take_time_out(machine.state_mut());
        if journal == Journal::Forced {
            self.keep(plan.mode, machine.state());
        }
        self.up = Some(machine);
        for effect in effects {
            match effect {
                Effect::Call { branch, op, attempt, .. } => self.call(plan, branch, op, attempt),
                Effect::Decide { branches } => {
                    if branches.iter().any(|at| !plan.branches[usize::from(*at)].joins) {
                        self.blame("a branch that does not join was asked to");
                    }
                    self.is_deciding = true;
                }
                Effect::Wake(at) if at <= LATER + 1_000 => self.wake = Wake::Soon,
                Effect::Wake(_) => self.wake = Wake::Far,
                Effect::Ended(outcome) => {
                    if self.state().phase.outcome() != Some(outcome) {
                        self.blame("it ended otherwise than its state says");
                    }
                    self.decide(match outcome {
                        Outcome::Committed => Some(Decision::Commit),
                        Outcome::Aborted => Some(Decision::Abort),
                        Outcome::Mixed => self.decision,
                    });
                }
            }
        }
    }

    fn call(&mut self, plan: &Plan, branch: Option<u16>, op: Op, attempt: u32) {
        let at = branch.map_or(plan.branches.len(), usize::from);
        if self.parts[at].call.is_some() {
            self.blame(format!("{} is asked {op} while it has not answered", name(at)));
        }
        if branch.is_some_and(|_| !plan.branches[at].ops.has(op)) {
            self.blame(format!("{} is asked {op}, which is no call of it", name(at)));
        }
        if attempt == 0 {
            self.blame("attempts count from 1");
        }
        let is_commit_kept = self.kept.decision(plan.mode) == Some(Decision::Commit);
        if self.decision == Some(Decision::Abort) && op.may_be_refused() {
            self.blame(format!("{} is asked {op} after it was aborted", name(at)));
        }
        match op {
            Op::Commit | Op::Confirm => {
                self.decide(Some(Decision::Commit));
                if !is_commit_kept {
                    self.blame(format!("{op} was sent before the decision was durable"));
                }
            }
            Op::Rollback | Op::Cancel | Op::Compensate => {
                self.decide(Some(Decision::Abort));
                // What is kept later may be lost, and then nobody knows who was asked.
                let is_known = !self.has_crashed || plan.durable_steps;
                let may_have_run =
                    plan.branches[at].tried_by_client || !self.parts[at].asked.is_empty();
                if is_known && !may_have_run {
                    self.blame(format!("{} is asked {op} though it cannot have run", name(at)));
                }
                self.check_order_back(plan, at);
            }
            Op::Action => {
                let is_ready = |before: &u16| self.parts[usize::from(*before)].place == Place::Done;
                if !plan.branches[at].after.iter().all(is_ready) {
                    self.blame(format!("{} is called before those that come before it", name(at)));
                }
            }
            Op::Try | Op::Prepare | Op::CanCommit | Op::CommitOnePhase => {}
            Op::PreCommit | Op::Query => {}
        }
        self.parts[at].ask(op, attempt);
    }

    /// What comes after a step is undone before it.
    fn check_order_back(&mut self, plan: &Plan, at: usize) {
        for (later, branch) in plan.branches.iter().enumerate() {
            let part = &self.parts[later];
            let could_run =
                !part.asked.is_empty() && !matches!(part.place, Place::Undone | Place::Refused);
            if could_run && branch.after.iter().any(|before| usize::from(*before) == at) {
                self.blame(format!("{} is undone before {}", name(at), name(later)));
            }
        }
    }

    /// Notes what is known of the decision from here on.
    pub(super) fn decide(&mut self, decision: Option<Decision>) {
        if self.decision.is_some() && decision != self.decision {
            self.blame(match decision {
                Some(Decision::Commit) => "it is committed after it was aborted",
                _ => "it is aborted after it was committed",
            });
        }
        self.decision = decision;
    }

    /// Makes a state durable.
    pub(super) fn keep(&mut self, mode: Mode, state: &State) {
        self.kept = state.clone();
        if let Some(decision) = self.kept.decision(mode) {
            self.decide(Some(decision));
        }
    }

    pub(super) fn answer(&mut self, plan: &Plan, at: usize, op: Op, attempt: u32, answer: Answer) {
        if self.parts[at].call == Some((op, attempt)) {
            self.parts[at].call = None;
        }
        let branch =
            (at < self.kept.branches.len()).then(|| u16::try_from(at).expect("few branches"));
        self.step(plan, Event::Answer { branch, op, attempt, answer });
    }

    pub(super) fn crash(&mut self) {
        self.up = None;
        self.has_crashed = true;
        self.wake = Wake::Never;
        self.is_deciding = false;
        for part in &mut self.parts {
            // Answers to calls of a dead process reach nobody; its requests may be anywhere.
            part.call = None;
            part.replies.clear();
        }
    }

    /// Another node takes over, and the answers that are on their way may still reach the one before it.
    pub(super) fn take_over(&mut self) {
        let replies: Vec<_> = self.parts.iter().map(|part| part.replies.clone()).collect();
        self.old = self.up.take();
        self.crash();
        for (part, replies) in self.parts.iter_mut().zip(replies) {
            part.replies = replies;
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.state().phase.outcome().is_some()
    }
}

pub(super) fn name(at: usize) -> char {
    char::from(b'A' + u8::try_from(at).expect("few participants"))
}

/// The same with times that only say whether they have come, and without words.
pub(super) fn take_time_out(state: &mut State) {
    let wipe = |text: &mut Option<String>| text.iter_mut().for_each(String::clear);
    state.decided_ms = state.decided_ms.map(|_| NOW);
    state.ended_ms = state.ended_ms.map(|_| NOW);
    state.deadline_ms = state.deadline_ms.map(|at| if at > NOW { FAR } else { NOW });
    wipe(&mut state.reason);
    wipe(&mut state.attention);
    for branch in state.branches.iter_mut().chain([&mut state.sender]) {
        branch.until_ms = branch.until_ms.map(|at| if at > NOW { FAR } else { NOW });
        branch.next_ms = if branch.next_ms > NOW { LATER } else { 0 };
        wipe(&mut branch.error);
    }
}

/// Where participants stand who must all stand alike.
pub(super) fn parted(parts: &[Part]) -> bool {
    let any = |wanted: fn(&Place) -> bool| parts.iter().any(|part| wanted(&part.place));
    any(|place| *place == Place::Done)
        && any(|place| matches!(place, Place::Undone | Place::Refused))
}

/// Whether it is in a pause.
pub(super) fn waits(branch: &BranchState) -> bool {
    branch.next_ms > NOW && branch.calling.is_none()
}
