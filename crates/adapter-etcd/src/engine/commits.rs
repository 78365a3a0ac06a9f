//! Transactions, and the leases that entries have for themselves.

use super::Shared;
use crate::{
    members::{Attempt, Effect, Trouble},
    names::{lease_number, revision},
    transaction,
    verdict::{Cause, Reason},
};
use ports::kv::{
    Condition, Entry, Error, Is, LeaseId, Life, OPERATIONS_MAX, Operation, Outcome, Transaction,
    VALUE_MAX,
};
use proto::etcd::etcdserverpb::{TxnRequest, TxnResponse, response_op::Response};
use std::{sync::Arc, time::Duration};
use tracing::debug;

/// Longest answer to a transaction: all its keys with the largest values.
const ANSWER_SIZE_MAX: usize = OPERATIONS_MAX * (VALUE_MAX + (16 << 10));

/// How often a transaction that is too large to be told what it met is tried, when what it met is gone by the time it
/// looks.
const TRIES_MAX: usize = 4;

impl Shared {
    /// Applies a transaction that was checked.
    pub(super) async fn commit(&self, transaction: &Transaction) -> Result<Outcome, Error> {
        if own_lives(transaction).next().is_none() {
            return self.apply(transaction, &[]).await;
        }
        // A lease is two writes, to make it and to end it: those who will be refused, as most who wait for a lock are,
        // learn it before.
        if let Some(refused) = self.foresee(transaction).await? {
            return Ok(refused);
        }
        let mut leases = Vec::new();
        let granted = self.grant_own(transaction, &mut leases).await;
        let outcome = match granted {
            Ok(()) => self.apply(transaction, &leases).await,
            Err(error) => Err(error),
        };
        // Of a write that may have been done the leases are needed; of an etcd that is away they end by themselves.
        let is_needed = matches!(
            outcome,
            Ok(Outcome::Committed { .. }) | Err(Error::Unknown { .. } | Error::Unavailable { .. })
        );
        if !is_needed {
            for lease in leases {
                if let Err(error) = self.revoke(lease).await {
                    debug!(%error, "leases that nobody needs end by themselves");
                    break;
                }
            }
        }
        outcome
    }

    async fn grant_own(
        &self,
        transaction: &Transaction,
        leases: &mut Vec<LeaseId>,
    ) -> Result<(), Error> {
        for ttl in own_lives(transaction) {
            match self.grant(ttl).await {
                Ok(lease) => leases.push(lease.id),
                // The entry was not written, which is what the caller asks about.
                Err(Error::Unknown { place, cause }) => {
                    return Err(Error::Unavailable { place, cause });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn apply(&self, transaction: &Transaction, leases: &[LeaseId]) -> Result<Outcome, Error> {
        let leases: Vec<i64> = leases.iter().copied().map(lease_number).collect();
        let (request, tells) = transaction::request(&self.names, transaction, &leases);
        let is_read = request.success.is_empty();
        let effect = if is_read { Effect::Read } else { Effect::Once };
        for _ in 0..TRIES_MAX {
            let response = match self.transact(effect, request.clone()).await {
                Ok(response) => response,
                Err(Trouble::LeaseGone(cause)) => return Err(self.gone(transaction, cause).await),
                Err(trouble) => return Err(self.trouble(trouble)),
            };
            let revision = revision(response.header.as_ref().map_or(0, |header| header.revision));
            if response.succeeded {
                return Ok(Outcome::Committed { revision });
            }
            if tells {
                return Ok(Outcome::Refused { revision, found: self.found(response) });
            }
            if let Some(refused) = self.foresee(transaction).await? {
                return Ok(refused);
            }
        }
        Err(self.trouble(Trouble::Unavailable(Arc::new(Reason::Busy))))
    }

    /// Looks whether the conditions hold, without doing anything; `None`: they do.
    async fn foresee(&self, transaction: &Transaction) -> Result<Option<Outcome>, Error> {
        if transaction.conditions.is_empty() {
            return Ok(None);
        }
        let success = transaction::look(&self.names, &transaction.conditions);
        let look = TxnRequest { success, ..TxnRequest::default() };
        let seen = self.transact(Effect::Read, look).await;
        let seen = seen.map_err(|trouble| self.trouble(trouble))?;
        let revision = revision(seen.header.as_ref().map_or(0, |header| header.revision));
        let found = self.found(seen);
        let mut both = transaction.conditions.iter().zip(&found);
        let hold = both.all(|(condition, entry)| holds(condition, entry.as_ref()));
        Ok((!hold).then_some(Outcome::Refused { revision, found }))
    }

    async fn transact(
        &self,
        effect: Effect,
        transaction: TxnRequest,
    ) -> Result<TxnResponse, Trouble> {
        self.members
            .call(effect, |attempt: Attempt| {
                let request = attempt.request(transaction.clone());
                let mut client = attempt.kv().max_decoding_message_size(ANSWER_SIZE_MAX);
                async move { Ok(client.txn(request).await?.into_inner()) }
            })
            .await
    }

    /// The entries that the reads of a transaction found, one each.
    fn found(&self, response: TxnResponse) -> Vec<Option<Entry>> {
        let entry = |response: Option<Response>| match response {
            Some(Response::ResponseRange(range)) => {
                range.kvs.into_iter().next().and_then(|kv| self.names.entry(kv))
            }
            _ => None,
        };
        response.responses.into_iter().map(|response| entry(response.response)).collect()
    }

    /// Which lease of a transaction is gone: etcd does not tell.
    async fn gone(&self, transaction: &Transaction, cause: Cause) -> Error {
        let leases = transaction.operations.iter().filter_map(|operation| match operation {
            Operation::Put { life: Life::Lease(lease), .. } => Some(*lease),
            _ => None,
        });
        let mut leases: Vec<LeaseId> = leases.collect();
        leases.dedup();
        let has_own = own_lives(transaction).next().is_some();
        if let ([only], false) = (&leases[..], has_own) {
            let only = *only;
            return Error::LeaseGone(only);
        }
        for lease in leases {
            match self.look(lease, false).await {
                Err(Error::LeaseGone(lease)) => return Error::LeaseGone(lease),
                Err(error) => return error,
                Ok(_) => {}
            }
        }
        // It was one of those that entries have for themselves, and its time was over before the entry was written.
        self.trouble(Trouble::Unavailable(Arc::new(Reason::Outrun(cause))))
    }
}

/// Whether a condition holds of what was found.
fn holds(condition: &Condition, entry: Option<&Entry>) -> bool {
    match (&condition.is, entry) {
        (Is::Missing, entry) => entry.is_none(),
        (_, None) => false,
        (Is::Present, Some(_)) => true,
        (Is::CreatedAt(revision), Some(entry)) => entry.created == *revision,
        (Is::ModifiedAt(revision), Some(entry)) => entry.modified == *revision,
        (Is::Value(value), Some(entry)) => entry.value == *value,
    }
}

/// The times to live that need a lease, in the order of the operations.
fn own_lives(transaction: &Transaction) -> impl Iterator<Item = Duration> {
    transaction.operations.iter().filter_map(|operation| match operation {
        Operation::Put { life: Life::Ttl(ttl), .. } => Some(*ttl),
        _ => None,
    })
}
