use crate::{DeclaredBy, Route, Verdict, Wanted, testing::*};
use base::ServiceName;
use ports::{broker::Broker, kv::conformance::Memory};
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn a_bad_condition_is_refused_by_name_and_nothing_changes() {
    let world = World::start(one(|_| {}));
    world.subscribed("orders").await;
    let bad = one(|it| it.routes[0].when = Some("event.type =".to_owned()));
    let error = world.handle.apply(bad).unwrap_err().to_string();
    assert!(error.contains("`event.type =`") && error.contains("`mailer`"), "{error}");
    world.publish("orders", &["a"]).await;
    world.app.wait(1).await;
}

#[tokio::test(start_paused = true)]
async fn only_what_has_changed_is_restarted() {
    let mut wanted = one(|_| {});
    wanted.subscriptions.push(wants("stock", "orders"));
    let world = World::start(wanted.clone());
    world.publish("orders", &["a"]).await;
    world.app.wait(2).await;
    until("done", || world.handle.subscriptions().iter().all(|it| it.done == 1)).await;
    wanted.subscriptions[1].timeout = Duration::from_secs(7);
    world.handle.apply(wanted.clone()).unwrap();
    let counts = || -> Vec<_> {
        let statuses = world.handle.subscriptions();
        statuses.iter().map(|it| (it.group.to_string(), it.done)).collect()
    };
    let expected = [("mailer".to_owned(), 1), ("stock".to_owned(), 0)];
    until("one begins anew", || counts() == expected).await;
    wanted.subscriptions.pop();
    world.handle.apply(wanted).unwrap();
    until("one is gone", || counts() == expected[..1]).await;
    world.publish("orders", &["b"]).await;
    world.app.wait(3).await;
    pass(60).await;
    assert_eq!(world.app.data(), ["a", "a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn apps_say_what_they_want_when_they_become_ready() {
    let service = ServiceName::new("mailer").unwrap();
    let wanted = || Wanted {
        topics: topics(&["orders", "other"]),
        ask: vec![service.clone()],
        ..Wanted::default()
    };
    let world = World::start(Wanted::default());
    world.app.set_away("mailer", true);
    world.app.declare("mailer", vec![wants("mailer", "orders")]);
    world.handle.apply(wanted()).unwrap();
    pass(60).await;
    assert_eq!(world.handle.subscriptions(), []);
    // That it is ready is told by whoever starts it too, and is one reason to ask it.
    world.handle.service_ready(&service);
    world.app.set_away("mailer", false);
    world.subscribed("orders").await;
    pass(60).await;
    assert_eq!(*world.app.asked.lock().unwrap(), 1);
    assert_eq!(world.handle.subscriptions()[0].from, DeclaredBy::App);
    let mut bad = wants("mailer", "other");
    bad.routes[0].when = Some("nonsense(".to_owned());
    world.app.declare("mailer", vec![wants("mailer", "other"), bad]);
    world.handle.service_ready(&service);
    world.subscribed("other").await;
    assert_eq!(*world.app.asked.lock().unwrap(), 2);
    let statuses = || world.handle.subscriptions();
    until("the bad one says so", || {
        statuses().iter().any(|it| it.paused.as_ref().is_some_and(|why| why.contains("nonsense")))
    })
    .await;
    assert!(statuses().iter().all(|it| it.topic == topic_of("other")));
    let mut with = wanted();
    with.subscriptions.push(wants("mailer", "other"));
    world.handle.apply(with).unwrap();
    let is_of_file = || statuses().iter().all(|it| it.from == DeclaredBy::File);
    until("what the file says counts", || statuses().len() == 1 && is_of_file()).await;
    world.handle.apply(Wanted::default()).unwrap();
    until("gone", || statuses().is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_takes_messages_and_settles_them() {
    let world = World::start(Wanted { topics: topics(&["orders"]), ..Wanted::default() });
    until_async("the topic", async || world.broker.topic(&topic_of("orders")).await.is_ok()).await;
    let mut open = world.handle.subscribe_open(wants("web", "orders")).await.unwrap();
    world.publish("orders", &["a", "b"]).await;
    let (a, b) = (open.next().await.unwrap(), open.next().await.unwrap());
    assert_eq!((a.path.as_str(), a.incoming.attempt), ("/events", 1));
    assert!(open.settle(&a.id, Verdict::Done).await);
    assert!(!open.settle(&a.id, Verdict::Done).await, "nobody waits for it any more");
    assert!(open.settler().settle(&b.id, retry("no")));
    let again = open.next().await.unwrap();
    assert_eq!((text(&again.incoming.event.data).as_str(), again.incoming.attempt), ("b", 2));
    assert_eq!(world.handle.subscriptions()[0].from, DeclaredBy::Connection);
    drop(open);
    until("gone from the board", || world.handle.subscriptions().is_empty()).await;
    // It was handed over, so it was an attempt; the next connection gets it after the pause.
    let mut open = world.handle.subscribe_open(wants("web", "orders")).await.unwrap();
    let last = open.next().await.unwrap();
    assert_eq!((text(&last.incoming.event.data).as_str(), last.incoming.attempt), ("b", 3));
    assert!(open.settle(&last.id, Verdict::Done).await);
    until_async("settled", async || {
        world.handle.topics().groups(&topic_of("orders")).await.unwrap()[0].lag == 0
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_says_nothing_is_tried_again() {
    let world = World::start(Wanted { auto: true, ..Wanted::default() });
    let mut subscription = wants("web", "orders");
    subscription.routes =
        vec![Route { when: Some("event.type == 'tested'".to_owned()), to: to("web") }];
    subscription.timeout = Duration::from_secs(5);
    let mut open = world.handle.subscribe_open(subscription).await.unwrap();
    world.publish("orders", &["a"]).await;
    for attempt in 1..=3 {
        assert_eq!(open.next().await.unwrap().incoming.attempt, attempt);
    }
    until("a dead letter", || world.status().is_some_and(|it| it.dead == 1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_is_away_holds_up_nothing_but_itself() {
    let world = World::start(Wanted::default());
    world.broker.set_down(true);
    until("said", || !world.handle.broker().is_well).await;
    assert!(world.handle.broker().problem.unwrap().contains("does not answer"));
    world.handle.apply(one(|_| {})).unwrap();
    let is_paused = || world.handle.subscriptions().iter().any(|it| it.paused.is_some());
    until("paused", is_paused).await;
    let refused =
        world.handle.topics().publish(&topic_of("orders"), vec![Default::default()]).await;
    assert!(refused.is_err());
    world.broker.set_down(false);
    world.subscribed("orders").await;
    world.publish("orders", &["a"]).await;
    world.app.wait(1).await;
    until("well again", || world.handle.broker().is_well).await;
    world.broker.restart();
    world.subscribed("orders").await;
    world.publish("orders", &["b"]).await;
    world.app.wait(2).await;
    assert_eq!(world.app.data(), ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_comes_again_while_it_is_worked_on_is_not_delivered_twice() {
    let world = World::start(one(|it| it.timeout = Duration::from_secs(3_600)));
    world.subscribed("orders").await;
    *world.app.takes.lock().unwrap() = Duration::from_secs(600);
    world.publish("orders", &["a"]).await;
    world.app.wait_busy(1).await;
    // The broker forgets who has it.
    world.broker.restart();
    pass(300).await;
    until("done", || world.status().is_some_and(|it| it.done == 1)).await;
    until_async("settled", async || {
        world.handle.topics().groups(&topic_of("orders")).await.unwrap()[0].lag == 0
    })
    .await;
    assert_eq!(world.app.got().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_end_waits_for_what_is_under_way() {
    let mut world = World::start(one(|it| it.concurrency = 1));
    world.subscribed("orders").await;
    *world.app.takes.lock().unwrap() = Duration::from_secs(20);
    world.publish("orders", &["a", "b"]).await;
    world.app.wait_busy(1).await;
    world.end(Duration::from_secs(25)).await;
    assert_eq!(world.app.data(), ["a"], "nothing more is begun");
    let groups = world.broker.groups(&topic_of("orders")).await.unwrap();
    assert_eq!(groups[0].lag, 1, "what was under way is settled");
    world.again(one(|_| {}));
    world.app.wait(2).await;
    assert_eq!(world.app.data(), ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_end_in_time_comes_again() {
    let mut world = World::start(one(|_| {}));
    world.subscribed("orders").await;
    *world.app.takes.lock().unwrap() = Duration::from_secs(25);
    world.publish("orders", &["a"]).await;
    world.app.wait_busy(1).await;
    world.end(Duration::from_secs(1)).await;
    world.again(one(|_| {}));
    world.app.wait(2).await;
    let attempts: Vec<_> = world.app.got().iter().map(|(_, it)| it.attempt).collect();
    assert_eq!(attempts, [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_dropped_ends_its_tasks() {
    let mut world = World::over(Memory::new(), one(|_| {}));
    world.subscribed("orders").await;
    world.kill();
    until_async("no subscription", async || {
        world.broker.groups(&topic_of("orders")).await.unwrap()[0].subscriptions == 0
    })
    .await;
    let refused = world.handle.subscribe_open(wants("web", "orders")).await;
    assert!(refused.is_err());
}
