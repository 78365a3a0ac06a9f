//! Taking a lock.

use super::{Grant, LockRequest, Locks, Names, record::Record};
use crate::error::Error;
use ports::kv::{self, Entry, Is, Life, Outcome, Revision, Transaction};

/// What became of taking a lock.
pub(super) enum Taken {
    Yes(Grant),
    /// What was found instead, and when: the lock, and the place in the queue.
    No {
        held: Option<Entry>,
        place: Option<Entry>,
        revision: Revision,
    },
}

impl Locks {
    /// Takes the lock if nobody has it and nobody waits.
    pub(super) async fn try_take(
        &self,
        names: &Names,
        request: &LockRequest,
    ) -> Result<Option<Grant>, Error> {
        let queue = self.engine.range(&names.queue_range(), 1).await?;
        if !queue.entries.is_empty() {
            return Ok(None);
        }
        match self.take(names, request, None).await? {
            Taken::Yes(grant) => Ok(Some(grant)),
            Taken::No { .. } => Ok(None),
        }
    }

    /// Takes the lock if nobody has it and, with a place in the queue, leaves that, if it is still there.
    pub(super) async fn take(
        &self,
        names: &Names,
        request: &LockRequest,
        place: Option<(&str, Revision)>,
    ) -> Result<Taken, Error> {
        let record = Record::new(request, self.upkeep.node(), self.engine.clock().date())?;
        let value = record.encode();
        let mut transaction = Transaction::default().when(names.held.clone(), Is::Missing).and_put(
            names.held.clone(),
            value.clone(),
            Life::Ttl(record.ttl()),
        );
        if let Some((key, created)) = place {
            let key = key.to_owned();
            transaction = transaction.when(key.clone(), Is::CreatedAt(created)).and_delete(key);
        }
        // Whether the call is dropped or breaks off: what it may have taken is given back.
        let undo = Transaction::default()
            .when(names.held.clone(), Is::Value(value.clone()))
            .and_delete(names.held.clone());
        let claim = self.upkeep.claim(undo);
        let token = match self.engine.commit(transaction).await {
            Ok(Outcome::Committed { revision }) => revision,
            Ok(Outcome::Refused { revision, found }) => {
                claim.settle();
                let mut found = found.into_iter();
                let (held, place) = (found.next().flatten(), found.next().flatten());
                return Ok(Taken::No { held, place, revision });
            }
            Err(error @ kv::Error::Unknown { .. }) => match self.engine.get(&names.held).await {
                Ok(Some(entry)) if entry.value == value => entry.created,
                Ok(_) | Err(_) => return Err(error.into()),
            },
            Err(error) => {
                claim.settle();
                return Err(error.into());
            }
        };
        claim.settle();
        self.upkeep.bind(request.instance.clone(), &names.held, token.0, record.ttl());
        Ok(Taken::Yes(Grant { token: token.0, ttl: record.ttl() }))
    }
}
