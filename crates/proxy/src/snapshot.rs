//! Everything the request path needs to know, at one time, immutable.

use crate::{
    cluster::Cluster,
    counters::Counters,
    settings::{Clients, RouteSettings},
};
use base::ServiceName;
use logic::{
    names::ByName,
    route::{Path, Rule, Table},
};
use std::{sync::Arc, time::Duration};

/// A route of the gateway.
#[derive(Clone, Debug)]
pub struct Route {
    /// What a request must be like.
    pub rule: Rule,
    /// Where it goes, by weight; none when its policy answers, and what passes all the same is not found.
    pub targets: Vec<Target>,
    /// The prefix of the rule is removed before forwarding.
    pub strip: bool,
    /// How long until the response's head; `None`: the data plane's default.
    pub timeout: Option<Duration>,
    /// How often a request is sent again; `None`: `logic::retry::RETRIES_DEFAULT`.
    pub retries: Option<u32>,
    /// What it asks of requests and how they are forwarded.
    pub settings: RouteSettings,
    /// Its counters; give the same ones again in the next snapshot to go on counting.
    pub counters: Arc<Counters>,
}

/// A target of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The service.
    pub service: ServiceName,
    /// Its share, relative to the others.
    pub weight: u32,
}

/// Routes and services at one time. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub(crate) table: Arc<Table>,
    pub(crate) routes: Arc<[Route]>,
    pub(crate) clusters: Arc<ByName<ServiceName, Arc<Cluster>>>,
    pub(crate) clients: Arc<Clients>,
}

impl Snapshot {
    /// Compiles routes and services.
    #[must_use]
    pub fn new(routes: Vec<Route>, clusters: impl IntoIterator<Item = Arc<Cluster>>) -> Self {
        let rules: Vec<Rule> = routes.iter().map(|route| route.rule.clone()).collect();
        let by_name = |cluster: Arc<Cluster>| (cluster.service.clone(), cluster);
        Self {
            table: Arc::new(Table::new(&rules)),
            routes: routes.into(),
            clusters: Arc::new(clusters.into_iter().map(by_name).collect()),
            clients: Arc::default(),
        }
    }

    /// The same with what clients of the gateway may do.
    #[must_use]
    pub fn with_clients(self, clients: Clients) -> Self {
        Self { clients: Arc::new(clients), ..self }
    }

    /// What clients of the gateway may do.
    #[must_use]
    pub fn clients(&self) -> &Clients {
        &self.clients
    }

    /// The same routes with other services.
    #[must_use]
    pub fn with_clusters(&self, clusters: impl IntoIterator<Item = Arc<Cluster>>) -> Self {
        let by_name = |cluster: Arc<Cluster>| (cluster.service.clone(), cluster);
        Self {
            table: Arc::clone(&self.table),
            routes: Arc::clone(&self.routes),
            clusters: Arc::new(clusters.into_iter().map(by_name).collect()),
            clients: Arc::clone(&self.clients),
        }
    }

    /// The services.
    #[must_use]
    pub fn clusters(&self) -> &ByName<ServiceName, Arc<Cluster>> {
        &self.clusters
    }

    /// The routes.
    #[must_use]
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }
}

impl Route {
    /// What it matches, as one would write it: host and path.
    pub(crate) fn pattern(&self) -> Arc<str> {
        let host = self.rule.host.as_deref().unwrap_or_default();
        match &self.rule.path {
            Path::Prefix(path) => [host, path].concat().into(),
            Path::Exact(path) => ["= ", host, path].concat().into(),
        }
    }

    /// The prefix to remove from paths, if any.
    pub(crate) fn stripped(&self) -> Option<&str> {
        match &self.rule.path {
            Path::Prefix(prefix) if self.strip => Some(prefix),
            Path::Prefix(_) | Path::Exact(_) => None,
        }
    }
}
