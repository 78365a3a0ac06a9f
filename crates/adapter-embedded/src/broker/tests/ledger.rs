//! What publishers and consumers of a topic were told, and whether what is left of it agrees.

use ports::broker::{
    Broker, Delivery, Error, GroupConfig, GroupName, NewMessage, Offset, Order, Settle, Start,
    Subscription, TopicName,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use super::{all, text};
use crate::{broker::Handle, disk::simulated::Dice};

/// What they were told.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    /// What was acknowledged, by its offset.
    pub(super) published: BTreeMap<u64, String>,
    /// What was asked for and may have happened.
    pub(super) asked: BTreeSet<String>,
    /// What was settled and answered, and what may be.
    pub(super) settled: BTreeSet<u64>,
    pub(super) settling: BTreeSet<u64>,
    /// Messages before this one may be gone.
    pub(super) purged: u64,
    pub(super) has_group: bool,
}

/// What they were told, shared by them.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger(Arc<Mutex<Told>>);

pub(super) fn group() -> GroupName {
    GroupName::new("group").unwrap()
}

pub(super) fn config() -> GroupConfig {
    GroupConfig {
        start: Start::Beginning,
        order: Order::Key,
        max_in_flight: 16,
        ack_wait: Duration::from_secs(600),
        durable: true,
    }
}

impl Ledger {
    pub(super) fn new(told: Told) -> Self {
        Self(Arc::new(Mutex::new(told)))
    }

    pub(super) fn told(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap()
    }

    /// Publishes `count` messages with one key, one after the other. Their payload is like no other.
    pub(super) async fn publish(
        &self,
        broker: &Handle,
        topic: &TopicName,
        key: &str,
        count: u64,
    ) -> Result<(), Error> {
        let mut dice = Dice::new(key.bytes().map(u64::from).sum());
        for number in 0..count {
            let filling = "x".repeat(usize::try_from(dice.roll(200)).unwrap());
            let payload = format!("{key}:{number}:{filling}");
            let id = (dice.roll(2) == 0).then(|| format!("{key}-{number}"));
            let key = Some(key.to_owned().into());
            let message =
                NewMessage { id, key, headers: Vec::new(), payload: payload.clone().into() };
            self.told().asked.insert(payload.clone());
            let published = broker.publish(topic, vec![message]).await?;
            assert!(!published[0].duplicate);
            let mut told = self.told();
            told.asked.remove(&payload);
            told.published.insert(published[0].offset.0, payload);
        }
        Ok(())
    }

    /// Takes messages and settles them, until as many are settled.
    pub(super) async fn consume(
        &self,
        broker: &Handle,
        topic: &TopicName,
        count: usize,
    ) -> Result<(), Error> {
        let mut subscription = broker.subscribe(topic, &group(), config()).await?;
        self.told().has_group = true;
        let mut dice = Dice::new(7);
        let mut left = count;
        while left > 0 {
            let deliveries = subscription.next(8).await?;
            for Delivery { message, receipt, .. } in deliveries {
                let offset = message.offset.0;
                if dice.roll(4) == 0 {
                    broker
                        .settle(topic, &group(), vec![(receipt, Settle::Nack(Duration::ZERO))])
                        .await?;
                    continue;
                }
                self.told().settling.insert(offset);
                broker.settle(topic, &group(), vec![(receipt, Settle::Ack)]).await?;
                let mut told = self.told();
                told.settling.remove(&offset);
                told.settled.insert(offset);
                left = left.saturating_sub(1);
            }
        }
        Ok(())
    }

    /// Removes the oldest messages.
    pub(super) async fn purge(
        &self,
        broker: &Handle,
        topic: &TopicName,
        before: u64,
    ) -> Result<(), Error> {
        {
            let mut told = self.told();
            told.purged = told.purged.max(before);
        }
        broker.purge(topic, Some(Offset(before))).await.map(drop)
    }

    /// Compares with what is there, and takes what is left for the group.
    pub(super) async fn check(&self, broker: &Handle, topic: &TopicName) {
        let told = self.told().clone();
        let status = broker.topic(topic).await.unwrap();
        assert!(status.first.0 <= told.purged.max(1), "{status:?} {}", told.purged);
        let last = told.published.keys().next_back().copied().unwrap_or(0);
        assert!(status.last.0 >= last, "{status:?} {last}");
        let found: BTreeMap<u64, String> =
            all(broker, topic).await.iter().map(|it| (it.offset.0, text(it))).collect();
        assert_eq!(found.len() as u64, status.messages);
        for (offset, payload) in &told.published {
            let is_kept = *offset >= status.first.0;
            assert_eq!(found.get(offset), is_kept.then_some(payload), "offset {offset}");
        }
        let known: BTreeSet<&String> = told.published.values().chain(&told.asked).collect();
        let distinct: BTreeSet<&String> = found.values().collect();
        assert_eq!(distinct.len(), found.len(), "something is there twice");
        assert!(distinct.is_subset(&known), "something was never published");
        if told.has_group {
            self.drain(broker, topic, &told, &found).await;
        }
    }

    /// Takes everything that is left for the group.
    async fn drain(
        &self,
        broker: &Handle,
        topic: &TopicName,
        told: &Told,
        found: &BTreeMap<u64, String>,
    ) {
        let names: Vec<GroupName> =
            broker.groups(topic).await.unwrap().into_iter().map(|group| group.name).collect();
        assert_eq!(names, [group()]);
        let mut subscription = broker.subscribe(topic, &group(), config()).await.unwrap();
        let mut delivered = BTreeSet::new();
        let mut newest: BTreeMap<String, u64> = BTreeMap::new();
        while lag(broker, topic).await > 0 {
            let deliveries = next(&mut *subscription).await;
            for Delivery { message, receipt, .. } in deliveries {
                let offset = message.offset.0;
                let key = String::from_utf8(message.key.unwrap().to_vec()).unwrap();
                let before = newest.insert(key, offset);
                assert!(
                    before.is_none_or(|before| before < offset),
                    "the order of a key is broken"
                );
                assert!(!told.settled.contains(&offset), "{offset} was settled and came again");
                assert_eq!(found.get(&offset).map(String::as_bytes), Some(&*message.payload));
                assert!(delivered.insert(offset), "{offset} came twice");
                self.told().settling.insert(offset);
                broker.settle(topic, &group(), vec![(receipt, Settle::Ack)]).await.unwrap();
                let mut told = self.told();
                told.settling.remove(&offset);
                told.settled.insert(offset);
            }
        }
        for offset in found.keys() {
            let may_be_settled = told.settled.contains(offset) || told.settling.contains(offset);
            assert!(delivered.contains(offset) || may_be_settled, "{offset} never came");
        }
    }
}

async fn lag(broker: &Handle, topic: &TopicName) -> u64 {
    broker.groups(topic).await.unwrap()[0].lag
}

async fn next(subscription: &mut dyn Subscription) -> Vec<Delivery> {
    let next = tokio::time::timeout(Duration::from_secs(60), subscription.next(8));
    next.await.expect("there is something left").unwrap()
}
