//! Groups: durable pull consumers.

use super::Shared;
use crate::{
    link::{Fault, api, read},
    names,
    notes::Group,
    reader::begin,
    subscription::Seat,
    wire::{CONSUMER_NOT_FOUND, ConsumerInfo, ConsumerList, STREAM_NOT_FOUND, StreamInfo},
};
use ports::broker::{
    EPHEMERAL_GRACE, Error, GroupConfig, GroupName, GroupStatus, Offset, Order, Start, TopicName,
};
use runtime::Clock;
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, time::Duration};

/// Most requests for messages that wait at one group: one of each subscription, on all nodes.
const WAITING_MAX: u32 = 4_096;

/// How often a group is tried to be joined that others make, move or remove at the same time.
const ATTEMPTS_MAX: usize = 5;

impl Shared {
    /// Makes sure that a group is there, with this configuration.
    pub(super) async fn join(
        &self,
        topic: &TopicName,
        group: &GroupName,
        config: GroupConfig,
    ) -> Result<Seat, Error> {
        let info = self.stream(topic).await?;
        for _ in 0..ATTEMPTS_MAX {
            let mut epochs = self.epochs(topic, group).await?;
            let Some(epoch) = epochs.pop() else {
                // It is looked for again, as another one may have been made at the same time: then one of them goes.
                let kept = Group { config, from: resolve(config.start, &info) };
                self.make(topic, group, Clock::wall().millis(), &kept).await?;
                continue;
            };
            // What a seek left that was broken off, or another one who made it at the same time.
            self.delete(topic, group, &epochs).await?;
            let consumer = names::consumer(group, epoch);
            let Some(known) = self.consumer(topic, &consumer).await? else { continue };
            let mut kept = kept(&known.config);
            let wanted = GroupConfig { start: kept.config.start, ..config };
            if kept.config != wanted {
                kept.config = wanted;
                self.configure(topic, &consumer, known.config, &kept).await?;
            }
            let stream = self.names.stream(topic);
            let (topic, group) = (topic.clone(), group.clone());
            return Ok(Seat { topic, group, stream, created: info.created, consumer, kept });
        }
        Err(Error::Busy { place: self.link.place().to_owned(), what: "others change this group" })
    }

    /// The epochs of a group, ascending; the last one counts.
    pub(crate) async fn epochs(
        &self,
        topic: &TopicName,
        group: &GroupName,
    ) -> Result<Vec<u64>, Error> {
        let consumers = self.consumers(topic).await?;
        let epoch = |name: &String| names::group(name).filter(|(of, _)| of == group);
        let mut epochs: Vec<u64> =
            consumers.iter().filter_map(epoch).map(|(_, epoch)| epoch).collect();
        epochs.sort_unstable();
        Ok(epochs)
    }

    /// What is kept of a group.
    pub(crate) async fn group(
        &self,
        topic: &TopicName,
        group: &GroupName,
        epoch: u64,
    ) -> Result<Option<Group>, Error> {
        let known = self.consumer(topic, &names::consumer(group, epoch)).await?;
        Ok(known.map(|info| kept(&info.config)))
    }

    async fn consumer(
        &self,
        topic: &TopicName,
        consumer: &str,
    ) -> Result<Option<ConsumerInfo>, Error> {
        let verb = format!("CONSUMER.INFO.{}.{consumer}", self.names.stream(topic));
        match self.link.api(&verb, &Value::Null).await {
            Ok(info) => Ok(Some(info)),
            Err(fault) if fault.is(CONSUMER_NOT_FOUND) => Ok(None),
            Err(fault) => Err(self.of_topic(fault, topic, Fault::of_reading)),
        }
    }

    async fn make(
        &self,
        topic: &TopicName,
        group: &GroupName,
        epoch: u64,
        kept: &Group,
    ) -> Result<(), Error> {
        let name = names::consumer(group, epoch);
        let mut config = json!({
            "durable_name": name,
            "name": name,
            "ack_policy": "explicit",
            "max_deliver": -1,
            "max_waiting": WAITING_MAX,
            "replay_policy": "instant",
        });
        begin(&mut config, kept.from);
        let Value::Object(config) = config else { return Ok(()) };
        self.configure(topic, &name, config, kept).await
    }

    /// Makes or changes a consumer: what a group may be told anew is written over.
    async fn configure(
        &self,
        topic: &TopicName,
        consumer: &str,
        mut config: Map<String, Value>,
        kept: &Group,
    ) -> Result<(), Error> {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        config.insert("description".to_owned(), json!(kept.write()));
        config.insert("ack_wait".to_owned(), json!(nanos(kept.config.ack_wait)));
        config.insert("max_ack_pending".to_owned(), json!(kept.in_flight()));
        let grace = if kept.config.durable { Duration::ZERO } else { EPHEMERAL_GRACE };
        config.insert("inactive_threshold".to_owned(), json!(nanos(grace)));
        let stream = self.names.stream(topic);
        let verb = format!("CONSUMER.CREATE.{stream}.{consumer}");
        let body = json!({ "stream_name": stream, "config": config });
        let made: Result<ConsumerInfo, Fault> = self.link.api(&verb, &body).await;
        match made {
            Ok(_) => Ok(()),
            Err(fault) => Err(self.of_topic(fault, topic, Fault::of_writing)),
        }
    }

    async fn delete(
        &self,
        topic: &TopicName,
        group: &GroupName,
        epochs: &[u64],
    ) -> Result<(), Error> {
        let stream = self.names.stream(topic);
        let one = |epoch: &u64| {
            let consumer = names::consumer(group, *epoch);
            api(&format!("CONSUMER.DELETE.{stream}.{consumer}"), &Value::Null)
        };
        for answer in self.link.ask_all(epochs.iter().map(one).collect()).await {
            match read::<Value>(answer) {
                Err(fault) if fault.is(CONSUMER_NOT_FOUND) || fault.is(STREAM_NOT_FOUND) => {}
                Err(fault) => return Err(self.writing(fault)),
                Ok(_) => {}
            }
        }
        Ok(())
    }

    pub(super) async fn seek(
        &self,
        topic: &TopicName,
        group: &GroupName,
        to: Start,
    ) -> Result<(), Error> {
        let no_group = || Error::NoGroup { topic: topic.clone(), group: group.clone() };
        let info = self.stream(topic).await?;
        let epochs = self.epochs(topic, group).await?;
        let epoch = *epochs.last().ok_or_else(no_group)?;
        let before = self.group(topic, group, epoch).await?.ok_or_else(no_group)?;
        let kept = Group { from: resolve(to, &info), ..before };
        self.make(topic, group, Clock::wall().millis().max(epoch + 1), &kept).await?;
        // Subscriptions are told that theirs is gone, and find the new one.
        self.delete(topic, group, &epochs).await
    }

    pub(super) async fn remove_group(
        &self,
        topic: &TopicName,
        group: &GroupName,
    ) -> Result<(), Error> {
        match self.epochs(topic, group).await {
            Ok(epochs) => self.delete(topic, group, &epochs).await,
            Err(Error::NoTopic(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// What JetStream tells of all consumers of a topic.
    pub(super) async fn consumer_infos(
        &self,
        topic: &TopicName,
    ) -> Result<Vec<ConsumerInfo>, Error> {
        let verb = format!("CONSUMER.LIST.{}", self.names.stream(topic));
        let infos = self.link.list::<ConsumerList>(&verb, json!({})).await;
        infos.map_err(|fault| self.of_topic(fault, topic, Fault::of_reading))
    }

    /// After a purge up to `cut`: groups for which nothing is in flight any more, though something behind the cut may have been,
    /// get everything from there on that is not certainly settled; some of it for a second time.
    pub(super) async fn bring_back(
        &self,
        topic: &TopicName,
        cut: Offset,
        before: &[ConsumerInfo],
    ) -> Result<(), Error> {
        let is_at_risk =
            |info: &&ConsumerInfo| info.num_ack_pending > 0 && info.delivered.stream_seq >= cut.0;
        for info in before.iter().filter(is_at_risk) {
            let Some((group, _)) = names::group(&info.name) else { continue };
            let Some(now) = self.consumer(topic, &info.name).await? else { continue };
            if now.num_ack_pending == 0 {
                let from = cut.max(Offset(info.ack_floor.stream_seq + 1));
                self.seek(topic, &group, Start::Offset(from)).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn groups(&self, topic: &TopicName) -> Result<Vec<GroupStatus>, Error> {
        let infos = self.consumer_infos(topic).await?;
        let mut groups: BTreeMap<GroupName, (u64, ConsumerInfo)> = BTreeMap::new();
        for info in infos {
            let Some((name, epoch)) = names::group(&info.name) else { continue };
            if groups.get(&name).is_none_or(|(known, _)| *known < epoch) {
                groups.insert(name, (epoch, info));
            }
        }
        let status = |(name, (_, info)): (GroupName, (u64, ConsumerInfo))| {
            let subscriptions = self.uses.count(topic, &name);
            status(topic, name, &info, subscriptions)
        };
        Ok(groups.into_iter().map(status).collect())
    }
}

/// The end of now, as a place.
fn resolve(start: Start, info: &StreamInfo) -> Start {
    match start {
        Start::End => Start::Offset(Offset(info.state.last_seq + 1)),
        Start::Beginning | Start::Offset(_) | Start::Time(_) => start,
    }
}

/// What was written down of a group; of a consumer that somebody else made, what comes next to it.
fn kept(config: &Map<String, Value>) -> Group {
    let text = config.get("description").and_then(Value::as_str).unwrap_or_default();
    Group::read(text).unwrap_or_else(|| {
        let number = |name: &str| config.get(name).and_then(Value::as_u64);
        let normal = GroupConfig::default();
        let in_flight = number("max_ack_pending").and_then(|number| u32::try_from(number).ok());
        let config = GroupConfig {
            start: Start::Beginning,
            ack_wait: number("ack_wait").map_or(normal.ack_wait, Duration::from_nanos),
            max_in_flight: in_flight.unwrap_or(normal.max_in_flight),
            order: Order::None,
            durable: number("inactive_threshold").unwrap_or_default() == 0,
        };
        Group { config, from: Start::Beginning }
    })
}

fn status(
    topic: &TopicName,
    name: GroupName,
    info: &ConsumerInfo,
    subscriptions: usize,
) -> GroupStatus {
    let group = kept(&info.config);
    let begin = match group.from {
        Start::Offset(offset) => offset.0.saturating_sub(1),
        Start::Beginning | Start::End | Start::Time(_) => 0,
    };
    // The floor follows settlements, and stands still where there is nothing to settle.
    let delivered = if info.num_ack_pending == 0 { info.delivered.stream_seq } else { 0 };
    GroupStatus {
        topic: topic.clone(),
        name,
        config: group.config,
        settled: Offset(info.ack_floor.stream_seq.max(delivered).max(begin)),
        lag: info.num_pending + info.num_ack_pending,
        // JetStream does not tell those that wait for their next attempt from those that are worked on.
        in_flight: info.num_ack_pending,
        waiting: 0,
        subscriptions,
    }
}
