//! Topics as others use them.

mod letters;
mod pull;
mod vocabulary;

pub use letters::REDRIVE_MAX;
pub(crate) use pull::Rules;
pub use pull::{Pull, PullConfig, Pulled, Settlement};
pub use vocabulary::{Dead, Later, Outgoing, Published, Redrive, Replay, Stored, TopicInfo};

use crate::{
    DeadLetter, Error, Event, Topic, Wanted, dead, kept::Rows, later::Laters, status::Board,
};
use base::Timestamp;
use ports::broker::{
    Broker, Error as BrokerError, GroupName, GroupStatus, HEADERS_SIZE_MAX, MESSAGE_SIZE_MAX,
    NewMessage, Offset, Start, TopicName, TopicStatus,
};
use std::sync::Arc;
use tokio::sync::watch;

/// Topics. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Topics {
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) wanted: watch::Receiver<Arc<Wanted>>,
    pub(crate) laters: Laters,
    pub(crate) rows: Rows,
    /// What groups that are pulled from do with what they give up.
    pub(crate) rules: Rules,
    pub(crate) board: Board,
}

/// What a dead letter says of itself takes this much beside the message: room for it is left when messages are published.
pub(crate) const LETTER_SIZE: usize = 4 << 10;

impl Topics {
    pub(crate) fn wanted(&self) -> Arc<Wanted> {
        Arc::clone(&self.wanted.borrow())
    }

    /// What the file says of a topic, or what goes for one that it does not name.
    pub(crate) fn described(&self, topic: &TopicName) -> Topic {
        self.wanted().topics.get(topic).cloned().unwrap_or_default()
    }

    /// Where the dead letters of `topic` go when a subscription says nothing.
    pub(crate) fn dead_topic(&self, topic: &TopicName, rule: &DeadLetter) -> Option<TopicName> {
        match rule {
            DeadLetter::None => None,
            DeadLetter::Own => dead::own_topic(topic),
            DeadLetter::Topic(topic) => Some(topic.clone()),
        }
    }

    /// Publishes events, in this order; those with a time in the future are kept until then. One answer for each.
    ///
    /// # Errors
    /// [`Error::Missing`] for a topic that is not there and is not made by itself, [`Error::Invalid`] for attributes that
    /// are none; nothing was published then. Otherwise as [`Broker::publish`].
    ///
    /// # Cancel safety
    /// Not cancel safe: a dropped call may or may not have published.
    pub async fn publish(
        &self,
        topic: &TopicName,
        messages: Vec<Outgoing>,
    ) -> Result<Vec<Published>, Error> {
        let mut checked = Vec::with_capacity(messages.len());
        for Outgoing { event, message_id, at } in messages {
            checked.push((message(event, message_id)?, at));
        }
        let messages = checked;
        let now = self.laters.now();
        let is_later = |at: Option<Timestamp>| at.filter(|at| *at > now);
        let mut answers: Vec<Option<Published>> = Vec::with_capacity(messages.len());
        let mut at_once = Vec::with_capacity(messages.len());
        if messages.iter().any(|(_, at)| is_later(*at).is_some()) {
            // It would be found out when nobody is there to be told.
            self.there(topic).await?;
        }
        for (message, at) in messages {
            match is_later(at) {
                Some(at) => {
                    let id = self.laters.keep(topic, &message, at).await?;
                    answers.push(Some(Published::Later { id, at }));
                }
                None => {
                    at_once.push(message);
                    answers.push(None);
                }
            }
        }
        let mut published = Vec::new().into_iter();
        if !at_once.is_empty() {
            published = self.publish_messages(topic, at_once).await?.into_iter();
        }
        let fill = |answer: Option<Published>| match answer {
            Some(later) => Some(later),
            None => published
                .next()
                .map(|it| Published::Now { offset: it.offset, duplicate: it.duplicate }),
        };
        Ok(answers.into_iter().filter_map(fill).collect())
    }

    /// Publishes messages, and makes the topic where that is allowed.
    pub(crate) async fn publish_messages(
        &self,
        topic: &TopicName,
        messages: Vec<NewMessage>,
    ) -> Result<Vec<ports::broker::Published>, Error> {
        match self.broker.publish(topic, messages.clone()).await {
            Err(BrokerError::NoTopic(_)) => {
                self.make(topic).await?;
                Ok(self.broker.publish(topic, messages).await?)
            }
            outcome => Ok(outcome?),
        }
    }

    /// Makes sure that a topic is there, whatever the file says.
    pub(crate) async fn always(&self, topic: &TopicName) -> Result<(), Error> {
        match self.broker.topic(topic).await {
            Err(BrokerError::NoTopic(_)) => {
                Ok(self.broker.ensure_topic(topic, self.described(topic).config).await?)
            }
            outcome => Ok(outcome.map(|_| ())?),
        }
    }

    /// Publishes messages to a topic that is made when it is not there, whatever the file says.
    pub(crate) async fn publish_always(
        &self,
        topic: &TopicName,
        messages: Vec<NewMessage>,
    ) -> Result<Vec<ports::broker::Published>, Error> {
        match self.broker.publish(topic, messages.clone()).await {
            Err(BrokerError::NoTopic(_)) => {
                self.broker.ensure_topic(topic, self.described(topic).config).await?;
                Ok(self.broker.publish(topic, messages).await?)
            }
            outcome => Ok(outcome?),
        }
    }

    /// Makes sure that a topic is there that may be published to.
    pub(crate) async fn there(&self, topic: &TopicName) -> Result<(), Error> {
        match self.broker.topic(topic).await {
            Ok(_) => Ok(()),
            Err(BrokerError::NoTopic(_)) => self.make(topic).await,
            Err(e) => Err(e.into()),
        }
    }

    /// Makes a topic, if the file names it or lets publishing make topics.
    pub(crate) async fn make(&self, topic: &TopicName) -> Result<(), Error> {
        let wanted = self.wanted();
        let named = wanted.topics.get(topic);
        if named.is_none() && !wanted.auto {
            let hint =
                format!("; write `topics: {{ {topic}: {{}} }}`, or `topics: {{ auto: true }}`");
            return Err(Error::Missing { what: "topic", name: topic.to_string(), hint });
        }
        let config = named.map(|named| named.config).unwrap_or_default();
        Ok(self.broker.ensure_topic(topic, config).await?)
    }

    /// All topics, by name.
    ///
    /// # Errors
    /// As [`Broker::topics`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn list(&self) -> Result<Vec<TopicInfo>, Error> {
        let all = self.broker.topics().await?;
        let redriven = self.all_redriven().await;
        let left = |status: &TopicStatus| {
            let gone = redriven.get(&status.name).map_or(0, |ranges| ranges.count(status));
            status.messages - gone
        };
        let kept = |name: &TopicName| all.iter().find(|it| it.name == *name).map(left);
        Ok(all.iter().map(|status| self.info(status.clone(), &kept)).collect())
    }

    /// One topic, with its groups.
    ///
    /// # Errors
    /// [`Error::Missing`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn show(&self, topic: &TopicName) -> Result<TopicInfo, Error> {
        let status = self.known(topic, self.broker.topic(topic).await)?;
        let groups = self.known(topic, self.broker.groups(topic).await)?;
        let mut dead = None;
        if let Some(place) = self.dead_topic(topic, &self.described(topic).dead_letter)
            && let Ok(status) = self.broker.topic(&place).await
        {
            let redriven = self.all_redriven().await;
            let gone = redriven.get(&place).map_or(0, |ranges| ranges.count(&status));
            dead = Some(status.messages - gone);
        }
        Ok(TopicInfo { groups, ..self.info(status, &|_| dead) })
    }

    fn info(&self, status: TopicStatus, kept: &dyn Fn(&TopicName) -> Option<u64>) -> TopicInfo {
        let rules = self.described(&status.name);
        let dead_topic = self.dead_topic(&status.name, &rules.dead_letter);
        let of_file = self.wanted().topics.contains_key(&status.name);
        let dead = dead_topic.as_ref().and_then(kept);
        // What nobody has given up yet has no topic yet.
        let dead_topic = dead_topic.filter(|_| dead.is_some());
        let (groups, retry, dead) = (Vec::new(), rules.retry, dead.unwrap_or_default());
        TopicInfo { status, groups, dead, dead_topic, retry, of_file }
    }

    /// An error of the broker in this crate's words.
    fn known<T>(&self, topic: &TopicName, outcome: Result<T, BrokerError>) -> Result<T, Error> {
        outcome.map_err(|error| match error {
            BrokerError::NoTopic(_) => {
                Error::Missing { what: "topic", name: topic.to_string(), hint: String::new() }
            }
            BrokerError::NoGroup { group, .. } => Error::Missing {
                what: "group",
                name: group.to_string(),
                hint: format!(" of topic `{topic}`"),
            },
            other => other.into(),
        })
    }

    /// Makes sure that a topic is there, as it is described. The file's word on a topic comes first when it is applied next.
    ///
    /// # Errors
    /// As [`Broker::ensure_topic`].
    ///
    /// # Cancel safety
    /// Not cancel safe.
    pub async fn ensure(&self, name: &TopicName, topic: &Topic) -> Result<(), Error> {
        Ok(self.broker.ensure_topic(name, topic.config).await?)
    }

    /// Removes a topic with its messages and groups.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a topic of the file: it would be made again.
    ///
    /// # Cancel safety
    /// Not cancel safe.
    pub async fn remove(&self, topic: &TopicName) -> Result<(), Error> {
        if self.wanted().topics.contains_key(topic) {
            let message = format!("topic `{topic}` stands in the file: remove it there first");
            return Err(Error::Invalid(message));
        }
        self.broker.remove_topic(topic).await?;
        self.forget_redriven(topic).await
    }

    /// Reads a topic without a group.
    ///
    /// # Errors
    /// [`Error::Missing`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn read(&self, topic: &TopicName, start: Start) -> Result<Replay, Error> {
        self.known(topic, self.broker.read(topic, start).await).map(Replay)
    }

    /// The groups of a topic.
    ///
    /// # Errors
    /// [`Error::Missing`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn groups(&self, topic: &TopicName) -> Result<Vec<GroupStatus>, Error> {
        self.known(topic, self.broker.groups(topic).await)
    }

    /// Lets a group go on from elsewhere.
    ///
    /// # Errors
    /// As [`Broker::seek`].
    ///
    /// # Cancel safety
    /// Not cancel safe.
    pub async fn seek(&self, topic: &TopicName, group: &GroupName, to: Start) -> Result<(), Error> {
        self.known(topic, self.broker.seek(topic, group, to).await)
    }

    /// Forgets a group.
    ///
    /// # Errors
    /// As [`Broker::remove_group`].
    ///
    /// # Cancel safety
    /// Not cancel safe.
    pub async fn remove_group(&self, topic: &TopicName, group: &GroupName) -> Result<(), Error> {
        self.known(topic, self.broker.remove_group(topic, group).await)
    }

    /// Removes the messages before `before`; `None`: all. Answers how many.
    ///
    /// # Errors
    /// [`Error::Missing`].
    ///
    /// # Cancel safety
    /// Not cancel safe.
    pub async fn purge(&self, topic: &TopicName, before: Option<Offset>) -> Result<u64, Error> {
        self.known(topic, self.broker.purge(topic, before).await)
    }

    /// Messages that wait for their time, the next one first.
    ///
    /// # Errors
    /// [`Error::Kv`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn later(&self, topic: &TopicName, limit: usize) -> Result<Vec<Later>, Error> {
        self.laters.list(topic, limit).await
    }

    /// Lets a message that waits for its time never be published. Answers whether it was still waiting.
    ///
    /// # Errors
    /// [`Error::Kv`].
    ///
    /// # Cancel safety
    /// Not cancel safe.
    pub async fn cancel(&self, topic: &TopicName, id: &str) -> Result<bool, Error> {
        self.laters.cancel(topic, id).await
    }
}

/// The message that carries an event, if it is one, and small enough to become a dead letter one day.
pub(crate) fn message(event: Event, id: Option<String>) -> Result<NewMessage, Error> {
    event.check().map_err(|error| Error::Invalid(error.0))?;
    let message = event.into_message(id);
    ports::broker::check(std::slice::from_ref(&message))?;
    let headers = message.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    let sizes = [
        ("bytes in one message", message.size(), MESSAGE_SIZE_MAX),
        ("bytes in the attributes of an event", headers, HEADERS_SIZE_MAX),
    ];
    for (what, size, most) in sizes {
        let limit = most - LETTER_SIZE;
        if size > limit {
            return Err(BrokerError::TooLarge { what, size, limit }.into());
        }
    }
    Ok(message)
}
