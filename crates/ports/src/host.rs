//! Where instances run: processes of this machine, containers of an engine.
//!
//! ```text
//!            start            exit                forget
//!   (spec) ────────► running ───────► ended ───────────────► (gone, nothing of it is left)
//!                      ▲  │ signal
//!        survivors ────┘  ▼
//! ```

use async_trait::async_trait;
use base::{ByteSize, Diagnostic, InstanceId, Timestamp};
use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

#[cfg(feature = "conformance")]
pub mod conformance;

/// What to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// A line for `/bin/sh -c`.
    Shell(String),
    /// A program and its arguments, without a shell.
    Exec(Vec<String>),
    /// A container.
    Container(Container),
    /// Nothing: somebody else has started it, and it listens here, if it listens.
    External(Option<SocketAddr>),
}

/// A container image and how to run it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Container {
    /// `name:tag` or a digest; must be present in the engine or pullable by it.
    pub image: String,
    /// Replaces the image's entry point.
    pub entrypoint: Option<Vec<String>>,
    /// Replaces the image's command.
    pub command: Option<Vec<String>>,
    /// Mounts as `source:target[:ro]`, source an absolute path or a volume name.
    pub volumes: Vec<String>,
    /// Port the program listens on inside; `None`: the one given as `PORT`.
    pub port: Option<u16>,
    /// Further ports to publish, `(host, container)`.
    pub publish: Vec<(u16, u16)>,
    /// User inside (`uid[:gid]` or name).
    pub user: Option<String>,
    /// Working directory inside.
    pub workdir: Option<String>,
}

/// Upper bounds on what an instance uses. `None` means none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Limits {
    /// Processor time in cores (1.5 = one and a half).
    pub cpu: Option<f64>,
    /// Resident memory, page cache included where the kernel counts it so.
    pub memory: Option<ByteSize>,
    /// Processes and threads.
    pub pids: Option<u64>,
}

/// Everything a host needs to start one instance.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// Who it is.
    pub instance: InstanceId,
    /// What to run.
    pub program: Program,
    /// Where to run it; for containers only the place relative mounts start from.
    pub dir: PathBuf,
    /// The whole environment of the program, besides what the host inherits by its own rule
    /// (processes inherit the node's environment, containers do not).
    pub env: BTreeMap<String, String>,
    /// The port the instance will listen on, as seen from this machine.
    pub port: Option<u16>,
    /// Bounds.
    pub limits: Limits,
    /// Kept with the run and given back on adoption; the host does not look inside.
    pub labels: BTreeMap<String, String>,
}

/// Names one run of one instance; opaque outside of the adapter, unique over restarts of the node.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub Arc<str>);

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A run that was started or found again.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Its name.
    pub id: RunId,
    /// Whose it is.
    pub instance: InstanceId,
    /// The main process as this machine numbers it, when it has one.
    pub pid: Option<u32>,
    /// The port it was started with.
    pub port: Option<u16>,
    /// Where requests for it go.
    pub address: Option<SocketAddr>,
    /// When it was started.
    pub started_at: Timestamp,
    /// The labels it was started with.
    pub labels: BTreeMap<String, String>,
}

/// How the main process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// With an exit code.
    Code(i32),
    /// By a signal.
    Signal(i32),
    /// By the kernel, for want of memory within its limit.
    OutOfMemory,
    /// Ended, but nobody could ask how (an adopted process is not our child).
    Unknown,
}

impl Exit {
    /// Ended with code 0.
    #[must_use]
    pub fn is_success(&self) -> bool {
        *self == Self::Code(0)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(9) => write!(f, "killed by SIGKILL"),
            Self::Signal(11) => write!(f, "crashed with SIGSEGV"),
            Self::Signal(6) => write!(f, "aborted with SIGABRT"),
            Self::Signal(15) => write!(f, "ended by SIGTERM"),
            Self::Signal(number) => write!(f, "ended by signal {number}"),
            Self::OutOfMemory => write!(f, "killed by the kernel: memory limit reached"),
            Self::Unknown => write!(f, "ended (how is not known)"),
        }
    }
}

/// A signal Flotilla sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM.
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

/// What a run uses at this moment, all its processes together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processor time used since the start.
    pub cpu: Duration,
    /// Resident memory.
    pub memory: ByteSize,
    /// Number of processes.
    pub processes: u32,
}

/// What was still there after the main process ended and the group was killed: processes that left
/// their group (forked away). They have been killed too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leftovers {
    /// `pid name` of each.
    pub processes: Vec<String>,
}

/// What a host can do. What it cannot do it refuses with [`Error::Unsupported`], never in silence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Runs `Program::Shell` and `Program::Exec`.
    pub processes: bool,
    /// Runs `Program::Container`.
    pub containers: bool,
    /// Enforces `Limits::cpu`; or says why not.
    pub limit_cpu: Enforcement,
    /// Enforces `Limits::memory`; or says why not.
    pub limit_memory: Enforcement,
    /// Enforces `Limits::pids`; or says why not.
    pub limit_pids: Enforcement,
}

/// Whether a limit is enforced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Enforcement {
    /// It is.
    Enforced,
    /// It is not, because of this.
    Missing(String),
}

impl Default for Enforcement {
    fn default() -> Self {
        Self::Missing("this host has no such limit".to_owned())
    }
}

/// Why a host could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The program, image or folder is not there or may not be run. The diagnostic says how to mend it.
    #[error("{}", .0.message)]
    Refused(Box<Diagnostic>),
    /// The host cannot do this at all.
    #[error("this host cannot {0}")]
    Unsupported(String),
    /// No such run; it was forgotten or never was.
    #[error("run {0:?} is not known")]
    Unknown(RunId),
    /// The host itself does not answer; trying again later may help.
    #[error("{what}")]
    Unavailable {
        /// What was tried.
        what: String,
        /// Why it failed.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    /// Trying again later may help.
    #[must_use]
    pub fn retry(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

/// Outcome of a command run beside an instance (a probe).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandOutcome {
    /// How it ended.
    pub exit: Exit,
    /// Its last output, both streams, at most [`COMMAND_OUTPUT_MAX`] bytes.
    pub output: String,
}

/// How much output of a probe command is kept, in bytes.
pub const COMMAND_OUTPUT_MAX: usize = 4 * 1024;

/// Runs instances.
///
/// Contract:
/// - *Identity.* A run is known from `start` until `forget`, also over a crash of the node when the host
///   was told to let runs survive; then `survivors` of the next node lists it once, if it still lives.
/// - *Groups.* `signal` reaches every process of the run, not only the first. `forget` leaves none alive.
/// - *Output.* What the run prints goes to the [`crate::logs::Sink`] the adapter was made with, in order per
///   stream, without loss while the disk has room, also what was printed while no node was there. A run is never
///   stalled by a slow reader.
/// - *Ordering.* All lines printed before the end are in the sink when `wait` returns, at the latest 2 s later.
/// - *Limits.* A limit that cannot be enforced does not stop a start; it shows in `capabilities`.
#[async_trait]
pub trait Host: Send + Sync {
    /// What this host can do.
    fn capabilities(&self) -> Capabilities;

    /// Starts an instance and returns as soon as its main process exists.
    ///
    /// # Errors
    /// `Refused` when the program cannot be run; `Unsupported` for a kind of program this host does not run.
    /// # Cancel safety
    /// Not cancel safe: a dropped call may have started the instance; `survivors` tells.
    async fn start(&self, spec: &Spec) -> Result<Run, Error>;

    /// Waits for the end of the run's main process. Any number of callers may wait; for a run that already
    /// ended it returns at once.
    ///
    /// # Errors
    /// `Unknown`.
    /// # Cancel safety
    /// Cancel safe.
    async fn wait(&self, run: &RunId) -> Result<Exit, Error>;

    /// Sends `signal` to all processes of the run. A run that already ended is no error.
    ///
    /// # Errors
    /// `Unknown`, `Unavailable`.
    async fn signal(&self, run: &RunId, signal: Signal) -> Result<(), Error>;

    /// Ends what is left of the run and removes every trace of it. Idempotent.
    ///
    /// # Errors
    /// `Unavailable`; call again.
    async fn forget(&self, run: &RunId) -> Result<Leftovers, Error>;

    /// The runs of an earlier node that still live, in no order. They are known from then on.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn survivors(&self) -> Result<Vec<Run>, Error>;

    /// What the run uses now.
    ///
    /// # Errors
    /// `Unknown`, `Unavailable`.
    async fn usage(&self, run: &RunId) -> Result<Usage, Error>;

    /// The TCP addresses that processes of the run listen on, as far as the host can see.
    ///
    /// # Errors
    /// `Unknown`, `Unavailable`.
    async fn listening(&self, run: &RunId) -> Result<Vec<SocketAddr>, Error>;

    /// Runs a command with the environment and folder of the run (inside, for a container), ends it after
    /// `timeout`, and returns its outcome; `None` when it was ended by the time-out.
    ///
    /// # Errors
    /// `Unknown`, `Refused`, `Unavailable`.
    /// # Cancel safety
    /// Cancel safe: the command is ended when the call is dropped.
    async fn command(
        &self,
        run: &RunId,
        command: &Program,
        timeout: Duration,
    ) -> Result<Option<CommandOutcome>, Error>;

    /// An address of this machine that runs of this host can reach: loopback for processes, the bridge
    /// for containers.
    fn reach(&self) -> IpAddr;
}
