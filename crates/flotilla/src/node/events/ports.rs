//! The ports of engines that may be opened late.

use super::late::Late;
use async_trait::async_trait;
use ports::{
    broker::{
        Broker, Capabilities, Durability, Error as BrokerError, GroupConfig, GroupName,
        GroupStatus, NewMessage, Offset, Published, Reader, Receipt, Settle, Start, Subscription,
        TopicConfig, TopicName, TopicStatus,
    },
    streams::{
        Append, Appended, Direction, Error as StreamsError, Page, Position, Query, Status,
        StreamStatus, Streams,
    },
};

pub(super) type LateBroker = Late<dyn Broker, adapter_embedded::broker::Service>;
pub(super) type LateStreams = Late<dyn Streams, adapter_embedded::streams::Service>;

impl LateBroker {
    fn engine(&self) -> Result<&dyn Broker, BrokerError> {
        let unavailable = |cause| BrokerError::Unavailable { place: self.place.clone(), cause };
        self.port().map_err(unavailable)
    }
}

impl LateStreams {
    fn engine(&self) -> Result<&dyn Streams, StreamsError> {
        let unavailable = |cause| StreamsError::Unavailable { place: self.place.clone(), cause };
        self.port().map_err(unavailable)
    }
}

#[async_trait]
impl Broker for LateBroker {
    fn capabilities(&self) -> Capabilities {
        // Until it is open, what the embedded engine offers: callers learn the reason and not another one.
        self.engine().map_or(
            Capabilities {
                durable: Durability::Machine,
                parallel_keys: true,
                live_seek: true,
                shared: false,
            },
            Broker::capabilities,
        )
    }

    fn place(&self) -> String {
        self.place.clone()
    }

    async fn ensure_topic(
        &self,
        topic: &TopicName,
        config: TopicConfig,
    ) -> Result<(), BrokerError> {
        self.engine()?.ensure_topic(topic, config).await
    }

    async fn remove_topic(&self, topic: &TopicName) -> Result<(), BrokerError> {
        self.engine()?.remove_topic(topic).await
    }

    async fn topics(&self) -> Result<Vec<TopicStatus>, BrokerError> {
        self.engine()?.topics().await
    }

    async fn topic(&self, topic: &TopicName) -> Result<TopicStatus, BrokerError> {
        self.engine()?.topic(topic).await
    }

    async fn publish(
        &self,
        topic: &TopicName,
        messages: Vec<NewMessage>,
    ) -> Result<Vec<Published>, BrokerError> {
        self.engine()?.publish(topic, messages).await
    }

    async fn read(&self, topic: &TopicName, start: Start) -> Result<Box<dyn Reader>, BrokerError> {
        self.engine()?.read(topic, start).await
    }

    async fn subscribe(
        &self,
        topic: &TopicName,
        group: &GroupName,
        config: GroupConfig,
    ) -> Result<Box<dyn Subscription>, BrokerError> {
        self.engine()?.subscribe(topic, group, config).await
    }

    async fn settle(
        &self,
        topic: &TopicName,
        group: &GroupName,
        settlements: Vec<(Receipt, Settle)>,
    ) -> Result<(), BrokerError> {
        self.engine()?.settle(topic, group, settlements).await
    }

    async fn groups(&self, topic: &TopicName) -> Result<Vec<GroupStatus>, BrokerError> {
        self.engine()?.groups(topic).await
    }

    async fn seek(
        &self,
        topic: &TopicName,
        group: &GroupName,
        to: Start,
    ) -> Result<(), BrokerError> {
        self.engine()?.seek(topic, group, to).await
    }

    async fn remove_group(&self, topic: &TopicName, group: &GroupName) -> Result<(), BrokerError> {
        self.engine()?.remove_group(topic, group).await
    }

    async fn purge(&self, topic: &TopicName, before: Option<Offset>) -> Result<u64, BrokerError> {
        self.engine()?.purge(topic, before).await
    }
}

#[async_trait]
impl Streams for LateStreams {
    async fn append(&self, append: Append) -> Result<Appended, StreamsError> {
        self.engine()?.append(append).await
    }

    async fn read(
        &self,
        stream: &str,
        from: Option<u64>,
        direction: Direction,
        limit: usize,
    ) -> Result<Page, StreamsError> {
        self.engine()?.read(stream, from, direction, limit).await
    }

    async fn read_all(
        &self,
        query: &Query,
        from: Option<Position>,
        direction: Direction,
        limit: usize,
    ) -> Result<Page, StreamsError> {
        self.engine()?.read_all(query, from, direction, limit).await
    }

    async fn wait(&self, after: Position) -> Result<Position, StreamsError> {
        self.engine()?.wait(after).await
    }

    async fn stream(&self, stream: &str) -> Result<Option<StreamStatus>, StreamsError> {
        self.engine()?.stream(stream).await
    }

    async fn streams(
        &self,
        prefix: &str,
        from: Option<&str>,
        limit: usize,
    ) -> Result<Vec<StreamStatus>, StreamsError> {
        self.engine()?.streams(prefix, from, limit).await
    }

    async fn status(&self) -> Result<Status, StreamsError> {
        self.engine()?.status().await
    }
}
