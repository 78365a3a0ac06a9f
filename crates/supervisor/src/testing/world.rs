//! A host, a data plane and a log store in memory. What breaks a contract is kept as a fault.

use super::server::Server;
use async_trait::async_trait;
use base::{Code, Diagnostic, InstanceId, ServiceName};
use ports::{
    host::{
        Capabilities, CommandOutcome, Error, Exit, Host, Leftovers, Program, Run, RunId, Signal,
        Spec, Usage,
    },
    logs::{Line, Recall, Sink},
    secrets::{self, Reveal, Revealed},
    traffic::{AppAddresses, AppWish, Traffic},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tokio::{sync::watch, time::Instant};

/// The world. Cheap to clone; it outlives the nodes that run in it.
#[derive(Clone)]
pub(crate) struct World(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    changes: watch::Sender<u64>,
}

#[derive(Default)]
pub(crate) struct State {
    started: u32,
    processes: BTreeMap<RunId, Process>,
    /// What the supervisor did, in order: `start users/1`, `route users/1`, …
    pub(crate) story: Vec<String>,
    /// Broken promises; empty in a test that passes.
    pub(crate) faults: Vec<String>,
    pub(crate) routed: BTreeMap<InstanceId, SocketAddr>,
    /// Requests under way.
    pub(crate) open: BTreeMap<InstanceId, u64>,
    /// Fail their readiness.
    pub(crate) sick: BTreeSet<String>,
    /// Fail their liveness.
    pub(crate) dead: BTreeSet<String>,
    /// Added to the ports of the listeners for needs.
    pub(crate) needs_moved: u16,
    /// Whose app API is open.
    pub(crate) apps: BTreeSet<InstanceId>,
    /// Added to the ports of app APIs.
    pub(crate) apps_moved: u16,
    /// What `${secret:NAME}` stands for.
    pub(crate) secrets: BTreeMap<String, String>,
    lines: BTreeMap<InstanceId, Vec<String>>,
    /// The node's own words among the output.
    pub(crate) journal: Vec<String>,
    servers: BTreeMap<RunId, Server>,
}

struct Process {
    spec: Spec,
    run: Run,
    is_container: bool,
    does: Behaviour,
    begun: Instant,
    ends: Option<(Instant, Exit)>,
}

/// What a program does, read from its line: clauses joined by `, `. `exit 1` ends at once, before it is
/// ready; `exit 1 after 500 ms` is ready until then.
#[derive(Clone, Debug, Default)]
struct Behaviour {
    text: String,
    ends: Option<(Duration, Exit)>,
    never_ready: bool,
    ready_after: Duration,
    ignores_term: bool,
    stop_takes: Duration,
    leaves: bool,
    serves: bool,
    refused: bool,
    listens_on: Option<u16>,
    says: Option<String>,
}

impl Behaviour {
    fn read(line: &str) -> Self {
        let mut does = Self { text: line.to_owned(), ..Self::default() };
        let ms = |text: &str| Duration::from_millis(text.parse().unwrap());
        for clause in line.split(", ") {
            let words: Vec<&str> = clause.split(' ').collect();
            match words.as_slice() {
                ["exit", code] => {
                    does.ends = Some((ms("10"), Exit::Code(code.parse().unwrap())));
                    does.never_ready = true;
                }
                ["exit", code, "after", after, "ms"] => {
                    does.ends = Some((ms(after), Exit::Code(code.parse().unwrap())));
                }
                ["never", "ready"] => does.never_ready = true,
                ["ready", "after", after, "ms"] => does.ready_after = ms(after),
                ["ignore", "term"] => does.ignores_term = true,
                ["stop", "takes", time, "ms"] => does.stop_takes = ms(time),
                ["leftover"] => does.leaves = true,
                ["serves"] => does.serves = true,
                ["refused"] => does.refused = true,
                ["listens", "on", port] => does.listens_on = Some(port.parse().unwrap()),
                ["says", ..] => does.says = Some(clause.replacen("says ", "", 1)),
                _ => {}
            }
        }
        does
    }
}

impl Process {
    fn exit(&self) -> Option<Exit> {
        let (at, exit) = self.ends.as_ref()?;
        (*at <= Instant::now()).then(|| exit.clone())
    }

    fn end(&mut self, after: Duration, exit: Exit) {
        let at = Instant::now() + after;
        if self.ends.as_ref().is_none_or(|(before, _)| *before > at) {
            self.ends = Some((at, exit));
        }
    }
}

impl World {
    pub(crate) fn new() -> Self {
        let inner = Inner { state: Mutex::default(), changes: watch::Sender::new(0) };
        Self(Arc::new(inner))
    }

    pub(crate) fn host(&self, is_container: bool) -> Arc<dyn Host> {
        Arc::new(FakeHost { world: self.clone(), is_container })
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }

    /// Changes the world and wakes whoever waits for something in it.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state());
        self.0.changes.send_modify(|n| *n += 1);
        result
    }

    /// The process of `instance` ends now.
    pub(crate) fn crash(&self, instance: &str, exit: &Exit) {
        self.change(|state| {
            for process in state.processes.values_mut() {
                if process.run.instance.to_string() == instance {
                    process.end(Duration::ZERO, exit.clone());
                }
            }
        });
    }

    /// The instances with a living process.
    pub(crate) fn alive(&self) -> Vec<String> {
        let state = self.state();
        let living = state.processes.values().filter(|p| p.exit().is_none());
        let mut names: Vec<String> = living.map(|p| p.run.instance.to_string()).collect();
        names.sort();
        names
    }

    /// The instances that get requests.
    pub(crate) fn routed(&self) -> Vec<String> {
        self.state().routed.keys().map(ToString::to_string).collect()
    }

    /// How often the story has `line`.
    pub(crate) fn count(&self, line: &str) -> usize {
        self.state().story.iter().filter(|l| *l == line).count()
    }

    /// Where in the story `line` stands first.
    pub(crate) fn at(&self, line: &str) -> usize {
        let state = self.state();
        let at = state.story.iter().position(|l| l == line);
        at.unwrap_or_else(|| panic!("no `{line}` in {:#?}", state.story))
    }

    pub(crate) fn forget_story(&self) {
        self.state().story.clear();
    }

    /// What the living process of `instance` was started with.
    pub(crate) fn spec(&self, instance: &str) -> Spec {
        let state = self.state();
        let process = state
            .processes
            .values()
            .find(|p| p.run.instance.to_string() == instance && p.exit().is_none());
        process.unwrap_or_else(|| panic!("{instance} does not run")).spec.clone()
    }

    /// A port is free when no process of this world has it and this machine's kernel agrees.
    pub(crate) fn port_check(&self) -> crate::PortCheck {
        let world = self.clone();
        Arc::new(move |port| {
            let taken = world.state().processes.values().any(|p| p.run.port == Some(port));
            !taken && crate::port_is_free(port)
        })
    }

    /// Nothing of anything is left, and no promise was broken.
    pub(crate) fn assert_empty(&self) {
        let state = self.state();
        assert_eq!(state.faults, Vec::<String>::new(), "{:#?}", state.story);
        let left: Vec<_> = state.processes.values().map(|p| p.run.instance.to_string()).collect();
        assert_eq!(left, Vec::<String>::new(), "left running or not cleared up");
        assert!(state.routed.is_empty(), "still routed: {:?}", state.routed);
        assert!(state.apps.is_empty(), "app APIs still open: {:?}", state.apps);
    }

    async fn until<T>(&self, mut ask: impl FnMut(&mut State) -> Result<T, Option<Instant>>) -> T {
        let mut changes = self.0.changes.subscribe();
        loop {
            changes.borrow_and_update();
            let asked = ask(&mut self.state());
            let at = match asked {
                Ok(value) => return value,
                Err(at) => at,
            };
            let due = async {
                match at {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = due => {}
                changed = changes.changed() => changed.unwrap(),
            }
        }
    }
}

/// One of the two hosts of the world.
struct FakeHost {
    world: World,
    is_container: bool,
}

impl FakeHost {
    fn with<T>(&self, run: &RunId, act: impl FnOnce(&mut Process) -> T) -> Result<T, Error> {
        self.world.change(|state| match state.processes.get_mut(run) {
            Some(process) if process.is_container == self.is_container => Ok(act(process)),
            _ => Err(Error::Unknown(run.clone())),
        })
    }
}

#[async_trait]
impl Host for FakeHost {
    fn capabilities(&self) -> Capabilities {
        let (processes, containers) = (!self.is_container, self.is_container);
        Capabilities { processes, containers, ..Capabilities::default() }
    }

    async fn start(&self, spec: &Spec) -> Result<Run, Error> {
        let line = match &spec.program {
            Program::Shell(line) => line.clone(),
            Program::Exec(words) => words.join(" "),
            Program::Container(container) => container.image.clone(),
            Program::External(_) => String::new(),
        };
        if self.is_container != matches!(spec.program, Program::Container(_)) {
            return Err(Error::Unsupported("run this kind of program".to_owned()));
        }
        let does = Behaviour::read(&line);
        self.world.change(|state| {
            let instance = spec.instance.clone();
            state.story.push(format!("start {instance}"));
            if let Some(line) = &does.says {
                state.lines.entry(instance.clone()).or_default().push(line.clone());
            }
            if does.refused {
                let said = Diagnostic::error(Code::START_FAILED, format!("`{line}` was not found"));
                return Err(Error::Refused(Box::new(said.help("install it"))));
            }
            // Which port is free is partly this machine's affair, so a clash of ports is no broken promise.
            let clash = |p: &&Process| p.run.instance == instance;
            if let Some(other) = state.processes.values().find(clash) {
                let fault = format!("{instance} was started beside {}", other.run.instance);
                state.faults.push(fault);
            }
            state.started += 1;
            let run = Run {
                id: RunId(format!("{instance}#{}", state.started).into()),
                instance,
                pid: Some(1_000 + state.started),
                port: spec.port,
                address: spec.port.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
                started_at: runtime::Clock::wall(),
                labels: spec.labels.clone(),
            };
            let begun = Instant::now();
            let process = Process {
                spec: spec.clone(),
                run: run.clone(),
                is_container: self.is_container,
                ends: does.ends.clone().map(|(after, exit)| (begun + after, exit)),
                does,
                begun,
            };
            if let Some(port) = spec.port.filter(|_| process.does.serves) {
                state.servers.insert(run.id.clone(), Server::start(port));
            }
            state.processes.insert(run.id.clone(), process);
            Ok(run)
        })
    }

    async fn wait(&self, run: &RunId) -> Result<Exit, Error> {
        let ask = |state: &mut State| match state.processes.get(run) {
            Some(process) if process.is_container == self.is_container => match process.exit() {
                Some(exit) => Ok(Ok(exit)),
                None => Err(process.ends.as_ref().map(|(at, _)| *at)),
            },
            _ => Ok(Err(Error::Unknown(run.clone()))),
        };
        self.world.until(ask).await
    }

    async fn signal(&self, run: &RunId, signal: Signal) -> Result<(), Error> {
        let instance = self.with(run, |process| {
            let living = process.exit().is_none();
            match signal {
                Signal::Kill => process.end(Duration::ZERO, Exit::Signal(9)),
                Signal::Hup => {}
                _ if process.does.ignores_term => {}
                _ => process.end(process.does.stop_takes, Exit::Code(0)),
            }
            living.then(|| process.run.instance.clone())
        })?;
        self.world.change(|state| {
            let Some(instance) = instance else { return };
            state.story.push(format!("{signal:?} {instance}").to_lowercase());
            if signal != Signal::Hup && state.routed.contains_key(&instance) {
                state.faults.push(format!("{instance} was signalled while it was routed"));
            }
        });
        Ok(())
    }

    async fn forget(&self, run: &RunId) -> Result<Leftovers, Error> {
        self.world.change(|state| {
            let own = state.processes.get(run).is_some_and(|p| p.is_container == self.is_container);
            state.servers.remove(run);
            let process = if own { state.processes.remove(run) } else { None };
            let Some(process) = process else { return Ok(Leftovers::default()) };
            let instance = process.run.instance;
            state.story.push(format!("forget {instance}"));
            if state.routed.contains_key(&instance) {
                state.faults.push(format!("{instance} was forgotten while it was routed"));
            }
            let processes =
                if process.does.leaves { vec!["77 sleep".to_owned()] } else { Vec::new() };
            Ok(Leftovers { processes })
        })
    }

    async fn survivors(&self) -> Result<Vec<Run>, Error> {
        self.world.change(|state| {
            state.processes.retain(|_, p| p.exit().is_none());
            let own = |p: &&Process| p.is_container == self.is_container;
            Ok(state.processes.values().filter(own).map(|p| p.run.clone()).collect())
        })
    }

    async fn usage(&self, run: &RunId) -> Result<Usage, Error> {
        self.with(run, |process| Usage {
            cpu: process.begun.elapsed() / 2,
            memory: base::ByteSize(1 << 20),
            processes: 1,
        })
    }

    async fn listening(&self, run: &RunId) -> Result<Vec<SocketAddr>, Error> {
        self.with(run, |process| {
            let port = process.does.listens_on;
            port.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port))).into_iter().collect()
        })
    }

    async fn command(
        &self,
        run: &RunId,
        command: &Program,
        _timeout: Duration,
    ) -> Result<Option<CommandOutcome>, Error> {
        let Program::Shell(question) = command else {
            return Err(Error::Unsupported("run this".to_owned()));
        };
        let (instance, does, age) = self.with(run, |process| {
            let age = process.begun.elapsed();
            (process.run.instance.to_string(), process.does.clone(), age)
        })?;
        let state = self.world.state();
        let good = match question.as_str() {
            "ready?" => {
                !does.never_ready && age >= does.ready_after && !state.sick.contains(&instance)
            }
            "alive?" => !state.dead.contains(&instance),
            version => !does.never_ready && does.text.contains(version.trim_end_matches('?')),
        };
        let (code, output) = if good { (0, "yes") } else { (1, "not yet") };
        Ok(Some(CommandOutcome { exit: Exit::Code(code), output: output.to_owned() }))
    }

    fn reach(&self) -> IpAddr {
        Ipv4Addr::LOCALHOST.into()
    }
}

#[async_trait]
impl Traffic for World {
    fn route(&self, instance: &InstanceId, address: SocketAddr, _weight: u32) {
        self.change(|state| {
            state.story.push(format!("route {instance}"));
            let lives = |p: &Process| p.run.instance == *instance && p.run.address == Some(address);
            if !state.processes.values().any(lives) {
                state.faults.push(format!("{instance} was routed to {address} and is not there"));
            }
            state.routed.insert(instance.clone(), address);
        });
    }

    fn unroute(&self, instance: &InstanceId) {
        self.change(|state| {
            state.story.push(format!("unroute {instance}"));
            state.routed.remove(instance);
        });
    }

    fn in_flight(&self, instance: &InstanceId) -> u64 {
        self.state().open.get(instance).copied().unwrap_or_default()
    }

    async fn idle(&self, instance: &InstanceId) {
        let open = |state: &mut State| state.open.get(instance).copied().unwrap_or_default();
        self.until(|state| if open(state) == 0 { Ok(()) } else { Err(None) }).await;
        self.change(|state| state.story.push(format!("idle {instance}")));
    }

    async fn need_address(
        &self,
        caller: &ServiceName,
        need: &ServiceName,
        on: IpAddr,
    ) -> std::io::Result<SocketAddr> {
        if need.as_str() == "unreachable" {
            return Err(std::io::ErrorKind::AddrNotAvailable.into());
        }
        let length = caller.as_str().len() + 10 * need.as_str().len();
        let port = 40_000 + u16::try_from(length).unwrap() + self.state().needs_moved;
        Ok(SocketAddr::new(on, port))
    }

    async fn app_addresses(
        &self,
        instance: &InstanceId,
        wish: AppWish,
    ) -> std::io::Result<AppAddresses> {
        if instance.service.as_str() == "appless" {
            return Err(std::io::ErrorKind::AddrInUse.into());
        }
        self.change(|state| state.apps.insert(instance.clone()));
        let length = u16::try_from(100 * instance.service.as_str().len()).unwrap();
        let number = u16::try_from(2 * (instance.number % 1_000)).unwrap();
        let port = 50_000 + length + number + self.state().apps_moved;
        Ok(AppAddresses {
            http: SocketAddr::new(wish.on, wish.http.unwrap_or(port)),
            grpc: SocketAddr::new(wish.on, wish.grpc.unwrap_or(port + 1)),
        })
    }

    fn close_app(&self, instance: &InstanceId) {
        self.change(|state| {
            if state.processes.values().any(|p| p.run.instance == *instance) {
                state.faults.push(format!("the app API of {instance} was closed before its end"));
            }
            state.apps.remove(instance);
        });
    }
}

#[async_trait]
impl Reveal for World {
    async fn reveal(&self, text: &str) -> Result<Revealed, secrets::Error> {
        let mut text = text.to_owned();
        while let Some((before, rest)) = text.split_once("${secret:") {
            let (name, after) = rest.split_once('}').unwrap();
            let Some(value) = self.state().secrets.get(name).cloned() else {
                let (name, hint) = (name.to_owned(), String::new());
                return Err(secrets::Error::Missing { name, hint });
            };
            text = format!("{before}{value}{after}");
        }
        Ok(Revealed::new(text))
    }
}

impl Sink for World {
    fn append(&self, lines: &[Line]) {
        let said = lines.iter().map(|line| format!("{} {}", line.instance, line.text));
        self.state().journal.extend(said);
    }
}

impl Recall for World {
    fn last(&self, instance: &InstanceId, count: usize) -> Vec<String> {
        let state = self.state();
        let lines = state.lines.get(instance).map(Vec::as_slice).unwrap_or_default();
        lines[lines.len().saturating_sub(count)..].to_vec()
    }
}
