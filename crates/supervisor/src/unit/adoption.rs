//! Taking over what an earlier node left running.

use super::{Facts, Gone, Message, ONCE_FIRST, Shared, Unit, effects, host_of};
use crate::{config::Carried, recipe};
use base::ErrorChain;
use logic::service::Run;
use manifest::Service;
use ports::host;
use std::{collections::BTreeMap, sync::Arc};
use tracing::warn;

/// A run of an earlier node.
pub(crate) struct Survivor {
    pub(crate) run: host::Run,
    /// Why it cannot call its needs: the addresses in its environment lead elsewhere or nowhere by now.
    moved: Vec<String>,
}

/// Opens the listeners that `runs` have in their environment, and says where that was not possible.
pub(crate) async fn survivors(
    shared: &Shared,
    service: &Service,
    runs: Vec<host::Run>,
) -> Vec<Survivor> {
    let mut present = BTreeMap::new();
    let on = host_of(&shared.config, service).reach();
    let own = |need: &&manifest::Need| !service.env.contains_key(&need.service.url_variable());
    for need in service.needs.iter().filter(own).filter(|_| !runs.is_empty()) {
        match shared.config.traffic.need_address(&service.name, &need.service, on).await {
            Ok(address) => drop(present.insert(need.service.url_variable(), address)),
            // Its replacement would not have it either.
            Err(e) => warn!(need = %need.service, error = %ErrorChain(&e), "no listener"),
        }
    }
    let mut survivors = Vec::with_capacity(runs.len());
    for run in runs {
        let before = run.labels.get(recipe::NEEDS).map(String::as_str).unwrap_or_default();
        let is_moved =
            |(name, address): &(String, _)| present.get(name).is_some_and(|p| p != address);
        let moved = recipe::read_needs(before).into_iter().filter(is_moved);
        let mut moved: Vec<String> = moved.map(|(name, _)| format!("{name} changed")).collect();
        moved.extend(app(shared, service, &run, on).await);
        survivors.push(Survivor { run, moved });
    }
    survivors
}

/// Opens the app API that `run` has in its environment, and says what of it is elsewhere by now. One that was started
/// without knows of none.
async fn app(
    shared: &Shared,
    service: &Service,
    run: &host::Run,
    on: std::net::IpAddr,
) -> Vec<String> {
    let Some(before) = run.labels.get(recipe::APP) else { return Vec::new() };
    let wish = recipe::app_wish(service, on);
    match shared.config.traffic.app_addresses(&run.instance, wish).await {
        Ok(app) => {
            let moved = recipe::moved_app(service, before, &app);
            moved.into_iter().map(|name| format!("{name} changed")).collect()
        }
        Err(e) => {
            // Its replacement would not have it either.
            warn!(instance = %run.instance, error = %ErrorChain(&e), "no listeners for its app API");
            Vec::new()
        }
    }
}

impl Unit {
    /// Takes over what was done by hand under an earlier node; call before [`Self::adopt`].
    pub(crate) fn carry(&mut self, carried: &Carried) {
        let (now, name) = (self.now(), self.service.name.clone());
        if carried.stopped.contains(&name) {
            let effects = self.machine.halt(now);
            self.execute(effects);
        }
        if self.cron.is_some() {
            return;
        }
        let done = carried.completed.iter().filter(|instance| instance.service == name);
        let done: Vec<u32> = done.map(|instance| instance.number).collect();
        let count = carried.counts.get(&name).copied();
        for number in &done {
            self.machine.adopt_completed(*number, now);
        }
        if let Some(count) = count {
            let effects = self.machine.desire(recipe::desired(&self.service, count), false, now);
            self.execute(effects);
        }
        if !done.is_empty() && !self.wants_start() {
            self.gate.skip_build();
        }
    }

    /// Takes over runs of an earlier node; call before [`Self::run`].
    pub(crate) fn adopt(&mut self, runs: Vec<Survivor>) {
        if runs.is_empty() {
            return;
        }
        let now = self.now();
        if self.cron.is_some() {
            // The run that its time started goes on to its end.
            let effects = self.machine.desire(recipe::desired(&self.service, 1), false, now);
            self.execute(effects);
        }
        for run in runs {
            self.adopt_one(run);
        }
        if self.cron.is_none() && !self.wants_start() {
            self.gate.skip_build();
        }
    }

    /// Starts nothing before these runs of an earlier node are gone: it would get a number that is still in
    /// use. Call before [`Self::run`].
    pub(crate) fn wait_for(&mut self, runs: Vec<(u32, Gone)>) {
        let last = runs.iter().map(|(number, _)| *number).max();
        self.once.skip(last.unwrap_or_default());
        let runs: Vec<Gone> = runs
            .into_iter()
            .filter(|(number, _)| *number < ONCE_FIRST)
            .map(|(_, gone)| gone)
            .collect();
        if runs.is_empty() {
            return;
        }
        self.gate.block();
        let sender = self.sender.clone();
        self.tasks.spawn("clear", move |mut stop| async move {
            let clear = async {
                for mut gone in runs {
                    gone.wait().await;
                }
            };
            tokio::select! {
                () = clear => effects::tell(&sender, Message::Cleared).await,
                () = stop.wait() => {}
            }
        });
    }

    fn adopt_one(&mut self, survivor: Survivor) {
        let Survivor { run, moved } = survivor;
        let number = run.instance.number;
        let before = run.labels.get(recipe::FINGERPRINT).map(String::as_str).unwrap_or_default();
        let mut differences =
            manifest::differences(&recipe::read_fingerprint(before), &self.fingerprint);
        differences.extend(moved);
        let outdated = !differences.is_empty();
        if let Some(port) = run.port {
            self.shared.ports.hold(port);
        }
        let process = run.pid.unwrap_or(0);
        let reason = if outdated {
            format!(", to be replaced: {}", differences.join(", "))
        } else {
            String::new()
        };
        self.say(number, "adopted", format!("was running already (process {process}){reason}"));
        let now = self.now();
        let facts = Facts {
            service: Some(Arc::clone(&self.service)),
            host: Some(Arc::clone(&self.host)),
            port: run.port,
            started_at: Some(run.started_at),
            begun: now,
            adopted: true,
            run: Some(run),
            ..Facts::default()
        };
        self.facts.insert(number, facts);
        let effects = self.machine.adopt(number, outdated, now);
        self.watch_exit(Run { number, run: 1 });
        self.execute(effects);
    }

    /// Whether an instance will have to be started.
    fn wants_start(&self) -> bool {
        let wanted = usize::try_from(self.machine.desired().count).unwrap_or(usize::MAX);
        let stays = |i: &&logic::instance::Instance| !i.outdated && !i.leaving;
        self.machine.instances().values().filter(stays).count() < wanted
    }
}
