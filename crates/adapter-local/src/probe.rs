//! A command run beside an instance.

use crate::{
    launch::{self, Launch},
    proc::{self, Process},
    running::{Environment, Running, collect},
    shared::{Shared, unavailable},
};
use ports::host::{COMMAND_OUTPUT_MAX, CommandOutcome, Error, Exit, Program};
use rustix::process::{Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use std::{
    collections::BTreeMap,
    io,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
    time::Duration,
};
use tokio::net::unix::pipe;

/// How much output is read at once, in bytes.
const CHUNK_LEN: usize = 4096;

/// How much output that is there already is read after the end; what background processes of the command go
/// on printing is not waited for.
const REST_CHUNKS_MAX: usize = 64;

/// A running command. Dropped, it is ended.
#[derive(Debug)]
pub(crate) struct Probe {
    shared: Arc<Shared>,
    main: Process,
    ended: Arc<OwnedFd>,
    /// Both streams in one, as they were printed.
    output: Option<OwnedFd>,
}

impl Probe {
    /// Starts the command with folder and environment of the run.
    pub(crate) fn start(
        shared: Arc<Shared>,
        running: &Running,
        program: &Program,
    ) -> Result<Self, Error> {
        let none = BTreeMap::new();
        let env = match &running.environment {
            Environment::Inherited(env) => env.clone(),
            Environment::Exactly(all) => {
                let path = all.get(std::ffi::OsStr::new("PATH")).and_then(|path| path.to_str());
                path.map_or(none, |path| BTreeMap::from([("PATH".to_owned(), path.to_owned())]))
            }
        };
        let launch = Launch::prepare(program, &running.dir, &env)?;
        let pipe_error = |e| unavailable("make a pipe for the command's output", e);
        let (reader, writer) = io::pipe().map_err(pipe_error)?;
        let mut command = launch.command(None);
        match &running.environment {
            Environment::Inherited(env) => launch::set_env(&mut command, running.name(), env),
            Environment::Exactly(all) => launch::replace_env(&mut command, running.name(), all),
        }
        command.env(launch::PROBE_VARIABLE, "1");
        command.stdout(writer.try_clone().map_err(pipe_error)?).stderr(writer);
        let child = command.spawn().map_err(|e| launch.refusal(&e))?;
        let main = Process::find(child.id());
        let (Some(main), Some(ended)) = (main, main.and_then(Process::open)) else {
            return Err(unavailable(
                "keep track of the command",
                io::Error::other("the process is gone"),
            ));
        };
        Ok(Self { shared, main, ended: Arc::new(ended), output: Some(reader.into()) })
    }

    /// Waits for its end, at most `timeout`; `None` when that was too short. Its process group is ended in any
    /// case.
    pub(crate) async fn outcome(
        mut self,
        timeout: Duration,
    ) -> Result<Option<CommandOutcome>, Error> {
        let broken = |e| unavailable("follow the command", e);
        let Some(output) = self.output.take() else { return Ok(None) };
        let mut output = pipe::Receiver::from_owned_fd(output).map_err(broken)?;
        let mut kept = Vec::new();
        let run = async {
            let ended = proc::ended(&self.ended);
            tokio::pin!(ended);
            loop {
                tokio::select! {
                    // Both only wait for readiness: nothing is lost when the other is first.
                    ended = &mut ended => return ended,
                    more = output.readable() => {
                        more?;
                        if !take(&mut output, &mut kept)? {
                            return ended.await;
                        }
                    }
                }
            }
        };
        match tokio::time::timeout(timeout, run).await {
            Err(_) => return Ok(None),
            Ok(result) => result.map_err(broken)?,
        }
        for _ in 0..REST_CHUNKS_MAX {
            match take(&mut output, &mut kept) {
                Ok(true) => {}
                Ok(false) | Err(_) => break,
            }
        }
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let status = waitid(WaitId::PidFd(self.ended.as_fd()), options).ok().flatten();
        let code =
            status.as_ref().and_then(rustix::process::WaitIdStatus::exit_status).map(Exit::Code);
        let signal = status.as_ref().and_then(rustix::process::WaitIdStatus::terminating_signal);
        let exit = code.or(signal.map(Exit::Signal)).unwrap_or(Exit::Unknown);
        Ok(Some(CommandOutcome { exit, output: String::from_utf8_lossy(&kept).into_owned() }))
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        // Not collected yet, so the number still means its group.
        if let Some(group) = proc::raw(self.main.pid)
            && let Err(e) = kill_process_group(group, Signal::KILL)
            && e != rustix::io::Errno::SRCH
        {
            tracing::warn!(pid = self.main.pid, error = %e, "a probe command cannot be ended");
        }
        let ended = Arc::clone(&self.ended);
        let mut tasks = self.shared.tasks();
        let in_runtime = tokio::runtime::Handle::try_current().is_ok();
        if let Some(tasks) = tasks.as_mut().filter(|_| in_runtime) {
            tasks.spawn("collect", |_| async move {
                if let Err(e) = proc::ended(&ended).await {
                    tracing::debug!(error = %e, "the end of a probe command cannot be waited for");
                }
                collect(&ended);
            });
        } else {
            collect(&ended);
        }
    }
}

/// Reads what is there; `false` at the end of the output. Only the last [`COMMAND_OUTPUT_MAX`] bytes are kept.
fn take(output: &mut pipe::Receiver, kept: &mut Vec<u8>) -> io::Result<bool> {
    let mut chunk = [0; CHUNK_LEN];
    match output.try_read(&mut chunk) {
        Ok(0) => return Ok(false),
        Ok(length) => kept.extend_from_slice(chunk.get(..length).unwrap_or_default()),
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(true),
        Err(e) => return Err(e),
    }
    let surplus = kept.len().saturating_sub(COMMAND_OUTPUT_MAX);
    kept.drain(..surplus);
    Ok(true)
}
