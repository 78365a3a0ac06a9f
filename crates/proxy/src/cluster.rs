//! The instances of one service and how requests are spread over them.

use crate::{counters::Counters, endpoint::Endpoint};
use base::ServiceName;
use logic::balance::{Algorithm, Candidates, Ring, WEIGHT_ONE, hash};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

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
    pub(crate) waiting: Arc<AtomicUsize>,
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
            waiting: Arc::default(),
            ring: None,
        }
    }

    /// The same service with other settings and the same counters.
    #[must_use]
    pub fn with_balance(&self, algorithm: Algorithm, hash_on: HashOn) -> Self {
        Self { algorithm, hash_on, ..self.clone() }.with_members(self.members.clone())
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

    /// Counts a waiting request in; `None` when there are too many.
    pub(crate) fn wait_in_line(&self, most: usize) -> Option<InLine> {
        let line = InLine(Arc::clone(&self.waiting));
        let before = self.waiting.fetch_add(1, Relaxed);
        (before < most).then_some(line)
    }
}

/// A request that counts as waiting until this is dropped.
#[derive(Debug)]
pub(crate) struct InLine(Arc<AtomicUsize>);

impl Drop for InLine {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// A cluster as one request sees it at one moment.
pub(crate) struct View<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) now_ms: u64,
    pub(crate) slow_start_ms: u64,
    /// Endpoints this request has tried in vain.
    pub(crate) tried: &'a [u64],
    /// Endpoints that failed of late are passed over.
    pub(crate) spare_penalised: bool,
}

impl Candidates for View<'_> {
    fn count(&self) -> usize {
        self.cluster.members.len()
    }

    fn is_available(&self, at: usize) -> bool {
        let member = &self.cluster.members[at];
        let is_spared = self.spare_penalised && member.is_penalised(self.now_ms);
        !(member.is_draining() || is_spared || self.tried.contains(&member.id()))
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
