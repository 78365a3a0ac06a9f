//! The life of one instance, as a state machine without clock or process.
//!
//! ```text
//!                 refused ┌─────────────────────────────────────────────┐
//!                         │                          exited             ▼
//!  Starting ──started──► Started ──startup ok──► Running ─────► Ending ──forgotten──► Backoff ──due──► Starting
//!                         │ startup or             │ stop          ▲                  Failed, Completed
//!                         │ liveness failed        ▼               │                  (gone)
//!                         └───────────► Draining ──idle/due──► Stopping ──grace──► SIGKILL
//! ```
//!
//! What must hold: traffic goes only to `Running` and ready; `Unroute` comes before the signal, and the
//! signal after the last request or the drain limit; every run that began is forgotten, so nothing of
//! it is left; a run's late answers cannot touch its successor (every input names its run).

use crate::probe::Probe;
use base::Moment;

mod life;
mod vocabulary;

pub use vocabulary::{
    CRASH_LOOP_FAILURES, Effect, Input, KILL_AGAIN_AFTER, Kind, News, Next, Phase, Policy, Restart,
};

/// One instance.
#[derive(Clone, Debug)]
pub struct Instance {
    /// Which run of it; every start counts one on.
    pub run: u32,
    /// Where it is.
    pub phase: Phase,
    /// It shall be replaced by one of the newest version.
    pub outdated: bool,
    /// It goes away when it has ended.
    pub leaving: bool,
    /// How often it was started again by itself.
    pub restarts: u32,
    /// Failures in a row.
    pub failures: u32,
    /// It was told to the data plane.
    routed: bool,
    /// The present run was ended by us for its health.
    unhealthy: bool,
    started_at: Moment,
    ready_at: Option<Moment>,
    probes: [Option<Probe>; 3],
}

impl Instance {
    /// A new instance that starts now.
    #[must_use]
    pub fn start(policy: &Policy, now: Moment, out: &mut Vec<Effect>) -> Self {
        let mut instance = Self::at(Phase::Starting, policy, now);
        instance.begin(now, out);
        instance
    }

    /// An instance that runs already. Whether it had come through its startup is not known, so that is
    /// found out first: at once, as often as at a start, and without liveness in the way of a slow one.
    #[must_use]
    pub fn adopt(policy: &Policy, now: Moment, out: &mut Vec<Effect>) -> Self {
        let mut instance = Self::at(Phase::Running { ready: false }, policy, now);
        instance.run = 1;
        if let Some(probe) = instance.probe_mut(Kind::Startup) {
            probe.begin_at_once(now);
            instance.ask(now, out);
        } else {
            instance.resume(policy, false, now, out);
        }
        instance
    }

    /// An instance that ended well under an earlier node.
    #[must_use]
    pub fn completed(policy: &Policy, now: Moment) -> Self {
        Self { run: 1, ..Self::at(Phase::Completed, policy, now) }
    }

    fn at(phase: Phase, policy: &Policy, now: Moment) -> Self {
        Self {
            run: 0,
            phase,
            outdated: false,
            leaving: false,
            restarts: 0,
            failures: 0,
            routed: false,
            unhealthy: false,
            started_at: now,
            ready_at: None,
            probes: [policy.startup, policy.ready, policy.live].map(|p| p.map(Probe::new)),
        }
    }

    /// Takes a changed policy over; probes keep their verdicts' effects and ask by the new rule. What
    /// waited for a probe that is not asked any more goes on without it.
    pub fn adjust(&mut self, old: &Policy, new: &Policy, now: Moment, out: &mut Vec<Effect>) {
        let news = [
            (Kind::Startup, new.startup, old.startup),
            (Kind::Ready, new.ready, old.ready),
            (Kind::Live, new.live, old.live),
        ];
        let catches_up = self.catches_up();
        for (kind, new, old) in news {
            if new == old {
                continue;
            }
            let slot = &mut self.probes[index(kind)];
            *slot = new.map(Probe::new);
            let asks = match kind {
                Kind::Startup => self.phase == Phase::Started || catches_up,
                Kind::Ready | Kind::Live => {
                    matches!(self.phase, Phase::Running { .. }) && !catches_up
                }
            };
            if let Some(probe) = slot.as_mut().filter(|_| asks) {
                probe.begin(now);
            }
        }
        match self.phase {
            Phase::Started if new.startup.is_none() => self.run_now(new, false, now, out),
            Phase::Running { .. } if catches_up && new.startup.is_none() => {
                self.resume(new, false, now, out);
            }
            Phase::Running { ready: false } if !catches_up && new.ready.is_none() => {
                self.become_ready(new, now, out);
            }
            _ => {}
        }
    }

    /// Whether requests go to it.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.phase == Phase::Running { ready: true }
    }

    /// Whether it runs and its readiness has not been found out yet (just adopted).
    #[must_use]
    pub fn is_undecided(&self) -> bool {
        self.phase == Phase::Running { ready: false }
            && (self.catches_up()
                || self.probe(Kind::Ready).is_some_and(|probe| probe.verdict().is_none()))
    }

    /// Whether it was adopted and is still asked whether it has started up.
    fn catches_up(&self) -> bool {
        matches!(self.phase, Phase::Running { .. })
            && self.probe(Kind::Startup).is_some_and(Probe::is_begun)
    }

    /// Whether a process of it may exist.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        !matches!(self.phase, Phase::Backoff { .. } | Phase::Failed | Phase::Completed)
    }

    /// Whether it fails again and again.
    #[must_use]
    pub fn is_crash_loop(&self) -> bool {
        self.failures >= CRASH_LOOP_FAILURES && !self.is_ready()
    }

    /// Failures of a probe since its last success.
    #[must_use]
    pub fn probe_failures(&self, kind: Kind) -> u32 {
        self.probe(kind).map_or(0, Probe::failed)
    }

    /// When something is due.
    #[must_use]
    pub fn wake(&self) -> Option<Moment> {
        let timer = match &self.phase {
            Phase::Draining { until } | Phase::Backoff { until } => Some(*until),
            Phase::Stopping { kill_at, .. } => Some(*kill_at),
            Phase::Starting
            | Phase::Started
            | Phase::Running { .. }
            | Phase::Ending { .. }
            | Phase::Failed
            | Phase::Completed => None,
        };
        self.probes.iter().flatten().filter_map(Probe::wake).chain(timer).min()
    }

    /// Takes an input about the present run. `true` when the instance is gone afterwards.
    #[must_use]
    pub fn step(
        &mut self,
        policy: &Policy,
        input: &Input,
        now: Moment,
        random: u64,
        out: &mut Vec<Effect>,
    ) -> bool {
        match input {
            Input::Started => self.started(policy, now, out),
            Input::Refused => return self.refused(policy, now, random, out),
            Input::Exited { success } => self.exited(policy, *success, now, random, out),
            Input::Forgotten => return self.forgotten(now, out),
            Input::Idle => self.idle(policy, true, now, out),
            Input::Probed(kind, good) => self.probed(policy, *kind, *good, now, out),
            Input::Tick => self.tick(policy, now, out),
        }
        false
    }

    /// Begins to stop it for good. `true` when it is gone at once, because nothing of it runs.
    #[must_use]
    pub fn leave(&mut self, policy: &Policy, now: Moment, out: &mut Vec<Effect>) -> bool {
        self.leaving = true;
        match &mut self.phase {
            Phase::Backoff { .. } | Phase::Failed | Phase::Completed => return true,
            Phase::Ending { next } => *next = Next::Gone,
            // The host is starting it: it is stopped as soon as it runs.
            Phase::Starting | Phase::Draining { .. } | Phase::Stopping { .. } => {}
            Phase::Started | Phase::Running { .. } => self.stop(policy, now, out),
        }
        false
    }

    /// Ends patience: SIGKILL at once.
    pub fn hurry(&mut self, policy: &Policy, now: Moment, out: &mut Vec<Effect>) {
        if let Phase::Draining { .. } | Phase::Started | Phase::Running { .. } = self.phase {
            self.unroute(out);
            self.idle(policy, false, now, out);
        }
        if let Phase::Stopping { kill_at, .. } = &mut self.phase {
            *kill_at = now;
            self.tick(policy, now, out);
        }
    }

    /// Makes its next start due now, its failures forgotten, if it waits for one or was given up. The
    /// start itself comes with the next tick at which starts are allowed.
    pub fn retry_soon(&mut self, now: Moment) {
        if !self.is_alive() {
            self.failures = 0;
            self.phase = Phase::Backoff { until: now };
        }
    }

    /// Starts it now if it waits for its next start.
    pub fn retry_now(&mut self, now: Moment, out: &mut Vec<Effect>) {
        if let Phase::Backoff { .. } | Phase::Failed | Phase::Completed = self.phase {
            self.failures = 0;
            self.begin(now, out);
        }
    }
}

const fn index(kind: Kind) -> usize {
    match kind {
        Kind::Startup => 0,
        Kind::Ready => 1,
        Kind::Live => 2,
    }
}
