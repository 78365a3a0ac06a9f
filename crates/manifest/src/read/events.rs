//! Events: the broker, topics, who wants what, schedules, outboxes; and whether what they name is there.

pub(super) mod data;
mod declared;
mod outbox;
mod schedules;
mod subscribes;
mod topics;

pub(super) use declared::Declared;

use super::{Reader, entries};
use crate::{
    Coordination, DeadLetterRule, DeliveryRule, Events, RetryRule, Service,
    shape::{EventForm, events, names},
    source::Mark,
    suggest,
    tree::{Entry, Node},
};
use base::{Code, Diagnostic, ServiceName};
use std::time::Duration;

/// How long a service may take for one message when nothing is said.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Longest time that a service may take for one: the broker port's longest wait for an answer.
const TIMEOUT_MAX: Duration = Duration::from_secs(24 * 3_600);

/// What was read of events so far.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) all: Events,
    /// `topics.auto`.
    auto: Option<bool>,
    /// Topics that something refers to.
    named: Vec<Named>,
    /// `Subscription` resources: they may name a component of another file.
    pub(super) declared: Vec<Declared>,
    /// What each component for publish and subscribe connects to where it comes from.
    pub(super) connections: Vec<(String, String)>,
    /// Places of `outboxPublishPubsub`, by store.
    pub(super) outbox_marks: Vec<(String, Mark)>,
}

/// A topic that something refers to.
#[derive(Debug)]
struct Named {
    topic: String,
    mark: Mark,
    /// The topic of an outbox, with a placeholder.
    is_pattern: bool,
}

impl Reader<'_> {
    /// All that the file itself says of events.
    pub(super) fn events(&mut self, tree: &Node, services: &[Service]) -> Draft {
        let mut draft = Draft::default();
        if let Some(node) = tree.at(&["engines", "broker"]) {
            draft.all.broker = self.broker(node);
            draft.all.broker_place = Some(node.mark.place());
        }
        self.topics(tree.get("topics"), &mut draft);
        for service in services {
            let is_own = |entry: &&Entry| entry.key == service.name.as_str();
            let found = entries(tree).filter(|(is_job, _)| !is_job).map(|(_, entry)| entry);
            if let Some(entry) = found.filter(is_own).find(|entry| self.is_first(entry)) {
                self.subscribes(entry, service, &mut draft);
                self.outbox(entry, service, &mut draft);
            }
        }
        self.schedules(tree.get("schedules"), &mut draft);
        draft
    }

    /// What needs all of the file: whether what is named is there.
    pub(super) fn events_done(
        &mut self,
        mut draft: Draft,
        services: &[Service],
        shared: &Coordination,
        has_components: bool,
    ) -> Events {
        let is_daprs = has_components || self.context.dapr;
        draft.all.auto_topics = draft.auto.unwrap_or(is_daprs);
        if !draft.all.auto_topics {
            self.known_topics(&draft);
        }
        self.groups(&draft, services);
        self.declared(&mut draft, services);
        self.state_outboxes(&mut draft, shared);
        draft.all
    }

    /// Reports topics that nobody makes.
    fn known_topics(&mut self, draft: &Draft) {
        let known: Vec<&str> = draft.all.topics.iter().map(|topic| topic.name.as_str()).collect();
        for Named { topic, mark, is_pattern } in &draft.named {
            let is_dead = |name: &&str| topic.strip_suffix(".dead") == Some(*name);
            let is_there = match is_pattern {
                true => known.iter().any(|name| fits(name, topic)),
                false => known.contains(&topic.as_str()) || known.iter().any(is_dead),
            };
            // What is refused as a topic is not wrong a second time where it is named.
            if !is_there && !self.refused_topics.contains(topic) {
                unknown_topic(self.problems, topic, *is_pattern, mark, &known);
            }
        }
    }

    /// Reports two subscriptions that would take each other's messages.
    fn groups(&mut self, draft: &Draft, services: &[Service]) {
        let app_id = |service: &ServiceName| {
            let found = services.iter().find(|known| known.name == *service);
            found.map_or_else(|| service.to_string(), |known| known.api.app_id.clone())
        };
        let mut seen: Vec<(String, String, &ServiceName)> = Vec::new();
        for one in &draft.all.subscriptions {
            let (what, group) = match &one.from {
                crate::Subscribed::Topic(topic) => {
                    (topic.clone(), one.group.clone().unwrap_or_else(|| app_id(&one.service)))
                }
                crate::Subscribed::Streams { name, .. } => (String::new(), name.clone()),
            };
            let first = seen.iter().find(|(topic, known, _)| *topic == what && *known == group);
            let (Some((_, _, first)), Some(place)) = (first, &one.place) else {
                seen.push((what, group, &one.service));
                continue;
            };
            let message = match what.as_str() {
                "" => format!("two subscriptions to streams are called `{group}`"),
                topic => format!("two subscriptions to topic `{topic}` have the group `{group}`"),
            };
            let label = format!("service `{first}` has it already");
            let problem = Diagnostic::error(Code::DUPLICATE, message).at(place.clone(), label);
            let help = "each message goes to one of a group only; write another `group:`";
            self.problems.add(problem.help(help));
        }
    }

    /// `retry`; what is not said is as in `base`.
    fn retry_rule(&mut self, node: Option<&Node>, base: RetryRule) -> Option<RetryRule> {
        let node = node?;
        let max = node.get("max").and_then(Node::text).and_then(events::attempts);
        let pauses = node.get("backoff").and_then(Node::text);
        let pauses = pauses.and_then(|text| events::pauses(text).ok());
        let (first, longest) = pauses.unwrap_or((base.first, base.longest));
        Some(RetryRule { max: max.unwrap_or(base.max), first, longest })
    }

    /// `dead_letter`; `own` is the topic that it stands at.
    fn dead_letter(
        &mut self,
        node: Option<&Node>,
        own: &str,
        draft: &mut Draft,
    ) -> Option<DeadLetterRule> {
        let node = node?;
        match node.text()? {
            "true" => Some(DeadLetterRule::Own),
            "false" => Some(DeadLetterRule::Nowhere),
            topic if topic == own => {
                let message =
                    format!("dead letters of topic `{own}` would go to where they are from");
                let label = "a message that cannot be delivered would come again without end";
                let help = format!("write `true` for `{own}.dead`, or the name of another topic");
                self.problems.error(Code::BAD_VALUE, &node.mark, message, label, &help);
                None
            }
            topic => {
                self.name_topic(node, draft);
                names::topic(topic).is_ok().then(|| DeadLetterRule::Topic(topic.to_owned()))
            }
        }
    }

    /// Notes a topic that a node names, to be looked for when all are known.
    pub(super) fn name_topic(&mut self, node: &Node, draft: &mut Draft) {
        let Some(text) = node.text() else { return };
        // What is no name was told by the check.
        if names::topic(text).is_ok() {
            let (topic, mark) = (text.to_owned(), node.mark.clone());
            draft.named.push(Named { topic, mark, is_pattern: false });
        }
    }

    /// `timeout`, within its bounds.
    fn delivery_timeout(&mut self, node: Option<&Node>) -> Duration {
        let (Some(asked), Some(node)) = (super::values::duration(node), node) else {
            return TIMEOUT;
        };
        if asked.is_zero() || asked > TIMEOUT_MAX {
            let message = "this cannot be a `timeout`";
            let label = "must be longer than 0 and at most 1d";
            self.problems.error(Code::BAD_VALUE, &node.mark, message, label, "");
            return TIMEOUT;
        }
        asked
    }
}

/// `to`, or the short form: a way without a condition.
fn way(node: &Node) -> Option<DeliveryRule> {
    let (method, path) = events::way(node.text()?).ok()?;
    Some(DeliveryRule { when: None, method: method.to_owned(), path })
}

/// Whether `name` is what a topic with a placeholder may become.
fn fits(name: &str, pattern: &str) -> bool {
    let Some((before, after)) = pattern.split_once(events::AGGREGATE_TYPE) else {
        return name == pattern;
    };
    name.len() > before.len() + after.len() && name.starts_with(before) && name.ends_with(after)
}

fn unknown_topic(
    problems: &mut crate::problems::Problems,
    topic: &str,
    is_pattern: bool,
    mark: &Mark,
    known: &[&str],
) {
    const SHOWN_MAX: usize = 20;
    let message = match is_pattern {
        false => format!("there is no topic `{topic}`"),
        true => format!("there is no topic that `{topic}` could mean"),
    };
    let problem = Diagnostic::error(Code::BAD_VALUE, message);
    let near = suggest::nearest(topic, known.iter().copied()).filter(|_| !is_pattern);
    let problem = match near {
        Some(near) => problem.at(mark.place(), format!("did you mean `{near}`?")),
        None => problem.at(mark.place(), "not in the file"),
    };
    let there = match known {
        [] => String::new(),
        some => format!(
            "; there are {}",
            some.iter().take(SHOWN_MAX).copied().collect::<Vec<_>>().join(", ")
        ),
    };
    let help = match (near, is_pattern) {
        (Some(_), _) => None,
        (None, true) => Some(format!(
            "add its topics under `topics:`, or write `topics: {{ auto: true }}`{there}"
        )),
        (None, false) => Some(format!(
            "write `topics: {{ {topic}: {{}} }}` at the top level, or `topics: {{ auto: true }}`{there}"
        )),
    };
    problems.add(match help {
        Some(help) => problem.help(help),
        None => problem,
    });
}

/// Whether a text has the form of a condition on events; what is wrong with it otherwise, and where.
pub(super) fn condition(text: &str, mark: &Mark) -> Result<(), (Mark, String)> {
    use crate::shape::Misfit;
    match EventForm::Condition.check(text) {
        Ok(()) => Ok(()),
        Err(Misfit::Part { why, at }) => Err((mark.inside(text, at), why)),
        Err(Misfit::Value(why)) => Err((mark.clone(), why)),
        Err(Misfit::Type) => Err((mark.clone(), String::new())),
    }
}
