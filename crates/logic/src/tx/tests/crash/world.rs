//! One run: the coordinator, its participants, and what is on its way between them.

use super::Case;
use crate::tx::{
    Answer, Effect, Event, Journal, Machine, Mode, Op, Outcome, Phase, Plan, State, Step,
    tests::script::BEGIN_MS,
};
use std::collections::{BTreeMap, VecDeque};

/// Most events of one run; a run that takes more does not end.
const EVENTS_MAX: usize = 400;

/// What a participant has done, behind a barrier: each operation once, and what undoes before what it undoes is empty.
#[derive(Clone, Debug, Default)]
pub(super) struct Participant {
    /// Which operation has inserted the row of an operation.
    rows: BTreeMap<&'static str, Op>,
    /// What its business has done.
    done: Vec<Op>,
    /// It says no to this.
    refuses: Option<Op>,
    /// Of each operation the first answer is lost.
    loses_answers: bool,
    heard: Vec<Op>,
}

impl Participant {
    fn hear(&mut self, mode: Mode, op: Op) -> Answer {
        let is_first = !self.heard.contains(&op);
        self.heard.push(op);
        if self.refuses == Some(op) && !self.rows.contains_key(op.as_str()) {
            return Answer::Refused("no".to_owned());
        }
        self.act(mode, op);
        if is_first && self.loses_answers {
            Answer::Failed("the answer was lost".to_owned())
        } else {
            Answer::Done
        }
    }

    pub(super) fn act(&mut self, mode: Mode, op: Op) {
        let origin = match (op, mode) {
            (Op::Compensate, _) => Some(Op::Action),
            (Op::Cancel, _) => Some(Op::Try),
            (Op::Rollback, Mode::ThreePhase) => Some(Op::PreCommit),
            (Op::Rollback, Mode::ThreePhaseClassic) => Some(Op::CanCommit),
            (Op::Rollback, _) => Some(Op::Prepare),
            _ => None,
        };
        let is_empty = origin.is_some_and(|origin| {
            let is_there = self.rows.contains_key(origin.as_str());
            self.rows.entry(origin.as_str()).or_insert(op);
            !is_there
        });
        let is_there = self.rows.contains_key(op.as_str());
        self.rows.entry(op.as_str()).or_insert(op);
        // The check of the strict protocol does nothing.
        let is_check = op == Op::CanCommit && mode == Mode::ThreePhase;
        if !is_empty && !is_there && !is_check {
            self.done.push(op);
        }
    }
}

/// When the coordinator dies, and what is lost then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Crash {
    /// At which of its steps.
    pub(super) step: usize,
    /// Its calls of that step were made.
    pub(super) after_effects: bool,
    /// What becomes of requests that are on their way.
    pub(super) requests: Requests,
    pub(super) keeps_lazy: bool,
    /// It is away for longer than any plan has time.
    pub(super) sleeps: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Requests {
    Lost,
    Heard,
    /// They come after the coordinator is up again.
    Late,
}

/// What has happened, to be told when it went wrong.
#[expect(dead_code, reason = "it is read in the debug text only")]
#[derive(Clone, Debug)]
enum Note {
    Event(Event),
    Step(Step),
    Crash(Crash),
}

#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) machine: Machine,
    kept: (Plan, State),
    pub(super) participants: Vec<Participant>,
    /// The sender of a message has committed its own transaction; a question before that makes it fail.
    has_sent: Option<bool>,
    joined: usize,
    requests: VecDeque<(Option<u16>, Op, u32)>,
    decides: bool,
    late: Vec<(Option<u16>, Op, u32)>,
    pub(super) now_ms: u64,
    wake_ms: Option<u64>,
    pub(super) told: Option<Outcome>,
    pub(super) steps: usize,
    crash: Option<Crash>,
    /// What the client asked for last, when it was told that this is taken.
    pub(super) promised: Option<Event>,
    trace: Vec<Note>,
}

impl World {
    pub(super) fn begin(case: &Case, crash: Option<Crash>) -> Self {
        let (machine, step) = Machine::begin(case.plan.clone(), case.is_open, BEGIN_MS).unwrap();
        let kept = (machine.plan().clone(), machine.state().clone());
        let participants = (0..case.plan.branches.len()).map(|at| Participant {
            refuses: case.refuses.filter(|(who, _)| *who == at).map(|(_, op)| op),
            loses_answers: case.loses_answers,
            ..Participant::default()
        });
        let mut world = Self {
            machine,
            kept,
            participants: participants.collect(),
            has_sent: case.has_sent,
            joined: 0,
            requests: VecDeque::new(),
            decides: false,
            late: Vec::new(),
            now_ms: BEGIN_MS,
            wake_ms: None,
            told: None,
            steps: 0,
            crash,
            promised: None,
            trace: Vec::new(),
        };
        // The client heard that it was begun, so the first state is durable whatever happens then.
        world.carry_out(step);
        world
    }

    fn feed(&mut self, event: Event) {
        assert!(self.ask(&event), "{event:?} was refused: {:#?}", self.trace);
    }

    /// Whether the event was accepted.
    pub(super) fn ask(&mut self, event: &Event) -> bool {
        self.trace.push(Note::Event(event.clone()));
        let step = self.machine.step(event.clone(), self.now_ms, 7);
        step.is_ok_and(|step| {
            self.carry_out(step);
            true
        })
    }

    fn carry_out(&mut self, step: Step) {
        self.steps += 1;
        let crash = self.crash.filter(|crash| crash.step == self.steps);
        let keeps = self.crash.is_none_or(|crash| crash.keeps_lazy);
        self.trace.push(Note::Step(step.clone()));
        if step.journal == Journal::Forced || (step.journal == Journal::Lazy && keeps) {
            self.kept = (self.machine.plan().clone(), self.machine.state().clone());
        }
        if crash.is_none_or(|crash| crash.after_effects) {
            for effect in step.effects {
                match effect {
                    Effect::Call { branch, op, attempt, .. } => {
                        self.requests.push_back((branch, op, attempt));
                    }
                    Effect::Decide { .. } => self.decides = true,
                    Effect::Wake(at_ms) => self.wake_ms = Some(at_ms),
                    Effect::Ended(outcome) => {
                        assert!(self.told.is_none_or(|told| told == outcome), "{:#?}", self.trace);
                        self.told = Some(outcome);
                    }
                }
            }
        }
        if let Some(crash) = crash {
            self.die(crash);
        }
    }

    fn die(&mut self, crash: Crash) {
        self.trace.push(Note::Crash(crash));
        let requests: Vec<_> = self.requests.drain(..).collect();
        match crash.requests {
            Requests::Lost => {}
            Requests::Heard => {
                for (branch, op, _) in requests {
                    self.hear(branch, op);
                }
            }
            Requests::Late => self.late = requests,
        }
        // The engine may have decided although nobody heard of it.
        if std::mem::take(&mut self.decides) && crash.requests == Requests::Heard {
            self.decide();
        }
        self.wake_ms = None;
        if crash.sleeps {
            self.now_ms += 60_000;
        }
        let text = serde_json::to_string(&self.kept.1).unwrap();
        let state = serde_json::from_str(&text).unwrap();
        self.machine = Machine::resume(self.kept.0.clone(), state);
        if self.machine.state().phase.outcome().is_none() {
            self.feed(Event::Recovered);
        }
    }

    fn decide(&mut self) {
        self.joined += 1;
        self.kept = (self.machine.plan().clone(), self.machine.decided(self.now_ms));
    }

    fn hear(&mut self, branch: Option<u16>, op: Op) -> Answer {
        let mode = self.machine.plan().mode;
        match branch {
            Some(at) => self.participants[usize::from(at)].hear(mode, op),
            None if *self.has_sent.get_or_insert(false) => Answer::Done,
            None => Answer::Refused("rolled back".to_owned()),
        }
    }

    /// Goes on until it has ended.
    pub(super) fn run(&mut self) {
        for _ in 0..EVENTS_MAX {
            if self.machine.state().phase.outcome().is_some() {
                self.late.drain(..).collect::<Vec<_>>().into_iter().for_each(|(branch, op, _)| {
                    self.hear(branch, op);
                });
                return;
            }
            if std::mem::take(&mut self.decides) {
                self.decide();
                self.feed(Event::Decided(Ok(())));
            } else if let Some((branch, op, attempt)) = self.requests.pop_front() {
                // What is late comes between others.
                if let Some((branch, op, _)) = self.late.pop() {
                    self.hear(branch, op);
                }
                let answer = self.hear(branch, op);
                self.feed(Event::Answer { branch, op, attempt, answer });
            } else {
                let wake_ms = self.wake_ms.take();
                let wake_ms = wake_ms.unwrap_or_else(|| panic!("stuck: {:#?}", self.trace));
                self.now_ms = self.now_ms.max(wake_ms);
                self.feed(Event::Tick);
            }
        }
        panic!("it does not end: {:#?}", self.trace);
    }

    pub(super) fn check(&self, case: &Case) {
        let phase = self.machine.state().phase;
        let told = || format!("{case:?}\n{:#?}\n{:#?}", self.participants, self.trace);
        assert!(matches!(phase, Phase::Committed | Phase::Aborted), "{phase}\n{}", told());
        let is_committed = phase == Phase::Committed;
        let outcome = if is_committed { Outcome::Committed } else { Outcome::Aborted };
        assert!(self.told.is_none_or(|told| told == outcome), "another end\n{}", told());
        if case.refuses.is_some() || self.has_sent == Some(false) {
            assert!(!is_committed, "{}", told());
        }
        match &self.promised {
            Some(Event::Abort(_)) => assert!(!is_committed, "{}", told()),
            Some(Event::Submit) if case.is_open => assert!(is_committed, "{}", told()),
            _ => {}
        }
        let joins = case.plan.branches.iter().any(|branch| branch.joins);
        assert_eq!(self.joined, usize::from(is_committed && joins), "{}", told());
        for (branch, participant) in case.plan.branches.iter().zip(&self.participants) {
            let done: Vec<&str> = participant
                .done
                .iter()
                .filter(|op| !(branch.joins || op.as_str() == "pre_commit" && case.is_classic()))
                .map(|op| op.as_str())
                .collect();
            let (first, commit, undo) = case.words();
            let is_right = match (is_committed, &done[..]) {
                (true, []) => branch.joins,
                (true, [one]) => commit.is_empty() && *one == first,
                (true, [one, two]) => *one == first && *two == commit,
                (false, []) => true,
                (false, [one, two]) => *one == first && *two == undo,
                _ => false,
            };
            assert!(is_right, "`{}` has done {done:?}\n{}", branch.id, told());
        }
    }
}
