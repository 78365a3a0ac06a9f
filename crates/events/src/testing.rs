//! What the tests of this crate share: events over engines in memory, in a time that passes as fast as nothing happens.

use crate::{
    Config, Deliver, Event, Handle, Incoming, Outboxes, Outgoing, Relay, Retry, Route, Service,
    Subscription, SubscriptionStatus, Target, Topic, Verdict, Wanted,
};
use async_trait::async_trait;
use base::{ServiceName, Timestamp};
use logic::backoff::Backoff;
use ports::{
    broker::{self, GroupName, Order, Start, TopicName},
    kv, outbox, streams,
};
use runtime::{Clock, TaskSet};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::watch;

/// How long a test waits for what must happen; of the tests' own time.
const PATIENCE: Duration = Duration::from_secs(24 * 3_600);

/// When the tests' time begins.
pub(crate) const BEGIN: Timestamp = Timestamp(1_700_000_000_000_000);

type Judge = Box<dyn Fn(&Incoming) -> Verdict + Send>;

/// The apps of all services.
pub(crate) struct App {
    got: Mutex<Vec<(Target, Incoming)>>,
    /// How many events each call brought.
    pub(crate) calls: Mutex<Vec<usize>>,
    judge: Mutex<Judge>,
    /// How long each delivery takes.
    pub(crate) takes: Mutex<Duration>,
    away: watch::Sender<BTreeSet<ServiceName>>,
    /// Whoever seems to be ready is gone when something comes.
    pub(crate) vanishes: AtomicBool,
    declared: Mutex<HashMap<ServiceName, Vec<Subscription>>>,
    /// How often services were asked what they want.
    pub(crate) asked: Mutex<usize>,
    busy: watch::Sender<usize>,
    pub(crate) busiest: Mutex<usize>,
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("App")
    }
}

impl App {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            got: Mutex::default(),
            calls: Mutex::default(),
            judge: Mutex::new(Box::new(|_| Verdict::Done)),
            takes: Mutex::default(),
            away: watch::Sender::new(BTreeSet::new()),
            vanishes: AtomicBool::new(false),
            declared: Mutex::default(),
            asked: Mutex::default(),
            busy: watch::Sender::new(0),
            busiest: Mutex::default(),
        })
    }

    /// From now on it says this.
    pub(crate) fn judge(&self, judge: impl Fn(&Incoming) -> Verdict + Send + 'static) {
        *self.judge.lock().unwrap() = Box::new(judge);
    }

    pub(crate) fn set_away(&self, service: &str, is_away: bool) {
        let service = ServiceName::new(service).unwrap();
        self.away.send_modify(|away| {
            if is_away {
                away.insert(service)
            } else {
                away.remove(&service)
            };
        });
    }

    pub(crate) fn declare(&self, service: &str, wants: Vec<Subscription>) {
        self.declared.lock().unwrap().insert(ServiceName::new(service).unwrap(), wants);
    }

    /// What it got: target, data, attempt.
    pub(crate) fn got(&self) -> Vec<(Target, Incoming)> {
        self.got.lock().unwrap().clone()
    }

    /// The data of all deliveries.
    pub(crate) fn data(&self) -> Vec<String> {
        self.got().iter().map(|(_, incoming)| text(&incoming.event.data)).collect()
    }

    /// Waits until there were `count` deliveries.
    pub(crate) async fn wait(&self, count: usize) -> Vec<String> {
        until(&format!("{count} deliveries"), || self.got.lock().unwrap().len() >= count).await;
        self.data()
    }

    fn is_away(&self, target: &Target) -> bool {
        target.service().is_some_and(|service| self.away.borrow().contains(service))
    }

    /// Waits until so many deliveries are under way.
    pub(crate) async fn wait_busy(&self, count: usize) {
        self.busy.subscribe().wait_for(|busy| *busy >= count).await.unwrap();
    }
}

#[async_trait]
impl Deliver for App {
    async fn deliver(&self, target: &Target, events: &[Incoming], _: Duration) -> Vec<Verdict> {
        if self.is_away(target) || self.vanishes.load(Ordering::SeqCst) {
            let away = || Verdict::Away { reason: "nobody is there".to_owned() };
            return events.iter().map(|_| away()).collect();
        }
        self.calls.lock().unwrap().push(events.len());
        let with_target = events.iter().map(|it| (target.clone(), it.clone()));
        self.got.lock().unwrap().extend(with_target);
        self.busy.send_modify(|busy| *busy += events.len());
        let busy = *self.busy.borrow();
        let takes = {
            let mut busiest = self.busiest.lock().unwrap();
            *busiest = busy.max(*busiest);
            *self.takes.lock().unwrap()
        };
        if !takes.is_zero() {
            tokio::time::sleep(takes).await;
        }
        self.busy.send_modify(|busy| *busy -= events.len());
        let judge = self.judge.lock().unwrap();
        events.iter().map(&*judge).collect()
    }

    async fn ready(&self, target: &Target) {
        let mut away = self.away.subscribe();
        let is_there = |away: &BTreeSet<ServiceName>| {
            target.service().is_none_or(|service| !away.contains(service))
        };
        away.wait_for(is_there).await.unwrap();
    }

    async fn declared(&self, service: &ServiceName) -> Vec<Subscription> {
        *self.asked.lock().unwrap() += 1;
        self.declared.lock().unwrap().get(service).cloned().unwrap_or_default()
    }
}

/// A table in memory, or none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    pub(crate) rows: Arc<Mutex<Option<Vec<outbox::Row>>>>,
    /// Deleting fails so often.
    pub(crate) deaf: Arc<Mutex<usize>>,
}

#[async_trait]
impl outbox::Outbox for Table {
    async fn fetch(&self, limit: usize) -> Result<Vec<outbox::Row>, outbox::Error> {
        match &*self.rows.lock().unwrap() {
            Some(rows) => Ok(rows.iter().take(limit).cloned().collect()),
            None => Err(outbox::Error::Missing {
                place: "memory".to_owned(),
                table: "outbox".to_owned(),
                problem: "there is no such table".to_owned(),
            }),
        }
    }

    async fn delete(&self, ids: &[String]) -> Result<(), outbox::Error> {
        let mut deaf = self.deaf.lock().unwrap();
        if *deaf > 0 {
            *deaf -= 1;
            let cause = Arc::new(std::io::Error::other("it was told to fail"));
            return Err(outbox::Error::Unavailable { place: "memory".to_owned(), cause });
        }
        self.rows
            .lock()
            .unwrap()
            .iter_mut()
            .for_each(|rows| rows.retain(|row| !ids.contains(&row.id)));
        Ok(())
    }

    async fn wait(&self, patience: Duration) {
        tokio::time::sleep(patience).await;
    }
}

/// All relays have the same table.
#[async_trait]
impl Outboxes for Table {
    async fn open(&self, _: &Relay) -> Result<Arc<dyn outbox::Outbox>, String> {
        Ok(Arc::new(self.clone()))
    }
}

/// A node over engines in memory.
pub(crate) struct World {
    pub(crate) app: Arc<App>,
    pub(crate) broker: broker::conformance::Memory,
    pub(crate) kv: kv::conformance::Memory,
    pub(crate) streams: streams::conformance::Memory,
    pub(crate) table: Table,
    pub(crate) clock: Clock,
    pub(crate) handle: Handle,
    service: Option<Service>,
    /// Lets the engines' time pass.
    _ticker: TaskSet,
}

impl World {
    pub(crate) fn start(wanted: Wanted) -> Self {
        Self::over(kv::conformance::Memory::new(), wanted)
    }

    pub(crate) fn over(kv: kv::conformance::Memory, wanted: Wanted) -> Self {
        let (broker, streams) =
            (broker::conformance::Memory::new(), streams::conformance::Memory::new());
        let (app, table) = (App::new(), Table::default());
        let mut ticker = TaskSet::new("time");
        let engines = (broker.clone(), kv.clone());
        ticker.spawn("time", |mut stop| async move {
            let step = Duration::from_secs(1);
            while tokio::time::timeout(step, stop.wait()).await.is_err() {
                engines.0.advance(step);
                engines.1.advance(step);
            }
        });
        let clock = Clock::simulated(BEGIN);
        let (service, handle) = node(&broker, &kv, &streams, &app, &table, clock, wanted);
        let service = Some(service);
        Self { app, broker, kv, streams, table, clock, handle, service, _ticker: ticker }
    }

    /// Another node over the same engines.
    pub(crate) fn beside(&self, wanted: Wanted) -> (Service, Handle) {
        let Self { app, broker, kv, streams, table, clock, .. } = self;
        node(broker, kv, streams, app, table, *clock, wanted)
    }

    /// Ends the node as it should end.
    pub(crate) async fn end(&mut self, grace: Duration) {
        if let Some(service) = self.service.take() {
            service.shutdown(grace).await;
        }
    }

    /// Ends the node at once.
    pub(crate) fn kill(&mut self) {
        self.service = None;
    }

    /// Starts it again over the same engines.
    pub(crate) fn again(&mut self, wanted: Wanted) {
        let (service, handle) = self.beside(wanted);
        (self.service, self.handle) = (Some(service), handle);
    }

    /// The first subscription, when it runs.
    pub(crate) fn status(&self) -> Option<SubscriptionStatus> {
        self.handle.subscriptions().into_iter().next()
    }

    pub(crate) async fn publish(&self, topic: &str, data: &[&str]) {
        let messages =
            data.iter().map(|data| Outgoing { event: event(data), ..Outgoing::default() });
        let topics = self.handle.topics();
        topics.publish(&topic_of(topic), messages.collect()).await.unwrap();
    }

    /// Waits until the runners of the file take part in their groups.
    pub(crate) async fn subscribed(&self, topic: &str) {
        let topic = topic_of(topic);
        until_async("a subscription", async || {
            let groups = self.handle.topics().groups(&topic).await;
            groups.is_ok_and(|groups| groups.iter().any(|group| group.subscriptions > 0))
        })
        .await;
    }
}

fn node(
    broker: &broker::conformance::Memory,
    kv: &kv::conformance::Memory,
    streams: &streams::conformance::Memory,
    app: &Arc<App>,
    table: &Table,
    clock: Clock,
    wanted: Wanted,
) -> (Service, Handle) {
    let config = Config {
        broker: Arc::new(broker.clone()),
        streams: Arc::new(streams.clone()),
        kv: Arc::new(kv.clone()),
        deliver: Arc::clone(app) as Arc<dyn Deliver>,
        outboxes: Arc::new(table.clone()),
        system: "shop".to_owned(),
        clock,
        wanted,
    };
    Service::start(config).unwrap()
}

pub(crate) fn topic_of(name: &str) -> TopicName {
    TopicName::new(name).unwrap()
}

pub(crate) fn group_of(name: &str) -> GroupName {
    GroupName::new(name).unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// An event with this data.
pub(crate) fn event(data: &str) -> Event {
    Event {
        id: format!("id-{data}").replace(|c: char| !c.is_ascii_graphic(), ""),
        source: "test".to_owned(),
        kind: "tested".to_owned(),
        data: data.to_owned().into(),
        ..Event::default()
    }
}

/// One for each of these, with nothing special.
pub(crate) fn topics(names: &[&str]) -> BTreeMap<TopicName, Topic> {
    names.iter().map(|name| (topic_of(name), Topic::default())).collect()
}

/// So many attempts, a second apart.
pub(crate) fn attempts(max: u32) -> Retry {
    let second = Duration::from_secs(1);
    Retry { max: Some(max), backoff: Backoff { first: second, max: second } }
}

pub(crate) fn to(service: &str) -> Target {
    Target::post(ServiceName::new(service).unwrap(), "/events")
}

/// A service wants a topic, with three attempts.
pub(crate) fn wants(service: &str, topic: &str) -> Subscription {
    Subscription {
        topic: topic_of(topic),
        group: group_of(service),
        routes: vec![Route { when: None, to: to(service) }],
        start: Start::Beginning,
        concurrency: 16,
        order: Order::Key,
        timeout: Duration::from_secs(30),
        retry: Some(attempts(3)),
        dead_letter: None,
        bulk: None,
    }
}

/// One topic, and one service that wants it.
pub(crate) fn one(change: impl FnOnce(&mut Subscription)) -> Wanted {
    let mut subscription = wants("mailer", "orders");
    change(&mut subscription);
    Wanted { topics: topics(&["orders"]), subscriptions: vec![subscription], ..Wanted::default() }
}

pub(crate) fn retry(reason: &str) -> Verdict {
    Verdict::Retry { after: None, reason: reason.to_owned() }
}

/// Waits until `is_so`, which something in the background brings about.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    until_async(what, async || is_so()).await;
}

/// As [`until`].
pub(crate) async fn until_async(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "in vain: {what}");
}

/// Lets time pass in which something must not happen.
pub(crate) async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}
