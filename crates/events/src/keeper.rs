//! Makes what runs what is wanted: compares, starts what is missing, ends what is not wanted any more.

mod signals;

pub(crate) use signals::Signals;

use crate::{
    DeclaredBy, Error, Relay, StreamSubscription, Subscription, Target, Wanted, jobs, kept,
    pause::Pause,
    relay::{RelayGauge, Task},
    runner::{Runner, Spec},
    service::{Inner, OPEN_MAX},
    status::Place,
    streams::Follower,
};
use base::{ErrorChain, ServiceName};
use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use ports::broker::{TopicConfig, TopicName};
use runtime::{Stop, TaskSet};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tracing::warn;

/// How long what is not wanted any more may take to end.
const END_GRACE: Duration = Duration::from_secs(60);

/// How often it is looked for what nobody tells: that another node needs runs delivered, that connections are gone.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How long engines may take to make topics and schedules what the file says, before it is looked whether that still is so.
const ENGINES_WAIT: Duration = Duration::from_secs(20);

/// How long an app may take to say what it wants.
const ASK_WAIT: Duration = Duration::from_secs(30);

/// Most subscriptions of one app.
const DECLARED_MAX: usize = 1_000;

/// The topic of runs.
pub(crate) fn runs_topic() -> TopicName {
    kept::topic(jobs::TOPIC)
}

/// All that runs for what is wanted.
#[derive(Debug, Default)]
pub(crate) struct Fleet {
    runners: Vec<Running>,
    runs: Option<TaskSet>,
    streams: Vec<(StreamSubscription, TaskSet)>,
    relays: Vec<(Relay, Arc<RelayGauge>, TaskSet)>,
    open: Vec<TaskSet>,
    ending: Vec<TaskSet>,
    is_closed: bool,
}

/// A subscription and what runs for it.
#[derive(Debug)]
struct Running {
    asked: Asked,
    /// `None`: it cannot run, which its place on the board says.
    tasks: Option<TaskSet>,
    _place: Option<Place>,
}

/// All that makes a runner another one.
#[derive(Clone, Debug, PartialEq)]
struct Asked {
    subscription: Subscription,
    from: DeclaredBy,
    rules: Option<crate::Topic>,
}

impl Fleet {
    /// Takes everything that runs; nothing more is started.
    pub(crate) fn close(&mut self) -> Vec<TaskSet> {
        self.is_closed = true;
        let runners = self.runners.drain(..).filter_map(|running| running.tasks);
        let streams = self.streams.drain(..).map(|(_, tasks)| tasks);
        let relays = self.relays.drain(..).map(|(_, _, tasks)| tasks);
        let rest = self.runs.take().into_iter().chain(self.open.drain(..));
        runners.chain(streams).chain(relays).chain(rest).chain(self.ending.drain(..)).collect()
    }

    /// Runs a subscription of a connection.
    pub(crate) fn open(&mut self, runner: Runner) -> Result<(), Error> {
        if self.is_closed {
            return Err(Error::Stopping);
        }
        self.open.retain_mut(|tasks| tasks.count() > 0);
        let (count, limit) = (self.open.len() + 1, OPEN_MAX);
        if count > limit {
            return Err(Error::TooMany { what: "connections with subscriptions", count, limit });
        }
        let mut tasks = TaskSet::new("connection");
        tasks.spawn("runner", |stop| runner.run(stop));
        self.open.push(tasks);
        Ok(())
    }

    /// Lets something end without waiting for it.
    fn end(&mut self, tasks: TaskSet) {
        let mut ending = TaskSet::new("ending");
        ending.spawn("ending", |_| async move {
            tasks.shutdown(END_GRACE).await;
        });
        self.ending.retain_mut(|tasks| tasks.count() > 0);
        self.ending.push(ending);
    }
}

/// What a service answered.
type Answer = (ServiceName, Option<Vec<Subscription>>);

/// Keeps what runs in step with what is wanted.
pub(crate) struct Keeper {
    inner: Arc<Inner>,
    fleet: Arc<Mutex<Fleet>>,
    /// What services have said that they want.
    declared: BTreeMap<ServiceName, Vec<Subscription>>,
    /// Who was asked since it is wanted.
    asked: BTreeSet<ServiceName>,
    asking: FuturesUnordered<BoxFuture<'static, Answer>>,
    under_way: BTreeSet<ServiceName>,
    /// Topics that are as the file says.
    ensured: BTreeMap<TopicName, TopicConfig>,
    /// Of which file the schedules are kept.
    scheduled: Option<Arc<Wanted>>,
}

impl Keeper {
    pub(crate) fn new(inner: Arc<Inner>, fleet: Arc<Mutex<Fleet>>) -> Self {
        Self {
            inner,
            fleet,
            declared: BTreeMap::new(),
            asked: BTreeSet::new(),
            asking: FuturesUnordered::new(),
            under_way: BTreeSet::new(),
            ensured: BTreeMap::new(),
            scheduled: None,
        }
    }

    pub(crate) async fn run(mut self, mut stop: Stop) {
        let inner = Arc::clone(&self.inner);
        let (mut changes, mut pause) = (inner.wanted.subscribe(), Pause::default());
        let mut needed = inner.tools.jobs.needed();
        loop {
            let wanted = Arc::clone(&changes.borrow_and_update());
            needed.mark_unchanged();
            self.ask(&wanted);
            self.compare(&wanted);
            let engines = tokio::select! {
                engines = tokio::time::timeout(ENGINES_WAIT, self.engines(&wanted)) => {
                    let late = |_| Error::Invalid("an engine gives no answer".to_owned());
                    engines.unwrap_or_else(|elapsed| Err(late(elapsed)))
                }
                () = stop.wait() => return,
            };
            let wait = async {
                match &engines {
                    Ok(()) => {
                        pause.reset();
                        tokio::time::sleep(LOOK_EVERY).await;
                    }
                    Err(error) => {
                        warn!(error = %ErrorChain(error), "topics and schedules are not yet as the file says");
                        pause.wait().await;
                    }
                }
            };
            tokio::select! {
                () = wait => {}
                _ = changes.changed() => {}
                _ = needed.changed() => {}
                () = inner.signals.raised() => {}
                Some(answer) = self.asking.next(), if !self.asking.is_empty() => self.answered(answer),
                () = stop.wait() => return,
            }
        }
    }

    fn fleet(&self) -> MutexGuard<'_, Fleet> {
        self.fleet.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks services what they want: once, and whenever one becomes ready. Who is being asked is asked again when the answer
    /// has come, because it may be that of an instance that has ended since.
    fn ask(&mut self, wanted: &Wanted) {
        let known: BTreeSet<&ServiceName> = wanted.ask.iter().collect();
        self.declared.retain(|service, _| known.contains(service));
        self.asked.retain(|service| known.contains(service));
        let mut ask = self.inner.signals.taken(&self.under_way);
        ask.retain(|service| known.contains(service));
        ask.extend(known.into_iter().filter(|it| !self.asked.contains(*it)).cloned());
        for service in ask {
            self.asked.insert(service.clone());
            // It was left out of the file and is back: what it answers goes for both.
            if !self.under_way.insert(service.clone()) {
                continue;
            }
            let inner = Arc::clone(&self.inner);
            self.asking.push(Box::pin(async move {
                let deliver = &inner.tools.deliver;
                deliver.ready(&Target::post(service.clone(), "/")).await;
                inner.signals.is_asked(&service);
                let declared = deliver.declared(&service);
                let declared = tokio::time::timeout(ASK_WAIT, declared).await.ok();
                (service, declared)
            }));
        }
    }

    fn answered(&mut self, (service, declared): Answer) {
        self.under_way.remove(&service);
        if declared.is_none() {
            self.inner.signals.ask(&service);
        }
        let Some(mut declared) = declared else { return };
        if declared.len() > DECLARED_MAX {
            warn!(%service, count = declared.len(), limit = DECLARED_MAX, "an app wants too much");
            declared.truncate(DECLARED_MAX);
        }
        self.declared.insert(service, declared);
    }

    /// Starts and ends; waits for nothing.
    fn compare(&self, wanted: &Wanted) {
        let mut fleet = self.fleet();
        if fleet.is_closed {
            return;
        }
        self.compare_runners(&mut fleet, wanted);
        self.compare_streams(&mut fleet, wanted);
        self.compare_relays(&mut fleet, wanted);
        if fleet.runs.is_none() && *self.inner.tools.jobs.needed().borrow() {
            let runner = Runner::new(self.inner.tools.clone(), Spec::of_runs());
            let mut tasks = TaskSet::new("runs");
            tasks.spawn("runner", |stop| runner.run(stop));
            fleet.runs = Some(tasks);
        }
        fleet.open.retain_mut(|tasks| tasks.count() > 0);
        fleet.ending.retain_mut(|tasks| tasks.count() > 0);
    }

    fn compare_runners(&self, fleet: &mut Fleet, wanted: &Wanted) {
        let mut before = std::mem::take(&mut fleet.runners);
        for asked in self.asked_for(wanted) {
            let running = match before.iter().position(|running| running.asked == asked) {
                Some(at) => before.swap_remove(at),
                None => self.start(asked),
            };
            fleet.runners.push(running);
        }
        for running in before {
            running.tasks.into_iter().for_each(|tasks| fleet.end(tasks));
        }
    }

    /// What the file and the apps ask for. What the file says of a service's topic and group counts, whatever the app says.
    fn asked_for(&self, wanted: &Wanted) -> Vec<Asked> {
        let asked = |subscription: &Subscription, from| Asked {
            subscription: subscription.clone(),
            from,
            rules: wanted.topics.get(&subscription.topic).cloned(),
        };
        let of_file = wanted.subscriptions.iter();
        let mut all: Vec<Asked> = of_file.map(|it| asked(it, DeclaredBy::File)).collect();
        for (service, declared) in &self.declared {
            for subscription in declared {
                let is_said = wanted.subscriptions.iter().any(|it| {
                    it.topic == subscription.topic
                        && it.group == subscription.group
                        && it.routes.iter().any(|route| route.to.service() == Some(service))
                });
                if !is_said {
                    all.push(asked(subscription, DeclaredBy::App));
                }
            }
        }
        all
    }

    fn start(&self, asked: Asked) -> Running {
        let tools = &self.inner.tools;
        match Spec::new(&tools.topics, asked.subscription.clone(), asked.from, None) {
            Ok(spec) => {
                let runner = Runner::new(tools.clone(), spec);
                let mut tasks = TaskSet::new("subscription");
                tasks.spawn("runner", |stop| runner.run(stop));
                Running { asked, tasks: Some(tasks), _place: None }
            }
            Err(error) => {
                let error = ErrorChain(&error).to_string();
                warn!(error, "a subscription that an app asks for cannot run");
                let mut without = asked.subscription.clone();
                without.routes.iter_mut().for_each(|route| route.when = None);
                let place = Spec::new(&tools.topics, without, asked.from, None).ok();
                let place = place.map(|spec| tools.board.put(spec.status()));
                place.iter().for_each(|place| place.gauge.pause(Some(error.clone())));
                Running { asked, tasks: None, _place: place }
            }
        }
    }

    fn compare_streams(&self, fleet: &mut Fleet, wanted: &Wanted) {
        let mut before = std::mem::take(&mut fleet.streams);
        let gauges = &self.inner.streams.gauges;
        gauges.retain(|name| wanted.streams.iter().any(|it| it.name == name));
        for subscription in &wanted.streams {
            if let Some(at) = before.iter().position(|(known, _)| known == subscription) {
                fleet.streams.push(before.swap_remove(at));
                continue;
            }
            let follower = Follower {
                streams: self.inner.streams.clone(),
                topics: self.inner.tools.topics.clone(),
                deliver: Arc::clone(&self.inner.tools.deliver),
                subscription: subscription.clone(),
                gauge: gauges.put(&subscription.name),
            };
            let mut tasks = TaskSet::new("streams");
            // Two would be in each other's way, and the order lost.
            let ended = before.iter().position(|(known, _)| known.name == subscription.name);
            let ended = ended.map(|at| before.swap_remove(at).1);
            tasks.spawn("subscription", |stop| async move {
                if let Some(ended) = ended {
                    ended.shutdown(END_GRACE).await;
                }
                follower.run(stop).await;
            });
            fleet.streams.push((subscription.clone(), tasks));
        }
        before.into_iter().for_each(|(_, tasks)| fleet.end(tasks));
    }

    fn compare_relays(&self, fleet: &mut Fleet, wanted: &Wanted) {
        let mut before = std::mem::take(&mut fleet.relays);
        for relay in &wanted.relays {
            if let Some(at) = before.iter().position(|(known, ..)| known == relay) {
                fleet.relays.push(before.swap_remove(at));
                continue;
            }
            let gauge = Arc::new(RelayGauge::new(relay));
            let mut tasks = TaskSet::new("relay");
            let (topics, outboxes) =
                (self.inner.tools.topics.clone(), Arc::clone(&self.inner.outboxes));
            let (clock, deliver) = (self.inner.clock, Arc::clone(&self.inner.tools.deliver));
            let (relay_of_task, shown) = (relay.clone(), Arc::clone(&gauge));
            let task =
                Task { topics, outboxes, deliver, relay: relay_of_task, gauge: shown, clock };
            tasks.spawn("relay", |stop| task.run(stop));
            fleet.relays.push((relay.clone(), gauge, tasks));
        }
        let gauges = fleet.relays.iter().map(|(_, gauge, _)| Arc::clone(gauge)).collect();
        *self.inner.relays.lock().unwrap_or_else(PoisonError::into_inner) = gauges;
        before.into_iter().for_each(|(_, _, tasks)| fleet.end(tasks));
    }

    /// Makes topics and schedules what the file says.
    async fn engines(&mut self, wanted: &Arc<Wanted>) -> Result<(), Error> {
        let (broker, jobs) = (&self.inner.tools.topics.broker, &self.inner.tools.jobs);
        self.ensured.retain(|name, _| wanted.topics.contains_key(name));
        for (name, topic) in &wanted.topics {
            if self.ensured.get(name) != Some(&topic.config) {
                broker.ensure_topic(name, topic.config).await?;
                self.ensured.insert(name.clone(), topic.config);
            }
        }
        if !self.scheduled.as_ref().is_some_and(|known| Arc::ptr_eq(known, wanted)) {
            jobs.keep_schedules().await?;
            self.scheduled = Some(Arc::clone(wanted));
        }
        if !*jobs.needed().borrow() && broker.topic(&runs_topic()).await.is_ok() {
            jobs.need();
        }
        Ok(())
    }
}
