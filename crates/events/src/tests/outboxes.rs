use crate::{Error, Event, Relay, Topics, Wanted, testing::*};
use base::ServiceName;
use ports::{
    broker::{Broker, Start},
    kv::{Is, Kv, Outcome, Transaction, conformance::Failure},
    outbox::Row,
};
use std::time::Duration;

fn wanted() -> Wanted {
    Wanted { topics: topics(&["orders", "outbox.event.order"]), ..Wanted::default() }
}

fn relay() -> Relay {
    Relay {
        service: ServiceName::new("shop").unwrap(),
        url: "sqlite:shop.db".to_owned(),
        table: "outbox".to_owned(),
        topic: "outbox.event.{aggregatetype}".to_owned(),
    }
}

fn row(id: &str, kind: &str) -> Row {
    Row {
        id: id.to_owned(),
        aggregate_type: "order".to_owned(),
        aggregate_id: "7".to_owned(),
        kind: kind.to_owned(),
        payload: Some(b"{}".to_vec()),
    }
}

/// All events of a topic.
async fn all(topics: &Topics, topic: &str) -> Vec<Event> {
    let status = topics.show(&topic_of(topic)).await.unwrap().status;
    let mut replay = topics.read(&topic_of(topic), Start::Beginning).await.unwrap();
    let mut found = Vec::new();
    while u64::try_from(found.len()).unwrap() < status.messages {
        found.extend(replay.next(100).await.unwrap().into_iter().map(|it| it.event));
    }
    found
}

async fn known(world: &World, topic: &str) {
    let topics = world.handle.topics();
    until_async("the topic", async || topics.show(&topic_of(topic)).await.is_ok()).await;
}

#[tokio::test(start_paused = true)]
async fn messages_of_a_transaction_are_published_exactly_when_it_is_committed() {
    let world = World::start(wanted());
    known(&world, "orders").await;
    let topics = world.handle.topics();
    for index in 0..5 {
        let messages =
            ["a", "b"].map(|name| (topic_of("orders"), event(&format!("{name}{index}"))));
        let operations = world.handle.outbox(messages.into()).await.unwrap();
        // Every second one is refused.
        let is = if index % 2 == 0 { Is::Missing } else { Is::Present };
        let transaction = Transaction { operations, ..Transaction::default() };
        let key = format!("order/{index}");
        let transaction =
            transaction.when(key.clone(), is).and_put(key, "x", ports::kv::Life::Endless);
        pass(60).await;
        let outcome = world.kv.commit(transaction).await.unwrap();
        assert_eq!(matches!(outcome, Outcome::Committed { .. }), index % 2 == 0);
    }
    until_async("published", async || all(&topics, "orders").await.len() >= 6).await;
    pass(60).await;
    let data: Vec<_> = all(&topics, "orders").await.iter().map(|it| text(&it.data)).collect();
    assert_eq!(data, ["a0", "b0", "a2", "b2", "a4", "b4"]);
}

#[tokio::test(start_paused = true)]
async fn the_outbox_goes_on_after_an_outage_without_duplicates() {
    let mut world = World::start(wanted());
    known(&world, "orders").await;
    world.broker.set_down(true);
    // Asked before the outage is over: only the topic's name is looked up, so it is asked of another node's broker.
    world.broker.set_down(false);
    let mut parts = Vec::new();
    for index in 0..20 {
        let messages = vec![(topic_of("orders"), event(&format!("{index:02}")))];
        parts.push(world.handle.outbox(messages).await.unwrap());
    }
    world.broker.set_down(true);
    for operations in parts {
        let transaction = Transaction { operations, ..Transaction::default() };
        world.kv.commit(transaction).await.unwrap();
    }
    pass(60).await;
    world.kill();
    world.broker.set_down(false);
    // It is published, nobody hears of it, and it is published again.
    world.broker.fail_publish(Failure::UnknownButApplied);
    world.again(wanted());
    let topics = world.handle.topics();
    until_async("published", async || all(&topics, "orders").await.len() >= 20).await;
    pass(60).await;
    let data: Vec<_> = all(&topics, "orders").await.iter().map(|it| text(&it.data)).collect();
    let expected: Vec<_> = (0..20).map(|index| format!("{index:02}")).collect();
    assert_eq!(data, expected);
    let page = world.kv.range(&ports::kv::Range::all(), 1_000).await.unwrap();
    assert_eq!(page.entries, [], "no row is left");
}

#[tokio::test(start_paused = true)]
async fn an_outbox_refuses_what_could_never_be_published() {
    let world = World::start(wanted());
    known(&world, "orders").await;
    let missing = world.handle.outbox(vec![(topic_of("nobody"), event("a"))]).await;
    assert!(matches!(missing, Err(Error::Missing { .. })), "{missing:?}");
    let bad = Event { kind: String::new(), ..event("a") };
    let invalid = world.handle.outbox(vec![(topic_of("orders"), bad)]).await;
    assert!(matches!(invalid, Err(Error::Invalid(_))), "{invalid:?}");
    let large = Event { data: vec![0; 2 << 20].into(), ..event("a") };
    let large = world.handle.outbox(vec![(topic_of("orders"), large)]).await;
    assert!(matches!(large, Err(Error::Broker(_))), "{large:?}");
    let many = vec![(topic_of("orders"), event("a")); crate::OUTBOX_MAX + 1];
    let many = world.handle.outbox(many).await;
    assert!(matches!(many, Err(Error::TooMany { .. })), "{many:?}");
}

#[tokio::test(start_paused = true)]
async fn a_table_is_waited_for_and_relayed() {
    let world = World::start(Wanted { relays: vec![relay()], ..wanted() });
    let relays = || world.handle.relays();
    let says = |text: &str| {
        relays().iter().any(|it| it.problem.as_ref().is_some_and(|it| it.contains(text)))
    };
    until("the problem is shown", || says("there is no such table")).await;
    *world.table.rows.lock().unwrap() = Some(vec![row("u-1", "Created"), row("u-2", "Paid")]);
    let topics = world.handle.topics();
    until("relayed", || relays()[0].relayed == 2).await;
    let events = all(&topics, "outbox.event.order").await;
    let seen: Vec<_> = events.iter().map(|it| (it.id.as_str(), it.kind.as_str())).collect();
    assert_eq!(seen, [("u-1", "Created"), ("u-2", "Paid")]);
    let first = &events[0];
    assert_eq!((first.source.as_str(), first.key.as_deref()), ("shop", Some(b"7".as_slice())));
    assert_eq!(first.content_type.as_deref(), Some("application/json"));
    assert_eq!(relays()[0].problem, None);
    assert_eq!(world.table.rows.lock().unwrap().as_ref().unwrap().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn rows_that_could_not_be_deleted_are_duplicates() {
    let world = World::start(wanted());
    known(&world, "outbox.event.order").await;
    *world.table.rows.lock().unwrap() = Some(vec![row("u-1", "Created")]);
    *world.table.deaf.lock().unwrap() = 3;
    world.handle.apply(Wanted { relays: vec![relay()], ..wanted() }).unwrap();
    until("relayed", || world.handle.relays().first().is_some_and(|it| it.relayed == 1)).await;
    assert_eq!(all(&world.handle.topics(), "outbox.event.order").await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_number_that_a_database_gives_again_is_no_duplicate() {
    let world = World::start(Wanted { relays: vec![relay()], ..wanted() });
    for _ in 0..2 {
        *world.table.rows.lock().unwrap() = Some(vec![row("1", "Created")]);
        until("deleted", || world.table.rows.lock().unwrap().as_ref().unwrap().is_empty()).await;
    }
    assert_eq!(all(&world.handle.topics(), "outbox.event.order").await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_row_without_a_topic_holds_up_no_other() {
    let world = World::start(Wanted { relays: vec![relay()], ..wanted() });
    let bad = Row { aggregate_type: "or der".to_owned(), ..row("u-1", "Created") };
    let unknown = Row { aggregate_type: "nobody".to_owned(), ..row("u-2", "Created") };
    *world.table.rows.lock().unwrap() = Some(vec![bad, unknown, row("u-3", "Created")]);
    until("relayed", || world.handle.relays().first().is_some_and(|it| it.relayed == 1)).await;
    until("said", || world.handle.relays()[0].problem.is_some()).await;
    assert_eq!(world.table.rows.lock().unwrap().as_ref().unwrap().len(), 2);
    assert!(world.broker.topic(&topic_of("outbox.event.nobody")).await.is_err());
    world.handle.apply(Wanted { relays: vec![relay()], auto: true, ..wanted() }).unwrap();
    until("relayed", || world.handle.relays()[0].relayed == 2).await;
    pass(1).await;
    assert!(world.handle.relays()[0].problem.as_ref().unwrap().contains("`outbox.event.or der`"));
    let _ = Duration::ZERO;
}
