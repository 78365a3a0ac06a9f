//! What the data plane shows of itself.

use crate::{
    counters::Totals,
    listener::{ListenerId, ListenerKind},
};
use base::{InstanceId, ServiceName};
use std::net::SocketAddr;

/// What the data plane is doing.
#[derive(Clone, Debug)]
pub struct Stats {
    /// Services by name.
    pub services: Vec<ServiceStats>,
    /// Routes in the order of the snapshot.
    pub routes: Vec<RouteStats>,
    /// Listeners in the order they were opened.
    pub listeners: Vec<ListenerStats>,
}

/// A service.
#[derive(Clone, Debug)]
pub struct ServiceStats {
    /// Its name.
    pub service: ServiceName,
    /// What callers saw of it, from all sides.
    pub totals: Totals,
    /// Requests that wait for an instance or a place.
    pub waiting: usize,
    /// What its breaker does; closed when it has none.
    pub breaker: logic::breaker::Phase,
    /// Its instances that take requests.
    pub endpoints: Vec<EndpointStats>,
}

/// An instance.
#[derive(Clone, Debug)]
pub struct EndpointStats {
    /// Its name.
    pub instance: InstanceId,
    /// Where it is.
    pub address: SocketAddr,
    /// Its weight.
    pub weight: u32,
    /// Requests and tunnels it works on.
    pub in_flight: u64,
    /// Its latency of late in microseconds (peak EWMA); 0: not known.
    pub latency_us: u32,
    /// It failed of late and is passed over for a while.
    pub is_penalised: bool,
    /// What it has done.
    pub totals: Totals,
}

/// A route.
#[derive(Clone, Debug)]
pub struct RouteStats {
    /// What it has done.
    pub totals: Totals,
}

/// A listener.
#[derive(Clone, Debug)]
pub struct ListenerStats {
    /// Its name.
    pub id: ListenerId,
    /// What it is for.
    pub kind: ListenerKind,
    /// Where it listens.
    pub address: SocketAddr,
    /// Connections that are open.
    pub open: usize,
    /// Connections since it was opened.
    pub accepted: u64,
}
