//! The composition root: the only place that knows which adapter is behind a port.
//!
//! A node is built from the bottom up and taken down in the order of the design: stop accepting → drain →
//! stop instances → flush logs → close. Each part is named once here.

use crate::node::{
    backend::Present,
    control::{Beginning, Control, Wishes},
    places::Places,
    plane::{Bare, Plane},
    succession::Outcome,
};
use base::{Code, Diagnostic, ErrorChain};
use manifest::{Loaded, Options, System};
use std::{collections::BTreeMap, fmt, future::Future, path::PathBuf};
use tokio::sync::oneshot;
use tracing::{info, warn};

mod app;
mod backend;
mod containers;
mod control;
mod door;
mod edges;
mod engine;
mod events;
mod external;
pub(crate) mod handover;
mod peers;
pub(crate) mod places;
mod plane;
mod redact;
mod reload;
mod shared;
mod stores;
mod succession;
mod survivors;
mod traffic;
mod transactions;

pub(crate) use containers::guard;
pub(crate) use engine::kv_folder;

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
    /// How much is said in the log, as `-v` was counted.
    pub(crate) verbose: u8,
    /// The node that this one replaces.
    pub(crate) predecessor: Option<handover::Predecessor>,
    /// It stands in for sidecars.
    pub(crate) sidecar: Option<Sidecar>,
}

/// What is different for a node that stands in for the sidecars of apps: it ends when one of them asks its app API for
/// the end, and apps of other processes are called by name.
#[derive(Clone, Debug)]
pub(crate) struct Sidecar {
    /// Where the apps of other processes are found, if they can be.
    pub(crate) peers: Option<crate::peers::Folder>,
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
    /// Another process runs the system now.
    Replaced,
}

/// A node that runs.
struct Node {
    options: NodeOptions,
    places: Places,
    plane: Plane,
    control: Control,
    wishes: Wishes,
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
    let mut predecessor = options.predecessor.take();
    let ready = options.ready.take();
    let (wishes, mut shutdown, mut handovers) = Wishes::new();
    let begun = match &mut predecessor {
        Some(predecessor) => succession::begin(options, wishes, predecessor).await,
        None => begin(options, wishes).await,
    };
    let mut node = match begun {
        Ok(Begun::Runs(node)) => *node,
        Ok(Begun::Ended(end)) => return Ok(end),
        Err(problems) => {
            if let Some(mut predecessor) = predecessor {
                let told = problems.clone();
                runtime::blocking(move || predecessor.failed(&told)).await;
            }
            return Err(problems);
        }
    };
    info!(pid = std::process::id(), "node runs");
    if let Some(ready) = ready {
        // Whoever waited may have gone; the node goes on.
        let _unheard = ready.send(());
    }
    let mut stop = std::pin::pin!(stop);
    loop {
        let asked = tokio::select! {
            () = &mut stop => {
                info!("asked to stop by a signal");
                break;
            }
            _ = shutdown.wait_for(|asked| *asked) => {
                info!("asked to stop over the API");
                break;
            }
            Some(asked) = handovers.recv() => asked,
        };
        match succession::hand_over(node, asked, &mut stop).await {
            Ok(Outcome::Kept(kept)) => node = *kept,
            Ok(Outcome::Replaced) => return Ok(NodeEnd::Replaced),
            Err(problem) => return Err(vec![*problem]),
        }
    }
    // Nodes that this one has replaced need not wait for anybody any more.
    drop(predecessor);
    node.end(force).await;
    Ok(NodeEnd::Stopped)
}

/// How a start went.
enum Begun {
    Runs(Box<Node>),
    Ended(NodeEnd),
}

/// Starts a node where none runs.
async fn begin(options: NodeOptions, wishes: Wishes) -> Result<Begun, Vec<Diagnostic>> {
    let loaded = load(&options.file, options.environment.clone())?;
    let places = Places::prepare(&loaded.system.root).map_err(|d| vec![*d])?;
    places.log_to_file();
    for warning in &loaded.warnings {
        warn!(code = %warning.code, "{}", warning.message);
    }
    if options.stop_survivors {
        let end = survivors::stop(&places, &loaded.system).await.map_err(|d| vec![*d])?;
        return Ok(Begun::Ended(end));
    }
    let start = async {
        let plane = Bare::start()?.serve(places.root(), &loaded.system)?;
        let present = Present::of(&options, loaded);
        let beginning = Beginning::default();
        let control =
            Control::start(&options, &places, &plane, present, wishes.clone(), beginning).await?;
        Ok((plane, control))
    };
    let (plane, control) = start.await.map_err(|d: Box<Diagnostic>| vec![*d])?;
    Ok(Begun::Runs(Box::new(Node { options, places, plane, control, wishes })))
}

impl Node {
    /// Ends everything in order. `force` ready ends patience with instances.
    async fn end(self, force: impl Future<Output = ()> + Send) {
        let Self { plane, control, places, .. } = self;
        plane.close_gateway();
        control.end(places.root(), force, plane.end()).await;
    }
}

/// Reads the file with the process's environment.
pub(crate) fn load(
    file: &std::path::Path,
    environment: Option<String>,
) -> Result<Loaded, Vec<Diagnostic>> {
    let vars: BTreeMap<String, String> = std::env::vars().collect();
    manifest::load(file, &Options { environment, vars })
}

fn state_error(error: &(dyn std::error::Error + 'static)) -> Box<Diagnostic> {
    let help = "`flotilla doctor` looks at the folder, the disk and the limits of this machine";
    Box::new(Diagnostic::error(Code::STATE_DIR, ErrorChain(error).to_string()).help(help))
}

/// Why the gateway does not take the system over.
fn gateway_error(error: &gateway::Error, system: &System) -> Box<Diagnostic> {
    let gateway = &system.gateway;
    match error.taken() {
        Some(address) if gateway.http_redirect == Some(address) => {
            port_taken(address, "gateway", "gateway", gateway.http_redirect_place.as_ref())
        }
        Some(address) => port_taken(address, "gateway", "gateway", gateway.listen_place.as_ref()),
        None => {
            let message = ErrorChain(error).to_string();
            let mut diagnostic = Diagnostic::error(error.code(), message);
            diagnostic.help = error.help();
            let of_key = match error.code() {
                Code::CERTIFICATE => &gateway.tls_place,
                _ => &gateway.listen_place,
            };
            Box::new(match error.place().or(of_key.as_ref()) {
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
