//! What apps say themselves that they want: `GET /dapr/subscribe`, or the call `ListTopicSubscriptions`.

use super::{Ask, Deliverer, Unanswered, Version, callback::Failure};
use crate::app::{backend::topic_of, blocks::is_true};
use ::http::{HeaderMap, Method, StatusCode};
use base::ServiceName;
use bytes::Bytes;
use events::{BulkDelivery, DeadLetter, Retry, Route, Subscription, Target};
use logic::backoff::Backoff;
use ports::broker::{BATCH_MAX, GroupName, Order, Start};
use proto::dapr::runtime::{ListTopicSubscriptionsResponse, TopicSubscription};
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tonic::Code;
use tracing::{debug, warn};

/// How long an app may take to say what it wants.
const ASK_TIMEOUT: Duration = Duration::from_secs(10);

/// How often it is asked when it does not answer well, and the pause between: it may still be starting behind its open port.
const ATTEMPTS: usize = 40;
const PAUSE: Duration = Duration::from_millis(250);

/// Most subscriptions of one app.
const SUBSCRIPTIONS_MAX: usize = 1_000;

/// Most deliveries to one app and topic at a time, and how long each may take: the usual settings of Dapr's brokers.
const CONCURRENCY: u32 = 10;
const TIMEOUT: Duration = Duration::from_secs(60);

/// What Dapr takes together where an app does not say how many.
const BULK_MAX: usize = 100;
const BULK_WAIT: Duration = Duration::from_secs(1);
/// Nothing waits longer for others.
const BULK_WAIT_MAX: Duration = Duration::from_secs(60);

/// How often an event is tried that has a topic of dead letters of its own. Dapr gives up at once; a few tries in quick
/// succession forgive an app that restarts.
pub(crate) const DEAD_LETTER_RETRY: Retry = Retry {
    max: Some(3),
    backoff: Backoff { first: Duration::from_millis(500), max: Duration::from_secs(2) },
};

/// A subscription as an app writes it in JSON.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Declared {
    #[serde(rename = "pubsubname")]
    pubsub: String,
    topic: String,
    dead_letter_topic: Option<String>,
    metadata: Option<BTreeMap<String, serde_json::Value>>,
    route: Option<String>,
    routes: Option<Routes>,
    bulk_subscribe: Option<Bulk>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Routes {
    rules: Option<Vec<Rule>>,
    default: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Rule {
    r#match: Option<String>,
    path: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Bulk {
    enabled: bool,
    max_messages_count: Option<i64>,
    max_await_duration_ms: Option<i64>,
}

/// The same whatever it was written in.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wish {
    pubsub: String,
    topic: String,
    dead_letter: Option<String>,
    raw: bool,
    /// Conditions and paths.
    routes: Vec<(Option<String>, String)>,
    bulk: Option<BulkDelivery>,
}

/// Why an app did not say what it wants.
enum Unsaid {
    /// It may say it later.
    NotYet(String),
    /// It says nothing that can be understood.
    Never(String),
}

impl From<Unanswered> for Unsaid {
    fn from(unanswered: Unanswered) -> Self {
        let (Unanswered::Away(reason) | Unanswered::Failed(reason)) = unanswered;
        Self::NotYet(reason)
    }
}

impl Deliverer {
    pub(super) async fn ask_what_it_wants(&self, service: &ServiceName) -> Vec<Subscription> {
        let mut trouble = String::new();
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                tokio::time::sleep(PAUSE).await;
            }
            let said = if self.protocol(service).is_grpc() {
                self.by_list_call(service).await
            } else {
                self.by_subscribe_path(service).await
            };
            match said {
                Ok(wishes) => return self.subscriptions(service, wishes),
                Err(Unsaid::NotYet(reason)) => trouble = reason,
                Err(Unsaid::Never(reason)) => {
                    trouble = reason;
                    break;
                }
            }
        }
        warn!(%service, trouble, "an app did not say what it is subscribed to");
        Vec::new()
    }

    async fn by_subscribe_path(&self, service: &ServiceName) -> Result<Vec<Wish>, Unsaid> {
        let ask = Ask {
            method: Method::GET,
            path: "/dapr/subscribe".to_owned(),
            headers: self.fields(service, None),
            body: Bytes::new(),
        };
        let (response, _) = self.ask(service, Version::Http1, ask, ASK_TIMEOUT).await?;
        match response.status() {
            StatusCode::OK if is_list(response.body()) => {
                of_json(response.body()).map_err(Unsaid::Never)
            }
            // What most web servers answer that know nothing of it.
            status if status.is_client_error() => Ok(Vec::new()),
            status if status.is_server_error() => {
                Err(Unsaid::NotYet(format!("it answered {status}")))
            }
            status => {
                debug!(%service, %status, "an app answers nothing to /dapr/subscribe");
                Ok(Vec::new())
            }
        }
    }

    async fn by_list_call(&self, service: &ServiceName) -> Result<Vec<Wish>, Unsaid> {
        let path = "/dapr.proto.runtime.v1.AppCallback/ListTopicSubscriptions".to_owned();
        let headers: HeaderMap = self.fields(service, None);
        let answer: Result<ListTopicSubscriptionsResponse, Failure> =
            self.call(service, path, headers, &(), ASK_TIMEOUT).await;
        match answer {
            Ok(answer) => Ok(answer.subscriptions.into_iter().map(of_message).collect()),
            Err(Failure::Status(status)) if status.code() == Code::Unimplemented => Ok(Vec::new()),
            Err(Failure::Status(status)) => Err(Unsaid::NotYet(status.message().to_owned())),
            Err(Failure::Unanswered(unanswered)) => Err(unanswered.into()),
        }
    }

    /// What the app may have of what it wants.
    fn subscriptions(&self, service: &ServiceName, wishes: Vec<Wish>) -> Vec<Subscription> {
        let mut topics = BTreeSet::new();
        let mut all = Vec::new();
        for wish in wishes.into_iter().take(SUBSCRIPTIONS_MAX) {
            let (pubsub, topic) = (wish.pubsub.clone(), wish.topic.clone());
            match self.subscription(service, wish) {
                Ok(subscription) if topics.insert(subscription.topic.clone()) => {
                    all.push(subscription);
                }
                Ok(_) => {
                    warn!(%service, pubsub, topic, "a topic is subscribed to twice: the first counts");
                }
                Err(reason) => {
                    warn!(%service, pubsub, topic, reason, "an app's subscription is left out");
                }
            }
        }
        all
    }

    fn subscription(&self, service: &ServiceName, wish: Wish) -> Result<Subscription, String> {
        if wish.routes.is_empty() {
            return Err("it has no route".to_owned());
        }
        let pubsub = self.backend.pubsub(service, &wish.pubsub);
        let pubsub = pubsub.ok_or("there is no such component for this app")?;
        let known = self.backend.service(service.as_str());
        let app_id = known.as_ref().map_or(service.as_str(), |callee| callee.app_id());
        if !pubsub.may_subscribe(app_id, &wish.topic) {
            return Err("the component's scopes do not let this app subscribe to it".to_owned());
        }
        let topic = topic_of(&pubsub.prefix, &wish.topic)?;
        let dead_letter = wish.dead_letter.filter(|name| !name.is_empty());
        let dead_letter = dead_letter.map(|name| topic_of(&pubsub.prefix, &name)).transpose();
        let dead_letter = dead_letter.map_err(|e| format!("its dead letter topic: {e}"))?;
        let group = GroupName::new(&pubsub.group_of(app_id));
        let route = |(when, path): (Option<String>, String)| Route {
            when,
            to: Target::Dapr {
                service: service.clone(),
                pubsub: wish.pubsub.clone(),
                path,
                raw: wish.raw,
                bulk: wish.bulk.is_some(),
            },
        };
        Ok(Subscription {
            topic,
            group: group.map_err(|e| format!("its consumer group: {e}"))?,
            routes: wish.routes.into_iter().map(route).collect(),
            // As Redis and Kafka have it: an app that comes later gets what was published before it.
            start: Start::Beginning,
            concurrency: CONCURRENCY,
            order: Order::Key,
            timeout: TIMEOUT,
            retry: dead_letter.is_some().then_some(DEAD_LETTER_RETRY),
            dead_letter: dead_letter.map(DeadLetter::Topic),
            bulk: wish.bulk,
        })
    }
}

/// Whether a body may be a list of subscriptions. Many services answer any path with something, a page or an object.
fn is_list(body: &[u8]) -> bool {
    body.trim_ascii_start().first() == Some(&b'[')
}

fn of_json(body: &[u8]) -> Result<Vec<Wish>, String> {
    if body.is_empty() {
        return Ok(Vec::new());
    }
    let all: Option<Vec<Declared>> = serde_json::from_slice(body)
        .map_err(|e| format!("what it answers to /dapr/subscribe cannot be read: {e}"))?;
    Ok(all.unwrap_or_default().into_iter().map(of_declared).collect())
}

fn of_declared(it: Declared) -> Wish {
    let Routes { rules, default } = it.routes.unwrap_or_default();
    let rules = rules.unwrap_or_default().into_iter().map(|rule| (rule.r#match, rule.path));
    let default = default.filter(|path| !path.is_empty());
    let last = default.or(it.route.filter(|path| !path.is_empty()));
    let bulk = it.bulk_subscribe.filter(|bulk| bulk.enabled);
    let metadata = it.metadata.unwrap_or_default();
    let texts = metadata.iter().map(|(name, value)| match value {
        serde_json::Value::String(text) => (name.as_str(), text.clone()),
        other => (name.as_str(), other.to_string()),
    });
    Wish {
        pubsub: it.pubsub,
        topic: it.topic,
        dead_letter: it.dead_letter_topic,
        raw: is_raw(texts),
        routes: routes(rules, last),
        bulk: bulk.map(|bulk| {
            bulk_delivery(
                bulk.max_messages_count.unwrap_or(0),
                bulk.max_await_duration_ms.unwrap_or(0),
            )
        }),
    }
}

fn of_message(it: TopicSubscription) -> Wish {
    let given = it.routes.unwrap_or_default();
    let rules = given.rules.into_iter().map(|rule| (Some(rule.r#match), rule.path));
    let mut routes = routes(rules, Some(given.default).filter(|path| !path.is_empty()));
    if routes.is_empty() {
        // The app tells its topics apart itself.
        routes.push((None, String::new()));
    }
    let bulk = it.bulk_subscribe.filter(|bulk| bulk.enabled);
    Wish {
        pubsub: it.pubsub_name,
        topic: it.topic,
        dead_letter: Some(it.dead_letter_topic),
        raw: is_raw(it.metadata.iter().map(|(name, value)| (name.as_str(), value.clone()))),
        routes,
        bulk: bulk.map(|bulk| {
            bulk_delivery(bulk.max_messages_count.into(), bulk.max_await_duration_ms.into())
        }),
    }
}

/// Rules, and what is taken when none of them holds.
fn routes(
    rules: impl Iterator<Item = (Option<String>, String)>,
    last: Option<String>,
) -> Vec<(Option<String>, String)> {
    let rules = rules.map(|(when, path)| {
        let when = when.map(|when| when.trim().to_owned()).filter(|when| !when.is_empty());
        (when, path)
    });
    rules.chain(last.map(|path| (None, path))).collect()
}

/// Whether metadata asks for the data without an envelope; some SDKs write it in their own way.
fn is_raw<'a>(metadata: impl Iterator<Item = (&'a str, String)>) -> bool {
    let mut metadata = metadata;
    metadata.any(|(name, value)| {
        let is_name = ["rawPayload", "isRawPayload"].iter().any(|it| it.eq_ignore_ascii_case(name));
        is_name && is_true(&value)
    })
}

fn bulk_delivery(max: i64, wait_ms: i64) -> BulkDelivery {
    let max = usize::try_from(max).ok().filter(|max| *max > 0).unwrap_or(BULK_MAX).min(BATCH_MAX);
    let wait = u64::try_from(wait_ms).ok().filter(|wait| *wait > 0).map(Duration::from_millis);
    BulkDelivery { max, wait: wait.unwrap_or(BULK_WAIT).min(BULK_WAIT_MAX) }
}
