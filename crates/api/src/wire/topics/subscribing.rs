//! Who is subscribed, and which tables are relayed.

use super::super::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Subscriptions of this node that messages are pushed to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Subscriptions {
    /// By topic and group.
    pub subscriptions: Vec<Subscription>,
}

/// A subscription that messages are pushed to. Its counters begin with the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Subscription {
    /// The topic.
    pub topic: String,
    /// The group.
    pub group: String,
    /// Who asked for it.
    pub declared_by: DeclaredBy,
    /// The service that takes the messages; null: several, or a connection.
    pub service: Option<String>,
    /// Which ways messages take; the first one that matches.
    pub routes: Vec<Route>,
    /// Where messages go that are given up; null: nowhere.
    pub dead_topic: Option<String>,
    /// Deliveries, repeated ones among them.
    pub delivered: u64,
    /// Messages that are done.
    pub done: u64,
    /// Deliveries that failed and are tried again.
    pub retried: u64,
    /// Messages that became dead letters.
    pub dead: u64,
    /// Messages that were given up and are kept nowhere.
    pub dropped: u64,
    /// Messages that are being worked on.
    pub in_flight: u64,
    /// Why nothing is delivered at the moment.
    pub paused: Option<String>,
    /// What went wrong last.
    pub last_error: Option<String>,
}

/// A way that messages take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SubscriptionRoute")]
pub struct Route {
    /// The condition in CEL; null: always.
    pub when: Option<String>,
    /// Where to, in words.
    pub to: String,
}

/// Who asked for a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeclaredBy {
    /// The file.
    File,
    /// The app, when it was asked.
    App,
    /// A connection that is open.
    Connection,
}

/// Tables in which services leave messages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Relays {
    /// By service.
    pub relays: Vec<Relay>,
}

/// A table in which a service leaves messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Relay {
    /// The service.
    pub service: String,
    /// The table.
    pub table: String,
    /// The topic, with its place-holder.
    pub topic: String,
    /// Rows that this node has published and deleted.
    pub relayed: u64,
    /// When there was nothing left to publish, or when a row was published last.
    pub last_at: Option<Time>,
    /// Why rows stay where they are.
    pub trouble: Option<String>,
}
