//! Locks: try and give back. What is missing here (waiting, renewal, tokens) the native API has.

use super::{any_store, words};
use crate::app::{Caller, Shared, fault::Fault};
use coordination::{Error, KeyPrefix, LockRequest, Released, StoreKind};
use std::time::Duration;

/// What became of an unlock, numbered as on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unlocked {
    Done = 0,
    Missing = 1,
    Others = 2,
}

impl Unlocked {
    pub(crate) const fn number(self) -> i32 {
        self as i32
    }
}

/// Whether the store is there for the caller.
pub(crate) fn check(shared: &Shared, caller: &Caller, store: &str) -> Result<(), Fault> {
    let is_there = shared.coordination.locks().settings(store).is_ok()
        && shared.backend.may_use(&caller.id.service, StoreKind::Lock, store);
    match is_there {
        true => Ok(()),
        false if any_store(shared, caller, &[StoreKind::Lock]) => Err(Fault::no_lock_store(store)),
        false => Err(Fault::no_lock_stores()),
    }
}

/// `refuse` has the words of the operation.
fn check_names(
    store: &str,
    resource: &str,
    owner: &str,
    refuse: fn(String) -> Fault,
) -> Result<(), Fault> {
    if resource.is_empty() {
        return Err(Fault::lock_empty(store, "ResourceId"));
    }
    if owner.is_empty() {
        return Err(Fault::lock_empty(store, "LockOwner"));
    }
    if resource.contains(KeyPrefix::SEPARATOR) {
        return Err(refuse(format!("input key/keyPrefix '{resource}' can't contain '||'")));
    }
    Ok(())
}

/// Whether the lock was taken.
pub(crate) async fn try_lock(
    shared: &Shared,
    caller: &Caller,
    store: &str,
    resource: &str,
    owner: &str,
    expiry_s: i64,
) -> Result<bool, Fault> {
    check(shared, caller, store)?;
    check_names(store, resource, owner, Fault::lock)?;
    let expiry = u64::try_from(expiry_s).ok().filter(|seconds| *seconds > 0);
    let expiry = expiry.ok_or_else(|| Fault::lock_expiry(store))?;
    let refuse = |e: Error| Fault::lock(words(&e)).of(&e);
    let locks = shared.coordination.locks();
    let resource = locks.resource(store, &caller.id.service, resource).map_err(refuse)?;
    let mut request = LockRequest::new(store, &resource, owner, Duration::from_secs(expiry));
    // Death of the holder frees the lock before its time.
    request.instance = Some(caller.id.clone());
    Ok(locks.try_acquire(&request).await.map_err(refuse)?.is_some())
}

pub(crate) async fn unlock(
    shared: &Shared,
    caller: &Caller,
    store: &str,
    resource: &str,
    owner: &str,
) -> Result<Unlocked, Fault> {
    check(shared, caller, store)?;
    check_names(store, resource, owner, Fault::unlock)?;
    let refuse = |e: Error| Fault::unlock(words(&e)).of(&e);
    let locks = shared.coordination.locks();
    let resource = locks.resource(store, &caller.id.service, resource).map_err(refuse)?;
    let released = locks.release(store, &resource, owner, None).await.map_err(refuse)?;
    Ok(match released {
        Released::Done => Unlocked::Done,
        Released::Missing => Unlocked::Missing,
        Released::OthersLock(_) => Unlocked::Others,
    })
}
