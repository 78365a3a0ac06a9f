//! What the gateway shows of itself.

use base::{InstanceId, ServiceName};
use logic::{balance::Algorithm, route::Rule};
use proxy::{Target, Totals};
use std::net::SocketAddr;

/// A service as the registry knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceView {
    /// Its name.
    pub service: ServiceName,
    /// How requests are spread over it.
    pub algorithm: Algorithm,
    /// Its instances by number.
    pub instances: Vec<InstanceView>,
}

/// An instance as the registry knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceView {
    /// Its name.
    pub instance: InstanceId,
    /// Where it is.
    pub address: SocketAddr,
    /// Its weight.
    pub weight: u32,
    /// Whether it gets new requests.
    pub is_routed: bool,
    /// Requests and tunnels it works on, at its earlier addresses too.
    pub in_flight: u64,
    /// What it has done.
    pub totals: Totals,
}

/// A route of the gateway with what it has done.
#[derive(Clone, Debug)]
pub struct RouteView {
    /// What a request must be like.
    pub rule: Rule,
    /// Where it leads.
    pub targets: Vec<Target>,
    /// What it has done.
    pub totals: Totals,
}

/// What the gateway and the data plane are doing.
#[derive(Clone, Debug)]
pub struct Stats {
    /// Services and listeners.
    pub data_plane: proxy::Stats,
    /// Routes in the order of the file.
    pub routes: Vec<RouteView>,
}
