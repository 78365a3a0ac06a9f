//! What is printed while apps run: the lines that scripts and test programs wait for.

use super::session::{App, Style};
use crate::cli::{
    exit::Failure,
    no_runtime,
    output::Output,
    ui::{Halt, NodeState},
};
use api::{Client, client::Stream, wire};
use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::mpsc,
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// Wait before a stream that broke, or that the node was not ready for, is opened again.
const RETRY: Duration = Duration::from_millis(50);

/// How long lines may still come after their app has ended: its last words are on their way to the log.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// How an app's end without an error is called.
const GOOD_EXIT: &str = "exit code 0";

/// How the end of a process is told; everything else is why there was none.
const EXITS: &[&str] = &["exit code ", "killed by ", "crashed with ", "aborted with ", "ended"];

/// What a screen is made of.
pub(super) struct Setup {
    pub(super) out: Output,
    pub(super) client: Client,
    /// Where the apps' lines are kept.
    pub(super) logs: PathBuf,
    pub(super) style: Style,
    pub(super) apps: Vec<App>,
    pub(super) node: watch::Receiver<NodeState>,
    pub(super) halt: watch::Sender<Halt>,
}

/// How it ended.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ending {
    /// An app failed.
    pub(super) failed: bool,
}

/// The screen on a thread of its own. When the reader of the output goes away, the apps are stopped.
pub(super) fn thread(setup: Setup, done: &mpsc::SyncSender<Result<Ending, Failure>>) {
    let halt = setup.halt.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(Screen::new(setup).run()),
        Err(e) => Err(no_runtime(&e)),
    };
    if result.is_err() {
        halt.send_modify(|present| *present = Halt::Gently.max(*present));
    }
    // The main thread waits only so long; then nobody wants to know any more.
    let _late = done.send(result);
}

struct Screen {
    setup: Setup,
    started: Instant,
    is_up: bool,
    /// Apps that have ended, by service.
    ended: BTreeSet<String>,
    /// What is said of them once their last words are out.
    farewells: Vec<String>,
    ending: Ending,
    /// Somebody asked for the end.
    is_ending: bool,
}

impl Screen {
    fn new(setup: Setup) -> Self {
        Self {
            setup,
            started: Instant::now(),
            is_up: false,
            ended: BTreeSet::new(),
            farewells: Vec::new(),
            ending: Ending::default(),
            is_ending: false,
        }
    }

    async fn run(mut self) -> Result<Ending, Failure> {
        self.say_begin()?;
        let answers = self.setup.node.wait_for(|state| *state != NodeState::Starting).await;
        if !answers.is_ok_and(|state| *state == NodeState::Answering) {
            return Ok(self.ending);
        }
        let mut halt = self.setup.halt.subscribe();
        let Some(mut statuses) = self.pictures().await else { return Ok(self.ending) };
        // The apps' lines come after the word that they run.
        let mut logs: Option<Stream<wire::Logs>> = None;
        let mut is_reading = false;
        let mut quiet_at: Option<Instant> = None;
        loop {
            tokio::select! {
                item = statuses.next() => match item {
                    Ok(Some(item)) => {
                        self.picture(&item.data)?;
                        let has_begun = self.is_up || !self.ended.is_empty();
                        if has_begun && !std::mem::replace(&mut is_reading, true) {
                            logs = self.lines().await;
                        }
                        if !self.farewells.is_empty() {
                            quiet_at.get_or_insert(Instant::now() + LAST_WORDS);
                        }
                    }
                    Ok(None) | Err(_) => match self.pictures().await {
                        Some(again) => statuses = again,
                        None => break,
                    },
                },
                batch = next_batch(&mut logs) => self.print(&batch)?,
                Ok(()) = halt.changed() => self.halted()?,
                () = at(quiet_at) => {
                    quiet_at = None;
                    self.say_farewells()?;
                    if self.ended.len() == self.setup.apps.len() {
                        self.setup.halt.send_modify(|halt| *halt = Halt::Gently.max(*halt));
                    }
                }
            }
        }
        if let Some(mut logs) = logs {
            while let Ok(Some(batch)) = logs.next().await {
                self.print(&batch.data)?;
            }
        }
        self.say_farewells()?;
        self.say_end()?;
        Ok(self.ending)
    }

    /// A stream of pictures; `None` once the node has ended.
    async fn pictures(&mut self) -> Option<Stream<wire::Status>> {
        loop {
            if *self.setup.node.borrow() == NodeState::Ended {
                return None;
            }
            if let Ok(stream) = self.setup.client.status_stream().await {
                return Some(stream);
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// All lines since this run began; those of earlier runs are still in the store.
    async fn lines(&mut self) -> Option<Stream<wire::Logs>> {
        if self.setup.style == Style::Daemon {
            return None;
        }
        let passed = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let start = base::Timestamp(runtime::Clock::wall().0.saturating_sub(passed));
        let question = wire::LogQuery {
            since: Some(wire::Time(start).to_string()),
            streams: vec![wire::Stream::Out, wire::Stream::Err],
            ..wire::LogQuery::default()
        };
        self.setup.client.log_stream(&question).await.ok()
    }

    fn line(&self, text: &str) -> Result<(), Failure> {
        self.setup.out.line(text)
    }

    fn say_begin(&self) -> Result<(), Failure> {
        for App { app_id, http_port, grpc_port, .. } in &self.setup.apps {
            match self.setup.style {
                Style::Single => self.line(&format!(
                    "ℹ️  Starting Dapr with id {app_id}. HTTP Port: {http_port}. gRPC Port: {grpc_port}"
                ))?,
                Style::Several => {
                    self.line(&format!("ℹ️  Validating config and starting app \"{app_id}\""))?;
                }
                Style::Daemon => {}
            }
        }
        Ok(())
    }

    /// Takes a picture over.
    fn picture(&mut self, status: &wire::Status) -> Result<(), Failure> {
        let apps = self.setup.apps.clone();
        let is_started = |app: &App| {
            let service = status.services.iter().find(|service| service.name == app.name);
            service.is_some_and(|service| service.instances.iter().any(has_begun))
        };
        if !self.is_up && apps.iter().all(is_started) {
            self.is_up = true;
            self.say_up()?;
        }
        for app in &apps {
            let service = status.services.iter().find(|service| service.name == app.name);
            if let Some(service) = service
                && let Some(failed) = ended(service)
                && !self.is_ending
                && self.ended.insert(app.name.clone())
            {
                self.app_ended(app, service, failed);
            }
        }
        Ok(())
    }

    fn app_ended(&mut self, app: &App, service: &wire::Service, failed: bool) {
        self.ending.failed |= failed;
        // After the words that scripts look for.
        let of = match self.setup.style {
            Style::Several => format!(" ({})", app.app_id),
            Style::Single | Style::Daemon => String::new(),
        };
        if !failed {
            self.farewells.push(format!("✅  Exited App successfully{of}"));
            return;
        }
        let exit = service.instances.iter().find_map(|instance| instance.last_exit.as_deref());
        let problem = service.problem.as_ref().map(|problem| problem.message.as_str());
        let why = exit.or(problem).unwrap_or("it could not be started");
        self.farewells.push(format!("❌  The App process exited with error code: {why}{of}"));
    }

    fn say_farewells(&mut self) -> Result<(), Failure> {
        for line in std::mem::take(&mut self.farewells) {
            self.line(&line)?;
        }
        Ok(())
    }

    fn say_up(&self) -> Result<(), Failure> {
        match self.setup.style {
            Style::Single => {
                self.line("ℹ️  Dapr sidecar is up and running.")?;
                self.line(
                    "✅  You're up and running! Both Dapr and your app logs will appear here.\n",
                )
            }
            Style::Several => {
                for App { app_id, http_port, grpc_port, .. } in &self.setup.apps {
                    self.line(&format!(
                        "ℹ️  Started Dapr with app id \"{app_id}\". HTTP Port: {http_port}. gRPC Port: {grpc_port}"
                    ))?;
                    let logs = self.setup.logs.display();
                    self.line(&format!("ℹ️  Writing log files to directory : {logs}"))?;
                }
                self.line(
                    "✅  You're up and running! Both Dapr and your app logs will appear here.\n",
                )
            }
            Style::Daemon => {
                let took = self.started.elapsed().as_millis();
                let id = self.setup.apps.first().map_or("", |app| app.app_id.as_str());
                let time = wire::Time(runtime::Clock::wall());
                self.line(&format!(
                    "time=\"{time}\" level=info msg=\"dapr initialized. Status: Running. Init Elapsed {took}ms\" app_id={id} scope=dapr.runtime type=log"
                ))
            }
        }
    }

    fn halted(&mut self) -> Result<(), Failure> {
        let is_first = !std::mem::replace(&mut self.is_ending, true);
        if is_first && self.setup.style != Style::Daemon && self.ended.len() < self.setup.apps.len()
        {
            self.line("\nℹ️  terminated signal received: shutting down")?;
        }
        Ok(())
    }

    fn say_end(&self) -> Result<(), Failure> {
        if self.setup.style == Style::Daemon {
            return Ok(());
        }
        for app in self.setup.apps.iter().filter(|app| !self.ended.contains(&app.name)) {
            match self.setup.style {
                Style::Several => {
                    self.line(&format!("✅  Exited App successfully ({})", app.app_id))?;
                }
                Style::Single | Style::Daemon => self.line("✅  Exited App successfully")?,
            }
        }
        self.line("✅  Exited Dapr successfully")
    }

    fn print(&self, batch: &wire::Logs) -> Result<(), Failure> {
        let mut text = String::new();
        for line in &batch.lines {
            let head = match self.setup.style {
                Style::Several => {
                    let app = self.setup.apps.iter().find(|app| app.name == line.service);
                    let id = app.map_or(line.service.as_str(), |app| app.app_id.as_str());
                    format!("== APP - {id} ==")
                }
                Style::Single | Style::Daemon => "== APP ==".to_owned(),
            };
            text.push_str(&format!("{head} {}\n", line.text));
        }
        self.setup.out.raw(&text)
    }
}

/// Whether an instance has been started, even if it has ended since.
fn has_begun(instance: &wire::Instance) -> bool {
    match instance.state {
        wire::InstanceState::Starting => false,
        wire::InstanceState::Failed => {
            let exit = instance.last_exit.as_deref().unwrap_or_default();
            EXITS.iter().any(|words| exit.starts_with(words))
        }
        _ => true,
    }
}

/// Whether a service has ended for good, and whether it failed.
fn ended(service: &wire::Service) -> Option<bool> {
    let instance = service.instances.first();
    let is_over = match instance.map(|instance| instance.state) {
        Some(wire::InstanceState::Completed) => return Some(false),
        Some(wire::InstanceState::Failed) => true,
        _ => service.state == wire::ServiceState::Failed,
    };
    // A service that is not started again has failed for the node, however it ended; here 0 is good.
    let exit = instance.and_then(|instance| instance.last_exit.as_deref());
    is_over.then_some(exit != Some(GOOD_EXIT))
}

async fn next_batch(logs: &mut Option<Stream<wire::Logs>>) -> wire::Logs {
    let Some(stream) = logs else { return std::future::pending().await };
    match stream.next().await {
        Ok(Some(item)) => item.data,
        Ok(None) | Err(_) => {
            *logs = None;
            std::future::pending().await
        }
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}
