//! A topic of the contract as a plain data structure: no task, no clock, no disk. Time is an argument.

use super::{
    super::super::{
        Error, GroupConfig, GroupName, GroupStatus, Message, NewMessage, Offset, Published, Start,
        TopicConfig, TopicName, TopicStatus,
    },
    group::Group,
};
use base::Timestamp;
use bytes::Bytes;
use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

/// The engine's two clocks at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    /// For deadlines.
    pub(super) moment: Duration,
    /// For people, and for retention.
    pub(super) time: Timestamp,
}

#[derive(Debug)]
pub(super) struct Topic {
    name: TopicName,
    /// Tells it apart from another one that had or will have its name.
    pub(super) serial: u64,
    pub(super) config: TopicConfig,
    messages: BTreeMap<Offset, Message>,
    last: Offset,
    bytes: usize,
    ids: HashMap<String, (Offset, Duration)>,
    groups: BTreeMap<GroupName, Group>,
}

impl Topic {
    pub(super) fn new(name: TopicName, serial: u64, config: TopicConfig) -> Self {
        Self {
            name,
            serial,
            config,
            messages: BTreeMap::new(),
            last: Offset(0),
            bytes: 0,
            ids: HashMap::new(),
            groups: BTreeMap::new(),
        }
    }

    /// Lets go what has had its time: messages, ids, ephemeral groups.
    pub(super) fn tick(&mut self, now: Now) {
        let window = self.config.dedup_window;
        self.ids.retain(|_, (_, taken)| now.moment.saturating_sub(*taken) < window);
        while let Some((offset, message)) = self.messages.first_key_value() {
            let age_us = u128::from(now.time.0.saturating_sub(message.time.0));
            let is_old = self.config.retain.is_some_and(|retain| age_us >= retain.as_micros());
            let without = self.bytes - size(message);
            let is_beyond = self
                .config
                .max_bytes
                .is_some_and(|most| u64::try_from(without).is_ok_and(|without| without >= most.0));
            if !is_old && !is_beyond {
                break;
            }
            let first = *offset;
            self.remove(first);
        }
        self.groups.retain(|_, group| !group.is_forgotten(now.moment));
    }

    /// What an engine's end leaves of it.
    pub(super) fn restart(&mut self) {
        self.groups.retain(|_, group| group.config().durable);
        for group in self.groups.values_mut() {
            group.restart();
        }
    }

    pub(super) fn publish(&mut self, now: Now, messages: Vec<NewMessage>) -> Vec<Published> {
        messages.into_iter().map(|message| self.take(now, message)).collect()
    }

    fn take(&mut self, now: Now, new: NewMessage) -> Published {
        if let Some((offset, _)) = new.id.as_ref().and_then(|id| self.ids.get(id)) {
            return Published { offset: *offset, duplicate: true };
        }
        let offset = self.last.next();
        self.last = offset;
        if let Some(id) = &new.id
            && !self.config.dedup_window.is_zero()
        {
            self.ids.insert(id.clone(), (offset, now.moment));
        }
        let NewMessage { id, key, headers, payload } = new;
        let id = id.unwrap_or_else(|| format!("memory.{}.{offset}", self.serial));
        let message = Message { offset, time: now.time, id, key, headers, payload };
        self.bytes += size(&message);
        self.messages.insert(offset, message);
        Published { offset, duplicate: false }
    }

    fn remove(&mut self, offset: Offset) {
        if let Some(message) = self.messages.remove(&offset) {
            self.bytes -= size(&message);
            for group in self.groups.values_mut() {
                group.forget(offset);
            }
        }
    }

    pub(super) fn purge(&mut self, before: Option<Offset>) -> u64 {
        let before = before.unwrap_or_else(|| self.last.next());
        let gone: Vec<Offset> = self.messages.range(..before).map(|(offset, _)| *offset).collect();
        for offset in &gone {
            self.remove(*offset);
        }
        u64::try_from(gone.len()).unwrap_or(u64::MAX)
    }

    /// The first offset that a start means.
    pub(super) fn position(&self, start: Start) -> Offset {
        match start {
            Start::Beginning => Offset(1),
            Start::End => self.last.next(),
            Start::Offset(offset) => offset,
            Start::Time(time) => {
                let mut messages = self.messages.values();
                let first = messages.find(|message| message.time >= time);
                first.map_or_else(|| self.last.next(), |message| message.offset)
            }
        }
    }

    pub(super) fn from(&self, offset: Offset) -> impl Iterator<Item = &Message> {
        self.messages.range(offset..).map(|(_, message)| message)
    }

    /// Makes sure that a group is there with this configuration.
    pub(super) fn ensure_group(
        &mut self,
        name: &GroupName,
        config: GroupConfig,
        serial: u64,
        has_parallel_keys: bool,
    ) {
        let position = self.position(config.start);
        match self.groups.get_mut(name) {
            Some(group) => group.configure(config),
            None => {
                self.groups
                    .insert(name.clone(), Group::new(serial, config, position, has_parallel_keys));
            }
        }
    }

    pub(super) fn group(&mut self, name: &GroupName) -> Result<&mut Group, Error> {
        let (topic, group) = (&self.name, name);
        self.groups
            .get_mut(name)
            .ok_or_else(|| Error::NoGroup { topic: topic.clone(), group: group.clone() })
    }

    pub(super) fn remove_group(&mut self, name: &GroupName) {
        self.groups.remove(name);
    }

    /// Delivers to a group: see [`Group::take`].
    pub(super) fn deliver(
        &mut self,
        name: &GroupName,
        now: Duration,
        max: usize,
    ) -> Result<Vec<(Message, u32, u64)>, Error> {
        let messages = &self.messages;
        let (topic, group) = (&self.name, name);
        let group = self
            .groups
            .get_mut(name)
            .ok_or_else(|| Error::NoGroup { topic: topic.clone(), group: group.clone() })?;
        let taken = group.take(messages, now, max);
        let with = |(offset, attempt, token)| {
            messages.get(&offset).map(|message| (message.clone(), attempt, token))
        };
        Ok(taken.into_iter().filter_map(with).collect())
    }

    pub(super) fn statuses(&self, now: Duration) -> Vec<GroupStatus> {
        let status = |(name, group): (&GroupName, &Group)| {
            group.status(&self.name, name, &self.messages, now)
        };
        self.groups.iter().map(status).collect()
    }

    pub(super) fn status(&self) -> TopicStatus {
        TopicStatus {
            name: self.name.clone(),
            config: self.config,
            first: self.messages.keys().next().copied().unwrap_or_else(|| self.last.next()),
            last: self.last,
            messages: u64::try_from(self.messages.len()).unwrap_or(u64::MAX),
            bytes: u64::try_from(self.bytes).unwrap_or(u64::MAX),
            groups: self.groups.len(),
        }
    }
}

fn size(message: &Message) -> usize {
    let headers: usize = message.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    let key = message.key.as_ref().map_or(0, Bytes::len);
    message.payload.len() + key + message.id.len() + headers
}
