//! From one state to the next: what events mean, and what all protocols have in common.

use super::{
    Answer, BRANCHES_MAX, Branch, BranchState, Cause, Effect, Event, InvalidPlan, Journal, Mode,
    Op, Outcome, Phase, Plan, Refused, State, Step,
};

mod answers;
mod calls;
mod commit;
mod ending;
mod message;
mod recovery;
mod saga;

/// A transaction: its plan and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    plan: Plan,
    state: State,
    /// The moment that was asked for last, so that it is not asked for again in each step.
    wake_ms: Option<u64>,
}

/// One event on its way through the machine.
#[derive(Debug)]
struct Turn {
    now_ms: u64,
    random: u64,
    /// When something is due next.
    wake_ms: Option<u64>,
    step: Step,
}

impl Turn {
    fn new(now_ms: u64, random: u64) -> Self {
        Self { now_ms, random, wake_ms: None, step: Step::default() }
    }

    fn keep(&mut self, journal: Journal) {
        self.step.journal = self.step.journal.max(journal);
    }

    fn wake_at(&mut self, at_ms: u64) {
        self.wake_ms = Some(self.wake_ms.map_or(at_ms, |wake_ms| wake_ms.min(at_ms)));
    }
}

impl Machine {
    /// Begins a transaction. It is [`Phase::Open`] when the client does the first phase, otherwise what is to be called first is
    /// in the step. The first state is always forced.
    ///
    /// # Errors
    /// When the plan is none.
    pub fn begin(plan: Plan, is_open: bool, now_ms: u64) -> Result<(Self, Step), InvalidPlan> {
        plan.check(is_open)?;
        let branches = plan.branches.iter().map(|branch| first_state(branch, now_ms)).collect();
        let state = State {
            phase: if is_open { Phase::Open } else { Phase::Trying },
            begun_ms: now_ms,
            deadline_ms: plan.timeout_ms.map(|timeout_ms| now_ms.saturating_add(timeout_ms)),
            decided_ms: None,
            ended_ms: None,
            reason: None,
            cause: None,
            attention: None,
            sender: BranchState::default(),
            branches,
            is_deciding: false,
        };
        let mut machine = Self::resume(plan, state);
        let mut turn = Turn::new(now_ms, 0);
        turn.keep(Journal::Forced);
        machine.advance(&mut turn);
        Ok((machine, turn.step))
    }

    /// What was kept. [`Event::Recovered`] comes next, unless it has ended.
    #[must_use]
    pub fn resume(plan: Plan, mut state: State) -> Self {
        // A record that does not fit its plan was not written by this machine; it must not bring the driver down.
        state.branches.resize_with(plan.branches.len(), BranchState::default);
        Self { plan, state, wake_ms: None }
    }

    /// The plan.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Where it stands.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// For the model checker, which takes time out of states.
    #[cfg(test)]
    pub(super) fn state_mut(&mut self) -> &mut State {
        &mut self.state
    }

    /// Takes an event in. `random` is any number; it spreads the pauses.
    ///
    /// # Errors
    /// When the event comes from outside and cannot be accepted; nothing has changed then.
    pub fn step(&mut self, event: Event, now_ms: u64, random: u64) -> Result<Step, Refused> {
        let mut turn = Turn::new(now_ms, random);
        match event {
            Event::Recovered => self.recovered(&mut turn),
            Event::Tick => self.wake_ms = None,
            Event::Enlist(branch) => self.enlist(branch, &mut turn)?,
            Event::Submit => self.submit(&mut turn)?,
            Event::Abort(reason) => self.give_up(&reason, &mut turn)?,
            Event::Answer { branch, op, attempt, answer } => {
                if !self.answered(branch, op, attempt, answer, &mut turn) {
                    return Ok(Step::default());
                }
            }
            Event::Decided(result) => self.has_decided(result, &mut turn),
            Event::Retry => self.retry_now(&turn)?,
            Event::Resolve(resolution) => self.resolve(resolution, &mut turn)?,
        }
        self.advance(&mut turn);
        Ok(turn.step)
    }

    /// While a message is open: its deliveries begin at this moment, in milliseconds since 1970.
    ///
    /// # Errors
    /// When it is not open any more; nothing has changed then.
    pub fn put_off(&mut self, not_before_ms: u64) -> Result<Step, Refused> {
        if self.state.phase != Phase::Open {
            return Err(Refused::NotOpen(self.state.phase));
        }
        self.plan.not_before_ms = Some(not_before_ms);
        Ok(Step { journal: Journal::Forced, effects: Vec::new() })
    }

    /// The state that is committed together with what joins the decision, see [`Effect::Decide`].
    #[must_use]
    pub fn decided(&self, now_ms: u64) -> State {
        let mut state = self.state.clone();
        for (branch, state) in self.plan.branches.iter().zip(&mut state.branches) {
            if branch.joins {
                state.done = state.done.with(Op::Action);
            }
        }
        state.phase = Phase::Committed;
        state.attention = None;
        state.is_deciding = false;
        state.decided_ms = Some(now_ms);
        state.ended_ms = Some(now_ms);
        state
    }

    fn enlist(&mut self, branch: Branch, turn: &mut Turn) -> Result<(), Refused> {
        if self.state.phase != Phase::Open {
            return Err(Refused::NotOpen(self.state.phase));
        }
        if self.plan.branches.len() >= BRANCHES_MAX {
            return Err(Refused::Branch("it has as many as it may have"));
        }
        if self.plan.branches.iter().any(|other| other.id == branch.id) {
            return Err(Refused::Branch("it has one of that name"));
        }
        if self.plan.check_branch(&branch, self.plan.branches.len()).is_err() {
            return Err(Refused::Branch("it belongs to another protocol or another order"));
        }
        self.state.branches.push(first_state(&branch, turn.now_ms));
        self.plan.branches.push(branch);
        turn.keep(Journal::Forced);
        Ok(())
    }

    fn submit(&mut self, turn: &mut Turn) -> Result<(), Refused> {
        match self.state.phase {
            Phase::Open => {
                self.state.phase = Phase::Trying;
                turn.keep(Journal::Forced);
                Ok(())
            }
            Phase::Trying | Phase::Precommitting | Phase::Committing | Phase::Committed => Ok(()),
            phase @ (Phase::Aborting | Phase::Aborted) => Err(Refused::Decided(phase)),
            phase @ Phase::Mixed => Err(Refused::Ended(phase)),
        }
    }

    /// The client or an operator gives it up.
    fn give_up(&mut self, reason: &str, turn: &mut Turn) -> Result<(), Refused> {
        match self.state.phase {
            Phase::Aborting | Phase::Aborted => Ok(()),
            phase @ Phase::Mixed => Err(Refused::Ended(phase)),
            phase => {
                if !self.can_abort() {
                    return Err(Refused::Decided(phase));
                }
                self.abort(Cause::Asked, reason, turn);
                Ok(())
            }
        }
    }

    /// Whether it can still go either way, and nobody else is about to decide it.
    fn can_abort(&self) -> bool {
        match self.state.phase {
            Phase::Open => true,
            Phase::Trying => !self.state.is_deciding && !self.is_in_one_phase(),
            Phase::Precommitting => self.plan.mode == Mode::ThreePhase,
            Phase::Committing
            | Phase::Aborting
            | Phase::Committed
            | Phase::Aborted
            | Phase::Mixed => false,
        }
    }

    /// Decides to abort. Where aborts are presumed, one that is lost is decided again after the crash, so it need not be forced.
    fn abort(&mut self, cause: Cause, reason: &str, turn: &mut Turn) {
        let is_presumed = match self.plan.mode {
            Mode::TwoPhase | Mode::ThreePhase | Mode::ThreePhaseClassic => {
                // What is open would be open again and could be submitted; one participant would be asked again and could commit.
                self.state.phase != Phase::Open && !self.plan.is_one_phase()
            }
            Mode::Saga | Mode::Tcc | Mode::Message => false,
        };
        turn.keep(if is_presumed { Journal::Lazy } else { Journal::Forced });
        self.state.phase = Phase::Aborting;
        self.state.decided_ms = Some(turn.now_ms);
        self.state.reason = Some(calls::clipped(reason));
        self.state.cause = Some(cause);
    }

    /// Does what can be done where it stands.
    fn advance(&mut self, turn: &mut Turn) {
        let phase_before = self.state.phase;
        loop {
            let phase = self.state.phase;
            turn.wake_ms = None;
            match phase {
                Phase::Open => self.wait_open(turn),
                Phase::Trying => match self.plan.mode {
                    Mode::Saga => self.run_saga(turn),
                    Mode::Message => self.deliver_from_now(turn),
                    Mode::Tcc | Mode::TwoPhase | Mode::ThreePhase | Mode::ThreePhaseClassic => {
                        self.vote(turn);
                    }
                },
                Phase::Precommitting => self.precommit(turn),
                Phase::Committing => match self.plan.mode {
                    Mode::Message => self.deliver(turn),
                    Mode::Saga
                    | Mode::Tcc
                    | Mode::TwoPhase
                    | Mode::ThreePhase
                    | Mode::ThreePhaseClassic => self.make_permanent(turn),
                },
                Phase::Aborting => match self.plan.mode {
                    Mode::Saga => self.compensate(turn),
                    Mode::Message => self.end(Outcome::Aborted, turn),
                    Mode::Tcc | Mode::TwoPhase | Mode::ThreePhase | Mode::ThreePhaseClassic => {
                        self.undo(turn);
                    }
                },
                Phase::Committed | Phase::Aborted | Phase::Mixed => break,
            }
            if self.state.phase == phase {
                break;
            }
        }
        if self.state.phase != phase_before {
            turn.keep(Journal::Lazy);
        }
        self.finish_turn(turn);
    }

    /// The client does the first phase; an own deadline or the end of a reservation ends it.
    fn wait_open(&mut self, turn: &mut Turn) {
        match self.plan.mode {
            Mode::Message => self.ask_sender(turn),
            Mode::Saga
            | Mode::Tcc
            | Mode::TwoPhase
            | Mode::ThreePhase
            | Mode::ThreePhaseClassic => {
                self.abort_in_time(turn);
            }
        }
    }

    /// Aborts when the time is over, otherwise asks to be woken then. Whether it was aborted.
    fn abort_in_time(&mut self, turn: &mut Turn) -> bool {
        if !self.can_abort() {
            return false;
        }
        if let Some(at) = self.expired(turn.now_ms) {
            let reason = format!("the reservation of `{}` is over", self.plan.branches[at].id);
            self.abort(Cause::Reservation, &reason, turn);
            return true;
        }
        if self.is_late(turn.now_ms) {
            let spent_ms = self.plan.timeout_ms.unwrap_or_default();
            // The words of DTM, whose clients look for them.
            let reason = format!("Timeout after {} seconds", spent_ms.div_ceil(1_000));
            self.abort(Cause::Timeout, &reason, turn);
            return true;
        }
        self.state.deadline_ms.into_iter().for_each(|at_ms| turn.wake_at(at_ms));
        self.reservations_end().into_iter().for_each(|at_ms| turn.wake_at(at_ms));
        false
    }

    fn is_late(&self, now_ms: u64) -> bool {
        self.state.deadline_ms.is_some_and(|at_ms| at_ms <= now_ms)
    }

    /// Asks to be woken, tells of what is stuck, and leaves nothing of a turn behind.
    fn finish_turn(&mut self, turn: &mut Turn) {
        let attention = self.needs_attention();
        if attention != self.state.attention {
            self.state.attention = attention;
            turn.keep(Journal::Lazy);
        }
        if self.state.phase.outcome().is_some() {
            self.wake_ms = None;
            return;
        }
        if let Some(wake_ms) = turn.wake_ms
            && self.wake_ms != Some(wake_ms)
        {
            turn.step.effects.push(Effect::Wake(wake_ms));
        }
        self.wake_ms = turn.wake_ms;
    }
}

/// A branch of which nothing has happened, but that the client may have asked it for a reservation.
fn first_state(branch: &Branch, now_ms: u64) -> BranchState {
    let until_ms = branch.reserve_ms.filter(|_| branch.tried_by_client);
    BranchState {
        until_ms: until_ms.map(|reserve_ms| now_ms.saturating_add(reserve_ms)),
        ..BranchState::default()
    }
}
