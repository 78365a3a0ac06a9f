use crate::{
    BulkDelivery, DeclaredBy, Outgoing, PullConfig, Retry, Route, Target, Verdict, Wanted,
    testing::*,
};
use base::ServiceName;
use logic::backoff::Backoff;
use ports::broker::{Order, Start};
use std::{sync::atomic::Ordering, time::Duration};

#[tokio::test(start_paused = true)]
async fn every_message_is_delivered_and_settled() {
    let world = World::start(one(|_| {}));
    world.subscribed("orders").await;
    world.publish("orders", &["a", "b"]).await;
    let mut got = world.app.wait(2).await;
    got.sort();
    assert_eq!(got, ["a", "b"]);
    let topics = world.handle.topics();
    until_async("settled", async || topics.groups(&topic_of("orders")).await.unwrap()[0].lag == 0)
        .await;
    let status = &world.handle.subscriptions()[0];
    assert_eq!((status.delivered, status.done, status.in_flight), (2, 2, 0));
    assert_eq!(
        (status.from, status.targets.as_slice()),
        (DeclaredBy::File, ["POST mailer/events".to_owned()].as_slice(),)
    );
    pass(120).await;
    assert_eq!(world.app.got().len(), 2, "nothing comes twice");
}

#[tokio::test(start_paused = true)]
async fn what_failed_comes_again_after_a_pause() {
    let world = World::start(one(|_| {}));
    world.app.judge(|it| if it.attempt < 3 { retry("not yet") } else { Verdict::Done });
    world.publish("orders", &["a"]).await;
    world.app.wait(3).await;
    let attempts: Vec<u32> = world.app.got().iter().map(|(_, it)| it.attempt).collect();
    assert_eq!(attempts, [1, 2, 3]);
    until("done", || world.status().is_some_and(|it| it.done == 1)).await;
    let status = &world.handle.subscriptions()[0];
    assert_eq!((status.retried, status.dead), (2, 0));
    assert_eq!(status.last_error.as_deref(), Some("not yet"));
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_may_ask_for_a_longer_pause() {
    let world = World::start(one(|_| {}));
    world.app.judge(|it| match it.attempt {
        1 => Verdict::Retry { after: Some(Duration::from_secs(600)), reason: "busy".to_owned() },
        _ => Verdict::Done,
    });
    world.publish("orders", &["a"]).await;
    world.app.wait(1).await;
    pass(500).await;
    assert_eq!(world.app.got().len(), 1);
    world.app.wait(2).await;
}

#[tokio::test(start_paused = true)]
async fn conditions_decide_where_a_message_goes() {
    let route = |when: Option<&str>, path: &str| Route {
        when: when.map(str::to_owned),
        to: Target::post(ServiceName::new("mailer").unwrap(), path),
    };
    let world = World::start(one(|it| {
        it.routes = vec![
            route(Some("event.data.total > 100"), "/large"),
            route(Some("event.type == 'noted' && event.tenant == 'acme'"), "/noted"),
            route(Some("event.data.nothing.there"), "/never"),
            route(Some("has(event.data.total)"), "/rest"),
        ];
    }));
    let mut noted = event("{}");
    noted.kind = "noted".to_owned();
    noted.extensions.insert("tenant".to_owned(), "acme".to_owned());
    let small = event(r#"{"total": 7}"#);
    let events = [event(r#"{"total": 700}"#), noted, small, event("{}"), event("no json")];
    let events = events.map(|event| Outgoing { event, ..Outgoing::default() });
    world.handle.topics().publish(&topic_of("orders"), events.into()).await.unwrap();
    world.app.wait(3).await;
    until("the others dropped", || world.status().is_some_and(|it| it.dropped == 2)).await;
    let path = |target: &Target| match target {
        Target::Http { path, .. } => path.clone(),
        _ => String::new(),
    };
    let mut paths: Vec<_> = world.app.got().iter().map(|(target, _)| path(target)).collect();
    paths.sort();
    assert_eq!(paths, ["/large", "/noted", "/rest"]);
    let info = world.handle.topics().show(&topic_of("orders")).await.unwrap();
    assert_eq!((info.dead, info.groups[0].lag), (0, 0), "what nobody asked for is no dead letter");
}

#[tokio::test(start_paused = true)]
async fn messages_of_one_key_come_in_order_and_others_are_not_held_up() {
    let world = World::start(one(|it| it.order = Order::Key));
    world.subscribed("orders").await;
    world.app.judge(|it| match text(&it.event.data).as_str() {
        "a1" if it.attempt < 3 => retry("not yet"),
        _ => Verdict::Done,
    });
    let events = ["a1", "a2", "b1", "a3"].map(|data| {
        let mut event = event(data);
        event.key = data.get(..1).map(|key| key.to_owned().into());
        Outgoing { event, ..Outgoing::default() }
    });
    world.handle.topics().publish(&topic_of("orders"), events.into()).await.unwrap();
    let got = world.app.wait(6).await;
    let of_a: Vec<_> = got.iter().filter(|data| data.starts_with('a')).collect();
    assert_eq!(of_a, ["a1", "a1", "a1", "a2", "a3"]);
    assert!(got.iter().position(|data| data == "b1") < Some(3), "{got:?}");
}

#[tokio::test(start_paused = true)]
async fn no_more_is_under_way_than_asked_for() {
    let world = World::start(one(|it| it.concurrency = 3));
    *world.app.takes.lock().unwrap() = Duration::from_secs(5);
    let data: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    world.publish("orders", &data.iter().map(String::as_str).collect::<Vec<_>>()).await;
    world.app.wait(20).await;
    assert_eq!(*world.app.busiest.lock().unwrap(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_delivery_may_take_longer_than_the_broker_waits() {
    let world = World::start(one(|it| {
        // The runner fetches nothing more meanwhile, not even what comes again.
        (it.timeout, it.concurrency) = (Duration::from_secs(3_600), 1);
    }));
    *world.app.takes.lock().unwrap() = Duration::from_secs(600);
    world.publish("orders", &["a"]).await;
    world.app.wait_busy(1).await;
    // Somebody else in the group would get it.
    let topics = world.handle.topics();
    let (orders, group) = (topic_of("orders"), group_of("mailer"));
    let mut other = topics.pull(&orders, &group, PullConfig::default()).await.unwrap();
    assert_eq!(other.next(10, Duration::from_secs(500)).await.unwrap(), []);
    until("done", || world.status().is_some_and(|it| it.done == 1)).await;
    assert_eq!(world.app.got().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_app_that_hangs_is_tried_again() {
    let world = World::start(one(|it| it.timeout = Duration::from_secs(10)));
    *world.app.takes.lock().unwrap() = Duration::from_secs(100_000);
    world.publish("orders", &["a"]).await;
    world.app.wait(2).await;
    assert_eq!(world.app.got()[1].1.attempt, 2);
}

#[tokio::test(start_paused = true)]
async fn nobody_ready_costs_no_attempt() {
    let world = World::start(one(|_| {}));
    world.app.set_away("mailer", true);
    world.publish("orders", &["a"]).await;
    until("paused", || world.status().is_some_and(|it| it.paused.is_some())).await;
    let why = world.handle.subscriptions()[0].paused.clone().unwrap();
    assert_eq!(why, "no instance of `mailer` is ready");
    pass(3_600).await;
    assert_eq!(world.app.got().len(), 0);
    world.app.set_away("mailer", false);
    world.app.wait(1).await;
    assert_eq!(world.app.got()[0].1.attempt, 1);
    until("done", || world.status().is_some_and(|it| it.done == 1)).await;
    assert_eq!(world.handle.subscriptions()[0].paused, None);
}

#[tokio::test(start_paused = true)]
async fn deliveries_that_nobody_took_are_no_attempts_over_the_end_of_nodes() {
    let wanted = || one(|it| it.retry = Some(attempts(2)));
    let mut world = World::start(wanted());
    world.app.vanishes.store(true, Ordering::SeqCst);
    world.publish("orders", &["a"]).await;
    for _ in 0..5 {
        until("held", || world.status().is_some_and(|it| it.last_error.is_some())).await;
        pass(300).await;
        world.end(Duration::from_secs(60)).await;
        world.again(wanted());
    }
    world.app.judge(|_| retry("no"));
    world.app.vanishes.store(false, Ordering::SeqCst);
    until("given up", || world.status().is_some_and(|it| it.dead == 1)).await;
    assert_eq!(world.app.got().len(), 2, "both attempts were made");
    let dead = world.handle.topics().dead_letters(&topic_of("orders"), None, 10).await.unwrap();
    assert_eq!(
        (dead[0].info.attempts, dead[0].info.reason.as_str()),
        (2, "all 2 attempts failed: no")
    );
}

#[tokio::test(start_paused = true)]
async fn many_are_delivered_at_once_where_that_is_wanted() {
    let bulk = BulkDelivery { max: 4, wait: Duration::from_secs(1) };
    let world = World::start(one(|it| {
        let target = Target::Dapr {
            service: ServiceName::new("mailer").unwrap(),
            pubsub: "pubsub".to_owned(),
            path: "/events".to_owned(),
            raw: false,
            bulk: true,
        };
        it.routes = vec![Route { when: None, to: target }];
        (it.bulk, it.order) = (Some(bulk), Order::None);
        // Later than others are waited for.
        let minute = Duration::from_secs(60);
        let backoff = Backoff { first: minute, max: minute };
        it.retry = Some(Retry { max: Some(3), backoff });
    }));
    world.app.judge(|it| {
        if text(&it.event.data) == "d" && it.attempt == 1 { retry("no") } else { Verdict::Done }
    });
    world.publish("orders", &["a", "b", "c", "d", "e"]).await;
    world.app.wait(6).await;
    assert_eq!(*world.app.calls.lock().unwrap(), [4, 1, 1]);
    assert_eq!(world.app.data()[5], "d", "only what failed comes again");
}

#[tokio::test(start_paused = true)]
async fn a_new_group_begins_before_its_subscriber_is_ready() {
    let world = World::start(Wanted::default());
    world.app.set_away("mailer", true);
    world.handle.apply(one(|it| it.start = Start::End)).unwrap();
    world.subscribed("orders").await;
    world.publish("orders", &["a"]).await;
    world.app.set_away("mailer", false);
    assert_eq!(world.app.wait(1).await, ["a"]);
}
