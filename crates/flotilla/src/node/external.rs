//! Instances that somebody else has started: nothing is started, ended or measured, everything else is as usual.
//!
//! A host around the host of processes, so that probes, routes and pictures treat such an instance as any other one.

use async_trait::async_trait;
use ports::host::{
    Capabilities, CommandOutcome, Error, Exit, Host, Leftovers, Program, Run, RunId, Signal, Spec,
    Usage,
};
use runtime::Clock;
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::watch;

/// How the names of runs begin that are no processes of ours.
const PREFIX: &str = "external:";

/// Answers for what somebody else has started, and passes everything else on.
pub(super) struct External {
    inner: Arc<dyn Host>,
    runs: Mutex<BTreeMap<RunId, watch::Sender<Option<Exit>>>>,
}

impl External {
    /// Around the host of processes.
    pub(super) fn around(inner: Arc<dyn Host>) -> Arc<Self> {
        Arc::new(Self { inner, runs: Mutex::default() })
    }

    fn runs(&self) -> MutexGuard<'_, BTreeMap<RunId, watch::Sender<Option<Exit>>>> {
        // Nothing under this lock can leave the map half changed.
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, spec: &Spec, address: Option<SocketAddr>) -> Run {
        let id = RunId(format!("{PREFIX}{}", spec.instance).into());
        let run = Run {
            id: id.clone(),
            instance: spec.instance.clone(),
            pid: None,
            port: address.map(|address| address.port()),
            address,
            started_at: Clock::wall(),
            labels: spec.labels.clone(),
        };
        self.runs().insert(id, watch::Sender::new(None));
        run
    }

    /// Whether a run is one of these, when it is known.
    fn known(&self, run: &RunId) -> Result<(), Error> {
        let is_known = self.runs().contains_key(run);
        if is_known { Ok(()) } else { Err(Error::Unknown(run.clone())) }
    }
}

fn is_external(run: &RunId) -> bool {
    run.0.starts_with(PREFIX)
}

#[async_trait]
impl Host for External {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn start(&self, spec: &Spec) -> Result<Run, Error> {
        match spec.program {
            Program::External(address) => Ok(self.take(spec, address)),
            Program::Shell(_) | Program::Exec(_) | Program::Container(_) => {
                self.inner.start(spec).await
            }
        }
    }

    async fn wait(&self, run: &RunId) -> Result<Exit, Error> {
        if !is_external(run) {
            return self.inner.wait(run).await;
        }
        let mut ended = match self.runs().get(run) {
            Some(sender) => sender.subscribe(),
            None => return Err(Error::Unknown(run.clone())),
        };
        let exit = ended.wait_for(Option::is_some).await;
        Ok(exit.ok().and_then(|exit| exit.clone()).unwrap_or(Exit::Unknown))
    }

    async fn signal(&self, run: &RunId, signal: Signal) -> Result<(), Error> {
        if !is_external(run) {
            return self.inner.signal(run, signal).await;
        }
        match self.runs().get(run) {
            Some(sender) => {
                // A request to read settings anew ends nothing, and whom it is for cannot be told.
                if signal != Signal::Hup {
                    sender.send_replace(Some(Exit::Code(0)));
                }
                Ok(())
            }
            None => Err(Error::Unknown(run.clone())),
        }
    }

    async fn forget(&self, run: &RunId) -> Result<Leftovers, Error> {
        if !is_external(run) {
            return self.inner.forget(run).await;
        }
        if let Some(sender) = self.runs().remove(run) {
            sender.send_replace(Some(Exit::Code(0)));
        }
        Ok(Leftovers::default())
    }

    async fn survivors(&self) -> Result<Vec<Run>, Error> {
        self.inner.survivors().await
    }

    async fn usage(&self, run: &RunId) -> Result<Usage, Error> {
        if !is_external(run) {
            return self.inner.usage(run).await;
        }
        self.known(run).map(|()| Usage::default())
    }

    async fn listening(&self, run: &RunId) -> Result<Vec<SocketAddr>, Error> {
        if !is_external(run) {
            return self.inner.listening(run).await;
        }
        self.known(run).map(|()| Vec::new())
    }

    async fn command(
        &self,
        run: &RunId,
        command: &Program,
        timeout: Duration,
    ) -> Result<Option<CommandOutcome>, Error> {
        if !is_external(run) {
            return self.inner.command(run, command, timeout).await;
        }
        self.known(run)?;
        Err(Error::Unsupported("run a command beside what somebody else has started".to_owned()))
    }

    fn reach(&self) -> IpAddr {
        self.inner.reach()
    }
}

#[cfg(test)]
mod tests;
