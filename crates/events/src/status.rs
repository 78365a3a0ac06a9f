//! How subscriptions, relays and the broker are, for people.

use base::{ServiceName, Timestamp};
use ports::broker::{Capabilities, GroupName, TopicName};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// Who asked for a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeclaredBy {
    /// The file.
    File,
    /// The app itself, when it was asked.
    App,
    /// A connection that an app holds open.
    Connection,
}

/// A subscription whose messages are pushed, as this node sees it. Counters begin with the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionStatus {
    /// The topic.
    pub topic: TopicName,
    /// The group.
    pub group: GroupName,
    /// Where messages go, in words.
    pub targets: Vec<String>,
    /// The service that takes them; `None`: several, or a connection.
    pub service: Option<ServiceName>,
    /// Who asked for it.
    pub from: DeclaredBy,
    /// Deliveries to the subscriber, repeated ones among them.
    pub delivered: u64,
    /// Messages that the subscriber has done.
    pub done: u64,
    /// Deliveries that failed and are tried again.
    pub retried: u64,
    /// Messages that became dead letters.
    pub dead: u64,
    /// Messages that were given up and are kept nowhere.
    pub dropped: u64,
    /// Messages that are being worked on, or are held until somebody is ready.
    pub in_flight: u64,
    /// Why nothing is delivered at the moment.
    pub paused: Option<String>,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// Conditions and where to, in words.
    pub routes: Vec<(Option<String>, String)>,
    /// Where messages go that are given up.
    pub dead_letter: Option<TopicName>,
}

/// An outbox table that is relayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayStatus {
    /// Whose it is.
    pub service: ServiceName,
    /// The table.
    pub table: String,
    /// The topic, with its place-holder.
    pub topic: String,
    /// Rows that this node has published and deleted.
    pub relayed: u64,
    /// Since when there is nothing left to relay, or when a row was relayed last.
    pub last: Option<Timestamp>,
    /// Why rows stay where they are.
    pub problem: Option<String>,
}

/// How the broker is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerStatus {
    /// Where it is.
    pub place: String,
    /// What it offers.
    pub capabilities: Capabilities,
    /// Whether it answered when it was asked last.
    pub is_well: bool,
    /// Why not.
    pub problem: Option<String>,
}

/// Counts what a runner does.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) delivered: AtomicU64,
    pub(crate) done: AtomicU64,
    pub(crate) retried: AtomicU64,
    pub(crate) dead: AtomicU64,
    pub(crate) dropped: AtomicU64,
    pub(crate) in_flight: AtomicU64,
}

/// What is said of a subscription beside what it is.
#[derive(Debug, Default)]
struct Said {
    paused: Option<String>,
    last_error: Option<String>,
}

/// A subscription on the board.
#[derive(Debug)]
pub(crate) struct Gauge {
    /// All but what changes.
    base: SubscriptionStatus,
    pub(crate) counters: Counters,
    said: Mutex<Said>,
}

impl Gauge {
    pub(crate) fn new(base: SubscriptionStatus) -> Self {
        Self { base, counters: Counters::default(), said: Mutex::default() }
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says why nothing is delivered, or that something is again.
    pub(crate) fn pause(&self, why: Option<String>) {
        self.said().paused = why;
    }

    pub(crate) fn error(&self, what: String) {
        self.said().last_error = Some(what);
    }

    fn status(&self) -> SubscriptionStatus {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let said = self.said();
        SubscriptionStatus {
            delivered: count(&self.counters.delivered),
            done: count(&self.counters.done),
            retried: count(&self.counters.retried),
            dead: count(&self.counters.dead),
            dropped: count(&self.counters.dropped),
            in_flight: count(&self.counters.in_flight),
            paused: said.paused.clone(),
            last_error: said.last_error.clone(),
            ..self.base.clone()
        }
    }
}

/// Adds to a counter.
pub(crate) fn add(counter: &AtomicU64, count: usize) {
    counter.fetch_add(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed);
}

/// Takes from a counter what was added before.
pub(crate) fn take(counter: &AtomicU64, count: usize) {
    counter.fetch_sub(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed);
}

/// All subscriptions that run on this node. Clones are the same board.
#[derive(Clone, Debug, Default)]
pub(crate) struct Board(Arc<Mutex<Gauges>>);

#[derive(Debug, Default)]
struct Gauges {
    last: u64,
    all: BTreeMap<u64, Arc<Gauge>>,
}

/// A place on the board; dropping it takes the subscription away.
#[derive(Debug)]
pub(crate) struct Place {
    board: Board,
    number: u64,
    pub(crate) gauge: Arc<Gauge>,
}

impl Board {
    fn gauges(&self) -> MutexGuard<'_, Gauges> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn put(&self, base: SubscriptionStatus) -> Place {
        let gauge = Arc::new(Gauge::new(base));
        let mut gauges = self.gauges();
        gauges.last += 1;
        let number = gauges.last;
        gauges.all.insert(number, Arc::clone(&gauge));
        Place { board: self.clone(), number, gauge }
    }

    /// By topic and group.
    pub(crate) fn statuses(&self) -> Vec<SubscriptionStatus> {
        let mut all: Vec<_> = self.gauges().all.values().map(|gauge| gauge.status()).collect();
        all.sort_by(|a, b| (&a.topic, &a.group).cmp(&(&b.topic, &b.group)));
        all
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.board.gauges().all.remove(&self.number);
    }
}
