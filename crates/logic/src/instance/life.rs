//! From one phase to the next: what each input does, and the effects in their order.

use super::{Effect, Instance, KILL_AGAIN_AFTER, Kind, News, Next, Phase, Policy, Restart, index};
use crate::probe::Probe;
use base::Moment;

impl Instance {
    pub(super) fn begin(&mut self, now: Moment, out: &mut Vec<Effect>) {
        self.run += 1;
        self.phase = Phase::Starting;
        self.started_at = now;
        self.ready_at = None;
        self.unhealthy = false;
        out.push(Effect::Start);
    }

    pub(super) fn started(&mut self, policy: &Policy, now: Moment, out: &mut Vec<Effect>) {
        if self.phase != Phase::Starting {
            return;
        }
        self.phase = Phase::Started;
        out.push(Effect::Say(News::Started));
        if self.leaving {
            self.stop(policy, now, out);
        } else if let Some(probe) = self.probe_mut(Kind::Startup) {
            probe.begin(now);
            self.ask(now, out);
        } else {
            self.run_now(policy, false, now, out);
        }
    }

    /// The startup probe succeeded or there is none.
    pub(super) fn run_now(
        &mut self,
        policy: &Policy,
        known_ready: bool,
        now: Moment,
        out: &mut Vec<Effect>,
    ) {
        self.end_probe(Kind::Startup);
        self.phase = Phase::Running { ready: false };
        for kind in [Kind::Ready, Kind::Live] {
            if let Some(probe) = self.probe_mut(kind) {
                probe.begin(now);
            }
        }
        if policy.ready.is_none() || known_ready {
            self.become_ready(policy, now, out);
        }
        self.ask(now, out);
    }

    /// An adopted instance goes on: no initial delay keeps it from the traffic that it had before.
    pub(super) fn resume(
        &mut self,
        policy: &Policy,
        known_ready: bool,
        now: Moment,
        out: &mut Vec<Effect>,
    ) {
        self.run_now(policy, known_ready, now, out);
        if self.phase == (Phase::Running { ready: false })
            && let Some(probe) = self.probe_mut(Kind::Ready)
        {
            probe.begin_at_once(now);
            self.ask(now, out);
        }
    }

    pub(super) fn become_ready(&mut self, policy: &Policy, now: Moment, out: &mut Vec<Effect>) {
        self.phase = Phase::Running { ready: true };
        self.ready_at = Some(now);
        if policy.routed && !self.routed {
            self.routed = true;
            out.push(Effect::Route);
        }
        out.push(Effect::Say(News::Ready(now.since(self.started_at))));
    }

    pub(super) fn probed(
        &mut self,
        policy: &Policy,
        kind: Kind,
        good: bool,
        now: Moment,
        out: &mut Vec<Effect>,
    ) {
        let Some(verdict) = self.probe_mut(kind).and_then(|probe| probe.answered(good, now)) else {
            return;
        };
        match (kind, verdict, &self.phase) {
            (Kind::Startup, true, Phase::Started) => {
                self.run_now(policy, policy.startup_is_ready, now, out);
            }
            (Kind::Startup, false, Phase::Started) => {
                self.end_unhealthy(policy, News::NeverReady, now, out);
            }
            (Kind::Startup, true, Phase::Running { .. }) => {
                self.resume(policy, policy.startup_is_ready, now, out);
            }
            // Under the earlier node it may have been ready and then not any more: no reason to end it.
            (Kind::Startup, false, Phase::Running { .. }) if policy.ready.is_some() => {
                self.resume(policy, false, now, out);
            }
            (Kind::Startup, false, Phase::Running { .. }) => {
                self.end_unhealthy(policy, News::NeverReady, now, out);
            }
            (Kind::Live, false, Phase::Running { .. }) => {
                self.end_unhealthy(policy, News::NotAlive, now, out);
            }
            (Kind::Ready, true, Phase::Running { ready: false }) => {
                self.become_ready(policy, now, out);
            }
            (Kind::Ready, false, Phase::Running { ready: true }) => {
                self.phase = Phase::Running { ready: false };
                self.unroute(out);
                out.push(Effect::Say(News::Unready));
            }
            _ => {}
        }
    }

    pub(super) fn end_unhealthy(
        &mut self,
        policy: &Policy,
        news: News,
        now: Moment,
        out: &mut Vec<Effect>,
    ) {
        self.unhealthy = true;
        out.push(Effect::Say(news));
        self.stop(policy, now, out);
    }

    /// Unroute, then wait for open requests.
    pub(super) fn stop(&mut self, policy: &Policy, now: Moment, out: &mut Vec<Effect>) {
        self.end_probes();
        // Not ready any more does not mean idle: requests sent before may still be open.
        // What was routed under an older policy is drained too.
        if (policy.routed || self.routed) && self.ready_at.is_some() {
            self.unroute(out);
            self.phase = Phase::Draining { until: now + policy.drain };
            out.push(Effect::Say(News::Draining));
            out.push(Effect::AwaitIdle);
        } else {
            self.signal(policy, now, out);
        }
    }

    pub(super) fn idle(
        &mut self,
        policy: &Policy,
        drained: bool,
        now: Moment,
        out: &mut Vec<Effect>,
    ) {
        match self.phase {
            Phase::Draining { .. } => {
                out.push(Effect::Say(News::Asked { drained }));
                self.signal(policy, now, out);
            }
            Phase::Started | Phase::Running { .. } if !drained => {
                self.end_probes();
                self.signal(policy, now, out);
            }
            _ => {}
        }
    }

    pub(super) fn signal(&mut self, policy: &Policy, now: Moment, out: &mut Vec<Effect>) {
        self.phase = Phase::Stopping { kill_at: now + policy.grace, killed: false };
        out.push(Effect::Signal);
    }

    pub(super) fn exited(
        &mut self,
        policy: &Policy,
        success: bool,
        now: Moment,
        random: u64,
        out: &mut Vec<Effect>,
    ) {
        let asked = match self.phase {
            Phase::Starting | Phase::Started | Phase::Running { .. } => false,
            Phase::Draining { .. } | Phase::Stopping { .. } => true,
            Phase::Ending { .. } | Phase::Backoff { .. } | Phase::Failed | Phase::Completed => {
                return;
            }
        };
        self.end_probes();
        self.unroute(out);
        if !asked {
            out.push(Effect::Say(News::Exited));
        }
        let next = if self.leaving {
            Next::Gone
        } else {
            self.after(policy, success && !self.unhealthy, now, random)
        };
        self.phase = Phase::Ending { next };
        out.push(Effect::Forget);
    }

    /// What follows an end nobody asked for.
    pub(super) fn after(
        &mut self,
        policy: &Policy,
        success: bool,
        now: Moment,
        random: u64,
    ) -> Next {
        let again = match policy.restart {
            Restart::Always => true,
            Restart::OnFailure => !success,
            Restart::Never => false,
        };
        if !again {
            return if success { Next::Completed } else { Next::Failed };
        }
        if self.ready_at.is_some_and(|at| now.since(at) >= policy.reset_after) {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        if policy.retries_max.is_some_and(|max| self.failures > max) {
            return Next::Failed;
        }
        Next::Again { wait: policy.backoff.wait(self.failures, random) }
    }

    pub(super) fn refused(
        &mut self,
        policy: &Policy,
        now: Moment,
        random: u64,
        out: &mut Vec<Effect>,
    ) -> bool {
        if self.phase != Phase::Starting {
            return false;
        }
        out.push(Effect::Say(News::Refused));
        let next = if self.leaving { Next::Gone } else { self.after(policy, false, now, random) };
        // Nothing runs, so there is nothing to clear up.
        self.phase = Phase::Ending { next };
        self.forgotten(now, out)
    }

    pub(super) fn forgotten(&mut self, now: Moment, out: &mut Vec<Effect>) -> bool {
        let Phase::Ending { next } = self.phase else { return false };
        match next {
            Next::Gone => {
                out.push(Effect::Say(News::Gone));
                return true;
            }
            Next::Again { wait } => {
                self.restarts = self.restarts.saturating_add(1);
                self.phase = Phase::Backoff { until: now + wait };
                out.push(Effect::Say(News::Again(wait)));
            }
            Next::Failed => {
                self.phase = Phase::Failed;
                out.push(Effect::Say(News::Failed));
            }
            Next::Completed => {
                self.phase = Phase::Completed;
                out.push(Effect::Say(News::Completed));
            }
        }
        false
    }

    pub(super) fn tick(&mut self, policy: &Policy, now: Moment, out: &mut Vec<Effect>) {
        match &mut self.phase {
            Phase::Draining { until } if *until <= now => self.idle(policy, false, now, out),
            Phase::Stopping { kill_at, killed } if *kill_at <= now => {
                let first = !*killed;
                *killed = true;
                *kill_at = now + KILL_AGAIN_AFTER;
                if first {
                    out.push(Effect::Say(News::Killed));
                }
                out.push(Effect::Kill);
            }
            Phase::Backoff { until } if *until <= now => self.begin(now, out),
            _ => self.ask(now, out),
        }
    }

    pub(super) fn ask(&mut self, now: Moment, out: &mut Vec<Effect>) {
        for kind in [Kind::Startup, Kind::Ready, Kind::Live] {
            if self.probe_mut(kind).is_some_and(|probe| probe.ask(now)) {
                out.push(Effect::Ask(kind));
            }
        }
    }

    pub(super) fn unroute(&mut self, out: &mut Vec<Effect>) {
        if std::mem::take(&mut self.routed) {
            out.push(Effect::Unroute);
        }
    }

    pub(super) fn probe(&self, kind: Kind) -> Option<&Probe> {
        self.probes[index(kind)].as_ref()
    }

    pub(super) fn probe_mut(&mut self, kind: Kind) -> Option<&mut Probe> {
        self.probes[index(kind)].as_mut()
    }

    pub(super) fn end_probe(&mut self, kind: Kind) {
        if let Some(probe) = self.probe_mut(kind) {
            probe.end();
        }
    }

    pub(super) fn end_probes(&mut self) {
        for probe in self.probes.iter_mut().flatten() {
            probe.end();
        }
    }
}
