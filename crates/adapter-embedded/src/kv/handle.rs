//! The port.

use async_trait::async_trait;
use bytes::Bytes;
use ports::kv::{
    Capabilities, Entry, Error, Is, Kv, Lease, LeaseId, LeaseStatus, Operation, Outcome, Page,
    Range, Revision, Snapshot, Status, Transaction, Watch, check_key, check_ttl,
};
use std::{io, sync::Arc, time::Duration};
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::{
    command::{Command, Reply},
    shared::Shared,
    snapshot::{Held, Look},
    watch::Following,
};

/// Most commands that wait for the writer; who comes later waits before he is let in.
pub(super) const QUEUE_MAX: usize = 4_096;

/// Most KiB of keys and values that wait for the writer.
pub(super) const ROOM: usize = 32 << 10;

/// The engine as its users have it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    shared: Arc<Shared>,
    queue: mpsc::Sender<Command>,
    room: Arc<Semaphore>,
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

    /// Asks the writer something that is about `bytes` long.
    async fn ask<T>(
        &self,
        bytes: usize,
        command: impl FnOnce(Reply<T>) -> Command,
    ) -> Result<T, Error> {
        let kib = u32::try_from(bytes / 1_024 + 1).unwrap_or(u32::MAX);
        let Ok(room) = Arc::clone(&self.room).acquire_many_owned(kib).await else {
            return Err(self.shared.closed());
        };
        let (sender, answer) = oneshot::channel();
        if self.queue.send(command(Reply { sender, room })).await.is_err() {
            return Err(self.shared.closed());
        }
        answer.await.unwrap_or_else(|_| {
            let cause = Arc::new(io::Error::other("the writer ended"));
            Err(Error::Unknown { place: self.shared.place.clone(), cause })
        })
    }
}

/// About how long a transaction is.
fn size(transaction: &Transaction) -> usize {
    let operations = transaction.operations.iter();
    let size = |operation: &Operation| match operation {
        Operation::Put { key, value, .. } => key.len() + value.len(),
        Operation::Delete { key } => key.len(),
        Operation::DeleteRange { range } => {
            range.from.len() + range.to.as_ref().map_or(0, Bytes::len)
        }
    };
    let conditions = transaction.conditions.iter().map(|condition| match &condition.is {
        Is::Value(value) => condition.key.len() + value.len(),
        _ => condition.key.len(),
    });
    operations.map(size).sum::<usize>() + conditions.sum::<usize>()
}

#[async_trait]
impl Kv for Handle {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            durable: true,
            transactions: true,
            leases: true,
            watches: true,
            shared: false,
        }
    }

    async fn get(&self, key: &[u8]) -> Result<Option<Entry>, Error> {
        check_key(key)?;
        self.begin().await?;
        self.shared.get(key)
    }

    async fn range(&self, range: &Range, limit: usize) -> Result<Page, Error> {
        self.begin().await?;
        Arc::new(Look::new(&self.shared)).page(range, limit).await
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, Error> {
        self.begin().await?;
        Ok(Box::new(Held(Arc::new(Look::new(&self.shared)))))
    }

    async fn commit(&self, transaction: Transaction) -> Result<Outcome, Error> {
        transaction.check()?;
        self.ask(size(&transaction), |reply| Command::Commit(transaction, reply)).await
    }

    async fn grant(&self, ttl: Duration) -> Result<Lease, Error> {
        check_ttl(ttl)?;
        self.ask(0, |reply| Command::Grant(ttl, reply)).await
    }

    async fn renew(&self, lease: LeaseId) -> Result<Duration, Error> {
        self.begin().await?;
        let now = self.shared.now();
        self.shared.leases().renew(lease, now)
    }

    async fn revoke(&self, lease: LeaseId) -> Result<(), Error> {
        self.ask(0, |reply| Command::Revoke(lease, reply)).await
    }

    async fn lease(&self, lease: LeaseId) -> Result<LeaseStatus, Error> {
        self.begin().await?;
        let now = self.shared.now();
        self.shared.leases().status(lease, now)
    }

    async fn watch(&self, range: Range, from: Option<Revision>) -> Result<Box<dyn Watch>, Error> {
        self.begin().await?;
        Ok(Box::new(Following::open(&self.shared, range, from)?))
    }

    async fn compact(&self, revision: Revision) -> Result<(), Error> {
        self.ask(0, |reply| Command::Compact(revision, reply)).await
    }

    async fn status(&self) -> Result<Status, Error> {
        self.begin().await?;
        let view = self.shared.view();
        let (revision, compacted) = (Revision(view.revision), Revision(view.compacted));
        drop(view);
        Ok(Status {
            revision,
            compacted,
            size: self.shared.bytes(),
            leases: Some(self.shared.leases().granted()),
            place: self.shared.place.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_a_transaction_holds_in_memory_is_counted() {
        let long = vec![0; 1_000];
        let transaction = Transaction::put("a", long.clone())
            .and_delete("b")
            .when("c", Is::Value(long.into()))
            .when("d", Is::Missing);
        assert_eq!(size(&transaction), 2_004);
    }
}
