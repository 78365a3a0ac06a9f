//! State, locks, configuration and secrets: what services agree on, over the kv port.
//!
//! ```text
//!             ┌─ State ─────────┬─► durable: kv transactions      ─┐
//!             │                 └─► cache: memory, bounded         │
//!  Handle ────┼─ Locks ─────────► leases, fencing tokens, queues  ─┼─► Engine (2 s at most) ──► dyn Kv
//!             ├─ Configuration ─► versions, history ──┐            │
//!             └─ Secrets ───────► sealed values ──────┴─► Mirror ◄─┘ (watch)
//! ```
//!
//! What always holds:
//! - *Nothing waits for long.* A call to the engine takes [`PATIENCE`] at most; then it is
//!   [`Error::Unavailable`], or [`Error::Unknown`] when it was a write. Everything recovers by itself.
//! - *Nobody is alone.* Other nodes may write the same keys at any time: every decision is a condition of the
//!   transaction that acts on it.
//! - *Reads of configuration and secrets go on without the engine*, from a copy in memory, and say so.
//! - *Watches tell everything once*, over outages too; what the engine has forgotten is found by comparing.
//!
//! Keys are opaque here: the prefix that keeps services apart is put on by who knows the caller, with
//! [`KeyPrefix`].
//!
//! Start with [`Handle`].

#![warn(missing_docs)]

mod config;
mod configuration;
mod engine;
mod error;
mod follow;
mod locks;
mod mirror;
mod private;
mod secrets;
mod service;
mod state;

#[cfg(test)]
mod testing;

pub use config::{
    Config, ConfigStore, Format, KeyPrefix, LockStore, STORE_NAME_LEN_MAX, SecretSource,
    SecretStore, StateKind, StateStore, StoreInfo, StoreKind, Stores,
};
pub use configuration::{
    CONFIG_KEY_LEN_MAX, CONFIG_KEYS_MAX, CONFIG_METADATA_LEN_MAX, CONFIG_SIZE_MAX,
    CONFIG_VALUE_LEN_MAX, ConfigAnswer, ConfigChange, ConfigItem, ConfigWatch, Configuration,
    HISTORY_MAX, Select, Version,
};
pub use engine::{EngineHealth, PATIENCE};
pub use error::Error;
pub use locks::{
    Candidate, Grant, LOCK_NAME_LEN_MAX, LOCK_VALUE_LEN_MAX, LockEvent, LockInfo, LockRequest,
    LockWatch, Locks, OWNER_LEN_MAX, Released, WAITERS_MAX,
};
pub use private::node_id;
pub use secrets::{
    KeyError, REDACT_LEN_MIN, Redactor, Rotated, SECRET_NAME_LEN_MAX, SECRET_VALUE_LEN_MAX,
    SECRETS_MAX, Secret, SecretAnswer, SecretFileError, SecretInfo, Secrets, reveal_from,
};
pub use service::{Handle, Service};
pub use state::{
    CONTENT_TYPE_LEN_MAX, CacheStats, Etag, Fence, Item, KEY_LEN_MAX, MANY_SIZE_MAX, Match,
    OPERATIONS_MAX, SCAN_MAX, Scan, State, StateChange, StateEvent, StateOp, StateWatch, Ttl,
    VALUE_LEN_MAX, Write,
};
