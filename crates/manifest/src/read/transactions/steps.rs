//! `steps` of a transaction: what each does, and in which order.

use super::{
    CALL_TIME_MAX, Ground, TIME_MAX,
    calls::{CALLS, wanted},
    is_map,
    order::{Before, above},
    places::Known,
};
use crate::{
    StepWork, TransactionStep,
    read::{
        Reader,
        events::{Draft, data},
    },
    tree::{Entry, Node, Value},
};
use base::Code;
use logic::tx::{BRANCHES_MAX, Mode, target};

/// Longest name of a step in bytes.
const ID_LEN_MAX: usize = 64;

/// What the sender of a message is called where it is asked, as in DTM.
const SENDER: &str = "00";

/// Keys that say what is done with the decision.
const JOINS: &[&str] = &["publish", "put", "delete", "holds"];

impl Reader<'_> {
    pub(super) fn steps(
        &mut self,
        entry: &Entry,
        ground: &Ground<'_>,
        draft: &mut Draft,
    ) -> Vec<TransactionStep> {
        let name = ground.name;
        let said = entry.value.entry("steps");
        let nodes = said.map(|said| said.value.items()).unwrap_or_default();
        let is_readable = said.is_none_or(|said| matches!(said.value.value, Value::List(_)));
        if nodes.is_empty() && is_readable {
            let message = format!("transaction `{name}` has no steps");
            let help = match ground.mode {
                Mode::Saga => {
                    "write `steps: [{ call: POST service/path, undo: POST service/path }]`"
                }
                Mode::Tcc | Mode::TwoPhase | Mode::ThreePhase | Mode::ThreePhaseClassic => {
                    "write `steps: [{ participant: POST service/path }]`"
                }
                Mode::Message => "write `steps: [{ call: POST service/path }]`",
            };
            let mark = said.map_or(&entry.key_mark, |said| &said.key_mark);
            self.problems.error(Code::BAD_VALUE, mark, message, "", help);
        }
        if let (Some(first), true) = (nodes.get(BRANCHES_MAX), nodes.len() > BRANCHES_MAX) {
            let message = format!("transaction `{name}` has {} steps", nodes.len());
            let label = format!("{BRANCHES_MAX} are allowed");
            let help = "let a step begin a transaction of its own";
            self.problems.error(Code::BAD_VALUE, &first.mark, message, label, help);
        }
        let mut before = self.names_of(nodes, ground);
        let mut steps = Vec::new();
        for (at, node) in nodes.iter().enumerate().filter(|(_, node)| is_map(node)) {
            steps.extend(self.step(node, at, ground, &mut before, draft));
        }
        steps
    }

    /// Notes the names of all steps; reports those that cannot be names or are used twice.
    fn names_of(&mut self, nodes: &[Node], ground: &Ground<'_>) -> Before {
        let mut before = Before {
            is_graph: nodes.iter().any(|node| node.get("after").is_some()),
            ..Before::default()
        };
        for (at, node) in nodes.iter().enumerate() {
            let id = id_of(node, at);
            let mark = node.get("id").map_or(&node.mark, |id| &id.mark);
            if let Err(why) = fits(&id) {
                let message = format!("`{id}` cannot be the name of a step");
                self.problems.error(Code::BAD_VALUE, mark, message, why, "");
            }
            if before.all.iter().any(|(known, _)| *known == id) {
                let message =
                    format!("two steps of transaction `{}` are called `{id}`", ground.name);
                let help = "call one of them differently";
                self.problems.error(Code::DUPLICATE, mark, message, "used again here", help);
            }
            let is_called = !JOINS.iter().any(|key| node.get(key).is_some());
            before.all.push((id, is_called));
        }
        before
    }

    fn step(
        &mut self,
        node: &Node,
        at: usize,
        ground: &Ground<'_>,
        before: &mut Before,
        draft: &mut Draft,
    ) -> Option<TransactionStep> {
        let id = id_of(node, at);
        let join = self.kind(node, &id, ground)?;
        let after = match join {
            None => self.after(node, at, ground, before),
            Some(_) => Vec::new(),
        };
        let above = match join {
            // All that is called has answered when the decision is taken.
            Some(_) => before
                .all
                .iter()
                .filter(|(_, is_called)| *is_called)
                .map(|(id, _)| id.clone())
                .collect(),
            None => above(&after, before),
        };
        let known = Known {
            mode: ground.mode,
            own: &id,
            all: &before.all,
            above: &above,
            joins: join.is_some(),
        };
        let work = match join {
            Some(key) => {
                for key in ["after", "timeout", "retry"] {
                    self.senseless(node, key, &id, "it is done with the decision");
                }
                self.join(node, key, &id, ground, &known, draft).map(StepWork::Join)
            }
            None => self.calls(node, &id, ground, &known).map(StepWork::Calls),
        };
        if !matches!(join, Some("publish")) {
            self.senseless(node, "key", &id, "only messages have a key");
        }
        if let Some(body) = node.get("body") {
            self.places_of_value(body, &known);
        }
        if !matches!(ground.mode, Mode::Tcc | Mode::ThreePhase | Mode::ThreePhaseClassic) {
            let why = format!("nothing is reserved in a transaction whose mode is {}", ground.mode);
            self.senseless(node, "reserve", &id, &why);
        }
        if join.is_none() {
            before.above.insert(id.clone(), above);
            before.last = Some(id.clone());
        }
        let time = |reader: &mut Self, key: &str, longest| {
            node.get(key).and_then(|node| reader.time(node, key, longest))
        };
        Some(TransactionStep {
            after,
            work: work?,
            body: node.get("body").and_then(data::json_value),
            timeout: time(self, "timeout", CALL_TIME_MAX),
            retry: node.get("retry").map(|retry| self.pauses(Some(retry), ground.retry)),
            reserve: time(self, "reserve", TIME_MAX),
            place: Some(node.get("id").map_or(&node.mark, |id| &id.mark).place()),
            id,
        })
    }

    /// Which key says what is done with the decision; inside `None`: it is called. `None` when it says two things, or nothing, which
    /// was reported.
    fn kind(&mut self, node: &Node, id: &str, ground: &Ground<'_>) -> Option<Option<&'static str>> {
        let has = |key: &&&str| node.get(key).is_some();
        let joins: Vec<&'static str> = JOINS.iter().filter(has).copied().collect();
        let calls =
            CALLS.iter().chain(&[target::PARTICIPANT, target::ONE_PHASE]).find(|key| has(key));
        let name = ground.name;
        let (first, second) = match (joins.as_slice(), calls) {
            ([], Some(_)) => return Some(None),
            ([one], None) if ground.mode == Mode::Saga => return Some(Some(one)),
            ([one], None) => {
                let entry = node.entry(one)?;
                let message = format!("step `{id}` of transaction `{name}` cannot have `{one}`");
                let label = format!("its mode is {}, and only sagas have it", ground.mode);
                let help = "remove it, or write `mode: saga`";
                self.problems.error(Code::BAD_VALUE, &entry.key_mark, message, label, help);
                return None;
            }
            ([], None) => {
                let message = format!("step `{id}` of transaction `{name}` does nothing");
                let help = match ground.mode {
                    Mode::Saga => {
                        "write `call: POST service/path`, or one of publish, put, delete, holds"
                            .to_owned()
                    }
                    mode => wanted(mode),
                };
                self.problems.error(Code::BAD_VALUE, &node.mark, message, "", &help);
                return None;
            }
            ([first, second, ..], _) => (*first, *second),
            ([one], Some(call)) => (*one, *call),
        };
        let entry = node.entry(second)?;
        let message =
            format!("step `{id}` of transaction `{name}` has both `{first}` and `{second}`");
        let help = "make two steps of it";
        self.problems.error(Code::BAD_VALUE, &entry.key_mark, message, "", help);
        None
    }

    pub(super) fn senseless(&mut self, node: &Node, key: &str, id: &str, why: &str) {
        if let Some(entry) = node.entry(key) {
            let message = format!("`{key}` means nothing to step `{id}`");
            self.problems.error(Code::BAD_VALUE, &entry.key_mark, message, why, "remove it");
        }
    }
}

pub(super) fn id_of(node: &Node, at: usize) -> String {
    let said = node.get("id").and_then(Node::text).map(str::to_owned);
    said.unwrap_or_else(|| format!("{:02}", at + 1))
}

fn fits(id: &str) -> Result<(), String> {
    if id.is_empty() || id.len() > ID_LEN_MAX {
        return Err(format!("must have 1 to {ID_LEN_MAX} bytes"));
    }
    if id == SENDER {
        return Err("`00` is the sender of a message".to_owned());
    }
    match id.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))) {
        Some(bad) => {
            Err(format!("must not have {bad:?} in it: names have letters, digits, `_` and `-`"))
        }
        None => Ok(()),
    }
}
