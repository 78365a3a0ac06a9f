//! Standing in the queue of a lock.

use super::{
    Grant, LockRequest, Locks, Names, WAITERS_MAX,
    queue::{Turn, turn},
    record,
    taking::Taken,
    upkeep::{Claim, Standing},
};
use crate::{engine::Engine, error::Error, follow::Pause};
use ports::kv::{self, Event, Is, Life, Outcome, Range, Revision, Transaction};
use std::time::Duration;

/// How long it is remembered that a place shall not be taken: longer than anything is under way to an engine.
const GONE_TTL: Duration = Duration::from_secs(60);

/// A place in the queue. Dropped, it is given up.
#[derive(Debug)]
struct Place<'a> {
    key: String,
    created: Revision,
    claim: Claim<'a>,
    _standing: Standing<'a>,
}

impl Locks {
    /// Waits for the lock in its queue.
    pub(super) async fn wait_for(
        &self,
        names: &Names,
        request: &LockRequest,
        wait: Duration,
    ) -> Result<Option<Grant>, Error> {
        let mut trouble = None;
        match tokio::time::timeout(wait, self.stand(names, request, &mut trouble)).await {
            Ok(result) => result.map(Some),
            // When it could not even ask at the end, it does not know that the lock was not to be had.
            Err(_) => trouble.map_or(Ok(None), Err),
        }
    }

    /// Stands in the queue, and again from its end when the place was lost, until it has the lock.
    async fn stand(
        &self,
        names: &Names,
        request: &LockRequest,
        trouble: &mut Option<Error>,
    ) -> Result<Grant, Error> {
        let mut pause = Pause::default();
        loop {
            let joined = match self.join(names, request).await {
                Ok(Some(place)) => self.queue(names, request, place, trouble).await,
                Ok(None) => Ok(None),
                Err(error) => Err(error),
            };
            match joined {
                Ok(Some(grant)) => return Ok(grant),
                Ok(None) => *trouble = None,
                Err(error) if error.is_outage() => *trouble = Some(error),
                Err(error) => return Err(error),
            }
            pause.wait().await;
        }
    }

    /// Takes a place at the end of the queue; `None`: the lease for it ended just then.
    async fn join(&self, names: &Names, request: &LockRequest) -> Result<Option<Place<'_>>, Error> {
        let (waiters, ..) = self.engine.all(&names.queue_range(), WAITERS_MAX).await?;
        if waiters.len() >= WAITERS_MAX {
            let (resource, limit) = (names.resource.clone(), WAITERS_MAX);
            return Err(Error::QueueFull { resource, limit });
        }
        let standing = self.upkeep.stand();
        let lease = self.upkeep.session().await?;
        let nonce = format!("{:016x}", record::nonce()?);
        let (key, gone) = (names.queue.clone() + &nonce, names.gone.clone() + &nonce);
        // What breaks off may be done late. A place that came to be so would be nobody's, and those who wait behind it
        // would keep its lease alive.
        let undo = Transaction::delete(key.clone()).and_put(gone.clone(), "", Life::Ttl(GONE_TTL));
        let claim = self.upkeep.claim(undo);
        let transaction = Transaction::default()
            .when(key.clone(), Is::Missing)
            .when(gone, Is::Missing)
            .and_put(key.clone(), request.owner.clone(), Life::Lease(lease));
        match self.engine.commit(transaction).await {
            Ok(Outcome::Committed { revision: created }) => {
                claim.settle();
                let claim = self.upkeep.claim(Transaction::delete(key.clone()));
                Ok(Some(Place { key, created, claim, _standing: standing }))
            }
            Ok(Outcome::Refused { .. }) => {
                claim.settle();
                Ok(None)
            }
            Err(kv::Error::LeaseGone(lease)) => {
                claim.settle();
                self.upkeep.session_ended(lease).await;
                Ok(None)
            }
            Err(error) => {
                if matches!(error, kv::Error::Unavailable { .. }) {
                    claim.settle();
                }
                Err(error.into())
            }
        }
    }

    /// Waits until it is this one's turn; `None`: the place was lost.
    async fn queue(
        &self,
        names: &Names,
        request: &LockRequest,
        place: Place<'_>,
        trouble: &mut Option<Error>,
    ) -> Result<Option<Grant>, Error> {
        let mut pause = Pause::default();
        loop {
            match self.advance(names, request, &place).await {
                Ok(Step::Mine(grant)) => {
                    place.claim.settle();
                    return Ok(Some(grant));
                }
                Ok(Step::Lost) => return Ok(None),
                Ok(Step::Again) => {
                    *trouble = None;
                    pause.reset();
                }
                // The place stays for as long as its lease does, whatever the engine's trouble is.
                Err(error) if error.is_outage() || matches!(error, Error::Compacted { .. }) => {
                    *trouble = Some(error).filter(Error::is_outage);
                    pause.wait().await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Looks where it stands, and waits for whatever is before it to go.
    async fn advance(
        &self,
        names: &Names,
        request: &LockRequest,
        place: &Place<'_>,
    ) -> Result<Step, Error> {
        let (waiters, revision, _) = self.engine.all(&names.queue_range(), usize::MAX).await?;
        let (before, revision) = match turn(&waiters, place.key.as_bytes()) {
            Turn::Lost => return Ok(Step::Lost),
            Turn::Behind(before) => (before, revision),
            Turn::Mine => {
                let own = Some((place.key.as_str(), place.created));
                match self.take(names, request, own).await? {
                    Taken::Yes(grant) => return Ok(Step::Mine(grant)),
                    Taken::No { place: None, .. } => return Ok(Step::Lost),
                    Taken::No { held: None, .. } => return Ok(Step::Again),
                    Taken::No { revision, .. } => (names.held.clone().into_bytes(), revision),
                }
            }
        };
        until_gone(&self.engine, before, revision).await?;
        Ok(Step::Again)
    }
}

/// What came of looking.
enum Step {
    Mine(Grant),
    Lost,
    Again,
}

/// Waits until a key that was there at `revision` is deleted.
async fn until_gone(engine: &Engine, key: Vec<u8>, revision: Revision) -> Result<(), Error> {
    let mut watch = engine.watch(Range::key(key.into()), revision.next()).await?;
    loop {
        let change = watch.next().await?;
        if change.events.iter().any(|event| matches!(event, Event::Delete { .. })) {
            return Ok(());
        }
    }
}
