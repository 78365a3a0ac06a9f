//! Events between services: topics, who wants what, schedules, outboxes.

use super::{Origin, Scopes, Secret};
use base::{ByteSize, Place, ServiceName};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::Duration,
};

/// What a system says of events.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Events {
    /// What keeps topics.
    pub broker: BrokerEngine,
    /// Where `engines.broker` stands, or nothing when it is the default.
    pub broker_place: Option<Place>,
    /// The topics of the file, by name.
    pub topics: Vec<Topic>,
    /// Whether publishing to a topic that is not there makes it. Default false; true in a system that runs Dapr's files or
    /// components, as the brokers of those do.
    pub auto_topics: bool,
    /// Names under which apps reach the broker through Dapr's API. Without a word in the file: `pubsub`.
    pub pubsubs: Vec<PubSub>,
    /// Who wants what: `subscribes:` of services, and `Subscription` resources.
    pub subscriptions: Vec<Subscribe>,
    /// What happens at times.
    pub schedules: Vec<Scheduled>,
    /// Tables in which services leave messages.
    pub outboxes: Vec<OutboxTable>,
    /// State stores whose transactions are also published (Dapr's outbox), by store.
    pub state_outboxes: BTreeMap<String, StateOutbox>,
}

/// What keeps topics.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum BrokerEngine {
    /// A folder of this node's, `.flotilla/data/broker`.
    #[default]
    Embedded,
    /// NATS JetStream.
    Nats(Nats),
}

/// How a NATS cluster is reached.
#[derive(Clone, Debug, PartialEq)]
pub struct Nats {
    /// `host:port` of each server that is known; at least one.
    pub servers: Vec<String>,
    /// Whether connections are encrypted (`natss://`).
    pub tls: bool,
    /// Name and password. Either may hold `${secret:NAME}`.
    pub user: Option<(String, Secret)>,
    /// A token instead of them. May hold `${secret:NAME}`.
    pub token: Option<Secret>,
    /// The authority that the servers' certificates are checked against, in PEM form, absolute; `None`: the machine's own.
    pub ca: Option<PathBuf>,
    /// A certificate of our own and its key, in PEM form, absolute.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// Stands before the names of all streams and subjects, so that several systems can share the cluster: 1 to 54 letters,
    /// digits, `-` and `_`. Default: the system's name.
    pub prefix: String,
    /// On how many servers each message is kept, 1 to 5. Default 1.
    pub replicas: u8,
}

/// A topic.
#[derive(Clone, Debug, PartialEq)]
pub struct Topic {
    /// Its name: 1 to 200 letters, digits and `. _ - / : @`.
    pub name: String,
    /// How long messages are kept at least; `None` for ever. Default 7 d.
    pub retain: Option<Duration>,
    /// How many bytes are kept at least; `None`: any. Never 0.
    pub max: Option<ByteSize>,
    /// For how long a message id is remembered, at most a day; zero: not at all. Default 2 min.
    pub dedup: Duration,
    /// How often a message is tried.
    pub retry: RetryRule,
    /// Where messages go that were given up.
    pub dead_letter: DeadLetterRule,
    /// Where it stands.
    pub place: Option<Place>,
}

/// How often something is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryRule {
    /// Most attempts, the first one included; `None`: no end (`max: none`). Default 10.
    pub max: Option<u32>,
    /// The first pause, doubled each time; at least 10 ms. Default 1 s.
    pub first: Duration,
    /// No pause is longer. Default 1 min.
    pub longest: Duration,
}

impl Default for RetryRule {
    fn default() -> Self {
        Self { max: Some(10), first: Duration::from_secs(1), longest: Duration::from_secs(60) }
    }
}

/// Where messages go that were given up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DeadLetterRule {
    /// Nowhere (`dead_letter: false`).
    Nowhere,
    /// To `<topic>.dead` (the default, and `dead_letter: true`).
    #[default]
    Own,
    /// To this topic.
    Topic(String),
}

/// A name of the broker in Dapr's API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PubSub {
    /// Its name.
    pub name: String,
    /// Who may use it at all.
    pub scopes: Scopes,
    /// The only topics that may be used; empty: all (`allowedTopics`). Topics here and below are without [`Self::prefix`].
    pub allowed: BTreeSet<String>,
    /// Topics that only those may use whom the scopes name (`protectedTopics`).
    pub protected: BTreeSet<String>,
    /// Which topics an app may publish to, by app id; an app that is not named may all (`publishingScopes`).
    pub publishing: BTreeMap<String, BTreeSet<String>>,
    /// Which topics an app may subscribe to, by app id; an app that is not named may all (`subscriptionScopes`).
    pub subscribing: BTreeMap<String, BTreeSet<String>>,
    /// The consumer group where it is not the app id (`consumerID`); see [`Self::group_of`].
    pub group: Option<String>,
    /// What stands before each topic so that this component's are its own (`topicPrefix`); empty: topics are shared with those
    /// of the file and of other components.
    pub prefix: String,
    /// Where it comes from.
    pub origin: Origin,
}

impl PubSub {
    /// The consumer group of an app.
    #[must_use]
    pub fn group_of(&self, app_id: &str) -> String {
        match &self.group {
            Some(group) => group.replace("{appID}", app_id),
            None => app_id.to_owned(),
        }
    }

    /// Whether an app may publish to `topic`.
    #[must_use]
    pub fn may_publish(&self, app_id: &str, topic: &str) -> bool {
        self.may(&self.publishing, app_id, topic)
    }

    /// Whether an app may subscribe to `topic`.
    #[must_use]
    pub fn may_subscribe(&self, app_id: &str, topic: &str) -> bool {
        self.may(&self.subscribing, app_id, topic)
    }

    fn may(&self, by_app: &BTreeMap<String, BTreeSet<String>>, app_id: &str, topic: &str) -> bool {
        if !self.allowed.is_empty() && !self.allowed.contains(topic) {
            return false;
        }
        match by_app.get(app_id) {
            Some(topics) => topics.contains(topic),
            None => !self.protected.contains(topic),
        }
    }
}

/// Somebody wants messages of a topic, or events of streams.
#[derive(Clone, Debug, PartialEq)]
pub struct Subscribe {
    /// Who.
    pub service: ServiceName,
    /// What.
    pub from: Subscribed,
    /// The group; `None`: the service's app id. Streams have none but their name.
    pub group: Option<String>,
    /// Conditions and where to; the first that holds. At least one; of streams exactly one, without a condition.
    pub routes: Vec<DeliveryRule>,
    /// Most messages at a time. Default 16; 1 with `order: all` and of streams.
    pub concurrency: u32,
    /// What is kept in order. Default: messages of the same key; of streams all events.
    pub order: MessageOrder,
    /// Where a new group begins. Default: with the messages that come from then on; of streams with the first event, because
    /// what is built from events needs all of them; of Dapr's subscriptions with the oldest message, as there.
    pub start: GroupStart,
    /// How long the service may take for one. Default 30 s.
    pub timeout: Duration,
    /// `None`: as the topic says; of streams [`RetryRule::default`].
    pub retry: Option<RetryRule>,
    /// `None`: as the topic says; of streams [`DeadLetterRule::Own`], which there is the topic `streams.<name>.dead`.
    pub dead_letter: Option<DeadLetterRule>,
    /// Many at once: how many, and how long they wait for more (Dapr's `bulkSubscribe`).
    pub bulk: Option<(usize, Duration)>,
    /// How the request looks.
    pub shape: DeliveryShape,
    /// Where it stands.
    pub place: Option<Place>,
}

/// Where messages come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Subscribed {
    /// A topic.
    Topic(String),
    /// Streams of events.
    Streams {
        /// Its name, under which its place is kept: `group`, or else `<service>:<category>`, or `<service>` for all categories.
        /// No two subscriptions have the same.
        name: String,
        /// Streams of this category, which is what stands before the first `-` of a stream's name; `None`: all.
        category: Option<String>,
        /// Events of these types; none: all.
        types: Vec<String>,
        /// Events with all of these tags.
        tags: Vec<String>,
    },
}

/// A condition and a way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryRule {
    /// CEL over [`logic::condition::EVENT`], which compiles; `None`: always.
    pub when: Option<String>,
    /// The method, `POST`.
    pub method: String,
    /// The path, which begins with `/`.
    pub path: String,
}

/// What is kept in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MessageOrder {
    /// Messages of the same key.
    #[default]
    Key,
    /// All: one at a time.
    All,
    /// Nothing.
    None,
}

/// Where a new group begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GroupStart {
    /// With what comes from then on.
    #[default]
    New,
    /// With the oldest that is kept.
    Oldest,
}

/// What a delivery looks like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DeliveryShape {
    /// A CloudEvent as one JSON object.
    #[default]
    Structured,
    /// A CloudEvent with its attributes in `ce-` fields.
    Binary,
    /// The data alone.
    Raw,
    /// As Dapr does, from this component; `raw`: without an envelope.
    Dapr {
        /// The component.
        pubsub: String,
        /// `rawPayload`.
        raw: bool,
    },
}

/// Something that happens at times.
#[derive(Clone, Debug, PartialEq)]
pub struct Scheduled {
    /// Its name; `<component>@<service>` of a Dapr binding.
    pub name: String,
    /// When: a cron expression of five or six fields, `@daily`, or `@every 5m`. [`logic::schedule::Repeat::parse`] reads it,
    /// and finds neither a zone nor a number of runs in it.
    pub when: String,
    /// The time zone of a cron expression, an IANA name that this machine knows. `None`: UTC.
    pub zone: Option<String>,
    /// What.
    pub action: ScheduledAction,
    /// What happens to runs that nobody was there for. Default one run for all of them.
    pub missed: MissedRuns,
    /// How often a run is tried.
    pub retry: RetryRule,
    /// How long a call may take. Default 30 s.
    pub timeout: Duration,
    /// Stopped for the time being.
    pub paused: bool,
    /// Where it stands.
    pub place: Option<Place>,
}

/// What a schedule does.
#[derive(Clone, Debug, PartialEq)]
pub enum ScheduledAction {
    /// Calls a service: `call: POST reports/run`.
    Call {
        /// The service.
        service: ServiceName,
        /// The method.
        method: String,
        /// The path.
        path: String,
        /// The body, JSON; `None`: an empty one.
        data: Option<String>,
    },
    /// Publishes: `publish: report.due`.
    Publish {
        /// The topic.
        topic: String,
        /// The data, JSON.
        data: Option<String>,
    },
}

/// What happens to missed runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissedRuns {
    /// Nothing.
    Skip,
    /// One run for all of them.
    #[default]
    Once,
    /// Each of them.
    All,
}

/// A table in which a service leaves messages.
#[derive(Clone, Debug, PartialEq)]
pub struct OutboxTable {
    /// Whose.
    pub service: ServiceName,
    /// The database, `sqlite:…`, `postgres://…` or a `${secret:NAME}`, which may also be a part of it. `None`: the service's
    /// own `db`, which is there.
    pub url: Option<Secret>,
    /// The table, perhaps with its schema before a dot. Default `outbox`.
    pub table: String,
    /// The topic; `{aggregatetype}` in it stands for that column. Default `outbox.event.{aggregatetype}`.
    pub topic: String,
    /// Where it stands.
    pub place: Option<Place>,
}

/// Where the transactions of a state store are published (Dapr's outbox).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateOutbox {
    /// The component that publishes.
    pub pubsub: String,
    /// The topic.
    pub topic: String,
}
