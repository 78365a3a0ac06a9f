//! The app API over an engine in memory, asked as the data plane asks it.

use super::{App, AppBackend, Callee, Config, Deliverer, Instance, Protocol, Reachable, Service};
use crate::{backend, tx};
use async_trait::async_trait;
use base::{InstanceId, ServiceName};
use bytes::Bytes;
use coordination::{StoreKind, Stores};
use events::{Outboxes, Relay, Wanted};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use ports::{broker, kv::conformance::Memory, outbox::Outbox, streams};
use proxy::local::{BoxBody, Direction, Local as _, LocalBody, Look, To};
use runtime::Clock;
use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::sync::watch;

/// A system of which only the app API and what is below it is real.
pub(crate) struct Rig {
    pub(crate) app: App,
    pub(crate) node: Arc<Node>,
    pub(crate) memory: Memory,
    pub(crate) coordination: coordination::Handle,
    pub(crate) events: events::Handle,
    pub(crate) broker: broker::conformance::Memory,
    pub(crate) transactions: transactions::Handle,
    services: (Service, transactions::Service, events::Service, coordination::Service),
    _folder: tempfile::TempDir,
}

impl Rig {
    /// With one store of each kind under the usual names, and the instance `web/1`.
    pub(crate) async fn new() -> Self {
        Self::with(Stores::usual()).await
    }

    pub(crate) async fn with(stores: Stores) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let memory = Memory::new();
        let config = coordination::Config {
            kv: Arc::new(memory.clone()),
            place: "memory".to_owned(),
            system: "shop".to_owned(),
            node: "node".to_owned(),
            key_file: folder.path().join("secrets.key"),
            clock: Clock::start(),
            stores,
        };
        let (below, coordination) = coordination::Service::start(config).unwrap();
        assert!(coordination.settled(Duration::from_secs(10)).await);
        let node = Arc::new(Node::default());
        node.put("web/1", Instance::default());
        let broker =
            broker::conformance::Memory::in_real_time(|time| Box::pin(tokio::time::sleep(time)));
        let config = events::Config {
            broker: Arc::new(broker.clone()),
            streams: Arc::new(streams::conformance::Memory::in_real_time()),
            kv: Arc::new(memory.clone()),
            deliver: Arc::new(Deliverer::new(node.clone(), node.clone())),
            outboxes: Arc::new(NoOutboxes),
            system: "shop".to_owned(),
            clock: Clock::start(),
            wanted: Wanted { auto: true, ..Wanted::default() },
        };
        let (messaging, events) = events::Service::start(config).unwrap();
        let (coordinator, transactions) = tx::testing::start(Arc::new(memory.clone()), &node);
        let config = Config {
            events: Some(events.clone()),
            transactions: Some(transactions.clone()),
            ..Config::new(coordination.clone(), node.clone())
        };
        let service = Service::start(config);
        let app = service.app();
        let services = (service, coordinator, messaging, below);
        Self {
            app,
            node,
            memory,
            coordination,
            events,
            broker,
            transactions,
            services,
            _folder: folder,
        }
    }

    /// The messages of a topic, when there are `count`.
    pub(crate) async fn messages(&self, topic: &str, count: usize) -> Vec<events::Stored> {
        let topic = broker::TopicName::new(topic).unwrap();
        let mut all = Vec::new();
        let read = async {
            let topics = self.events.topics();
            let mut replay = loop {
                if let Ok(replay) = topics.read(&topic, broker::Start::Beginning).await {
                    break replay;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            };
            while all.len() < count {
                all.extend(replay.next(count - all.len()).await.unwrap());
            }
        };
        tokio::time::timeout(Duration::from_secs(60), read).await.expect("in time");
        all
    }

    /// What becomes of a request on a listener of `caller`.
    pub(crate) async fn ask(
        &self,
        caller: &str,
        request: Request<Bytes>,
    ) -> Result<Response<BoxBody>, To> {
        let (parts, body) = request.into_parts();
        self.send(caller, Request::from_parts(parts, LocalBody::whole(body))).await
    }

    /// As [`Self::ask`], with a body as the data plane brings it.
    pub(crate) async fn send(
        &self,
        caller: &str,
        request: Request<LocalBody>,
    ) -> Result<Response<BoxBody>, To> {
        ask(&self.app, caller, request).await
    }

    /// Ends the app API, as a node does that ends.
    pub(crate) async fn end(self) {
        let (service, coordinator, messaging, below) = self.services;
        service.shutdown().await;
        coordinator.shutdown(Duration::from_secs(1)).await;
        messaging.shutdown(Duration::from_secs(1)).await;
        below.shutdown(Duration::from_secs(1)).await;
    }
}

/// What becomes of a request on a listener of `caller`.
pub(crate) async fn ask(
    app: &App,
    caller: &str,
    request: Request<LocalBody>,
) -> Result<Response<BoxBody>, To> {
    let caller = InstanceId::parse(caller).unwrap();
    let (parts, body) = request.into_parts();
    match app.direct(&caller, &Look::at(&parts)) {
        Direction::Here { .. } => Ok(app.answer(&caller, Request::from_parts(parts, body)).await),
        Direction::Refuse(answer) => {
            Ok(answer.map(|body| Full::new(body).map_err(|never| match never {}).boxed_unsync()))
        }
        Direction::Service(to) => Err(to),
    }
}

/// Databases of services that have none.
#[derive(Debug)]
struct NoOutboxes;

#[async_trait]
impl Outboxes for NoOutboxes {
    async fn open(&self, _: &Relay) -> Result<Arc<dyn Outbox>, String> {
        Err("there is none".to_owned())
    }
}

/// A component that everybody may use for everything.
pub(crate) fn pubsub(name: &str) -> manifest::PubSub {
    let (kind, version) = ("pubsub.redis".to_owned(), "v1".to_owned());
    manifest::PubSub {
        name: name.to_owned(),
        scopes: manifest::Scopes::default(),
        allowed: [].into(),
        protected: [].into(),
        publishing: [].into(),
        subscribing: [].into(),
        group: None,
        prefix: String::new(),
        origin: manifest::Origin { kind, version, place: None },
    }
}

/// A node that only knows what it was told.
#[derive(Default)]
pub(crate) struct Node {
    instances: Mutex<HashMap<InstanceId, Arc<Instance>>>,
    services: Mutex<HashMap<String, Callee>>,
    /// Services, and the stores and secrets that are not for them.
    denied: Mutex<Vec<(String, String)>>,
    pubsubs: Mutex<BTreeMap<String, Arc<manifest::PubSub>>>,
    /// By state store.
    pub(crate) outboxes: Mutex<BTreeMap<String, manifest::StateOutbox>>,
    /// Where services can be reached.
    pub(crate) addresses: watch::Sender<HashMap<ServiceName, SocketAddr>>,
    /// Which instances were stopped because they asked for it.
    pub(crate) stopped: Mutex<Vec<InstanceId>>,
}

impl Node {
    pub(crate) fn put(&self, id: &str, instance: Instance) {
        let id = InstanceId::parse(id).unwrap();
        self.offer(id.service.as_str(), Protocol::Http);
        self.instances.lock().unwrap().insert(id, Arc::new(instance));
    }

    pub(crate) fn deny(&self, service: &str, store_or_secret: &str) {
        self.denied.lock().unwrap().push((service.to_owned(), store_or_secret.to_owned()));
    }

    pub(crate) fn component(&self, pubsub: manifest::PubSub) {
        self.pubsubs.lock().unwrap().insert(pubsub.name.clone(), Arc::new(pubsub));
    }

    /// Lets a service be reached.
    pub(crate) fn at(&self, service: &str, address: SocketAddr) {
        let name = ServiceName::new(service).unwrap();
        self.addresses.send_modify(|all| {
            all.insert(name, address);
        });
    }

    fn allows(&self, service: &ServiceName, name: &str) -> bool {
        let denied = self.denied.lock().unwrap();
        !denied.iter().any(|(who, what)| who == service.as_str() && what == name)
    }

    pub(crate) fn offer(&self, service: &str, protocol: Protocol) {
        let name = ServiceName::new(service).unwrap();
        let callee = Callee { name, app_id: None, protocol, app_token: None };
        self.services.lock().unwrap().insert(service.to_owned(), callee);
    }
}

#[async_trait]
impl AppBackend for Node {
    fn instance(&self, id: &InstanceId) -> Option<Arc<Instance>> {
        self.instances.lock().unwrap().get(id).cloned()
    }

    fn service(&self, name: &str) -> Option<Callee> {
        self.services.lock().unwrap().get(name).cloned()
    }

    fn may_call(&self, _: &ServiceName, callee: &ServiceName) -> bool {
        callee.as_str() != "vault"
    }

    fn may_use(&self, service: &ServiceName, _: StoreKind, store: &str) -> bool {
        self.allows(service, store)
    }

    fn may_read_secret(&self, service: &ServiceName, _: &str, secret: &str) -> bool {
        self.allows(service, secret)
    }

    fn namespace(&self) -> Arc<str> {
        "shop".into()
    }

    fn pubsub(&self, service: &ServiceName, name: &str) -> Option<Arc<manifest::PubSub>> {
        let known = self.pubsubs.lock().unwrap().get(name).cloned();
        known.filter(|pubsub| pubsub.scopes.allows(service))
    }

    fn state_outbox(&self, store: &str) -> Option<manifest::StateOutbox> {
        self.outboxes.lock().unwrap().get(store).cloned()
    }

    async fn shutdown(&self, id: &InstanceId) -> Result<(), backend::Error> {
        self.stopped.lock().unwrap().push(id.clone());
        Ok(())
    }
}

#[async_trait]
impl Reachable for Node {
    fn address(&self, service: &ServiceName) -> Option<SocketAddr> {
        self.addresses.borrow().get(service).copied()
    }

    async fn ready(&self, service: &ServiceName) {
        let mut addresses = self.addresses.subscribe();
        // The sender lives as long as the node does.
        let _ = addresses.wait_for(|all| all.contains_key(service)).await;
    }
}
