//! Messages that wait for their time.
//!
//! They are rows of the kv engine, in the order of their times. Whoever finds that one's time has come publishes it under its
//! own name as message id and deletes it; two nodes may do so, and the broker takes the second for a duplicate.

use crate::{
    Error, Event, Topics,
    batch::batches,
    kept::{self, Rows},
    outbox,
    pause::Pause,
    topics::Later,
};
use base::Timestamp;
use bytes::Bytes;
use ports::{
    broker::{Message, NewMessage, Offset, TopicName},
    kv::{Is, Transaction},
};
use runtime::{Clock, Stop};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::sync::Notify;
use tracing::warn;

/// How often it is looked for rows that another node wrote and did not live to publish.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Most rows that one listing reads.
const LIST_MAX: usize = 1_000;

const WHAT: &str = "a message that waits for its time";
const PREFIX: &str = "later/";

/// Keeps messages until their time has come. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Laters {
    rows: Rows,
    clock: Clock,
    earlier: Arc<Notify>,
}

impl Laters {
    pub(crate) fn new(rows: Rows, clock: Clock) -> Self {
        Self { rows, clock, earlier: Arc::new(Notify::new()) }
    }

    /// The time of day.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.date()
    }

    /// Keeps a message until `at`; durable when it returns. Answers what it is called until then.
    pub(crate) async fn keep(
        &self,
        topic: &TopicName,
        message: &NewMessage,
        at: Timestamp,
    ) -> Result<String, Error> {
        // An id of the caller's makes a second one a duplicate here too.
        let id = match &message.id {
            Some(id) => format!("{topic}|{id}"),
            None => crate::random::id(),
        };
        let key = self.rows.key(&format!("{PREFIX}{:016x}/{id}", at.0));
        let value = kept::encode(topic, message);
        self.rows.commit(WHAT, Transaction::put(key, value)).await?;
        self.earlier.notify_one();
        Ok(format!("{:016x}/{id}", at.0))
    }

    pub(crate) async fn list(&self, topic: &TopicName, limit: usize) -> Result<Vec<Later>, Error> {
        let mut range = self.rows.prefix(PREFIX);
        let (mut found, mut seen) = (Vec::new(), 0);
        while found.len() < limit && seen < LIST_MAX {
            let page = self.rows.first(WHAT, &range).await?;
            seen += page.entries.len();
            for entry in &page.entries {
                let Some((at, id)) = self.parse(&entry.key) else { continue };
                let Some((of, message)) = kept::decode(&entry.value) else { continue };
                if of == *topic && found.len() < limit {
                    found.push(Later { id, at, event: event(message) });
                }
            }
            let Some(next) = page.next else { break };
            range.from = next;
        }
        Ok(found)
    }

    pub(crate) async fn cancel(&self, topic: &TopicName, id: &str) -> Result<bool, Error> {
        let key = self.rows.key(&format!("{PREFIX}{id}"));
        let entry =
            self.rows.kv.get(&key).await.map_err(|cause| Error::Kv { what: WHAT, cause })?;
        let of_topic =
            entry.and_then(|entry| kept::decode(&entry.value)).is_some_and(|(of, _)| of == *topic);
        if !of_topic {
            return Ok(false);
        }
        self.rows.commit(WHAT, Transaction::delete(key.clone()).when(key, Is::Present)).await
    }

    /// When the row of this key is due, and what it is called.
    fn parse(&self, key: &[u8]) -> Option<(Timestamp, String)> {
        let id = self.rows.name(key)?.strip_prefix(PREFIX)?;
        let (at, _) = id.split_once('/')?;
        Some((Timestamp(u64::from_str_radix(at, 16).ok()?), id.to_owned()))
    }

    /// Publishes what is due, until `stop`.
    pub(crate) async fn run(self, topics: Topics, mut stop: Stop) {
        let mut pause = Pause::default();
        loop {
            let step = async {
                match self.publish_due(&topics).await {
                    Ok(wait) => {
                        pause.reset();
                        tokio::select! {
                            () = tokio::time::sleep(wait) => {}
                            () = self.earlier.notified() => {}
                        }
                    }
                    Err(error) => {
                        warn!(error = %base::ErrorChain(&error), "messages that are due could not be published");
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

    /// Publishes what is due. Answers how long there is nothing more to do.
    async fn publish_due(&self, topics: &Topics) -> Result<Duration, Error> {
        let mut range = self.rows.prefix(PREFIX);
        loop {
            let page = self.rows.first(WHAT, &range).await?;
            let (now, mut next) = (self.now(), None);
            let mut by_topic: BTreeMap<TopicName, Vec<Due>> = BTreeMap::new();
            for entry in page.entries {
                let Some((at, id)) = self.parse(&entry.key) else { continue };
                if at > now {
                    next = Some(Duration::from_micros(at.0 - now.0).min(LOOK_EVERY));
                    break;
                }
                let Some((topic, mut message)) = kept::decode(&entry.value) else {
                    warn!(id, "a message that is due was written by a later release");
                    continue;
                };
                message.id = message.id.or_else(|| Some(format!("later:{id}")));
                by_topic.entry(topic).or_default().push(Due { key: entry.key, message });
            }
            self.publish(topics, by_topic).await?;
            match (next, page.next) {
                (Some(wait), _) => return Ok(wait),
                (None, Some(more)) => range.from = more,
                (None, None) => return Ok(LOOK_EVERY),
            }
        }
    }

    /// Publishes messages and deletes their rows. A topic that cannot be published to does not hold up others.
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
                match outbox::publish(topics, &topic, messages).await {
                    Ok(()) => {
                        let delete = |all: Transaction, key: Bytes| all.and_delete(key);
                        let transaction = keys.into_iter().fold(Transaction::default(), delete);
                        self.rows.commit(WHAT, transaction).await?;
                    }
                    Err(error) => {
                        outage = Some(error);
                        break;
                    }
                }
            }
        }
        outage.map_or(Ok(()), Err)
    }
}

/// A message whose time has come, and its row.
struct Due {
    key: Bytes,
    message: NewMessage,
}

fn event(message: NewMessage) -> Event {
    let NewMessage { id, key, headers, payload } = message;
    let (offset, time, id) = (Offset(0), Timestamp(0), id.unwrap_or_default());
    Event::from_message(&Message { offset, time, id, key, headers, payload })
}
