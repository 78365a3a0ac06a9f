//! Locks and elections.

use super::{
    Reach,
    reach::{stripped, without},
};
use crate::{
    answer::{Answer, Problem, json},
    context::Context,
    sse::{self, Format, Source},
    wire::locks::{
        Acquire, Acquired, Lock, Locks, Look, Release, ReleaseOutcome, Released, Renew, Renewed,
    },
};
use bytes::Bytes;
use coordination::{Error, LockEvent, LockInfo, LockRequest, LockWatch, StoreKind};
use http::StatusCode;
use std::time::Duration;

/// How long a request may wait for a lock: clients and what stands between give up on answers that take longer.
const WAIT_MAX: Duration = Duration::from_secs(300);

/// Most locks in an answer.
const LIMIT_MAX: u64 = 1_000;

/// The lock that a path names.
struct Named {
    locks: coordination::Locks,
    store: String,
    /// What stands before the caller's names.
    before: String,
    /// With what stands before it.
    resource: String,
}

impl Named {
    fn of<B: Reach + ?Sized>(context: &Context<B>) -> Result<Self, Problem> {
        let store = context.store(StoreKind::Lock)?.to_owned();
        let locks = context.backend.coordination().locks();
        let keys = context.keys_of()?;
        let before = keys.before(&locks.settings(&store)?.prefix, &store);
        keys.check(context.value(1))?;
        let resource = format!("{before}{}", context.value(1));
        Ok(Self { locks, store, before, resource })
    }

    fn problem(&self, error: Error) -> Problem {
        without(error, &self.before).into()
    }

    async fn holder(&self) -> Result<Option<Lock>, Problem> {
        let info = self.locks.look(&self.store, &self.resource).await;
        Ok(info.map_err(|e| self.problem(e))?.map(|info| Lock::of(info, &self.before)))
    }
}

impl Lock {
    pub(crate) fn of(info: LockInfo, before: &str) -> Self {
        Self {
            resource: stripped(&info.resource, before),
            owner: info.owner,
            token: info.token,
            since: info.since.into(),
            ttl_ms: millis(info.ttl),
            remaining_ms: info.remaining.map(millis),
            instance: info.instance.map(|instance| instance.to_string()),
            node: info.node,
            value: info.value,
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

pub(crate) async fn list<B: Reach + ?Sized>(context: Context<B>) -> Result<Answer, Problem> {
    let named = Named::of(&context)?;
    let limit = context.params.number("limit").unwrap_or(LIMIT_MAX).clamp(1, LIMIT_MAX);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let prefix = format!("{}{}", named.before, context.params.text("prefix").unwrap_or_default());
    let held = named.locks.list(&named.store, &prefix, limit).await;
    let held = held.map_err(|e| named.problem(e))?.into_iter();
    let locks = held.map(|info| Lock::of(info, &named.before)).collect();
    Ok(json(StatusCode::OK, &Locks { locks }))
}

pub(crate) async fn look<B: Reach + ?Sized>(context: Context<B>) -> Result<Answer, Problem> {
    let named = Named::of(&context)?;
    let holder = named.holder().await?;
    let resource = context.value(1).to_owned();
    Ok(json(StatusCode::OK, &Look { resource, holder }))
}

pub(crate) async fn acquire<B: Reach + ?Sized>(mut context: Context<B>) -> Result<Answer, Problem> {
    let named = Named::of(&context)?;
    let asked: Acquire = context.read()?;
    let wait = Duration::from_millis(asked.wait_ms);
    if wait > WAIT_MAX {
        let most = WAIT_MAX.as_secs();
        return Err(Problem::bad_request(format!("`wait_ms` is at most {most}000")));
    }
    let ttl = Duration::from_millis(asked.ttl_ms);
    let mut request = LockRequest::new(&named.store, &named.resource, &asked.owner, ttl);
    request.value = asked.value;
    request.instance = context.backend.instance().filter(|_| !asked.outlives);
    let acquired = async {
        if wait.is_zero() {
            named.locks.try_acquire(&request).await
        } else {
            named.locks.acquire(&request, wait).await
        }
    };
    let grant = tokio::select! {
        biased;
        () = context.stop.wait() => {
            let message = "the node is ending";
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", message));
        }
        grant = acquired => grant.map_err(|e| named.problem(e))?,
    };
    let answer = match grant {
        Some(grant) => Acquired {
            acquired: true,
            token: Some(grant.token),
            ttl_ms: Some(millis(grant.ttl)),
            holder: None,
        },
        // Who holds it is a courtesy: it may be free again by the time it is asked.
        None => {
            Acquired { holder: named.holder().await.unwrap_or_default(), ..Acquired::default() }
        }
    };
    Ok(json(StatusCode::OK, &answer))
}

pub(crate) async fn renew<B: Reach + ?Sized>(context: Context<B>) -> Result<Answer, Problem> {
    let named = Named::of(&context)?;
    let asked: Renew = context.read()?;
    let renewed = named.locks.renew(&named.store, &named.resource, &asked.owner, asked.token).await;
    let ttl = renewed.map_err(|e| named.problem(e))?;
    Ok(json(StatusCode::OK, &Renewed { ttl_ms: millis(ttl) }))
}

pub(crate) async fn release<B: Reach + ?Sized>(context: Context<B>) -> Result<Answer, Problem> {
    let named = Named::of(&context)?;
    let mut asked: Release = context.read()?;
    if asked.owner.is_empty() {
        // Only the operator may take a lock away from whoever has it.
        if context.backend.instance().is_some() {
            return Err(Problem::bad_request("`owner` is empty"));
        }
        match named.holder().await? {
            Some(holder) => {
                tracing::info!(store = %named.store, resource = %named.resource,
                    owner = %holder.owner, "a lock is taken away by the operator");
                asked = Release { owner: holder.owner, token: Some(holder.token) };
            }
            None => {
                let answer = Released { outcome: ReleaseOutcome::Missing, holder: None };
                return Ok(json(StatusCode::OK, &answer));
            }
        }
    }
    let released =
        named.locks.release(&named.store, &named.resource, &asked.owner, asked.token).await;
    let answer = match released.map_err(|e| named.problem(e))? {
        coordination::Released::Done => {
            Released { outcome: ReleaseOutcome::Released, holder: None }
        }
        coordination::Released::Missing => {
            Released { outcome: ReleaseOutcome::Missing, holder: None }
        }
        coordination::Released::OthersLock(info) => Released {
            outcome: ReleaseOutcome::Other,
            holder: Some(Lock::of(*info, &named.before)),
        },
    };
    Ok(json(StatusCode::OK, &answer))
}

pub(crate) async fn watch<B: Reach + ?Sized>(context: Context<B>) -> Result<Answer, Problem> {
    context.must_want_events()?;
    let named = Named::of(&context)?;
    let watch = named.locks.watch(&named.store, Some(&named.resource)).await;
    let watch = watch.map_err(|e| named.problem(e))?;
    context.stream(Watching { watch, before: named.before }, Format::Sse)
}

struct Watching {
    watch: LockWatch,
    before: String,
}

impl Source for Watching {
    async fn next(&mut self) -> Option<Bytes> {
        let look = match self.watch.next().await {
            Ok(LockEvent::Held(info)) => Look {
                resource: stripped(&info.resource, &self.before),
                holder: Some(Lock::of(info, &self.before)),
            },
            Ok(LockEvent::Free { resource }) => {
                Look { resource: stripped(&resource, &self.before), holder: None }
            }
            // Whoever wants to know more asks again, and gets the error as an answer.
            Err(_) => return None,
        };
        Some(sse::plain_message("lock", &look))
    }
}
