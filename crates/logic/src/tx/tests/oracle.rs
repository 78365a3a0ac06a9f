//! Random transactions, random answers and random faults, judged by an oracle that knows nothing of the machine: only what the
//! participants would say and which faults have happened.

use super::{
    super::{Branch, Mode, Op, OpSet, Outcome, Plan, Retry, Then},
    checker::Model as _,
    participant::{Barrier, Place, Vote},
    system::{Action, System},
    two_phase_model::{branch, ops, plan},
    world::{Faults, World},
};
use proptest::prelude::*;

/// Most things that happen to one transaction: far more than any needs once the faults are used up.
const ACTIONS_MAX: usize = 3_000;

/// What was drawn.
#[derive(Clone, Debug)]
pub(super) struct Draw {
    mode: Mode,
    votes: Vec<Vote>,
    /// Bit by position: which of those before it a step comes after.
    after: Vec<u8>,
    /// Which steps join the decision, and whose answers are kept.
    joins: u8,
    feeds: u8,
    concurrent: bool,
    durable_steps: bool,
    attempts: Option<u32>,
    faults: Faults,
    seed: u64,
}

fn modes() -> impl Strategy<Value = Mode> {
    prop::sample::select(vec![
        Mode::Saga,
        Mode::Saga,
        Mode::Tcc,
        Mode::TwoPhase,
        Mode::ThreePhase,
        Mode::ThreePhaseClassic,
        Mode::Message,
    ])
}

fn votes() -> impl Strategy<Value = Vec<Vote>> {
    let vote = prop_oneof![6 => Just(Vote::Yes), 1 => Just(Vote::No), 1 => Just(Vote::ReadOnly)];
    prop::collection::vec(vote, 1..=5)
}

fn faults() -> impl Strategy<Value = Faults> {
    let few = || 0_u8..=2;
    (few(), few(), few(), few(), 0_u8..=4, 0_u8..=5, few()).prop_map(
        |(crashes, losses, repeats, impatience, deadlines, aborts, restarts)| Faults {
            crashes,
            losses,
            repeats,
            impatience,
            // Seldom: otherwise nearly all of them are aborted.
            deadlines: u8::from(deadlines == 4),
            aborts: u8::from(aborts == 5),
            refusals: u8::from(aborts == 4),
            restarts,
            stops: 0,
            takeovers: 0,
            cuts: 0,
        },
    )
}

pub(super) fn draws() -> impl Strategy<Value = Draw> {
    let steps = (votes(), prop::collection::vec(any::<u8>(), 5), any::<(u8, u8)>());
    let how = (any::<(bool, bool)>(), prop::option::weighted(0.2, 1_u32..=3));
    (modes(), steps, how, faults(), any::<u64>()).prop_map(
        |(
            mode,
            (votes, after, (joins, feeds)),
            ((concurrent, durable_steps), attempts),
            faults,
            seed,
        )| {
            Draw {
                mode,
                votes,
                after,
                joins,
                feeds,
                concurrent,
                durable_steps,
                attempts,
                faults,
                seed,
            }
        },
    )
}

impl Draw {
    fn branch(&self, at: usize) -> Branch {
        let is_saga = self.mode == Mode::Saga;
        let joins = is_saga && at > 0 && self.joins & (1 << at) != 0 && self.joins > 127;
        let mut branch = branch(at, if joins { OpSet::EMPTY } else { ops(self.mode) });
        branch.joins = joins;
        branch.feeds = is_saga && self.feeds & (1 << at) != 0;
        if is_saga && !joins {
            let before = 0..u16::try_from(at).unwrap();
            let joins =
                |before: &u16| self.joins > 127 && *before > 0 && self.joins & (1 << before) != 0;
            branch.after = before
                .filter(|before| self.after[at] & (1 << before) != 0 && !joins(before))
                .collect();
        }
        branch
    }

    pub(super) fn system(&self) -> System {
        let then = if self.attempts.is_some() { Then::Abort } else { Then::Attention };
        let retry = Retry { base_ms: 1_000, max_ms: 1_000, attempts: self.attempts, then };
        let plan = Plan {
            branches: (0..self.votes.len()).map(|at| self.branch(at)).collect(),
            retry,
            durable_steps: self.durable_steps,
            concurrent: self.concurrent,
            has_query: self.mode == Mode::Message,
            ..plan(self.mode, 0)
        };
        System {
            plan,
            is_open: self.mode == Mode::Message,
            faults: self.faults,
            barrier: Barrier::SaysDone,
            may_part: false,
            tears: false,
            votes: &[Vote::Yes, Vote::No, Vote::ReadOnly],
        }
    }

    /// What a participant would say to this, if it could choose.
    fn vote(&self, at: usize, op: Op) -> Vote {
        let vote = self.votes.get(at).copied().unwrap_or(Vote::Yes);
        match (op, vote) {
            (Op::Prepare | Op::PreCommit, vote) => vote,
            // It says no where it first can.
            (_, Vote::No) if self.mode != Mode::Message => Vote::No,
            (_, Vote::Yes | Vote::No | Vote::ReadOnly) => Vote::Yes,
        }
    }
}

/// Faults that have happened, as far as they may change how it ends.
#[derive(Debug, Default)]
struct Happened {
    crashed: bool,
    late: bool,
    given_up: bool,
    failed: bool,
    refused: bool,
    sent: bool,
}

impl Happened {
    fn note(&mut self, action: Action) {
        match action {
            Action::Crash | Action::DecideAndCrash => self.crashed = true,
            Action::Deadline | Action::Recover { late: true } => self.late = true,
            Action::ClientAborts => self.given_up = true,
            Action::GiveUp { .. } => self.failed = true,
            Action::Decide { refuses: true } => self.refused = true,
            Action::Sends => self.sent = true,
            _ => {}
        }
    }
}

/// How it may end.
fn expected(draw: &Draw, plan: &Plan, happened: &Happened) -> Vec<Outcome> {
    if draw.mode == Mode::Message {
        return match (happened.sent, happened.given_up) {
            (true, false) => vec![Outcome::Committed],
            // The client that gives it up is the sender, who must know what it did.
            (true, true) => vec![Outcome::Committed, Outcome::Aborted],
            (false, _) => vec![Outcome::Aborted],
        };
    }
    let calls = plan.branches.iter().zip(&draw.votes).filter(|(branch, _)| !branch.joins);
    if calls.into_iter().any(|(_, vote)| *vote == Vote::No) {
        return vec![Outcome::Aborted];
    }
    let is_presumed = !matches!(draw.mode, Mode::Saga | Mode::Tcc);
    let has_joins = plan.branches.iter().any(|branch| branch.joins);
    let may_abort = happened.late
        || happened.given_up
        || (happened.crashed && is_presumed)
        || (happened.failed && draw.attempts.is_some())
        || (happened.refused && has_joins);
    if may_abort { vec![Outcome::Committed, Outcome::Aborted] } else { vec![Outcome::Committed] }
}

/// What must have become of a participant.
fn fits(draw: &Draw, at: usize, place: Place, outcome: Outcome) -> bool {
    let reads =
        matches!(draw.mode, Mode::TwoPhase | Mode::ThreePhase) && draw.votes[at] == Vote::ReadOnly;
    match (outcome, place) {
        (Outcome::Committed, Place::ReadOnly) => reads,
        (Outcome::Committed, Place::Done) => !reads,
        (Outcome::Committed, _) => false,
        (Outcome::Aborted, Place::Done | Place::Holds | Place::Announced) => false,
        (Outcome::Aborted, _) => true,
        (Outcome::Mixed, _) => false,
    }
}

/// A cheap sequence of numbers (Marsaglia 2003, xorshift).
fn next_random(seed: &mut u64) -> usize {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    usize::try_from(*seed >> 33).expect("31 bits")
}

fn walk(draw: &Draw) -> Result<(), String> {
    let system = draw.system();
    let mut world = system.start();
    let (mut happened, mut told) = (Happened::default(), Vec::new());
    let mut seed = draw.seed | 1;
    for _ in 0..ACTIONS_MAX {
        if let Some(what) = system.wrong(&world) {
            return Err(format!("{what}\n{}", told.join("\n")));
        }
        let is_settled = |world: &World| world.parts.iter().all(|part| part.requests.is_empty());
        if system.is_end(&world) && is_settled(&world) {
            return judge(draw, &system, &world, &happened)
                .map_err(|what| format!("{what}\n{happened:?}\n{}", told.join("\n")));
        }
        let says_so = |action: &Action| match action {
            Action::Hear { at, request, vote, .. } => {
                let could = draw.vote(*at, request.0);
                let can_choose = world.parts[*at].may_choose(request.0);
                !can_choose || system.plan.mode == Mode::Message || *vote == could
            }
            _ => true,
        };
        let actions: Vec<Action> = system.actions(&world).into_iter().filter(says_so).collect();
        if actions.is_empty() {
            return Err(format!("nothing can happen\n{}", told.join("\n")));
        }
        let action = actions[next_random(&mut seed) % actions.len()];
        happened.note(action);
        world = system.next(&world, action);
        told.push(system.tell(action, &world));
    }
    Err(format!("it does not end\n{}", told.join("\n")))
}

fn judge(draw: &Draw, system: &System, world: &World, happened: &Happened) -> Result<(), String> {
    let outcome = world.state().phase.outcome().expect("it has ended");
    let expected = expected(draw, &system.plan, happened);
    if !expected.contains(&outcome) {
        return Err(format!("it ended {outcome:?}, which is none of {expected:?}"));
    }
    for (at, branch) in system.plan.branches.iter().enumerate() {
        let place = world.parts[at].place;
        if !branch.joins && !fits(draw, at, place, outcome) {
            return Err(format!(
                "it ended {outcome:?} and {} is {place:?}",
                super::world::name(at)
            ));
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn every_transaction_ends_as_its_participants_and_its_faults_allow(draw in draws()) {
        if let Err(what) = walk(&draw) {
            prop_assert!(false, "{}", what);
        }
    }
}
