//! One service: the machine of `logic::service` connected to the world.
//!
//! The unit's task owns everything about the service. It takes a message, lets the machine decide, and
//! hands each effect to a short task that reports back. Only `Route` and `Unroute` are done on the spot,
//! because their order with the signal that follows is the promise that no request is lost.

use crate::{
    ask::Answer,
    board::Board,
    config::Config,
    cron,
    gate::Gate,
    portbook::PortBook,
    recipe,
    status::{Action, Usage},
};
use base::{Diagnostic, InstanceId, Moment, Timestamp};
use logic::{
    instance::{Effect, Instance, Kind as ProbeKind, Phase},
    service::{Effects, Machine, Run},
};
use manifest::{Kind, Program, Service};
use ports::{
    host::{self, Exit, Host, Leftovers},
    logs::{Line, Stream},
};
use runtime::{Stop, TaskSet};
use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tracing::warn;

mod adoption;
mod build;
mod commands;
mod effects;
mod news;
mod oneoff;
mod picture;
mod start;

pub(crate) use adoption::{Survivor, survivors};
pub(crate) use effects::{Gone, discard};
pub(crate) use oneoff::ONCE_FIRST;

/// How many messages may wait for a unit. Its tasks wait when it is full; a unit takes thousands a second.
const MESSAGES_MAX: usize = 256;

/// How long the tasks of a unit may take to end when the unit ends.
const TASKS_GRACE: Duration = Duration::from_secs(2);

/// Events that also stand among the instance's output: what somebody who reads it would otherwise miss.
const JOURNALLED: &[&str] = &[
    "exited",
    "refused",
    "restarting",
    "crash_loop",
    "failed",
    "unready",
    "not_ready",
    "not_alive",
    "killed",
];

/// What all units share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) config: Arc<Config>,
    pub(crate) board: Arc<Board>,
    pub(crate) ports: Arc<PortBook>,
    /// Builds running at once.
    pub(crate) builds: Arc<Semaphore>,
}

/// Asks a unit for something.
pub(crate) enum Command {
    /// The file changed.
    Apply { service: Box<Service>, action: Action },
    /// How many instances.
    Scale(u32),
    /// Replace one instance or all.
    Restart(Option<u32>),
    /// The service left the file and is there again before its last instances ended; answers whether
    /// the unit takes it over.
    Revive { service: Box<Service>, reply: oneshot::Sender<()> },
    /// Stop all instances; start none. Answers when nothing of the service runs any more.
    Halt(Option<oneshot::Sender<()>>),
    /// End patience.
    Hurry,
    /// Start again after `Halt`.
    Resume,
    /// A one-off run; answers with its instance.
    Once {
        program: Option<Program>,
        env: BTreeMap<String, String>,
        reply: oneshot::Sender<InstanceId>,
    },
    /// Send this to every instance that runs.
    Signal(host::Signal),
    /// What its instances use; from the supervisor's sampling task.
    Sample,
}

/// What a unit hears.
pub(crate) enum Message {
    /// Answered when it was taken and the picture shows what it began.
    Command(Command, Option<oneshot::Sender<()>>),
    /// Something about a run of an instance.
    About(Run, Report),
    /// A build step ended; `None`: it was called off.
    Built {
        attempt: u64,
        outcome: Option<Result<(), Box<Diagnostic>>>,
    },
    /// What an earlier node left of the service is gone.
    Cleared,
    /// A one-off run ended.
    OnceEnded,
    Sampled(u32, Usage, Duration),
    /// A better explanation of a failure was found.
    Explained(Run, Box<Diagnostic>),
    /// Where a run listens that is not ready yet.
    Listens(Run, Vec<SocketAddr>),
}

/// What became of an effect.
pub(crate) enum Report {
    Started(Box<host::Run>),
    Refused(Box<Diagnostic>),
    Exited(Exit),
    Forgotten(Leftovers),
    Idle,
    Probed(ProbeKind, Answer),
}

/// A unit as the supervisor holds it.
#[derive(Clone)]
pub(crate) struct UnitHandle {
    messages: mpsc::Sender<Message>,
}

impl UnitHandle {
    /// Brings a command to the unit and waits until the picture shows what it began. A unit that is gone
    /// has nothing left to do it to.
    pub(crate) async fn send(&self, command: Command) {
        let (reply, answer) = oneshot::channel();
        let sent = self.messages.send(Message::Command(command, Some(reply))).await;
        if sent.is_err() || answer.await.is_err() {
            warn!("a command came for a unit that has ended");
        }
    }

    /// Asks for a look at what the instances use, unless the unit is busy.
    pub(crate) fn sample(&self) {
        // A sample that is left out is made up for by the next one.
        drop(self.messages.try_send(Message::Command(Command::Sample, None)));
    }

    /// Lets a unit whose service left the file go on with `service`. `false`: it has ended meanwhile.
    pub(crate) async fn revive(&self, service: Service) -> bool {
        let (reply, answer) = oneshot::channel();
        let command = Command::Revive { service: Box::new(service), reply };
        self.messages.send(Message::Command(command, None)).await.is_ok() && answer.await.is_ok()
    }

    /// Waits for the end of the unit. Cancel safe.
    pub(crate) async fn ended(&self) {
        self.messages.closed().await;
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.messages.is_closed()
    }
}

/// What the unit knows about one instance besides its phase.
#[derive(Default)]
struct Facts {
    /// As it was when this run started: an older version is asked and stopped in its own way.
    service: Option<Arc<Service>>,
    /// Where it runs; the service's newest version may run elsewhere.
    host: Option<Arc<dyn Host>>,
    run: Option<host::Run>,
    port: Option<u16>,
    started_at: Option<Timestamp>,
    begun: Moment,
    ready_after: Option<Duration>,
    last_exit: Option<String>,
    exit: Option<Exit>,
    next_start: Option<Timestamp>,
    adopted: bool,
    message: String,
    answer: String,
    answers: u32,
    /// Where it listened when it was last looked at.
    listening: Option<Vec<SocketAddr>>,
    usage: Option<Usage>,
    sampled: Option<(Moment, Duration)>,
    was_ready: bool,
}

/// One service.
pub(crate) struct Unit {
    shared: Shared,
    service: Arc<Service>,
    fingerprint: BTreeMap<String, u64>,
    host: Arc<dyn Host>,
    machine: Machine,
    facts: BTreeMap<u32, Facts>,
    gate: Gate,
    tasks: TaskSet,
    sender: mpsc::Sender<Message>,
    problem: Option<Arc<Diagnostic>>,
    /// The instance whose refused start the problem tells of.
    refusal: Option<u32>,
    cron: Option<cron::Timer>,
    once: oneoff::Book,
    build: build::Book,
    /// Wait until the picture shows what their commands began.
    taken: Vec<oneshot::Sender<()>>,
    /// Wait for the end of everything after a halt.
    waiters: Vec<oneshot::Sender<()>>,
    /// One look at what the instances use at a time.
    sampling: Arc<Semaphore>,
    /// The service left the file: the unit ends when its instances are gone.
    removed: bool,
    created: Moment,
}

impl Unit {
    /// A unit for `service`, with the instances of it that an earlier node left running.
    pub(crate) fn new(
        shared: Shared,
        service: Service,
    ) -> (Self, UnitHandle, mpsc::Receiver<Message>) {
        let (sender, receiver) = mpsc::channel(MESSAGES_MAX);
        let service = Arc::new(service);
        let now = shared.config.clock.now();
        let cron = cron::Timer::new(&service.kind, shared.config.clock);
        let count = if cron.is_some() { 0 } else { service.instances };
        let host = host_of(&shared.config, &service);
        let unit = Self {
            machine: Machine::new(recipe::desired(&service, count)),
            fingerprint: manifest::fingerprint(&service),
            facts: BTreeMap::new(),
            gate: Gate::new(&service, now),
            tasks: TaskSet::new("unit"),
            sender: sender.clone(),
            problem: None,
            refusal: None,
            once: oneoff::Book::default(),
            build: build::Book::default(),
            taken: Vec::new(),
            waiters: Vec::new(),
            sampling: Arc::new(Semaphore::new(1)),
            removed: false,
            created: now,
            cron,
            host,
            service,
            shared,
        };
        (unit, UnitHandle { messages: sender }, receiver)
    }

    /// Runs until the unit is removed or stopped.
    pub(crate) async fn run(mut self, mut messages: mpsc::Receiver<Message>, mut stop: Stop) {
        let mut picture = self.shared.board.watch();
        self.open_gate();
        self.publish();
        while !(self.removed && self.is_quiet()) {
            let wake = self.machine.wake().map(|at| self.shared.config.clock.instant(at));
            let cron = self.cron.as_ref().and_then(cron::Timer::instant);
            tokio::select! {
                message = messages.recv() => match message {
                    Some(message) => self.take(message),
                    None => break,
                },
                () = until(wake) => {
                    let now = self.now();
                    let effects = self.machine.tick(now);
                    self.execute(effects);
                }
                () = until(cron) => self.cron_due(),
                changed = picture.changed(), if !self.gate.is_open() => {
                    if changed.is_err() { break; }
                    self.open_gate();
                }
                () = stop.wait() => break,
            }
            self.tidy();
            self.publish();
            self.answer();
        }
        if self.removed {
            self.shared.board.remove(&self.service.name);
        }
        self.tasks.shutdown(TASKS_GRACE).await;
    }

    /// Nothing of the service runs and nothing will by itself.
    fn is_quiet(&self) -> bool {
        self.machine.is_halted()
            && self.machine.instances().is_empty()
            && !self.once.is_ending()
            && !self.build.is_running()
    }

    /// Everything that the file asks for is there, and jobs have ended well.
    fn is_settled(&self) -> bool {
        let job = self.service.kind != Kind::Service;
        let done = |i: &Instance| !job || i.phase == Phase::Completed;
        self.machine.is_settled() && self.machine.instances().values().all(done)
    }

    /// Forgets what belonged to instances that are gone.
    fn tidy(&mut self) {
        let (machine, ports) = (&self.machine, &self.shared.ports);
        let (traffic, name) = (&self.shared.config.traffic, &self.service.name);
        self.facts.retain(|number, facts| {
            let stays = machine.instances().contains_key(number);
            if !stays {
                if let Some(port) = facts.port {
                    ports.release(port);
                }
                traffic.close_app(&InstanceId { service: name.clone(), number: *number });
            }
            stays
        });
    }

    /// Answers those who wait for something that the picture shows now.
    fn answer(&mut self) {
        let halted = if self.is_quiet() { self.waiters.len() } else { 0 };
        for reply in self.taken.drain(..).chain(self.waiters.drain(..halted)) {
            // Who does not wait any more need not know.
            let _gone = reply.send(());
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Command(command, reply) => {
                self.taken.extend(reply);
                self.command(command);
            }
            Message::About(run, report) => self.report(run, report),
            Message::Built { attempt, outcome } => self.built(attempt, outcome),
            Message::Cleared => {
                self.gate.unblock();
                self.open_gate();
            }
            Message::OnceEnded => self.once.ended(),
            Message::Sampled(number, usage, cpu) => self.sampled(number, usage, cpu),
            Message::Explained(run, diagnostic) => self.explained(run, *diagnostic),
            Message::Listens(run, listening) => self.listens(run, listening),
        }
    }

    fn report(&mut self, about: Run, report: Report) {
        let input = self.note(about, report);
        let now = self.now();
        let random = random();
        let effects = self.machine.step(about, &input, now, random);
        self.execute(effects);
        if self.is_settled() && self.problem.is_some() {
            self.set_problem(None);
        }
    }

    fn execute(&mut self, effects: Effects) {
        for (run, effect) in effects {
            match effect {
                Effect::Start => self.start(run),
                Effect::Ask(kind) => self.ask(run, kind),
                Effect::Route => self.route(run),
                Effect::Unroute => self.shared.config.traffic.unroute(&self.id(run.number)),
                Effect::AwaitIdle => self.await_idle(run),
                Effect::Signal => self.signal(run, None),
                Effect::Kill => self.signal(run, Some(host::Signal::Kill)),
                Effect::Forget => self.forget(run),
                Effect::Say(news) => self.tell(run, &news),
            }
        }
    }

    fn now(&self) -> Moment {
        self.shared.config.clock.now()
    }

    fn id(&self, number: u32) -> InstanceId {
        InstanceId { service: self.service.name.clone(), number }
    }

    fn say(&self, number: u32, kind: &'static str, message: String) {
        if JOURNALLED.contains(&kind) {
            self.shared.config.journal.append(&[Line {
                at: self.shared.config.clock.date(),
                instance: self.id(number),
                stream: Stream::Node,
                text: if message.is_empty() { kind.to_owned() } else { message.clone() },
                is_cut: false,
            }]);
        }
        self.shared.board.say(Some(&self.service.name), Some(&self.id(number)), kind, message);
    }

    fn say_all(&self, kind: &'static str, message: String) {
        self.shared.board.say(Some(&self.service.name), None, kind, message);
    }

    fn set_problem(&mut self, problem: Option<Diagnostic>) {
        self.problem = problem.map(Arc::new);
        self.refusal = None;
    }
}

/// The host that runs this kind of program.
fn host_of(config: &Config, service: &Service) -> Arc<dyn Host> {
    match service.program {
        Program::Container(_) => Arc::clone(&config.containers),
        Program::Shell(_) | Program::Exec(_) | Program::External(_) => {
            Arc::clone(&config.processes)
        }
    }
}

async fn until(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// A number for jitter; it need not be unguessable.
fn random() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(())
}
