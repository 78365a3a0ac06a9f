//! Transactions as others use them.

use crate::{
    Config, Decision, Error, Filter, Gid, Page, Spec, StepSpec, View, Wanted,
    driver::{Means, Shard, drive},
    engine::Engine,
    keys::Keys,
    now::Now,
    plan, recovery, retention,
    table::{Steer, Table, Tools},
};
use logic::tx::{Machine, Resolution};
use runtime::TaskSet;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    hash::{BuildHasher, RandomState},
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::watch;

mod asking;
mod finding;
mod listing;

pub use asking::OPEN_TIMEOUT_MS;

/// Most parts of the table, each with a task of its own: beyond that nobody has so many calls.
const PARTS_MAX: usize = 8;

/// The coordinator of one node. Dropping it ends its tasks at once; what runs goes on when it is started again.
#[derive(Debug)]
pub struct Service {
    tasks: TaskSet,
}

/// Steers transactions. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle(Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) engine: Engine,
    pub(crate) tools: Arc<Tools>,
    pub(crate) shards: Vec<Arc<Shard>>,
    hasher: RandomState,
    wanted: Mutex<Arc<Wanted>>,
}

/// What is submitted.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// All of it is said.
    Spec(Box<Spec>),
    /// A definition of the file, with an input.
    Use {
        /// The definition's name.
        name: String,
        /// What its templates get.
        input: Value,
        /// Labels.
        labels: BTreeMap<String, String>,
        /// The trace that it belongs to.
        traceparent: Option<String>,
        /// The service that asks.
        caller: Option<String>,
    },
}

/// A transaction that was taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Taken {
    /// As it stands: when it was waited for, as it ended, or as it stood when the time was over.
    pub view: View,
    /// It was there before, and asked for the same.
    pub is_known: bool,
}

impl Service {
    /// Starts it; what was left unfinished is taken up in the background. It does not wait for the engine. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`Error::Invalid`] when what the file asks for cannot be meant so.
    pub fn start(config: Config) -> Result<(Self, Handle), Error> {
        let Config { kv, participants, joined, system, node, clock, wanted } = config;
        check(&wanted)?;
        let engine = Engine::new(kv);
        let tools = Arc::new(Tools::new(Now::new(clock), Keys::new(&system), node));
        let parts =
            std::thread::available_parallelism().map_or(1, NonZeroUsize::get).min(PARTS_MAX);
        let part = |_| Arc::new(Shard::new(Table::new(Arc::clone(&tools), parts)));
        let inner = Arc::new(Inner {
            engine: engine.clone(),
            tools: Arc::clone(&tools),
            shards: (0..parts).map(part).collect(),
            hasher: RandomState::new(),
            wanted: Mutex::new(Arc::new(wanted)),
        });
        let means = Means { engine, participants, joined, tools };
        let mut tasks = TaskSet::new("transactions");
        for shard in &inner.shards {
            let (shard, means) = (Arc::clone(shard), means.clone());
            tasks.spawn("transactions", |stop| drive(shard, means, stop));
        }
        let of_recovery = Arc::clone(&inner);
        tasks.spawn("unfinished transactions", |stop| recovery::run(of_recovery, stop));
        let of_retention = Arc::clone(&inner);
        tasks.spawn("finished transactions", |stop| retention::run(of_retention, stop));
        Ok((Self { tasks }, Handle(inner)))
    }

    /// Parks what runs: nothing more is begun, calls under way end within `grace` and are kept.
    pub async fn shutdown(self, grace: Duration) {
        self.tasks.shutdown(grace).await;
    }
}

impl Inner {
    /// The part of the table that a transaction belongs to.
    pub(crate) fn shard(&self, gid: &Gid) -> &Arc<Shard> {
        let hash = self.hasher.hash_one(gid);
        let count = u64::try_from(self.shards.len()).unwrap_or(1);
        let at = usize::try_from(hash % count.max(1)).unwrap_or_default();
        &self.shards[at]
    }

    pub(crate) fn wanted(&self) -> Arc<Wanted> {
        Arc::clone(&self.wanted.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Handle {
    /// Takes over what a file asks for. What runs goes on as it was submitted.
    ///
    /// # Errors
    /// [`Error::Invalid`] names what is wrong; nothing has changed then.
    pub fn apply(&self, wanted: Wanted) -> Result<(), Error> {
        check(&wanted)?;
        *self.0.wanted.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(wanted);
        Ok(())
    }

    /// Submits a transaction: it is kept, then driven to its end. Idempotent by `gid`: the same again answers as it stands, something
    /// else under the same name is [`Error::Conflict`]. `wait`: until it has ended, at most so long.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::NoDefinition`], [`Error::Conflict`], [`Error::TooLarge`], [`Error::TooMany`], [`Error::Kv`].
    ///
    /// # Cancel safety
    /// It may or may not have been taken; submit it again under the same name.
    pub async fn submit(
        &self,
        gid: Option<Gid>,
        ask: Ask,
        wait: Option<Duration>,
    ) -> Result<Taken, Error> {
        self.0.take(gid, ask, false, wait).await
    }

    /// Opens a transaction whose first phase the client does; as [`Handle::submit`] otherwise. Opened again while it is open is no error.
    /// It is aborted after [`OPEN_TIMEOUT_MS`] unless it says otherwise.
    ///
    /// # Errors
    /// As [`Handle::submit`]; [`Error::Refused`] when it is not open any more.
    pub async fn open(&self, gid: Option<Gid>, ask: Ask) -> Result<Taken, Error> {
        self.0.take(gid, ask, true, None).await
    }

    /// Adds branches to an open transaction, all or none; durable when it returns. A branch that is there already with the same calls is no error.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Refused`], [`Error::Invalid`], [`Error::TooLarge`], [`Error::Kv`].
    pub async fn enlist(&self, gid: &Gid, steps: Vec<StepSpec>) -> Result<View, Error> {
        self.0.steer(gid, &Steer::Enlist(steps), None).await
    }

    /// While a message is open: its deliveries begin so long from now, once it is submitted; durable when it returns.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Refused`] when it is not open any more, [`Error::Kv`].
    pub async fn put_off(&self, gid: &Gid, delay: Duration) -> Result<View, Error> {
        let delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        self.0.steer(gid, &Steer::PutOff(delay_ms), None).await
    }

    /// The client's first phase went well: on to the second. `wait` as with [`Handle::submit`].
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Refused`], [`Error::Kv`].
    pub async fn commit(&self, gid: &Gid, wait: Option<Duration>) -> Result<View, Error> {
        self.0.steer(gid, &Steer::Submit, wait).await
    }

    /// Gives a transaction up that is not decided.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Refused`] after the decision to commit, [`Error::Kv`].
    pub async fn abort(
        &self,
        gid: &Gid,
        reason: String,
        wait: Option<Duration>,
    ) -> Result<View, Error> {
        self.0.steer(gid, &Steer::Abort(reason), wait).await
    }

    /// Tries what waits at once.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Refused`], [`Error::Kv`].
    pub async fn retry(&self, gid: &Gid) -> Result<View, Error> {
        self.0.steer(gid, &Steer::Retry, None).await
    }

    /// Ends what does not end by itself, as an operator says. `by` stands in its history.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Refused`], [`Error::Kv`].
    pub async fn resolve(
        &self,
        gid: &Gid,
        resolution: Resolution,
        by: String,
    ) -> Result<View, Error> {
        self.0.steer(gid, &Steer::Resolve(resolution, by), None).await
    }

    /// A transaction, also one that has ended and is still kept.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Kv`].
    pub async fn get(&self, gid: &Gid) -> Result<View, Error> {
        self.0.look(gid).await
    }

    /// Waits until it has ended, at most so long; as it stands then.
    ///
    /// # Errors
    /// As [`Handle::get`].
    pub async fn wait(&self, gid: &Gid, wait: Duration) -> Result<View, Error> {
        self.0.wait(gid, wait).await
    }

    /// What a participant in doubt is told.
    ///
    /// # Errors
    /// [`Error::Kv`]: ask again.
    pub async fn decision(&self, gid: &Gid) -> Result<Decision, Error> {
        self.0.decision(gid).await
    }

    /// Some transactions: those that are unfinished, the newest first, then those that have ended, the latest first.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a cursor, [`Error::Kv`].
    pub async fn list(&self, filter: &Filter) -> Result<Page, Error> {
        self.0.list(filter).await
    }

    /// A number that grows whenever a transaction that this node drives has changed; for live views together with [`Handle::get`].
    ///
    /// # Errors
    /// [`Error::Missing`] when this node does not drive it (it has ended, or another node does).
    pub fn changes(&self, gid: &Gid) -> Result<watch::Receiver<u64>, Error> {
        let changes = self.0.shard(gid).table().changes(gid);
        changes.ok_or_else(|| Error::Missing(gid.clone()))
    }

    /// How many are unfinished, wait for an operator, and have ended since the start.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Table::counts(&self.0.tools)
    }

    /// An instance of a service became ready: calls that wait for it are made now.
    pub fn service_ready(&self, service: &str) {
        self.0.shards.iter().for_each(|shard| shard.with(|table| table.ready(service)));
    }

    /// Definitions of the file, by name.
    #[must_use]
    pub fn definitions(&self) -> Vec<String> {
        self.0.wanted().definitions.keys().cloned().collect()
    }
}

/// Checks definitions as they will be used.
fn check(wanted: &Wanted) -> Result<(), Error> {
    for (name, definition) in &wanted.definitions {
        let wrong = |error: Error| {
            Error::Invalid(format!("transaction `{name}`: {}", base::ErrorChain(&error)))
        };
        plan::check(&definition.spec).map_err(wrong)?;
        let plan = plan::plan(&definition.spec, 0).map_err(wrong)?;
        Machine::begin(plan, false, 0).map_err(|error| wrong(error.into()))?;
    }
    Ok(())
}

/// How transactions stand on this node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Driven now.
    pub unfinished: u64,
    /// Of those: wait for an operator.
    pub attention: u64,
    /// Ended committed since the start.
    pub committed: u64,
    /// Ended aborted.
    pub aborted: u64,
    /// Ended mixed.
    pub mixed: u64,
}
