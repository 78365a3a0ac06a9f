//! A store in the engine.

use super::{
    Etag, Fence, Item, Match, SCAN_MAX, Scan, StateOp, Write, expiry, mismatch,
    plan::{self, Plan},
    record, time_to_live,
};
use crate::{config::Stores, engine::Engine, error::Error, locks};
use bytes::Bytes;
use futures_util::{StreamExt as _, future::join_all, stream};
use ports::kv::{Entry, Is, Life, Operation, Outcome, Range, Revision, Transaction};
use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};
use tokio::sync::watch;

/// Calls to the engine that one call of ours has in flight at most: enough to fill a group commit, few enough that
/// one caller with many keys does not crowd out the others.
const IN_FLIGHT_MAX: usize = 64;

/// Writes that ask for nothing go to the engine together, up to this many, and this many bytes: well below its bounds.
const BATCH_MAX: usize = 64;
const BATCH_SIZE_MAX: usize = 512 << 10;
/// Writes with their places among all.
type Batch = Vec<(usize, Write)>;

/// A store in the engine.
#[derive(Clone, Debug)]
pub(super) struct Durable {
    pub(super) engine: Arc<Engine>,
    pub(super) stores: watch::Receiver<Arc<Stores>>,
    /// What its keys begin with in the engine.
    pub(super) root: Arc<str>,
    pub(super) ttl: Option<Duration>,
}

/// What the conditions of a transaction are for, in their order.
enum Asked<'a> {
    Key(&'a str, Match),
    Fence(&'a Fence),
}

impl Durable {
    pub(super) async fn get(&self, key: &str) -> Result<Option<Item>, Error> {
        plan::check_key(key)?;
        let entry = self.engine.get(&self.full(key)).await?;
        entry.map(|entry| record::decode(key.to_owned(), &entry)).transpose()
    }

    pub(super) async fn get_many(&self, keys: &[String]) -> Vec<Result<Option<Item>, Error>> {
        // The closure must not live across an `await`: the compiler cannot tell that its future is `Send` then.
        let reads: Vec<_> = keys.iter().map(|key| self.get(key)).collect();
        stream::iter(reads).buffered(IN_FLIGHT_MAX).collect().await
    }

    pub(super) async fn put(&self, write: Write) -> Result<Etag, Error> {
        let etags = self.transact(vec![StateOp::Put(write)], Vec::new()).await?;
        Ok(etags.into_iter().flatten().next().expect("a put that succeeds has an etag"))
    }

    pub(super) async fn delete(
        &self,
        key: &str,
        etag: Match,
        fence: Option<Fence>,
    ) -> Result<bool, Error> {
        plan::check_key(key)?;
        let fences: BTreeSet<Fence> = fence.into_iter().collect();
        let (mut transaction, mut asked) = self.fenced(&fences)?;
        // That the key is there is always asked for, since the engine does not say otherwise whether it was.
        let is = condition(etag).unwrap_or(Is::Present);
        let is_deletion = is != Is::Missing;
        transaction = transaction.when(self.full(key), is);
        asked.push(Asked::Key(key, etag));
        if is_deletion {
            transaction = transaction.and_delete(self.full(key));
        }
        match self.engine.commit(transaction).await? {
            Outcome::Committed { .. } => Ok(is_deletion),
            Outcome::Refused { found, .. } => conflict(&asked, &found).map_or(Ok(false), Err),
        }
    }

    pub(super) async fn transact(
        &self,
        operations: Vec<StateOp>,
        beside: Vec<Operation>,
    ) -> Result<Vec<Option<Etag>>, Error> {
        let plan = plan::plan(operations)?;
        let (mut transaction, asked) = self.build(&plan)?;
        let stays = plan.stays.iter();
        transaction.operations.extend(beside);
        match self.engine.commit(transaction).await? {
            Outcome::Committed { revision } => {
                Ok(stays.map(|stays| stays.then_some(Etag(revision.0))).collect())
            }
            Outcome::Refused { found, .. } => {
                Err(conflict(&asked, &found).unwrap_or_else(|| self.unfounded()))
            }
        }
    }

    /// What `operations` come to, for others to commit.
    pub(super) fn transaction(&self, operations: Vec<StateOp>) -> Result<Transaction, Error> {
        let plan = plan::plan(operations)?;
        Ok(self.build(&plan)?.0)
    }

    /// The transaction of a plan, and what its conditions are for.
    fn build<'p>(&self, plan: &'p Plan) -> Result<(Transaction, Vec<Asked<'p>>), Error> {
        let (mut transaction, mut asked) = self.fenced(&plan.fences)?;
        for planned in &plan.keys {
            if let Some(is) = condition(planned.before) {
                transaction = transaction.when(self.full(&planned.key), is);
                asked.push(Asked::Key(&planned.key, planned.before));
            }
        }
        for planned in &plan.keys {
            let key = Bytes::from(self.full(&planned.key));
            transaction.operations.push(match &planned.after {
                Some(write) => self.operation(key, write)?,
                None => Operation::Delete { key },
            });
        }
        Ok((transaction, asked))
    }

    /// As if one after the other: what has the same key goes in different waves, and within a wave those that ask for
    /// nothing go together.
    pub(super) async fn put_many(&self, writes: Vec<Write>) -> Vec<Result<Etag, Error>> {
        let mut answers: Vec<Option<Result<Etag, Error>>> = vec![None; writes.len()];
        let mut rest: VecDeque<(usize, Write)> = VecDeque::new();
        for (at, write) in writes.into_iter().enumerate() {
            // What no store takes must not spoil the transaction of its neighbours.
            match plan::check(&write).and_then(|()| self.life(&write).map(|_| ())) {
                Ok(()) => rest.push_back((at, write)),
                Err(error) => answers[at] = Some(Err(error)),
            }
        }
        let mut outage: Option<Error> = None;
        while !rest.is_empty() {
            let mut batches = wave(&mut rest).into_iter().peekable();
            while batches.peek().is_some() {
                let together = batches.by_ref().take(IN_FLIGHT_MAX);
                let done: Vec<_> = match &outage {
                    Some(outage) => together.map(|batch| untried(batch, outage)).collect(),
                    None => join_all(together.map(|batch| self.put_batch(batch))).await,
                };
                for (at, answer) in done.into_iter().flatten() {
                    let error = answer.as_ref().err();
                    outage = outage.or_else(|| error.filter(|e| e.is_outage()).cloned());
                    answers[at] = Some(answer);
                }
            }
        }
        answers.into_iter().flatten().collect()
    }

    async fn put_batch(&self, batch: Batch) -> Vec<(usize, Result<Etag, Error>)> {
        let (places, writes): (Vec<usize>, Vec<Write>) = batch.into_iter().unzip();
        let steps = writes.into_iter().map(StateOp::Put).collect();
        let done = self.transact(steps, Vec::new()).await;
        let answer = |n: usize| match &done {
            Ok(etags) => Ok(etags.get(n).copied().flatten().expect("each key is put once")),
            Err(error) => Err(error.clone()),
        };
        places.into_iter().enumerate().map(|(n, place)| (place, answer(n))).collect()
    }

    pub(super) async fn scan(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Scan, Error> {
        let mut range = self.range(prefix);
        if let Some(after) = after {
            let behind = Range::key(self.full(after).into()).to.unwrap_or_default();
            range.from = range.from.max(behind);
        }
        let page = self.engine.range(&range, limit.clamp(1, SCAN_MAX)).await?;
        let mut items = Vec::with_capacity(page.entries.len());
        for entry in &page.entries {
            items.push(self.item(entry)?);
        }
        let last = items.last().map(|item: &Item| item.key.clone());
        Ok(Scan { next: last.filter(|_| page.next.is_some()), items, revision: page.revision.0 })
    }

    /// The item of an entry, with its key as callers know it.
    pub(super) fn item(&self, entry: &Entry) -> Result<Item, Error> {
        record::decode(self.key(&entry.key), entry)
    }

    /// A key of the engine as callers know it.
    pub(super) fn key(&self, full: &[u8]) -> String {
        let own = full.strip_prefix(self.root.as_bytes()).unwrap_or(full);
        String::from_utf8_lossy(own).into_owned()
    }

    pub(super) fn range(&self, prefix: &str) -> Range {
        Range::prefix(self.full(prefix).into())
    }

    fn full(&self, key: &str) -> String {
        format!("{}{key}", self.root)
    }

    fn operation(&self, key: Bytes, write: &Write) -> Result<Operation, Error> {
        let life = self.life(write)?;
        let expires = match life {
            Life::Ttl(ttl) => Some(expiry(self.engine.clock().date(), ttl)),
            Life::Endless | Life::Lease(_) => None,
        };
        let value = record::encode(&write.value, write.content_type.as_deref(), expires);
        Ok(Operation::Put { key, value, life })
    }

    fn life(&self, write: &Write) -> Result<Life, Error> {
        Ok(time_to_live(write.ttl, self.ttl)?.map_or(Life::Endless, Life::Ttl))
    }

    /// A transaction that depends on these locks.
    fn fenced<'a>(
        &self,
        fences: &'a BTreeSet<Fence>,
    ) -> Result<(Transaction, Vec<Asked<'a>>), Error> {
        let mut transaction = Transaction::default();
        for fence in fences {
            let key = locks::fence_key(&self.engine, &self.stores.borrow(), fence)?;
            transaction = transaction.when(key, Is::CreatedAt(Revision(fence.token)));
        }
        Ok((transaction, fences.iter().map(Asked::Fence).collect()))
    }

    /// The engine has refused what, by its own account, holds.
    fn unfounded(&self) -> Error {
        let cause = "it refused a transaction whose conditions hold";
        Error::Refused { place: self.engine.health().place, cause: Arc::from(Box::from(cause)) }
    }
}

/// What becomes of writes when the engine has gone away before: each try would take as long as the one that found out.
fn untried(batch: Batch, outage: &Error) -> Vec<(usize, Result<Etag, Error>)> {
    let error = match outage.clone() {
        Error::Unknown { place, cause } => Error::Unavailable { place, cause },
        other => other,
    };
    batch.into_iter().map(|(at, _)| (at, Err(error.clone()))).collect()
}

/// Takes the writes of different keys from the front of each key's queue, and puts those together that may be.
fn wave(rest: &mut VecDeque<(usize, Write)>) -> Vec<Batch> {
    let mut keys = BTreeSet::new();
    let (mut batches, mut open, mut open_size) = (Vec::new(), Batch::new(), 0);
    for (at, write) in std::mem::take(rest) {
        if !keys.insert(write.key.clone()) {
            rest.push_back((at, write));
            continue;
        }
        if write.etag != Match::Any || write.fence.is_some() {
            batches.push(vec![(at, write)]);
            continue;
        }
        let size = write.key.len() + write.value.len();
        if open.len() >= BATCH_MAX || open_size + size > BATCH_SIZE_MAX {
            batches.push(std::mem::take(&mut open));
            open_size = 0;
        }
        open_size += size;
        open.push((at, write));
    }
    if !open.is_empty() {
        batches.push(open);
    }
    batches
}

fn condition(etag: Match) -> Option<Is> {
    match etag {
        Match::Any => None,
        Match::Missing => Some(Is::Missing),
        Match::Etag(etag) => Some(Is::ModifiedAt(Revision(etag.0))),
    }
}

/// The first of the conditions that did not hold.
fn conflict(asked: &[Asked<'_>], found: &[Option<Entry>]) -> Option<Error> {
    asked.iter().zip(found).find_map(|(asked, found)| {
        let found = found.as_ref();
        match asked {
            Asked::Fence(fence) => {
                let current = found.map(|lock| lock.created.0);
                let (resource, token) = (fence.resource.clone(), fence.token);
                (current != Some(token)).then_some(Error::Stale { resource, token, current })
            }
            Asked::Key(key, etag) => {
                mismatch(key, *etag, found.map(|entry| Etag(entry.modified.0)))
            }
        }
    })
}
