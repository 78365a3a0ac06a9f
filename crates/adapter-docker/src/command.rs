//! A command inside a running container, and its end in time.
//!
//! The engine starts such commands but has no way to end one. It does tell the command's process id on this machine, and
//! every command leads a process group of its own: that group is killed from outside where we may, otherwise by
//! a `kill` that the container's own shell runs.

use crate::{engine::answered, look};
use base::{Code, Diagnostic, ErrorChain};
use bollard::{
    Docker,
    exec::{CreateExecOptions, StartExecOptions, StartExecResults},
};
use futures_util::StreamExt;
use ports::host::{COMMAND_OUTPUT_MAX, CommandOutcome, Exit, Program};
use std::{fs, time::Duration};
use tracing::{debug, warn};

/// How often the engine is asked for a command's process before giving up; it knows it a few milliseconds
/// after the start.
const KILL_ATTEMPTS_MAX: u32 = 20;
const KILL_PAUSE: Duration = Duration::from_millis(100);

/// How long a command's end may take to show after its output has ended.
const END_ATTEMPTS_MAX: u32 = 50;
const END_PAUSE: Duration = Duration::from_millis(20);

/// How it went wrong.
pub(crate) enum Failure {
    /// The engine's answer.
    Engine(bollard::errors::Error),
    /// The command cannot be run there.
    Refused(Box<Diagnostic>),
}

impl From<bollard::errors::Error> for Failure {
    fn from(error: bollard::errors::Error) -> Self {
        Self::Engine(error)
    }
}

/// The words of a command. Of a container it is what the container would run; its image and the rest mean
/// nothing inside another one.
pub(crate) fn words(command: &Program) -> Vec<String> {
    match command {
        Program::Shell(line) => vec!["/bin/sh".to_owned(), "-c".to_owned(), line.clone()],
        Program::Exec(words) => words.clone(),
        Program::Container(container) => [&container.entrypoint, &container.command]
            .into_iter()
            .flatten()
            .flatten()
            .cloned()
            .collect(),
        Program::External(_) => Vec::new(),
    }
}

/// Makes the command ready and returns the engine's name for it. It does not run yet.
pub(crate) async fn create(
    docker: &Docker,
    container: &str,
    words: Vec<String>,
) -> Result<String, Failure> {
    let options = CreateExecOptions {
        cmd: Some(words),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        ..CreateExecOptions::default()
    };
    Ok(docker.create_exec(container, options).await?.id)
}

/// Runs it to its end.
pub(crate) async fn run(docker: &Docker, id: &str) -> Result<CommandOutcome, Failure> {
    let options = StartExecOptions { detach: false, tty: false, output_capacity: None };
    let mut kept = Vec::new();
    match docker.start_exec(id, Some(options)).await {
        Ok(StartExecResults::Attached { mut output, input }) => {
            drop(input);
            while let Some(piece) = output.next().await {
                keep(&mut kept, piece?.as_ref());
            }
        }
        Ok(StartExecResults::Detached) => {}
        Err(e) => match answered(&e) {
            Some((_, message)) if message.contains("OCI runtime exec failed") => {
                return Err(Failure::Refused(refused(message)));
            }
            _ => return Err(e.into()),
        },
    }
    let output = String::from_utf8_lossy(&kept).into_owned();
    for _ in 0..END_ATTEMPTS_MAX {
        let state = docker.inspect_exec(id).await?;
        if let (Some(false), Some(code)) = (state.running, state.exit_code) {
            if matches!(code, 126 | 127) && output.contains("OCI runtime exec failed") {
                return Err(Failure::Refused(refused(&output)));
            }
            let exit = i32::try_from(code).map_or(Exit::Unknown, exit_of);
            return Ok(CommandOutcome { exit, output });
        }
        tokio::time::sleep(END_PAUSE).await;
    }
    Ok(CommandOutcome { exit: Exit::Unknown, output })
}

fn exit_of(code: i32) -> Exit {
    if (129..=192).contains(&code) { Exit::Signal(code - 128) } else { Exit::Code(code) }
}

/// Keeps the last bytes.
fn keep(kept: &mut Vec<u8>, more: &[u8]) {
    kept.extend_from_slice(more);
    let excess = kept.len().saturating_sub(COMMAND_OUTPUT_MAX);
    kept.drain(..excess);
}

fn refused(message: &str) -> Box<Diagnostic> {
    Box::new(
        Diagnostic::error(Code::START_FAILED, "the command cannot be run in the container")
            .note(format!("the engine says: {}", message.trim()))
            .help("the image must have the program (a shell line needs /bin/sh); or use an HTTP or TCP check"),
    )
}

/// Ends a command and everything in its process group.
pub(crate) async fn kill(docker: &Docker, container: &str, container_id: &str, id: &str) {
    for _ in 0..KILL_ATTEMPTS_MAX {
        match docker.inspect_exec(id).await {
            Ok(state) if state.running == Some(true) => {
                let pid = state.pid.and_then(|pid| i32::try_from(pid).ok()).filter(|pid| *pid > 0);
                if let Some(pid) = pid {
                    kill_group(docker, container, container_id, pid).await;
                }
            }
            // It ended; or it was made and never started, and then never will be.
            Ok(state) if state.exit_code.is_some() => return,
            Ok(_) => {}
            Err(e) => {
                debug!(container, error = %ErrorChain(&e), "cannot look at a command");
                return;
            }
        }
        tokio::time::sleep(KILL_PAUSE).await;
    }
    warn!(
        container,
        "a command that took too long could not be ended; it runs on inside the container"
    );
}

async fn kill_group(docker: &Docker, container: &str, container_id: &str, pid: i32) {
    let is_ours = u32::try_from(pid).is_ok_and(|pid| look::is_of(pid, container_id));
    if !is_ours {
        return;
    }
    let killed = rustix::process::Pid::from_raw(pid).is_some_and(|pid| {
        rustix::process::kill_process_group(pid, rustix::process::Signal::KILL).is_ok()
    });
    if killed {
        return;
    }
    // Not ours to kill from outside (the engine runs as root, we do not); inside, the command has another number.
    if let Some(inside) = pid_inside(pid) {
        let line = format!("kill -9 -{inside} || kill -9 {inside}");
        let words = vec!["/bin/sh".to_owned(), "-c".to_owned(), line];
        if let Ok(id) = create(docker, container, words).await {
            let options = StartExecOptions { detach: true, tty: false, output_capacity: None };
            if let Err(e) = docker.start_exec(&id, Some(options)).await {
                debug!(container, error = %ErrorChain(&e), "cannot kill from inside");
            }
        }
    }
}

/// The process id that process `pid` of this machine has in its innermost namespace.
fn pid_inside(pid: i32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    line.split_whitespace().last()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_output_is_kept() {
        let mut kept = Vec::new();
        for piece in [vec![b'a'; COMMAND_OUTPUT_MAX], b"end".to_vec()] {
            keep(&mut kept, &piece);
        }
        assert_eq!(kept.len(), COMMAND_OUTPUT_MAX);
        assert!(kept.ends_with(b"aend"));
    }
}
