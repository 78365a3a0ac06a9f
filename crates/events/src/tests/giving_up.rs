use crate::{DeadLetter, Outgoing, Redrive, Settlement, Verdict, Wanted, testing::*};
use base::Timestamp;
use ports::{broker::Broker, kv::conformance::Failure};
use std::time::Duration;

/// Two services want the same topic.
fn two() -> Wanted {
    let mut wanted = one(|_| {});
    wanted.subscriptions.push(wants("stock", "orders"));
    wanted
}

#[tokio::test(start_paused = true)]
async fn what_fails_too_often_becomes_a_dead_letter() {
    let world = World::start(one(|_| {}));
    world.app.judge(|_| retry("it is broken"));
    world.publish("orders", &["a"]).await;
    until("a dead letter", || world.status().is_some_and(|it| it.dead == 1)).await;
    assert_eq!(world.app.got().len(), 3);
    let topics = world.handle.topics();
    let dead = topics.dead_letters(&topic_of("orders"), None, 10).await.unwrap();
    assert_eq!(dead.len(), 1);
    let (info, event) = (&dead[0].info, &dead[0].stored.event);
    assert_eq!((info.topic.as_str(), info.group.as_str()), ("orders", "mailer"));
    assert_eq!((info.offset.0, info.attempts), (1, 3));
    assert_eq!(info.reason, "all 3 attempts failed: it is broken");
    assert_eq!((text(&event.data).as_str(), event.kind.as_str()), ("a", "tested"));
    let shown = topics.show(&topic_of("orders")).await.unwrap();
    assert_eq!((shown.dead, shown.dead_topic), (1, Some(topic_of("orders.dead"))));
    assert_eq!(shown.groups[0].lag, 0);
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_comes_back_to_the_group_that_gave_it_up_alone() {
    let world = World::start(two());
    let is_of_mailer = |it: &crate::Incoming| it.event.extensions.is_empty();
    world.app.judge(move |it| if is_of_mailer(it) { Verdict::Done } else { retry("no") });
    world.publish("orders", &["good"]).await;
    world.app.wait(2).await;
    world.app.judge(|_| Verdict::Done);
    // Only one of the two groups fails: by what it is told.
    let failing = std::sync::atomic::AtomicBool::new(true);
    let failing = std::sync::Arc::new(failing);
    let flag = std::sync::Arc::clone(&failing);
    world.app.judge(move |_| match flag.load(std::sync::atomic::Ordering::SeqCst) {
        true => Verdict::Drop { reason: "never".to_owned() },
        false => Verdict::Done,
    });
    world.publish("orders", &["bad"]).await;
    until("two dead letters", || world.handle.subscriptions().iter().all(|it| it.dead == 1)).await;
    failing.store(false, std::sync::atomic::Ordering::SeqCst);
    let (topics, orders) = (world.handle.topics(), topic_of("orders"));
    let dead = topics.dead_letters(&orders, None, 10).await.unwrap();
    let of_stock = dead.iter().find(|it| it.info.group.as_str() == "stock").unwrap();
    let before = world.app.got().len();
    let which = Redrive::Offsets(vec![of_stock.stored.offset]);
    assert_eq!(topics.redrive(&orders, which.clone()).await.unwrap(), 1);
    world.app.wait(before + 1).await;
    pass(120).await;
    let again: Vec<_> = world.app.got()[before..].to_vec();
    assert_eq!(again.len(), 1, "the other group never sees it");
    assert_eq!(again[0].0, to("stock"));
    assert_eq!(text(&again[0].1.event.data), "bad");
    let left = topics.dead_letters(&orders, None, 10).await.unwrap();
    assert_eq!(left.len(), 1, "it is shown no more");
    assert_eq!(left[0].info.group.as_str(), "mailer");
    assert_eq!(topics.show(&orders).await.unwrap().dead, 1);
    assert_eq!(topics.list().await.unwrap()[0].dead, 1);
    assert_eq!(topics.redrive(&orders, which).await.unwrap(), 0, "it was brought back already");
    assert_eq!(topics.redrive(&orders, Redrive::All { limit: 10 }).await.unwrap(), 1);
    assert_eq!(topics.redrive(&orders, Redrive::All { limit: 10 }).await.unwrap(), 0);
    world.app.wait(before + 2).await;
    until_async("settled by both", async || {
        topics.groups(&orders).await.unwrap().iter().all(|group| group.lag == 0)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn without_a_place_for_dead_letters_it_is_counted() {
    let world = World::start(one(|it| it.dead_letter = Some(DeadLetter::None)));
    world.app.judge(|_| Verdict::Drop { reason: "never".to_owned() });
    world.publish("orders", &["a"]).await;
    until("dropped", || world.status().is_some_and(|it| it.dropped == 1)).await;
    let status = &world.handle.subscriptions()[0];
    assert_eq!(
        (status.dead, status.last_error.as_deref()),
        (0, Some("the subscriber dropped it: never"),)
    );
    assert_eq!(world.broker.topics().await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_has_expired_is_not_delivered() {
    let world = World::start(one(|_| {}));
    world.app.set_away("mailer", true);
    let mut old = event("old");
    old.expires = Some(Timestamp(BEGIN.0 + 60_000_000));
    let messages = [old, event("young")].map(|event| Outgoing { event, ..Outgoing::default() });
    world.handle.topics().publish(&topic_of("orders"), messages.into()).await.unwrap();
    pass(61).await;
    world.app.set_away("mailer", false);
    world.app.wait(1).await;
    until("a dead letter", || world.status().is_some_and(|it| it.dead == 1)).await;
    assert_eq!(world.app.data(), ["young"]);
    let dead = world.handle.topics().dead_letters(&topic_of("orders"), None, 10).await.unwrap();
    assert_eq!(dead[0].info.reason, "it expired before it was delivered");
}

#[tokio::test(start_paused = true)]
async fn a_message_that_ends_the_node_is_given_up_too() {
    let mut world = World::start(one(|_| {}));
    *world.app.takes.lock().unwrap() = Duration::from_secs(100_000);
    let wanted = || one(|it| it.timeout = Duration::from_secs(100_000));
    world.kill();
    world.again(wanted());
    world.publish("orders", &["a"]).await;
    for count in 1..=3 {
        world.app.wait(count).await;
        world.kill();
        world.again(wanted());
    }
    until("a dead letter", || world.status().is_some_and(|it| it.dead == 1)).await;
    assert_eq!(world.app.got().len(), 3);
    let dead = world.handle.topics().dead_letters(&topic_of("orders"), None, 10).await.unwrap();
    assert_eq!(dead[0].info.reason, "all 3 attempts failed, the last without an end");
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_is_taken_before_its_message_is_settled() {
    let world = World::start(one(|_| {}));
    world.subscribed("orders").await;
    world.app.judge(|_| Verdict::Drop { reason: "never".to_owned() });
    world.publish("orders", &["a"]).await;
    // The first letter is taken, and nobody hears of it; then the broker cannot take any for a while.
    world.broker.fail_publish(Failure::UnknownButApplied);
    for _ in 0..3 {
        world.broker.fail_publish(Failure::Unavailable);
    }
    until("a dead letter", || world.status().is_some_and(|it| it.dead == 1)).await;
    let topics = world.handle.topics();
    let dead = topics.dead_letters(&topic_of("orders"), None, 10).await.unwrap();
    assert_eq!(dead.len(), 1, "the second was a duplicate");
    assert_eq!(topics.groups(&topic_of("orders")).await.unwrap()[0].lag, 0);
}

#[tokio::test(start_paused = true)]
async fn a_pulled_message_that_is_dropped_is_a_dead_letter() {
    let world = World::start(Wanted { topics: topics(&["orders"]), ..Wanted::default() });
    let (topics, orders, group) = (world.handle.topics(), topic_of("orders"), group_of("w"));
    topics.ensure(&orders, &crate::Topic::default()).await.unwrap();
    world.publish("orders", &["a"]).await;
    let config = crate::PullConfig { start: ports::broker::Start::Beginning, ..Default::default() };
    let mut pull = topics.pull(&orders, &group, config).await.unwrap();
    let pulled = pull.next(10, Duration::from_secs(1)).await.unwrap();
    let drop = Settlement::Drop { reason: "bad".to_owned() };
    topics.settle(&orders, &group, vec![(pulled[0].receipt.clone(), drop)]).await.unwrap();
    let dead = topics.dead_letters(&orders, None, 10).await.unwrap();
    assert_eq!(dead[0].info.reason, "the subscriber dropped it: bad");
    assert_eq!(topics.groups(&orders).await.unwrap()[0].lag, 0);
}
