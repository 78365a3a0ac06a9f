//! The port: each method asks the engine about one container.

use crate::{
    Config, Error, Service, command,
    engine::{Down, Engine, Facts, answered, is_missing},
    image, look,
    network::{self, Network},
    plan::{self, Labels},
    refusal, service,
    tail::{self, Tail},
    watch::{self, Known},
};
use async_trait::async_trait;
use base::{Diagnostic, ErrorChain};
use bollard::{
    Docker,
    models::ContainerInspectResponse,
    query_parameters::{CreateContainerOptions, KillContainerOptions, StatsOptions},
};
use futures_util::StreamExt;
use ports::{
    host::{
        self, Capabilities, CommandOutcome, Container, Enforcement, Exit, Host, Leftovers, Program,
        Run, RunId, Signal, Spec, Usage,
    },
    logs::Sink,
};
use runtime::{Clock, TaskSet};
use std::{
    collections::HashMap,
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};
use tracing::{debug, warn};

/// How long `forget` waits for the last lines of a run that it killed; it takes milliseconds unless the run
/// floods or the sink is slow.
const LAST_LINES_MAX: Duration = Duration::from_secs(30);

/// How long the log of a run that ended while no node was there may take to read: 100 MB in the worst case.
const DEAD_LOG_TIME_MAX: Duration = Duration::from_secs(30);

/// How often a container name may turn out to be taken; with 32 random bits once is already a wonder.
const NAME_ATTEMPTS_MAX: u32 = 3;

/// Containers of a Docker engine.
pub struct DockerHost {
    config: Config,
    engine: Arc<Engine>,
    sink: Arc<dyn Sink>,
    runs: Mutex<HashMap<RunId, Arc<Known>>>,
    tasks: Weak<Mutex<TaskSet>>,
    /// Held while the network is looked for and made: the engine allows two of one name.
    network: tokio::sync::Mutex<()>,
    reach: Mutex<Option<IpAddr>>,
}

impl fmt::Debug for DockerHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DockerHost").field("config", &self.config).finish_non_exhaustive()
    }
}

impl DockerHost {
    /// Makes the host; output goes to `sink`. The engine is contacted when something first needs it.
    ///
    /// # Errors
    /// `Address`.
    pub fn connect(config: Config, sink: Arc<dyn Sink>) -> Result<(Service, Arc<Self>), Error> {
        let engine = Arc::new(Engine::new(service::address(&config)?));
        let tasks = Arc::new(Mutex::new(TaskSet::new("docker")));
        let host = Self {
            config: config.clone(),
            engine: Arc::clone(&engine),
            sink,
            runs: Mutex::default(),
            tasks: Arc::downgrade(&tasks),
            network: tokio::sync::Mutex::default(),
            reach: Mutex::default(),
        };
        Ok((Service { tasks, config, engine }, Arc::new(host)))
    }

    /// Checks that the engine answers and makes the system's network, so that [`Host::capabilities`] and
    /// [`Host::reach`] tell the truth before the first start.
    ///
    /// # Errors
    /// F021: what was tried, why it failed, how to mend it. The place in the file is the caller's to add.
    /// # Cancel safety
    /// Cancel safe.
    pub async fn check(&self) -> Result<(), Box<Diagnostic>> {
        self.engine.ping().await.map_err(|down| Box::new(down.diagnostic()))?;
        let made = self.network().await;
        made.map(drop).map_err(|e| {
            Box::new(Diagnostic::error(base::Code::DOCKER, ErrorChain(&e).to_string()))
        })
    }

    async fn link(&self) -> Result<(Docker, Arc<Facts>), host::Error> {
        self.engine.link().await.map_err(|down| self.engine.unavailable(down))
    }

    async fn network(&self) -> Result<Network, host::Error> {
        let (docker, _) = self.link().await?;
        let _alone = self.network.lock().await;
        let network = network::ensure(&self.engine, &docker, &self.config).await?;
        if let Some(ip) = network.gateway {
            *self.reach.lock().unwrap_or_else(PoisonError::into_inner) = Some(ip);
        }
        Ok(network)
    }

    fn runs(&self) -> MutexGuard<'_, HashMap<RunId, Arc<Known>>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self, run: &RunId) -> Result<Arc<Known>, host::Error> {
        self.runs().get(run).cloned().ok_or_else(|| host::Error::Unknown(run.clone()))
    }

    /// Creates the container, pulling its image when the engine does not have it.
    async fn create(
        &self,
        docker: &Docker,
        facts: &Facts,
        spec: &Spec,
        container: &Container,
    ) -> Result<Labels, host::Error> {
        let network = self.network().await?;
        let mut attempts = 0;
        let mut has_pulled = false;
        loop {
            let id = plan::run_id(&self.config, &spec.instance, random()?);
            let labels = Labels::new(id, spec, container, Clock::wall());
            let body = plan::body(spec, container, labels.write(&self.config), facts, &network)?;
            let name = CreateContainerOptions {
                name: Some(labels.run.0.to_string()),
                ..Default::default()
            };
            attempts += 1;
            match docker.create_container(Some(name), body).await {
                Ok(_) => return Ok(labels),
                Err(e) if is_missing(&e) && is_about_image(&e) && !has_pulled => {
                    image::pull(docker, &container.image).await.map_err(host::Error::Refused)?;
                    has_pulled = true;
                }
                Err(e) if is_name_taken(&e) && attempts < NAME_ATTEMPTS_MAX => {}
                Err(e) => {
                    return Err(refusal::about_start(&self.engine, spec, &container.image, e));
                }
            }
        }
    }

    /// Makes a container known and watches it. Where it is known already, nothing changes.
    async fn adopt(
        &self,
        docker: &Docker,
        labels: Labels,
        found: &ContainerInspectResponse,
    ) -> Option<Run> {
        let container_id = found.id.clone().unwrap_or_default();
        let pid = found.state.as_ref().and_then(|state| u32::try_from(state.pid?).ok());
        let run = Run {
            id: labels.run.clone(),
            instance: labels.instance.clone(),
            // The number means something here only where the engine's processes are this machine's.
            pid: pid.filter(|pid| *pid > 0 && look::is_of(*pid, &container_id)),
            port: labels.port,
            address: self.address(&labels, found),
            started_at: labels.started_at,
            labels: labels.labels,
        };
        let name = run.id.0.to_string();
        let known = Arc::new(Known {
            run: run.clone(),
            inner_port: labels.inner_port,
            container_id,
            exit: tokio::sync::watch::Sender::new(None),
            is_read: tokio::sync::watch::Sender::new(false),
        });
        {
            let mut runs = self.runs();
            if runs.contains_key(&run.id) {
                return None;
            }
            runs.insert(run.id.clone(), Arc::clone(&known));
        }
        let sink = Arc::clone(&self.sink);
        let tail =
            Tail::open(docker.clone(), name, labels.instance, sink, &self.config.state_dir).await;
        let docker = docker.clone();
        self.spawn("watch a container", async move { watch::watch(docker, known, tail).await });
        Some(run)
    }

    /// Where requests for a run go: straight to the container where this machine is on its network. The published
    /// port on loopback is answered by the engine's proxy, which accepts connections before the program does.
    fn address(&self, labels: &Labels, found: &ContainerInspectResponse) -> Option<SocketAddr> {
        let port = labels.port?;
        let is_near = self.reach.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        let networks =
            found.network_settings.as_ref().and_then(|settings| settings.networks.as_ref());
        let ip = networks
            .into_iter()
            .flat_map(HashMap::values)
            .find_map(|endpoint| endpoint.ip_address.as_ref()?.parse::<IpAddr>().ok());
        match (ip.filter(|_| is_near), labels.inner_port) {
            (Some(ip), Some(inner)) => Some(SocketAddr::new(ip, inner)),
            _ => Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
        }
    }

    /// Runs `work` under the service until it is done or the service stops.
    fn spawn(&self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        let Some(tasks) = self.tasks.upgrade() else {
            debug!(name, "the service is gone");
            return;
        };
        let mut tasks = tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.spawn(name, |mut stop| async move {
            tokio::select! {
                () = work => {}
                () = stop.wait() => {}
            }
        });
    }

    /// Reads the log of a container that ended unseen to its end, and removes it.
    async fn bury(&self, docker: &Docker, labels: &Labels) -> Result<(), host::Error> {
        let run = &labels.run;
        let name = run.0.to_string();
        let sink = Arc::clone(&self.sink);
        let instance = labels.instance.clone();
        let mut tail =
            Tail::open(docker.clone(), name.clone(), instance, sink, &self.config.state_dir).await;
        let (_ended, is_ended) = tokio::sync::watch::channel(true);
        if tokio::time::timeout(DEAD_LOG_TIME_MAX, tail.follow(is_ended)).await.is_err() {
            warn!(container = name, "the log of a run that ended unseen is only read in part");
        }
        drop(tail);
        self.remove(docker, run).await
    }

    async fn remove(&self, docker: &Docker, run: &RunId) -> Result<(), host::Error> {
        let removed = service::remove(docker, &run.0).await;
        removed.map_err(|e| refusal::about_run(&self.engine, run, "remove a container", e))?;
        let file = tail::place_file(&self.config.state_dir, &run.0);
        runtime::blocking(move || drop(std::fs::remove_file(file))).await;
        Ok(())
    }
}

#[async_trait]
impl Host for DockerHost {
    fn capabilities(&self) -> Capabilities {
        let unasked = || Enforcement::Missing("the Docker engine has not answered yet".to_owned());
        let [limit_cpu, limit_memory, limit_pids] = self
            .engine
            .known_facts()
            .map_or_else(|| [unasked(), unasked(), unasked()], Facts::enforcement);
        Capabilities { processes: false, containers: true, limit_cpu, limit_memory, limit_pids }
    }

    async fn start(&self, spec: &Spec) -> Result<Run, host::Error> {
        let Program::Container(container) = &spec.program else {
            return Err(host::Error::Unsupported("run programs outside of a container".to_owned()));
        };
        if self.tasks.upgrade().is_none() {
            return Err(host::Error::Unavailable {
                what: format!("{} is not started", spec.instance),
                cause: "the host has been shut down".into(),
            });
        }
        let (docker, facts) = self.link().await?;
        let labels = self.create(&docker, &facts, spec, container).await?;
        let name = labels.run.0.to_string();
        let started = async {
            docker.start_container(&name, None).await?;
            docker.inspect_container(&name, None).await
        };
        match started.await {
            Ok(found) => {
                let id = labels.run.clone();
                let run = self.adopt(&docker, labels, &found).await;
                run.ok_or_else(|| host::Error::Unavailable {
                    what: format!("container {name} was given to somebody else"),
                    cause: format!("run {id:?} is known already").into(),
                })
            }
            Err(e) => {
                if let Err(e) = service::remove(&docker, &name).await {
                    warn!(container = name, error = %ErrorChain(&e), "cannot remove a container that did not start");
                }
                Err(refusal::about_start(&self.engine, spec, &container.image, e))
            }
        }
    }

    async fn wait(&self, run: &RunId) -> Result<Exit, host::Error> {
        let known = self.known(run)?;
        Ok(known.ended().await)
    }

    async fn signal(&self, run: &RunId, signal: Signal) -> Result<(), host::Error> {
        self.known(run)?;
        let (docker, _) = self.link().await?;
        let signal = match signal {
            Signal::Term => "SIGTERM",
            Signal::Int => "SIGINT",
            Signal::Quit => "SIGQUIT",
            Signal::Hup => "SIGHUP",
            Signal::Usr1 => "SIGUSR1",
            Signal::Usr2 => "SIGUSR2",
            Signal::Kill => "SIGKILL",
        };
        let options = KillContainerOptions { signal: signal.to_owned() };
        match docker.kill_container(&run.0, Some(options)).await {
            Ok(()) => Ok(()),
            // It has ended, or somebody removed it: `wait` tells.
            Err(e) if answered(&e).is_some_and(|(status, _)| matches!(status, 404 | 409)) => Ok(()),
            Err(e) if answered(&e).is_some_and(|(_, text)| text.contains("is not running")) => {
                Ok(())
            }
            Err(e) => Err(refusal::about_run(&self.engine, run, "send a signal", e)),
        }
    }

    async fn forget(&self, run: &RunId) -> Result<Leftovers, host::Error> {
        let known = self.known(run).ok();
        // A name that is not one of ours could be anybody's container.
        if known.is_none() && !run.0.starts_with("flotilla-") {
            return Ok(Leftovers::default());
        }
        let (docker, _) = self.link().await?;
        if let Some(known) = known {
            self.signal(run, Signal::Kill).await?;
            let mut is_read = known.is_read.subscribe();
            let read = tokio::time::timeout(LAST_LINES_MAX, is_read.wait_for(|is_read| *is_read));
            if read.await.is_err() {
                warn!(run = ?run, "the last output of a forgotten run may be lost");
            }
        }
        self.remove(&docker, run).await?;
        self.runs().remove(run);
        // A container's processes end with its first one: nothing can be left over.
        Ok(Leftovers::default())
    }

    async fn survivors(&self) -> Result<Vec<Run>, host::Error> {
        let (docker, _) = self.link().await?;
        // Also learns where containers reach this machine.
        self.network().await?;
        let found = service::list(&docker, &self.config).await;
        let found = found.map_err(|e| match answered(&e) {
            Some(_) => host::Error::Unavailable {
                what: "the Docker engine did not list containers".to_owned(),
                cause: Box::new(e),
            },
            None => self.engine.unavailable(Down::new(&self.engine.address, &e)),
        })?;
        let mut living = Vec::new();
        for labels in found.iter().filter_map(|it| Labels::read(it.labels.as_ref()?)) {
            if self.runs().contains_key(&labels.run) {
                continue;
            }
            let run = labels.run.clone();
            match docker.inspect_container(&run.0, None).await {
                Ok(found)
                    if found.state.as_ref().is_some_and(|state| state.running == Some(true)) =>
                {
                    living.extend(self.adopt(&docker, labels, &found).await);
                }
                Ok(_) => self.bury(&docker, &labels).await?,
                Err(e) if is_missing(&e) => {}
                Err(e) => {
                    return Err(refusal::about_run(&self.engine, &run, "show a container", e));
                }
            }
        }
        Ok(living)
    }

    async fn usage(&self, run: &RunId) -> Result<Usage, host::Error> {
        self.known(run)?;
        let (docker, _) = self.link().await?;
        let options = StatsOptions { stream: false, one_shot: true };
        match Box::pin(docker.stats(&run.0, Some(options))).next().await {
            Some(Ok(stats)) => Ok(look::usage(&stats)),
            Some(Err(e)) => Err(refusal::about_run(&self.engine, run, "measure a container", e)),
            None => Ok(Usage::default()),
        }
    }

    async fn listening(&self, run: &RunId) -> Result<Vec<SocketAddr>, host::Error> {
        let known = self.known(run)?;
        // Without the container's processes at hand nothing can be seen.
        let Some(pid) = known.run.pid else { return Ok(Vec::new()) };
        Ok(runtime::blocking(move || {
            if look::is_of(pid, &known.container_id) {
                look::listening(&known, pid)
            } else {
                Vec::new()
            }
        })
        .await)
    }

    async fn command(
        &self,
        run: &RunId,
        command: &Program,
        timeout: Duration,
    ) -> Result<Option<CommandOutcome>, host::Error> {
        let known = self.known(run)?;
        let words = command::words(command);
        if words.is_empty() {
            return Err(host::Error::Unsupported("run a command without words".to_owned()));
        }
        let (docker, _) = self.link().await?;
        let failed = |failure| match failure {
            command::Failure::Refused(diagnostic) => host::Error::Refused(diagnostic),
            command::Failure::Engine(e) => {
                refusal::about_run(&self.engine, run, "run a command", e)
            }
        };
        let id = command::create(&docker, &run.0, words).await.map_err(failed)?;
        let mut guard = Guard { host: self, docker: docker.clone(), known, id: Some(id.clone()) };
        let outcome = tokio::time::timeout(timeout, command::run(&docker, &id)).await;
        if outcome.is_ok() {
            guard.id = None;
        }
        outcome.ok().transpose().map_err(failed)
    }

    /// The gateway of the system's network once it is known ([`DockerHost::check`], `survivors` or a start); loopback
    /// before, and for an engine whose networks do not end on this machine.
    fn reach(&self) -> IpAddr {
        self.reach
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
    }
}

/// Ends a command when nobody waits for it any more.
struct Guard<'a> {
    host: &'a DockerHost,
    docker: Docker,
    known: Arc<Known>,
    id: Option<String>,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        // Outside of a runtime the node is at its end, and the container's own end will do.
        if let Some(id) = self.id.take().filter(|_| tokio::runtime::Handle::try_current().is_ok()) {
            let (docker, known) = (self.docker.clone(), Arc::clone(&self.known));
            self.host.spawn("end a command", async move {
                command::kill(&docker, &known.run.id.0, &known.container_id, &id).await;
            });
        }
    }
}

fn random() -> Result<[u8; 4], host::Error> {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).map_err(|e| host::Error::Unavailable {
        what: "cannot make a name for a container".to_owned(),
        cause: Box::new(e),
    })?;
    Ok(bytes)
}

fn is_about_image(error: &bollard::errors::Error) -> bool {
    answered(error)
        .is_some_and(|(_, message)| message.to_ascii_lowercase().contains("no such image"))
}

fn is_name_taken(error: &bollard::errors::Error) -> bool {
    answered(error)
        .is_some_and(|(status, message)| status == 409 && message.contains("is already in use"))
}
