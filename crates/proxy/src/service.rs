//! Starting, steering and stopping the data plane.

use crate::{
    config::Config,
    counters::Totals,
    error::Error,
    listener::{Listener, ListenerId, ListenerKind},
    snapshot::Snapshot,
    worker,
};
use arc_swap::ArcSwap;
use base::{InstanceId, ServiceName};
use runtime::Clock;
use std::{
    fmt, io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering::Relaxed, Ordering::SeqCst},
    },
    thread::JoinHandle,
    time::Duration,
};
use tokio::{sync::watch, time::Instant};
use tracing::error;

/// What workers and handles share.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) clock: Clock,
    pub(crate) snapshot: ArcSwap<Snapshot>,
    /// Grows after each new snapshot.
    pub(crate) revision: AtomicU64,
    /// Wakes who waits for a new snapshot.
    pub(crate) changed: watch::Sender<()>,
    pub(crate) listeners: watch::Sender<Vec<Arc<Listener>>>,
    /// Closed listeners whose sockets may still be open. Also makes listening and closing exclusive.
    closed: Mutex<Vec<Weak<Listener>>>,
    /// Set once: stop, and until when requests may go on.
    pub(crate) stop: watch::Sender<Option<Instant>>,
}

impl Shared {
    pub(crate) fn now_ms(&self) -> u64 {
        u64::try_from(self.clock.now().since_start().as_millis()).unwrap_or(u64::MAX)
    }

    fn closed(&self) -> MutexGuard<'_, Vec<Weak<Listener>>> {
        self.closed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The running data plane. Dropping it stops it without grace.
pub struct Service {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("workers", &self.threads.len()).finish_non_exhaustive()
    }
}

/// Steers the data plane. Cheap to clone.
#[derive(Clone)]
pub struct Handle(Arc<Shared>);

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

impl Service {
    /// Starts the workers. They listen nowhere yet and know no service.
    ///
    /// # Errors
    /// [`Error::Start`] when the system refuses threads.
    pub fn start(config: Config) -> Result<(Self, Handle), Error> {
        let shared = Arc::new(Shared {
            config,
            clock: Clock::start(),
            snapshot: ArcSwap::from_pointee(Snapshot::default()),
            revision: AtomicU64::new(0),
            changed: watch::Sender::new(()),
            listeners: watch::Sender::new(Vec::new()),
            closed: Mutex::default(),
            stop: watch::Sender::new(None),
        });
        let mut service = Self { shared: Arc::clone(&shared), threads: Vec::new() };
        for index in 0..shared.config.workers.max(1) {
            let seed = getrandom::u64().map_err(|e| Error::Start(io::Error::other(e)))?;
            let shared = Arc::clone(&shared);
            let thread = runtime::worker(format!("proxy-{index}"), move |local| {
                worker::run(shared, index, seed, local)
            });
            // On failure `service` is dropped, which ends the threads that did start.
            service.threads.push(thread.map_err(Error::Start)?);
        }
        let handle = Handle(shared);
        Ok((service, handle))
    }

    /// Stops accepting, lets open requests and tunnels go on for at most `grace`, and ends the workers.
    ///
    /// # Cancel safety
    /// The shutdown goes on when the call is dropped.
    pub async fn shutdown(mut self, grace: Duration) {
        self.stop(grace);
        let threads = std::mem::take(&mut self.threads);
        let panicked = runtime::blocking(move || {
            threads.into_iter().map(JoinHandle::join).filter(Result::is_err).count()
        })
        .await;
        if panicked > 0 {
            error!(panicked, "workers of the data plane had panicked");
        }
    }

    fn stop(&self, grace: Duration) {
        for listener in self.shared.listeners.send_replace(Vec::new()) {
            listener.close();
        }
        let deadline = Instant::now() + grace;
        self.shared.stop.send_if_modified(|stop| stop.replace(deadline).is_none());
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // After `shutdown` there is nothing left to stop.
        if !self.threads.is_empty() {
            self.stop(Duration::ZERO);
        }
    }
}

impl Handle {
    /// Listens on `address` (port 0: any free one) and returns where. A listener with the same id is
    /// replaced: the new one is open before the old one closes. When both have the same port (only the
    /// interface changes), a connection that arrives as the old socket closes may be reset by the kernel.
    ///
    /// # Errors
    /// [`Error::Taken`] when another process or listener has the port, [`Error::Listen`] when the address
    /// cannot be used; the old listener stays then.
    pub fn listen(
        &self,
        id: ListenerId,
        address: SocketAddr,
        kind: ListenerKind,
    ) -> Result<SocketAddr, Error> {
        let mut closed = self.0.closed();
        closed.retain(|listener| {
            listener.upgrade().is_some_and(|listener| listener.sockets_open.load(SeqCst) > 0)
        });
        let old = self.0.listeners.borrow().iter().find(|listener| listener.id == id).cloned();
        if let Some(old) = old.as_ref().filter(|old| old.address == address && old.kind == kind) {
            return Ok(old.address);
        }
        // Our own old sockets on that port would look like another process.
        let lingering = closed.iter().filter_map(Weak::upgrade).chain(old.clone());
        let is_shared =
            lingering.into_iter().any(|listener| listener.address.port() == address.port());
        let workers = self.0.config.workers.max(1);
        let listener = Arc::new(Listener::open(id, kind, address, workers, is_shared)?);
        let bound = listener.address;
        self.0.listeners.send_modify(|listeners| {
            listeners.retain(|listener| old.as_ref().is_none_or(|old| !Arc::ptr_eq(old, listener)));
            listeners.push(listener);
        });
        if let Some(old) = old {
            old.close();
            closed.push(Arc::downgrade(&old));
        }
        Ok(bound)
    }

    /// Closes a listener: nothing new is accepted, open requests end. One that is not known is no error.
    pub fn close(&self, id: &ListenerId) {
        let mut closed = self.0.closed();
        self.0.listeners.send_modify(|listeners| {
            listeners.retain(|listener| {
                let stays = listener.id != *id;
                if !stays {
                    listener.close();
                    closed.push(Arc::downgrade(listener));
                }
                stays
            });
        });
    }

    /// Where a listener listens.
    #[must_use]
    pub fn address(&self, id: &ListenerId) -> Option<SocketAddr> {
        self.0.listeners.borrow().iter().find(|listener| listener.id == *id).map(|l| l.address)
    }

    /// Makes `snapshot` the one that requests see from now on, and wakes those that wait for an instance.
    pub fn publish(&self, snapshot: Snapshot) {
        let now_ms = self.0.now_ms();
        for member in snapshot.clusters.values().flat_map(|cluster| &cluster.members) {
            member.stamp(now_ms);
        }
        self.0.snapshot.store(Arc::new(snapshot));
        self.0.revision.fetch_add(1, SeqCst);
        self.0.changed.send_replace(());
    }

    /// What listens, and what services, instances and routes of the present snapshot have done.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let snapshot = self.0.snapshot.load();
        let mut services: Vec<ServiceStats> = snapshot
            .clusters
            .values()
            .map(|cluster| ServiceStats {
                service: cluster.service.clone(),
                totals: cluster.counters.totals(),
                waiting: cluster.waiting.load(Relaxed),
                endpoints: cluster.members.iter().map(|e| self.endpoint(e)).collect(),
            })
            .collect();
        services.sort_by(|a, b| a.service.cmp(&b.service));
        let listeners = self.0.listeners.borrow();
        Stats {
            services,
            routes: snapshot
                .routes
                .iter()
                .map(|route| RouteStats { totals: route.counters.totals() })
                .collect(),
            listeners: listeners
                .iter()
                .map(|listener| ListenerStats {
                    id: listener.id.clone(),
                    kind: listener.kind.clone(),
                    address: listener.address,
                    open: listener.open.load(Relaxed),
                    accepted: listener.accepted.load(Relaxed),
                })
                .collect(),
        }
    }

    fn endpoint(&self, endpoint: &crate::Endpoint) -> EndpointStats {
        EndpointStats {
            instance: endpoint.instance().clone(),
            address: endpoint.address(),
            weight: endpoint.weight(),
            in_flight: endpoint.in_flight(),
            latency_us: endpoint.latency_us(self.0.now_ms()),
            is_penalised: endpoint.is_penalised(self.0.now_ms()),
            totals: endpoint.counters().totals(),
        }
    }
}

/// What the data plane is doing.
#[derive(Clone, Debug)]
pub struct Stats {
    /// Services by name.
    pub services: Vec<ServiceStats>,
    /// Routes in the order of the snapshot.
    pub routes: Vec<RouteStats>,
    /// Listeners in the order they were opened.
    pub listeners: Vec<ListenerStats>,
}

/// A service.
#[derive(Clone, Debug)]
pub struct ServiceStats {
    /// Its name.
    pub service: ServiceName,
    /// What callers saw of it, from all sides.
    pub totals: Totals,
    /// Requests that wait for an instance.
    pub waiting: usize,
    /// Its instances that take requests.
    pub endpoints: Vec<EndpointStats>,
}

/// An instance.
#[derive(Clone, Debug)]
pub struct EndpointStats {
    /// Its name.
    pub instance: InstanceId,
    /// Where it is.
    pub address: SocketAddr,
    /// Its weight.
    pub weight: u32,
    /// Requests and tunnels it works on.
    pub in_flight: u64,
    /// Its latency of late in microseconds (peak EWMA); 0: not known.
    pub latency_us: u32,
    /// It could not be reached of late and is passed over for a moment.
    pub is_penalised: bool,
    /// What it has done.
    pub totals: Totals,
}

/// A route.
#[derive(Clone, Debug)]
pub struct RouteStats {
    /// What it has done.
    pub totals: Totals,
}

/// A listener.
#[derive(Clone, Debug)]
pub struct ListenerStats {
    /// Its name.
    pub id: ListenerId,
    /// What it is for.
    pub kind: ListenerKind,
    /// Where it listens.
    pub address: SocketAddr,
    /// Connections that are open.
    pub open: usize,
    /// Connections since it was opened.
    pub accepted: u64,
}
