//! What is said of locks.

use base::{InstanceId, Timestamp};
use ports::kv;
use std::time::Duration;

/// Longest name of a resource in bytes.
pub const LOCK_NAME_LEN_MAX: usize = kv::KEY_MAX - 256;

/// Longest name of an owner in bytes.
pub const OWNER_LEN_MAX: usize = 1_024;

/// Longest value of a lock in bytes.
pub const LOCK_VALUE_LEN_MAX: usize = 16 << 10;

/// Most callers that wait for one lock, over all nodes.
pub const WAITERS_MAX: usize = 1_000;

/// Asks for a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockRequest {
    /// The store of the lock.
    pub store: String,
    /// What it protects: 1 to [`LOCK_NAME_LEN_MAX`] bytes.
    pub resource: String,
    /// Who wants it: 1 to [`OWNER_LEN_MAX`] bytes, different for each who may want it. A lock is not
    /// granted twice, not to the same owner either.
    pub owner: String,
    /// How long it is held without renewal, from 1 s, in whole seconds, rounded up.
    pub ttl: Duration,
    /// The instance that holds it: it is released when that ends.
    pub instance: Option<InstanceId>,
    /// What the holder says to all who look, for example its address; at most [`LOCK_VALUE_LEN_MAX`] bytes.
    pub value: String,
}

impl LockRequest {
    /// Asks for nothing special.
    #[must_use]
    pub fn new(store: &str, resource: &str, owner: &str, ttl: Duration) -> Self {
        let (store, resource, owner) = (store.to_owned(), resource.to_owned(), owner.to_owned());
        Self { store, resource, owner, ttl, instance: None, value: String::new() }
    }
}

/// Asks to lead: a lock whose value says who leads.
pub type Candidate = LockRequest;

/// A lock that was granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The fencing token: greater than that of every earlier grant of this lock.
    pub token: u64,
    /// How long it is held without renewal, counted from when it was asked for: stop before.
    pub ttl: Duration,
}

/// What became of a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Released {
    /// It is free.
    Done,
    /// It was free before.
    Missing,
    /// Somebody else holds it, or the same owner under another token.
    OthersLock(Box<LockInfo>),
}

/// Who holds a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockInfo {
    /// What it protects.
    pub resource: String,
    /// Who holds it.
    pub owner: String,
    /// The fencing token.
    pub token: u64,
    /// Since when.
    pub since: Timestamp,
    /// How long it is held without renewal.
    pub ttl: Duration,
    /// How long it is held if it is not renewed, as far as that was asked for and is known.
    pub remaining: Option<Duration>,
    /// The instance it is bound to.
    pub instance: Option<InstanceId>,
    /// The node that asked for it.
    pub node: String,
    /// What the holder says.
    pub value: String,
}

/// What happened to a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LockEvent {
    /// Somebody holds it who did not before, or says something else.
    Held(LockInfo),
    /// It is free.
    Free {
        /// What it protects.
        resource: String,
    },
}
