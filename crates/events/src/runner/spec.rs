//! What a runner does, worked out once.

use super::Line;
use crate::{
    BulkDelivery, DeadLetter, DeclaredBy, Error, Event, Incoming, Retry, Subscription,
    SubscriptionStatus, Target, Topics, dead,
    jobs::{self, Run},
    kept,
};
use base::ServiceName;
use bytes::Bytes;
use logic::{
    backoff::Backoff,
    condition::{Condition, EVENT, Value},
};
use ports::broker::{IN_FLIGHT_MAX, Order, Start, TopicName};
use serde_json::Value as Json;
use std::{borrow::Cow, cell::OnceCell, collections::BTreeSet, sync::Arc, time::Duration};

/// Most runs that are delivered at the same time.
const RUNS_AT_ONCE: u32 = 64;

/// How apps are tried whose own retry cannot be read any more.
const RUNS_RETRY: Retry = Retry {
    max: Some(4),
    backoff: Backoff { first: Duration::from_secs(1), max: Duration::from_secs(1) },
};

/// A subscription with all that is decided about it.
#[derive(Debug)]
pub(crate) struct Spec {
    pub(crate) subscription: Subscription,
    pub(super) from: DeclaredBy,
    pub(super) retry: Retry,
    /// Where messages go that are given up.
    pub(super) dead: Option<TopicName>,
    /// Where messages go that no route matches, and that was said on purpose.
    pub(super) dead_without_route: bool,
    pub(super) to: To,
}

/// Who takes messages.
#[derive(Debug)]
pub(super) enum To {
    /// Targets, by the conditions of the subscription's routes.
    Routes(Vec<Option<Condition>>),
    /// A connection, also by conditions.
    Line(Arc<Line>, Vec<Option<Condition>>),
    /// What each message says itself.
    Runs,
}

/// The way of one message.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Way {
    pub(crate) target: Target,
    pub(crate) path: String,
    pub(crate) timeout: Duration,
}

/// Checks the conditions of a subscription.
///
/// # Errors
/// [`Error::Invalid`] names the condition.
pub(crate) fn check(subscription: &Subscription) -> Result<(), Error> {
    compile(subscription).map(|_| ())
}

fn compile(subscription: &Subscription) -> Result<Vec<Option<Condition>>, Error> {
    let (topic, group) = (&subscription.topic, &subscription.group);
    let compiled = subscription.routes.iter().map(|route| {
        let condition = |text: &String| {
            Condition::compile(text, EVENT).map_err(|error| {
                let place = text.get(error.offset..).unwrap_or_default();
                Error::Invalid(format!(
                    "the rule `{text}` of `{group}` for topic `{topic}` cannot be used: {error}, at `{place}`"
                ))
            })
        };
        route.when.as_ref().map(condition).transpose()
    });
    compiled.collect()
}

impl Spec {
    /// # Errors
    /// [`Error::Invalid`] names a condition.
    pub(crate) fn new(
        topics: &Topics,
        subscription: Subscription,
        from: DeclaredBy,
        line: Option<Arc<Line>>,
    ) -> Result<Self, Error> {
        let conditions = compile(&subscription)?;
        let described = topics.described(&subscription.topic);
        let rule = subscription.dead_letter.clone().unwrap_or(described.dead_letter);
        Ok(Self {
            from,
            retry: subscription.retry.unwrap_or(described.retry),
            dead: topics.dead_topic(&subscription.topic, &rule),
            dead_without_route: matches!(subscription.dead_letter, Some(DeadLetter::Topic(_))),
            to: match line {
                Some(line) => To::Line(line, conditions),
                None => To::Routes(conditions),
            },
            subscription,
        })
    }

    /// The runner that delivers runs of jobs and schedules.
    pub(crate) fn of_runs() -> Self {
        let topic = kept::topic(jobs::TOPIC);
        let subscription = Subscription {
            group: kept::group(jobs::GROUP),
            routes: Vec::new(),
            // The first run may be published before the first node has subscribed.
            start: Start::Beginning,
            concurrency: RUNS_AT_ONCE,
            order: Order::None,
            timeout: Duration::ZERO,
            retry: None,
            dead_letter: None,
            bulk: None,
            topic: topic.clone(),
        };
        Self {
            subscription,
            from: DeclaredBy::File,
            retry: RUNS_RETRY,
            dead: dead::own_topic(&topic),
            dead_without_route: true,
            to: To::Runs,
        }
    }

    /// Messages that are held at most.
    pub(super) fn capacity(&self) -> usize {
        let concurrency = self.subscription.concurrency.clamp(1, IN_FLIGHT_MAX);
        let bulk = self.subscription.bulk.map_or(1, |bulk| bulk.max);
        usize::try_from(concurrency).unwrap_or(1).max(bulk.min(ports::broker::BATCH_MAX))
    }

    /// Whether many are delivered at once on this way.
    pub(super) fn bulk(&self, way: &Way) -> Option<BulkDelivery> {
        let takes_many = matches!(way.target, Target::Dapr { bulk: true, .. });
        self.subscription.bulk.filter(|bulk| takes_many && bulk.max > 1)
    }

    /// Whether it delivers runs of jobs and schedules.
    pub(super) fn is_runs(&self) -> bool {
        matches!(self.to, To::Runs)
    }

    pub(super) fn line(&self) -> Option<&Arc<Line>> {
        match &self.to {
            To::Line(line, _) => Some(line),
            To::Routes(_) | To::Runs => None,
        }
    }

    /// Waits until the connection is gone, if there is one.
    pub(super) async fn closed(&self) {
        match self.line() {
            Some(line) => line.closed().await,
            None => std::future::pending().await,
        }
    }

    /// One target of each service.
    pub(super) fn targets(&self) -> Vec<&Target> {
        let mut seen = BTreeSet::new();
        let routes = match self.to {
            To::Routes(_) => self.subscription.routes.as_slice(),
            To::Line(..) | To::Runs => &[],
        };
        routes.iter().map(|route| &route.to).filter(|to| seen.insert(to.service())).collect()
    }

    fn services(&self) -> BTreeSet<&ServiceName> {
        self.subscription.routes.iter().filter_map(|route| route.to.service()).collect()
    }

    /// The way of an event; `None`: no route matches. A condition that cannot be worked out does not match.
    pub(super) fn way(&self, incoming: &Incoming, run: Option<&Run>) -> Option<Way> {
        let conditions = match &self.to {
            To::Runs => {
                let run = run?;
                let (target, path) = (run.to.clone(), String::new());
                return Some(Way { target, path, timeout: run.timeout });
            }
            To::Routes(conditions) | To::Line(_, conditions) => conditions,
        };
        let facts = Facts::of(&self.subscription.topic, &incoming.event);
        let matches = |condition: &Option<Condition>| {
            condition.as_ref().is_none_or(|it| {
                it.evaluate(&|name, key| facts.look_up(name, key)).unwrap_or_default()
            })
        };
        let timeout = self.subscription.timeout;
        let first = conditions.iter().position(matches);
        match (self.line(), first.and_then(|at| self.subscription.routes.get(at))) {
            (Some(line), route) => {
                // A connection without routes takes everything.
                let is_taken = route.is_some() || self.subscription.routes.is_empty();
                let path = route.map(|route| path(&route.to)).unwrap_or_default();
                is_taken.then(|| Way { target: Target::Open(line.number()), path, timeout })
            }
            (None, Some(route)) => {
                Some(Way { target: route.to.clone(), path: path(&route.to), timeout })
            }
            (None, None) => None,
        }
    }

    pub(crate) fn status(&self) -> SubscriptionStatus {
        let Subscription { topic, group, routes, .. } = &self.subscription;
        let mut targets: Vec<String> = match &self.to {
            To::Line(..) => vec!["a connection".to_owned()],
            To::Runs => vec!["jobs and schedules".to_owned()],
            To::Routes(_) => routes.iter().map(|route| words(&route.to)).collect(),
        };
        targets.dedup();
        let services = self.services();
        let one = services.first().filter(|_| services.len() == 1);
        SubscriptionStatus {
            topic: topic.clone(),
            group: group.clone(),
            targets,
            service: one.map(|service| (*service).clone()),
            from: self.from,
            delivered: 0,
            done: 0,
            retried: 0,
            dead: 0,
            dropped: 0,
            in_flight: 0,
            paused: None,
            last_error: None,
            routes: routes.iter().map(|it| (it.when.clone(), words(&it.to))).collect(),
            dead_letter: self.dead.clone(),
        }
    }
}

fn path(target: &Target) -> String {
    match target {
        Target::Http { path, .. } | Target::Dapr { path, .. } => path.clone(),
        Target::DaprJob { .. } | Target::Open(_) => String::new(),
    }
}

/// That nobody is ready, for people.
pub(super) fn nobody(targets: &[&Target]) -> String {
    let services: Vec<String> = targets
        .iter()
        .filter_map(|target| target.service())
        .map(|service| format!("`{service}`"))
        .collect();
    format!("no instance of {} is ready", services.join(" or "))
}

/// A target, for people.
pub(crate) fn words(target: &Target) -> String {
    match target {
        Target::Http { service, method, path, .. } => format!("{method} {service}{path}"),
        Target::Dapr { service, path, .. } => {
            format!("{service}/{}", path.trim_start_matches('/'))
        }
        Target::DaprJob { service, name } => format!("{service} job {name}"),
        Target::Open(_) => "a connection".to_owned(),
    }
}

/// What conditions may know of an event.
struct Facts<'a> {
    topic: &'a TopicName,
    event: &'a Event,
    /// Parsed when a condition asks for it.
    data: OnceCell<Option<Value<'a>>>,
}

impl<'a> Facts<'a> {
    fn of(topic: &'a TopicName, event: &'a Event) -> Self {
        Self { topic, event, data: OnceCell::new() }
    }

    /// The value of a variable, or of one attribute.
    fn look_up<'b>(&self, variable: &str, key: Option<&str>) -> Option<Value<'b>> {
        if variable != "event" {
            return None;
        }
        match key {
            Some(key) => self.attribute(key),
            None => {
                let names = ["id", "source", "type", "specversion", "subject", "time", "topic"];
                let rest = ["datacontenttype", "dataschema", "data", "key"];
                let extensions = self.event.extensions.keys().map(String::as_str);
                let all = names.into_iter().chain(rest).chain(extensions);
                let entry = |name: &str| Some((Cow::Owned(name.to_owned()), self.attribute(name)?));
                Some(Value::Map(all.filter_map(entry).collect()))
            }
        }
    }

    fn attribute<'b>(&self, name: &str) -> Option<Value<'b>> {
        let Event { id, source, kind, subject, time, content_type, schema, extensions, .. } =
            self.event;
        let text = |text: &str| Some(Value::Text(Cow::Owned(text.to_owned())));
        let optional = |value: &Option<String>| value.as_deref().and_then(text);
        let unless_raw = |value: &str| if self.event.is_raw() { None } else { text(value) };
        match name {
            "id" => unless_raw(id),
            "source" => unless_raw(source),
            "type" => unless_raw(kind),
            "specversion" => unless_raw("1.0"),
            "topic" => text(self.topic.as_str()),
            "subject" => optional(subject),
            "time" => optional(time),
            "datacontenttype" => optional(content_type),
            "dataschema" => optional(schema),
            "key" => std::str::from_utf8(self.event.key.as_ref()?).ok().and_then(text),
            "data" => self.data.get_or_init(|| data(&self.event.data)).clone().map(owned),
            other => extensions.get(other).and_then(|value| text(value)),
        }
    }
}

/// Data as conditions see it: JSON, or else text.
fn data<'a>(data: &Bytes) -> Option<Value<'a>> {
    match serde_json::from_slice::<Json>(data) {
        Ok(json) => Some(value(json)),
        Err(_) => {
            let text = std::str::from_utf8(data).ok()?;
            Some(Value::Text(Cow::Owned(text.to_owned())))
        }
    }
}

fn value<'a>(json: Json) -> Value<'a> {
    match json {
        Json::Null => Value::Null,
        Json::Bool(it) => Value::Bool(it),
        Json::Number(it) => match it.as_i64() {
            Some(whole) => Value::Int(whole),
            None => Value::Float(it.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(it) => Value::Text(Cow::Owned(it)),
        Json::Array(all) => Value::List(all.into_iter().map(value).collect()),
        Json::Object(all) => {
            Value::Map(all.into_iter().map(|(name, it)| (Cow::Owned(name), value(it))).collect())
        }
    }
}

/// The same value for longer: all its texts are its own.
fn owned<'b>(it: Value<'_>) -> Value<'b> {
    match it {
        Value::Null => Value::Null,
        Value::Bool(it) => Value::Bool(it),
        Value::Int(it) => Value::Int(it),
        Value::Float(it) => Value::Float(it),
        Value::Text(it) => Value::Text(Cow::Owned(it.into_owned())),
        Value::List(all) => Value::List(all.into_iter().map(owned).collect()),
        Value::Map(all) => Value::Map(
            all.into_iter().map(|(name, it)| (Cow::Owned(name.into_owned()), owned(it))).collect(),
        ),
    }
}
