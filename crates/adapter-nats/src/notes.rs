//! What the port knows of topics and groups and JetStream does not: JSON in their descriptions.

use crate::names::Ids;
use base::{ByteSize, Timestamp};
use ports::broker::{GroupConfig, Offset, Order, Start, TopicConfig};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The version of what is written. One that is not known is read as if there were none.
const VERSION: u32 = 1;

/// How a topic was asked for. JetStream's own settings are bounded in other ways, and would not come back the same.
#[derive(Debug, Serialize, Deserialize)]
struct TopicNote {
    version: u32,
    retain: Option<Duration>,
    max_bytes: Option<u64>,
    dedup_window: Duration,
}

pub(crate) fn write_topic(config: TopicConfig) -> String {
    let TopicConfig { retain, max_bytes, dedup_window } = config;
    let max_bytes = max_bytes.map(|size| size.0);
    let note = TopicNote { version: VERSION, retain, max_bytes, dedup_window };
    serde_json::to_string(&note).unwrap_or_default()
}

pub(crate) fn read_topic(description: &str) -> Option<TopicConfig> {
    let note: TopicNote = serde_json::from_str(description).ok()?;
    let TopicNote { version, retain, max_bytes, dedup_window } = note;
    let config = TopicConfig { retain, max_bytes: max_bytes.map(ByteSize), dedup_window };
    (version == VERSION).then_some(config)
}

pub(crate) fn ids(config: TopicConfig) -> Ids {
    if config.dedup_window.is_zero() { Ids::Free } else { Ids::Compared }
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StartNote {
    Beginning,
    End,
    Offset(u64),
    /// Microseconds.
    Time(u64),
}

#[derive(Debug, Serialize, Deserialize)]
struct GroupNote {
    version: u32,
    start: StartNote,
    from: StartNote,
    ack_wait: Duration,
    max_in_flight: u32,
    by_key: bool,
    durable: bool,
}

/// A group as it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) config: GroupConfig,
    /// Where it really began, or was sent: what is before is none of its business, even where JetStream, which knows no
    /// place behind the end, begins earlier.
    pub(crate) from: Start,
}

impl Group {
    pub(crate) fn write(&self) -> String {
        let Self { config, from } = *self;
        let note = GroupNote {
            version: VERSION,
            start: config.start.into(),
            from: from.into(),
            ack_wait: config.ack_wait,
            max_in_flight: config.max_in_flight,
            by_key: config.order == Order::Key,
            durable: config.durable,
        };
        serde_json::to_string(&note).unwrap_or_default()
    }

    pub(crate) fn read(description: &str) -> Option<Self> {
        let note: GroupNote = serde_json::from_str(description).ok()?;
        let config = GroupConfig {
            start: note.start.into(),
            ack_wait: note.ack_wait,
            max_in_flight: note.max_in_flight,
            order: if note.by_key { Order::Key } else { Order::None },
            durable: note.durable,
        };
        let from = note.from.into();
        (note.version == VERSION).then_some(Self { config, from })
    }

    /// Messages that may be delivered and not settled: one where order counts, as JetStream knows no keys.
    pub(crate) fn in_flight(&self) -> u32 {
        match self.config.order {
            Order::None => self.config.max_in_flight,
            Order::Key => 1,
        }
    }
}

impl From<Start> for StartNote {
    fn from(start: Start) -> Self {
        match start {
            Start::Beginning => Self::Beginning,
            Start::End => Self::End,
            Start::Offset(offset) => Self::Offset(offset.0),
            Start::Time(time) => Self::Time(time.0),
        }
    }
}

impl From<StartNote> for Start {
    fn from(note: StartNote) -> Self {
        match note {
            StartNote::Beginning => Self::Beginning,
            StartNote::End => Self::End,
            StartNote::Offset(offset) => Self::Offset(Offset(offset)),
            StartNote::Time(time) => Self::Time(Timestamp(time)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Group, read_topic, write_topic};
    use base::{ByteSize, Timestamp};
    use ports::broker::{GroupConfig, Offset, Order, Start, TopicConfig};
    use std::time::Duration;

    #[test]
    fn settings_come_back_as_they_were() {
        let odd = TopicConfig {
            retain: Some(Duration::from_nanos(1_234_567_891)),
            max_bytes: Some(ByteSize(u64::MAX)),
            dedup_window: Duration::ZERO,
        };
        for config in [odd, TopicConfig::default(), TopicConfig { retain: None, ..odd }] {
            assert_eq!(read_topic(&write_topic(config)), Some(config));
        }
        let starts =
            [Start::Beginning, Start::End, Start::Offset(Offset(7)), Start::Time(Timestamp(8))];
        for start in starts {
            let config = GroupConfig { start, order: Order::Key, ..GroupConfig::default() };
            let group = Group { config, from: Start::Offset(Offset(9)) };
            assert_eq!(Group::read(&group.write()), Some(group));
        }
    }

    #[test]
    fn what_others_wrote_is_not_read() {
        for text in ["", "a description", "{}", r#"{"version":2}"#] {
            assert_eq!((read_topic(text), Group::read(text)), (None, None), "{text}");
        }
    }
}
