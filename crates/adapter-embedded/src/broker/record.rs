//! What stands in the journal.
//!
//! Each record says what is, not how it was before, so one that is read again after a checkpoint that has seen it
//! already changes nothing.

use base::{ByteSize, Timestamp};
use logic::delivery::{Attempts, Snapshot};
use ports::broker::{GroupConfig, GroupName, Offset, Order, Start, TopicConfig, TopicName};
use std::time::Duration;

use crate::bits::{Bits, put_bytes, put_number};

/// One entry of the journal, but for messages, which [`put_messages`] writes without copying them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Record {
    TopicMade(TopicMade),
    TopicConfigured {
        topic: u64,
        config: TopicConfig,
    },
    TopicRemoved {
        topic: u64,
    },
    /// Messages before `first` are gone.
    First {
        topic: u64,
        first: u64,
    },
    GroupMade {
        topic: u64,
        group: GroupMade,
    },
    GroupConfigured {
        topic: u64,
        group: u64,
        config: GroupConfig,
    },
    GroupRemoved {
        topic: u64,
        group: u64,
    },
    Sought {
        topic: u64,
        group: u64,
        epoch: u64,
        to: u64,
    },
    Settled(Settled),
    /// How a group is, when the journal could not be told how it came to that.
    GroupIs {
        topic: u64,
        group: u64,
        state: Snapshot,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TopicMade {
    pub(super) topic: u64,
    /// Drawn for it; goes into checksums and ids.
    pub(super) uid: u64,
    pub(super) name: TopicName,
    pub(super) config: TopicConfig,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GroupMade {
    pub(super) group: u64,
    pub(super) name: GroupName,
    pub(super) config: GroupConfig,
    pub(super) state: Snapshot,
}

/// What became of deliveries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Settled {
    pub(super) topic: u64,
    pub(super) group: u64,
    pub(super) epoch: u64,
    pub(super) done: Vec<u64>,
    pub(super) returned: Vec<Returned>,
}

/// A message that was given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Returned {
    pub(super) offset: u64,
    pub(super) attempts: u32,
    /// The wall time at which it may come again.
    pub(super) due: Timestamp,
}

/// What is read from the journal.
#[derive(Debug)]
pub(super) enum Entry<'a> {
    Record(Record),
    /// Messages of a topic, as [`super::stored`] has them.
    Messages {
        topic: u64,
        bytes: &'a [u8],
    },
}

const TOPIC_MADE: u8 = 1;
const TOPIC_CONFIGURED: u8 = 2;
const TOPIC_REMOVED: u8 = 3;
const MESSAGES: u8 = 4;
const FIRST: u8 = 5;
const GROUP_MADE: u8 = 6;
const GROUP_CONFIGURED: u8 = 7;
const GROUP_REMOVED: u8 = 8;
const SOUGHT: u8 = 9;
const SETTLED: u8 = 10;
const GROUP_IS: u8 = 11;

/// Appends messages of a topic, as [`super::stored`] has them.
pub(super) fn put_messages(out: &mut Vec<u8>, topic: u64, messages: &[u8]) {
    out.push(MESSAGES);
    put_number(out, topic);
    put_bytes(out, messages);
}

impl<'a> Entry<'a> {
    /// Reads the next one. `None`: there is none that this release knows.
    pub(super) fn decode(bits: &mut Bits<'a>) -> Option<Self> {
        if bits.0.first() != Some(&MESSAGES) {
            return Record::decode(bits).map(Self::Record);
        }
        bits.byte()?;
        let topic = bits.number()?;
        Some(Self::Messages { topic, bytes: bits.bytes()? })
    }
}

impl Record {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let begin = |out: &mut Vec<u8>, kind: u8, topic: u64| {
            out.push(kind);
            put_number(out, topic);
        };
        match self {
            Self::TopicMade(made) => {
                out.push(TOPIC_MADE);
                made.encode(out);
            }
            Self::TopicConfigured { topic, config } => {
                begin(out, TOPIC_CONFIGURED, *topic);
                put_topic_config(out, config);
            }
            Self::TopicRemoved { topic } => begin(out, TOPIC_REMOVED, *topic),
            Self::First { topic, first } => {
                begin(out, FIRST, *topic);
                put_number(out, *first);
            }
            Self::GroupMade { topic, group } => {
                begin(out, GROUP_MADE, *topic);
                group.encode(out);
            }
            Self::GroupConfigured { topic, group, config } => {
                begin(out, GROUP_CONFIGURED, *topic);
                put_number(out, *group);
                put_group_config(out, config);
            }
            Self::GroupRemoved { topic, group } => {
                begin(out, GROUP_REMOVED, *topic);
                put_number(out, *group);
            }
            Self::Sought { topic, group, epoch, to } => {
                begin(out, SOUGHT, *topic);
                [*group, *epoch, *to].into_iter().for_each(|number| put_number(out, number));
            }
            Self::Settled(settled) => {
                out.push(SETTLED);
                settled.encode(out);
            }
            Self::GroupIs { topic, group, state } => {
                begin(out, GROUP_IS, *topic);
                put_number(out, *group);
                put_state(out, state);
            }
        }
    }

    fn decode(bits: &mut Bits<'_>) -> Option<Self> {
        let kind = bits.byte()?;
        if kind == TOPIC_MADE {
            return TopicMade::decode(bits).map(Self::TopicMade);
        }
        if kind == SETTLED {
            return Settled::decode(bits).map(Self::Settled);
        }
        let topic = bits.number()?;
        Some(match kind {
            TOPIC_CONFIGURED => Self::TopicConfigured { topic, config: topic_config(bits)? },
            TOPIC_REMOVED => Self::TopicRemoved { topic },
            FIRST => Self::First { topic, first: bits.number()? },
            GROUP_MADE => Self::GroupMade { topic, group: GroupMade::decode(bits)? },
            GROUP_CONFIGURED => {
                Self::GroupConfigured { topic, group: bits.number()?, config: group_config(bits)? }
            }
            GROUP_REMOVED => Self::GroupRemoved { topic, group: bits.number()? },
            SOUGHT => {
                let [group, epoch, to] = [bits.number()?, bits.number()?, bits.number()?];
                Self::Sought { topic, group, epoch, to }
            }
            GROUP_IS => Self::GroupIs { topic, group: bits.number()?, state: state(bits)? },
            _ => return None,
        })
    }
}

impl TopicMade {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_number(out, self.topic);
        put_number(out, self.uid);
        put_bytes(out, self.name.as_str().as_bytes());
        put_topic_config(out, &self.config);
    }

    pub(super) fn decode(bits: &mut Bits<'_>) -> Option<Self> {
        let (topic, uid) = (bits.number()?, bits.number()?);
        let name = TopicName::new(std::str::from_utf8(bits.bytes()?).ok()?).ok()?;
        Some(Self { topic, uid, name, config: topic_config(bits)? })
    }
}

impl GroupMade {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_number(out, self.group);
        put_bytes(out, self.name.as_str().as_bytes());
        put_group_config(out, &self.config);
        put_state(out, &self.state);
    }

    pub(super) fn decode(bits: &mut Bits<'_>) -> Option<Self> {
        let group = bits.number()?;
        let name = GroupName::new(std::str::from_utf8(bits.bytes()?).ok()?).ok()?;
        Some(Self { group, name, config: group_config(bits)?, state: state(bits)? })
    }
}

fn put_state(out: &mut Vec<u8>, state: &Snapshot) {
    put_number(out, state.floor);
    put_number(out, state.epoch);
    put_len(out, state.settled.len());
    for (first, last) in &state.settled {
        put_number(out, *first);
        put_number(out, *last);
    }
    put_len(out, state.attempts.len());
    for Attempts { offset, attempts, wait } in &state.attempts {
        put_number(out, *offset);
        put_number(out, (*attempts).into());
        put_duration(out, *wait);
    }
}

fn state(bits: &mut Bits<'_>) -> Option<Snapshot> {
    let (floor, epoch) = (bits.number()?, bits.number()?);
    // The numbers are not trusted for taking memory.
    let settled = (0..bits.number()?).map(|_| Some((bits.number()?, bits.number()?)));
    let settled = settled.collect::<Option<_>>()?;
    let attempts = (0..bits.number()?).map(|_| {
        let (offset, attempts) = (bits.number()?, u32::try_from(bits.number()?).ok()?);
        Some(Attempts { offset, attempts, wait: duration(bits)? })
    });
    let attempts = attempts.collect::<Option<_>>()?;
    Some(Snapshot { floor, settled, epoch, attempts })
}

impl Settled {
    fn encode(&self, out: &mut Vec<u8>) {
        [self.topic, self.group, self.epoch].into_iter().for_each(|it| put_number(out, it));
        put_len(out, self.done.len());
        let mut before = 0_u64;
        for offset in &self.done {
            // Mostly the next one, in either direction.
            put_number(out, zigzag(before, *offset));
            before = *offset;
        }
        put_len(out, self.returned.len());
        for Returned { offset, attempts, due } in &self.returned {
            put_number(out, *offset);
            put_number(out, (*attempts).into());
            put_number(out, due.0);
        }
    }

    fn decode(bits: &mut Bits<'_>) -> Option<Self> {
        let (topic, group, epoch) = (bits.number()?, bits.number()?, bits.number()?);
        let mut before = 0_u64;
        let done = (0..bits.number()?).map(|_| {
            before = unzigzag(before, bits.number()?);
            Some(before)
        });
        let done = done.collect::<Option<_>>()?;
        let returned = (0..bits.number()?).map(|_| {
            let (offset, attempts) = (bits.number()?, u32::try_from(bits.number()?).ok()?);
            Some(Returned { offset, attempts, due: Timestamp(bits.number()?) })
        });
        let returned = returned.collect::<Option<_>>()?;
        Some(Self { topic, group, epoch, done, returned })
    }
}

/// How far it is from one offset to another one, small for small steps.
fn zigzag(from: u64, to: u64) -> u64 {
    if to >= from {
        to.wrapping_sub(from).wrapping_mul(2)
    } else {
        from.wrapping_sub(to).wrapping_mul(2).wrapping_sub(1)
    }
}

fn unzigzag(from: u64, step: u64) -> u64 {
    let half = step / 2;
    if step.is_multiple_of(2) {
        from.wrapping_add(half)
    } else {
        from.wrapping_sub(half).wrapping_sub(1)
    }
}

fn put_len(out: &mut Vec<u8>, len: usize) {
    put_number(out, u64::try_from(len).unwrap_or(u64::MAX));
}

fn put_duration(out: &mut Vec<u8>, duration: Duration) {
    put_number(out, u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
}

fn duration(bits: &mut Bits<'_>) -> Option<Duration> {
    bits.number().map(Duration::from_micros)
}

fn put_topic_config(out: &mut Vec<u8>, config: &TopicConfig) {
    // 0 stands for none: neither a time nor a size of zero is allowed.
    put_duration(out, config.retain.unwrap_or_default());
    put_number(out, config.max_bytes.map_or(0, |bytes| bytes.0));
    put_duration(out, config.dedup_window);
}

fn topic_config(bits: &mut Bits<'_>) -> Option<TopicConfig> {
    let retain = Some(duration(bits)?).filter(|retain| !retain.is_zero());
    let max_bytes = Some(bits.number()?).filter(|bytes| *bytes != 0).map(ByteSize);
    Some(TopicConfig { retain, max_bytes, dedup_window: duration(bits)? })
}

fn put_group_config(out: &mut Vec<u8>, config: &GroupConfig) {
    let (kind, number) = match config.start {
        Start::Beginning => (0, 0),
        Start::End => (1, 0),
        Start::Offset(offset) => (2, offset.0),
        Start::Time(time) => (3, time.0),
    };
    out.push(kind);
    put_number(out, number);
    put_duration(out, config.ack_wait);
    put_number(out, config.max_in_flight.into());
    out.push(match config.order {
        Order::None => 0,
        Order::Key => 1,
    });
    out.push(u8::from(config.durable));
}

fn group_config(bits: &mut Bits<'_>) -> Option<GroupConfig> {
    let (kind, number) = (bits.byte()?, bits.number()?);
    let start = match kind {
        0 => Start::Beginning,
        1 => Start::End,
        2 => Start::Offset(Offset(number)),
        3 => Start::Time(Timestamp(number)),
        _ => return None,
    };
    let ack_wait = duration(bits)?;
    let max_in_flight = u32::try_from(bits.number()?).ok()?;
    let order = match bits.byte()? {
        0 => Order::None,
        1 => Order::Key,
        _ => return None,
    };
    let durable = match bits.byte()? {
        0 => false,
        1 => true,
        _ => return None,
    };
    Some(GroupConfig { start, ack_wait, max_in_flight, order, durable })
}
