//! What was left unfinished is taken up: at the start what is this node's, later what belonged to nodes that have ended.
//!
//! Where nodes share an engine, each keeps a key under a lease. When the key is gone the others take its transactions over, each by a write
//! under the condition that nobody else has written since.

use crate::{Gid, record, service::Inner};
use base::ErrorChain;
use logic::backoff::Backoff;
use ports::kv::{self, Entry, LeaseId, Life, PAGE_MAX, Transaction};
use runtime::Stop;
use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tracing::{debug, error, info, warn};

/// How long a node is taken to live after its last sign: long enough for a pause of a loaded machine, short enough for what it has begun.
const LEASE: Duration = Duration::from_secs(15);

/// How often it gives a sign, and looks for those of others.
const SIGN_EVERY: Duration = Duration::from_secs(5);

/// How often all records are read where nodes share an engine, for what nobody drives: a net below the rest.
const READ_ALL_EVERY: u32 = 12;

/// Between tries to read.
const RETRY: Backoff = Backoff { first: Duration::from_millis(100), max: Duration::from_secs(5) };

/// Waits after a failure, longer each time. Whether to go on.
async fn pause(failures: &mut u32, stop: &mut Stop) -> bool {
    *failures = failures.saturating_add(1);
    let random = getrandom::u64().unwrap_or_default();
    tokio::time::timeout(RETRY.wait(*failures, random), stop.wait()).await.is_err()
}

/// Reads what was left, and keeps looking where nodes share an engine.
pub(crate) async fn run(inner: Arc<Inner>, mut stop: Stop) {
    let is_shared = inner.engine.is_shared();
    let mut sign = Sign { inner: &inner, lease: None };
    let mut failures = 0;
    loop {
        let read = async {
            let living = if is_shared { sign.give().await? } else { BTreeSet::new() };
            inner.read_all(&living, true).await.map(|()| living)
        };
        let result = tokio::select! {
            result = read => result,
            () = stop.wait() => return,
        };
        match result {
            Ok(living) => {
                inner.loaded();
                if is_shared {
                    sign.watch_over(living, stop).await;
                }
                return;
            }
            Err(error) => {
                debug!(error = %ErrorChain(&error), "unfinished transactions cannot be read yet");
                if !pause(&mut failures, &mut stop).await {
                    return;
                }
            }
        }
    }
}

/// The key that says that this node lives.
struct Sign<'a> {
    inner: &'a Arc<Inner>,
    lease: Option<LeaseId>,
}

impl Sign<'_> {
    /// Gives a sign. Answers who else lives, this node among them.
    async fn give(&mut self) -> Result<BTreeSet<String>, kv::Error> {
        let (engine, tools) = (&self.inner.engine, &self.inner.tools);
        if let Some(lease) = self.lease {
            match engine.renew(lease).await {
                Ok(_) => {}
                Err(kv::Error::LeaseGone(_)) => self.lease = None,
                Err(error) => return Err(error),
            }
        }
        if self.lease.is_none() {
            let lease = engine.grant(LEASE).await?.id;
            let key = tools.keys.node(&tools.node);
            let put = Transaction::default().and_put(key, "1", Life::Lease(lease));
            engine.commit(put).await?;
            self.lease = Some(lease);
        }
        let mut living = BTreeSet::from([tools.node.clone()]);
        let mut range = tools.keys.nodes();
        loop {
            let page = engine.range(&range, PAGE_MAX).await?;
            let names = page.entries.iter().filter_map(|entry| tools.keys.of_node(&entry.key));
            living.extend(names.map(str::to_owned));
            let Some(next) = page.next else { return Ok(living) };
            range.from = next;
        }
    }

    /// Takes over what nobody drives, until it shall end; then takes the sign away.
    async fn watch_over(mut self, mut living: BTreeSet<String>, mut stop: Stop) {
        let mut round = 0;
        while tokio::time::timeout(SIGN_EVERY, stop.wait()).await.is_err() {
            round += 1;
            let now = match self.give().await {
                Ok(now) => now,
                Err(error) => {
                    debug!(error = %ErrorChain(&error), "the node could give no sign");
                    continue;
                }
            };
            let gone: Vec<&String> = living.difference(&now).collect();
            if gone.is_empty() && round % READ_ALL_EVERY != 0 {
                continue;
            }
            if !gone.is_empty() {
                info!(nodes = ?gone, "nodes are gone: their transactions are taken over");
            }
            // What could not be read now is read next time: the nodes stay among those that were there.
            match self.inner.read_all(&now, false).await {
                Ok(()) => living = now,
                Err(error) => {
                    warn!(error = %ErrorChain(&error), "transactions could not be taken over yet");
                }
            }
        }
        if let Some(lease) = self.lease
            && let Err(error) = self.inner.engine.revoke(lease).await
        {
            debug!(error = %ErrorChain(&error), "the node's sign ends by itself");
        }
    }
}

impl Inner {
    /// Reads all unfinished transactions and puts in what this node has to drive: what nobody who lives drives, and at the start its own.
    /// Later its own are in the table, unless they end while they are read here.
    async fn read_all(&self, living: &BTreeSet<String>, is_start: bool) -> Result<(), kv::Error> {
        let mut range = self.tools.keys.all_live();
        loop {
            let page = self.engine.range(&range, PAGE_MAX).await?;
            for entry in page.entries {
                self.put_in(entry, |node| {
                    (is_start && node == self.tools.node) || !living.contains(node)
                });
            }
            let Some(next) = page.next else { break };
            range.from = next;
            self.shards.iter().for_each(|shard| shard.with(|table| table.settle()));
        }
        self.shards.iter().for_each(|shard| shard.with(|table| table.settle()));
        Ok(())
    }

    fn put_in(&self, entry: Entry, is_ours: impl Fn(&str) -> bool) {
        let Some(gid) = self.tools.keys.of_live(&entry.key) else { return };
        let unreadable = |gid: &Gid| {
            error!(%gid, "the record of a transaction cannot be read: it is kept and not driven");
        };
        if self.engine.is_shared() {
            match record::node(&entry.value) {
                Some(node) if !is_ours(&node) => return,
                Some(_) => {}
                None => return unreadable(&gid),
            }
        }
        let shard = self.shard(&gid);
        if !shard.table().load(gid.clone(), &entry.value, entry.modified) {
            unreadable(&gid);
        }
    }

    /// Everything that was left has been read.
    fn loaded(&self) {
        self.shards.iter().for_each(|shard| shard.table().loaded());
        let unfinished = self.tools.unfinished.load(Ordering::Relaxed);
        if unfinished > 0 {
            info!(unfinished, "unfinished transactions are taken up");
        }
    }
}
