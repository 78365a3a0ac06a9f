//! Events as others use them.

use crate::{
    BrokerStatus, Config, DeclaredBy, Error, Event, Jobs, Open, Outboxes, RelayStatus, Streams,
    Subscription, SubscriptionStatus, Topics, Wanted,
    jobs::check_zone,
    keeper::{self, Fleet, Keeper, Signals},
    kept::Rows,
    later::Laters,
    outbox::Outbox,
    relay::RelayGauge,
    runner::{self, Line, Runner, Spec, Tools},
    status::Board,
    streams::check_name,
    topics,
};
use base::{ErrorChain, ServiceName};
use futures_util::future::{join, join_all};
use ports::{
    broker::{Error as BrokerError, TopicName},
    kv::Operation,
};
use runtime::{Clock, Stop, TaskSet};
use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::watch;

/// Most connections with subscriptions.
pub const OPEN_MAX: usize = 10_000;

/// How often it is looked whether the broker answers.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Events of one node. Dropping it ends its tasks at once.
#[derive(Debug)]
pub struct Service {
    tasks: TaskSet,
    fleet: Arc<Mutex<Fleet>>,
}

/// Steers events. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle(pub(crate) Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) wanted: watch::Sender<Arc<Wanted>>,
    pub(crate) tools: Tools,
    pub(crate) streams: Streams,
    pub(crate) outboxes: Arc<dyn Outboxes>,
    pub(crate) clock: Clock,
    pub(crate) signals: Signals,
    pub(crate) relays: Mutex<Vec<Arc<RelayGauge>>>,
    outbox: Outbox,
    /// Why the broker does not answer.
    trouble: Mutex<Option<String>>,
    last_open: AtomicU64,
    fleet: Weak<Mutex<Fleet>>,
}

impl Service {
    /// Starts it. It does not wait for the engines: what needs one fails until it is there. Needs a tokio runtime.
    ///
    /// # Errors
    /// As [`Handle::apply`].
    pub fn start(config: Config) -> Result<(Self, Handle), Error> {
        let Config { broker, streams, kv, deliver, outboxes, system, clock, wanted } = config;
        let rows = Rows::new(kv, &system);
        let sender = watch::Sender::new(Arc::new(Wanted::default()));
        let laters = Laters::new(rows.clone(), clock);
        let outbox = Outbox::new(rows.clone());
        let board = Board::default();
        let topics = Topics {
            broker,
            wanted: sender.subscribe(),
            laters: laters.clone(),
            rows: rows.clone(),
            rules: topics::Rules::default(),
            board: board.clone(),
        };
        let jobs = Jobs::new(rows.clone(), clock, sender.subscribe(), outbox.clone());
        let fleet = Arc::new(Mutex::new(Fleet::default()));
        let handle = Handle(Arc::new(Inner {
            streams: Streams::new(streams, rows, sender.subscribe()),
            wanted: sender,
            tools: Tools { topics: topics.clone(), deliver, jobs: jobs.clone(), board },
            outboxes,
            clock,
            signals: Signals::default(),
            relays: Mutex::default(),
            outbox: outbox.clone(),
            trouble: Mutex::default(),
            last_open: AtomicU64::new(0),
            fleet: Arc::downgrade(&fleet),
        }));
        handle.apply(wanted)?;
        let mut tasks = TaskSet::new("events");
        let keeper = Keeper::new(Arc::clone(&handle.0), Arc::clone(&fleet));
        tasks.spawn("subscriptions", |stop| keeper.run(stop));
        let of_laters = topics.clone();
        tasks.spawn("delayed messages", |stop| laters.run(of_laters, stop));
        tasks.spawn("outbox", |stop| outbox.run(topics, stop));
        tasks.spawn("jobs", |stop| jobs.keep(stop));
        let inner = Arc::clone(&handle.0);
        tasks.spawn("broker", |stop| inner.look_after(stop));
        Ok((Self { tasks, fleet }, handle))
    }

    /// Ends it: nothing more is fetched, deliveries that are under way end within `grace` and are acknowledged. What does not end in
    /// time comes again.
    pub async fn shutdown(self, grace: Duration) {
        let sets = self.fleet.lock().unwrap_or_else(PoisonError::into_inner).close();
        let sets = join_all(sets.into_iter().map(|set| set.shutdown(grace)));
        join(self.tasks.shutdown(grace), sets).await;
    }
}

impl Handle {
    /// Takes over what a file asks for. Only what has changed is restarted; the rest is not touched. What it needs of the engines is done
    /// in the background, again and again until it is done.
    ///
    /// # Errors
    /// [`Error::Invalid`] names what is wrong; nothing has changed then.
    pub fn apply(&self, wanted: Wanted) -> Result<(), Error> {
        check(&wanted)?;
        self.0.wanted.send_replace(Arc::new(wanted));
        Ok(())
    }

    /// An instance of a service became ready: it is asked what it wants, if the file says so.
    pub fn service_ready(&self, service: &ServiceName) {
        self.0.signals.ask(service);
    }

    /// Topics.
    #[must_use]
    pub fn topics(&self) -> Topics {
        self.0.tools.topics.clone()
    }

    /// Jobs and schedules.
    #[must_use]
    pub fn jobs(&self) -> Jobs {
        self.0.tools.jobs.clone()
    }

    /// Streams of events.
    #[must_use]
    pub fn streams(&self) -> Streams {
        self.0.streams.clone()
    }

    /// Subscriptions whose messages this node pushes, those of connections among them; by topic and group.
    #[must_use]
    pub fn subscriptions(&self) -> Vec<SubscriptionStatus> {
        self.0.tools.board.statuses()
    }

    /// Outbox tables that this node relays.
    #[must_use]
    pub fn relays(&self) -> Vec<RelayStatus> {
        let relays = self.0.relays.lock().unwrap_or_else(PoisonError::into_inner);
        relays.iter().map(|gauge| gauge.status()).collect()
    }

    /// How the broker is; looked at every few seconds.
    #[must_use]
    pub fn broker(&self) -> BrokerStatus {
        let broker = &self.0.tools.topics.broker;
        let problem = self.0.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone();
        BrokerStatus {
            place: broker.place(),
            capabilities: broker.capabilities(),
            is_well: problem.is_none(),
            problem,
        }
    }

    /// Takes part in a group with a connection. The targets of its routes say nothing but their paths; without routes it takes
    /// everything.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a condition, [`Error::Missing`] for a topic that is not there and is not made by itself,
    /// [`Error::TooMany`], [`Error::Broker`], [`Error::Stopping`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn subscribe_open(&self, subscription: Subscription) -> Result<Open, Error> {
        let tools = &self.0.tools;
        runner::check(&subscription)?;
        tools.topics.there(&subscription.topic).await?;
        let number = self.0.last_open.fetch_add(1, Ordering::Relaxed);
        let room = usize::try_from(subscription.concurrency).unwrap_or(usize::MAX);
        let (line, receiver) = Line::new(number, room.min(ports::broker::BATCH_MAX));
        let line = Arc::new(line);
        let to = Some(Arc::clone(&line));
        let spec = Spec::new(&tools.topics, subscription, DeclaredBy::Connection, to)?;
        let runner = Runner::new(tools.clone(), spec);
        let fleet = self.0.fleet.upgrade().ok_or(Error::Stopping)?;
        fleet.lock().unwrap_or_else(PoisonError::into_inner).open(runner)?;
        Ok(Open { line, receiver })
    }

    /// What a transaction of the kv engine has to do so that these messages are published exactly when it is committed, in this
    /// order. Topics that are not there are made where that is allowed. At most [`crate::OUTBOX_MAX`] messages.
    ///
    /// # Errors
    /// [`Error::Missing`] for a topic, [`Error::Invalid`] for attributes that are none, [`Error::TooMany`].
    ///
    /// # Cancel safety
    /// Cancel safe: without the transaction nothing is published.
    pub async fn outbox(&self, messages: Vec<(TopicName, Event)>) -> Result<Vec<Operation>, Error> {
        let names: BTreeSet<TopicName> = messages.iter().map(|(topic, _)| topic.clone()).collect();
        let message = |(topic, event)| Ok((topic, topics::message(event, None)?));
        let messages = messages.into_iter().map(message).collect::<Result<Vec<_>, Error>>()?;
        for topic in names {
            self.0.tools.topics.there(&topic).await?;
        }
        self.0.outbox.rows(messages)
    }
}

impl Inner {
    /// Looks at the broker now and then, until it shall end.
    async fn look_after(self: Arc<Self>, mut stop: Stop) {
        // Any answer will do, also that there is no such topic.
        let runs = keeper::runs_topic();
        loop {
            let answer = self.tools.topics.broker.topic(&runs);
            let trouble = match tokio::time::timeout(LOOK_EVERY, answer).await {
                Ok(Ok(_) | Err(BrokerError::NoTopic(_))) => None,
                Ok(Err(error)) => Some(ErrorChain(&error).to_string()),
                Err(_) => Some(format!("it gave no answer within {LOOK_EVERY:?}")),
            };
            *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
            if tokio::time::timeout(LOOK_EVERY, stop.wait()).await.is_ok() {
                return;
            }
        }
    }
}

/// Checks all that can be wrong without asking an engine.
fn check(wanted: &Wanted) -> Result<(), Error> {
    for (name, topic) in &wanted.topics {
        topic
            .config
            .check()
            .map_err(|error| Error::Invalid(format!("topic `{name}`: {}", ErrorChain(&error))))?;
    }
    wanted.subscriptions.iter().try_for_each(runner::check)?;
    let mut names = BTreeSet::new();
    for schedule in &wanted.schedules {
        schedule.zone.as_deref().map_or(Ok(()), check_zone)?;
        let name = &schedule.name;
        if !names.insert(name) {
            return Err(Error::Invalid(format!("there are two schedules `{name}`")));
        }
    }
    let mut names = BTreeSet::new();
    for subscription in &wanted.streams {
        let name = &subscription.name;
        check_name(name)?;
        subscription.query.check()?;
        if !names.insert(name) {
            return Err(Error::Invalid(format!("there are two subscriptions to streams `{name}`")));
        }
    }
    for relay in &wanted.relays {
        let name = relay.topic.replace(crate::relay::PLACE_HOLDER, "x");
        TopicName::new(&name).map_err(|error| {
            Error::Invalid(format!("an outbox of `{}`: topic `{name}`: {error}", relay.service))
        })?;
    }
    Ok(())
}
