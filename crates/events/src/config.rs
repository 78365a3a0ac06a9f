//! What the service is made of.

use crate::{Deliver, Outboxes, Wanted};
use ports::{broker::Broker, kv::Kv, streams::Streams};
use runtime::Clock;
use std::sync::Arc;

/// What the service is made of.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where messages are.
    pub broker: Arc<dyn Broker>,
    /// Where events are.
    pub streams: Arc<dyn Streams>,
    /// Where it is kept what is delayed, scheduled, checkpointed.
    pub kv: Arc<dyn Kv>,
    /// Who carries events to apps.
    pub deliver: Arc<dyn Deliver>,
    /// Who opens databases.
    pub outboxes: Arc<dyn Outboxes>,
    /// The system's name: it stands before all keys in the kv engine.
    pub system: String,
    /// The time.
    pub clock: Clock,
    /// What is asked for at first.
    pub wanted: Wanted,
}
