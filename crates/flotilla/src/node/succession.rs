//! Both sides of a replacement, with the parts of a node in hand. See [`super::handover`] for what is said.

use super::{
    Begun, Node, NodeOptions,
    backend::Present,
    control::{Beginning, Control, Wishes},
    handover::{self, Asked, Outgoing, Predecessor, Replaced, Successor, Taken, Told},
    load,
    places::Places,
    plane::{self, Bare},
};
use api::backend::Error;
use base::{Diagnostic, InstanceId};
use std::{
    collections::BTreeSet, ffi::OsString, future::Future, path::PathBuf, pin::Pin, time::Duration,
};
use tracing::{error, info, warn};

/// How long instances that are being started at this moment may take to be there: a process that nobody has
/// written down yet could not be handed over.
const STARTING_MAX: Duration = Duration::from_secs(2);

/// How asking for a replacement ended.
pub(super) enum Outcome {
    /// The node goes on.
    Kept(Box<Node>),
    /// Another process has taken over, and this one has nothing left to do.
    Replaced,
}

/// Starts a node that takes over from `predecessor`.
///
/// # Errors
/// Everything that keeps it from taking over.
pub(super) async fn begin(
    options: NodeOptions,
    wishes: Wishes,
    predecessor: &mut Predecessor,
) -> Result<Begun, Vec<Diagnostic>> {
    let loaded = load(&options.file, options.environment.clone())?;
    for warning in &loaded.warnings {
        warn!(code = %warning.code, "{}", warning.message);
    }
    let start = async {
        let Taken { lock, api, dtm, listeners } = blocking(|| predecessor.take())?;
        let bare = Bare::start()?;
        bare.inherit(listeners)?;
        let told = blocking(|| predecessor.prepared())?;
        let places = Places::inherit(&loaded.system.root, lock)?;
        let plane = bare.serve(places.root(), &loaded.system)?;
        let carried = Some(told.carried(&loaded.system));
        let beginning = Beginning { sockets: api, dtm, carried };
        let present = Present::of(&options, loaded);
        let control =
            Control::start(&options, &places, &plane, present, wishes.clone(), beginning).await?;
        handover::settle(&control.supervisor, &told.routed).await;
        plane.accept();
        blocking(|| predecessor.ready());
        Ok((places, plane, control))
    };
    let started: Result<_, Box<Diagnostic>> = start.await;
    let (places, plane, control) = started.map_err(|d| vec![*d])?;
    info!("took over from the node before");
    Ok(Begun::Runs(Box::new(Node { options, places, plane, control, wishes })))
}

/// Blocks this thread; the node does nothing else before it serves, and has other threads.
fn blocking<T>(work: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(work)
}

/// Replaces `node` by a new process, or keeps it.
///
/// # Errors
/// When the successor did not start and the instances could not be taken back either. They go on by themselves.
pub(super) async fn hand_over(
    node: Node,
    asked: Asked,
    stop: &mut Pin<&mut impl Future<Output = ()>>,
) -> Result<Outcome, Box<Diagnostic>> {
    let Asked { program, grace, reply } = asked;
    let outgoing = match outgoing(&node).await {
        Ok(outgoing) => outgoing,
        Err(e) => return Ok(keep(node, reply, e)),
    };
    let prepared = match prepare(&node, program, outgoing).await {
        Ok(prepared) => prepared,
        Err(e) => return Ok(keep(node, reply, e)),
    };
    if let Some(started) = starting(&node).await {
        let message = format!("{started} is being started; try again in a moment");
        return Ok(keep(node, reply, Error::Conflict(message)));
    }
    let Node { options, mut places, plane, control, wishes } = node;
    let told = told(&control, &plane);
    let routed = told.routed.clone();
    let present = control.backend.applied();
    let carried = Some(told.carried(&present.system));
    let (sockets, dtm) = match control.export().await {
        Ok(sockets) => sockets,
        Err(e) => {
            let node = Node { options, places, plane, control, wishes };
            return Ok(keep(node, reply, Error::Failed(e.to_string())));
        }
    };
    info!("handing over to a new node");
    let api = control.release().await;
    match runtime::blocking(move || prepared.go(told)).await {
        Ok(replaced) => {
            // Whoever asked may have gone.
            let _unheard = reply.send(Ok(replaced.pid));
            plane.moved();
            drop(places);
            retire(plane, api, replaced, grace, stop).await;
            Ok(Outcome::Replaced)
        }
        Err(why) => {
            warn!(error = %why, "the new node did not take over; this one goes on");
            if let Err(e) = places.sign() {
                warn!(error = %e, "the lock names another process");
            }
            let beginning = Beginning { sockets, dtm, carried };
            let started =
                Control::start(&options, &places, &plane, present, wishes.clone(), beginning);
            let mut control = started.await.inspect_err(|problem| {
                error!("the instances cannot be taken back: {}", problem.message);
            })?;
            handover::settle(&control.supervisor, &routed).await;
            plane.forget_others(&ready(&control));
            let _unheard = reply.send(Err(why));
            control.see_out(api);
            Ok(Outcome::Kept(Box::new(Node { options, places, plane, control, wishes })))
        }
    }
}

fn keep(
    node: Node,
    reply: tokio::sync::oneshot::Sender<Result<u32, Error>>,
    why: Error,
) -> Outcome {
    warn!(error = %why, "the node is not replaced");
    let _unheard = reply.send(Err(why));
    Outcome::Kept(Box::new(node))
}

async fn outgoing(node: &Node) -> Result<Outgoing, Error> {
    let all = async {
        let (api, dtm) = node.control.export().await?;
        let (lock, listeners) = (node.places.share_lock()?, node.plane.handle.export()?);
        Ok::<_, std::io::Error>(Outgoing { lock, api, dtm, listeners })
    };
    all.await.map_err(|e| Error::Failed(format!("the sockets cannot be given away: {e}")))
}

async fn prepare(
    node: &Node,
    program: Option<PathBuf>,
    outgoing: Outgoing,
) -> Result<Successor, Error> {
    let program = match program {
        Some(program) => program,
        None => handover::own_program()
            .map_err(|e| Error::Failed(format!("this node cannot find its program: {e}")))?,
    };
    let arguments = arguments(node);
    let state_dir = node.places.root().to_owned();
    runtime::blocking(move || Successor::prepare(&program, &arguments, &state_dir, &outgoing)).await
}

/// The successor's command line: what this node was told, and what it was told since.
fn arguments(node: &Node) -> Vec<OsString> {
    let (file, environment) = node.control.backend.file_and_environment();
    let mut arguments: Vec<OsString> = vec!["__node".into(), "--succeed".into()];
    arguments.extend(["--file".into(), file.into_os_string()]);
    if let Some(environment) = environment {
        arguments.extend(["--env".into(), environment.into()]);
    }
    if node.options.no_build {
        arguments.push("--no-build".into());
    }
    arguments.extend(std::iter::repeat_n("-v".into(), usize::from(node.options.verbose)));
    arguments
}

/// Waits until nothing is being started; the name of what still is.
async fn starting(node: &Node) -> Option<InstanceId> {
    let supervisor = &node.control.supervisor;
    let find = |status: &supervisor::Status| {
        let mut instances = status.services.iter().flat_map(|service| &service.instances);
        let starting =
            |i: &&supervisor::InstanceStatus| i.state == supervisor::InstanceState::Starting;
        instances.find(starting).map(|instance| instance.id.clone())
    };
    let quiet = async {
        let mut status = supervisor.status();
        while find(&status).is_some() {
            status = supervisor.changed(status.revision).await;
        }
    };
    match tokio::time::timeout(STARTING_MAX, quiet).await {
        Ok(()) => None,
        Err(_elapsed) => find(&supervisor.status()),
    }
}

fn told(control: &Control, plane: &plane::Plane) -> Told {
    let status = control.supervisor.status();
    let registry = plane.gateway.registry();
    control.backend.with_system(|system| Told::of(system, &status, &registry))
}

fn ready(control: &Control) -> BTreeSet<InstanceId> {
    let status = control.supervisor.status();
    let instances = status.services.iter().flat_map(|service| &service.instances);
    let ready = instances.filter(|i| i.state == supervisor::InstanceState::Ready);
    ready.map(|instance| instance.id.clone()).collect()
}

/// Serves the open connections to their end, for `grace` at most; shorter when told to stop or when the new node
/// has ended too.
async fn retire(
    plane: plane::Plane,
    api: api::Service,
    replaced: Replaced,
    grace: Duration,
    stop: &mut Pin<&mut impl Future<Output = ()>>,
) {
    info!(successor = replaced.pid, grace_s = grace.as_secs(), "replaced; finishing what is open");
    let mut retiring = std::pin::pin!(async {
        tokio::join!(plane.retire(grace), api.retired());
    });
    tokio::select! {
        () = &mut retiring => {}
        () = stop => info!("told to stop while finishing"),
        () = replaced.gone() => {
            info!("the new node has ended");
            // What is on its way still arrives.
            let _elapsed = tokio::time::timeout(plane::GRACE, retiring).await;
        }
    }
    info!("node ended");
}

/// Why a node cannot be replaced at this moment.
pub(super) fn obstacle(detached: bool, status: &supervisor::Status) -> Option<String> {
    if !detached {
        return Some(
            "this node ends with its terminal and cannot be replaced; start it with `up -d`".into(),
        );
    }
    let mut instances = status.services.iter().flat_map(|service| &service.instances);
    let runs = |i: &&supervisor::InstanceStatus| {
        handover::is_one_off(&i.id) && i.state == supervisor::InstanceState::Ready
    };
    let one_off = instances.find(runs)?;
    Some(format!("`flotilla run` of {} would be ended; wait for its end", one_off.id.service))
}
