//! The port, call by call.

mod groups;
mod newest;
mod publishing;
mod settling;
mod topics;
mod uses;

use crate::{
    config::{Config, Error as ConfigError},
    link::{Fault, Link},
    names::{Ids, Names},
    reader::Reading,
    subscription::Taking,
    wire::{STREAM_NOT_FOUND, StreamInfo},
};
use async_trait::async_trait;
use newest::Newest;
use ports::broker::{
    Broker, Capabilities, Durability, Error, GroupConfig, GroupName, GroupStatus, NewMessage,
    Offset, Published, Reader, Receipt, Settle, Start, Subscription, TopicConfig, TopicName,
    TopicStatus, check,
};
use serde_json::Value;
use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};
pub(crate) use uses::{Used, Uses};

/// The broker port on NATS JetStream. Cheap to clone; clones share their connection.
///
/// What an acknowledgement survives is the server's business: by default JetStream syncs to disk every two minutes, so an
/// acknowledged message survives the end of its servers' processes, and the loss of a machine only with several replicas;
/// servers from 2.10 on sync before each acknowledgement with `sync_interval: always`.
#[derive(Clone)]
pub struct Nats {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) link: Arc<Link>,
    pub(crate) names: Names,
    pub(crate) newest: Newest,
    pub(crate) uses: Uses,
    replicas: u8,
    /// Which topics compare ids, as far as it was looked up.
    ids: Mutex<HashMap<TopicName, Ids>>,
    serial: AtomicU64,
}

impl fmt::Debug for Nats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Nats").field(&self.shared.link.place()).finish()
    }
}

impl Nats {
    /// Begins to connect in the background, and connects again whenever the connection is lost. It needs the tokio runtime
    /// in which it is called. While there is no connection, calls end at once with [`Error::Unavailable`], or with
    /// [`Error::Refused`] when NATS does not let us in; only the first attempt is waited for.
    ///
    /// # Errors
    /// When the configuration cannot be used, or files that it names cannot be read.
    pub fn connect(config: &Config) -> Result<Self, ConfigError> {
        let shared = Shared {
            link: Arc::new(Link::new(config)?),
            names: Names::new(&config.prefix),
            newest: Newest::default(),
            uses: Uses::default(),
            replicas: config.replicas,
            ids: Mutex::default(),
            serial: AtomicU64::new(0),
        };
        Ok(Self { shared: Arc::new(shared) })
    }
}

impl Shared {
    /// A name that nothing else has, of letters, digits and what `before` has.
    pub(crate) fn unique(&self, before: &str) -> String {
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        format!("{before}{}{serial}", self.link.id())
    }

    pub(crate) fn reading(&self, fault: Fault) -> Error {
        fault.of_reading(self.link.place())
    }

    pub(crate) fn writing(&self, fault: Fault) -> Error {
        fault.of_writing(self.link.place())
    }

    /// What the port says of a fault where a topic was asked for.
    pub(crate) fn of_topic(
        &self,
        fault: Fault,
        topic: &TopicName,
        how: fn(Fault, &str) -> Error,
    ) -> Error {
        if fault.is(STREAM_NOT_FOUND) {
            self.forget(topic);
            return Error::NoTopic(topic.clone());
        }
        how(fault, self.link.place())
    }

    /// A topic as JetStream has it.
    pub(crate) async fn stream(&self, topic: &TopicName) -> Result<StreamInfo, Error> {
        let verb = format!("STREAM.INFO.{}", self.names.stream(topic));
        let info = self.link.api(&verb, &Value::Null).await;
        info.map_err(|fault| self.of_topic(fault, topic, Fault::of_reading))
    }

    fn ids(&self, topic: &TopicName) -> Option<Ids> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner).get(topic).copied()
    }

    fn remember(&self, topic: &TopicName, ids: Ids) {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner).insert(topic.clone(), ids);
    }

    fn forget(&self, topic: &TopicName) {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner).remove(topic);
    }
}

#[async_trait]
impl Broker for Nats {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            durable: Durability::Server,
            parallel_keys: false,
            live_seek: true,
            shared: true,
        }
    }

    fn place(&self) -> String {
        self.shared.link.place().to_owned()
    }

    async fn ensure_topic(&self, topic: &TopicName, config: TopicConfig) -> Result<(), Error> {
        config.check()?;
        self.shared.ensure_topic(topic, config).await
    }

    async fn remove_topic(&self, topic: &TopicName) -> Result<(), Error> {
        self.shared.remove_topic(topic).await
    }

    async fn topics(&self) -> Result<Vec<TopicStatus>, Error> {
        self.shared.topics().await
    }

    async fn topic(&self, topic: &TopicName) -> Result<TopicStatus, Error> {
        let info = self.shared.stream(topic).await?;
        let groups = self.shared.group_count(topic, &info).await?;
        Ok(topics::status(topic.clone(), &info, groups))
    }

    async fn publish(
        &self,
        topic: &TopicName,
        messages: Vec<NewMessage>,
    ) -> Result<Vec<Published>, Error> {
        check(&messages)?;
        self.shared.publish(topic, messages).await
    }

    async fn read(&self, topic: &TopicName, start: Start) -> Result<Box<dyn Reader>, Error> {
        Ok(Box::new(Reading::new(&self.shared, topic, start).await?))
    }

    async fn subscribe(
        &self,
        topic: &TopicName,
        group: &GroupName,
        config: GroupConfig,
    ) -> Result<Box<dyn Subscription>, Error> {
        config.check()?;
        let seat = self.shared.join(topic, group, config).await?;
        Ok(Box::new(Taking::new(&self.shared, seat).await?))
    }

    async fn settle(
        &self,
        topic: &TopicName,
        group: &GroupName,
        settlements: Vec<(Receipt, Settle)>,
    ) -> Result<(), Error> {
        self.shared.settle(topic, group, &settlements).await
    }

    async fn groups(&self, topic: &TopicName) -> Result<Vec<GroupStatus>, Error> {
        self.shared.groups(topic).await
    }

    async fn seek(&self, topic: &TopicName, group: &GroupName, to: Start) -> Result<(), Error> {
        self.shared.seek(topic, group, to).await
    }

    async fn remove_group(&self, topic: &TopicName, group: &GroupName) -> Result<(), Error> {
        self.shared.remove_group(topic, group).await
    }

    async fn purge(&self, topic: &TopicName, before: Option<Offset>) -> Result<u64, Error> {
        self.shared.purge(topic, before).await
    }
}
