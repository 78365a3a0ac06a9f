use crate::{
    DeadLetter, Error, Origin, Snapshot, StreamSubscription, Streams, Verdict, Wanted, testing::*,
};
use bytes::Bytes;
use ports::{
    kv::{Capabilities, conformance::Memory},
    streams::{Append, Expected, Item, NewEvent, Position, Query},
};
use std::time::Duration;

fn subscription() -> StreamSubscription {
    StreamSubscription {
        name: "totals".to_owned(),
        query: Query {
            items: vec![Item { category: Some("account".to_owned()), ..Item::default() }],
        },
        from_beginning: true,
        to: to("totals"),
        timeout: Duration::from_secs(30),
        retry: attempts(3),
        dead_letter: DeadLetter::Own,
    }
}

fn wanted() -> Wanted {
    Wanted { streams: vec![subscription()], ..Wanted::default() }
}

async fn append(streams: &Streams, stream: &str, ids: std::ops::Range<u32>) {
    let event = |id: u32| NewEvent {
        id: id.to_string(),
        kind: "deposited".to_owned(),
        data: id.to_string().into(),
        metadata: Bytes::from_static(b"by test"),
        tags: vec!["a".to_owned(), "b".to_owned()],
    };
    for id in ids {
        let append = Append {
            stream: stream.to_owned(),
            expected: Expected::Any,
            condition: None,
            events: vec![event(id)],
        };
        streams.append(append).await.unwrap();
    }
}

async fn is_at(streams: &Streams, position: u64) -> bool {
    let status = &streams.subscriptions().await.unwrap()[0];
    status.position == Position(position) && status.lag == 0
}

#[tokio::test(start_paused = true)]
async fn events_come_in_order_one_at_a_time_and_go_on_where_they_were() {
    let mut world = World::start(wanted());
    let streams = world.handle.streams();
    *world.app.takes.lock().unwrap() = Duration::from_millis(10);
    append(&streams, "account-7", 0..150).await;
    append(&streams, "other-7", 0..10).await;
    append(&streams, "account-8", 150..250).await;
    let expected: Vec<String> = (0..250).map(|id| id.to_string()).collect();
    assert_eq!(world.app.wait(250).await, expected);
    assert_eq!(*world.app.busiest.lock().unwrap(), 1);
    let (_, first) = world.app.got().remove(0);
    let origin =
        Origin::Stream { stream: "account-7".to_owned(), revision: 0, position: Position(1) };
    assert_eq!((first.origin, first.event.source.as_str()), (origin, "account-7"));
    let extensions: Vec<_> = first.event.extensions.into_iter().collect();
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(extensions, [pair("metadata", "by test"), pair("tags", "a,b")]);
    until_async("at its end", async || is_at(&streams, 260).await).await;
    world.end(Duration::from_secs(5)).await;
    append(&streams, "account-7", 250..260).await;
    world.again(wanted());
    world.app.wait(260).await;
    pass(60).await;
    let data = world.app.data();
    assert_eq!((data.len(), data[250].as_str()), (260, "250"), "nothing twice after a good end");
}

#[tokio::test(start_paused = true)]
async fn a_killed_node_repeats_a_little_and_leaves_out_nothing() {
    let mut world = World::start(wanted());
    let streams = world.handle.streams();
    *world.app.takes.lock().unwrap() = Duration::from_millis(10);
    append(&streams, "account-7", 0..300).await;
    world.app.wait(170).await;
    world.kill();
    world.again(wanted());
    let streams = world.handle.streams();
    until_async("at its end", async || is_at(&streams, 300).await).await;
    let data = world.app.data();
    let mut seen: Vec<u32> = data.iter().map(|id| id.parse().unwrap()).collect();
    assert!(seen.len() <= 300 + 101, "{}", seen.len());
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, (0..300).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn an_event_that_fails_holds_up_the_next_until_it_is_parked() {
    let world = World::start(wanted());
    let streams = world.handle.streams();
    world.app.judge(|it| if text(&it.event.data) == "1" { retry("no") } else { Verdict::Done });
    append(&streams, "account-7", 0..3).await;
    assert_eq!(world.app.wait(5).await, ["0", "1", "1", "1", "2"]);
    until_async("at its end", async || is_at(&streams, 3).await).await;
    let status = &streams.subscriptions().await.unwrap()[0];
    assert_eq!((status.done, status.parked, status.is_here), (2, 1, true));
    let dead = world
        .handle
        .topics()
        .dead_letters(&topic_of("streams.totals.dead"), None, 10)
        .await
        .unwrap();
    let info = &dead[0].info;
    assert_eq!(
        (dead.len(), info.offset.0, info.reason.as_str()),
        (1, 2, "all 3 attempts failed: no")
    );
}

#[tokio::test(start_paused = true)]
async fn a_subscription_begins_with_what_comes_then_and_is_reset_by_hand() {
    let from_now = StreamSubscription { from_beginning: false, ..subscription() };
    let wanted = Wanted { streams: vec![from_now], ..Wanted::default() };
    let world = World::start(Wanted::default());
    let streams = world.handle.streams();
    append(&streams, "account-7", 0..5).await;
    let missing = streams.reset("totals", Position(0)).await;
    assert!(matches!(missing, Err(Error::Missing { .. })), "{missing:?}");
    world.handle.apply(wanted).unwrap();
    until_async("begun", async || is_at(&streams, 5).await).await;
    append(&streams, "account-7", 5..6).await;
    assert_eq!(world.app.wait(1).await, ["5"]);
    streams.reset("totals", Position(3)).await.unwrap();
    assert_eq!(world.app.wait(4).await, ["5", "3", "4", "5"]);
}

#[tokio::test(start_paused = true)]
async fn nobody_ready_is_waited_for_and_a_reset_is_heard_meanwhile() {
    let world = World::start(wanted());
    let streams = world.handle.streams();
    world.app.set_away("totals", true);
    append(&streams, "account-7", 0..4).await;
    pass(3_600).await;
    let status = &streams.subscriptions().await.unwrap()[0];
    assert_eq!((status.delivered, status.lag), (0, 4));
    assert!(status.paused.as_ref().unwrap().contains("nobody is ready"), "{status:?}");
    streams.reset("totals", Position(2)).await.unwrap();
    world.app.set_away("totals", false);
    assert_eq!(world.app.wait(2).await, ["2", "3"]);
    assert_eq!(world.app.got()[0].1.attempt, 1);
}

#[tokio::test(start_paused = true)]
async fn of_two_nodes_one_delivers_and_the_other_takes_over() {
    let shared = Capabilities {
        durable: false,
        transactions: true,
        leases: true,
        watches: true,
        shared: true,
    };
    let mut world = World::over(Memory::offering(shared), wanted());
    let streams = world.handle.streams();
    append(&streams, "account-7", 0..50).await;
    world.app.wait(50).await;
    let (_service, other) = world.beside(wanted());
    append(&streams, "account-7", 50..100).await;
    world.app.wait(100).await;
    pass(120).await;
    assert_eq!(world.app.got().len(), 100);
    assert!(!other.streams().subscriptions().await.unwrap()[0].is_here);
    world.kill();
    append(&other.streams(), "account-7", 100..150).await;
    until_async("taken over", async || is_at(&other.streams(), 150).await).await;
    assert!(other.streams().subscriptions().await.unwrap()[0].is_here);
    let data = world.app.data();
    assert_eq!(data.last().map(String::as_str), Some("149"));
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_never_gives_way_to_an_older_one() {
    let world = World::start(Wanted::default());
    let streams = world.handle.streams();
    assert_eq!(streams.snapshot("account-7").await.unwrap(), None);
    let snapshot = |revision: u64, data: &'static [u8]| Snapshot {
        revision,
        content_type: Some("application/json".to_owned()),
        data: Bytes::from_static(data),
    };
    assert!(streams.put_snapshot("account-7", snapshot(5, b"five")).await.unwrap());
    assert!(!streams.put_snapshot("account-7", snapshot(4, b"four")).await.unwrap());
    assert!(streams.put_snapshot("account-7", snapshot(5, b"anew")).await.unwrap());
    assert_eq!(streams.snapshot("account-7").await.unwrap(), Some(snapshot(5, b"anew")));
    let large = Snapshot { data: vec![0; crate::SNAPSHOT_SIZE_MAX + 1].into(), ..snapshot(6, b"") };
    let refused = streams.put_snapshot("account-7", large).await;
    assert!(matches!(refused, Err(Error::TooMany { .. })), "{refused:?}");
}
