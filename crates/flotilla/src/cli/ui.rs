//! The screen of an attached `up`: progress, then the merged output of all services, and keys.
//!
//! It runs on a thread of its own and speaks to the node through the API like any other client: a
//! terminal that stands still (Ctrl-S, a slow pipe) stalls this thread only, never the node.

pub(crate) mod board;
pub(crate) mod changes;
pub(crate) mod keys;
pub(crate) mod screen;
pub(crate) mod terminal;

use super::{
    exit::Failure,
    follow::{self, Goal, Verdict},
    locate::Place,
    logs::name_width,
    output::{Output, Tint},
    restart, words,
};
use api::{Client, client::Stream, wire};
use base::Diagnostic;
use board::Head;
use keys::{Keys, Wish};
use screen::Screen;
use std::{
    future::pending,
    time::{Duration, Instant},
};
use terminal::Keyboard;
use tokio::{signal::unix, sync::watch};

/// While everything starts quickly the progress lines have the screen for themselves; after this the
/// output joins them, because then somebody wonders why it takes so long.
const QUIET_START: Duration = Duration::from_secs(3);

/// Wait before a broken stream is opened again.
const RETRY: Duration = Duration::from_millis(100);

/// How much shall be stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Halt {
    /// Nothing.
    #[default]
    No,
    /// Everything, as the file says.
    Gently,
    /// Everything, at once.
    AtOnce,
}

/// How far the node in this process is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum NodeState {
    /// Its API does not answer yet.
    #[default]
    Starting,
    /// Its API answers.
    Answering,
    /// It has ended.
    Ended,
}

/// What a screen is made of.
pub(crate) struct Setup {
    pub out: Output,
    pub place: Place,
    pub head: Head,
    /// Only these services are shown; all when empty.
    pub services: Vec<String>,
    /// How long everything may take to be ready.
    pub wait_timeout: Option<Duration>,
    pub started: Instant,
    pub node: watch::Receiver<NodeState>,
    pub halt: watch::Sender<Halt>,
}

/// How the screen ended.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    /// What was still wrong.
    pub problems: Vec<Diagnostic>,
    /// Not everything was ready within the time given.
    pub is_timed_out: bool,
}

/// Shows the system until its node ends or the reader has gone.
///
/// # Errors
/// `Closed` when the reader of the output has gone; the node shall stop then.
pub(crate) async fn run(setup: Setup) -> Result<Ending, Failure> {
    let is_live = setup.out.is_terminal && terminal::understands_cursor();
    let keyboard = if terminal::is_interactive() { Keyboard::open().ok() } else { None };
    let mut ui = Ui {
        client: setup.place.client(),
        is_live,
        is_interactive: keyboard.is_some(),
        screen: Screen::default(),
        keys: Keys::default(),
        status: None,
        is_settled: false,
        shows_logs: true,
        filter: None,
        width: 0,
        ending: Ending::default(),
        said: Vec::new(),
        setup,
    };
    // The first sign of life. On a terminal it is part of the block, which the summary replaces.
    let heading = format!("{}\n", board::heading(&ui.setup.head, ui.setup.out.paint));
    ui.print(if is_live { "" } else { &heading })?;
    let result = ui.watch(keyboard).await;
    if is_live {
        // The block goes; what it said that still counts is said once more by the caller.
        ui.draw("", Vec::new())?;
    }
    result?;
    Ok(ui.ending)
}

struct Ui {
    setup: Setup,
    client: Client,
    is_live: bool,
    is_interactive: bool,
    screen: Screen,
    keys: Keys,
    status: Option<wire::Status>,
    /// The start came to its end, good or bad, and the summary was printed.
    is_settled: bool,
    shows_logs: bool,
    /// Only this service's or instance's output is shown.
    filter: Option<String>,
    width: usize,
    ending: Ending,
    /// Problems that were printed as plain lines.
    said: Vec<Diagnostic>,
}

impl Ui {
    /// The loop: pictures, output, keys and signals, whichever comes.
    async fn watch(&mut self, mut keyboard: Option<Keyboard>) -> Result<(), Failure> {
        if !self.node_answers().await {
            return Ok(());
        }
        self.learn_addresses().await;
        let Some(mut statuses) = self.pictures().await else { return Ok(()) };
        let mut logs: Option<Stream<wire::Logs>> = None;
        let mut halt = self.setup.halt.subscribe();
        let mut continued =
            unix::signal(unix::SignalKind::from_raw(rustix::process::Signal::CONT.as_raw())).ok();
        let quiet_until = self.setup.started + QUIET_START;
        let deadline = self.setup.wait_timeout.map(|timeout| self.setup.started + timeout);
        loop {
            if logs.is_none() && (self.is_settled || !self.is_live || Instant::now() >= quiet_until)
            {
                logs = self.client.log_stream(&self.question()).await.ok();
            }
            let settled = self.is_settled;
            tokio::select! {
                item = statuses.next() => match item {
                    Ok(Some(item)) => self.picture(item.data)?,
                    Ok(None) | Err(_) => match self.pictures().await {
                        Some(again) => statuses = again,
                        None => break,
                    },
                },
                batch = next_batch(&mut logs) => self.lines(&batch)?,
                key = next_key(keyboard.as_mut()) => self.key(key).await?,
                Ok(()) = halt.changed() => self.redraw()?,
                () = next_signal(continued.as_mut()) => {
                    if let Some(keyboard) = &keyboard {
                        keyboard.resume();
                    }
                    self.redraw()?;
                }
                () = at(quiet_until), if logs.is_none() => {}
                () = at_if(deadline), if !settled => {
                    self.ending.is_timed_out = true;
                    self.is_settled = true;
                    self.halt(Halt::Gently);
                }
            }
        }
        self.rest_of_logs(logs).await
    }

    /// Waits until the node's API answers; `false` when the node ended before.
    async fn node_answers(&mut self) -> bool {
        let state = self.setup.node.wait_for(|state| *state != NodeState::Starting).await;
        state.is_ok_and(|state| *state == NodeState::Answering)
    }

    /// A stream of pictures; `None` once the node has ended. The node ends the stream when it ends itself;
    /// every other end is worth another try.
    async fn pictures(&mut self) -> Option<Stream<wire::Status>> {
        loop {
            if *self.setup.node.borrow() == NodeState::Ended {
                return None;
            }
            if let Ok(stream) = self.client.status_stream().await {
                return Some(stream);
            }
            // Woken early by the node's end.
            let _again = tokio::time::timeout(RETRY, self.setup.node.changed()).await;
        }
    }

    /// Asks where the gateway and the dashboard are.
    async fn learn_addresses(&mut self) {
        // Without them the summary is shorter; the system runs all the same.
        if let Ok(system) = self.client.system().await {
            self.setup.head.learn(&self.setup.place, &system);
        }
    }

    fn shows(&self, service: &str) -> bool {
        self.setup.services.is_empty() || self.setup.services.iter().any(|s| s == service)
    }

    /// All output since this node's start that this screen is about.
    fn question(&self) -> wire::LogQuery {
        let since_ms = u64::try_from(self.setup.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let now_us = runtime::Clock::wall().0;
        let start = base::Timestamp(now_us.saturating_sub(since_ms.saturating_mul(1_000)));
        wire::LogQuery {
            services: self.setup.services.clone(),
            since: Some(wire::Time(start).to_string()),
            ..wire::LogQuery::default()
        }
    }

    /// Takes a new picture in.
    fn picture(&mut self, status: wire::Status) -> Result<(), Failure> {
        self.width = self.width.max(name_width(&status));
        let mut lines = String::new();
        if !self.is_live {
            for line in changes::changes(self.status.as_ref(), &status, &|name| self.shows(name)) {
                lines.push_str(&format!("{line}\n"));
            }
        }
        let is_stopping = matches!(status.phase, wire::Phase::Stopping | wire::Phase::Stopped);
        self.take_problems(&status, is_stopping);
        if !self.is_live {
            lines.push_str(&self.new_problems());
        }
        let verdict = follow::judge(&status, Goal::Ready, &|name| self.shows(name));
        if !self.is_settled && verdict != Verdict::Waiting && !is_stopping {
            self.is_settled = true;
            lines.push_str(&self.summary(&status));
        }
        self.status = Some(status);
        self.print(&lines)
    }

    fn summary(&self, status: &wire::Status) -> String {
        let took = self.setup.started.elapsed();
        let (head, paint) = (&self.setup.head, self.setup.out.paint);
        let mut text = if self.is_live {
            board::summary(status, head, took, paint, self.is_interactive)
        } else {
            board::plain_summary(status, head, took)
        };
        text.push_str(&head.remarks.text(paint));
        text
    }

    /// Remembers what is wrong. Once the system is being stopped nothing is forgotten any more: a service that
    /// is gone has no problem, and whoever stopped it wants to know the one it had.
    fn take_problems(&mut self, status: &wire::Status, is_stopping: bool) {
        let problems = words::problems_of(status, |name| self.shows(name));
        if !is_stopping {
            self.ending.problems = problems;
            return;
        }
        for problem in problems {
            if !self.ending.problems.contains(&problem) {
                self.ending.problems.push(problem);
            }
        }
    }

    /// Problems that were not printed yet, for a pipe.
    fn new_problems(&mut self) -> String {
        let mut text = String::new();
        for problem in &self.ending.problems {
            if !self.said.contains(problem) {
                text.push_str(&problem.render(self.setup.out.paint.on));
            }
        }
        self.said.clone_from(&self.ending.problems);
        text
    }

    /// Prints output.
    fn lines(&mut self, batch: &wire::Logs) -> Result<(), Failure> {
        if !self.shows_logs {
            return Ok(());
        }
        let mut text = String::new();
        for notice in &batch.notices {
            text.push_str(&Diagnostic::from(notice).render(self.setup.out.paint.on));
        }
        let is_shown = |line: &&wire::LogLine| {
            self.filter.as_ref().is_none_or(|name| *name == line.service || *name == line.instance)
        };
        for line in batch.lines.iter().filter(is_shown) {
            self.width = self.width.max(line.instance.len());
            text.push_str(&words::log_line(line, self.width, self.setup.out.paint, self.is_live));
        }
        self.print(&text)
    }

    /// Prints the lines that came between the last batch and the end of the node.
    async fn rest_of_logs(&mut self, logs: Option<Stream<wire::Logs>>) -> Result<(), Failure> {
        let Some(mut logs) = logs else { return Ok(()) };
        while let Ok(Some(batch)) = logs.next().await {
            self.lines(&batch.data)?;
        }
        Ok(())
    }

    /// Does what a key means.
    async fn key(&mut self, key: char) -> Result<(), Failure> {
        let Some(wish) = self.keys.press(key) else { return Ok(()) };
        let paint = self.setup.out.paint;
        let answer = match wish {
            Wish::Redraw => String::new(),
            Wish::ToggleLogs => {
                self.shows_logs = !self.shows_logs;
                format!(
                    "  logs {}\n",
                    if self.shows_logs { "on" } else { "off, l shows them again" }
                )
            }
            Wish::Filter(name) => self.set_filter(name),
            Wish::Status => {
                let status = self.status.clone().unwrap_or_default();
                let table = super::ps::services(&status, paint, super::ps::now());
                // Cut at the right edge: a table whose lines wrap cannot be read.
                if self.is_live { format!("\x1b[?7l{table}\x1b[?7h") } else { table }
            }
            Wish::Restart(name) => match restart::restart_one(&self.client, &name).await {
                Ok(_) => format!("  restarting {name}\n"),
                Err(failure) => format!("  {}\n", failure.text()),
            },
            Wish::Dashboard => {
                let url = self.setup.head.dashboard.as_deref().unwrap_or("there is no dashboard");
                format!("  {url}\n")
            }
            Wish::Help => format!("{}\n", keys::HELP),
            Wish::Quit => {
                self.halt(Halt::Gently);
                String::new()
            }
        };
        self.print(&answer)
    }

    fn set_filter(&mut self, name: Option<String>) -> String {
        let exists = |status: &wire::Status, name: &str| {
            status
                .services
                .iter()
                .any(|s| s.name == name || s.instances.iter().any(|i| i.id == name))
        };
        let answer = match (&name, &self.status) {
            (Some(name), Some(status)) if !exists(status, name) => {
                return format!("  there is no service `{name}`\n");
            }
            (Some(name), _) => format!("  only {name} from here, f and Enter shows all again\n"),
            (None, _) => "  logs of all services\n".to_owned(),
        };
        self.filter = name;
        self.shows_logs = true;
        answer
    }

    /// Asks for a stop; a gentler wish than the present one changes nothing.
    fn halt(&self, halt: Halt) {
        self.setup.halt.send_if_modified(|present| {
            let is_more = halt > *present;
            *present = halt.max(*present);
            is_more
        });
    }

    fn redraw(&mut self) -> Result<(), Failure> {
        self.print("")
    }

    /// Prints lines above the live block and draws it anew.
    fn print(&mut self, lines: &str) -> Result<(), Failure> {
        let block = if self.is_live { self.block() } else { Vec::new() };
        self.draw(lines, block)
    }

    fn draw(&mut self, lines: &str, block: Vec<String>) -> Result<(), Failure> {
        if !self.is_live {
            return if lines.is_empty() { Ok(()) } else { self.setup.out.raw(lines) };
        }
        let text = self.screen.draw(lines, block, terminal::height());
        if text.is_empty() { Ok(()) } else { self.setup.out.raw(&text) }
    }

    /// What stays at the bottom: progress while something goes on, what is wrong, and the question
    /// that a key asked.
    fn block(&self) -> Vec<String> {
        let mut block = Vec::new();
        let paint = self.setup.out.paint;
        let halt = *self.setup.halt.borrow();
        if !self.is_settled {
            block.push(board::heading(&self.setup.head, paint));
        }
        if let Some(status) = &self.status
            && (!self.is_settled || halt != Halt::No || status.phase == wire::Phase::Stopping)
        {
            block.extend(board::board(status, &|name| self.shows(name), paint));
        }
        if halt == Halt::No {
            for problem in &self.ending.problems {
                block.extend(problem.render(paint.on).lines().map(str::to_owned));
            }
        }
        match halt {
            Halt::No => {
                block.extend(self.keys.prompt().map(|prompt| paint.tint(Tint::Bold, &prompt)));
            }
            Halt::Gently => {
                block.push(paint.tint(Tint::Bold, "stopping; Ctrl-C again kills at once"));
            }
            Halt::AtOnce => block.push(paint.tint(Tint::Bold, "killing")),
        }
        block
    }
}

/// The next batch of output. After the stream's end nothing comes any more: the node's end is seen elsewhere.
async fn next_batch(logs: &mut Option<Stream<wire::Logs>>) -> wire::Logs {
    if let Some(stream) = logs
        && let Ok(Some(item)) = stream.next().await
    {
        return item.data;
    }
    pending().await
}

async fn next_key(keyboard: Option<&mut Keyboard>) -> char {
    match keyboard {
        Some(keyboard) => keyboard.next().await,
        None => pending().await,
    }
}

async fn next_signal(signal: Option<&mut unix::Signal>) {
    let came = match signal {
        Some(signal) => signal.recv().await,
        None => None,
    };
    if came.is_none() {
        pending::<()>().await;
    }
}

async fn at(time: Instant) {
    tokio::time::sleep_until(time.into()).await;
}

async fn at_if(time: Option<Instant>) {
    match time {
        Some(time) => at(time).await,
        None => pending().await,
    }
}
