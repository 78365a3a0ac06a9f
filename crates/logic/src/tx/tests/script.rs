//! A coordinator that is led by a script: one line for each event, with what must come of it.
//!
//! ```text
//! @500 a action refused no money => forced: a/compensate#1; aborting
//! ```
//! Time in milliseconds since the beginning may stand first and stays until the next. Calls are written `branch/operation#attempt`, with
//! `<1000` for a promise until then. What is not said of the state is not compared; `show` asks for more of it.

use super::super::{
    Answer, Branch, Effect, Event, Heuristic, Journal, Machine, Mode, Op, OpSet, Outcome, Phase,
    Plan, Refused, Resolution, Retry, State, Step, Then,
};

/// When transactions of tests begin.
pub(super) const BEGIN_MS: u64 = 1_000_000;

/// A number that leaves the pauses of the first branch as they are.
const RANDOM: u64 = 20;

/// A plan without a timeout whose branches have all operations; pauses of 100 ms up to a second, three attempts. Branches are
/// written `name`, `name<before,before`, each with `!` for one that joins, `+` for one that feeds, `*` for one the client has tried.
pub(super) fn plan(mode: Mode, branches: &str) -> Plan {
    let ops: OpSet =
        Op::ALL.into_iter().filter(|op| mode.has(*op) && *op != Op::CommitOnePhase).collect();
    let mut found: Vec<Branch> = Vec::new();
    for word in branches.split_whitespace() {
        let (name, after) = word.split_once('<').unwrap_or((word, ""));
        let id = name.trim_end_matches(['!', '+', '*']);
        let position = |before: &str| found.iter().position(|branch| branch.id == before).unwrap();
        let after = after.split(',').filter(|name| !name.is_empty()).map(position);
        let after = after.map(|at| u16::try_from(at).unwrap()).collect();
        found.push(Branch {
            id: id.to_owned(),
            after,
            ops,
            joins: name.contains('!'),
            feeds: name.contains('+'),
            tried_by_client: name.contains('*'),
            reserve_ms: None,
            retry: None,
        });
    }
    Plan {
        mode,
        branches: found,
        retry: Retry { base_ms: 100, max_ms: 1_000, attempts: Some(3), then: Then::Attention },
        timeout_ms: None,
        durable_steps: false,
        concurrent: true,
        has_query: mode == Mode::Message,
        not_before_ms: None,
    }
}

/// Runs a script, whose first line is `open` or `begin`.
pub(super) fn check(plan: &Plan, script: &str) {
    let mut run: Option<Run> = None;
    let mut told = String::new();
    let mut expected = String::new();
    let mut now_ms = BEGIN_MS;
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (event, wanted) = line.split_once("=>").unwrap_or((line, ""));
        let mut event = event.trim();
        if let Some((time, rest)) = event.strip_prefix('@').and_then(|rest| rest.split_once(' ')) {
            now_ms = BEGIN_MS + time.parse::<u64>().unwrap();
            event = rest;
        }
        let came = match &mut run {
            None => {
                let (begun, step) = Run::begin(plan.clone(), event == "open", now_ms);
                run.insert(begun).told(&Ok(step))
            }
            Some(run) => run.happen(event, now_ms),
        };
        told.push_str(&format!("{event} => {came}\n"));
        expected.push_str(&format!("{event} => {}\n", wanted.trim()));
    }
    assert!(told == expected, "\nexpected:\n{expected}\ncame:\n{told}");
}

/// A machine, and what is kept of it.
pub(super) struct Run {
    pub(super) machine: Machine,
    /// What is durable in any case.
    forced: (Plan, State),
}

impl Run {
    pub(super) fn begin(plan: Plan, is_open: bool, now_ms: u64) -> (Self, Step) {
        let (machine, step) = Machine::begin(plan, is_open, now_ms).unwrap();
        assert_eq!(step.journal, Journal::Forced);
        let forced = (machine.plan().clone(), machine.state().clone());
        (Self { machine, forced }, step)
    }

    pub(super) fn happen(&mut self, line: &str, now_ms: u64) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        let event = match words[..] {
            ["show", what] => return self.show(what),
            ["recover", what] => {
                let (plan, state) = if what == "lost" {
                    self.forced.clone()
                } else {
                    // As it comes back from the disk.
                    let text = serde_json::to_string(self.machine.state()).unwrap();
                    (self.machine.plan().clone(), serde_json::from_str(&text).unwrap())
                };
                self.machine = Machine::resume(plan, state);
                Event::Recovered
            }
            ["tick"] => Event::Tick,
            ["submit"] => Event::Submit,
            ["retry"] => Event::Retry,
            ["decided"] => Event::Decided(Ok(())),
            ["decided", branch, ref why @ ..] => {
                Event::Decided(Err((self.at(branch), why.join(" "))))
            }
            ["abort", ref why @ ..] => Event::Abort(why.join(" ")),
            ["enlist", branch] => {
                let mode = self.machine.plan().mode;
                Event::Enlist(plan(mode, branch).branches.remove(0))
            }
            ["resolve", "all", outcome] => Event::Resolve(Resolution::All(match outcome {
                "committed" => Outcome::Committed,
                "aborted" => Outcome::Aborted,
                _ => Outcome::Mixed,
            })),
            ["resolve", branch] => Event::Resolve(Resolution::Branch(self.at(branch))),
            [branch, op, answer, ref why @ ..] => self.answer(branch, op, answer, &why.join(" ")),
            _ => panic!("no event: {line}"),
        };
        let result = self.machine.step(event, now_ms, RANDOM);
        self.told(&result)
    }

    fn at(&self, branch: &str) -> u16 {
        let at = self.machine.plan().branches.iter().position(|other| other.id == branch);
        at.map_or(u16::MAX, |at| u16::try_from(at).unwrap())
    }

    fn answer(&self, branch: &str, op: &str, answer: &str, why: &str) -> Event {
        let (op, attempt) = op.split_once('#').unwrap_or((op, ""));
        let op = *Op::ALL.iter().find(|known| known.as_str() == op).expect("an operation");
        let at = (branch != "sender").then(|| self.at(branch));
        let state = match at {
            None => &self.machine.state().sender,
            Some(at) => &self.machine.state().branches[usize::from(at)],
        };
        let answer = match answer {
            "done" => Answer::Done,
            "readonly" => Answer::ReadOnly,
            "refused" => Answer::Refused(why.to_owned()),
            "working" => Answer::Working,
            "failed" => Answer::Failed(why.to_owned()),
            "away" => Answer::Away(why.to_owned()),
            "committed" => Answer::Heuristic(Heuristic::Committed),
            "aborted" => Answer::Heuristic(Heuristic::Aborted),
            "mixed" => Answer::Heuristic(Heuristic::Mixed),
            _ => panic!("no answer: {answer}"),
        };
        let attempt = attempt.parse().unwrap_or(state.attempts);
        Event::Answer { branch: at, op, attempt, answer }
    }

    fn show(&self, what: &str) -> String {
        let state = self.machine.state();
        match what {
            "attention" => state.attention.clone().unwrap_or_default(),
            "reason" => state.reason.clone().unwrap_or_default(),
            "cause" => state.cause.map_or_else(String::new, |cause| format!("{cause:?}")),
            "decision" => format!("{:?}", state.decision(self.machine.plan().mode)),
            branch => {
                state.branches[usize::from(self.at(branch))].error.clone().unwrap_or_default()
            }
        }
    }

    pub(super) fn told(&mut self, result: &Result<Step, Refused>) -> String {
        let step = match result {
            Ok(step) => step,
            Err(refused) => return format!("refused: {refused}"),
        };
        if step.journal == Journal::Forced {
            self.forced = (self.machine.plan().clone(), self.machine.state().clone());
        }
        let name = |at: u16| self.machine.plan().branches[usize::from(at)].id.as_str();
        let effects: Vec<String> = step
            .effects
            .iter()
            .map(|effect| match effect {
                Effect::Call { branch, op, attempt, until_ms } => {
                    let until = until_ms.map(|at| format!("<{}", at - BEGIN_MS));
                    let who = branch.map_or("sender", name);
                    format!("{who}/{op}#{attempt}{}", until.unwrap_or_default())
                }
                Effect::Decide { branches } => {
                    let names: Vec<&str> = branches.iter().map(|at| name(*at)).collect();
                    format!("decide({})", names.join(","))
                }
                Effect::Wake(at_ms) => format!("wake@{}", at_ms - BEGIN_MS),
                Effect::Ended(outcome) => format!("ended({outcome:?})"),
            })
            .collect();
        let journal = format!("{:?}", step.journal).to_lowercase();
        let phase: Phase = self.machine.state().phase;
        format!("{journal}: {}; {phase}", effects.join(" "))
    }
}
