//! What the supervisor is made of.

use base::{InstanceId, ServiceName};
use manifest::Program;
use ports::{
    host::Host,
    logs::{Recall, Sink},
    secrets::Reveal,
    traffic::Traffic,
};
use runtime::Clock;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

/// Names who holds a TCP port of this machine, in words (`nginx (process 123)`), if it can be found out.
pub type PortHolder = Arc<dyn Fn(u16) -> Option<String> + Send + Sync>;

/// Whether nobody listens on a TCP port of this machine.
pub type PortCheck = Arc<dyn Fn(u16) -> bool + Send + Sync>;

/// Everything the supervisor reaches the world through.
#[derive(Clone)]
pub struct Config {
    /// Runs processes.
    pub processes: Arc<dyn Host>,
    /// Runs containers.
    pub containers: Arc<dyn Host>,
    /// The data plane.
    pub traffic: Arc<dyn Traffic>,
    /// Knows what stands for `${secret:NAME}` in environments. What it says goes to the instance and nowhere else.
    pub secrets: Arc<dyn Reveal>,
    /// Takes the node's own words about an instance, to stand among its output.
    pub journal: Arc<dyn Sink>,
    /// The last lines of an instance.
    pub recall: Arc<dyn Recall>,
    /// Whether a port can be given; usually [`crate::port_is_free`].
    pub port_is_free: PortCheck,
    /// Who holds a port.
    pub port_holder: PortHolder,
    /// The node's clock.
    pub clock: Clock,
    /// `.flotilla/`, for the databases of services.
    pub state_dir: PathBuf,
    /// Do not run `build:` steps.
    pub no_build: bool,
    /// How often the use of processor and memory is looked at. Default 5 s: one pass over the process
    /// table costs about a millisecond, and `top` asks no finer.
    pub usage_period: Duration,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config").field("state_dir", &self.state_dir).finish_non_exhaustive()
    }
}

/// What a node that hands over knows and the file does not say. What it says of services that are not in the
/// file is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// How many instances a service was scaled to by hand.
    pub counts: BTreeMap<ServiceName, u32>,
    /// Services that were stopped by hand.
    pub stopped: BTreeSet<ServiceName>,
    /// Instances that ended well and are not started again: jobs that are done.
    pub completed: BTreeSet<InstanceId>,
}

/// What a restart is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// All instances of a service, one after another.
    Service(ServiceName),
    /// One instance.
    Instance(InstanceId),
    /// Every service.
    All,
}

/// A one-off run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRequest {
    /// Whose folder and environment it gets.
    pub service: ServiceName,
    /// What runs; `None`: the service's or job's own program.
    pub program: Option<Program>,
    /// Added to the environment.
    pub env: BTreeMap<String, String>,
}
