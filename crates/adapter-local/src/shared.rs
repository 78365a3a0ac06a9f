//! What the service, the port and their tasks share, and the life of a run in it.

use crate::{
    Lifetime,
    cgroup::{self, Cgroups},
    launch::{self, Launch},
    proc::{self, Process, Stat},
    record::{self, Places, Record, STREAMS},
    running::{Environment, Running},
    tail::{Opened, Tail},
};
use base::InstanceId;
use ports::host::{Error, Leftovers, Run, RunId, Spec};
use runtime::{Clock, Stop, TaskSet};
use std::{
    collections::HashMap,
    fs, io,
    os::{fd::OwnedFd, unix::fs::OpenOptionsExt},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tracing::{debug, warn};

/// How long the output of an ended run is waited for before its end is told (the port's contract).
const DRAIN_MAX: Duration = Duration::from_secs(2);

/// How long killed processes may take to be gone. Longer hang those in uninterruptible sleep, which no
/// signal ends.
pub(crate) const KILL_MAX: Duration = Duration::from_secs(5);

/// How long the sink may take for the last output of a run that is being forgotten.
pub(crate) const CLOSE_MAX: Duration = Duration::from_secs(10);

/// How long one look at all processes serves everybody who asks for usage.
const SCAN_AGE_MAX: Duration = Duration::from_millis(500);

/// One look at all processes, and when it was.
type Scan = Option<(Instant, Arc<Vec<Stat>>)>;

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) places: Places,
    pub(crate) lifetime: Lifetime,
    /// Names this node in its records.
    pub(crate) node: String,
    pub(crate) boot: String,
    pub(crate) cgroups: Cgroups,
    pub(crate) tail: Tail,
    pub(crate) runs: Mutex<HashMap<RunId, Arc<Running>>>,
    /// `None` once the service has ended: nothing is started any more.
    pub(crate) tasks: Mutex<Option<TaskSet>>,
    pub(crate) scan: tokio::sync::Mutex<Scan>,
}

impl Shared {
    pub(crate) fn runs(&self) -> MutexGuard<'_, HashMap<RunId, Arc<Running>>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn find(&self, run: &RunId) -> Result<Arc<Running>, Error> {
        self.runs().get(run).cloned().ok_or_else(|| Error::Unknown(run.clone()))
    }

    pub(crate) fn tasks(&self) -> MutexGuard<'_, Option<TaskSet>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a run. Blocks; runs to its end even when nobody waits for it any more.
    pub(crate) fn start(self: &Arc<Self>, spec: &Spec) -> Result<Run, Error> {
        let launch = Launch::prepare(&spec.program, &spec.dir, &spec.env)?;
        if self.tasks().is_none() {
            return Err(unavailable(
                "start anything: the node is stopping",
                io::Error::other("the host has ended"),
            ));
        }
        let run = record::new_run(&spec.instance);
        let mut record = Record {
            version: record::VERSION,
            instance: spec.instance.to_string(),
            node: self.node.clone(),
            boot: self.boot.clone(),
            main: None,
            port: spec.port,
            started_at_us: Clock::wall().0,
            dir: spec.dir.clone(),
            cgroup: None,
            labels: spec.labels.clone(),
            run,
        };
        record.write(&self.places).map_err(|e| unavailable("write the run record", e))?;
        record.cgroup = self.cgroups.create(&record.run, &spec.limits);
        let started = self.spawn(&launch, spec, &mut record);
        if started.is_err() {
            self.clean_up(&record);
        }
        started
    }

    fn spawn(
        self: &Arc<Self>,
        launch: &Launch,
        spec: &Spec,
        record: &mut Record,
    ) -> Result<Run, Error> {
        let output = |stream| {
            fs::OpenOptions::new()
                .create(true)
                .append(true)
                .mode(0o600)
                .open(self.places.output(&record.run, stream))
                .map_err(|e| unavailable("create an output file", e))
        };
        let mut command = launch.command(record.cgroup.as_deref());
        launch::set_env(&mut command, &record.run, &spec.env);
        command.stdout(output("out")?).stderr(output("err")?);
        let child = command.spawn().map_err(|e| launch.refusal(&e))?;
        drop(command);
        // It is our child and not collected, so it has its number even if it has ended.
        let main = Process::find(child.id());
        record.main = main;
        let written = record.write(&self.places);
        let open = main.and_then(Process::open);
        let (Some(open), Ok(())) = (open, &written) else {
            let target = crate::members::Target {
                run: record.run.clone(),
                main: record.main,
                cgroup: record.cgroup.clone(),
            };
            if let Err(left) = target.kill(KILL_MAX) {
                warn!(run = record.run, left, "a run that could not be recorded does not end");
            }
            let cause = written.err().unwrap_or_else(|| io::Error::other("the process is gone"));
            return Err(unavailable("keep track of the new process", cause));
        };
        self.take_over(record, open, Environment::Inherited(spec.env.clone()))
    }

    /// Makes a living run known: its output is read and its end is waited for.
    pub(crate) fn take_over(
        self: &Arc<Self>,
        record: &Record,
        open: OwnedFd,
        environment: Environment,
    ) -> Result<Run, Error> {
        let gone =
            || unavailable("keep track of a run", io::Error::other("its record is incomplete"));
        let running = Arc::new(Running::new(record, open, environment).ok_or_else(gone)?);
        let run = running.run.clone();
        let opened = Opened::both(&self.places, running.name(), &run.instance)
            .map_err(|e| unavailable("read the output of a run", e))?;
        self.tail.follow(opened);
        self.runs().insert(run.id.clone(), Arc::clone(&running));
        let shared = Arc::clone(self);
        if let Some(tasks) = self.tasks().as_mut() {
            tasks.spawn("run", |stop| async move { shared.watch(&running, stop).await });
        }
        Ok(run)
    }

    /// Waits for the end of a run and tells it.
    async fn watch(&self, running: &Running, mut stop: Stop) {
        tokio::select! {
            // Both can be dropped at any time.
            () = stop.wait() => return,
            ended = proc::ended(&running.ended) => if let Err(e) = ended {
                warn!(run = &**running.name(), error = %e, "the end of a run cannot be waited for");
            },
        }
        let exit = running.how_it_ended();
        if !self.tail.drain(running.name(), DRAIN_MAX).await {
            debug!(
                run = &**running.name(),
                "the end of a run is told before all of its output is stored"
            );
        }
        running.exit.send_replace(Some(exit));
    }

    /// Ends what is left of a run and removes it.
    pub(crate) async fn forget(&self, id: &RunId) -> Result<Leftovers, Error> {
        let Ok(running) = self.find(id) else { return Ok(Leftovers::default()) };
        let _first = running.forgetting.lock().await;
        if self.find(id).is_err() {
            return Ok(Leftovers::default());
        }
        let target = running.target();
        let away = runtime::blocking(move || target.kill(KILL_MAX))
            .await
            .map_err(|left| unavailable("end all processes of the run", io::Error::other(left)))?;
        let told = tokio::time::timeout(DRAIN_MAX + KILL_MAX, async {
            running.exit.subscribe().wait_for(Option::is_some).await.is_ok()
        });
        if !told.await.unwrap_or(false) {
            debug!(run = &**running.name(), "a run is forgotten before its end was told");
        }
        let name = running.name();
        let files = STREAMS.map(|stream| self.places.output(name, stream)).to_vec();
        if !self.tail.close(name, files, CLOSE_MAX).await {
            return Err(unavailable(
                "store the last output of the run",
                io::Error::other("the log store does not take it"),
            ));
        }
        running.collect();
        if let Some(group) = &running.cgroup {
            cgroup::remove(group);
        }
        self.places.remove(name).map_err(|e| unavailable("remove the run's files", e))?;
        self.runs().remove(id);
        Ok(Leftovers {
            processes: away
                .iter()
                .map(|member| format!("{} {}", member.process.pid, member.name))
                .collect(),
        })
    }

    /// Removes what was made for a run that did not come to be.
    fn clean_up(&self, record: &Record) {
        if let Some(group) = &record.cgroup {
            cgroup::remove(group);
        }
        if let Err(e) = self.places.remove(&record.run) {
            warn!(run = record.run, error = %e, "the files of a run that did not start cannot be removed");
        }
    }

    /// Reads the last output of a run that ended while no node was there, and removes it.
    pub(crate) async fn bury(&self, name: &str, instance: &InstanceId, group: Option<PathBuf>) {
        let name: Arc<str> = name.into();
        let files: Vec<PathBuf> = STREAMS.map(|stream| self.places.output(&name, stream)).to_vec();
        match Opened::both(&self.places, &name, instance) {
            Ok(opened) => {
                self.tail.follow_async(opened).await;
                if !self.tail.close(&name, files, CLOSE_MAX).await {
                    warn!(run = &*name, "the last output of an ended run waits for the log store");
                    return;
                }
            }
            Err(e) => debug!(run = &*name, error = %e, "an ended run has no output left"),
        }
        if let Some(group) = group {
            cgroup::remove(&group);
        }
        if let Err(e) = self.places.remove(&name) {
            warn!(run = &*name, error = %e, "the files of an ended run cannot be removed");
        }
    }

    /// All processes, as seen not long ago.
    pub(crate) async fn all_processes(&self) -> Arc<Vec<Stat>> {
        // Held over the look itself, so that a hundred callers at once cause one.
        let mut scan = self.scan.lock().await;
        if let Some((at, all)) = &*scan
            && at.elapsed() < SCAN_AGE_MAX
        {
            return Arc::clone(all);
        }
        let all = Arc::new(runtime::blocking(proc::all).await);
        *scan = Some((Instant::now(), Arc::clone(&all)));
        all
    }
}

pub(crate) fn unavailable(what: &str, cause: io::Error) -> Error {
    Error::Unavailable { what: format!("cannot {what}"), cause: Box::new(cause) }
}
