//! Services whose configuration has changed are told so.

use base::{ErrorChain, ServiceName};
use coordination::{ConfigWatch, Select};
use manifest::{ConfigUse, OnChange, StopSignal, System};
use ports::host::Signal;
use runtime::{Stop, TaskSet};
use std::{collections::BTreeMap, time::Duration};
use tokio::sync::watch;
use tracing::{info, warn};

/// Changes this close together are one: a person, or a script, sets several keys at a time.
const GATHER: Duration = Duration::from_millis(200);

/// How long to wait before a watch that could not begin is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// What services want to be told.
type Wishes = BTreeMap<ServiceName, ConfigUse>;

/// Watches configuration for services. Cheap to clone.
#[derive(Clone)]
pub(super) struct Reloader {
    wishes: watch::Sender<Wishes>,
}

/// What a task of it stands on.
#[derive(Clone)]
struct World {
    coordination: coordination::Handle,
    supervisor: supervisor::Handle,
    wishes: watch::Receiver<Wishes>,
}

impl Reloader {
    pub(super) fn start(
        coordination: coordination::Handle,
        supervisor: supervisor::Handle,
        system: &System,
        tasks: &mut TaskSet,
    ) -> Self {
        let (wishes, wanted) = watch::channel(of(system));
        let world = World { coordination, supervisor, wishes: wanted };
        tasks.spawn("reload", |stop| world.follow(stop));
        Self { wishes }
    }

    /// Takes over another system.
    pub(super) fn apply(&self, system: &System) {
        let new = of(system);
        self.wishes.send_if_modified(|present| {
            let is_new = *present != new;
            *present = new;
            is_new
        });
    }
}

fn of(system: &System) -> Wishes {
    let services = system.services.iter();
    services.filter_map(|service| Some((service.name.clone(), service.config.clone()?))).collect()
}

impl World {
    /// Has a task for each service that wants to be told; all begin anew when the file changes.
    async fn follow(mut self, mut stop: Stop) {
        loop {
            let wishes = self.wishes.borrow_and_update().clone();
            let mut tasks = TaskSet::new("reload services");
            for (service, wish) in wishes {
                let world = self.clone();
                tasks.spawn("reload service", |stop| async move {
                    world.watch(&service, &wish, stop).await;
                });
            }
            let goes_on = tokio::select! {
                changed = self.wishes.changed() => changed.is_ok(),
                () = stop.wait() => false,
            };
            tasks.shutdown(Duration::from_millis(100)).await;
            if !goes_on {
                return;
            }
        }
    }

    async fn watch(&self, service: &ServiceName, wish: &ConfigUse, mut stop: Stop) {
        let select = Select::Patterns(wish.keys.clone());
        let configuration = self.coordination.configuration();
        loop {
            match configuration.watch(&wish.store, select.clone(), None).await {
                Ok(watch) => tokio::select! {
                    () = self.tell(service, wish, watch) => {}
                    () = stop.wait() => return,
                },
                Err(e) => {
                    let error = ErrorChain(&e);
                    warn!(%service, store = wish.store, %error, "configuration is not watched");
                }
            }
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                () = stop.wait() => return,
            }
        }
    }

    /// Tells the service of every change until the watch ends.
    async fn tell(&self, service: &ServiceName, wish: &ConfigUse, mut watch: ConfigWatch) {
        while let Some(change) = watch.next().await {
            let mut keys: Vec<String> = change.items.into_keys().collect();
            while let Ok(Some(more)) = tokio::time::timeout(GATHER, watch.next()).await {
                keys.extend(more.items.into_keys());
            }
            keys.sort();
            keys.dedup();
            let keys = keys.join(", ");
            let done = match wish.on_change {
                OnChange::Restart => {
                    info!(%service, keys, "configuration changed: restarting");
                    let target = supervisor::Target::Service(service.clone());
                    self.supervisor.restart(&target).await
                }
                OnChange::Signal(signal) => {
                    info!(%service, keys, "configuration changed: signalling");
                    self.supervisor.signal(service, host_signal(signal)).await
                }
            };
            if let Err(e) = done {
                let error = ErrorChain(&e);
                warn!(%service, %error, "it was not told that its configuration has changed");
            }
        }
    }
}

fn host_signal(signal: StopSignal) -> Signal {
    match signal {
        StopSignal::Term => Signal::Term,
        StopSignal::Int => Signal::Int,
        StopSignal::Quit => Signal::Quit,
        StopSignal::Hup => Signal::Hup,
        StopSignal::Usr1 => Signal::Usr1,
        StopSignal::Usr2 => Signal::Usr2,
        StopSignal::Kill => Signal::Kill,
    }
}
