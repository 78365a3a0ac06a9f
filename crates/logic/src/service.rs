//! How many instances of a service there should be, and which one changes next.
//!
//! The machine compares what is wanted with what there is, and takes no step that would leave the
//! service with fewer ready instances than it had: a replacement is started first and the old
//! instance leaves when the new one is ready (Kubernetes' rolling update with `maxSurge: 1`,
//! `maxUnavailable: 0`). A new version that does not become ready stops the replacement, not the service.

use crate::instance::{Effect, Input, Instance, Phase, Policy};
use base::Moment;
use std::collections::BTreeMap;

/// Names one run of one instance in inputs and effects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Run {
    /// Instance number, from 1.
    pub number: u32,
    /// Which run of it, from 1.
    pub run: u32,
}

/// What is wanted of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desired {
    /// How many instances.
    pub count: u32,
    /// What each one's life is measured by.
    pub policy: Policy,
    /// Two instances cannot run at once (a fixed port): the old one leaves before the new one starts.
    pub exclusive: bool,
}

/// A service and its instances.
#[derive(Clone, Debug)]
pub struct Machine {
    desired: Desired,
    /// New instances may start: needs are met, the build is done.
    open: bool,
    halted: bool,
    instances: BTreeMap<u32, Instance>,
}

/// Effects, each with the run it is about.
pub type Effects = Vec<(Run, Effect)>;

impl Machine {
    /// A service without instances that may not start any yet.
    #[must_use]
    pub fn new(desired: Desired) -> Self {
        Self { desired, open: false, halted: false, instances: BTreeMap::new() }
    }

    /// What is wanted.
    #[must_use]
    pub fn desired(&self) -> &Desired {
        &self.desired
    }

    /// The instances by number.
    #[must_use]
    pub fn instances(&self) -> &BTreeMap<u32, Instance> {
        &self.instances
    }

    /// Whether new instances may start.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Whether it was told to stop.
    #[must_use]
    pub fn is_halted(&self) -> bool {
        self.halted
    }

    /// How many instances are ready or ended well.
    #[must_use]
    pub fn ready(&self) -> u32 {
        let good = |i: &&Instance| i.is_ready() || i.phase == Phase::Completed;
        u32::try_from(self.instances.values().filter(good).count()).unwrap_or(u32::MAX)
    }

    /// Everything wanted is there and nothing else: all ready (or completed), none outdated, none leaving.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let fits = |i: &Instance| {
            !i.outdated && !i.leaving && (i.is_ready() || i.phase == Phase::Completed)
        };
        !self.halted
            && usize::try_from(self.desired.count).is_ok_and(|count| count == self.instances.len())
            && self.instances.values().all(fits)
    }

    /// When something is due.
    #[must_use]
    pub fn wake(&self) -> Option<Moment> {
        self.instances.values().filter(|i| !self.is_held(i)).filter_map(Instance::wake).min()
    }

    /// What waits for its next start keeps waiting while nothing may start.
    fn is_held(&self, instance: &Instance) -> bool {
        matches!(instance.phase, Phase::Backoff { .. }) && (self.halted || !self.open)
    }

    /// Lets instances start, or not (those that run go on).
    pub fn set_open(&mut self, open: bool, now: Moment) -> Effects {
        self.open = open;
        self.reconcile(now)
    }

    /// Changes what is wanted. `replace`: the program changed, so every instance is outdated.
    ///
    /// An outdated instance is asked for its health as before: the new version's question may be one
    /// that it cannot answer, and it must serve until its replacement does.
    pub fn desire(&mut self, desired: Desired, replace: bool, now: Moment) -> Effects {
        let mut effects = Effects::new();
        for (number, instance) in &mut self.instances {
            instance.outdated |= replace;
            if instance.outdated {
                continue;
            }
            let mut out = Vec::new();
            instance.adjust(&self.desired.policy, &desired.policy, now, &mut out);
            tag(*number, instance.run, out, &mut effects);
        }
        self.desired = desired;
        effects.extend(self.reconcile(now));
        effects
    }

    /// Replaces the named instance, or all. What waits for its next start or has ended starts at once.
    pub fn restart(&mut self, number: Option<u32>, now: Moment) -> Effects {
        let mut effects = Effects::new();
        for (at, instance) in &mut self.instances {
            if number.is_some_and(|number| number != *at) {
                continue;
            }
            if instance.is_alive() {
                instance.outdated = true;
            } else if self.halted || !self.open {
                instance.retry_soon(now);
            } else {
                let mut out = Vec::new();
                instance.retry_now(now, &mut out);
                tag(*at, instance.run, out, &mut effects);
            }
        }
        effects.extend(self.reconcile(now));
        effects
    }

    /// Takes over an instance that runs already.
    pub fn adopt(&mut self, number: u32, outdated: bool, now: Moment) -> Effects {
        let mut out = Vec::new();
        let mut instance = Instance::adopt(&self.desired.policy, now, &mut out);
        instance.outdated = outdated;
        let mut effects = Effects::new();
        tag(number, instance.run, out, &mut effects);
        self.instances.insert(number, instance);
        effects.extend(self.reconcile(now));
        effects
    }

    /// Takes over an instance that ended well under an earlier node and shall not be started again.
    pub fn adopt_completed(&mut self, number: u32, now: Moment) {
        self.instances.insert(number, Instance::completed(&self.desired.policy, now));
    }

    /// Stops all instances and starts none, until [`Self::resume`].
    pub fn halt(&mut self, now: Moment) -> Effects {
        self.halted = true;
        self.reconcile(now)
    }

    /// Ends patience with everything that is being stopped.
    pub fn hurry(&mut self, now: Moment) -> Effects {
        self.desired.policy.drain = std::time::Duration::ZERO;
        self.desired.policy.grace = std::time::Duration::ZERO;
        let mut effects = Effects::new();
        for (number, instance) in &mut self.instances {
            let mut out = Vec::new();
            instance.hurry(&self.desired.policy, now, &mut out);
            tag(*number, instance.run, out, &mut effects);
        }
        effects
    }

    /// Takes [`Self::halt`] back.
    pub fn resume(&mut self, now: Moment) -> Effects {
        self.halted = false;
        self.reconcile(now)
    }

    /// Clears away what ended, so that a job runs again. No effect while it runs.
    pub fn rerun(&mut self, now: Moment) -> Effects {
        if self.instances.values().all(|i| !i.is_alive()) {
            self.instances.clear();
        }
        self.reconcile(now)
    }

    /// Takes an input about a run. Inputs about earlier runs are ignored.
    pub fn step(&mut self, about: Run, input: &Input, now: Moment, random: u64) -> Effects {
        let mut effects = Effects::new();
        let Some(instance) = self.instances.get_mut(&about.number).filter(|i| i.run == about.run)
        else {
            return effects;
        };
        let mut out = Vec::new();
        let gone = instance.step(&self.desired.policy, input, now, random, &mut out);
        let run = instance.run;
        tag(about.number, run, out, &mut effects);
        if gone {
            self.instances.remove(&about.number);
        }
        effects.extend(self.reconcile(now));
        effects
    }

    /// Time passed.
    pub fn tick(&mut self, now: Moment) -> Effects {
        let mut effects = Effects::new();
        let held = self.halted || !self.open;
        for (number, instance) in &mut self.instances {
            let waits = held && matches!(instance.phase, Phase::Backoff { .. });
            if waits || instance.wake().is_none_or(|at| at > now) {
                continue;
            }
            let mut out = Vec::new();
            // Randomness is needed only for back-off, which a tick never begins.
            let gone = instance.step(&self.desired.policy, &Input::Tick, now, 0, &mut out);
            debug_assert!(!gone, "only an end makes an instance go");
            tag(*number, instance.run, out, &mut effects);
        }
        effects.extend(self.reconcile(now));
        effects
    }

    /// Compares wanted with present and takes the next steps.
    fn reconcile(&mut self, now: Moment) -> Effects {
        let mut effects = Effects::new();
        if self.halted {
            self.leave(|_| true, usize::MAX, now, &mut effects);
            return effects;
        }
        let desired = usize::try_from(self.desired.count).unwrap_or(usize::MAX);
        // Nothing old leaves while nothing new may start: a build that fails must cost nothing.
        if self.open {
            // An outdated instance that serves nobody need not wait for its replacement.
            let idle = |i: &Instance| i.outdated && !i.is_ready() && !i.is_undecided();
            self.leave(idle, usize::MAX, now, &mut effects);
        }
        if self.open && self.desired.exclusive {
            self.leave(|i| i.outdated, usize::MAX, now, &mut effects);
        }
        let excess = self.staying().saturating_sub(desired);
        if excess > 0 {
            self.shrink(excess, desired, now, &mut effects);
        }
        if self.open {
            self.grow(desired, now, &mut effects);
        }
        effects
    }

    /// Lets `excess` instances go, without leaving fewer than `desired` ready ones if there are as many.
    fn shrink(&mut self, excess: usize, desired: usize, now: Moment, effects: &mut Effects) {
        let outdated = self.count(|i| i.outdated);
        let fresh_unready = self.count(|i| !i.outdated && !i.is_ready());
        if outdated > 0 && fresh_unready > 0 && self.staying() <= desired.saturating_add(1) {
            // The replacement is not ready yet: the old one keeps serving.
            return;
        }
        let first_outdated = outdated.min(excess);
        self.leave(|i| i.outdated, first_outdated, now, effects);
        let rest = excess - first_outdated;
        let unready = self.count(|i| !i.is_ready()).min(rest);
        self.leave(|i| !i.is_ready(), unready, now, effects);
        self.leave(|_| true, rest - unready, now, effects);
    }

    fn grow(&mut self, desired: usize, now: Moment, effects: &mut Effects) {
        let outdated = self.count(|i| i.outdated);
        let fresh_unready = self.count(|i| !i.outdated && !i.is_ready());
        let mut missing = desired.saturating_sub(self.staying());
        if missing == 0
            && outdated > 0
            && fresh_unready == 0
            && !self.desired.exclusive
            && desired > 0
        {
            missing = usize::from(self.staying() <= desired);
        }
        if self.desired.exclusive && self.instances.values().any(|i| i.leaving) {
            // The port is free only when the old one is gone.
            return;
        }
        // Those that leave slowly count too: a service that changes all the time must not pile them up.
        let room = desired.saturating_mul(2).saturating_add(1).saturating_sub(self.instances.len());
        for _ in 0..missing.min(room) {
            let number = self.free_number();
            let mut out = Vec::new();
            let instance = Instance::start(&self.desired.policy, now, &mut out);
            tag(number, instance.run, out, effects);
            self.instances.insert(number, instance);
        }
    }

    /// Lets up to `count` of those that `which` names go, the highest numbers first.
    fn leave(
        &mut self,
        which: impl Fn(&Instance) -> bool,
        count: usize,
        now: Moment,
        effects: &mut Effects,
    ) {
        let chosen: Vec<u32> = self
            .instances
            .iter()
            .rev()
            .filter(|(_, i)| !i.leaving && which(i))
            .map(|(number, _)| *number)
            .take(count)
            .collect();
        for number in chosen {
            let Some(instance) = self.instances.get_mut(&number) else { continue };
            let mut out = Vec::new();
            let gone = instance.leave(&self.desired.policy, now, &mut out);
            tag(number, instance.run, out, effects);
            if gone {
                self.instances.remove(&number);
            }
        }
    }

    fn staying(&self) -> usize {
        self.count(|_| true)
    }

    fn count(&self, which: impl Fn(&Instance) -> bool) -> usize {
        self.instances.values().filter(|i| !i.leaving && which(i)).count()
    }

    fn free_number(&self) -> u32 {
        (1..).find(|n| !self.instances.contains_key(n)).unwrap_or(u32::MAX)
    }
}

fn tag(number: u32, run: u32, out: Vec<Effect>, effects: &mut Effects) {
    effects.extend(out.into_iter().map(|effect| (Run { number, run }, effect)));
}

#[cfg(test)]
mod tests;
