//! What is done exactly with the decision: messages, state, locks.

use super::{Ground, is_map, places::Known};
use crate::{
    StateKind, StateStore, TransactionJoin,
    read::{Reader, events::Draft, values::text},
    suggest,
    tree::{Entry, Node},
};
use base::{Code, Diagnostic};

impl Reader<'_> {
    /// `publish`, `put`, `delete` or `holds`, whichever `key` is. `None` when something is wrong with it, which was reported.
    pub(super) fn join(
        &mut self,
        node: &Node,
        key: &str,
        id: &str,
        ground: &Ground<'_>,
        known: &Known<'_>,
        draft: &mut Draft,
    ) -> Option<TransactionJoin> {
        let entry = node.entry(key)?;
        if key == "publish" {
            self.name_topic(&entry.value, draft);
            let key = node.get("key").map(|key| self.with_places(key, known));
            let topic = entry.value.text().filter(|text| crate::shape::names::topic(text).is_ok());
            return Some(TransactionJoin::Publish {
                topic: topic?.to_owned(),
                key: match key {
                    Some(key) => Some(key?),
                    None => None,
                },
            });
        }
        let inner = Some(&entry.value).filter(|node| is_map(node))?;
        let has_body = key == "put";
        if !has_body && let Some(body) = node.entry("body") {
            let message = format!("`body` means nothing to step `{id}`");
            let label = format!("nothing is sent with `{key}`");
            self.problems.error(Code::BAD_VALUE, &body.key_mark, message, label, "remove it");
        }
        if key == "holds" {
            let there: Vec<&str> = ground.shared.locks.iter().map(|it| it.name.as_str()).collect();
            let store = self.store_of(entry, "locks", &there, &there);
            let resource = self.required(entry, "lock", known);
            let token = self.required(entry, "token", known);
            return Some(TransactionJoin::Holds {
                store: store?,
                resource: resource?,
                token: token?,
            });
        }
        let store = self.store_of(entry, "state", &stores(ground, true), &stores(ground, false));
        let store = store.filter(|store| self.is_durable(inner, store, ground));
        let place = self.required(entry, "key", known);
        let etag = match inner.get("etag") {
            // An empty one means that nothing may be there.
            Some(etag) if etag.text().is_none_or(str::is_empty) => Some(String::new()),
            Some(etag) => Some(self.with_places(etag, known)?),
            None => None,
        };
        if let (true, Some("")) = (key == "delete", etag.as_deref()) {
            let message = format!("step `{id}` deletes what must not be there");
            let mark = inner.entry("etag").map_or(&entry.key_mark, |etag| &etag.key_mark);
            self.problems.error(Code::BAD_VALUE, mark, message, "", "remove `etag`");
            return None;
        }
        let (store, key_text) = (store?, place?);
        Some(match key {
            "put" => TransactionJoin::Put { store, key: key_text, etag },
            _ => TransactionJoin::Delete { store, key: key_text, etag },
        })
    }

    /// A text that must be there, with its place holders checked.
    fn required(&mut self, entry: &Entry, key: &str, known: &Known<'_>) -> Option<String> {
        match entry.value.get(key) {
            Some(node) => self.with_places(node, known),
            None => {
                let message = format!("`{}` has no `{key}`", entry.key);
                let help = format!("write `{}: {{ {key}: … }}`", entry.key);
                self.problems.error(Code::BAD_VALUE, &entry.key_mark, message, "", &help);
                None
            }
        }
    }

    /// A text with its place holders checked; `None` when they mean nothing, which was reported.
    fn with_places(&mut self, node: &Node, known: &Known<'_>) -> Option<String> {
        let is_good = self.places_of_value(node, known);
        text(Some(node)).filter(|_| is_good)
    }

    /// The store that is meant: the named one of `known`, or the only one of `fit`.
    fn store_of(
        &mut self,
        entry: &Entry,
        kind: &str,
        known: &[&str],
        fit: &[&str],
    ) -> Option<String> {
        let there = match fit {
            [] => format!("the file has none under `{kind}:`"),
            some => format!("there are {}", some.join(", ")),
        };
        let Some(node) = entry.value.get("store") else {
            if let [one] = fit {
                return Some((*one).to_owned());
            }
            let message = format!("`{}` does not say which store", entry.key);
            let help = format!("write `store: NAME`; {there}");
            self.problems.error(Code::BAD_VALUE, &entry.key_mark, message, "", &help);
            return None;
        };
        let name = node.text()?;
        if known.contains(&name) {
            return Some(name.to_owned());
        }
        let problem = Diagnostic::error(
            Code::BAD_VALUE,
            format!("there is no store `{name}` of {}", word(kind)),
        );
        self.problems.add(match suggest::nearest(name, known.iter().copied()) {
            Some(near) => problem.at(node.mark.place(), format!("did you mean `{near}`?")),
            None => problem.at(node.mark.place(), "not in the file").help(there),
        });
        None
    }

    /// Whether a store keeps what it is given; reported when it does not.
    fn is_durable(&mut self, node: &Node, store: &str, ground: &Ground<'_>) -> bool {
        let found = ground.shared.state.iter().find(|known| known.name == store);
        if !found.is_some_and(|found| matches!(found.kind, StateKind::Cache { .. })) {
            return true;
        }
        let message = format!("store `{store}` cannot take part in a transaction");
        let mark = node.get("store").map_or(&node.mark, |node| &node.mark);
        let help = "write a store without `cache: true`";
        self.problems.error(Code::BAD_VALUE, mark, message, "it is a cache", help);
        false
    }
}

/// Names of stores of state, with caches or without.
fn stores<'a>(ground: &Ground<'a>, with_caches: bool) -> Vec<&'a str> {
    let fits = |store: &&StateStore| with_caches || store.kind == StateKind::Durable;
    ground.shared.state.iter().filter(fits).map(|store| store.name.as_str()).collect()
}

fn word(kind: &str) -> &'static str {
    if kind == "locks" { "locks" } else { "state" }
}
