//! One run that this node knows: started by it or adopted.

use crate::{cgroup, members::Target, proc::Process, record::Record};
use ports::host::{Exit, Run};
use rustix::process::{WaitId, WaitIdOptions, waitid};
use std::{
    collections::{BTreeMap, HashMap},
    ffi::OsString,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    path::PathBuf,
    sync::Arc,
};
use tokio::sync::{Mutex, watch};

/// The environment for commands beside the run.
#[derive(Clone, Debug)]
pub(crate) enum Environment {
    /// This node's, and these.
    Inherited(BTreeMap<String, String>),
    /// Only these: those of an adopted process.
    Exactly(HashMap<OsString, OsString>),
}

/// One run.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) run: Run,
    pub(crate) main: Process,
    /// Becomes readable when the main process has ended.
    pub(crate) ended: Arc<OwnedFd>,
    pub(crate) dir: PathBuf,
    pub(crate) cgroup: Option<PathBuf>,
    pub(crate) environment: Environment,
    /// How it ended, once its output is in the sink.
    pub(crate) exit: watch::Sender<Option<Exit>>,
    /// Held while it is being forgotten, by the first who asked.
    pub(crate) forgetting: Mutex<()>,
}

impl Running {
    /// `None` when the record does not say enough, which was checked when it was read.
    pub(crate) fn new(record: &Record, ended: OwnedFd, environment: Environment) -> Option<Self> {
        Some(Self {
            run: record.run()?,
            main: record.main?,
            ended: Arc::new(ended),
            dir: record.dir.clone(),
            cgroup: record.cgroup.clone(),
            environment,
            exit: watch::Sender::new(None),
            forgetting: Mutex::new(()),
        })
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.run.id.0
    }

    pub(crate) fn target(&self) -> Target {
        Target { run: self.name().to_string(), main: Some(self.main), cgroup: self.cgroup.clone() }
    }

    /// How the main process ended. It stays uncollected.
    pub(crate) fn how_it_ended(&self) -> Exit {
        let exit = self.asked().unwrap_or_else(|| self.seen());
        let for_memory =
            || self.cgroup.as_deref().is_some_and(|group| cgroup::memory_kills(group) > 0);
        match exit {
            Exit::Signal(9) | Exit::Unknown if for_memory() => Exit::OutOfMemory,
            other => other,
        }
    }

    /// What the kernel tells a parent.
    fn asked(&self) -> Option<Exit> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let status = waitid(WaitId::PidFd(self.ended.as_fd()), options).ok()??;
        status.exit_status().map(Exit::Code).or(status.terminating_signal().map(Exit::Signal))
    }

    /// What others can see as long as the parent has not collected it: in containers whose first process
    /// collects nobody that is for ever, elsewhere mostly too short.
    fn seen(&self) -> Exit {
        let Some(stat) = self.main.stat().filter(crate::proc::Stat::is_dead) else {
            return Exit::Unknown;
        };
        // Of others' processes the kernel shows 0, whatever it was.
        let own = rustix::process::geteuid();
        let owner = std::fs::metadata(format!("/proc/{}", self.main.pid)).map(|meta| meta.uid());
        if !own.is_root() && owner.ok() != Some(own.as_raw()) {
            return Exit::Unknown;
        }
        match stat.wait_status & 0x7f {
            0 => Exit::Code((stat.wait_status >> 8) & 0xff),
            signal => Exit::Signal(signal),
        }
    }

    /// Collects the main process: its number may be used again from now on.
    pub(crate) fn collect(&self) {
        collect(&self.ended);
    }
}

/// Collects an ended child. That it is not our child is no error: then another collects it.
pub(crate) fn collect(ended: &OwnedFd) {
    match waitid(WaitId::PidFd(ended.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
        Ok(_) | Err(rustix::io::Errno::CHILD) => {}
        Err(e) => tracing::debug!(error = %e, "an ended process cannot be collected"),
    }
}
