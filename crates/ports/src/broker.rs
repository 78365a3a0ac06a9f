//! Where messages wait for those who want them: durable topics and groups that share the work.
//!
//! ```text
//!  publish ──► topic: offset 1, 2, 3 … ──► durable ──► acknowledged
//!                │
//!                ├──► group `mailer`: every message to one of its subscriptions, again until it is settled
//!                ├──► group `stock`: the same, at its own pace
//!                └──► readers: everything in order from anywhere, nothing to settle
//! ```
//!
//! What is *not* here, because it is the same over every engine and is built above this port: delayed and scheduled messages,
//! back-off between attempts, the most attempts and dead letters, routing, push.
//!
//! Contract, beyond what stands at each method:
//! - *Durability.* A message that was acknowledged survives the end of the process, of the engine and of the machine, as far
//!   as [`Capabilities::durable`] says. An engine that cannot keep that (an fsync failed, the disk is full) refuses with
//!   [`Error::Unavailable`] until it is opened anew or has room again; it never acknowledges by luck.
//! - *Order.* A topic has one order, that of its offsets, which grow in the order of acknowledgements of one publisher that
//!   waits for each. Offsets may have gaps. Readers see that order; groups with [`Order::Key`] keep it for messages of the same
//!   key, others promise none.
//! - *Delivery.* A group gets every message that its start and the topic's retention let it see *at least once*: a message is
//!   delivered again when it was not settled within [`GroupConfig::ack_wait`], when it was given back, and when the engine
//!   ended before it had kept the settlement. A settlement that was answered may be lost with the power, never with the
//!   process alone.
//! - *Bounds.* At most [`GroupConfig::max_in_flight`] messages of a group are delivered and not settled. A group, subscription or
//!   reader that is slow holds up nobody else.
//! - *Idempotence.* Two messages of one topic with the same [`NewMessage::id`] within [`TopicConfig::dedup_window`] are one. The
//!   id is the same over redelivery and replay, so consumers can tell by it what they have done.
//! - *Time.* Deadlines and pauses run on the engine's monotonic clock; retention and [`Start::Time`] go by the wall clock at
//!   which messages were taken.

use async_trait::async_trait;
use std::{fmt, time::Duration};

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod error;
mod group;
mod message;
mod name;
mod topic;

pub use error::{Cause, Error, Retry};
pub use group::{Delivery, GroupConfig, GroupStatus, Order, Receipt, Settle, Start};
pub use message::{Message, NewMessage, Published, check};
pub use name::{GroupName, InvalidName, NAME_LEN_MAX, TopicName};
pub use topic::{TopicConfig, TopicStatus};

/// Most bytes of one message: payload, key, id and headers together. With its envelope it fits into what NATS takes at
/// once (1 MiB) and into a value of the `kv` port.
pub const MESSAGE_SIZE_MAX: usize = (1 << 20) - (16 << 10);

/// Longest key in bytes.
pub const KEY_MAX: usize = 1 << 10;

/// Longest id in bytes.
pub const ID_MAX: usize = 256;

/// Most headers of one message.
pub const HEADERS_MAX: usize = 64;

/// Most bytes of the names and values of a message's headers together.
pub const HEADERS_SIZE_MAX: usize = 16 << 10;

/// Most messages of one publish, and of one delivery.
pub const BATCH_MAX: usize = 1_000;

/// Most bytes of one publish, by [`NewMessage::size`].
pub const BATCH_SIZE_MAX: usize = 8 << 20;

/// Most messages of a group that may be in flight.
pub const IN_FLIGHT_MAX: u32 = 65_536;

/// Bounds of [`GroupConfig::ack_wait`], and the longest pause before a message comes again.
pub const ACK_WAIT_MIN: Duration = Duration::from_millis(100);
/// See [`ACK_WAIT_MIN`].
pub const ACK_WAIT_MAX: Duration = Duration::from_secs(24 * 3_600);

/// Longest window in which ids are compared.
pub const DEDUP_WINDOW_MAX: Duration = Duration::from_secs(24 * 3_600);

/// How long the group of an ephemeral subscription outlives it, so that a subscriber that reconnects goes on.
pub const EPHEMERAL_GRACE: Duration = Duration::from_secs(30);

/// Where a message stands in its topic: from 1, growing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(pub u64);

impl Offset {
    /// The one after it.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What an engine offers. What it does not offer it refuses with [`Error::Unsupported`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// What an acknowledgement means.
    pub durable: Durability,
    /// In a group with [`Order::Key`] different keys are delivered at the same time. If not, such a group has one message in
    /// flight at a time.
    pub parallel_keys: bool,
    /// [`Broker::seek`] works while a group has subscriptions.
    pub live_seek: bool,
    /// Other processes see the same topics.
    pub shared: bool,
}

/// What an acknowledged message survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The end of the process.
    Process,
    /// The end of the machine: it was synced to disk.
    Machine,
    /// What the server was set up to survive, which it does not tell: see its own settings.
    Server,
}

/// An engine. Cheap to share; every method may be called from many tasks at once.
#[async_trait]
pub trait Broker: Send + Sync + fmt::Debug {
    /// What it offers. The same for its whole life.
    fn capabilities(&self) -> Capabilities;

    /// Where it is, for people: a folder, an address.
    fn place(&self) -> String;

    /// Makes sure that a topic is there with this configuration. Durable when it returns.
    ///
    /// # Cancel safety
    /// Not cancel safe: it may have been made.
    async fn ensure_topic(&self, topic: &TopicName, config: TopicConfig) -> Result<(), Error>;

    /// Removes a topic with its messages and groups. One that is not there is no error. Its subscriptions and readers end
    /// with [`Error::NoTopic`].
    ///
    /// # Cancel safety
    /// Not cancel safe.
    async fn remove_topic(&self, topic: &TopicName) -> Result<(), Error>;

    /// All topics, by name.
    ///
    /// # Cancel safety
    /// Cancel safe.
    async fn topics(&self) -> Result<Vec<TopicStatus>, Error>;

    /// One topic.
    ///
    /// # Errors
    /// [`Error::NoTopic`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    async fn topic(&self, topic: &TopicName) -> Result<TopicStatus, Error>;

    /// Takes `messages` into a topic, in this order and next to each other as far as others do not publish at the same time;
    /// 1 to [`BATCH_MAX`] of them, [`BATCH_SIZE_MAX`] bytes. Durable when it returns. One answer for each.
    ///
    /// # Errors
    /// [`Error::NoTopic`]; [`Error::TooLarge`] and [`Error::Invalid`] before any is taken; [`Error::Busy`] when more is
    /// waiting than the engine wants to hold. After [`Error::Unknown`] any of them may have been taken: publish those with
    /// an id again.
    ///
    /// # Cancel safety
    /// Not cancel safe: a dropped call may or may not have published.
    async fn publish(
        &self,
        topic: &TopicName,
        messages: Vec<NewMessage>,
    ) -> Result<Vec<Published>, Error>;

    /// Reads a topic in order, without a group.
    ///
    /// # Errors
    /// [`Error::NoTopic`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    async fn read(&self, topic: &TopicName, start: Start) -> Result<Box<dyn Reader>, Error>;

    /// Makes sure that a group is there, and takes part in it.
    ///
    /// # Errors
    /// [`Error::NoTopic`]; [`Error::Invalid`] for a configuration out of bounds.
    ///
    /// # Cancel safety
    /// Not cancel safe: the group may have been made.
    async fn subscribe(
        &self,
        topic: &TopicName,
        group: &GroupName,
        config: GroupConfig,
    ) -> Result<Box<dyn Subscription>, Error>;

    /// Settles deliveries of a group, each by its receipt, of whatever subscription and process. A receipt whose message is
    /// settled already, or gone from the topic, is no error.
    ///
    /// # Errors
    /// [`Error::NoTopic`], [`Error::NoGroup`]; [`Error::Invalid`] for a receipt that this engine never wrote, then
    /// none of them is settled.
    ///
    /// # Cancel safety
    /// Not cancel safe: a dropped call may or may not have settled.
    async fn settle(
        &self,
        topic: &TopicName,
        group: &GroupName,
        settlements: Vec<(Receipt, Settle)>,
    ) -> Result<(), Error>;

    /// The groups of a topic, by name.
    ///
    /// # Errors
    /// [`Error::NoTopic`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    async fn groups(&self, topic: &TopicName) -> Result<Vec<GroupStatus>, Error>;

    /// Lets a group go on from elsewhere: everything before is settled, everything from there on is not. Deliveries that are
    /// in flight are forgotten; what they settle does nothing.
    ///
    /// # Errors
    /// [`Error::NoTopic`], [`Error::NoGroup`]; [`Error::InUse`] where the group has subscriptions and
    /// [`Capabilities::live_seek`] is missing.
    ///
    /// # Cancel safety
    /// Not cancel safe.
    async fn seek(&self, topic: &TopicName, group: &GroupName, to: Start) -> Result<(), Error>;

    /// Forgets a group. One that is not there is no error. Its subscriptions end with [`Error::NoGroup`].
    ///
    /// # Cancel safety
    /// Not cancel safe.
    async fn remove_group(&self, topic: &TopicName, group: &GroupName) -> Result<(), Error>;

    /// Removes the messages before `before`; `None`: all that are there. Answers how many.
    ///
    /// # Errors
    /// [`Error::NoTopic`].
    ///
    /// # Cancel safety
    /// Not cancel safe.
    async fn purge(&self, topic: &TopicName, before: Option<Offset>) -> Result<u64, Error>;
}

/// Messages of a topic in the order of offsets, without gap and without duplicate, except for what retention has removed before
/// it came to it.
#[async_trait]
pub trait Reader: Send + fmt::Debug {
    /// Waits for messages and gives those that are there, at least one, at most `max` (1 to [`BATCH_MAX`], more is taken as
    /// that).
    ///
    /// # Errors
    /// [`Error::NoTopic`] and [`Error::Unavailable`] end the reader: read again from the offset after the last one.
    ///
    /// # Cancel safety
    /// Cancel safe: a message is given by this call or a later one.
    async fn next(&mut self, max: usize) -> Result<Vec<Message>, Error>;
}

/// Takes part in a group until it is dropped. What was delivered to it and not settled is delivered again, to another one, when
/// its `ack_wait` is over.
#[async_trait]
pub trait Subscription: Send + fmt::Debug {
    /// Waits for messages and gives those that may be delivered, at least one, at most `max` (1 to [`BATCH_MAX`], more is
    /// taken as that).
    ///
    /// # Errors
    /// [`Error::NoTopic`], [`Error::NoGroup`] and [`Error::Unavailable`] end the subscription: subscribe again.
    ///
    /// # Cancel safety
    /// Cancel safe: a message that was taken from the group and not given comes again, at the latest when its `ack_wait` is
    /// over.
    async fn next(&mut self, max: usize) -> Result<Vec<Delivery>, Error>;
}
