//! The instances of one service and how requests are spread over them.

pub(crate) mod health;

use crate::{counters::Counters, endpoint::Endpoint, settings::Traffic};
use base::ServiceName;
use health::Health;
use logic::{
    balance::{Algorithm, Candidates, Ring, WEIGHT_ONE, hash},
    outlier::{self, Event},
};
use std::{sync::Arc, time::Duration};
use tracing::warn;

/// Share of its weight a new instance starts with, in percent: enough to be measured and warmed up.
const SLOW_START_PERCENT: u64 = 10;

/// What `consistent_hash` hashes. A request that lacks it goes by the client's address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HashOn {
    /// The client's address.
    #[default]
    Client,
    /// A header's value; the name in lowercase.
    Header(String),
    /// A cookie's value.
    Cookie(String),
}

/// One service of a snapshot.
#[derive(Clone, Debug)]
pub struct Cluster {
    pub(crate) service: ServiceName,
    pub(crate) algorithm: Algorithm,
    pub(crate) hash_on: HashOn,
    pub(crate) members: Vec<Arc<Endpoint>>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) health: Arc<Health>,
    /// `None`: nobody has said anything.
    traffic: Option<Arc<Traffic>>,
    ring: Option<Ring>,
}

impl Cluster {
    /// A service without instances.
    #[must_use]
    pub fn new(service: ServiceName, algorithm: Algorithm, hash_on: HashOn) -> Self {
        Self {
            service,
            algorithm,
            hash_on,
            members: Vec::new(),
            counters: Arc::default(),
            health: Arc::default(),
            traffic: None,
            ring: None,
        }
    }

    /// The same service with other settings and the same counters.
    #[must_use]
    pub fn with_balance(&self, algorithm: Algorithm, hash_on: HashOn) -> Self {
        Self { algorithm, hash_on, ..self.clone() }.with_members(self.members.clone())
    }

    /// The same service with other bounds of its traffic and the same counters. A service without them has
    /// those of the data plane's [`Config`](crate::Config).
    #[must_use]
    pub fn with_traffic(&self, traffic: Traffic) -> Self {
        Self { traffic: Some(Arc::new(traffic)), ..self.clone() }
    }

    /// How its traffic is bounded, if anybody has said so.
    #[must_use]
    pub fn traffic(&self) -> Option<&Traffic> {
        self.traffic.as_deref()
    }

    /// The same service with these instances, and the same counters. The order matters to no algorithm.
    #[must_use]
    pub fn with_members(&self, members: Vec<Arc<Endpoint>>) -> Self {
        let ring = (self.algorithm == Algorithm::ConsistentHash).then(|| {
            // By instance, not by address: a restarted instance keeps its keys.
            Ring::new(members.iter().map(|member| {
                let weight = member.weight().saturating_mul(WEIGHT_ONE);
                (hash(member.instance().to_string().as_bytes()), weight)
            }))
        });
        Self { members, ring, ..self.clone() }
    }

    /// Its name.
    #[must_use]
    pub fn service(&self) -> &ServiceName {
        &self.service
    }

    /// How requests are spread over it.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Its instances.
    #[must_use]
    pub fn members(&self) -> &[Arc<Endpoint>] {
        &self.members
    }

    /// What it has done.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Books what came of a request that `endpoint` was given. Costs a load when that is an answer, as nearly
    /// always.
    pub(crate) fn saw(&self, endpoint: &Endpoint, now_ms: u64, event: Event, traffic: &Traffic) {
        let settings = traffic.outlier.unwrap_or(NEVER_EJECTED);
        let may_eject = || {
            let ejected = self.members.iter().filter(|member| member.is_ejected(now_ms)).count();
            outlier::may_eject(ejected, self.members.len(), &settings)
        };
        if let Some(until_ms) = endpoint.saw(now_ms, event, &settings, may_eject) {
            self.health.ejected_until(until_ms);
            let out_ms = until_ms.saturating_sub(now_ms);
            warn!(instance = %endpoint.instance(), out_ms, "an instance that fails gets no requests");
        }
    }

    /// Whether so many instances are ejected that it counts for nothing.
    fn is_panic(&self, now_ms: u64, traffic: &Traffic) -> bool {
        let settings = traffic.outlier.unwrap_or(NEVER_EJECTED);
        let (mut ejected, mut members) = (0, 0);
        for member in self.members.iter().filter(|member| !member.is_draining()) {
            members += 1;
            ejected += usize::from(member.is_ejected(now_ms));
        }
        outlier::is_panic(ejected, members, &settings)
    }

    /// Whether an instance would take the request if it did not have as many as it may have.
    pub(crate) fn is_full(&self, most: u64) -> bool {
        self.members.iter().any(|member| !member.is_draining() && member.in_flight() >= most)
    }
}

/// Nothing ejects an instance; those that cannot be reached pause all the same.
const NEVER_EJECTED: outlier::Settings = outlier::Settings {
    consecutive: 0,
    eject_ms: 30_000,
    eject_ms_max: 300_000,
    ejected_percent_max: 50,
    panic_percent: 50,
};

/// Whole milliseconds, as many as a clock of the data plane can have.
fn millis(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1_000).saturating_add(u64::from(duration.subsec_millis()))
}

/// A cluster as one request sees it at one moment.
pub(crate) struct View<'a> {
    cluster: &'a Cluster,
    now_ms: u64,
    slow_start_ms: u64,
    /// Endpoints this request has tried in vain.
    tried: &'a [u64],
    /// Most requests of an endpoint.
    open_max: u64,
    /// Endpoints that failed of late are passed over.
    pub(crate) is_choosy: bool,
    /// But not those that were ejected.
    is_panic: bool,
}

impl<'a> View<'a> {
    /// The cluster at `now_ms` for a request that has tried some endpoints in vain.
    pub(crate) fn new(
        cluster: &'a Cluster,
        traffic: &Traffic,
        now_ms: u64,
        tried: &'a [u64],
        open_max: u64,
    ) -> Self {
        Self {
            cluster,
            now_ms,
            slow_start_ms: millis(traffic.slow_start),
            tried,
            open_max,
            is_choosy: true,
            is_panic: cluster.health.has_ejected(now_ms) && cluster.is_panic(now_ms, traffic),
        }
    }

    fn is_out(&self, member: &Endpoint) -> bool {
        let record = member.record();
        let is_out =
            if self.is_panic { record.is_paused(self.now_ms) } else { record.is_out(self.now_ms) };
        self.is_choosy && is_out
    }
}

impl Candidates for View<'_> {
    fn count(&self) -> usize {
        self.cluster.members.len()
    }

    fn is_available(&self, at: usize) -> bool {
        let member = &self.cluster.members[at];
        let is_full = self.open_max != u64::MAX && member.in_flight() >= self.open_max;
        !(member.is_draining()
            || self.is_out(member)
            || is_full
            || self.tried.contains(&member.id()))
    }

    fn weight(&self, at: usize) -> u32 {
        let member = &self.cluster.members[at];
        let full = member.weight().saturating_mul(WEIGHT_ONE);
        let age_ms = member.age_ms(self.now_ms);
        if self.slow_start_ms == 0 || age_ms >= self.slow_start_ms || full == 0 {
            return full;
        }
        let grown = (100 - SLOW_START_PERCENT) * age_ms / self.slow_start_ms;
        let share = u64::from(full) * (SLOW_START_PERCENT + grown) / 100;
        u32::try_from(share).unwrap_or(full).max(1)
    }

    fn in_flight(&self, at: usize) -> u64 {
        self.cluster.members[at].in_flight()
    }

    fn latency_us(&self, at: usize) -> u32 {
        self.cluster.members[at].latency_us(self.now_ms)
    }

    fn ring(&self) -> Option<&Ring> {
        self.cluster.ring.as_ref()
    }
}
