//! The host with real processes: the conformance suite, with and without control groups, and what is
//! particular to this host.

mod recovery;
mod suite;
mod trouble;

use crate::{Cgroups, Config, Lifetime, LocalHost, Service};
use ports::{
    host::{Host, Run},
    logs::Sink,
};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

/// How long a test may take in all before it counts as hung.
const TEST_MAX: Duration = Duration::from_secs(120);

/// A folder of this test's own, removed with its value.
pub(crate) struct Folder(PathBuf);

impl std::ops::Deref for Folder {
    type Target = Path;
    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.0);
    }
}

/// An empty folder; `name` helps to tell whose it was.
pub(crate) fn folder(name: &str) -> Folder {
    let path = std::env::temp_dir().join(format!("flotilla-{name}-{}", crate::record::random()));
    fs::create_dir_all(&path).unwrap();
    Folder(fs::canonicalize(path).unwrap())
}

/// Runs an async test in a runtime of its own, bounded in time.
pub(crate) fn run_async(test: impl Future<Output = ()>) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let ended = runtime.block_on(async { tokio::time::timeout(TEST_MAX, test).await });
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended.expect("the test hangs");
}

/// A state directory and the nodes on it.
pub(crate) struct Machine {
    pub(crate) config: Config,
    pub(crate) dir: Folder,
    services: Mutex<Vec<Service>>,
}

impl Machine {
    pub(crate) fn new(cgroups: Cgroups) -> Self {
        let dir = folder("machine");
        let system = format!("test-{}", crate::record::random());
        let mut config = Config::new(dir.join("state"), system, Lifetime::Survives);
        config.cgroups = cgroups;
        Self { config, dir, services: Mutex::default() }
    }

    pub(crate) async fn host(&self, sink: Arc<dyn Sink>) -> Arc<LocalHost> {
        let (service, host) = LocalHost::start(self.config.clone(), sink).await.unwrap();
        self.services.lock().unwrap().push(service);
        host
    }

    /// Ends the node without a word; its runs go on.
    pub(crate) fn crash(&self) {
        self.services.lock().unwrap().clear();
    }

    /// Ends the node in order.
    pub(crate) async fn shutdown(&self) {
        let service = self.services.lock().unwrap().pop();
        service.unwrap().shutdown().await;
    }

    pub(crate) fn state(&self) -> &Path {
        &self.config.state_dir
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.crash();
        // A failed test must leave no process behind either.
        for entry in fs::read_dir(self.state().join("run")).into_iter().flatten().flatten() {
            if let Some(run) =
                entry.file_name().to_str().and_then(|name| name.strip_suffix(".json"))
            {
                let target = crate::members::Target { run: run.to_owned(), ..Default::default() };
                _ = target.kill(Duration::from_secs(5));
            }
        }
        let home =
            Path::new("/sys/fs/cgroup/unified").join(format!("flotilla-{}", self.config.system));
        crate::cgroup::remove(&home);
    }
}

/// Counts the living processes of a run by the marker in their environment, as `ps e` would.
pub(crate) fn living(run: &Run) -> usize {
    let marker = (crate::launch::RUN_VARIABLE.into(), (*run.id.0).into());
    crate::proc::all()
        .into_iter()
        .filter(|stat| !stat.is_dead())
        .filter_map(|stat| crate::proc::environ(stat.process.pid))
        .filter(|env| env.contains(&marker))
        .count()
}

/// Waits until something holds.
pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) {
    let mut look = tokio::time::interval(Duration::from_millis(5));
    for _ in 0..6_000 {
        if holds() {
            return;
        }
        look.tick().await;
    }
    panic!("not reached: {what}");
}

/// The order to run a shell line.
pub(crate) fn shell(dir: &Path, line: &str) -> ports::host::Spec {
    ports::host::Spec {
        instance: base::InstanceId::parse("users/1").unwrap(),
        program: ports::host::Program::Shell(line.to_owned()),
        dir: dir.to_path_buf(),
        env: BTreeMap::new(),
        port: None,
        limits: ports::host::Limits::default(),
        labels: BTreeMap::from([("a".to_owned(), "b".to_owned())]),
    }
}

/// Everything of a host that a test of one host needs.
pub(crate) async fn started(machine: &Machine, host: &dyn Host, line: &str) -> Run {
    host.start(&shell(&machine.dir, line)).await.unwrap()
}
