//! Events in the node: the engines that the file asks for, and the service over them.

mod engines;
mod late;
mod outboxes;
mod ports;
mod reach;
mod wanted;

pub(super) use self::reach::Reach;
use self::{
    outboxes::Databases,
    ports::{LateBroker, LateStreams},
};
use ::ports::kv::Kv;
use api::app::{AppBackend, Deliverer};
use base::{Diagnostic, ErrorChain, ServiceName};
use manifest::{Database, System};
use runtime::{Clock, TaskSet};
use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};
use tracing::warn;

/// How long deliveries that are under way may take when the node ends; what does not end in time is delivered again.
const GRACE: Duration = Duration::from_secs(2);

/// Why an engine was not opened.
#[derive(Clone, Debug)]
struct Failed {
    /// For the operator.
    problem: Box<Diagnostic>,
    /// For whoever asks the engine for something.
    cause: Arc<dyn std::error::Error + Send + Sync>,
}

/// The engines, and what must be closed in the end.
pub(super) struct Engines {
    broker: Arc<LateBroker>,
    streams: Arc<LateStreams>,
}

/// What is wrong with the engines at the moment. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Trouble(Arc<LateBroker>, Arc<LateStreams>);

impl Trouble {
    /// Why something is not there, as long as it is not.
    pub(super) fn problems(&self) -> Vec<Diagnostic> {
        [self.0.problem(), self.1.problem()].into_iter().flatten().collect()
    }
}

impl Engines {
    /// Opens them. What cannot be opened is no error here, and `tasks` go on trying.
    pub(super) async fn open(
        system: &System,
        state_dir: &Path,
        environment: &Arc<BTreeMap<String, String>>,
        tasks: &mut TaskSet,
    ) -> Self {
        let (broker, streams) = engines::open(system, state_dir, environment, tasks).await;
        Self { broker, streams }
    }

    pub(super) fn trouble(&self) -> Trouble {
        Trouble(Arc::clone(&self.broker), Arc::clone(&self.streams))
    }

    /// Closes them; what was acknowledged is kept whatever happens.
    pub(super) async fn close(self) {
        if let Some(service) = self.broker.close() {
            service.shutdown().await;
        }
        if let Some(service) = self.streams.close() {
            service.shutdown().await;
        }
    }
}

/// The service.
pub(super) struct Events {
    service: events::Service,
    steering: Steering,
}

/// What others need of it. Cheap to clone.
#[derive(Clone)]
pub(super) struct Steering {
    pub(super) handle: events::Handle,
    reach: Reach,
    coordination: coordination::Handle,
    state_dir: Arc<Path>,
}

/// What the service stands on.
pub(super) struct Ground<'a> {
    pub(super) engines: &'a Engines,
    pub(super) kv: Arc<dyn Kv>,
    pub(super) coordination: coordination::Handle,
    pub(super) gateway: gateway::Handle,
    pub(super) backend: Arc<dyn AppBackend>,
    pub(super) state_dir: &'a Path,
    pub(super) clock: Clock,
}

impl Events {
    /// Starts it.
    ///
    /// # Errors
    /// When the file asks for what cannot be meant so.
    pub(super) async fn start(ground: Ground<'_>, system: &System) -> Result<Self, events::Error> {
        let reach = Reach::new(ground.gateway);
        reach.apply(system).await;
        let deliver = Deliverer::new(ground.backend, Arc::new(reach.clone()));
        let urls = urls(system, ground.state_dir, &ground.coordination).await;
        let config = events::Config {
            broker: ground.engines.broker.clone(),
            streams: ground.engines.streams.clone(),
            kv: ground.kv,
            deliver: Arc::new(deliver),
            outboxes: Arc::new(Databases),
            system: system.name.clone(),
            clock: ground.clock,
            wanted: wanted::wanted(system, &urls),
        };
        let (service, handle) = events::Service::start(config)?;
        let coordination = ground.coordination;
        let steering = Steering { handle, reach, coordination, state_dir: ground.state_dir.into() };
        Ok(Self { service, steering })
    }

    /// Follows the instances until the node ends: subscriptions hear of each service of which one has become ready, and so
    /// does `also`.
    pub(super) fn follow(
        &self,
        supervisor: supervisor::Handle,
        also: impl Fn(&ServiceName) + Send + Sync + 'static,
        tasks: &mut TaskSet,
    ) {
        let Steering { handle, reach, .. } = self.steering();
        let ready = move |service: &ServiceName| {
            handle.service_ready(service);
            also(service);
        };
        tasks.spawn("ready services", |stop| reach.follow(supervisor, ready, stop));
    }

    pub(super) fn steering(&self) -> Steering {
        self.steering.clone()
    }

    /// Pulls nothing more, and lets what is under way end.
    pub(super) async fn end(self) {
        self.service.shutdown(GRACE).await;
    }
}

impl Steering {
    /// Where services can be reached.
    pub(super) fn reach(&self) -> Reach {
        self.reach.clone()
    }

    /// Takes over another system. What cannot be meant so was told by the check of the file.
    pub(super) async fn apply(&self, system: &System) {
        self.reach.apply(system).await;
        let urls = urls(system, &self.state_dir, &self.coordination).await;
        if let Err(error) = self.handle.apply(wanted::wanted(system, &urls)) {
            warn!(error = %ErrorChain(&error), "what the file says of events is not in force");
        }
    }
}

/// The databases of the services that have an outbox, with their secrets in place.
async fn urls(
    system: &System,
    state_dir: &Path,
    coordination: &coordination::Handle,
) -> BTreeMap<ServiceName, String> {
    let mut urls = BTreeMap::new();
    for table in &system.events.outboxes {
        let service = system.services.iter().find(|service| service.name == table.service);
        let own = service.and_then(|service| service.db.as_ref()).map(|db| match db {
            Database::Sqlite => {
                let path = supervisor::database_path(state_dir, &table.service);
                format!("sqlite://{}", path.display())
            }
            Database::Url(url) => url.clone(),
        });
        let Some(url) = table.url.as_ref().map(|url| url.reveal().to_owned()).or(own) else {
            continue;
        };
        match coordination.secrets().reveal(&url).await {
            Ok(known) => {
                urls.insert(table.service.clone(), known.expose().to_owned());
            }
            Err(error) => {
                let error = ErrorChain(&error);
                warn!(service = %table.service, %error, "its outbox is not relayed");
            }
        }
    }
    urls
}
