//! A coordinator that was deposed and does not know it: another node has taken its transaction over, and it goes on until a write of
//! its own is refused. What it may do until then must be harmless.

use super::{
    super::{Answer, Decision, Effect, Event, Journal, Machine, Op, Plan},
    world::{FAR, NOW, World, take_time_out, waits},
};

/// What it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Late {
    /// An answer comes to it, to a call of its own or to one like it.
    Told { at: usize, reply: usize },
    /// It waits no longer for an answer.
    GivesUp { at: usize },
    /// A pause of it is over.
    Retries { at: usize },
    /// The time is over for it.
    Deadline,
    /// A write of it is refused.
    Ends,
}

/// What it can do.
pub(super) fn actions(world: &World) -> Vec<Late> {
    let Some(state) = world.old.as_ref().map(Machine::state) else { return Vec::new() };
    let mut actions = vec![Late::Ends];
    for (at, (part, branch)) in world.parts.iter().zip(&state.branches).enumerate() {
        if let Some(op) = branch.calling {
            let is_its = |reply: &usize| {
                part.replies[*reply].0 == op && part.replies[*reply].1 == branch.attempts
            };
            let told = (0..part.replies.len()).filter(is_its);
            actions.extend(told.map(|reply| Late::Told { at, reply }));
            actions.extend((world.left.impatience > 0).then_some(Late::GivesUp { at }));
        }
        actions.extend(waits(branch).then_some(Late::Retries { at }));
    }
    let is_due = state.deadline_ms == Some(FAR) && world.left.deadlines > 0;
    actions.extend(is_due.then_some(Late::Deadline));
    actions
}

/// Lets it happen.
pub(super) fn happen(plan: &Plan, world: &mut World, late: Late) {
    match late {
        Late::Ends => world.old = None,
        Late::Told { at, reply } => {
            let (op, attempt, reply) = world.parts[at].replies.remove(reply);
            let branch = u16::try_from(at).ok();
            step(plan, world, Event::Answer { branch, op, attempt, answer: reply.answer() });
        }
        Late::GivesUp { at } => {
            world.left.impatience -= 1;
            let call = world.old.as_ref().map(|old| &old.state().branches[at]);
            let Some((Some(op), attempt)) = call.map(|it| (it.calling, it.attempts)) else {
                return;
            };
            let answer = Answer::Failed("nothing came".to_owned());
            let branch = u16::try_from(at).ok();
            step(plan, world, Event::Answer { branch, op, attempt, answer });
        }
        Late::Retries { at } => {
            if let Some(old) = &mut world.old {
                old.state_mut().branches[at].next_ms = NOW;
            }
            step(plan, world, Event::Tick);
        }
        Late::Deadline => {
            world.left.deadlines -= 1;
            if let Some(old) = &mut world.old {
                old.state_mut().deadline_ms = Some(NOW);
            }
            step(plan, world, Event::Tick);
        }
    }
}

/// Whatever must be durable before it is done is not done: the engine has a newer record.
fn step(plan: &Plan, world: &mut World, event: Event) {
    let Some(mut old) = world.old.take() else { return };
    let Ok(step) = old.step(event, NOW, 20) else { return };
    let has_ended = old.state().phase.outcome().is_some();
    if step.journal == Journal::Forced || has_ended {
        return;
    }
    take_time_out(old.state_mut());
    for effect in step.effects {
        match effect {
            Effect::Call { branch, op, attempt, .. } => {
                let at = branch.map_or(plan.branches.len(), usize::from);
                match op {
                    Op::Commit | Op::Confirm => world.decide(Some(Decision::Commit)),
                    Op::Rollback | Op::Cancel | Op::Compensate => {
                        world.decide(Some(Decision::Abort));
                    }
                    Op::Action | Op::Try | Op::Prepare | Op::CanCommit => {}
                    Op::PreCommit | Op::CommitOnePhase | Op::Query => {}
                }
                let waits_for = world.parts[at].call;
                world.parts[at].ask(op, attempt);
                world.parts[at].call = waits_for;
            }
            // It is committed on the condition that nobody has written since.
            Effect::Decide { .. } => return,
            Effect::Wake(_) | Effect::Ended(_) => {}
        }
    }
    world.old = Some(old);
}

mod model {
    use super::super::{
        super::Mode,
        participant::{Barrier, Vote},
        system::System,
        two_phase_model::{branch, check, system},
        world::{Faults, NONE},
    };
    use crate::tx::{Op, OpSet};

    fn deposed(mode: Mode, faults: Faults) -> System {
        let takeovers = Faults { takeovers: 1, ..faults };
        System { barrier: Barrier::SaysDone, ..system(mode, 2, takeovers) }
    }

    #[test]
    fn two_and_three_phases_agree_while_a_deposed_coordinator_goes_on() {
        let all = System {
            votes: &[Vote::Yes, Vote::No, Vote::ReadOnly],
            ..deposed(Mode::TwoPhase, NONE)
        };
        check("2pc, deposed", &all);
        check("2pc, deposed and late", &deposed(Mode::TwoPhase, Faults { deadlines: 1, ..NONE }));
        check("3pc, deposed", &deposed(Mode::ThreePhase, NONE));
        check("classic, deposed", &deposed(Mode::ThreePhaseClassic, NONE));
    }

    #[test]
    fn one_phase_is_done_or_not_while_a_deposed_coordinator_goes_on() {
        let mut one = deposed(Mode::TwoPhase, Faults { deadlines: 1, impatience: 1, ..NONE });
        let calls: OpSet = [Op::CommitOnePhase, Op::Commit, Op::Rollback].into_iter().collect();
        one.plan.branches = vec![branch(0, calls)];
        check("one phase, deposed", &one);
    }

    #[test]
    fn sagas_and_reservations_are_all_or_nothing_while_a_deposed_coordinator_goes_on() {
        let late = Faults { deadlines: 1, ..NONE };
        let mut chain = deposed(Mode::Saga, late);
        chain.plan.branches[1].after = vec![0];
        check("saga, chain, deposed", &chain);
        chain.plan.durable_steps = true;
        check("saga, durable, deposed", &chain);
        check("saga, apart, deposed", &deposed(Mode::Saga, late));
        let mut joins = deposed(Mode::Saga, Faults { refusals: 1, ..late });
        joins.plan.branches[1].joins = true;
        joins.plan.branches[1].ops = OpSet::EMPTY;
        check("saga, joins, deposed", &joins);
        check("tcc, deposed", &deposed(Mode::Tcc, late));
        let mut sequence = deposed(Mode::Tcc, late);
        sequence.plan.concurrent = false;
        check("tcc, in sequence, deposed", &sequence);
    }
}
