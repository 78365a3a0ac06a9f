//! The unit as others see it.

use super::{Facts, Message, Unit};
use crate::status::{InstanceState, InstanceStatus, ServiceState, ServiceStatus, Usage};
use base::Severity;
use logic::instance::{Instance, Phase};
use manifest::Kind;
use std::{sync::Arc, time::Duration};

impl Unit {
    /// Puts the unit's picture on the board.
    pub(crate) fn publish(&self) {
        let now = self.now();
        let mut instances: Vec<InstanceStatus> = self
            .machine
            .instances()
            .iter()
            .map(|(number, instance)| self.instance_picture(*number, instance))
            .collect();
        let state = self.state();
        instances.extend(self.once.pictures());
        let waiting = state == ServiceState::Waiting;
        self.shared.board.put(ServiceStatus {
            name: self.service.name.clone(),
            kind: self.service.kind.clone(),
            language: self.service.language.clone(),
            state,
            reason: self.reason(state, now),
            desired: if self.cron.is_some() { 1 } else { self.machine.desired().count },
            ready: self.ready(),
            waited: self.gate.waited(),
            waiting_for: if waiting { self.gate.waiting_for().to_vec() } else { Vec::new() },
            next_run: self.cron.as_ref().and_then(crate::cron::Timer::due),
            problem: self.problem.clone(),
            instances,
        });
    }

    fn state(&self) -> ServiceState {
        let machine = &self.machine;
        let none = machine.instances().is_empty();
        let count = machine.desired().count;
        let is_job = self.service.kind != Kind::Service;
        if machine.is_halted() {
            return if self.is_quiet() { ServiceState::Stopped } else { ServiceState::Stopping };
        }
        let completed = || machine.instances().values().all(|i| i.phase == Phase::Completed);
        if self.gate.has_failed() {
            return if self.ready() > 0 { ServiceState::Degraded } else { ServiceState::Failed };
        }
        if self.gate.is_building() || self.gate.must_build() {
            return if none { ServiceState::Building } else { ServiceState::Updating };
        }
        if self.cron.is_some() && completed() {
            return ServiceState::Scheduled;
        }
        if !self.gate.is_open() && none {
            return ServiceState::Waiting;
        }
        if self.is_settled() {
            return match count {
                0 => ServiceState::Stopped,
                _ if is_job || completed() => ServiceState::Completed,
                _ => ServiceState::Ready,
            };
        }
        let replaced = |i: &Instance| i.outdated || i.leaving && machine.ready() >= count;
        if !is_job && machine.instances().values().any(replaced) {
            let bad = self.is_failing();
            return if bad { ServiceState::Degraded } else { ServiceState::Updating };
        }
        // A job is given up for good after a few tries; until then it may still end well.
        let broken = |i: &Instance| i.phase == Phase::Failed || !is_job && i.is_crash_loop();
        let failed = self.is_failing() || machine.instances().values().any(broken);
        if failed {
            return if self.ready() > 0 { ServiceState::Degraded } else { ServiceState::Failed };
        }
        if self.ready() > 0 && self.has_lost_some() {
            ServiceState::Degraded
        } else {
            ServiceState::Starting
        }
    }

    /// How many take traffic; of a job, how many ended well.
    fn ready(&self) -> u32 {
        let completed = |i: &&Instance| i.phase == Phase::Completed;
        if self.service.kind == Kind::Service {
            self.machine.ready()
        } else {
            let count = self.machine.instances().values().filter(completed).count();
            u32::try_from(count).unwrap_or(u32::MAX)
        }
    }

    /// Whether an instance that worked or was tried before does not work now.
    fn has_lost_some(&self) -> bool {
        let was_ready = |number| self.facts.get(number).is_some_and(|f| f.was_ready);
        let instances = self.machine.instances().iter();
        instances
            .filter(|(_, i)| !i.leaving && !i.is_ready())
            .any(|(number, i)| i.failures > 0 || was_ready(number))
    }

    /// Whether what is wrong is more than a warning.
    fn is_failing(&self) -> bool {
        self.problem.as_ref().is_some_and(|problem| problem.severity == Severity::Error)
    }

    fn reason(&self, state: ServiceState, now: base::Moment) -> String {
        match state {
            ServiceState::Waiting => {
                let names: Vec<&str> =
                    self.gate.waiting_for().iter().map(base::ServiceName::as_str).collect();
                if names.is_empty() {
                    return "waits for the end of what an earlier node left".to_owned();
                }
                let since = now.since(self.created).as_secs();
                format!("waits for {} since {since} s", names.join(", "))
            }
            ServiceState::Building => self.service.build.clone().unwrap_or_default(),
            _ => self.problem.as_ref().map(|p| p.message.clone()).unwrap_or_default(),
        }
    }

    fn instance_picture(&self, number: u32, instance: &Instance) -> InstanceStatus {
        let empty = Facts::default();
        let facts = self.facts.get(&number).unwrap_or(&empty);
        let alive = instance.is_alive();
        InstanceStatus {
            id: self.id(number),
            state: instance_state(instance),
            pid: facts.run.as_ref().and_then(|r| r.pid),
            port: facts.port.filter(|_| alive),
            address: facts.run.as_ref().and_then(|r| r.address),
            started_at: facts.started_at.filter(|_| alive),
            ready_after: facts.ready_after,
            restarts: instance.restarts,
            last_exit: facts.last_exit.clone(),
            next_start: facts
                .next_start
                .filter(|_| matches!(instance.phase, Phase::Backoff { .. })),
            adopted: facts.adopted,
            outdated: instance.outdated,
            usage: facts.usage,
            message: facts.message.clone(),
        }
    }

    /// Asks the host what the instances use.
    pub(super) fn sample(&mut self) {
        let runs: Vec<_> =
            self.facts.keys().filter_map(|n| Some((*n, self.host_run(*n)?))).collect();
        let Ok(turn) = Arc::clone(&self.sampling).try_acquire_owned() else { return };
        if runs.is_empty() {
            return;
        }
        let sender = self.sender.clone();
        self.tasks.spawn("sample", move |_| async move {
            let _turn = turn;
            for (number, (host, id)) in runs {
                let Ok(used) = host.usage(&id).await else { continue };
                let usage = Usage { cpu: 0.0, memory: used.memory, processes: used.processes };
                super::effects::tell(&sender, Message::Sampled(number, usage, used.cpu)).await;
            }
        });
    }

    pub(super) fn sampled(&mut self, number: u32, mut usage: Usage, cpu: Duration) {
        let now = self.now();
        let Some(facts) = self.facts.get_mut(&number) else { return };
        if let Some((at, before)) = facts.sampled {
            let interval = now.since(at).as_secs_f64();
            if interval > 0.0 {
                usage.cpu = cpu.saturating_sub(before).as_secs_f64() / interval;
            }
        }
        facts.sampled = Some((now, cpu));
        facts.usage = Some(usage);
    }
}

fn instance_state(instance: &Instance) -> InstanceState {
    match instance.phase {
        Phase::Starting => InstanceState::Starting,
        Phase::Started => InstanceState::Started,
        Phase::Running { ready: true } => InstanceState::Ready,
        Phase::Running { ready: false } => InstanceState::Unready,
        Phase::Draining { .. } => InstanceState::Draining,
        Phase::Stopping { .. } | Phase::Ending { .. } => InstanceState::Stopping,
        Phase::Backoff { .. } if instance.is_crash_loop() => InstanceState::CrashLoop,
        Phase::Backoff { .. } => InstanceState::Backoff,
        Phase::Failed => InstanceState::Failed,
        Phase::Completed => InstanceState::Completed,
    }
}
