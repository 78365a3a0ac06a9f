//! Groups whose messages are fetched instead of pushed.

use super::Topics;
use crate::{
    DeadLetter, Error, Event, Retry, Stored, dead,
    runner::{expired, policy},
};
use logic::redeliver::{Reason, Step, Verdict};
use ports::broker::{
    ACK_WAIT_MAX, BATCH_MAX, Delivery, GroupConfig, GroupName, Message, Offset, Order, Receipt,
    Settle, Start, Subscription, TopicName,
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;
use tracing::warn;

/// Of how many groups it is remembered what they do with what they give up; of others the topic's rule counts.
const RULES_MAX: usize = 1_000;

/// How long one message is looked for that is given up.
const READ_WAIT: Duration = Duration::from_secs(5);

/// How a group is pulled from.
#[derive(Clone, Debug, PartialEq)]
pub struct PullConfig {
    /// Where a group begins that is new.
    pub start: Start,
    /// How long a message may take before it comes again.
    pub ack_wait: Duration,
    /// Most messages of the group that are delivered and not settled.
    pub max_in_flight: u32,
    /// What is kept in order.
    pub order: Order,
    /// Whether the group stays when nobody pulls.
    pub durable: bool,
    /// `None`: as the topic says.
    pub retry: Option<Retry>,
    /// `None`: as the topic says.
    pub dead_letter: Option<DeadLetter>,
}

impl Default for PullConfig {
    /// As [`GroupConfig::default`], and as the topic says.
    fn default() -> Self {
        let GroupConfig { start, ack_wait, max_in_flight, order, durable } = GroupConfig::default();
        let (retry, dead_letter) = (None, None);
        Self { start, ack_wait, max_in_flight, order, durable, retry, dead_letter }
    }
}

/// A message that whoever pulled it has to settle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulled {
    /// The message.
    pub stored: Stored,
    /// For [`Topics::settle`], of whatever process.
    pub receipt: Receipt,
    /// How often it was delivered, this time included.
    pub attempt: u32,
}

/// What becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// It is done.
    Done,
    /// Again, later. After its last attempt it is given up.
    Retry {
        /// After this time; `None`: as the back-off says.
        after: Option<Duration>,
        /// Why; for people.
        reason: String,
    },
    /// Never again: it is given up.
    Drop {
        /// Why; for people.
        reason: String,
    },
    /// It is still being worked on.
    Extend,
}

/// What groups do with what they give up.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules(Arc<Mutex<BTreeMap<(TopicName, GroupName), Rule>>>);

#[derive(Clone, Debug)]
struct Rule {
    retry: Retry,
    dead: Option<TopicName>,
}

impl Rules {
    fn put(&self, topic: &TopicName, group: &GroupName, rule: Rule) {
        let mut rules = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rules.insert((topic.clone(), group.clone()), rule);
        if rules.len() > RULES_MAX {
            rules.pop_first();
        }
    }

    fn get(&self, topic: &TopicName, group: &GroupName) -> Option<Rule> {
        let rules = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rules.get(&(topic.clone(), group.clone())).cloned()
    }
}

/// Takes part in a group until it is dropped.
#[derive(Debug)]
pub struct Pull {
    topics: Topics,
    topic: TopicName,
    group: GroupName,
    subscription: Box<dyn Subscription>,
    rule: Rule,
}

impl Pull {
    /// Waits for messages, `wait` at most, and gives those that are there, at most `max`; none when the time is over. What is for
    /// another group is passed over; what has expired or has been tried too often is given up before.
    ///
    /// # Errors
    /// As [`Subscription::next`]: then pull anew.
    ///
    /// # Cancel safety
    /// Cancel safe as [`Subscription::next`] is.
    pub async fn next(&mut self, max: usize, wait: Duration) -> Result<Vec<Pulled>, Error> {
        let end = Instant::now() + wait;
        loop {
            let next = self.subscription.next(max.clamp(1, BATCH_MAX));
            let Ok(deliveries) = tokio::time::timeout_at(end, next).await else {
                return Ok(Vec::new());
            };
            let mut pulled = Vec::new();
            for delivery in deliveries? {
                if self.is_wanted(&delivery).await? {
                    pulled.push(Pulled {
                        stored: Stored::of(&delivery.message),
                        receipt: wrap(&delivery),
                        attempt: delivery.attempt,
                    });
                }
            }
            if !pulled.is_empty() {
                return Ok(pulled);
            }
        }
    }

    /// Settles what nobody shall get.
    // A shared borrow would ask that subscriptions can be shared between threads, which engines need not offer.
    async fn is_wanted(&mut self, delivery: &Delivery) -> Result<bool, Error> {
        let Delivery { message, attempt, receipt } = delivery;
        let (topic, group) = (&self.topic, &self.group);
        let is_for_others = dead::only_group(message).is_some_and(|only| only != *group);
        if !is_for_others {
            let most = self.rule.retry.max.unwrap_or(u32::MAX).max(1);
            let reason = if expired(&Event::from_message(message), self.topics.laters.now()) {
                Reason::Expired
            } else if *attempt > most {
                Reason::Attempts(*attempt - 1)
            } else {
                return Ok(true);
            };
            self.topics
                .give_up(topic, group, message, &self.rule.dead, &reason.to_string(), *attempt)
                .await?;
        }
        let settled = vec![(receipt.clone(), Settle::Ack)];
        self.topics.broker.settle(topic, group, settled).await?;
        Ok(false)
    }
}

impl Topics {
    /// Takes part in a group, which is made if it is not there.
    ///
    /// # Errors
    /// [`Error::Missing`] for a topic that is not there and is not made by itself; otherwise as
    /// [`ports::broker::Broker::subscribe`].
    ///
    /// # Cancel safety
    /// Not cancel safe: the group may have been made.
    pub async fn pull(
        &self,
        topic: &TopicName,
        group: &GroupName,
        config: PullConfig,
    ) -> Result<Pull, Error> {
        self.there(topic).await?;
        let described = self.described(topic);
        let PullConfig { start, ack_wait, max_in_flight, order, durable, retry, dead_letter } =
            config;
        let dead = self.dead_topic(topic, &dead_letter.unwrap_or(described.dead_letter));
        let rule = Rule { retry: retry.unwrap_or(described.retry), dead };
        let config = GroupConfig { start, ack_wait, max_in_flight, order, durable };
        let subscription = self.broker.subscribe(topic, group, config).await?;
        self.rules.put(topic, group, rule.clone());
        let (topics, topic, group) = (self.clone(), topic.clone(), group.clone());
        Ok(Pull { topics, topic, group, subscription, rule })
    }

    /// Settles what was pulled.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a receipt that was never given out, then none is settled; otherwise as
    /// [`ports::broker::Broker::settle`].
    ///
    /// # Cancel safety
    /// Not cancel safe: a dropped call may or may not have settled.
    pub async fn settle(
        &self,
        topic: &TopicName,
        group: &GroupName,
        what: Vec<(Receipt, Settlement)>,
    ) -> Result<(), Error> {
        let described = || {
            let topic_rule = self.described(topic);
            Rule { retry: topic_rule.retry, dead: self.dead_topic(topic, &topic_rule.dead_letter) }
        };
        let rule = self.rules.get(topic, group).unwrap_or_else(described);
        let invalid = || Error::Invalid("this is no receipt of a message".to_owned());
        let unwrapped = |(receipt, settlement)| Some((unwrap(&receipt)?, settlement));
        let what: Option<Vec<_>> = what.into_iter().map(unwrapped).collect();
        let mut settlements = Vec::new();
        for (inner, settlement) in what.ok_or_else(invalid)? {
            let settle = self.settlement(topic, group, &rule, &inner, settlement).await?;
            settlements.push((inner.receipt, settle));
        }
        self.known(topic, self.broker.settle(topic, group, settlements).await)
    }

    async fn settlement(
        &self,
        topic: &TopicName,
        group: &GroupName,
        rule: &Rule,
        inner: &Inner,
        settlement: Settlement,
    ) -> Result<Settle, Error> {
        let (verdict, after, why) = match settlement {
            Settlement::Done => return Ok(Settle::Ack),
            Settlement::Extend => return Ok(Settle::Extend),
            Settlement::Retry { after, reason } => (Verdict::Retry, after, reason),
            Settlement::Drop { reason } => (Verdict::Drop, None, reason),
        };
        let policy = policy(rule.retry, rule.dead.is_some());
        let reason = match policy.decide(inner.attempt, verdict, crate::random::number()) {
            Step::Ack => return Ok(Settle::Ack),
            Step::Nack(pause) => return Ok(Settle::Nack(after.unwrap_or(pause).min(ACK_WAIT_MAX))),
            Step::DeadLetter(reason) | Step::Drop(reason) => reason,
        };
        if let Some(message) = self.one(topic, inner.offset).await? {
            let why = dead::why(reason, &why);
            self.give_up(topic, group, &message, &rule.dead, &why, inner.attempt).await?;
        }
        Ok(Settle::Ack)
    }

    /// The message at `offset`; `None`: it is gone.
    pub(super) async fn one(
        &self,
        topic: &TopicName,
        offset: Offset,
    ) -> Result<Option<Message>, Error> {
        let mut reader = self.known(topic, self.broker.read(topic, Start::Offset(offset)).await)?;
        let Ok(found) = tokio::time::timeout(READ_WAIT, reader.next(1)).await else {
            return Ok(None);
        };
        Ok(found?.into_iter().next().filter(|message| message.offset == offset))
    }

    /// Makes a message a dead letter where there is a place for it, and says it where there is none. It is to be acknowledged
    /// after that.
    pub(crate) async fn give_up(
        &self,
        topic: &TopicName,
        group: &GroupName,
        message: &Message,
        dead: &Option<TopicName>,
        why: &str,
        attempts: u32,
    ) -> Result<(), Error> {
        let (offset, time) = (message.offset, self.laters.now());
        let Some(place) = dead else {
            warn!(%topic, %group, %offset, reason = why, "a message is given up and kept nowhere");
            return Ok(());
        };
        let info = dead::DeadInfo {
            topic: topic.clone(),
            group: group.clone(),
            offset,
            reason: why.to_owned(),
            attempts,
            time,
        };
        self.publish_always(place, vec![info.letter(message)]).await.map(|_| ())
    }
}

/// What a receipt says beside the broker's own: which attempt of which message it is.
struct Inner {
    attempt: u32,
    offset: Offset,
    receipt: Receipt,
}

fn wrap(delivery: &Delivery) -> Receipt {
    let Delivery { message, attempt, receipt } = delivery;
    Receipt(format!("{attempt}.{}.{}", message.offset, receipt.0))
}

fn unwrap(receipt: &Receipt) -> Option<Inner> {
    let (attempt, rest) = receipt.0.split_once('.')?;
    let (offset, inner) = rest.split_once('.')?;
    let (attempt, offset) = (attempt.parse().ok()?, Offset(offset.parse().ok()?));
    Some(Inner { attempt, offset, receipt: Receipt(inner.to_owned()) })
}
