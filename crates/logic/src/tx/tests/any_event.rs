//! Events in any order, sensible or not: nothing brings the machine down, what it has decided stays decided, and it ends once.

use super::{
    super::{
        Answer, Decision, Effect, Event, Heuristic, Machine, Mode, Op, Outcome, Phase, Resolution,
        State,
    },
    oracle::{Draw, draws},
    two_phase_model::{branch, ops},
    world::NOW,
};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// What comes next.
#[derive(Clone, Debug)]
enum Comes {
    /// An answer to the call that is under way at this branch, counted round.
    Answered(usize, Answer),
    Event(Event),
    /// The driver dies, and keeps what it was told to keep later, or not.
    Crash(bool),
    Time(u64),
}

fn answers() -> impl Strategy<Value = Answer> {
    let heuristics = vec![Heuristic::Committed, Heuristic::Aborted, Heuristic::Mixed];
    prop_oneof![
        8 => Just(Answer::Done),
        1 => Just(Answer::ReadOnly),
        1 => Just(Answer::Refused("no".to_owned())),
        1 => Just(Answer::Working),
        2 => Just(Answer::Failed("broken".to_owned())),
        1 => Just(Answer::Away("nobody there".to_owned())),
        1 => prop::sample::select(heuristics).prop_map(Answer::Heuristic),
    ]
}

fn events() -> impl Strategy<Value = Event> {
    let outcomes = vec![Outcome::Committed, Outcome::Aborted, Outcome::Mixed];
    let op = prop::sample::select(Op::ALL.to_vec());
    let answer = (prop::option::of(0_u16..8), op, 0_u32..4, answers())
        .prop_map(|(branch, op, attempt, answer)| Event::Answer { branch, op, attempt, answer });
    prop_oneof![
        4 => Just(Event::Tick),
        2 => answer,
        2 => Just(Event::Retry),
        2 => Just(Event::Submit),
        1 => Just(Event::Abort("enough".to_owned())),
        1 => Just(Event::Decided(Ok(()))),
        1 => Just(Event::Decided(Err((9, "taken".to_owned())))),
        1 => (0_u16..8).prop_map(|at| Event::Resolve(Resolution::Branch(at))),
        1 => prop::sample::select(outcomes).prop_map(|it| Event::Resolve(Resolution::All(it))),
        1 => (0_usize..9).prop_map(|at| Event::Enlist(branch(at, ops(Mode::Tcc)))),
    ]
}

fn comings() -> impl Strategy<Value = Vec<Comes>> {
    let one = prop_oneof![
        8 => (0_usize..8, answers()).prop_map(|(at, answer)| Comes::Answered(at, answer)),
        4 => events().prop_map(Comes::Event),
        1 => any::<bool>().prop_map(Comes::Crash),
        2 => prop::sample::select(vec![1_u64, 1_000, 60_000, 2_000_000_000]).prop_map(Comes::Time),
    ];
    prop::collection::vec(one, 1..80)
}

/// The machine with what its driver knows.
struct Driver {
    machine: Machine,
    kept: State,
    now_ms: u64,
    calls: BTreeMap<Option<u16>, (Op, u32)>,
    ends: usize,
}

impl Driver {
    fn take(&mut self, comes: Comes) -> Result<(), String> {
        let event = match comes {
            Comes::Time(time_ms) => {
                self.now_ms += time_ms;
                Event::Tick
            }
            Comes::Answered(at, answer) => {
                let Some((branch, (op, attempt))) =
                    self.calls.iter().nth(at % self.calls.len().max(1)).map(|(b, c)| (*b, *c))
                else {
                    return Ok(());
                };
                self.calls.remove(&branch);
                Event::Answer { branch, op, attempt, answer }
            }
            Comes::Event(event) => event,
            Comes::Crash(keeps) => {
                let state = if keeps { self.machine.state() } else { &self.kept };
                let text = serde_json::to_string(state).expect("a state can be written");
                let state: State =
                    serde_json::from_str(&text).map_err(|error| error.to_string())?;
                self.machine = Machine::resume(self.machine.plan().clone(), state);
                self.calls.clear();
                if self.machine.state().phase.outcome().is_some() {
                    return Ok(());
                }
                self.kept = self.machine.state().clone();
                Event::Recovered
            }
        };
        self.step(event)
    }

    fn step(&mut self, event: Event) -> Result<(), String> {
        let before = self.machine.clone();
        let Ok(step) = self.machine.step(event.clone(), self.now_ms, 7) else {
            let same = before.state() == self.machine.state();
            return if same { Ok(()) } else { Err(format!("refused {event:?}, and has changed")) };
        };
        self.check(before.state(), &event)?;
        if step.journal == super::super::Journal::Forced {
            self.kept = self.machine.state().clone();
        }
        for effect in step.effects {
            if before.state().phase.outcome().is_some() {
                return Err(format!("{effect:?} after its end"));
            }
            match effect {
                Effect::Call { branch, op, attempt, .. } => {
                    self.calls.insert(branch, (op, attempt));
                }
                Effect::Ended(_) => self.ends += 1,
                Effect::Decide { .. } | Effect::Wake(_) => {}
            }
        }
        let has_ended = self.machine.state().phase.outcome().is_some();
        if has_ended && before.state().phase.outcome().is_none() && self.ends == 0 {
            return Err("it ended without a word".to_owned());
        }
        Ok(())
    }

    /// What holds from each state to the next.
    fn check(&self, before: &State, event: &Event) -> Result<(), String> {
        let (mode, state) = (self.machine.plan().mode, self.machine.state());
        let is_by_hand = matches!(event, Event::Resolve(_));
        let turns = |from, to| from == Some(to) && state.decision(mode) != Some(to);
        if !is_by_hand
            && (turns(before.decision(mode), Decision::Commit)
                || turns(before.decision(mode), Decision::Abort))
        {
            return Err(format!("{event:?} turned {:?} to {:?}", before.phase, state.phase));
        }
        if before.phase.outcome().is_some() && before != state {
            return Err(format!("{event:?} changed what has ended"));
        }
        if state.phase == Phase::Committed
            && state.branches.iter().any(|branch| branch.refused.is_some())
            && !is_by_hand
        {
            return Err("committed though one has refused".to_owned());
        }
        Ok(())
    }
}

fn run(draw: &Draw, is_open: bool, comings: Vec<Comes>) -> Result<(), String> {
    let plan = draw.system().plan;
    let (machine, step) = Machine::begin(plan, is_open, NOW).map_err(|error| error.to_string())?;
    let kept = machine.state().clone();
    let mut driver = Driver { machine, kept, now_ms: NOW, calls: BTreeMap::new(), ends: 0 };
    for effect in step.effects {
        if let Effect::Call { branch, op, attempt, .. } = effect {
            driver.calls.insert(branch, (op, attempt));
        }
    }
    comings.into_iter().try_for_each(|comes| driver.take(comes))
}

proptest! {
    #[test]
    fn no_order_of_events_turns_a_decision_or_ends_a_transaction_twice(
        draw in draws(),
        is_open: bool,
        comings in comings(),
    ) {
        if let Err(what) = run(&draw, is_open, comings) {
            prop_assert!(false, "{}", what);
        }
    }
}
