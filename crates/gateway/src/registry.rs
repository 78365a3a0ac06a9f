//! Who is there: services, their instances, and the routes that lead to them.
//!
//! Plain state behind one lock that no request ever takes. Every change ends in a new snapshot.

use crate::{
    error::Error,
    jwks::Keyring,
    policies::{Policies, Secrets},
    settings,
    view::{InstanceView, RouteView, ServiceView},
};
use base::{InstanceId, ServiceName};
use logic::route::{Path, Rule};
use manifest::{HashOn, PathMatch, System};
use proxy::{
    Algorithm, Clients, Cluster, Counters, Endpoint, Route, RouteSettings, Snapshot, Target,
    Traffic,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
};

/// Everything the snapshots are made of.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    plan: Plan,
    snapshot: Snapshot,
    /// Services, with the settings and counters of their clusters; the members are made anew each time.
    clusters: BTreeMap<ServiceName, Arc<Cluster>>,
    instances: BTreeMap<InstanceId, Instance>,
}

/// What a configuration asks of the data plane, ready to be put in force.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    services: BTreeMap<ServiceName, Settings>,
    routes: Vec<Route>,
    policies: Policies,
    clients: Clients,
}

/// What is set for a service.
#[derive(Clone, Debug)]
struct Settings {
    algorithm: Algorithm,
    hash_on: proxy::HashOn,
    traffic: Traffic,
}

/// Where an instance is and was.
#[derive(Debug)]
struct Instance {
    /// The newest; drains when the instance is not routed.
    endpoint: Arc<Endpoint>,
    /// Earlier ones that still work on something.
    earlier: Vec<Arc<Endpoint>>,
}

impl Instance {
    fn all(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.earlier.iter().chain([&self.endpoint])
    }
}

impl Registry {
    /// What `system` asks for. What the present plan has for the same routes, as counters, is in it. Nothing changes
    /// before [`Registry::commit`].
    ///
    /// # Errors
    /// When a policy cannot be made.
    pub(crate) fn plan(
        &self,
        system: &System,
        keyring: &Keyring,
        secrets: Secrets,
        clients: Clients,
    ) -> Result<Plan, Error> {
        let rules: Vec<(Rule, &manifest::Route)> =
            system.gateway.routes.iter().map(|route| (rule(route), route)).collect();
        let policies = self.plan.policies.renewed(&rules, system, keyring, secrets)?;
        let routes = rules.into_iter().enumerate().map(|(at, (rule, route))| {
            let settings = RouteSettings {
                exchanges: settings::exchanges(route, system),
                policy: policies.get(at),
                sticky: settings::stickiness(route),
            };
            self.compile(rule, route, settings)
        });
        let routes = routes.collect();
        let services = system.services.iter().map(|it| (it.name.clone(), Settings::of(it)));
        Ok(Plan { services: services.collect(), routes, policies, clients })
    }

    /// Puts `plan` in force and forgets services that are gone. Gives back what was in force before.
    pub(crate) fn commit(&mut self, plan: Plan) -> (Snapshot, Plan) {
        let before = std::mem::replace(&mut self.plan, plan);
        for (name, settings) in &self.plan.services {
            let cluster = self.cluster(name);
            let cluster = cluster.with_balance(settings.algorithm, settings.hash_on.clone());
            let cluster = Arc::new(cluster.with_traffic(settings.traffic.clone()));
            self.clusters.insert(name.clone(), cluster);
        }
        let wanted = &self.plan.services;
        self.instances.retain(|id, instance| {
            let is_idle = instance.all().all(|e| e.is_draining() && e.in_flight() == 0);
            wanted.contains_key(&id.service) || !is_idle
        });
        let used: BTreeSet<&ServiceName> = self.instances.keys().map(|id| &id.service).collect();
        self.clusters.retain(|name, _| wanted.contains_key(name) || used.contains(name));
        let (routes, clients) = (self.plan.routes.clone(), self.plan.clients.clone());
        self.snapshot =
            Snapshot::new(routes, self.clusters.values().cloned()).with_clients(clients);
        (self.snapshot.clone(), before)
    }

    /// Lets an instance take requests.
    pub(crate) fn route(&mut self, id: &InstanceId, address: SocketAddr, weight: u32) -> Snapshot {
        match self.instances.get_mut(id) {
            Some(known) if known.endpoint.address() == address => known.endpoint.revive(weight),
            Some(known) => {
                let new = Endpoint::new(id.clone(), address, weight);
                let old = std::mem::replace(&mut known.endpoint, new);
                old.drain();
                known.earlier.retain(|earlier| earlier.in_flight() > 0);
                known.earlier.push(old);
            }
            None => {
                let endpoint = Endpoint::new(id.clone(), address, weight);
                let instance = Instance { endpoint, earlier: Vec::new() };
                self.instances.insert(id.clone(), instance);
            }
        }
        self.renew(&id.service)
    }

    /// Sends an instance no new request; `None` when it got none anyway.
    pub(crate) fn unroute(&mut self, id: &InstanceId) -> Option<Snapshot> {
        let instance = self.instances.get(id)?;
        if instance.endpoint.is_draining() {
            return None;
        }
        instance.endpoint.drain();
        Some(self.renew(&id.service))
    }

    /// All endpoints of an instance, earlier ones too.
    pub(crate) fn endpoints(&self, id: &InstanceId) -> Vec<Arc<Endpoint>> {
        self.instances.get(id).into_iter().flat_map(Instance::all).cloned().collect()
    }

    /// All services with their instances.
    pub(crate) fn services(&self) -> Vec<ServiceView> {
        let of = |service: &ServiceName| {
            let mine = self.instances.iter().filter(|(id, _)| id.service == *service);
            mine.map(|(id, instance)| InstanceView {
                instance: id.clone(),
                address: instance.endpoint.address(),
                weight: instance.endpoint.weight(),
                is_routed: !instance.endpoint.is_draining(),
                in_flight: instance.all().map(|endpoint| endpoint.in_flight()).sum(),
                totals: instance.endpoint.counters().totals(),
            })
            .collect()
        };
        let view = |cluster: &Arc<Cluster>| ServiceView {
            service: cluster.service().clone(),
            algorithm: cluster.algorithm(),
            instances: of(cluster.service()),
        };
        self.clusters.values().map(view).collect()
    }

    /// All routes with what they have done.
    pub(crate) fn routes(&self) -> Vec<RouteView> {
        let view = |route: &Route| RouteView {
            rule: route.rule.clone(),
            targets: route.targets.clone(),
            totals: route.counters.totals(),
        };
        self.snapshot.routes().iter().map(view).collect()
    }

    /// The cluster of `service`, with default settings when nobody has spoken of it yet.
    fn cluster(&self, service: &ServiceName) -> Arc<Cluster> {
        self.clusters.get(service).cloned().unwrap_or_else(|| {
            let (algorithm, hash_on) = (Algorithm::default(), proxy::HashOn::default());
            Arc::new(Cluster::new(service.clone(), algorithm, hash_on))
        })
    }

    /// A snapshot with the present instances of `service`.
    fn renew(&mut self, service: &ServiceName) -> Snapshot {
        let mine = self.instances.iter().filter(|(id, _)| id.service == *service);
        let routed = mine.map(|(_, instance)| &instance.endpoint).filter(|e| !e.is_draining());
        let members = routed.cloned().collect();
        let cluster = Arc::new(self.cluster(service).with_members(members));
        self.clusters.insert(service.clone(), cluster);
        self.snapshot = self.snapshot.with_clusters(self.clusters.values().cloned());
        self.snapshot.clone()
    }

    /// A route of the file for the data plane. A route that asks the same as before goes on counting.
    fn compile(&self, rule: Rule, route: &manifest::Route, settings: RouteSettings) -> Route {
        let before = self.snapshot.routes().iter().find(|before| before.rule == rule);
        let counters = before.map_or_else(Arc::<Counters>::default, |b| Arc::clone(&b.counters));
        let target =
            |to: &manifest::Target| Target { service: to.service.clone(), weight: to.weight };
        let first = settings.exchanges.first();
        Route {
            rule,
            targets: route.to.iter().map(target).collect(),
            strip: route.strip,
            timeout: first.map(|exchange| exchange.timeouts.response),
            retries: first.map(|exchange| exchange.retry.max),
            settings,
            counters,
        }
    }
}

impl Settings {
    fn of(service: &manifest::Service) -> Self {
        let hash_on = match &service.balance.hash_on {
            HashOn::Client => proxy::HashOn::Client,
            HashOn::Header(name) => proxy::HashOn::Header(name.to_ascii_lowercase()),
            HashOn::Cookie(name) => proxy::HashOn::Cookie(name.clone()),
        };
        let traffic = settings::traffic(service);
        Self { algorithm: service.balance.algorithm, hash_on, traffic }
    }
}

/// What a route of the file matches.
fn rule(route: &manifest::Route) -> Rule {
    let path = match &route.path {
        PathMatch::Prefix(path) => Path::Prefix(path.clone()),
        PathMatch::Exact(path) => Path::Exact(path.clone()),
    };
    let headers = route.headers.iter().map(|h| (h.name.clone(), h.value.clone())).collect();
    let query = route.query.iter().map(|q| (q.name.clone(), q.value.clone())).collect();
    Rule { host: route.host.clone(), path, methods: route.methods.clone(), headers, query }
}
