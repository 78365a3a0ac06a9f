//! How a topic keeps its messages.

use super::{DEDUP_WINDOW_MAX, Error, Offset, TopicName};
use base::ByteSize;
use std::time::Duration;

/// How a topic keeps its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicConfig {
    /// How long at least; what is older may go. `None`: for ever.
    pub retain: Option<Duration>,
    /// How many bytes at least; what is beyond may go, oldest first. `None`: any.
    pub max_bytes: Option<ByteSize>,
    /// For how long an id is remembered, at most [`DEDUP_WINDOW_MAX`]; zero: not at all.
    pub dedup_window: Duration,
}

impl Default for TopicConfig {
    /// A week, any number of bytes, two minutes.
    fn default() -> Self {
        Self {
            retain: Some(Duration::from_secs(7 * 24 * 3_600)),
            max_bytes: None,
            dedup_window: Duration::from_secs(120),
        }
    }
}

/// A topic at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicStatus {
    /// Its name.
    pub name: TopicName,
    /// How it keeps its messages.
    pub config: TopicConfig,
    /// The oldest message that is kept; the one after [`Self::last`] when there is none.
    pub first: Offset,
    /// The newest message that ever was; 0: none.
    pub last: Offset,
    /// Messages that are kept.
    pub messages: u64,
    /// Bytes that they take.
    pub bytes: u64,
    /// Its groups.
    pub groups: usize,
}

impl TopicConfig {
    /// Checks it against the bounds of this port.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn check(&self) -> Result<(), Error> {
        let fail = |text: &str| Err(Error::Invalid(text.to_owned()));
        if self.dedup_window > DEDUP_WINDOW_MAX {
            return fail("ids can be remembered for a day at most");
        }
        if self.retain.is_some_and(|time| time < Duration::from_secs(1)) {
            return fail("messages are retained for a second at least");
        }
        if self.max_bytes == Some(ByteSize(0)) {
            return fail("a topic that keeps no byte keeps nothing");
        }
        Ok(())
    }
}
