//! The build step, and the gate it opens together with the needs.

use super::{Message, Unit, effects, start};
use crate::diagnose;
use base::{BUILD_NUMBER, Diagnostic, InstanceId};
use manifest::Service;
use ports::host::{self, Host, Spec};
use runtime::Stop;
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::{Mutex, oneshot};
use tracing::warn;

/// The build steps of a unit: at most one counts, those called off may still be ending.
#[derive(Default)]
pub(super) struct Book {
    attempt: u64,
    running: u32,
    /// Dropped, it calls the present attempt off.
    present: Option<oneshot::Sender<()>>,
    /// Two builds in one folder would spoil each other.
    folder: Arc<Mutex<()>>,
}

impl Book {
    /// Whether a build step has not ended, also one that was called off.
    pub(super) fn is_running(&self) -> bool {
        self.running > 0
    }
}

/// What a build needs, taken along into its task.
struct Build {
    shared: super::Shared,
    service: Arc<Service>,
    instance: InstanceId,
    line: String,
    folder: Arc<Mutex<()>>,
    off: oneshot::Receiver<()>,
}

impl Build {
    /// Runs the build step as a process of its own, with its output in the log store. `None`: called off,
    /// and nothing of it is left.
    async fn go(mut self, mut stop: Stop) -> Option<Result<(), Box<Diagnostic>>> {
        let folder = Arc::clone(&self.folder);
        let _turn = tokio::select! {
            turn = async { (folder.lock().await, self.shared.builds.acquire().await) } => turn,
            _ = &mut self.off => return None,
            () = stop.wait() => return None,
        };
        let host = Arc::clone(&self.shared.config.processes);
        let env = tokio::select! {
            env = start::reveal(&self.shared, &self.service, self.service.env.clone()) => env,
            _ = &mut self.off => return None,
            () = stop.wait() => return None,
        };
        let env = match env {
            Ok(env) => env,
            Err(diagnostic) => return Some(Err(diagnostic)),
        };
        let spec = Spec {
            instance: self.instance.clone(),
            program: host::Program::Shell(self.line.clone()),
            dir: self.service.dir.clone(),
            env,
            port: None,
            limits: host::Limits::default(),
            labels: BTreeMap::new(),
        };
        // Not interrupted: a start that is dropped may have happened.
        let run = match host.start(&spec).await {
            Err(e) => return Some(Err(Box::new(effects::refusal(&self.service, "build", e)))),
            Ok(run) => run,
        };
        let exit = tokio::select! {
            exit = effects::wait(&*host, &run.id) => Some(exit),
            _ = &mut self.off => None,
            () = stop.wait() => None,
        };
        let Some(exit) = exit else {
            end(&*host, &run.id).await;
            return None;
        };
        let output = self.shared.config.recall.last(&self.instance, diagnose::LINES_SHOWN);
        if let Err(e) = host.forget(&run.id).await {
            warn!(error = %base::ErrorChain(&e), "cannot clear up after a build");
        }
        if exit.is_success() {
            return Some(Ok(()));
        }
        let exit = exit.to_string();
        Some(Err(Box::new(diagnose::build_failed(&self.service, &self.line, &exit, &output))))
    }
}

/// Ends a build that nobody waits for any more; what it made so far is made again by the next one.
async fn end(host: &dyn Host, run: &host::RunId) {
    if let Err(e) = host.signal(run, host::Signal::Kill).await {
        warn!(error = %base::ErrorChain(&e), "cannot end a build");
    }
    if let Err(e) = host.forget(run).await {
        warn!(error = %base::ErrorChain(&e), "cannot clear up after a build");
    }
}

impl Unit {
    /// Lets instances start as soon as needs are met and the build is done.
    pub(super) fn open_gate(&mut self) {
        if self.removed || self.machine.is_halted() {
            return;
        }
        let status = self.shared.board.status();
        let now = self.now();
        self.gate.look(&self.service, &status, now);
        // Builds need no needs, so they begin before those are met.
        if self.gate.must_build() {
            self.build();
        }
        let open = self.gate.is_open();
        if open != self.machine.is_open() {
            let effects = self.machine.set_open(open, now);
            self.execute(effects);
        }
    }

    fn build(&mut self) {
        let line = self.service.build.clone().filter(|_| !self.shared.config.no_build);
        let Some(line) = line else { return self.gate.skip_build() };
        self.gate.build_begins();
        self.say_all("building", line.clone());
        let (call_off, off) = oneshot::channel();
        self.build.attempt += 1;
        self.build.running += 1;
        self.build.present = Some(call_off);
        let build = Build {
            shared: self.shared.clone(),
            service: Arc::clone(&self.service),
            instance: self.id(BUILD_NUMBER),
            line,
            folder: Arc::clone(&self.build.folder),
            off,
        };
        let (attempt, sender) = (self.build.attempt, self.sender.clone());
        self.tasks.spawn("build", move |stop| async move {
            let outcome = build.go(stop).await;
            effects::tell(&sender, Message::Built { attempt, outcome }).await;
        });
    }

    /// Calls a running build off; the next opening of the gate builds anew.
    pub(super) fn build_anew(&mut self) {
        self.build.present = None;
        self.gate.build_again();
    }

    pub(super) fn built(&mut self, attempt: u64, outcome: Option<Result<(), Box<Diagnostic>>>) {
        self.build.running = self.build.running.saturating_sub(1);
        let current = attempt == self.build.attempt && self.build.present.take().is_some();
        match outcome.filter(|_| current) {
            None => {}
            Some(Ok(())) => {
                self.gate.built();
                self.say_all("built", "build step done".to_owned());
                self.open_gate();
            }
            Some(Err(diagnostic)) => {
                self.gate.build_failed();
                self.say_all("build_failed", diagnostic.message.clone());
                self.set_problem(Some(*diagnostic));
            }
        }
    }
}
