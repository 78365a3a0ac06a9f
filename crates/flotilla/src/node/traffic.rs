//! Rates from counters: the data plane counts, the meter looks at intervals.

use api::wire::{self, TrafficCounts, TrafficInstance, TrafficService};
use base::Moment;
use proxy::{HistogramView, Stats, Totals};
use runtime::{Clock, TaskSet};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// How often the counters are looked at.
const PERIOD: Duration = Duration::from_secs(2);

/// How many looks are kept: rates are over the last ten seconds.
const LOOKS_MAX: usize = 5;

/// Looks at the data plane's counters and makes rates of them. Cheap to clone.
#[derive(Clone)]
pub(super) struct Meter {
    gateway: gateway::Handle,
    clock: Clock,
    looks: Arc<Mutex<VecDeque<(Moment, Stats)>>>,
}

impl Meter {
    pub(super) fn start(gateway: gateway::Handle, clock: Clock, tasks: &mut TaskSet) -> Self {
        let meter = Self { gateway, clock, looks: Arc::default() };
        let own = meter.clone();
        tasks.spawn("meter", move |mut stop| async move {
            loop {
                own.look();
                tokio::select! {
                    () = tokio::time::sleep(PERIOD) => {}
                    () = stop.wait() => return,
                }
            }
        });
        meter
    }

    fn look(&self) {
        let look = (self.clock.now(), self.gateway.stats().data_plane);
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        if looks.len() == LOOKS_MAX {
            looks.pop_front();
        }
        looks.push_back(look);
    }

    pub(super) fn traffic(&self) -> wire::Traffic {
        let (now, stats) = (self.clock.now(), self.gateway.stats().data_plane);
        let looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        let before = looks.front();
        let window = before.map_or(Duration::ZERO, |(at, _)| now.since(*at));
        let services = stats
            .services
            .iter()
            .map(|service| {
                let old = before
                    .and_then(|(_, s)| s.services.iter().find(|o| o.service == service.service));
                let in_flight = service.endpoints.iter().map(|e| e.in_flight).sum();
                let instances = service.endpoints.iter().map(|endpoint| {
                    let old = old
                        .and_then(|o| o.endpoints.iter().find(|e| e.instance == endpoint.instance));
                    TrafficInstance {
                        instance: endpoint.instance.to_string(),
                        counts: counts(
                            &endpoint.totals,
                            old.map(|o| &o.totals),
                            endpoint.in_flight,
                            window,
                        ),
                    }
                });
                TrafficService {
                    service: service.service.to_string(),
                    total: counts(&service.totals, old.map(|o| &o.totals), in_flight, window),
                    instances: instances.collect(),
                }
            })
            .collect();
        let listeners = stats.listeners.iter().map(|listener| wire::Listener {
            name: format!("{:?}", listener.id),
            address: listener.address.to_string(),
            connections: u64::try_from(listener.open).unwrap_or(u64::MAX),
            requests: listener.accepted,
        });
        wire::Traffic {
            at: Clock::wall().into(),
            window_ms: millis(window),
            services,
            listeners: listeners.collect(),
        }
    }
}

fn counts(
    now: &Totals,
    before: Option<&Totals>,
    in_flight: u64,
    window: Duration,
) -> TrafficCounts {
    let zero = Totals::default();
    let old = before.unwrap_or(&zero);
    let errors = |t: &Totals| t.failures + t.statuses[4];
    let latency = now.latency.since(&old.latency);
    TrafficCounts {
        requests: now.requests,
        requests_per_second: rate(now.requests, old.requests, window),
        in_flight,
        errors: errors(now),
        errors_per_second: rate(errors(now), errors(old), window),
        retries: now.retries,
        latency: latency_of(&latency),
    }
}

fn latency_of(histogram: &HistogramView) -> Option<wire::Latency> {
    let ms = |percent| histogram.percentile_us(percent).map(|us| us / 1_000.0);
    Some(wire::Latency { p50_ms: ms(50.0)?, p95_ms: ms(95.0)?, p99_ms: ms(99.0)? })
}

fn rate(now: u64, before: u64, window: Duration) -> f64 {
    let seconds = window.as_secs_f64();
    if seconds <= 0.0 {
        return 0.0;
    }
    #[expect(clippy::cast_precision_loss, reason = "a count of a few seconds is far below 2^52")]
    let count = now.saturating_sub(before) as f64;
    count / seconds
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
