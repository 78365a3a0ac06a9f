//! One node at a time delivers a subscription to streams, because its events come in order.
//!
//! Where the kv engine is this node's alone nobody can be in the way. Elsewhere a key with a lease says who it is; its place is moved on
//! only while that key is there, so that a node that was asleep cannot undo what another has done.

use crate::{Error, kept::Rows};
use bytes::Bytes;
use ports::kv::{Is, LeaseId, Life, Outcome, Transaction};
use std::time::Duration;
use tokio::time::Instant;

/// How long a node that was killed holds up its subscriptions.
const TTL: Duration = Duration::from_secs(15);

/// How often the lease is renewed: twice may fail.
const RENEW_EVERY: Duration = Duration::from_secs(5);

/// How often it is looked whether the node is gone that has it.
const LOOK_EVERY: Duration = Duration::from_secs(2);

const WHAT: &str = "who delivers a subscription";
const CLAIMS: &str = "claims/";

/// That this node may deliver.
#[derive(Clone, Debug)]
pub(super) enum Claim {
    /// Nobody else can.
    Alone,
    /// As long as the key is as it was.
    Leased { key: Bytes, is: Is, lease: LeaseId },
}

impl Claim {
    /// What must hold while it is used.
    pub(super) fn condition(&self) -> Option<(Bytes, Is)> {
        match self {
            Self::Alone => None,
            Self::Leased { key, is, .. } => Some((key.clone(), is.clone())),
        }
    }

    /// Waits until this node may deliver. Not cancel safe beyond its lease, which ends by itself.
    pub(super) async fn take(rows: &Rows, name: &str) -> Result<Self, Error> {
        let capabilities = rows.kv.capabilities();
        if !capabilities.shared || !capabilities.leases {
            return Ok(Self::Alone);
        }
        let key = rows.key(&format!("{CLAIMS}{name}"));
        loop {
            if rows.get(WHAT, &key).await?.is_none()
                && let Some(claim) = Self::try_take(rows, &key).await?
            {
                return Ok(claim);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn try_take(rows: &Rows, key: &Bytes) -> Result<Option<Self>, Error> {
        let wrap = |cause| Error::Kv { what: WHAT, cause };
        let lease = rows.kv.grant(TTL).await.map_err(wrap)?.id;
        let put = Transaction::default().when(key.clone(), Is::Missing).and_put(
            key.clone(),
            crate::random::id(),
            Life::Lease(lease),
        );
        match rows.kv.commit(put).await.map_err(wrap)? {
            Outcome::Committed { revision } => {
                let (key, is) = (key.clone(), Is::CreatedAt(revision));
                Ok(Some(Self::Leased { key, is, lease }))
            }
            Outcome::Refused { .. } => {
                rows.kv.revoke(lease).await.map_err(wrap)?;
                Ok(None)
            }
        }
    }

    /// Renews it; returns when it is lost. Cancel safe.
    pub(super) async fn keep(&self, rows: &Rows) {
        let Self::Leased { lease, .. } = self else { return std::future::pending().await };
        let mut end = Instant::now() + TTL;
        loop {
            tokio::time::sleep(RENEW_EVERY).await;
            let begun = Instant::now();
            let renewed = tokio::time::timeout_at(end, rows.kv.renew(*lease)).await;
            match renewed {
                Ok(Ok(_)) => end = begun + TTL,
                Ok(Err(ports::kv::Error::LeaseGone(_))) | Err(_) => return,
                Ok(Err(_)) if Instant::now() >= end => return,
                Ok(Err(_)) => {}
            }
        }
    }

    /// Lets another node have it at once.
    pub(super) async fn give_up(self, rows: &Rows) {
        if let Self::Leased { lease, .. } = self
            && let Err(error) = rows.kv.revoke(lease).await
        {
            tracing::debug!(error = %base::ErrorChain(&error), "a lease ends by itself");
        }
    }
}
