//! Topics: messages, groups, dead letters, subscriptions, outboxes.

mod subscribing;

pub use subscribing::*;

use super::{Time, state::given};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// Topics, and the broker that keeps them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Topics {
    /// By name.
    pub topics: Vec<Topic>,
    /// What keeps them.
    pub broker: Broker,
}

/// What keeps topics.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Broker {
    /// Where it is: a folder, an address.
    pub place: String,
    /// Whether it answered when it was asked last.
    pub up: bool,
    /// Why not.
    pub trouble: Option<String>,
    /// What an acknowledged message survives.
    pub durable: Durability,
    /// In a group that keeps the order of keys, different keys are delivered at the same time.
    pub parallel_keys: bool,
    /// A group can be moved while it is subscribed to.
    pub live_seek: bool,
    /// Other nodes see the same topics.
    pub shared: bool,
}

/// What an acknowledged message survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// The end of the process.
    Process,
    /// The end of the machine.
    Machine,
    /// What the server was set up to survive.
    Server,
}

/// A topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// The file names it.
    pub of_file: bool,
    /// Messages that are kept.
    pub messages: u64,
    /// What they take.
    pub size_bytes: u64,
    /// Where the oldest one stands that is kept.
    pub first: u64,
    /// Where the newest one stands that ever was; 0: none.
    pub last: u64,
    /// How long messages are kept at least; null: for ever.
    pub retain_ms: Option<u64>,
    /// How many bytes are kept at least; null: any.
    pub retain_bytes: Option<u64>,
    /// For how long a message id is remembered.
    pub dedup_ms: u64,
    /// How often a message is tried where a subscription does not say; null: without end.
    pub attempts_max: Option<u32>,
    /// The first pause between two attempts; it doubles.
    pub backoff_first_ms: u64,
    /// The longest pause between two attempts.
    pub backoff_max_ms: u64,
    /// Where what was given up is, once there is any.
    pub dead_topic: Option<String>,
    /// How many dead letters wait there.
    pub dead: u64,
    /// How many groups it has.
    pub groups: u64,
}

/// A topic and its groups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TopicDetail {
    /// The topic.
    pub topic: Topic,
    /// Its groups, by name.
    pub groups: Vec<Group>,
    /// Subscriptions of this node that messages are pushed to.
    pub subscriptions: Vec<Subscription>,
}

/// Groups of a topic.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "TopicGroups")]
pub struct Groups {
    /// By name.
    pub groups: Vec<Group>,
}

/// Who shares the messages of a topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "TopicGroup")]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Everything up to this offset is settled.
    pub settled: u64,
    /// Messages that are kept and not settled.
    pub lag: u64,
    /// Delivered and not settled.
    pub in_flight: u64,
    /// Failed or not settled in time, and not delivered again yet.
    pub waiting: u64,
    /// Who takes part on this node.
    pub subscriptions: u64,
    /// How long a message may take.
    pub ack_wait_ms: u64,
    /// Most messages in flight.
    pub in_flight_max: u32,
    /// Messages of the same key come one after the other.
    pub keeps_order: bool,
    /// It is kept when nobody takes part.
    pub durable: bool,
}

/// A message to publish. At most one of `data`, `text` and `base64`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TopicPublish")]
pub struct Publish {
    /// The data as JSON, kept byte for byte.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "serde_json::Value")]
    pub data: Option<Box<RawValue>>,
    /// The data as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The data as base 64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
    /// Only the data counts: the message gets no attributes of an event.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub raw: bool,
    /// A second message with the same id is a duplicate, as long as the topic remembers ids. It is also the event's id,
    /// which is made up when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Messages of the same key stay in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What happened; the topic's name when it is left out.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Who says so; `flotilla` when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// What it happened to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// What kind of data it is; by default what it looks like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// Further attributes of the event: names of lower-case letters and digits.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extensions: BTreeMap<String, String>,
    /// It is published after this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_ms: Option<u64>,
    /// It is published at this time. Not together with `after_ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Time>,
    /// Nobody wants it any more after this time, counted from now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
}

/// What became of a message: it has an offset, or an id and a time until when it waits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "TopicPublished")]
pub struct Published {
    /// Where it stands.
    pub offset: Option<u64>,
    /// It was there already.
    pub duplicate: bool,
    /// What it is called until its time has come.
    pub later: Option<String>,
    /// When that is.
    pub at: Option<Time>,
}

/// Messages in order.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "TopicMessages")]
pub struct Messages {
    /// Oldest first.
    pub messages: Vec<Message>,
    /// What to give as `from` for those that follow; null: there are no more at the moment.
    pub next: Option<u64>,
}

/// A message as it stands in a topic.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "TopicMessage")]
pub struct Message {
    /// Where it stands.
    pub offset: u64,
    /// Since when.
    pub at: Time,
    /// What makes a second one a duplicate.
    pub message_id: String,
    /// What it says.
    pub event: Event,
    /// The only group that it is for: it was a dead letter and was brought back.
    pub only_group: Option<String>,
    /// What it was before it was given up, when it is a dead letter.
    pub dead: Option<DeadLetter>,
}

/// What a message says: the attributes of CloudEvents 1.0, and the data in one of three forms.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "TopicEvent")]
pub struct Event {
    /// Tells the event apart from all others of its source; null: the message is only data.
    pub id: Option<String>,
    /// Who says so.
    pub source: Option<String>,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// What it happened to.
    pub subject: Option<String>,
    /// When, as the publisher wrote it.
    pub time: Option<String>,
    /// What kind of data it is.
    pub content_type: Option<String>,
    /// Where the data is described.
    pub schema: Option<String>,
    /// Further attributes.
    pub extensions: BTreeMap<String, String>,
    /// Messages of the same key stay in order; null: it has none, or one that is no text.
    pub key: Option<String>,
    /// A key that is no text, as base 64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_base64: Option<String>,
    /// After this time nobody wants it any more.
    pub expires_at: Option<Time>,
    /// The data, when it is JSON; byte for byte as it was published.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "serde_json::Value")]
    pub data: Option<Box<RawValue>>,
    /// The data, when it is other text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The data, when it is no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
}

/// What a message was before it was given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeadLetter {
    /// The topic that it stood in.
    pub topic: String,
    /// Where it stood there.
    pub offset: u64,
    /// The group that gave it up.
    pub group: String,
    /// Why.
    pub reason: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was given up.
    pub at: Time,
}

/// Dead letters that wait.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct DeadLetters {
    /// Oldest first. Offsets are those in the topic of dead letters.
    pub letters: Vec<Message>,
    /// What to give as `from` for those that follow.
    pub next: Option<u64>,
}

/// Which dead letters are brought back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TopicRedrive")]
pub struct Redrive {
    /// Those that stand there in the topic of dead letters; empty: the oldest ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub offsets: Vec<u64>,
    /// At most so many, up to 10000; as many when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// How many were brought back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "TopicRedriven")]
pub struct Redriven {
    /// Messages that were published again.
    pub redriven: u64,
}

/// Where a group goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TopicSeek")]
pub struct Seek {
    /// `beginning`, `end`, an offset, a time (RFC 3339), or how long ago (`-15m`).
    pub to: String,
}

/// What is removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TopicPurge")]
pub struct Purge {
    /// Only what stands before this offset; all that is there when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
}

/// How many were removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "TopicPurged")]
pub struct Purged {
    /// Messages that are gone.
    pub removed: u64,
}

/// Messages that wait for their time.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "TopicLaters")]
pub struct Laters {
    /// The next one first.
    pub messages: Vec<Later>,
}

/// A message that waits for its time.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "TopicLater")]
pub struct Later {
    /// What it is called until then.
    pub id: String,
    /// When it is published.
    pub at: Time,
    /// What it says.
    pub event: Event,
}
