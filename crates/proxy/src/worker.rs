//! One worker: a thread with everything a request needs, shared with no other.

use crate::{
    body::{Download, Upload},
    cluster::{Cluster, View},
    config::{
        ACCEPT_PAUSE, CONNECTIONS_MAX, Config, HEAD_SIZE_MAX, HEADERS_MAX, NEXT_HEAD_TIMEOUT,
        STREAMS_MAX,
    },
    connection,
    endpoint::{Endpoint, InFlight},
    listener::Listener,
    service::Shared,
    snapshot::Snapshot,
    upstream::{Http1, Http2, Pools},
};
use base::{Moment, ServiceName};
use hyper_util::{rt::TokioTimer, server::conn::auto};
use logic::{
    balance::{Picker, Random},
    retry::Budget,
};
use runtime::Local;
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    future::Future,
    io,
    net::SocketAddr,
    rc::Rc,
    sync::{Arc, atomic::Ordering::Relaxed, atomic::Ordering::SeqCst},
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Notify,
};
use tracing::{debug, error, warn};

/// How often kept connections are looked through.
const PRUNE_EVERY: Duration = Duration::from_secs(1);

/// Runs hyper's own tasks on the worker.
#[derive(Clone, Debug)]
pub(crate) struct LocalExecutor(pub(crate) Local);

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, task: F) {
        self.0.spawn(async move { drop(task.await) });
    }
}

/// One worker's state.
pub(crate) struct Worker {
    index: usize,
    shared: Arc<Shared>,
    local: Local,
    server: auto::Builder<LocalExecutor>,
    /// The snapshot and its revision as this worker saw them last.
    snapshot: RefCell<(u64, Rc<Snapshot>)>,
    balancers: RefCell<HashMap<ServiceName, Balancer>>,
    pools: RefCell<Pools>,
    random: RefCell<Random>,
    /// Client connections, tunnels and responses under way.
    active: Cell<usize>,
    /// Somebody became inactive.
    quieter: Notify,
}

/// What one worker remembers of one service.
struct Balancer {
    picker: Picker,
    budget: Budget,
}

/// Something that a shutdown waits for, until it is dropped.
pub(crate) struct Active(Rc<Worker>);

impl Active {
    pub(crate) fn new(worker: &Rc<Worker>) -> Self {
        worker.active.set(worker.active.get() + 1);
        Self(Rc::clone(worker))
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.active.set(self.0.active.get().saturating_sub(1));
        self.0.quieter.notify_waiters();
    }
}

impl Worker {
    pub(crate) fn config(&self) -> &Config {
        &self.shared.config
    }

    pub(crate) fn local(&self) -> &Local {
        &self.local
    }

    pub(crate) fn server(&self) -> &auto::Builder<LocalExecutor> {
        &self.server
    }

    pub(crate) fn now(&self) -> Moment {
        self.shared.clock.now()
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.shared.now_ms()
    }

    pub(crate) fn changes(&self) -> tokio::sync::watch::Receiver<()> {
        self.shared.changed.subscribe()
    }

    /// The newest snapshot; costs one atomic load while it has not changed.
    pub(crate) fn snapshot(&self) -> Rc<Snapshot> {
        let revision = self.shared.revision.load(SeqCst);
        let mut seen = self.snapshot.borrow_mut();
        if seen.0 != revision {
            *seen = (revision, Rc::new(Snapshot::clone(&self.shared.snapshot.load())));
        }
        Rc::clone(&seen.1)
    }

    pub(crate) fn random<T>(&self, draw: impl FnOnce(&mut Random) -> T) -> T {
        draw(&mut self.random.borrow_mut())
    }

    /// Picks an endpoint and counts the request in at it. Endpoints that failed of late come last, or
    /// not at all when `spare_penalised`.
    pub(crate) fn begin(
        &self,
        cluster: &Cluster,
        key: Option<u64>,
        tried: &[u64],
        spare_penalised: bool,
    ) -> Option<InFlight> {
        let slow_start_ms = u64::try_from(self.config().slow_start.as_millis()).unwrap_or(0);
        let now_ms = self.now_ms();
        let mut view = View { cluster, now_ms, slow_start_ms, tried, spare_penalised: true };
        loop {
            let picked =
                self.balancer(cluster, |balancer, random| balancer.picker.pick(&view, key, random));
            match picked {
                // `None`: it began to drain meanwhile; the next round passes it over.
                Some(at) => match cluster.members[at].begin() {
                    Some(in_flight) => return Some(in_flight),
                    None => continue,
                },
                None if view.spare_penalised && !spare_penalised => view.spare_penalised = false,
                None => return None,
            }
        }
    }

    /// Lets `change` see the retry budget of a service.
    pub(crate) fn budget<T>(&self, cluster: &Cluster, change: impl FnOnce(&mut Budget) -> T) -> T {
        self.balancer(cluster, |balancer, _| change(&mut balancer.budget))
    }

    fn balancer<T>(
        &self,
        cluster: &Cluster,
        act: impl FnOnce(&mut Balancer, &mut Random) -> T,
    ) -> T {
        let mut balancers = self.balancers.borrow_mut();
        let mut random = self.random.borrow_mut();
        let start = self.index;
        if !balancers.contains_key(&cluster.service) {
            let picker = Picker::new(cluster.algorithm, start);
            let budget = Budget::new(self.now());
            balancers.insert(cluster.service.clone(), Balancer { picker, budget });
        }
        let balancer = balancers.get_mut(&cluster.service).expect("it was put there just above");
        if balancer.picker.algorithm() != cluster.algorithm {
            balancer.picker = Picker::new(cluster.algorithm, start);
        }
        act(balancer, &mut random)
    }

    pub(crate) fn kept(&self, endpoint: &Endpoint, age_max: Duration) -> Option<Http1> {
        self.pools.borrow_mut().take(endpoint, self.now_ms(), millis(age_max))
    }

    pub(crate) fn keep(&self, endpoint: &Arc<Endpoint>, connection: Http1) {
        self.pools.borrow_mut().keep(endpoint, connection, self.now_ms());
    }

    pub(crate) fn shared_connection(&self, endpoint: &Endpoint) -> Option<Http2> {
        self.pools.borrow_mut().shared(endpoint)
    }

    pub(crate) fn share(&self, endpoint: &Arc<Endpoint>, connection: &Http2) {
        self.pools.borrow_mut().share(endpoint, connection);
    }

    fn prune(&self) {
        let age_max_ms = millis(self.config().upstream_idle);
        self.pools.borrow_mut().prune(self.now_ms(), age_max_ms);
        let snapshot = self.snapshot();
        self.balancers.borrow_mut().retain(|service, _| snapshot.clusters.contains_key(service));
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The main task of worker `index`: starts and prunes, until the data plane stops.
pub(crate) async fn run(shared: Arc<Shared>, index: usize, seed: u64, local: Local) {
    let mut server = auto::Builder::new(LocalExecutor(local.clone()));
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(NEXT_HEAD_TIMEOUT)
        .max_buf_size(HEAD_SIZE_MAX)
        .max_headers(HEADERS_MAX);
    server
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(u32::try_from(HEAD_SIZE_MAX).unwrap_or(u32::MAX));
    let revision = shared.revision.load(SeqCst);
    let snapshot = Rc::new(Snapshot::clone(&shared.snapshot.load()));
    let worker = Rc::new(Worker {
        index,
        local,
        server,
        snapshot: RefCell::new((revision, snapshot)),
        balancers: RefCell::default(),
        pools: RefCell::default(),
        random: RefCell::new(Random::new(seed)),
        active: Cell::new(0),
        quieter: Notify::new(),
        shared: Arc::clone(&shared),
    });
    let mut listeners = shared.listeners.subscribe();
    let mut changed = shared.changed.subscribe();
    let mut stop = shared.stop.subscribe();
    let mut prune = tokio::time::interval(PRUNE_EVERY);
    loop {
        let open: Vec<Arc<Listener>> = listeners.borrow_and_update().to_vec();
        for listener in open {
            if let Some(socket) = listener.take(index) {
                worker.local.spawn(accept(Rc::clone(&worker), listener, socket));
            }
        }
        tokio::select! {
            _ = listeners.changed() => {}
            _ = changed.changed() => worker.prune(),
            _ = prune.tick() => worker.prune(),
            _ = stop.wait_for(Option::is_some) => break,
        }
    }
    let deadline = stop.borrow().unwrap_or_else(tokio::time::Instant::now);
    let quiet = async {
        loop {
            let quieter = worker.quieter.notified();
            if worker.active.get() == 0 {
                break;
            }
            quieter.await;
        }
    };
    if tokio::time::timeout_at(deadline, quiet).await.is_err() {
        warn!(
            worker = index,
            open = worker.active.get(),
            "requests were broken off by the shutdown"
        );
    }
}

/// Accepts on one socket until its listener closes.
async fn accept(worker: Rc<Worker>, listener: Arc<Listener>, socket: std::net::TcpListener) {
    let socket = match TcpListener::from_std(socket) {
        Ok(socket) => socket,
        Err(error) => {
            error!(listener = ?listener.id, %error, "a listener cannot be used");
            return;
        }
    };
    let mut closing = listener.closing.subscribe();
    loop {
        while worker.active.get() >= CONNECTIONS_MAX && !listener.is_closing() {
            worker.quieter.notified().await;
        }
        tokio::select! {
            biased;
            accepted = socket.accept() => admit(&worker, &listener, accepted).await,
            _ = closing.wait_for(|closing| *closing) => break,
        }
    }
    // Whoever connected before the end is served, not reset.
    loop {
        tokio::select! {
            biased;
            accepted = socket.accept() => admit(&worker, &listener, accepted).await,
            () = std::future::ready(()) => break,
        }
    }
    drop(socket);
    listener.sockets_open.fetch_sub(1, SeqCst);
}

async fn admit(
    worker: &Rc<Worker>,
    listener: &Arc<Listener>,
    accepted: io::Result<(TcpStream, SocketAddr)>,
) {
    match accepted {
        Ok((stream, client)) => {
            listener.accepted.fetch_add(1, Relaxed);
            let (worker, listener) = (Rc::clone(worker), Arc::clone(listener));
            let local = worker.local.clone();
            local.spawn(connection::serve(worker, listener, stream, client));
        }
        Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {
            debug!(%error, "a client gave up before it was accepted");
        }
        Err(error) => {
            warn!(listener = ?listener.id, %error, "cannot accept connections for now");
            tokio::time::sleep(ACCEPT_PAUSE).await;
        }
    }
}

/// What is sent up and down must stay small: it is moved with every request.
const _: () = assert!(size_of::<Upload>() <= 40 && size_of::<Download>() <= 40);
