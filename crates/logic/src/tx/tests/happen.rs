//! What each action of a [`System`] changes, and how it is told.

use super::{
    super::{Answer, Decision, Event, Machine, Op},
    deposed,
    participant::{Place, Vote},
    system::{Action, System},
    world::{NOW, Wake, World, name},
};

/// Lets it happen.
pub(super) fn happen(system: &System, world: &mut World, action: Action) {
    let plan = &system.plan;
    match action {
        Action::Hear { at, request, vote, again } => {
            hear(system, world, at, request, vote);
            if again {
                world.left.repeats -= 1;
            } else {
                world.parts[at].requests.retain(|it| *it != request);
            }
        }
        Action::Told { at, reply } => {
            let (op, attempt, reply) = world.parts[at].replies.remove(reply);
            world.answer(plan, at, op, attempt, reply.answer());
        }
        Action::GiveUp { at, early } => {
            world.left.impatience -= u8::from(early);
            if let Some((op, attempt)) = world.parts[at].call {
                world.answer(plan, at, op, attempt, Answer::Failed("nothing came".to_owned()));
            }
        }
        Action::LoseRequest { at, request } => {
            world.left.losses -= 1;
            world.parts[at].requests.retain(|it| *it != request);
        }
        Action::LoseReply { at, reply } => {
            world.left.losses -= 1;
            world.parts[at].replies.remove(reply);
        }
        Action::Ask { at } => {
            settle(world, at, world.kept.decision(plan.mode) == Some(Decision::Commit));
        }
        Action::Alone { at } => {
            world.parts[at].alone = true;
            settle(world, at, world.parts[at].place == Place::Announced);
        }
        Action::Restart { at } => {
            world.left.restarts -= 1;
            world.parts[at].must_ask = true;
        }
        Action::Cut { at } => {
            world.left.cuts -= 1;
            world.parts[at].is_cut = true;
        }
        Action::Heal { at } => world.parts[at].is_cut = false,
        Action::Sends => {
            if let Some(sender) = world.parts.last_mut() {
                sender.place = Place::Done;
            }
        }
        Action::Late(late) => deposed::happen(plan, world, late),
        Action::TakeOver => {
            world.left.takeovers -= 1;
            world.take_over();
        }
        Action::Retry { .. }
        | Action::Deadline
        | Action::Flush
        | Action::Crash
        | Action::Tear { .. }
        | Action::Stop
        | Action::Recover { .. }
        | Action::ClientAborts
        | Action::ClientSubmits
        | Action::Decide { .. }
        | Action::DecideAndCrash => coordinate(system, world, action),
    }
}

/// What happens to the coordinator.
fn coordinate(system: &System, world: &mut World, action: Action) {
    let plan = &system.plan;
    match action {
        Action::Retry { at } => {
            world.wake = Wake::Never;
            if let Some(up) = &mut world.up {
                let up = up.state_mut();
                up.branches.get_mut(at).unwrap_or(&mut up.sender).next_ms = NOW;
            }
            world.step(plan, Event::Tick);
        }
        Action::Deadline => {
            world.left.deadlines = world.left.deadlines.saturating_sub(1);
            world.wake = Wake::Never;
            if let Some(up) = &mut world.up {
                up.state_mut().deadline_ms = Some(NOW);
            }
            world.step(plan, Event::Tick);
        }
        Action::Flush => {
            let state = world.state().clone();
            world.keep(plan.mode, &state);
        }
        Action::Crash => {
            world.left.crashes -= 1;
            world.crash();
        }
        Action::Stop => {
            world.left.stops -= 1;
            world.has_stopped = true;
            world.crash();
        }
        Action::Tear { at, request } => {
            world.parts[at].requests.retain(|it| *it != request);
            coordinate(system, world, Action::Stop);
        }
        Action::Recover { late } => {
            world.left.deadlines = world.left.deadlines.saturating_sub(u8::from(late));
            let mut state = world.kept.clone();
            if late {
                state.deadline_ms = Some(NOW);
            }
            world.up = Some(Machine::resume(plan.clone(), state));
            world.step(plan, Event::Recovered);
        }
        Action::ClientAborts => {
            world.left.aborts -= 1;
            world.step(plan, Event::Abort("the client gives up".to_owned()));
        }
        Action::ClientSubmits => world.step(plan, Event::Submit),
        Action::Decide { refuses } => {
            world.is_deciding = false;
            if refuses {
                world.left.refusals -= 1;
                let joins = plan.branches.iter().position(|branch| branch.joins);
                let at = joins.and_then(|at| u16::try_from(at).ok()).unwrap_or(0);
                world.step(plan, Event::Decided(Err((at, "taken".to_owned()))));
            } else {
                join(system, world);
                world.step(plan, Event::Decided(Ok(())));
            }
        }
        Action::DecideAndCrash => {
            world.left.crashes -= 1;
            join(system, world);
            world.crash();
        }
        _ => {}
    }
}

fn join(system: &System, world: &mut World) {
    let Some(up) = &world.up else { return };
    let decided = up.decided(NOW);
    world.has_joined = true;
    world.keep(system.plan.mode, &decided);
}

fn hear(system: &System, world: &mut World, at: usize, request: (Op, u32), vote: Vote) {
    let (op, attempt) = request;
    match world.parts[at].hear(system.plan.mode, op, vote, system.barrier) {
        Ok(reply) => {
            // Whom it goes to has died if nobody waits for it.
            if world.up.is_some() || world.old.is_some() {
                world.parts[at].reply(op, attempt, reply);
            }
        }
        Err(what) => world.blame(format!("{} is {what}", name(at))),
    }
}

fn settle(world: &mut World, at: usize, commits: bool) {
    world.parts[at].place = if commits { Place::Done } else { Place::Undone };
}

/// The action in words, and what the coordinator knows then.
pub(super) fn tell(action: Action, world: &World) -> String {
    let what = match action {
        Action::Hear { at, request: (op, attempt), vote, again } => {
            let again = if again { ", and it will come again" } else { "" };
            let place = world.parts[at].place;
            format!(
                "{} hears {op} (attempt {attempt}), would say {vote:?}: {place:?}{again}",
                name(at)
            )
        }
        Action::Told { at, .. } => format!("the coordinator has an answer of {}", name(at)),
        Action::LoseRequest { at, request: (op, _) } => format!("{op} to {} is lost", name(at)),
        Action::LoseReply { at, .. } => format!("an answer of {} is lost", name(at)),
        Action::GiveUp { at, early: true } => {
            format!("the answer of {} is not waited for", name(at))
        }
        Action::GiveUp { at, early: false } => format!("no answer of {} comes", name(at)),
        Action::Retry { at } => format!("the pause of {} is over", name(at)),
        Action::Deadline => "the time is over".to_owned(),
        Action::Flush => "what may be kept later is kept".to_owned(),
        Action::Crash => "the coordinator dies".to_owned(),
        Action::Tear { at, request: (op, _) } => {
            format!("the coordinator dies for good before {op} to {} is sent", name(at))
        }
        Action::Stop => "the coordinator dies for good".to_owned(),
        Action::Recover { late: false } => "the coordinator is back".to_owned(),
        Action::Recover { late: true } => {
            "the coordinator is back, and the time is over".to_owned()
        }
        Action::ClientAborts => "the client gives up".to_owned(),
        Action::ClientSubmits => "the client submits".to_owned(),
        Action::Decide { refuses: false } => "the engine decides".to_owned(),
        Action::Decide { refuses: true } => "the engine refuses what joins".to_owned(),
        Action::DecideAndCrash => "the engine decides and the coordinator dies".to_owned(),
        Action::Ask { at } => format!("{} asks: {:?}", name(at), world.parts[at].place),
        Action::Alone { at } => format!("{} decides alone: {:?}", name(at), world.parts[at].place),
        Action::Restart { at } => format!("{} dies and is back", name(at)),
        Action::Cut { at } => format!("{} is cut off", name(at)),
        Action::Heal { at } => format!("{} is reached again", name(at)),
        Action::Sends => "the sender commits".to_owned(),
        Action::TakeOver => "another node takes over".to_owned(),
        Action::Late(late) => format!("the deposed one: {late:?}"),
    };
    let up = world.up.as_ref().map_or("down".to_owned(), |up| up.state().phase.to_string());
    format!("{what}  [{up}, kept {}]", world.kept.phase)
}
