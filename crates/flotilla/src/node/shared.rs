//! What services share: the kv engine, coordination over it, and the API on which they ask for both.

use super::{
    app::{Apps, Pair, Tokens},
    door::Door,
    engine::{Engine, Trouble},
    events::{self, Engines, Events, Ground, Steering},
    peers::Neighbours,
    plane::Plane,
    redact::Redacting,
    state_error, stores,
    transactions::{self, Transactions},
};
use async_trait::async_trait;
use base::{Code, Diagnostic, ErrorChain, InstanceId};
use manifest::{Service, System};
use ports::secrets::{self, Revealed};
use runtime::{Clock, TaskSet};
use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::Arc,
    time::Duration,
};
use tracing::warn;

/// How long services wait at the start for what they share: the embedded engine has it at once, and without etcd they
/// start all the same.
const SETTLE_MAX: Duration = Duration::from_secs(2);

/// How long coordination may take to end.
const GRACE: Duration = Duration::from_secs(2);

/// The parts that stand before the supervisor does.
pub(super) struct Shared {
    engine: Engine,
    engines: Engines,
    service: coordination::Service,
    pub(super) handle: coordination::Handle,
    /// What this node is called among those that share an engine.
    node: String,
    environment: Arc<BTreeMap<String, String>>,
}

/// What the parts that stand on the supervisor stand on besides.
pub(super) struct Base<'a> {
    pub(super) shared: &'a Shared,
    pub(super) state_dir: &'a Path,
    pub(super) clock: Clock,
    /// The sockets of an earlier node for DTM's clients.
    pub(super) dtm: api::dtm::Sockets,
}

/// The parts that stand on the supervisor.
pub(super) struct Surface {
    service: api::app::Service,
    apps: Apps,
    events: Events,
    transactions: Transactions,
    door: Arc<Door>,
}

impl Shared {
    /// Opens the engine and starts coordination. An engine that cannot be opened is no error here, and `tasks` go on trying:
    /// see [`Engine::open`].
    ///
    /// # Errors
    /// When a file with secrets cannot be read, or a key file cannot be made.
    pub(super) async fn start(
        system: &System,
        state_dir: &Path,
        clock: Clock,
        logs: &Redacting,
        tasks: &mut TaskSet,
    ) -> Result<Self, Box<Diagnostic>> {
        let environment = Arc::new(environment());
        let engine = Engine::open(system, state_dir, &environment, tasks).await;
        let engines = Engines::open(system, state_dir, &environment, tasks).await;
        let node = coordination::node_id(&state_dir.join("run").join("node.id"));
        let node = node.map_err(|e| state_error(&e))?;
        let config = coordination::Config {
            kv: Arc::clone(&engine.kv),
            place: engine.place.clone(),
            system: system.name.clone(),
            node: node.clone(),
            key_file: state_dir.join("data").join("secrets.key"),
            clock,
            stores: stores::of(&system.name, &system.coordination, &environment),
        };
        let (service, handle) =
            coordination::Service::start(config).map_err(|e| secret_error(&e))?;
        logs.begin(handle.secrets().redactor());
        if !handle.settled(SETTLE_MAX).await {
            warn!(
                engine = engine.place,
                "the kv engine does not answer yet; services start without"
            );
        }
        Ok(Self { engine, engines, service, handle, node, environment })
    }

    /// What is wrong with the engine, at any moment.
    pub(super) fn trouble(&self) -> Trouble {
        self.engine.trouble()
    }

    /// What is wrong with the engines of events, at any moment.
    pub(super) fn event_trouble(&self) -> events::Trouble {
        self.engines.trouble()
    }

    /// Closes what is still open.
    pub(super) async fn close(self) {
        self.service.shutdown(GRACE).await;
        self.engines.close().await;
        self.engine.close().await;
    }

    /// The node's own environment.
    pub(super) fn environment(&self) -> Arc<BTreeMap<String, String>> {
        Arc::clone(&self.environment)
    }

    /// What puts secrets in their places.
    pub(super) fn reveal(&self) -> Arc<dyn secrets::Reveal> {
        Arc::new(Reveal(self.handle.clone()))
    }
}

impl Surface {
    /// Starts events, transactions and the app API, and opens the door to it.
    ///
    /// # Errors
    /// When what the file says of events or transactions cannot be meant so.
    pub(super) async fn start(
        Base { shared, state_dir, clock, dtm }: Base<'_>,
        supervisor: supervisor::Handle,
        system: &System,
        plane: &Plane,
        neighbours: Neighbours,
        tasks: &mut TaskSet,
    ) -> Result<Self, Box<Diagnostic>> {
        let coordination = &shared.handle;
        let tokens = tokens(coordination, system).await;
        let door = Arc::clone(&plane.door);
        let apps = Apps::new(supervisor.clone(), plane.handle.clone(), system, &tokens, neighbours);
        let ground = Ground {
            engines: &shared.engines,
            kv: Arc::clone(&shared.engine.kv),
            coordination: coordination.clone(),
            gateway: plane.gateway.clone(),
            backend: Arc::new(apps.clone()),
            state_dir,
            clock,
        };
        let events = Events::start(ground, system)
            .await
            .map_err(|e| Box::new(Diagnostic::error(Code::BROKER, ErrorChain(&e).to_string())))?;
        apps.know(events.steering().handle);
        let ground = transactions::Ground {
            kv: Arc::clone(&shared.engine.kv),
            coordination: coordination.clone(),
            events: events.steering().handle,
            reach: events.steering().reach(),
            backend: Arc::new(apps.clone()),
            node: shared.node.clone(),
            clock,
        };
        let transactions = Transactions::start(ground, system, dtm).await?;
        let steered = transactions.steering().handle;
        events.follow(supervisor, move |service| steered.service_ready(service.as_str()), tasks);
        let following = apps.clone();
        let mut config = api::app::Config::new(coordination.clone(), Arc::new(apps.clone()));
        config.events = Some(events.steering().handle);
        config.transactions = Some(transactions.steering().handle);
        let service = api::app::Service::start(config);
        let (app, locks) = (service.app(), coordination.clone());
        let ended = move |instance: &InstanceId| {
            app.instance_ended(instance);
            locks.instance_ended(instance);
        };
        tasks.spawn("app directory", |stop| following.follow(ended, stop));
        door.open(service.app());
        Ok(Self { service, apps, events, transactions, door })
    }

    /// Events, for whoever steers them.
    pub(super) fn events(&self) -> Steering {
        self.events.steering()
    }

    /// Transactions, for whoever steers them.
    pub(super) fn transactions(&self) -> transactions::Steering {
        self.transactions.steering()
    }

    /// Who calls, and who can be called.
    pub(super) fn apps(&self) -> Apps {
        self.apps.clone()
    }

    /// Ends what it pushes, and closes the door: requests wait at it.
    pub(super) async fn end(self) {
        self.door.shut();
        self.transactions.end().await;
        self.events.end().await;
        self.service.shutdown().await;
    }
}

/// A file with secrets, or a name, cannot be used.
pub(super) fn secret_error(error: &coordination::Error) -> Box<Diagnostic> {
    Box::new(Diagnostic::error(Code::SECRET, ErrorChain(error).to_string()))
}

/// The tokens of all services. One that is not known yet refuses everything, which is safe.
pub(super) async fn tokens(coordination: &coordination::Handle, system: &System) -> Tokens {
    let mut tokens = HashMap::new();
    for service in &system.services {
        let api = &service.api;
        let own = token(coordination, service, api.token.as_ref()).await;
        let app = token(coordination, service, api.app_token.as_ref()).await;
        tokens.insert(service.name.clone(), Pair { own, app });
    }
    Tokens(tokens)
}

async fn token(
    coordination: &coordination::Handle,
    service: &Service,
    token: Option<&manifest::Secret>,
) -> Option<Arc<str>> {
    let text = token?.reveal();
    match coordination.secrets().reveal(text).await {
        Ok(secret) => Some(secret.expose().into()),
        Err(e) => {
            let error = ErrorChain(&e);
            warn!(service = %service.name, %error, "a token of the app API is not known: all is refused");
            Some(unguessable())
        }
    }
}

/// A token that nobody has.
fn unguessable() -> Arc<str> {
    let random = || getrandom::u64().unwrap_or(0);
    let halves = (random(), random());
    // Without chance from the system an empty one: no client can send it, since none is no token.
    if halves == (0, 0) { "\0".into() } else { format!("{:x}{:x}", halves.0, halves.1).into() }
}

fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Coordination as whoever starts instances knows it.
struct Reveal(coordination::Handle);

#[async_trait]
impl secrets::Reveal for Reveal {
    async fn reveal(&self, text: &str) -> Result<Revealed, secrets::Error> {
        let known = self.0.secrets().reveal(text).await;
        known.map(|secret| Revealed::new(secret.expose().to_owned())).map_err(|e| match e {
            coordination::Error::Missing { name, hint, .. } => {
                secrets::Error::Missing { name, hint }
            }
            other => secrets::Error::Unavailable(ErrorChain(&other).to_string()),
        })
    }
}
