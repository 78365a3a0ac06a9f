//! What goes over the wire: the JSON of the admin API, for the server and for its client.
//!
//! Names are `snake_case`; times are RFC 3339 in UTC with milliseconds ([`Time`]); durations are
//! numbers that end in `_ms`, sizes numbers that end in `_bytes`. Requests refuse unknown keys;
//! readers of responses must skip keys they do not know, because later versions add some.
//! These types are the documents of `docs/openapi.json`; their comments are its descriptions.

pub mod config;
mod convert;
pub mod jobs;
pub mod locks;
pub mod logs;
pub mod requests;
pub mod secrets;
pub mod state;
pub mod stores;
pub mod streams;
pub mod time;
pub mod topics;
pub mod traffic;
pub mod transactions;

pub use logs::{Level, LogLine, LogQuery, Logs, Stream};
pub use requests::{FinishedRequest, RequestQuery, Requests};
pub use time::Time;
pub use traffic::{
    Latency, Listener, Top, TopRow, Traffic, TrafficCounts, TrafficInstance, TrafficService,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The node lives and answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Health {
    /// Always `ok`.
    pub status: String,
    /// Version of Flotilla.
    pub version: String,
}

/// The node and the system it runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct System {
    /// Name of the system.
    pub name: String,
    /// How far the whole is.
    pub phase: Phase,
    /// Version of Flotilla.
    pub version: String,
    /// Process id of the node.
    pub pid: u32,
    /// When the node started.
    pub started_at: Time,
    /// How long the node has been running.
    pub uptime_ms: u64,
    /// Folder of the system.
    pub root: String,
    /// Files the system was read from, the first one first.
    pub files: Vec<String>,
    /// Environment (`--env`) the files were read for.
    pub environment: Option<String>,
    /// The node goes on without a terminal.
    pub detached: bool,
    /// Where the gateway answers, when it has routes.
    pub gateway_url: Option<String>,
    /// The authority that the gateway's certificate is from, when it was made on this machine (`tls: dev`).
    pub authority: Option<Authority>,
    /// Where the admin API answers, without the token.
    pub admin_url: Option<String>,
    /// What is degraded or not enforced on this machine, such as limits.
    pub notes: Vec<Diagnostic>,
    /// What the node itself uses.
    pub node: NodeUsage,
    /// The log store.
    pub logs: LogStore,
}

/// An authority for certificates that was made on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Authority {
    /// The file with its certificate.
    pub certificate: String,
    /// It was made when this node started or last changed its configuration, so that nobody trusts it yet.
    pub is_new: bool,
    /// How machines and programs come to trust it, as lines for a terminal.
    pub trust: String,
}

/// What the node itself uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NodeUsage {
    /// Cores in use over the last interval.
    pub cpu_cores: f64,
    /// Processor time since the start.
    pub cpu_ms: u64,
    /// Resident memory.
    pub memory_bytes: u64,
}

/// How full the log store is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogStore {
    /// Size on disk.
    pub size_bytes: u64,
    /// Most it may take on disk.
    pub size_max_bytes: u64,
    /// Lines kept.
    pub lines: u64,
    /// Oldest lines deleted to stay within the limit.
    pub dropped_old: u64,
    /// Lines that could not be written, because the disk is full or broken.
    pub dropped_failed: u64,
}

/// How far the whole system is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Some service has not got all it should have.
    #[default]
    Starting,
    /// Every service has its instances ready, every job ended well.
    Ready,
    /// Something will not get better by waiting.
    Degraded,
    /// Being stopped.
    Stopping,
    /// Nothing runs any more.
    Stopped,
}

/// A picture of the whole system at one time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// Grows with every change; two pictures with the same number are the same.
    pub revision: u64,
    /// Name of the system.
    pub system: String,
    /// How far the whole is.
    pub phase: Phase,
    /// Services and jobs in the order of the file.
    pub services: Vec<Service>,
}

/// All services.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Services {
    /// Services and jobs in the order of the file.
    pub services: Vec<Service>,
}

/// All instances of a service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Instances {
    /// By number.
    pub instances: Vec<Instance>,
}

/// A service or a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// What kind of work it is.
    pub kind: Kind,
    /// Cron expression of a cron job.
    pub schedule: Option<String>,
    /// Language or tool its command was detected from.
    pub language: String,
    /// How far it is.
    pub state: ServiceState,
    /// Why it is in that state, in words; empty when there is nothing to say.
    pub reason: String,
    /// How many instances there should be.
    pub desired: u32,
    /// How many take traffic (a job: 1 when it ended well).
    pub ready: u32,
    /// How long its first start waited for what it needs.
    pub waited_ms: Option<u64>,
    /// What it waits for now.
    pub waiting_for: Vec<String>,
    /// When a cron job runs next.
    pub next_run: Option<Time>,
    /// What is wrong.
    pub problem: Option<Diagnostic>,
    /// Its instances by number.
    pub instances: Vec<Instance>,
}

/// What kind of work a service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Runs until it is stopped.
    Service,
    /// Runs once and ends.
    Job,
    /// Runs at each time of its schedule.
    Cron,
}

/// How far a service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
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
    /// No instance is ready and none will be soon.
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

/// One instance of a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Instance {
    /// Its name, `users/1`.
    pub id: String,
    /// Whose it is.
    pub service: String,
    /// Which one, from 1.
    pub number: u32,
    /// How far it is.
    pub state: InstanceState,
    /// Main process.
    pub pid: Option<u32>,
    /// Port it was given.
    pub port: Option<u16>,
    /// Where requests go.
    pub address: Option<String>,
    /// When its present process started.
    pub started_at: Option<Time>,
    /// How long that process took to become ready.
    pub ready_after_ms: Option<u64>,
    /// How often it was started again by itself.
    pub restarts: u32,
    /// How its last process ended, in words.
    pub last_exit: Option<String>,
    /// When the next start is due, when it waits for it.
    pub next_start: Option<Time>,
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Usage {
    /// Cores in use over the last interval.
    pub cpu_cores: f64,
    /// Resident memory.
    pub memory_bytes: u64,
    /// Processes.
    pub processes: u32,
}

/// How far an instance is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
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

/// One problem: what is wrong, where, why, and what mends it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Diagnostic {
    /// Stable code, `F012`.
    pub code: String,
    /// Error or warning.
    pub severity: Severity,
    /// What is wrong, one line.
    pub message: String,
    /// Where, when a file is to blame.
    pub place: Option<Place>,
    /// What stands beside the caret; may be empty.
    pub label: String,
    /// Facts, each one line.
    pub notes: Vec<String>,
    /// How to mend it.
    pub help: Option<String>,
    /// All of it as text for a terminal, without colours.
    pub rendered: String,
}

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing; nothing is refused.
    Warning,
    /// What was asked for is refused or failed.
    Error,
}

/// Where in a file something stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Place {
    /// The file as the user named it.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// How many characters are meant.
    pub length: u32,
    /// Text of that line.
    pub text: String,
}

/// Body of `POST /v1/apply`: read the file again and make the system what it says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Apply {
    /// File or folder, absolute or from the system's folder; the present files when absent.
    pub file: Option<String>,
    /// Environment overlay; the present one when absent.
    pub environment: Option<String>,
    /// Only say what would change.
    pub dry_run: bool,
}

/// What applying the file did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Applied {
    /// Nothing was changed, this is what would be.
    pub dry_run: bool,
    /// One entry a service, in the order of the file, removed ones last.
    pub changes: Vec<Change>,
    /// What changes besides the services: `gateway` and `admin`, when they do.
    #[serde(default)]
    pub edges: Vec<Change>,
    /// What was noticed in the file, none of it an error.
    pub warnings: Vec<Diagnostic>,
}

/// What happens to one service, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// The service.
    pub service: String,
    /// What happens.
    pub action: Action,
    /// Why, one entry a reason: `run changed`.
    pub reasons: Vec<String>,
}

/// What happens to a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It is new.
    Start,
    /// Its instances are replaced one by one.
    Replace,
    /// It gets more or fewer instances.
    Scale,
    /// Something changes that needs no new process.
    Update,
    /// It is not in the file any more.
    Remove,
    /// Nothing.
    Keep,
}

/// Body of `POST /v1/services/{name}/scale`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scale {
    /// How many instances there shall be; 0 stops all.
    pub instances: u32,
}

/// Body of `POST /v1/run`: runs a job now, or a command with a service's folder and environment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// The job, or the service whose environment the command gets.
    pub service: String,
    /// Program and arguments, without a shell. Not together with `shell`.
    #[serde(default)]
    pub command: Option<Vec<String>>,
    /// A line for the shell. Not together with `command`.
    #[serde(default)]
    pub shell: Option<String>,
    /// Added to the environment.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
}

/// How to replace the node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplaceNode {
    /// The program of the new node, an absolute path. Default: the present one's, as it is on the disk now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// How long open connections of the present node may go on. Default: 60 s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_ms: Option<u64>,
}

/// A new node has taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Replaced {
    /// Its process id.
    pub pid: u32,
}

/// A one-off run has been started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Started {
    /// The instance that runs it; its output is in the logs under this name, its end in the events.
    pub instance: String,
    /// Number of the last event before the run: follow the events after it to see the end.
    pub events_after: u64,
}

/// What was asked for is under way; the status shows how far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Accepted {
    /// Revision of the status when the request was taken; later ones show its effect.
    pub revision: u64,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// Number, growing by one with each event of this node's life.
    pub seq: u64,
    /// When.
    pub at: Time,
    /// The service it happened to.
    pub service: Option<String>,
    /// The instance it happened to, `users/1`.
    pub instance: Option<String>,
    /// What, in one word: `started`, `ready`, `exited`, `restarting`, `crash_loop`, `applied`, ….
    pub kind: String,
    /// What, in a sentence.
    pub message: String,
}

/// Events in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Events {
    /// Oldest first.
    pub events: Vec<Event>,
    /// Number to ask on from with `after`.
    pub next: u64,
}

/// Body of every answer that is not a success.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorBody {
    /// What went wrong.
    pub error: ErrorDetail,
}

/// What went wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorDetail {
    /// Stable code `F006` with a page behind it, or a word such as `not_found` for plain HTTP errors.
    pub code: String,
    /// What is wrong, one line.
    pub message: String,
    /// How to mend it.
    pub help: Option<String>,
    /// All problems, when a file is to blame.
    pub diagnostics: Vec<Diagnostic>,
    /// What did not match, when somebody else was first (409).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflict: Option<state::Conflict>,
    /// Who holds the lock, when that is in the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<locks::Lock>,
}
