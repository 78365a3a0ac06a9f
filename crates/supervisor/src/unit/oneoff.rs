//! One-off runs: a command beside a service, or a job by hand. They are never restarted.

use super::{Message, Unit, effects, start::Start};
use crate::status::{InstanceState, InstanceStatus};
use base::InstanceId;
use manifest::Program;
use ports::host::{self, Exit, Host};
use runtime::Clock;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::{oneshot, watch};

/// Numbers of one-off runs begin here, above every instance number.
pub(crate) const ONCE_FIRST: u32 = 10_001;

/// How many numbers one-off runs take in turn; far more than are shown at once.
const NUMBERS: u32 = 1_000_000;

/// One-off runs of a service at once. More wait for nothing: they are refused.
pub(super) const ONCE_MAX: usize = 64;

/// Ended runs that are still shown, so that whoever started one can read how it ended.
const ENDED_KEPT: usize = 32;

/// How often SIGKILL is repeated while a run does not end.
const KILL_AGAIN_AFTER: Duration = logic::instance::KILL_AGAIN_AFTER;

/// The one-off runs of a unit.
#[derive(Default)]
pub(super) struct Book {
    next: u32,
    runs: Arc<Mutex<BTreeMap<u32, Entry>>>,
}

struct Entry {
    status: InstanceStatus,
    end: watch::Sender<End>,
}

/// How urgently a run shall end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    /// By itself.
    Open,
    /// By its stop signal, and by SIGKILL after the grace.
    Asked,
    /// By SIGKILL at once.
    Now,
}

impl Book {
    pub(super) fn pictures(&self) -> Vec<InstanceStatus> {
        self.lock().values().map(|entry| entry.status.clone()).collect()
    }

    /// Leaves out the numbers up to `number`: a run of an earlier node may have it yet.
    pub(super) fn skip(&mut self, number: u32) {
        self.next = self.next.max((number + 1).saturating_sub(ONCE_FIRST) % NUMBERS);
    }

    /// Forgets the oldest of those that ended.
    pub(super) fn ended(&mut self) {
        let mut runs = self.lock();
        let ended: Vec<u32> =
            runs.iter().filter(|(_, e)| !e.is_running()).map(|(n, _)| *n).collect();
        for number in ended.iter().take(ended.len().saturating_sub(ENDED_KEPT)) {
            runs.remove(number);
        }
    }

    /// Asks all of them to end.
    pub(super) fn stop(&self) {
        self.urge(End::Asked);
    }

    /// Ends all of them at once that were asked to end.
    pub(super) fn kill(&self) {
        self.urge(End::Now);
    }

    /// Whether one that was asked to end has not ended.
    pub(super) fn is_ending(&self) -> bool {
        self.lock().values().any(|e| e.is_running() && *e.end.borrow() > End::Open)
    }

    fn running(&self) -> usize {
        self.lock().values().filter(|e| e.is_running()).count()
    }

    fn urge(&self, end: End) {
        for entry in self.lock().values() {
            entry.end.send_if_modified(|now| {
                let more = *now < end;
                *now = end.max(*now);
                more
            });
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u32, Entry>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn is_running(&self) -> bool {
        self.status.state == InstanceState::Ready
    }
}

/// Waits for the end of a run, and brings it about when it is wanted.
async fn see_through(
    host: &dyn Host,
    run: &host::RunId,
    stop: &manifest::Stop,
    signal: host::Signal,
    end: &mut watch::Receiver<End>,
) -> Exit {
    let mut seen = End::Open;
    let mut exit = std::pin::pin!(effects::wait(host, run));
    let mut kill_at: Option<tokio::time::Instant> = None;
    loop {
        let send = tokio::select! {
            exit = &mut exit => return exit,
            () = super::until(kill_at) => host::Signal::Kill,
            wanted = more_urgent(end, seen) => match wanted {
                Some(wanted) => {
                    seen = wanted;
                    if seen == End::Now { host::Signal::Kill } else { signal }
                }
                // The book is gone with its unit; the host ends what is left, if it is told to.
                None => std::future::pending().await,
            },
        };
        let wait = if send == host::Signal::Kill { KILL_AGAIN_AFTER } else { stop.grace };
        kill_at = Some(tokio::time::Instant::now() + wait);
        if let Err(e) = host.signal(run, send).await {
            tracing::warn!(error = %base::ErrorChain(&e), "cannot end a one-off run");
        }
    }
}

/// The next wish that is more urgent than `seen`; `None` when nobody can wish any more. Cancel safe.
async fn more_urgent(end: &mut watch::Receiver<End>, seen: End) -> Option<End> {
    end.wait_for(|wanted| *wanted > seen).await.ok().map(|wanted| *wanted)
}

fn set(runs: &Mutex<BTreeMap<u32, Entry>>, number: u32, change: impl FnOnce(&mut InstanceStatus)) {
    let mut runs = runs.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(entry) = runs.get_mut(&number) {
        change(&mut entry.status);
    }
}

impl Unit {
    pub(super) fn start_once(
        &mut self,
        program: Option<Program>,
        env: BTreeMap<String, String>,
        reply: oneshot::Sender<InstanceId>,
    ) {
        if self.removed || self.once.running() >= ONCE_MAX {
            // Dropping the reply tells the caller that it was refused.
            return drop(reply);
        }
        let number = ONCE_FIRST + self.once.next;
        self.once.next = (self.once.next + 1) % NUMBERS;
        let instance = self.id(number);
        let (sender, end) = watch::channel(End::Open);
        let entry = Entry { status: first_picture(instance.clone()), end: sender };
        self.once.lock().insert(number, entry);
        // Someone who no longer waits still gets the run.
        drop(reply.send(instance.clone()));
        let chosen = program.unwrap_or_else(|| self.service.program.clone());
        let start = Start {
            shared: self.shared.clone(),
            service: Arc::clone(&self.service),
            host: Arc::clone(&self.host),
            program: crate::recipe::program(&self.service, &chosen),
            instance,
            port: None,
            labels: BTreeMap::new(),
            env,
        };
        let (runs, sender) = (Arc::clone(&self.once.runs), self.sender.clone());
        self.tasks.spawn("once", move |_| async move {
            run_once(start, &runs, end).await;
            effects::tell(&sender, Message::OnceEnded).await;
        });
    }
}

/// Starts a one-off run, sees it through, clears up, and keeps its picture up to date.
async fn run_once(start: Start, runs: &Mutex<BTreeMap<u32, Entry>>, mut end: watch::Receiver<End>) {
    let (board, instance) = (Arc::clone(&start.shared.board), start.instance.clone());
    let traffic = Arc::clone(&start.shared.config.traffic);
    let (host, service) = (Arc::clone(&start.host), Arc::clone(&start.service));
    let number = instance.number;
    let say = |kind, message: String| {
        board.say(Some(&instance.service), Some(&instance), kind, message);
    };
    let (state, text) = match start.go().await {
        Err(diagnostic) => {
            say("refused", diagnostic.message.clone());
            (InstanceState::Failed, diagnostic.message)
        }
        Ok(run) => {
            say("started", "one-off run".to_owned());
            set(runs, number, |status| {
                status.pid = run.pid;
                status.started_at = Some(run.started_at);
            });
            let signal = crate::recipe::stop_signal(&service);
            let exit = see_through(&*host, &run.id, &service.stop, signal, &mut end).await;
            if let Err(e) = host.forget(&run.id).await {
                tracing::warn!(error = %base::ErrorChain(&e), "cannot clear up after a one-off run");
            }
            say("exited", exit.to_string());
            let good = exit.is_success();
            (if good { InstanceState::Completed } else { InstanceState::Failed }, exit.to_string())
        }
    };
    traffic.close_app(&instance);
    set(runs, number, |status| {
        status.state = state;
        status.last_exit = Some(text);
    });
}

fn first_picture(id: InstanceId) -> InstanceStatus {
    InstanceStatus {
        id,
        state: InstanceState::Ready,
        pid: None,
        port: None,
        address: None,
        started_at: Some(Clock::wall()),
        ready_after: None,
        restarts: 0,
        last_exit: None,
        next_start: None,
        adopted: false,
        outdated: false,
        usage: None,
        message: "one-off run".to_owned(),
    }
}
