//! A supervisor in a fake world, and what tests ask of it.

use super::{Make, World, name, system};
use crate::{Carried, Config, Handle, Phase, Service, ServiceStatus, Status};
use base::{Code, Diagnostic, Timestamp};
use manifest::System;
use runtime::Clock;
use std::{fmt::Write as _, path::PathBuf, sync::Arc, time::Duration};

/// How long a test waits for a state, mostly of paused time.
const DEADLINE: Duration = Duration::from_secs(900);

/// Monday, 5 January 2026, 12:00 UTC.
const NOON: Timestamp = Timestamp(1_767_614_400_000_000);

pub(crate) struct Node {
    pub(crate) world: World,
    pub(crate) handle: Handle,
    service: Service,
    system: System,
}

impl Node {
    /// A node that runs these services in a world of its own.
    pub(crate) async fn start(services: &[Make]) -> Self {
        Self::start_in(World::new(), system(services)).await
    }

    pub(crate) async fn start_in(world: World, system: System) -> Self {
        Self::start_with(world, system, |_| {}).await
    }

    pub(crate) async fn start_with(
        world: World,
        system: System,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let mut config = Self::config(&world);
        change(&mut config);
        Self::begin(world, system, config, Carried::default()).await
    }

    fn config(world: &World) -> Config {
        Config {
            processes: world.host(false),
            containers: world.host(true),
            traffic: Arc::new(world.clone()),
            secrets: Arc::new(world.clone()),
            journal: Arc::new(world.clone()),
            recall: Arc::new(world.clone()),
            port_is_free: world.port_check(),
            port_holder: Arc::new(|_| Some("nginx (process 123)".to_owned())),
            clock: Clock::simulated(NOON),
            state_dir: PathBuf::from("/nowhere"),
            no_build: false,
            usage_period: Duration::from_secs(5),
        }
    }

    /// A node that takes over from one that told these things.
    pub(crate) async fn take_over(world: World, system: System, carried: Carried) -> Self {
        let config = Self::config(&world);
        Self::begin(world, system, config, carried).await
    }

    async fn begin(world: World, system: System, config: Config, carried: Carried) -> Self {
        let service = Service::take_over(config, system.clone(), carried).await;
        Self { world, handle: service.handle(), service, system }
    }

    /// Starts these services and waits until all are ready.
    pub(crate) async fn ready(services: &[Make]) -> Self {
        let node = Self::start(services).await;
        node.until_phase(Phase::Ready).await;
        node
    }

    /// Applies a changed file; returns what changed, one line a service.
    pub(crate) async fn apply(&self, services: &[Make]) -> String {
        let system = System {
            services: services.iter().map(|make| make.0.clone()).collect(),
            ..self.system.clone()
        };
        let changes = self.handle.apply(system).await.unwrap();
        let mut text = String::new();
        for change in changes {
            let reasons = change.reasons.join(", ");
            writeln!(text, "{} {:?}: {reasons}", change.service, change.action).unwrap();
        }
        text
    }

    /// Waits for a state of the whole.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&Status) -> bool) -> Arc<Status> {
        let wait = async {
            let mut status = self.handle.status();
            while !holds(&status) {
                status = self.handle.changed(status.revision).await;
            }
            status
        };
        match tokio::time::timeout(DEADLINE, wait).await {
            Ok(status) => status,
            Err(_) => panic!("never: {what}\n{}\n{}", self.show(), self.told().join("\n")),
        }
    }

    pub(crate) async fn until_phase(&self, phase: Phase) -> Arc<Status> {
        self.until(&format!("{phase:?}"), |status| status.phase == phase).await
    }

    /// Waits until the picture shows these lines, among others.
    pub(crate) async fn until_shows(&self, lines: &str) {
        self.until(lines, |status| {
            let shown = show(status);
            lines.lines().all(|line| shown.lines().any(|l| l == line.trim()))
        })
        .await;
    }

    /// Waits for a problem of this code and returns it.
    pub(crate) async fn until_problem(&self, service: &str, code: Code) -> Arc<Diagnostic> {
        let of = |status: &Status| {
            let service = status.services.iter().find(|s| s.name.as_str() == service)?;
            service.problem.clone().filter(|p| p.code == code)
        };
        let status = self.until(&format!("{service} has {code}"), |s| of(s).is_some()).await;
        of(&status).unwrap()
    }

    /// Waits until this was told about a service or instance.
    pub(crate) async fn until_told(&self, line: &str) {
        let wait = async {
            let mut seen = 0;
            loop {
                if self.told().iter().any(|told| told.starts_with(line)) {
                    return;
                }
                seen = self.handle.events_after(seen).await.last().map_or(seen, |e| e.seq);
            }
        };
        if tokio::time::timeout(DEADLINE, wait).await.is_err() {
            panic!("never told: {line}\n{}\n{}", self.show(), self.told().join("\n"));
        }
    }

    /// Lets time pass.
    pub(crate) async fn pass(&self, seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    pub(crate) fn of(&self, service: &str) -> Arc<ServiceStatus> {
        let status = self.handle.status();
        let found = status.services.iter().find(|s| s.name == name(service));
        Arc::clone(found.unwrap_or_else(|| panic!("no {service} in\n{}", self.show())))
    }

    /// The picture as text, one line a service.
    pub(crate) fn show(&self) -> String {
        show(&self.handle.status())
    }

    /// What was told, one line an event: `users/1 started: …`.
    pub(crate) fn told(&self) -> Vec<String> {
        let line = |event: &crate::Event| {
            let instance = event.instance.as_ref().map(ToString::to_string);
            let service = event.service.as_ref().map(ToString::to_string);
            let who = instance.or(service).unwrap_or_default();
            format!("{who} {}: {}", event.kind, event.message)
        };
        self.handle.events(0).iter().map(line).collect()
    }

    /// The node dies; what it started lives on.
    pub(crate) async fn die(self) -> (World, System) {
        let Self { world, handle, service, system } = self;
        drop(handle);
        service.shutdown().await;
        assert_eq!(tasks_alive(), 0, "no task outlives its node");
        // The data plane dies with the node.
        world.change(|state| {
            state.routed.clear();
            state.apps.clear();
        });
        (world, system)
    }

    /// Stops everything and looks that nothing is left: no process, no route, no task.
    pub(crate) async fn stop(self) {
        self.handle.stop().await;
        self.gone().await;
    }

    /// Looks that nothing is left after a stop.
    pub(crate) async fn gone(self) {
        assert_eq!(self.handle.status().phase, Phase::Stopped);
        self.world.assert_empty();
        let Self { handle, service, .. } = self;
        drop(handle);
        service.shutdown().await;
        assert_eq!(tasks_alive(), 0, "no task outlives its node");
    }
}

/// The tasks of the test's own runtime, without the test itself.
fn tasks_alive() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

/// `users ready 2/2: 1 ready, 2 ready`; who waits shows for whom.
fn show(status: &Status) -> String {
    let mut text = String::new();
    for service in &status.services {
        let state = format!("{:?}", service.state).to_lowercase();
        write!(text, "{} {state} {}/{}", service.name, service.ready, service.desired).unwrap();
        let instances: Vec<String> = service
            .instances
            .iter()
            .map(|i| format!("{} {:?}", i.id.number, i.state).to_lowercase())
            .collect();
        if !instances.is_empty() {
            write!(text, ": {}", instances.join(", ")).unwrap();
        }
        let needs: Vec<&str> = service.waiting_for.iter().map(|n| n.as_str()).collect();
        if !needs.is_empty() {
            write!(text, ", waits for {}", needs.join(" ")).unwrap();
        }
        text.push('\n');
    }
    text
}
