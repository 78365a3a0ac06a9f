//! A host and a data plane in one, with time of their own, for the machine to play against.

use super::super::*;
use crate::{
    backoff::Backoff,
    instance::{News, Restart},
    probe,
};
use std::{collections::BTreeSet, fmt::Write as _, time::Duration};

pub(super) const fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

pub(super) fn policy() -> Policy {
    let ask = |failures| {
        Some(probe::Policy { initial_delay: secs(0), period: secs(1), failures, successes: 1 })
    };
    Policy {
        restart: Restart::Always,
        backoff: Backoff { first: secs(1), max: secs(60) },
        reset_after: secs(60),
        retries_max: None,
        drain: secs(10),
        grace: secs(30),
        startup: ask(5),
        ready: ask(1),
        live: None,
        startup_is_ready: true,
        routed: true,
    }
}

pub(super) fn desired(count: u32) -> Desired {
    Desired { count, policy: policy(), exclusive: false }
}

/// A host and a data plane in one, with time of their own.
pub(super) struct World {
    pub(super) machine: Machine,
    pub(super) now: Moment,
    /// Answers due, in order of time then of asking.
    pub(super) due: BTreeMap<(Moment, u64), (Run, Input)>,
    pub(super) asked: u64,
    pub(super) alive: BTreeSet<Run>,
    pub(super) routed: BTreeSet<u32>,
    /// Numbers whose programs never become ready.
    pub(super) sick: BTreeSet<u32>,
    /// Every program started from now on is sick.
    pub(super) all_sick: bool,
    /// Programs that do not heed the signal.
    pub(super) deaf: bool,
    /// Requests stay open for this long after unroute.
    pub(super) open_requests: Duration,
    pub(super) lowest_ready: u32,
    pub(super) story: String,
}

impl World {
    pub(super) fn new(desired: Desired) -> Self {
        let mut world = Self {
            machine: Machine::new(desired),
            now: Moment::START,
            due: BTreeMap::new(),
            asked: 0,
            alive: BTreeSet::new(),
            routed: BTreeSet::new(),
            sick: BTreeSet::new(),
            all_sick: false,
            deaf: false,
            open_requests: secs(1),
            lowest_ready: u32::MAX,
            story: String::new(),
        };
        world.act(|m, now| m.set_open(true, now));
        world
    }

    pub(super) fn act(&mut self, act: impl FnOnce(&mut Machine, Moment) -> Effects) {
        let effects = act(&mut self.machine, self.now);
        for (run, effect) in effects {
            self.execute(run, &effect);
        }
        self.lowest_ready = self.lowest_ready.min(u32::try_from(self.routed.len()).unwrap());
    }

    fn answer(&mut self, after: Duration, run: Run, input: Input) {
        self.asked += 1;
        self.due.insert((self.now + after, self.asked), (run, input));
    }

    fn execute(&mut self, run: Run, effect: &Effect) {
        let n = run.number;
        match effect {
            Effect::Start => {
                assert!(self.alive.insert(run), "{run:?} starts once");
                assert_eq!(
                    self.alive.iter().filter(|r| r.number == n).count(),
                    1,
                    "one run a number"
                );
                if self.all_sick {
                    self.sick.insert(n);
                }
                self.answer(secs(1), run, Input::Started);
            }
            Effect::Ask(kind) => {
                let good = !self.sick.contains(&n);
                self.answer(Duration::from_millis(100), run, Input::Probed(*kind, good));
            }
            Effect::Route => {
                assert!(
                    self.alive.contains(&run) && self.routed.insert(n),
                    "only what lives is routed, once"
                );
            }
            Effect::Unroute => assert!(self.routed.remove(&n), "only what is routed is unrouted"),
            Effect::AwaitIdle => self.answer(self.open_requests, run, Input::Idle),
            Effect::Signal => {
                assert!(!self.routed.contains(&n), "no signal before unroute");
                if !self.deaf {
                    self.answer(secs(1), run, Input::Exited { success: true });
                }
            }
            Effect::Kill => self.answer(secs(0), run, Input::Exited { success: false }),
            Effect::Forget => {
                assert!(self.alive.remove(&run), "what is forgotten was started");
                assert!(!self.routed.contains(&n));
                self.answer(secs(0), run, Input::Forgotten);
            }
            Effect::Say(news) => {
                let seconds = self.now.since_start().as_secs();
                writeln!(self.story, "{seconds}s {n} {}", short(news)).unwrap();
            }
        }
    }

    /// Lets time pass up to `until` seconds after the start.
    pub(super) fn run_to(&mut self, until: u64) {
        let end = Moment::from_start(secs(until));
        loop {
            let answer = self.due.keys().next().map(|(at, _)| *at);
            let next = answer.into_iter().chain(self.machine.wake()).min().filter(|at| *at <= end);
            let Some(at) = next else { break };
            self.now = at.max(self.now);
            if answer.is_some_and(|answer| answer <= at) {
                let (_, (run, input)) = self.due.pop_first().unwrap();
                self.act(|m, now| m.step(run, &input, now, 20));
            } else {
                self.act(Machine::tick);
            }
        }
        self.now = end;
    }

    pub(super) fn crash(&mut self, number: u32) {
        if let Some(run) = self.alive.iter().find(|r| r.number == number).copied() {
            self.act(|m, now| m.step(run, &Input::Exited { success: false }, now, 20));
        }
    }
}

pub(super) fn short(news: &News) -> String {
    match news {
        News::Ready(after) => format!("ready after {}s", after.as_secs()),
        News::Again(wait) => format!("again in {}s", wait.as_secs()),
        News::Asked { drained } => format!("asked, drained {drained}"),
        other => format!("{other:?}").to_lowercase(),
    }
}
