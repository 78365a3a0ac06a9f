//! One instance as the data plane sees it: where it is, what it works on, how it fares.

use crate::{cluster::health::Place, counters::Counters};
use base::InstanceId;
use logic::{
    ewma::PeakEwma,
    outlier::{self, Event, Record},
};
use std::{
    net::SocketAddr,
    rc::Rc,
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicU32, AtomicU64,
            Ordering::{Relaxed, SeqCst},
        },
    },
};
use tokio::sync::{Notify, futures::Notified};

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
    /// How often it was drained. What comes after a drain is another process at the same address.
    life: AtomicU64,
    in_flight: AtomicU64,
    /// How many wait in [`Endpoint::idle`].
    waiters: AtomicU64,
    idle: Notify,
    /// A packed [`PeakEwma`].
    latency: AtomicU64,
    /// When it began to take requests, in ms of the data plane's clock plus one; 0: not yet.
    routed_at: AtomicU64,
    /// A packed [`Record`].
    record: AtomicU64,
    /// Connections to it, in all workers together.
    connections: AtomicU32,
    /// How many wait for one of them to go.
    wanted: AtomicU32,
    gone: Notify,
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
            life: AtomicU64::new(0),
            in_flight: AtomicU64::new(0),
            waiters: AtomicU64::new(0),
            idle: Notify::new(),
            latency: AtomicU64::new(0),
            routed_at: AtomicU64::new(0),
            record: AtomicU64::new(0),
            connections: AtomicU32::new(0),
            wanted: AtomicU32::new(0),
            gone: Notify::new(),
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
        self.life.fetch_add(1, SeqCst);
        self.draining.store(true, SeqCst);
    }

    /// Lets it take requests again, as if it were new but for its counters.
    pub fn revive(&self, weight: u32) {
        self.weight.store(weight, Relaxed);
        if self.draining.load(SeqCst) {
            self.record.store(0, Relaxed);
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

    /// Whether it is passed over at `now_ms` because of what came of its requests of late.
    #[must_use]
    pub(crate) fn is_penalised(&self, now_ms: u64) -> bool {
        self.record().is_out(now_ms)
    }

    /// Whether it is passed over at `now_ms` because of its answers.
    pub(crate) fn is_ejected(&self, now_ms: u64) -> bool {
        self.record().is_ejected(now_ms)
    }

    /// What came of its requests.
    pub(crate) fn record(&self) -> Record {
        Record::unpack(self.record.load(Relaxed))
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Moves the latency average. Two workers at once may lose one of two samples, which is harmless.
    pub(crate) fn observe(&self, now_ms: u64, latency_us: u64) {
        let sample_us = u32::try_from(latency_us).unwrap_or(u32::MAX);
        let average = PeakEwma::unpack(self.latency.load(Relaxed));
        self.latency.store(average.observe(wrap(now_ms), sample_us).pack(), Relaxed);
    }

    /// Books what came of a request; until when it is ejected, when that is new. `may_eject` is asked when
    /// an ejection is due.
    pub(crate) fn saw(
        &self,
        now_ms: u64,
        event: Event,
        settings: &outlier::Settings,
        may_eject: impl Fn() -> bool,
    ) -> Option<u64> {
        if matches!(event, Event::Unreachable | Event::Broken) {
            self.counters.failed();
        }
        let mut word = self.record.load(Relaxed);
        loop {
            let record = Record::unpack(word);
            if record.is_indifferent_to(event) {
                return None;
            }
            let next = record.after(now_ms, event, settings, &may_eject);
            if next == record {
                return None;
            }
            match self.record.compare_exchange_weak(word, next.pack(), Relaxed, Relaxed) {
                Ok(_) => {
                    let is_new = next.is_ejected(now_ms) && !record.is_ejected(now_ms);
                    return is_new.then(|| next.until_ms());
                }
                Err(changed) => word = changed,
            }
        }
    }

    /// Counts a connection in; `None`: there are `most` already.
    pub(crate) fn connect(self: &Arc<Self>, most: u32) -> Option<Slot> {
        let one_more = |open| (open < most).then(|| open + 1);
        let counted = self.connections.fetch_update(SeqCst, SeqCst, one_more);
        counted.is_ok().then(|| Slot { endpoint: Arc::clone(self), life: self.life() })
    }

    /// Which of its lives this is; connections of an earlier one lead nowhere.
    pub(crate) fn life(&self) -> u64 {
        self.life.load(SeqCst)
    }

    /// Counts in one that waits for a connection to go.
    pub(crate) fn want(&self) -> Wanting<'_> {
        self.wanted.fetch_add(1, SeqCst);
        Wanting(self)
    }

    /// Whether anybody waits for a connection to go.
    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted.load(SeqCst) > 0
    }

    /// Ends when a connection has gone. Enable it before looking whether there is room.
    pub(crate) fn gone(&self) -> Notified<'_> {
        self.gone.notified()
    }

    pub(crate) fn latency_us(&self, now_ms: u64) -> u32 {
        PeakEwma::unpack(self.latency.load(Relaxed)).read(wrap(now_ms))
    }

    /// Notes that it takes requests from `now_ms` on; false: it did already.
    pub(crate) fn stamp(&self, now_ms: u64) -> bool {
        let stamp = now_ms + 1;
        let is_new = self.routed_at.load(Relaxed) == 0;
        if is_new {
            self.routed_at.store(stamp, Relaxed);
        }
        is_new
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

/// An endpoint in the hands of one worker. Its requests share one `Arc`, because to count in an `Arc` is to write to a
/// line of memory that all workers want.
pub(crate) type Held = Rc<Arc<Endpoint>>;

/// A request that counts as in flight until this is dropped.
#[derive(Debug)]
pub(crate) struct InFlight {
    endpoint: Held,
    /// Its place at the service, when those are limited.
    pub(crate) place: Option<Place>,
}

impl InFlight {
    /// Counts a request in, unless the endpoint drains, the drain rule (see the crate), or has `most` already.
    pub(crate) fn begin(endpoint: Held, most: u64) -> Option<Self> {
        let before = endpoint.in_flight.fetch_add(1, SeqCst);
        let guard = Self { endpoint, place: None };
        // After the count, or a drain that began in between would see 0 and end the instance.
        (before < most && !guard.endpoint.draining.load(SeqCst)).then_some(guard)
    }

    pub(crate) fn endpoint(&self) -> &Held {
        &self.endpoint
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let was = self.endpoint.in_flight.fetch_sub(1, SeqCst);
        if was == 1 && self.endpoint.waiters.load(SeqCst) > 0 {
            self.endpoint.idle.notify_waiters();
        }
    }
}

/// A connection that counts until this is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    endpoint: Arc<Endpoint>,
    /// The endpoint's life in which the connection was asked for.
    life: u64,
}

impl Slot {
    /// Whether the instance has not been drained since.
    pub(crate) fn is_current(&self) -> bool {
        self.life == self.endpoint.life()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.endpoint.connections.fetch_sub(1, SeqCst);
        // After the count: whoever wants one counts itself in before it looks once more.
        if self.endpoint.is_wanted() {
            self.endpoint.gone.notify_one();
        }
    }
}

/// Somebody who waits for a connection to go.
pub(crate) struct Wanting<'a>(&'a Endpoint);

impl Drop for Wanting<'_> {
    fn drop(&mut self) {
        self.0.wanted.fetch_sub(1, SeqCst);
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
mod tests;
