//! What the supervisor shows of itself.

use base::{ByteSize, Diagnostic, InstanceId, ServiceName, Timestamp};
use manifest::Kind;
use std::{net::SocketAddr, sync::Arc, time::Duration};

/// A picture of the whole system at one time. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// Grows with every change; two pictures with the same number are the same.
    pub revision: u64,
    /// The system's name.
    pub system: String,
    /// How far the whole is.
    pub phase: Phase,
    /// Services and jobs in file order.
    pub services: Vec<Arc<ServiceStatus>>,
}

/// How far the whole system is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Some service has not got all it should have.
    #[default]
    Starting,
    /// Every service has its instances ready, every job ended well.
    Ready,
    /// It was ready or starting, and something will not get better by waiting.
    Degraded,
    /// Being stopped.
    Stopping,
    /// Nothing runs any more.
    Stopped,
}

/// One service or job.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceStatus {
    /// Its name.
    pub name: ServiceName,
    /// Service, job or cron job.
    pub kind: Kind,
    /// What its command was detected from.
    pub language: String,
    /// How far it is.
    pub state: ServiceState,
    /// Why it is in that state, in words for people; empty when there is nothing to say.
    pub reason: String,
    /// How many instances there should be.
    pub desired: u32,
    /// How many take traffic (for jobs: 1 when it ended well).
    pub ready: u32,
    /// How long the first start waited for needs.
    pub waited: Option<Duration>,
    /// What it waits for now.
    pub waiting_for: Vec<ServiceName>,
    /// When a cron job runs next.
    pub next_run: Option<Timestamp>,
    /// What is wrong, with place, cause and fix; `None` when nothing is.
    pub problem: Option<Arc<Diagnostic>>,
    /// Its instances by number.
    pub instances: Vec<InstanceStatus>,
}

/// How far a service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceState {
    /// Waits for its needs.
    Waiting,
    /// Its build step runs.
    Building,
    /// Instances are being started.
    Starting,
    /// All instances are ready.
    Ready,
    /// New instances replace old ones.
    Updating,
    /// Some instances are ready.
    Degraded,
    /// No instance is ready and none will be soon (crash loop, refused start, failed build or job).
    Failed,
    /// A job that ended well.
    Completed,
    /// A cron job between two runs.
    Scheduled,
    /// Being stopped.
    Stopping,
    /// Nothing runs: scaled to 0 or stopped.
    Stopped,
}

/// One instance.
#[derive(Clone, Debug, PartialEq)]
pub struct InstanceStatus {
    /// Its name.
    pub id: InstanceId,
    /// How far it is.
    pub state: InstanceState,
    /// Main process.
    pub pid: Option<u32>,
    /// Port it was given.
    pub port: Option<u16>,
    /// Where requests go.
    pub address: Option<SocketAddr>,
    /// When its present process started.
    pub started_at: Option<Timestamp>,
    /// How long that process took to become ready.
    pub ready_after: Option<Duration>,
    /// How often it was started again by itself.
    pub restarts: u32,
    /// How its last process ended, in words.
    pub last_exit: Option<String>,
    /// When the next start is due, when it waits for it.
    pub next_start: Option<Timestamp>,
    /// It was running before this node started and was adopted.
    pub adopted: bool,
    /// It runs an older version of the file and is about to be replaced.
    pub outdated: bool,
    /// What it uses, as last seen.
    pub usage: Option<Usage>,
    /// More about the state, in words.
    pub message: String,
}

/// What an instance uses.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// Cores in use over the last interval.
    pub cpu: f64,
    /// Resident memory.
    pub memory: ByteSize,
    /// Processes.
    pub processes: u32,
}

/// How far an instance is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstanceState {
    /// The host is starting it.
    Starting,
    /// It runs, its startup probe has not succeeded yet.
    Started,
    /// It runs and its readiness probe fails: no traffic.
    Unready,
    /// Takes traffic (a job: runs).
    Ready,
    /// Gets no new request and finishes those it has.
    Draining,
    /// Was asked to end.
    Stopping,
    /// Ended; the next start waits.
    Backoff,
    /// Ended again and again; the next start waits long.
    CrashLoop,
    /// Cannot be started, or ended and shall not be started again.
    Failed,
    /// Ended well and shall not be started again.
    Completed,
}

/// What `apply` will do to one service, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The service.
    pub service: ServiceName,
    /// What.
    pub action: Action,
    /// Why: `run changed`, `instances 2 → 3`, `env LOG_LEVEL changed`. One entry a reason.
    pub reasons: Vec<String>,
}

/// What happens to a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is new.
    Start,
    /// Its instances are replaced one by one.
    Replace,
    /// It gets more or fewer instances.
    Scale,
    /// Something about it changes that needs no new process.
    Update,
    /// It is not in the file any more.
    Remove,
    /// Nothing.
    Keep,
}
