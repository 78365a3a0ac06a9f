//! What locks need in the background: the lease of this node's waiters, giving back what dropped calls and ended
//! instances have left, and knowing which instance has which locks.

use super::{Bound, record::Record};
use crate::{engine::Engine, error::Error, follow::Pause};
use base::{InstanceId, Moment, Timestamp};
use ports::kv::{self, Is, LeaseId, Range, Revision, Transaction};
use runtime::Stop;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::Notify;
use tracing::{debug, warn};

/// How long the waiters of a node that died stand in the way of others.
const SESSION_TTL: Duration = Duration::from_secs(10);

/// How often their lease is renewed: three may be lost.
const SESSION_RENEW: Duration = Duration::from_secs(3);

/// What waits to be given back at most. The leases take care of what is more, only later.
const CLEANUPS_MAX: usize = 10_000;

/// Bound locks of one instance that are remembered before those whose time is long over are forgotten.
const BOUND_PRUNE: usize = 256;

/// What is done in the background.
#[derive(Debug)]
pub(crate) struct Upkeep {
    engine: Arc<Engine>,
    node: String,
    /// What all keys of locks begin with.
    root: String,
    session: tokio::sync::Mutex<Option<LeaseId>>,
    waiters: AtomicUsize,
    left: Mutex<Left>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Left {
    /// What shall be given back.
    cleanups: VecDeque<Transaction>,
    /// The locks of instances: key, token, and when its lease ends unless it is renewed.
    bound: BTreeMap<InstanceId, BTreeMap<String, (u64, Moment)>>,
    /// The locks of an earlier life of this node are in `bound`.
    is_recalled: bool,
    /// Instances that ended before that, and when.
    ended: BTreeMap<InstanceId, Timestamp>,
}

/// Something that is given back unless it is settled.
#[derive(Debug)]
pub(super) struct Claim<'a> {
    upkeep: &'a Upkeep,
    undo: Option<Transaction>,
}

impl Claim<'_> {
    /// Nothing is to be given back.
    pub(super) fn settle(mut self) {
        self.undo = None;
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if let Some(undo) = self.undo.take() {
            self.upkeep.give_back([undo]);
        }
    }
}

/// Somebody waits.
#[derive(Debug)]
pub(super) struct Standing<'a>(&'a AtomicUsize);

impl Drop for Standing<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Frees a lock if it still is the one that was granted at `created`.
pub(super) fn giving_back(held: &str, created: Revision) -> Transaction {
    let held = held.to_owned();
    Transaction::default().when(held.clone(), Is::CreatedAt(created)).and_delete(held)
}

impl Upkeep {
    pub(crate) fn new(engine: Arc<Engine>, node: String) -> Self {
        let root = engine.key(&["lock", ""]);
        Self {
            engine,
            node,
            root,
            session: tokio::sync::Mutex::default(),
            waiters: AtomicUsize::new(0),
            left: Mutex::default(),
            wake: Notify::new(),
        }
    }

    pub(super) fn node(&self) -> &str {
        &self.node
    }

    pub(super) fn claim(&self, undo: Transaction) -> Claim<'_> {
        Claim { upkeep: self, undo: Some(undo) }
    }

    pub(super) fn stand(&self) -> Standing<'_> {
        self.waiters.fetch_add(1, Ordering::Relaxed);
        Standing(&self.waiters)
    }

    /// The lease of this node's waiters. To be asked for by who stands.
    pub(super) async fn session(&self) -> Result<LeaseId, Error> {
        let mut session = self.session.lock().await;
        if let Some(lease) = *session {
            return Ok(lease);
        }
        let lease = self.engine.grant(SESSION_TTL).await?.id;
        *session = Some(lease);
        Ok(lease)
    }

    pub(super) async fn session_ended(&self, lease: LeaseId) {
        let mut session = self.session.lock().await;
        if *session == Some(lease) {
            *session = None;
        }
    }

    /// Remembers that an instance has a lock.
    pub(super) fn bind(&self, instance: Bound, held: &str, token: u64, ttl: Duration) {
        let Some(instance) = instance else { return };
        let now = self.engine.clock().now();
        let mut left = self.left();
        let locks = left.bound.entry(instance).or_default();
        if locks.len() >= BOUND_PRUNE {
            // The engine may have given a lease its whole time once more; after that it has surely ended.
            locks.retain(|_, (_, ends)| *ends + ttl > now);
        }
        locks.insert(held.to_owned(), (token, now + ttl));
    }

    pub(super) fn unbind(&self, instance: Bound, held: &str) {
        let Some(instance) = instance else { return };
        if let Some(locks) = self.left().bound.get_mut(&instance) {
            locks.remove(held);
        }
    }

    /// Frees the locks of an instance that has ended.
    pub(crate) fn instance_ended(&self, instance: &InstanceId) {
        let locks = {
            let mut left = self.left();
            if !left.is_recalled {
                left.ended.insert(instance.clone(), self.engine.clock().date());
            }
            left.bound.remove(instance).unwrap_or_default()
        };
        let locks = locks.into_iter();
        self.give_back(locks.map(|(held, (token, _))| giving_back(&held, Revision(token))));
    }

    fn give_back(&self, undo: impl IntoIterator<Item = Transaction>) {
        let mut left = self.left();
        left.cleanups.extend(undo);
        while left.cleanups.len() > CLEANUPS_MAX {
            left.cleanups.pop_front();
        }
        drop(left);
        self.wake.notify_one();
    }

    /// Keeps the lease of the waiters alive until it shall end, and gives it back then.
    pub(crate) async fn keep_session(self: Arc<Self>, mut stop: Stop) {
        while tokio::time::timeout(SESSION_RENEW, stop.wait()).await.is_err() {
            let mut session = self.session.lock().await;
            let Some(lease) = *session else { continue };
            if self.waiters.load(Ordering::Relaxed) == 0 {
                *session = None;
                drop(session);
                if let Err(error) = self.engine.revoke(lease).await {
                    debug!(%error, "the lease of waiters ends by itself");
                }
            } else if let Err(error) = self.engine.renew(lease).await {
                debug!(%error, "the lease of waiters was not renewed");
                if matches!(error, kv::Error::LeaseGone(_)) {
                    *session = None;
                }
            }
        }
        if let Some(lease) = self.session.lock().await.take()
            && let Err(error) = self.engine.revoke(lease).await
        {
            debug!(%error, "the lease of waiters ends by itself");
        }
    }

    /// Gives back what is left, until it shall end.
    pub(crate) async fn clean(self: Arc<Self>, mut stop: Stop) {
        let mut pause = Pause::default();
        loop {
            let work = async {
                match self.work().await {
                    Ok(()) => {
                        pause.reset();
                        self.wake.notified().await;
                    }
                    Err(error) => {
                        debug!(%error, "locks are not given back yet");
                        pause.wait().await;
                    }
                }
            };
            tokio::select! {
                () = work => {}
                () = stop.wait() => break,
            }
        }
        if let Err(error) = self.work().await {
            debug!(%error, "locks are given back when their leases end");
        }
    }

    /// Does what there is to do. Cancel safe: what it has not done is there the next time.
    async fn work(&self) -> Result<(), Error> {
        if !self.left().is_recalled {
            self.recall().await?;
        }
        loop {
            let Some(undo) = self.left().cleanups.front().cloned() else { return Ok(()) };
            match self.engine.commit(undo.clone()).await.map_err(Error::from) {
                Ok(_) => {}
                // Whether it was done is seen by doing it again.
                Err(error) if error.is_outage() => return Err(error),
                Err(error) => warn!(%error, "a lock could not be given back"),
            }
            let mut left = self.left();
            if left.cleanups.front() == Some(&undo) {
                left.cleanups.pop_front();
            }
        }
    }

    /// Finds the locks of instances that an earlier life of this node has granted.
    async fn recall(&self) -> Result<(), Error> {
        let range = Range::prefix(self.root.clone().into());
        let (entries, ..) = self.engine.all(&range, usize::MAX).await?;
        let now = self.engine.clock().now();
        let mut left = self.left();
        let mut undo = Vec::new();
        for entry in entries {
            let held = String::from_utf8_lossy(&entry.key).into_owned();
            let own = held.strip_prefix(&self.root).and_then(|own| own.split_once('/'));
            if !own.is_some_and(|(_, kind)| kind.starts_with("held/")) {
                continue;
            }
            let Ok(record) = Record::decode("", &entry.value) else { continue };
            let Some(instance) = record.instance().filter(|_| record.node == self.node) else {
                continue;
            };
            if left.ended.get(&instance).is_some_and(|ended| record.since() <= *ended) {
                undo.push(giving_back(&held, entry.created));
            } else {
                let locks = left.bound.entry(instance).or_default();
                locks.entry(held).or_insert((entry.created.0, now + record.ttl()));
            }
        }
        left.is_recalled = true;
        left.ended.clear();
        left.cleanups.extend(undo);
        Ok(())
    }

    fn left(&self) -> MutexGuard<'_, Left> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
