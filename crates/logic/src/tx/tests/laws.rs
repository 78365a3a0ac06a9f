//! What must hold in every state of a [`System`], besides what the [`World`] notes itself.

use super::{
    super::{Mode, Phase},
    participant::{Part, Place},
    system::System,
    world::{World, name, parted},
};

impl System {
    /// What is wrong with how the participants stand, seen together with what the coordinator says.
    pub(super) fn agrees(&self, world: &World) -> Option<String> {
        let parts = &world.parts[..self.plan.branches.len()];
        let phase = world.state().phase;
        if !matches!(self.plan.mode, Mode::Saga | Mode::Message) && !self.may_part && parted(parts)
        {
            return Some("one has committed and another has not".to_owned());
        }
        let is_alone = parts.iter().any(|part| part.alone);
        let joins = |at: usize| self.plan.branches[at].joins;
        let wanted = |(at, part): (usize, &Part)| match phase {
            Phase::Committed => {
                (matches!(part.place, Place::Done | Place::ReadOnly) || joins(at)).then_some(())
            }
            Phase::Aborted => (part.place != Place::Done).then_some(()),
            Phase::Mixed => is_alone.then_some(()),
            _ => Some(()),
        };
        for (at, part) in parts.iter().enumerate() {
            if wanted((at, part)).is_none() {
                return Some(format!("it is {phase} and {} is {:?}", name(at), part.place));
            }
        }
        let has_joins = (0..parts.len()).any(joins);
        if has_joins && phase.outcome().is_some() && world.has_joined != (phase == Phase::Committed)
        {
            return Some(format!("it is {phase} and what joins it is not"));
        }
        let sent = self.sender().map(|at| world.parts[at].place == Place::Done);
        if sent == Some(false) && parts.iter().any(|part| !part.asked.is_empty()) {
            return Some("a message was delivered that was never sent".to_owned());
        }
        if sent == Some(true) && phase == Phase::Aborted && world.left.aborts == self.faults.aborts
        {
            return Some("a message that was sent is given up".to_owned());
        }
        None
    }
}
