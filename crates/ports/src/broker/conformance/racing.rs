//! Clauses about many at the same time, with a ledger of what was published, delivered and done.

use super::{
    Task, World,
    kit::{
        Dice, LONG, LOOK, SHORT, Signal, from_start, group, ok, read_all, settle, status,
        subscribe, text, until, with_id, with_topic, within,
    },
};
use crate::broker::{Broker, Offset, Retry, Settle, TopicName};
use std::{
    collections::BTreeMap,
    future::pending,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

const PUBLISHERS: usize = 6;
const EACH: usize = 40;
const TOTAL: usize = PUBLISHERS * EACH;

/// What happened to each id.
#[derive(Debug, Default)]
struct Entry {
    offset: Option<Offset>,
    /// Deliveries and refusals, for each group.
    delivered: BTreeMap<&'static str, u32>,
    given_back: BTreeMap<&'static str, u32>,
    done: BTreeMap<&'static str, u32>,
}

type Ledger = Arc<Mutex<BTreeMap<String, Entry>>>;

fn lock(ledger: &Ledger) -> MutexGuard<'_, BTreeMap<String, Entry>> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

fn id(publisher: usize, number: usize) -> String {
    format!("p{publisher}.{number}")
}

/// Publishes every message twice.
fn publisher(broker: &Arc<dyn Broker>, topic: &TopicName, ledger: &Ledger, number: usize) -> Task {
    let (broker, topic, ledger) = (Arc::clone(broker), topic.clone(), Arc::clone(ledger));
    Box::pin(async move {
        for message in 0..EACH {
            let id = id(number, message);
            let twice = vec![with_id(&id, &id); 2];
            let published = ok(broker.publish(&topic, twice).await);
            assert_eq!(published[0].offset, published[1].offset);
            assert!(!published[0].duplicate && published[1].duplicate);
            lock(&ledger).entry(id).or_default().offset = Some(published[0].offset);
        }
    })
}

/// Nothing is lost, and nothing comes twice that was not given back.
pub async fn many_publish_and_take_and_nothing_is_lost(world: &dyn World) {
    let broker = world.open().await;
    let topic = with_topic(&*broker).await;
    let ledger = Ledger::default();
    let mut tasks: Vec<Task> = Vec::new();
    for name in ["one", "other"] {
        let done = Signal::default();
        for taker in 0..3 {
            let mut subscription = subscribe(&*broker, &topic, name, from_start(LONG)).await;
            let (broker, topic) = (Arc::clone(&broker), topic.clone());
            let (ledger, done) = (Arc::clone(&ledger), done.clone());
            tasks.push(Box::pin(async move {
                let mut dice = Dice(taker);
                while let Some(deliveries) = done.or(subscription.next(4)).await {
                    for delivery in ok(deliveries) {
                        let how = match dice.roll(6) {
                            0 => Settle::Nack(Duration::from_millis(20)),
                            1 => Settle::Nack(Duration::ZERO),
                            _ => Settle::Ack,
                        };
                        let is_last = {
                            let mut ledger = lock(&ledger);
                            let entry = ledger.entry(delivery.message.id.clone()).or_default();
                            *entry.delivered.entry(name).or_default() += 1;
                            let of = if how == Settle::Ack {
                                &mut entry.done
                            } else {
                                &mut entry.given_back
                            };
                            *of.entry(name).or_default() += 1;
                            ledger.values().filter(|it| it.done.contains_key(name)).count() == TOTAL
                        };
                        settle(&*broker, &topic, name, &[delivery], how).await;
                        if is_last {
                            done.set();
                        }
                    }
                }
            }));
        }
    }
    tasks.extend((0..PUBLISHERS).map(|number| publisher(&broker, &topic, &ledger, number)));
    world.together(tasks).await;
    let read = read_all(world, &*broker, &topic).await;
    assert_eq!((read.len(), lock(&ledger).len()), (TOTAL, TOTAL));
    for message in &read {
        let ledger = lock(&ledger);
        let entry = &ledger[&message.id];
        assert_eq!((entry.offset, text(message)), (Some(message.offset), message.id.clone()));
        for name in ["one", "other"] {
            let count = |of: &BTreeMap<&str, u32>| of.get(name).copied().unwrap_or_default();
            assert_eq!(count(&entry.done), 1, "{name}: {} {entry:?}", message.id);
            assert_eq!(count(&entry.delivered), 1 + count(&entry.given_back), "{entry:?}");
        }
    }
    for name in ["one", "other"] {
        until!(world, "all is settled", status(&*broker, &topic, name).await.lag == 0);
    }
}

/// The engine that is there at the moment.
struct Line {
    broker: Arc<dyn Broker>,
    /// Another one takes its place.
    is_replaced: Signal,
    /// Some time has passed.
    is_later: Signal,
}

#[derive(Clone)]
struct Current(Arc<Mutex<Line>>);

impl Current {
    fn new(broker: Arc<dyn Broker>) -> Self {
        let (is_replaced, is_later) = (Signal::default(), Signal::default());
        Self(Arc::new(Mutex::new(Line { broker, is_replaced, is_later })))
    }

    fn lock(&self) -> MutexGuard<'_, Line> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self) -> (Arc<dyn Broker>, Signal) {
        let line = self.lock();
        (Arc::clone(&line.broker), line.is_replaced.clone())
    }

    fn replace(&self, broker: Arc<dyn Broker>) {
        let mut line = self.lock();
        line.broker = broker;
        std::mem::take(&mut line.is_replaced).set();
    }

    fn tick(&self) {
        std::mem::take(&mut self.lock().is_later).set();
    }

    async fn later(&self) {
        let is_later = self.lock().is_later.clone();
        is_later.or(pending::<()>()).await;
    }
}

/// Publishes until every message is acknowledged, again when it was not told.
fn stubborn_publisher(
    current: &Current,
    topic: &TopicName,
    ledger: &Ledger,
    number: usize,
) -> Task {
    let (current, topic, ledger) = (current.clone(), topic.clone(), Arc::clone(ledger));
    Box::pin(async move {
        for message in 0..EACH {
            let id = id(number, message);
            let offset = loop {
                let (broker, is_replaced) = current.get();
                let call = broker.publish(&topic, vec![with_id(&id, &id)]);
                match is_replaced.or(call).await {
                    Some(Ok(published)) => break published[0].offset,
                    Some(Err(error)) => {
                        assert_ne!(error.retry(), Retry::Never, "{error:?}");
                        current.later().await;
                    }
                    None => {}
                }
            };
            lock(&ledger).entry(id).or_default().offset = Some(offset);
        }
    })
}

/// Takes and acknowledges until everything was seen by somebody.
fn stubborn_taker(current: &Current, topic: &TopicName, ledger: &Ledger, done: &Signal) -> Task {
    let (current, topic) = (current.clone(), topic.clone());
    let (ledger, done) = (Arc::clone(ledger), done.clone());
    Box::pin(async move {
        let work = async {
            loop {
                let (broker, is_replaced) = current.get();
                let name = group("g");
                let call = broker.subscribe(&topic, &name, from_start(SHORT));
                let Some(Ok(mut subscription)) = is_replaced.or(call).await else {
                    current.later().await;
                    continue;
                };
                while let Some(Ok(deliveries)) = is_replaced.or(subscription.next(5)).await {
                    let receipts = deliveries.iter().map(|it| (it.receipt.clone(), Settle::Ack));
                    let call = broker.settle(&topic, &name, receipts.collect());
                    // Not answered: it comes again.
                    let _ = is_replaced.or(call).await;
                    let mut ledger = lock(&ledger);
                    for delivery in deliveries {
                        let entry = ledger.entry(delivery.message.id).or_default();
                        *entry.delivered.entry("g").or_default() += 1;
                    }
                    if ledger.values().filter(|it| !it.delivered.is_empty()).count() == TOTAL {
                        done.set();
                    }
                }
            }
        };
        let ended: Option<()> = done.or(work).await;
        assert_eq!(ended, None);
    })
}

/// An engine that is killed while everybody works keeps what it acknowledged, and takes nothing twice.
pub async fn nothing_is_lost_over_restarts_under_load(world: &dyn World) {
    let broker = world.open().await;
    let topic = with_topic(&*broker).await;
    let Some(broker) = world.restart().await else { return };
    let (ledger, done) = (Ledger::default(), Signal::default());
    let current = Current::new(broker);
    let mut tasks: Vec<Task> = Vec::new();
    for number in 0..PUBLISHERS {
        tasks.push(stubborn_publisher(&current, &topic, &ledger, number));
    }
    for _ in 0..3 {
        tasks.push(stubborn_taker(&current, &topic, &ledger, &done));
    }
    let start = world.now();
    let mut together = pin!(world.together(tasks));
    let mut restarts = 0;
    while within(world, LOOK / 4, &mut together).await.is_none() {
        let count = lock(&ledger).values().filter(|it| it.offset.is_some()).count();
        assert!(world.now() - start < super::PATIENCE * 5, "{count} of {TOTAL} are published");
        if restarts < 3 && count >= (restarts + 1) * TOTAL / 4 {
            restarts += 1;
            current.replace(world.restart().await.expect("it was restarted before"));
        }
        current.tick();
    }
    let (broker, _) = current.get();
    let read = read_all(world, &*broker, &topic).await;
    let ledger = lock(&ledger);
    let ids: BTreeMap<&str, Offset> =
        read.iter().map(|message| (message.id.as_str(), message.offset)).collect();
    assert_eq!((read.len(), ids.len()), (TOTAL, TOTAL), "each id once");
    for (id, entry) in &*ledger {
        assert_eq!(entry.offset, ids.get(id.as_str()).copied(), "{id}");
        assert!(entry.delivered.contains_key("g"), "{id} was never delivered");
    }
}
