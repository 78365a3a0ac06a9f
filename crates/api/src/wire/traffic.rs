//! Who uses what, and who answers how fast, on the wire.

use super::{InstanceState, NodeUsage, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The traffic of all services, as counted by the data plane.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Traffic {
    /// When this was read.
    pub at: Time,
    /// Over which time the rates and latencies are.
    pub window_ms: u64,
    /// Each service that takes requests, by name.
    pub services: Vec<TrafficService>,
    /// The listeners of the data plane: the gateway, and one for each caller and need.
    pub listeners: Vec<Listener>,
}

/// The traffic of one service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TrafficService {
    /// Its name.
    pub service: String,
    /// All its instances together.
    pub total: TrafficCounts,
    /// Each of its instances, under its name `users/1`, in order.
    pub instances: Vec<TrafficInstance>,
}

/// The traffic of one instance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TrafficInstance {
    /// Its name, `users/1`.
    pub instance: String,
    /// What it did.
    pub counts: TrafficCounts,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TrafficCounts {
    /// Requests since the node started.
    pub requests: u64,
    /// Requests a second over the window.
    pub requests_per_second: f64,
    /// Requests that are being worked on.
    pub in_flight: u64,
    /// Requests since the node started that ended with a status of 500 or more, or without an answer.
    pub errors: u64,
    /// Errors a second over the window.
    pub errors_per_second: f64,
    /// Attempts beyond the first since the node started.
    pub retries: u64,
    /// How long answers took over the window; `null` when there were none.
    pub latency: Option<Latency>,
}

/// How long answers took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Latency {
    /// Half of the answers were at least this fast.
    pub p50_ms: f64,
    /// 95 of 100 were.
    pub p95_ms: f64,
    /// 99 of 100 were.
    pub p99_ms: f64,
}

/// One listener of the data plane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Listener {
    /// `gateway`, or `orders → users`.
    pub name: String,
    /// Where it listens.
    pub address: String,
    /// Open connections.
    pub connections: u64,
    /// Requests since the node started.
    pub requests: u64,
}

/// Who uses what at this moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Top {
    /// When this was read.
    pub at: Time,
    /// The node itself.
    pub node: NodeUsage,
    /// Each instance, in the order of the file.
    pub instances: Vec<TopRow>,
}

/// One instance in [`Top`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TopRow {
    /// Its name, `users/1`.
    pub instance: String,
    /// Whose it is.
    pub service: String,
    /// How far it is.
    pub state: InstanceState,
    /// Main process.
    pub pid: Option<u32>,
    /// Cores in use over the last interval.
    pub cpu_cores: Option<f64>,
    /// Resident memory.
    pub memory_bytes: Option<u64>,
    /// Processes.
    pub processes: Option<u32>,
    /// How long its process has been running.
    pub uptime_ms: Option<u64>,
    /// How often it was started again by itself.
    pub restarts: u32,
    /// Its traffic, when it takes any.
    pub traffic: Option<TrafficCounts>,
}
