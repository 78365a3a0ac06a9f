//! The node in the background: `up -d` starts it, `__node` is it.
//!
//! They speak once, over the node's standard output: one line of JSON that says whether it started, and if not,
//! why. After that the pipe is closed on both sides and the API is all there is.

use super::{attached::state_dir, log, signals, sum_up};
use crate::{
    cli::{
        Context,
        args::{Node, Up},
        exit::{Exit, Failure, Outcome},
        locate::{NODE_LOG, Place},
        no_runtime,
        ps::to_json,
        ui::{Halt, board::Head},
        wait_for,
    },
    node::{self, NodeEnd, NodeOptions, handover::Predecessor},
};
use api::wire;
use base::Diagnostic;
use std::{
    env, fs,
    fs::{File, OpenOptions},
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdout, Command, Stdio},
    sync::{Arc, atomic::AtomicBool, mpsc},
    time::{Duration, Instant},
};
use tokio::sync::{oneshot, watch};

/// How long a node may take until its API answers. Nothing slow happens before: it takes a lock and opens its
/// listeners.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// Lines of the node's log shown when it ended without a word.
const LAST_LINES: usize = 20;
/// Longest report that is read, in bytes: a diagnostic is a few hundred, a file has at most hundreds of them.
const REPORT_LEN_MAX: u64 = 1 << 20;

/// Starts a node and returns when everything is ready, or will not be.
pub(super) fn run(
    context: &Context,
    args: &Up,
    place: &Place,
    head: Head,
    started: Instant,
) -> Outcome {
    let mut child = spawn(context, args, place)?;
    let report = child.stdout.take().map(first_line).transpose()?;
    match report.as_deref().map(serde_json::from_str::<Vec<wire::Diagnostic>>) {
        Some(Ok(problems)) if problems.is_empty() => {}
        Some(Ok(problems)) => {
            let problems: Vec<Diagnostic> = problems.iter().map(Diagnostic::from).collect();
            return Err(problems.into());
        }
        Some(Err(_)) | None => return Err(wordless(place, &mut child)),
    }
    wait_for(sum_up(context, args, place, head, started))
}

fn spawn(context: &Context, args: &Up, place: &Place) -> Result<Child, Failure> {
    let log = log::open(place).map_err(|e| state_dir(place, &e))?;
    let program = env::current_exe().map_err(|e| {
        Failure::new(Exit::Failure, format!("this program cannot find itself: {e}"))
    })?;
    let mut command = Command::new(program);
    command.arg("__node").arg("--file").arg(&place.file);
    if let Some(environment) = &context.environment {
        command.arg("--env").arg(environment);
    }
    if args.no_build {
        command.arg("--no-build");
    }
    command.args(std::iter::repeat_n("-v", usize::from(context.verbose)));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
    command
        .spawn()
        .map_err(|e| Failure::new(Exit::NotReady, format!("the node cannot be started: {e}")))
}

/// The node's report; empty when it ended without one.
fn first_line(pipe: ChildStdout) -> Result<String, Failure> {
    let (sender, receiver) = mpsc::sync_channel(1);
    runtime::thread("report", move || {
        let mut line = String::new();
        // What cannot be read counts as not said.
        let _broken =
            BufReader::new(std::io::Read::take(pipe, REPORT_LEN_MAX)).read_line(&mut line);
        let _late = sender.send(line);
    })
    .map_err(|e| no_runtime(&e))?;
    receiver.recv_timeout(START_TIMEOUT).map_err(|_silence| {
        Failure::with_help(
            Exit::TimeOut,
            format!("the node did not answer within {} s", START_TIMEOUT.as_secs()),
            format!("see .flotilla/{NODE_LOG}; `flotilla down` stops it"),
        )
    })
}

/// The node ended and said nothing: its log may know.
fn wordless(place: &Place, child: &mut Child) -> Failure {
    let end = child.wait().map_or_else(|e| e.to_string(), |status| status.to_string());
    let log = fs::read_to_string(place.state().join(NODE_LOG)).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    let last = lines.get(lines.len().saturating_sub(LAST_LINES)..).unwrap_or_default().join("\n");
    Failure::with_help(
        Exit::NotReady,
        format!("the node ended at once ({end})\n{last}"),
        format!("all it said is in .flotilla/{NODE_LOG}"),
    )
}

/// `flotilla __node`: a node in a session of its own, so that the end of the terminal is not its end.
pub(crate) fn node(context: &Context, args: &Node) -> Outcome {
    // Fails only for the leader of a process group, which has been given what it needs then.
    let _leader = rustix::process::setsid();
    let place = context.place()?;
    let file = log::open(&place).map_err(|e| state_dir(&place, &e))?;
    log::start(file, context.verbose);
    let (ready, answers) = oneshot::channel();
    let predecessor = match args.succeed.then(Predecessor::on_stdin).transpose() {
        Ok(predecessor) => predecessor,
        Err(e) => {
            let text = format!("no node to take over from on standard input: {e}");
            return Err(Failure::new(Exit::Usage, text));
        }
    };
    let options = NodeOptions {
        // As the user would name it: problems show it so.
        file: place.shown().into(),
        environment: context.environment.clone(),
        detached: true,
        stop_survivors: args.stop_survivors,
        ready: Some(ready),
        no_build: args.no_build,
        verbose: context.verbose,
        predecessor,
        sidecar: None,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|e| no_runtime(&e))?;
    let halt = watch::Sender::new(Halt::No);
    let interrupted = Arc::new(AtomicBool::new(false));
    let announce = async {
        if answers.await.is_ok() {
            report(context, &[]);
        }
        std::future::pending::<()>().await;
    };
    let node = node::run(
        options,
        signals::at_least(halt.subscribe(), Halt::Gently),
        signals::at_least(halt.subscribe(), Halt::AtOnce),
    );
    let end = runtime.block_on(async {
        tokio::select! {
            end = node => end,
            () = signals::watch(&halt, &interrupted, false) => Ok(NodeEnd::Failed),
            () = announce => Ok(NodeEnd::Failed),
        }
    });
    runtime.shutdown_background();
    match end {
        Ok(NodeEnd::Stopped | NodeEnd::Replaced) => Ok(Exit::Success),
        Ok(NodeEnd::Failed) => Ok(Exit::NotReady),
        Err(problems) => {
            report(context, &problems);
            Err(problems.into())
        }
    }
}

/// Tells whoever started this node how it went, and lets go of the pipe.
fn report(context: &Context, problems: &[Diagnostic]) {
    let problems: Vec<wire::Diagnostic> = problems.iter().map(wire::Diagnostic::from).collect();
    let told = to_json(&problems).and_then(|json| context.out.line(&json.to_string()));
    if told.is_err() {
        // Started by hand, or the starter was interrupted: the node goes on without an audience.
        tracing::info!("nobody waits for the node's report");
    }
    match OpenOptions::new().write(true).open("/dev/null") {
        Ok(null) => let_go(&null),
        Err(error) => tracing::warn!(%error, "cannot let go of standard output"),
    }
}

/// Puts the null device in the place of standard output.
fn let_go(null: &File) {
    let flushed = std::io::stdout().flush();
    let replaced = rustix::stdio::dup2_stdout(null);
    tracing::debug!(?flushed, ?replaced, "let go of standard output");
}
