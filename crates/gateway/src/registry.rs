//! Who is there: services, their instances, and the routes that lead to them.
//!
//! Plain state behind one lock that no request ever takes. Every change ends in a new snapshot.

use crate::view::{InstanceView, RouteView, ServiceView};
use base::{InstanceId, ServiceName};
use logic::route::{Path, Rule};
use manifest::{HashOn, PathMatch, System};
use proxy::{Algorithm, Cluster, Counters, Endpoint, Route, Snapshot, Target};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
};

/// Everything the snapshots are made of.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    snapshot: Snapshot,
    /// Services, with the settings and counters of their clusters; the members are made anew each time.
    clusters: BTreeMap<ServiceName, Arc<Cluster>>,
    instances: BTreeMap<InstanceId, Instance>,
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
    /// Takes over routes and balancing of `system`, and forgets services that are gone.
    pub(crate) fn apply(&mut self, system: &System) -> Snapshot {
        for service in &system.services {
            let hash_on = match &service.balance.hash_on {
                HashOn::Client => proxy::HashOn::Client,
                HashOn::Header(name) => proxy::HashOn::Header(name.to_ascii_lowercase()),
                HashOn::Cookie(name) => proxy::HashOn::Cookie(name.clone()),
            };
            let cluster = Arc::new(
                self.cluster(&service.name).with_balance(service.balance.algorithm, hash_on),
            );
            self.clusters.insert(service.name.clone(), cluster);
        }
        let wanted: BTreeSet<&ServiceName> = system.services.iter().map(|s| &s.name).collect();
        self.instances.retain(|id, instance| {
            let is_idle = instance.all().all(|e| e.is_draining() && e.in_flight() == 0);
            wanted.contains(&id.service) || !is_idle
        });
        let used: BTreeSet<&ServiceName> = self.instances.keys().map(|id| &id.service).collect();
        self.clusters.retain(|name, _| wanted.contains(name) || used.contains(name));
        let routes = system.gateway.routes.iter().map(|route| self.compile(route)).collect();
        self.snapshot = Snapshot::new(routes, self.clusters.values().cloned());
        self.snapshot.clone()
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
    fn compile(&self, route: &manifest::Route) -> Route {
        let path = match &route.path {
            PathMatch::Prefix(path) => Path::Prefix(path.clone()),
            PathMatch::Exact(path) => Path::Exact(path.clone()),
        };
        let headers = route.headers.iter().map(|h| (h.name.clone(), h.value.clone())).collect();
        let (host, methods) = (route.host.clone(), route.methods.clone());
        let rule = Rule { host, path, methods, headers };
        let before = self.snapshot.routes().iter().find(|before| before.rule == rule);
        let counters = before.map_or_else(Arc::<Counters>::default, |b| Arc::clone(&b.counters));
        let target =
            |to: &manifest::Target| Target { service: to.service.clone(), weight: to.weight };
        Route {
            rule,
            targets: route.to.iter().map(target).collect(),
            strip: route.strip,
            timeout: route.timeout,
            retries: route.retries,
            counters,
        }
    }
}
