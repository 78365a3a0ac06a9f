//! Waits until the system is where it should be, and shows how it gets there.

use super::{
    exit::{Exit, Failure, Outcome},
    locate,
    output::Output,
    ui::{board, changes, screen::Screen, terminal},
    words,
};
use api::{Client, wire};
use std::{
    io::{IsTerminal, Write},
    time::Duration,
};
use tokio::time::Instant;

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// Everything takes traffic, jobs ended well.
    Ready,
    /// Jobs ended well; services do not matter.
    Completed,
    /// Nothing runs.
    Stopped,
}

/// How far the wait is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is there.
    Reached,
    /// It can still come.
    Waiting,
    /// Waiting will not help.
    Hopeless,
}

/// Compares the picture with the goal.
pub(crate) fn judge(status: &wire::Status, goal: Goal, shown: &dyn Fn(&str) -> bool) -> Verdict {
    let mut verdict = Verdict::Reached;
    for service in status.services.iter().filter(|s| shown(&s.name)) {
        match judge_service(service, goal) {
            Verdict::Hopeless => return Verdict::Hopeless,
            Verdict::Waiting => verdict = Verdict::Waiting,
            Verdict::Reached => {}
        }
    }
    verdict
}

fn judge_service(service: &wire::Service, goal: Goal) -> Verdict {
    use wire::ServiceState as S;
    match (goal, service.state) {
        (Goal::Stopped, S::Stopped | S::Completed | S::Scheduled | S::Failed) => Verdict::Reached,
        (Goal::Stopped, _) => Verdict::Waiting,
        (Goal::Completed, _) if service.kind == wire::Kind::Service => Verdict::Reached,
        (Goal::Completed, S::Scheduled | S::Completed) => Verdict::Reached,
        (Goal::Ready, S::Ready | S::Completed | S::Scheduled) => Verdict::Reached,
        // Scaled to nothing on purpose: that is all there should be.
        (Goal::Ready, S::Stopped) if service.desired == 0 => Verdict::Reached,
        (_, S::Failed) => Verdict::Hopeless,
        (Goal::Ready, S::Degraded) if is_crash_looping(service) => Verdict::Hopeless,
        _ => Verdict::Waiting,
    }
}

/// Some instances are fine and the others will not be. A one-off command that failed is none of them.
fn is_crash_looping(service: &wire::Service) -> bool {
    service
        .instances
        .iter()
        .filter(|i| i.message != ONE_OFF)
        .any(|i| matches!(i.state, wire::InstanceState::CrashLoop | wire::InstanceState::Failed))
}

/// What to follow.
pub(crate) struct Follow<'a> {
    pub client: &'a Client,
    pub out: &'a Output,
    pub goal: Goal,
    /// Only these services count and are shown; all when empty.
    pub services: &'a [String],
    /// Pictures up to this revision are from before the request.
    pub after: Option<u64>,
    /// How long to wait, time spent in build steps not counted; for ever when `None`.
    pub timeout: Option<Duration>,
    /// Show how it goes.
    pub is_shown: bool,
    /// The system starts now: its first picture is news too, not only what changes after it.
    pub is_start: bool,
}

/// How a followed wait ended.
#[derive(Debug)]
pub(crate) enum Followed {
    /// The goal is reached.
    Reached(wire::Status),
    /// It will not be.
    Hopeless(wire::Status),
    /// Time is up; the last picture, when there was one.
    TimedOut(Option<wire::Status>),
    /// The node has gone meanwhile.
    Gone,
}

/// What the node says of an instance that is a one-off command.
const ONE_OFF: &str = "one-off run";

/// How often the deadline and the elapsed time are looked at.
const TICK: Duration = Duration::from_millis(200);
/// How long it must look hopeless before it is: meanwhile the node finds out more about the cause (where a process
/// listens, what it left behind), a second try may work, and others become ready.
const SETTLE: Duration = Duration::from_secs(1);

impl Follow<'_> {
    /// Whether a service counts.
    fn shows(&self, service: &str) -> bool {
        self.services.is_empty() || self.services.iter().any(|name| name == service)
    }

    /// Waits. Shows progress on standard error: live on a terminal, one line a change elsewhere.
    ///
    /// # Errors
    /// When the node cannot be asked.
    pub(crate) async fn run(&self) -> Result<Followed, Failure> {
        let mut stream = self.client.status_stream().await.map_err(|e| locate::unanswered(&e))?;
        let mut shown = Shown::new(self);
        let mut last: Option<wire::Status> = None;
        let mut left = self.timeout;
        let mut then = Instant::now();
        let mut hopeless: Option<Instant> = None;
        loop {
            let next = tokio::time::timeout(TICK, stream.next()).await;
            let now = Instant::now();
            let is_building = last.as_ref().is_some_and(|status| {
                status.services.iter().any(|s| s.state == wire::ServiceState::Building)
            });
            if let Some(left) = left.as_mut().filter(|_| !is_building) {
                *left = left.saturating_sub(now - then);
            }
            then = now;
            match next {
                Err(_tick) => {}
                Ok(Ok(Some(item))) => {
                    let status = item.data;
                    shown.show(&status, &|name| self.shows(name));
                    let is_new = self.after.is_none_or(|after| status.revision > after);
                    match judge(&status, self.goal, &|name| self.shows(name)) {
                        Verdict::Reached if is_new => {
                            shown.end();
                            return Ok(Followed::Reached(status));
                        }
                        Verdict::Hopeless if is_new => drop(hopeless.get_or_insert(now)),
                        _ => hopeless = None,
                    }
                    last = Some(status);
                }
                Ok(Ok(None) | Err(_)) => {
                    shown.end();
                    return Ok(Followed::Gone);
                }
            }
            let is_late = left.is_some_and(|left| left.is_zero());
            if let Some(status) =
                last.take_if(|_| hopeless.is_some_and(|at| is_late || now - at >= SETTLE))
            {
                shown.end();
                return Ok(Followed::Hopeless(status));
            }
            if is_late {
                shown.end();
                return Ok(Followed::TimedOut(last));
            }
        }
    }
}

/// Makes an exit code of how a wait ended, and says why when it is not success.
pub(crate) fn conclude(
    out: &Output,
    followed: &Followed,
    goal: Goal,
    services: &[String],
    what: &str,
) -> Outcome {
    let shown = |name: &str| services.is_empty() || services.iter().any(|s| s == name);
    match followed {
        Followed::Reached(_) => Ok(Exit::Success),
        Followed::Hopeless(status) => {
            let problems = words::problems_of(status, shown);
            out.problems(&problems);
            if problems.is_empty() {
                return Err(Failure::new(Exit::NotReady, stuck(status, goal, &shown)));
            }
            Ok(Exit::NotReady)
        }
        Followed::TimedOut(status) => {
            let mut text = format!("{what} took too long");
            if let Some(status) = status {
                out.problems(&words::problems_of(status, shown));
                text = format!("{text}: {}", stuck(status, goal, &shown));
            }
            Err(Failure::with_help(
                Exit::TimeOut,
                text,
                "`flotilla ps` shows how far it is, `flotilla logs` what the services say",
            ))
        }
        Followed::Gone => Err(Failure::with_help(
            Exit::Failure,
            "the node has ended meanwhile",
            "see .flotilla/node.log",
        )),
    }
}

/// Who is not there yet: `orders is starting, 0/3 ready; web is waiting`.
fn stuck(status: &wire::Status, goal: Goal, shown: &dyn Fn(&str) -> bool) -> String {
    let parts: Vec<String> = status
        .services
        .iter()
        .filter(|s| shown(&s.name) && judge_service(s, goal) != Verdict::Reached)
        .map(|s| {
            let remark = board::remark(s);
            let remark = if remark.is_empty() { remark } else { format!(" ({remark})") };
            format!(
                "{} is {}, {}/{} ready{remark}",
                s.name,
                words::service_state(s.state).0,
                s.ready,
                s.desired
            )
        })
        .collect();
    parts.join("; ")
}

/// What of the progress is on the screen.
struct Shown {
    is_live: bool,
    is_shown: bool,
    is_start: bool,
    out: Output,
    screen: Screen,
    last: Option<wire::Status>,
}

impl Shown {
    fn new(follow: &Follow<'_>) -> Self {
        let is_live = std::io::stderr().is_terminal() && terminal::understands_cursor();
        Self {
            is_live,
            is_shown: follow.is_shown && !follow.out.quiet,
            is_start: follow.is_start,
            out: *follow.out,
            screen: Screen::default(),
            last: None,
        }
    }

    fn show(&mut self, status: &wire::Status, shown: &dyn Fn(&str) -> bool) {
        if !self.is_shown {
            return;
        }
        if self.is_live {
            let block = board::board(status, shown, self.out.paint_err);
            self.write(block);
        } else {
            if self.is_start || self.last.is_some() {
                for line in changes::changes(self.last.as_ref(), status, shown) {
                    self.out.say(&line);
                }
            }
            self.last = Some(status.clone());
        }
    }

    /// Takes the live block away; what follows says how it ended.
    fn end(&mut self) {
        if self.is_live && self.is_shown {
            self.write(Vec::new());
        }
    }

    fn write(&mut self, block: Vec<String>) {
        let text = self.screen.draw("", block, terminal::height());
        // A terminal that has gone is no reason to stop waiting: the exit code still counts.
        let _gone = std::io::stderr().lock().write_all(text.as_bytes());
    }
}

#[cfg(test)]
#[path = "follow/tests.rs"]
mod tests;
