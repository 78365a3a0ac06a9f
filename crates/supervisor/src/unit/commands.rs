//! What people and the file ask of a unit.

use super::{Command, Unit, host_of};
use crate::{cron, recipe, status::Action};
use logic::{instance::Instance, service::Run};
use manifest::{Kind, Service};
use ports::host;
use std::sync::Arc;

impl Unit {
    pub(super) fn command(&mut self, command: Command) {
        let now = self.now();
        let effects = match command {
            Command::Apply { service, action } => return self.apply(*service, action),
            Command::Revive { service, reply } => {
                self.removed = false;
                // Who asked waits for this answer; if not, the unit goes on all the same.
                let _gone = reply.send(());
                self.apply(*service, Action::Start);
                return self.resume();
            }
            Command::Scale(count) => {
                let text = format!("{} → {count} instances", self.machine.desired().count);
                self.say_all("scaled", text);
                self.machine.desire(recipe::desired(&self.service, count), false, now)
            }
            Command::Restart(number) => {
                self.say_all("restart", "asked for".to_owned());
                if self.gate.has_failed() {
                    self.build_anew();
                }
                self.set_problem(None);
                self.open_gate();
                self.machine.restart(number, now)
            }
            Command::Halt(reply) => {
                if reply.is_none() {
                    // Stopped by a person who knows; at the end of the system the cause stays visible.
                    self.set_problem(None);
                }
                self.waiters.extend(reply);
                return self.halt();
            }
            Command::Hurry => {
                self.once.kill();
                self.machine.hurry(now)
            }
            Command::Resume => return self.resume(),
            Command::Once { program, env, reply } => return self.start_once(program, env, reply),
            Command::Signal(signal) => return self.signal_all(signal),
            Command::Sample => return self.sample(),
        };
        self.execute(effects);
    }

    /// Sends `signal` to every instance that runs.
    fn signal_all(&mut self, signal: host::Signal) {
        let instances = self.machine.instances();
        let running = instances.iter().filter(|(number, instance)| {
            let has_run = self.facts.get(number).is_some_and(|facts| facts.run.is_some());
            instance.is_alive() && has_run
        });
        let running: Vec<Run> =
            running.map(|(number, instance)| Run { number: *number, run: instance.run }).collect();
        for run in running {
            self.say(run.number, "signalled", format!("got {}", recipe::signal_name(signal)));
            self.signal(run, Some(signal));
        }
    }

    fn halt(&mut self) {
        self.once.stop();
        if self.gate.is_building() {
            self.build_anew();
        }
        let now = self.now();
        let effects = self.machine.halt(now);
        self.execute(effects);
    }

    fn resume(&mut self) {
        let now = self.now();
        if self.cron.is_some() {
            // Its time decides when it runs again.
            let effects = self.machine.desire(recipe::desired(&self.service, 0), false, now);
            self.execute(effects);
        }
        let effects = self.machine.resume(now);
        self.execute(effects);
        self.open_gate();
    }

    /// Takes over what the file says now.
    fn apply(&mut self, service: Service, action: Action) {
        if action == Action::Remove {
            self.removed = true;
            return self.halt();
        }
        let old = std::mem::replace(&mut self.service, Arc::new(service));
        self.fingerprint = manifest::fingerprint(&self.service);
        self.host = host_of(&self.shared.config, &self.service);
        self.cron = cron::Timer::new(&self.service.kind, self.shared.config.clock);
        let was_cron = matches!(old.kind, Kind::Cron(_));
        // A run of a cron job ends as it began; the next one is by the new file.
        let new = matches!(action, Action::Replace | Action::Start);
        let replace = new && !(was_cron && self.cron.is_some());
        if new || self.gate.has_failed() {
            self.build_anew();
            self.set_problem(None);
        }
        if old.needs != self.service.needs {
            self.gate.ask_needs_again();
        }
        let now = self.now();
        if replace {
            // Close first: the new program starts when it is built, the old one serves meanwhile.
            let effects = self.machine.set_open(self.gate.is_open(), now);
            self.execute(effects);
        }
        let count =
            if action == Action::Start { self.first_count() } else { self.count_after(&old) };
        let desired = recipe::desired(&self.service, count);
        let effects = self.machine.desire(desired, replace, now);
        // Outdated ones are asked and stopped as they were started; the others by the new file.
        for (number, facts) in &mut self.facts {
            if self.machine.instances().get(number).is_some_and(|i| !i.outdated) {
                facts.service = Some(Arc::clone(&self.service));
            }
        }
        self.execute(effects);
        self.open_gate();
    }

    /// How many instances there shall be now that the service is no longer `old`.
    fn count_after(&self, old: &Service) -> u32 {
        let (was_cron, is_cron) = (matches!(old.kind, Kind::Cron(_)), self.cron.is_some());
        // A scale by hand stands until the file says another number.
        if is_cron == was_cron && old.instances == self.service.instances {
            self.machine.desired().count
        } else {
            self.first_count()
        }
    }

    /// How many instances the file asks for from the start.
    fn first_count(&self) -> u32 {
        if self.cron.is_some() { 0 } else { self.service.instances }
    }

    pub(super) fn cron_due(&mut self) {
        let Some(timer) = &mut self.cron else { return };
        if !timer.advance() || self.machine.is_halted() {
            return;
        }
        if self.machine.instances().values().any(Instance::is_alive) {
            self.say_all("skipped", "the run before has not ended yet".to_owned());
            return;
        }
        let now = self.now();
        let mut effects = self.machine.rerun(now);
        effects.extend(self.machine.desire(recipe::desired(&self.service, 1), false, now));
        self.execute(effects);
    }
}
