//! Topics of DTM: names under which messages reach several URLs. Kept in the kv engine, one key a topic.

use super::fault::Fault;
use crate::wire::time::Time;
use base::Timestamp;
use bytes::Bytes;
use ports::kv::{
    Condition, Entry, Error, Is, Kv, Life, Operation, Outcome, PAGE_MAX, Range, Transaction,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;

/// The category under which clients see them.
pub(super) const CATEGORY: &str = "topics";
/// Most subscribers of a topic: a message to it has a branch for each, and a transaction has no more.
const SUBSCRIBERS_MAX: usize = logic::tx::BRANCHES_MAX;
/// Longest name of a topic in bytes.
const NAME_LEN_MAX: usize = 128;
/// How often a change is begun again because another came first. Each time another one has succeeded, so only more than as many
/// clients at the same moment run into it.
const CHANGES_MAX: usize = 64;

/// Who gets what is sent to a topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Subscriber {
    url: String,
    #[serde(default)]
    remark: String,
}

/// What is kept of a topic.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    /// The version of this form.
    v: u8,
    subscribers: Vec<Subscriber>,
    /// In milliseconds since 1970.
    created_ms: u64,
    updated_ms: u64,
}

/// The topics of a system.
#[derive(Clone, Debug)]
pub(super) struct Topics {
    kv: Arc<dyn Kv>,
    prefix: String,
    clock: runtime::Clock,
}

impl Topics {
    pub(super) fn new(kv: Arc<dyn Kv>, system: &str, clock: runtime::Clock) -> Self {
        Self { kv, prefix: format!("flotilla/{system}/dtm/topics/"), clock }
    }

    /// Whom a message to this topic reaches.
    pub(super) async fn urls(&self, topic: &str) -> Result<Vec<String>, Fault> {
        let kept = match self.entry(topic).await? {
            Some(entry) => read(&entry)?,
            None => Kept::default(),
        };
        if kept.subscribers.is_empty() {
            return Err(Fault::other(format!("topic not found: `{topic}` has no subscribers")));
        }
        Ok(kept.subscribers.into_iter().map(|subscriber| subscriber.url).collect())
    }

    pub(super) async fn subscribe(
        &self,
        topic: &str,
        url: &str,
        remark: &str,
    ) -> Result<(), Fault> {
        fits(topic, url)?;
        self.change(topic, |kept| {
            if kept.subscribers.iter().any(|subscriber| subscriber.url == url) {
                return Err(Fault::other(format!("`{url}` has subscribed to `{topic}` already")));
            }
            if kept.subscribers.len() == SUBSCRIBERS_MAX {
                return Err(Fault::other(format!(
                    "`{topic}` has {SUBSCRIBERS_MAX} subscribers, the most there may be"
                )));
            }
            let subscriber = Subscriber { url: url.to_owned(), remark: remark.to_owned() };
            kept.subscribers.push(subscriber);
            Ok(())
        })
        .await
    }

    pub(super) async fn unsubscribe(&self, topic: &str, url: &str) -> Result<(), Fault> {
        fits(topic, url)?;
        self.change(topic, |kept| {
            let before = kept.subscribers.len();
            kept.subscribers.retain(|subscriber| subscriber.url != url);
            if kept.subscribers.len() == before {
                return Err(Fault::other(format!("`{url}` has not subscribed to `{topic}`")));
            }
            Ok(())
        })
        .await
    }

    pub(super) async fn delete(&self, topic: &str) -> Result<(), Fault> {
        fits(topic, "-")?;
        let key = self.key(topic);
        let transaction = Transaction {
            conditions: vec![Condition { key: key.clone(), is: Is::Present }],
            operations: vec![Operation::Delete { key }],
        };
        match self.kv.commit(transaction).await? {
            Outcome::Committed { .. } => Ok(()),
            Outcome::Refused { .. } => Err(Fault::other(format!("there is no topic `{topic}`"))),
        }
    }

    /// The topic as DTM shows it, if there is one.
    pub(super) async fn find(&self, topic: &str) -> Result<Vec<Value>, Fault> {
        if topic.is_empty() {
            return Ok(self.scan(None, PAGE_MAX).await?.0);
        }
        let entry = self.entry(topic).await?;
        entry.map(|entry| self.shown(&entry)).into_iter().collect()
    }

    /// Some topics from a position on, and the position of the next ones.
    pub(super) async fn scan(
        &self,
        position: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<Value>, Option<String>), Fault> {
        let mut range = Range::prefix(Bytes::from(self.prefix.clone()));
        if let Some(position) = position {
            range.from = self.key(position);
        }
        let page = self.kv.range(&range, limit.clamp(1, PAGE_MAX)).await?;
        let shown: Result<_, _> = page.entries.iter().map(|entry| self.shown(entry)).collect();
        Ok((shown?, page.next.map(|key| self.name(&key))))
    }

    async fn entry(&self, topic: &str) -> Result<Option<Entry>, Fault> {
        fits(topic, "-")?;
        Ok(self.kv.get(&self.key(topic)).await?)
    }

    /// Changes what is kept of a topic, which comes to be with it; begins again when another change came first.
    async fn change(
        &self,
        topic: &str,
        mut change: impl FnMut(&mut Kept) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let key = self.key(topic);
        for _ in 0..CHANGES_MAX {
            let entry = self.kv.get(&key).await?;
            let now_ms = self.clock.date().millis();
            let new = Kept { created_ms: now_ms, ..Kept::default() };
            let mut kept = entry.as_ref().map(read).transpose()?.unwrap_or(new);
            change(&mut kept)?;
            kept.v = 1;
            kept.updated_ms = now_ms;
            let is = entry.map_or(Is::Missing, |entry| Is::ModifiedAt(entry.modified));
            let value = serde_json::to_vec(&kept).map_err(|e| Fault::other(e.to_string()))?;
            let transaction = Transaction {
                conditions: vec![Condition { key: key.clone(), is }],
                operations: vec![Operation::Put {
                    key: key.clone(),
                    value: value.into(),
                    life: Life::Endless,
                }],
            };
            if let Outcome::Committed { .. } = self.kv.commit(transaction).await? {
                return Ok(());
            }
        }
        Err(Fault::other(format!("too many others change `{topic}`: try again")))
    }

    fn key(&self, topic: &str) -> Bytes {
        format!("{}{topic}", self.prefix).into()
    }

    fn name(&self, key: &[u8]) -> String {
        let name = key.get(self.prefix.len()..).unwrap_or_default();
        String::from_utf8_lossy(name).into_owned()
    }

    fn shown(&self, entry: &Entry) -> Result<Value, Fault> {
        let kept = read(entry)?;
        let time = |millis: u64| Time(Timestamp(millis.saturating_mul(1_000)));
        Ok(json!({
            "id": 0,
            "create_time": time(kept.created_ms),
            "update_time": time(kept.updated_ms),
            "cat": CATEGORY,
            "k": self.name(&entry.key),
            "v": serde_json::to_string(&kept.subscribers).unwrap_or_default(),
            "version": entry.version,
        }))
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Other(error.to_string())
    }
}

fn read(entry: &Entry) -> Result<Kept, Fault> {
    serde_json::from_slice(&entry.value)
        .map_err(|e| Fault::other(format!("what is kept of the topic cannot be read: {e}")))
}

fn fits(topic: &str, url: &str) -> Result<(), Fault> {
    if topic.is_empty() {
        return Err(Fault::other("empty topic: say `topic`"));
    }
    if topic.len() > NAME_LEN_MAX {
        return Err(Fault::other(format!("a topic's name has at most {NAME_LEN_MAX} bytes")));
    }
    if url.is_empty() {
        return Err(Fault::other("empty url: say `url`"));
    }
    Ok(())
}
