//! A broker whose answers are late: what it was told has come about long before it says so.

use crate::{Config, Service, testing::*};
use async_trait::async_trait;
use ports::broker::{
    Broker, Capabilities, Error, GroupConfig, GroupName, GroupStatus, NewMessage, Offset,
    Published, Reader, Receipt, Settle, Start, Subscription, TopicConfig, TopicName, TopicStatus,
    conformance::Memory,
};
use runtime::Clock;
use std::{sync::Arc, time::Duration};

/// How late the answer to a settlement is.
const LATE: Duration = Duration::from_secs(5);

#[derive(Debug)]
struct Late(Memory);

#[async_trait]
impl Broker for Late {
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    fn place(&self) -> String {
        self.0.place()
    }

    async fn ensure_topic(&self, topic: &TopicName, config: TopicConfig) -> Result<(), Error> {
        self.0.ensure_topic(topic, config).await
    }

    async fn remove_topic(&self, topic: &TopicName) -> Result<(), Error> {
        self.0.remove_topic(topic).await
    }

    async fn topics(&self) -> Result<Vec<TopicStatus>, Error> {
        self.0.topics().await
    }

    async fn topic(&self, topic: &TopicName) -> Result<TopicStatus, Error> {
        self.0.topic(topic).await
    }

    async fn publish(
        &self,
        topic: &TopicName,
        messages: Vec<NewMessage>,
    ) -> Result<Vec<Published>, Error> {
        self.0.publish(topic, messages).await
    }

    async fn read(&self, topic: &TopicName, start: Start) -> Result<Box<dyn Reader>, Error> {
        self.0.read(topic, start).await
    }

    async fn subscribe(
        &self,
        topic: &TopicName,
        group: &GroupName,
        config: GroupConfig,
    ) -> Result<Box<dyn Subscription>, Error> {
        self.0.subscribe(topic, group, config).await
    }

    async fn settle(
        &self,
        topic: &TopicName,
        group: &GroupName,
        settlements: Vec<(Receipt, Settle)>,
    ) -> Result<(), Error> {
        let settled = self.0.settle(topic, group, settlements).await;
        tokio::time::sleep(LATE).await;
        settled
    }

    async fn groups(&self, topic: &TopicName) -> Result<Vec<GroupStatus>, Error> {
        self.0.groups(topic).await
    }

    async fn seek(&self, topic: &TopicName, group: &GroupName, to: Start) -> Result<(), Error> {
        self.0.seek(topic, group, to).await
    }

    async fn remove_group(&self, topic: &TopicName, group: &GroupName) -> Result<(), Error> {
        self.0.remove_group(topic, group).await
    }

    async fn purge(&self, topic: &TopicName, before: Option<Offset>) -> Result<u64, Error> {
        self.0.purge(topic, before).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_comes_again_before_the_broker_answers_is_delivered_and_not_forgotten() {
    let world = World::start(crate::Wanted::default());
    let config = Config {
        broker: Arc::new(Late(world.broker.clone())),
        streams: Arc::new(world.streams.clone()),
        kv: Arc::new(world.kv.clone()),
        deliver: world.app.clone(),
        outboxes: Arc::new(world.table.clone()),
        system: "shop".to_owned(),
        clock: Clock::simulated(BEGIN),
        wanted: one(|_| {}),
    };
    // Three attempts, a second apart.
    let (_service, handle) = Service::start(config).unwrap();
    world.app.judge(|_| retry("not yet"));
    let outgoing = crate::Outgoing { event: event("a"), ..crate::Outgoing::default() };
    handle.topics().publish(&topic_of("orders"), vec![outgoing]).await.unwrap();
    let dead = || handle.subscriptions().first().is_some_and(|it| it.dead == 1);
    until("a dead letter", dead).await;
    let attempts: Vec<_> = world.app.got().iter().map(|(_, it)| it.attempt).collect();
    assert_eq!(attempts, [1, 2, 3]);
}
