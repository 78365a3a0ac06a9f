//! Doing what the machine decided: each effect is a short task that reports back.

use super::{Message, Report, Unit, start::Start};
use crate::{
    ask::{self, Subject},
    diagnose, recipe,
};
use base::{Code, Diagnostic, InstanceId};
use logic::{backoff::Backoff, instance::Kind as ProbeKind, service::Run};
use manifest::{Kind, Program, Service};
use ports::host::{self, Exit, Leftovers};
use runtime::TaskSet;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::sync::{mpsc, watch};
use tracing::warn;

/// Waits between tries while a host does not answer.
pub(super) const HOST_BACKOFF: Backoff =
    Backoff { first: Duration::from_millis(200), max: Duration::from_secs(10) };

/// How often it is looked where a slow starter listens: after this many bad answers, then every tenth.
const LOOK_AFTER_ANSWERS: u32 = 10;

/// What a host's refusal means for the user; `key` is what of the service cannot be run.
pub(super) fn refusal(service: &Service, key: &str, error: host::Error) -> Diagnostic {
    let diagnostic = match error {
        host::Error::Refused(diagnostic) => *diagnostic,
        host::Error::Unsupported(what) => Diagnostic::error(
            Code::CAPABILITY,
            format!("{} cannot be started: this host cannot {what}", service.name),
        ),
        // Only containers have an engine that can be away.
        host::Error::Unavailable { what, cause }
            if matches!(service.program, Program::Container(_)) =>
        {
            Diagnostic::error(Code::DOCKER, format!("{} cannot be started: {what}", service.name))
                .note(base::ErrorChain(&*cause).to_string())
                .help(format!(
                    "it is tried again; `flotilla explain {}` has the causes",
                    Code::DOCKER
                ))
        }
        other => Diagnostic::error(
            Code::START_FAILED,
            format!("{} cannot be started: {}", service.name, base::ErrorChain(&other)),
        ),
    };
    diagnose::place(diagnostic, service, key, "")
}

impl Unit {
    pub(super) fn start(&mut self, run: Run) {
        let now = self.now();
        let instance = self.id(run.number);
        let port = match self.take_port(run.number, &instance) {
            Ok(port) => port,
            Err(diagnostic) => {
                return self.spawn_report(run, async { Report::Refused(diagnostic) });
            }
        };
        let facts = self.facts.entry(run.number).or_default();
        *facts = super::Facts {
            service: Some(Arc::clone(&self.service)),
            host: Some(Arc::clone(&self.host)),
            port,
            begun: now,
            last_exit: facts.last_exit.take(),
            ..super::Facts::default()
        };
        let labels =
            [(recipe::FINGERPRINT.to_owned(), recipe::print_fingerprint(&self.fingerprint))];
        let start = Start {
            shared: self.shared.clone(),
            service: Arc::clone(&self.service),
            host: Arc::clone(&self.host),
            program: recipe::program(&self.service, &self.service.program),
            instance,
            port,
            labels: labels.into(),
            env: BTreeMap::new(),
        };
        self.spawn_report(run, async move {
            match start.go().await {
                Ok(run) => Report::Started(Box::new(run)),
                Err(diagnostic) => Report::Refused(diagnostic),
            }
        });
    }

    /// The port an instance gets: the file's, or one of the node's.
    fn take_port(
        &mut self,
        number: u32,
        instance: &InstanceId,
    ) -> Result<Option<u16>, Box<Diagnostic>> {
        if !self.service.listens || self.service.kind != Kind::Service {
            return Ok(None);
        }
        if let Some(port) = self.facts.get_mut(&number).and_then(|facts| facts.port.take()) {
            self.shared.ports.release(port);
        }
        let fixed = match self.service.program {
            Program::Container(_) => None,
            Program::Shell(_) | Program::Exec(_) => self.service.port,
            // Whoever listens there is the instance.
            Program::External(external) => {
                return Ok(external.address.map(|address| address.port()));
            }
        };
        match fixed {
            Some(port) if (self.shared.config.port_is_free)(port) => Ok(Some(port)),
            Some(port) => {
                let holder = (self.shared.config.port_holder)(port);
                Err(Box::new(diagnose::port_taken(&self.service, port, holder.as_deref())))
            }
            None => match self.shared.ports.take(instance) {
                Some(port) => Ok(Some(port)),
                None => Err(Box::new(diagnose::no_port(&self.service))),
            },
        }
    }

    /// Reports the end of the run's main process.
    pub(super) fn watch_exit(&mut self, run: Run) {
        let Some((host, id)) = self.host_run(run.number) else { return };
        self.spawn_waiting(run, async move { Report::Exited(wait(&*host, &id).await) });
    }

    pub(super) fn ask(&mut self, run: Run, kind: ProbeKind) {
        let Some(facts) = self.facts.get(&run.number) else { return };
        let (Some(service), Some(host), Some(host_run)) = (&facts.service, &facts.host, &facts.run)
        else {
            return;
        };
        let probe = match kind {
            ProbeKind::Startup => service.probes.startup.clone(),
            ProbeKind::Ready => service.probes.ready.clone(),
            ProbeKind::Live => service.probes.live.clone(),
        };
        let Some(probe) = probe else { return };
        let subject = Subject {
            host: Arc::clone(host),
            run: host_run.id.clone(),
            address: host_run.address,
            service: Arc::clone(service),
        };
        let look = kind == ProbeKind::Startup
            && facts.answers >= LOOK_AFTER_ANSWERS
            && facts.answers.is_multiple_of(LOOK_AFTER_ANSWERS);
        if look {
            self.look_where_it_listens(run);
        }
        self.spawn_waiting(
            run,
            async move { Report::Probed(kind, ask::ask(&subject, &probe).await) },
        );
    }

    /// Looks where a slow starter listens, to tell early when that is another port than its own, and to know it
    /// when its time is up and it is being stopped.
    fn look_where_it_listens(&mut self, run: Run) {
        let Some((host, id)) = self.host_run(run.number) else { return };
        let sender = self.sender.clone();
        self.tasks.spawn("look", move |_| async move {
            if let Ok(listening) = host.listening(&id).await {
                tell(&sender, Message::Listens(run, listening)).await;
            }
        });
    }

    pub(super) fn route(&mut self, run: Run) {
        let address =
            self.facts.get(&run.number).and_then(|f| f.run.as_ref()).and_then(|r| r.address);
        if let Some(address) = address {
            self.shared.config.traffic.route(&self.id(run.number), address, 1);
        }
    }

    pub(super) fn await_idle(&mut self, run: Run) {
        let (traffic, id) = (Arc::clone(&self.shared.config.traffic), self.id(run.number));
        self.spawn_waiting(run, async move {
            traffic.idle(&id).await;
            Report::Idle
        });
    }

    /// Sends `signal`; `None`: the one that asks it to end.
    pub(super) fn signal(&mut self, run: Run, signal: Option<host::Signal>) {
        let Some((host, id)) = self.host_run(run.number) else { return };
        let service = self.facts.get(&run.number).and_then(|f| f.service.as_ref());
        let signal =
            signal.unwrap_or_else(|| recipe::stop_signal(service.unwrap_or(&self.service)));
        let instance = self.id(run.number);
        self.tasks.spawn("signal", move |_| async move {
            // Not tried again: SIGKILL follows after the grace, and is repeated until it works.
            if let Err(e) = host.signal(&id, signal).await {
                warn!(%instance, ?signal, error = %base::ErrorChain(&e), "cannot signal");
            }
        });
    }

    pub(super) fn forget(&mut self, run: Run) {
        let ended = self.host_run(run.number);
        self.spawn_report(run, async move {
            let Some((host, id)) = ended else { return Report::Forgotten(Leftovers::default()) };
            let mut failures = 0;
            loop {
                match host.forget(&id).await {
                    Ok(left) => return Report::Forgotten(left),
                    Err(host::Error::Unknown(_)) => return Report::Forgotten(Leftovers::default()),
                    Err(e) => {
                        warn!(error = %base::ErrorChain(&e), "cannot clear up, trying again");
                        failures += 1;
                        tokio::time::sleep(HOST_BACKOFF.wait(failures, super::random())).await;
                    }
                }
            }
        });
    }

    /// Where the instance runs and what it is called there.
    pub(super) fn host_run(&self, number: u32) -> Option<(Arc<dyn host::Host>, host::RunId)> {
        let facts = self.facts.get(&number)?;
        Some((Arc::clone(facts.host.as_ref()?), facts.run.as_ref()?.id.clone()))
    }

    /// Does what must not be broken off, and reports.
    fn spawn_report(&mut self, run: Run, report: impl Future<Output = Report> + Send + 'static) {
        let sender = self.sender.clone();
        self.tasks.spawn("effect", move |_| async move {
            tell(&sender, Message::About(run, report.await)).await;
        });
    }

    /// Waits for something and reports it; the unit's end ends the wait.
    fn spawn_waiting(&mut self, run: Run, report: impl Future<Output = Report> + Send + 'static) {
        let sender = self.sender.clone();
        self.tasks.spawn("watch", move |mut stop| async move {
            tokio::select! {
                report = report => tell(&sender, Message::About(run, report)).await,
                () = stop.wait() => {}
            }
        });
    }
}

/// Waits for the end of a run, also over an outage of its host.
pub(super) async fn wait(host: &dyn host::Host, id: &host::RunId) -> Exit {
    let mut failures = 0;
    loop {
        match host.wait(id).await {
            Ok(exit) => return exit,
            Err(host::Error::Unavailable { .. }) => {
                failures += 1;
                tokio::time::sleep(HOST_BACKOFF.wait(failures, super::random())).await;
            }
            Err(_) => return Exit::Unknown,
        }
    }
}

/// Reports to the unit; one that has ended needs no report.
pub(super) async fn tell(sender: &mpsc::Sender<Message>, message: Message) {
    drop(sender.send(message).await);
}

/// Tells when a run that belongs to no unit is gone. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Gone(watch::Receiver<()>);

impl Gone {
    /// Waits until nothing of the run is left. Cancel safe.
    pub(crate) async fn wait(&mut self) {
        // Its task says nothing and ends with the run.
        while self.0.changed().await.is_ok() {}
    }

    pub(crate) fn is_over(&self) -> bool {
        self.0.has_changed().is_err()
    }
}

/// Ends a run that belongs to no unit.
pub(crate) fn discard(
    tasks: &mut TaskSet,
    host: Arc<dyn host::Host>,
    run: host::Run,
    grace: Duration,
) -> Gone {
    let (alive, gone) = watch::channel(());
    tasks.spawn("discard", move |_| async move {
        let ended = async {
            host.signal(&run.id, host::Signal::Term).await?;
            host.wait(&run.id).await
        };
        if tokio::time::timeout(grace, ended).await.is_err() {
            warn!(instance = %run.instance, "did not heed SIGTERM, killed");
        }
        if let Err(e) = host.forget(&run.id).await {
            warn!(instance = %run.instance, error = %base::ErrorChain(&e), "cannot clear up");
        }
        drop(alive);
    });
    Gone(gone)
}
