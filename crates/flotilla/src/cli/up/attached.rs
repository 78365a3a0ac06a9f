//! The node in this process, with a screen in front of it.
//!
//! ```text
//! main thread: node ◄──── Halt (watch) ────┬── signals
//!      │ NodeState (watch)                 │
//!      └──────────► ui thread: screen ─────┘── the key q
//!                       └── API over the socket, like any other client
//! ```

use super::{log, signals};
use crate::{
    cli::{
        Context,
        args::Up,
        exit::{Exit, Failure, Outcome},
        locate::Place,
        no_runtime,
        ui::{self, Ending, Halt, NodeState, Setup, board::Head, terminal},
    },
    node::{self, NodeEnd, NodeOptions},
};
use base::Diagnostic;
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};
use tokio::sync::{oneshot, watch};

/// How long the screen may take to print its last lines once the node has ended. A terminal that stands still
/// must not keep the process alive.
const LAST_LINES: Duration = Duration::from_secs(2);

/// Runs until the system was stopped.
pub(super) fn run(
    context: &Context,
    args: &Up,
    place: &Place,
    head: Head,
    started: Instant,
) -> Outcome {
    let file = log::open(place).map_err(|e| state_dir(place, &e))?;
    log::start(file, context.verbose);
    let halt = watch::Sender::new(Halt::No);
    let state = watch::Sender::new(NodeState::Starting);
    let setup = Setup {
        out: context.out,
        place: place.clone(),
        head,
        services: args.services.clone(),
        wait_timeout: args.wait_timeout,
        started,
        node: state.subscribe(),
        halt: halt.clone(),
    };
    let (sender, screen) = mpsc::sync_channel(1);
    let _thread = runtime::thread("screen", move || screen_thread(setup, &sender))
        .map_err(|e| no_runtime(&e))?;
    let interrupted = Arc::new(AtomicBool::new(false));
    let end = run_node(context, args, place, &halt, &state, &interrupted);
    state.send_replace(NodeState::Ended);
    let ending = screen.recv_timeout(LAST_LINES);
    terminal::restore();
    if matches!(end, Ok(NodeEnd::Stopped)) || interrupted.load(Ordering::Relaxed) {
        context.out.say("everything is stopped");
    }
    conclude(context, end?, ending, interrupted.load(Ordering::Relaxed))
}

/// The screen on a thread of its own. When the reader of the output goes away, the system is stopped: whoever
/// started it attached has no other way to see or stop it.
fn screen_thread(setup: Setup, done: &mpsc::SyncSender<Result<Ending, Failure>>) {
    let halt = setup.halt.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(ui::run(setup)),
        Err(e) => Err(no_runtime(&e)),
    };
    if result.is_err() {
        halt.send_if_modified(|present| {
            let is_first = *present == Halt::No;
            *present = Halt::Gently.max(*present);
            is_first
        });
    }
    // The main thread waits only so long; then nobody wants to know any more.
    let _late = done.send(result);
}

fn run_node(
    context: &Context,
    args: &Up,
    place: &Place,
    halt: &watch::Sender<Halt>,
    state: &watch::Sender<NodeState>,
    interrupted: &Arc<AtomicBool>,
) -> Result<NodeEnd, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|e| no_runtime(&e))?;
    let (ready, answers) = oneshot::channel();
    let options = NodeOptions {
        // As the user would name it: problems show it so.
        file: place.shown().into(),
        environment: context.environment.clone(),
        detached: false,
        stop_survivors: false,
        ready: Some(ready),
        no_build: args.no_build,
        verbose: context.verbose,
        predecessor: None,
        sidecar: None,
    };
    let node = node::run(
        options,
        signals::at_least(halt.subscribe(), Halt::Gently),
        signals::at_least(halt.subscribe(), Halt::AtOnce),
    );
    let announce = async {
        if answers.await.is_ok() {
            state.send_replace(NodeState::Answering);
        }
        std::future::pending::<()>().await;
    };
    let end = runtime.block_on(async {
        tokio::select! {
            end = node => end,
            () = signals::watch(halt, interrupted, true) => Ok(NodeEnd::Failed),
            () = announce => Ok(NodeEnd::Failed),
        }
    });
    // The node has ended in order; what still blocks must not keep the process alive.
    runtime.shutdown_background();
    Ok(end?)
}

fn conclude(
    context: &Context,
    end: NodeEnd,
    ending: Result<Result<Ending, Failure>, mpsc::RecvTimeoutError>,
    is_interrupted: bool,
) -> Outcome {
    let ending = ending.unwrap_or_else(|_stuck| Ok(Ending::default()))?;
    if context.out.is_terminal {
        context.out.problems(&ending.problems);
    }
    if ending.is_timed_out {
        return Err(Failure::new(Exit::TimeOut, "not everything was ready within the time given"));
    }
    if is_interrupted {
        return Ok(Exit::Interrupted);
    }
    match end {
        NodeEnd::Failed => Ok(Exit::NotReady),
        NodeEnd::Stopped | NodeEnd::Replaced => Ok(Exit::Success),
    }
}

/// The state folder cannot be used.
pub(super) fn state_dir(place: &Place, error: &io::Error) -> Failure {
    Diagnostic::error(
        base::Code::STATE_DIR,
        format!("`{}` cannot be used", place.state().display()),
    )
    .note(error.to_string())
    .help("Flotilla keeps its state beside the file; make the folder writable for you")
    .into()
}
