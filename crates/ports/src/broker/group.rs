//! Groups: who shares the messages of a topic, and how each is settled.

use super::{
    ACK_WAIT_MAX, ACK_WAIT_MIN, Error, GroupName, IN_FLIGHT_MAX, Message, Offset, TopicName,
};
use base::Timestamp;
use std::time::Duration;

/// Where reading begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With the oldest message that is kept.
    Beginning,
    /// With the first message that is taken later.
    End,
    /// With this message, or the first one that is kept after it.
    Offset(Offset),
    /// With the first message that was taken at that time or later.
    Time(Timestamp),
}

/// What is kept in order for a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Nothing: any subscription gets any message.
    #[default]
    None,
    /// Messages of one key: one is delivered when those before it are settled. One that waits for its next attempt holds up
    /// its own key only, as far as [`super::Capabilities::parallel_keys`] says. Messages without a key hold up nothing.
    Key,
}

/// How a group gets its messages. A group whose configuration is given anew keeps its place; `start` counts only
/// when it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupConfig {
    /// Where it begins.
    pub start: Start,
    /// How long a subscription may take to settle a message before it is delivered again, [`ACK_WAIT_MIN`] to
    /// [`ACK_WAIT_MAX`].
    pub ack_wait: Duration,
    /// Most messages that are delivered and not settled, 1 to [`IN_FLIGHT_MAX`].
    pub max_in_flight: u32,
    /// What is kept in order.
    pub order: Order,
    /// Whether it goes on where it was after its last subscription has ended. If not, it is forgotten about
    /// [`super::EPHEMERAL_GRACE`] later, and with the engine.
    pub durable: bool,
}

impl Default for GroupConfig {
    /// From the end, 30 s, 256 in flight, no order, durable.
    fn default() -> Self {
        Self {
            start: Start::End,
            ack_wait: Duration::from_secs(30),
            max_in_flight: 256,
            order: Order::None,
            durable: true,
        }
    }
}

/// A group at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupStatus {
    /// Its topic.
    pub topic: TopicName,
    /// Its name.
    pub name: GroupName,
    /// How it gets its messages.
    pub config: GroupConfig,
    /// Everything up to this one is settled.
    pub settled: Offset,
    /// Messages that are kept and not settled, those in flight among them.
    pub lag: u64,
    /// Delivered and not settled.
    pub in_flight: u64,
    /// Given back, or not settled in time, and not delivered again yet.
    pub waiting: u64,
    /// Subscriptions on this node.
    pub subscriptions: usize,
}

/// Names one delivery of a message, for settling it; also by another process, which may have it as text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Receipt(pub String);

/// A message that a subscription has to settle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The message.
    pub message: Message,
    /// How often it was delivered to this group, this time included. It survives the end of the engine, but may then be
    /// too low by those deliveries that were never settled in any way.
    pub attempt: u32,
    /// For settling it.
    pub receipt: Receipt,
}

/// What becomes of a delivered message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settle {
    /// It is done. Of an older delivery this may still count: the work was done.
    Ack,
    /// It comes again, not before this time has passed, [`ACK_WAIT_MAX`] at most. Of an older delivery this does nothing.
    Nack(Duration),
    /// It is still being worked on: `ack_wait` begins anew. Of an older delivery this does nothing.
    Extend,
}

impl GroupConfig {
    /// Checks it against the bounds of this port.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn check(&self) -> Result<(), Error> {
        if !(ACK_WAIT_MIN..=ACK_WAIT_MAX).contains(&self.ack_wait) {
            let message = "a message must be settled within 100 ms to 24 h";
            return Err(Error::Invalid(message.to_owned()));
        }
        if !(1..=IN_FLIGHT_MAX).contains(&self.max_in_flight) {
            let message = format!("1 to {IN_FLIGHT_MAX} messages may be in flight");
            return Err(Error::Invalid(message));
        }
        Ok(())
    }
}
