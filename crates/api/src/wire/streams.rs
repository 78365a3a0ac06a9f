//! Streams of events: the events that are the truth of event-sourced services.

use super::{Time, state::given};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Streams by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Streams {
    /// Some of them.
    pub streams: Vec<Stream>,
    /// What to give as `after` for those that follow.
    pub next: Option<String>,
    /// How many streams there are.
    pub total: u64,
    /// The position of the last event of all.
    pub position: u64,
    /// What they take.
    pub size_bytes: u64,
}

/// A stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "EventStream")]
pub struct Stream {
    /// Its name.
    pub name: String,
    /// The revision of its last event; the first one has 0.
    pub revision: u64,
    /// The position of its last event among all.
    pub position: u64,
    /// When that was appended.
    pub at: Time,
    /// The revision that its snapshot is of; null: it has none, or a list does not say.
    pub snapshot: Option<u64>,
}

/// Events in the order that was asked for.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "StreamEvents")]
pub struct Events {
    /// The events.
    pub events: Vec<Event>,
    /// What to give as `from` for those that follow; null: there are no more at the moment.
    pub next: Option<u64>,
}

/// An event of a stream. Its data is in one of three forms, or in none when it is empty.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "StreamEvent")]
pub struct Event {
    /// Where it stands among all events: from 1, without gaps.
    pub position: u64,
    /// Its stream.
    pub stream: String,
    /// Where it stands in its stream: from 0, without gaps.
    pub revision: u64,
    /// When it was appended.
    pub at: Time,
    /// Tells it apart from all others of its stream.
    pub id: String,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it is about besides its stream.
    pub tags: Vec<String>,
    /// The data, when it is JSON; byte for byte as it was appended.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "serde_json::Value")]
    pub data: Option<Box<RawValue>>,
    /// The data, when it is other text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The data, when it is no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
    /// What the application says of it, when that is JSON.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "serde_json::Value")]
    pub metadata: Option<Box<RawValue>>,
    /// What the application says of it, when that is something else, as base 64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata_base64: Option<String>,
}

/// Events to append together: all or none.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "StreamAppend")]
pub struct Append {
    /// What the stream must be like: `any` (when it is left out), `no_stream`, `exists`, or the revision of its last event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// At most 500.
    pub events: Vec<NewEvent>,
}

/// An event to append. At most one of `data`, `text` and `base64`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "StreamNewEvent")]
pub struct NewEvent {
    /// Tells it apart from all others of its stream: the same append again is answered as the first one was. It is made up
    /// when it is left out; then nothing may be tried twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it is about besides its stream.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
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
    /// What the application says of it.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "serde_json::Value")]
    pub metadata: Option<Box<RawValue>>,
}

/// Where events were appended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "StreamAppended")]
pub struct Appended {
    /// The revision of the last one.
    pub revision: u64,
    /// The position of the last one.
    pub position: u64,
    /// They were there already.
    pub duplicate: bool,
}

/// What a stream comes to at a revision.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "StreamSnapshot")]
pub struct Snapshot {
    /// The revision of the last event that is in it.
    pub revision: u64,
    /// What kind of data it is.
    pub content_type: Option<String>,
    /// The data, when it is JSON; byte for byte as it was written.
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

/// Subscriptions that catch up and stay.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StreamSubscriptions {
    /// By name.
    pub subscriptions: Vec<StreamSubscription>,
}

/// A subscription to streams that catches up and stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StreamSubscription {
    /// Its name.
    pub name: String,
    /// Where events go, in words.
    pub to: String,
    /// Everything up to this position is done.
    pub position: u64,
    /// Positions after it, of which not all need be events that it wants.
    pub lag: u64,
    /// This node delivers; if not, another one does. What follows is this node's part, since it started.
    pub here: bool,
    /// Deliveries, repeated ones among them.
    pub delivered: u64,
    /// Events that are done.
    pub done: u64,
    /// Events that were given up.
    pub dead: u64,
    /// Why nothing is delivered at the moment.
    pub paused: Option<String>,
    /// What went wrong last.
    pub last_error: Option<String>,
}

/// Where a subscription goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "StreamReset")]
pub struct Reset {
    /// Everything up to this position counts as done; 0: nothing does.
    pub position: u64,
}
