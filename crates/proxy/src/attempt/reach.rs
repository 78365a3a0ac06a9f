//! A connection to the instance that was picked: a kept one, or a new one within the limits.

use super::{Call, Trouble};
use crate::{
    config::{UPSTREAM_FRESH, WAITING_LOOK},
    endpoint::{Endpoint, Slot},
    transport::Transport,
    upstream,
};
use logic::retry::Failure;
use std::{io, pin::pin, sync::Arc};

impl Call<'_> {
    /// A kept connection, or else a new one; says whether it was kept.
    pub(crate) async fn connection(
        &self,
        endpoint: &Arc<Endpoint>,
    ) -> Result<(Transport, bool), Trouble> {
        let idle = self.worker.config().upstream_idle;
        let age_max = if self.asked.is_idempotent { idle } else { idle.min(UPSTREAM_FRESH) };
        // One that broke under this request once is enough: the others may lead to the same dead instance.
        let may_keep = self.used.stale + self.used.retries == 0;
        if let Some(kept) = may_keep.then(|| self.worker.kept(endpoint, age_max)).flatten() {
            return Ok((kept, true));
        }
        let slot = self.slot(endpoint).await?;
        let connected = self.connecting(upstream::connect_own(endpoint, slot)).await?;
        Ok((connected, false))
    }

    /// Room for another connection. An endpoint is given no more requests than it may have connections, so
    /// where there is none, others are idle, and whoever keeps them is asked to let one go.
    async fn slot(&self, endpoint: &Arc<Endpoint>) -> Result<Slot, Trouble> {
        let traffic = self.worker.traffic(self.cluster);
        let most = traffic.connections_max.unwrap_or(u32::MAX);
        if let Some(slot) = endpoint.connect(most) {
            return Ok(slot);
        }
        let _wanting = endpoint.want();
        let mut now = self.worker.now();
        let until = now + traffic.pending_timeout;
        loop {
            let mut gone = pin!(endpoint.gone());
            // Before the look, so that none that goes slips between.
            gone.as_mut().enable();
            if let Some(slot) = endpoint.connect(most) {
                return Ok(slot);
            }
            if now >= until || self.times.head.is_over(now) {
                let detail = "all its connections are in use".to_owned();
                let failure = Failure::ConnectFailed;
                return Err(Trouble { failure, is_endpoints: false, detail });
            }
            self.worker.want_room();
            let narrowed = self.alarm.narrow(until.min(now + WAITING_LOOK));
            // Either way the next round looks.
            let _elapsed = self.alarm.within(gone).await;
            drop(narrowed);
            now = self.worker.now();
        }
    }

    /// Limits how long opening a connection may take.
    pub(crate) async fn connecting<T>(
        &self,
        connect: impl Future<Output = io::Result<T>>,
    ) -> Result<T, Trouble> {
        let failed = |detail: String| Trouble {
            failure: Failure::ConnectFailed,
            is_endpoints: true,
            detail,
        };
        let limit = self.times.said.timeouts.connect;
        let narrowed = self.alarm.narrow(self.worker.now() + limit);
        let outcome = self.alarm.within(connect).await;
        drop(narrowed);
        match outcome {
            Ok(Ok(connected)) => Ok(connected),
            Ok(Err(error)) => Err(failed(error.to_string())),
            Err(_) if self.times.head.is_over(self.worker.now()) => Err(self.try_timed_out()),
            Err(_) => Err(failed("it did not accept the connection in time".to_owned())),
        }
    }
}
