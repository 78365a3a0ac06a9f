//! The composition root: the only place that knows which adapter is behind a port.
//!
//! A node is built from the bottom up and taken down in the order of the design: stop accepting → drain →
//! stop instances → flush logs → close. Each part is named once here.

use crate::node::{backend::NodeBackend, places::Places, traffic::Meter};
use adapter_docker::DockerHost;
use adapter_local::LocalHost;
use base::{Code, Diagnostic, ErrorChain};
use manifest::{Loaded, Options, System};
use runtime::{Clock, TaskSet};
use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::sync::{oneshot, watch};
use tracing::{info, warn};

mod backend;
mod containers;
mod edges;
pub(crate) mod places;
mod survivors;
mod traffic;

pub(crate) use containers::guard;

/// How long requests that are open when the data plane closes may still take. Instances have had their own
/// drain before, so what is left are answers on their way.
const PROXY_GRACE: Duration = Duration::from_secs(2);

/// How often patience is ended anew while a forced stop goes on: a start that was under way may have finished.
const HURRY_PERIOD: Duration = Duration::from_millis(500);

/// What a node runs and how.
pub(crate) struct NodeOptions {
    /// The file that describes the system.
    pub(crate) file: PathBuf,
    /// The environment overlay.
    pub(crate) environment: Option<String>,
    /// It goes on without a terminal, and its instances go on without it.
    pub(crate) detached: bool,
    /// Stop what an earlier node left, and end.
    pub(crate) stop_survivors: bool,
    /// Told when the admin socket answers.
    pub(crate) ready: Option<oneshot::Sender<()>>,
    /// Skip the build steps.
    pub(crate) no_build: bool,
}

impl fmt::Debug for NodeOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeOptions").field("file", &self.file).finish_non_exhaustive()
    }
}

/// How a node ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NodeEnd {
    /// It was asked to.
    Stopped,
    /// It could not go on.
    Failed,
}

/// The parts that end with the node.
struct Parts {
    docker: adapter_docker::Service,
    local: adapter_local::Service,
    proxy: proxy::Service,
    gateway: gateway::Service,
    supervisor: supervisor::Service,
    logs: observe::Service,
    api: api::Service,
    tasks: TaskSet,
}

/// Runs a node until `stop` is ready or the API asks for its end; `force` ready means patience is over.
///
/// # Errors
/// Everything that keeps it from starting; nothing is left running then that was not running before.
pub(crate) async fn run(
    mut options: NodeOptions,
    stop: impl Future<Output = ()> + Send,
    force: impl Future<Output = ()> + Send,
) -> Result<NodeEnd, Vec<Diagnostic>> {
    let loaded = load(&options.file, options.environment.clone())?;
    let places = Places::prepare(&loaded.system.root).map_err(|d| vec![*d])?;
    places.log_to_file();
    for warning in &loaded.warnings {
        warn!(code = %warning.code, "{}", warning.message);
    }
    if options.stop_survivors {
        return survivors::stop(&places, &loaded.system).await.map_err(|d| vec![*d]);
    }
    let ready = options.ready.take();
    let (asked, mut shutdown) = watch::channel(false);
    let (parts, backend) = build(&options, &places, loaded, asked).await.map_err(|d| vec![*d])?;
    info!(pid = std::process::id(), "node runs");
    if let Some(ready) = ready {
        // Whoever waited may have gone; the node goes on.
        let _unheard = ready.send(());
    }
    tokio::select! {
        () = stop => info!("asked to stop by a signal"),
        _ = shutdown.wait_for(|asked| *asked) => info!("asked to stop over the API"),
    }
    drop(backend);
    end(parts, places.root().to_owned(), force).await;
    Ok(NodeEnd::Stopped)
}

/// Reads the file with the process's environment.
pub(crate) fn load(
    file: &std::path::Path,
    environment: Option<String>,
) -> Result<Loaded, Vec<Diagnostic>> {
    let vars: BTreeMap<String, String> = std::env::vars().collect();
    manifest::load(file, &Options { environment, vars })
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
    sink: &observe::Handle,
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
fn admin(places: &Places, system: &System) -> Result<api::Config, Box<Diagnostic>> {
    if std::net::TcpListener::bind(system.admin).is_err() {
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

async fn build(
    options: &NodeOptions,
    places: &Places,
    loaded: Loaded,
    asked: watch::Sender<bool>,
) -> Result<(Parts, Arc<NodeBackend>), Box<Diagnostic>> {
    let Loaded { system, warnings } = loaded;
    let clock = Clock::start();
    let logs_config = observe::Config::new(places.logs());
    let logs = runtime::blocking(move || observe::Service::open(logs_config))
        .await
        .map_err(|e| state_error(&e))?;
    let sink = logs.handle();
    let (proxy, proxy_handle) =
        proxy::Service::start(proxy::Config::default()).map_err(|e| state_error(&e))?;
    let gateway_config = gateway::Config { state_dir: places.root().to_owned() };
    let (gateway_service, gateway) =
        gateway::Service::start(gateway_config, proxy_handle).map_err(|e| state_error(&e))?;
    gateway.apply(&system).map_err(|e| gateway_error(&e, &system))?;
    let api_config = admin(places, &system)?;
    let Hosts { docker, engine, local, processes } = hosts(options, places, &system, &sink).await?;
    let supervisor_config = supervisor::Config {
        processes: processes.clone(),
        containers: engine.clone(),
        traffic: Arc::new(gateway.clone()),
        journal: Arc::new(sink.clone()),
        recall: Arc::new(sink.clone()),
        port_is_free: Arc::new(supervisor::port_is_free),
        port_holder: Arc::new(|port| Some(adapter_local::holder_of(port)?.to_string())),
        clock,
        state_dir: places.root().to_owned(),
        no_build: options.no_build,
        usage_period: Duration::from_secs(5),
    };
    let supervisor = supervisor::Service::start(supervisor_config, system.clone()).await;
    let mut tasks = TaskSet::new("node");
    let meter = Meter::start(gateway.clone(), clock, &mut tasks);
    let backend = Arc::new(NodeBackend {
        supervisor: supervisor.handle(),
        gateway,
        logs: sink,
        meter,
        host: processes,
        containers: engine,
        clock,
        started_at: Clock::wall(),
        detached: options.detached,
        present: Mutex::new(backend::Present {
            file: options.file.clone(),
            environment: options.environment.clone(),
            system,
            warnings,
        }),
        applying: tokio::sync::Mutex::new(()),
        shutdown: asked,
        usage: Mutex::default(),
    });
    match api::Service::start(api_config, backend.clone()).await {
        Ok(api) => {
            let gateway = gateway_service;
            Ok((Parts { docker, local, proxy, gateway, supervisor, logs, api, tasks }, backend))
        }
        Err(e) => {
            backend.supervisor.stop().await;
            Err(state_error(&e))
        }
    }
}

/// Ends everything in order. `force` ready ends patience with instances.
async fn end(parts: Parts, state_dir: PathBuf, force: impl Future<Output = ()> + Send) {
    let Parts { docker, local, proxy, gateway, supervisor, logs, api, tasks } = parts;
    gateway.close();
    let handle = supervisor.handle();
    let mut force = std::pin::pin!(force);
    let mut stopped = std::pin::pin!(handle.stop());
    tokio::select! {
        () = &mut stopped => {}
        () = &mut force => loop {
            warn!("patience is over: what still runs is killed");
            handle.hurry().await;
            if tokio::time::timeout(HURRY_PERIOD, &mut stopped).await.is_ok() {
                break;
            }
        },
    }
    tasks.shutdown(PROXY_GRACE).await;
    supervisor.shutdown().await;
    proxy.shutdown(PROXY_GRACE).await;
    match docker.shutdown().await {
        Ok(()) => containers::remember(&state_dir, None),
        Err(e) => warn!(error = %ErrorChain(&e), "containers may be left"),
    }
    local.shutdown().await;
    if let Err(e) = runtime::blocking(move || logs.close()).await {
        warn!(error = %ErrorChain(&e), "the log store was not closed cleanly");
    }
    // Last, so that `flotilla down` can follow to the end.
    api.shutdown().await;
    info!("node ended");
}

fn state_error(error: &(dyn std::error::Error + 'static)) -> Box<Diagnostic> {
    let help = "`flotilla doctor` looks at the folder, the disk and the limits of this machine";
    Box::new(Diagnostic::error(Code::STATE_DIR, ErrorChain(error).to_string()).help(help))
}

/// Why the gateway does not take the system over.
fn gateway_error(error: &gateway::Error, system: &System) -> Box<Diagnostic> {
    match error.taken() {
        Some(address) => {
            port_taken(address, "gateway", "gateway", system.gateway.listen_place.as_ref())
        }
        None => {
            let message = ErrorChain(error).to_string();
            let diagnostic = Diagnostic::error(Code::BAD_VALUE, message);
            Box::new(match &system.gateway.listen_place {
                Some(place) => diagnostic.at(place.clone(), ""),
                None => diagnostic,
            })
        }
    }
}

/// A taken port is said with its holder and the key to change.
pub(crate) fn port_taken(
    address: std::net::SocketAddr,
    what: &str,
    key: &str,
    place: Option<&base::Place>,
) -> Box<Diagnostic> {
    let holder = adapter_local::holder_of(address.port());
    let who = holder.map_or_else(|| "another process".to_owned(), |holder| holder.to_string());
    let port = address.port();
    let message = format!("port {port} of the {what} is taken by {who}");
    let diagnostic = Diagnostic::error(Code::PORT_TAKEN, message);
    let ip = address.ip();
    let help = format!(
        "stop {who}, or choose another port: `{key}: {{ listen: \"{ip}:{}\" }}`",
        port.saturating_add(10)
    );
    let diagnostic = match place {
        Some(place) => diagnostic.at(place.clone(), ""),
        None => diagnostic.note(format!("{address} is the default of `{key}.listen`")),
    };
    Box::new(diagnostic.help(help))
}
