//! Clauses about appends that depend on what happened elsewhere.

use super::{
    Task, World,
    kit::{
        append, assert_gapless, everything, expecting, ids, item, noted, ok, query, tagged,
        when_nothing,
    },
};
use crate::streams::{Append, Error, Expected, NewEvent, Position, Query, Streams};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

fn with_events(stream: &str, events: Vec<NewEvent>) -> Append {
    Append { events, ..noted(stream, &[]) }
}

/// Where the first event stands that failed the condition; `None`: it was appended.
async fn refused(streams: &dyn Streams, append: Append) -> Option<Position> {
    match streams.append(append).await {
        Ok(appended) => {
            assert!(!appended.duplicate);
            None
        }
        Err(Error::ConditionFailed { position }) => Some(position),
        Err(error) => panic!("{error:?}"),
    }
}

/// What the caller had seen does not count, what came after it does.
pub async fn a_condition_refuses_what_came_later(world: &dyn World) {
    let streams = &*world.open().await;
    let of_seven = query(&[], &["course:7"], None);
    let new = |id: &str, after: u64| {
        let events = vec![tagged(id, "subscribed", &["course:7", "student:1"])];
        when_nothing(of_seven.clone(), Position(after), with_events("c-7", events))
    };
    assert_eq!(refused(streams, new("a", 0)).await, None);
    append(streams, "else", &["1", "2"]).await;
    assert_eq!(refused(streams, new("b", 0)).await, Some(Position(1)));
    // The caller knows position 1, and what came after it is of no interest.
    assert_eq!(refused(streams, new("b", 1)).await, None);
    for after in [0, 1, 2, 3] {
        let first = if after == 0 { 1 } else { 4 };
        assert_eq!(refused(streams, new("c", after)).await, Some(Position(first)), "{after}");
    }
    for (id, after) in [("c", 4), ("d", 5), ("e", 100)] {
        assert_eq!(refused(streams, new(id, after)).await, None, "{after}");
    }
    assert_eq!(ids(&everything(streams).await), ["a", "1", "2", "b", "c", "d", "e"]);
}

/// Types, tags and categories, of any stream; a query without items means all events.
pub async fn a_condition_counts_what_it_asks_for_only(world: &dyn World) {
    let streams = &*world.open().await;
    let events = vec![
        tagged("1", "opened", &["a", "b"]),
        tagged("2", "closed", &["a"]),
        tagged("3", "opened", &["c"]),
    ];
    ok(streams.append(with_events("shop-1", events)).await);
    let three = Query { items: vec![item(&["closed"], &[], None), item(&[], &["c"], None)] };
    let mut id = 100;
    for (query, after, expected) in [
        (Query::default(), 0, Some(1)),
        (Query::default(), 2, Some(3)),
        (query(&["opened"], &[], None), 0, Some(1)),
        (query(&["opened"], &[], None), 1, Some(3)),
        (query(&["closed", "moved"], &[], None), 0, Some(2)),
        (query(&["moved"], &[], None), 0, None),
        (query(&[], &["a", "b"], None), 0, Some(1)),
        (query(&[], &["a", "b"], None), 1, None),
        (query(&[], &["a", "c"], None), 0, None),
        (query(&["closed"], &["b"], None), 0, None),
        (query(&[], &[], Some("shop")), 1, Some(2)),
        (query(&[], &[], Some("shop-1")), 0, None),
        (query(&["opened"], &["c"], Some("shop")), 0, Some(3)),
        (three.clone(), 0, Some(2)),
        (three.clone(), 2, Some(3)),
        (three, 3, None),
    ] {
        id += 1;
        let new = with_events("else", vec![tagged(&id.to_string(), "noted", &["x"])]);
        let new = when_nothing(query.clone(), Position(after), new);
        let found = refused(streams, new).await;
        assert_eq!(found, expected.map(Position), "{query:?} after {after}");
    }
}

/// Neither makes up for the other.
pub async fn an_expectation_and_a_condition_must_both_hold(world: &dyn World) {
    let streams = &*world.open().await;
    append(streams, "s", &["a"]).await;
    for (revision, after, holds) in [(1, 1, false), (0, 0, false), (1, 0, false), (0, 1, true)] {
        let new = when_nothing(Query::default(), Position(after), noted("s", &["b"]));
        let result = streams.append(expecting(Expected::Revision(revision), new)).await;
        if holds {
            assert_eq!(ok(result).position, Position(2));
            continue;
        }
        let is_refused =
            matches!(result, Err(Error::WrongRevision { .. } | Error::ConditionFailed { .. }));
        assert!(is_refused, "{revision} {after}: {result:?}");
    }
    assert_eq!(ids(&everything(streams).await), ["a", "b"]);
}

/// Lets many append at the same time, each to a stream of its own or to one, and tells how many did.
async fn race(world: &dyn World, streams: &Arc<dyn Streams>, appends: Vec<Append>) -> usize {
    let wins = Arc::new(AtomicUsize::new(0));
    let tasks = appends.into_iter().map(|append| -> Task {
        let (streams, wins) = (Arc::clone(streams), Arc::clone(&wins));
        Box::pin(async move {
            match streams.append(append).await {
                Ok(appended) => {
                    assert!(!appended.duplicate);
                    wins.fetch_add(1, Ordering::SeqCst);
                }
                Err(Error::ConditionFailed { .. } | Error::WrongRevision { .. }) => {}
                Err(error) => panic!("{error:?}"),
            }
        })
    });
    world.together(tasks.collect()).await;
    wins.load(Ordering::SeqCst)
}

/// A seat is sold once, whichever stream the sale is written to.
pub async fn one_of_many_with_the_same_condition_wins(world: &dyn World) {
    const RACERS: usize = 16;
    let streams = world.open().await;
    for round in 0..10_u64 {
        let after = ok(streams.status().await).position;
        let of_seat = query(&["sold"], &["seat:1"], None);
        let sale = |racer: usize| {
            let id = format!("{round}.{racer}");
            let events =
                vec![tagged(&id, "sold", &["seat:1"]), tagged(&format!("{id}b"), "k", &[])];
            when_nothing(of_seat.clone(), after, with_events(&format!("buyer-{racer}"), events))
        };
        assert_eq!(race(world, &streams, (0..RACERS).map(sale).collect()).await, 1);
        assert_eq!(ok(streams.status().await).position, Position((round + 1) * 2));
    }
    assert_gapless(&everything(&*streams).await);
}

/// The others are told that they must look again.
pub async fn one_of_many_with_the_same_revision_wins(world: &dyn World) {
    const RACERS: usize = 16;
    let streams = world.open().await;
    for round in 0..10_u64 {
        let expected = round.checked_sub(1).map_or(Expected::NoStream, Expected::Revision);
        let new = |racer: usize| expecting(expected, noted("s", &[&format!("{round}.{racer}")]));
        assert_eq!(race(world, &streams, (0..RACERS).map(new).collect()).await, 1);
    }
    let all = everything(&*streams).await;
    assert_eq!(all.len(), 10);
    assert_gapless(&all);
}
