//! Clauses about the order of messages with the same key.

use super::{
    Task, World,
    kit::{
        Dice, LONG, SHORT, Signal, drain_all, from_start, keyed, message, ok, patiently, publish,
        settle, status, subscribe, take, take_one, text, texts, with_topic, within,
    },
};
use crate::broker::{Broker, Delivery, GroupConfig, Order, Settle, TopicName};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

fn in_order(ack_wait: Duration) -> GroupConfig {
    GroupConfig { order: Order::Key, ..from_start(ack_wait) }
}

/// Publishes messages `key number`, one after the other.
async fn publish_keyed(broker: &dyn Broker, topic: &TopicName, texts: &[&str]) {
    for text in texts {
        let (key, _) = text.split_once(' ').expect("it has a key and a number");
        publish(broker, topic, keyed(key, text)).await;
    }
}

/// The second of a key comes when the first is settled; other keys do not wait for that, as far as the engine offers it.
pub async fn a_key_waits_for_its_message_and_others_go_on(world: &dyn World) {
    let broker = &*world.open().await;
    let topic = with_topic(broker).await;
    publish_keyed(broker, &topic, &["a 1", "a 2", "b 1", "a 3", "c 1", "b 2"]).await;
    let mut one = subscribe(broker, &topic, "g", in_order(LONG)).await;
    if !broker.capabilities().parallel_keys {
        let mut held = take_one(world, &mut *one).await;
        for expected in ["a 1", "a 2", "b 1", "a 3", "c 1"] {
            assert_eq!(text(&held.message), expected);
            let mut next = one.next(10);
            let more = within(world, Duration::from_millis(300), &mut next).await;
            assert!(more.is_none(), "one at a time: {more:?}");
            settle(broker, &topic, "g", &[held], Settle::Ack).await;
            held = ok(patiently(world, "the next one", next).await).remove(0);
        }
        assert_eq!(text(&held.message), "b 2");
        return;
    }
    let mut other = subscribe(broker, &topic, "g", in_order(LONG)).await;
    let mut held: BTreeMap<String, Delivery> = BTreeMap::new();
    let mut deliveries = take(world, &mut *one, 1).await;
    deliveries.extend(take(world, &mut *other, 1).await);
    deliveries.extend(take(world, &mut *one, 1).await);
    for delivery in deliveries {
        held.insert(text(&delivery.message), delivery);
    }
    assert_eq!(held.keys().collect::<Vec<_>>(), ["a 1", "b 1", "c 1"]);
    for (done, next_text) in [("b 1", "b 2"), ("a 1", "a 2"), ("a 2", "a 3")] {
        let mut next = other.next(10);
        let more = within(world, Duration::from_millis(300), &mut next).await;
        assert!(more.is_none(), "its key is in flight: {more:?}");
        settle(broker, &topic, "g", &[held[done].clone()], Settle::Ack).await;
        let more = ok(patiently(world, next_text, next).await);
        assert_eq!(texts(&more), [next_text]);
        held.insert(next_text.to_owned(), more[0].clone());
    }
    let rest = ["a 3", "b 2", "c 1"].map(|text| held[text].clone());
    settle(broker, &topic, "g", &rest, Settle::Ack).await;
    assert_eq!(drain_all(world, broker, (&topic, "g"), &mut *one).await, []);
}

/// Given back, or not settled in time: the others of its key wait for it.
pub async fn a_key_keeps_its_order_when_a_message_comes_again(world: &dyn World) {
    let broker = &*world.open().await;
    let topic = with_topic(broker).await;
    publish_keyed(broker, &topic, &["a 1", "b 1", "a 2", "b 2", "a 3", "b 3"]).await;
    let mut subscription = subscribe(broker, &topic, "g", in_order(SHORT)).await;
    let mut done: BTreeMap<char, Vec<String>> = BTreeMap::new();
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    while done.values().map(Vec::len).sum::<usize>() < 6 {
        let next = subscription.next(10);
        let deliveries = ok(patiently(world, "the next of a key", next).await);
        for delivery in deliveries {
            let text = text(&delivery.message);
            let key = text.chars().next().unwrap_or_default();
            let done = done.entry(key).or_default();
            if done.contains(&text) {
                // A machine that stood still: it came again before it was settled.
                settle(broker, &topic, "g", &[delivery], Settle::Ack).await;
                continue;
            }
            assert_eq!(text, format!("{key} {}", done.len() + 1));
            let times = seen.entry(text.clone()).or_default();
            *times += 1;
            match (*times, text.as_str()) {
                (1, "a 2") => {
                    let pause = Settle::Nack(Duration::from_millis(300));
                    settle(broker, &topic, "g", &[delivery], pause).await;
                }
                // Nobody settles it.
                (1, "a 1" | "b 2") => {}
                _ => {
                    settle(broker, &topic, "g", &[delivery], Settle::Ack).await;
                    done.push(text);
                }
            }
        }
    }
    assert!(seen["a 1"] > 1 && seen["a 2"] > 1 && seen["b 2"] > 1, "{seen:?}");
}

/// Nor are they held up, where keys are delivered at the same time.
pub async fn messages_without_a_key_hold_up_nothing(world: &dyn World) {
    let broker = &*world.open().await;
    if !broker.capabilities().parallel_keys {
        return;
    }
    let topic = with_topic(broker).await;
    publish(broker, &topic, message("none 1")).await;
    publish_keyed(broker, &topic, &["a 1", "a 2"]).await;
    publish(broker, &topic, message("none 2")).await;
    // A key of no bytes is a key.
    publish(broker, &topic, keyed("", "empty 1")).await;
    publish(broker, &topic, keyed("", "empty 2")).await;
    let mut subscription = subscribe(broker, &topic, "g", in_order(LONG)).await;
    let deliveries = take(world, &mut *subscription, 4).await;
    let mut found = texts(&deliveries);
    found.sort();
    assert_eq!(found, ["a 1", "empty 1", "none 1", "none 2"]);
    settle(broker, &topic, "g", &deliveries, Settle::Ack).await;
    let mut found = texts(&take(world, &mut *subscription, 2).await);
    found.sort();
    assert_eq!(found, ["a 2", "empty 2"]);
}

/// What was delivered and done of each key.
#[derive(Default)]
struct Ledger {
    /// How many of each key are done.
    done: BTreeMap<String, u32>,
    in_flight: BTreeSet<String>,
    total: u32,
}

impl Ledger {
    /// Of each key one is delivered at a time, and it is the next one.
    fn deliver(&mut self, delivery: &Delivery) {
        let text = text(&delivery.message);
        let (key, number) = text.split_once(' ').expect("it has a key and a number");
        let done = self.done.get(key).copied().unwrap_or_default();
        assert_eq!(number, done.to_string(), "of {key} after attempt {}", delivery.attempt);
        assert!(self.in_flight.insert(key.to_owned()), "two of {key} are in flight");
    }

    /// It is about to be settled: from now on the next one may come.
    fn settle(&mut self, delivery: &Delivery, is_done: bool) {
        let text = text(&delivery.message);
        let (key, _) = text.split_once(' ').expect("it has a key and a number");
        self.in_flight.remove(key);
        if is_done {
            *self.done.entry(key.to_owned()).or_default() += 1;
            self.total += 1;
        }
    }
}

/// Several subscriptions, some of which give back what they got.
pub async fn keys_stay_in_order_while_many_take(world: &dyn World) {
    const KEYS: u32 = 8;
    const EACH: u32 = 25;
    let broker = world.open().await;
    let topic = with_topic(&*broker).await;
    let ledger: Arc<Mutex<Ledger>> = Arc::default();
    let done = Signal::default();
    let mut tasks: Vec<Task> = Vec::new();
    for taker in 0..4 {
        let mut subscription = subscribe(&*broker, &topic, "g", in_order(LONG)).await;
        let (broker, topic) = (Arc::clone(&broker), topic.clone());
        let (ledger, done) = (Arc::clone(&ledger), done.clone());
        tasks.push(Box::pin(async move {
            let mut dice = Dice(taker);
            while let Some(deliveries) = done.or(subscription.next(3)).await {
                let deliveries = ok(deliveries);
                {
                    let mut ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
                    deliveries.iter().for_each(|delivery| ledger.deliver(delivery));
                }
                for delivery in deliveries {
                    let is_done = dice.roll(5) > 0;
                    let how = match dice.roll(2) {
                        _ if is_done => Settle::Ack,
                        0 => Settle::Nack(Duration::ZERO),
                        _ => Settle::Nack(Duration::from_millis(20)),
                    };
                    let total = {
                        let mut ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
                        ledger.settle(&delivery, is_done);
                        ledger.total
                    };
                    settle(&*broker, &topic, "g", &[delivery], how).await;
                    if total == KEYS * EACH {
                        done.set();
                    }
                }
            }
        }));
    }
    let publisher = (Arc::clone(&broker), topic.clone());
    tasks.push(Box::pin(async move {
        for number in 0..EACH {
            let of = |key: u32| keyed(&format!("k{key}"), &format!("k{key} {number}"));
            ok(publisher.0.publish(&publisher.1, (0..KEYS).map(of).collect()).await);
        }
    }));
    world.together(tasks).await;
    super::kit::until!(world, "all is settled", status(&*broker, &topic, "g").await.lag == 0);
}
