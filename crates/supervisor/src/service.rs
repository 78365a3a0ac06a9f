//! All units together: applying a file, stopping in order, answering the API.

use crate::{
    board::{Board, Event},
    config::{Carried, Config, RunRequest, Target},
    error::Error,
    plan,
    portbook::PortBook,
    status::{Change, Status},
    unit::{self, Command, Shared, UnitHandle},
};
use base::{InstanceId, ServiceName};
use manifest::System;
use ports::host::Signal;
use runtime::TaskSet;
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use table::Table;
use tokio::sync::{Mutex, MutexGuard, Semaphore, oneshot};

mod table;

/// Builds at once: more only slow each other down, and most build tools use all cores themselves.
pub const BUILDS_MAX: usize = 2;

/// How long the supervisor's own tasks may take at the end.
const TASKS_GRACE: Duration = Duration::from_secs(5);

/// The most instances of one service; a typing error must not start a million processes.
pub const INSTANCES_MAX: u32 = 1_000;

/// The running supervisor; keep it until the end and call [`Service::shutdown`].
#[derive(Debug)]
pub struct Service {
    handle: Handle,
}

/// Asks the supervisor. Cheap to clone.
#[derive(Clone)]
pub struct Handle(Arc<Inner>);

struct Inner {
    shared: Shared,
    stopping: AtomicBool,
    table: Mutex<Table>,
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("supervisor::Handle").finish_non_exhaustive()
    }
}

impl Service {
    /// Starts supervising `system`. Instances that an earlier node left running are adopted; those of services
    /// that are not in the file any more are ended.
    ///
    /// # Cancel safety
    /// Not cancel safe: runs found may be left unattended.
    pub async fn start(config: Config, system: System) -> Self {
        Self::take_over(config, system, Carried::default()).await
    }

    /// As [`Self::start`], with what the earlier node told when it handed over.
    ///
    /// # Cancel safety
    /// Not cancel safe: runs found may be left unattended.
    pub async fn take_over(config: Config, system: System, carried: Carried) -> Self {
        let board = Arc::new(Board::new(&system.name));
        let shared = Shared {
            ports: Arc::new(PortBook::new(
                &system.root.to_string_lossy(),
                Arc::clone(&config.port_is_free),
            )),
            builds: Arc::new(Semaphore::new(BUILDS_MAX)),
            config: Arc::new(config),
            board,
        };
        arrange(&shared, &system);
        // Large as a future, and over soon: it has its own memory while it lasts.
        let table = Box::pin(Table::start(&shared, system, &carried)).await;
        let inner = Inner { shared, stopping: AtomicBool::new(false), table: Mutex::new(table) };
        let handle = Handle(Arc::new(inner));
        handle.sample_usage().await;
        Self { handle }
    }

    /// What asks this supervisor.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Ends the supervisor's tasks. Instances that still run are left running: stop them before with
    /// [`Handle::stop`].
    pub async fn shutdown(self) {
        let mut table = self.handle.0.table.lock().await;
        table.units.clear();
        table.ending.clear();
        let tasks = std::mem::replace(&mut table.tasks, TaskSet::new("ended"));
        drop(table);
        tasks.shutdown(TASKS_GRACE).await;
    }
}

fn arrange(shared: &Shared, system: &System) {
    let order: Vec<ServiceName> = system.services.iter().map(|s| s.name.clone()).collect();
    shared.board.arrange(&system.name, order);
}

impl Handle {
    /// The picture as it is.
    #[must_use]
    pub fn status(&self) -> Arc<Status> {
        self.0.shared.board.status()
    }

    /// The picture as soon as its revision is not `revision`.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn changed(&self, revision: u64) -> Arc<Status> {
        self.0.shared.board.changed(revision).await
    }

    /// The kept events after number `after`, oldest first.
    #[must_use]
    pub fn events(&self, after: u64) -> Vec<Event> {
        self.0.shared.board.events(after)
    }

    /// As [`Self::events`], but waits until there is one.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn events_after(&self, after: u64) -> Vec<Event> {
        self.0.shared.board.events_after(after).await
    }

    /// What [`Self::apply`] would do.
    pub async fn plan(&self, system: &System) -> Vec<Change> {
        plan::changes(&self.0.table.lock().await.system, system)
    }

    /// Makes the system what `system` says: only what changed is touched. Returns when that has begun.
    ///
    /// # Errors
    /// `Stopping`.
    pub async fn apply(&self, system: System) -> Result<Vec<Change>, Error> {
        let mut table = self.table().await?;
        let changes = plan::changes(&table.system, &system);
        arrange(&self.0.shared, &system);
        for change in &changes {
            table.change(&self.0.shared, &system, change).await;
        }
        table.system = system;
        Ok(changes)
    }

    /// Sets how many instances a service has, until the file says another number.
    ///
    /// # Errors
    /// `UnknownService`, `Invalid` when it is a job, has a fixed port or the number is too large, `Stopping`.
    pub async fn scale(&self, service: &ServiceName, instances: u32) -> Result<(), Error> {
        let table = self.table().await?;
        let unit = table.unit(service)?;
        let spec = table.system.services.iter().find(|s| s.name == *service);
        if let Some(spec) = spec {
            if spec.kind != manifest::Kind::Service {
                return Err(Error::Invalid(format!("{service} is a job; a job has one instance")));
            }
            if instances > 1 && crate::recipe::is_exclusive(spec) {
                let message =
                    format!("{service} has a fixed port, so it can have one instance only");
                return Err(Error::Invalid(message));
            }
        }
        if instances > INSTANCES_MAX {
            return Err(Error::Invalid(format!("a service has at most {INSTANCES_MAX} instances")));
        }
        unit.send(Command::Scale(instances)).await;
        Ok(())
    }

    /// Replaces instances, each old one leaving when the new one is ready.
    ///
    /// # Errors
    /// `UnknownService`, `UnknownInstance`, `Stopping`.
    pub async fn restart(&self, target: &Target) -> Result<(), Error> {
        let table = self.table().await?;
        match target {
            Target::All => {
                for unit in table.units.values() {
                    unit.send(Command::Restart(None)).await;
                }
            }
            Target::Service(service) => table.unit(service)?.send(Command::Restart(None)).await,
            Target::Instance(id) if id.number >= unit::ONCE_FIRST => {
                return Err(Error::Invalid(format!("{id} is a one-off run; it runs once")));
            }
            Target::Instance(id) => {
                let unit = table.unit(&id.service)?;
                let status = self.status();
                let known = status.services.iter().flat_map(|s| &s.instances).any(|i| i.id == *id);
                if !known {
                    return Err(Error::UnknownInstance(id.to_string()));
                }
                unit.send(Command::Restart(Some(id.number))).await;
            }
        }
        Ok(())
    }

    /// Sends `signal` to every instance of a service that runs. It is not awaited that they heed it.
    ///
    /// # Errors
    /// `UnknownService`, `Stopping`.
    pub async fn signal(&self, service: &ServiceName, signal: Signal) -> Result<(), Error> {
        self.table().await?.unit(service)?.send(Command::Signal(signal)).await;
        Ok(())
    }

    /// Stops all instances of a service, until [`Self::start_service`].
    ///
    /// # Errors
    /// `UnknownService`, `Stopping`.
    pub async fn stop_service(&self, service: &ServiceName) -> Result<(), Error> {
        self.table().await?.unit(service)?.send(Command::Halt(None)).await;
        Ok(())
    }

    /// Starts a service that was stopped.
    ///
    /// # Errors
    /// `UnknownService`, `Stopping`.
    pub async fn start_service(&self, service: &ServiceName) -> Result<(), Error> {
        self.table().await?.unit(service)?.send(Command::Resume).await;
        Ok(())
    }

    /// Starts a one-off run and returns the instance that runs it. It is not restarted and gets no traffic.
    ///
    /// # Errors
    /// `UnknownService`, `Conflict` when too many run already, `Stopping`.
    pub async fn run(&self, request: RunRequest) -> Result<InstanceId, Error> {
        let (reply, answer) = oneshot::channel();
        let command = Command::Once { program: request.program, env: request.env, reply };
        self.table().await?.unit(&request.service)?.send(command).await;
        answer.await.map_err(|_refused| {
            Error::Conflict(format!("too many one-off runs of {} at once", request.service))
        })
    }

    /// Stops everything: first what nobody needs, then its needs, each gracefully. Returns when nothing runs.
    ///
    /// # Cancel safety
    /// A dropped call stops no more services than it had begun with.
    pub async fn stop(&self) {
        self.0.stopping.store(true, Ordering::SeqCst);
        let board = &self.0.shared.board;
        board.set_stopping(false);
        let waves = plan::stop_order(&self.0.table.lock().await.system);
        for wave in waves {
            let mut stopped = Vec::new();
            {
                let table = self.0.table.lock().await;
                for unit in wave.iter().filter_map(|name| table.units.get(name)) {
                    let (reply, answer) = oneshot::channel();
                    unit.send(Command::Halt(Some(reply))).await;
                    stopped.push(answer);
                }
            }
            for answer in stopped {
                // Dropped without a word, the unit has ended just the same.
                drop(answer.await);
            }
        }
        let (ending, discarded) = {
            let mut table = self.0.table.lock().await;
            let ending: Vec<UnitHandle> = table.ending.values().cloned().collect();
            (ending, std::mem::take(&mut table.discarded))
        };
        for unit in ending {
            unit.ended().await;
        }
        for (_, mut gone) in discarded {
            gone.wait().await;
        }
        board.set_stopping(true);
    }

    /// Ends patience while stopping: SIGKILL to what is still there.
    pub async fn hurry(&self) {
        let units: Vec<UnitHandle> = {
            let table = self.0.table.lock().await;
            table.units.values().chain(table.ending.values()).cloned().collect()
        };
        for unit in units.iter().filter(|unit| !unit.is_ended()) {
            unit.send(Command::Halt(None)).await;
            unit.send(Command::Hurry).await;
        }
    }

    /// The units, to ask them for something. Asked under the lock, a unit hears it before it hears of the stop.
    async fn table(&self) -> Result<MutexGuard<'_, Table>, Error> {
        let table = self.0.table.lock().await;
        self.refuse_while_stopping()?;
        Ok(table)
    }

    fn refuse_while_stopping(&self) -> Result<(), Error> {
        if self.0.stopping.load(Ordering::SeqCst) { Err(Error::Stopping) } else { Ok(()) }
    }

    /// Lets every unit look regularly at what its instances use.
    async fn sample_usage(&self) {
        let weak = Arc::downgrade(&self.0);
        let period = self.0.shared.config.usage_period;
        self.0.table.lock().await.tasks.spawn("usage", move |mut stop| async move {
            loop {
                tokio::select! {
                    () = tokio::time::sleep(period) => {}
                    () = stop.wait() => return,
                }
                let Some(inner) = weak.upgrade() else { return };
                let units: Vec<UnitHandle> =
                    inner.table.lock().await.units.values().cloned().collect();
                drop(inner);
                for unit in units {
                    unit.sample();
                }
            }
        });
    }
}
