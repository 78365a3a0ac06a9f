//! The half of a node that decides: logs, hosts, supervisor, API. The other half ([`super::plane`]) carries the
//! requests and needs none of this to go on, which is what lets a node hand its instances over while it serves.

use super::{
    NodeOptions,
    backend::{NodeBackend, Present},
    containers,
    external::External,
    handover::{self, Asked},
    peers::Neighbours,
    places::Places,
    plane::Plane,
    port_taken,
    redact::Redacting,
    reload::Reloader,
    shared::{Base, Shared, Surface},
    state_error,
    traffic::Meter,
};
use adapter_docker::DockerHost;
use adapter_local::LocalHost;
use base::{Diagnostic, ErrorChain};
use manifest::{Loaded, System};
use runtime::{Clock, TaskSet};
use std::{
    future::Future,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::sync::{mpsc, watch};
use tracing::{info, warn};

/// How often patience is ended anew while a forced stop goes on: a start that was under way may have finished.
const HURRY_PERIOD: Duration = Duration::from_millis(500);

/// How long the tasks of the node itself may take to end; they only wait.
const TASKS_GRACE: Duration = Duration::from_secs(2);

/// How long requests to the API may go on while another node takes over: as long as that may take, because the
/// one that asked for it is among them.
const API_PATIENCE: Duration = Duration::from_secs(60);

/// What the API asks the node for.
#[derive(Clone, Debug)]
pub(super) struct Wishes {
    /// Its end.
    pub(super) shutdown: watch::Sender<bool>,
    /// Its replacement.
    pub(super) handover: mpsc::Sender<Asked>,
}

impl Wishes {
    /// With the ends that the node listens on.
    pub(super) fn new() -> (Self, watch::Receiver<bool>, mpsc::Receiver<Asked>) {
        // One replacement at a time: a second one is refused and not kept.
        let (handover, handovers) = mpsc::channel(1);
        let (shutdown, asked) = watch::channel(false);
        (Self { shutdown, handover }, asked, handovers)
    }
}

/// How control begins.
#[derive(Debug, Default)]
pub(super) struct Beginning {
    /// The API's sockets when somebody had them before.
    pub(super) sockets: api::Sockets,
    /// As many for DTM's clients.
    pub(super) dtm: api::dtm::Sockets,
    /// What an earlier node told; `None`: there was none, or it told nothing.
    pub(super) carried: Option<supervisor::Carried>,
}

/// The parts.
pub(super) struct Control {
    docker: adapter_docker::Service,
    local: adapter_local::Service,
    pub(super) supervisor: supervisor::Handle,
    supervising: supervisor::Service,
    logs: observe::Service,
    shared: Shared,
    surface: Surface,
    pub(super) api: api::Service,
    tasks: TaskSet,
    pub(super) backend: Arc<NodeBackend>,
}

/// Where instances run.
struct Hosts {
    docker: adapter_docker::Service,
    engine: Arc<DockerHost>,
    local: adapter_local::Service,
    processes: Arc<LocalHost>,
}

async fn hosts(
    options: &NodeOptions,
    places: &Places,
    system: &System,
    sink: &Redacting,
) -> Result<Hosts, Box<Diagnostic>> {
    let docker_config = containers::config(&system.name, places.root(), options.detached);
    let (docker, engine) = DockerHost::connect(docker_config, Arc::new(sink.clone()))
        .map_err(|e| Box::new(e.diagnostic()))?;
    let lifetime = if options.detached {
        adapter_local::Lifetime::Survives
    } else {
        adapter_local::Lifetime::EndsWithNode
    };
    let local_config = adapter_local::Config::new(places.root(), &system.name, lifetime);
    let (local, processes) = LocalHost::start(local_config, Arc::new(sink.clone()))
        .await
        .map_err(|e| state_error(&e))?;
    if containers::used(system) {
        // Not an error here: processes run without an engine, and each container's service says what is wrong.
        if let Err(diagnostic) = engine.check().await {
            warn!("{}", diagnostic.message);
        }
        if !options.detached {
            containers::remember(places.root(), Some(&system.name));
        }
    }
    Ok(Hosts { docker, engine, local, processes })
}

/// The API starts last, but nothing may be started for a node whose API cannot be reached.
fn admin(
    places: &Places,
    system: &System,
    sockets: &api::Sockets,
) -> Result<api::Config, Box<Diagnostic>> {
    if !handover::has_admin(sockets, system.admin)
        && std::net::TcpListener::bind(system.admin).is_err()
    {
        let place = system.admin_place.as_ref();
        return Err(port_taken(system.admin, "admin API", "admin", place));
    }
    Ok(api::Config {
        socket: Some(places.socket()),
        listen: Some(system.admin),
        token: places.token()?,
        ..api::Config::default()
    })
}

impl Control {
    /// Opens the logs, takes instances over or starts them, and answers the API.
    ///
    /// # Errors
    /// Everything that keeps it from starting. What was started ends then; what was taken over stays.
    #[expect(
        clippy::too_many_lines,
        reason = "each part is named once, in the order in which they stand on each other"
    )]
    pub(super) async fn start(
        options: &NodeOptions,
        places: &Places,
        plane: &Plane,
        present: Present,
        wishes: Wishes,
        beginning: Beginning,
    ) -> Result<Self, Box<Diagnostic>> {
        let system = &present.system;
        let clock = Clock::start();
        let logs_config = observe::Config::new(places.logs());
        let logs = runtime::blocking(move || observe::Service::open(logs_config))
            .await
            .map_err(|e| state_error(&e))?;
        let sink = logs.handle();
        let redacting = Redacting::new(Arc::new(sink.clone()));
        let api_config = admin(places, system, &beginning.sockets)?;
        let Hosts { docker, engine, local, processes } =
            hosts(options, places, system, &redacting).await?;
        let mut tasks = TaskSet::new("node");
        let shared = Shared::start(system, places.root(), clock, &redacting, &mut tasks).await?;
        let coordination = shared.handle.clone();
        let supervisor_config = supervisor::Config {
            processes: External::around(processes.clone()),
            containers: engine.clone(),
            traffic: Arc::new(plane.gateway.clone()),
            secrets: shared.reveal(),
            journal: Arc::new(redacting.clone()),
            recall: Arc::new(sink.clone()),
            port_is_free: Arc::new(supervisor::port_is_free),
            port_holder: Arc::new(|port| Some(adapter_local::holder_of(port)?.to_string())),
            clock,
            state_dir: places.root().to_owned(),
            no_build: options.no_build,
            usage_period: Duration::from_secs(5),
        };
        let takes_over = beginning.carried.is_some();
        let carried = beginning.carried.unwrap_or_default();
        let supervising =
            supervisor::Service::take_over(supervisor_config, system.clone(), carried).await;
        let supervisor = supervising.handle();
        let meter = Meter::start(plane.gateway.clone(), clock, &mut tasks);
        let neighbours = Neighbours::start(options, plane, &wishes, &mut tasks);
        let base = Base { shared: &shared, state_dir: places.root(), clock, dtm: beginning.dtm };
        let surface =
            Surface::start(base, supervisor.clone(), system, plane, neighbours, &mut tasks).await;
        let surface = match surface {
            Ok(surface) => surface,
            Err(problem) => {
                if !takes_over {
                    supervisor.stop().await;
                }
                tasks.shutdown(TASKS_GRACE).await;
                supervising.shutdown().await;
                shared.close().await;
                return Err(problem);
            }
        };
        let reloader =
            Reloader::start(coordination.clone(), supervisor.clone(), system, &mut tasks);
        let backend = Arc::new(NodeBackend {
            supervisor: supervisor.clone(),
            gateway: plane.gateway.clone(),
            access_log: plane.access_log.clone(),
            requests: plane.handle.requests(),
            logs: sink,
            coordination,
            apps: surface.apps(),
            reloader,
            events: surface.events(),
            transactions: surface.transactions(),
            environment: shared.environment(),
            engine_trouble: shared.trouble(),
            event_trouble: shared.event_trouble(),
            meter,
            host: processes,
            containers: engine,
            clock,
            started_at: Clock::wall(),
            detached: options.detached,
            present: Mutex::new(present),
            applying: tokio::sync::Mutex::new(()),
            wishes,
            usage: Mutex::default(),
        });
        match api::Service::take_over(api_config, beginning.sockets, backend.clone()).await {
            Ok(api) => Ok(Self {
                docker,
                local,
                supervisor,
                supervising,
                logs,
                shared,
                surface,
                api,
                tasks,
                backend,
            }),
            Err(e) => {
                if !takes_over {
                    supervisor.stop().await;
                }
                tasks.shutdown(TASKS_GRACE).await;
                supervising.shutdown().await;
                surface.end().await;
                shared.close().await;
                Err(state_error(&e))
            }
        }
    }

    /// Further descriptors of what listens, for a node that takes over.
    ///
    /// # Errors
    /// When the system has no descriptors left.
    pub(super) async fn export(&self) -> std::io::Result<(api::Sockets, api::dtm::Sockets)> {
        Ok((self.api.export()?, self.surface.transactions().facade.export().await?))
    }

    /// Sees the open requests of an earlier API of this node to their end.
    pub(super) fn see_out(&mut self, api: api::Service) {
        self.tasks.spawn("earlier api", |mut stop| async move {
            tokio::select! {
                () = api.retired() => {}
                () = stop.wait() => {}
            }
        });
    }

    /// Lets go of everything and leaves the instances running, for whoever takes them over. What is left are
    /// requests to the API that are open.
    pub(super) async fn release(self) -> api::Service {
        let Self {
            docker,
            local,
            supervisor: _,
            supervising,
            logs,
            shared,
            surface,
            api,
            tasks,
            backend: _,
        } = self;
        api.retire(API_PATIENCE);
        surface.end().await;
        tasks.shutdown(TASKS_GRACE).await;
        supervising.shutdown().await;
        if let Err(e) = docker.shutdown().await {
            warn!(error = %ErrorChain(&e), "containers were not let go of cleanly");
        }
        local.shutdown().await;
        shared.close().await;
        close(logs).await;
        api
    }

    /// Ends everything in order. `force` ready ends patience with instances. The data plane must take no requests from
    /// outside any more; `between` closes it when nothing runs.
    pub(super) async fn end(
        self,
        state_dir: &Path,
        force: impl Future<Output = ()>,
        between: impl Future<Output = ()>,
    ) {
        let Self {
            docker,
            local,
            supervisor,
            supervising,
            logs,
            shared,
            surface,
            api,
            tasks,
            backend,
        } = self;
        drop(backend);
        let mut force = std::pin::pin!(force);
        let mut stopped = std::pin::pin!(supervisor.stop());
        tokio::select! {
            () = &mut stopped => {}
            () = &mut force => loop {
                warn!("patience is over: what still runs is killed");
                // Stopping may hold what hurrying waits for, so neither may stand still for the other.
                tokio::select! {
                    () = &mut stopped => break,
                    () = supervisor.hurry() => {}
                }
                if tokio::time::timeout(HURRY_PERIOD, &mut stopped).await.is_ok() {
                    break;
                }
            },
        }
        tasks.shutdown(TASKS_GRACE).await;
        supervising.shutdown().await;
        surface.end().await;
        between.await;
        match docker.shutdown().await {
            Ok(()) => containers::remember(state_dir, None),
            Err(e) => warn!(error = %ErrorChain(&e), "containers may be left"),
        }
        local.shutdown().await;
        shared.close().await;
        close(logs).await;
        // Last, so that `flotilla down` can follow to the end.
        api.shutdown().await;
        info!("node ended");
    }
}

async fn close(logs: observe::Service) {
    if let Err(e) = runtime::blocking(move || logs.close()).await {
        warn!(error = %ErrorChain(&e), "the log store was not closed cleanly");
    }
}

impl Present {
    /// What was read from the file.
    pub(super) fn of(options: &NodeOptions, loaded: Loaded) -> Self {
        Self {
            file: options.file.clone(),
            environment: options.environment.clone(),
            system: loaded.system,
            warnings: loaded.warnings,
        }
    }
}
