//! What the file and the apps ask for, in the words of this crate.

use crate::{Target, deliver::Shape};
use base::{ServiceName, Timestamp};
use bytes::Bytes;
use logic::backoff::Backoff;
use ports::broker::{GroupName, Order, Start, TopicConfig, TopicName};
use std::{collections::BTreeMap, time::Duration};

/// All that one file asks for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wanted {
    /// Topics, by name.
    pub topics: BTreeMap<TopicName, Topic>,
    /// Whether publishing to a topic that is not there makes it, with [`Topic::default`].
    pub auto: bool,
    /// Push subscriptions of the file.
    pub subscriptions: Vec<Subscription>,
    /// Services that are asked what they want ([`crate::Deliver::declared`]).
    pub ask: Vec<ServiceName>,
    /// Schedules of the file.
    pub schedules: Vec<Schedule>,
    /// Outbox tables of services.
    pub relays: Vec<Relay>,
    /// Catch-up subscriptions to streams.
    pub streams: Vec<StreamSubscription>,
}

/// A topic of the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Topic {
    /// How it keeps its messages.
    pub config: TopicConfig,
    /// What its subscriptions do that say nothing themselves.
    pub retry: Retry,
    /// Where what was given up goes when a subscription says nothing itself.
    pub dead_letter: DeadLetter,
}

/// How often something is tried.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Retry {
    /// Most attempts; `None`: no end.
    pub max: Option<u32>,
    /// The pauses between.
    pub backoff: Backoff,
}

impl Default for Retry {
    /// 10 attempts, 1 s doubling to 1 min.
    fn default() -> Self {
        let backoff = Backoff { first: Duration::from_secs(1), max: Duration::from_secs(60) };
        Self { max: Some(10), backoff }
    }
}

/// Where what was given up goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DeadLetter {
    /// Nowhere: it is counted and logged.
    None,
    /// The topic `<topic>.dead`, which is made when it is needed.
    #[default]
    Own,
    /// This topic.
    Topic(TopicName),
}

/// A subscription whose messages are pushed.
#[derive(Clone, Debug, PartialEq)]
pub struct Subscription {
    /// The topic.
    pub topic: TopicName,
    /// The group; by default the service's app id.
    pub group: GroupName,
    /// Where messages go: the first route that matches. None that matches: dropped.
    pub routes: Vec<Route>,
    /// Where a group begins that is new.
    pub start: Start,
    /// Most messages that are delivered at the same time.
    pub concurrency: u32,
    /// What is kept in order.
    pub order: Order,
    /// How long the app may take for one.
    pub timeout: Duration,
    /// `None`: as the topic says.
    pub retry: Option<Retry>,
    /// `None`: as the topic says.
    pub dead_letter: Option<DeadLetter>,
    /// Many at once, where the target takes many.
    pub bulk: Option<BulkDelivery>,
}

/// How many are delivered at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BulkDelivery {
    /// Most messages of one delivery.
    pub max: usize,
    /// How long messages wait for more.
    pub wait: Duration,
}

/// A way that messages take.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// A condition in CEL over `event` (its attributes, and `event.data` when that is JSON); `None`: always.
    pub when: Option<String>,
    /// Where to.
    pub to: Target,
}

/// What happens to runs whose time passed while nobody was there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Missed {
    /// Nothing.
    Skip,
    /// One run for all of them.
    #[default]
    Once,
    /// Each, oldest first, up to a bound.
    All,
}

/// When something runs.
#[derive(Clone, Debug, PartialEq)]
pub enum When {
    /// At these times.
    Cron(logic::schedule::Schedule),
    /// So often.
    Every(Duration),
    /// Once.
    At(Timestamp),
}

/// What a run does.
#[derive(Clone, Debug, PartialEq)]
pub enum Run {
    /// Publishes this.
    Publish {
        /// To this topic.
        topic: TopicName,
        /// This event's data; its other attributes are the schedule's.
        data: Bytes,
        /// The data's type.
        content_type: Option<String>,
    },
    /// Delivers it to this target, until it is done or its attempts are used up.
    Deliver {
        /// The target.
        to: Target,
        /// The data.
        data: Bytes,
        /// The data's type.
        content_type: Option<String>,
    },
}

/// A schedule of the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// Its name.
    pub name: String,
    /// When.
    pub when: When,
    /// The same as the file has it, for people.
    pub text: String,
    /// The time zone of a cron expression: an IANA name; `None`: UTC.
    pub zone: Option<String>,
    /// What.
    pub run: Run,
    /// What happens to missed runs.
    pub missed: Missed,
    /// How often a run is tried.
    pub retry: Retry,
    /// How long the app may take for a run that is delivered to it.
    pub timeout: Duration,
    /// Whether it is stopped for the time being.
    pub paused: bool,
}

/// A job that an app has asked for (Dapr's jobs API, or the native one). Its name is unique for its owner.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Who asked: an app id.
    pub owner: String,
    /// Its name.
    pub name: String,
    /// When it runs repeatedly; `None`: once, at `due`.
    pub schedule: Option<String>,
    /// Its first run; `None`: as the schedule says. RFC 3339, a duration (`1h30m`, ISO 8601), as Dapr takes them.
    pub due: Option<String>,
    /// How many runs; `None`: no end.
    pub repeats: Option<u32>,
    /// When it is forgotten, in the same forms as `due`.
    pub ttl: Option<String>,
    /// Whether one of the same name is replaced.
    pub overwrite: bool,
    /// How a run that failed is tried again; `None`: three times, a second apart.
    pub retry: Option<Retry>,
    /// What it is about.
    pub data: Bytes,
    /// The type URL of the data where it is a protobuf `Any`.
    pub type_url: String,
}

/// An outbox table that is relayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relay {
    /// Whose it is.
    pub service: ServiceName,
    /// The database's URL (`sqlite:…`, `postgres://…`); may hold a password, never shown.
    pub url: String,
    /// The table, `outbox`.
    pub table: String,
    /// The topic; `{aggregatetype}` stands for that column. By default `outbox.event.{aggregatetype}`.
    pub topic: String,
}

/// A subscription to streams of events, which catches up and stays. Events come in order, one at a time.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamSubscription {
    /// Its name: its checkpoint is kept under it.
    pub name: String,
    /// Which events.
    pub query: ports::streams::Query,
    /// Whether it begins with the first event; otherwise with the next one that is appended.
    pub from_beginning: bool,
    /// Where events go.
    pub to: Target,
    /// How long the app may take for one.
    pub timeout: Duration,
    /// How often one is tried before it is parked as a dead letter and the next one comes.
    pub retry: Retry,
    /// Where what was given up goes.
    pub dead_letter: DeadLetter,
}

impl Target {
    /// A path of a service in the usual shape.
    #[must_use]
    pub fn post(service: ServiceName, path: &str) -> Self {
        let (method, path) = ("POST".to_owned(), path.to_owned());
        Self::Http { service, method, path, shape: Shape::Structured }
    }
}
