//! One instance as the data plane sees it: where it is, what it works on, how it fares.

use crate::counters::Counters;
use base::InstanceId;
use logic::ewma::PeakEwma;
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicU32, AtomicU64,
            Ordering::{Relaxed, SeqCst},
        },
    },
};
use tokio::sync::Notify;

/// First pause of an instance that could not be reached; it doubles with each further failure.
const PENALTY_MS: u64 = 100;

/// Longest pause. The supervisor hears of a dead process within milliseconds and takes it out; this only
/// has to hold for instances that live and do not answer.
const PENALTY_MS_MAX: u64 = 5_000;

/// Numbers endpoints, so that workers can name their connections to one without holding it.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// One instance at one address.
#[derive(Debug)]
pub struct Endpoint {
    id: u64,
    instance: InstanceId,
    address: SocketAddr,
    weight: AtomicU32,
    draining: AtomicBool,
    in_flight: AtomicU64,
    /// How many wait in [`Endpoint::idle`].
    waiters: AtomicU64,
    idle: Notify,
    /// A packed [`PeakEwma`].
    latency: AtomicU64,
    /// When it began to take requests, in ms of the data plane's clock plus one; 0: not yet.
    routed_at: AtomicU64,
    /// Failures in a row (low byte) and until when it is passed over (ms, above).
    penalty: AtomicU64,
    counters: Counters,
}

impl Endpoint {
    /// An endpoint that takes requests. `weight` 1 is normal; 0: only when nothing else is there.
    #[must_use]
    pub fn new(instance: InstanceId, address: SocketAddr, weight: u32) -> Arc<Self> {
        Arc::new(Self {
            id: NEXT_ID.fetch_add(1, Relaxed),
            instance,
            address,
            weight: AtomicU32::new(weight),
            draining: AtomicBool::new(false),
            in_flight: AtomicU64::new(0),
            waiters: AtomicU64::new(0),
            idle: Notify::new(),
            latency: AtomicU64::new(0),
            routed_at: AtomicU64::new(0),
            penalty: AtomicU64::new(0),
            counters: Counters::default(),
        })
    }

    /// Whose it is.
    #[must_use]
    pub fn instance(&self) -> &InstanceId {
        &self.instance
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its weight.
    #[must_use]
    pub fn weight(&self) -> u32 {
        self.weight.load(Relaxed)
    }

    /// Sends it no new request. Takes effect before it returns.
    pub fn drain(&self) {
        self.draining.store(true, SeqCst);
    }

    /// Lets it take requests again, as if it were new but for its counters.
    pub fn revive(&self, weight: u32) {
        self.weight.store(weight, Relaxed);
        if self.draining.load(SeqCst) {
            self.penalty.store(0, Relaxed);
            self.latency.store(0, Relaxed);
            self.routed_at.store(0, Relaxed);
            self.draining.store(false, SeqCst);
        }
    }

    /// Whether it gets no new request.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(SeqCst)
    }

    /// Requests and tunnels it works on.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(SeqCst)
    }

    /// Waits until it works on nothing.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn idle(&self) {
        let _waiting = Waiting::new(&self.waiters);
        loop {
            let mut notified = std::pin::pin!(self.idle.notified());
            // Registered before the count is read, so that the last one to end cannot slip between.
            notified.as_mut().enable();
            if self.in_flight() == 0 {
                return;
            }
            notified.await;
        }
    }

    /// What it has done.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Whether it is passed over at `now_ms` because it could not be reached of late.
    #[must_use]
    pub(crate) fn is_penalised(&self, now_ms: u64) -> bool {
        let penalty = self.penalty.load(Relaxed);
        penalty != 0 && now_ms < penalty >> 8
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Counts a request in, unless the endpoint drains: the drain rule (see the crate).
    pub(crate) fn begin(self: &Arc<Self>) -> Option<InFlight> {
        self.in_flight.fetch_add(1, SeqCst);
        let guard = InFlight(Arc::clone(self));
        // After the count, or a drain that began in between would see 0 and end the instance.
        (!self.draining.load(SeqCst)).then_some(guard)
    }

    /// Books that it answered after `latency_us`.
    pub(crate) fn succeeded(&self, now_ms: u64, latency_us: u64) {
        self.observe(now_ms, latency_us);
        if self.penalty.load(Relaxed) != 0 {
            self.penalty.store(0, Relaxed);
        }
    }

    /// Moves the latency average. Two workers at once may lose one of two samples, which is harmless.
    pub(crate) fn observe(&self, now_ms: u64, latency_us: u64) {
        let sample_us = u32::try_from(latency_us).unwrap_or(u32::MAX);
        let average = PeakEwma::unpack(self.latency.load(Relaxed));
        self.latency.store(average.observe(wrap(now_ms), sample_us).pack(), Relaxed);
    }

    /// Books that it could not be reached or broke off, and passes it over for a while.
    pub(crate) fn failed(&self, now_ms: u64) {
        self.counters.failed();
        // All requests that were open when it died fail together: that is one failure, not many.
        if self.is_penalised(now_ms) {
            return;
        }
        let failures = ((self.penalty.load(Relaxed) & 0xff) + 1).min(0xff);
        let pause_ms = (PENALTY_MS << (failures - 1).min(16)).min(PENALTY_MS_MAX);
        self.penalty.store((now_ms + pause_ms) << 8 | failures, Relaxed);
    }

    pub(crate) fn latency_us(&self, now_ms: u64) -> u32 {
        PeakEwma::unpack(self.latency.load(Relaxed)).read(wrap(now_ms))
    }

    /// Notes that it takes requests from `now_ms` on, if it did not already.
    pub(crate) fn stamp(&self, now_ms: u64) {
        let stamp = now_ms + 1;
        if self.routed_at.load(Relaxed) == 0 {
            self.routed_at.store(stamp, Relaxed);
        }
    }

    /// How long it takes requests, in ms.
    pub(crate) fn age_ms(&self, now_ms: u64) -> u64 {
        match self.routed_at.load(Relaxed) {
            0 => 0,
            stamp => (now_ms + 1).saturating_sub(stamp),
        }
    }
}

/// The average's clock has 32 bits.
fn wrap(now_ms: u64) -> u32 {
    u32::try_from(now_ms & u64::from(u32::MAX)).unwrap_or(0)
}

/// A request that counts as in flight until this is dropped.
#[derive(Debug)]
pub(crate) struct InFlight(Arc<Endpoint>);

impl InFlight {
    pub(crate) fn endpoint(&self) -> &Arc<Endpoint> {
        &self.0
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let was = self.0.in_flight.fetch_sub(1, SeqCst);
        if was == 1 && self.0.waiters.load(SeqCst) > 0 {
            self.0.idle.notify_waiters();
        }
    }
}

/// Counts a waiter in while it lives.
struct Waiting<'a>(&'a AtomicU64);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicU64) -> Self {
        count.fetch_add(1, SeqCst);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn endpoint() -> Arc<Endpoint> {
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        Endpoint::new(InstanceId::parse("users/1").unwrap(), address, 1)
    }

    #[test]
    fn nothing_begins_at_an_endpoint_that_drains() {
        let endpoint = endpoint();
        let open = endpoint.begin().unwrap();
        endpoint.drain();
        assert!(endpoint.begin().is_none());
        assert_eq!(endpoint.in_flight(), 1);
        drop(open);
        assert_eq!(endpoint.in_flight(), 0);
        endpoint.revive(1);
        assert!(endpoint.begin().is_some());
    }

    #[tokio::test]
    async fn idle_returns_when_the_last_request_ends() {
        let endpoint = endpoint();
        endpoint.idle().await;
        let (first, second) = (endpoint.begin().unwrap(), endpoint.begin().unwrap());
        let mut idle = std::pin::pin!(endpoint.idle());
        let is_waiting = tokio::select! {
            biased;
            () = &mut idle => false,
            () = std::future::ready(()) => true,
        };
        assert!(is_waiting);
        drop(first);
        drop(second);
        tokio::time::timeout(Duration::from_secs(10), idle).await.unwrap();
    }

    #[test]
    fn the_pause_after_failures_doubles_up_to_its_bound_and_ends_with_a_success() {
        let endpoint = endpoint();
        let mut now_ms = 1_000;
        for pause_ms in [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000] {
            // Several at once count as one.
            endpoint.failed(now_ms);
            endpoint.failed(now_ms);
            assert!(endpoint.is_penalised(now_ms + pause_ms - 1), "{pause_ms}");
            now_ms += pause_ms;
            assert!(!endpoint.is_penalised(now_ms), "{pause_ms}");
        }
        for _ in 0..300 {
            now_ms += PENALTY_MS_MAX;
            endpoint.failed(now_ms);
        }
        assert!(endpoint.is_penalised(now_ms));
        endpoint.succeeded(now_ms, 10);
        assert!(!endpoint.is_penalised(now_ms));
    }
}
