//! What is written to the journal at once: each command is decided against what those before it leave, before any of it
//! is durable.

use ports::broker::{
    Error, GroupConfig, GroupName, NewMessage, Offset, Published, TopicConfig, TopicName,
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, MutexGuard},
    time::Duration,
};
use tracing::warn;

use logic::delivery::Snapshot;

use super::{
    cursor::{Cursor, since},
    dedup::{Dedup, IDS_MAX, Print},
    group::{DRAWN, Group},
    record::{GroupMade, Record, Settled, TopicMade, put_messages},
    shared::{Shared, chance, micros},
    stored,
    topic::Topic,
};
use crate::log::Batch;

/// Messages that a topic gets.
#[derive(Debug)]
pub(super) struct Coming {
    pub(super) topic: Arc<Topic>,
    /// The offset that the next one gets.
    next: u64,
    /// When they are taken.
    time: u64,
    pub(super) bytes: Vec<u8>,
    ids: HashMap<Print, u64>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    shared: &'a Shared,
    batch: &'a mut Batch,
    /// The wall clock.
    date: u64,
    coming: BTreeMap<u64, Coming>,
    records: Vec<Record>,
    /// Groups of which something was settled.
    settling: Vec<Arc<Group>>,
    /// Nothing may be added.
    is_closed: bool,
}

/// What is to become visible.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) coming: BTreeMap<u64, Coming>,
    pub(super) records: Vec<Record>,
    pub(super) settling: Vec<Arc<Group>>,
}

impl<'a> Plan<'a> {
    pub(super) fn new(shared: &'a Shared, batch: &'a mut Batch) -> Self {
        batch.clear();
        let date = shared.clock.date().0;
        let (coming, records, settling) = (BTreeMap::new(), Vec::new(), Vec::new());
        Self { shared, batch, date, coming, records, settling, is_closed: false }
    }

    /// Bytes that the journal will get.
    pub(super) fn bytes(&self) -> u64 {
        self.batch.len()
    }

    /// Entries that the journal will get.
    pub(super) fn entries(&self) -> u32 {
        self.batch.count()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed
    }

    pub(super) fn end(self) -> Planned {
        Planned { coming: self.coming, records: self.records, settling: self.settling }
    }

    pub(super) fn publish(
        &mut self,
        topic: &Arc<Topic>,
        messages: &[NewMessage],
    ) -> Result<Vec<Published>, Error> {
        let (window, last, time) = {
            let state = topic.state();
            if state.is_removed {
                return Err(Error::NoTopic(topic.name.clone()));
            }
            (state.config.dedup_window, state.last, state.last_time.max(self.date))
        };
        let has_ids = !window.is_zero() && messages.iter().any(|message| message.id.is_some());
        let mut dedup = has_ids.then(|| self.dedup(topic, window));
        let coming = self.coming.entry(topic.number).or_insert_with(|| Coming {
            topic: Arc::clone(topic),
            next: last + 1,
            time,
            bytes: Vec::new(),
            ids: HashMap::new(),
        });
        let cutoff = time.saturating_sub(micros(window));
        let mut answers = Vec::with_capacity(messages.len());
        let mut is_kept = |message: &NewMessage| {
            let print = match (&mut dedup, &message.id) {
                (Some(dedup), Some(id)) => {
                    let print = dedup.print(id.as_bytes());
                    let known = coming.ids.get(&print).copied();
                    if let Some(offset) = known.or_else(|| dedup.get(print, cutoff)) {
                        answers.push(Published { offset: Offset(offset), duplicate: true });
                        return None;
                    }
                    Some(print)
                }
                _ => None,
            };
            let offset = coming.next;
            coming.next += 1;
            coming.ids.extend(print.map(|print| (print, offset)));
            answers.push(Published { offset: Offset(offset), duplicate: false });
            Some(offset)
        };
        let before = coming.bytes.len();
        for message in messages {
            if let Some(offset) = is_kept(message) {
                stored::encode(&mut coming.bytes, topic.uid, offset, time, message);
            }
        }
        if coming.bytes.len() > before {
            put_messages(self.batch.entry(), topic.number, &coming.bytes[before..]);
        }
        Ok(answers)
    }

    /// The ids of a topic, which are read from its messages if they were not since the engine was opened.
    fn dedup<'t>(&self, topic: &'t Topic, window: Duration) -> MutexGuard<'t, Dedup> {
        let mut dedup = topic.dedup();
        if let Some(upto) = dedup.unread.take() {
            let from = self.date.saturating_sub(micros(window));
            if let Err(error) = self.read_ids(topic, &mut dedup, from, upto) {
                // Refusing to take messages for that would be worse than taking one twice.
                let error: &dyn std::error::Error = &error;
                warn!(
                    topic = %topic.name, error = %base::ErrorChain(error),
                    "ids of earlier messages cannot be read: a message that is published again may be there twice"
                );
            }
        }
        dedup
    }

    fn read_ids(
        &self,
        topic: &Topic,
        dedup: &mut Dedup,
        from: u64,
        upto: u64,
    ) -> Result<(), Error> {
        let first = since(&self.shared.files, topic, from);
        let first = first.map_err(|error| self.shared.cannot_read(error))?;
        let ids_max = u64::try_from(IDS_MAX).unwrap_or(u64::MAX);
        let Some(first) = first else { return Ok(()) };
        let mut cursor = Cursor::new(first.max(upto.saturating_sub(ids_max)));
        while cursor.next() <= upto && cursor.fill_now(self.shared, topic)? {
            cursor.ids(self.shared, topic, |id, offset, time| {
                let print = dedup.print(id);
                dedup.insert(print, offset, time);
            })?;
        }
        Ok(())
    }

    pub(super) fn settled(&mut self, group: Arc<Group>, settled: Settled) {
        if group.state().is_behind {
            let state = group.made(self.shared.clock.now()).state;
            let (topic, group) = (settled.topic, group.number);
            Record::GroupIs { topic, group, state }.encode(self.batch.entry());
        } else if !settled.done.is_empty() || !settled.returned.is_empty() {
            Record::Settled(settled).encode(self.batch.entry());
        }
        self.settling.push(group);
    }

    fn record(&mut self, record: Record) {
        record.encode(self.batch.entry());
        self.records.push(record);
    }

    pub(super) fn ensure(&mut self, name: TopicName, config: TopicConfig) {
        self.is_closed = true;
        match self.shared.topics().by_name.get(&name) {
            Some(topic) => {
                if topic.state().config != config {
                    self.record(Record::TopicConfigured { topic: topic.number, config });
                }
            }
            None => {
                let topic = self.shared.topics().next_topic;
                let uid = chance();
                self.record(Record::TopicMade(TopicMade { topic, uid, name, config }));
            }
        }
    }

    pub(super) fn remove(&mut self, name: &TopicName) {
        self.is_closed = true;
        if let Some(topic) = self.shared.topics().by_name.get(name) {
            self.record(Record::TopicRemoved { topic: topic.number });
        }
    }

    /// The offset that the next message of a topic gets.
    fn next(&self, topic: &Topic) -> Result<u64, Error> {
        let state = topic.state();
        if state.is_removed {
            return Err(Error::NoTopic(topic.name.clone()));
        }
        Ok(self.coming.get(&topic.number).map_or(state.last + 1, |coming| coming.next))
    }

    pub(super) fn purge(&mut self, topic: &Topic, before: Option<u64>) -> Result<u64, Error> {
        let next = self.next(topic)?;
        self.is_closed = true;
        let before = before.unwrap_or(next).min(next);
        let first = topic.state().first;
        if before > first {
            self.keep_ids(topic);
            self.record(Record::First { topic: topic.number, first: before });
        }
        Ok(before.saturating_sub(first))
    }

    pub(super) fn join(
        &mut self,
        topic: &Topic,
        name: &GroupName,
        config: GroupConfig,
        start: Option<u64>,
    ) -> Result<(), Error> {
        let next = self.next(topic)?;
        self.is_closed = true;
        let found = topic.groups().get(name).cloned();
        let number = topic.number;
        let Some(group) = found else {
            let floor = start.unwrap_or(next).saturating_sub(1);
            let group = GroupMade {
                group: if config.durable {
                    self.shared.topics().next_group
                } else {
                    DRAWN | chance()
                },
                name: name.clone(),
                config,
                state: Snapshot { floor, ..Snapshot::default() },
            };
            self.group_made(number, group);
            return Ok(());
        };
        let before = group.state().config;
        let config = GroupConfig { start: before.start, ..config };
        if config == before {
            return Ok(());
        }
        match (before.durable, config.durable) {
            (false, true) => {
                let made = GroupMade { config, ..group.made(self.shared.clock.now()) };
                Record::GroupMade { topic: number, group: made }.encode(self.batch.entry());
            }
            (true, false) => {
                // The journal forgets it, the engine does not.
                let gone = Record::GroupRemoved { topic: number, group: group.number };
                gone.encode(self.batch.entry());
            }
            (true, true) => {
                let configured =
                    Record::GroupConfigured { topic: number, group: group.number, config };
                configured.encode(self.batch.entry());
            }
            (false, false) => {}
        }
        let group = group.number;
        self.records.push(Record::GroupConfigured { topic: number, group, config });
        Ok(())
    }

    fn group_made(&mut self, topic: u64, group: GroupMade) {
        if group.config.durable {
            self.record(Record::GroupMade { topic, group });
        } else {
            self.records.push(Record::GroupMade { topic, group });
        }
    }

    pub(super) fn leave(&mut self, topic: &Topic, name: &GroupName) -> Result<(), Error> {
        self.next(topic)?;
        self.is_closed = true;
        if let Ok(group) = topic.group(name) {
            self.group_removed(topic.number, group.number, group.state().config.durable);
        }
        Ok(())
    }

    pub(super) fn group_removed(&mut self, topic: u64, group: u64, is_durable: bool) {
        let record = Record::GroupRemoved { topic, group };
        if is_durable {
            self.record(record);
        } else {
            self.records.push(record);
        }
    }

    pub(super) fn seek(
        &mut self,
        topic: &Topic,
        name: &GroupName,
        to: Option<u64>,
    ) -> Result<(), Error> {
        let next = self.next(topic)?;
        let group = topic.group(name)?;
        self.is_closed = true;
        let (epoch, is_durable) = {
            let state = group.state();
            (state.machine.epoch() + 1, state.config.durable)
        };
        let to = to.unwrap_or(next);
        let record = Record::Sought { topic: topic.number, group: group.number, epoch, to };
        if is_durable {
            self.record(record);
        } else {
            self.records.push(record);
        }
        Ok(())
    }

    /// Gives up what may go. Nothing is asked of a topic that gets messages now: its turn comes.
    pub(super) fn retain(&mut self, topic: &Topic) {
        let first = {
            let state = topic.state();
            let cutoff = state.config.retain.map(|retain| self.date.saturating_sub(micros(retain)));
            let first = state.retained(cutoff);
            (first > state.first && !state.is_removed).then_some(first)
        };
        if let Some(first) = first {
            self.keep_ids(topic);
            self.record(Record::First { topic: topic.number, first });
        }
    }

    /// Messages are about to go: their ids are read before, if they were not yet.
    fn keep_ids(&self, topic: &Topic) {
        let window = topic.state().config.dedup_window;
        if !window.is_zero() {
            drop(self.dedup(topic, window));
        }
    }
}

impl Coming {
    /// Notes the ids of what is durable.
    pub(super) fn remember(&mut self) {
        if self.ids.is_empty() {
            return;
        }
        let mut dedup = self.topic.dedup();
        for (print, offset) in self.ids.drain() {
            dedup.insert(print, offset, self.time);
        }
    }
}
