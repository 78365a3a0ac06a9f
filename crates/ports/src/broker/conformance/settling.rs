//! Clauses about what becomes of a delivered message.

use super::{
    PATIENCE, World,
    kit::{
        LONG, SHORT, as_strs, drain_all, from_start, group, message, numbers, ok, patiently,
        publish, publish_all, settle, status, subscribe, take, take_one, text, texts, until,
        with_topic, within,
    },
};
use crate::broker::{Broker, Delivery, Error, Receipt, Settle, Subscription, TopicName};
use std::{collections::BTreeSet, time::Duration};

/// Times in which a clause may be told of a busy machine: then it begins again with the next one, in which it must not be.
const WAITS: [Duration; 4] =
    [SHORT, Duration::from_secs(4), Duration::from_secs(16), Duration::from_secs(64)];

/// An acknowledgement is the end of it. Witnesses, which are not settled, come again meanwhile.
pub async fn what_is_acknowledged_does_not_come_again(world: &dyn World) {
    let broker = &*world.open().await;
    let topic = with_topic(broker).await;
    publish_all(broker, &topic, &as_strs(&numbers(0..20))).await;
    for (round, wait) in WAITS.into_iter().enumerate() {
        let name = format!("g{round}");
        let mut subscription = subscribe(broker, &topic, &name, from_start(wait)).await;
        let start = world.now();
        let deliveries = take(world, &mut *subscription, 20).await;
        let (witnesses, done) = deliveries.split_at(5);
        settle(broker, &topic, &name, done, Settle::Ack).await;
        let is_timely = world.now() - start < wait;
        let mut again: BTreeSet<String> = BTreeSet::new();
        while !texts(witnesses).iter().all(|text| again.contains(text)) {
            again.extend(texts(&take(world, &mut *subscription, 1).await));
        }
        if is_timely {
            assert_eq!(again.into_iter().collect::<Vec<_>>(), texts(witnesses));
            return;
        }
    }
    panic!("it took a minute to acknowledge 15 messages");
}

/// Again and again, each time one attempt more, and never too early.
pub async fn what_is_not_settled_in_time_comes_again(world: &dyn World) {
    let broker = &*world.open().await;
    let topic = with_topic(broker).await;
    let mut subscription = subscribe(broker, &topic, "g", from_start(SHORT)).await;
    let start = world.now();
    let published = publish(broker, &topic, message("m")).await;
    let mut receipts = BTreeSet::new();
    for attempt in 1..=3 {
        let delivery = take_one(world, &mut *subscription).await;
        let passed = world.now() - start;
        assert_eq!(delivery.message.offset, published.offset);
        assert_eq!(text(&delivery.message), "m");
        // An attempt that did not reach anybody counts all the same.
        assert!(delivery.attempt >= attempt, "{delivery:?}");
        assert!(passed >= SHORT * (delivery.attempt - 1), "{passed:?}: {delivery:?}");
        assert!(receipts.insert(delivery.receipt.0), "a receipt is for one delivery");
    }
}

/// Not before, but then; at once if it has none.
pub async fn what_is_given_back_comes_again_after_its_pause(world: &dyn World) {
    let broker = &*world.open().await;
    let topic = with_topic(broker).await;
    let mut subscription = subscribe(broker, &topic, "g", from_start(LONG)).await;
    publish(broker, &topic, message("m")).await;
    let mut delivery = take_one(world, &mut *subscription).await;
    for (attempt, pause_ms) in [(2, 0), (3, 1_000), (4, 300), (5, 0)] {
        let (pause, start) = (Duration::from_millis(pause_ms), world.now());
        settle(broker, &topic, "g", &[delivery], Settle::Nack(pause)).await;
        delivery = take_one(world, &mut *subscription).await;
        let passed = world.now() - start;
        assert!(passed >= pause, "after {passed:?} instead of {pause:?}");
        assert_eq!((text(&delivery.message).as_str(), delivery.attempt), ("m", attempt));
    }
    settle(broker, &topic, "g", &[delivery], Settle::Ack).await;
    until!(world, "it is settled", status(broker, &topic, "g").await.lag == 0);
}

/// The others come meanwhile, each once.
pub async fn what_is_given_back_holds_up_no_other(world: &dyn World) {
    let broker = &*world.open().await;
    let topic = with_topic(broker).await;
    let mut subscription = subscribe(broker, &topic, "g", from_start(LONG)).await;
    publish_all(broker, &topic, &as_strs(&numbers(0..10))).await;
    let first = take(world, &mut *subscription, 3).await;
    let pause = Duration::from_secs(3_600);
    settle(broker, &topic, "g", &first[1..2], Settle::Nack(pause)).await;
    let mut others = take(world, &mut *subscription, 7).await;
    let soon = Duration::from_millis(500);
    settle(broker, &topic, "g", &others[..1], Settle::Nack(soon)).await;
    publish(broker, &topic, message("10")).await;
    others.extend(take(world, &mut *subscription, 2).await);
    let mut found: Vec<(String, u32)> =
        others.iter().map(|it| (text(&it.message), it.attempt)).collect();
    found[..7].sort();
    found[7..].sort();
    let back = found[8].0.clone();
    let expected: Vec<(String, u32)> = numbers(3..10).into_iter().map(|text| (text, 1)).collect();
    assert_eq!(found[..7], expected);
    assert_eq!(found[7..], [("10".to_owned(), 1), (back, 2)]);
    settle(broker, &topic, "g", &others, Settle::Ack).await;
    settle(broker, &topic, "g", &[first[0].clone(), first[2].clone()], Settle::Ack).await;
    until!(world, "one is left", status(broker, &topic, "g").await.lag == 1);
}

/// Extends one message of two for twice its time. Tells whether the machine was quick enough to do so.
async fn extend(
    world: &dyn World,
    broker: &dyn Broker,
    (topic, name): (&TopicName, &str),
    subscription: &mut dyn Subscription,
    wait: Duration,
) -> bool {
    let mut since = world.now();
    let deliveries = take(world, subscription, 2).await;
    let (extended, witness) = (&deliveries[..1], &deliveries[1]);
    let mut has_come = false;
    let begin = world.now();
    let mut next = subscription.next(1);
    loop {
        let start = world.now();
        settle(broker, topic, name, extended, Settle::Extend).await;
        if world.now() - since >= wait {
            return false;
        }
        since = start;
        let Some(deliveries) = within(world, wait / 4, &mut next).await else {
            if has_come && world.now() - begin >= wait * 2 {
                break;
            }
            continue;
        };
        for delivery in ok(deliveries) {
            if text(&delivery.message) == text(&extended[0].message) {
                assert!(world.now() - since >= wait, "it was extended: {delivery:?}");
                return false;
            }
            assert_eq!(text(&delivery.message), text(&witness.message));
            has_come = true;
            settle(broker, topic, name, &[delivery], Settle::Ack).await;
        }
        drop(next);
        next = subscription.next(1);
    }
    // Nobody extends it any more.
    let delivery = ok(patiently(world, "the extended one", next).await).remove(0);
    assert_eq!(text(&delivery.message), text(&extended[0].message));
    assert!(delivery.attempt >= 2, "{delivery:?}");
    assert!(world.now() - since >= wait, "it was extended");
    true
}

/// Work may take longer than was thought.
pub async fn what_is_still_worked_on_is_left_alone(world: &dyn World) {
    let broker = &*world.open().await;
    let topic = with_topic(broker).await;
    publish_all(broker, &topic, &["extended", "witness"]).await;
    for (round, wait) in WAITS.into_iter().enumerate() {
        let name = format!("g{round}");
        let mut subscription = subscribe(broker, &topic, &name, from_start(wait)).await;
        if extend(world, broker, (&topic, &name), &mut *subscription, wait).await {
            return;
        }
    }
    panic!("it took a minute to extend a message");
}

/// The message belongs to whoever has it now. That the work was done counts all the same.
pub async fn an_older_delivery_cannot_give_back_or_extend(world: &dyn World) {
    let broker = &*world.open().await;
    let topic = with_topic(broker).await;
    let mut subscription = subscribe(broker, &topic, "g", from_start(SHORT)).await;
    for how in [Settle::Nack(Duration::ZERO), Settle::Nack(LONG), Settle::Extend] {
        let start = world.now();
        publish(broker, &topic, message("m")).await;
        let older = take_one(world, &mut *subscription).await;
        let newer = take_one(world, &mut *subscription).await;
        assert!(newer.attempt > older.attempt, "{newer:?}");
        // Again and again, so that one which counted would keep it away for ever.
        let (tried, mut next) = (world.now(), subscription.next(1));
        let newest = loop {
            settle(broker, &topic, "g", std::slice::from_ref(&older), how).await;
            if let Some(deliveries) = within(world, SHORT / 4, &mut next).await {
                break ok(deliveries).remove(0);
            }
            assert!(world.now() - tried < PATIENCE, "{how:?} counted");
        };
        drop(next);
        let passed = world.now() - start;
        assert!(passed >= SHORT * (newest.attempt - 1), "{how:?} counted: {passed:?}");
        settle(broker, &topic, "g", &[newer, newest], Settle::Ack).await;
        drain_all(world, broker, (&topic, "g"), &mut *subscription).await;
    }
}

/// Nobody else would settle it.
pub async fn what_a_dropped_subscription_left_goes_to_another(world: &dyn World) {
    let broker = &*world.open().await;
    let topic = with_topic(broker).await;
    let mut dropped = subscribe(broker, &topic, "g", from_start(SHORT)).await;
    let mut other = subscribe(broker, &topic, "g", from_start(SHORT)).await;
    publish_all(broker, &topic, &as_strs(&numbers(0..10))).await;
    let left = take(world, &mut *dropped, 4).await;
    settle(broker, &topic, "g", &left[..1], Settle::Ack).await;
    drop(dropped);
    let seen = drain_all(world, broker, (&topic, "g"), &mut *other).await;
    let missing = |text: &String| seen.iter().all(|message| self::text(message) != *text);
    let missing: Vec<String> = numbers(0..10).into_iter().filter(missing).collect();
    assert!(missing.is_empty() || missing == texts(&left[..1]), "{missing:?}");
}

/// A receipt is enough: a service may settle through another node than the one that delivered.
pub async fn deliveries_are_settled_from_elsewhere(world: &dyn World) {
    let (here, there) = (world.open().await, world.open().await);
    let topic = with_topic(&*here).await;
    publish_all(&*here, &topic, &as_strs(&numbers(0..6))).await;
    let mut subscription = subscribe(&*here, &topic, "g", from_start(LONG)).await;
    let deliveries = take(world, &mut *subscription, 6).await;
    let as_text = |delivery: &Delivery| {
        let receipt = delivery.receipt.0.clone();
        assert!(!receipt.is_empty() && receipt.len() < 1_024, "{receipt}");
        Receipt(receipt)
    };
    let (acked, back) = deliveries.split_at(4);
    let settlements = acked.iter().map(|delivery| (as_text(delivery), Settle::Ack));
    let pause = Settle::Nack(Duration::ZERO);
    let settlements = settlements.chain(back.iter().map(|delivery| (as_text(delivery), pause)));
    ok(there.settle(&topic, &group("g"), settlements.collect()).await);
    let mut again = texts(&take(world, &mut *subscription, 2).await);
    again.sort();
    assert_eq!(again, texts(back));
    until!(world, "two are left", status(&*there, &topic, "g").await.lag == 2);
    ok(here.settle(&topic, &group("g"), Vec::new()).await);
}

/// Then nothing is settled, not even what is right.
pub async fn receipts_that_nobody_wrote_are_refused(world: &dyn World) {
    let broker = &*world.open().await;
    let topic = with_topic(broker).await;
    publish(broker, &topic, message("m")).await;
    let mut subscription = subscribe(broker, &topic, "g", from_start(LONG)).await;
    let delivery = take_one(world, &mut *subscription).await;
    let good = (delivery.receipt.clone(), Settle::Ack);
    for text in ["", " ", "1", "nonsense", "../../x", "a\r\nb", "$JS.API.STREAM.DELETE.x", "\u{e4}"]
    {
        for bad_first in [true, false] {
            let mut settlements = vec![good.clone(), (Receipt(text.to_owned()), Settle::Ack)];
            if bad_first {
                settlements.reverse();
            }
            let refused = broker.settle(&topic, &group("g"), settlements).await;
            assert!(matches!(refused, Err(Error::Invalid(_))), "{text:?}: {refused:?}");
        }
    }
    assert_eq!(status(broker, &topic, "g").await.lag, 1);
    ok(broker.settle(&topic, &group("g"), vec![good]).await);
    until!(world, "it is settled", status(broker, &topic, "g").await.lag == 0);
}

/// Who settles twice, or late, has done nothing wrong.
pub async fn what_is_settled_or_gone_may_be_settled_again(world: &dyn World) {
    let broker = &*world.open().await;
    let topic = with_topic(broker).await;
    publish_all(broker, &topic, &as_strs(&numbers(0..4))).await;
    let mut subscription = subscribe(broker, &topic, "g", from_start(LONG)).await;
    let deliveries = take(world, &mut *subscription, 4).await;
    settle(broker, &topic, "g", &deliveries[..2], Settle::Ack).await;
    for how in [Settle::Ack, Settle::Nack(Duration::ZERO), Settle::Extend] {
        settle(broker, &topic, "g", &deliveries[..2], how).await;
    }
    // The same one twice in one call.
    let twice = [deliveries[0].clone(), deliveries[0].clone()];
    settle(broker, &topic, "g", &twice, Settle::Ack).await;
    until!(world, "two are left", status(broker, &topic, "g").await.lag == 2);
    ok(broker.purge(&topic, None).await);
    for how in [Settle::Extend, Settle::Nack(Duration::ZERO), Settle::Ack] {
        settle(broker, &topic, "g", &deliveries, how).await;
    }
    publish(broker, &topic, message("4")).await;
    let next = patiently(world, "the next one", subscription.next(10)).await;
    assert_eq!(texts(&ok(next)), ["4"]);
}
