//! `Subscription` resources, versions 1 and 2.

use super::{Reader, texts};
use crate::{
    source::Mark,
    tree::{Entry, Node},
};
use base::Code;
use std::time::Duration;

/// Most messages at once when a bulk subscription does not say, as there.
const BULK_MAX: usize = 100;

/// How long messages wait for more when a bulk subscription does not say, as there.
const BULK_WAIT: Duration = Duration::from_secs(1);

/// Keys of `spec` that have a meaning.
const KNOWN: &[&str] =
    &["topic", "pubsubname", "route", "routes", "deadLetterTopic", "bulkSubscribe", "metadata"];

/// A text and where it stands.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) text: String,
    pub(crate) mark: Mark,
}

/// A subscription to a topic of a component.
#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) name: String,
    pub(crate) name_mark: Mark,
    pub(crate) pubsub: Said,
    pub(crate) topic: Said,
    /// Conditions, which may be empty, and paths.
    pub(crate) rules: Vec<(Option<Said>, String)>,
    pub(crate) dead_letter: Option<Said>,
    /// Many at once: how many, and how long they wait.
    pub(crate) bulk: Option<(usize, Duration)>,
    /// `rawPayload`.
    pub(crate) raw: bool,
    /// App ids; empty for all.
    pub(crate) scopes: Vec<String>,
}

impl Reader<'_> {
    pub(super) fn subscription(&mut self, node: &Node) {
        let Some((name, name_mark)) = self.name(node) else { return };
        let none = Node::map(&node.mark, Vec::new());
        let spec = node.get("spec").unwrap_or(&none);
        let (topic, pubsub) = (said(spec.get("topic")), said(spec.get("pubsubname")));
        let (Some(topic), Some(pubsub)) = (topic, pubsub) else {
            let message = format!("the subscription `{name}` does not say to what");
            let help = "write `spec: { pubsubname: …, topic: … }`";
            return self.problems.error(Code::BAD_VALUE, &name_mark, message, "", help);
        };
        for entry in spec.entries().iter().filter(|entry| !KNOWN.contains(&entry.key.as_str())) {
            let message = format!("`spec.{}` of a Subscription is not honoured", entry.key);
            self.ignored(&entry.key_mark, message, "has no effect here", "");
        }
        let rules = rules(spec);
        if rules.is_empty() {
            let message = format!("the subscription `{name}` leads nowhere");
            let help = "write `route: /path`, in version 2 `routes: { default: /path }`";
            return self.ignored(&name_mark, message, "it has no route", help);
        }
        let bulk = spec.get("bulkSubscribe").filter(|bulk| is_true(bulk.get("enabled")));
        let bulk = bulk.map(|bulk| {
            let most = whole(bulk.get("maxMessagesCount")).and_then(|most| most.try_into().ok());
            let wait = whole(bulk.get("maxAwaitDurationMs")).map(Duration::from_millis);
            (most.unwrap_or(BULK_MAX), wait.unwrap_or(BULK_WAIT))
        });
        let metadata = spec.get("metadata").map(Node::entries).unwrap_or_default();
        let is_raw = |entry: &&Entry| entry.key.eq_ignore_ascii_case("rawPayload");
        let raw = metadata.iter().find(is_raw).is_some_and(|entry| is_true(Some(&entry.value)));
        self.found.subscriptions.push(Subscription {
            name,
            name_mark,
            pubsub,
            topic,
            rules,
            dead_letter: said(spec.get("deadLetterTopic")),
            bulk,
            raw,
            scopes: texts(node.get("scopes")),
        });
    }
}

/// The routes in the order in which they are tried, each with a path that begins with a slash.
fn rules(spec: &Node) -> Vec<(Option<Said>, String)> {
    let path = |node: Option<&Node>| {
        let text = node.and_then(Node::text)?.trim();
        let path = text.strip_prefix('/').unwrap_or(text);
        (!text.is_empty()).then(|| format!("/{path}"))
    };
    let rules = spec.at(&["routes", "rules"]).map(Node::items).unwrap_or_default();
    let rules = rules.iter().filter_map(|rule| {
        // Without a condition it always holds.
        Some((said(rule.get("match")), path(rule.get("path"))?))
    });
    let last = [spec.at(&["routes", "default"]), spec.get("route")];
    let last = last.into_iter().filter_map(|node| Some((None, path(node)?)));
    rules.chain(last).collect()
}

fn said(node: Option<&Node>) -> Option<Said> {
    let node = node?;
    let text = node.text()?.trim();
    (!text.is_empty()).then(|| Said { text: text.to_owned(), mark: node.mark.clone() })
}

fn is_true(node: Option<&Node>) -> bool {
    node.and_then(Node::text).is_some_and(|text| text.eq_ignore_ascii_case("true"))
}

/// A number above 0; others mean the default, as there.
fn whole(node: Option<&Node>) -> Option<u64> {
    node?.text()?.parse().ok().filter(|number| *number > 0)
}
