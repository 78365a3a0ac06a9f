//! What can happen in a [`World`], and what must never be.

use super::{
    super::{Machine, Mode, Op, Phase, Plan, State},
    checker::Model,
    deposed::{self, Late},
    participant::{Barrier, Part, Place, Vote},
    world::{FAR, Faults, Wake, World, waits},
};
use std::hash::{DefaultHasher, Hash, Hasher as _};

/// A protocol with participants.
#[derive(Clone, Debug)]
pub(super) struct System {
    pub(super) plan: Plan,
    pub(super) is_open: bool,
    pub(super) faults: Faults,
    pub(super) barrier: Barrier,
    /// Participants may be parted, if only it is told.
    pub(super) may_part: bool,
    /// The coordinator may die between the messages of one step, too.
    pub(super) tears: bool,
    /// What it says when it can choose.
    pub(super) votes: &'static [Vote],
}

/// Something that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// A request comes to a participant, and may come again.
    Hear {
        at: usize,
        request: (Op, u32),
        vote: Vote,
        again: bool,
    },
    /// An answer comes to the coordinator.
    Told {
        at: usize,
        reply: usize,
    },
    LoseRequest {
        at: usize,
        request: (Op, u32),
    },
    LoseReply {
        at: usize,
        reply: usize,
    },
    /// The coordinator waits no longer; `early`: though the answer could still come.
    GiveUp {
        at: usize,
        early: bool,
    },
    /// A pause is over.
    Retry {
        at: usize,
    },
    /// The time until the decision is over.
    Deadline,
    /// The driver keeps what it was told to keep later.
    Flush,
    Crash,
    /// The same, and one request of the last step was not sent.
    Tear {
        at: usize,
        request: (Op, u32),
    },
    Stop,
    /// `late`: after the deadline.
    Recover {
        late: bool,
    },
    ClientAborts,
    ClientSubmits,
    /// The kv engine decides, or a step that joins cannot be done.
    Decide {
        refuses: bool,
    },
    /// The kv engine has decided and the coordinator does not live to hear it.
    DecideAndCrash,
    /// A participant asks how it ended.
    Ask {
        at: usize,
    },
    /// A participant has waited long enough.
    Alone {
        at: usize,
    },
    Restart {
        at: usize,
    },
    Cut {
        at: usize,
    },
    Heal {
        at: usize,
    },
    /// The sender of a message commits its own transaction.
    Sends,
    /// Another node takes over.
    TakeOver,
    /// The deposed one does something.
    Late(Late),
}

impl System {
    fn is_classic(&self) -> bool {
        self.plan.mode == Mode::ThreePhaseClassic
    }

    fn asks(&self) -> bool {
        matches!(self.plan.mode, Mode::TwoPhase | Mode::ThreePhase | Mode::ThreePhaseClassic)
    }

    pub(super) fn sender(&self) -> Option<usize> {
        self.plan.has_query.then_some(self.plan.branches.len())
    }

    fn votes(&self, part: &Part, op: Op) -> &'static [Vote] {
        if !part.may_choose(op) || op == Op::Query || self.plan.mode == Mode::Message {
            &[Vote::Yes]
        } else if matches!(op, Op::Prepare | Op::PreCommit) {
            self.votes
        } else {
            &[Vote::Yes, Vote::No]
        }
    }

    fn of_network(&self, world: &World, at: usize, out: &mut Vec<Action>) {
        let (part, left) = (&world.parts[at], world.left);
        if part.is_cut {
            out.push(Action::Heal { at });
            return;
        }
        for request in part.requests.iter().copied() {
            for vote in self.votes(part, request.0).iter().copied() {
                out.push(Action::Hear { at, request, vote, again: false });
                if left.repeats > 0 {
                    out.push(Action::Hear { at, request, vote, again: true });
                }
            }
            if left.losses > 0 {
                out.push(Action::LoseRequest { at, request });
            }
        }
        for reply in 0..part.replies.len() {
            out.extend(world.up.is_some().then_some(Action::Told { at, reply }));
            out.extend((left.losses > 0).then_some(Action::LoseReply { at, reply }));
        }
    }

    fn of_participant(&self, world: &World, at: usize, out: &mut Vec<Action>) {
        let (part, left) = (&world.parts[at], world.left);
        let is_silent = world.has_stopped && part.requests.is_empty();
        // The coordinator keeps time as well: while it could still decide, no promise has ended.
        let is_cut = part.is_cut && world.state().phase != Phase::Trying;
        if self.is_classic() && part.is_in_doubt() && !part.must_ask && (is_cut || is_silent) {
            out.push(Action::Alone { at });
        }
        if self.asks()
            && part.is_in_doubt()
            && !part.is_cut
            && !world.has_stopped
            && world.kept.decision(self.plan.mode).is_some()
        {
            out.push(Action::Ask { at });
        }
        out.extend((left.restarts > 0 && !part.must_ask).then_some(Action::Restart { at }));
        out.extend((left.cuts > 0 && !part.is_cut).then_some(Action::Cut { at }));
    }

    fn of_coordinator(&self, world: &World, out: &mut Vec<Action>) {
        let left = world.left;
        let Some(up) = world.up.as_ref().map(Machine::state) else {
            if !world.has_stopped && world.kept.phase.outcome().is_none() {
                out.push(Action::Recover { late: false });
                if world.kept.deadline_ms == Some(FAR) && self.may_be_late(world) {
                    out.push(Action::Recover { late: true });
                }
            }
            return;
        };
        for (at, part) in world.parts.iter().enumerate() {
            if let Some(call) = part.call {
                let could_come = part.is_cut
                    || part.requests.contains(&call)
                    || part.replies.iter().any(|reply| (reply.0, reply.1) == call);
                if !could_come || left.impatience > 0 {
                    out.push(Action::GiveUp { at, early: could_come });
                }
            }
            let pauses = waits(up.branches.get(at).unwrap_or(&up.sender));
            out.extend((pauses && world.wake == Wake::Soon).then_some(Action::Retry { at }));
        }
        let is_due = up.deadline_ms == Some(FAR) && world.wake != Wake::Never;
        out.extend((is_due && self.may_be_late(world)).then_some(Action::Deadline));
        out.extend(self.keeps(world).then_some(Action::Flush));
        out.extend((left.takeovers > 0).then_some(Action::TakeOver));
        if left.crashes > 0 {
            out.push(Action::Crash);
            out.extend(world.is_deciding.then_some(Action::DecideAndCrash));
        }
        if left.stops > 0 {
            out.push(Action::Stop);
            if self.tears {
                for (at, part) in world.parts.iter().enumerate() {
                    let unsent = part.call.filter(|call| part.requests.contains(call));
                    out.extend(unsent.map(|request| Action::Tear { at, request }));
                }
            }
        }
        if left.aborts > 0 && up.phase.outcome().is_none() {
            out.push(Action::ClientAborts);
        }
        if up.phase == Phase::Open {
            let may = self.sender().is_none_or(|at| world.parts[at].place == Place::Done);
            out.extend(may.then_some(Action::ClientSubmits));
        }
        if world.is_deciding {
            out.push(Action::Decide { refuses: false });
            out.extend((left.refusals > 0).then_some(Action::Decide { refuses: true }));
        }
    }

    /// A deadline is the end of patience; but that a sender is asked when it is silent belongs to the protocol.
    fn may_be_late(&self, world: &World) -> bool {
        self.plan.mode == Mode::Message || world.left.deadlines > 0
    }

    /// Whether it makes a difference that something is kept.
    fn keeps(&self, world: &World) -> bool {
        let Some(up) = world.up.as_ref().map(Machine::state) else { return false };
        if !may_crash(world) {
            return up.phase != world.kept.phase;
        }
        *up != world.kept
    }
}

impl Model for System {
    type State = World;
    type Action = Action;

    fn start(&self) -> World {
        World::begin(&self.plan, self.is_open, self.faults)
    }

    fn actions(&self, world: &World) -> Vec<Action> {
        let mut actions = Vec::new();
        for at in 0..world.parts.len() {
            self.of_network(world, at, &mut actions);
            self.of_participant(world, at, &mut actions);
        }
        self.of_coordinator(world, &mut actions);
        actions.extend(deposed::actions(world).into_iter().map(Action::Late));
        if let Some(at) = self.sender() {
            let sends = world.parts[at].place == Place::Idle && !world.has_ended();
            actions.extend(sends.then_some(Action::Sends));
        }
        actions
    }

    fn next(&self, world: &World, action: Action) -> World {
        let mut world = world.clone();
        super::happen::happen(self, &mut world, action);
        world
    }

    fn is_fault(&self, action: Action) -> bool {
        match action {
            Action::Hear { again, .. } => again,
            Action::GiveUp { early, .. } => early,
            Action::Recover { late } => late && self.plan.mode != Mode::Message,
            Action::Deadline => self.plan.mode != Mode::Message,
            Action::Decide { refuses } => refuses,
            Action::Late(late) => late != Late::Ends,
            Action::Told { .. }
            | Action::Retry { .. }
            | Action::Flush
            | Action::ClientSubmits
            | Action::Ask { .. }
            | Action::Alone { .. }
            | Action::Heal { .. }
            | Action::Sends => false,
            Action::LoseRequest { .. }
            | Action::LoseReply { .. }
            | Action::Crash
            | Action::Tear { .. }
            | Action::Stop
            | Action::ClientAborts
            | Action::DecideAndCrash
            | Action::TakeOver
            | Action::Restart { .. }
            | Action::Cut { .. } => true,
        }
    }

    fn is_end(&self, world: &World) -> bool {
        let is_settled = |part: &Part| {
            part.requests.is_empty() && (!part.is_in_doubt() || world.has_stopped && part.must_ask)
        };
        (world.has_ended() || world.has_stopped) && world.parts.iter().all(is_settled)
    }

    fn wrong(&self, world: &World) -> Option<String> {
        world.wrong.clone().or_else(|| self.agrees(world))
    }

    fn fingerprint(&self, world: &World) -> u64 {
        self.digest(world)
    }

    fn tell(&self, action: Action, world: &World) -> String {
        super::happen::tell(action, world)
    }
}

impl System {
    /// Participants with equal parts in the plan may change places: it is the same state.
    fn digest(&self, world: &World) -> u64 {
        let hash = |what: &dyn Fn(&mut DefaultHasher)| {
            let mut hasher = DefaultHasher::new();
            what(&mut hasher);
            hasher.finish()
        };
        let minds_kept = may_crash(world) || world.up.is_none();
        let cell = |(at, part): (usize, &Part)| {
            hash(&|hasher| {
                part.hash(hasher);
                world.up.as_ref().map(|up| up.state().branches.get(at)).hash(hasher);
                world.old.as_ref().map(|old| old.state().branches.get(at)).hash(hasher);
                if minds_kept {
                    world.kept.branches.get(at).hash(hasher);
                }
            })
        };
        let mut cells: Vec<u64> = world.parts.iter().enumerate().map(cell).collect();
        let first = &self.plan.branches[0];
        let is_alike = self.plan.concurrent
            && self.plan.branches.iter().all(|it| it.after.is_empty() && it.ops == first.ops);
        if is_alike && self.sender().is_none() {
            cells.sort_unstable();
        }
        hash(&|hasher| {
            cells.hash(hasher);
            let outline = |state: &State| {
                (state.phase, state.deadline_ms, state.reason.is_some(), state.sender.clone())
            };
            (world.up.as_ref().map(Machine::state).map(outline), world.kept.phase).hash(hasher);
            world.old.as_ref().map(Machine::state).map(outline).hash(hasher);
            if minds_kept {
                outline(&world.kept).hash(hasher);
            }
            (world.wake, world.is_deciding, world.has_joined).hash(hasher);
            (world.decision, world.has_crashed, world.has_stopped, world.left).hash(hasher);
            world.wrong.hash(hasher);
        })
    }
}

/// Whether what is kept may still be read again.
fn may_crash(world: &World) -> bool {
    world.left.crashes > 0 || world.left.takeovers > 0
}
