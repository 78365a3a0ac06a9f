//! The units of a system, those that are leaving it, and what an earlier node left.

use crate::{
    config::{Carried, Config},
    error::Error,
    status::{Action, Change},
    unit::{self, Command, Gone, Shared, Survivor, Unit, UnitHandle},
};
use base::{InstanceId, ServiceName};
use manifest::{Program, Service, System};
use ports::host::{self, Host};
use runtime::TaskSet;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tracing::{info, warn};

/// How long an instance that belongs to no service any more may take to end.
const DISCARD_GRACE: Duration = Duration::from_secs(10);

/// The units and the system they make up. Locked for one apply or stop at a time.
pub(super) struct Table {
    pub(super) system: System,
    pub(super) units: BTreeMap<ServiceName, UnitHandle>,
    /// Units of services that left the file, until their last instance is gone.
    pub(super) ending: BTreeMap<ServiceName, UnitHandle>,
    /// Runs of an earlier node that nobody wants, until they are gone.
    pub(super) discarded: Vec<(InstanceId, Gone)>,
    pub(super) tasks: TaskSet,
}

impl Table {
    /// A unit for each service of `system`, with what an earlier node left of it.
    pub(super) async fn start(shared: &Shared, system: System, carried: &Carried) -> Self {
        let mut survivors = survivors(&shared.config, &system).await;
        // Before any unit takes a port: what runs keeps its own, also if it has not opened it yet.
        for (_, run) in survivors.values().flatten() {
            if let Some(port) = run.port {
                shared.ports.hold(port);
            }
        }
        let services = system.services.clone();
        let mut table = Self {
            system,
            units: BTreeMap::new(),
            ending: BTreeMap::new(),
            discarded: Vec::new(),
            tasks: TaskSet::new("supervisor"),
        };
        for service in services {
            let runs = survivors.remove(&service.name).unwrap_or_default();
            let (runs, strange): (Vec<_>, Vec<_>) = runs.into_iter().partition(|(host, run)| {
                let own = matches!(service.program, Program::Container(_));
                *host == own && (1..unit::ONCE_FIRST).contains(&run.instance.number)
            });
            table.discard(shared, strange, "was left over by an earlier node, ended");
            let runs = runs.into_iter().map(|(_, run)| run).collect();
            let runs = unit::survivors(shared, &service, runs).await;
            table.spawn(shared, service, runs, carried);
        }
        let why = "runs for a service that is not in the file any more, ended";
        table.discard(shared, survivors.into_values().flatten().collect(), why);
        table
    }

    /// Starts a unit for `service` with the instances of it that run already.
    fn spawn(&mut self, shared: &Shared, service: Service, runs: Vec<Survivor>, carried: &Carried) {
        let name = service.name.clone();
        let (mut unit, handle, messages) = Unit::new(shared.clone(), service);
        self.discarded.retain(|(_, gone)| !gone.is_over());
        let left = self.discarded.iter().filter(|(instance, _)| instance.service == name);
        unit.wait_for(left.map(|(instance, gone)| (instance.number, gone.clone())).collect());
        unit.carry(carried);
        unit.adopt(runs);
        // On the board before anybody can look: a system whose services are not there yet is not ready.
        unit.publish();
        self.tasks.spawn("unit", move |stop| unit.run(messages, stop));
        self.units.insert(name, handle);
    }

    fn discard(&mut self, shared: &Shared, runs: Vec<(bool, host::Run)>, why: &'static str) {
        for (container, run) in runs {
            let host: Arc<dyn Host> = Arc::clone(if container {
                &shared.config.containers
            } else {
                &shared.config.processes
            });
            shared.board.say(Some(&run.instance.service), Some(&run.instance), "discarded", why);
            let instance = run.instance.clone();
            let gone = unit::discard(&mut self.tasks, host, run, DISCARD_GRACE);
            self.discarded.push((instance, gone));
        }
    }

    /// Brings one change to the unit it is about.
    pub(super) async fn change(&mut self, shared: &Shared, system: &System, change: &Change) {
        let name = &change.service;
        if change.action != Action::Keep {
            shared.board.say(Some(name), None, "applied", change.reasons.join(", "));
        }
        let find = |system: &System| system.services.iter().find(|s| s.name == *name).cloned();
        match (change.action, find(system).or_else(|| find(&self.system))) {
            (Action::Start, Some(service)) => self.begin(shared, service).await,
            (action, Some(service)) => {
                if let Some(unit) = self.units.get(name) {
                    unit.send(Command::Apply { service: Box::new(service), action }).await;
                }
            }
            (_, None) => {}
        }
        if change.action == Action::Remove
            && let Some(unit) = self.units.remove(name)
        {
            self.ending.insert(name.clone(), unit);
        }
        self.ending.retain(|_, unit| !unit.is_ended());
    }

    /// Starts a service that is new in the file. One that left it a moment ago may have instances yet: two
    /// units would give the same numbers and ports to different processes, so the old one goes on.
    async fn begin(&mut self, shared: &Shared, service: Service) {
        if let Some(unit) = self.ending.remove(&service.name) {
            if unit.revive(service.clone()).await {
                self.units.insert(service.name, unit);
                return;
            }
            unit.ended().await;
        }
        self.spawn(shared, service, Vec::new(), &Carried::default());
    }

    pub(super) fn unit(&self, name: &ServiceName) -> Result<&UnitHandle, Error> {
        self.units.get(name).ok_or_else(|| {
            let near = |other: &&ServiceName| {
                other.as_str().starts_with(name.as_str())
                    || name.as_str().starts_with(other.as_str())
            };
            Error::UnknownService {
                name: name.clone(),
                did_you_mean: self.units.keys().find(near).cloned(),
            }
        })
    }
}

/// The living runs of an earlier node by service; `true` marks a container's.
type Survivors = BTreeMap<ServiceName, Vec<(bool, host::Run)>>;

async fn survivors(config: &Config, system: &System) -> Survivors {
    let mut found = Survivors::new();
    let hosts = [(false, &config.processes), (true, &config.containers)];
    for (containers, host) in hosts {
        let wanted = !containers
            || system.services.iter().any(|s| matches!(s.program, Program::Container(_)));
        if !wanted {
            continue;
        }
        match host.survivors().await {
            Ok(runs) => {
                for run in runs {
                    info!(instance = %run.instance, pid = run.pid, "found running");
                    found.entry(run.instance.service.clone()).or_default().push((containers, run));
                }
            }
            Err(e) => warn!(error = %base::ErrorChain(&e), "cannot look for running instances"),
        }
    }
    found
}
