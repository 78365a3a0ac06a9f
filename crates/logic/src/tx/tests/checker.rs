//! An explicit-state model checker: visits every state that a model can reach, breadth first, so that what it finds is told by the
//! shortest way that leads there.
//!
//! It proves two things of a model: that no reachable state is wrong, and that from every reachable state an end can be reached
//! without any further fault. States are told apart by a fingerprint of 64 bits: among a million states the chance that a collision hides
//! one is below one in ten million (Holzmann 1991, "hash compaction").

use std::{
    collections::{HashMap, VecDeque},
    fmt::Write as _,
};

/// What is checked.
pub(super) trait Model {
    /// Everything there is at a moment.
    type State: Clone;
    /// A change from one state to the next.
    type Action: Copy;

    /// Where it begins.
    fn start(&self) -> Self::State;
    /// What can happen in this state.
    fn actions(&self, state: &Self::State) -> Vec<Self::Action>;
    /// What comes of it.
    fn next(&self, state: &Self::State, action: Self::Action) -> Self::State;
    /// Whether the action is a fault: nothing may depend on its happening.
    fn is_fault(&self, action: Self::Action) -> bool;
    /// Whether all has ended that should.
    fn is_end(&self, state: &Self::State) -> bool;
    /// What is wrong with it.
    fn wrong(&self, state: &Self::State) -> Option<String>;
    /// The same for two states exactly when they need not be told apart.
    fn fingerprint(&self, state: &Self::State) -> u64;
    /// The action in words, and where it led.
    fn tell(&self, action: Self::Action, after: &Self::State) -> String;
}

/// What was found.
#[derive(Debug)]
pub(super) struct Report {
    /// States that were visited.
    pub(super) states: usize,
    /// Of those: ends.
    pub(super) ends: usize,
    /// The longest of the shortest ways to a state.
    pub(super) depth: usize,
    /// The first thing that is wrong.
    pub(super) violation: Option<Violation>,
}

/// A state that must not be.
#[derive(Debug)]
pub(super) struct Violation {
    /// What is wrong with it.
    pub(super) what: String,
    /// The way there, an action a line.
    pub(super) trace: Vec<String>,
}

impl Report {
    /// Demands that nothing was wrong, and shows the way to it otherwise.
    #[track_caller]
    pub(super) fn is_clean(&self, name: &str) {
        assert!(self.violation.is_none(), "{name}: {}", self.text());
        assert!(self.ends > 0, "{name}: it never ends");
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let mut text = format!("{} states, {} ends, {} deep", self.states, self.ends, self.depth);
        if let Some(violation) = &self.violation {
            let _infallible = write!(text, "\nwrong: {}", violation.what);
            for (number, line) in violation.trace.iter().enumerate() {
                let _infallible = write!(text, "\n{:3}. {line}", number + 1);
            }
        }
        text
    }
}

/// How a state was reached first.
struct Visit<A> {
    parent: usize,
    action: Option<A>,
    depth: usize,
}

/// Visits all states, at most `most`: a model that has more is a mistake of the test.
pub(super) fn explore<M: Model>(model: &M, most: usize) -> Report {
    let start = model.start();
    let mut search = Search {
        model,
        visits: vec![Visit { parent: 0, action: None, depth: 0 }],
        known: HashMap::from([(model.fingerprint(&start), 0)]),
        before: vec![Vec::new()],
        ends: Vec::new(),
    };
    let mut frontier = VecDeque::from([(0, start)]);
    let mut found = None;
    while let Some((at, state)) = frontier.pop_front() {
        if let Some(what) = model.wrong(&state) {
            found = Some((at, what));
            break;
        }
        if model.is_end(&state) {
            search.ends.push(at);
        }
        for action in model.actions(&state) {
            let next = model.next(&state, action);
            if let Some(new) = search.meet(at, action, &next) {
                assert!(new < most, "the model has more than {most} states");
                frontier.push_back((new, next));
            }
        }
    }
    let found = found.or_else(|| {
        let lost = search.without_end()?;
        Some((lost, "it never ends, though no more faults happen".to_owned()))
    });
    Report {
        states: search.visits.len(),
        ends: search.ends.len(),
        depth: search.visits.last().map_or(0, |visit| visit.depth),
        violation: found.map(|(at, what)| Violation { what, trace: search.trace(at) }),
    }
}

struct Search<'m, M: Model> {
    model: &'m M,
    visits: Vec<Visit<M::Action>>,
    known: HashMap<u64, usize>,
    /// For each state: those from which an action that is no fault leads to it.
    before: Vec<Vec<u32>>,
    ends: Vec<usize>,
}

impl<M: Model> Search<'_, M> {
    /// Notes that an action leads to a state; its number if nothing has led there before.
    fn meet(&mut self, from: usize, action: M::Action, next: &M::State) -> Option<usize> {
        let new = self.visits.len();
        let at = *self.known.entry(self.model.fingerprint(next)).or_insert(new);
        if at == new {
            let depth = self.visits.get(from).map_or(0, |visit| visit.depth) + 1;
            self.visits.push(Visit { parent: from, action: Some(action), depth });
            self.before.push(Vec::new());
        }
        if !self.model.is_fault(action) {
            let from = u32::try_from(from).expect("fewer states than that are allowed");
            self.before.get_mut(at).expect("each state has a row").push(from);
        }
        (at == new).then_some(new)
    }

    /// The first state from which no end can be reached without a fault.
    fn without_end(&self) -> Option<usize> {
        let mut leads = vec![false; self.visits.len()];
        let mut open = self.ends.clone();
        while let Some(at) = open.pop() {
            if !std::mem::replace(&mut leads[at], true) {
                open.extend(self.before[at].iter().map(|from| *from as usize));
            }
        }
        leads.iter().position(|leads| !leads)
    }

    fn trace(&self, mut at: usize) -> Vec<String> {
        let mut actions = Vec::new();
        while let Some(Visit { parent, action: Some(action), .. }) = self.visits.get(at) {
            actions.push(*action);
            at = *parent;
        }
        let mut state = self.model.start();
        let line = |action| {
            state = self.model.next(&state, action);
            self.model.tell(action, &state)
        };
        actions.into_iter().rev().map(line).collect()
    }
}

/// A counter that two count up to `until`, of which one may stop.
struct Counters {
    until: u8,
    may_stop: bool,
}

impl Model for Counters {
    type State = ([u8; 2], bool);
    type Action = usize;

    fn start(&self) -> Self::State {
        ([0, 0], false)
    }

    fn actions(&self, (counts, has_stopped): &Self::State) -> Vec<usize> {
        let mut actions: Vec<usize> =
            (0..2).filter(|at| counts[*at] < self.until && (*at == 1 || !has_stopped)).collect();
        actions.extend((self.may_stop && !has_stopped).then_some(2));
        actions
    }

    fn next(&self, (counts, has_stopped): &Self::State, action: usize) -> Self::State {
        let mut counts = *counts;
        counts.get_mut(action).into_iter().for_each(|count| *count += 1);
        (counts, *has_stopped || action == 2)
    }

    fn is_fault(&self, action: usize) -> bool {
        action == 2
    }

    fn is_end(&self, (counts, _): &Self::State) -> bool {
        *counts == [self.until; 2]
    }

    fn wrong(&self, (counts, _): &Self::State) -> Option<String> {
        (*counts == [3, 1]).then(|| "3 and 1".to_owned())
    }

    fn fingerprint(&self, (counts, has_stopped): &Self::State) -> u64 {
        u64::from(counts[0]) << 16 | u64::from(counts[1]) << 8 | u64::from(*has_stopped)
    }

    fn tell(&self, action: usize, (counts, _): &Self::State) -> String {
        format!("{action} -> {counts:?}")
    }
}

#[test]
fn the_checker_visits_every_state_once_and_finds_the_shortest_way_to_a_wrong_one_and_what_never_ends()
 {
    let report = explore(&Counters { until: 2, may_stop: false }, 100);
    assert_eq!((report.states, report.ends, report.depth), (9, 1, 4), "{}", report.text());
    report.is_clean("counters");

    let wrong = explore(&Counters { until: 3, may_stop: false }, 100).violation.unwrap();
    assert_eq!(wrong.what, "3 and 1");
    assert_eq!(wrong.trace.len(), 4, "{wrong:?}");
    assert_eq!(wrong.trace.last().unwrap().split(" -> ").last(), Some("[3, 1]"));

    let stuck = explore(&Counters { until: 2, may_stop: true }, 100).violation.unwrap();
    assert_eq!(stuck.trace, ["2 -> [0, 0]"]);
}
