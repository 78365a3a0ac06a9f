//! What the admin surface needs from the node. The binary implements it over the supervisor, the
//! gateway, the log store and the file; tests implement it in memory.

use crate::wire;
use async_trait::async_trait;
use base::{Diagnostic, InstanceId, ServiceName};
use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};
use supervisor::status::{Change, Status};

/// The node, as seen by the API.
///
/// Contract: every method that changes something returns when that has begun, not when it is done,
/// and answers within seconds. All may be called at the same time; the node puts them in order.
#[async_trait]
pub trait Backend: Send + Sync {
    /// The picture as it is.
    fn status(&self) -> Arc<Status>;

    /// The picture as soon as its revision is not `revision`.
    ///
    /// # Cancel safety
    /// Cancel safe.
    async fn changed(&self, revision: u64) -> Arc<Status>;

    /// Reads the file and makes the system what it says, or with `dry_run` only says what would change.
    ///
    /// # Errors
    /// `Invalid` with everything that is wrong with the file; the running system is not touched then.
    async fn apply(&self, request: Apply) -> Result<Applied, Error>;

    /// Sets how many instances a service shall have.
    ///
    /// # Errors
    /// `Unknown`, `Invalid` (out of range, or the service cannot have as many), `Stopping`.
    async fn scale(&self, service: &ServiceName, instances: u32) -> Result<(), Error>;

    /// Replaces instances.
    ///
    /// # Errors
    /// `Unknown`, `Conflict`, `Stopping`.
    async fn restart(&self, target: Target) -> Result<(), Error>;

    /// Starts a service that was stopped.
    ///
    /// # Errors
    /// `Unknown`, `Conflict`, `Stopping`.
    async fn start(&self, service: &ServiceName) -> Result<(), Error>;

    /// Stops a service until it is started again.
    ///
    /// # Errors
    /// `Unknown`, `Conflict`, `Stopping`.
    async fn stop(&self, service: &ServiceName) -> Result<(), Error>;

    /// Starts a one-off run and returns the instance that runs it.
    ///
    /// # Errors
    /// `Unknown`, `Invalid`, `Conflict`, `Stopping`.
    async fn run(&self, request: Run) -> Result<InstanceId, Error>;

    /// Events after number `after` that are still kept, oldest first.
    fn events(&self, after: u64) -> Vec<wire::Event>;

    /// Number of the newest event; 0 before the first.
    fn newest_event(&self) -> u64 {
        self.events(0).last().map_or(0, |event| event.seq)
    }

    /// Waits until there is an event after number `after`, then as [`Backend::events`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    async fn events_after(&self, after: u64) -> Vec<wire::Event>;

    /// The log store.
    fn logs(&self) -> observe::Handle;

    /// The traffic as the data plane counts it.
    fn traffic(&self) -> wire::Traffic;

    /// The requests that end.
    fn requests(&self) -> proxy::record::Requests;

    /// State, locks, configuration, secrets.
    fn coordination(&self) -> coordination::Handle;

    /// Topics, streams of events, jobs.
    ///
    /// # Errors
    /// `Stopping`; `Failed` when there is nothing that could keep them.
    fn messaging(&self) -> Result<events::Handle, Error>;

    /// Transactions over several services.
    ///
    /// # Errors
    /// `Stopping`; `Failed` when there is nothing that could drive them.
    fn transactions(&self) -> Result<transactions::Handle, Error> {
        Err(Error::Failed("this node drives no transactions".to_owned()))
    }

    /// The node and its system.
    fn system(&self) -> wire::System;

    /// Replaces the node by a new process without ending the system, and returns the new process when it has
    /// taken over; the present one goes on when it does not. Takes longer than the others, up to a minute.
    ///
    /// # Errors
    /// `Conflict` when the node cannot be replaced now, `Invalid` with what the new node finds wrong with the file,
    /// `Failed` with why it did not start.
    async fn replace(&self, request: Replace) -> Result<u32, Error>;

    /// Begins to stop the system and then the node, and returns at once. Idempotent.
    fn shutdown(&self);
}

/// What to restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// All instances of one service, in the way of its roll-over.
    Service(ServiceName),
    /// One instance.
    Instance(InstanceId),
    /// All services.
    All,
}

/// How to replace the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replace {
    /// The program of the new node; `None`: the present one's, as it is on the disk now.
    pub program: Option<PathBuf>,
    /// How long open connections of the present node may go on.
    pub grace: Duration,
}

/// A file to apply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Apply {
    /// File or folder, absolute or from the system's folder; `None`: the present files.
    pub file: Option<PathBuf>,
    /// Environment overlay; `None`: the present one.
    pub environment: Option<String>,
    /// Change nothing.
    pub dry_run: bool,
}

/// What applying did or would do.
#[derive(Clone, Debug, Default)]
pub struct Applied {
    /// One entry a service.
    pub changes: Vec<Change>,
    /// What changes besides the services.
    pub edges: Vec<wire::Change>,
    /// What was noticed in the file.
    pub warnings: Vec<Diagnostic>,
}

/// A one-off run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The job, or the service whose folder and environment the command gets.
    pub service: ServiceName,
    /// What to run; `None`: the job itself.
    pub program: Option<RunProgram>,
    /// Added to the environment.
    pub env: BTreeMap<String, String>,
}

/// What a one-off run runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunProgram {
    /// A program and its arguments; at least one entry.
    Exec(Vec<String>),
    /// A line for the shell.
    Shell(String),
}

/// Why the node does not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such service or instance: 404.
    #[error("{message}")]
    Unknown {
        /// What is not there.
        message: String,
        /// What may have been meant.
        help: Option<String>,
    },
    /// The state of the system does not allow it: 409.
    #[error("{0}")]
    Conflict(String),
    /// The request or the file is wrong: 422. At least one diagnostic, all of them at once.
    #[error("{}", .0.first().map_or("the request is not valid", |first| first.message.as_str()))]
    Invalid(Vec<Diagnostic>),
    /// The system is being stopped: 503.
    #[error("the system is being stopped")]
    Stopping,
    /// Something broke inside: 500.
    #[error("{0}")]
    Failed(String),
}
