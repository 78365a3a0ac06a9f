//! `flotilla down`: stops the system, also what a killed node left behind.

use super::{
    Context,
    args::Down,
    exit::{Exit, Failure, Outcome},
    follow::{self, Follow, Followed, Goal},
    locate::{self, Place},
    no_runtime, wait_for, words,
};
use crate::node::{self, NodeOptions};
use api::client;
use base::{Code, Diagnostic};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use std::{
    fs,
    future::pending,
    time::{Duration, Instant},
};

/// How long a node may take to end once its instances have. It flushes logs and closes files.
const NODE_END: Duration = Duration::from_secs(10);
/// How often a process that ends is looked at.
const LOOK: Duration = Duration::from_millis(20);

pub(crate) fn run(context: &Context, args: &Down) -> Outcome {
    let started = Instant::now();
    let place = context.place()?;
    let mut is_running = true;
    let outcome = wait_for(async {
        let client = place.client();
        match client.system().await {
            Err(client::Error::NotRunning { .. }) => {
                is_running = false;
                Ok(Exit::Success)
            }
            Err(e) => Err(locate::unanswered(&e)),
            Ok(system) => stop(context, args, &client, system.pid).await,
        }
    })?;
    if outcome != Exit::Success {
        return Ok(outcome);
    }
    // A node that was killed while it stopped the others had no time for the rest.
    let left = survivors(&place);
    if left == 0 && is_running {
        context.out.say(&format!("stopped in {}", words::duration(started.elapsed())));
        return Ok(outcome);
    }
    if left == 0 {
        return Err(Diagnostic::error(Code::NO_SYSTEM, "no system is running here").into());
    }
    context.out.say(&format!(
        "the node is gone, {} may be left of it; stopping",
        words::count(left, "instance")
    ));
    match clean(context, &place) {
        // What is left belongs to a system that was started meanwhile.
        Err(failure) if is_running && failure.exit() == Exit::Conflict => {}
        cleaned => cleaned?,
    }
    context.out.say(&format!("stopped in {}", words::duration(started.elapsed())));
    Ok(Exit::Success)
}

/// Asks the node to stop everything and waits until it has gone.
async fn stop(context: &Context, args: &Down, client: &api::Client, pid: u32) -> Outcome {
    let seen = client.events(0).await.map_err(|e| locate::unanswered(&e))?.next;
    let events = client.event_stream(seen).await.map_err(|e| locate::unanswered(&e))?;
    client.shutdown().await.map_err(|e| locate::unanswered(&e))?;
    let mut telling = std::pin::pin!(tell_killed(context, events));
    let mut is_told = false;
    let follow = Follow {
        client,
        out: &context.out,
        goal: Goal::Stopped,
        services: &[],
        after: None,
        timeout: args.timeout,
        is_shown: true,
        is_start: false,
    };
    let mut following = std::pin::pin!(follow.run());
    let followed = loop {
        tokio::select! {
            followed = &mut following => break followed,
            () = &mut telling, if !is_told => is_told = true,
        }
    };
    let followed = match followed {
        // It was faster than the question how far it is, or ended in the middle of the answer. Whether it has
        // ended is looked at below.
        Err(_unanswered) => Followed::Gone,
        Ok(followed) => followed,
    };
    match followed {
        Followed::TimedOut(_) => {
            context.out.say("time is up; killing what is left");
            force(pid)?;
        }
        Followed::Hopeless(_) => {
            return follow::conclude(&context.out, &followed, Goal::Stopped, &[], "stopping");
        }
        Followed::Reached(_) | Followed::Gone => {}
    }
    // Instances that are gone are not the end: the node's lock and ports are free when its process is.
    let is_gone = async {
        if !is_told {
            telling.await;
        }
        gone(pid).await;
    };
    let waited = tokio::time::timeout(NODE_END, is_gone).await;
    waited.map_err(|_elapsed| {
        Failure::new(Exit::TimeOut, format!("the node (process {pid}) does not end"))
    })?;
    Ok(Exit::Success)
}

/// Says who did not end when asked to, until the node ends.
async fn tell_killed(context: &Context, mut events: client::Stream<api::wire::Event>) {
    while let Ok(Some(event)) = events.next().await {
        let event = event.data;
        if event.kind == "killed" {
            context.out.say(&format!("{} {}", event.instance.unwrap_or_default(), event.message));
        }
    }
}

/// Two signals that cannot melt into one: a node that gets a second one kills at once.
fn force(pid: u32) -> Result<(), Failure> {
    let Some(pid) = process(pid) else { return Ok(()) };
    for signal in [Signal::TERM, Signal::INT] {
        match kill_process(pid, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(e) => {
                return Err(Failure::new(
                    Exit::Failure,
                    format!("the node cannot be signalled: {e}"),
                ));
            }
        }
    }
    Ok(())
}

fn process(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}

/// Waits until a process is gone.
async fn gone(pid: u32) {
    let Some(pid) = process(pid) else { return };
    while test_kill_process(pid) != Err(rustix::io::Errno::SRCH) && !is_zombie(pid) {
        tokio::time::sleep(LOOK).await;
    }
}

/// Whether the process has ended and only waits to be reaped; an init that does so late must not hold us up.
fn is_zombie(pid: Pid) -> bool {
    let stat =
        fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'))
}

/// How many instances an earlier node may have left: its notes about living runs.
pub(crate) fn survivors(place: &Place) -> usize {
    let Ok(entries) = fs::read_dir(place.state().join("run")) else { return 0 };
    entries
        .flatten()
        .filter(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            // `<service>.<number>.<run>.json`; what else is there has shorter names.
            name.ends_with(".json") && name.split('.').count() > 3
        })
        .count()
}

/// Runs a node only to adopt and stop what is left.
fn clean(context: &Context, place: &Place) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|e| no_runtime(&e))?;
    let options = NodeOptions {
        file: place.shown().into(),
        environment: context.environment.clone(),
        detached: true,
        stop_survivors: true,
        ready: None,
        no_build: true,
        verbose: context.verbose,
        predecessor: None,
        sidecar: None,
    };
    let end = runtime.block_on(node::run(options, pending(), pending()));
    runtime.shutdown_background();
    end?;
    Ok(())
}
