//! The node as the admin API sees it.

mod usage;

use super::{
    app::Apps,
    containers,
    control::Wishes,
    edges,
    engine::Trouble,
    events::{self, Steering},
    gateway_error,
    handover::Asked,
    load, plane,
    reload::Reloader,
    shared, stores, succession,
    traffic::Meter,
    transactions,
};
use adapter_docker::DockerHost;
use adapter_local::LocalHost;
use api::{
    backend::{Applied, Apply, Backend, Error, Replace, Run, RunProgram, Target},
    wire,
};
use async_trait::async_trait;
use base::{Diagnostic, InstanceId, ServiceName, Timestamp};
use manifest::System;
use ports::host::{Enforcement, Host as _};
use runtime::Clock;
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};
use supervisor::Status;
use tokio::sync::{mpsc::error::TrySendError, oneshot};
use usage::Looks;

/// The parts of the node that answer questions.
pub(super) struct NodeBackend {
    pub(super) supervisor: supervisor::Handle,
    pub(super) gateway: gateway::Handle,
    pub(super) access_log: gateway::AccessLogHandle,
    pub(super) requests: proxy::record::Requests,
    pub(super) logs: observe::Handle,
    pub(super) coordination: coordination::Handle,
    pub(super) apps: Apps,
    pub(super) reloader: Reloader,
    pub(super) events: Steering,
    pub(super) transactions: transactions::Steering,
    /// The node's own environment.
    pub(super) environment: Arc<BTreeMap<String, String>>,
    /// Why there is no kv engine, as long as there is none.
    pub(super) engine_trouble: Trouble,
    /// Why topics or streams of events are not there, as long as they are not.
    pub(super) event_trouble: events::Trouble,
    pub(super) meter: Meter,
    pub(super) host: Arc<LocalHost>,
    pub(super) containers: Arc<DockerHost>,
    pub(super) clock: Clock,
    pub(super) started_at: Timestamp,
    pub(super) detached: bool,
    pub(super) present: Mutex<Present>,
    /// One apply at a time: a second one would compare with a half-changed system.
    pub(super) applying: tokio::sync::Mutex<()>,
    pub(super) wishes: Wishes,
    /// The node's own processor time at the last looks.
    pub(super) usage: Mutex<Looks>,
}

/// What is applied at present.
#[derive(Clone)]
pub(super) struct Present {
    pub(super) file: PathBuf,
    pub(super) environment: Option<String>,
    pub(super) system: System,
    pub(super) warnings: Vec<Diagnostic>,
}

impl NodeBackend {
    fn present<T>(&self, read: impl FnOnce(&Present) -> T) -> T {
        read(&self.present.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The file and the environment that are applied.
    pub(super) fn file_and_environment(&self) -> (PathBuf, Option<String>) {
        self.present(|present| (present.file.clone(), present.environment.clone()))
    }

    /// Lets `read` see the system that is applied.
    pub(super) fn with_system<T>(&self, read: impl FnOnce(&System) -> T) -> T {
        self.present(|present| read(&present.system))
    }

    /// What is applied.
    pub(super) fn applied(&self) -> Present {
        self.present(Present::clone)
    }

    /// What is not as the file asks for, on this machine.
    fn notes(&self) -> Vec<Diagnostic> {
        let capabilities = self.host.capabilities();
        self.present(|present| {
            let mut notes = present.warnings.clone();
            notes.extend(self.engine_trouble.problem());
            notes.extend(self.event_trouble.problems());
            for service in &present.system.services {
                if matches!(service.program, manifest::Program::Container(_)) {
                    continue;
                }
                let limits = &service.limits;
                let wanted = [
                    ("cpu", limits.cpu.is_some(), &capabilities.limit_cpu),
                    ("memory", limits.memory.is_some(), &capabilities.limit_memory),
                    ("pids", limits.pids.is_some(), &capabilities.limit_pids),
                ];
                for (key, wanted, enforced) in wanted {
                    if let (true, Enforcement::Missing(why)) = (wanted, enforced) {
                        let name = &service.name;
                        let message = format!("the {key} limit of {name} is not enforced: {why}");
                        let note = Diagnostic::warning(base::Code::LIMITS, message);
                        notes.push(match service.place(&format!("limits.{key}")) {
                            Some(place) => note.at(place.clone(), ""),
                            None => note,
                        });
                    }
                }
            }
            for warning in self.gateway.warnings() {
                let note = Diagnostic::warning(base::Code::CERTIFICATE, warning);
                notes.push(match &present.system.gateway.tls_place {
                    Some(place) => note.at(place.clone(), ""),
                    None => note,
                });
            }
            notes
        })
    }

    /// Takes over what services share.
    async fn share(&self, system: &System) -> Result<(), Error> {
        let new = stores::of(&system.name, &system.coordination, &self.environment);
        let coordination = self.coordination.clone();
        let applied = runtime::blocking(move || coordination.apply(new)).await;
        applied.map_err(|e| Error::Invalid(vec![*shared::secret_error(&e)]))?;
        self.apps.apply(system, &shared::tokens(&self.coordination, system).await);
        self.reloader.apply(system);
        self.events.apply(system).await;
        self.transactions.apply(system).await;
        Ok(())
    }
}

#[async_trait]
impl Backend for NodeBackend {
    fn status(&self) -> Arc<Status> {
        self.supervisor.status()
    }

    async fn changed(&self, revision: u64) -> Arc<Status> {
        self.supervisor.changed(revision).await
    }

    async fn apply(&self, request: Apply) -> Result<Applied, Error> {
        let _one = self.applying.lock().await;
        let (file, environment, root) =
            self.present(|p| (p.file.clone(), p.environment.clone(), p.system.root.clone()));
        let file = request.file.map_or(file, |asked| root.join(asked));
        let environment = request.environment.or(environment);
        let (path, name) = (file.clone(), environment.clone());
        let loaded = runtime::blocking(move || {
            let path = manifest::find(&path).map_err(|d| vec![*d])?;
            load(&path, name)
        })
        .await
        .map_err(Error::Invalid)?;
        if loaded.system.root != root {
            let message = format!("this node runs the system in {}", root.display());
            return Err(Error::Conflict(message));
        }
        let edges = self.present(|p| edges::changes(&p.system, &loaded.system));
        if request.dry_run {
            let changes = self.supervisor.plan(&loaded.system).await;
            return Ok(Applied { changes, edges, warnings: loaded.warnings });
        }
        if containers::used(&loaded.system)
            && let Err(diagnostic) = self.containers.check().await
        {
            // The services that need it say so themselves.
            tracing::warn!("{}", diagnostic.message);
        }
        // These two first: they may refuse (a taken port), and then nothing has changed.
        plane::write_to(&self.access_log, &loaded.system).map_err(|d| Error::Invalid(vec![*d]))?;
        if let Err(e) = self.gateway.apply(&loaded.system) {
            let before = self.present(|p| plane::write_to(&self.access_log, &p.system));
            if let Err(diagnostic) = before {
                tracing::warn!("{}", diagnostic.message);
            }
            return Err(Error::Invalid(vec![*gateway_error(&e, &loaded.system)]));
        }
        self.share(&loaded.system).await?;
        let changes = self.supervisor.apply(loaded.system.clone()).await.map_err(refusal)?;
        let mut present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        // The admin API stays where it is until the next start.
        let system = System { admin: present.system.admin, ..loaded.system };
        *present = Present { file, environment, system, warnings: loaded.warnings.clone() };
        Ok(Applied { changes, edges, warnings: loaded.warnings })
    }

    async fn scale(&self, service: &ServiceName, instances: u32) -> Result<(), Error> {
        self.supervisor.scale(service, instances).await.map_err(refusal)
    }

    async fn restart(&self, target: Target) -> Result<(), Error> {
        let target = match target {
            Target::Service(service) => supervisor::Target::Service(service),
            Target::Instance(instance) => supervisor::Target::Instance(instance),
            Target::All => supervisor::Target::All,
        };
        self.supervisor.restart(&target).await.map_err(refusal)
    }

    async fn start(&self, service: &ServiceName) -> Result<(), Error> {
        self.supervisor.start_service(service).await.map_err(refusal)
    }

    async fn stop(&self, service: &ServiceName) -> Result<(), Error> {
        self.supervisor.stop_service(service).await.map_err(refusal)
    }

    async fn run(&self, request: Run) -> Result<InstanceId, Error> {
        let program = request.program.map(|program| match program {
            RunProgram::Exec(words) => manifest::Program::Exec(words),
            RunProgram::Shell(line) => manifest::Program::Shell(line),
        });
        let request =
            supervisor::RunRequest { service: request.service, program, env: request.env };
        self.supervisor.run(request).await.map_err(refusal)
    }

    fn events(&self, after: u64) -> Vec<wire::Event> {
        self.supervisor.events(after).into_iter().map(event).collect()
    }

    async fn events_after(&self, after: u64) -> Vec<wire::Event> {
        self.supervisor.events_after(after).await.into_iter().map(event).collect()
    }

    fn logs(&self) -> observe::Handle {
        self.logs.clone()
    }

    fn traffic(&self) -> wire::Traffic {
        self.meter.traffic()
    }

    fn system(&self) -> wire::System {
        let phase = self.supervisor.status().phase.into();
        let store = self.logs.stats();
        let uptime = self.clock.now().since_start();
        let notes = self.notes();
        let authority = self.gateway.trust();
        self.present(|present| wire::System {
            name: present.system.name.clone(),
            phase,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started_at: self.started_at.into(),
            uptime_ms: u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX),
            root: present.system.root.display().to_string(),
            files: present.system.files.iter().map(|f| f.display().to_string()).collect(),
            environment: present.environment.clone(),
            detached: self.detached,
            gateway_url: gateway_url(&present.system.gateway),
            authority: authority.map(|trust| wire::Authority {
                certificate: trust.ca.display().to_string(),
                is_new: trust.is_new,
                trust: trust.to_string(),
            }),
            admin_url: Some(format!("http://{}", present.system.admin)),
            notes: notes.iter().map(Into::into).collect(),
            node: self.node_usage(),
            logs: wire::LogStore {
                size_bytes: store.size.0,
                size_max_bytes: store.size_max.0,
                lines: store.lines,
                dropped_old: store.dropped_old,
                dropped_failed: store.dropped_failed,
            },
        })
    }

    fn coordination(&self) -> coordination::Handle {
        self.coordination.clone()
    }

    fn messaging(&self) -> Result<::events::Handle, Error> {
        Ok(self.events.handle.clone())
    }

    fn transactions(&self) -> Result<::transactions::Handle, Error> {
        Ok(self.transactions.handle.clone())
    }

    fn requests(&self) -> proxy::record::Requests {
        self.requests.clone()
    }

    async fn replace(&self, request: Replace) -> Result<u32, Error> {
        // An apply that is under way would be lost.
        let _none = self.applying.lock().await;
        if let Some(obstacle) = succession::obstacle(self.detached, &self.supervisor.status()) {
            return Err(Error::Conflict(obstacle));
        }
        let (reply, answer) = oneshot::channel();
        let asked = Asked { program: request.program, grace: request.grace, reply };
        match self.wishes.handover.try_send(asked) {
            Ok(()) => answer.await.unwrap_or(Err(Error::Stopping)),
            Err(TrySendError::Full(_)) => {
                Err(Error::Conflict("the node is being replaced already".to_owned()))
            }
            Err(TrySendError::Closed(_)) => Err(Error::Stopping),
        }
    }

    fn shutdown(&self) {
        self.wishes.shutdown.send_replace(true);
    }
}

/// Where clients on this machine reach the gateway. An address for all interfaces is none that a client can ask for,
/// and no certificate names it.
fn gateway_url(gateway: &manifest::Gateway) -> Option<String> {
    let address = gateway.listen?;
    let scheme = if gateway.tls.is_some() { "https" } else { "http" };
    if address.ip().is_unspecified() {
        return Some(format!("{scheme}://localhost:{}", address.port()));
    }
    Some(format!("{scheme}://{address}"))
}

fn event(event: supervisor::Event) -> wire::Event {
    wire::Event {
        seq: event.seq,
        at: event.at.into(),
        service: event.service.map(|s| s.to_string()),
        instance: event.instance.map(|i| i.to_string()),
        kind: event.kind.to_owned(),
        message: event.message,
    }
}

pub(super) fn refusal(error: supervisor::Error) -> Error {
    let message = error.to_string();
    match error {
        supervisor::Error::UnknownService { did_you_mean, .. } => Error::Unknown {
            message,
            help: did_you_mean.map(|name| format!("did you mean `{name}`?")),
        },
        supervisor::Error::UnknownInstance(_) => Error::Unknown {
            message,
            help: Some("`flotilla ps -o wide` shows the instances".to_owned()),
        },
        supervisor::Error::Conflict(_) => Error::Conflict(message),
        supervisor::Error::Invalid(_) => {
            Error::Invalid(vec![Diagnostic::error(base::Code::BAD_VALUE, message)])
        }
        supervisor::Error::Stopping => Error::Stopping,
    }
}
