//! Messages that are published exactly when a transaction of the kv engine is committed.
//!
//! The transaction carries them as rows. The relay publishes every row in the order of revisions, then of keys, under an id of the
//! row's own, and deletes it. A relay that ends in between publishes again, and the id makes that a duplicate; so do two nodes.

use crate::{
    Error, Topics,
    batch::batches,
    jobs,
    kept::{self, Rows},
    pause::Pause,
};
use bytes::Bytes;
use ports::{
    broker::{Error as BrokerError, NewMessage, Retry, TopicName},
    kv::{Event, Life, OPERATIONS_MAX, Operation, Revision, Transaction, Watch},
};
use runtime::Stop;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::sync::Notify;
use tracing::warn;

/// Most messages of one transaction: it needs operations for other things too.
pub const OUTBOX_MAX: usize = 100;

/// How often it is looked for rows when no watch tells of any.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How many bytes of rows are held while all of them are put in order; others are read again when it is their turn.
const HELD_SIZE: usize = 16 << 20;

const WHAT: &str = "a message of an outbox";
const PREFIX: &str = "outbox/";

/// Publishes what transactions carry. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Outbox {
    rows: Rows,
    wake: Arc<Notify>,
}

/// A row in its place.
struct Found {
    modified: Revision,
    key: Bytes,
    /// `None`: to be read again.
    value: Option<Bytes>,
}

/// A row's message.
struct Due {
    key: Bytes,
    message: NewMessage,
}

impl Outbox {
    pub(crate) fn new(rows: Rows) -> Self {
        Self { rows, wake: Arc::new(Notify::new()) }
    }

    /// What a transaction does so that these messages are published, in this order.
    pub(crate) fn rows(
        &self,
        messages: Vec<(TopicName, NewMessage)>,
    ) -> Result<Vec<Operation>, Error> {
        let (count, limit) = (messages.len(), OUTBOX_MAX);
        if count > limit {
            return Err(Error::TooMany { what: "messages in one transaction", count, limit });
        }
        let id = crate::random::id();
        let put = |(index, (topic, message)): (usize, (TopicName, NewMessage))| Operation::Put {
            key: self.rows.key(&format!("{PREFIX}{id}/{index:04}")),
            value: kept::encode(&topic, &message),
            life: Life::Endless,
        };
        Ok(messages.into_iter().enumerate().map(put).collect())
    }

    /// A transaction with rows was committed: saves the relay the wait where there are no watches.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Publishes rows, until `stop`.
    pub(crate) async fn run(self, topics: Topics, mut stop: Stop) {
        let (mut watch, mut pause) = (None, Pause::default());
        loop {
            let step = async {
                if watch.is_none() {
                    // Before the rows are read, so that none is missed.
                    watch = self.rows.kv.watch(self.rows.prefix(PREFIX), None).await.ok();
                }
                match self.drain(&topics).await {
                    Ok(()) => {
                        pause.reset();
                        self.news(&mut watch).await;
                    }
                    Err(error) => {
                        warn!(error = %base::ErrorChain(&error), "the outbox could not be relayed");
                        pause.wait().await;
                    }
                }
            };
            tokio::select! {
                () = step => {}
                () = stop.wait() => return,
            }
        }
    }

    /// Waits until there may be new rows.
    async fn news(&self, watch: &mut Option<Box<dyn Watch>>) {
        let told = async {
            let Some(open) = watch else { return std::future::pending().await };
            loop {
                match open.next().await {
                    Ok(change) if change.events.iter().any(|it| matches!(it, Event::Put(_))) => {
                        return;
                    }
                    Ok(_) => {}
                    Err(_) => {
                        *watch = None;
                        return;
                    }
                }
            }
        };
        tokio::select! {
            () = told => {}
            () = self.wake.notified() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }

    /// Publishes all rows that there are.
    async fn drain(&self, topics: &Topics) -> Result<(), Error> {
        let mut by_topic: BTreeMap<TopicName, Vec<Due>> = BTreeMap::new();
        let mut held = 0;
        for found in self.found().await? {
            let Some(value) = self.value(&found).await? else { continue };
            let Some((topic, mut message)) = kept::decode(&value) else {
                warn!(key = ?found.key, "a row of the outbox was written by a later release");
                continue;
            };
            message.id = message.id.or_else(|| self.id(&found.key));
            held += message.size();
            by_topic.entry(topic).or_default().push(Due { key: found.key, message });
            if held > HELD_SIZE {
                self.publish(topics, std::mem::take(&mut by_topic)).await?;
                held = 0;
            }
        }
        self.publish(topics, by_topic).await
    }

    /// All rows, in their order.
    async fn found(&self) -> Result<Vec<Found>, Error> {
        let (mut all, mut held, mut range) = (Vec::new(), 0, self.rows.prefix(PREFIX));
        loop {
            let page = self.rows.first(WHAT, &range).await?;
            for entry in page.entries {
                held += entry.value.len();
                let value = (held <= HELD_SIZE).then_some(entry.value);
                all.push(Found { modified: entry.modified, key: entry.key, value });
            }
            let Some(next) = page.next else { break };
            range.from = next;
        }
        all.sort_by(|a, b| (a.modified, &a.key).cmp(&(b.modified, &b.key)));
        Ok(all)
    }

    async fn value(&self, found: &Found) -> Result<Option<Bytes>, Error> {
        match &found.value {
            Some(value) => Ok(Some(value.clone())),
            None => Ok(self.rows.get(WHAT, &found.key).await?.map(|entry| entry.value)),
        }
    }

    fn id(&self, key: &Bytes) -> Option<String> {
        let id = self.rows.name(key)?.strip_prefix(PREFIX)?;
        Some(format!("outbox:{id}"))
    }

    async fn publish(
        &self,
        topics: &Topics,
        due: BTreeMap<TopicName, Vec<Due>>,
    ) -> Result<(), Error> {
        let mut outage = None;
        for (topic, due) in due {
            for batch in batches(due, |due| &due.message) {
                let (keys, messages): (Vec<_>, Vec<_>) =
                    batch.into_iter().map(|due| (due.key, due.message)).unzip();
                match publish(topics, &topic, messages).await {
                    Ok(()) => self.delete(keys).await?,
                    Err(error) => {
                        outage = Some(error);
                        // What comes later in this topic must not overtake it.
                        break;
                    }
                }
            }
        }
        outage.map_or(Ok(()), Err)
    }

    async fn delete(&self, keys: Vec<Bytes>) -> Result<(), Error> {
        for keys in keys.chunks(OPERATIONS_MAX) {
            let delete = |all: Transaction, key: &Bytes| all.and_delete(key.clone());
            let transaction = keys.iter().fold(Transaction::default(), delete);
            self.rows.commit(WHAT, transaction).await?;
        }
        Ok(())
    }
}

/// Publishes messages of one topic; those that no broker will ever take are given up, with a word.
pub(crate) async fn publish(
    topics: &Topics,
    topic: &TopicName,
    messages: Vec<NewMessage>,
) -> Result<(), Error> {
    let published = match topic.as_str() {
        jobs::TOPIC => topics.publish_always(topic, messages.clone()).await,
        _ => topics.publish_messages(topic, messages.clone()).await,
    };
    match published {
        Ok(_) => Ok(()),
        // The topic was removed since: there is nobody left who could want them.
        Err(Error::Missing { .. }) => {
            warn!(%topic, count = messages.len(), "messages are dropped whose topic is gone");
            Ok(())
        }
        Err(Error::Broker(error)) if is_final(&error) && messages.len() == 1 => {
            warn!(%topic, error = %base::ErrorChain(&error), "a message is dropped that no broker takes");
            Ok(())
        }
        Err(Error::Broker(error)) if is_final(&error) => {
            for message in messages {
                Box::pin(publish(topics, topic, vec![message])).await?;
            }
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Whether it is the message's fault.
fn is_final(error: &BrokerError) -> bool {
    let is_of_message = matches!(error, BrokerError::TooLarge { .. } | BrokerError::Invalid(_));
    is_of_message && error.retry() == Retry::Never
}
