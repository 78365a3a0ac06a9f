use crate::{Error, Pull, PullConfig, Settlement, Topic, Topics, Wanted, testing::*};
use ports::broker::{Receipt, Start};
use std::time::Duration;

const WAIT: Duration = Duration::from_secs(5);

async fn world() -> (World, Topics, Pull) {
    let world = World::start(Wanted { topics: topics(&["orders"]), ..Wanted::default() });
    let topics = world.handle.topics();
    topics.ensure(&topic_of("orders"), &Topic::default()).await.unwrap();
    let config =
        PullConfig { start: Start::Beginning, retry: Some(attempts(2)), ..PullConfig::default() };
    let pull = topics.pull(&topic_of("orders"), &group_of("w"), config).await.unwrap();
    (world, topics, pull)
}

#[tokio::test(start_paused = true)]
async fn nothing_comes_when_there_is_nothing() {
    let (_world, _topics, mut pull) = world().await;
    assert_eq!(pull.next(10, WAIT).await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_settled_comes_again_and_what_is_done_does_not() {
    let (world, topics, mut pull) = world().await;
    world.publish("orders", &["a", "b"]).await;
    let pulled = pull.next(10, WAIT).await.unwrap();
    assert_eq!(pulled.len(), 2);
    let done = vec![(pulled[0].receipt.clone(), Settlement::Done)];
    topics.settle(&topic_of("orders"), &group_of("w"), done).await.unwrap();
    let again = pull.next(10, Duration::from_secs(60)).await.unwrap();
    assert_eq!((again.len(), text(&again[0].stored.event.data).as_str()), (1, "b"));
    assert_eq!(again[0].attempt, 2);
    // Nobody says anything of it once more: it has had its attempts.
    assert_eq!(pull.next(10, Duration::from_secs(120)).await.unwrap(), []);
    let dead = topics.dead_letters(&topic_of("orders"), None, 10).await.unwrap();
    assert_eq!((dead.len(), dead[0].info.reason.as_str()), (1, "all 2 attempts failed"));
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_tried_again_after_a_pause_and_given_up_in_the_end() {
    let (world, topics, mut pull) = world().await;
    world.publish("orders", &["a"]).await;
    for attempt in 1..=2 {
        let pulled = pull.next(10, Duration::from_secs(60)).await.unwrap();
        assert_eq!(pulled[0].attempt, attempt);
        let retry = Settlement::Retry { after: None, reason: "no".to_owned() };
        let settled = vec![(pulled[0].receipt.clone(), retry)];
        topics.settle(&topic_of("orders"), &group_of("w"), settled).await.unwrap();
    }
    let dead = topics.dead_letters(&topic_of("orders"), None, 10).await.unwrap();
    assert_eq!((dead.len(), dead[0].info.reason.as_str()), (1, "all 2 attempts failed: no"));
    assert_eq!(topics.groups(&topic_of("orders")).await.unwrap()[0].lag, 0);
}

#[tokio::test(start_paused = true)]
async fn a_receipt_of_nobody_is_refused() {
    let (_world, topics, _pull) = world().await;
    for text in ["", "1", "1.2", "x.y.z"] {
        let settled = vec![(Receipt(text.to_owned()), Settlement::Done)];
        let refused = topics.settle(&topic_of("orders"), &group_of("w"), settled).await;
        let is_refused = matches!(refused, Err(Error::Invalid(_) | Error::Broker(_)));
        assert!(is_refused, "{text}: {refused:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_nobody_named_is_missing_unless_all_are_made() {
    let (world, topics, _pull) = world().await;
    let refused = topics.publish(&topic_of("other"), vec![crate::Outgoing::default()]).await;
    let text = refused.unwrap_err().to_string();
    assert!(text.contains("`other`") && text.contains("topics:"), "{text}");
    world.handle.apply(Wanted { auto: true, ..Wanted::default() }).unwrap();
    topics.publish(&topic_of("other"), vec![crate::Outgoing::default()]).await.unwrap();
    assert_eq!(topics.show(&topic_of("other")).await.unwrap().status.messages, 1);
}

#[tokio::test(start_paused = true)]
async fn a_topic_is_read_without_a_group() {
    let (world, topics, _pull) = world().await;
    world.publish("orders", &["a", "b", "c"]).await;
    let mut replay =
        topics.read(&topic_of("orders"), Start::Offset(ports::broker::Offset(2))).await.unwrap();
    let stored = replay.next(10).await.unwrap();
    let data: Vec<_> = stored.iter().map(|it| text(&it.event.data)).collect();
    assert_eq!(data, ["b", "c"]);
}
