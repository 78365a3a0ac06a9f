//! The system as it was asked for: what is left when a file has been read and found right.
//!
//! Plain data without behaviour. Every default is filled in, every name resolved, every path absolute.

mod coordination;
mod events;
mod gateway;
mod traffic;
mod transactions;

pub use coordination::*;
pub use events::*;
pub use gateway::*;
pub use traffic::*;
pub use transactions::*;

use base::{ByteSize, Diagnostic, Place, ServiceName};
use logic::balance::Algorithm;
use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

/// A whole system.
#[derive(Clone, Debug, PartialEq)]
pub struct System {
    /// Its name: `name:` or the folder's.
    pub name: String,
    /// The folder the file stands in; `.flotilla/` is made here.
    pub root: PathBuf,
    /// The files it was read from, the first one first.
    pub files: Vec<PathBuf>,
    /// Services and jobs in the order of the file.
    pub services: Vec<Service>,
    /// The gateway.
    pub gateway: Gateway,
    /// Where the admin API and the dashboard listen. Default `127.0.0.1:8081`.
    pub admin: SocketAddr,
    /// Where `admin` was set, or nothing when it is the default.
    pub admin_place: Option<Place>,
    /// What the services share: state, locks, configuration, secrets.
    pub coordination: Coordination,
    /// Events between services.
    pub events: Events,
    /// Transactions over several services.
    pub transactions: Transactions,
}

/// A service or a job.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// Its name.
    pub name: ServiceName,
    /// Service, job or cron job.
    pub kind: Kind,
    /// The folder it runs in, absolute.
    pub dir: PathBuf,
    /// What runs.
    pub program: Program,
    /// What language or tool the command was detected from (`rust`, `python`, `node`, `go`, `java`, `docker`,
    /// `shell` when neither the given `run:` nor the folder tells).
    pub language: String,
    /// A shell line that runs in `dir` before the first start and before each changed start.
    pub build: Option<String>,
    /// How many instances. Jobs have 1.
    pub instances: u32,
    /// What must be ready (service) or completed (job) before it starts.
    pub needs: Vec<Need>,
    /// How requests are spread over its instances.
    pub balance: Balance,
    /// How the traffic to it is bounded and timed.
    pub traffic: Traffic,
    /// The port it listens on when it does not follow `$PORT`. Only with one instance, or in a container.
    pub port: Option<u16>,
    /// Whether it listens at all. Without (a worker) there is no default probe, no `PORT` and no traffic.
    pub listens: bool,
    /// How its health is asked.
    pub probes: Probes,
    /// What happens when it ends.
    pub restart: Restart,
    /// How it is stopped.
    pub stop: Stop,
    /// Bounds on what each instance uses.
    pub limits: Limits,
    /// Environment given in the file, `env_file` merged in, `${VAR}` replaced; `${secret:NAME}` still stands in it.
    pub env: BTreeMap<String, String>,
    /// Its own database.
    pub db: Option<Database>,
    /// The API that its instances ask.
    pub api: AppApi,
    /// What happens when the configuration changes; `None`: nothing.
    pub config: Option<ConfigUse>,
    /// Where its keys stand, by path inside the service: `""` is the name itself, `"health.ready"`, `"run"`.
    pub places: BTreeMap<String, Place>,
}

impl Service {
    /// Where `key` (a path such as `health.ready`) stands, or the nearest parent that the file has.
    #[must_use]
    pub fn place(&self, key: &str) -> Option<&Place> {
        let mut path = key;
        loop {
            if let Some(place) = self.places.get(path) {
                return Some(place);
            }
            if path.is_empty() {
                return None;
            }
            path = path.rsplit_once('.').map_or("", |(parent, _)| parent);
        }
    }
}

/// What kind of work it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Runs until it is stopped.
    Service,
    /// Runs once and ends.
    Job,
    /// Runs at each time of a cron expression (five fields, local time), never twice at once.
    Cron(String),
}

/// What to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// A line for the shell.
    Shell(String),
    /// A program and its arguments.
    Exec(Vec<String>),
    /// A container.
    Container(Container),
    /// Nothing: somebody else has started it. It is probed and gets traffic, but is neither started nor stopped.
    External(External),
}

/// A container image and how to run it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Container {
    /// `name:tag`.
    pub image: String,
    /// Replaces the image's entry point.
    pub entrypoint: Option<Vec<String>>,
    /// Replaces the image's command.
    pub command: Option<Vec<String>>,
    /// `source:target[:ro]`; source an absolute path or a volume name.
    pub volumes: Vec<String>,
    /// Further published ports, `(host, container)`.
    pub publish: Vec<(u16, u16)>,
    /// User inside.
    pub user: Option<String>,
    /// Working directory inside.
    pub workdir: Option<String>,
}

/// One entry of `needs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// What is needed.
    pub service: ServiceName,
    /// How far it must be.
    pub condition: Condition,
}

/// How far a need must be before its caller starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// At least one process was started.
    Started,
    /// At least one instance is ready.
    Ready,
    /// The job ended with success.
    Completed,
}

/// How requests are spread.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Balance {
    /// The rule.
    pub algorithm: Algorithm,
    /// What `consistent_hash` hashes.
    pub hash_on: HashOn,
}

/// The key of `consistent_hash`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HashOn {
    /// The client's address.
    #[default]
    Client,
    /// A header's value; requests without it go by client address.
    Header(String),
    /// A cookie's value; requests without it go by client address.
    Cookie(String),
}

/// The three probes, with Kubernetes' meanings. `None`: not asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Probes {
    /// Until it succeeds once the others wait; its failure threshold ends the instance.
    pub startup: Option<Probe>,
    /// While it fails the instance gets no traffic.
    pub ready: Option<Probe>,
    /// When it fails the instance is restarted.
    pub live: Option<Probe>,
}

/// One probe.
#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    /// What is asked.
    pub check: Check,
    /// Wait before the first question. Default 0.
    pub initial_delay: Duration,
    /// Time between questions. Default 200 ms while starting (a command 1 s), then 10 s.
    pub period: Duration,
    /// Time an answer may take. Default 1 s (a command 10 s).
    pub timeout: Duration,
    /// Failures in a row that count as failed. Default 3 (startup: as many as fit in `start_timeout`).
    pub failures: u32,
    /// Successes in a row that count as good again. Default 1.
    pub successes: u32,
}

/// What a probe asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// `GET path` answers 200 to 399. `port` only when it is not the instance's own.
    Http {
        /// Path with query.
        path: String,
        /// Another port.
        port: Option<u16>,
        /// Extra headers.
        headers: Vec<(String, String)>,
    },
    /// The port accepts a connection.
    Tcp {
        /// Another port.
        port: Option<u16>,
    },
    /// The command ends with 0.
    Command(Program),
    /// `grpc.health.v1.Health/Check` answers SERVING.
    Grpc {
        /// The name asked for; empty for the whole server.
        service: String,
        /// Another port.
        port: Option<u16>,
    },
}

/// What happens when an instance ends by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restart {
    /// When to start it again.
    pub policy: RestartPolicy,
    /// First wait. Default 200 ms, doubled each time.
    pub backoff: Duration,
    /// Longest wait. Default 1 min.
    pub backoff_max: Duration,
    /// Healthy for this long, it starts counting anew. Default 60 s.
    pub reset_after: Duration,
}

/// When to start an instance again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartPolicy {
    /// However it ended. The default of services.
    Always,
    /// When it did not end with 0. The default of jobs, at most 3 times there.
    OnFailure,
    /// Never.
    Never,
}

/// How an instance is stopped: unroute, wait for open requests, signal, wait, SIGKILL to the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// How long open requests may take. Default 10 s.
    pub drain: Duration,
    /// How long the process may take after the signal. Default 30 s.
    pub grace: Duration,
    /// `TERM` (default), `INT`, `QUIT`, `HUP`, `USR1`, `USR2` or `KILL`.
    pub signal: StopSignal,
}

/// The signal that asks a process to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StopSignal {
    /// SIGTERM.
    #[default]
    Term,
    /// SIGINT.
    Int,
    /// SIGQUIT.
    Quit,
    /// SIGHUP.
    Hup,
    /// SIGUSR1.
    Usr1,
    /// SIGUSR2.
    Usr2,
    /// SIGKILL.
    Kill,
}

/// Bounds on what an instance uses.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Limits {
    /// Cores.
    pub cpu: Option<f64>,
    /// Resident memory.
    pub memory: Option<ByteSize>,
    /// Processes and threads.
    pub pids: Option<u64>,
}

/// A service's own database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Database {
    /// A SQLite file under `.flotilla/data/<service>/`; `DATABASE_URL` is `sqlite:///path`.
    Sqlite,
    /// A database elsewhere; `DATABASE_URL` is this text. It may hold `${secret:NAME}`.
    Url(String),
}

/// A system with what was noticed on the way, none of it an error.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The system.
    pub system: System,
    /// Warnings, in file order.
    pub warnings: Vec<Diagnostic>,
}
