//! The coordinator dies at every boundary of its journal, in every protocol, and what it was to keep later is kept or lost.

use super::{
    super::{Event, Mode, Op, Plan, Then},
    script::plan,
};

mod world;

use world::{Crash, Requests, World};

/// A transaction, and how its participants are.
#[derive(Clone, Debug)]
struct Case {
    plan: Plan,
    is_open: bool,
    /// What the client does after it was begun: its own calls of the first phase are made before.
    client: Vec<Event>,
    refuses: Option<(usize, Op)>,
    loses_answers: bool,
    has_sent: Option<bool>,
}

impl Case {
    fn new(plan: Plan) -> Self {
        Self {
            plan,
            is_open: false,
            client: Vec::new(),
            refuses: None,
            loses_answers: false,
            has_sent: None,
        }
    }

    fn is_classic(&self) -> bool {
        self.plan.mode == Mode::ThreePhaseClassic
    }

    /// What a participant does in the first phase, to commit, and to undo.
    fn words(&self) -> (&'static str, &'static str, &'static str) {
        match self.plan.mode {
            Mode::Saga => ("action", "", "compensate"),
            Mode::Message => ("action", "", ""),
            Mode::Tcc => ("try", "confirm", "cancel"),
            Mode::TwoPhase if self.plan.is_one_phase() => ("commit_one_phase", "", ""),
            Mode::TwoPhase => ("prepare", "commit", "rollback"),
            Mode::ThreePhase => ("pre_commit", "commit", "rollback"),
            Mode::ThreePhaseClassic => ("can_commit", "commit", "rollback"),
        }
    }

    fn run(&self, crash: Option<Crash>) -> usize {
        let mut world = World::begin(self, crash);
        for (branch, participant) in self.plan.branches.iter().zip(&mut world.participants) {
            if branch.tried_by_client {
                participant.act(self.plan.mode, self.plan.binding());
            }
        }
        for event in &self.client {
            let (steps, told) = (world.steps, world.told);
            let is_known = world.ask(event);
            // Nobody has answered the client that lost its coordinator, so it asks again; that is no error, or says how it ended.
            let has_heard = world.steps == steps + 1 && world.told == told;
            let is_taken = if has_heard { is_known } else { world.ask(event) };
            world.promised = is_taken.then(|| event.clone());
        }
        world.run();
        world.check(self);
        world.steps
    }
}

/// Runs it without a crash, and with one at each of its steps in each manner.
fn crash_everywhere(case: &Case) {
    let steps = case.run(None);
    for step in 1..=steps {
        for after_effects in [false, true] {
            for requests in [Requests::Lost, Requests::Heard, Requests::Late] {
                for flags in 0..4 {
                    let (keeps_lazy, sleeps) = (flags & 1 != 0, flags & 2 != 0);
                    let crash = Crash { step, after_effects, requests, keeps_lazy, sleeps };
                    case.run(Some(crash));
                }
            }
        }
    }
}

/// With all that may be said of a plan, and each participant refusing, or answers being lost.
fn crash_all(plan: &Plan, refusable: &[Op]) {
    for flags in 0..4 {
        let mut plan = plan.clone();
        plan.concurrent = flags & 1 != 0;
        plan.durable_steps = flags & 2 != 0;
        plan.retry.then = if flags == 3 { Then::Abort } else { Then::Attention };
        let case = Case::new(plan);
        crash_everywhere(&case);
        crash_everywhere(&Case { loses_answers: true, ..case.clone() });
        let mut hasty = case.clone();
        hasty.plan.timeout_ms = Some(5_000);
        crash_everywhere(&hasty);
        if !case.plan.is_one_phase() {
            let abort = vec![Event::Abort("no".to_owned())];
            crash_everywhere(&Case { client: abort, ..case.clone() });
        }
        for op in refusable {
            for at in (0..case.plan.branches.len()).filter(|at| !case.plan.branches[*at].joins) {
                crash_everywhere(&Case { refuses: Some((at, *op)), ..case.clone() });
            }
        }
    }
}

#[test]
fn a_saga_ends_rightly_over_a_crash_at_any_step() {
    crash_all(&plan(Mode::Saga, "a b c"), &[Op::Action]);
    crash_all(&plan(Mode::Saga, "a+ b<a c<a d<b,c"), &[Op::Action]);
    crash_all(&plan(Mode::Saga, "a b<a put! publish!"), &[Op::Action]);
}

#[test]
fn reservations_end_rightly_over_a_crash_at_any_step() {
    let mut plan = plan(Mode::Tcc, "a b c");
    crash_all(&plan, &[Op::Try]);
    plan.branches[1].reserve_ms = Some(90);
    crash_all(&plan, &[Op::Try]);
}

#[test]
fn two_and_three_phases_end_rightly_over_a_crash_at_any_step() {
    crash_all(&plan(Mode::TwoPhase, "a b c"), &[Op::Prepare]);
    crash_all(&plan(Mode::ThreePhase, "a b c"), &[Op::CanCommit, Op::PreCommit]);
    crash_all(&plan(Mode::ThreePhaseClassic, "a b c"), &[Op::CanCommit]);
    let mut one = plan(Mode::TwoPhase, "a");
    one.branches[0].ops = one.branches[0].ops.with(Op::CommitOnePhase);
    crash_all(&one, &[Op::CommitOnePhase]);
}

#[test]
fn what_a_client_has_prepared_ends_rightly_over_a_crash_at_any_step() {
    for mode in [Mode::Tcc, Mode::TwoPhase] {
        for end in [Event::Submit, Event::Abort("no".to_owned())] {
            let plan = plan(mode, "a* b*");
            let case = Case { is_open: true, client: vec![end], ..Case::new(plan) };
            crash_everywhere(&case);
            crash_everywhere(&Case { loses_answers: true, ..case });
        }
    }
}

#[test]
fn a_message_ends_rightly_over_a_crash_at_any_step() {
    let mut plan = plan(Mode::Message, "a b");
    plan.timeout_ms = Some(1_000);
    for concurrent in [false, true] {
        plan.concurrent = concurrent;
        let case = Case { is_open: true, has_sent: Some(true), ..Case::new(plan.clone()) };
        crash_everywhere(&Case { client: vec![Event::Submit], ..case.clone() });
        // The sender is silent: it has committed, or has not and never will.
        crash_everywhere(&case);
        crash_everywhere(&Case { has_sent: Some(false), ..case.clone() });
        crash_everywhere(&Case { loses_answers: true, ..case.clone() });
        let mut mute = Case { client: vec![Event::Submit], ..case };
        mute.plan.has_query = false;
        crash_everywhere(&mute);
    }
}
