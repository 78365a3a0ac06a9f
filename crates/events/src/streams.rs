//! Streams of events: what the port offers, snapshots, and subscriptions that catch up and stay.

mod claim;
mod gauge;
mod mapping;
mod subscription;

use gauge::Gauge;
pub(crate) use mapping::check_name;
pub(crate) use subscription::Follower;

use crate::{Error, StreamSubscription, Wanted, kept, kept::Rows};
use bytes::Bytes;
use ports::{
    kv::{Is, Life, Transaction, VALUE_MAX},
    streams::{self, Append, Appended, Direction, Page, Position, Query, Status, StreamStatus},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::watch;

/// Most bytes of a snapshot: with what is said of it it fits into a value of every kv engine.
pub const SNAPSHOT_SIZE_MAX: usize = VALUE_MAX - (4 << 10);

/// How often a change is tried again that met another one.
const TRIES_MAX: usize = 10;

const SNAPSHOT: &str = "a snapshot";
const SNAPSHOTS: &str = "snapshots/";
const CHECKPOINT: &str = "the place of a subscription";
const CHECKPOINTS: &str = "checkpoints/";

/// What a stream has come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Of all events up to this one.
    pub revision: u64,
    /// The data's type.
    pub content_type: Option<String>,
    /// What it has come to.
    pub data: Bytes,
}

#[derive(Serialize, Deserialize)]
struct SnapshotHead {
    revision: u64,
    content_type: Option<String>,
}

/// How a subscription to streams is. Counters begin with the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamSubscriptionStatus {
    /// Its name.
    pub name: String,
    /// Where events go, in words.
    pub target: String,
    /// Everything up to there is done; as far as is known.
    pub position: Position,
    /// Events after it, those that it does not want among them.
    pub lag: u64,
    /// Whether this node delivers; if not, another one does.
    pub is_here: bool,
    /// Deliveries, repeated ones among them.
    pub delivered: u64,
    /// Events that the subscriber has done.
    pub done: u64,
    /// Events that were given up.
    pub parked: u64,
    /// Why nothing is delivered at the moment.
    pub paused: Option<String>,
    /// What went wrong last.
    pub last_error: Option<String>,
}

/// Streams of events. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Streams {
    pub(crate) engine: Arc<dyn streams::Streams>,
    rows: Rows,
    wanted: watch::Receiver<Arc<Wanted>>,
    pub(crate) gauges: Gauges,
}

/// What runs on this node, by name. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gauges(Arc<Mutex<BTreeMap<String, Arc<Gauge>>>>);

impl Gauges {
    fn get(&self, name: &str) -> Option<Arc<Gauge>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    pub(crate) fn put(&self, name: &str) -> Arc<Gauge> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(name.to_owned()).or_default())
    }

    pub(crate) fn retain(&self, is_wanted: impl Fn(&str) -> bool) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|name, _| is_wanted(name));
    }
}

impl Streams {
    pub(crate) fn new(
        engine: Arc<dyn streams::Streams>,
        rows: Rows,
        wanted: watch::Receiver<Arc<Wanted>>,
    ) -> Self {
        Self { engine, rows, wanted, gauges: Gauges::default() }
    }

    /// Appends events; durable when it returns.
    ///
    /// # Errors
    /// As [`streams::Streams::append`].
    ///
    /// # Cancel safety
    /// Not cancel safe: the same append again tells what became of it.
    pub async fn append(&self, append: Append) -> Result<Appended, Error> {
        Ok(self.engine.append(append).await?)
    }

    /// Reads one stream; see [`streams::Streams::read`].
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn read(
        &self,
        stream: &str,
        from: Option<u64>,
        direction: Direction,
        limit: usize,
    ) -> Result<Page, Error> {
        Ok(self.engine.read(stream, from, direction, limit).await?)
    }

    /// Reads the events of all streams; see [`streams::Streams::read_all`].
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn read_all(
        &self,
        query: &Query,
        from: Option<Position>,
        direction: Direction,
        limit: usize,
    ) -> Result<Page, Error> {
        Ok(self.engine.read_all(query, from, direction, limit).await?)
    }

    /// Waits for an event after `after`; see [`streams::Streams::wait`].
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn wait(&self, after: Position) -> Result<Position, Error> {
        Ok(self.engine.wait(after).await?)
    }

    /// What a stream is like; `None`: it has no events.
    ///
    /// # Errors
    /// As [`streams::Streams::stream`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn stream(&self, stream: &str) -> Result<Option<StreamStatus>, Error> {
        Ok(self.engine.stream(stream).await?)
    }

    /// Streams by name; see [`streams::Streams::streams`].
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn streams(
        &self,
        prefix: &str,
        from: Option<&str>,
        limit: usize,
    ) -> Result<Vec<StreamStatus>, Error> {
        Ok(self.engine.streams(prefix, from, limit).await?)
    }

    /// What all of it is like.
    ///
    /// # Errors
    /// As [`streams::Streams::status`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn status(&self) -> Result<Status, Error> {
        Ok(self.engine.status().await?)
    }

    /// The newest snapshot of a stream.
    ///
    /// # Errors
    /// [`Error::Streams`] for a name that is none, [`Error::Kv`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn snapshot(&self, stream: &str) -> Result<Option<Snapshot>, Error> {
        streams::check_stream(stream)?;
        let found =
            self.rows.get(SNAPSHOT, &self.rows.key(&format!("{SNAPSHOTS}{stream}"))).await?;
        Ok(found.and_then(|entry| decode(&entry.value)))
    }

    /// Keeps a snapshot in the place of an older one, or one of the same revision; durable when it returns. Answers `false` when a
    /// newer one is there.
    ///
    /// # Errors
    /// [`Error::Streams`] for a name that is none, [`Error::TooMany`] for more than [`SNAPSHOT_SIZE_MAX`], [`Error::Kv`].
    ///
    /// # Cancel safety
    /// Not cancel safe: it may have been kept.
    pub async fn put_snapshot(&self, stream: &str, snapshot: Snapshot) -> Result<bool, Error> {
        streams::check_stream(stream)?;
        let Snapshot { revision, content_type, data } = snapshot;
        let said = content_type.as_ref().map_or(0, String::len);
        let (count, limit) = (data.len() + said, SNAPSHOT_SIZE_MAX);
        if count > limit {
            return Err(Error::TooMany { what: "bytes in a snapshot", count, limit });
        }
        let key = self.rows.key(&format!("{SNAPSHOTS}{stream}"));
        let value = kept::pack(&SnapshotHead { revision, content_type }, &data);
        for _ in 0..TRIES_MAX {
            let found = self.rows.get(SNAPSHOT, &key).await?;
            let newest = found.as_ref().and_then(|entry| decode(&entry.value));
            if newest.is_some_and(|newest| newest.revision > revision) {
                return Ok(false);
            }
            let is = found.map_or(Is::Missing, |entry| Is::ModifiedAt(entry.modified));
            let put = Transaction::put(key.clone(), value.clone()).when(key.clone(), is);
            if self.rows.commit(SNAPSHOT, put).await? {
                return Ok(true);
            }
        }
        Err(Error::Invalid(format!("too many keep snapshots of `{stream}` at once")))
    }

    /// The subscriptions of the file, by name.
    ///
    /// # Errors
    /// [`Error::Streams`], [`Error::Kv`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn subscriptions(&self) -> Result<Vec<StreamSubscriptionStatus>, Error> {
        let last = self.engine.status().await?.position;
        let wanted = Arc::clone(&self.wanted.borrow());
        let mut all = Vec::with_capacity(wanted.streams.len());
        for subscription in &wanted.streams {
            let kept = self.checkpoint(&subscription.name).await?.map(|(position, _)| position);
            let gauge = self.gauges.get(&subscription.name).unwrap_or_default();
            all.push(gauge.status(subscription, kept.unwrap_or_default(), last));
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// Lets a subscription go on after `to`: with the next event that it wants.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Kv`].
    ///
    /// # Cancel safety
    /// Not cancel safe.
    pub async fn reset(&self, name: &str, to: Position) -> Result<(), Error> {
        let is_known = |it: &StreamSubscription| it.name == name;
        if !self.wanted.borrow().streams.iter().any(is_known) {
            let (what, name, hint) = ("subscription to streams", name.to_owned(), String::new());
            return Err(Error::Missing { what, name, hint });
        }
        let put = Transaction::put(self.checkpoint_key(name), to.0.to_string());
        self.rows.commit(CHECKPOINT, put).await?;
        if let Some(gauge) = self.gauges.get(name) {
            gauge.was_reset();
        }
        Ok(())
    }

    fn checkpoint_key(&self, name: &str) -> Bytes {
        self.rows.key(&format!("{CHECKPOINTS}{name}"))
    }

    /// The place of a subscription, and what names this version of it.
    async fn checkpoint(&self, name: &str) -> Result<Option<(Position, Is)>, Error> {
        let found = self.rows.get(CHECKPOINT, &self.checkpoint_key(name)).await?;
        Ok(found.map(|entry| {
            let text = std::str::from_utf8(&entry.value).ok();
            let position = text.and_then(|text| text.parse().ok()).unwrap_or_default();
            (Position(position), Is::ModifiedAt(entry.modified))
        }))
    }

    /// Moves the place of a subscription on, unless somebody else has moved it since `is`. Answers what names the new version.
    async fn move_on(
        &self,
        name: &str,
        to: Position,
        is: Is,
        claim: Option<(Bytes, Is)>,
    ) -> Result<Option<Is>, Error> {
        let key = self.checkpoint_key(name);
        let mut put = Transaction::default().when(key.clone(), is).and_put(
            key.clone(),
            to.0.to_string(),
            Life::Endless,
        );
        if let Some((claim, is)) = claim {
            put = put.when(claim, is);
        }
        let outcome = self.rows.kv.commit(put).await;
        match outcome.map_err(|cause| Error::Kv { what: CHECKPOINT, cause })? {
            ports::kv::Outcome::Committed { revision } => Ok(Some(Is::ModifiedAt(revision))),
            ports::kv::Outcome::Refused { .. } => Ok(None),
        }
    }
}

fn decode(value: &Bytes) -> Option<Snapshot> {
    let (SnapshotHead { revision, content_type }, data) = kept::unpack(value)?;
    Some(Snapshot { revision, content_type, data })
}
