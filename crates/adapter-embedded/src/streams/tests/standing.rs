//! Many at once, and what stays within bounds.

use ports::streams::{
    Condition, Direction, Error, Expected, Item, NewEvent, PAGE_MAX, Position, Query, Streams,
};
use std::sync::Arc;

use super::{add, all_of, append, check, event, open, run, tiny};
use crate::{disk::simulated::Simulated, streams::recovery::Limits};

fn tagged(tag: &str) -> Query {
    let item = Item { tags: vec![tag.to_owned()], ..Item::default() };
    Query { items: vec![item] }
}

#[test]
fn of_many_who_expect_the_same_revision_one_wins_and_the_others_are_told_the_revision() {
    run(async {
        let disk = Simulated::default();
        let (_service, streams) = open(&disk, tiny()).unwrap();
        for round in 0..20_u64 {
            let expected = match round {
                0 => Expected::NoStream,
                _ => Expected::Revision(round - 1),
            };
            let mut tasks = tokio::task::JoinSet::new();
            for racer in 0..8 {
                let streams = streams.clone();
                let one = append("s", expected, vec![event(format!("{round}.{racer}"), "x")]);
                tasks.spawn(async move { streams.append(one).await });
            }
            let answers = tasks.join_all().await;
            let won = answers.iter().filter(|answer| answer.is_ok()).count();
            assert_eq!(won, 1, "{answers:?}");
            for answer in answers {
                match answer {
                    Ok(appended) => assert_eq!(appended.revision, round),
                    Err(Error::WrongRevision { actual, .. }) => assert_eq!(actual, Some(round)),
                    Err(error) => panic!("{error:?}"),
                }
            }
        }
        assert_eq!(check(&streams).await.len(), 20);
    });
}

#[test]
fn the_same_append_by_many_at_once_is_done_once() {
    run(async {
        let disk = Simulated::default();
        let (_service, streams) = open(&disk, tiny()).unwrap();
        for round in 0..20 {
            let mut tasks = tokio::task::JoinSet::new();
            for _ in 0..8 {
                let streams = streams.clone();
                let events = vec![event(format!("{round}a"), "x"), event(format!("{round}b"), "y")];
                let one = append("s", Expected::Any, events);
                tasks.spawn(async move { streams.append(one).await.unwrap() });
            }
            let answers = tasks.join_all().await;
            assert_eq!(answers.iter().filter(|answer| !answer.duplicate).count(), 1);
            assert!(answers.iter().all(|answer| answer.revision == round * 2 + 1));
        }
        assert_eq!(check(&streams).await.len(), 40);
    });
}

/// A seat may be taken once, whichever stream it is taken in.
#[test]
fn of_many_whose_condition_is_the_same_one_wins() {
    run(async {
        let disk = Simulated::default();
        let (_service, streams) = open(&disk, tiny()).unwrap();
        for round in 0..20 {
            let tag = format!("seat:{round}");
            let mut tasks = tokio::task::JoinSet::new();
            for racer in 0..8 {
                let streams = streams.clone();
                let taken = NewEvent { tags: vec![tag.clone()], ..event(round.to_string(), "x") };
                let mut one = append(&format!("guest-{racer}"), Expected::Any, vec![taken]);
                one.condition = Some(Condition { query: tagged(&tag), after: Position(0) });
                tasks.spawn(async move { streams.append(one).await });
            }
            let answers = tasks.join_all().await;
            let won: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().ok()).collect();
            assert_eq!(won.len(), 1, "{answers:?}");
            for answer in &answers {
                if let Err(error) = answer {
                    let Error::ConditionFailed { position } = error else { panic!("{error:?}") };
                    assert_eq!(*position, won[0].position);
                }
            }
        }
        assert_eq!(check(&streams).await.len(), 20);
    });
}

#[test]
fn who_waits_is_woken_by_an_append_and_by_the_end_of_the_engine() {
    run(async {
        let disk = Simulated::default();
        let (service, streams) = open(&disk, tiny()).unwrap();
        let mut waiting = tokio::task::JoinSet::new();
        for number in 0..500 {
            let streams = streams.clone();
            waiting.spawn(async move { streams.wait(Position(number % 2)).await });
        }
        add(&streams, "s", "1", "x").await;
        add(&streams, "s", "2", "x").await;
        for found in waiting.join_all().await {
            assert!(found.unwrap() >= Position(1));
        }
        let (found, ()) = tokio::join!(streams.wait(Position(2)), service.shutdown());
        assert!(matches!(found, Err(Error::Unavailable { .. })), "{found:?}");
        let found = streams.read("s", None, Direction::Forwards, 1).await;
        assert!(matches!(found, Err(Error::Unavailable { .. })), "{found:?}");
        let one = append("s", Expected::Any, vec![event("3", "x")]);
        assert!(matches!(streams.append(one).await, Err(Error::Unavailable { .. })));
    });
}

#[test]
fn pages_are_bounded_in_events_and_in_bytes() {
    run(async {
        let disk = Simulated::default();
        let (_service, streams) = open(&disk, Limits::default()).unwrap();
        for number in 0..5 {
            let events = (0..500).map(|it| event(format!("{number}.{it}"), "x")).collect();
            streams.append(append("small", Expected::Any, events)).await.unwrap();
        }
        let page = streams.read("small", None, Direction::Forwards, usize::MAX).await.unwrap();
        assert_eq!((page.events.len(), page.next), (PAGE_MAX, Some(1_000)));
        let large = "x".repeat(900_000);
        for number in 0..12 {
            add(&streams, "large", &number.to_string(), &large).await;
        }
        for direction in [Direction::Forwards, Direction::Backwards] {
            let page = streams.read("large", None, direction, 100).await.unwrap();
            assert!((2..8).contains(&page.events.len()), "{}", page.events.len());
            assert!(page.next.is_some());
            let item = Item { category: Some("large".to_owned()), ..Item::default() };
            let query = Query { items: vec![item] };
            let page = streams.read_all(&query, None, direction, 100).await.unwrap();
            assert!((2..8).contains(&page.events.len()), "{}", page.events.len());
            assert_eq!(all_of(&streams, &query, direction).await.len(), 12);
        }
        check(&streams).await;
    });
}

/// Two lists that are long and have nothing in common: a search through them stops now and then, and comes to its end.
#[test]
fn a_search_that_finds_nothing_comes_to_its_end_in_pages_without_events() {
    run(async {
        let disk = Simulated::default();
        let (_service, streams) = open(&disk, Limits::default()).unwrap();
        for number in 0..250 {
            let events = (0..500_u32).map(|it| NewEvent {
                tags: vec![["odd", "even"][usize::from(it % 2 == 0)].to_owned()],
                kind: ["odd", "even"][usize::from(it % 2 == 1)].to_owned(),
                ..event(format!("{number}.{it}"), "")
            });
            let one = append("s", Expected::Any, events.collect());
            streams.append(one).await.unwrap();
        }
        let item = |kind: &str| Item {
            kinds: vec![kind.to_owned()],
            tags: vec!["odd".to_owned()],
            category: None,
        };
        let nothing = Query { items: vec![item("odd")] };
        for direction in [Direction::Forwards, Direction::Backwards] {
            let page = streams.read_all(&nothing, None, direction, 1).await.unwrap();
            assert!(page.events.is_empty() && page.next.is_some(), "{:?}", page.next);
            assert!(all_of(&streams, &nothing, direction).await.is_empty());
        }
        let mut one = append("t", Expected::NoStream, vec![event("1", "x")]);
        one.condition = Some(Condition { query: nothing, after: Position(0) });
        streams.append(one).await.unwrap();
        let some = Query { items: vec![item("even")] };
        assert_eq!(all_of(&streams, &some, Direction::Forwards).await.len(), 250 * 250);
    });
}

#[test]
fn more_callers_than_the_queue_has_places_are_all_served_while_others_read() {
    run(async {
        let disk = Simulated::default();
        let (_service, streams) =
            open(&disk, Limits { overlay_bytes: 64 << 10, ..tiny() }).unwrap();
        let streams = Arc::new(streams);
        let large = bytes::Bytes::from("x".repeat(200 << 10));
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..5_000 {
            let (streams, large) = (Arc::clone(&streams), large.clone());
            tasks.spawn(async move {
                let data = if number % 200 == 0 { large } else { "x".into() };
                let stream = format!("s-{}", number % 50);
                let one = append(&stream, Expected::Any, vec![event(number.to_string(), data)]);
                let appended = streams.append(one).await.unwrap();
                // Whoever was told sees it.
                let page = streams
                    .read(&stream, Some(appended.revision), Direction::Forwards, 1)
                    .await
                    .unwrap();
                assert_eq!(page.events[0].id, number.to_string());
                assert_eq!(page.events[0].position, appended.position);
            });
        }
        tasks.join_all().await;
        assert_eq!(check(&streams).await.len(), 5_000);
    });
}
