//! One worker: a thread with everything a request needs, shared with no other.

mod accept;

use crate::{
    alarm::Alarms,
    balancer::Balancer,
    buffer::{Buffer, Spare},
    cluster::{Cluster, View},
    config::{Config, SCRATCH_KEPT_MAX, SCRATCH_SIZE_MAX},
    endpoint::{Endpoint, InFlight},
    exchange::Scratch,
    limits::Limits,
    listener::Listener,
    record::{Record, Summary},
    service::Shared,
    settings::Traffic,
    snapshot::Snapshot,
    transport::Transport,
    upstream::{IdHasher, Pools},
};
use base::{Moment, ServiceName};
use logic::balance::{Candidates as _, Random};
use runtime::Local;
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    hash::BuildHasherDefault,
    rc::Rc,
    sync::{Arc, PoisonError, atomic::Ordering::SeqCst},
    time::Duration,
};
use tokio::sync::Notify;
use tracing::warn;

/// How often kept connections are looked through.
const PRUNE_EVERY: Duration = Duration::from_secs(1);

/// The service that records of requests name which the node answered.
const NODE: &str = "flotilla";

/// Who answers on app listeners, shared within a worker.
type App = Rc<Arc<dyn crate::local::Local>>;

/// What endpoint a request wants.
pub(crate) struct Wanted<'a> {
    /// This one, if it can be had.
    pub(crate) stays: Option<u64>,
    /// What `consistent_hash` goes by.
    pub(crate) key: Option<u64>,
    /// None of those that it has tried in vain.
    pub(crate) tried: &'a [u64],
    /// None that failed of late.
    pub(crate) is_choosy: bool,
    /// None that works on so many.
    pub(crate) open_max: u64,
}

type Balancers = HashMap<u64, Rc<Balancer>, BuildHasherDefault<IdHasher>>;

/// One worker's state.
pub(crate) struct Worker {
    index: usize,
    shared: Arc<Shared>,
    local: Local,
    alarms: Rc<Alarms>,
    spare: RefCell<Spare>,
    #[expect(clippy::vec_box, reason = "what is lent and given back is a pointer, not half a KiB")]
    scratches: RefCell<Vec<Box<Scratch>>>,
    /// The time when it was asked for last.
    recent: Cell<Moment>,
    /// Bodies that are being packed.
    encoders: Cell<usize>,
    /// `Date`'s value, and the second of our clock in which it was made.
    date: RefCell<(u64, [u8; 29])>,
    /// The snapshot and its revision as this worker saw them last.
    snapshot: RefCell<(u64, Rc<Snapshot>)>,
    /// Who answers on app listeners, and the revision, in the same way.
    app: RefCell<(u64, Option<App>)>,
    /// By [`crate::cluster::health::Health::id`].
    balancers: RefCell<Balancers>,
    /// For services of which nothing is set.
    traffic: Traffic,
    pools: RefCell<Pools>,
    random: RefCell<Random>,
    /// Client connections, tunnels and responses under way.
    active: Cell<usize>,
    /// Somebody became inactive.
    quieter: Notify,
    node: Option<ServiceName>,
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

    /// What this node is called where it answers itself.
    pub(crate) fn node(&self) -> Option<&ServiceName> {
        self.node.as_ref()
    }

    /// Who directs and answers the requests on app listeners; costs one atomic load while that has not changed.
    pub(crate) fn app(&self) -> Option<App> {
        let revision = self.shared.revision.load(SeqCst);
        let mut seen = self.app.borrow_mut();
        if seen.0 != revision {
            let app = self.shared.app.lock().unwrap_or_else(PoisonError::into_inner);
            *seen = (revision, app.clone().map(Rc::new));
        }
        seen.1.clone()
    }

    pub(crate) fn alarms(&self) -> &Rc<Alarms> {
        &self.alarms
    }

    /// An empty buffer of the usual size.
    pub(crate) fn small(&self) -> Buffer {
        self.spare.borrow_mut().small()
    }

    /// An empty buffer for large bodies.
    pub(crate) fn large(&self) -> Buffer {
        self.spare.borrow_mut().large()
    }

    /// Takes a buffer back.
    pub(crate) fn give(&self, buffer: Buffer) {
        self.spare.borrow_mut().give(buffer);
    }

    /// Memory for an exchange.
    pub(crate) fn scratch(&self) -> Box<Scratch> {
        self.scratches.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes memory of an exchange back, unless a giant head has blown it up.
    pub(crate) fn give_scratch(&self, scratch: Box<Scratch>) {
        let mut kept = self.scratches.borrow_mut();
        if kept.len() < SCRATCH_KEPT_MAX && scratch.capacity() <= SCRATCH_SIZE_MAX {
            kept.push(scratch);
        }
    }

    /// Bodies that are being packed on this worker.
    pub(crate) fn encoders(&self) -> &Cell<usize> {
        &self.encoders
    }

    /// The time of day.
    pub(crate) fn date_exact(&self) -> base::Timestamp {
        self.shared.clock.date()
    }

    /// The value of `Date` (RFC 9110 §6.6.1).
    pub(crate) fn date(&self) -> [u8; 29] {
        let second = self.recent.get().since_start().as_secs();
        let mut date = self.date.borrow_mut();
        if date.0 != second {
            let time = Duration::from_millis(self.shared.clock.date().millis());
            let text = httpdate::fmt_http_date(std::time::UNIX_EPOCH + time);
            if let Ok(text) = text.as_bytes().try_into() {
                *date = (second, text);
            }
        }
        date.1
    }

    /// Notes a finished request; `make` is called when somebody takes it.
    pub(crate) fn record(&self, summary: &Summary<'_>, make: impl FnOnce() -> Record) {
        self.shared.requests.record(self.index, summary, make);
    }

    /// Lets `change` see the kept connections.
    pub(crate) fn pools<T>(&self, change: impl FnOnce(&mut Pools) -> T) -> T {
        change(&mut self.pools.borrow_mut())
    }

    pub(crate) fn now(&self) -> Moment {
        let now = self.shared.clock.now();
        self.recent.set(now);
        now
    }

    /// The time when [`Worker::now`] was asked last: good enough wherever a request has just come or gone, and
    /// free.
    pub(crate) fn recent(&self) -> Moment {
        self.recent.get()
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

    /// How the traffic to a service is bounded.
    pub(crate) fn traffic<'a>(&'a self, cluster: &'a Cluster) -> &'a Traffic {
        cluster.traffic().unwrap_or(&self.traffic)
    }

    /// Picks an endpoint and counts the request in at it. Endpoints that failed of late come last, or not at
    /// all when it is choosy.
    pub(crate) fn begin(
        &self,
        cluster: &Cluster,
        balancer: &Balancer,
        now_ms: u64,
        wanted: &Wanted<'_>,
    ) -> Option<InFlight> {
        let traffic = self.traffic(cluster);
        let mut view = View::new(cluster, traffic, now_ms, wanted.tried, wanted.open_max);
        balancer.follow(cluster.algorithm, self.index);
        let take = |at: usize| {
            let endpoint = self.pools.borrow_mut().held(&cluster.members[at]);
            InFlight::begin(endpoint, wanted.open_max)
        };
        let stays = wanted.stays.and_then(|id| cluster.members.iter().position(|m| m.id() == id));
        if let Some(at) = stays.filter(|at| view.is_available(*at))
            && let Some(in_flight) = take(at)
        {
            return Some(in_flight);
        }
        let mut random = self.random.borrow_mut();
        loop {
            match balancer.pick(&view, wanted.key, &mut random) {
                // `None`: it began to drain meanwhile, or others came first; the next round passes it over.
                Some(at) => match take(at) {
                    Some(in_flight) => return Some(in_flight),
                    None => continue,
                },
                None if view.is_choosy && !wanted.is_choosy => view.is_choosy = false,
                None => return None,
            }
        }
    }

    /// What clients may do on `listener`.
    pub(crate) fn limits(&self, listener: &Listener) -> Limits {
        Limits::of(&listener.kind, self.config(), self.snapshot().clients())
    }

    /// What this worker remembers of a service.
    pub(crate) fn balancer(&self, cluster: &Cluster) -> Rc<Balancer> {
        let mut balancers = self.balancers.borrow_mut();
        let new = || Rc::new(Balancer::new(cluster.algorithm, self.index, self.now()));
        Rc::clone(balancers.entry(cluster.health.id).or_insert_with(new))
    }

    /// Asks all workers to let go of idle connections that others want.
    pub(crate) fn want_room(&self) {
        self.shared.wanted.send_replace(());
    }

    pub(crate) fn kept(&self, endpoint: &Endpoint, age_max: Duration) -> Option<Transport> {
        self.pools.borrow_mut().take(endpoint, moment_ms(self.recent()), millis(age_max))
    }

    pub(crate) fn keep(&self, endpoint: &Arc<Endpoint>, connection: Transport) {
        self.pools.borrow_mut().keep(endpoint, connection, moment_ms(self.recent()));
    }

    fn prune(&self) {
        let age_max_ms = millis(self.config().upstream_idle);
        self.pools.borrow_mut().prune(self.now_ms(), age_max_ms);
        if self.active.get() == 0 {
            self.spare.borrow_mut().shrink();
            let mut scratches = self.scratches.borrow_mut();
            let half = scratches.len() / 2;
            scratches.truncate(half);
        }
        let snapshot = self.snapshot();
        let mut known: Vec<u64> = snapshot.clusters.values().map(|it| it.health.id).collect();
        known.sort_unstable();
        self.balancers.borrow_mut().retain(|id, _| known.binary_search(id).is_ok());
    }
}

/// A moment in milliseconds of the data plane's clock.
pub(crate) fn moment_ms(moment: Moment) -> u64 {
    millis(moment.since_start())
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The main task of worker `index`: starts and prunes, until the data plane stops.
pub(crate) async fn run(shared: Arc<Shared>, index: usize, seed: u64, local: Local) {
    let revision = shared.revision.load(SeqCst);
    let snapshot = Rc::new(Snapshot::clone(&shared.snapshot.load()));
    let worker = Rc::new(Worker {
        index,
        local,
        alarms: Alarms::new(shared.clock),
        spare: RefCell::default(),
        scratches: RefCell::default(),
        recent: Cell::new(shared.clock.now()),
        encoders: Cell::new(0),
        date: RefCell::new((u64::MAX, [b' '; 29])),
        snapshot: RefCell::new((revision, snapshot)),
        app: RefCell::new((u64::MAX, None)),
        balancers: RefCell::default(),
        traffic: shared.config.traffic(),
        pools: RefCell::default(),
        random: RefCell::new(Random::new(seed)),
        active: Cell::new(0),
        quieter: Notify::new(),
        node: ServiceName::new(NODE).ok(),
        shared: Arc::clone(&shared),
    });
    let mut listeners = shared.listeners.subscribe();
    let mut changed = shared.changed.subscribe();
    let mut wanted = shared.wanted.subscribe();
    let mut stop = shared.stop.subscribe();
    let mut prune = tokio::time::interval(PRUNE_EVERY);
    let alarms = Rc::clone(&worker.alarms);
    worker.local.spawn(async move { alarms.run().await });
    loop {
        let open: Vec<Arc<Listener>> = listeners.borrow_and_update().to_vec();
        for listener in open {
            while let Some(socket) = listener.take(index) {
                let listener = Arc::clone(&listener);
                worker.local.spawn(accept::accept(Rc::clone(&worker), listener, socket));
            }
        }
        tokio::select! {
            // Connections of a listener that closes must hear of it.
            _ = listeners.changed() => worker.alarms.wake_all(),
            _ = changed.changed() => worker.prune(),
            _ = wanted.changed() => worker.pools(Pools::make_room),
            _ = prune.tick() => worker.prune(),
            _ = stop.wait_for(Option::is_some) => break,
        }
    }
    worker.alarms.wake_all();
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
