//! The owner of everything that runs in the background of this host.

use crate::{
    Error, LocalHost,
    cgroup::{self, Sources},
    guard::{self, Guard},
    proc::{self, Process},
    record::{self, Places},
    shared::Shared,
    tail::{Options, Tail},
};
use ports::{host::RunId, logs::Sink};
use runtime::TaskSet;
use std::{collections::HashMap, ffi::OsString, io, path::PathBuf, sync::Arc, time::Duration};
use tracing::{info, warn};

/// How long tasks may take to heed their stop; they only wait.
const TASKS_GRACE: Duration = Duration::from_secs(1);

/// How long the last output may take to reach the sink at the end of the node.
const TAIL_GRACE: Duration = Duration::from_secs(5);

/// How often a dead node's guard is looked at while it is waited for.
const GUARD_LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// What becomes of runs when the node ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// They go on, however the node ends, and the next node adopts them.
    Survives,
    /// They end with it, however it ends.
    EndsWithNode,
}

/// Whether control groups are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cgroups {
    /// Where this node may.
    Auto,
    /// Never.
    Off,
}

/// What the host is made with.
#[derive(Clone, Debug)]
pub struct Config {
    /// The folder that holds `run/` and `out/`; made when it is not there. Only one node may use it at a time.
    pub state_dir: PathBuf,
    /// The system's name; names its control group.
    pub system: String,
    /// What becomes of runs when the node ends.
    pub lifetime: Lifetime,
    /// Whether control groups are used.
    pub cgroups: Cgroups,
    /// Program and first arguments of the guard, which must call [`crate::guard_main`] with the arguments that
    /// follow. `None`: this program with `__guard`.
    pub guard: Option<Vec<OsString>>,
    pub(crate) tail: Options,
    pub(crate) groups: Sources,
}

impl Config {
    /// The usual.
    #[must_use]
    pub fn new(
        state_dir: impl Into<PathBuf>,
        system: impl Into<String>,
        lifetime: Lifetime,
    ) -> Self {
        Self {
            state_dir: state_dir.into(),
            system: system.into(),
            lifetime,
            cgroups: Cgroups::Auto,
            guard: None,
            tail: Options::default(),
            groups: Sources::default(),
        }
    }
}

/// Owns the host's tasks, its output reader and its guard. Dropped without [`Service::shutdown`], it leaves
/// what runs as a killed node would: to the next node, or to the guard.
#[derive(Debug)]
pub struct Service {
    shared: Arc<Shared>,
    guard: Option<Guard>,
}

impl LocalHost {
    /// Sets the host up. Must be called within a tokio runtime. Waits for the guard of a dead node to finish,
    /// which may take seconds. Call [`ports::host::Host::survivors`] next.
    ///
    /// # Errors
    /// When the state directory cannot be used or the system lacks something.
    /// # Cancel safety
    /// Cancel safe: what was set up is taken down again.
    pub async fn start(config: Config, sink: Arc<dyn Sink>) -> Result<(Service, Arc<Self>), Error> {
        let places = Places::new(&config.state_dir);
        places.create()?;
        let boot = proc::boot_id()
            .map_err(|cause| Error::System { what: "tell its boots apart", cause })?;
        if Process::find(std::process::id()).and_then(Process::open).is_none() {
            let cause = io::Error::last_os_error();
            return Err(Error::System {
                what: "open processes (Linux 5.3 and /proc are needed)",
                cause,
            });
        }
        wait_for_guard(&places).await;
        let node = record::random();
        let guard = match config.lifetime {
            Lifetime::Survives => None,
            Lifetime::EndsWithNode => {
                let own = || Ok(vec![std::env::current_exe()?.into_os_string(), "__guard".into()]);
                let program = config.guard.map_or_else(own, Ok);
                let program = program
                    .map_err(|cause| Error::System { what: "find its own program", cause })?;
                Some(Guard::start(&program, &config.state_dir, &node)?)
            }
        };
        let cgroups = match config.cgroups {
            Cgroups::Auto => cgroup::Cgroups::prepare(&config.groups, &config.system),
            Cgroups::Off => cgroup::Cgroups::off("control groups are switched off"),
        };
        let tail = Tail::start(places.out.clone(), sink, config.tail)
            .map_err(|cause| Error::System { what: "start a thread that reads output", cause })?;
        let shared = Arc::new(Shared {
            places,
            lifetime: config.lifetime,
            node,
            boot,
            cgroups,
            tail,
            runs: std::sync::Mutex::new(HashMap::new()),
            tasks: std::sync::Mutex::new(Some(TaskSet::new("adapter-local"))),
            scan: tokio::sync::Mutex::new(None),
        });
        let host = Arc::new(Self { shared: Arc::clone(&shared) });
        Ok((Service { shared, guard }, host))
    }
}

impl Service {
    /// Ends the host: takes the output printed so far into the sink, and, when runs end with the node, ends
    /// those that are left. Bounded in time: some seconds, more only for processes that cannot be killed.
    ///
    /// # Cancel safety
    /// Not cancel safe: a dropped call leaves it half ended, as a killed node would.
    pub async fn shutdown(mut self) {
        if self.shared.lifetime == Lifetime::EndsWithNode {
            self.end_runs().await;
        }
        let tasks = self.shared.tasks().take();
        if let Some(tasks) = tasks {
            tasks.shutdown(TASKS_GRACE).await;
        }
        if !self.shared.tail.end(TAIL_GRACE).await {
            warn!("the last output was not stored in time; the next node reads it");
        }
        self.shared.cgroups.close();
        if let Some(guard) = self.guard.take() {
            runtime::blocking(move || guard.release()).await;
        }
    }

    async fn end_runs(&self) {
        let left: Vec<RunId> = self.shared.runs().keys().cloned().collect();
        let mut ending = TaskSet::new("adapter-local-end");
        for id in left {
            info!(run = ?id, "ending a run with the node");
            let shared = Arc::clone(&self.shared);
            ending.spawn("forget", |_| async move {
                if let Err(e) = shared.forget(&id).await {
                    warn!(run = ?id, error = %base::ErrorChain(&e), "a run does not end with the node");
                }
            });
        }
        ending.shutdown(crate::shared::KILL_MAX + crate::shared::CLOSE_MAX).await;
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // The tasks hold what is shared, which holds the tasks: the ring is opened here.
        drop(self.shared.tasks().take());
        self.shared.tail.abandon();
    }
}

async fn wait_for_guard(places: &Places) {
    let mut look = tokio::time::interval(GUARD_LOOK_INTERVAL);
    let gone = async {
        while guard::is_at_work(places) {
            look.tick().await;
        }
    };
    if tokio::time::timeout(guard::WAIT_MAX, gone).await.is_err() {
        warn!("the guard of an earlier node is still ending its runs");
    }
}
