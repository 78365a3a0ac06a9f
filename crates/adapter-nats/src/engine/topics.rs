//! Topics: streams.

use super::Shared;
use crate::{
    link::{Fault, api, read},
    names::{self, Ids},
    notes,
    wire::{
        ConsumerNames, Page, Purged, STREAM_NAME_IN_USE, STREAM_NOT_FOUND, StreamInfo, StreamList,
    },
};
use base::ByteSize;
use ports::broker::{Error, GroupName, Offset, TopicConfig, TopicName, TopicStatus};
use serde_json::{Value, json};
use std::{collections::BTreeSet, time::Duration};

/// The shortest window in which JetStream compares ids.
const WINDOW_MIN: Duration = Duration::from_millis(100);

/// The least bytes that a stream is bounded to, so that any message fits into any topic.
const BYTES_MIN: u64 = 2 << 20;

/// How often a topic is tried to be made that somebody else makes and removes at the same time.
const ATTEMPTS_MAX: usize = 5;

impl Shared {
    pub(super) async fn ensure_topic(
        &self,
        topic: &TopicName,
        config: TopicConfig,
    ) -> Result<(), Error> {
        let stream = self.names.stream(topic);
        let settings = self.settings(topic, config);
        for _ in 0..ATTEMPTS_MAX {
            let made =
                self.link.api::<StreamInfo>(&format!("STREAM.CREATE.{stream}"), &settings).await;
            let done = match made {
                Err(fault) if fault.is(STREAM_NAME_IN_USE) => {
                    self.link.api::<StreamInfo>(&format!("STREAM.UPDATE.{stream}"), &settings).await
                }
                other => other,
            };
            match done {
                Ok(_) => {
                    self.remember(topic, notes::ids(config));
                    return Ok(());
                }
                // Removed between the two.
                Err(fault) if fault.is(STREAM_NOT_FOUND) => {}
                Err(fault) => return Err(self.writing(fault)),
            }
        }
        Err(Error::Busy { place: self.link.place().to_owned(), what: "others remove this topic" })
    }

    fn settings(&self, topic: &TopicName, config: TopicConfig) -> Value {
        let nanos = |time: Duration| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
        let age = config.retain.map_or(0, nanos);
        let bytes = |size: ByteSize| i64::try_from(size.0.max(BYTES_MIN)).unwrap_or(i64::MAX);
        // JetStream compares nothing beyond the age of messages, and has no window of nothing.
        let window = nanos(config.dedup_window.max(WINDOW_MIN));
        let window = if age > 0 { window.min(age) } else { window };
        json!({
            "name": self.names.stream(topic),
            "description": notes::write_topic(config),
            "subjects": [self.names.subject(topic, notes::ids(config))],
            "retention": "limits",
            "storage": "file",
            "discard": "old",
            "max_consumers": -1,
            "max_msgs": -1,
            "max_msg_size": -1,
            "max_bytes": config.max_bytes.map_or(-1, bytes),
            "max_age": age,
            "duplicate_window": window,
            "num_replicas": self.replicas,
        })
    }

    pub(super) async fn remove_topic(&self, topic: &TopicName) -> Result<(), Error> {
        self.forget(topic);
        let verb = format!("STREAM.DELETE.{}", self.names.stream(topic));
        match self.link.api::<Value>(&verb, &Value::Null).await {
            Err(fault) if !fault.is(STREAM_NOT_FOUND) => Err(self.writing(fault)),
            _ => Ok(()),
        }
    }

    pub(super) async fn topics(&self) -> Result<Vec<TopicStatus>, Error> {
        let body = json!({ "subject": self.names.subjects() });
        let infos = self.link.list::<StreamList>("STREAM.LIST", body).await;
        let infos = infos.map_err(|fault| self.reading(fault))?;
        let ours =
            infos.into_iter().filter_map(|info| Some((self.names.topic(&info.config.name)?, info)));
        let ours: Vec<(TopicName, StreamInfo)> = ours.collect();
        let with_consumers = ours.iter().filter(|(_, info)| info.state.consumer_count > 0);
        let asks = with_consumers.map(|(_, info)| {
            api(&format!("CONSUMER.NAMES.{}", info.config.name), &json!({ "offset": 0 }))
        });
        let mut names = self.link.ask_all(asks.collect()).await.into_iter();
        let mut topics = Vec::with_capacity(ours.len());
        for (topic, info) in ours {
            let mut groups = 0;
            if info.state.consumer_count > 0 {
                groups = match names.next().map(read::<ConsumerNames>) {
                    Some(Ok(page)) => count(&page.items()),
                    // Removed meanwhile.
                    Some(Err(fault)) if fault.is(STREAM_NOT_FOUND) => continue,
                    Some(Err(fault)) => return Err(self.reading(fault)),
                    None => 0,
                };
            }
            topics.push(status(topic, &info, groups));
        }
        topics.sort_by(|one, other| one.name.cmp(&other.name));
        topics.dedup_by(|one, other| one.name == other.name);
        Ok(topics)
    }

    pub(super) async fn group_count(
        &self,
        topic: &TopicName,
        info: &StreamInfo,
    ) -> Result<usize, Error> {
        if info.state.consumer_count == 0 {
            return Ok(0);
        }
        Ok(count(&self.consumers(topic).await?))
    }

    /// The names of all consumers of a topic.
    pub(super) async fn consumers(&self, topic: &TopicName) -> Result<Vec<String>, Error> {
        let verb = format!("CONSUMER.NAMES.{}", self.names.stream(topic));
        let names = self.link.list::<ConsumerNames>(&verb, json!({})).await;
        names.map_err(|fault| self.of_topic(fault, topic, Fault::of_reading))
    }

    pub(super) async fn purge(
        &self,
        topic: &TopicName,
        before: Option<Offset>,
    ) -> Result<u64, Error> {
        let info = self.stream(topic).await?;
        let body = match before {
            Some(before) if before.0 <= info.state.first_seq.max(1) => return Ok(0),
            // Beyond the end JetStream would skip the offsets up to there.
            Some(before) if before.0 <= info.state.last_seq => json!({ "seq": before.0 }),
            _ => Value::Null,
        };
        // Servers of the 2.9 line forget what is in flight behind the cut, too.
        let before_it =
            if body.is_null() { Vec::new() } else { self.consumer_infos(topic).await? };
        let verb = format!("STREAM.PURGE.{}", self.names.stream(topic));
        let purged: Result<Purged, Fault> = self.link.api(&verb, &body).await;
        let purged = purged.map_err(|fault| self.of_topic(fault, topic, Fault::of_writing))?;
        if let Some(cut) = before {
            self.bring_back(topic, cut, &before_it).await?;
        }
        Ok(purged.purged)
    }
}

/// How many groups there are, some of which may have a consumer of an epoch before.
fn count(consumers: &[String]) -> usize {
    let groups: BTreeSet<GroupName> =
        consumers.iter().filter_map(|name| Some(names::group(name)?.0)).collect();
    groups.len()
}

pub(super) fn status(name: TopicName, info: &StreamInfo, groups: usize) -> TopicStatus {
    let state = &info.state;
    let first = if state.messages == 0 { state.last_seq + 1 } else { state.first_seq };
    TopicStatus {
        name,
        config: config(info),
        first: Offset(first),
        last: Offset(state.last_seq),
        messages: state.messages,
        bytes: state.bytes,
        groups,
    }
}

/// The settings as they were asked for; of a stream that somebody else made, what comes next to them.
pub(super) fn config(info: &StreamInfo) -> TopicConfig {
    let stream = &info.config;
    let made = || TopicConfig {
        retain: (stream.max_age > 0).then(|| Duration::from_nanos(stream.max_age)),
        max_bytes: u64::try_from(stream.max_bytes).ok().filter(|size| *size > 0).map(ByteSize),
        dedup_window: Duration::from_nanos(stream.duplicate_window),
    };
    notes::read_topic(&stream.description).unwrap_or_else(made)
}

pub(super) fn ids(info: &StreamInfo) -> Ids {
    notes::ids(config(info))
}
