//! Whether a request may go to its service at all, and what the service learns of how it ended.
//!
//! Before the first try, in this order: is there time left, does the breaker let it pass, does the worker's
//! limiter ([`logic::shed`]), is there a place under the service's limits. Retries are the same request and
//! ask no more. The outcome is reported exactly once, when the head of the answer is there or it is clear that
//! there will be none; what breaks off after its head speaks against its instance, not against the service.

use super::{Call, Failed};
use crate::{
    balancer::Balancer,
    cluster::{Cluster, health::Place},
    config::WAITING_LOOK,
    settings::Traffic,
    worker::{Worker, moment_ms},
};
use base::Moment;
use logic::{
    breaker::{Outcome, Phase, Ticket, Verdict},
    shed::{End, QUEUE_MS},
};
use std::{pin::pin, rc::Rc, time::Duration};
use tokio::sync::watch;
use tracing::{info, warn};

/// A request that was let through; whoever drops it without a word says that nothing is known of its end.
pub(crate) struct Turn<'a> {
    worker: &'a Rc<Worker>,
    cluster: &'a Cluster,
    ticket: Option<Ticket>,
    /// It counts as at the service here.
    place: Option<Rc<Balancer>>,
}

impl<'a> Turn<'a> {
    /// Asks the breaker.
    fn new(
        worker: &'a Rc<Worker>,
        cluster: &'a Cluster,
        traffic: &Traffic,
        now_ms: u64,
    ) -> Result<Self, Failed> {
        let ticket = match traffic.breaker.map(|_| cluster.health.breaker.admit(now_ms)) {
            None => None,
            Some(Verdict::Pass(ticket)) => Some(ticket),
            Some(Verdict::Refuse { retry_after_ms }) => {
                let seconds = retry_after_ms.div_ceil(1_000);
                let retry_after_s = u32::try_from(seconds).unwrap_or(u32::MAX);
                return Err(Failed::BreakerOpen { retry_after_s });
            }
        };
        Ok(Self { worker, cluster, ticket, place: None })
    }

    /// Reports the end. Only the first report counts.
    pub(super) fn settle(&mut self, now_ms: u64, outcome: Outcome, end: End) {
        if let Some(balancer) = self.place.take() {
            balancer.end(now_ms, end);
        }
        let Some(ticket) = self.ticket.take() else { return };
        let traffic = self.worker.traffic(self.cluster);
        let Some(settings) = traffic.breaker else { return };
        let service = &self.cluster.service;
        match self.cluster.health.breaker.settle(ticket, now_ms, outcome, &settings) {
            None | Some(Phase::HalfOpen) => {}
            Some(Phase::Open) => warn!(%service, "a service that does not answer gets no requests"),
            Some(Phase::Closed) => info!(%service, "a service answers again"),
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.place.is_some() || self.ticket.is_some() {
            self.settle(self.worker.now_ms(), Outcome::Unknown, End::Unknown);
        }
    }
}

/// What a request that has to wait looks at.
pub(super) struct Changes {
    until: Moment,
    changes: watch::Receiver<()>,
}

impl Call<'_> {
    /// Lets the request pass, perhaps after a short wait.
    pub(super) async fn admit(&mut self, now: Moment) -> Result<(), Failed> {
        let (worker, cluster) = (self.worker, self.cluster);
        let traffic = worker.traffic(cluster);
        let now_ms = moment_ms(now);
        let mut turn = Turn::new(worker, cluster, traffic, now_ms)?;
        if traffic.shed {
            let busy = |retry_after_s| Failed::Overloaded { retry_after_s };
            let arrived = self.balancer.arrive(now_ms, traffic.limits.pending_max);
            if let Some(queued) = arrived.map_err(busy)? {
                let narrowed = self.alarm.narrow(now + Duration::from_millis(QUEUE_MS));
                // Either way it is seen below whether there is a place.
                let _elapsed = self.alarm.within(queued.admitted()).await;
                drop(narrowed);
                queued.finish().map_err(busy)?;
            }
            turn.place = Some(Rc::clone(&self.balancer));
        }
        self.turn = Some(turn);
        let is_limited = traffic.limits.concurrent_max != u32::MAX;
        if is_limited || traffic.connections_max.is_some() {
            self.place = Some(self.place(now, traffic).await?);
        }
        Ok(())
    }

    /// A place under the service's limits.
    async fn place(&mut self, now: Moment, traffic: &Traffic) -> Result<Place, Failed> {
        let health = &self.cluster.health;
        if let Some(place) = health.work(&traffic.limits, false) {
            return Ok(place);
        }
        let full = || Failed::Overloaded { retry_after_s: 1 };
        let _line = health.wait(&traffic.limits).ok_or_else(full)?;
        let _queue = health.queue();
        let mut looks = self.changes(now, traffic);
        loop {
            let mut freed = pin!(health.freed());
            // Before the look, so that nothing that ends slips between.
            freed.as_mut().enable();
            if let Some(place) = health.work(&traffic.limits, true) {
                return Ok(place);
            }
            let now = self.worker.now();
            if self.times.head.is_over(now) {
                return Err(Failed::TimedOut(self.times.limit));
            }
            if now >= looks.until {
                return Err(full());
            }
            self.pause(now, &mut looks, freed).await;
        }
    }

    /// What to look at from `now` on.
    pub(super) fn changes(&self, now: Moment, traffic: &Traffic) -> Changes {
        Changes { until: now + traffic.pending_timeout, changes: self.worker.changes() }
    }

    /// Waits until a place was freed, instances have changed, or it is time to look again anyway.
    async fn pause(&self, now: Moment, looks: &mut Changes, freed: impl Future<Output = ()>) {
        let narrowed = self.alarm.narrow(looks.until.min(now + WAITING_LOOK));
        let either = async {
            tokio::select! {
                _ = looks.changes.changed() => {}
                () = freed => {}
            }
        };
        // Whichever it was, the next round looks at everything.
        let _elapsed = self.alarm.within(either).await;
        drop(narrowed);
    }

    /// Waits for other instances, for room at one, or for one that failed to be worth another look; false: it
    /// has not waited yet, but from now on nothing is missed.
    pub(super) async fn wait(&mut self, now: Moment, cluster: &Cluster) -> Result<bool, Failed> {
        let traffic = self.worker.traffic(cluster);
        let open_max = self.open_max(cluster);
        let is_full = cluster.is_full(open_max);
        if self.line.is_none() {
            let line = cluster.health.wait(&traffic.limits);
            self.line = Some(line.ok_or_else(|| self.nobody(is_full))?);
        }
        let Some(mut looks) = self.looks.take() else {
            self.looks = Some(self.changes(now, traffic));
            return Ok(false);
        };
        if now >= looks.until {
            return Err(self.nobody(is_full));
        }
        // Who comes later stands behind those that wait for room.
        let _queue = is_full.then(|| cluster.health.queue());
        let mut freed = pin!(cluster.health.freed());
        freed.as_mut().enable();
        if !is_full || cluster.is_full(open_max) {
            self.pause(now, &mut looks, freed).await;
        }
        self.looks = Some(looks);
        Ok(true)
    }

    fn nobody(&self, is_full: bool) -> Failed {
        if is_full && self.trouble.is_none() {
            return Failed::Overloaded { retry_after_s: 1 };
        }
        let detail = self.trouble.as_ref().map(|last| format!(" ({last})"));
        Failed::NoInstance(detail.unwrap_or_default())
    }

    /// Reports an answer with `status` whose head came at `now`, so long after the request was sent.
    pub(super) fn answered(&mut self, now: Moment, status: u16, latency_us: u64) {
        let settings = self.worker.traffic(self.cluster).breaker;
        let is_failure = settings.is_some_and(|settings| settings.failures.include(status));
        let outcome = if is_failure { Outcome::Failure } else { Outcome::Success };
        // How long an upload takes is the client's doing.
        let end = if self.asked.is_upload { End::Unknown } else { End::Answered(latency_us) };
        if let Some(turn) = &mut self.turn {
            turn.settle(moment_ms(now), outcome, end);
        }
    }

    /// Reports that there will be no answer.
    pub(crate) fn failed(&mut self, failed: &Failed) {
        let was_asked = self.trouble.is_some() || self.is_sent;
        let (outcome, end) = match failed {
            Failed::TimedOut(_) if self.times.is_callers || !was_asked => {
                (Outcome::Unknown, End::Unknown)
            }
            Failed::TimedOut(_) => (Outcome::Failure, End::Late),
            Failed::NoInstance(_) | Failed::Upstream(_) if was_asked => {
                (Outcome::Failure, End::Unknown)
            }
            // There was no instance, or the client is to blame.
            _ => (Outcome::Unknown, End::Unknown),
        };
        if let Some(turn) = &mut self.turn {
            turn.settle(self.worker.now_ms(), outcome, end);
        }
    }
}
