//! Clauses about groups: who gets what, how much of it, and where it begins.

use super::{
    Task, World,
    kit::{
        LONG, LOOK, SHORT, Signal, as_strs, drain, drain_all, from_start, group, message, numbers,
        ok, patiently, publish, publish_all, read, settle, status, subscribe, take, text, texts,
        try_once, until, with_topic, within,
    },
};
use crate::broker::{
    Broker, EPHEMERAL_GRACE, Error, GroupConfig, Offset, Order, Settle, Start, TopicName,
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// Each message to one of them, and all of them to somebody.
pub async fn subscriptions_share_the_messages_of_a_group(world: &dyn World) {
    const COUNT: u32 = 300;
    let broker = world.open().await;
    let topic = with_topic(&*broker).await;
    let taken: Arc<Mutex<BTreeMap<Offset, u32>>> = Arc::default();
    let done = Signal::default();
    let mut tasks: Vec<Task> = Vec::new();
    for number in 0..4 {
        let mut subscription = subscribe(&*broker, &topic, "g", from_start(LONG)).await;
        let (broker, topic) = (Arc::clone(&broker), topic.clone());
        let (taken, done) = (Arc::clone(&taken), done.clone());
        tasks.push(Box::pin(async move {
            while let Some(deliveries) = done.or(subscription.next(5 + number)).await {
                let deliveries = ok(deliveries);
                assert!((1..=5 + number).contains(&deliveries.len()), "{}", deliveries.len());
                assert!(deliveries.iter().all(|delivery| delivery.attempt == 1));
                settle(&*broker, &topic, "g", &deliveries, Settle::Ack).await;
                let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
                for delivery in deliveries {
                    *taken.entry(delivery.message.offset).or_default() += 1;
                }
                if taken.len() == COUNT as usize {
                    done.set();
                }
            }
        }));
    }
    let publisher = (Arc::clone(&broker), topic.clone());
    tasks.push(Box::pin(async move {
        let texts = numbers(0..COUNT);
        for batch in as_strs(&texts).chunks(20) {
            publish_all(&*publisher.0, &publisher.1, batch).await;
        }
    }));
    world.together(tasks).await;
    let taken = taken.lock().unwrap_or_else(PoisonError::into_inner).clone();
    assert!(taken.values().all(|count| *count == 1), "{taken:?}");
    until!(world, "everything is settled", status(&*broker, &topic, "g").await.lag == 0);
}

/// One does not take from the other.
pub async fn every_group_gets_everything(world: &dyn World) {
    let broker = &*world.open().await;
    let topic = with_topic(broker).await;
    let mut one = subscribe(broker, &topic, "one", from_start(LONG)).await;
    publish_all(broker, &topic, &as_strs(&numbers(0..40))).await;
    let mut other = subscribe(broker, &topic, "other", from_start(LONG)).await;
    publish_all(broker, &topic, &as_strs(&numbers(40..60))).await;
    for (name, subscription) in [("one", &mut one), ("other", &mut other)] {
        let seen = drain(world, broker, (&topic, name), &mut **subscription, 60).await;
        let mut offsets: Vec<Offset> = seen.iter().map(|message| message.offset).collect();
        offsets.sort_unstable();
        let mut reader = ok(broker.read(&topic, Start::Beginning).await);
        let all = read(world, &mut *reader, 60).await;
        assert_eq!(offsets, all.iter().map(|message| message.offset).collect::<Vec<_>>());
        for message in &seen {
            assert!(all.contains(message), "it is the same for all: {message:?}");
        }
    }
    let names: Vec<String> =
        ok(broker.groups(&topic).await).iter().map(|status| status.name.to_string()).collect();
    assert_eq!(names, ["one", "other"]);
}

/// `start` is for the first time only.
pub async fn a_group_begins_where_it_is_told_and_keeps_its_place(world: &dyn World) {
    let broker = &*world.open().await;
    let topic = with_topic(broker).await;
    let offsets = publish_all(broker, &topic, &as_strs(&numbers(0..6))).await;
    world.pass(Duration::from_millis(20)).await;
    let later = publish_all(broker, &topic, &as_strs(&numbers(6..9))).await;
    let mut reader = ok(broker.read(&topic, Start::Offset(later[0])).await);
    let time = read(world, &mut *reader, 1).await[0].time;
    let starts = [
        ("beginning", Start::Beginning, 0),
        ("offset", Start::Offset(offsets[4]), 4),
        ("time", Start::Time(time), 6),
        ("end", Start::End, 9),
    ];
    for (name, start, _) in starts {
        let config = GroupConfig { start, ..from_start(LONG) };
        drop(subscribe(broker, &topic, name, config).await);
        assert_eq!(status(broker, &topic, name).await.config, config);
    }
    publish(broker, &topic, message("9")).await;
    for (name, _, first) in starts {
        let config = GroupConfig { start: Start::End, ..from_start(LONG) };
        let mut subscription = subscribe(broker, &topic, name, config).await;
        let deliveries = take(world, &mut *subscription, 1).await;
        assert_eq!(texts(&deliveries), numbers(first..first + 1), "{name}");
        settle(broker, &topic, name, &deliveries, Settle::Ack).await;
        drop(subscription);
        if first == 9 {
            continue;
        }
        let mut again = subscribe(broker, &topic, name, from_start(LONG)).await;
        let deliveries = take(world, &mut *again, 1).await;
        assert_eq!(texts(&deliveries), numbers(first + 1..first + 2), "{name}");
    }
}

/// It keeps its place, and goes by the newest configuration.
pub async fn a_group_can_be_configured_anew(world: &dyn World) {
    let broker = &*world.open().await;
    let topic = with_topic(broker).await;
    publish_all(broker, &topic, &as_strs(&numbers(0..10))).await;
    let first = GroupConfig { max_in_flight: 2, ..from_start(LONG) };
    let mut subscription = subscribe(broker, &topic, "g", first).await;
    let deliveries = take(world, &mut *subscription, 2).await;
    settle(broker, &topic, "g", &deliveries, Settle::Ack).await;
    drop(subscription);
    let second = GroupConfig { max_in_flight: 7, ack_wait: LONG * 2, ..first };
    let mut subscription = subscribe(broker, &topic, "g", second).await;
    assert_eq!(status(broker, &topic, "g").await.config, second);
    let deliveries = take(world, &mut *subscription, 7).await;
    assert_eq!(texts(&deliveries), numbers(2..9));
}

/// Also over several subscriptions.
pub async fn no_more_is_in_flight_than_allowed(world: &dyn World) {
    let broker = &*world.open().await;
    let topic = with_topic(broker).await;
    publish_all(broker, &topic, &as_strs(&numbers(0..20))).await;
    let config = GroupConfig { max_in_flight: 5, ..from_start(LONG) };
    let mut one = subscribe(broker, &topic, "g", config).await;
    let mut other = subscribe(broker, &topic, "g", config).await;
    let mut held = take(world, &mut *other, 5).await;
    while held.len() < 20 {
        // Which of the two gets it is the engine's choice, as long as nobody else asks.
        let mut next = one.next(20);
        let more = within(world, Duration::from_millis(300), &mut next).await;
        assert!(more.is_none(), "beyond five: {more:?}");
        let group = status(broker, &topic, "g").await;
        assert!(group.in_flight <= 5, "{group:?}");
        let oldest = held.len() - 5;
        let done = &held[oldest..(oldest + 2).min(held.len())];
        settle(broker, &topic, "g", done, Settle::Ack).await;
        let mut more = ok(patiently(world, "what may be delivered then", next).await);
        assert!((1..=2).contains(&more.len()), "{more:?}");
        if more.len() == 1 && held.len() < 19 {
            more.extend(take(world, &mut *other, 1).await);
        }
        held.extend(more);
    }
    settle(broker, &topic, "g", &held, Settle::Ack).await;
    assert_eq!(drain_all(world, broker, (&topic, "g"), &mut *one).await, []);
    let mut found: Vec<Offset> = held.iter().map(|it| it.message.offset).collect();
    found.sort_unstable();
    found.dedup();
    assert_eq!(found.len(), 20);
}

/// Neither other groups, nor others of its own, nor readers, nor the publisher.
pub async fn a_slow_subscription_holds_up_nobody(world: &dyn World) {
    let broker = &*world.open().await;
    let topic = with_topic(broker).await;
    let _never_reads = ok(broker.read(&topic, Start::Beginning).await);
    let _never_asks = subscribe(broker, &topic, "lazy", from_start(SHORT)).await;
    let mut never_settles = subscribe(broker, &topic, "stuck", from_start(LONG)).await;
    let _never_asks_either = subscribe(broker, &topic, "shared", from_start(SHORT)).await;
    let mut shared = subscribe(broker, &topic, "shared", from_start(SHORT)).await;
    let mut quick = subscribe(broker, &topic, "quick", from_start(LONG)).await;
    let payload = "x".repeat(10_000);
    for _ in 0..10 {
        publish_all(broker, &topic, &[payload.as_str(); 100]).await;
    }
    take(world, &mut *never_settles, 256).await;
    let seen = drain(world, broker, (&topic, "quick"), &mut *quick, 1_000).await;
    assert_eq!(seen.len(), 1_000);
    let seen = drain(world, broker, (&topic, "shared"), &mut *shared, 1_000).await;
    assert_eq!(seen.len(), 1_000);
    let mut reader = ok(broker.read(&topic, Start::Beginning).await);
    assert_eq!(read(world, &mut *reader, 1_000).await.len(), 1_000);
    until!(world, "all but what is in flight is untouched", {
        let stuck = status(broker, &topic, "stuck").await;
        (stuck.lag, stuck.in_flight) == (1_000, 256)
    });
}

/// A subscriber that reconnects goes on; one that stays away leaves nothing behind.
pub async fn an_ephemeral_group_is_forgotten_after_a_grace(world: &dyn World) {
    let broker = &*world.open().await;
    let topic = with_topic(broker).await;
    publish_all(broker, &topic, &as_strs(&numbers(0..4))).await;
    let config = GroupConfig { durable: false, ..from_start(LONG) };
    let mut subscription = subscribe(broker, &topic, "g", config).await;
    let first = take(world, &mut *subscription, 2).await;
    settle(broker, &topic, "g", &first, Settle::Ack).await;
    let left = world.now();
    drop(subscription);
    world.pass(EPHEMERAL_GRACE / 10).await;
    let mut subscription = subscribe(broker, &topic, "g", config).await;
    let came_back = world.now();
    let next = take(world, &mut *subscription, 1).await;
    if came_back - left < EPHEMERAL_GRACE / 2 {
        assert_eq!(texts(&next), ["2"], "it goes on where it was");
    }
    drop(subscription);
    drop(subscribe(broker, &topic, "stays", from_start(LONG)).await);
    until!(world, "the ephemeral group is forgotten", {
        let groups = ok(broker.groups(&topic).await);
        groups.iter().all(|status| status.name != group("g"))
    });
    assert_eq!(status(broker, &topic, "stays").await.lag, 4);
    let mut anew = subscribe(broker, &topic, "g", config).await;
    let deliveries = take(world, &mut *anew, 4).await;
    assert_eq!(texts(&deliveries), numbers(0..4));
    assert!(deliveries.iter().all(|delivery| delivery.attempt == 1), "{deliveries:?}");
}

/// Who waits is not left waiting, and nothing of it is remembered.
pub async fn a_removed_group_ends_its_subscriptions(world: &dyn World) {
    let broker = &*world.open().await;
    let topic = with_topic(broker).await;
    publish_all(broker, &topic, &["0"]).await;
    let mut waiting = subscribe(broker, &topic, "g", from_start(LONG)).await;
    let mut other = subscribe(broker, &topic, "other", from_start(LONG)).await;
    let old = take(world, &mut *waiting, 1).await;
    let mut next = waiting.next(1);
    assert!(within(world, LOOK, &mut next).await.is_none());
    ok(broker.remove_group(&topic, &group("g")).await);
    ok(broker.remove_group(&topic, &group("g")).await);
    let ended = patiently(world, "the end of the subscription", next).await;
    assert!(matches!(&ended, Err(Error::NoGroup { .. })), "{ended:?}");
    let receipts = vec![(old[0].receipt.clone(), Settle::Ack)];
    let settled = broker.settle(&topic, &group("g"), receipts).await;
    assert!(matches!(settled, Err(Error::NoGroup { .. })), "{settled:?}");
    let mut anew = subscribe(broker, &topic, "g", from_start(LONG)).await;
    for subscription in [&mut anew, &mut other] {
        let deliveries = take(world, &mut **subscription, 1).await;
        assert_eq!((texts(&deliveries), deliveries[0].attempt), (numbers(0..1), 1));
    }
}

/// What was taken and not given comes again.
pub async fn calls_to_next_of_a_subscription_may_be_dropped(world: &dyn World) {
    let broker = &*world.open().await;
    let topic = with_topic(broker).await;
    let mut subscription = subscribe(broker, &topic, "g", from_start(SHORT)).await;
    let mut seen: BTreeMap<Offset, String> = BTreeMap::new();
    let mut last = Offset(0);
    for number in numbers(0..60) {
        last = publish(broker, &topic, message(&number)).await.offset;
        for _ in 0..2 {
            if let Some(deliveries) = try_once(subscription.next(3)).await {
                let deliveries = ok(deliveries);
                settle(broker, &topic, "g", &deliveries, Settle::Ack).await;
                seen.extend(deliveries.iter().map(|it| (it.message.offset, text(&it.message))));
            }
        }
        world.pause().await;
    }
    while seen.len() < 60 {
        let deliveries = ok(patiently(world, "what was not given", subscription.next(60)).await);
        settle(broker, &topic, "g", &deliveries, Settle::Ack).await;
        seen.extend(deliveries.iter().map(|it| (it.message.offset, text(&it.message))));
    }
    assert_eq!(seen.values().cloned().collect::<Vec<_>>(), numbers(0..60));
    assert_eq!(seen.keys().last(), Some(&last));
}

async fn lag(broker: &dyn Broker, topic: &TopicName) -> (u64, u64) {
    let status = status(broker, topic, "g").await;
    assert!(status.in_flight + status.waiting <= status.lag, "{status:?}");
    (status.lag, status.settled.0)
}

/// What autoscalers and people look at.
pub async fn a_group_tells_how_far_it_is(world: &dyn World) {
    let broker = &*world.open().await;
    let topic = with_topic(broker).await;
    let config = GroupConfig { order: Order::None, ..from_start(LONG) };
    let mut subscription = subscribe(broker, &topic, "g", config).await;
    assert_eq!(lag(broker, &topic).await.0, 0);
    let offsets = publish_all(broker, &topic, &as_strs(&numbers(0..10))).await;
    until!(world, "the lag is ten", lag(broker, &topic).await.0 == 10);
    let deliveries = take(world, &mut *subscription, 6).await;
    until!(world, "six are in flight", {
        let status = status(broker, &topic, "g").await;
        assert!(status.subscriptions >= 1, "{status:?}");
        (status.lag, status.in_flight) == (10, 6)
    });
    settle(broker, &topic, "g", &deliveries[1..3], Settle::Ack).await;
    until!(world, "two are settled", lag(broker, &topic).await.0 == 8);
    assert!(lag(broker, &topic).await.1 < offsets[0].0, "the first one is not");
    settle(broker, &topic, "g", &deliveries[..1], Settle::Ack).await;
    until!(world, "the first three are settled", {
        lag(broker, &topic).await == (7, offsets[2].0)
    });
    drop(subscription);
    until!(world, "nobody takes part", status(broker, &topic, "g").await.subscriptions == 0);
    settle(broker, &topic, "g", &deliveries, Settle::Ack).await;
    until!(world, "six are settled", lag(broker, &topic).await == (4, offsets[5].0));
}
