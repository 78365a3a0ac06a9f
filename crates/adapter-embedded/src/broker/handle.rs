//! The port.

use async_trait::async_trait;
use ports::broker::{
    Broker, Capabilities, Durability, Error, GroupConfig, GroupName, GroupStatus, NewMessage,
    Offset, Published, Reader, Receipt, Settle, Start, Subscription, TopicConfig, TopicName,
    TopicStatus, check,
};
use std::{io, sync::Arc};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::{
    command::{Command, Reply},
    cursor::{Cursor, resolve},
    group::Ticket,
    shared::Shared,
    subscription::{Joined, Reading},
};

/// Most commands that wait for the writer: many times what one sync serves.
pub(super) const QUEUE_MAX: usize = 8_192;

/// Most KiB of messages that wait for the writer.
pub(super) const ROOM: usize = 48 << 10;

/// The engine as its users have it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    shared: Arc<Shared>,
    queue: mpsc::Sender<Command>,
    room: Arc<Semaphore>,
}

fn kib(bytes: usize) -> u32 {
    u32::try_from(bytes / 1_024 + 1).unwrap_or(u32::MAX)
}

impl Handle {
    pub(super) fn new(
        shared: Arc<Shared>,
        queue: mpsc::Sender<Command>,
        room: Arc<Semaphore>,
    ) -> Self {
        Self { shared, queue, room }
    }

    /// Begins a call that has its answer in memory.
    async fn begin(&self) -> Result<(), Error> {
        // Such a call never waits: who makes many in a row would keep his thread from everybody else.
        tokio::task::coop::consume_budget().await;
        self.shared.check_open()
    }

    /// Asks the writer something, after those who asked before.
    async fn ask<T>(
        &self,
        bytes: usize,
        command: impl FnOnce(Reply<T>) -> Command,
    ) -> Result<T, Error> {
        self.shared.check_open()?;
        let Ok(room) = Arc::clone(&self.room).acquire_many_owned(kib(bytes)).await else {
            return Err(self.shared.closed());
        };
        let (sender, answer) = oneshot::channel();
        if self.queue.send(command(Reply { sender, room })).await.is_err() {
            return Err(self.shared.closed());
        }
        self.answer(answer).await
    }

    async fn answer<T>(&self, answer: oneshot::Receiver<Result<T, Error>>) -> Result<T, Error> {
        answer.await.unwrap_or_else(|_| {
            let cause = Arc::new(io::Error::other("the writer ended"));
            Err(Error::Unknown { place: self.shared.place.clone(), cause })
        })
    }

    fn room_for(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Error> {
        let busy = |_| Error::Busy {
            place: self.shared.place.clone(),
            what: "bytes of messages that wait for the disk",
        };
        Arc::clone(&self.room).try_acquire_many_owned(kib(bytes)).map_err(busy)
    }
}

#[async_trait]
impl Broker for Handle {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            durable: Durability::Machine,
            parallel_keys: true,
            live_seek: true,
            shared: false,
        }
    }

    fn place(&self) -> String {
        self.shared.place.clone()
    }

    async fn ensure_topic(&self, topic: &TopicName, config: TopicConfig) -> Result<(), Error> {
        config.check()?;
        self.begin().await?;
        if let Ok(topic) = self.shared.topic(topic)
            && topic.state().config == config
        {
            return Ok(());
        }
        self.ask(0, |reply| Command::Ensure(topic.clone(), config, reply)).await
    }

    async fn remove_topic(&self, topic: &TopicName) -> Result<(), Error> {
        self.ask(0, |reply| Command::Remove(topic.clone(), reply)).await
    }

    async fn topics(&self) -> Result<Vec<TopicStatus>, Error> {
        self.begin().await?;
        Ok(self.shared.all_topics().iter().map(|topic| topic.status()).collect())
    }

    async fn topic(&self, topic: &TopicName) -> Result<TopicStatus, Error> {
        self.begin().await?;
        Ok(self.shared.topic(topic)?.status())
    }

    async fn publish(
        &self,
        topic: &TopicName,
        messages: Vec<NewMessage>,
    ) -> Result<Vec<Published>, Error> {
        check(&messages)?;
        self.shared.check_open()?;
        let topic = self.shared.topic(topic)?;
        let room = self.room_for(messages.iter().map(NewMessage::size).sum())?;
        let (sender, answer) = oneshot::channel();
        let command = Command::Publish(topic, messages, Reply { sender, room });
        self.queue.try_send(command).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Error::Busy {
                place: self.shared.place.clone(),
                what: "publishers that wait for the disk",
            },
            mpsc::error::TrySendError::Closed(_) => self.shared.closed(),
        })?;
        self.answer(answer).await
    }

    async fn read(&self, topic: &TopicName, start: Start) -> Result<Box<dyn Reader>, Error> {
        self.begin().await?;
        let topic = self.shared.topic(topic)?;
        let news = topic.news.subscribe();
        let next = resolve(&self.shared, &topic, start).await?;
        let cursor = Cursor::new(next.unwrap_or_else(|| topic.state().last + 1));
        Ok(Box::new(Reading { shared: Arc::clone(&self.shared), topic, cursor, news }))
    }

    async fn subscribe(
        &self,
        topic: &TopicName,
        group: &GroupName,
        config: GroupConfig,
    ) -> Result<Box<dyn Subscription>, Error> {
        config.check()?;
        self.begin().await?;
        let topic = self.shared.topic(topic)?;
        let same = topic.group(group).ok().filter(|group| {
            let known = group.state().config;
            GroupConfig { start: known.start, ..config } == known
        });
        let group = match same {
            Some(group) => group,
            None => {
                let start = resolve(&self.shared, &topic, config.start).await?;
                let (topic, name) = (Arc::clone(&topic), group.clone());
                self.ask(0, |reply| Command::Join(topic, name, config, start, reply)).await?
            }
        };
        Ok(Box::new(Joined::new(Arc::clone(&self.shared), topic, group)?))
    }

    async fn settle(
        &self,
        topic: &TopicName,
        group: &GroupName,
        settlements: Vec<(Receipt, Settle)>,
    ) -> Result<(), Error> {
        self.begin().await?;
        let topic = self.shared.topic(topic)?;
        let group = topic.group(group)?;
        let last = topic.state().last;
        let mut tickets = Vec::with_capacity(settlements.len());
        for (receipt, settle) in settlements {
            let ticket = Ticket::parse(&receipt).filter(|ticket| ticket.taken.offset <= last);
            let ticket = ticket.ok_or_else(|| {
                let text = format!("{:?} is no receipt of this broker", receipt.0);
                Error::Invalid(text)
            })?;
            tickets.push((ticket, settle));
        }
        let (now, date) = (self.shared.clock.now(), self.shared.date());
        let mut settled = group.settle(self.shared.run, &tickets, now, date);
        if !group.state().config.durable {
            return Ok(());
        }
        settled.topic = topic.number;
        let bytes = settled.done.len() + settled.returned.len() * 16;
        // Where nothing is new, somebody else may be about to keep it, and the answer must not come before that.
        self.ask(bytes, |reply| Command::Settled(group, settled, reply)).await
    }

    async fn groups(&self, topic: &TopicName) -> Result<Vec<GroupStatus>, Error> {
        self.begin().await?;
        let topic = self.shared.topic(topic)?;
        let groups: Vec<_> = topic.groups().values().cloned().collect();
        let (last, now) = (topic.state().last, self.shared.clock.now());
        Ok(groups.iter().map(|group| group.status(&topic.name, last, now)).collect())
    }

    async fn seek(&self, topic: &TopicName, group: &GroupName, to: Start) -> Result<(), Error> {
        self.begin().await?;
        let topic = self.shared.topic(topic)?;
        topic.group(group)?;
        let to = resolve(&self.shared, &topic, to).await?;
        self.ask(0, |reply| Command::Seek(topic, group.clone(), to, reply)).await
    }

    async fn remove_group(&self, topic: &TopicName, group: &GroupName) -> Result<(), Error> {
        self.begin().await?;
        let topic = self.shared.topic(topic)?;
        self.ask(0, |reply| Command::Leave(topic, group.clone(), reply)).await
    }

    async fn purge(&self, topic: &TopicName, before: Option<Offset>) -> Result<u64, Error> {
        self.begin().await?;
        let topic = self.shared.topic(topic)?;
        self.ask(0, |reply| Command::Purge(topic, before.map(|it| it.0), reply)).await
    }
}
