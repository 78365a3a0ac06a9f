//! Components for publish and subscribe, and those that call at times.

use super::{Taker, quoted};
use crate::{
    MissedRuns, PubSub, RetryRule, Scheduled, ScheduledAction, Scopes, StateOutbox,
    dapr::Component,
    read::KnownKind,
    shape::{events, names},
};
use base::{Code, ServiceName};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// Metadata that has a meaning. `topicPrefix` is ours.
const OF_PUBSUB: &[&str] = &[
    "consumerID",
    "publishingScopes",
    "subscriptionScopes",
    "allowedTopics",
    "protectedTopics",
    "topicPrefix",
];

/// What in `consumerID` would tell the instances of an app apart.
const OF_INSTANCES: &[&str] = &["{uuid}", "{podName}"];

/// Messages in the memory of one process, there.
const MEMORY: &str = "pubsub.in-memory";

/// How long an app may take for a call of a binding.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

impl Taker<'_, '_> {
    pub(super) fn pubsub(&mut self, component: &Component, scopes: Scopes) {
        if component.kind != MEMORY {
            self.served_here(component, OF_PUBSUB);
        }
        let (connection, prefix) = (connection(component), self.topic_prefix(component));
        self.shared_topics(component, &connection, &prefix);
        let pubsub = PubSub {
            name: component.name.clone(),
            scopes,
            allowed: listed(component.value("allowedTopics")),
            protected: listed(component.value("protectedTopics")),
            publishing: self.by_app(component, "publishingScopes"),
            subscribing: self.by_app(component, "subscriptionScopes"),
            group: self.group(component),
            prefix,
            origin: Self::origin(component),
        };
        match self.events.all.pubsubs.iter_mut().find(|known| known.name == pubsub.name) {
            None => {
                self.events.connections.push((pubsub.name.clone(), connection));
                self.events.all.pubsubs.push(pubsub);
            }
            Some(known) => {
                let (scopes, origin) = (known.scopes.clone(), known.origin.clone());
                let same = PubSub { scopes, origin, ..pubsub.clone() };
                if *known == same {
                    known.scopes.add(pubsub.scopes);
                } else {
                    let first = known.origin.clone();
                    self.differs(component, &first);
                }
            }
        }
    }

    /// Tells that two components have the same topics here, which are apart where they come from.
    fn shared_topics(&mut self, component: &Component, connection: &str, prefix: &str) {
        let events = &*self.events;
        let mut others = events.connections.iter().filter(|(name, other)| {
            let known = events.all.pubsubs.iter().find(|known| known.name == *name);
            *name != component.name
                && other != connection
                && known.is_some_and(|known| known.prefix == prefix)
        });
        let Some((other, _)) = others.next() else { return };
        let message =
            format!("the components `{other}` and `{}` share their topics", component.name);
        let help = "`topicPrefix` in the metadata of one keeps them apart";
        self.ignored(&component.kind_mark, &message, "one engine serves both", help);
    }

    /// The consumer group; `None` for the app id.
    fn group(&mut self, component: &Component) -> Option<String> {
        let item = component.item("consumerID")?;
        let text = item.value.as_deref().unwrap_or_default().trim();
        if text.is_empty() || text == "{appID}" {
            return None;
        }
        if OF_INSTANCES.iter().any(|placeholder| text.contains(placeholder)) {
            let message = format!("`consumerID: {text}` is not honoured");
            let label = "the instances of an app share its messages here";
            self.ignored(&item.mark, &message, label, "the app id is used");
            return None;
        }
        let text = text.replace("{namespace}", &self.reader.system);
        if let Err(why) = names::group(&text.replace("{appID}", "x")) {
            let problems = &mut *self.reader.problems;
            let message = "this cannot be a `consumerID`";
            problems.error(Code::BAD_VALUE, &item.mark, message, why, "");
            return None;
        }
        Some(text)
    }

    fn topic_prefix(&mut self, component: &Component) -> String {
        let Some(item) = component.item("topicPrefix") else { return String::new() };
        let text = item.value.clone().unwrap_or_default();
        if let Err(why) = names::topic(&text) {
            let problems = &mut *self.reader.problems;
            let message = "this cannot be a `topicPrefix`";
            problems.error(Code::BAD_VALUE, &item.mark, message, why, "");
            return String::new();
        }
        text
    }

    /// Topics by app id: `app1=a,b;app2=`.
    fn by_app(&mut self, component: &Component, name: &str) -> BTreeMap<String, BTreeSet<String>> {
        let mut all = BTreeMap::new();
        let Some(item) = component.item(name) else { return all };
        for part in item.value.as_deref().unwrap_or_default().split(';') {
            if part.trim().is_empty() {
                continue;
            }
            match part.split_once('=') {
                Some((app_id, topics)) => {
                    all.insert(app_id.trim().to_owned(), listed(Some(topics)));
                }
                None => {
                    let problems = &mut *self.reader.problems;
                    let message = format!("this cannot be `{name}`");
                    let why = format!("`{}` has no `=`", part.trim());
                    let help = "write `app1=topic1,topic2;app2=`";
                    problems.error(Code::BAD_VALUE, &item.mark, message, why, help);
                }
            }
        }
        all
    }

    /// `bindings.cron`: a call of each app that sees it.
    pub(super) fn cron_binding(&mut self, component: &Component, scopes: &Scopes) {
        let item = component.item("schedule");
        let text = item.and_then(|item| item.value.as_deref()).unwrap_or_default();
        let (when, zone) = match events::times(text) {
            Ok(times) => times,
            Err(why) => {
                let mark = item.map_or(&component.kind_mark, |item| &item.mark);
                let message = format!("the component `{}` has no times", component.name);
                let help = "add `schedule` to its metadata";
                let problems = &mut *self.reader.problems;
                return problems.error(Code::BAD_VALUE, mark, message, why, help);
            }
        };
        let route = component.value("route").filter(|route| !route.trim().is_empty());
        let route = route.unwrap_or(&component.name);
        let path = format!("/{}", route.strip_prefix('/').unwrap_or(route));
        let known = &self.reader.known;
        let takes = |service: &&ServiceName| {
            let known = known.get(service.as_str());
            scopes.allows(service)
                && known.is_some_and(|known| known.kind == KnownKind::Service && known.listens)
        };
        for service in self.ids.values().filter(takes) {
            let name = format!("{}@{service}", component.name);
            let schedules = &mut self.events.all.schedules;
            if schedules.iter().any(|known| known.name == name) {
                continue;
            }
            schedules.push(Scheduled {
                name,
                when: when.clone(),
                zone: zone.clone(),
                action: ScheduledAction::Call {
                    service: service.clone(),
                    method: "POST".to_owned(),
                    path: path.clone(),
                    data: None,
                },
                // As there: nobody keeps what was missed or refused.
                missed: MissedRuns::Skip,
                retry: RetryRule { max: Some(1), ..RetryRule::default() },
                timeout: CALL_TIMEOUT,
                paused: false,
                place: Some(component.kind_mark.place()),
            });
        }
    }

    /// The outbox of a component for state.
    pub(super) fn state_outbox(&mut self, component: &Component) {
        let value = |name| component.value(name).filter(|text| !text.trim().is_empty());
        let (pubsub, topic) = (value("outboxPublishPubsub"), value("outboxPublishTopic"));
        match (pubsub, topic) {
            (None, None) => {}
            (Some(pubsub), Some(topic)) => {
                let (pubsub, topic) = (pubsub.trim().to_owned(), topic.trim().to_owned());
                let mark = component.item("outboxPublishPubsub").map(|item| item.mark.clone());
                let mark = mark.unwrap_or_else(|| component.kind_mark.clone());
                self.events.outbox_marks.push((component.name.clone(), mark));
                let outbox = StateOutbox { pubsub, topic };
                self.events.all.state_outboxes.insert(component.name.clone(), outbox);
            }
            _ => {
                let there = ["outboxPublishPubsub", "outboxPublishTopic"];
                let message =
                    format!("the outbox of the component `{}` is not whole", component.name);
                let label = format!("{} go together", quoted(&there));
                self.ignored(&component.kind_mark, &message, &label, "nothing is published");
            }
        }
    }
}

/// What a component connects to where it comes from: its type, and its metadata without what has a meaning here.
fn connection(component: &Component) -> String {
    let is_known = |name: &str| OF_PUBSUB.iter().any(|known| known.eq_ignore_ascii_case(name));
    let items = component.metadata.iter().filter(|item| !is_known(&item.name));
    let items: BTreeSet<String> = items
        .map(|item| format!("{}={}", item.name, item.value.as_deref().unwrap_or_default()))
        .collect();
    // In memory nothing is shared, whatever else they say.
    let name = if component.kind == MEMORY { component.name.as_str() } else { "" };
    format!("{} {name} {items:?}", component.kind)
}

/// Topics between commas.
fn listed(text: Option<&str>) -> BTreeSet<String> {
    let parts = text.unwrap_or_default().split(',').map(str::trim);
    parts.filter(|part| !part.is_empty()).map(str::to_owned).collect()
}
