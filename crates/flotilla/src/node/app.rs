//! The node as the app API sees it: who calls, who can be called, and what each may use.

use super::door::Addresses;
use super::peers::Neighbours;
use api::{
    app::{AppBackend, Callee, Channel, Component, HealthCheck, Instance, Protocol, Subscription},
    backend,
};
use arc_swap::ArcSwap;
use async_trait::async_trait;
use base::{InstanceId, ServiceName};
use coordination::StoreKind;
use manifest::{AppProtocol, Check, System};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, OnceLock},
};
use supervisor::{InstanceState, Status};

/// Answers from memory. Cheap to clone.
#[derive(Clone)]
pub(super) struct Apps(Arc<Inner>);

struct Inner {
    supervisor: supervisor::Handle,
    data_plane: proxy::Handle,
    neighbours: Neighbours,
    directory: ArcSwap<Directory>,
    /// Who knows what services are subscribed to; it stands on this and comes later.
    events: OnceLock<events::Handle>,
}

/// What holds of services and instances at one time.
#[derive(Clone, Default)]
struct Directory {
    namespace: Arc<str>,
    services: Arc<HashMap<ServiceName, Known>>,
    /// Services by what callers call them besides their names.
    aliases: HashMap<String, ServiceName>,
    instances: HashMap<InstanceId, Arc<Instance>>,
    /// Stores that not every service may use, with those that may.
    scopes: HashMap<(StoreKind, String), HashSet<ServiceName>>,
    /// Type and version of stores that component files define.
    origins: HashMap<(StoreKind, String), (String, String)>,
    endpoints: BTreeMap<String, Arc<str>>,
    /// Names of the broker in Dapr's API.
    pubsubs: Arc<[Arc<manifest::PubSub>]>,
    /// Where the transactions of state stores are published.
    state_outboxes: Arc<BTreeMap<String, manifest::StateOutbox>>,
}

/// A service and what its instances have in common.
struct Known {
    callee: Callee,
    health: Option<HealthCheck>,
    secrets: BTreeMap<String, manifest::SecretRule>,
    /// The instance of one that has not been seen yet.
    unseen: Arc<Instance>,
}

/// Tokens of services, with their secrets in place.
#[derive(Clone, Debug, Default)]
pub(super) struct Tokens(pub(super) HashMap<ServiceName, Pair>);

/// What a service's requests must carry, and what requests to it carry.
#[derive(Clone, Debug, Default)]
pub(super) struct Pair {
    pub(super) own: Option<Arc<str>>,
    pub(super) app: Option<Arc<str>>,
}

impl Apps {
    /// Knows the system, and no instance yet.
    pub(super) fn new(
        supervisor: supervisor::Handle,
        data_plane: proxy::Handle,
        system: &System,
        tokens: &Tokens,
        neighbours: Neighbours,
    ) -> Self {
        let (directory, events) = (ArcSwap::default(), OnceLock::new());
        let inner = Inner { supervisor, data_plane, neighbours, directory, events };
        let apps = Self(Arc::new(inner));
        apps.apply(system, tokens);
        apps
    }

    /// Says who knows of subscriptions, once.
    pub(super) fn know(&self, events: events::Handle) {
        let _is_first = self.0.events.set(events);
    }

    /// Takes another system over.
    pub(super) fn apply(&self, system: &System, tokens: &Tokens) {
        let status = self.0.supervisor.status();
        let directory = Directory::of(system, tokens).with(&status, &self.listeners());
        self.0.directory.store(Arc::new(directory));
    }

    /// Where the app APIs listen.
    fn listeners(&self) -> Addresses {
        let listeners = self.0.data_plane.stats().listeners.into_iter();
        let address = |listener: proxy::ListenerStats| match listener.kind {
            proxy::ListenerKind::App { caller } => Some((caller, listener.address)),
            proxy::ListenerKind::Gateway | proxy::ListenerKind::Need { .. } => None,
        };
        listeners.filter_map(address).collect()
    }

    /// Follows the instances until the node ends, and tells `ended` of each run that has ended.
    pub(super) async fn follow(self, ended: impl Fn(&InstanceId), mut stop: runtime::Stop) {
        let mut status = self.0.supervisor.status();
        let mut running: HashMap<InstanceId, u32> = HashMap::new();
        loop {
            let now: HashMap<InstanceId, u32> = status
                .services
                .iter()
                .flat_map(|service| &service.instances)
                .filter_map(|instance| Some((instance.id.clone(), instance.pid?)))
                .collect();
            running
                .iter()
                .filter(|(id, pid)| now.get(*id) != Some(*pid))
                .for_each(|(id, _)| ended(id));
            running = now;
            let listeners = self.listeners();
            self.0.directory.rcu(|directory| directory.with(&status, &listeners));
            tokio::select! {
                next = self.0.supervisor.changed(status.revision) => status = next,
                () = stop.wait() => return,
            }
        }
    }
}

impl Directory {
    fn of(system: &System, tokens: &Tokens) -> Self {
        let of = |service: &manifest::Service| known(service, tokens);
        let services =
            system.services.iter().map(|service| (service.name.clone(), of(service))).collect();
        let is_alias = |service: &&manifest::Service| service.api.app_id != service.name.as_str();
        let aliases = system.services.iter().filter(is_alias);
        let file = &system.coordination;
        let endpoint = |endpoint: &manifest::HttpEndpoint| {
            (endpoint.name.clone(), endpoint.url.as_str().into())
        };
        Self {
            namespace: system.name.as_str().into(),
            services: Arc::new(services),
            aliases: aliases.map(|s| (s.api.app_id.clone(), s.name.clone())).collect(),
            instances: HashMap::new(),
            scopes: scopes(file),
            origins: origins(file),
            endpoints: file.endpoints.iter().map(endpoint).collect(),
            pubsubs: system.events.pubsubs.iter().cloned().map(Arc::new).collect(),
            state_outboxes: Arc::new(system.events.state_outboxes.clone()),
        }
    }

    /// The same with the instances of `status`.
    fn with(&self, status: &Status, listeners: &Addresses) -> Self {
        let mut instances = HashMap::new();
        for instance in status.services.iter().flat_map(|service| &service.instances) {
            let Some(known) = self.services.get(&instance.id.service) else { continue };
            let channel = instance.address.map(|address| Channel {
                address,
                protocol: known.callee.protocol,
                is_open: instance.state == InstanceState::Ready,
                health: known.health.clone(),
                concurrency_max: 0,
            });
            let api = listeners.get(&instance.id).copied();
            let seen = Instance { app: channel, api, ..Instance::clone(&known.unseen) };
            instances.insert(instance.id.clone(), Arc::new(seen));
        }
        Self { instances, ..self.clone() }
    }
}

fn known(service: &manifest::Service, tokens: &Tokens) -> Known {
    let api = &service.api;
    let Pair { own: token, app: app_token } =
        tokens.0.get(&service.name).cloned().unwrap_or_default();
    let protocol = match api.protocol {
        AppProtocol::Http => Protocol::Http,
        AppProtocol::Https => Protocol::Https,
        AppProtocol::Grpc => Protocol::Grpc,
        AppProtocol::Grpcs => Protocol::Grpcs,
        AppProtocol::H2c => Protocol::H2c,
    };
    let health = service.probes.ready.as_ref().and_then(|probe| match &probe.check {
        Check::Http { path, .. } => Some(HealthCheck {
            path: path.clone(),
            interval: probe.period,
            timeout: probe.timeout,
            threshold: probe.failures,
        }),
        Check::Tcp { .. } | Check::Command(_) | Check::Grpc { .. } => None,
    });
    let is_alias = api.app_id != service.name.as_str();
    let app_id: Option<Arc<str>> = is_alias.then(|| api.app_id.as_str().into());
    let unseen = Instance {
        app_id: app_id.clone(),
        app: None,
        api: None,
        body_len_max: usize::try_from(api.body_max.0).ok(),
        token,
        app_token: app_token.clone(),
    };
    Known {
        callee: Callee { name: service.name.clone(), app_id, protocol, app_token },
        health,
        secrets: api.secrets.clone(),
        unseen: Arc::new(unseen),
    }
}

/// Every store with who may use it and where it comes from.
fn stores(
    file: &manifest::Coordination,
) -> impl Iterator<Item = ((StoreKind, String), &manifest::Scopes, &manifest::Origin)> {
    let state = file.state.iter().map(|s| ((state_kind(s), s.name.clone()), &s.scopes, &s.origin));
    let locks =
        file.locks.iter().map(|s| ((StoreKind::Lock, s.name.clone()), &s.scopes, &s.origin));
    let config = file.configuration.iter();
    let config = config.map(|s| ((StoreKind::Configuration, s.name.clone()), &s.scopes, &s.origin));
    let secrets =
        file.secrets.iter().map(|s| ((StoreKind::Secret, s.name.clone()), &s.scopes, &s.origin));
    state.chain(locks).chain(config).chain(secrets)
}

/// The stores that not everybody may use.
fn scopes(file: &manifest::Coordination) -> HashMap<(StoreKind, String), HashSet<ServiceName>> {
    let limited = stores(file).filter(|(_, scopes, _)| !scopes.0.is_empty());
    limited.map(|(store, scopes, _)| (store, scopes.0.iter().cloned().collect())).collect()
}

fn origins(file: &manifest::Coordination) -> HashMap<(StoreKind, String), (String, String)> {
    let origin = |origin: &manifest::Origin| (origin.kind.clone(), origin.version.clone());
    stores(file).map(|(store, _, of)| (store, origin(of))).collect()
}

fn state_kind(store: &manifest::StateStore) -> StoreKind {
    match store.kind {
        manifest::StateKind::Durable => StoreKind::State,
        manifest::StateKind::Cache { .. } => StoreKind::Cache,
    }
}

#[async_trait]
impl AppBackend for Apps {
    fn instance(&self, id: &InstanceId) -> Option<Arc<Instance>> {
        let directory = self.0.directory.load();
        let seen = directory.instances.get(id);
        // Its listener is there before the instance is.
        let unseen = || Some(&directory.services.get(&id.service)?.unseen);
        seen.or_else(unseen).cloned()
    }

    fn service(&self, name: &str) -> Option<Callee> {
        let directory = self.0.directory.load();
        let by_name = || directory.services.get(&ServiceName::new(name).ok()?);
        let by_alias = || directory.services.get(directory.aliases.get(name)?);
        let own = by_alias().or_else(by_name).map(|known| known.callee.clone());
        own.or_else(|| self.0.neighbours.service(name))
    }

    fn may_call(&self, _: &ServiceName, _: &ServiceName) -> bool {
        true
    }

    fn namespace(&self) -> Arc<str> {
        Arc::clone(&self.0.directory.load().namespace)
    }

    fn external(&self, name: &str) -> Option<Arc<str>> {
        self.0.directory.load().endpoints.get(name).cloned()
    }

    fn externals(&self) -> Vec<(String, Arc<str>)> {
        let endpoints = &self.0.directory.load().endpoints;
        endpoints.iter().map(|(name, url)| (name.clone(), Arc::clone(url))).collect()
    }

    fn may_use(&self, service: &ServiceName, kind: StoreKind, store: &str) -> bool {
        let directory = self.0.directory.load();
        // Nearly every system has no scopes at all.
        directory.scopes.is_empty()
            || directory
                .scopes
                .get(&(kind, store.to_owned()))
                .is_none_or(|services| services.contains(service))
    }

    fn may_read_secret(&self, service: &ServiceName, store: &str, secret: &str) -> bool {
        let directory = self.0.directory.load();
        let known = directory.services.get(service);
        let rule = known.and_then(|known| known.secrets.get(store));
        rule.is_none_or(|rule| rule.allows(secret))
    }

    fn origin(&self, kind: StoreKind, store: &str) -> Option<(String, String)> {
        self.0.directory.load().origins.get(&(kind, store.to_owned())).cloned()
    }

    fn pubsub(&self, service: &ServiceName, name: &str) -> Option<Arc<manifest::PubSub>> {
        let directory = self.0.directory.load();
        let fits = |it: &&Arc<manifest::PubSub>| it.name == name && it.scopes.allows(service);
        directory.pubsubs.iter().find(fits).cloned()
    }

    fn state_outbox(&self, store: &str) -> Option<manifest::StateOutbox> {
        self.0.directory.load().state_outboxes.get(store).cloned()
    }

    fn components(&self, service: &ServiceName) -> Vec<Component> {
        let directory = self.0.directory.load();
        let usable = directory.pubsubs.iter().filter(|it| it.scopes.allows(service));
        let component = |it: &Arc<manifest::PubSub>| Component {
            name: it.name.clone(),
            kind: it.origin.kind.clone(),
            version: it.origin.version.clone(),
            capabilities: Vec::new(),
        };
        usable.map(component).collect()
    }

    fn subscriptions(&self, service: &ServiceName) -> Vec<Subscription> {
        let directory = self.0.directory.load();
        let Some(events) = self.0.events.get() else { return Vec::new() };
        let Some(pubsub) = directory.pubsubs.iter().find(|it| it.scopes.allows(service)) else {
            return Vec::new();
        };
        let all = events.subscriptions().into_iter();
        let own = all.filter(|it| it.service.as_ref() == Some(service));
        own.map(|it| Subscription {
            pubsub: pubsub.name.clone(),
            topic: it.topic.to_string(),
            rules: it.routes.into_iter().map(|(when, to)| (when.unwrap_or_default(), to)).collect(),
            dead_letter: it.dead_letter.map(|topic| topic.to_string()),
        })
        .collect()
    }

    /// Replaces the instance, as `flotilla restart` does; there is no other process to end than its own.
    async fn shutdown(&self, id: &InstanceId) -> Result<(), backend::Error> {
        if self.0.neighbours.end() {
            return Ok(());
        }
        let target = supervisor::Target::Instance(id.clone());
        self.0.supervisor.restart(&target).await.map_err(super::backend::refusal)
    }
}
