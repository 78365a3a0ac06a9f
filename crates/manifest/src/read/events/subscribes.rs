//! `subscribes` of a service.

use super::{Draft, Named, Reader, way};
use crate::{
    DeliveryRule, DeliveryShape, GroupStart, MessageOrder, RetryRule, Service, Subscribe,
    Subscribed,
    read::values::{text, texts, whole},
    shape::names,
    tree::{Entry, Node, Value},
};
use base::Code;

/// Most messages of one subscription at a time when nothing is said.
const CONCURRENCY: u32 = 16;

/// What stands for all categories.
const ALL: &str = "*";

/// Keys that mean something for topics only, and why.
const OF_TOPICS: &[(&str, &str)] = &[
    ("routes", "choose events by `types:` and `tags:`"),
    ("concurrency", "events of streams come one after the other"),
    ("order", "events of streams come one after the other"),
];

/// Keys that mean something for streams only.
const OF_STREAMS: &[&str] = &["types", "tags"];

impl Reader<'_> {
    pub(super) fn subscribes(&mut self, entry: &Entry, service: &Service, draft: &mut Draft) {
        let Some(wanted) = entry.value.entry("subscribes") else { return };
        let all = wanted.value.entries();
        if !service.listens && !all.is_empty() {
            let message = format!("service `{}` cannot be sent messages", service.name);
            let help = "remove `listen: false`, or let it take messages from its app API";
            let label = "it does not listen";
            self.problems.error(Code::BAD_VALUE, &wanted.key_mark, message, label, help);
            return;
        }
        for one in all {
            let from = match one.key.strip_prefix(names::STREAMS) {
                Some(category) => self.streams(one, category, service),
                None => self.of_topic(one, draft),
            };
            if let Some(from) = from {
                let subscribe = self.subscribe(one, from, service, draft);
                draft.all.subscriptions.extend(subscribe);
            }
        }
    }

    fn of_topic(&mut self, one: &Entry, draft: &mut Draft) -> Option<Subscribed> {
        if let Err(why) = names::topic(&one.key) {
            let message = format!("`{}` cannot be the name of a topic", one.key);
            self.problems.error(Code::BAD_VALUE, &one.key_mark, message, why, "");
            return None;
        }
        for key in OF_STREAMS {
            if let Some(entry) = one.value.entry(key) {
                let message = format!("`{key}` means nothing to a topic");
                let help = "write `routes: [{ when: \"event.type == '…'\", to: … }]`, or `events:…` as the key for streams of events";
                self.problems.error(Code::BAD_VALUE, &entry.key_mark, message, "", help);
            }
        }
        let (topic, mark) = (one.key.clone(), one.key_mark.clone());
        draft.named.push(Named { topic, mark, is_pattern: false });
        Some(Subscribed::Topic(one.key.clone()))
    }

    fn streams(&mut self, one: &Entry, category: &str, service: &Service) -> Option<Subscribed> {
        let category = (category != ALL).then_some(category);
        if let Some(Err(why)) = category.map(names::category) {
            let message = format!("`{}` does not say which streams", one.key);
            let help =
                "write `events:account` for the streams of a category, or `events:*` for all";
            self.problems.error(Code::BAD_VALUE, &one.key_mark, message, why, help);
            return None;
        }
        for (key, help) in OF_TOPICS {
            if let Some(entry) = one.value.entry(key) {
                let message = format!("`{key}` means nothing to streams of events");
                self.problems.error(Code::BAD_VALUE, &entry.key_mark, message, "", help);
            }
        }
        let name = text(one.value.get("group")).unwrap_or_else(|| match category {
            Some(category) => format!("{}:{category}", service.name),
            None => service.name.to_string(),
        });
        Some(Subscribed::Streams {
            name,
            category: category.map(str::to_owned),
            types: texts(one.value.get("types")),
            tags: texts(one.value.get("tags")),
        })
    }

    fn subscribe(
        &mut self,
        one: &Entry,
        from: Subscribed,
        service: &Service,
        draft: &mut Draft,
    ) -> Option<Subscribe> {
        let node = &one.value;
        let is_streams = matches!(from, Subscribed::Streams { .. });
        let routes = self.event_routes(one)?;
        let of_topic = draft.all.topics.iter().find(|topic| topic.name == one.key);
        let base = of_topic.map_or_else(RetryRule::default, |topic| topic.retry);
        let order = match node.get("order").and_then(Node::text) {
            Some("all") => MessageOrder::All,
            Some("none") => MessageOrder::None,
            _ if is_streams => MessageOrder::All,
            _ => MessageOrder::Key,
        };
        let asked = whole::<u32>(node.get("concurrency"));
        if let (MessageOrder::All, Some(2..), Some(at)) = (order, asked, node.entry("concurrency"))
        {
            let message = "`order: all` takes one message at a time";
            let help = "remove `concurrency`, or write `order: key`";
            let label = "this many would be out of order";
            self.problems.error(Code::BAD_VALUE, &at.value.mark, message, label, help);
        }
        let is_one = matches!(order, MessageOrder::All);
        Some(Subscribe {
            service: service.name.clone(),
            group: text(node.get("group")).filter(|_| !is_streams),
            routes,
            concurrency: if is_one { 1 } else { asked.unwrap_or(CONCURRENCY) },
            order,
            start: match node.get("start").and_then(Node::text) {
                Some("oldest") => GroupStart::Oldest,
                None if is_streams => GroupStart::Oldest,
                _ => GroupStart::New,
            },
            timeout: self.delivery_timeout(node.get("timeout")),
            retry: self.retry_rule(node.get("retry"), base),
            dead_letter: self.dead_letter(node.get("dead_letter"), &one.key, draft),
            bulk: None,
            shape: match node.get("format").and_then(Node::text) {
                Some("binary") => DeliveryShape::Binary,
                Some("raw") => DeliveryShape::Raw,
                _ => DeliveryShape::Structured,
            },
            place: Some(one.key_mark.place()),
            from,
        })
    }

    /// Where messages go; `None` when that was reported.
    fn event_routes(&mut self, one: &Entry) -> Option<Vec<DeliveryRule>> {
        let node = &one.value;
        match node.value {
            Value::Scalar(_) => return Some(vec![way(node)?]),
            Value::Unknown | Value::List(_) => return None,
            Value::Null | Value::Map(_) => {}
        }
        let to = node.get("to");
        let mut all = Vec::new();
        let routes = node.get("routes").map(Node::items).unwrap_or_default();
        for (at, route) in routes.iter().enumerate() {
            let when = text(route.get("when"));
            let is_last = at + 1 == routes.len() && to.is_none();
            if route.get("when").is_none() && !is_last {
                let message = format!("a route of `{}` hides those after it", one.key);
                let label = "it has no `when`, so it takes every message";
                let help = "write `when:`, or put it last";
                self.problems.error(Code::BAD_VALUE, &route.mark, message, label, help);
            }
            match route.get("to") {
                Some(to) => all.extend(way(to).map(|rule| DeliveryRule { when, ..rule })),
                None => {
                    let message = format!("a route of `{}` leads nowhere", one.key);
                    let help = "write `to: POST /path`";
                    self.problems.error(Code::BAD_VALUE, &route.mark, message, "", help);
                }
            }
        }
        if to.is_none() && routes.is_empty() {
            let message = format!("the subscription to `{}` leads nowhere", one.key);
            let help = "write `to: POST /path`";
            self.problems.error(Code::BAD_VALUE, &one.key_mark, message, "", help);
            return None;
        }
        all.extend(to.and_then(way));
        (!all.is_empty()).then_some(all)
    }
}
