//! What topics take and tell.

use crate::{
    Error, Event, Retry,
    dead::{self, DeadInfo},
};
use base::Timestamp;
use ports::broker::{GroupName, GroupStatus, Message, Offset, Reader, TopicName, TopicStatus};

/// An event that shall be published.
#[derive(Clone, Debug, Default)]
pub struct Outgoing {
    /// The event.
    pub event: Event,
    /// Makes a second publish within the topic's window a duplicate.
    pub message_id: Option<String>,
    /// Not before this time.
    pub at: Option<Timestamp>,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Published {
    /// It is in the topic.
    Now {
        /// Where.
        offset: Offset,
        /// It was there already.
        duplicate: bool,
    },
    /// It will be.
    Later {
        /// What it is called until then.
        id: String,
        /// When.
        at: Timestamp,
    },
}

/// A message that waits for its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Later {
    /// What it is called until then.
    pub id: String,
    /// When it is published.
    pub at: Timestamp,
    /// What it says.
    pub event: Event,
}

/// A topic with all that is known of it.
#[derive(Clone, Debug)]
pub struct TopicInfo {
    /// As the broker has it.
    pub status: TopicStatus,
    /// Its groups; empty in lists.
    pub groups: Vec<GroupStatus>,
    /// How many dead letters are kept.
    pub dead: u64,
    /// Where they are.
    pub dead_topic: Option<TopicName>,
    /// How often its messages are tried where a subscription does not say.
    pub retry: Retry,
    /// The file names it.
    pub of_file: bool,
}

/// A message as it stands in a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Where.
    pub offset: Offset,
    /// Since when.
    pub time: Timestamp,
    /// What makes a second one a duplicate.
    pub message_id: String,
    /// What it says.
    pub event: Event,
    /// What it was before it was given up.
    pub dead: Option<DeadInfo>,
    /// The only group that it is for: it was re-driven.
    pub only_group: Option<GroupName>,
}

impl Stored {
    pub(crate) fn of(message: &Message) -> Self {
        Self {
            offset: message.offset,
            time: message.time,
            message_id: message.id.clone(),
            event: Event::from_message(message),
            dead: DeadInfo::of(message),
            only_group: dead::only_group(message),
        }
    }
}

/// A dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dead {
    /// As it stands in the topic of dead letters.
    pub stored: Stored,
    /// What it was before.
    pub info: DeadInfo,
}

/// Which dead letters are published again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Redrive {
    /// The oldest ones, at most so many.
    All {
        /// At most [`REDRIVE_MAX`](crate::REDRIVE_MAX).
        limit: usize,
    },
    /// Those that stand there in the topic of dead letters.
    Offsets(Vec<Offset>),
}

/// Reads a topic from anywhere on, without a group.
#[derive(Debug)]
pub struct Replay(pub(super) Box<dyn Reader>);

impl Replay {
    /// Waits for messages and gives those that are there, at least one, at most `max`.
    ///
    /// # Errors
    /// As [`Reader::next`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn next(&mut self, max: usize) -> Result<Vec<Stored>, Error> {
        Ok(self.0.next(max).await?.iter().map(Stored::of).collect())
    }
}
