//! The app surface: what a service sees of the node, on listeners of its own.
//!
//! ```text
//!                    data plane (`proxy`): a listener for each instance, so the port says who asks
//!                        │ direct                         │ answer
//!  app ── HTTP, gRPC ──► ├─ invocation ──► instances      ├─ /v1.0…  Dapr's runtime API ─┐
//!                        │                                ├─ gRPC    the same            ├─► blocks ─► coordination
//!                        └─ here ────────────────────────►├─ /v1/    native API ─────────┘
//!                                                         └─ http(s)://… outside the system
//! ```
//! `direct.rs` decides where a request leads and is pure. `blocks` holds what the building blocks of Dapr mean,
//! without a protocol; `dapr` (HTTP) and `grpc` only read and write the wire. The native API offers what Dapr lacks, on the same
//! stores; its endpoints stand in a table, from which `docs/openapi-app.json` is generated.

mod backend;
mod blocks;
mod body;
mod bridge;
mod dapr;
pub(crate) mod deliver;
mod direct;
mod fault;
pub(crate) mod grpc;
mod native;
pub(crate) mod outside;
mod push;
mod relay;
#[cfg(test)]
pub(crate) mod testing;

pub use backend::{
    AppBackend, Callee, Channel, Component, HealthCheck, Instance, Protocol, Subscription,
    topic_name,
};
pub use deliver::{Deliverer, Reachable};
pub(crate) use native::topics::not_own;
pub use relay::{away, relay};

use base::InstanceId;
use blocks::{configuration::Subscriptions, metadata::Extended};
use bytes::Bytes;
use fault::Fault;
use http::{Request, Response};
use proxy::local::{BoxBody, BoxFuture, Direction, Local, LocalBody, Look, Refused};
use runtime::{Stop, TaskSet};
use std::{sync::Arc, time::Duration};
use tokio::sync::Semaphore;

/// How long what is pushed to apps may take to end.
const END_TIMEOUT: Duration = Duration::from_secs(2);

/// What the app API stands on.
#[derive(Clone)]
pub struct Config {
    /// State, locks, configuration, secrets.
    pub coordination: coordination::Handle,
    /// Topics, jobs, streams of events; `None`: the node has none of them.
    pub events: Option<events::Handle>,
    /// Transactions over several services; `None`: the node drives none.
    pub transactions: Option<transactions::Handle>,
    /// The node.
    pub backend: Arc<dyn AppBackend>,
    /// Most open streams and subscriptions of all instances together: each holds a watch. Default 4096, some for each of a
    /// few hundred instances.
    pub streams_max: usize,
    /// Largest body of a request that is answered here, in bytes. Default 4 MiB, as Dapr has it; at most 16 MiB.
    pub body_len_max: usize,
}

impl Config {
    /// The usual limits, no events and no transactions.
    #[must_use]
    pub fn new(coordination: coordination::Handle, backend: Arc<dyn AppBackend>) -> Self {
        Self {
            coordination,
            events: None,
            transactions: None,
            backend,
            streams_max: 4_096,
            body_len_max: 4 << 20,
        }
    }
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config").field("streams_max", &self.streams_max).finish_non_exhaustive()
    }
}

/// The running app API.
#[derive(Debug)]
pub struct Service {
    tasks: TaskSet,
    app: App,
}

impl Service {
    /// Starts what pushes to apps. Needs a tokio runtime, which is not one of the data plane's.
    #[must_use]
    pub fn start(config: Config) -> Self {
        let mut tasks = TaskSet::new("app api");
        let pushes = push::start(&mut tasks, config.backend.clone());
        let table = native::table();
        let document = serde_json::to_vec_pretty(&native::document()).unwrap_or_default();
        let shared = Shared {
            native: Arc::new(native::Tables { table, document: document.into() }),
            coordination: config.coordination,
            events: config.events,
            transactions: config.transactions,
            backend: config.backend,
            streams: Arc::new(Semaphore::new(config.streams_max)),
            streams_max: config.streams_max,
            body_len_max: config.body_len_max,
            stop: tasks.stop(),
            extended: Extended::default(),
            subscriptions: Subscriptions::new(runtime::Clock::wall()),
            outside: outside::Outside::default(),
            pushes,
        };
        Self { tasks, app: App { shared: Arc::new(shared) } }
    }

    /// What answers on the app listeners.
    #[must_use]
    pub fn app(&self) -> App {
        self.app.clone()
    }

    /// Ends open streams and what is pushed. Requests that are being answered go on.
    pub async fn shutdown(self) {
        self.tasks.shutdown(END_TIMEOUT).await;
    }
}

/// Answers requests on app listeners. Cheap to clone.
#[derive(Clone)]
pub struct App {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("App")
    }
}

impl App {
    /// Forgets what an instance left behind: its subscriptions and the metadata it set.
    pub fn instance_ended(&self, id: &InstanceId) {
        self.shared.extended.forget(id);
        self.shared.subscriptions.forget(id);
    }
}

/// What all requests share.
pub(crate) struct Shared {
    pub(crate) coordination: coordination::Handle,
    pub(crate) events: Option<events::Handle>,
    pub(crate) transactions: Option<transactions::Handle>,
    pub(crate) backend: Arc<dyn AppBackend>,
    /// How many more streams and subscriptions there may be.
    pub(crate) streams: Arc<Semaphore>,
    pub(crate) streams_max: usize,
    pub(crate) body_len_max: usize,
    /// Ends streams when the node ends or is replaced.
    pub(crate) stop: Stop,
    pub(crate) extended: Extended,
    pub(crate) subscriptions: Subscriptions,
    pub(crate) pushes: push::Pushes,
    pub(crate) outside: outside::Outside,
    pub(crate) native: Arc<native::Tables>,
}

impl Shared {
    /// The longest body of `caller` that is read.
    pub(crate) fn body_len_max(&self, caller: &Caller) -> usize {
        let most = usize::try_from(proxy::local::BODY_SIZE_MAX).unwrap_or(usize::MAX);
        caller.instance.body_len_max.unwrap_or(self.body_len_max).min(most)
    }
}

/// Whose listener a request came on.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) id: InstanceId,
    pub(crate) instance: Arc<Instance>,
}

impl Caller {
    /// What Dapr calls the app: the service's name, unless it has an app id of its own.
    pub(crate) fn app_id(&self) -> &str {
        self.instance.app_id.as_deref().unwrap_or(self.id.service.as_str())
    }
}

impl Local for App {
    fn direct(&self, caller: &InstanceId, look: &Look<'_>) -> Direction {
        let Some(instance) = self.shared.backend.instance(caller) else {
            return direct::refuse_in_words(&Fault::gone(), "gone", look);
        };
        let caller = Caller { id: caller.clone(), instance };
        direct::direct(&*self.shared.backend, &caller, look, self.shared.body_len_max(&caller))
    }

    fn answer(
        &self,
        caller: &InstanceId,
        request: Request<LocalBody>,
    ) -> BoxFuture<Response<BoxBody>> {
        let shared = self.shared.clone();
        let Some(instance) = shared.backend.instance(caller) else {
            return Box::pin(std::future::ready(body::whole(Fault::gone().answer())));
        };
        let caller = Caller { id: caller.clone(), instance };
        Box::pin(answer(shared, caller, request))
    }

    fn refusal(&self, _: &InstanceId, refused: &Refused<'_>) -> Response<Bytes> {
        direct::refusal(refused)
    }
}

async fn answer(
    shared: Arc<Shared>,
    caller: Caller,
    request: Request<LocalBody>,
) -> Response<BoxBody> {
    let (parts, body) = request.into_parts();
    let look = Look::at(&parts);
    if look.is_grpc() {
        return grpc::answer(shared, caller, Request::from_parts(parts, body)).await;
    }
    match direct::asked(&look) {
        direct::Asked::Dapr => dapr::answer(shared, caller, parts, body).await,
        direct::Asked::Native => native::answer(shared, caller, parts, body).await,
        direct::Asked::Invoke(invocation) => {
            let invocation = invocation.into_owned();
            outside::answer(shared, caller, invocation, parts, body).await
        }
        direct::Asked::Nothing | direct::Asked::Unreadable => {
            body::whole(Fault::no_app_id().answer())
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
