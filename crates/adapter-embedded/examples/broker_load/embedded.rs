//! The embedded engine under the load, as the node has it: in this process.

use adapter_embedded::broker::Handle;
use async_trait::async_trait;
use bytes::Bytes;
use ports::broker::{
    BATCH_MAX, Broker, GroupConfig, GroupName, NewMessage, Reader, Receipt, Settle, Start,
    Subscription, TopicConfig, TopicName,
};

use super::load::{AT_ONCE, Consumer, Engine, GROUP, IN_FLIGHT, Publisher};

fn topic(number: u64) -> TopicName {
    TopicName::new(&format!("t{number}")).expect("a name")
}

fn group() -> GroupName {
    GroupName::new(GROUP).expect("a name")
}

#[derive(Debug)]
pub(crate) struct Embedded(pub(crate) Handle);

#[async_trait]
impl Engine for Embedded {
    async fn prepare(&self, topics: u64) {
        for number in 0..topics {
            self.0.ensure_topic(&topic(number), TopicConfig::default()).await.expect("it is made");
        }
    }

    async fn publisher(&self) -> Box<dyn Publisher> {
        Box::new(Caller(self.0.clone()))
    }

    async fn consumer(&self) -> Box<dyn Consumer> {
        let config = GroupConfig {
            start: Start::Beginning,
            max_in_flight: IN_FLIGHT,
            ..GroupConfig::default()
        };
        let subscription = self.0.subscribe(&topic(0), &group(), config).await.expect("it joins");
        Box::new(Member { broker: self.0.clone(), subscription, given: Vec::new() })
    }

    async fn reader(&self) -> Box<dyn Consumer> {
        Box::new(Pages(self.0.read(&topic(0), Start::Beginning).await.expect("it reads")))
    }
}

struct Caller(Handle);

#[async_trait]
impl Publisher for Caller {
    async fn publish(&mut self, number: u64, payloads: Vec<Bytes>) {
        let messages: Vec<_> = payloads.into_iter().map(NewMessage::new).collect();
        self.0.publish(&topic(number), messages).await.expect("the engine takes it");
    }
}

struct Member {
    broker: Handle,
    subscription: Box<dyn Subscription>,
    given: Vec<Receipt>,
}

#[async_trait]
impl Consumer for Member {
    async fn next(&mut self) -> Vec<Bytes> {
        let deliveries = self.subscription.next(AT_ONCE).await.expect("the engine delivers");
        let (given, payloads) =
            deliveries.into_iter().map(|it| (it.receipt, it.message.payload)).unzip();
        self.given = given;
        payloads
    }

    async fn ack(&mut self) {
        let settlements = self.given.drain(..).map(|receipt| (receipt, Settle::Ack)).collect();
        self.broker.settle(&topic(0), &group(), settlements).await.expect("the engine settles");
    }
}

struct Pages(Box<dyn Reader>);

#[async_trait]
impl Consumer for Pages {
    async fn next(&mut self) -> Vec<Bytes> {
        let messages = self.0.next(BATCH_MAX).await.expect("the engine reads");
        messages.into_iter().map(|message| message.payload).collect()
    }

    async fn ack(&mut self) {}
}
