//! What the unit remembers and tells of what happened.

use super::{Message, Report, Unit, effects};
use crate::diagnose::{self, Evidence};
use base::{Code, Diagnostic, Severity, units::format_duration};
use logic::{
    instance::{Input, News, Phase},
    service::Run,
};
use manifest::Kind;
use ports::host::Exit;
use runtime::Clock;
use std::{net::SocketAddr, sync::Arc, time::Duration};

/// What ends within this time of its start never worked, even if nobody asked it before it was sent requests.
const AT_ONCE: Duration = Duration::from_secs(2);

impl Unit {
    /// Remembers what a report says and turns it into the machine's input.
    pub(super) fn note(&mut self, about: Run, report: Report) -> Input {
        let current =
            self.machine.instances().get(&about.number).is_some_and(|i| i.run == about.run);
        if !current {
            return input_of(&report);
        }
        let facts = self.facts.entry(about.number).or_default();
        let input = input_of(&report);
        match report {
            Report::Started(run) => {
                facts.started_at = Some(run.started_at);
                facts.run = Some(*run);
                if self.refusal == Some(about.number) {
                    self.set_problem(None);
                }
                self.watch_exit(about);
            }
            Report::Refused(diagnostic) => {
                facts.last_exit = Some(diagnostic.message.clone());
                facts.message.clone_from(&diagnostic.message);
                self.set_problem(Some(*diagnostic));
                self.refusal = Some(about.number);
            }
            Report::Exited(exit) => {
                facts.last_exit = Some(exit.to_string());
                facts.exit = Some(exit);
            }
            Report::Forgotten(left) => {
                facts.run = None;
                facts.usage = None;
                if !left.processes.is_empty() {
                    let exit = facts.exit.clone().unwrap_or(Exit::Unknown);
                    let asked =
                        self.machine.instances().get(&about.number).is_none_or(|i| i.leaving);
                    let ended = left.processes.join(", ");
                    self.say(
                        about.number,
                        "leftovers",
                        format!("ended what was left of it: {ended}"),
                    );
                    if !asked {
                        let said = diagnose::forked_away(&self.service, &exit, &left);
                        self.set_problem(Some(said));
                    }
                }
            }
            Report::Probed(_, answer) => {
                if answer.good {
                    facts.answers = 0;
                    facts.message.clear();
                } else {
                    facts.answers = facts.answers.saturating_add(1);
                    facts.message.clone_from(&answer.detail);
                }
                facts.answer = answer.detail;
            }
            Report::Idle => {}
        }
        input
    }

    /// Tells people, and explains failures.
    pub(super) fn tell(&mut self, about: Run, news: &News) {
        let number = about.number;
        let last = |unit: &Self| {
            unit.facts.get(&number).and_then(|f| f.last_exit.clone()).unwrap_or_default()
        };
        let (kind, message) = match news {
            News::Started => ("started", self.started_text(number)),
            News::Ready(after) => {
                if let Some(facts) = self.facts.get_mut(&number) {
                    facts.ready_after = Some(*after);
                    facts.was_ready = true;
                    facts.next_start = None;
                }
                ("ready", format!("ready after {}", short(*after)))
            }
            News::Unready => {
                ("unready", self.facts.get(&number).map(|f| f.answer.clone()).unwrap_or_default())
            }
            News::NeverReady => {
                self.explain_not_ready(about);
                ("not_ready", self.facts.get(&number).map(|f| f.answer.clone()).unwrap_or_default())
            }
            News::NotAlive => {
                ("not_alive", self.facts.get(&number).map(|f| f.answer.clone()).unwrap_or_default())
            }
            News::Exited => {
                self.explain_exit(about);
                ("exited", last(self))
            }
            News::Refused => ("refused", last(self)),
            News::Again(wait) => return self.tell_again(about, *wait),
            News::Draining => {
                ("draining", "takes no new requests and finishes the open ones".to_owned())
            }
            News::Asked { drained: true } => ("stopping", "all requests finished".to_owned()),
            News::Asked { drained: false } => {
                let open = self.shared.config.traffic.in_flight(&self.id(number));
                let limit = format_duration(self.service.stop.drain);
                ("stopping", format!("{open} requests still open after {limit}"))
            }
            News::Killed => ("killed", self.killed_text()),
            News::Gone => ("stopped", last(self)),
            News::Completed => ("completed", last(self)),
            News::Failed => {
                if self.service.kind != Kind::Service {
                    let evidence = self.evidence(number);
                    self.set_problem(Some(diagnose::job_failed(
                        &self.service,
                        &last(self),
                        &evidence,
                    )));
                } else if self.problem.is_none() {
                    self.set_problem(Some(self.explain_end(number)));
                }
                ("failed", last(self))
            }
        };
        self.say(number, kind, message);
    }

    fn killed_text(&self) -> String {
        let grace = self.machine.desired().policy.grace;
        if grace.is_zero() {
            // Patience was ended by hand, so the program did nothing wrong.
            return "killed at once, as asked".to_owned();
        }
        let (grace, code) = (format_duration(grace), Code::IGNORED_STOP);
        format!("did not end within {grace} after the stop signal, killed [{code}]")
    }

    fn started_text(&self, number: u32) -> String {
        let facts = self.facts.get(&number);
        let process = facts.and_then(|f| f.run.as_ref()).and_then(|r| r.pid);
        let port = facts.and_then(|f| f.port).map(|p| format!(", port {p}")).unwrap_or_default();
        process.map_or_else(|| format!("started{port}"), |pid| format!("process {pid}{port}"))
    }

    fn tell_again(&mut self, about: Run, wait: Duration) {
        let number = about.number;
        let failures = self.machine.instances().get(&number).map_or(0, |i| i.failures);
        let looping = failures >= logic::instance::CRASH_LOOP_FAILURES;
        let evidence = self.evidence(number);
        let Some(facts) = self.facts.get_mut(&number) else { return };
        let micros = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
        facts.next_start = Some(base::Timestamp(Clock::wall().0.saturating_add(micros)));
        let exit = facts.last_exit.clone().unwrap_or_default();
        // A sharper finding (wrong port, forked away, refused) is not replaced by the general one.
        let general =
            self.problem.as_ref().is_none_or(|p| matches!(p.code, Code::EXITED | Code::CRASH_LOOP));
        let code = facts.exit.clone();
        if looping && general && self.service.kind == Kind::Service {
            let said =
                diagnose::crash_loop(&self.service, failures, (&exit, code.as_ref()), &evidence);
            self.set_problem(Some(said));
        }
        let kind = if looping { "crash_loop" } else { "restarting" };
        self.say(number, kind, format!("starts again in {}", short(wait)));
    }

    /// A run that ended before it was ever ready, or at once, needs a cause and a fix.
    fn explain_exit(&mut self, about: Run) {
        let Some(facts) = self.facts.get(&about.number) else { return };
        let sharper = self.problem.as_ref().is_some_and(|p| !matches!(p.code, Code::EXITED));
        let worked = facts.was_ready && self.now().since(facts.begun) >= AT_ONCE;
        if worked || sharper || self.service.kind != Kind::Service {
            return;
        }
        self.set_problem(Some(self.explain_end(about.number)));
    }

    fn explain_end(&self, number: u32) -> Diagnostic {
        let facts = self.facts.get(&number);
        let exit = facts.and_then(|f| f.exit.clone()).unwrap_or(Exit::Unknown);
        let after = facts.map_or(Duration::ZERO, |f| self.now().since(f.begun));
        diagnose::exited(&self.service, &exit, after, &self.evidence(number))
    }

    fn explain_not_ready(&mut self, about: Run) {
        let number = about.number;
        let waited = self.facts.get(&number).map_or(Duration::ZERO, |f| self.now().since(f.begun));
        let mut evidence = self.evidence(number);
        // What is known at once; where it listens is found out meanwhile, while the process still lives.
        if !self.has_named_port() {
            self.set_problem(Some(diagnose::not_ready(&self.service, waited, &evidence)));
        }
        let Some((host, id)) = self.host_run(number) else { return };
        let (service, sender) = (Arc::clone(&self.service), self.sender.clone());
        self.tasks.spawn("explain", move |_| async move {
            let Ok(listening) = host.listening(&id).await else { return };
            evidence.listening = Some(listening);
            let said = diagnose::not_ready(&service, waited, &evidence);
            effects::tell(&sender, Message::Explained(about, Box::new(said))).await;
        });
    }

    /// Takes a better explanation, unless it comes too late to be one.
    pub(super) fn explained(&mut self, run: Run, diagnostic: Diagnostic) {
        let Some(instance) = self.machine.instances().get(&run.number) else { return };
        if instance.run != run.run || instance.is_ready() {
            return;
        }
        // Of a process that has ended nobody can say that it listened nowhere.
        let lives = matches!(
            instance.phase,
            Phase::Started | Phase::Draining { .. } | Phase::Stopping { .. }
        );
        let is_named = self.has_named_port();
        if diagnostic.code == Code::WRONG_PORT || lives && !is_named {
            self.set_problem(Some(diagnostic));
        }
    }

    /// Whether a run that failed was found to listen on another port than its own.
    fn has_named_port(&self) -> bool {
        let named =
            |p: &Arc<Diagnostic>| p.code == Code::WRONG_PORT && p.severity == Severity::Error;
        self.problem.as_ref().is_some_and(named)
    }

    /// Remembers where a run listens, and says so when that is the wrong port.
    pub(super) fn listens(&mut self, run: Run, listening: Vec<SocketAddr>) {
        let is_current =
            self.machine.instances().get(&run.number).is_some_and(|i| i.run == run.run);
        let Some(facts) = self.facts.get_mut(&run.number).filter(|_| is_current) else { return };
        facts.listening = Some(listening);
        let evidence = self.evidence(run.number);
        if let (Some(other), Some(own)) = (evidence.wrong_port(), evidence.port) {
            let said = diagnose::wrong_port(&self.service, own, other, &evidence);
            // Its time is not up, and some open a port for management first: a warning, until it has failed.
            let starts = self.machine.instances().get(&run.number).map(|i| &i.phase);
            let severity = match starts {
                Some(Phase::Started) => Severity::Warning,
                _ => Severity::Error,
            };
            self.explained(run, Diagnostic { severity, ..said });
        }
    }

    pub(super) fn evidence(&self, number: u32) -> Evidence {
        let facts = self.facts.get(&number);
        Evidence {
            output: self.shared.config.recall.last(&self.id(number), diagnose::LINES_SHOWN),
            port: facts.and_then(|f| f.port),
            listening: facts.and_then(|f| f.listening.clone()),
            answer: facts.map(|f| f.answer.clone()).unwrap_or_default(),
            answers: facts.map_or(0, |f| f.answers),
        }
    }
}

fn input_of(report: &Report) -> Input {
    match report {
        Report::Started(_) => Input::Started,
        Report::Refused(_) => Input::Refused,
        Report::Exited(exit) => Input::Exited { success: exit.is_success() },
        Report::Forgotten(_) => Input::Forgotten,
        Report::Idle => Input::Idle,
        Report::Probed(kind, answer) => Input::Probed(*kind, answer.good),
    }
}

/// A duration for people: milliseconds under a second, else tenths of seconds.
fn short(duration: Duration) -> String {
    if duration < Duration::from_secs(1) {
        format!("{} ms", duration.as_millis())
    } else {
        format!("{:.1} s", duration.as_secs_f64())
    }
}
