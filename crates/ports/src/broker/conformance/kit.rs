//! What clauses are written with.

use super::{PATIENCE, World};
use crate::broker::{
    Broker, Delivery, Error, GroupConfig, GroupName, GroupStatus, Message, NewMessage, Offset,
    Published, Reader, Settle, Start, Subscription, TopicConfig, TopicName,
};
use bytes::Bytes;
use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Poll, Waker},
    time::Duration,
};

/// How long a clause lets time pass between two looks at something that ends by time.
pub(super) const LOOK: Duration = Duration::from_millis(100);

/// An `ack_wait` that is waited for. With [`LONG`] it is never over while a clause runs.
pub(super) const SHORT: Duration = Duration::from_secs(1);

/// An `ack_wait` that does not end before its clause.
pub(super) const LONG: Duration = Duration::from_secs(3_600);

/// Looks, as time passes, until something is so.
macro_rules! until {
    ($world:expr, $what:expr, $is:expr) => {{
        let start = $world.now();
        while !$is {
            let waited = $world.now() - start;
            assert!(waited < $crate::broker::conformance::PATIENCE, "still not so: {}", $what);
            $world.pass($crate::broker::conformance::kit::LOOK).await;
        }
    }};
}
pub(super) use until;

/// What a call gave.
#[track_caller]
pub(super) fn ok<T>(result: Result<T, Error>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("the engine answers: {error:?}"),
    }
}

pub(super) fn topic(name: &str) -> TopicName {
    TopicName::new(name).expect("it is a name")
}

pub(super) fn group(name: &str) -> GroupName {
    GroupName::new(name).expect("it is a name")
}

/// A topic `t` with the settings of the port.
pub(super) async fn with_topic(broker: &dyn Broker) -> TopicName {
    let topic = topic("t");
    ok(broker.ensure_topic(&topic, TopicConfig::default()).await);
    topic
}

/// A group that begins with the oldest message, and settles for this long.
pub(super) fn from_start(ack_wait: Duration) -> GroupConfig {
    GroupConfig { start: Start::Beginning, ack_wait, ..GroupConfig::default() }
}

pub(super) async fn subscribe(
    broker: &dyn Broker,
    topic: &TopicName,
    name: &str,
    config: GroupConfig,
) -> Box<dyn Subscription> {
    ok(broker.subscribe(topic, &group(name), config).await)
}

pub(super) fn message(payload: &str) -> NewMessage {
    NewMessage::new(payload.as_bytes().to_vec())
}

pub(super) fn keyed(key: &str, payload: &str) -> NewMessage {
    NewMessage { key: Some(Bytes::copy_from_slice(key.as_bytes())), ..message(payload) }
}

pub(super) fn with_id(id: &str, payload: &str) -> NewMessage {
    NewMessage { id: Some(id.to_owned()), ..message(payload) }
}

/// Publishes one message.
pub(super) async fn publish(
    broker: &dyn Broker,
    topic: &TopicName,
    message: NewMessage,
) -> Published {
    let published = ok(broker.publish(topic, vec![message]).await);
    assert_eq!(published.len(), 1, "one answer for each");
    published[0]
}

/// Publishes messages of this text, in one batch, and answers their offsets.
pub(super) async fn publish_all(
    broker: &dyn Broker,
    topic: &TopicName,
    payloads: &[&str],
) -> Vec<Offset> {
    let messages = payloads.iter().map(|payload| message(payload)).collect();
    let published = ok(broker.publish(topic, messages).await);
    published.iter().map(|published| published.offset).collect()
}

pub(super) fn numbers(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

pub(super) fn as_strs(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

pub(super) fn text(message: &Message) -> String {
    String::from_utf8_lossy(&message.payload).into_owned()
}

pub(super) fn texts(deliveries: &[Delivery]) -> Vec<String> {
    deliveries.iter().map(|delivery| text(&delivery.message)).collect()
}

/// Waits for `future` until `time` has passed.
pub(super) async fn within<T>(
    world: &dyn World,
    time: Duration,
    future: impl Future<Output = T>,
) -> Option<T> {
    let mut future = pin!(future);
    let start = world.now();
    loop {
        let polled = poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await;
        if let Poll::Ready(value) = polled {
            return Some(value);
        }
        if world.now() - start >= time {
            return None;
        }
        let mut pass = world.pass(LOOK.min(time));
        let either = |context: &mut std::task::Context<'_>| match future.as_mut().poll(context) {
            Poll::Ready(value) => Poll::Ready(Some(value)),
            Poll::Pending => pass.as_mut().poll(context).map(|()| None),
        };
        if let Some(value) = poll_fn(either).await {
            return Some(value);
        }
    }
}

/// Waits for `future`, which must come.
pub(super) async fn patiently<T>(
    world: &dyn World,
    what: &str,
    future: impl Future<Output = T>,
) -> T {
    match within(world, PATIENCE, future).await {
        Some(value) => value,
        None => panic!("it never came: {what}"),
    }
}

/// The next `count` messages of a reader.
pub(super) async fn read(world: &dyn World, reader: &mut dyn Reader, count: usize) -> Vec<Message> {
    let mut messages = Vec::new();
    while messages.len() < count {
        let what = format!("message {} of {count}", messages.len() + 1);
        let more = ok(patiently(world, &what, reader.next(count - messages.len())).await);
        assert!(!more.is_empty() && messages.len() + more.len() <= count, "{more:?}");
        messages.extend(more);
    }
    messages
}

/// All that a topic holds, from its beginning.
pub(super) async fn read_all(
    world: &dyn World,
    broker: &dyn Broker,
    topic: &TopicName,
) -> Vec<Message> {
    let count = ok(broker.topic(topic).await).messages;
    let mut reader = ok(broker.read(topic, Start::Beginning).await);
    read(world, &mut *reader, usize::try_from(count).unwrap_or(usize::MAX)).await
}

/// The next `count` deliveries of a subscription.
pub(super) async fn take(
    world: &dyn World,
    subscription: &mut dyn Subscription,
    count: usize,
) -> Vec<Delivery> {
    let mut deliveries = Vec::new();
    while deliveries.len() < count {
        let what = format!("delivery {} of {count}", deliveries.len() + 1);
        let next = subscription.next(count - deliveries.len());
        let more = ok(patiently(world, &what, next).await);
        assert!(!more.is_empty() && deliveries.len() + more.len() <= count, "{more:?}");
        deliveries.extend(more);
    }
    deliveries
}

/// The next delivery of a subscription.
pub(super) async fn take_one(world: &dyn World, subscription: &mut dyn Subscription) -> Delivery {
    let mut deliveries = take(world, subscription, 1).await;
    deliveries.pop().expect("one was taken")
}

pub(super) async fn settle(
    broker: &dyn Broker,
    topic: &TopicName,
    name: &str,
    deliveries: &[Delivery],
    how: Settle,
) {
    let receipts = deliveries.iter().map(|delivery| (delivery.receipt.clone(), how)).collect();
    ok(broker.settle(topic, &group(name), receipts).await);
}

/// Takes and acknowledges until `count` different messages were seen, and gives them in that order, each once.
pub(super) async fn drain(
    world: &dyn World,
    broker: &dyn Broker,
    (topic, name): (&TopicName, &str),
    subscription: &mut dyn Subscription,
    count: usize,
) -> Vec<Message> {
    let mut seen: Vec<Message> = Vec::new();
    while seen.len() < count {
        let what = format!("message {} of {count}", seen.len() + 1);
        let deliveries = ok(patiently(world, &what, subscription.next(count)).await);
        settle(broker, topic, name, &deliveries, Settle::Ack).await;
        for Delivery { message, .. } in deliveries {
            if seen.iter().all(|other| other.offset != message.offset) {
                seen.push(message);
            }
        }
    }
    seen
}

/// Takes and acknowledges until nothing is left, and gives what was seen, in that order, each message once.
pub(super) async fn drain_all(
    world: &dyn World,
    broker: &dyn Broker,
    (topic, name): (&TopicName, &str),
    subscription: &mut dyn Subscription,
) -> Vec<Message> {
    let mut seen: Vec<Message> = Vec::new();
    loop {
        let mut next = subscription.next(100);
        let start = world.now();
        let deliveries = loop {
            if let Some(deliveries) = within(world, LOOK, &mut next).await {
                break ok(deliveries);
            }
            let left = status(broker, topic, name).await;
            if left.lag == 0 {
                return seen;
            }
            assert!(world.now() - start < PATIENCE, "nothing comes: {left:?}");
        };
        settle(broker, topic, name, &deliveries, Settle::Ack).await;
        for Delivery { message, .. } in deliveries {
            if seen.iter().all(|other| other.offset != message.offset) {
                seen.push(message);
            }
        }
    }
}

/// What a group tells of itself.
pub(super) async fn status(broker: &dyn Broker, topic: &TopicName, name: &str) -> GroupStatus {
    let groups = ok(broker.groups(topic).await);
    let found = groups.into_iter().find(|status| status.name == group(name));
    found.unwrap_or_else(|| panic!("there is no group `{name}`"))
}

/// Something that happens once, to whoever waits for it.
#[derive(Clone, Default)]
pub(super) struct Signal(Arc<Mutex<(bool, Vec<Waker>)>>);

impl Signal {
    pub(super) fn set(&self) {
        let wakers = {
            let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            inner.0 = true;
            std::mem::take(&mut inner.1)
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Waits for `future`; `None` when the signal came first.
    pub(super) async fn or<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        poll_fn(|context| {
            {
                let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                if inner.0 {
                    return Poll::Ready(None);
                }
                inner.1.retain(|waker| !waker.will_wake(context.waker()));
                inner.1.push(context.waker().clone());
            }
            future.as_mut().poll(context).map(Some)
        })
        .await
    }
}

/// Polls once, and drops the call.
pub(super) async fn try_once<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    match poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// Numbers that look random, the same for the same seed (splitmix64, Steele and others, 2014).
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }
}
