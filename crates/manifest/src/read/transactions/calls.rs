//! The calls of a step.

use super::{Ground, places::Known};
use crate::{
    read::Reader,
    tree::{Entry, Node},
};
use base::{Code, Diagnostic};
use logic::tx::{
    Mode, Op,
    target::{self, Call},
};
use std::collections::BTreeMap;

/// All keys that say a call, but for [`target::PARTICIPANT`] and [`target::ONE_PHASE`].
pub(super) const CALLS: &[&str] = &[
    "call",
    "undo",
    "try",
    "confirm",
    "cancel",
    "prepare",
    "can_commit",
    "pre_commit",
    "commit",
    "rollback",
];

impl Reader<'_> {
    /// The calls of a step. `None` when something is wrong with them, which was reported.
    pub(super) fn calls(
        &mut self,
        node: &Node,
        id: &str,
        ground: &Ground<'_>,
        known: &Known<'_>,
    ) -> Option<BTreeMap<Op, Call>> {
        let (mode, wanted_keys) = (ground.mode, target::calls(ground.mode));
        let is_known = |key: &str| target::modes_of(key).contains(&plain(mode));
        let mut good = true;
        for key in CALLS.iter().chain(&[target::PARTICIPANT, target::ONE_PHASE]) {
            if let (Some(entry), false) = (node.entry(key), is_known(key)) {
                self.of_another_mode(entry, id, ground);
                good = false;
            }
        }
        let mut all = BTreeMap::new();
        let together = node.entry(target::PARTICIPANT).filter(|_| is_known(target::PARTICIPANT));
        let mut missing = Vec::new();
        for (key, op) in wanted_keys {
            let said = match (node.entry(key), together) {
                (Some(entry), Some(_)) => {
                    let message = format!("step `{id}` says twice where `{op}` goes");
                    let label = "`participant` stands for all operations";
                    let help = "remove one of them";
                    self.problems.error(Code::BAD_VALUE, &entry.key_mark, message, label, help);
                    good = false;
                    continue;
                }
                (Some(entry), None) | (None, Some(entry)) => entry,
                (None, None) => {
                    missing.push((*key, *op));
                    continue;
                }
            };
            match self.placed(&said.value, known) {
                Some(call) => drop(all.insert(*op, call)),
                None => good = false,
            }
        }
        if good {
            // Undoing is the only thing that may be nothing.
            missing.retain(|(_, op)| *op != Op::Compensate);
            good = missing.is_empty();
            self.missing_calls(node, id, ground, &missing);
        }
        if let Some(entry) = node.entry(target::ONE_PHASE).filter(|_| is_known(target::ONE_PHASE)) {
            match entry.value.text() {
                Some("false") => {}
                Some("true") => {
                    let call = all.get(&Op::Prepare).cloned();
                    all.extend(call.map(|call| (Op::CommitOnePhase, call)));
                }
                _ => match self.placed(&entry.value, known) {
                    Some(call) => drop(all.insert(Op::CommitOnePhase, call)),
                    None => good = false,
                },
            }
        }
        good.then_some(all)
    }

    /// A call whose service is there and whose place holders mean something.
    fn placed(&mut self, node: &Node, known: &Known<'_>) -> Option<Call> {
        let call = self.target(node)?;
        self.places_of_call(node, &call, known).then_some(call)
    }

    fn of_another_mode(&mut self, entry: &Entry, id: &str, ground: &Ground<'_>) {
        let (key, name, mode) = (&entry.key, ground.name, ground.mode);
        let message = format!("step `{id}` of transaction `{name}` cannot have `{key}`");
        let modes = target::modes_of(key);
        let modes = modes.iter().map(|mode| mode.as_str()).collect::<Vec<_>>().join(" or ");
        let label = format!("its mode is {mode}, and `{key}` is of {modes}");
        let help = wanted(mode);
        self.problems.error(Code::BAD_VALUE, &entry.key_mark, message, label, &help);
    }

    fn missing_calls(
        &mut self,
        node: &Node,
        id: &str,
        ground: &Ground<'_>,
        missing: &[(&str, Op)],
    ) {
        if missing.is_empty() {
            return;
        }
        let keys: Vec<String> = missing.iter().map(|(key, _)| format!("`{key}`")).collect();
        let message =
            format!("step `{id}` of transaction `{}` has no {}", ground.name, keys.join(", no "));
        let mark = node.get("id").map_or(&node.mark, |id| &id.mark);
        let problem = Diagnostic::error(Code::BAD_VALUE, message).at(mark.place(), "");
        let lines: Vec<String> =
            missing.iter().map(|(key, _)| format!("`{key}: POST service/path`")).collect();
        self.problems.add(problem.help(format!(
            "write {}{}",
            lines.join(", "),
            or_one(ground.mode)
        )));
    }
}

/// Three phases are one mode where keys are concerned.
fn plain(mode: Mode) -> Mode {
    match mode {
        Mode::ThreePhaseClassic => Mode::ThreePhase,
        mode => mode,
    }
}

/// What to write in a step of this mode.
pub(super) fn wanted(mode: Mode) -> String {
    let keys: Vec<String> = target::calls(mode).iter().map(|(key, _)| format!("`{key}`")).collect();
    format!("write {}{}", keys.join(", "), or_one(mode))
}

/// What may be written instead, beginning with a comma; may be empty.
fn or_one(mode: Mode) -> &'static str {
    match target::modes_of(target::PARTICIPANT).contains(&plain(mode)) {
        true => ", or `participant: POST service/path` for all operations",
        false => "",
    }
}
