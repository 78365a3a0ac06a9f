//! Starting, steering and stopping the data plane.

use crate::{
    config::Config,
    error::Error,
    listener::{Inherited, Listener, ListenerId, ListenerKind, Sockets},
    local::Local,
    record::Requests,
    snapshot::Snapshot,
    stats::{EndpointStats, ListenerStats, RouteStats, ServiceStats, Stats},
    tls::Tls,
    worker,
};
use arc_swap::ArcSwap;
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
use tracing::{error, warn};

/// What workers and handles share.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) clock: Clock,
    pub(crate) snapshot: ArcSwap<Snapshot>,
    /// Grows after each new snapshot, and when somebody else answers on app listeners.
    pub(crate) revision: AtomicU64,
    /// Wakes who waits for a new snapshot.
    pub(crate) changed: watch::Sender<()>,
    /// Asks the workers for connections that others wait for.
    pub(crate) wanted: watch::Sender<()>,
    pub(crate) listeners: watch::Sender<Vec<Arc<Listener>>>,
    /// Closed listeners whose sockets may still be open. Also makes listening and closing exclusive.
    closed: Mutex<Vec<Weak<Listener>>>,
    /// Sockets of another process; while there are any, or none was needed, nothing is accepted. Locked after `closed`.
    inherited: Mutex<Option<Vec<Inherited>>>,
    /// Set once: stop, and until when requests may go on.
    pub(crate) stop: watch::Sender<Option<Instant>>,
    /// What is noted of finished requests.
    pub(crate) requests: Requests,
    /// Directs and answers requests on app listeners.
    pub(crate) app: Mutex<Option<Arc<dyn Local>>>,
}

impl Shared {
    pub(crate) fn now_ms(&self) -> u64 {
        u64::try_from(self.clock.now().since_start().as_millis()).unwrap_or(u64::MAX)
    }

    fn inherited(&self) -> MutexGuard<'_, Option<Vec<Inherited>>> {
        self.inherited.lock().unwrap_or_else(PoisonError::into_inner)
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
        let requests = Requests::new(config.workers.max(1));
        let shared = Arc::new(Shared {
            config,
            requests,
            clock: Clock::start(),
            snapshot: ArcSwap::from_pointee(Snapshot::default()),
            revision: AtomicU64::new(0),
            changed: watch::Sender::new(()),
            wanted: watch::Sender::new(()),
            listeners: watch::Sender::new(Vec::new()),
            closed: Mutex::default(),
            inherited: Mutex::default(),
            stop: watch::Sender::new(None),
            app: Mutex::default(),
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
    pub async fn shutdown(self, grace: Duration) {
        self.stop(grace, false);
        self.ended().await;
    }

    /// As [`Self::shutdown`], for a data plane whose sockets another process has by now ([`Handle::export`]): a kept
    /// connection waits for its next request, which is answered with `Connection: close`, so that no client meets
    /// a connection that closes as it sends. HTTP/2 connections are told to go away (RFC 9113 §6.8).
    ///
    /// # Cancel safety
    /// The shutdown goes on when the call is dropped.
    pub async fn retire(self, grace: Duration) {
        self.stop(grace, true);
        self.ended().await;
    }

    async fn ended(mut self) {
        let threads = std::mem::take(&mut self.threads);
        let panicked = runtime::blocking(move || {
            threads.into_iter().map(JoinHandle::join).filter(Result::is_err).count()
        })
        .await;
        if panicked > 0 {
            error!(panicked, "workers of the data plane had panicked");
        }
    }

    fn stop(&self, grace: Duration, is_gentle: bool) {
        for listener in self.shared.listeners.send_replace(Vec::new()) {
            listener.close(is_gentle);
        }
        let deadline = Instant::now() + grace;
        self.shared.stop.send_if_modified(|stop| stop.replace(deadline).is_none());
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // After `shutdown` there is nothing left to stop.
        if !self.threads.is_empty() {
            self.stop(Duration::ZERO, false);
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
        self.listen_tls(id, address, kind, None)
    }

    /// Like [`Handle::listen`], for connections that speak TLS when there is `tls`. A listener that stays where
    /// it is takes `tls` for its next connections.
    ///
    /// # Errors
    /// Those of [`Handle::listen`].
    pub fn listen_tls(
        &self,
        id: ListenerId,
        address: SocketAddr,
        kind: ListenerKind,
        tls: Option<Tls>,
    ) -> Result<SocketAddr, Error> {
        let mut closed = self.0.closed();
        closed.retain(|listener| {
            listener.upgrade().is_some_and(|listener| listener.sockets_open.load(SeqCst) > 0)
        });
        let old = self.0.listeners.borrow().iter().find(|listener| listener.id == id).cloned();
        if let Some(old) = old.as_ref().filter(|old| old.address == address && old.kind == kind) {
            old.tls.store(tls.map(Arc::new));
            return Ok(old.address);
        }
        // Our own old sockets on that port would look like another process.
        let lingering = closed.iter().filter_map(Weak::upgrade).chain(old.clone());
        let is_shared =
            lingering.into_iter().any(|listener| listener.address.port() == address.port());
        let workers = self.0.config.workers.max(1);
        let mut inherited = self.0.inherited();
        let found = inherited.as_mut().and_then(|all| Inherited::take(all, &id, address));
        let listener = match found {
            Some(found) => Listener::inherit(id, kind, found, workers)?,
            None => Listener::open(id, kind, address, workers, is_shared)?,
        };
        listener.tls.store(tls.map(Arc::new));
        if inherited.is_some() {
            listener.hold();
        }
        drop(inherited);
        let listener = Arc::new(listener);
        let bound = listener.address;
        self.0.listeners.send_modify(|listeners| {
            listeners.retain(|listener| old.as_ref().is_none_or(|old| !Arc::ptr_eq(old, listener)));
            listeners.push(listener);
        });
        if let Some(old) = old {
            old.close(false);
            closed.push(Arc::downgrade(&old));
        }
        Ok(bound)
    }

    /// Gives a listener other certificates, for its next connections. One that is not known is no error.
    pub fn secure(&self, id: &ListenerId, tls: Tls) {
        let listeners = self.0.listeners.borrow();
        if let Some(listener) = listeners.iter().find(|listener| listener.id == *id) {
            listener.tls.store(Some(Arc::new(tls)));
        }
    }

    /// Says who directs and answers the requests on app listeners that come from now on; without anybody they are
    /// refused. What was answered by another one before is not disturbed.
    pub fn set_local(&self, local: Arc<dyn Local>) {
        *self.0.app.lock().unwrap_or_else(PoisonError::into_inner) = Some(local);
        self.0.revision.fetch_add(1, SeqCst);
    }

    /// Closes a listener: nothing new is accepted, open requests end. One that is not known is no error.
    pub fn close(&self, id: &ListenerId) {
        let mut closed = self.0.closed();
        self.0.listeners.send_modify(|listeners| {
            listeners.retain(|listener| {
                let stays = listener.id != *id;
                if !stays {
                    listener.close(false);
                    closed.push(Arc::downgrade(listener));
                }
                stays
            });
        });
    }

    /// Further descriptors of all listening sockets, for the data plane of a process that takes over. This
    /// one accepts from them as before.
    ///
    /// # Errors
    /// When the system has no descriptors left.
    pub fn export(&self) -> io::Result<Vec<Sockets>> {
        self.0.listeners.borrow().iter().map(|listener| listener.export()).collect()
    }

    /// Takes the sockets of another process's data plane, and accepts nothing until
    /// [`Self::start_accepting`]: [`Self::listen`] on one of their addresses uses them instead of opening
    /// new ones. Call it before the first `listen`.
    ///
    /// # Errors
    /// [`Error::Listen`] when one is no listening socket of its address; none is used then.
    pub fn inherit(&self, sockets: Vec<Sockets>) -> Result<(), Error> {
        let checked: Result<Vec<Inherited>, Error> = sockets
            .into_iter()
            .filter(|one| !one.sockets.is_empty())
            .map(Sockets::checked)
            .collect();
        *self.0.inherited() = Some(checked?);
        Ok(())
    }

    /// Accepts connections from now on, those that wait in the queues first. Inherited sockets that no
    /// listener uses are let go; who else has them still accepts from them. No effect without
    /// [`Self::inherit`].
    pub fn start_accepting(&self) {
        let closed = self.0.closed();
        let unused = self.0.inherited().take();
        self.0.listeners.send_modify(|listeners| {
            for listener in listeners {
                if let Err(error) = listener.release() {
                    let address = listener.address;
                    warn!(%address, %error, "not every worker has a socket of its own");
                }
            }
        });
        drop(unused);
        drop(closed);
    }

    /// Where a listener listens.
    #[must_use]
    pub fn address(&self, id: &ListenerId) -> Option<SocketAddr> {
        self.0.listeners.borrow().iter().find(|listener| listener.id == *id).map(|l| l.address)
    }

    /// Makes `snapshot` the one that requests see from now on, and wakes those that wait for an instance.
    pub fn publish(&self, snapshot: Snapshot) {
        let now_ms = self.0.now_ms();
        for cluster in snapshot.clusters.values() {
            let mut has_new = false;
            for member in &cluster.members {
                has_new |= member.stamp(now_ms);
            }
            if has_new {
                // A repaired service does not wait for the end of a pause.
                cluster.health.breaker.instance_came(now_ms);
            }
        }
        self.0.snapshot.store(Arc::new(snapshot));
        self.0.revision.fetch_add(1, SeqCst);
        self.0.changed.send_replace(());
    }

    /// The requests that end, for those who look.
    #[must_use]
    pub fn requests(&self) -> Requests {
        self.0.requests.clone()
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
                waiting: cluster.health.pending(),
                breaker: cluster.health.breaker.phase(self.0.now_ms()),
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
