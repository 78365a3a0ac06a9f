//! Leases.

use super::{Shared, pages::PAGE_SIZE_MAX};
use crate::{
    members::{Attempt, Effect, Trouble},
    names::{lease, lease_number},
    verdict::Reason,
    watch::One,
};
use bytes::Bytes;
use ports::kv::{Error, Lease, LeaseId, LeaseStatus, check_ttl};
use proto::etcd::etcdserverpb::{
    LeaseGrantRequest, LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseRevokeRequest,
    LeaseTimeToLiveRequest,
};
use std::{sync::Arc, time::Duration};
use tonic::Status;

impl Shared {
    pub(super) async fn grant(&self, ttl: Duration) -> Result<Lease, Error> {
        check_ttl(ttl)?;
        let seconds = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
        let request = LeaseGrantRequest { ttl: i64::try_from(seconds).unwrap_or(i64::MAX), id: 0 };
        let granted = self.members.call(Effect::Once, |attempt: Attempt| {
            let request = attempt.request(request);
            async move { Ok(attempt.lease().lease_grant(request).await?.into_inner()) }
        });
        let granted = granted.await.map_err(|trouble| self.trouble(trouble))?;
        let ttl = Duration::from_secs(u64::try_from(granted.ttl).unwrap_or(seconds));
        match lease(granted.id) {
            Some(id) => Ok(Lease { id, ttl }),
            None => {
                let cause = Arc::new(Reason::Cancelled(granted.error));
                Err(self.trouble(Trouble::Refused(cause)))
            }
        }
    }

    pub(super) async fn revoke(&self, lease: LeaseId) -> Result<(), Error> {
        let request = LeaseRevokeRequest { id: lease_number(lease) };
        let revoked = self.members.call(Effect::Repeatable, |attempt: Attempt| {
            let request = attempt.request(request);
            async move { attempt.lease().lease_revoke(request).await }
        });
        match revoked.await {
            Ok(_) | Err(Trouble::LeaseGone(_)) => Ok(()),
            Err(trouble) => Err(self.trouble(trouble)),
        }
    }

    pub(super) async fn renew(&self, lease: LeaseId) -> Result<Duration, Error> {
        let id = lease_number(lease);
        let renewed = self.members.call(Effect::Read, |attempt: Attempt| async move {
            let message = Some(LeaseKeepAliveRequest { id });
            let request = attempt.request(One { message, stays: false });
            let mut answers = attempt.lease().lease_keep_alive(request).await?.into_inner();
            let answer = answers.message().await?;
            answer.ok_or_else(|| Status::unavailable("the renewal ended without an answer"))
        });
        let ttl = match renewed.await {
            Ok(LeaseKeepAliveResponse { ttl, .. }) => u64::try_from(ttl).unwrap_or(0),
            Err(Trouble::LeaseGone(_)) => 0,
            Err(trouble) => return Err(self.trouble(trouble)),
        };
        if ttl == 0 { Err(Error::LeaseGone(lease)) } else { Ok(Duration::from_secs(ttl)) }
    }

    pub(super) async fn look(&self, lease: LeaseId, keys: bool) -> Result<LeaseStatus, Error> {
        let request = LeaseTimeToLiveRequest { id: lease_number(lease), keys };
        let told = self.members.call(Effect::Read, |attempt: Attempt| {
            let request = attempt.request(request);
            let mut client = attempt.lease().max_decoding_message_size(PAGE_SIZE_MAX);
            async move { Ok(client.lease_time_to_live(request).await?.into_inner()) }
        });
        let told = match told.await {
            Ok(told) => told,
            Err(Trouble::LeaseGone(_)) => return Err(Error::LeaseGone(lease)),
            Err(trouble) => return Err(self.trouble(trouble)),
        };
        let (Ok(remaining), Ok(ttl)) = (u64::try_from(told.ttl), u64::try_from(told.granted_ttl))
        else {
            return Err(Error::LeaseGone(lease));
        };
        let mut keys: Vec<Bytes> = told.keys.iter().filter_map(|key| self.names.own(key)).collect();
        keys.sort_unstable();
        let ttl = Duration::from_secs(ttl);
        // Between two leaders nobody counts, and etcd says that ages are left.
        let remaining = Duration::from_secs(remaining).min(ttl);
        Ok(LeaseStatus { ttl, remaining, keys })
    }
}
