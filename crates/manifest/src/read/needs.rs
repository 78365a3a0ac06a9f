//! `needs`: what must be up before a service starts.

use super::{KnownKind, Reader};
use crate::{
    Condition, Need,
    source::Mark,
    tree::{Node, Value},
};
use base::{Code, Diagnostic, ServiceName};
use std::collections::{BTreeMap, BTreeSet};

/// Who is needed, and where that stands.
pub(super) type Edge = (String, Mark);

impl Reader<'_> {
    pub(super) fn needs(&mut self, owner: &str, node: Option<&Node>) -> (Vec<Need>, Vec<Edge>) {
        let mut wanted: Vec<(&str, &Mark, Option<&Node>)> = Vec::new();
        match node.map(|node| &node.value) {
            Some(Value::List(items)) => {
                wanted
                    .extend(items.iter().filter_map(|item| Some((item.text()?, &item.mark, None))));
            }
            Some(Value::Map(entries)) => {
                wanted.extend(
                    entries
                        .iter()
                        .map(|entry| (entry.key.as_str(), &entry.key_mark, Some(&entry.value))),
                );
            }
            _ => {}
        }
        let (mut needs, mut edges) = (Vec::<Need>::new(), Vec::new());
        for (name, mark, condition) in wanted {
            let Some(kind) = self.known.get(name).map(|known| known.kind) else {
                self.unknown_service(name, mark);
                continue;
            };
            let Ok(service) = ServiceName::new(name) else { continue };
            if needs.iter().any(|need| need.service == service) {
                let message = format!("`{owner}` needs `{name}` twice");
                self.problems.error(
                    Code::DUPLICATE,
                    mark,
                    message,
                    "named again here",
                    "keep one of them",
                );
                continue;
            }
            edges.push((name.to_owned(), mark.clone()));
            let condition = self.condition(owner, name, kind, condition, mark);
            needs.push(Need { service, condition });
        }
        (needs, edges)
    }

    fn condition(
        &mut self,
        owner: &str,
        name: &str,
        kind: KnownKind,
        given: Option<&Node>,
        mark: &Mark,
    ) -> Condition {
        let at = given.map_or(mark, |node| &node.mark);
        let text = given.and_then(Node::text);
        let (message, label, help) = match (kind, text) {
            (KnownKind::Cron, _) => (
                format!("`{owner}` cannot need `{name}`"),
                "it runs by its schedule, perhaps never before",
                "remove it, or remove its `schedule`",
            ),
            (KnownKind::Job, Some("ready")) => (
                format!("`{owner}` cannot wait until `{name}` is ready"),
                "a job is never ready, it ends",
                "write `completed`, or move it to `services:`",
            ),
            (KnownKind::Service, Some("completed")) => (
                format!("`{owner}` cannot wait until `{name}` is completed"),
                "a service does not end",
                "write `ready`, or move it to `jobs:`",
            ),
            (_, Some("started")) => return Condition::Started,
            (KnownKind::Job, _) => return Condition::Completed,
            (KnownKind::Service, _) => return Condition::Ready,
        };
        self.problems.error(Code::BAD_VALUE, at, message, label, help);
        Condition::Started
    }

    /// Reports services that need each other in a circle, each circle once.
    pub(super) fn circles(&mut self, edges: &[(String, Vec<Edge>)]) {
        let graph: BTreeMap<&str, &[Edge]> =
            edges.iter().map(|(from, to)| (from.as_str(), to.as_slice())).collect();
        let mut done = BTreeSet::new();
        for (start, _) in edges {
            if done.contains(start.as_str()) {
                continue;
            }
            // The way from `start`, with the next edge to follow at each step.
            let mut way: Vec<(&str, usize)> = vec![(start, 0)];
            while let Some((at, next)) = way.pop() {
                let Some((to, mark)) = graph.get(at).and_then(|edges| edges.get(next)) else {
                    done.insert(at);
                    continue;
                };
                way.push((at, next + 1));
                if let Some(from) = way.iter().position(|(name, _)| name == to) {
                    let circle: Vec<&str> = way.iter().skip(from).map(|(name, _)| *name).collect();
                    self.circle(&circle, mark);
                } else if !done.contains(to.as_str()) {
                    way.push((to, 0));
                }
            }
        }
    }

    fn circle(&mut self, circle: &[&str], mark: &Mark) {
        let first = circle.first().copied().unwrap_or_default();
        let (message, label) = if circle.len() == 1 {
            (format!("`{first}` needs itself"), "remove it")
        } else {
            let round: Vec<&str> = circle.iter().copied().chain([first]).collect();
            (
                format!("services need each other in a circle: {}", round.join(" → ")),
                "this closes the circle",
            )
        };
        let help = "none of them could start first: remove one of these needs; calls back can go through the gateway";
        let problem = Diagnostic::error(Code::CYCLE, message).at(mark.place(), label);
        self.problems.add(if circle.len() == 1 { problem } else { problem.help(help) });
    }
}
