//! What the writer, the keeper of files and everybody who reads share.

use base::Timestamp;
use ports::broker::{Error, TopicName};
use runtime::Clock;
use std::{
    collections::{BTreeMap, HashMap},
    hash::{BuildHasher, Hasher, RandomState},
    io,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{
    desk::Desk,
    files::Files,
    group::{DRAWN, Group},
    limits::Limits,
    record::Record,
    segment::{Place, Segment},
    topic::{Chunk, State, Topic},
};
use crate::log;

/// All topics.
#[derive(Debug, Default)]
pub(super) struct Topics {
    pub(super) by_name: BTreeMap<TopicName, Arc<Topic>>,
    pub(super) by_number: HashMap<u64, Arc<Topic>>,
    /// Numbers that were never used: files and records of what was removed are never taken for another one's.
    pub(super) next_topic: u64,
    pub(super) next_group: u64,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) clock: Clock,
    /// Where the store is, for people.
    pub(super) place: String,
    pub(super) limits: Limits,
    pub(super) files: Arc<Files>,
    /// Drawn when the engine was opened; stands in receipts.
    pub(super) run: u64,
    topics: RwLock<Topics>,
    pub(super) desk: Desk,
    /// Bytes of all topics that are not in their files yet, and all that are in memory.
    pub(super) unwritten: AtomicU64,
    pub(super) tail: AtomicU64,
    pub(super) is_closed: AtomicBool,
}

/// A number nobody can foresee.
pub(super) fn chance() -> u64 {
    // The standard library seeds these from the system's randomness.
    RandomState::new().build_hasher().finish()
}

pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Shared {
    pub(super) fn new(place: String, limits: Limits, files: Files, clock: Clock) -> Self {
        Self {
            clock,
            place,
            limits,
            files: Arc::new(files),
            run: chance(),
            topics: RwLock::new(Topics { next_topic: 1, next_group: 1, ..Topics::default() }),
            desk: Desk::default(),
            unwritten: AtomicU64::new(0),
            tail: AtomicU64::new(0),
            is_closed: AtomicBool::new(false),
        }
    }

    pub(super) fn topics(&self) -> RwLockReadGuard<'_, Topics> {
        self.topics.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn topics_mut(&self) -> RwLockWriteGuard<'_, Topics> {
        self.topics.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn topic(&self, name: &TopicName) -> Result<Arc<Topic>, Error> {
        let found = self.topics().by_name.get(name).cloned();
        found.ok_or_else(|| Error::NoTopic(name.clone()))
    }

    /// All topics, as they are at this moment.
    pub(super) fn all_topics(&self) -> Vec<Arc<Topic>> {
        self.topics().by_name.values().cloned().collect()
    }

    /// The engine's clock in milliseconds.
    pub(super) fn now(&self) -> u64 {
        millis(self.clock.now().since_start())
    }

    pub(super) fn date(&self) -> Timestamp {
        self.clock.date()
    }

    /// Whether it still answers.
    pub(super) fn check_open(&self) -> Result<(), Error> {
        if self.is_closed.load(Ordering::Acquire) { Err(self.closed()) } else { Ok(()) }
    }

    pub(super) fn closed(&self) -> Error {
        self.unavailable(Arc::new(io::Error::other("the engine was shut down")))
    }

    pub(super) fn unavailable(&self, cause: Arc<dyn std::error::Error + Send + Sync>) -> Error {
        Error::Unavailable { place: self.place.clone(), cause }
    }

    /// What a reader is told when a file cannot be read.
    pub(super) fn cannot_read(&self, error: log::Error) -> Error {
        let place = self.place.clone();
        match error {
            log::Error::Io { .. } => Error::Unavailable { place, cause: Arc::new(error) },
            log::Error::Damaged { .. } | log::Error::Newer { .. } => {
                Error::Refused { place, cause: Arc::new(error) }
            }
        }
    }

    /// Answers nobody any more, and lets those know who wait.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        self.all_topics().iter().for_each(|topic| topic.tell());
    }

    /// Changes what a topic holds.
    pub(super) fn change<T>(&self, topic: &Topic, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = topic.state();
        let (unwritten, tail) = (state.unwritten, state.tail_bytes);
        let result = change(&mut state);
        let add = |total: &AtomicU64, before: u64, after: u64| {
            // Both wrap alike, so the sum is right whichever is larger.
            total.fetch_add(after.wrapping_sub(before), Ordering::Relaxed);
        };
        add(&self.unwritten, unwritten, state.unwritten);
        add(&self.tail, tail, state.tail_bytes);
        result
    }

    /// Makes durable messages visible.
    pub(super) fn push(&self, topic: &Topic, chunk: Chunk) {
        self.change(topic, |state| state.push(chunk));
        topic.tell();
    }

    /// Makes visible what the journal has. What is there already stays as it is.
    pub(super) fn apply(&self, record: Record) {
        match record {
            Record::TopicMade(made) => {
                let mut topics = self.topics_mut();
                topics.next_topic = topics.next_topic.max(made.topic + 1);
                if topics.by_number.contains_key(&made.topic) {
                    return;
                }
                let topic = Topic::new(made.topic, made.uid, made.name.clone(), made.config);
                let topic = Arc::new(topic);
                topics.by_number.insert(made.topic, Arc::clone(&topic));
                topics.by_name.insert(made.name, topic);
            }
            Record::GroupMade { topic, group } => {
                {
                    let mut topics = self.topics_mut();
                    if group.group < DRAWN {
                        topics.next_group = topics.next_group.max(group.group + 1);
                    }
                }
                let Some(topic) = self.topic_of_number(topic) else { return };
                if topic.group_of_number(group.group).is_none() {
                    let made = Group::new(&group, self.clock.now());
                    made.purge_before(topic.state().first);
                    topic.groups().insert(group.name, Arc::new(made));
                }
            }
            Record::TopicRemoved { topic } => self.remove(topic),
            Record::TopicConfigured { topic, config } => {
                if let Some(topic) = self.topic_of_number(topic) {
                    topic.state().config = config;
                }
            }
            Record::First { topic, first } => {
                if let Some(topic) = self.topic_of_number(topic) {
                    self.set_first(&topic, first);
                }
            }
            Record::GroupConfigured { topic, group, config } => {
                self.with_group(topic, group, |group| group.configure(config));
            }
            Record::GroupRemoved { topic, group } => {
                let Some(topic) = self.topic_of_number(topic) else { return };
                let Some(group) = topic.group_of_number(group) else { return };
                topic.groups().remove(&group.name);
                group.remove();
            }
            Record::Sought { topic, group, epoch, to } => {
                let first = self.topic_of_number(topic).map_or(0, |topic| topic.state().first);
                self.with_group(topic, group, |group| {
                    group.seek(epoch, to);
                    group.purge_before(first);
                });
            }
            Record::Settled(settled) => {
                let (now, date) = (self.clock.now(), self.date());
                self.with_group(settled.topic, settled.group, |group| {
                    group.replay(&settled, now, date);
                });
            }
            Record::GroupIs { topic, group, state } => {
                let now = self.clock.now();
                self.with_group(topic, group, |group| group.replace(&state, now));
            }
        }
    }

    pub(super) fn topic_of_number(&self, number: u64) -> Option<Arc<Topic>> {
        self.topics().by_number.get(&number).cloned()
    }

    fn with_group(&self, topic: u64, group: u64, change: impl FnOnce(&Group)) {
        let topic = self.topic_of_number(topic);
        if let Some(group) = topic.and_then(|topic| topic.group_of_number(group)) {
            change(&group);
        }
    }

    fn remove(&self, number: u64) {
        let topic = {
            let mut topics = self.topics_mut();
            let Some(topic) = topics.by_number.remove(&number) else { return };
            topics.by_name.remove(&topic.name);
            topic
        };
        let gone = self.change(&topic, |state| {
            state.is_removed = true;
            state.tail.clear();
            (state.tail_bytes, state.unwritten) = (0, 0);
            std::mem::take(&mut state.segments)
        });
        self.remove_files(&topic, gone);
        topic.groups().values().for_each(|group| group.remove());
        topic.tell();
    }

    fn set_first(&self, topic: &Topic, first: u64) {
        let gone = self.change(topic, |state| state.set_first(first));
        self.remove_files(topic, gone);
        let groups: Vec<_> = topic.groups().values().cloned().collect();
        groups.iter().for_each(|group| group.purge_before(first));
        topic.tell();
    }

    /// Has files removed that nothing leads to any more.
    pub(super) fn remove_files(&self, topic: &Topic, gone: impl IntoIterator<Item = Segment>) {
        let places = gone.into_iter().map(|it| Place { topic: topic.number, first: it.first });
        self.desk.remove(places.collect());
    }
}
