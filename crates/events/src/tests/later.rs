use crate::{Outgoing, Published, Wanted, testing::*};
use base::Timestamp;
use std::time::Duration;

fn at(seconds: u64) -> Timestamp {
    Timestamp(BEGIN.0 + seconds * 1_000_000)
}

fn later(data: &str, seconds: u64) -> Outgoing {
    Outgoing { event: event(data), at: Some(at(seconds)), message_id: None }
}

#[tokio::test(start_paused = true)]
async fn a_message_waits_for_its_time_over_the_end_of_the_node() {
    let mut world = World::start(one(|_| {}));
    let topics = world.handle.topics();
    let now = Outgoing { event: event("now"), ..Outgoing::default() };
    let messages = vec![later("second", 7_200), later("first", 3_600), now];
    world.subscribed("orders").await;
    let published = topics.publish(&topic_of("orders"), messages).await.unwrap();
    assert!(matches!(&published[0], Published::Later { at: time, .. } if *time == at(7_200)));
    assert!(matches!(published[2], Published::Now { duplicate: false, .. }));
    assert_eq!(world.app.wait(1).await, ["now"]);
    let waiting = topics.later(&topic_of("orders"), 10).await.unwrap();
    let waiting: Vec<_> = waiting.iter().map(|it| (it.at, text(&it.event.data))).collect();
    assert_eq!(waiting, [(at(3_600), "first".to_owned()), (at(7_200), "second".to_owned())]);
    world.end(Duration::from_secs(5)).await;
    pass(3_700).await;
    assert_eq!(world.app.got().len(), 1, "there was no node");
    world.again(one(|_| {}));
    assert_eq!(world.app.wait(2).await, ["now", "first"]);
    assert_eq!(world.app.wait(3).await, ["now", "first", "second"]);
    assert!(world.clock.date() >= at(7_200));
    until_async("no row left", async || {
        world.handle.topics().later(&topic_of("orders"), 10).await.unwrap().is_empty()
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_message_that_waits_can_be_cancelled() {
    let world = World::start(one(|_| {}));
    world.subscribed("orders").await;
    let (topics, orders) = (world.handle.topics(), topic_of("orders"));
    let published =
        topics.publish(&orders, vec![later("never", 60), later("yes", 61)]).await.unwrap();
    let Published::Later { id, .. } = &published[0] else { panic!("{published:?}") };
    assert!(!topics.cancel(&topic_of("other"), id).await.unwrap());
    assert!(topics.cancel(&orders, id).await.unwrap());
    assert!(!topics.cancel(&orders, id).await.unwrap());
    assert_eq!(world.app.wait(1).await, ["yes"]);
}

#[tokio::test(start_paused = true)]
async fn two_nodes_publish_what_is_due_once() {
    let world = World::start(one(|_| {}));
    world.subscribed("orders").await;
    let (_service, _other) = world.beside(one(|_| {}));
    let data: Vec<_> = (0..50).map(|n| later(&format!("{n:02}"), 60)).collect();
    world.handle.topics().publish(&topic_of("orders"), data).await.unwrap();
    world.app.wait(50).await;
    pass(120).await;
    assert_eq!(world.app.got().len(), 50);
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_is_gone_holds_up_no_other() {
    let mut wanted = one(|_| {});
    wanted.topics.extend(topics(&["gone"]));
    let world = World::start(wanted);
    world.subscribed("orders").await;
    let topics = world.handle.topics();
    let gone = topic_of("gone");
    until_async("both topics", async || topics.show(&gone).await.is_ok()).await;
    topics.publish(&gone, vec![later("a", 60)]).await.unwrap();
    topics.publish(&topic_of("orders"), vec![later("b", 61)]).await.unwrap();
    world.handle.apply(Wanted { ..one(|_| {}) }).unwrap();
    topics.remove(&gone).await.unwrap();
    assert_eq!(world.app.wait(1).await, ["b"]);
}
